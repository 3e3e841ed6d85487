/* SPDX-License-Identifier: ISC */
/*
 * destination.c: the window of a destination, its death and revival.
 *
 * Run by qmgr. The feedback is Postfix's: each success makes room for one
 * more, each failure of the next hop takes one away, and when a whole window
 * of deliveries has failed without a success the destination is dead: its
 * mail waits without being tried, at first for the least backoff, then for
 * twice as long each time.
 */
#include "qmgr/destination.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Known destinations without work. */
#define IDLE_MAX	20000
/* Waits in a worker behind the dot of the one before (messages.def, JOB). */
#define PIPELINE	2
/* A local disk needs no slow start: its syncs serve all at once. */
#define MAILBOX_WINDOW	500
#define DEATH_MAX_DOUBLINGS	8

static bool
is_remote(const struct destination *d)
{
	return d->transport->type == TRANSPORT_SMTP || d->transport->type == TRANSPORT_LMTP;
}

static double
first_window(const struct destination *d)
{
	const struct conf *c = d->transport->conf;
	int64_t n = c->initial_destination_concurrency;

	if (!is_remote(d))
		return MAILBOX_WINDOW;
	return (double)(n < c->destination_concurrency_limit ? n :
	    c->destination_concurrency_limit);
}

unsigned
sched_window(const struct destination *d)
{
	return d->window < 1 ? 1 : (unsigned)d->window;
}

unsigned
destination_allowance(const struct destination *d)
{
	const struct conf *c = d->transport->conf;

	if (!is_remote(d))
		return MAILBOX_WINDOW;
	if (c->destination_rate_delay > 0)
		return 1;
	/* Trouble, or a limit that means to be one at a time: nothing waits in a worker. */
	if (d->fail_cohorts > 0 || c->destination_concurrency_limit == 1)
		return sched_window(d);
	return sched_window(d) * PIPELINE;
}

struct destination *
sched_destination(struct sched *s, struct route *r)
{
	struct destination *d = r->dest;
	struct transport *t;
	int i;

	if (d != NULL)
		return d;
	t = sched_transport(s, route_transport(r));
	if (t == NULL)
		return NULL;
	d = XNEW(struct destination);
	d->route = route_ref(r);
	d->transport = t;
	d->window = first_window(d);
	for (i = 0; i < SCHED_CLASSES; i++)
		TAILQ_INIT(&d->classes[i]);
	heap_node_init(&d->timer);
	r->dest = d;
	t->ndestinations++;
	s->ndestinations++;
	d->is_idle = true;
	TAILQ_INSERT_TAIL(&s->idle, d, idle);
	return d;
}

void
destination_free(struct sched *s, struct destination *d)
{
	struct sched_group *g;
	struct sched_entry *e;
	int c;

	if (d == NULL)
		return;
	for (c = 0; c < SCHED_CLASSES; c++) {
		while ((g = TAILQ_FIRST(&d->classes[c])) != NULL) {
			while ((e = TAILQ_FIRST(&g->entries)) != NULL) {
				TAILQ_REMOVE(&g->entries, e, link);
				xfree(e);
			}
			TAILQ_REMOVE(&d->classes[c], g, link);
			xfree(g);
		}
	}
	destination_unready(d);
	heap_remove(&s->timers, &d->timer);
	if (d->is_idle)
		TAILQ_REMOVE(&s->idle, d, idle);
	d->transport->ndestinations--;
	s->ndestinations--;
	d->route->dest = NULL;
	route_release(s->routes, d->route);
	xfree(d->last_error);
	xfree(d->last_dsn);
	xfree(d);
}

/* ---- without work ---- */

void
destination_busy(struct sched *s, struct destination *d)
{
	if (!d->is_idle)
		return;
	TAILQ_REMOVE(&s->idle, d, idle);
	d->is_idle = false;
}

static bool
worth_keeping(const struct sched *s, const struct destination *d)
{
	return d->dead_until_ms != 0 || d->next_ms > s->now_ms() ||
	    s->ndestinations <= IDLE_MAX;
}

