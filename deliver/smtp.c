/* SPDX-License-Identifier: ISC */
/*
 * smtp.c: the smtp and lmtp roles: destinations and who serves them.
 *
 * Runs as a user of its own in an empty root (lmtp: in the file system, to
 * reach its sockets), may connect and nothing else; sees the messages of its
 * jobs. One process drives thousands of connections.
 *
 * A destination is a transport and a next hop. A job goes to an idle
 * connection of its destination; else a new one is made, up to the
 * destination's concurrency limit; else it waits, and is taken by the first
 * connection that has put its final dot out. One that a host has failed goes
 * on to the next host by a connection made for it (smtp_tour.c).
 */
#include "deliver/smtp.h"

#include <sys/socket.h>

#include <ifaddrs.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

/*
 * A destination nobody uses is forgotten with its route, and with the host
 * that its next attempt is to avoid: longer than the first waits of
 * retry_schedule.
 */
#define DEST_LINGER_MS	180000
#define NOFILE		65536

static struct smtp *
context(struct deliver *d)
{
	struct smtp *s = d->ctx;

	if (s != NULL)
		return s;
	s = d->ctx = XNEW(struct smtp);
	s->d = d;
	s->lmtp = d->role->role == IPC_ROLE_lmtp;
	s->dests = map_new();
	s->tls_clients = map_new();
	s->keys = tls_keys_new(d->loop, d->role->role);
	TAILQ_INIT(&s->dead);
	TAILQ_INIT(&s->quitting);
	s->bury.fn = smtp_conn_bury;
	s->bury.arg = s;
	return s;
}

/* ---- our own addresses (loops) ---- */

static void
own_add(struct smtp *s, const struct domain_literal *a)
{
	s->own = xreallocarray(s->own, s->nown + 1, sizeof(*s->own));
	s->own[s->nown++] = *a;
}

static void
own_add_sockaddr(struct smtp *s, const struct sockaddr *sa)
{
	struct domain_literal lit;

	memset(&lit, 0, sizeof(lit));
	if (sa->sa_family == AF_INET) {
		lit.family = DOMAIN_INET4;
		memcpy(lit.bytes,
		    &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
		    4);
	} else if (sa->sa_family == AF_INET6) {
		lit.family = DOMAIN_INET6;
		memcpy(lit.bytes,
		    &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
		    16);
	} else {
		return;
	}
	own_add(s, &lit);
}

static void
own_list(struct smtp *s, const char *text)
{
	struct view list = view_str(text), item;
	struct domain_literal lit;

	while (conf_list_next(&list, &item)) {
		if (domain_parse_ip(item, &lit) == 0 ||
		    domain_parse_literal(item, &lit) == 0) {
			own_add(s, &lit);
		} else if (view_eq(item, VIEW("loopback-only")) ||
		    view_eq(item, VIEW("localhost"))) {
			domain_parse_ip(VIEW("127.0.0.1"), &lit);
			own_add(s, &lit);
			domain_parse_ip(VIEW("::1"), &lit);
			own_add(s, &lit);
		}
	}
}

static void
own_init(struct smtp *s)
{
	const struct conf *conf = deliver_conf(s->d);
	struct ifaddrs *all, *i;

	if (strcmp(conf->inet_interfaces, "all") != 0) {
		own_list(s, conf->inet_interfaces);
	} else if (getifaddrs(&all) == 0) {
		for (i = all; i != NULL; i = i->ifa_next)
			if (i->ifa_addr != NULL)
				own_add_sockaddr(s, i->ifa_addr);
		freeifaddrs(all);
	}
	own_list(s, conf->proxy_interfaces);
}

bool
smtp_address_is_ours(const struct smtp *s, const struct domain_literal *a)
{
	size_t n = a->family == DOMAIN_INET6 ? 16 : 4, i;

	for (i = 0; i < s->nown; i++)
		if (s->own[i].family == a->family &&
		    memcmp(s->own[i].bytes, a->bytes, n) == 0)
			return true;
	return false;
}

