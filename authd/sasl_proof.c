/* SPDX-License-Identifier: ISC */
/*
 * sasl_proof.c of authd: EXTERNAL (RFC 4422 appendix A) and CRAM-MD5 (RFC
 * 2195).
 *
 * EXTERNAL believes the name that the acceptor's TLS verified in the client's
 * certificate; a user of that name must exist. CRAM-MD5 needs a password that
 * is stored readable ({PLAIN}), has no channel binding and an old hash: it is
 * there only for who names it in auth_mechanisms.
 */
#include <bsd/stdlib.h>
#include <string.h>

#include "authd/sasl_private.h"
#include "base/codec.h"
#include "base/mem.h"

/* "user SP 32 hex digits" at least. */
#define CRAM_DIGEST_SIZE	32

static void
answer_unfound(struct sasl *s, enum verify_result result)
{
	if (result == VERIFY_LIMITED)
		sasl_temporary(s, "too many failed logins");
	else
		sasl_temporary(s, "temporary authentication failure");
}

/* ---- EXTERNAL ---- */

static void
on_certificate_user(enum verify_result result, const struct source_user *u,
    void *arg)
{
	struct sasl *s = arg;

	s->verify = NULL;
	if (result == VERIFY_WRONG) {
		sasl_fail(s, SASL_TEXT_WRONG);
	} else if (result != VERIFY_OK) {
		answer_unfound(s, result);
	} else {
		s->login = xstrdup(u->login);
		verify_report(s->d, &s->who, s->login, true);
		sasl_succeed(s, s->login);
	}
}

void
sasl_external_step(struct sasl *s, bool has_input, struct view input)
{
	struct buf out;
	int rc;

	(void)has_input;
	if ((input.len > 0 && !sasl_user_ok(input)) ||
	    !sasl_user_ok(view_str(s->certificate))) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_put_str(&s->user, s->certificate);
	buf_init(&out, AUTH_DATA_MAX);
	rc = sasl_gsasl_step(s, input, &out);
	buf_fini(&out);
	if (rc != GSASL_OK || !s->asked) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	if (!sasl_authzid_ok(s, input, buf_view(&s->user))) {
		sasl_fail(s, SASL_TEXT_AUTHZID);
		return;
	}
	s->verify = verify_find(
	    s->d, &s->who, buf_view(&s->user), on_certificate_user, s);
}

/* ---- CRAM-MD5 ---- */

/* The user's readable password, or an unknowable one. */
static void
set_password(struct sasl *s, const struct source_user *u)
{
	char random[33];

	for (size_t i = 0; u != NULL && i < u->nhashes; i++)
		if (u->hash_names[i] == NULL &&
		    view_casestarts(view_str(u->hashes[i]), VIEW("{PLAIN}"))) {
			sasl_gsasl_set(s, GSASL_PASSWORD,
			    view_str(u->hashes[i] + strlen("{PLAIN}")));
			return;
		}
	for (size_t i = 0; i < sizeof(random) - 1; i++)
		random[i] = (char)('a' + arc4random_uniform(26));
	random[sizeof(random) - 1] = '\0';
	sasl_gsasl_set(s, GSASL_PASSWORD, view_str(random));
	s->doomed = true;
}

static void
on_cram_user(enum verify_result result, const struct source_user *u, void *arg)
{
	struct sasl *s = arg;
	struct buf out;
	int rc;

	s->verify = NULL;
	if (result != VERIFY_OK && result != VERIFY_WRONG) {
		answer_unfound(s, result);
		return;
	}
	set_password(s, result == VERIFY_OK ? u : NULL);
	buf_init(&out, AUTH_DATA_MAX);
	rc = sasl_gsasl_step(s, buf_view(&s->input), &out);
	buf_fini(&out);
	if (rc != GSASL_OK || s->doomed) {
		sasl_fail(s, SASL_TEXT_WRONG);
		return;
	}
	s->login = xstrdup(u->login);
	verify_report(s->d, &s->who, s->login, true);
	sasl_succeed(s, s->login);
}

static void
cram_take(struct sasl *s, struct view input)
{
	ptrdiff_t blank = view_rfind(input, ' ');

	if (blank <= 0 || input.len - (size_t)blank - 1 != CRAM_DIGEST_SIZE ||
	    !sasl_user_ok(view_head(input, (size_t)blank)) ||
	    memchr(input.p, '\0', input.len) != NULL) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_put_view(&s->user, view_head(input, (size_t)blank));
	buf_reset(&s->input);
	buf_put_view(&s->input, input);
	s->verify =
	    verify_find(s->d, &s->who, buf_view(&s->user), on_cram_user, s);
}

void
sasl_cram_step(struct sasl *s, bool has_input, struct view input)
{
	struct buf out;
	int rc;

	if (s->steps > 1) {
		cram_take(s, input);
		return;
	}
	/* The server speaks first: a client that did is out of step. */
	if (has_input && input.len > 0) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_init(&out, AUTH_DATA_MAX);
	rc = sasl_gsasl_step(s, VIEW(""), &out);
	if (rc != GSASL_NEEDS_MORE) {
		buf_fini(&out);
		sasl_temporary(s, "temporary authentication failure");
		return;
	}
	buf_put_view(&s->input, buf_view(&out));
	buf_fini(&out);
	sasl_challenge(s, buf_view(&s->input));
}
