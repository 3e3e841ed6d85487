/* SPDX-License-Identifier: ISC */
/*
 * admin.c: the account commands of adminctl.
 *
 * Runs in authd; the caller is an administrator (child.c has checked). What
 * changes something runs in a thread (admin_change.c) and is answered when it
 * is on disk; who left meanwhile is not told, and it is done all the same.
 * No answer has a hash or a password in it but the export and a new app
 * password; no audit line has any.
 */
#include "authd/admin.h"

#include <bsd/string.h>
#include <string.h>

#include "authd/limits.h"
#include "authd/verify.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "ipc/admin_reply.h"

#define WHY_MAX		900
#define AUDIT_MAX	1000
#define FAILURES_PART	200	/* rows of a part of the answer */

/* Somebody who waits: for a thread, or for a test login. */
struct asking {
	struct work_job	 job;
	TAILQ_ENTRY(asking) link;
	struct authd	*d;
	struct ipc_channel *ch;		/* NULL: gone */
	uint32_t	 id, uid;
	json_t		*args;
	change_fn	 fn;
	struct change	 change;
	int		 error;
	struct verify	*verify;
};
static TAILQ_HEAD(, asking) askings = TAILQ_HEAD_INITIALIZER(askings);

const char *
admin_text(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

static struct asking *
asking_new(struct authd *d, struct ipc_channel *ch, uint32_t id, uint32_t uid, json_t *args)
{
	struct asking *k = XNEW(struct asking);

	k->d = d;
	k->ch = ch;
	k->id = id;
	k->uid = uid;
	k->args = json_incref(args);
	TAILQ_INSERT_TAIL(&askings, k, link);
	return k;
}

static void
asking_free(struct asking *k)
{
	const char *password = admin_text(k->args, "password");

	if (password != NULL)
		explicit_bzero((void *)(uintptr_t)password, strlen(password));
	TAILQ_REMOVE(&askings, k, link);
	json_decref(k->args);
	xfree(k);
}

void
authd_admin_closed(struct child *c, struct ipc_channel *ch)
{
	struct asking *k;

	(void)c;
	TAILQ_FOREACH(k, &askings, link)
		if (k->ch == ch)
			k->ch = NULL;
}

/* ---- changes ---- */

static void
change_run(struct work_job *j)
{
	struct asking *k = (struct asking *)(void *)j;

	k->error = k->fn(&k->change);
}

static void
change_answer(struct asking *k)
{
	struct change *c = &k->change;

	if (k->error == 0 && c->audit.len > 0)
		child_audit(k->d->child, k->uid, "%s", buf_cstr(&c->audit));
	if (k->ch == NULL)
		return;
	if (k->error != 0) {
		(void)admin_reply_error(k->ch, k->id, k->error, "%s", c->why.len > 0 ?
		    buf_cstr(&c->why) : pk_strerror(k->error));
		return;
	}
	json_object_set_new(c->result, "version", json_integer(1));
	(void)admin_reply_json(k->ch, k->id, false, json_incref(c->result), VIEW(""));
}

static void
change_done(struct work_job *j, bool cancelled)
{
	struct asking *k = (struct asking *)(void *)j;

	if (cancelled)
		k->error = PK_ECANCEL;
	change_answer(k);
	json_decref(k->change.result);
	buf_fini(&k->change.why);
	buf_fini(&k->change.audit);
	asking_free(k);
}

static void
change_begin(struct asking *k, change_fn fn)
{
	k->fn = fn;
	k->change.accounts = k->d->accounts;
	k->change.args = k->args;
	(void)strlcpy(k->change.scheme, k->d->conf->auth_hash_scheme, sizeof(k->change.scheme));
	k->change.result = json_object();
	buf_init(&k->change.why, WHY_MAX);
	buf_init(&k->change.audit, AUDIT_MAX);
	k->job.run = change_run;
	k->job.done = change_done;
	if (!work_submit(k->d->queries, &k->job)) {
		k->error = PK_EBUSY;
		change_done(&k->job, false);
	}
}

/* ---- auth test ---- */

static void
tested(enum verify_result result, const char *login, void *arg)
{
	static const char *const names[] = {
		[VERIFY_OK] = "right", [VERIFY_WRONG] = "wrong",
		[VERIFY_LIMITED] = "limited", [VERIFY_TEMPORARY] = "temporary",
	};
	struct asking *k = arg;

	k->verify = NULL;
	if (k->ch != NULL)
		(void)admin_reply_json(k->ch, k->id, false, json_pack("{s:i, s:s, s:s}",
		    "version", 1, "result", names[result], "login", login), VIEW(""));
	asking_free(k);
}

static int
test_verb(struct authd *d, struct ipc_channel *ch, uint32_t id, json_t *args, uint32_t uid)
{
	const char *user = admin_text(args, "user"), *password = admin_text(args, "password");
	const char *service = admin_text(args, "service");
	struct verify_client c = { "local", "adminctl", SOURCE_SMTP };
	struct asking *k;

	if (user == NULL || password == NULL)
		return admin_reply_error(ch, id, PK_ESYNTAX, "auth test: user, password");
	if (service != NULL && (source_services_parse(view_str(service), &c.service) != 0 ||
	    c.service == 0))
		return admin_reply_error(ch, id, PK_ESYNTAX, "service is smtp, imap or api");
	k = asking_new(d, ch, id, uid, args);
	k->verify = verify_password(d, &c, view_str(user), view_str(password), tested, k);
	return 0;
}

/* ---- auth failures ---- */

struct failures {
	struct ipc_channel *ch;
	uint32_t	 id;
	const char	*kind;
	json_t		*rows;
	uint64_t	 now_ms;
};

static int
failures_part(struct failures *f, bool more)
{
	json_t *part = json_pack("{s:i, s:o}", "version", 1, "failures", f->rows);

	f->rows = json_array();
	return admin_reply_json(f->ch, f->id, more, part, VIEW(""));
}

static void
failures_row(struct view name, uint32_t count, uint64_t seen_ms, void *arg)
{
	struct failures *f = arg;
	char *text = view_dup(name);
	json_t *row = json_object(), *j = json_string(text);

	/* A sibling's memory: what is no UTF-8 is not shown. */
	json_object_set_new(row, "kind", json_string(f->kind));
	json_object_set_new(row, "name", j != NULL ? j : json_string("?"));
	json_object_set_new(row, "count", json_integer(count));
	json_object_set_new(row, "age_ms", json_integer((json_int_t)
	    (f->now_ms > seen_ms ? f->now_ms - seen_ms : 0)));
	json_array_append_new(f->rows, row);
	xfree(text);
	if (json_array_size(f->rows) >= FAILURES_PART)
		(void)failures_part(f, true);
}

static int
failures_list_verb(struct authd *d, struct ipc_channel *ch, uint32_t id)
{
	struct failures f = { ch, id, "client", json_array(), clock_mono_ms() };
	int error;

	(void)auth_limits_each(d->limits, LIMITS_CLIENT, failures_row, &f);
	f.kind = "account";
	(void)auth_limits_each(d->limits, LIMITS_ACCOUNT, failures_row, &f);
	f.kind = "pair";
	(void)auth_limits_each(d->limits, LIMITS_PAIR, failures_row, &f);
	error = failures_part(&f, false);
	json_decref(f.rows);
	return error;
}


static void
clearing_add(struct view name, uint32_t count, uint64_t seen_ms, void *arg)
{
	struct buf *names = arg;

	(void)count, (void)seen_ms;
	/* What was cut for the list is no whole key. */
	if (memchr(name.p, '\0', name.len) == NULL) {
		(void)buf_put_view(names, name);
		(void)buf_put_char(names, '\0');
	}
}

static unsigned
clear_all(struct authd *d)
{
	struct buf names;
	struct view rest, name;
	unsigned n = 0;
	ptrdiff_t nul;

	buf_init(&names, 16 << 20);
	(void)auth_limits_each(d->limits, LIMITS_CLIENT, clearing_add, &names);
	(void)auth_limits_each(d->limits, LIMITS_ACCOUNT, clearing_add, &names);
	(void)auth_limits_each(d->limits, LIMITS_PAIR, clearing_add, &names);
	rest = buf_view(&names);
	while ((nul = view_find(rest, '\0')) >= 0) {
		name = view_head(rest, (size_t)nul);
		rest = view_from(rest, (size_t)nul + 1);
		n += auth_limits_clear(d->limits, name);
	}
	buf_fini(&names);
	return n;
}

static int
failures_clear_verb(struct authd *d, struct ipc_channel *ch, uint32_t id, const json_t *args,
    uint32_t uid)
{
	const char *name = admin_text(args, "name");
	unsigned n;

	n = name != NULL ? auth_limits_clear(d->limits, view_str(name)) : clear_all(d);
	if (n > 0)
		child_audit(d->child, uid, "auth failures clear %s: %u", name != NULL ? name : "",
		    n);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:i}", "version", 1, "count",
	    (int)n), VIEW(""));
}