/* listeners: NAME:FAMILY:[HOST:]PORT */
bool
smtp_port_is_ours(const struct smtp *s, uint16_t port)
{
	struct view list = view_str(deliver_conf(s->d)->listeners), item;
	ptrdiff_t colon;
	uint64_t n;

	while (!s->lmtp && conf_list_next(&list, &item)) {
		colon = view_rfind(item, ':');
		if (colon >= 0 &&
		    num_parse_u64(view_from(item, (size_t)colon + 1), 1, 65535,
			&n) == 0 &&
		    n == port)
			return true;
	}
	return false;
}

/* ---- destinations ---- */

static unsigned
ignored_caps(const char *text)
{
	static const struct {
		const char	*word;
		unsigned	 cap;
	} words[] = {
		{ "pipelining", SMTP_CAP_PIPELINING },
		{ "size", SMTP_CAP_SIZE },
		{ "8bitmime", SMTP_CAP_8BITMIME },
		{ "binarymime", SMTP_CAP_BINARYMIME },
		{ "chunking", SMTP_CAP_CHUNKING },
		{ "smtputf8", SMTP_CAP_SMTPUTF8 },
		{ "dsn", SMTP_CAP_DSN },
		{ "limits", SMTP_CAP_LIMITS },
		{ "mt-priority", SMTP_CAP_MT_PRIORITY },
		{ "starttls", SMTP_CAP_STARTTLS },
		{ "auth", SMTP_CAP_AUTH },
		{ "requiretls", SMTP_CAP_REQUIRETLS },
	};
	struct view list = view_str(text), item;
	unsigned caps = 0;
	size_t i;

	while (conf_list_next(&list, &item))
		for (i = 0; i < NELEMS(words); i++)
			if (view_caseeq(item, view_str(words[i].word)))
				caps |= words[i].cap;
	return caps;
}

static void
dest_configure(struct smtp_dest *dest)
{
	struct smtp_client_conf *cc = &dest->client_conf;

	dest->conf =
	    deliver_transport_conf(dest->s->d, view_str(dest->transport));
	cc->helo_name = dest->conf->smtp_helo_name;
	cc->myhostname = NULL;
	cc->lmtp = dest->s->lmtp;
	cc->always_ehlo = dest->conf->smtp_always_send_ehlo;
	cc->ignored_caps = ignored_caps(dest->conf->smtp_discard_ehlo_keywords);
	dest->loop_conf = *cc;
	dest->loop_conf.myhostname = dest->conf->myhostname;
	tls_client_unref(&dest->tls);
	dest->tls = smtp_tls_client(dest->s, dest->transport);
}

static void
dest_free(struct smtp_dest *dest)
{
	ASSERT(dest->nconns == 0 && dest->nwaiting == 0);
	loop_timer_clear(dest->s->d->loop, &dest->linger);
	smtp_resolver_cancel(&dest->resolver);
	smtp_route_unref(&dest->route);
	tls_client_unref(&dest->tls);
	map_del(dest->s->dests, view_of(dest->key, dest->key_len));
	xfree(dest->avoid);
	xfree(dest->transport);
	xfree(dest->nexthop);
	xfree(dest->key);
	xfree(dest);
}

static void
on_linger(void *arg)
{
	struct smtp_dest *dest = arg;

	if (dest->nconns == 0 && dest->nwaiting == 0 &&
	    TAILQ_EMPTY(&dest->again) && dest->resolver == NULL)
		dest_free(dest);
}

/* LMTP is the last step: RFC 8689 is about relaying, policy is what counts there. */
static enum tls_need
need_of(const struct smtp *s, const struct job *j)
{
	if (s->lmtp)
		return TLS_NEED_POLICY;
	return j->env.requiretls ? TLS_NEED_REQUIRED :
	    j->env.tls_optional  ? TLS_NEED_OPTIONAL :
				   TLS_NEED_POLICY;
}

