/* SPDX-License-Identifier: ISC */
/*
 * limits_redis.c: failed logins counted in Redis, for all machines that use it.
 *
 * Runs in authd's loop, without blocking. A login waits ANSWER_MS for it at
 * most; when Redis is away, slow or answers nonsense, the counters of this
 * machine are all there is (said once), and nobody is locked out for it. Of
 * what it answers only numbers are taken.
 */
#include "authd/limits_redis.h"

#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis/async.h>
#include <hiredis/adapters/libevent.h>

#include "authd/source_file.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

/* A login may take so much longer. */
#define ANSWER_MS	200
/* Not answered in time so often in a row: the connection is given up. */
#define SLOW_MAX	3
#define RECONNECT_MS	3000
#define SECRET_MAX	1024
/* What waits for Redis; more is not asked. */
#define INFLIGHT_MAX	2000
#define PREFIX		"postkeep:auth:"

struct redis {
	struct loop	*loop;
	char		*host, *secret;
	int		 port;		/* 0: a Unix socket */
	redisAsyncContext *ac;		/* NULL: none */
	bool		 connected;
	bool		 said;		/* that it is away */
	unsigned	 slow, inflight;
	struct event	*again;
};

struct question {
	struct redis	*r;
	void		(*fn)(const struct limits_counts *c, void *arg);
	void		*arg;
	struct event	*timer;
	bool		 asked;		/* Redis' answer, or its end, is still to come */
	bool		 over;		/* answered or cancelled */
};

static const char *const kinds[LIMITS_KINDS] = {
	[LIMITS_CLIENT] = "client", [LIMITS_ACCOUNT] = "account", [LIMITS_PAIR] = "pair",
	[LIMITS_KNOWN] = "known",
};

/* ---- the connection ---- */

static void	connect_now(struct redis *r);

static void
say_away(struct redis *r, const char *why)
{
	if (!r->said)
		log_warn("auth_redis_server: %s: %s; failed logins are counted on this machine "
		    "alone", r->host, why);
	r->said = true;
}

static void
connect_later(struct redis *r)
{
	struct timeval tv = { RECONNECT_MS / 1000, RECONNECT_MS % 1000 * 1000 };

	event_add(r->again, &tv);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	connect_now(arg);
}

static void
on_connect(const redisAsyncContext *ac, int status)
{
	struct redis *r = ac->data;

	if (status == REDIS_OK)
		return;
	/* The context is freed behind us. */
	say_away(r, ac->errstr);
	r->ac = NULL;
	connect_later(r);
}

static void
on_disconnect(const redisAsyncContext *ac, int status)
{
	struct redis *r = ac->data;

	if (r == NULL)
		return;
	say_away(r, status == REDIS_OK ? "connection given up" : ac->errstr);
	r->ac = NULL;
	r->connected = false;
	connect_later(r);
}

/* The first answer: it is there, and lets us in. */
static void
on_hello(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *a = reply;
	struct redis *r = arg;

	if (a == NULL)
		return;
	if (a->type == REDIS_REPLY_ERROR) {
		say_away(r, a->str);
		redisAsyncDisconnect(ac);
		return;
	}
	if (r->said)
		log_info("auth_redis_server: %s: answers again", r->host);
	r->connected = true;
	r->said = false;
	r->slow = 0;
}

static void
connect_now(struct redis *r)
{
	redisAsyncContext *ac = r->port == 0 ? redisAsyncConnectUnix(r->host) :
	    redisAsyncConnect(r->host, r->port);

	if (ac == NULL || ac->err != 0) {
		say_away(r, ac != NULL ? ac->errstr : "no memory");
		if (ac != NULL)
			redisAsyncFree(ac);
		connect_later(r);
		return;
	}
	ac->data = r;
	r->ac = ac;
	r->connected = false;
	redisLibeventAttach(ac, loop_base(r->loop));
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	if (r->secret[0] != '\0')
		redisAsyncCommand(ac, NULL, NULL, "AUTH %s", r->secret);
	redisAsyncCommand(ac, on_hello, r, "PING");
}

/* ---- questions ---- */

static void
question_free(struct question *q)
{
	event_free(q->timer);
	xfree(q);
}

static void
question_end(struct question *q, const struct limits_counts *c)
{
	void (*fn)(const struct limits_counts *, void *) = q->fn;
	void *arg = q->arg;

	if (q->over)
		return;
	q->over = true;
	event_del(q->timer);
	if (!q->asked)
		question_free(q);
	fn(c, arg);
}

/* Callbacks of what is under way come from within: their logins go on. */
static void
give_up(struct redis *r, const char *why)
{
	say_away(r, why);
	r->connected = false;
	redisAsyncFree(r->ac);
	/* One that was never connected says nothing of its end. */
	if (r->ac != NULL) {
		r->ac = NULL;
		connect_later(r);
	}
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	static const struct limits_counts nothing;
	struct question *q = arg;
	struct redis *r = q->r;
	bool slow = q->asked && ++r->slow >= SLOW_MAX;

	(void)fd, (void)what;
	question_end(q, &nothing);
	if (slow && r->ac != NULL)
		give_up(r, "no answer in time");
}

static uint32_t
count_of(const redisReply *a)
{
	uint64_t n = 0;

	if (a->type != REDIS_REPLY_STRING ||
	    num_parse_u64(view_of(a->str, (size_t)a->len), 0, UINT32_MAX, &n) != 0)
		return 0;
	return (uint32_t)n;
}

