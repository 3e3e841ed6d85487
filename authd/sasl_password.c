/* SPDX-License-Identifier: ISC */
/*
 * sasl_password.c of authd: PLAIN (RFC 4616) and LOGIN.
 *
 * libgsasl reads the messages, but in place of the password it is given an
 * 'x': it copies what it reads and frees the copies without wiping. The
 * password itself stays in sasl.secret.
 *
 * A password is tried in its prepared form, as RFC 4616 says and our own
 * hashes are made, and then, where that is another one, as it came: hashes
 * that people bring along are of the bytes that somebody typed.
 */
#include <string.h>

#include "authd/password.h"
#include "authd/sasl_prep.h"
#include "authd/sasl_private.h"
#include "base/codec.h"

static void
on_verified(enum verify_result result, const char *login, void *arg)
{
	struct sasl *s = arg;

	s->verify = NULL;
	switch (result) {
	case VERIFY_OK:
		sasl_succeed(s, login);
		return;
	case VERIFY_WRONG:
		sasl_fail_counted(s, SASL_TEXT_WRONG);
		return;
	case VERIFY_LIMITED:
		sasl_temporary(s, "too many failed logins");
		return;
	case VERIFY_TEMPORARY:
		break;
	}
	sasl_temporary(s, "temporary authentication failure");
}

/* s->user is set. An empty password is nobody's: LDAP takes it as "no password asked". */
static void
verify(struct sasl *s, struct view password)
{
	struct view other = VIEW("");

	if (password.len == 0 || password.len > PASSWORD_MAX ||
	    memchr(password.p, '\0', password.len) != NULL) {
		sasl_fail(s, SASL_TEXT_WRONG);
		return;
	}
	if (sasl_prep(password, &s->secret) != 0) {
		buf_reset(&s->secret);
		buf_put_view(&s->secret, password);
	} else if (!view_eq(buf_view(&s->secret), password)) {
		other = password;
	}
	s->verify = verify_password_forms(s->d, &s->who, buf_view(&s->user),
	    buf_view(&s->secret), other, on_verified, s);
	sasl_wipe(&s->secret);
}

/* What libgsasl makes of `message` with one 'x' for its last `hidden` bytes. */
static int
step_hidden(struct sasl *s, struct view message, size_t hidden,
    struct buf *out)
{
	struct buf masked;
	int rc;

	buf_init(&masked, AUTH_DATA_MAX);
	buf_put(&masked, message.p, message.len - hidden);
	if (hidden > 0)
		buf_put_char(&masked, 'x');
	rc = sasl_gsasl_step(s, buf_view(&masked), out);
	buf_fini(&masked);
	return rc;
}

void
sasl_plain_step(struct sasl *s, bool has_input, struct view input)
{
	struct view authzid, user, password;
	ptrdiff_t first, second;
	struct buf out;
	int rc;

	(void)has_input;
	first = view_find(input, '\0');
	second = first < 0 ?
	    -1 :
	    view_find(view_from(input, (size_t)first + 1), '\0');
	if (second < 0) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	authzid = view_head(input, (size_t)first);
	user = view_head(view_from(input, (size_t)first + 1), (size_t)second);
	password = view_from(input, (size_t)(first + second) + 2);
	if (!sasl_user_ok(user) || password.len == 0) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_init(&out, AUTH_DATA_MAX);
	rc = step_hidden(s, input, password.len, &out);
	buf_fini(&out);
	user = view_str(sasl_gsasl_get(s, GSASL_AUTHID));
	if (rc != GSASL_OK || !s->asked || !sasl_user_ok(user)) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_put_view(&s->user, user);
	if (!sasl_authzid_ok(s, authzid, user)) {
		sasl_fail(s, SASL_TEXT_AUTHZID);
		return;
	}
	verify(s, password);
}

/* libgsasl asks "User Name"; some clients know only what Cyrus and Exchange say. */
static void
login_ask(struct sasl *s, const char *question)
{
	sasl_challenge(s, view_str(question));
}

static bool
login_advance(struct sasl *s, struct view input, size_t hidden, int want)
{
	struct buf out;
	int rc;

	buf_init(&out, AUTH_DATA_MAX);
	rc = step_hidden(s, input, hidden, &out);
	buf_fini(&out);
	return rc == want;
}

static void
login_take_user(struct sasl *s, struct view input)
{
	if (!sasl_user_ok(input) ||
	    !login_advance(s, input, 0, GSASL_NEEDS_MORE)) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_put_view(&s->user, input);
	login_ask(s, "Password:");
}

void
sasl_login_step(struct sasl *s, bool has_input, struct view input)
{
	if (s->steps == 1 && !login_advance(s, VIEW(""), 0, GSASL_NEEDS_MORE)) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	if (!has_input) {
		login_ask(s, "Username:");
		return;
	}
	if (s->user.len == 0) {
		login_take_user(s, input);
		return;
	}
	if (input.len == 0 || !login_advance(s, input, input.len, GSASL_OK) ||
	    !s->asked) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	verify(s, input);
}
