/* SPDX-License-Identifier: ISC */
/*
 * connect.c: who a new client is, and the banner.
 *
 * Runs in smtpd. The name is what DNS says of the address, and only if the
 * name's own addresses contain it; anybody can claim a name in reverse DNS.
 * Until it is known the client gets no banner, so what it sends before that
 * is a sign of a program that does not listen.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

void
session_set_peer(struct session *s, const struct sockaddr *peer)
{
	struct buf text;
	const uint8_t *bytes;

	s->ip.family = DOMAIN_INET4;
	if (peer->sa_family == AF_INET6) {
		s->port = ntohs(((const struct sockaddr_in6 *)(const void *)peer)->sin6_port);
		bytes = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
		if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
			memcpy(s->ip.bytes, bytes + 12, 4);
		} else {
			s->ip.family = DOMAIN_INET6;
			memcpy(s->ip.bytes, bytes, 16);
		}
	} else if (peer->sa_family == AF_INET) {
		s->port = ntohs(((const struct sockaddr_in *)(const void *)peer)->sin_port);
		memcpy(s->ip.bytes, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
	} else {
		/* A Unix socket: this machine. */
		memcpy(s->ip.bytes, "\x7f\0\0\1", 4);
		s->trusted = true;
		s->local = true;
	}
	buf_init(&text, sizeof(s->addr) - 1);
	domain_put_ip(&text, &s->ip);
	memcpy(s->addr, buf_cstr(&text), text.len + 1);
	buf_fini(&text);
}

static bool
is_loopback(const struct domain_literal *ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (ip->family == DOMAIN_INET4)
		return ip->bytes[0] == 127;
	return memcmp(ip->bytes, one, sizeof(one)) == 0;
}

/* ---- limits ---- */

static unsigned
key_len(const struct session *s)
{
	return s->ip.family == DOMAIN_INET4 ? 4 : 16;
}

void
session_uncount(struct session *s)
{
	if (s->counted)
		client_limits_leave(s->w->limits, s->ip.bytes, key_len(s),
		    loop_now_ms(s->w->loop));
	s->counted = false;
}

uint32_t
session_count_event(struct session *s, enum client_event event)
{
	return client_limits_count(s->w->limits, s->ip.bytes, key_len(s), event,
	    s->policy->conf->anvil_rate_time_unit, loop_now_ms(s->w->loop));
}

uint32_t
session_event_rate(struct session *s, enum client_event event)
{
	return client_limits_rate(s->w->limits, s->ip.bytes, key_len(s), event,
	    s->policy->conf->anvil_rate_time_unit, loop_now_ms(s->w->loop));
}

/* Text with our name and its address; where TLS comes first it could not read it. */
static void
refuse(struct session *s, const char *what)
{
	if (!s->policy->tls_wrapper || s->tls != NULL)
		session_replyf(s, "421 4.7.0 %s Error: %s from %s", s->policy->conf->myhostname,
		    what, s->addr);
	session_close_after(s);
}

/* True if the client is over one of its limits, and was told. */
static bool
over_limits(struct session *s)
{
	const struct conf *c = s->policy->conf;
	uint64_t now = loop_now_ms(s->w->loop);
	uint32_t open, rate;
	const char *what = NULL;

	if (s->no_limits)
		return false;
	open = client_limits_enter(s->w->limits, s->ip.bytes, key_len(s), now);
	s->counted = true;
	if (c->smtpd_client_connection_count_limit > 0 &&
	    open > c->smtpd_client_connection_count_limit)
		what = "concurrency";
	if (what == NULL && c->smtpd_client_connection_rate_limit > 0) {
		rate = session_count_event(s, CLIENT_CONNECTION);
		if (rate > c->smtpd_client_connection_rate_limit)
			what = "rate";
	}
	if (what == NULL)
		return false;
	log_warn("Connection %s limit exceeded: %u from %s[%s] for service %s", what,
	    open, s->name, s->addr, s->policy->listener);
	refuse(s, "too many connections");
	return true;
}

/* ---- the banner ---- */

static bool
talks_early(struct session *s)
{
	char byte, client[SESSION_CLIENT_MAX];

	if (!s->policy->conf->smtpd_forbid_unauth_pipelining ||
	    recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || s->pregreeted)
		return false;
	session_client(s, client, sizeof(client));
	log_info("improper command pipelining after CONNECT from %s", client);
	session_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
	session_close_after(s);
	return true;
}

static void
greet(struct session *s)
{
	if (s->mode != SESSION_CLOSING) {
		s->mode = SESSION_COMMAND;
		if (!talks_early(s))
			session_replyf(s, "220 %s", s->policy->conf->smtpd_banner);
	}
	session_resume(s);
}

void
session_pregreet_over(struct session *s)
{
	greet(s);
}

static void
greet_later(struct session *s)
{
	if (s->mode != SESSION_CLOSING && session_pregreet_wanted(s))
		session_pregreet_begin(s);
	else
		greet(s);
}

