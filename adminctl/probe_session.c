/* SPDX-License-Identifier: ISC */
/*
 * probe_session.c: one session with a server for `tls probe`: greeting, EHLO,
 * STARTTLS, handshake, EHLO, QUIT, by the engine and the TLS code that
 * deliveries use.
 *
 * Runs in adminctl with the caller's rights, not confined. The server is a
 * stranger: the engine bounds what it says, a deadline how long it takes, and
 * nothing of it is shown that is not printable.
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/probe.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/domain.h"
#include "net/dns_client.h"
#include "net/smtp_client.h"
#include "sys/fd.h"

/* An administrator waits; a delivery's own limits are longer. */
#define CONNECT_MS	10000
#define SESSION_MS	30000

struct session {
	int		 fd;
	uint64_t	 deadline_ms;
	struct smtp_client client;
	struct buf	 out;
	struct tls_conn	*tls;
	bool		 shake;
	bool		 in_tls;
	bool		 heard;		/* it has said something */
	struct probe_result *r;
};

static void
fail(struct session *s, const char *what, const char *why)
{
	if (s->r->error == NULL)
		s->r->error = xasprintf("%s%s%s", what, *why != '\0' ? ": " : "", why);
}

/* false: time is over */
static bool
wait_for(struct session *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };
	uint64_t now = clock_mono_ms();
	int rc;

	do {
		if (now >= s->deadline_ms)
			return false;
		rc = poll(&p, 1, (int)(s->deadline_ms - now));
		now = clock_mono_ms();
	} while (rc == -1 && errno == EINTR);
	return rc > 0;
}

static bool
connect_to(struct session *s, const char *address, uint16_t port)
{
	struct sockaddr_storage ss;
	struct domain_literal lit;
	socklen_t len = sizeof(int);
	int error = 0;

	if (domain_parse_ip(view_str(address), &lit) != 0) {
		fail(s, "connect", "no address");
		return false;
	}
	s->fd = socket(lit.family == DOMAIN_INET6 ? AF_INET6 : AF_INET,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	len = dns_put_sockaddr(&lit, port, &ss);
	s->deadline_ms = clock_mono_ms() + CONNECT_MS;
	if (s->fd == -1 || (connect(s->fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS))
		error = errno;
	else if (!wait_for(s, POLLOUT))
		error = ETIMEDOUT;
	len = sizeof(error);
	if (error == 0 && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0)
		fail(s, "connect", strerror(error));
	return error == 0;
}

/* ---- bytes ---- */

static bool
flush(struct session *s)
{
	struct iovec iov;
	ssize_t n;

	while (s->out.len > 0) {
		iov.iov_base = buf_data(&s->out);
		iov.iov_len = s->out.len;
		n = s->in_tls ? tls_conn_writev(s->tls, &iov, 1) :
		    send(s->fd, iov.iov_base, iov.iov_len, MSG_NOSIGNAL);
		if (n > 0) {
			buf_consume(&s->out, (size_t)n);
			continue;
		}
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			return false;
		if (!wait_for(s, POLLOUT))
			return false;
	}
	return true;
}

/* Bytes that came; 0: the end, -1: failed or too late. */
static ssize_t
receive(struct session *s, char *in, size_t size)
{
	ssize_t n;

	for (;;) {
		n = s->in_tls ? tls_conn_read(s->tls, in, size) : read(s->fd, in, size);
		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (!wait_for(s, POLLIN))
			return -1;
	}
}

/* ---- the engine ---- */

static void
on_ready(struct smtp_client *c, void *arg)
{
	struct session *s = arg;

	s->r->ready = true;
	smtp_client_quit(c);
}

static void
on_starttls(struct smtp_client *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	s->shake = true;
}

/* No transaction is ever begun. */
static void
no_content(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	(void)c, (void)t, (void)arg;
}

static void
no_result(struct smtp_client *c, struct smtp_txn *t, size_t i, const struct smtp_outcome *o,
    void *arg)
{
	(void)c, (void)t, (void)i, (void)o, (void)arg;
}

static const struct smtp_client_ops ops = {
	on_ready, no_content, no_result, no_content, on_starttls,
};

/* ---- TLS ---- */

static void
on_wake(void *arg)
{
	(void)arg;
}

static bool
handshake(struct session *s)
{
	enum tls_status status;

	for (;;) {
		status = tls_conn_handshake(s->tls);
		if (status == TLS_DONE)
			return true;
		if (status != TLS_WANT_READ && status != TLS_WANT_WRITE) {
			fail(s, "handshake", tls_conn_error(s->tls));
			return false;
		}
		if (!wait_for(s, status == TLS_WANT_READ ? POLLIN : POLLOUT)) {
			fail(s, "handshake", "Connection timed out");
			return false;
		}
	}
}

static void
show_certificate(const struct tls_shown *c, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s}",
	    "subject", c->subject, "issuer", c->issuer, "names", c->names,
	    "not_before_ms", (json_int_t)c->not_before * 1000,
	    "not_after_ms", (json_int_t)c->not_after * 1000, "sha256", c->sha256,
	    "public_key_sha256", c->pubkey_sha256));
}

