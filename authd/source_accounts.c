/* SPDX-License-Identifier: ISC */
/*
 * source_accounts.c: users of our own database.
 *
 * Runs in authd's loop: a look-up is a few pages of mapped memory. There is
 * one database a process (LMDB's rule), opened by main.c.
 */
#include <string.h>

#include "authd/accounts.h"
#include "authd/name.h"
#include "authd/source_impl.h"
#include "authd/source_accounts.h"
#include "base/error.h"
#include "base/mem.h"

static struct accounts *database;

void
source_accounts_use(struct accounts *a)
{
	database = a;
}

static struct source *
accounts_source_open(const struct conf *conf, const char *arg, struct buf *why)
{
	(void)conf;
	if (arg[0] != '\0') {
		buf_put_str(why, "auth_sources: accounts has no argument");
		return NULL;
	}
	return XNEW(struct source);
}

static void
accounts_source_close(struct source *s)
{
	xfree(s);
}

/* Services of a list; a member that is not there permits all. */
static unsigned
services_of(const json_t *record)
{
	const json_t *list = json_object_get(record, "services"), *item;
	unsigned bits = 0, bit;
	size_t i;

	if (list == NULL)
		return SOURCE_ALL;
	json_array_foreach(list, i, item)
		if (source_services_parse(view_str(json_string_value(item)), &bit) == 0)
			bits |= bit;
	return bits;
}

static char *
string_of(const json_t *record, const char *key)
{
	const char *s = json_string_value(json_object_get(record, key));

	return s != NULL ? xstrdup(s) : NULL;
}

static void
fill(struct source_user *u, struct view login, const json_t *record)
{
	const json_t *app;
	const char *hash, *name;
	size_t i;

	u->login = view_dup(login);
	hash = json_string_value(json_object_get(record, "password"));
	if (hash != NULL)
		source_user_add_hash(u, hash, NULL);
	json_array_foreach(json_object_get(record, "app_passwords"), i, app) {
		hash = json_string_value(json_object_get(app, "hash"));
		name = json_string_value(json_object_get(app, "name"));
		if (hash == NULL || name == NULL)
			continue;
		source_user_add_hash(u, hash, name);
		source_user_limit_hash(u, services_of(app));
	}
	u->scram_sha256 = string_of(record, "scram_sha256");
	u->scram_sha1 = string_of(record, "scram_sha1");
	u->mailbox = string_of(record, "mailbox");
	u->disabled = json_is_true(json_object_get(record, "disabled"));
	u->services = services_of(record);
	u->quota_bytes = (uint64_t)json_integer_value(json_object_get(record, "quota"));
}

static int
accounts_source_find(struct source *s, struct view login, struct source_user *u)
{
	json_t *record;
	int error;

	(void)s;
	if (database == NULL)
		return PK_ETEMP;
	error = accounts_get(database, ACCOUNTS_USER, login, &record);
	if (error != 0)
		return error == PK_ENOENT ? PK_ENOENT : PK_ETEMP;
	fill(u, login, record);
	json_decref(record);
	return 0;
}

/* ---- maps ---- */

static void
put_mailbox(struct buf *b, struct view name, const json_t *user)
{
	const char *path = json_string_value(json_object_get(user, "mailbox"));
	struct view local, domain;

	if (path != NULL) {
		buf_put_str(b, path);
		if (path[0] != '\0' && path[strlen(path) - 1] != '/')
			buf_put_char(b, '/');
		return;
	}
	name_split(name, &local, &domain);
	buf_printf(b, "%.*s/%.*s/", VIEW_ARG(domain), VIEW_ARG(local));
}

static int
put_quota(struct buf *b, struct view name, const json_t *user)
{
	json_int_t quota = json_integer_value(json_object_get(user, "quota"));
	struct view local, domain;
	json_t *record;

	if (json_object_get(user, "quota") == NULL) {
		name_split(name, &local, &domain);
		if (accounts_get(database, ACCOUNTS_DOMAIN, domain, &record) == 0) {
			quota = json_integer_value(json_object_get(record, "quota"));
			json_decref(record);
		}
	}
	if (quota <= 0)
		return PK_ENOENT;
	return buf_put_u64(b, (uint64_t)quota);
}

static int
put_targets(struct buf *b, const json_t *alias)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(alias, "to"), i, item)
		buf_printf(b, "%s%s", i > 0 ? "," : "", json_string_value(item));
	return buf_error(b);
}

static int
put_logins(struct buf *b, struct view name)
{
	json_t *record;
	int error;

	if (name.len > 0 && name.p[0] != '@' &&
	    accounts_get(database, ACCOUNTS_USER, name, &record) == 0) {
		buf_put_view(b, name);
		json_decref(record);
	}
	error = accounts_senders(database, name, b);
	return error == PK_ENOENT && b->len > 0 ? 0 : error;
}

