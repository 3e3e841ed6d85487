/* SPDX-License-Identifier: ISC */
/*
 * sasl_scram.c of authd: SCRAM-SHA-256 and SCRAM-SHA-1, also with channel
 * binding (RFC 5802, 7677, 9266).
 *
 * libgsasl computes. We read the first message to know whose verifier is
 * needed, look it up, set it, and let libgsasl take its step. A user who does
 * not exist, is disabled, or has no verifier gets a made-up one, the same each
 * time, and fails at the end like a wrong password (A15).
 *
 * Downgrade: who says 'y' ("I can bind, you cannot") at a connection where a
 * -PLUS mechanism is offered did not see our list; who says 'p' outside of a
 * -PLUS mechanism is confused. Both fail.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "authd/password.h"
#include "authd/sasl_private.h"
#include "authd/sasl_scram.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

/* Bytes of salt as password_scram() writes: a made-up verifier looks the same. */
#define MADE_UP_SALT_SIZE	16
/* Logins told about in the log; then no more are. */
#define TOLD_MAX		10000

static bool
is_sha256(const struct sasl *s)
{
	return strncmp(s->mech->name, "SCRAM-SHA-256", 13) == 0;
}

static struct view
scheme(const struct sasl *s)
{
	return is_sha256(s) ? VIEW("SCRAM-SHA-256") : VIEW("SCRAM-SHA-1");
}

static size_t
key_size(const struct sasl *s)
{
	return is_sha256(s) ? 32 : 20;
}

/* ---- the verifier ---- */

/* b gets base64 of HMAC(key of this process, what NUL mechanism NUL user), cut to size. */
static void
put_made_up(struct sasl *s, const char *what, size_t size, struct buf *b)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buf text;

	buf_init(&text, 64 + AUTH_LOGIN_MAX);
	buf_printf(&text, "%s %s ", what, is_sha256(s) ? "256" : "1");
	if (verify_canonical(s->d, buf_view(&s->user), &text) != 0)
		buf_put_view(&text, buf_view(&s->user));
	if (HMAC(EVP_sha256(), s->d->sasl->key, sizeof(s->d->sasl->key),
		(const unsigned char *)buf_data(&text), text.len, mac,
		&len) == NULL)
		log_fatal("HMAC-SHA-256 failed");
	base64_put(b, view_of((const char *)mac, size));
	explicit_bzero(mac, sizeof(mac));
	buf_fini(&text);
}

static void
set_made_up(struct sasl *s)
{
	struct buf salt, key, rounds;

	buf_init(&salt, 128);
	buf_init(&key, 128);
	buf_init(&rounds, 16);
	buf_put_u64(&rounds, PASSWORD_SCRAM_ROUNDS);
	put_made_up(s, "salt", MADE_UP_SALT_SIZE, &salt);
	put_made_up(s, "key", key_size(s), &key);
	sasl_gsasl_set(s, GSASL_SCRAM_ITER, buf_view(&rounds));
	sasl_gsasl_set(s, GSASL_SCRAM_SALT, buf_view(&salt));
	sasl_gsasl_set(s, GSASL_SCRAM_STOREDKEY, buf_view(&key));
	sasl_gsasl_set(s, GSASL_SCRAM_SERVERKEY, buf_view(&key));
	buf_fini(&rounds);
	buf_fini(&salt);
	sasl_wipe(&key);
	s->doomed = true;
}

/* Says once for each login why SCRAM cannot work, for who wonders at a right password. */
static void
tell_missing(struct sasl *s, const char *login, bool unusable)
{
	struct map *told = s->d->sasl->no_verifier;

	if (map_get(told, view_str(login)) != NULL ||
	    map_count(told) >= TOLD_MAX)
		return;
	map_put(told, view_str(login), s->d->sasl);
	log_info("login %s: %s cannot work: the %.*s verifier %s; there is one "
		 "when the password is set anew or, in our own database, was "
		 "used for "
		 "PLAIN or LOGIN",
	    login, s->mech->name, VIEW_ARG(scheme(s)),
	    unusable ? "is of no use" : "is missing");
}

