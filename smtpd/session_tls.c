/* SPDX-License-Identifier: ISC */
/*
 * session_tls.c: from clear text to TLS.
 *
 * Runs in smtpd, which has no private key: certd signs (lib/net/tls.h), and a
 * handshake that waits for it, or for a slow client, costs a timer and no
 * time. Nothing that came in clear text is left when it is through: bytes
 * behind STARTTLS are thrown away, names, transaction, login and extensions
 * are forgotten (RFC 3207 4.2; A3). Who does not begin with a ClientHello is
 * told nothing at all (A4).
 */
#include "smtpd/session_tls.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"
#include "smtpd/auth.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"
#include "sys/stats.h"

/* First byte of a TLS record that carries a handshake (RFC 8446 5.1). */
#define RECORD_HANDSHAKE	0x16
#define DESCRIPTION_MAX		512

const char session_needs_tls_reply[] = "530 5.7.0 Must issue a STARTTLS command first";

bool
session_needs_tls(const struct session *s)
{
	return s->policy->tls_level == POLICY_TLS_ENCRYPT && s->tls == NULL;
}

/* ---- the end of a handshake ---- */

static void
failed(struct session *s, const char *why)
{
	char client[SESSION_CLIENT_MAX];

	session_client(s, client, sizeof(client));
	log_info("SSL_accept error from %s: %s", client, why);
	stats_add(STATS_C_smtpd_tls_failures, 1);
	/* It cost a signature as well, or could have. */
	if (s->tls != NULL)
		session_count_event(s, CLIENT_NEW_TLS);
	if (!s->policy->tls_wrapper && s->fine[SMTP_VERB_STARTTLS] > 0)
		s->fine[SMTP_VERB_STARTTLS]--;
	log_info("lost connection after %s from %s", s->last_verb, client);
	session_free(s);
}

/* Of what came in clear text nothing is remembered, and nothing believed. */
static void
forget(struct session *s)
{
	auth_forget(s);
	session_reset(s);
	xfree(s->helo);
	s->helo = NULL;
	s->esmtp = false;
	s->state = STATE_START;
	s->skipping = s->more = s->pipelined_badly = false;
	s->chunk_size = s->chunk_left = 0;
	s->chunk_last = false;
	s->chunk_refusal = NULL;
	session_drop_input(s);
}

static void
log_established(struct session *s)
{
	char client[SESSION_CLIENT_MAX];
	const char *sni = tls_conn_sni(s->tls);
	struct buf facts;

	if (s->policy->conf->smtpd_tls_loglevel < 1)
		return;
	worker_buf_get(s->w, &facts, DESCRIPTION_MAX);
	tls_conn_describe(s->tls, &facts);
	session_client(s, client, sizeof(client));
	log_info("%s TLS connection established from %s%s%s: %s",
	    tls_trust_word(tls_conn_trust(s->tls)), client, sni[0] != '\0' ? " to " : "", sni,
	    buf_cstr(&facts));
	worker_buf_put(s->w, &facts);
}

static void
established(struct session *s)
{
	stats_add(STATS_C_smtpd_tls_sessions, 1);
	stats_observe(STATS_H_smtpd_tls_handshake_us,
	    (clock_mono_ns() - s->tls_begun_ns) / 1000);
	if (tls_conn_resumed(s->tls))
		stats_add(STATS_C_smtpd_tls_resumed, 1);
	else
		session_count_event(s, CLIENT_NEW_TLS);
	log_established(s);
	forget(s);
	if (s->policy->tls_wrapper) {
		session_wait(s);
		session_secured(s);
		return;
	}
	s->mode = SESSION_COMMAND;
	session_resume(s);
}

/* ---- the handshake ---- */

static void
on_key(void *arg)
{
	struct session *s = arg;

	if (s->mode == SESSION_HANDSHAKE)
		session_tls_step(s);
}

/*
 * True when the first byte is there and begins a handshake. A program that
 * talks something else into the port (HTTP, SMTP) is cut off without a word.
 */
