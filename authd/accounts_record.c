/* SPDX-License-Identifier: ISC */
/*
 * accounts_record.c: what may stand in a record of accounts.
 *
 * Runs in authd; the records come from administrators and their import files.
 * One row a member; a member without a row is refused, so that a misspelt one
 * is noticed. Values are brought into the form they are compared in.
 *
 *	domain	quota (bytes, of users without one), description
 *	user	password ("{SCHEME}..."), scram_sha256, scram_sha1, app_passwords
 *		[{name, hash, services, created_ms}], quota, mailbox (path below
 *		virtual_mailbox_base), disabled, services [smtp, imap, api],
 *		senders [address or @domain], description
 *	alias	to [addresses], description
 *	all	created_ms, changed_ms
 */
#include <string.h>

#include "authd/accounts.h"
#include "authd/password.h"
#include "authd/source.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/address.h"

#define MAILBOX_MAX	255
#define QUOTA_MAX	(1LL << 50)

typedef int (*check_fn)(json_t *record, const char *key, json_t *value, struct buf *why);

static int
bad(struct buf *why, const char *key, const char *what)
{
	buf_printf(why, "%s: %s", key, what);
	return PK_ESYNTAX;
}

static bool
is_text(const json_t *v, size_t max)
{
	const char *s = json_string_value(v);
	size_t i, len = json_string_length(v);

	if (s == NULL || len > max || strlen(s) != len)
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 127)
			return false;
	return true;
}

static int
check_text(json_t *r, const char *key, json_t *v, struct buf *why)
{
	(void)r;
	return is_text(v, ACCOUNTS_TEXT_MAX) ? 0 :
	    bad(why, key, "one line of at most 200 bytes");
}

static int
check_time(json_t *r, const char *key, json_t *v, struct buf *why)
{
	(void)r;
	return json_is_integer(v) && json_integer_value(v) >= 0 ? 0 :
	    bad(why, key, "milliseconds since 1970");
}

static int
check_quota(json_t *r, const char *key, json_t *v, struct buf *why)
{
	(void)r;
	return json_is_integer(v) && json_integer_value(v) >= 0 &&
	    json_integer_value(v) <= QUOTA_MAX ? 0 : bad(why, key, "a number of bytes");
}

static int
check_bool(json_t *r, const char *key, json_t *v, struct buf *why)
{
	(void)r;
	return json_is_boolean(v) ? 0 : bad(why, key, "true or false");
}

static int
check_hash(json_t *r, const char *key, json_t *v, struct buf *why)
{
	(void)r;
	/* The text is not repeated: it is a secret. */
	if (!is_text(v, 512) || !password_is_known(json_string_value(v)))
		return bad(why, key, "no password hash of a known scheme: {SCHEME}...");
	return 0;
}

static int
check_scram(json_t *r, const char *key, json_t *v, struct buf *why)
{
	const char *prefix = strcmp(key, "scram_sha1") == 0 ? "{SCRAM-SHA-1}" : "{SCRAM-SHA-256}";

	if (check_hash(r, key, v, why) != 0)
		return PK_ESYNTAX;
	return view_casestarts(view_str(json_string_value(v)), view_str(prefix)) ? 0 :
	    bad(why, key, "another scheme's");
}

/* A path below the store that stays there. */
static int
check_mailbox(json_t *r, const char *key, json_t *v, struct buf *why)
{
	struct view rest = view_str(json_string_value(v)), part;

	(void)r;
	if (!is_text(v, MAILBOX_MAX) || rest.len == 0 || rest.p[0] == '/')
		return bad(why, key, "a path that does not begin with /");
	while (view_next(&rest, "/", &part))
		if (part.p[0] == '.')
			return bad(why, key, "no part of the path may begin with a dot");
	return 0;
}

static int
check_services(json_t *r, const char *key, json_t *v, struct buf *why)
{
	const json_t *item;
	unsigned bits;
	size_t i;

	(void)r;
	if (!json_is_array(v) || json_array_size(v) > 8)
		return bad(why, key, "a list of smtp, imap, api");
	json_array_foreach(v, i, item)
		if (!is_text(item, 10) || json_string_length(item) == 0 || source_services_parse(
		    view_str(json_string_value(item)), &bits) != 0)
			return bad(why, key, "a list of smtp, imap, api");
	return 0;
}