void
destination_maybe_idle(struct sched *s, struct destination *d)
{
	struct destination *oldest;

	if (d->entries > 0 || d->active > 0 || d->is_idle)
		return;
	if (!worth_keeping(s, d)) {
		destination_free(s, d);
		return;
	}
	d->is_idle = true;
	TAILQ_INSERT_TAIL(&s->idle, d, idle);
	oldest = TAILQ_FIRST(&s->idle);
	if (oldest != d && s->ndestinations > IDLE_MAX)
		destination_free(s, oldest);
}

/* ---- time ---- */

void
destination_arm(struct sched *s)
{
	struct heap_node *n = heap_min(&s->timers);
	uint64_t now = s->now_ms(), wait;
	struct timeval tv;

	if (n == NULL || s->timer == NULL)
		return;
	wait = n->key > now ? n->key - now : 0;
	tv = (struct timeval){ (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };
	event_add(s->timer, &tv);
}

void
destination_timers(struct sched *s)
{
	struct heap_node *n;
	struct destination *d;
	uint64_t now = s->now_ms();

	while ((n = heap_min(&s->timers)) != NULL && n->key <= now) {
		heap_remove(&s->timers, n);
		d = HEAP_OWNER(n, struct destination, timer);
		if (d->dead_until_ms != 0 && d->dead_until_ms <= now)
			sched_revive(s, d);
		destination_check_ready(s, d);
	}
	destination_arm(s);
}

/* ---- death ---- */

bool
sched_dead(const struct sched *s, const struct destination *d)
{
	return d->dead_until_ms > s->now_ms();
}

void
sched_revive(struct sched *s, struct destination *d)
{
	d->dead_until_ms = 0;
	d->fail_cohorts = 0;
	d->window = first_window(d);
	destination_check_ready(s, d);
}

static uint64_t
death_ms(const struct destination *d)
{
	const struct conf *c = d->transport->conf;
	uint64_t ms = c->minimal_backoff_time > 0 ? c->minimal_backoff_time : 1000;
	unsigned n = d->deaths < DEATH_MAX_DOUBLINGS ? d->deaths : DEATH_MAX_DOUBLINGS;

	ms <<= n;
	return ms < c->maximal_backoff_time ? ms : c->maximal_backoff_time;
}

static void
die(struct sched *s, struct destination *d)
{
	struct view nexthop = route_nexthop(d->route);

	d->dead_until_ms = s->now_ms() + death_ms(d);
	d->deaths++;
	log_info("destination %s:%.*s suspended for %llu s: %s", d->transport->name,
	    VIEW_ARG(nexthop), (unsigned long long)(death_ms(d) / 1000),
	    d->last_error != NULL ? d->last_error : "?");
	heap_update(&s->timers, &d->timer, d->dead_until_ms);
	destination_arm(s);
	destination_suspend(s, d);
}

static void
succeeded(struct destination *d)
{
	double limit = (double)d->transport->conf->destination_concurrency_limit;

	d->fail_cohorts = 0;
	d->deaths = 0;
	if (is_remote(d) && d->window < limit)
		d->window += 1;
	if (is_remote(d) && d->window > limit)
		d->window = limit;
}

static void
failed(struct sched *s, struct destination *d, struct view dsn, struct view error)
{
	int64_t limit = d->transport->conf->destination_concurrency_failed_cohort_limit;

	xfree(d->last_error);
	xfree(d->last_dsn);
	d->last_error = view_dup(view_head(error, 300));
	d->last_dsn = view_dup(view_head(dsn, 16));
	d->last_error_ms = clock_wall_ms();
	if (!is_remote(d) || d->dead_until_ms != 0)
		return;
	d->fail_cohorts += 1.0 / sched_window(d);
	if (d->window > 1)
		d->window -= 1;
	/* A shade less, so that five times a fifth is one. */
	if (limit > 0 && d->fail_cohorts >= (double)limit - 0.001)
		die(s, d);
}

void
sched_job_done(struct sched *s, struct destination *d, enum sched_feedback f, struct view dsn,
    struct view error)
{
	ASSERT(d->active > 0 && d->transport->active > 0);
	d->active--;
	d->transport->active--;
	if (f == SCHED_OK)
		succeeded(d);
	else if (f == SCHED_FAILED)
		failed(s, d, dsn, error);
	destination_check_ready(s, d);
	destination_maybe_idle(s, d);
	sched_kick(s);
}
