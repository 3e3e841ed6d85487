/* SPDX-License-Identifier: ISC */
/*
 * compact.c: segments whose mail is mostly gone give their space back.
 *
 * Run by qmgr (QUEUE.md Q15). One sealed segment at a time: its live records
 * are copied into a segment of qmgr's own, synced, and only then each message
 * is said to be there (RELOCATED); the source goes with the checkpoint that
 * finds nothing live in it. A crash on the way leaves a copy that no event
 * names: recovery passes it over and removes it. Ids do not change.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/done.h"
#include "qmgr/qmgr.h"
#include "queue/record.h"
#include "sys/fd.h"
#include "sys/stats.h"

/* Looking for live records, between which deliveries go on. */
#define STEP_MS		5
#define COPY_CHUNK	(1U << 20)

struct live {
	uint64_t	id, offset, bytes;
	uint64_t	new_offset, new_content;
};

struct compactor {
	struct qmgr	*q;
	struct loop_timer look;
	struct event	*step;
	struct segment	*source, *target;	/* NULL: none under way */
	uint64_t	 offset;
	struct live	*live;
	size_t		 nlive, cap;
	uint64_t	 bytes;
	bool		 unchecked;	/* a login in it waits for authd */
	struct segment_window window;
	/* the copy, in the disk thread */
	struct worker_job job;
	int		 in_fd, out_fd, dirfd;
	struct buf	 ends;
	struct segment_header in, out;
	uint64_t	 out_end;
	int		 error;
};

static void	look_later(struct compactor *c);

static void
give_up(struct compactor *c)
{
	if (c->source != NULL) {
		c->source->flags &= ~(unsigned)SEGMENT_COMPACTING;
		/* It may have become empty while it could not be removed. */
		segments_changed(&c->q->store.segments, c->source);
	}
	fd_close(&c->in_fd);
	fd_close(&c->out_fd);
	c->source = c->target = NULL;
	xfree(c->live);
	c->live = NULL;
	c->nlive = c->cap = 0;
	c->bytes = 0;
	c->unchecked = false;
	look_later(c);
}

/* ---- relocation ---- */

static bool
lives_there(struct store *s, uint64_t id, uint64_t segment, uint64_t offset)
{
	struct message *m = map_get_u64(s->messages, id);
	struct view row;
	char key[8];
	bool there;

	if (m != NULL)
		return (m->flags & MESSAGE_FINISHED) == 0 && m->segment == segment &&
		    m->offset == offset;
	index_be64(key, id);
	if (index_get(s->index, INDEX_MESSAGE, view_of(key, sizeof(key)), &row) != 0 ||
	    message_row_get(row, id, s->senders, &m) != 0)
		return false;
	there = m->segment == segment && m->offset == offset;
	message_free(m, s->senders, s->routes);
	return there;
}

/* It waits for authd's word on its login. */
static bool
is_unchecked(struct store *s, uint64_t id)
{
	struct message *m = store_message(s, id);
	bool yes = m != NULL && m->login == MESSAGE_LOGIN_UNCHECKED;

	if (m != NULL)
		store_settle(s, m);
	return yes;
}

static void
relocate_all(struct compactor *c)
{
	struct store *s = &c->q->store;
	struct message *m;
	uint64_t moved = 0;
	size_t i;

	for (i = 0; i < c->nlive; i++) {
		if (!lives_there(s, c->live[i].id, c->source->header.number, c->live[i].offset) ||
		    (m = store_message(s, c->live[i].id)) == NULL)
			continue;
		store_relocate(s, m, c->target->header.number, c->live[i].new_offset,
		    c->live[i].new_content);
		store_settle(s, m);
		moved++;
	}
	journal_hurry(s->journal);
	stats_add(STATS_C_queue_compacted, 1);
	log_info("queue: segment %" PRIu64 " compacted: %" PRIu64 " messages moved to segment %"
	    PRIu64, c->source->header.number, moved, c->target->header.number);
}

/* ---- the copy (disk thread) ---- */

static int
copy_bytes(struct compactor *c, uint64_t from, uint64_t n, char *chunk)
{
	size_t part;

	while (n > 0) {
		part = n < COPY_CHUNK ? (size_t)n : COPY_CHUNK;
		if (fd_pread_all(c->in_fd, chunk, part, (off_t)from) != 0)
			return PK_EIO;
		if (fd_write_all(c->out_fd, chunk, part) != 0)
			return PK_ENOSPC;
		from += part;
		n -= part;
	}
	return 0;
}

/*
 * A record is read whole, since the new segment's key gives it new checks;
 * the old ones are held against it first, so that damage is not blessed.
 */
