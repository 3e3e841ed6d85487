/* SPDX-License-Identifier: ISC */
/*
 * segment_stream.c: large messages, streamed into a segment of their own.
 *
 * Runs where segment_writer.c runs. Chunks are copied into blocks, which the
 * stream's sync thread writes behind; the commit record goes last and is what
 * makes the segment a message. There is no second try when a write fails:
 * the content is on that file only, the session answers 4xx and the client
 * keeps it.
 */
#include <unistd.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/segment_private.h"
#include "sys/stats.h"

#define BLOCK_BYTES	SEGMENT_STREAM_BLOCK

static const char zeros[RECORD_ALIGN];

struct block {
	TAILQ_ENTRY(block) link;
	size_t		len;
	char		data[BLOCK_BYTES];
};
TAILQ_HEAD(blocks, block);

enum stream_state { STREAM_OPEN, STREAM_COMMIT, STREAM_COMMIT_FLYING, STREAM_ABORTED };

struct segment_stream {
	TAILQ_ENTRY(segment_stream) link;
	struct segment_writer	*w;
	struct lane		*lane;
	struct segment		*seg;		/* NULL: waiting for one */
	uint64_t		 since_ms;
	void			(*writable)(void *arg);
	void			*arg;
	enum stream_state	 state;
	int			 error;
	struct blocks		 queued, flying;
	size_t			 backlog;	/* bytes of both */
	bool			 in_lane;
	uint64_t		 added_bytes;
	uint64_t		 content_bytes;	/* of these: given to the lane */
	XXH3_state_t		*hash;
	struct segment_message	 m;
	struct record_header	 head;
	struct record_trailer	 trailer;
};

static void
blocks_free(struct segment_stream *s, struct blocks *list)
{
	struct block *b;

	while ((b = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, b, link);
		s->backlog -= b->len;
		xfree(b);
	}
}

static void
stream_free(struct segment_stream *s)
{
	blocks_free(s, &s->queued);
	blocks_free(s, &s->flying);
	TAILQ_REMOVE(&s->w->streams, s, link);
	XXH3_freeState(s->hash);
	xfree(s);
}

static void
stream_seal(struct segment_stream *s, uint64_t offset)
{
	if (s->seg != NULL)
		segment_seal(s->w, s->seg, offset);
	s->seg = NULL;
}

/* Ends a stream that nobody holds any more, and tells who waits. */
static void
stream_finish(struct segment_stream *s, int error, uint64_t id)
{
	segment_done_fn done = s->state == STREAM_ABORTED ? NULL : s->m.done;
	void *arg = s->m.arg;

	stream_free(s);
	if (done != NULL)
		done(arg, error, id);
}

/* The content cannot become a message. The session learns it by add or done. */
static void
stream_fail(struct segment_stream *s, int error)
{
	s->error = error;
	stream_seal(s, sizeof(struct segment_header));
	blocks_free(s, &s->queued);
	blocks_free(s, &s->flying);
	if (s->state == STREAM_OPEN)
		s->writable(s->arg);
	else
		stream_finish(s, error, 0);
}

/* ---- towards the lane ---- */

static bool
stream_has_work(const struct segment_stream *s)
{
	const struct block *b;

	if (s->in_lane || s->seg == NULL || s->error != 0)
		return false;
	b = TAILQ_FIRST(&s->queued);
	return s->state == STREAM_COMMIT ||
	    (s->state == STREAM_OPEN && b != NULL && b->len == BLOCK_BYTES);
}

static void
put_content(struct segment_stream *s, struct lane_batch *batch)
{
	struct block *b;

	TAILQ_FOREACH(b, &s->queued, link) {
		lane_batch_put(batch, b->data, b->len);
		XXH3_64bits_update(s->hash, b->data, b->len);
		s->content_bytes += b->len;
	}
	TAILQ_CONCAT(&s->flying, &s->queued, link);
}

static size_t
padding(uint64_t n)
{
	return (size_t)(-n & (RECORD_ALIGN - 1));
}