/* ---- dispatch ---- */

static int
read_verb(struct authd *d, struct ipc_channel *ch, uint32_t id, struct view verb,
    const json_t *args, uint32_t uid)
{
	json_t *result = NULL;
	struct buf why;
	int error;

	buf_init(&why, WHY_MAX);
	error = admin_read(d->accounts, verb, args, &result, &why);
	if (error == 0) {
		if (view_eq(verb, VIEW("account export")) && admin_text(args, "after") == NULL)
			child_audit(d->child, uid, "account export");
		error = admin_reply_json(ch, id, false, result, VIEW(""));
	} else {
		error = admin_reply_error(ch, id, error, "%s", why.len > 0 ? buf_cstr(&why) :
		    error == PK_EUNSUPPORTED ? "authd does not know this request" :
		    pk_strerror(error));
	}
	buf_fini(&why);
	return error;
}

static int
dispatch(struct authd *d, struct ipc_channel *ch, uint32_t id, struct view verb, json_t *args,
    uint32_t uid)
{
	change_fn fn = change_find(verb);

	if (fn != NULL) {
		change_begin(asking_new(d, ch, id, uid, args), fn);
		return 0;
	}
	if (view_eq(verb, VIEW("auth test")))
		return test_verb(d, ch, id, args, uid);
	if (view_eq(verb, VIEW("auth failures list")))
		return failures_list_verb(d, ch, id);
	if (view_eq(verb, VIEW("auth failures clear")))
		return failures_clear_verb(d, ch, id, args, uid);
	return read_verb(d, ch, id, verb, args, uid);
}

int
authd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	struct authd *d = child_arg(c);
	json_t *j = args.len > 0 ? json_loadb(args.p, args.len, JSON_REJECT_DUPLICATES, NULL) :
	    json_object();
	int error;

	if (!d->ready)
		error = admin_reply_error(ch, m->id, PK_EAGAIN, "authd is starting or ending: try"
		    " again");
	else if (!json_is_object(j))
		error = admin_reply_error(ch, m->id, PK_ESYNTAX,
		    "the arguments are no JSON object");
	else
		error = dispatch(d, ch, m->id, verb, j, uid);
	json_decref(j);
	return error;
}