static struct smtp_dest *
dest_get(struct smtp *s, const struct job *j)
{
	struct smtp_dest *dest;
	struct buf key;

	buf_init(&key, 4096);
	buf_put_view(&key, j->transport);
	buf_put_char(&key, '\0');
	buf_put_view(&key, j->nexthop);
	buf_put_char(&key, '\0');
	buf_put_char(&key, (char)('0' + need_of(s, j)));
	dest = map_get(s->dests, buf_view(&key));
	if (dest == NULL) {
		dest = XNEW(struct smtp_dest);
		dest->s = s;
		dest->transport = view_dup(j->transport);
		dest->nexthop = view_dup(j->nexthop);
		dest->need = need_of(s, j);
		map_put(s->dests, buf_view(&key), dest);
		dest->key = buf_steal(&key, &dest->key_len);
		TAILQ_INIT(&dest->waiting);
		TAILQ_INIT(&dest->again);
		TAILQ_INIT(&dest->conns);
		TAILQ_INIT(&dest->idle);
		loop_timer_init(&dest->linger, on_linger, dest);
		dest_configure(dest);
	}
	buf_fini(&key);
	return dest;
}

void
smtp_dest_avoid(struct smtp_dest *dest, const struct smtp_target *t)
{
	xfree(dest->avoid);
	dest->avoid = xstrdup(t->relay);
}

struct job *
smtp_dest_take(struct smtp_dest *dest)
{
	struct job *j = TAILQ_FIRST(&dest->waiting);

	ASSERT(j != NULL);
	TAILQ_REMOVE(&dest->waiting, j, link);
	dest->nwaiting--;
	j->role = NULL;
	return j;
}

void
smtp_dest_requeue(struct smtp_dest *dest, struct job *j)
{
	/* Its qmgr is gone or we are leaving: nobody waits for it. */
	if (j->orphan || dest->s->d->draining) {
		job_put_back_rest(j);
		job_finish(&j);
		return;
	}
	j->role = dest;
	if (j->tour != NULL) {
		TAILQ_INSERT_HEAD(&dest->again, j, link);
		return;
	}
	TAILQ_INSERT_HEAD(&dest->waiting, j, link);
	dest->nwaiting++;
}

struct job *
smtp_dest_take_again(struct smtp_dest *dest)
{
	struct job *j = TAILQ_FIRST(&dest->again);

	ASSERT(j != NULL);
	TAILQ_REMOVE(&dest->again, j, link);
	j->role = NULL;
	return j;
}

bool
smtp_dest_is_crowded(const struct smtp_dest *dest)
{
	return !TAILQ_EMPTY(&dest->again) &&
	    (int64_t)dest->nconns >= dest->conf->destination_concurrency_limit;
}

void
smtp_failure_result(const struct smtp_failure *f, struct job *j)
{
	job_result_rest(j, f->what, 0, f->dsn, view_str(f->text),
	    f->relay != NULL ? view_str(f->relay) : VIEW("none"));
	job_finish(&j);
}

static void
fail_job(struct smtp_dest *dest, const struct smtp_failure *f)
{
	smtp_failure_result(f, smtp_dest_take(dest));
}

/*
 * One connection could not be made: the job it was for fails, and all others
 * when nothing else is under way for them.
 */
void
smtp_dest_connect_failed(struct smtp_dest *dest, const struct smtp_failure *f)
{
	/* The addresses may have changed; the next try asks again. */
	smtp_route_unref(&dest->route);
	if (dest->nwaiting > 0)
		fail_job(dest, f);
	while (dest->nconns == 0 && dest->nwaiting > 0)
		fail_job(dest, f);
	smtp_dest_schedule(dest);
}

static const struct smtp_target *
find_target(const struct smtp_route *r, const char *relay)
{
	size_t i;

	for (i = 0; i < r->ntargets; i++)
		if (strcmp(r->targets[i].relay, relay) == 0)
			return &r->targets[i];
	return NULL;
}