static void
put_commit(struct segment_stream *s, struct lane_batch *batch)
{
	struct view header = VIEW_NONE, envelope = s->m.envelope;
	uint64_t end = sizeof(struct segment_header) + s->content_bytes;
	uint64_t record_offset = end + padding(end);

	if (s->m.compose != NULL)
		header = s->m.compose(s->m.arg, record_id(s->seg->number, 0));
	record_header_dedicated(&s->head, &s->trailer, s->seg->key, s->seg->number,
	    record_offset, envelope, header, s->content_bytes, XXH3_64bits_digest(s->hash));
	lane_batch_put(batch, zeros, padding(end));
	lane_batch_put(batch, &s->head, sizeof(s->head));
	lane_batch_put(batch, envelope.p, envelope.len);
	lane_batch_put(batch, header.p, header.len);
	lane_batch_put(batch, zeros, padding(sizeof(s->head) + envelope.len + header.len));
	lane_batch_put(batch, &s->trailer, sizeof(s->trailer));
}

static void
submit_lane(struct segment_writer *w, struct lane *lane)
{
	struct lane_batch *batch;
	struct lane_op *op;
	struct segment_stream *s;

	if (lane_busy(lane))
		return;
	batch = lane_batch_begin(lane);
	TAILQ_FOREACH(s, &w->streams, link) {
		if (s->lane != lane || !stream_has_work(s))
			continue;
		op = lane_batch_op(batch, s->seg->fd, s->state == STREAM_COMMIT, s);
		put_content(s, batch);
		if (s->state == STREAM_COMMIT) {
			put_commit(s, batch);
			s->state = STREAM_COMMIT_FLYING;
		}
		s->in_lane = true;
		s->seg->offset += op->bytes;
	}
	if (batch->nops > 0)
		lane_submit(lane);
}

/* A session may commit before it learns that the stream had failed. */
static bool
finish_failed(struct segment_writer *w)
{
	struct segment_stream *s;

	TAILQ_FOREACH(s, &w->streams, link) {
		if (s->state == STREAM_COMMIT && s->error != 0 && !s->in_lane) {
			stream_finish(s, s->error, 0);
			return true;
		}
	}
	return false;
}

void
segment_streams_submit(struct segment_writer *w)
{
	unsigned i;

	while (finish_failed(w))
		;
	for (i = 0; i < SEGMENT_STREAM_LANES; i++)
		submit_lane(w, w->stream_lanes[i]);
}

/* ---- from the lane ---- */

static void
committed(struct segment_stream *s)
{
	struct segment *seg = s->seg;
	uint64_t id = record_id(seg->number, 0);

	seg->durable = seg->offset;
	s->w->ops.durable(s->w->arg, seg->number, seg->durable);
	stream_seal(s, seg->durable);
	stream_finish(s, 0, id);
}

static void
op_finished(struct segment_stream *s, int error)
{
	s->in_lane = false;
	blocks_free(s, &s->flying);
	if (s->state == STREAM_ABORTED) {
		stream_seal(s, sizeof(struct segment_header));
		stream_finish(s, PK_ECANCEL, 0);
	} else if (error != 0) {
		log_error("queue segment %llu: write of a large message failed: %s",
		    (unsigned long long)s->seg->number, pk_strerror(error));
		stream_fail(s, error);
	} else if (s->state == STREAM_COMMIT_FLYING) {
		committed(s);
	} else if (s->state == STREAM_OPEN) {
		s->writable(s->arg);
	}
}

void
segment_streams_collect(struct segment_writer *w)
{
	struct lane_batch *b;
	size_t n;
	unsigned i;

	for (i = 0; i < SEGMENT_STREAM_LANES; i++) {
		b = lane_collect(w->stream_lanes[i]);
		/* Nothing here fills the batch: that is the turn's end. */
		for (n = 0; b != NULL && n < b->nops; n++) {
			if (b->ops[n].sync)
				stats_observe(STATS_H_queue_commit_us, b->commit_us);
			op_finished(b->ops[n].owner, b->ops[n].error);
		}
	}
}

/* ---- segments for streams ---- */

static bool
stream_waits(const struct segment_stream *s)
{
	return s->seg == NULL && s->error == 0 && s->state != STREAM_ABORTED;
}

bool
segment_streams_give(struct segment_writer *w, struct segment *seg)
{
	struct segment_stream *s;

	TAILQ_FOREACH(s, &w->streams, link) {
		if (!stream_waits(s))
			continue;
		s->seg = seg;
		XXH3_64bits_reset_withSeed(s->hash, seg->key);
		return true;
	}
	return false;
}

