/* SPDX-License-Identifier: ISC */
/*
 * query.c: a question on its way: overrides, cache, the same question already
 * asked, upstream; and its end by an answer or by time.
 *
 * Runs in dnsd. Askers may all be taken over: the number of questions under
 * way is limited, and who waits for one is forgotten with its channel.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "dnsd/dnsd.h"
#include "sys/stats.h"

/* More than this many names at once is an attack or a storm: "try again". */
#define QUERIES_MAX	20000

struct dnsd_waiter {
	struct query	*query;
	dnsd_answer_fn	 fn;
	void		*arg;
	TAILQ_ENTRY(dnsd_waiter) link;
};

struct query {
	struct dnsd	*d;
	char		*name;
	uint16_t	 type;
	struct upstream_query *upstream;
	struct event	*timer;
	uint64_t	 start_ns;
	TAILQ_HEAD(, dnsd_waiter) waiters;
};

void
dnsd_query_init(struct dnsd *d)
{
	d->queries = map_new();
}

static void
put_key(struct buf *b, const char *name, uint16_t type)
{
	buf_init(b, 2000);
	cache_put_key(b, name, type);
}

static void
keep(struct dnsd *d, const struct query *q, const struct answer *a)
{
	uint64_t ttl_ms = (uint64_t)a->ttl * 1000, most;

	/* Failures are not kept: the library holds them for seconds itself. */
	if (a->code != 0 && a->code != PK_ENOENT)
		return;
	most = a->code == 0 ? d->conf->dns_cache_max_ttl : d->conf->dns_cache_negative_ttl;
	if (most > d->conf->dns_cache_max_ttl)
		most = d->conf->dns_cache_max_ttl;
	cache_put(d->cache, q->name, q->type, a, ttl_ms < most ? ttl_ms : most,
	    clock_mono_ms());
}

static void
count(struct dnsd *d, const struct answer *a)
{
	if (a->security == DNS_BOGUS)
		d->stats.bogus++;
	if (a->code == 0)
		d->stats.answered++;
	else if (a->code == PK_ENOENT)
		d->stats.negative++;
	else
		d->stats.failed++;
}

/* Everybody is told, then the query is gone. Callbacks may ask anew. */
static void
finish(struct query *q, const struct answer *a)
{
	struct dnsd_waiter *w;
	struct buf key;

	put_key(&key, q->name, q->type);
	map_del(q->d->queries, buf_view(&key));
	buf_fini(&key);
	count(q->d, a);
	while ((w = TAILQ_FIRST(&q->waiters)) != NULL) {
		TAILQ_REMOVE(&q->waiters, w, link);
		w->query = NULL;
		w->fn(a, DNSD_FROM_UPSTREAM, w->arg);
		xfree(w);
	}
	upstream_cancel(&q->upstream);
	event_free(q->timer);
	xfree(q->name);
	xfree(q);
}

static void
on_answer(struct answer *a, void *arg)
{
	struct query *q = arg;

	q->upstream = NULL;
	stats_observe(STATS_H_dns_us, (clock_mono_ns() - q->start_ns) / 1000);
	keep(q->d, q, a);
	finish(q, a);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;
	struct answer a;

	(void)fd;
	(void)what;
	q->d->stats.timeouts++;
	answer_init(&a);
	answer_fail(&a, q->name, DNS_RCODE_SERVFAIL, DNS_INSECURE);
	finish(q, &a);
	answer_fini(&a);
}

static struct query *
start(struct dnsd *d, const char *name, uint16_t type, struct view key)
{
	struct query *q = XNEW(struct query);
	uint64_t ms = d->conf->dns_timeout;
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	q->d = d;
	q->name = xstrdup(name);
	q->type = type;
	q->start_ns = clock_mono_ns();
	TAILQ_INIT(&q->waiters);
	q->timer = event_new(loop_base(d->loop), -1, 0, on_timeout, q);
	if (q->timer == NULL || event_add(q->timer, &tv) == -1)
		log_fatal("out of timers");
	map_put(d->queries, key, q);
	d->stats.asked++;
	q->upstream = upstream_ask(d->upstream, name, type, on_answer, q);
	return q;
}

static struct dnsd_waiter *
wait_for(struct dnsd *d, const char *name, uint16_t type, dnsd_answer_fn fn, void *arg)
{
	struct dnsd_waiter *w;
	struct query *q;
	struct buf key;

	put_key(&key, name, type);
	q = map_get(d->queries, buf_view(&key));
	if (q != NULL)
		d->stats.joined++;
	else
		q = start(d, name, type, buf_view(&key));
	buf_fini(&key);
	w = XNEW(struct dnsd_waiter);
	w->query = q;
	w->fn = fn;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&q->waiters, w, link);
	return w;
}

struct dnsd_waiter *
dnsd_ask(struct dnsd *d, const char *name, uint16_t type, dnsd_answer_fn fn, void *arg)
{
	const struct answer *cached;
	struct answer a;

	d->stats.questions++;
	stats_add(STATS_C_dns_queries, 1);
	answer_init(&a);
	if (overrides_get(d->overrides, name, type, &a) == 0) {
		d->stats.overridden++;
		fn(&a, DNSD_FROM_OVERRIDE, arg);
		answer_fini(&a);
		return NULL;
	}
	cached = cache_get(d->cache, name, type, clock_mono_ms());
	if (cached != NULL) {
		d->stats.cached++;
		stats_add(STATS_C_dns_cache_hits, 1);
		fn(cached, DNSD_FROM_CACHE, arg);
		return NULL;
	}
	if (map_count(d->queries) >= QUERIES_MAX) {
		d->stats.refused++;
		answer_fail(&a, name, DNS_RCODE_SERVFAIL, DNS_INSECURE);
		fn(&a, DNSD_FROM_UPSTREAM, arg);
		answer_fini(&a);
		return NULL;
	}
	return wait_for(d, name, type, fn, arg);
}

void
dnsd_forget(struct dnsd_waiter **wp)
{
	struct dnsd_waiter *w = *wp;

	*wp = NULL;
	if (w == NULL || w->query == NULL)
		return;
	/* The question goes on: its answer is good for the cache. */
	TAILQ_REMOVE(&w->query->waiters, w, link);
	xfree(w);
}