static int
copy_record(struct compactor *c, struct live *l, char *chunk)
{
	struct record_header h, old;
	struct view envelope, header, content;
	char *bytes;
	int rc = PK_EIO;

	bytes = xmalloc((size_t)l->bytes);
	if (fd_pread_all(c->in_fd, bytes, (size_t)l->bytes, (off_t)l->offset) != 0)
		goto out;
	memcpy(&old, bytes, sizeof(old));
	rc = PK_EFORMAT;
	if (record_header_check(&old, c->in.key, SEGMENT_SHARED, l->offset,
	    l->offset + l->bytes) != 0)
		goto out;
	envelope = view_of(bytes + sizeof(old), old.envelope_bytes);
	header = view_of(envelope.p + envelope.len, old.header_bytes);
	content = view_of(header.p + header.len, (size_t)old.content_bytes);
	if (record_check(c->in.key, content) != old.content_check ||
	    record_check(record_check(c->in.key, envelope), header) != old.meta_check)
		goto out;
	record_header_shared(&h, c->out.key, c->out.number, c->out_end, envelope, header,
	    content);
	h.message = l->id;
	h.check = record_check(c->out.key, view_of((char *)&h, offsetof(struct record_header,
	    check)));
	if (fd_write_all(c->out_fd, &h, sizeof(h)) != 0 ||
	    copy_bytes(c, l->offset + sizeof(h), h.total_bytes - sizeof(h), chunk) != 0) {
		rc = PK_ENOSPC;
		goto out;
	}
	l->new_offset = c->out_end;
	l->new_content = h.content_offset;
	c->out_end += h.total_bytes;
	rc = 0;
out:
	xfree(bytes);
	return rc;
}

/* What is done of messages that live on must be known in the new place too. */
static void
copy_end(void *arg, uint64_t message, uint64_t what)
{
	struct compactor *c = arg;
	size_t low = 0, high = c->nlive, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (c->live[mid].id < message)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < c->nlive && c->live[low].id == message && what != DONE_FINISHED)
		done_add(&c->ends, c->out.number, message, what);
}

