/* SPDX-License-Identifier: ISC */
/*
 * sasl.c of authd: which mechanisms there are, and the life of a conversation.
 *
 * Every message comes from a stranger through an acceptor that may be taken
 * over. A conversation has few steps, little time and one outcome; a client
 * learns the same from a wrong password, an unknown user and a disabled one
 * (A15). Who answers late to a failure is the caller (auth_failure_delay).
 *
 * Our protocols have no data beside a success: what SCRAM says last goes as
 * one more challenge, which the client answers with nothing (RFC 4954 4).
 */
#include <bsd/stdlib.h>
#include <string.h>

#ifdef PK_OAUTH
#include "authd/oauth.h"
#endif
#include "authd/password.h"
#include "authd/sasl_private.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

/* The strongest first: so they are offered, and many clients take the first they know. */
static const struct sasl_mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS", AUTH_MECHANISM_BINDING,
	    true, sasl_scram_step },
	{ "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS", AUTH_MECHANISM_BINDING,
	    true, sasl_scram_step },
	{ "SCRAM-SHA-256", "SCRAM-SHA-256", 0, true, sasl_scram_step },
	{ "SCRAM-SHA-1", "SCRAM-SHA-1", 0, true, sasl_scram_step },
	{ "EXTERNAL", "EXTERNAL", AUTH_MECHANISM_EXTERNAL, true,
	    sasl_external_step },
	{ "PLAIN", "PLAIN", AUTH_MECHANISM_PLAINTEXT, true, sasl_plain_step },
	{ "LOGIN", "LOGIN", AUTH_MECHANISM_PLAINTEXT, false, sasl_login_step },
	{ "CRAM-MD5", "CRAM-MD5", 0, false, sasl_cram_step },
#ifdef PK_OAUTH
	{ "OAUTHBEARER", NULL, AUTH_MECHANISM_PLAINTEXT, true, sasl_bearer_step },
	{ "XOAUTH2", NULL, AUTH_MECHANISM_PLAINTEXT, true, sasl_bearer_step },
#endif
};

static int
mechanism_find(struct view name)
{
	for (size_t i = 0; i < NELEMS(mechanisms); i++)
		if (view_caseeq(name, view_str(mechanisms[i].name)))
			return (int)i;
	return -1;
}

/* ---- configuration ---- */

/* Of an unknown one too: what it would be is not known here. */
static bool
is_bearer(struct view name)
{
	return view_caseeq(name, VIEW("OAUTHBEARER")) ||
	    view_caseeq(name, VIEW("XOAUTH2"));
}

static int
refuse_name(struct view name, struct buf *why)
{
	if (is_bearer(name)) {
		buf_printf(why,
		    "auth_mechanisms: %.*s needs libcurl, and "
		    "this program was built without",
		    VIEW_ARG(name));
		return PK_EUNSUPPORTED;
	}
	buf_printf(why, "auth_mechanisms: there is no \"%.*s\"; there are:",
	    VIEW_ARG(name));
	for (size_t i = 0; i < NELEMS(mechanisms); i++)
		buf_printf(why, " %s", mechanisms[i].name);
	return PK_ESYNTAX;
}

static int
enable(const struct sasl_state *st, const struct conf *conf, unsigned *enabled_r,
    struct buf *why)
{
	struct view list = view_str(conf->auth_mechanisms), name;
	unsigned enabled = 0;
	int n;

	while (conf_list_next(&list, &name)) {
		n = mechanism_find(name);
		if (n < 0)
			return refuse_name(name, why);
		if (mechanisms[n].gsasl != NULL &&
		    !gsasl_server_support_p(st->gsasl, mechanisms[n].gsasl)) {
			buf_printf(why,
			    "auth_mechanisms: this libgsasl has no "
			    "%s",
			    mechanisms[n].name);
			return PK_EUNSUPPORTED;
		}
		enabled |= 1U << n;
	}
	*enabled_r = enabled;
	return 0;
}

#ifdef PK_OAUTH
static bool
needs_oauth(unsigned enabled)
{
	for (size_t i = 0; i < NELEMS(mechanisms); i++)
		if (enabled & 1U << i &&
		    is_bearer(view_str(mechanisms[i].name)))
			return true;
	return false;
}
#endif

/* All or nothing: what was there stays in force when something is wrong. */
static int
configure(struct sasl_state *st, struct loop *l, const struct conf *conf,
    struct buf *why)
{
	struct oauth *oauth = NULL;
	unsigned enabled = 0;
	int rc = enable(st, conf, &enabled, why);

	if (rc != 0)
		return rc;
#ifdef PK_OAUTH
	if (needs_oauth(enabled)) {
		rc = oauth_new(l, conf, &oauth, why);
		if (rc != 0)
			return rc;
	}
	oauth_free(&st->oauth);
#else
	(void)l;
#endif
	st->enabled = enabled;
	st->oauth = oauth;
	return 0;
}

