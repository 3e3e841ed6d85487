/* SPDX-License-Identifier: ISC */
/*
 * source_row.c: rows and entries to users.
 *
 * Runs in authd's query threads. What a database holds was somebody's input
 * once (a web form's, A12 second order): each value is held against what it
 * must look like, and one that does not fit is no user.
 */
#include "authd/source_row.h"

#include <unistr.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "ipc/auth.h"

bool
source_key_is_fit(struct view key)
{
	size_t i;

	if (key.len == 0 || key.len > AUTH_LOGIN_MAX)
		return false;
	for (i = 0; i < key.len; i++)
		if ((unsigned char)key.p[i] < 0x20 || key.p[i] == 0x7f)
			return false;
	return u8_check((const uint8_t *)key.p, key.len) == NULL;
}

void
source_key_split(struct view key, char **user_r, char **domain_r)
{
	ptrdiff_t at = view_rfind(key, '@');

	*user_r = view_dup(at >= 0 ? view_head(key, (size_t)at) : key);
	*domain_r = view_dup(at >= 0 ? view_from(key, (size_t)at + 1) : key);
}

static bool
is_true(struct view v)
{
	return v.len > 0 && (view_caseeq(v, VIEW("1")) || ascii_lower(v.p[0]) == 'y' ||
	    ascii_lower(v.p[0]) == 't');
}

static void
set_text(char **s, struct view v)
{
	xfree(*s);
	*s = v.len > 0 ? view_dup(v) : NULL;
}

static void
add_password(struct source_user *u, struct view v, const char *default_scheme)
{
	char *hash;

	if (v.len == 0)
		return;
	if (v.p[0] != '{' && default_scheme[0] != '\0')
		hash = xasprintf("{%s}%.*s", default_scheme, VIEW_ARG(v));
	else
		hash = view_dup(v);
	if (view_casestarts(v, VIEW("{SCRAM-SHA-256}")))
		set_text(&u->scram_sha256, v);
	else if (view_casestarts(v, VIEW("{SCRAM-SHA-1}")))
		set_text(&u->scram_sha1, v);
	source_user_add_hash(u, hash, NULL);
	xfree_secret(hash, strlen(hash));
}

/* "1G", "1073741824", "*:storage=1G", "*:bytes=..." */
static int
set_quota(struct source_user *u, struct view v)
{
	ptrdiff_t eq = view_rfind(v, '=');

	if (eq >= 0)
		v = view_from(v, (size_t)eq + 1);
	v = view_trim(v);
	return v.len == 0 ? 0 : num_parse_size(v, &u->quota_bytes);
}

static int
set_login(struct source_user *u, struct view v)
{
	if (v.len == 0)
		return 0;
	if (!source_key_is_fit(v))
		return PK_ESYNTAX;
	xfree(u->login);
	u->login = view_dup_lower(v);
	return 0;
}

int
source_row_set(struct source_user *u, struct view name, struct view value,
    const char *default_scheme)
{
	if (view_find(value, '\n') >= 0 || view_find(value, '\r') >= 0 ||
	    view_find(value, '\0') >= 0)
		return PK_ESYNTAX;
	if (view_caseeq(name, VIEW("password")))
		add_password(u, value, default_scheme);
	else if (view_caseeq(name, VIEW("user")) || view_caseeq(name, VIEW("username")))
		return set_login(u, value);
	else if (view_caseeq(name, VIEW("scram_sha256")))
		set_text(&u->scram_sha256, value);
	else if (view_caseeq(name, VIEW("scram_sha1")))
		set_text(&u->scram_sha1, value);
	else if (view_caseeq(name, VIEW("mailbox")))
		set_text(&u->mailbox, value);
	else if (view_caseeq(name, VIEW("quota")) || view_caseeq(name, VIEW("quota_rule")))
		return set_quota(u, value);
	else if (view_caseeq(name, VIEW("disabled")) || view_caseeq(name, VIEW("nologin")))
		u->disabled = u->disabled || is_true(value);
	else if (view_caseeq(name, VIEW("services")) && value.len > 0)
		return source_services_parse(value, &u->services);
	return 0;
}

void
source_row_end(struct source_user *u, struct view asked)
{
	ptrdiff_t at = view_rfind(asked, '@');
	char *whole;

	if (u->login == NULL) {
		u->login = view_dup(asked);
	} else if (strchr(u->login, '@') == NULL && at >= 0) {
		whole = xasprintf("%s%.*s", u->login, VIEW_ARG(view_from(asked, (size_t)at)));
		xfree(u->login);
		u->login = whole;
	}
}

void
source_put_mailbox(struct buf *b, struct view address)
{
	char *user, *domain;

	source_key_split(address, &user, &domain);
	buf_printf(b, "%s/%s/", domain, user);
	xfree(user);
	xfree(domain);
}

void
source_put_value(struct buf *b, struct view value)
{
	value = view_trim(value);
	if (value.len == 0 || view_find(value, '\n') >= 0 || view_find(value, '\r') >= 0 ||
	    view_find(value, '\0') >= 0)
		return;
	if (b->len > 0)
		buf_put_str(b, ", ");
	buf_put_view(b, value);
}
