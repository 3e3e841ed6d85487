/* SPDX-License-Identifier: ISC */
/*
 * smtp_connect.c: brings one connection of a destination into being.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. Addresses are tried in their
 * order; while one has not answered for 250 ms the next of the same rank is
 * tried beside it (RFC 8305), the first that connects is kept. A host that
 * refuses before a transaction began is passed over for the next one. When
 * all are used up the destination hears of the last failure, or the job that
 * the connection was made for has it as its result.
 */
#include "deliver/smtp.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/dns_client.h"
#include "sys/fd.h"
#include "sys/stats.h"

/* RFC 8305 5: connection attempt delay. */
#define RACE_DELAY_MS	250

static void	try_next(struct smtp_conn *);

static void
try_close(struct smtp_try *t)
{
	if (t->event != NULL)
		event_free(t->event);
	t->event = NULL;
	fd_close(&t->fd);
}

static void
tries_close(struct smtp_conn *c)
{
	unsigned i;

	for (i = 0; i < SMTP_TRIES_MAX; i++)
		try_close(&c->tries[i]);
	if (c->race != NULL)
		event_del(c->race);
}

static bool
tries_open(const struct smtp_conn *c)
{
	unsigned i;

	for (i = 0; i < SMTP_TRIES_MAX; i++)
		if (c->tries[i].fd != -1)
			return true;
	return false;
}

void
smtp_conn_kill(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;
	struct smtp *s = c->s;

	if (c->state == SMTP_CONN_DEAD)
		return;
	loop_timer_clear(s->d->loop, &c->timer);
	tries_close(c);
	smtp_tls_end(c);
	if (c->has_stream)
		stream_close(&c->stream);
	if (dest != NULL) {
		if (c->state == SMTP_CONN_IDLE)
			TAILQ_REMOVE(&dest->idle, c, idle_link);
		if (c->state < SMTP_CONN_BUSY && !c->bound)
			dest->nconnecting--;
		TAILQ_REMOVE(&dest->conns, c, link);
		dest->nconns--;
		c->dest = NULL;
	} else {
		TAILQ_REMOVE(&s->quitting, c, link);
	}
	c->state = SMTP_CONN_DEAD;
	TAILQ_INSERT_TAIL(&s->dead, c, link);
	loop_defer(s->d->loop, &s->bury);
}

/* Callbacks of the turn have returned: memory may go. */
void
smtp_conn_bury(void *arg)
{
	struct smtp *s = arg;
	struct smtp_conn *c;

	while ((c = TAILQ_FIRST(&s->dead)) != NULL) {
		TAILQ_REMOVE(&s->dead, c, link);
		ASSERT(c->nworks == 0 && c->job == NULL);
		if (c->has_client)
			smtp_client_fini(&c->client);
		if (c->race != NULL)
			event_free(c->race);
		smtp_order_fini(&c->order);
		smtp_failure_fini(&c->failure);
		xfree(c);
	}
}

/* Nothing is left to try. */
static void
give_up(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;
	struct smtp_failure f = c->failure;
	struct job *j = c->job;

	memset(&c->failure, 0, sizeof(c->failure));
	if (f.text == NULL)
		smtp_failure_set(&f, JOB_DEFERRED, ENHANCED(4, 4, 1), NULL,
		    VIEW("no address could be tried"));
	c->job = NULL;
	smtp_conn_kill(c);
	if (j != NULL) {
		smtp_failure_result(&f, j);
		smtp_dest_schedule(dest);
	} else {
		smtp_dest_connect_failed(dest, &f);
	}
	smtp_failure_fini(&f);
}

/* The session there is over, whatever it was. */
static void
leave_host(struct smtp_conn *c)
{
	smtp_tls_end(c);
	if (c->has_stream) {
		stream_close(&c->stream);
		c->has_stream = false;
	}
	if (c->has_client) {
		smtp_client_fini(&c->client);
		c->has_client = false;
	}
	c->in_clear = c->tls_due = false;
	c->state = SMTP_CONN_CONNECTING;
}

void
smtp_conn_host_failed(struct smtp_conn *c, struct smtp_failure *f)
{
	/*
	 * A message that one host could not get for the time being does not
	 * come back because another one never can (RFC 8689).
	 */
	if (f->what == JOB_BOUNCED && c->dest->need == TLS_NEED_REQUIRED &&
	    c->failure.text != NULL && c->failure.what == JOB_DEFERRED) {
		smtp_failure_fini(f);
	} else {
		smtp_failure_fini(&c->failure);
		c->failure = *f;
		memset(f, 0, sizeof(*f));
	}
	leave_host(c);
	try_next(c);
}

void
smtp_conn_retry_in_clear(struct smtp_conn *c)
{
	leave_host(c);
	c->clear = c->target;
	try_next(c);
}

static void
connect_failed(struct smtp_conn *c, const struct smtp_target *t, int error)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_printf(&b, "connect to %s: %s", t->relay, strerror(error));
	log_info("%s", buf_cstr(&b));
	smtp_failure_set(
	    &c->failure, JOB_DEFERRED, ENHANCED(4, 4, 1), NULL, buf_view(&b));
	buf_fini(&b);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct smtp_try *t = arg;
	struct smtp_conn *c = t->conn;
	const struct smtp_target *target = t->target;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		try_close(t);
		c->clear = NULL;
		connect_failed(c, target, error);
		if (!tries_open(c))
			try_next(c);
		return;
	}
	event_free(t->event);
	t->event = NULL;
	t->fd = -1;
	tries_close(c);
	c->in_clear = c->clear == target;
	c->clear = NULL;
	smtp_session_begin(c, fd, target);
}