static int
live_cmp(const void *a, const void *b)
{
	const struct live *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int
copy_done_file(struct compactor *c)
{
	int rc;

	qsort(c->live, c->nlive, sizeof(*c->live), live_cmp);
	buf_init(&c->ends, (size_t)1 << 30);
	rc = done_read(c->dirfd, c->in.number, copy_end, c);
	if (rc == 0)
		rc = done_write(c->dirfd, buf_view(&c->ends));
	buf_fini(&c->ends);
	return rc;
}

static void
copy_run(struct worker_job *j)
{
	struct compactor *c = (struct compactor *)(void *)((char *)j -
	    offsetof(struct compactor, job));
	char *chunk = xmalloc(COPY_CHUNK);
	size_t i;

	c->error = 0;
	for (i = 0; i < c->nlive && c->error == 0; i++)
		c->error = copy_record(c, &c->live[i], chunk);
	if (c->error == 0)
		c->error = copy_done_file(c);
	if (c->error == 0 && fdatasync(c->out_fd) == -1)
		c->error = PK_EIO;
	xfree(chunk);
}

static void
copy_done(struct worker_job *j)
{
	struct compactor *c = (struct compactor *)(void *)((char *)j -
	    offsetof(struct compactor, job));
	struct segment *target = c->target;

	if (c->error == 0) {
		target->durable = target->watermark = c->out_end;
		segments_seal(&c->q->store.segments, target, c->out_end);
		relocate_all(c);
	} else {
		log_error("queue: segment %" PRIu64 " cannot be compacted: %s; it stays as it is",
		    c->source->header.number, pk_strerror(c->error));
		segments_seal(&c->q->store.segments, target, sizeof(struct segment_header));
	}
	index_rest(c->q->store.index);
	give_up(c);
}

static void
target_made(void *arg, struct segment *seg, int append_fd, int error)
{
	struct compactor *c = arg;

	if (seg == NULL) {
		log_warn("queue: no segment to compact into: %s", pk_strerror(error));
		give_up(c);
		return;
	}
	c->target = seg;
	c->out_fd = append_fd;
	c->dirfd = c->q->store.segments.dirfd;
	c->out = seg->header;
	c->in = c->source->header;
	c->out_end = sizeof(struct segment_header);
	c->in_fd = segments_open(&c->q->store.segments, c->source);
	if (c->in_fd == -1) {
		c->error = PK_EIO;
		copy_done(&c->job);
		return;
	}
	c->job.run = copy_run;
	c->job.done = copy_done;
	worker_post(c->q->store.disk_worker, &c->job);
}

/* ---- what is live in the source ---- */

static void
add_live(struct compactor *c, const struct segment_record *r)
{
	if (c->nlive == c->cap) {
		c->cap = c->cap > 0 ? c->cap * 2 : 64;
		c->live = xreallocarray(c->live, c->cap, sizeof(*c->live));
	}
	c->live[c->nlive++] = (struct live){ .id = r->h.message, .offset = r->offset,
	    .bytes = r->h.total_bytes };
	c->bytes += r->h.total_bytes;
}

/* False at the end of the source. */
static bool
look_at_record(struct compactor *c)
{
	struct store *s = &c->q->store;
	struct segment_record r;
	int fd = segments_fd(&s->segments, c->source);

	if (fd == -1 || c->offset >= c->source->end || segment_reader_record(&c->window, fd,
	    &c->source->header, c->offset, c->source->end, &r) != 0)
		return false;
	if (lives_there(s, r.h.message, c->source->header.number, c->offset)) {
		add_live(c, &r);
		c->unchecked |= is_unchecked(s, r.h.message);
	}
	c->offset += r.h.total_bytes;
	return true;
}

static void
on_step(evutil_socket_t fd, short what, void *arg)
{
	struct compactor *c = arg;
	struct timeval soon = { 0, 2000 };
	uint64_t end = clock_mono_ms() + STEP_MS;

	(void)fd, (void)what;
	while (look_at_record(c))
		if (clock_mono_ms() >= end) {
			index_rest(c->q->store.index);
			event_add(c->step, &soon);
			return;
		}
	index_rest(c->q->store.index);
	/* Its ticket names the writer, which the header of the copy would not. */
	if (c->unchecked)
		c->source->flags |= SEGMENT_UNCHECKED;
	if (c->nlive == 0 || c->unchecked) {
		give_up(c);
		return;
	}
	segments_create(&c->q->store.segments, SEGMENT_SHARED, 0, IPC_ROLE_qmgr,
	    sizeof(struct segment_header) + c->bytes, c->bytes, target_made, c);
}

/* ---- choosing ---- */

static bool
worth_it(const struct compactor *c, const struct segment *seg)
{
	const struct conf *conf = c->q->conf;
	uint64_t now = clock_wall_ms();

	return (seg->flags & (SEGMENT_SEALED | SEGMENT_DAMAGED | SEGMENT_REMOVING |
	    SEGMENT_SYNCING | SEGMENT_UNCHECKED)) == SEGMENT_SEALED &&
	    seg->header.kind == SEGMENT_SHARED && seg->live > 0 &&
	    seg->watermark >= seg->end &&
	    seg->live_bytes * 100 < seg->end * (uint64_t)conf->queue_compact_share &&
	    now >= seg->header.created_ms + conf->queue_compact_age;
}

static void
look(void *arg)
{
	struct compactor *c = arg;
	struct segment **all;
	struct timeval soon = { 0, 2000 };
	size_t i, n;

	if (c->source != NULL || c->q->draining) {
		look_later(c);
		return;
	}
	all = segments_sorted(&c->q->store.segments, &n);
	for (i = 0; i < n && c->source == NULL; i++)
		if (worth_it(c, all[i]))
			c->source = all[i];
	xfree(all);
	if (c->source == NULL) {
		look_later(c);
		return;
	}
	/* Not removed under our hands, even if its last message ends meanwhile. */
	c->source->flags |= SEGMENT_COMPACTING;
	c->offset = sizeof(struct segment_header);
	event_add(c->step, &soon);
}

static void
look_later(struct compactor *c)
{
	uint64_t every_ms = c->q->conf->queue_compact_age / 10;

	every_ms = every_ms < 1000 ? 1000 : every_ms > 60000 ? 60000 : every_ms;
	loop_timer_set(c->q->loop, &c->look, every_ms);
}

void
compactor_init(struct qmgr *q)
{
	struct compactor *c = XNEW(struct compactor);

	c->q = q;
	c->in_fd = c->out_fd = -1;
	segment_window_init(&c->window);
	loop_timer_init(&c->look, look, c);
	c->step = evtimer_new(loop_base(q->loop), on_step, c);
	if (c->step == NULL)
		log_fatal("compactor: no timer");
	q->compactor = c;
	look_later(c);
}

void
compactor_fini(struct qmgr *q)
{
	struct compactor *c = q->compactor;

	if (c == NULL)
		return;
	/* A copy under way is finished first: its job lies in here. */
	worker_drain(q->store.disk_worker);
	event_free(c->step);
	loop_timer_clear(q->loop, &c->look);
	fd_close(&c->in_fd);
	fd_close(&c->out_fd);
	segment_window_fini(&c->window);
	xfree(c->live);
	xfree(c);
	q->compactor = NULL;
}