static void
on_counts(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *a = reply;
	struct question *q = arg;
	struct limits_counts c = { 0 };
	size_t i;

	(void)ac;
	q->r->inflight--;
	q->asked = false;
	if (q->over) {
		question_free(q);
		return;
	}
	if (a != NULL && a->type == REDIS_REPLY_ARRAY && a->elements == LIMITS_KINDS - 1) {
		q->r->slow = 0;
		for (i = 1; i < LIMITS_KNOWN; i++)
			c.count[i] = count_of(a->element[i - 1]);
		c.known = a->element[LIMITS_KNOWN - 1]->type == REDIS_REPLY_STRING;
	}
	question_end(q, &c);
}

static void *
redis_ask(void *remote, const char *client, const char *account, const char *pair,
    void (*fn)(const struct limits_counts *c, void *arg), void *arg)
{
	struct redis *r = remote;
	struct question *q = XNEW(struct question);
	struct timeval tv = { 0, 0 };

	q->r = r;
	q->fn = fn;
	q->arg = arg;
	q->timer = evtimer_new(loop_base(r->loop), on_timeout, q);
	if (r->connected && r->inflight < INFLIGHT_MAX && redisAsyncCommand(r->ac, on_counts, q,
	    "MGET " PREFIX "client:%s " PREFIX "account:%s " PREFIX "pair:%s " PREFIX "known:%s",
	    client, account, pair, pair) == REDIS_OK) {
		q->asked = true;
		r->inflight++;
		tv.tv_usec = ANSWER_MS * 1000;
	}
	/* Not asked: answered in the next turn. */
	event_add(q->timer, &tv);
	return q;
}

static void
redis_cancel(void *remote, void *question)
{
	struct question *q = question;

	(void)remote;
	q->over = true;
	event_del(q->timer);
	if (!q->asked)
		question_free(q);
}

/* ---- what happened here ---- */

static void
on_done(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;

	(void)ac, (void)reply;
	r->inflight--;
}

static bool
has_room(struct redis *r)
{
	return r->connected && r->inflight < INFLIGHT_MAX;
}

static void
redis_add(void *remote, enum limits_kind kind, const char *key, uint64_t unit_ms)
{
	/* The window begins with its first failure. */
	static const char script[] = "local n = redis.call('INCR', KEYS[1]) "
	    "if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n";
	struct redis *r = remote;

	if (has_room(r) && redisAsyncCommand(r->ac, on_done, r, "EVAL %s 1 " PREFIX "%s:%s %llu",
	    script, kinds[kind], key, (unsigned long long)unit_ms) == REDIS_OK)
		r->inflight++;
}

static void
redis_mark(void *remote, const char *pair, uint64_t keep_ms)
{
	struct redis *r = remote;

	if (has_room(r) && redisAsyncCommand(r->ac, on_done, r, "SET " PREFIX "known:%s 1 PX %llu",
	    pair, (unsigned long long)keep_ms) == REDIS_OK)
		r->inflight++;
}

static void
redis_clear(void *remote, enum limits_kind kind, const char *key)
{
	struct redis *r = remote;

	if (has_room(r) && redisAsyncCommand(r->ac, on_done, r, "DEL " PREFIX "%s:%s", kinds[kind],
	    key) == REDIS_OK)
		r->inflight++;
}

/* ---- life ---- */

static void
redis_free(void *remote)
{
	struct redis *r = remote;

	if (r->ac != NULL) {
		r->ac->data = NULL;
		redisAsyncFree(r->ac);
	}
	event_free(r->again);
	xfree(r->host);
	xfree_secret(r->secret, strlen(r->secret));
	xfree(r);
}

const struct limits_remote limits_redis_ops = {
	.ask = redis_ask,
	.cancel = redis_cancel,
	.add = redis_add,
	.mark = redis_mark,
	.clear = redis_clear,
	.free = redis_free,
};

/* To an address: the confined process resolves nothing. */
static int
resolve(char **host, const char *port, struct buf *why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char text[NI_MAXHOST];
	int rc;

	rc = getaddrinfo(*host, port, &hints, &list);
	if (rc == 0) {
		rc = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
		    NI_NUMERICHOST);
		freeaddrinfo(list);
	}
	if (rc != 0) {
		buf_printf(why, "auth_redis_server: %s: %s", *host, gai_strerror(rc));
		return PK_ENOENT;
	}
	xfree(*host);
	*host = xstrdup(text);
	return 0;
}

static int
read_secret(struct redis *r, const char *path, struct buf *why)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, SECRET_MAX);
	if (path[0] != '\0' && (rc = fd_read_file(AT_FDCWD, path, &b)) != 0)
		buf_printf(why, "auth_redis_password_file: %s: %s", path, pk_strerror(rc));
	while (b.len > 0 && ascii_isspace(buf_data(&b)[b.len - 1]))
		buf_truncate(&b, b.len - 1);
	r->secret = view_dup(buf_view(&b));
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	return rc;
}

void *
limits_redis_new(struct loop *l, const struct conf *conf, struct buf *why)
{
	struct redis *r = XNEW(struct redis);
	uint64_t number = 6379;
	char *port;
	int rc;

	r->loop = l;
	source_host_split(view_str(conf->auth_redis_server), &r->host, &port);
	rc = read_secret(r, conf->auth_redis_password_file, why);
	if (rc == 0 && r->host[0] != '/') {
		if (port[0] != '\0')
			rc = num_parse_u64(view_str(port), 1, 65535, &number);
		if (rc != 0)
			buf_printf(why, "auth_redis_server: \"%s\" is no port", port);
		else
			rc = resolve(&r->host, port, why);
		r->port = (int)number;
	}
	xfree(port);
	r->again = evtimer_new(loop_base(l), on_again, r);
	if (rc != 0) {
		redis_free(r);
		return NULL;
	}
	/* In the first turn: confined by then. */
	event_active(r->again, EV_TIMEOUT, 0);
	return r;
}