static void
state_free(struct sasl_state *st)
{
#ifdef PK_OAUTH
	oauth_free(&st->oauth);
#endif
	map_free(&st->no_verifier, NULL);
	explicit_bzero(st->key, sizeof(st->key));
	if (st->gsasl != NULL)
		gsasl_done(st->gsasl);
	xfree(st);
}

int
sasl_init(struct authd *d, struct buf *why)
{
	struct sasl_state *st = XNEW(struct sasl_state);
	int rc = gsasl_init(&st->gsasl);

	if (rc != GSASL_OK) {
		buf_printf(why, "libgsasl: %s", gsasl_strerror(rc));
		xfree(st);
		return PK_EUNSUPPORTED;
	}
	gsasl_callback_set(st->gsasl, sasl_gsasl_callback);
	st->no_verifier = map_new();
	arc4random_buf(st->key, sizeof(st->key));
	rc = configure(st, d->loop, d->conf, why);
	if (rc != 0) {
		state_free(st);
		return rc;
	}
	d->sasl = st;
	return 0;
}

void
sasl_fini(struct authd *d)
{
	if (d->sasl == NULL)
		return;
	state_free(d->sasl);
	d->sasl = NULL;
}

void
sasl_set_secret(struct authd *d, const unsigned char key[32])
{
	memcpy(d->sasl->key, key, sizeof(d->sasl->key));
}

int
sasl_reload(struct authd *d, struct buf *why)
{
	return configure(d->sasl, d->loop, d->conf, why);
}

void
sasl_needs(const struct conf *conf, struct sandbox_spec *spec)
{
#ifdef PK_OAUTH
	/* Whatever auth_mechanisms names today: a reload may name another one. */
	if (*conf->oauth2_jwks != '\0' ||
	    *conf->oauth2_introspection_url != '\0')
		oauth_needs(conf, spec);
#else
	(void)conf;
	(void)spec;
#endif
}

void
sasl_mechanisms(struct authd *d,
    void (*fn)(const char *name, unsigned flags, void *arg), void *arg)
{
	for (size_t i = 0; i < NELEMS(mechanisms); i++)
		if (d->sasl->enabled & 1U << i)
			fn(mechanisms[i].name, mechanisms[i].flags, arg);
}

/* ---- a conversation ---- */

static bool
permitted(const struct sasl_mechanism *m, const struct sasl_client *c)
{
	if (m->flags & AUTH_MECHANISM_PLAINTEXT &&
	    !(c->flags & (AUTH_SESSION_TLS | AUTH_SESSION_LOCAL)))
		return false;
	if (m->flags & AUTH_MECHANISM_BINDING &&
	    (!(c->flags & AUTH_SESSION_TLS13) || c->binding.len == 0 ||
		c->binding.len > SASL_BINDING_MAX))
		return false;
	if (m->flags & AUTH_MECHANISM_EXTERNAL &&
	    (c->certificate == NULL || *c->certificate == '\0'))
		return false;
	return true;
}

/* Between two messages: the next one fails. While a source or a thread is asked: now. */
static void
on_time_over(void *arg)
{
	struct sasl *s = arg;

	s->expired = true;
	if (s->waiting)
		sasl_temporary(s, "took too long");
}

static void
client_copy(struct sasl *s, const struct sasl_client *c)
{
	s->address = xstrdup(c->who.address);
	s->listener = xstrdup(c->who.listener);
	s->certificate = xstrdup(c->certificate != NULL ? c->certificate : "");
	s->who =
	    (struct verify_client){ s->address, s->listener, c->who.service };
	s->flags = c->flags;
	if (c->binding.len > 0 && c->binding.len <= sizeof(s->binding)) {
		memcpy(s->binding, c->binding.p, c->binding.len);
		s->binding_len = c->binding.len;
	}
}

struct sasl *
sasl_new(struct authd *d, struct view mechanism, const struct sasl_client *c,
    sasl_fn next, void *arg)
{
	struct sasl *s;
	int n = mechanism_find(mechanism);

	if (n < 0 || !(d->sasl->enabled & 1U << n) ||
	    !permitted(&mechanisms[n], c))
		return NULL;
	s = XNEW(struct sasl);
	s->d = d;
	s->mech = &mechanisms[n];
	s->next = next;
	s->arg = arg;
	client_copy(s, c);
	buf_init(&s->user, AUTH_LOGIN_MAX);
	buf_init(&s->secret, PASSWORD_MAX);
	buf_init(&s->input, AUTH_DATA_MAX);
	loop_timer_init(&s->timer, on_time_over, s);
	if (s->mech->gsasl != NULL && sasl_gsasl_begin(s) != 0) {
		sasl_free(&s);
		return NULL;
	}
	loop_timer_set(d->loop, &s->timer, SASL_CONVERSATION_MS);
	return s;
}

