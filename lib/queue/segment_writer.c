/* SPDX-License-Identifier: ISC */
/*
 * segment_writer.c: group commit into the shared segment.
 *
 * Runs in smtpd and in the bounce composer. What is put during a turn is
 * gathered; at the end of the turn the gathered messages get their places in
 * the current segment and go to the sync thread as one writev and one
 * fdatasync. What is put while the thread works is the next group, so the
 * group grows with the load and nothing waits for a timer. The bytes stay in
 * the sessions' buffers: a group is a list of iovecs.
 *
 * A place is fixed only when the lane is free. So whenever a group fails,
 * nothing has been appended behind it, and the segment can be sealed at its
 * last durable byte. qmgr is not trusted with more than what it decides
 * anyway: which file is appended to.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/segment_private.h"
#include "sys/stats.h"

/* A group beyond this would make the first of it wait for the last. */
#define GROUP_BYTES_MAX		(8U << 20)
/* record_id() has 24 bits for the offset in units of 8 bytes. */
#define SHARED_SIZE_MAX		(RECORD_ALIGN << RECORD_ID_OFFSET_BITS)

static const char zeros[RECORD_ALIGN];

static void	submit_group(struct segment_writer *w);

/* ---- segments ---- */

struct segment *
segment_held(struct segment_writer *w, enum record_segment_kind kind, uint64_t number,
    uint64_t key, uint64_t size, int fd, int read_fd)
{
	struct segment *seg = XNEW(struct segment);

	seg->kind = kind;
	seg->number = number;
	seg->key = key;
	seg->size = size;
	seg->offset = seg->durable = sizeof(struct segment_header);
	seg->fd = fd;
	seg->read_fd = read_fd;
	TAILQ_INSERT_TAIL(&w->held, seg, link);
	return seg;
}

void
segment_seal(struct segment_writer *w, struct segment *seg, uint64_t offset)
{
	w->ops.seal(w->arg, seg->number, offset);
	if (seg == w->current)
		w->current = NULL;
	if (seg == w->spare)
		w->spare = NULL;
	TAILQ_REMOVE(&w->held, seg, link);
	close(seg->fd);
	if (seg->read_fd != -1)
		close(seg->read_fd);
	xfree(seg);
}

static void
want_shared(struct segment_writer *w)
{
	if (w->wanted || w->closing || loop_now_ms(w->loop) < w->want_after_ms)
		return;
	w->wanted = true;
	w->ops.want(w->arg, SEGMENT_SHARED, 0);
}

/* A spare is asked for when half of the current one is used. */
static void
want_early(struct segment_writer *w)
{
	if (w->spare == NULL &&
	    (w->current == NULL || w->current->offset > w->current->size / 2))
		want_shared(w);
}

static bool
next_segment(struct segment_writer *w)
{
	if (w->current == NULL) {
		w->current = w->spare;
		w->spare = NULL;
	}
	want_early(w);
	return w->current != NULL;
}

/* ---- items ---- */

static struct segment_item *
item_new(struct segment_writer *w)
{
	struct segment_item *it = TAILQ_FIRST(&w->unused);

	if (it == NULL)
		return XNEW(struct segment_item);
	TAILQ_REMOVE(&w->unused, it, link);
	return it;
}

/* The list it was on has let go of it. */
static void
item_done(struct segment_writer *w, struct segment_item *it, int error)
{
	segment_done_fn done = it->abandoned ? NULL : it->m.done;
	void *arg = it->m.arg;
	uint64_t id = it->id;

	TAILQ_INSERT_HEAD(&w->unused, it, link);
	if (done != NULL)
		done(arg, error, error == 0 ? id : 0);
}

static void
items_fail(struct segment_writer *w, struct segment_items *items, int error)
{
	struct segment_item *it;

	while ((it = TAILQ_FIRST(items)) != NULL) {
		TAILQ_REMOVE(items, it, link);
		item_done(w, it, error);
	}
}

