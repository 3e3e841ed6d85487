/* SPDX-License-Identifier: ISC */
/*
 * admin_change.c: what administrators change: domains, users, aliases, app
 * passwords, imports.
 *
 * Runs in authd's threads: each verb is one transaction. It is checked whole
 * before anything is written, and on disk before it is answered.
 */
#include <bsd/stdlib.h>
#include <string.h>

#include "authd/admin.h"
#include "authd/name.h"
#include "authd/password.h"
#include "authd/sasl_prep.h"
#include "authd/source.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

#define HASH_MAX	1024
/* 32 letters that are told apart: five bits each. 20 of them are as good as a key. */
#define APP_LETTERS	"abcdefghijkmnpqrstuvwxyz23456789"
#define APP_LENGTH	20

/* ---- members from arguments ---- */

static int
missing(struct change *c, const char *what)
{
	buf_reset(&c->why);
	buf_printf(&c->why, "%s is missing", what);
	return PK_ESYNTAX;
}

static int
bad(struct change *c, const char *what)
{
	buf_reset(&c->why);
	buf_put_str(&c->why, what);
	return PK_ESYNTAX;
}

static void
set_or_remove(json_t *record, const char *key, json_t *value, bool empty)
{
	if (!empty) {
		json_object_set_new(record, key, value);
		return;
	}
	json_decref(value);
	json_object_del(record, key);
}

/* "a, b c" as a list. */
static json_t *
list_of(const char *text)
{
	struct view rest = view_str(text), item;
	json_t *list = json_array();

	while (view_next(&rest, ", \t", &item))
		json_array_append_new(list, json_stringn(item.p, item.len));
	return list;
}

static int
take_members(struct change *c, json_t *record)
{
	static const char *const texts[] = { "description", "mailbox" };
	static const char *const lists[] = { "services", "senders" };
	const char *text;
	uint64_t bytes;
	size_t i;

	for (i = 0; i < NELEMS(texts); i++)
		if ((text = admin_text(c->args, texts[i])) != NULL)
			set_or_remove(record, texts[i], json_string(text), text[0] == '\0');
	for (i = 0; i < NELEMS(lists); i++)
		if ((text = admin_text(c->args, lists[i])) != NULL)
			set_or_remove(record, lists[i], list_of(text), text[0] == '\0');
	text = admin_text(c->args, "quota");
	if (text != NULL) {
		if (text[0] != '\0' && num_parse_size(view_str(text), &bytes) != 0)
			return bad(c, "quota: a size: 500m, 2g");
		set_or_remove(record, "quota", json_integer(text[0] != '\0' ?
		    (json_int_t)bytes : 0), text[0] == '\0');
	}
	if (json_is_true(json_object_get(c->args, "disable")))
		json_object_set_new(record, "disabled", json_true());
	if (json_is_true(json_object_get(c->args, "enable")))
		json_object_del(record, "disabled");
	return 0;
}

static int
put_hash(json_t *record, const char *key, int error, struct buf *b)
{
	if (error == 0)
		json_object_set_new(record, key, json_string(buf_cstr(b)));
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_reset(b);
	return error;
}

/* Hash and both SCRAM verifiers of the one form of a password. */
static int
take_password(struct change *c, json_t *record, const char *password)
{
	struct buf form, hash;
	int error;

	buf_init(&form, 4 * PASSWORD_MAX);
	buf_init(&hash, HASH_MAX);
	if (sasl_prep(view_str(password), &form) != 0) {
		buf_fini(&form);
		return bad(c, "the password is empty, or has characters that no client can"
		    " send (controls)");
	}
	error = put_hash(record, "password", password_hash(c->scheme, buf_view(&form), &hash),
	    &hash);
	if (error == 0)
		error = put_hash(record, "scram_sha256", password_scram("SCRAM-SHA-256",
		    buf_view(&form), &hash), &hash);
	if (error == 0)
		error = put_hash(record, "scram_sha1", password_scram("SCRAM-SHA-1",
		    buf_view(&form), &hash), &hash);
	if (error == PK_ELIMIT)
		buf_put_str(&c->why, "the password is too long: 511 bytes at most");
	explicit_bzero(form.data, form.cap);
	buf_fini(&form);
	buf_fini(&hash);
	return error;
}

/* ---- one record ---- */

static const char *const name_keys[ACCOUNTS_KINDS] = { "domain", "user", "address" };

