/* SPDX-License-Identifier: ISC */
/*
 * smtp_tls.c: the TLS handshake of a connection, and what is made of it.
 *
 * Runs in `deliver smtp` and `deliver lmtp`; the private key of a client
 * certificate stays in certd. The server is a stranger: what it shows is
 * judged by net/tls.h against the host's plan. With level "may" a handshake
 * that fails is followed by one more connection without TLS (RFC 7435); from
 * "encrypt" on nothing is ever said in clear, and from "dane" on nothing is
 * said to who has not proven his name. The words are Postfix's.
 */
#include "deliver/smtp.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"
#include "sys/stats.h"

static void	step(struct smtp_conn *);

/* ---- contexts ---- */

static void
client_configure(struct smtp *s, struct view transport)
{
	const struct conf *conf = deliver_transport_conf(s->d, transport);
	struct tls_client *tls, *old = map_get(s->tls_clients, transport);
	struct buf why;

	buf_init(&why, 4096);
	tls = tls_client_new(s->keys, conf, &why);
	if (tls == NULL) {
		log_error("TLS of transport %.*s: %s", VIEW_ARG(transport),
		    buf_cstr(&why));
	} else {
		map_put(s->tls_clients, transport, tls);
		if (old != NULL)
			tls_client_unref(&old);
	}
	buf_fini(&why);
}

void
smtp_tls_configure(struct smtp *s)
{
	struct view list = view_str(deliver_conf(s->d)->transports);
	struct view item, name, type,
	    ours = s->lmtp ? VIEW("lmtp") : VIEW("smtp");

	/* The one that is there without being named. */
	client_configure(s, ours);
	while (conf_list_next(&list, &item))
		if (conf_transport_parse(item, &name, &type) &&
		    view_eq(type, ours) && !view_eq(name, ours))
			client_configure(s, name);
}

struct tls_client *
smtp_tls_client(struct smtp *s, const char *transport)
{
	struct tls_client *tls = map_get(s->tls_clients, view_str(transport));

	return tls != NULL ? tls_client_ref(tls) : NULL;
}

/* ---- what the plan says ---- */

enum smtp_starttls
smtp_tls_wanted(const struct smtp_conn *c)
{
	const struct tls_plan *plan = c->target->plan;

	if (tls_plan_must(plan))
		return SMTP_STARTTLS_MUST;
	if (plan->level == TLS_POLICY_NONE || c->in_clear ||
	    c->dest->tls == NULL)
		return SMTP_STARTTLS_NEVER;
	return SMTP_STARTTLS_MAY;
}

static enum tls_trust
trust_of(const struct smtp_conn *c)
{
	enum tls_trust trust = tls_conn_trust(c->tls);

	/* It fits a name that an unsigned MX has given. */
	return trust == TLS_TRUST_VERIFIED && c->target->plan->hearsay ?
	    TLS_TRUST_TRUSTED :
	    trust;
}

const char *
smtp_tls_word(const struct smtp_conn *c)
{
	return c->tls != NULL ? tls_trust_word(trust_of(c)) : "none";
}

/* ---- the end ---- */

static void
event_drop(struct smtp_conn *c)
{
	if (c->tls_event != NULL)
		event_free(c->tls_event);
	c->tls_event = NULL;
}

void
smtp_tls_end(struct smtp_conn *c)
{
	event_drop(c);
	if (c->tls == NULL)
		return;
	if (c->tls_fd == -1) {
		/* The stream's close frees it. */
		if (stream_is_open(&c->stream))
			tls_conn_shutdown(c->tls);
	} else {
		tls_conn_free(&c->tls);
		fd_close(&c->tls_fd);
	}
	c->tls = NULL;
}

static void
host_failed(struct smtp_conn *c, struct enhanced dsn, const char *text)
{
	struct smtp_failure f = { .text = NULL };

	smtp_tls_end(c);
	smtp_failure_set(
	    &f, JOB_DEFERRED, dsn, c->target->relay, view_str(text));
	smtp_conn_host_failed(c, &f);
}

/*
 * As Postfix: an attacker who breaks one handshake gets no mail in clear; one
 * that has waited for minimal_backoff_time since it came is sent without TLS.
 */
bool
smtp_tls_may_do_without(const struct smtp_conn *c)
{
	const struct smtp_dest *dest = c->dest;
	const struct job *j = c->job != NULL ? c->job : TAILQ_FIRST(&dest->waiting);
	uint64_t now = clock_wall_ms();

	if (tls_plan_must(c->target->plan) || dest->conf->smtp_tls_wrappermode || j == NULL)
		return false;
	return now >= j->arrival_ms && now - j->arrival_ms >= dest->conf->minimal_backoff_time;
}