static bool
hello_came(struct session *s)
{
	char text[100], why[160];
	ssize_t n;

	if (s->tls != NULL)
		return true;
	n = recv(s->fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT);
	if (n == -1 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) {
		session_want(s, true, false);
		return false;
	}
	if (n <= 0) {
		failed(s, "lost connection");
		return false;
	}
	/* Not earlier: OpenSSL's part is for those who do begin. */
	if (text[0] == RECORD_HANDSHAKE) {
		s->tls = tls_conn_accept(s->policy->tls, s->fd, on_key, s);
		return true;
	}
	snprintf(why, sizeof(why), "no TLS handshake but: %.*s",
	    VIEW_ARG(view_of(text, (size_t)n)));
	failed(s, why);
	return false;
}

void
session_tls_step(struct session *s)
{
	if (!hello_came(s))
		return;
	switch (tls_conn_handshake(s->tls)) {
	case TLS_DONE:
		established(s);
		break;
	case TLS_WANT_READ:
		session_want(s, true, false);
		break;
	case TLS_WANT_WRITE:
		session_want(s, false, true);
		break;
	case TLS_WANT_KEY:
		session_want(s, false, false);
		break;
	case TLS_ENDED:
		failed(s, "lost connection");
		break;
	case TLS_FAILED:
	default:
		failed(s, tls_conn_error(s->tls));
		break;
	}
}

void
session_tls_timed_out(struct session *s)
{
	failed(s, "Connection timed out");
}

void
session_tls_begin(struct session *s)
{
	char client[SESSION_CLIENT_MAX];

	if (s->policy->conf->smtpd_tls_loglevel >= 2) {
		session_client(s, client, sizeof(client));
		log_info("setting up TLS connection from %s", client);
	}
	session_drop_input(s);
	s->mode = SESSION_HANDSHAKE;
	s->waiting = false;
	s->tls_begun_ns = clock_mono_ns();
	session_set_deadline(s, s->policy->conf->smtpd_starttls_timeout);
	session_tls_step(s);
}

void
session_tls_discard(struct session *s, struct view in)
{
	char client[SESSION_CLIENT_MAX];

	if (in.len == 0)
		return;
	session_client(s, client, sizeof(client));
	log_warn("improper command pipelining after STARTTLS from %s: %zu bytes thrown away: "
	    "%.*s", client, in.len, VIEW_ARG(view_head(in, 100)));
	stats_add(STATS_C_smtpd_errors, 1);
	s->errors++;
}

bool
session_tls_over_limit(struct session *s)
{
	int64_t limit = s->policy->conf->smtpd_client_new_tls_session_rate_limit;
	uint32_t n;

	if (s->no_limits || limit == 0)
		return false;
	n = session_event_rate(s, CLIENT_NEW_TLS);
	/* Those that shook hands or failed to; the one that would follow is not counted yet. */
	if (n < limit)
		return false;
	log_warn("New TLS session rate limit exceeded: %u from %s[%s] for service %s", n + 1,
	    s->name, s->addr, s->policy->listener);
	return true;
}

/* ---- facts ---- */

void
session_tls_describe(const struct session *s, struct buf *b)
{
	if (s->tls != NULL)
		tls_conn_describe(s->tls, b);
}

/* A certificate says what its maker likes: it must not leave its quotes. */
static void
put_quoted(struct buf *b, const char *text)
{
	buf_put_char(b, '"');
	for (; *text != '\0'; text++)
		buf_put_char(b, strchr("\"()\\", *text) != NULL ? '?' : *text);
	buf_put_char(b, '"');
}

void
session_tls_describe_peer(const struct session *s, struct buf *b)
{
	enum tls_trust trust;

	if (s->tls == NULL)
		return;
	trust = tls_conn_trust(s->tls);
	if (trust == TLS_TRUST_ANONYMOUS) {
		buf_put_str(b, s->policy->conf->smtpd_tls_ask_ccert ||
		    s->policy->conf->smtpd_tls_req_ccert ?
		    "Client did not present a certificate" : "No client certificate requested");
		return;
	}
	buf_put_str(b, "Client CN ");
	put_quoted(b, tls_conn_peer_name(s->tls));
	buf_put_str(b, ", Issuer ");
	put_quoted(b, tls_conn_issuer(s->tls));
	buf_put_str(b, trust == TLS_TRUST_UNTRUSTED ? " (not verified)" : " (verified OK)");
}