void
segment_streams_refused(struct segment_writer *w, int error)
{
	struct segment_stream *s;

	if (w->dedicated_wanted > 0)
		w->dedicated_wanted--;
	TAILQ_FOREACH(s, &w->streams, link) {
		if (!stream_waits(s))
			continue;
		stream_fail(s, error);
		return;
	}
}

void
segment_streams_want(struct segment_writer *w)
{
	struct segment_stream *s;
	unsigned waiting = 0;

	TAILQ_FOREACH(s, &w->streams, link)
		waiting += stream_waits(s);
	while (w->dedicated_wanted < waiting) {
		w->dedicated_wanted++;
		w->ops.want(w->arg, SEGMENT_DEDICATED, 0);
	}
}

bool
segment_streams_expire(struct segment_writer *w, uint64_t now_ms)
{
	struct segment_stream *s, *next;
	bool waits = false;

	for (s = TAILQ_FIRST(&w->streams); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		if (!stream_waits(s))
			continue;
		if (now_ms - s->since_ms >= SEGMENT_WAIT_MS) {
			stream_fail(s, PK_ETIMEOUT);
			/* The session may have ended others: look again later. */
			return true;
		}
		waits = true;
	}
	return waits;
}

void
segment_streams_init(struct segment_writer *w, const struct segment_io *io)
{
	unsigned i;

	TAILQ_INIT(&w->streams);
	for (i = 0; i < SEGMENT_STREAM_LANES; i++)
		w->stream_lanes[i] = lane_new(w->wake_fd, io);
}

void
segment_streams_fini(struct segment_writer *w)
{
	struct segment_stream *s;
	unsigned i;

	for (i = 0; i < SEGMENT_STREAM_LANES; i++)
		lane_free(&w->stream_lanes[i]);
	while ((s = TAILQ_FIRST(&w->streams)) != NULL)
		stream_free(s);
}

/* ---- what others call ---- */

struct segment_stream *
segment_stream_begin(struct segment_writer *w, void (*writable)(void *arg), void *arg)
{
	struct segment_stream *s = XNEW(struct segment_stream);

	s->w = w;
	s->lane = w->stream_lanes[w->next_lane++ % SEGMENT_STREAM_LANES];
	s->since_ms = loop_now_ms(w->loop);
	s->writable = writable;
	s->arg = arg;
	TAILQ_INIT(&s->queued);
	TAILQ_INIT(&s->flying);
	s->hash = XXH3_createState();
	if (s->hash == NULL)
		log_fatal("out of memory");
	TAILQ_INSERT_TAIL(&w->streams, s, link);
	segment_streams_want(w);
	segment_writer_arm(w);
	return s;
}

int
segment_stream_add(struct segment_stream *s, struct view chunk)
{
	struct block *b;
	size_t n;

	if (s->error != 0)
		return s->error;
	if (s->seg != NULL &&
	    s->seg->size - sizeof(struct segment_header) < s->added_bytes + chunk.len)
		return PK_ENOSPC;
	s->added_bytes += chunk.len;
	while (chunk.len > 0) {
		b = TAILQ_LAST(&s->queued, blocks);
		if (b == NULL || b->len == BLOCK_BYTES) {
			b = xmalloc(sizeof(*b));
			b->len = 0;
			TAILQ_INSERT_TAIL(&s->queued, b, link);
		}
		n = BLOCK_BYTES - b->len;
		if (n > chunk.len)
			n = chunk.len;
		memcpy(b->data + b->len, chunk.p, n);
		b->len += n;
		s->backlog += n;
		chunk = view_from(chunk, n);
	}
	if (stream_has_work(s))
		loop_defer(s->w->loop, &s->w->turn);
	return 0;
}

size_t
segment_stream_backlog(const struct segment_stream *s)
{
	return s->backlog;
}

void
segment_stream_commit(struct segment_stream *s, const struct segment_message *m)
{
	s->m = *m;
	s->state = STREAM_COMMIT;
	loop_defer(s->w->loop, &s->w->turn);
}

void
segment_stream_abort(struct segment_stream *s)
{
	s->state = STREAM_ABORTED;
	if (s->in_lane)
		return;
	stream_seal(s, sizeof(struct segment_header));
	stream_finish(s, PK_ECANCEL, 0);
}