static void
handshake_failed(struct smtp_conn *c, const char *why)
{
	stats_add(STATS_C_deliver_tls_failed, 1);
	log_info("SSL_connect error to %s: %s", c->target->relay, why);
	if (smtp_tls_may_do_without(c)) {
		smtp_tls_end(c);
		smtp_conn_retry_in_clear(c);
		return;
	}
	host_failed(
	    c, ENHANCED(4, 7, 5), "Cannot start TLS: handshake failure");
}

/* ---- the handshake ---- */

static void
log_established(const struct smtp_conn *c)
{
	struct buf b;

	if (c->dest->conf->smtp_tls_loglevel < 1)
		return;
	buf_init(&b, 2048);
	tls_conn_describe(c->tls, &b);
	log_info("%s TLS connection established to %s: %s", smtp_tls_word(c),
	    c->target->relay, buf_cstr(&b));
	buf_fini(&b);
}

/* "Trusted": it leads to a CA, but has another name. */
static void
not_verified(struct smtp_conn *c)
{
	bool trusted = tls_conn_trust(c->tls) == TLS_TRUST_TRUSTED;

	stats_add(STATS_C_deliver_tls_failed, 1);
	tls_conn_shutdown(c->tls);
	host_failed(c, ENHANCED(4, 7, 5),
	    trusted || c->target->plan->level == TLS_POLICY_DANE ||
		    c->target->plan->level == TLS_POLICY_FINGERPRINT ?
		"Server certificate not verified" :
		"Server certificate not trusted");
}

static void
established(struct smtp_conn *c)
{
	const struct tls_plan *plan = c->target->plan;
	enum tls_trust trust = tls_conn_trust(c->tls);
	int fd = c->tls_fd;

	event_drop(c);
	stats_add(STATS_C_deliver_tls, 1);
	if (tls_conn_resumed(c->tls))
		stats_add(STATS_C_deliver_tls_resumed, 1);
	if (trust != TLS_TRUST_VERIFIED &&
	    (tls_plan_must_match(plan) || c->dest->conf->smtp_tls_loglevel > 1))
		log_info("certificate verification failed for %s: %s",
		    c->target->relay, tls_conn_error(c->tls));
	log_established(c);
	if (trust != TLS_TRUST_VERIFIED && tls_plan_must_match(plan)) {
		not_verified(c);
		return;
	}
	if (trust == TLS_TRUST_VERIFIED && !plan->hearsay)
		stats_add(STATS_C_deliver_tls_verified, 1);
	c->tls_fd = -1;
	smtp_session_secured(c, fd);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg);
}

static void
wait_for(struct smtp_conn *c, short what)
{
	event_drop(c);
	c->tls_event =
	    event_new(loop_base(c->s->d->loop), c->tls_fd, what, on_ready, c);
	if (c->tls_event == NULL || event_add(c->tls_event, NULL) == -1)
		log_fatal("event for a handshake: no memory");
}

static void
step(struct smtp_conn *c)
{
	switch (tls_conn_handshake(c->tls)) {
	case TLS_DONE:
		established(c);
		break;
	case TLS_WANT_READ:
		wait_for(c, EV_READ);
		break;
	case TLS_WANT_WRITE:
		wait_for(c, EV_WRITE);
		break;
	case TLS_WANT_KEY:
		event_drop(c);
		break;
	case TLS_ENDED:
	case TLS_FAILED:
		handshake_failed(c, tls_conn_error(c->tls));
		break;
	}
}

static void
on_key(void *arg)
{
	struct smtp_conn *c = arg;

	if (c->tls != NULL && c->tls_fd != -1)
		step(c);
}

void
smtp_tls_timeout(struct smtp_conn *c)
{
	handshake_failed(c, "Connection timed out");
}

void
smtp_tls_begin(struct smtp_conn *c, int fd)
{
	struct tls_expect e;
	char *key;

	c->tls_fd = fd;
	if (c->dest->tls == NULL) {
		fd_close(&c->tls_fd);
		host_failed(c, ENHANCED(4, 7, 5),
		    "TLS is required, but our "
		    "TLS engine is unavailable");
		return;
	}
	/* What was proven to us there, under these demands, and nowhere else. */
	key = xasprintf("%s %s", c->target->relay, c->target->plan->key);
	tls_plan_expect(c->target->plan, key, &e);
	c->tls = tls_conn_connect(c->dest->tls, fd, &e, on_key, c);
	xfree(key);
	if (c->tls == NULL) {
		fd_close(&c->tls_fd);
		host_failed(
		    c, ENHANCED(4, 7, 5), "client TLS configuration problem");
		return;
	}
	loop_timer_set(
	    c->s->d->loop, &c->timer, c->dest->conf->smtp_starttls_timeout);
	step(c);
}