static int
take_name(struct change *c, enum accounts_kind kind, struct buf *name)
{
	const char *text = admin_text(c->args, name_keys[kind]);
	int error;

	buf_init(name, NAME_MAX_LEN + 2);
	if (text == NULL)
		return missing(c, name_keys[kind]);
	error = accounts_put_name(name, kind, view_str(text));
	if (error == 0)
		return 0;
	buf_printf(&c->why, "\"%.100s\" is no %s%s", text, kind == ACCOUNTS_DOMAIN ?
	    "domain name" : "address that an account may have", kind == ACCOUNTS_DOMAIN ? "" :
	    " (user@domain; no quotes, blanks, % ! : / in user)");
	return error;
}

static json_t *
now(void)
{
	return json_integer((json_int_t)clock_wall_ms());
}

static void
audit(struct change *c, const char *what, enum accounts_kind kind, struct view name)
{
	buf_printf(&c->audit, "%s %s %.*s", accounts_kind_name(kind), what, VIEW_ARG(name));
}

typedef int (*edit_fn)(struct change *c, json_t *record);

/* Begins, edits the record (a new one with ACCOUNTS_ADD), writes it, ends. */
static int
edit(struct change *c, enum accounts_kind kind, enum accounts_mode mode, const char *what,
    edit_fn fn)
{
	json_t *record = NULL, *fresh = json_object();
	struct accounts_txn *t = NULL;
	struct buf name;
	int error;

	/* Hashes are computed before the lock that all authd wait for. */
	error = take_name(c, kind, &name);
	if (error == 0 && admin_text(c->args, "password") != NULL)
		error = take_password(c, fresh, admin_text(c->args, "password"));
	if (error == 0)
		error = accounts_begin(c->accounts, &t);
	if (error == 0 && mode == ACCOUNTS_ADD) {
		record = json_object();
		json_object_set_new(record, "created_ms", now());
	} else if (error == 0) {
		error = accounts_txn_get(t, kind, buf_view(&name), &record);
		if (error == PK_ENOENT)
			buf_printf(&c->why, "%s %s does not exist", accounts_kind_name(kind),
			    buf_cstr(&name));
	}
	if (error == 0) {
		json_object_update(record, fresh);
		error = fn(c, record);
	}
	if (error == 0) {
		json_object_set_new(record, "changed_ms", now());
		error = accounts_txn_set(t, kind, buf_view(&name), record, mode, &c->why);
	}
	if (error == 0)
		error = accounts_commit(&t);
	accounts_abort(&t);
	if (error == 0) {
		audit(c, what, kind, buf_view(&name));
		json_object_set_new(c->result, "name", json_string(buf_cstr(&name)));
	}
	json_decref(record);
	json_decref(fresh);
	buf_fini(&name);
	return error;
}

static int
remove_record(struct change *c, enum accounts_kind kind)
{
	bool force = json_is_true(json_object_get(c->args, "force"));
	struct accounts_txn *t = NULL;
	size_t removed = 0;
	struct buf name;
	int error;

	error = take_name(c, kind, &name);
	if (error == 0)
		error = accounts_begin(c->accounts, &t);
	if (error == 0) {
		error = accounts_txn_delete(t, kind, buf_view(&name), force, &removed);
		if (error == PK_ENOENT)
			buf_printf(&c->why, "%s %s does not exist", accounts_kind_name(kind),
			    buf_cstr(&name));
		else if (error == PK_EBUSY)
			buf_printf(&c->why, "domain %s has users or aliases: --force removes them"
			    " too", buf_cstr(&name));
	}
	if (error == 0)
		error = accounts_commit(&t);
	accounts_abort(&t);
	if (error == 0) {
		audit(c, "delete", kind, buf_view(&name));
		buf_printf(&c->audit, ": %zu records", removed);
		json_object_set_new(c->result, "count", json_integer((json_int_t)removed));
	}
	buf_fini(&name);
	return error;
}

static int
take_targets(struct change *c, json_t *record)
{
	const char *text = admin_text(c->args, "targets");

	if (text != NULL)
		json_object_set_new(record, "to", list_of(text));
	return take_members(c, record);
}

static int
nothing(struct change *c, json_t *record)
{
	(void)c, (void)record;
	return 0;
}

static int
domain_add(struct change *c)
{
	return edit(c, ACCOUNTS_DOMAIN, ACCOUNTS_ADD, "add", take_members);
}

