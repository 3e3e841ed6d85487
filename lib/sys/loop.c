/* SPDX-License-Identifier: ISC */
/*
 * loop.c: the event loop of every process.
 *
 * A thin layer over libevent: turns with a queue of deferred calls behind
 * them, and a wheel of one-second slots for timers that exist by the
 * thousand (libevent's own heap costs O(log n) and a node each). The wheel
 * sleeps until its first used slot, so that an idle process does not wake.
 * Runs in every role with that role's rights; reads nothing from outside.
 */
#include "sys/loop.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Longer delays go round once more; a session's timeouts are below this. */
#define WHEEL_SLOTS	512

/* Deferred calls that defer again (a log line of a flush) run in the same
 * turn up to this depth; then other descriptors get their turn. */
#define DEFER_ROUNDS	4

TAILQ_HEAD(deferred_list, loop_deferred);
TAILQ_HEAD(timer_list, loop_timer);

struct loop {
	struct event_base *base;
	struct event	*wheel_event;
	struct event	*limit_event;	/* of loop_turn(timeout) */
	struct deferred_list deferred;
	struct loop_deferred marker;
	bool		 stop;
	bool		 in_turn;
	uint64_t	 now_ms;	/* 0: read the clock */
	struct timer_list wheel[WHEEL_SLOTS];
	size_t		 ntimers;
	uint64_t	 wheel_s;	/* slots up to this second have run */
	uint64_t	 armed_s;	/* wheel_event is set for it; 0: is not */
};

static void	wheel_turn(evutil_socket_t fd, short what, void *arg);

static void
limit_reached(evutil_socket_t fd, short what, void *arg)
{
	/* Its only duty is to end the wait. */
	(void)fd;
	(void)what;
	(void)arg;
}

struct loop *
loop_new(void)
{
	struct event_config *cfg;
	struct loop *l;
	size_t i;

	cfg = event_config_new();
	if (cfg == NULL)
		log_fatal("event loop: out of memory");
	event_config_avoid_method(cfg, "select");
	event_config_avoid_method(cfg, "poll");
	event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	l = XNEW(struct loop);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL)
		log_fatal("event loop: %s", strerror(errno));
	l->wheel_event = event_new(l->base, -1, 0, wheel_turn, l);
	l->limit_event = event_new(l->base, -1, 0, limit_reached, l);
	if (l->wheel_event == NULL || l->limit_event == NULL)
		log_fatal("event loop: out of memory");
	TAILQ_INIT(&l->deferred);
	for (i = 0; i < WHEEL_SLOTS; i++)
		TAILQ_INIT(&l->wheel[i]);
	return l;
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	event_free(l->wheel_event);
	event_free(l->limit_event);
	event_base_free(l->base);
	xfree(l);
	*lp = NULL;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

uint64_t
loop_now_ms(const struct loop *l)
{
	struct loop *cache = (struct loop *)(uintptr_t)l;

	if (!l->in_turn)
		return clock_mono_ms();
	if (l->now_ms == 0)
		cache->now_ms = clock_mono_ms();
	return l->now_ms;
}

/* ---- turns ---- */

static void
run_deferred(struct loop *l)
{
	struct loop_deferred *d;
	int round;

	for (round = 0; round < DEFER_ROUNDS; round++) {
		if (TAILQ_EMPTY(&l->deferred))
			return;
		TAILQ_INSERT_TAIL(&l->deferred, &l->marker, link);
		while ((d = TAILQ_FIRST(&l->deferred)) != &l->marker) {
			TAILQ_REMOVE(&l->deferred, d, link);
			d->queued = false;
			d->fn(d->arg);
		}
		TAILQ_REMOVE(&l->deferred, &l->marker, link);
	}
}

void
loop_turn(struct loop *l, int timeout_ms)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	struct timeval tv;

	ASSERT(!l->in_turn);
	if (timeout_ms == 0 || !TAILQ_EMPTY(&l->deferred)) {
		flags |= EVLOOP_NONBLOCK;
	} else if (timeout_ms > 0) {
		tv.tv_sec = timeout_ms / 1000;
		tv.tv_usec = timeout_ms % 1000 * 1000;
		event_add(l->limit_event, &tv);
	}
	/* The clock is read by the first that asks after the wait. */
	l->in_turn = true;
	l->now_ms = 0;
	if (event_base_loop(l->base, flags) == -1)
		log_panic("event loop: %s", strerror(errno));
	run_deferred(l);
	l->in_turn = false;
	if (timeout_ms > 0)
		event_del(l->limit_event);
}