/* Nothing that was asked for will answer any more. */
static void
forget_questions(struct sasl *s)
{
	if (s->verify != NULL)
		verify_cancel(&s->verify);
#ifdef PK_OAUTH
	oauth_check_cancel(&s->check);
#endif
}

void
sasl_free(struct sasl **sp)
{
	struct sasl *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	forget_questions(s);
	loop_timer_clear(s->d->loop, &s->timer);
	sasl_gsasl_end(s);
	sasl_wipe(&s->secret);
	sasl_wipe(&s->input);
	buf_fini(&s->user);
	xfree(s->login);
	xfree(s->address);
	xfree(s->listener);
	xfree(s->certificate);
	xfree(s);
}

bool
sasl_waiting(const struct sasl *s)
{
	return s->waiting;
}

/* ---- ends of a step ---- */

static void
answer(struct sasl *s, const struct sasl_result *r)
{
	ASSERT(s->waiting);
	s->waiting = false;
	if (r->state != AUTH_CHALLENGE) {
		s->over = true;
		loop_timer_clear(s->d->loop, &s->timer);
		forget_questions(s);
	}
	s->next(r, s->arg);
}

void
sasl_challenge(struct sasl *s, struct view data)
{
	const struct sasl_result r = {
		.state = AUTH_CHALLENGE, .data = data, .login = "", .text = "",
	};

	answer(s, &r);
}

void
sasl_succeed(struct sasl *s, const char *login)
{
	const struct sasl_result r = {
		.state = AUTH_SUCCESS, .data = VIEW(""), .login = login,
		.text = "",
	};

	answer(s, &r);
}

static void
answer_text(struct sasl *s, enum auth_state state, const char *text)
{
	const struct sasl_result r = {
		.state = state, .data = VIEW(""), .login = "", .text = text,
	};

	answer(s, &r);
}

void
sasl_fail_counted(struct sasl *s, const char *text)
{
	answer_text(s, AUTH_FAILURE, text);
}

void
sasl_fail(struct sasl *s, const char *text)
{
	verify_report(s->d, &s->who, buf_cstr(&s->user), false);
	sasl_fail_counted(s, text);
}

void
sasl_temporary(struct sasl *s, const char *text)
{
	answer_text(s, AUTH_TEMPORARY, text);
}

/* ---- a step ---- */

static void
finish_proven(struct sasl *s, struct view input)
{
	if (input.len > 0) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	verify_report(s->d, &s->who, s->login, true);
	sasl_succeed(s, s->login);
}

void
sasl_step(struct sasl *s, bool has_input, struct view input)
{
	ASSERT(!s->waiting);
	s->waiting = true;
	if (s->over || s->expired) {
		answer_text(s, AUTH_FAILURE, "the conversation is over");
		return;
	}
	if (++s->steps > SASL_STEPS_MAX || input.len > AUTH_DATA_MAX ||
	    (!has_input && s->steps > 1)) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	if (s->proven) {
		finish_proven(s, input);
		return;
	}
	if (!has_input && s->mech->client_first) {
		sasl_challenge(s, VIEW(""));
		return;
	}
	s->mech->step(s, has_input, input);
}

/* ---- what mechanisms share ---- */

bool
sasl_user_ok(struct view user)
{
	if (user.len == 0 || user.len > AUTH_LOGIN_MAX || !utf8_valid(user))
		return false;
	for (size_t i = 0; i < user.len; i++)
		if ((unsigned char)user.p[i] < ' ' || user.p[i] == 0x7f)
			return false;
	return true;
}

bool
sasl_binding_offered(const struct sasl *s)
{
	if (s->binding_len == 0 || !(s->flags & AUTH_SESSION_TLS13))
		return false;
	for (size_t i = 0; i < NELEMS(mechanisms); i++)
		if (s->d->sasl->enabled & 1U << i &&
		    mechanisms[i].flags & AUTH_MECHANISM_BINDING)
			return true;
	return false;
}

bool
sasl_authzid_ok(struct sasl *s, struct view authzid, struct view user)
{
	struct buf a, b;
	bool same;

	if (authzid.len == 0)
		return true;
	if (!sasl_user_ok(authzid))
		return false;
	buf_init(&a, AUTH_LOGIN_MAX);
	buf_init(&b, AUTH_LOGIN_MAX);
	same = verify_canonical(s->d, authzid, &a) == 0 &&
	    verify_canonical(s->d, user, &b) == 0 &&
	    view_eq(buf_view(&a), buf_view(&b));
	buf_fini(&a);
	buf_fini(&b);
	return same;
}

void
sasl_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}