static int
domain_set(struct change *c)
{
	return edit(c, ACCOUNTS_DOMAIN, ACCOUNTS_REPLACE, "set", take_members);
}

static int
domain_delete(struct change *c)
{
	return remove_record(c, ACCOUNTS_DOMAIN);
}

static int
user_add(struct change *c)
{
	return edit(c, ACCOUNTS_USER, ACCOUNTS_ADD, "add", take_members);
}

static int
user_set(struct change *c)
{
	if (admin_text(c->args, "password") != NULL)
		return bad(c, "user password changes it");
	return edit(c, ACCOUNTS_USER, ACCOUNTS_REPLACE, "set", take_members);
}

static int
user_password(struct change *c)
{
	if (admin_text(c->args, "password") == NULL)
		return missing(c, "password");
	return edit(c, ACCOUNTS_USER, ACCOUNTS_REPLACE, "password", nothing);
}

static int
user_delete(struct change *c)
{
	return remove_record(c, ACCOUNTS_USER);
}

static int
alias_add(struct change *c)
{
	return edit(c, ACCOUNTS_ALIAS, ACCOUNTS_ADD, "add", take_targets);
}

static int
alias_set(struct change *c)
{
	return edit(c, ACCOUNTS_ALIAS, ACCOUNTS_REPLACE, "set", take_targets);
}

static int
alias_delete(struct change *c)
{
	return remove_record(c, ACCOUNTS_ALIAS);
}

/* ---- app passwords ---- */

static size_t
app_find(const json_t *list, const char *name)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const char *s = admin_text(json_array_get(list, i), "name");

		if (s != NULL && strcmp(s, name) == 0)
			break;
	}
	return i;
}

/* It is ours to draw: random enough that a fast hash keeps it. */
static int
app_make(struct change *c, json_t *entry)
{
	char text[APP_LENGTH];
	struct buf hash;
	size_t i;
	int error;

	for (i = 0; i < APP_LENGTH; i++)
		text[i] = APP_LETTERS[arc4random_uniform(sizeof(APP_LETTERS) - 1)];
	buf_init(&hash, HASH_MAX);
	error = put_hash(entry, "hash", password_salted_new(view_of(text, APP_LENGTH), &hash),
	    &hash);
	buf_fini(&hash);
	if (error == 0)
		json_object_set_new(c->result, "password", json_stringn(text, APP_LENGTH));
	explicit_bzero(text, sizeof(text));
	return error;
}

static int
app_add_edit(struct change *c, json_t *record)
{
	const char *name = admin_text(c->args, "name");
	const char *services = admin_text(c->args, "services");
	json_t *list = json_object_get(record, "app_passwords"), *entry;

	if (name == NULL || name[0] == '\0')
		return missing(c, "name");
	if (list == NULL) {
		list = json_array();
		json_object_set_new(record, "app_passwords", list);
	}
	if (app_find(list, name) < json_array_size(list)) {
		buf_printf(&c->why, "there is an app password \"%.100s\" already", name);
		return PK_EEXIST;
	}
	entry = json_pack("{s:s, s:o}", "name", name, "created_ms", now());
	if (services != NULL && services[0] != '\0')
		json_object_set_new(entry, "services", list_of(services));
	json_array_append_new(list, entry);
	return app_make(c, entry);
}

static int
app_delete_edit(struct change *c, json_t *record)
{
	const char *name = admin_text(c->args, "name");
	json_t *list = json_object_get(record, "app_passwords");
	size_t i;

	if (name == NULL)
		return missing(c, "name");
	i = app_find(list, name);
	if (i == json_array_size(list)) {
		buf_printf(&c->why, "there is no app password \"%.100s\"", name);
		return PK_ENOENT;
	}
	json_array_remove(list, i);
	return 0;
}

static int
app_password_add(struct change *c)
{
	return edit(c, ACCOUNTS_USER, ACCOUNTS_REPLACE, "app-password add", app_add_edit);
}

static int
app_password_delete(struct change *c)
{
	return edit(c, ACCOUNTS_USER, ACCOUNTS_REPLACE, "app-password delete", app_delete_edit);
}

/* ---- import ---- */

/* The same but for the times of its changes. */
static bool
is_same(const json_t *a, const json_t *b)
{
	json_t *x = json_copy((json_t *)(uintptr_t)a), *y = json_copy((json_t *)(uintptr_t)b);
	bool same;

	json_object_del(x, "changed_ms");
	json_object_del(y, "changed_ms");
	json_object_del(x, "created_ms");
	json_object_del(y, "created_ms");
	same = json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}