/* Fixes the item's place; false if it does not fit there. */
static bool
item_place(struct segment *seg, struct segment_item *it, struct lane_batch *b)
{
	const struct segment_message *m = &it->m;
	struct view header = VIEW_NONE;
	uint64_t used;

	it->id = record_id(seg->number, seg->offset);
	if (m->compose != NULL)
		header = m->compose(m->arg, it->id);
	record_header_shared(&it->head, seg->key, seg->number, seg->offset, m->envelope,
	    header, m->content);
	if (it->head.total_bytes > seg->size - seg->offset)
		return false;
	used = sizeof(it->head) + m->envelope.len + header.len + m->content.len;
	lane_batch_put(b, &it->head, sizeof(it->head));
	lane_batch_put(b, m->envelope.p, m->envelope.len);
	lane_batch_put(b, header.p, header.len);
	lane_batch_put(b, m->content.p, m->content.len);
	lane_batch_put(b, zeros, (size_t)(it->head.total_bytes - used));
	seg->offset += it->head.total_bytes;
	return true;
}

/* ---- groups ---- */

static void
gather(struct segment_writer *w, struct segment *seg, struct lane_batch *b)
{
	struct segment_item *it;

	while ((it = TAILQ_FIRST(&w->waiting)) != NULL && b->ops[0].bytes < GROUP_BYTES_MAX) {
		if (!item_place(seg, it, b))
			break;
		TAILQ_REMOVE(&w->waiting, it, link);
		TAILQ_INSERT_TAIL(&w->flying, it, link);
		it->state = ITEM_FLYING;
	}
}

static void
submit_group(struct segment_writer *w)
{
	struct segment_item *it;
	struct segment *seg;
	struct lane_batch *b;

	while (!lane_busy(w->lane) && !TAILQ_EMPTY(&w->waiting)) {
		if (!next_segment(w)) {
			segment_writer_arm(w);
			return;
		}
		seg = w->current;
		b = lane_batch_begin(w->lane);
		lane_batch_op(b, seg->fd, true, seg);
		gather(w, seg, b);
		if (b->ops[0].bytes > 0) {
			lane_submit(w->lane);
			want_early(w);
			return;
		}
		if (seg->offset > sizeof(struct segment_header)) {
			segment_seal(w, seg, seg->durable);
			continue;
		}
		/* Does not fit into an empty one: no segment is large enough. */
		it = TAILQ_FIRST(&w->waiting);
		TAILQ_REMOVE(&w->waiting, it, link);
		item_done(w, it, PK_ELIMIT);
	}
}

static void
group_durable(struct segment_writer *w, struct segment *seg, struct segment_items *items)
{
	struct segment_item *it;

	seg->durable = seg->offset;
	w->ops.durable(w->arg, seg->number, seg->durable);
	/* The disk goes on while the answers are given. May seal and free seg. */
	submit_group(w);
	while ((it = TAILQ_FIRST(items)) != NULL) {
		TAILQ_REMOVE(items, it, link);
		item_done(w, it, 0);
	}
}

static void
group_failed(struct segment_writer *w, struct segment *seg, struct segment_items *items,
    int error)
{
	struct segment_items twice = TAILQ_HEAD_INITIALIZER(twice);
	struct segment_item *it;

	log_error("queue segment %llu: commit failed: %s; sealed at %llu",
	    (unsigned long long)seg->number, pk_strerror(error),
	    (unsigned long long)seg->durable);
	segment_seal(w, seg, seg->durable);
	while ((it = TAILQ_LAST(items, segment_items)) != NULL) {
		TAILQ_REMOVE(items, it, link);
		if (it->tried || it->abandoned) {
			TAILQ_INSERT_HEAD(&twice, it, link);
			continue;
		}
		it->tried = true;
		it->state = ITEM_WAITING;
		it->since_ms = loop_now_ms(w->loop);
		TAILQ_INSERT_HEAD(&w->waiting, it, link);
	}
	submit_group(w);
	items_fail(w, &twice, error);
}

static void
collect_group(struct segment_writer *w)
{
	struct segment_items items = TAILQ_HEAD_INITIALIZER(items);
	struct segment_item *it;
	struct lane_batch *b;
	struct segment *seg;
	int error;

	b = lane_collect(w->lane);
	if (b == NULL)
		return;
	seg = b->ops[0].owner;
	error = b->ops[0].error;
	stats_add(STATS_C_queue_commits, 1);
	stats_observe(STATS_H_queue_commit_us, b->commit_us);
	TAILQ_CONCAT(&items, &w->flying, link);
	TAILQ_FOREACH(it, &items, link)
		it->state = ITEM_DONE;
	if (error == 0)
		group_durable(w, seg, &items);
	else
		group_failed(w, seg, &items, error);
}