static int
bind_local(const struct smtp_conn *c, int fd, const struct smtp_target *t)
{
	const struct conf *conf = c->dest->conf;
	struct sockaddr_storage ss;
	struct domain_literal lit;
	const char *text;
	socklen_t len;

	if (t->port == 0)
		return 0;
	text = t->sa.ss.ss_family == AF_INET6 ? conf->smtp_bind_address6 :
						conf->smtp_bind_address;
	if (*text == '\0' || domain_parse_ip(view_str(text), &lit) != 0)
		return 0;
	len = dns_put_sockaddr(&lit, 0, &ss);
	return bind(fd, (struct sockaddr *)&ss, len);
}

/* 0 when it goes on in the background, else errno. */
static int
try_start(struct smtp_conn *c, struct smtp_try *t,
    const struct smtp_target *target)
{
	int fd, one = 1, error;

	fd = socket(target->sa.ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return errno;
	if (target->port != 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind_local(c, fd, target) == -1 ||
	    (connect(fd, (const struct sockaddr *)&target->sa,
		 target->sa_len) == -1 &&
		errno != EINPROGRESS)) {
		error = errno;
		close(fd);
		return error;
	}
	t->conn = c;
	t->target = target;
	t->fd = fd;
	t->event =
	    event_new(loop_base(c->s->d->loop), fd, EV_WRITE, on_connected, t);
	if (t->event == NULL || event_add(t->event, NULL) == -1)
		log_fatal("event for a connection: no memory");
	loop_timer_set(
	    c->s->d->loop, &c->timer, c->dest->conf->smtp_connect_timeout);
	return 0;
}

static const struct smtp_target *
next_target(const struct smtp_conn *c)
{
	return smtp_order_target(&c->order, c->next_target);
}

static void
race_arm(struct smtp_conn *c, const struct smtp_target *now)
{
	static const struct timeval delay = { 0, RACE_DELAY_MS * 1000 };
	const struct smtp_target *next = next_target(c);

	if (next != NULL && next->rank == now->rank)
		event_add(c->race, &delay);
}

static void
try_next(struct smtp_conn *c)
{
	const struct smtp_target *target;
	struct smtp_try *t = NULL;
	unsigned i;
	int error;

	for (i = 0; i < SMTP_TRIES_MAX && t == NULL; i++)
		if (c->tries[i].fd == -1)
			t = &c->tries[i];
	if (t == NULL)
		return;
	while (
	    (target = c->clear != NULL ? c->clear : next_target(c)) != NULL) {
		if (c->clear == NULL)
			c->next_target++;
		error = try_start(c, t, target);
		if (error == 0) {
			if (c->clear == NULL)
				race_arm(c, target);
			return;
		}
		c->clear = NULL;
		connect_failed(c, target, error);
	}
	if (!tries_open(c))
		give_up(c);
}

static void
on_race(evutil_socket_t fd, short what, void *arg)
{
	struct smtp_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == SMTP_CONN_CONNECTING && tries_open(c) &&
	    next_target(c) != NULL)
		try_next(c);
}

void
smtp_conn_timeout(void *arg)
{
	struct smtp_conn *c = arg;
	const struct smtp_target *last = NULL;
	unsigned i;

	if (c->state != SMTP_CONN_CONNECTING) {
		smtp_session_timeout(c);
		return;
	}
	c->clear = NULL;
	for (i = 0; i < SMTP_TRIES_MAX; i++) {
		if (c->tries[i].fd == -1)
			continue;
		last = c->tries[i].target;
		connect_failed(c, last, ETIMEDOUT);
		try_close(&c->tries[i]);
	}
	try_next(c);
}

static struct smtp_conn *
conn_alloc(struct smtp_dest *dest)
{
	struct smtp_conn *c = XNEW(struct smtp_conn);
	unsigned i;

	c->s = dest->s;
	c->dest = dest;
	c->state = SMTP_CONN_CONNECTING;
	for (i = 0; i < SMTP_TRIES_MAX; i++)
		c->tries[i].fd = -1;
	c->tls_fd = -1;
	c->race = evtimer_new(loop_base(dest->s->d->loop), on_race, c);
	if (c->race == NULL)
		log_fatal("timer for a connection: no memory");
	loop_timer_init(&c->timer, smtp_conn_timeout, c);
	TAILQ_INSERT_TAIL(&dest->conns, c, link);
	dest->nconns++;
	return c;
}

void
smtp_conn_new(struct smtp_dest *dest)
{
	struct smtp_conn *c = conn_alloc(dest);

	smtp_order_init(&c->order, dest);
	dest->nconnecting++;
	try_next(c);
}

void
smtp_conn_new_for(struct smtp_dest *dest, struct job *j)
{
	struct smtp_conn *c = conn_alloc(dest);
	const struct smtp_tour *t = j->tour;

	smtp_order_copy(&c->order, &t->order);
	c->next_target = t->at;
	c->bound = true;
	c->job = j;
	try_next(c);
}
