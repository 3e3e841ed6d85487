/* SPDX-License-Identifier: ISC */
/*
 * accounts.c: domains, users and aliases in LMDB.
 *
 * Runs in authd as pk-auth. A key is "domain NUL local", so that a domain's
 * records stand together and no name can be read as another's: neither part
 * may hold a NUL. Every commit is synced (LMDB's default); a process that is
 * killed in a transaction leaves nothing of it, and its lock is taken over.
 * What is read is checked again: the file may have been damaged.
 */
#include "authd/accounts.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <lmdb.h>
#include <string.h>

#include "authd/name.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* Address space only: the file grows with what is in it. 100,000 users take about 100 MB. */
#define MAP_BYTES	((size_t)8 << 30)
#define READERS		512
#define KEY_MAX		511	/* LMDB's own */
#define SCHEMA		"1"
#define META_SCHEMA	"schema"
#define META_SECRET	"secret"
#define SECRET_SIZE	32

enum { DB_SENDER = ACCOUNTS_KINDS, DB_META, DBS };

struct accounts {
	MDB_env	*env;
	MDB_dbi	 dbi[DBS];
	MDB_txn	*reader;	/* the loop's, renewed for each look-up */
};

struct accounts_txn {
	struct accounts *a;
	MDB_txn	*txn;
};

const char *
accounts_kind_name(enum accounts_kind kind)
{
	static const char *const names[] = { "domain", "user", "alias" };

	return names[kind];
}

static int
fail(const char *what, int rc)
{
	if (rc == 0)
		return 0;
	if (rc == MDB_NOTFOUND)
		return PK_ENOENT;
	log_error("accounts: %s: %s", what, mdb_strerror(rc));
	return rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT ? PK_ENOSPC : PK_EIO;
}

static MDB_val
val(struct view v)
{
	return (MDB_val){ v.len, (void *)(uintptr_t)v.p };
}

static struct view
val_view(MDB_val v)
{
	return view_of(v.mv_data, v.mv_size);
}

/* ---- names and keys ---- */

int
accounts_put_name(struct buf *b, enum accounts_kind kind, struct view name)
{
	size_t before = b->len;
	struct view local, domain;
	int error;

	if (kind == ACCOUNTS_DOMAIN)
		return name_put_domain(b, name);
	if (kind == ACCOUNTS_ALIAS && name.len > 0 && name.p[0] == '@') {
		buf_put_char(b, '@');
		error = name_put_domain(b, view_from(name, 1));
	} else {
		name_split(name, &local, &domain);
		error = memchr(local.p, '%', local.len) != NULL ||
		    memchr(local.p, '!', local.len) != NULL ||
		    memchr(local.p, '/', local.len) != NULL ||
		    memchr(local.p, ':', local.len) != NULL ? PK_ESYNTAX :
		    name_put(b, name, VIEW(""));
	}
	if (error != 0)
		buf_truncate(b, before);
	return error;
}

static int
put_key(struct buf *b, enum accounts_kind kind, struct view name)
{
	struct view local, domain;

	buf_init(b, KEY_MAX);
	if (kind == ACCOUNTS_DOMAIN)
		return buf_put_view(b, name);
	name_split(name, &local, &domain);
	buf_put_view(b, domain);
	buf_put_char(b, '\0');
	return buf_put_view(b, local);
}

static void
put_name_of_key(struct buf *b, enum accounts_kind kind, struct view key)
{
	ptrdiff_t nul = view_find(key, '\0');

	if (kind == ACCOUNTS_DOMAIN || nul < 0) {
		buf_put_view(b, key);
		return;
	}
	buf_put_view(b, view_from(key, (size_t)nul + 1));
	buf_put_char(b, '@');
	buf_put_view(b, view_head(key, (size_t)nul));
}

/* ---- opening ---- */

static int
open_dbis(struct accounts *a, MDB_txn *txn)
{
	static const char *const names[DBS] = { "domain", "user", "alias", "sender", "meta" };
	int i, rc = 0;

	for (i = 0; rc == 0 && i < DBS; i++)
		rc = mdb_dbi_open(txn, names[i], MDB_CREATE |
		    (i == DB_SENDER ? MDB_DUPSORT : 0), &a->dbi[i]);
	return rc;
}