/* ---- events ---- */

static void
seal_rest(struct segment_writer *w)
{
	if (w->current != NULL && w->current->durable == w->current->offset)
		segment_seal(w, w->current, w->current->durable);
	if (w->spare != NULL)
		segment_seal(w, w->spare, w->spare->durable);
}

static void
turn_end(void *arg)
{
	struct segment_writer *w = arg;

	submit_group(w);
	segment_streams_submit(w);
	if (w->closing && TAILQ_EMPTY(&w->waiting) && !lane_busy(w->lane))
		seal_rest(w);
}

static void
woken(evutil_socket_t fd, short what, void *arg)
{
	struct segment_writer *w = arg;
	uint64_t n;
	ssize_t r;

	(void)what;
	r = read(fd, &n, sizeof(n));
	(void)r;
	collect_group(w);
	segment_streams_collect(w);
	loop_defer(w->loop, &w->turn);
}

void
segment_writer_arm(struct segment_writer *w)
{
	if (!loop_timer_is_set(&w->timer))
		loop_timer_set(w->loop, &w->timer, 1000);
}

/* Once a second while something waits for a segment. */
static void
tick(void *arg)
{
	struct segment_writer *w = arg;
	uint64_t now_ms = loop_now_ms(w->loop);
	struct segment_item *it;
	bool waits;

	while (w->current == NULL && (it = TAILQ_FIRST(&w->waiting)) != NULL &&
	    now_ms - it->since_ms >= SEGMENT_WAIT_MS) {
		TAILQ_REMOVE(&w->waiting, it, link);
		item_done(w, it, PK_ETIMEOUT);
	}
	waits = segment_streams_expire(w, now_ms);
	if (waits)
		segment_streams_want(w);
	if (w->current == NULL && !TAILQ_EMPTY(&w->waiting)) {
		waits = true;
		want_shared(w);
	}
	if (waits)
		segment_writer_arm(w);
}

/* ---- what others call ---- */

struct segment_writer *
segment_writer_new_io(struct loop *l, const struct segment_writer_ops *ops, void *arg,
    const struct segment_io *io)
{
	struct segment_writer *w = XNEW(struct segment_writer);

	w->loop = l;
	w->ops = *ops;
	w->arg = arg;
	TAILQ_INIT(&w->held);
	TAILQ_INIT(&w->waiting);
	TAILQ_INIT(&w->flying);
	TAILQ_INIT(&w->unused);
	w->turn = (struct loop_deferred){ .fn = turn_end, .arg = w };
	loop_timer_init(&w->timer, tick, w);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd == -1)
		log_fatal("eventfd: %m");
	w->wake = event_new(loop_base(l), w->wake_fd, EV_READ | EV_PERSIST, woken, w);
	if (w->wake == NULL || event_add(w->wake, NULL) == -1)
		log_fatal("segment writer: no event");
	w->lane = lane_new(w->wake_fd, io);
	segment_streams_init(w, io);
	return w;
}

struct segment_writer *
segment_writer_new(struct loop *l, const struct segment_writer_ops *ops, void *arg)
{
	return segment_writer_new_io(l, ops, arg, NULL);
}

static void
items_free(struct segment_items *items)
{
	struct segment_item *it;

	while ((it = TAILQ_FIRST(items)) != NULL) {
		TAILQ_REMOVE(items, it, link);
		xfree(it);
	}
}

void
segment_writer_free(struct segment_writer **wp)
{
	struct segment_writer *w = *wp;
	struct segment *seg;

	if (w == NULL)
		return;
	*wp = NULL;
	lane_free(&w->lane);
	segment_streams_fini(w);
	loop_timer_clear(w->loop, &w->timer);
	loop_defer_cancel(w->loop, &w->turn);
	event_free(w->wake);
	close(w->wake_fd);
	while ((seg = TAILQ_FIRST(&w->held)) != NULL) {
		TAILQ_REMOVE(&w->held, seg, link);
		close(seg->fd);
		if (seg->read_fd != -1)
			close(seg->read_fd);
		xfree(seg);
	}
	items_free(&w->waiting);
	items_free(&w->flying);
	items_free(&w->unused);
	xfree(w);
}