struct import {
	json_int_t	added, changed, same;
};

static int
import_record(struct change *c, struct accounts_txn *t, json_t *record, enum accounts_kind kind,
    struct view name, struct import *n)
{
	json_t *old = NULL;
	int error;

	error = accounts_record_check(kind, record, &c->why);
	if (error == 0)
		error = accounts_txn_get(t, kind, name, &old);
	if (error == 0 && is_same(old, record)) {
		n->same++;
		json_decref(old);
		return 0;
	}
	if (error != 0 && error != PK_ENOENT)
		return error;
	if (old != NULL)
		n->changed++;
	else
		n->added++;
	json_decref(old);
	if (json_object_get(record, "created_ms") == NULL)
		json_object_set_new(record, "created_ms", now());
	if (json_object_get(record, "changed_ms") == NULL)
		json_object_set_new(record, "changed_ms", now());
	return accounts_txn_set(t, kind, name, record, ACCOUNTS_PUT, &c->why);
}

static bool
kind_parse(const char *text, enum accounts_kind *kind_r)
{
	int i;

	for (i = 0; text != NULL && i < ACCOUNTS_KINDS; i++)
		if (strcmp(text, accounts_kind_name((enum accounts_kind)i)) == 0) {
			*kind_r = (enum accounts_kind)i;
			return true;
		}
	return false;
}

/* {"kind": "user", "name": "alice@example.com", members...} */
static int
import_line(struct change *c, struct accounts_txn *t, const json_t *line, struct import *n)
{
	json_t *record;
	enum accounts_kind kind;
	const char *text = admin_text(line, "name");
	struct buf name;
	int error;

	if (!kind_parse(admin_text(line, "kind"), &kind))
		return bad(c, "kind is domain, user or alias");
	if (text == NULL)
		return missing(c, "name");
	buf_init(&name, NAME_MAX_LEN + 2);
	error = accounts_put_name(&name, kind, view_str(text));
	if (error != 0) {
		buf_printf(&c->why, "\"%.100s\" is no name of an account", text);
	} else {
		record = json_deep_copy(line);
		json_object_del(record, "kind");
		json_object_del(record, "name");
		error = import_record(c, t, record, kind, buf_view(&name), n);
		json_decref(record);
	}
	buf_fini(&name);
	return error;
}

/* All of the records or none: a transaction. */
static int
account_import(struct change *c)
{
	const json_t *list = json_object_get(c->args, "records"), *line;
	struct accounts_txn *t = NULL;
	struct import n = { 0, 0, 0 };
	size_t i;
	int error;

	if (!json_is_array(list))
		return missing(c, "records");
	error = accounts_begin(c->accounts, &t);
	json_array_foreach(list, i, line) {
		if (error != 0)
			break;
		error = import_line(c, t, line, &n);
	}
	if (error != 0 && t != NULL) {
		char *why = xstrdup(buf_cstr(&c->why));

		buf_reset(&c->why);
		buf_printf(&c->why, "record %zu: %s", i, why[0] != '\0' ? why :
		    pk_strerror(error));
		xfree(why);
	}
	if (error == 0)
		error = accounts_commit(&t);
	accounts_abort(&t);
	if (error != 0)
		return error;
	json_object_set_new(c->result, "added", json_integer(n.added));
	json_object_set_new(c->result, "changed", json_integer(n.changed));
	json_object_set_new(c->result, "same", json_integer(n.same));
	if (n.added + n.changed > 0)
		buf_printf(&c->audit, "account import: %lld added, %lld changed",
		    (long long)n.added, (long long)n.changed);
	return 0;
}

change_fn
change_find(struct view verb)
{
	static const struct {
		const char	*verb;
		change_fn	 fn;
	} rows[] = {
		{ "domain add", domain_add }, { "domain set", domain_set },
		{ "domain delete", domain_delete },
		{ "user add", user_add }, { "user set", user_set },
		{ "user password", user_password }, { "user delete", user_delete },
		{ "alias add", alias_add }, { "alias set", alias_set },
		{ "alias delete", alias_delete },
		{ "app-password add", app_password_add },
		{ "app-password delete", app_password_delete },
		{ "account import", account_import },
	};
	size_t i;

	for (i = 0; i < NELEMS(rows); i++)
		if (view_eq(verb, view_str(rows[i].verb)))
			return rows[i].fn;
	return NULL;
}
