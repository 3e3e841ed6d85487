/* SPDX-License-Identifier: ISC */
/*
 * feed.c: takes what is due out of the index into memory, in slices.
 *
 * Run by qmgr. A million messages may be due at once while memory has room
 * for thousands (F10). They come in the order of their times, but a next hop
 * that has its share in memory is passed over by the hash beside each row, so
 * that a slow destination with a long queue does not keep the others out.
 */
#include "qmgr/qmgr.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/sched.h"

#define ROWS_A_SLICE	2000
#define LOADS_A_SLICE	200
/* Of one destination in memory, at least. */
#define SHARE_LEAST	500
#define TICK_MS		250

struct feeder {
	struct qmgr	*q;
	struct event	*timer;
	bool		 soon;		/* a zero timer is set */
	char		 cursor[16];	/* behind the last row looked at */
	uint64_t	 pass_begun_ms, next_pass_ms;
	uint64_t	 slice_ms;	/* work in this pass */
	/* one slice */
	uint64_t	 now;
	uint64_t	 loads[LOADS_A_SLICE];
	size_t		 nloads, rows;
	struct map	*crowded;	/* hash of routes that have their share */
	bool		 at_end;
};

static void
set_timer(struct feeder *f, uint64_t ms)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	f->soon = ms == 0;
	event_add(f->timer, &tv);
}

static bool
on_row(void *arg, struct view key, struct view value)
{
	struct feeder *f = arg;
	uint64_t due, id, hash;

	if (key.len != 16 || value.len != sizeof(hash))
		return true;
	due = index_get64(key.p);
	if (due > f->now) {
		f->at_end = true;
		return false;
	}
	id = index_get64(key.p + 8);
	memcpy(&hash, value.p, sizeof(hash));
	memcpy(f->cursor, key.p, 8);
	index_be64(f->cursor + 8, id + 1);
	if (map_get_u64(f->q->store.messages, id) == NULL &&
	    (hash == 0 || map_get_u64(f->crowded, hash) == NULL))
		f->loads[f->nloads++] = id;
	return ++f->rows < ROWS_A_SLICE && f->nloads < LOADS_A_SLICE;
}

/* Which routes are passed over in this slice. */
static void
find_crowded(struct feeder *f)
{
	struct qmgr *q = f->q;
	size_t share = QMGR_ACTIVE_DEFERRED, at = 0;
	struct view key;
	struct route *r;
	void *v;

	if (q->sched->nwaiting_destinations > 1)
		share /= q->sched->nwaiting_destinations;
	if (share < SHARE_LEAST)
		share = SHARE_LEAST;
	map_free(&f->crowded, NULL);
	f->crowded = map_new();
	while (map_next(q->store.routes, &at, &key, &v)) {
		r = v;
		if (sched_route_crowded(q->sched, r, share))
			map_put_u64(f->crowded, r->hash, f);
	}
}

static void
load(struct feeder *f)
{
	struct message *m;
	size_t i;

	for (i = 0; i < f->nloads; i++) {
		if (f->q->nactive >= QMGR_ACTIVE_DEFERRED)
			break;
		m = store_peek(&f->q->store, f->loads[i]);
		if (m != NULL)
			continue;
		m = store_message(&f->q->store, f->loads[i]);
		if (m == NULL)
			continue;
		if (m->nopen > QMGR_FEW_RECIPIENTS &&
		    recipient_count() > QMGR_RECIPIENTS_DEFERRED)
			store_settle(&f->q->store, m);
		else
			qmgr_activate(f->q, m);
	}
}

/* Routes are many when there are many destinations: look at them once a while. */
static void
begin_pass(struct feeder *f)
{
	memset(f->cursor, 0, sizeof(f->cursor));
	f->pass_begun_ms = clock_mono_ms();
	f->slice_ms = 0;
}

static void
slice(struct feeder *f)
{
	struct qmgr *q = f->q;
	uint64_t begun = clock_mono_ms();

	f->now = store_now_ms(&q->store);
	f->nloads = f->rows = 0;
	f->at_end = false;
	find_crowded(f);
	if (!index_walk(q->store.index, INDEX_DUE, view_of(f->cursor, sizeof(f->cursor)), on_row,
	    f))
		f->at_end = true;
	index_rest(q->store.index);
	load(f);
	f->slice_ms += clock_mono_ms() - begun;
	if (!f->at_end) {
		set_timer(f, 0);
		return;
	}
	/* A pass over what must wait anyway may cost a quarter of the time, no more. */
	f->next_pass_ms = clock_mono_ms() + TICK_MS + 3 * f->slice_ms;
	begin_pass(f);
	set_timer(f, TICK_MS);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct feeder *f = arg;
	struct qmgr *q = f->q;

	(void)fd;
	(void)what;
	f->soon = false;
	store_checkpoint(&q->store, false);
	if (q->draining || q->sched->frozen_all || q->nactive >= QMGR_ACTIVE_DEFERRED ||
	    clock_mono_ms() < f->next_pass_ms) {
		set_timer(f, TICK_MS);
		return;
	}
	slice(f);
}

void
feeder_kick(struct qmgr *q)
{
	struct feeder *f = q->feeder;

	if (f == NULL || f->soon || q->draining || clock_mono_ms() < f->next_pass_ms ||
	    q->nactive > QMGR_ACTIVE_DEFERRED / 2)
		return;
	set_timer(f, 0);
}

void
feeder_restart(struct qmgr *q)
{
	begin_pass(q->feeder);
	q->feeder->next_pass_ms = 0;
	set_timer(q->feeder, 0);
}

void
feeder_init(struct qmgr *q)
{
	struct feeder *f = XNEW(struct feeder);

	f->q = q;
	f->timer = evtimer_new(loop_base(q->loop), on_timer, f);
	q->feeder = f;
	begin_pass(f);
	set_timer(f, 0);
}

void
feeder_fini(struct qmgr *q)
{
	struct feeder *f = q->feeder;

	event_free(f->timer);
	map_free(&f->crowded, NULL);
	xfree(f);
	q->feeder = NULL;
}
