/* SPDX-License-Identifier: ISC */
/*
 * admin_check.c: queue check: segments, index and memory held against each
 * other, nothing changed; and queue rebuild.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "qmgr/admin_request.h"
#include "queue/record.h"
#include "sys/fd.h"

#define PROBLEMS_MAX	100

enum check_phase { CHECK_SEGMENTS, CHECK_MESSAGES };

struct check {
	uint64_t	*segments;	/* numbers, rising */
	size_t		 nsegments, at;
	uint64_t	 offset;	/* in the segment being read */
	uint64_t	 records, messages, problems;
	struct buf	 words;		/* JSON texts with commas */
	struct segment_window window;
};

static void
check_free(void *state)
{
	struct check *c = state;

	segment_window_fini(&c->window);
	buf_fini(&c->words);
	xfree(c->segments);
	xfree(c);
}

static void problem(struct check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
problem(struct check *c, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	if (c->problems++ >= PROBLEMS_MAX)
		return;
	buf_init(&b, 4096);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (c->words.len > 0)
		buf_put_char(&c->words, ',');
	buf_put_char(&c->words, '"');
	buf_put_view(&c->words, buf_view(&b));	/* numbers and words of our own only */
	buf_put_char(&c->words, '"');
	buf_fini(&b);
}

const char *
check_begin(struct request *rq)
{
	struct check *c = XNEW(struct check);
	struct segment **all;
	size_t i;

	buf_init(&c->words, 32768);
	segment_window_init(&c->window);
	all = segments_sorted(&rq->q->store.segments, &c->nsegments);
	c->segments = xcalloc(c->nsegments + 1, sizeof(*c->segments));
	for (i = 0; i < c->nsegments; i++)
		c->segments[i] = all[i]->header.number;
	xfree(all);
	rq->state = c;
	rq->free_state = check_free;
	return NULL;
}

/* Header, envelope, header block; false at the end of what has been taken in. */
static bool
check_record(struct request *rq, struct check *c, struct segment *seg, int fd)
{
	struct segment_record r;
	bool dedicated = seg->header.kind == SEGMENT_DEDICATED;
	int rc;

	if (c->offset >= seg->watermark || (dedicated && c->offset > 0))
		return false;
	if (!dedicated && c->offset == 0)
		c->offset = sizeof(struct segment_header);
	if (c->offset >= seg->watermark)
		return false;
	rc = segment_reader_record(&c->window, fd, &seg->header, c->offset, seg->watermark, &r);
	if (rc != 0) {
		if ((seg->flags & SEGMENT_DAMAGED) == 0)
			problem(c, "segment %" PRIu64 ": record at offset %" PRIu64 ": %s",
			    seg->header.number, c->offset, pk_strerror(rc));
		return false;
	}
	c->records++;
	c->offset = dedicated ? UINT64_MAX : c->offset + r.h.total_bytes;
	(void)rq;
	return true;
}

/* True while there is more of the segments to read. */
static bool
check_segments(struct request *rq, struct check *c, uint64_t end)
{
	struct segment *seg;
	int fd;

	while (c->at < c->nsegments) {
		seg = segments_get(&rq->q->store.segments, c->segments[c->at]);
		fd = seg != NULL ? segments_fd(&rq->q->store.segments, seg) : -1;
		if (seg != NULL && fd == -1)
			problem(c, "segment %" PRIu64 " cannot be opened", c->segments[c->at]);
		while (fd != -1 && check_record(rq, c, seg, fd))
			if (clock_mono_ms() >= end)
				return true;
		c->at++;
		c->offset = 0;
	}
	return false;
}

static void
check_content(struct request *rq, struct check *c, const struct message *m,
    const struct segment_record *r)
{
	struct segment *seg = segments_get(&rq->q->store.segments, m->segment);
	char *bytes;
	int fd = segments_fd(&rq->q->store.segments, seg);

	/* Large ones are checked when they are delivered; here it would take the loop. */
	if (r->h.content_bytes > SEGMENT_WINDOW_BYTES)
		return;
	bytes = xmalloc((size_t)r->h.content_bytes + 1);
	if (fd == -1 || fd_pread_all(fd, bytes, (size_t)r->h.content_bytes,
	    (off_t)r->h.content_offset) != 0 ||
	    record_check(seg->header.key, view_of(bytes, (size_t)r->h.content_bytes)) !=
	    r->h.content_check)
		problem(c, "message %010" PRIX64 ": its content does not pass its check", m->id);
	xfree(bytes);
}

static void
check_message(struct request *rq, struct check *c, uint64_t id)
{
	struct segment_record r;
	struct message *m;
	uint32_t i, open = 0;
	bool own;
	int rc;

	m = peek_begin(rq->q, id, &own);
	if (m == NULL)
		return;
	c->messages++;
	rc = store_record(&rq->q->store, m, &r);
	if (rc != 0)
		problem(c, "message %010" PRIX64 ": record in segment %" PRIu64 ": %s", id,
		    m->segment, pk_strerror(rc));
	else if (r.h.message != id)
		problem(c, "message %010" PRIX64 ": its record is that of %010" PRIX64, id,
		    r.h.message);
	else
		check_content(rq, c, m, &r);
	if ((m->flags & MESSAGE_EXPANDED) != 0 && m->rcpts != NULL) {
		for (i = 0; i < m->nrcpts; i++)
			open += m->rcpts[i] != NULL && !recipient_done(m->rcpts[i]);
		if (open != m->nopen)
			problem(c, "message %010" PRIX64 ": %u recipients are open, %u are counted",
			    id, open, m->nopen);
	}
	peek_end(rq->q, m, own);
}

static bool
check_end(struct request *rq, struct check *c)
{
	struct buf *b = &rq->out;

	buf_put_str(b, "{\"version\":1");
	put_member_u64(b, "segments", c->nsegments);
	put_member_u64(b, "records", c->records);
	put_member_u64(b, "messages", c->messages);
	buf_put_str(b, ",\"problems\":[");
	buf_put_view(b, buf_view(&c->words));
	buf_put_str(b, "]}");
	request_part(rq, false, NULL);
	return false;
}

bool
check_step(struct request *rq)
{
	uint64_t end = clock_mono_ms() + REQUEST_STEP_MS, id;
	struct check *c = rq->state;

	if (rq->phase == CHECK_SEGMENTS) {
		if (check_segments(rq, c, end))
			return true;
		walk_init(&rq->walk, rq->q, &rq->sel, 0);
		rq->walking = true;
		rq->phase = CHECK_MESSAGES;
	}
	while (walk_next(&rq->walk, &id)) {
		check_message(rq, c, id);
		if (clock_mono_ms() >= end)
			return true;
	}
	return check_end(rq, c);
}

/* ---- rebuild ---- */

/*
 * Asks for it with a mark in the queue directory and ends this process in
 * order; the next one, which master starts at once, moves the index aside,
 * makes another and removes the mark (recover.c). Writers go on meanwhile:
 * what they acknowledge is durable without qmgr.
 */
bool
rebuild_step(struct request *rq)
{
	int dir = open(rq->q->store.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;

	if (dir != -1)
		fd = openat(dir, STORE_REBUILD_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || fd_sync_dir(dir) != 0) {
		fd_close(&fd);
		fd_close(&dir);
		request_error(rq, PK_ESYS, "cannot leave the mark in the queue directory");
		return false;
	}
	fd_close(&fd);
	fd_close(&dir);
	child_audit(rq->q->child, rq->uid, "queue rebuild");
	buf_put_str(&rq->out, "{\"version\":1");
	put_member_u64(&rq->out, "messages",
	    walk_total(&(struct walk){ .q = rq->q, .sel = &rq->sel }));
	buf_put_char(&rq->out, '}');
	request_part(rq, false, NULL);
	ipc_flush(rq->ch);
	qmgr_restart(rq->q);
	return false;
}