static int
meta_put(struct accounts *a, MDB_txn *txn, const char *key, struct view value)
{
	MDB_val k = val(view_str(key)), v = val(value);

	return mdb_put(txn, a->dbi[DB_META], &k, &v, 0);
}

/* 0, MDB_NOTFOUND, ... */
static int
meta_get(struct accounts *a, MDB_txn *txn, const char *key, struct view *v_r)
{
	MDB_val k = val(view_str(key)), v;
	int rc = mdb_get(txn, a->dbi[DB_META], &k, &v);

	if (rc == 0)
		*v_r = val_view(v);
	return rc;
}

static int
first_use(struct accounts *a, MDB_txn *txn)
{
	char secret[SECRET_SIZE];
	int rc;

	arc4random_buf(secret, sizeof(secret));
	rc = meta_put(a, txn, META_SCHEMA, VIEW(SCHEMA));
	if (rc == 0)
		rc = meta_put(a, txn, META_SECRET, view_of(secret, sizeof(secret)));
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

static int
set_up(struct accounts *a, struct buf *why)
{
	struct view schema;
	MDB_txn *txn;
	int rc, dead;

	/* Slots of processes that were killed would keep old pages for good. */
	(void)mdb_reader_check(a->env, &dead);
	rc = mdb_txn_begin(a->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = open_dbis(a, txn);
	if (rc == 0) {
		rc = meta_get(a, txn, META_SCHEMA, &schema);
		if (rc == MDB_NOTFOUND)
			rc = first_use(a, txn);
		else if (rc == 0 && !view_eq(schema, VIEW(SCHEMA))) {
			buf_printf(why, "it has schema %.*s, this program knows %s: ",
			    VIEW_ARG(schema), SCHEMA);
			rc = MDB_VERSION_MISMATCH;
		}
	}
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

struct accounts *
accounts_open(const char *dir, struct buf *why)
{
	struct accounts *a = XNEW(struct accounts);
	int rc;

	buf_printf(why, "accounts database %s: ", dir);
	rc = mdb_env_create(&a->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(a->env, MAP_BYTES);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(a->env, DBS);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(a->env, READERS);
	/* Write transactions are also begun in threads; readers are renewed. */
	if (rc == 0)
		rc = mdb_env_open(a->env, dir, MDB_NOTLS, 0600);
	if (rc == 0)
		rc = set_up(a, why);
	if (rc == 0)
		rc = mdb_txn_begin(a->env, NULL, MDB_RDONLY, &a->reader);
	if (rc != 0) {
		buf_put_str(why, mdb_strerror(rc));
		if (a->env != NULL)
			mdb_env_close(a->env);
		xfree(a);
		return NULL;
	}
	mdb_txn_reset(a->reader);
	buf_reset(why);
	return a;
}

void
accounts_close(struct accounts **ap)
{
	struct accounts *a = *ap;

	if (a == NULL)
		return;
	mdb_txn_abort(a->reader);
	mdb_env_close(a->env);
	xfree(a);
	*ap = NULL;
}

/* ---- reading ---- */

static int
record_of(struct view json, json_t **record_r)
{
	json_error_t why;
	json_t *j = json_loadb(json.p, json.len, 0, &why);

	if (!json_is_object(j)) {
		log_error("accounts: a record is damaged: %s", why.text);
		json_decref(j);
		return PK_EIO;
	}
	*record_r = j;
	return 0;
}

static int
get_in(struct accounts *a, MDB_txn *txn, enum accounts_kind kind, struct view name,
    json_t **record_r)
{
	struct buf key;
	MDB_val k, v;
	int rc;

	if (put_key(&key, kind, name) != 0 || key.len == 0) {
		buf_fini(&key);
		return PK_ENOENT;
	}
	k = val(buf_view(&key));
	rc = mdb_get(txn, a->dbi[kind], &k, &v);
	buf_fini(&key);
	return rc != 0 ? fail("look-up", rc) : record_of(val_view(v), record_r);
}

int
accounts_get(struct accounts *a, enum accounts_kind kind, struct view name, json_t **record_r)
{
	int rc = mdb_txn_renew(a->reader);

	if (rc != 0)
		return fail("look-up", rc);
	rc = get_in(a, a->reader, kind, name, record_r);
	mdb_txn_reset(a->reader);
	return rc;
}

static int
senders_in(struct accounts *a, struct view address, struct buf *b)
{
	struct buf key;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	rc = mdb_cursor_open(a->reader, a->dbi[DB_SENDER], &c);
	if (rc != 0)
		return rc;
	(void)put_key(&key, ACCOUNTS_ALIAS, address);
	k = val(buf_view(&key));
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_KEY);
	while (rc == 0) {
		if (b->len > 0)
			buf_put_char(b, ',');
		buf_put_view(b, val_view(v));
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT_DUP);
	}
	mdb_cursor_close(c);
	buf_fini(&key);
	return rc;
}

int
accounts_senders(struct accounts *a, struct view address, struct buf *b)
{
	size_t before = b->len;
	int rc = mdb_txn_renew(a->reader);

	if (rc != 0)
		return fail("look-up", rc);
	rc = senders_in(a, address, b);
	mdb_txn_reset(a->reader);
	if (rc == MDB_NOTFOUND && b->len > before)
		rc = 0;
	if (rc == 0 && buf_error(b) != 0)
		return PK_ELIMIT;
	return fail("look-up", rc);
}

/* Does the key belong to this domain ("" : any)? */
static bool
is_of_domain(enum accounts_kind kind, struct view key, struct view domain)
{
	if (domain.len == 0)
		return true;
	if (!view_starts(key, domain))
		return false;
	return kind == ACCOUNTS_DOMAIN ? key.len == domain.len :
	    key.len > domain.len && key.p[domain.len] == '\0';
}

/* The first key behind `after`, or of the domain. */
static int
cursor_begin(MDB_cursor *c, enum accounts_kind kind, struct view domain, struct view after,
    MDB_val *k, MDB_val *v)
{
	struct buf key;
	int rc;

	if (after.len == 0) {
		if (domain.len == 0)
			return mdb_cursor_get(c, k, v, MDB_FIRST);
		*k = val(domain);
		return mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	}
	if (put_key(&key, kind, after) != 0) {
		buf_fini(&key);
		return MDB_NOTFOUND;
	}
	*k = val(buf_view(&key));
	rc = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	if (rc == 0 && view_eq(val_view(*k), buf_view(&key)))
		rc = mdb_cursor_get(c, k, v, MDB_NEXT);
	buf_fini(&key);
	return rc;
}

static int
each_in(struct accounts *a, MDB_txn *txn, enum accounts_kind kind, struct view domain,
    struct view after, size_t limit, accounts_fn fn, void *arg)
{
	struct buf name;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	rc = mdb_cursor_open(txn, a->dbi[kind], &c);
	if (rc != 0)
		return rc;
	buf_init(&name, KEY_MAX + 1);
	rc = cursor_begin(c, kind, domain, after, &k, &v);
	while (rc == 0 && limit-- > 0 && is_of_domain(kind, val_view(k), domain)) {
		buf_reset(&name);
		put_name_of_key(&name, kind, val_view(k));
		if (!fn(buf_view(&name), val_view(v), arg))
			break;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	buf_fini(&name);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
accounts_each(struct accounts *a, enum accounts_kind kind, struct view domain, struct view after,
    size_t limit, accounts_fn fn, void *arg)
{
	int rc = mdb_txn_renew(a->reader);

	if (rc != 0)
		return fail("listing", rc);
	rc = each_in(a, a->reader, kind, domain, after, limit, fn, arg);
	mdb_txn_reset(a->reader);
	return fail("listing", rc);
}

static bool
count_one(struct view name, struct view json, void *arg)
{
	(void)name, (void)json;
	++*(uint64_t *)arg;
	return true;
}

uint64_t
accounts_count(struct accounts *a, enum accounts_kind kind, struct view domain)
{
	uint64_t n = 0;

	(void)accounts_each(a, kind, domain, VIEW(""), SIZE_MAX, count_one, &n);
	return n;
}

int
accounts_meta_get(struct accounts *a, const char *key, struct buf *b)
{
	struct view v;
	int rc = mdb_txn_renew(a->reader);

	if (rc != 0)
		return fail("look-up", rc);
	rc = meta_get(a, a->reader, key, &v);
	if (rc == 0 && buf_put_view(b, v) != 0)
		rc = MDB_CORRUPTED;
	mdb_txn_reset(a->reader);
	return fail("look-up", rc);
}

int
accounts_secret(struct accounts *a, void *p, size_t n)
{
	struct buf b;
	int error;

	buf_init(&b, SECRET_SIZE);
	error = accounts_meta_get(a, META_SECRET, &b);
	if (error == 0 && b.len < n)
		error = PK_EFORMAT;
	if (error == 0)
		memcpy(p, buf_data(&b), n);
	buf_fini(&b);
	return error;
}

/* ---- changing ---- */

int
accounts_begin(struct accounts *a, struct accounts_txn **t_r)
{
	struct accounts_txn *t;
	MDB_txn *txn;
	int rc = mdb_txn_begin(a->env, NULL, 0, &txn);

	if (rc != 0)
		return fail("begin of a change", rc);
	t = XNEW(struct accounts_txn);
	t->a = a;
	t->txn = txn;
	*t_r = t;
	return 0;
}

int
accounts_commit(struct accounts_txn **t)
{
	int rc = mdb_txn_commit((*t)->txn);

	xfree(*t);
	*t = NULL;
	return fail("commit", rc);
}

void
accounts_abort(struct accounts_txn **t)
{
	if (*t == NULL)
		return;
	mdb_txn_abort((*t)->txn);
	xfree(*t);
	*t = NULL;
}

int
accounts_txn_get(struct accounts_txn *t, enum accounts_kind kind, struct view name,
    json_t **record_r)
{
	return get_in(t->a, t->txn, kind, name, record_r);
}

int
accounts_txn_meta_get(struct accounts_txn *t, const char *key, struct buf *b)
{
	struct view v;
	int rc = meta_get(t->a, t->txn, key, &v);

	if (rc == 0 && buf_put_view(b, v) != 0)
		rc = MDB_CORRUPTED;
	return fail("look-up", rc);
}

int
accounts_txn_meta_put(struct accounts_txn *t, const char *key, struct view value)
{
	return fail("write", meta_put(t->a, t->txn, key, value));
}

/* Puts or removes {address -> login} for each of a user's senders. */
static int
index_senders(struct accounts_txn *t, struct view login, const json_t *user, bool put)
{
	const json_t *list = json_object_get(user, "senders"), *item;
	MDB_val k, v = val(login);
	struct buf key;
	size_t i;
	int rc = 0;

	json_array_foreach(list, i, item) {
		(void)put_key(&key, ACCOUNTS_ALIAS, view_str(json_string_value(item)));
		k = val(buf_view(&key));
		rc = put ? mdb_put(t->txn, t->a->dbi[DB_SENDER], &k, &v, MDB_NODUPDATA) :
		    mdb_del(t->txn, t->a->dbi[DB_SENDER], &k, &v);
		buf_fini(&key);
		if (rc != 0 && rc != MDB_KEYEXIST && rc != MDB_NOTFOUND)
			return fail("write", rc);
	}
	return 0;
}

static bool
alias_keeps(const json_t *alias, struct view address)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(alias, "to"), i, item)
		if (view_eq(view_str(json_string_value(item)), address))
			return true;
	return false;
}

/* An alias must not take a user's mail away: then it has him among its targets. */
static int
check_twin(struct accounts_txn *t, enum accounts_kind kind, struct view name,
    const json_t *record, struct buf *why)
{
	json_t *twin = NULL;
	int error = accounts_txn_get(t, kind == ACCOUNTS_USER ? ACCOUNTS_ALIAS : ACCOUNTS_USER,
	    name, &twin);

	if (error == PK_ENOENT)
		return 0;
	if (error == 0 && !alias_keeps(kind == ACCOUNTS_USER ? twin : record, name)) {
		buf_printf(why, "%.*s is %s already, and the alias does not name it as a target",
		    VIEW_ARG(name), kind == ACCOUNTS_USER ? "an alias" : "a user");
		error = PK_EEXIST;
	}
	json_decref(twin);
	return error;
}

static int
check_place(struct accounts_txn *t, enum accounts_kind kind, struct view name,
    const json_t *record, struct buf *why)
{
	struct view local, domain;
	json_t *parent = NULL;
	int error;

	if (kind == ACCOUNTS_DOMAIN)
		return 0;
	name_split(name, &local, &domain);
	error = accounts_txn_get(t, ACCOUNTS_DOMAIN, domain, &parent);
	json_decref(parent);
	if (error == PK_ENOENT)
		buf_printf(why, "domain %.*s is not here: adminctl domain add %.*s",
		    VIEW_ARG(domain), VIEW_ARG(domain));
	return error != 0 ? error : check_twin(t, kind, name, record, why);
}

static int
write_record(struct accounts_txn *t, enum accounts_kind kind, struct view name,
    const json_t *record, struct buf *why)
{
	char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
	struct buf key;
	MDB_val k, v;
	int rc;

	if (text == NULL || strlen(text) > ACCOUNTS_RECORD_MAX) {
		buf_printf(why, "%.*s: over %d bytes", VIEW_ARG(name), ACCOUNTS_RECORD_MAX);
		xfree(text);
		return PK_ELIMIT;
	}
	(void)put_key(&key, kind, name);
	k = val(buf_view(&key));
	v = val(view_str(text));
	rc = mdb_put(t->txn, t->a->dbi[kind], &k, &v, 0);
	buf_fini(&key);
	xfree(text);
	return fail("write", rc);
}

int
accounts_txn_set(struct accounts_txn *t, enum accounts_kind kind, struct view name,
    json_t *record, enum accounts_mode mode, struct buf *why)
{
	json_t *old = NULL;
	int error;

	error = accounts_record_check(kind, record, why);
	if (error != 0)
		return error;
	error = accounts_txn_get(t, kind, name, &old);
	if (error != 0 && error != PK_ENOENT)
		return error;
	if ((error == 0 && mode == ACCOUNTS_ADD) || (error != 0 && mode == ACCOUNTS_REPLACE)) {
		buf_printf(why, "%s %.*s %s", accounts_kind_name(kind), VIEW_ARG(name),
		    error == 0 ? "is there already" : "does not exist");
		json_decref(old);
		return error == 0 ? PK_EEXIST : PK_ENOENT;
	}
	error = check_place(t, kind, name, record, why);
	if (error == 0 && kind == ACCOUNTS_USER && old != NULL)
		error = index_senders(t, name, old, false);
	json_decref(old);
	if (error == 0 && kind == ACCOUNTS_USER)
		error = index_senders(t, name, record, true);
	return error != 0 ? error : write_record(t, kind, name, record, why);
}

static int
delete_one(struct accounts_txn *t, enum accounts_kind kind, struct view name)
{
	json_t *old = NULL;
	struct buf key;
	MDB_val k;
	int error = accounts_txn_get(t, kind, name, &old);

	if (error != 0)
		return error;
	if (kind == ACCOUNTS_USER)
		error = index_senders(t, name, old, false);
	json_decref(old);
	if (error != 0)
		return error;
	(void)put_key(&key, kind, name);
	k = val(buf_view(&key));
	error = fail("removal", mdb_del(t->txn, t->a->dbi[kind], &k, NULL));
	buf_fini(&key);
	return error;
}

/* What is in a domain, one page after the other: a cursor does not like its keys to go. */
struct page {
	char	*names[100];
	size_t	 n;
};

static bool
page_add(struct view name, struct view json, void *arg)
{
	struct page *p = arg;

	(void)json;
	p->names[p->n++] = view_dup(name);
	return p->n < NELEMS(p->names);
}

static int
delete_content(struct accounts_txn *t, enum accounts_kind kind, struct view domain, bool force,
    size_t *removed)
{
	struct page p;
	size_t i;
	int error;

	do {
		p.n = 0;
		error = fail("listing", each_in(t->a, t->txn, kind, domain, VIEW(""),
		    NELEMS(p.names), page_add, &p));
		if (error == 0 && p.n > 0 && !force)
			error = PK_EBUSY;
		for (i = 0; i < p.n; i++) {
			if (error == 0)
				error = delete_one(t, kind, view_str(p.names[i]));
			xfree(p.names[i]);
		}
		if (error == 0)
			*removed += p.n;
	} while (error == 0 && p.n > 0);
	return error;
}

int
accounts_txn_delete(struct accounts_txn *t, enum accounts_kind kind, struct view name, bool force,
    size_t *removed_r)
{
	size_t removed = 0;
	int error = 0;

	if (kind == ACCOUNTS_DOMAIN) {
		error = delete_content(t, ACCOUNTS_USER, name, force, &removed);
		if (error == 0)
			error = delete_content(t, ACCOUNTS_ALIAS, name, force, &removed);
	}
	if (error == 0)
		error = delete_one(t, kind, name);
	if (error == 0)
		*removed_r = removed + 1;
	return error;
}