/* Connections under a policy that is not in force any more take no more jobs. */
static void
check_conns(struct smtp_dest *dest, const struct smtp_route *r)
{
	const struct smtp_target *t;
	struct smtp_conn *c, *next;

	for (c = TAILQ_FIRST(&dest->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		t = c->target != NULL ? find_target(r, c->target->relay) : NULL;
		if (t == NULL ||
		    strcmp(t->plan->key, c->target->plan->key) == 0)
			continue;
		c->stale = true;
		if (c->state == SMTP_CONN_IDLE)
			smtp_session_quit(c);
	}
}

static void
on_route(struct smtp_route *r, void *arg)
{
	struct smtp_dest *dest = arg;

	dest->resolver = NULL;
	smtp_route_unref(&dest->route);
	check_conns(dest, r);
	if (r->ntargets == 0) {
		while (dest->nwaiting > 0)
			fail_job(dest, &r->failure);
		smtp_route_unref(&r);
		loop_timer_set(dest->s->d->loop, &dest->linger, DEST_LINGER_MS);
		return;
	}
	dest->route = r;
	smtp_dest_schedule(dest);
}

/* A route to connect by; false: it is being looked for. */
static bool
have_route(struct smtp_dest *dest)
{
	if (dest->route != NULL && dest->route->expires_ms > clock_mono_ms())
		return true;
	if (dest->resolver != NULL)
		return false;
	smtp_route_unref(&dest->route);
	dest->resolver = smtp_resolve(
	    dest->s, dest->conf, dest->nexthop, dest->need, on_route, dest);
	return dest->route != NULL;
}

static bool
wants_connection(const struct smtp_dest *dest)
{
	return dest->nwaiting > dest->nconnecting &&
	    (int64_t)dest->nconns < dest->conf->destination_concurrency_limit;
}

/*
 * No more connections may be made: behind the dot of a message that waits for
 * its reply there is room for the next one (RFC 2920). Each connection has
 * its turn.
 */
static void
pipeline_waiting(struct smtp_dest *dest)
{
	struct smtp_conn *c, *next,
	    *last = TAILQ_LAST(&dest->conns, smtp_conns);

	for (c = TAILQ_FIRST(&dest->conns); c != NULL && dest->nwaiting > 0;
	     c = next) {
		next = c == last ? NULL : TAILQ_NEXT(c, link);
		if (c->state != SMTP_CONN_BUSY || c->nworks != 1 ||
		    !smtp_client_can_begin(&c->client))
			continue;
		TAILQ_REMOVE(&dest->conns, c, link);
		TAILQ_INSERT_TAIL(&dest->conns, c, link);
		smtp_session_work(c);
	}
}

static struct smtp_conn *
idle_at(struct smtp_dest *dest, const struct smtp_target *t)
{
	struct smtp_conn *c;

	TAILQ_FOREACH (c, &dest->idle, idle_link)
		if (strcmp(c->target->relay, t->relay) == 0 &&
		    smtp_session_may_take(c))
			return c;
	return NULL;
}

/* Jobs that a host has failed, to where their tours lead. */
static void
go_to_next_hosts(struct smtp_dest *dest)
{
	struct smtp_conn *c;
	struct job *j;

	while ((j = TAILQ_FIRST(&dest->again)) != NULL) {
		c = idle_at(dest, smtp_tour_target(j));
		if (c != NULL) {
			smtp_session_take(c, smtp_dest_take_again(dest));
			continue;
		}
		if (smtp_dest_is_crowded(dest)) {
			c = TAILQ_LAST(&dest->idle, smtp_conns);
			if (c == NULL)
				return;
			smtp_session_quit(c);
		}
		smtp_conn_new_for(dest, smtp_dest_take_again(dest));
	}
}

void
smtp_dest_schedule(struct smtp_dest *dest)
{
	struct smtp_conn *c;

	/* Everything below may come back here. */
	if (dest->scheduling)
		return;
	dest->scheduling = true;
	while (dest->nwaiting > 0 && (c = TAILQ_FIRST(&dest->idle)) != NULL)
		smtp_session_work(c);
	go_to_next_hosts(dest);
	while (wants_connection(dest) && have_route(dest))
		smtp_conn_new(dest);
	if (dest->nwaiting > dest->nconnecting)
		pipeline_waiting(dest);
	dest->scheduling = false;
	if (dest->nconns == 0 && dest->nwaiting == 0)
		loop_timer_set(dest->s->d->loop, &dest->linger, DEST_LINGER_MS);
}

/* ---- the role ---- */

static void
smtp_job(struct deliver *d, struct job *j)
{
	struct smtp_dest *dest = dest_get(context(d), j);

	TAILQ_INSERT_TAIL(&dest->waiting, j, link);
	dest->nwaiting++;
	j->role = dest;
	smtp_dest_schedule(dest);
}

static void
smtp_cancel(struct deliver *d, struct job *j)
{
	struct smtp_dest *dest = j->role;

	(void)d;
	if (dest == NULL)
		return;
	if (j->tour != NULL) {
		TAILQ_REMOVE(&dest->again, j, link);
	} else {
		TAILQ_REMOVE(&dest->waiting, j, link);
		dest->nwaiting--;
	}
	j->role = NULL;
	job_put_back_rest(j);
	job_finish(&j);
}

static void
smtp_reload(struct deliver *d)
{
	struct smtp *s = context(d);
	struct smtp_dest *dest;
	struct smtp_conn *c, *next;
	size_t cursor = 0;
	void *value;

	smtp_tls_configure(s);
	while (map_next(s->dests, &cursor, NULL, &value)) {
		dest = value;
		dest_configure(dest);
		/* Made by the old rules: neither the route nor sessions last. */
		smtp_resolver_cancel(&dest->resolver);
		smtp_route_unref(&dest->route);
		for (c = TAILQ_FIRST(&dest->conns); c != NULL; c = next) {
			next = TAILQ_NEXT(c, link);
			c->stale = true;
			if (c->state == SMTP_CONN_IDLE)
				smtp_session_quit(c);
		}
		smtp_dest_schedule(dest);
	}
}

static void
pool_add(struct deliver *d, struct ipc_pool **pool, enum ipc_role peer,
    uint64_t instance, int fd)
{
	if (*pool == NULL)
		*pool = ipc_pool_new(d->loop, d->role->role, peer);
	ipc_pool_add(*pool, fd, instance);
}

static void
smtp_channel(struct deliver *d, enum ipc_role peer, uint64_t instance, int fd)
{
	struct smtp *s = context(d);

	switch (peer) {
	case IPC_ROLE_dnsd:
		pool_add(d, &s->dns, peer, instance, fd);
		break;
	case IPC_ROLE_lookupd:
		pool_add(d, &s->lookup, peer, instance, fd);
		break;
	case IPC_ROLE_certd:
		tls_keys_channel(s->keys, fd, instance);
		break;
	default:
		close(fd);
		break;
	}
}

static void
smtp_prepare(struct deliver *d)
{
	own_init(context(d));
	smtp_tls_configure(context(d));
}

static void
smtp_confine(struct deliver *d, struct sandbox_spec *spec)
{
	bool lmtp = context(d)->lmtp;

	spec->needs = SANDBOX_CONNECT_INET | (lmtp ? SANDBOX_CONNECT_UNIX : 0);
	spec->rlimit_nofile = NOFILE;
}

static void
smtp_stop(struct deliver *d)
{
	struct smtp *s = context(d);
	struct smtp_dest *dest;
	size_t cursor = 0;
	void *value;

	while (map_next(s->dests, &cursor, NULL, &value)) {
		dest = value;
		while (!TAILQ_EMPTY(&dest->conns))
			smtp_session_stop(TAILQ_FIRST(&dest->conns));
	}
}

/* No job is left: good-bye to the idle ones, as far as it goes at once. */
static void
smtp_finish(struct deliver *d)
{
	struct smtp *s = context(d);
	struct smtp_dest *dest;
	struct smtp_conn *c;
	size_t cursor = 0;
	void *value;

	while (map_next(s->dests, &cursor, NULL, &value)) {
		dest = value;
		while ((c = TAILQ_FIRST(&dest->idle)) != NULL)
			smtp_session_quit(c);
	}
	deliver_leave(d);
}

const struct deliver_role deliver_role_smtp = {
	.role = IPC_ROLE_smtp,
	.prepare = smtp_prepare,
	.confine = smtp_confine,
	.job = smtp_job,
	.cancel = smtp_cancel,
	.reload = smtp_reload,
	.channel = smtp_channel,
	.stop = smtp_stop,
	.finish = smtp_finish,
};

const struct deliver_role deliver_role_lmtp = {
	.role = IPC_ROLE_lmtp,
	.prepare = smtp_prepare,
	.confine = smtp_confine,
	.job = smtp_job,
	.cancel = smtp_cancel,
	.reload = smtp_reload,
	.channel = smtp_channel,
	.stop = smtp_stop,
	.finish = smtp_finish,
};