static bool
has_record(enum accounts_kind kind, struct view name)
{
	json_t *record;

	if (accounts_get(database, kind, name, &record) != 0)
		return false;
	json_decref(record);
	return true;
}

/*
 * A domain's catch-all is for addresses that are nobody's: an alias must not
 * take a user's mail away, and who looks @domain up next cannot know of him.
 */
static int
put_user_before_catchall(struct buf *value_r, struct view name)
{
	ptrdiff_t at = view_rfind(name, '@');

	if (at <= 0 || !has_record(ACCOUNTS_ALIAS, view_from(name, (size_t)at)) ||
	    !has_record(ACCOUNTS_USER, name))
		return PK_ENOENT;
	return buf_put_view(value_r, name);
}

static int
map_record(enum source_map map, struct view name, struct buf *value_r)
{
	static const enum accounts_kind kinds[SOURCE_MAPS] = {
		[SOURCE_MAP_DOMAINS] = ACCOUNTS_DOMAIN,
		[SOURCE_MAP_USERS] = ACCOUNTS_USER,
		[SOURCE_MAP_ALIASES] = ACCOUNTS_ALIAS,
		[SOURCE_MAP_QUOTAS] = ACCOUNTS_USER,
	};
	json_t *record;
	int error = accounts_get(database, kinds[map], name, &record);

	if (error == PK_ENOENT && map == SOURCE_MAP_ALIASES)
		return put_user_before_catchall(value_r, name);
	if (error != 0)
		return error;
	if (map == SOURCE_MAP_DOMAINS)
		error = buf_put_str(value_r, "OK");
	else if (map == SOURCE_MAP_USERS)
		put_mailbox(value_r, name, record);
	else if (map == SOURCE_MAP_ALIASES)
		error = put_targets(value_r, record);
	else
		error = put_quota(value_r, name, record);
	json_decref(record);
	return error;
}

/* Keys are addresses as the envelope has them, or @domain, or domains: each in one form here. */
static int
accounts_source_map(struct source *s, enum source_map map, struct view key, struct buf *value_r)
{
	struct buf name;
	int error;

	(void)s;
	if (database == NULL)
		return PK_ETEMP;
	buf_init(&name, NAME_MAX_LEN + 1);
	error = accounts_put_name(&name, map == SOURCE_MAP_DOMAINS ? ACCOUNTS_DOMAIN :
	    ACCOUNTS_ALIAS, key);
	if (error != 0)
		error = PK_ENOENT;
	else if (map == SOURCE_MAP_LOGINS)
		error = put_logins(value_r, buf_view(&name));
	else
		error = map_record(map, buf_view(&name), value_r);
	buf_fini(&name);
	return error == 0 || error == PK_ENOENT ? error : PK_ETEMP;
}

/* Only over the hash that was verified: a password set meanwhile stays. */
/* A SCRAM verifier is kept beside the hash. */
static const char *
place_of(const char *hash)
{
	if (view_starts(view_str(hash), VIEW("{SCRAM-SHA-256}")))
		return "scram_sha256";
	if (view_starts(view_str(hash), VIEW("{SCRAM-SHA-1}")))
		return "scram_sha1";
	return "password";
}

static int
accounts_source_rehash(struct source *s, const char *login, const char *old_hash,
    const char *new_hash)
{
	struct accounts_txn *t;
	const char *now;
	json_t *record;
	struct buf why;
	int error;

	(void)s;
	error = accounts_begin(database, &t);
	if (error != 0)
		return error;
	buf_init(&why, 1000);
	error = accounts_txn_get(t, ACCOUNTS_USER, view_str(login), &record);
	if (error == 0) {
		now = json_string_value(json_object_get(record, "password"));
		if (now == NULL || strcmp(now, old_hash) != 0)
			error = PK_EUNSUPPORTED;
		else
			json_object_set_new(record, place_of(new_hash),
			    json_string(new_hash));
		if (error == 0)
			error = accounts_txn_set(t, ACCOUNTS_USER, view_str(login), record,
			    ACCOUNTS_REPLACE, &why);
		json_decref(record);
	}
	buf_fini(&why);
	if (error != 0)
		accounts_abort(&t);
	else
		error = accounts_commit(&t);
	return error;
}

const struct source_type source_type_accounts = {
	.name = "accounts",
	.open = accounts_source_open,
	.close = accounts_source_close,
	.find = accounts_source_find,
	.map = accounts_source_map,
	.rehash = accounts_source_rehash,
};