void
segment_writer_give(struct segment_writer *w, enum record_segment_kind kind,
    uint64_t number, uint64_t key, uint64_t size, int append_fd, int read_fd)
{
	struct segment *seg;

	if (kind == SEGMENT_SHARED && size > SHARED_SIZE_MAX)
		size = SHARED_SIZE_MAX;
	if (size == 0)
		size = kind == SEGMENT_SHARED ? SHARED_SIZE_MAX : UINT64_MAX / 2;
	seg = segment_held(w, kind, number, key, size, append_fd, read_fd);
	if (kind == SEGMENT_DEDICATED) {
		if (w->dedicated_wanted > 0)
			w->dedicated_wanted--;
		if (!segment_streams_give(w, seg))
			segment_seal(w, seg, seg->durable);
		loop_defer(w->loop, &w->turn);
		return;
	}
	w->wanted = false;
	if (size <= sizeof(struct segment_header) || w->spare != NULL)
		segment_seal(w, seg, seg->durable);
	else if (w->current == NULL)
		w->current = seg;
	else
		w->spare = seg;
	loop_defer(w->loop, &w->turn);
}

void
segment_writer_refused(struct segment_writer *w, enum record_segment_kind kind, int error)
{
	struct segment_items items = TAILQ_HEAD_INITIALIZER(items);
	struct segment_item *it;

	if (kind == SEGMENT_DEDICATED) {
		segment_streams_refused(w, error);
		return;
	}
	w->wanted = false;
	w->want_after_ms = loop_now_ms(w->loop) + SEGMENT_WANT_PAUSE_MS;
	if (w->current != NULL || w->spare != NULL)
		return;
	TAILQ_CONCAT(&items, &w->waiting, link);
	/* A completion may abandon another of them: none is in `waiting` now. */
	TAILQ_FOREACH(it, &items, link)
		it->state = ITEM_DONE;
	items_fail(w, &items, error);
}

void
segment_writer_reconnected(struct segment_writer *w)
{
	struct segment *seg;

	TAILQ_FOREACH(seg, &w->held, link)
		w->ops.durable(w->arg, seg->number, seg->durable);
	w->wanted = false;
	w->want_after_ms = 0;
	w->dedicated_wanted = 0;
	want_early(w);
	segment_streams_want(w);
}

bool
segment_writer_idle(const struct segment_writer *w)
{
	return TAILQ_EMPTY(&w->waiting) && TAILQ_EMPTY(&w->flying) &&
	    TAILQ_EMPTY(&w->streams);
}

bool
segment_writer_ready(const struct segment_writer *w)
{
	return w->current != NULL || w->spare != NULL;
}

void
segment_writer_close(struct segment_writer *w)
{
	w->closing = true;
	loop_defer(w->loop, &w->turn);
}

uint64_t
segment_writer_put(struct segment_writer *w, const struct segment_message *m)
{
	struct segment_item *it = item_new(w);

	it->m = *m;
	it->since_ms = loop_now_ms(w->loop);
	it->state = ITEM_WAITING;
	it->tried = false;
	it->abandoned = false;
	TAILQ_INSERT_TAIL(&w->waiting, it, link);
	loop_defer(w->loop, &w->turn);
	return (uint64_t)(uintptr_t)it;
}

void
segment_writer_abandon(struct segment_writer *w, uint64_t cookie)
{
	struct segment_item *it = (struct segment_item *)(uintptr_t)cookie;

	switch (it->state) {
	case ITEM_WAITING:
		TAILQ_REMOVE(&w->waiting, it, link);
		TAILQ_INSERT_HEAD(&w->unused, it, link);
		break;
	case ITEM_FLYING:
		lane_wait_written(w->lane);
		/* FALLTHROUGH */
	case ITEM_DONE:
		it->abandoned = true;
		break;
	}
}