static void
client_checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: CONNECT", buf_view(&c->reply), VIEW_NONE);
		session_replyf(s, "%s", buf_cstr(&c->reply));
		session_close_after(s);
	}
	greet_later(s);
}

void
session_secured(struct session *s)
{
	s->verb = SMTP_VERB_UNKNOWN;
	s->verb_counted = true;
	if (!s->policy->conf->smtpd_delay_reject)
		check_begin(s, 1 << CHECK_CLIENT, "CONNECT", NULL, VIEW_NONE, client_checked);
	else
		greet_later(s);
}

/* Implicit TLS (RFC 8314): the handshake comes before everything. */
static void
secure(struct session *s)
{
	if (!worker_has_tls(s->w, s->policy)) {
		log_error("listener %s: TLS not available due to local problem",
		    s->policy->listener);
		session_close_after(s);
		session_resume(s);
	} else if (session_tls_over_limit(s)) {
		session_close_after(s);
		session_resume(s);
	} else {
		/* Behind the queue of what runs now. */
		s->mode = SESSION_STARTTLS;
		session_resume(s);
	}
}

static void
known(struct session *s)
{
	log_info("connect from %s[%s]", s->name, s->addr);
	s->verb = SMTP_VERB_UNKNOWN;
	s->verb_counted = true;
	if (over_limits(s))
		session_resume(s);
	else if (s->policy->tls_wrapper)
		secure(s);
	else
		session_secured(s);
}

/* ---- mynetworks ---- */

static void
network_answered(int error, struct view answer, void *arg)
{
	struct session *s = arg;

	(void)answer;
	s->call = 0;
	s->trusted = error == 0;
	known(s);
}

static void
classify(struct session *s)
{
	struct view name = view_str(s->name);
	char client[SESSION_CLIENT_MAX];
	bool found = false;
	int error;

	if (match_list_client(s->policy->no_limits, name, &s->ip, &found) == 0)
		s->no_limits = found || s->trusted;
	if (match_list_client(s->policy->bare_allowed, name, &s->ip, &found) == 0)
		s->bare_allowed = found;
	if (s->trusted) {
		known(s);
		return;
	}
	error = match_list_client(s->policy->mynetworks, name, &s->ip, &found);
	if (error == PK_EUNSUPPORTED) {
		s->call = s->w->backend->access(s->w, VIEW("list:mynetworks"),
		    session_client(s, client, sizeof(client)), ACCESS_CLIENT,
		    network_answered, s);
		return;
	}
	s->trusted = error == 0 && found;
	known(s);
}

/* ---- the name ---- */

static void
name_is(struct session *s, const char *name)
{
	if (s->name != NULL)
		xfree(s->name);
	s->name = xstrdup(name);
	classify(s);
}

static void
forward_answered(const struct dns_answer *a, void *arg)
{
	struct session *s = arg;
	size_t i, n = key_len(s);

	s->dns = NULL;
	for (i = 0; a->error == 0 && i < a->count; i++) {
		if (a->addresses != NULL && a->addresses[i].family == s->ip.family &&
		    memcmp(a->addresses[i].bytes, s->ip.bytes, n) == 0) {
			classify(s);
			return;
		}
	}
	name_is(s, "unknown");
}

static void
reverse_answered(const struct dns_answer *a, void *arg)
{
	struct session *s = arg;

	s->dns = NULL;
	if (a->error != 0 || a->count == 0 || a->names == NULL ||
	    !domain_is_hostname(view_str(a->names[0]))) {
		name_is(s, "unknown");
		return;
	}
	/* A claim, until its own addresses confirm it. */
	s->name = xstrdup(a->names[0]);
	s->dns = s->w->backend->dns(s->w, view_str(s->name),
	    s->ip.family == DOMAIN_INET4 ? DNS_TYPE_A : DNS_TYPE_AAAA, forward_answered, s);
	if (s->dns == NULL)
		name_is(s, "unknown");
}

void
session_connect(struct session *s)
{
	struct buf question;

	session_wait(s);
	if (is_loopback(&s->ip)) {
		name_is(s, "localhost");
		return;
	}
	if (!s->policy->conf->smtpd_peername_lookup) {
		name_is(s, "unknown");
		return;
	}
	buf_init(&question, DNS_NAME_MAX);
	dns_put_reverse_name(&question, &s->ip);
	s->dns = s->w->backend->dns(s->w, buf_view(&question), DNS_TYPE_PTR,
	    reverse_answered, s);
	buf_fini(&question);
	if (s->dns == NULL)
		name_is(s, "unknown");
}

void
session_connect_cancel(struct session *s)
{
	if (s->dns != NULL)
		s->w->backend->dns_cancel(s->w, &s->dns);
	if (s->call != 0)
		s->w->backend->cancel(s->w, s->call);
	s->call = 0;
}