void
loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		loop_turn(l, -1);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

void
loop_defer(struct loop *l, struct loop_deferred *d)
{
	if (d->queued)
		return;
	d->queued = true;
	TAILQ_INSERT_TAIL(&l->deferred, d, link);
	/* Called from outside a callback: the wait must not begin first. */
}

void
loop_defer_cancel(struct loop *l, struct loop_deferred *d)
{
	if (!d->queued)
		return;
	d->queued = false;
	TAILQ_REMOVE(&l->deferred, d, link);
}

/* ---- the wheel ---- */

static struct timer_list *
wheel_slot(struct loop *l, uint64_t s)
{
	return &l->wheel[s % WHEEL_SLOTS];
}

/* Sets wheel_event for second s of the monotonic clock. */
static void
wheel_arm(struct loop *l, uint64_t s)
{
	uint64_t now_ms = clock_mono_ms(), wait_ms;
	struct timeval tv;

	/* libevent's clock is coarse (a tick of the kernel) and may be early. */
	wait_ms = (s * 1000 > now_ms ? s * 1000 - now_ms : 0) + 5;
	tv.tv_sec = (time_t)(wait_ms / 1000);
	tv.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000);
	l->armed_s = s;
	event_add(l->wheel_event, &tv);
}

static void
wheel_arm_next(struct loop *l)
{
	uint64_t s;

	if (l->ntimers == 0)
		return;
	for (s = l->wheel_s + 1; s <= l->wheel_s + WHEEL_SLOTS; s++) {
		if (!TAILQ_EMPTY(wheel_slot(l, s)))
			break;
	}
	if (l->armed_s == 0 || s < l->armed_s)
		wheel_arm(l, s);
}

static void
wheel_run_slot(struct loop *l, struct timer_list *slot, uint64_t now_s)
{
	struct loop_timer marker = { .due_s = 0 }, *t;

	if (TAILQ_EMPTY(slot))
		return;
	TAILQ_INSERT_TAIL(slot, &marker, link);
	while ((t = TAILQ_FIRST(slot)) != &marker) {
		TAILQ_REMOVE(slot, t, link);
		if (t->due_s > now_s) {
			TAILQ_INSERT_TAIL(slot, t, link);
			continue;
		}
		t->due_s = 0;
		l->ntimers--;
		t->fn(t->arg);
	}
	TAILQ_REMOVE(slot, &marker, link);
}

static void
wheel_turn(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t s, now_s = loop_now_ms(l) / 1000, last = l->wheel_s;

	(void)fd;
	(void)what;
	l->armed_s = 0;
	/* After a long pause (a suspended machine) once round is all. */
	if (now_s > last + WHEEL_SLOTS)
		last = now_s - WHEEL_SLOTS;
	/* What a callback sets now must not land in a slot about to run. */
	l->wheel_s = now_s;
	for (s = last + 1; s <= now_s; s++)
		wheel_run_slot(l, wheel_slot(l, s), now_s);
	wheel_arm_next(l);
}

void
loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg)
{
	t->fn = fn;
	t->arg = arg;
	t->due_s = 0;
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	uint64_t due_s;

	loop_timer_clear(l, t);
	if (l->ntimers == 0 && l->armed_s == 0)
		l->wheel_s = loop_now_ms(l) / 1000;
	if (delay_ms > UINT64_MAX / 4)
		delay_ms = UINT64_MAX / 4;
	due_s = (loop_now_ms(l) + delay_ms + 999) / 1000;
	if (due_s <= l->wheel_s)
		due_s = l->wheel_s + 1;
	t->due_s = due_s;
	l->ntimers++;
	TAILQ_INSERT_TAIL(wheel_slot(l, due_s), t, link);
	if (due_s > l->wheel_s + WHEEL_SLOTS)
		due_s = l->wheel_s + WHEEL_SLOTS;
	if (l->armed_s == 0 || due_s < l->armed_s)
		wheel_arm(l, due_s);
}

void
loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	if (t->due_s == 0)
		return;
	TAILQ_REMOVE(wheel_slot(l, t->due_s), t, link);
	t->due_s = 0;
	l->ntimers--;
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->due_s != 0;
}