static int
check_senders(json_t *r, const char *key, json_t *v, struct buf *why)
{
	const json_t *item;
	struct buf b;
	size_t i;
	int error = 0;

	(void)r;
	if (!json_is_array(v) || json_array_size(v) > ACCOUNTS_SENDERS_MAX)
		return bad(why, key, "a list of at most 100 addresses");
	buf_init(&b, ADDRESS_MAX + 100);
	json_array_foreach(v, i, item) {
		buf_reset(&b);
		if (!is_text(item, ADDRESS_MAX) || accounts_put_name(&b, ACCOUNTS_ALIAS,
		    view_str(json_string_value(item))) != 0) {
			error = bad(why, key, "not an address or @domain");
			break;
		}
		json_array_set_new(v, i, json_string(buf_cstr(&b)));
	}
	buf_fini(&b);
	return error;
}

static int
check_targets(json_t *r, const char *key, json_t *v, struct buf *why)
{
	struct mail_address a;
	const json_t *item;
	struct buf b;
	size_t i;
	int error = 0;

	(void)r;
	if (!json_is_array(v) || json_array_size(v) == 0 ||
	    json_array_size(v) > ACCOUNTS_TARGETS_MAX)
		return bad(why, key, "a list of 1 to 1000 addresses");
	buf_init(&b, 2 * ADDRESS_MAX);
	json_array_foreach(v, i, item) {
		buf_reset(&b);
		/* A comma would be two addresses to whoever reads the list. */
		if (!is_text(item, ADDRESS_MAX) || strchr(json_string_value(item), ',') != NULL ||
		    address_parse(view_str(json_string_value(item)), ADDRESS_ALLOW_UTF8, &a) != 0 ||
		    a.domain.len == 0 || address_put_ascii(&b, &a) != 0) {
			error = bad(why, key, "not an address");
			break;
		}
		json_array_set_new(v, i, json_string(buf_cstr(&b)));
	}
	buf_fini(&b);
	return error;
}

static int check_app_passwords(json_t *r, const char *key, json_t *v, struct buf *why);

static const struct member {
	const char	*kinds;		/* d, u, a; p: an app password */
	const char	*key;
	check_fn	 check;
	bool		 required;
} members[] = {
	{ "dua",	"description",	check_text,		false },
	{ "duap",	"created_ms",	check_time,		false },
	{ "dua",	"changed_ms",	check_time,		false },
	{ "du",		"quota",	check_quota,		false },
	{ "u",		"password",	check_hash,		false },
	{ "u",		"scram_sha256",	check_scram,		false },
	{ "u",		"scram_sha1",	check_scram,		false },
	{ "u",		"app_passwords", check_app_passwords,	false },
	{ "u",		"mailbox",	check_mailbox,		false },
	{ "u",		"disabled",	check_bool,		false },
	{ "up",		"services",	check_services,		false },
	{ "u",		"senders",	check_senders,		false },
	{ "a",		"to",		check_targets,		true },
	{ "p",		"name",		check_text,		true },
	{ "p",		"hash",		check_hash,		true },
};

static const struct member *
member_find(char kind, const char *key)
{
	size_t i;

	for (i = 0; i < NELEMS(members); i++)
		if (strchr(members[i].kinds, kind) != NULL && strcmp(members[i].key, key) == 0)
			return &members[i];
	return NULL;
}

static int
check_members(char kind, json_t *record, struct buf *why)
{
	const struct member *m;
	const char *key;
	json_t *value;
	size_t i;
	void *next;
	int error;

	if (!json_is_object(record)) {
		buf_put_str(why, "not an object");
		return PK_ESYNTAX;
	}
	json_object_foreach_safe(record, next, key, value) {
		m = member_find(kind, key);
		if (m == NULL) {
			buf_printf(why, "there is no member \"%.50s\"", key);
			return PK_ESYNTAX;
		}
		error = m->check(record, key, value, why);
		if (error != 0)
			return error;
	}
	for (i = 0; i < NELEMS(members); i++)
		if (members[i].required && strchr(members[i].kinds, kind) != NULL &&
		    json_object_get(record, members[i].key) == NULL)
			return bad(why, members[i].key, "is missing");
	return 0;
}

static int
check_app_passwords(json_t *r, const char *key, json_t *v, struct buf *why)
{
	const char *name;
	json_t *item;
	size_t i, k;
	int error;

	(void)r;
	if (!json_is_array(v) || json_array_size(v) > ACCOUNTS_APP_MAX)
		return bad(why, key, "a list of at most 32");
	json_array_foreach(v, i, item) {
		error = check_members('p', item, why);
		if (error != 0)
			return error;
		name = json_string_value(json_object_get(item, "name"));
		if (name[0] == '\0')
			return bad(why, key, "a name is empty");
		for (k = 0; k < i; k++)
			if (strcmp(name, json_string_value(json_object_get(
			    json_array_get(v, k), "name"))) == 0)
				return bad(why, key, "two of the same name");
	}
	return 0;
}

int
accounts_record_check(enum accounts_kind kind, json_t *record, struct buf *why)
{
	return check_members("dua"[kind], record, why);
}