static void
show_facts(struct session *s)
{
	json_t *j = s->r->json, *certs = json_array();
	struct buf b;

	buf_init(&b, 2048);
	tls_conn_describe(s->tls, &b);
	tls_conn_each_certificate(s->tls, show_certificate, certs);
	s->r->trust = tls_conn_trust(s->tls);
	json_object_set_new(j, "protocol", json_string(tls_conn_protocol(s->tls)));
	json_object_set_new(j, "cipher", json_string(tls_conn_cipher(s->tls)));
	json_object_set_new(j, "tls", json_string(buf_cstr(&b)));
	json_object_set_new(j, "trust", json_string(tls_trust_word(s->r->trust)));
	if (s->r->trust != TLS_TRUST_VERIFIED && tls_conn_error(s->tls)[0] != '\0')
		json_object_set_new(j, "certificate_error",
		    json_string(tls_conn_error(s->tls)));
	json_object_set_new(j, "certificates", certs);
	buf_fini(&b);
}

static bool
secure(struct session *s, struct tls_client *tls, const struct tls_plan *plan)
{
	struct tls_expect e;

	s->r->tried = true;
	tls_plan_expect(plan, NULL, &e);
	s->tls = tls_conn_connect(tls, s->fd, &e, on_wake, s);
	if (s->tls == NULL) {
		fail(s, "client TLS configuration problem", "");
		return false;
	}
	if (!handshake(s))
		return false;
	s->in_tls = true;
	s->r->handshake = true;
	show_facts(s);
	smtp_client_tls_begun(&s->client);
	return true;
}

static void
converse(struct session *s, struct tls_client *tls, const struct tls_plan *plan)
{
	char in[16384];
	ssize_t n;

	for (;;) {
		if (!flush(s))
			break;
		n = receive(s, in, sizeof(in));
		if (n <= 0)
			break;
		s->heard = true;
		(void)smtp_client_feed(&s->client, view_of(in, (size_t)n));
		if (s->client.dead)
			return;
		if (!s->shake)
			continue;
		s->shake = false;
		s->r->offered = true;
		if (!secure(s, tls, plan))
			return;
	}
	if (!s->r->ready)
		smtp_client_lost(&s->client, clock_mono_ms() >= s->deadline_ms ?
		    PK_ETIMEOUT : PK_EPEER);
}

static void
engine_facts(struct session *s)
{
	struct buf b;

	if (s->client.caps.flags & SMTP_CAP_STARTTLS || s->client.starttls_refused)
		s->r->offered = true;
	s->r->requiretls = s->in_tls &&
	    (s->client.caps.flags & SMTP_CAP_REQUIRETLS) != 0;
	if (s->r->ready || s->client.refusal == SMTP_REFUSAL_NONE)
		return;
	buf_init(&b, 8192);
	render_text(&b, view_head(s->client.refused.text, 2000));
	fail(s, buf_cstr(&b), "");
	buf_fini(&b);
}

/* Who waits for a handshake says nothing until then: mail would wait as long. */
static void
hint_at_wrappermode(struct session *s, uint16_t port)
{
	char *text = s->r->error;

	if (text == NULL || (port != 465 && clock_mono_ms() < s->deadline_ms))
		return;
	s->r->error = xasprintf("%s (for TLS from the first byte: smtp_tls_wrappermode = yes, "
	    "or a transport of its own with it)", text);
	xfree(text);
}

void
probe_session(const struct conf *conf, struct tls_client *tls, const char *host,
    const char *address, uint16_t port, const struct tls_plan *plan,
    struct probe_result *r_r)
{
	struct smtp_client_conf cc = {
		.helo_name = conf->smtp_helo_name, .always_ehlo = true,
	};
	struct session s = { .fd = -1, .r = r_r };
	bool wrapped = conf->smtp_tls_wrappermode;
	char *peer;

	memset(r_r, 0, sizeof(*r_r));
	r_r->json = json_object();
	buf_init(&s.out, 65536);
	peer = xasprintf("%s[%s]", host, address);
	smtp_client_init(&s.client, &cc, &ops, &s, &s.out, peer);
	smtp_client_want_tls(&s.client, wrapped || tls == NULL ? SMTP_STARTTLS_NEVER :
	    SMTP_STARTTLS_MAY, false);
	if (connect_to(&s, address, port)) {
		r_r->connected = true;
		s.deadline_ms = clock_mono_ms() + SESSION_MS;
		r_r->offered = wrapped;
		if (!wrapped || secure(&s, tls, plan))
			converse(&s, tls, plan);
		engine_facts(&s);
	}
	if (!wrapped && !s.heard)
		hint_at_wrappermode(&s, port);
	if (s.tls != NULL)
		tls_conn_shutdown(s.tls);
	tls_conn_free(&s.tls);
	fd_close(&s.fd);
	smtp_client_fini(&s.client);
	buf_fini(&s.out);
	xfree(peer);
}

void
probe_result_fini(struct probe_result *r)
{
	xfree(r->error);
	json_decref(r->json);
	memset(r, 0, sizeof(*r));
}
