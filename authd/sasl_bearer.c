/* SPDX-License-Identifier: ISC */
/*
 * sasl_bearer.c of authd: OAUTHBEARER and XOAUTH2, which libgsasl lacks.
 *
 * Whether this client may try is asked before its token costs anybody
 * anything. A token says who it is of; that login must exist in a source and
 * be enabled, and be the user whom the client named, if it named one. Every
 * failure is told as the mechanism wants: an object with the reason as a
 * challenge, then, whatever the client says to it, the end (RFC 7628 3.2.2).
 */
#include <string.h>

#include "authd/oauth.h"
#include "authd/sasl_bearer.h"
#include "authd/sasl_private.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"

static bool
is_xoauth2(const struct sasl *s)
{
	return strcmp(s->mech->name, "XOAUTH2") == 0;
}

static void
put_member(struct buf *b, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	if (b->len > 1)
		buf_put_char(b, ',');
	json_put_string(b, view_str(name));
	buf_put_char(b, ':');
	json_put_string(b, view_str(value));
}

/* The scopes as OAuth writes them: with one blank between. */
static void
put_scope(struct sasl *s, struct buf *b)
{
	struct view list = view_str(s->d->conf->oauth2_scope), scope;
	struct buf text;

	buf_init(&text, 2000);
	while (conf_list_next(&list, &scope)) {
		if (text.len > 0)
			buf_put_char(&text, ' ');
		buf_put_view(&text, scope);
	}
	put_member(b, "scope", buf_cstr(&text));
	buf_fini(&text);
}

static void
refuse(struct sasl *s, const char *status)
{
	struct buf b;

	/* Counted now: a client need not wait for the end of it. */
	verify_report(s->d, &s->who, buf_cstr(&s->user), false);
	buf_reset(&s->input);
	buf_init(&b, 4000);
	buf_put_char(&b, '{');
	if (is_xoauth2(s)) {
		put_member(&b, "status", "401");
		put_member(&b, "schemes", "bearer");
		put_scope(s, &b);
	} else {
		put_member(&b, "status", status);
		put_scope(s, &b);
		put_member(&b, "openid-configuration",
		    s->d->conf->oauth2_openid_configuration);
	}
	buf_put_char(&b, '}');
	buf_put_view(&s->input, buf_view(&b));
	buf_fini(&b);
	s->refused = true;
	sasl_challenge(s, buf_view(&s->input));
}

static void
log_refused(struct sasl *s, const char *why)
{
	log_info("%s: token of client %s refused: %s", s->mech->name,
	    s->address, why);
}

static void
on_owner(enum verify_result result, const struct source_user *u, void *arg)
{
	struct sasl *s = arg;

	s->verify = NULL;
	switch (result) {
	case VERIFY_OK:
		s->login = xstrdup(u->login);
		verify_report(s->d, &s->who, s->login, true);
		sasl_succeed(s, s->login);
		return;
	case VERIFY_WRONG:
		log_refused(s, "its user is not known here");
		refuse(s, "invalid_token");
		return;
	case VERIFY_LIMITED:
		sasl_temporary(s, "too many failed logins");
		return;
	case VERIFY_TEMPORARY:
		break;
	}
	sasl_temporary(s, "temporary authentication failure");
}

static void
take_owner(struct sasl *s, struct view owner)
{
	if (!sasl_user_ok(owner) ||
	    !sasl_authzid_ok(s, buf_view(&s->user), owner)) {
		log_refused(s, "it is of another user");
		refuse(s, "invalid_token");
		return;
	}
	buf_reset(&s->user);
	buf_put_view(&s->user, owner);
	s->verify = verify_find(s->d, &s->who, buf_view(&s->user), on_owner, s);
}

static void
on_token(enum oauth_result result, const char *user, const char *why, void *arg)
{
	struct sasl *s = arg;

	s->check = NULL;
	switch (result) {
	case OAUTH_OK:
		take_owner(s, view_str(user));
		return;
	case OAUTH_INVALID:
		log_refused(s, why);
		refuse(s, "invalid_token");
		return;
	case OAUTH_SCOPE:
		log_refused(s, why);
		refuse(s, "insufficient_scope");
		return;
	case OAUTH_TEMPORARY:
		break;
	}
	log_info("%s: token of client %s not judged: %s", s->mech->name,
	    s->address, why);
	sasl_temporary(s, "temporary authentication failure");
}

/* May this client try at all? Nobody has the empty name. */
static void
on_permitted(enum verify_result result, const struct source_user *u, void *arg)
{
	struct sasl *s = arg;

	(void)u;
	s->verify = NULL;
	if (result == VERIFY_LIMITED) {
		sasl_temporary(s, "too many failed logins");
		return;
	}
	/* A reload took the mechanism away meanwhile. */
	if (s->d->sasl->oauth != NULL)
		s->check = oauth_check_new(
		    s->d->sasl->oauth, buf_view(&s->secret), on_token, s);
	sasl_wipe(&s->secret);
	if (s->check == NULL)
		sasl_temporary(s, "temporary authentication failure");
}

void
sasl_bearer_step(struct sasl *s, bool has_input, struct view input)
{
	struct view token = VIEW_NONE;
	int rc;

	(void)has_input;
	if (s->refused) {
		sasl_fail_counted(s, SASL_TEXT_WRONG);
		return;
	}
	rc = is_xoauth2(s) ? bearer_xoauth2_parse(input, &s->user, &token) :
			     bearer_oauth_parse(input, &s->user, &token);
	if (rc != 0 || token.len > OAUTH_TOKEN_MAX ||
	    (s->user.len > 0 && !sasl_user_ok(buf_view(&s->user)))) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_fini(&s->secret);
	buf_init(&s->secret, OAUTH_TOKEN_MAX);
	buf_put_view(&s->secret, token);
	s->verify = verify_find(s->d, &s->who, VIEW(""), on_permitted, s);
}
