/* SPDX-License-Identifier: ISC */
/*
 * future.c: mail that waits for a wall time (HOLD_UNTIL_MS, RFC 4865).
 *
 * Run by qmgr. Everything else here goes by a clock that does not step
 * (store_now_ms()); what a user was promised is a time of day. So the two are
 * held against each other once a minute, and after a step (F6) the rows of
 * waiting mail in the index get the moment that is right by now. That is a
 * walk through the whole index, in slices; without a step there is none.
 */
#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define LOOK_MS		60000
/* Adjustments of a clock that only drifts are smaller. */
#define STEP_MS		1000
/* 2,000 rows take about a millisecond. */
#define SLICE_MS	20
#define ROWS_A_SLICE	2000
#define DIRTY_MAX	20000

struct future {
	struct qmgr	*q;
	struct loop_timer look;
	struct event	*slice;		/* armed during a walk */
	uint64_t	 next;		/* message id at which the walk goes on */
	uint64_t	 ids[ROWS_A_SLICE];
	size_t		 nids, nrows;
};

static void
set_time(struct qmgr *q, struct message *m)
{
	uint64_t release = store_release_ms(&q->store, m);

	if (m->until_s == 0 || (m->flags & (MESSAGE_EXPANDED | MESSAGE_FINISHED)) != 0 ||
	    m->login == MESSAGE_LOGIN_UNCHECKED || m->due_ms == release)
		return;
	m->due_ms = release;
	store_changed(&q->store, m);
}

static bool
on_row(void *arg, struct view key, struct view row)
{
	struct future *f = arg;

	if (key.len != 8)
		return true;
	f->next = index_get64(key.p) + 1;
	if (message_row_waits(row))
		f->ids[f->nids++] = f->next - 1;
	return ++f->nrows < ROWS_A_SLICE;
}

static void
slice_later(struct future *f)
{
	struct timeval tv = { 0, SLICE_MS * 1000 };

	event_add(f->slice, &tv);
}

static void
on_slice(evutil_socket_t fd, short what, void *arg)
{
	struct future *f = arg;
	struct store *s = &f->q->store;
	struct message *m;
	char key[8];
	size_t i;

	(void)fd, (void)what;
	if (f->q->draining)
		return;
	if (s->ndirty > DIRTY_MAX) {
		store_checkpoint(s, true);
		slice_later(f);
		return;
	}
	f->nids = f->nrows = 0;
	index_be64(key, f->next);
	if (index_walk(s->index, INDEX_MESSAGE, view_of(key, sizeof(key)), on_row, f))
		slice_later(f);
	index_rest(s->index);
	for (i = 0; i < f->nids; i++) {
		if ((m = store_message(s, f->ids[i])) == NULL)
			continue;
		set_time(f->q, m);
		store_settle(s, m);
	}
}

static void
walk(struct future *f)
{
	struct view key;
	size_t at = 0;
	void *v;

	/* What is in memory may be on its way to the index. */
	while (map_next(f->q->store.messages, &at, &key, &v))
		set_time(f->q, v);
	f->next = 0;
	slice_later(f);
}

static void
on_look(void *arg)
{
	struct future *f = arg;

	future_look(f->q, clock_wall_ms());
	loop_timer_set(f->q->loop, &f->look, LOOK_MS);
}

void
future_look(struct qmgr *q, uint64_t wall_ms)
{
	struct store *s = &q->store;
	int64_t skew = (int64_t)(wall_ms - store_now_ms(s));

	if (llabs(skew - s->skew_ms) < STEP_MS)
		return;
	log_info("queue: the clock was set by %lld s: mail that waits for a time follows it",
	    (long long)(skew - s->skew_ms) / 1000);
	s->skew_ms = skew;
	walk(q->future);
}

void
future_init(struct qmgr *q)
{
	struct future *f = XNEW(struct future);

	f->q = q;
	loop_timer_init(&f->look, on_look, f);
	f->slice = evtimer_new(loop_base(q->loop), on_slice, f);
	if (f->slice == NULL)
		log_fatal("queue: no timer");
	q->future = f;
	/* The rows are as the last process saw the clock. */
	if (q->store.rows_skewed)
		walk(f);
	loop_timer_set(q->loop, &f->look, LOOK_MS);
}

void
future_fini(struct qmgr *q)
{
	loop_timer_clear(q->loop, &q->future->look);
	event_free(q->future->slice);
	xfree(q->future);
	q->future = NULL;
}