static void
set_verifier(struct sasl *s, const struct source_user *u)
{
	const char *text = is_sha256(s) ? u->scram_sha256 : u->scram_sha1;
	struct scram_verifier v;

	if (text == NULL ||
	    scram_verifier_parse(view_str(text), scheme(s), key_size(s), &v) !=
		0) {
		tell_missing(s, u->login, text != NULL);
		set_made_up(s);
		return;
	}
	sasl_gsasl_set(s, GSASL_SCRAM_ITER, v.iterations);
	sasl_gsasl_set(s, GSASL_SCRAM_SALT, v.salt);
	sasl_gsasl_set(s, GSASL_SCRAM_STOREDKEY, v.stored_key);
	sasl_gsasl_set(s, GSASL_SCRAM_SERVERKEY, v.server_key);
}

/* ---- the first message ---- */

static void
take_first(struct sasl *s)
{
	struct view message = buf_view(&s->input);
	struct buf out;
	int rc;

	buf_init(&out, AUTH_DATA_MAX);
	rc = sasl_gsasl_step(s, message, &out);
	if (rc != GSASL_NEEDS_MORE ||
	    !view_eq(buf_view(&s->user),
		view_str(sasl_gsasl_get(s, GSASL_AUTHID)))) {
		buf_fini(&out);
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	/* out is freed before s may be: the challenge is copied by its taker. */
	buf_reset(&s->input);
	buf_put_view(&s->input, buf_view(&out));
	buf_fini(&out);
	sasl_challenge(s, buf_view(&s->input));
}

static void
on_found(enum verify_result result, const struct source_user *u, void *arg)
{
	struct sasl *s = arg;

	s->verify = NULL;
	switch (result) {
	case VERIFY_OK:
		s->login = xstrdup(u->login);
		set_verifier(s, u);
		take_first(s);
		return;
	case VERIFY_WRONG:
		set_made_up(s);
		take_first(s);
		return;
	case VERIFY_LIMITED:
		sasl_temporary(s, "too many failed logins");
		return;
	case VERIFY_TEMPORARY:
		break;
	}
	sasl_temporary(s, "temporary authentication failure");
}

static bool
binding_ok(const struct sasl *s, const struct scram_first *f)
{
	if (s->mech->flags & AUTH_MECHANISM_BINDING)
		return f->flag == 'p' &&
		    view_eq(f->binding, VIEW("tls-exporter"));
	return f->flag == 'n' || (f->flag == 'y' && !sasl_binding_offered(s));
}

static void
begin(struct sasl *s, struct view input)
{
	struct scram_first f;
	struct buf authzid;
	bool mine;

	buf_init(&authzid, AUTH_LOGIN_MAX);
	if (scram_first_parse(input, &f, &s->user, &authzid) != 0 ||
	    !sasl_user_ok(buf_view(&s->user))) {
		buf_fini(&authzid);
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	mine = sasl_authzid_ok(s, buf_view(&authzid), buf_view(&s->user));
	buf_fini(&authzid);
	if (!mine) {
		sasl_fail(s, SASL_TEXT_AUTHZID);
		return;
	}
	if (!binding_ok(s, &f)) {
		sasl_fail(s, "channel binding does not fit");
		return;
	}
	if (s->mech->flags & AUTH_MECHANISM_BINDING) {
		struct buf binding;

		buf_init(&binding, 128);
		base64_put(&binding, view_of(s->binding, s->binding_len));
		sasl_gsasl_set(s, GSASL_CB_TLS_EXPORTER, buf_view(&binding));
		buf_fini(&binding);
	}
	buf_put_view(&s->input, input);
	s->verify = verify_find(s->d, &s->who, buf_view(&s->user), on_found, s);
}

/* ---- the last message ---- */

static void
take_proof(struct sasl *s, struct view input)
{
	struct buf out;
	int rc;

	if (memchr(input.p != NULL ? input.p : "", '\0', input.len) != NULL) {
		sasl_fail(s, SASL_TEXT_MALFORMED);
		return;
	}
	buf_init(&out, AUTH_DATA_MAX);
	rc = sasl_gsasl_step(s, input, &out);
	if (rc != GSASL_OK || s->doomed || s->login == NULL) {
		buf_fini(&out);
		sasl_fail(s, SASL_TEXT_WRONG);
		return;
	}
	buf_reset(&s->input);
	buf_put_view(&s->input, buf_view(&out));
	buf_fini(&out);
	s->proven = true;
	sasl_challenge(s, buf_view(&s->input));
}

void
sasl_scram_step(struct sasl *s, bool has_input, struct view input)
{
	(void)has_input;
	if (s->user.len == 0)
		begin(s, input);
	else
		take_proof(s, input);
}
