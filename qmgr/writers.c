/* SPDX-License-Identifier: ISC */
/*
 * writers.c: the processes that append to segments (smtpd, bounce), what they
 * are given, and taking in what they have made durable.
 *
 * Run by qmgr. A writer is treated as taken over: it may only speak of
 * segments whose header names its own instance, offsets only rise, and the
 * records are checked as any file's bytes. Segments are made ahead, so that a
 * writer never waits for a directory sync.
 */
#include "qmgr/qmgr.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/sched.h"
#include "queue/record.h"
#include "sys/fd.h"

/* Dedicated segments kept ready for a writer that asks for them. */
#define STOCK_DEDICATED		4
#define STOCK_SHARED		1
#define STOCK_MAX		8
#define WANTS_MAX		4096	/* a writer's sessions, each with one message */
/* Read in one turn; then the loop looks at its channels again. */
#define SCAN_BYTES		(4U << 20)
#define SCAN_RECORDS		1000
/* A dedicated segment may grow past the hint: chunked transfer tells none. */
#define DEDICATED_LIMIT		(1ULL << 40)
#define DEDICATED_RESERVE	(64ULL << 20)

/* A writer that lives has stated what it holds by then. */
#define TRIM_MS			30000

struct stock {
	struct segment	*seg;
	int		 fd;
};

struct want {
	uint32_t	 id;		/* of the request */
	TAILQ_ENTRY(want) link;
};
TAILQ_HEAD(want_list, want);

struct writer {
	enum ipc_role	 role;
	uint64_t	 instance;
	struct ipc_channel *ch;
	struct stock	 stock[SEGMENT_KINDS][STOCK_MAX];
	unsigned	 nstock[SEGMENT_KINDS];
	unsigned	 making[SEGMENT_KINDS];
	unsigned	 target[SEGMENT_KINDS];
	struct want_list wants[SEGMENT_KINDS];
	unsigned	 nwants[SEGMENT_KINDS];
	unsigned	 nopen;		/* handed out and not sealed */
	uint64_t	 reserve;	/* last hint for a dedicated one */
};

struct writers {
	struct qmgr	*q;
	struct map	*by_instance;
	struct segment_list scan;
	struct loop_deferred scan_later;
	struct event	*scan_again;
	struct loop_timer trim;
};

struct making {
	struct writers	*ws;
	uint64_t	 instance;
	enum record_segment_kind kind;
};

static void	top_up(struct writers *ws, struct writer *w, enum record_segment_kind kind);

/* ---- handing segments out ---- */

static void
give(struct writers *ws, struct writer *w, enum record_segment_kind kind, uint32_t id)
{
	struct stock s = w->stock[kind][--w->nstock[kind]];
	struct ipc_out o;
	int read_fd;

	s.seg->flags &= ~(unsigned)SEGMENT_STOCK;
	s.seg->flags |= SEGMENT_STATED;
	w->nopen++;
	ipc_out_init(&o, IPC_SEGMENT);
	ipc_put_u64(&o, IPC_F_SEGMENT, s.seg->header.number);
	ipc_put_u64(&o, IPC_F_KEY, s.seg->header.key);
	ipc_put_u64(&o, IPC_F_KIND, kind);
	ipc_put_u64(&o, IPC_F_SIZE, s.seg->limit);
	ipc_put_handle(&o, s.fd);
	if (kind == SEGMENT_DEDICATED) {
		read_fd = segments_open(&ws->q->store.segments, s.seg);
		if (read_fd != -1)
			ipc_put_handle(&o, read_fd);
	}
	o.close_handles = true;
	ipc_reply_id(w->ch, id, &o);
}

static void
refuse(struct writer *w, uint32_t id, int error)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-error);
	ipc_put_str(&o, IPC_F_TEXT, pk_strerror(error));
	ipc_reply_id(w->ch, id, &o);
}

static void
serve_wants(struct writers *ws, struct writer *w, enum record_segment_kind kind)
{
	struct want *want;

	while (w->ch != NULL && w->nstock[kind] > 0 &&
	    (want = TAILQ_FIRST(&w->wants[kind])) != NULL) {
		TAILQ_REMOVE(&w->wants[kind], want, link);
		w->nwants[kind]--;
		give(ws, w, kind, want->id);
		xfree(want);
	}
}

static void
refuse_wants(struct writer *w, enum record_segment_kind kind, int error)
{
	struct want *want;

	while ((want = TAILQ_FIRST(&w->wants[kind])) != NULL) {
		TAILQ_REMOVE(&w->wants[kind], want, link);
		w->nwants[kind]--;
		if (w->ch != NULL && error != 0)
			refuse(w, want->id, error);
		xfree(want);
	}
}

static void
on_made(void *arg, struct segment *seg, int append_fd, int error)
{
	struct making *mk = arg;
	struct writers *ws = mk->ws;
	struct writer *w = map_get_u64(ws->by_instance, mk->instance);
	enum record_segment_kind kind = mk->kind;

	xfree(mk);
	if (w == NULL) {
		fd_close(&append_fd);
		if (seg != NULL)
			segments_seal(&ws->q->store.segments, seg, seg->watermark);
		return;
	}
	w->making[kind]--;
	if (seg == NULL) {
		refuse_wants(w, kind, error);
		return;
	}
	seg->flags |= SEGMENT_STOCK;
	w->stock[kind][w->nstock[kind]++] = (struct stock){ seg, append_fd };
	serve_wants(ws, w, kind);
	top_up(ws, w, kind);
}

static void
make(struct writers *ws, struct writer *w, enum record_segment_kind kind)
{
	struct making *mk = XNEW(struct making);
	uint64_t limit = ws->q->conf->queue_segment_size, reserve = limit;

	mk->ws = ws;
	mk->instance = w->instance;
	mk->kind = kind;
	w->making[kind]++;
	if (kind == SEGMENT_DEDICATED) {
		limit = DEDICATED_LIMIT;
		reserve = w->reserve < DEDICATED_RESERVE ? w->reserve : DEDICATED_RESERVE;
	}
	segments_create(&ws->q->store.segments, kind, w->instance, w->role, limit, reserve,
	    on_made, mk);
}

static void
top_up(struct writers *ws, struct writer *w, enum record_segment_kind kind)
{
	/* Mail is taken while we drain; only the stock is the next qmgr's matter. */
	unsigned want = w->nwants[kind] + (ws->q->draining ? 0 : w->target[kind]);

	if (want > STOCK_MAX)
		want = STOCK_MAX;
	while (w->nstock[kind] + w->making[kind] < want)
		make(ws, w, kind);
}

static int
on_want(struct writers *ws, struct writer *w, struct ipc_msg *m)
{
	uint64_t kind = 0, size = 0;
	struct want *want;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_KIND, 0, SEGMENT_KINDS - 1, &kind);
	ipc_get_u64(&in, IPC_F_SIZE, &size);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	/* Each is a descriptor of ours until it is sealed. */
	if (w->nwants[kind] + w->nopen >= WANTS_MAX) {
		refuse(w, m->id, PK_EBUSY);
		return 0;
	}
	if (kind == SEGMENT_DEDICATED) {
		w->target[kind] = STOCK_DEDICATED;
		w->reserve = size;
	}
	want = XNEW(struct want);
	want->id = m->id;
	TAILQ_INSERT_TAIL(&w->wants[kind], want, link);
	w->nwants[kind]++;
	serve_wants(ws, w, (enum record_segment_kind)kind);
	top_up(ws, w, (enum record_segment_kind)kind);
	return 0;
}

/* ---- intake ---- */

static void
take_report(struct qmgr *q, struct message *m, const struct segment_record *r)
{
	char id[RECORD_ID_TEXT_MAX], of[RECORD_ID_TEXT_MAX];
	static const char *const kinds[] = {
		"non-delivery", "delay", "delivery status"
	};
	struct record_envelope e;

	record_id_format(m->id, id);
	record_id_format(m->dsn_of, of);
	/*
	 * Before the rows that it marks: a journal torn between the two must not
	 * make it look like a second report on the same.
	 */
	store_log_dsn(&q->store, m->id);
	if (record_envelope_read(r->envelope, &e) != 0 ||
	    !store_report_taken(&q->store, m, e.dsn_rcpts)) {
		log_info("%s: reports on %s what was reported before: dropped", id, of);
		store_finish(&q->store, m);
		return;
	}
	log_info("%s: sender %s notification: %s", of, kinds[m->dsn_kind], id);
	qmgr_activate(q, m);
}

static void
take_record(struct writers *ws, struct segment *seg, const struct segment_record *r)
{
	struct qmgr *q = ws->q;
	struct message *m;
	int rc;

	rc = store_take_in(&q->store, seg, r, seg->role == IPC_ROLE_bounce, &m);
	if (rc == PK_EFORMAT)
		log_error("queue/seg/%016" PRIu64 ".seg: envelope at offset %" PRIu64
		    " cannot be read", seg->header.number, r->offset);
	if (rc != 0)
		return;
	q->received++;
	if ((m->flags & MESSAGE_IS_DSN) != 0)
		take_report(q, m, r);
	else
		qmgr_activate(q, m);
}

static void
scan_end(struct writers *ws, struct segment *seg)
{
	TAILQ_REMOVE(&ws->scan, seg, scan);
	seg->flags &= ~(unsigned)SEGMENT_SCANNING;
	segments_changed(&ws->q->store.segments, seg);
}

/* True if there is more to read than the budget allowed. */
static bool
scan_some(struct writers *ws, size_t bytes, unsigned records)
{
	struct segment_record r;
	struct segment *seg;
	struct timeval later = { 1, 0 };
	size_t read = 0;
	unsigned n = 0;
	int rc;

	while ((seg = TAILQ_FIRST(&ws->scan)) != NULL) {
		rc = store_scan(&ws->q->store, seg, seg->durable, false, &r);
		if (rc == PK_EIO) {
			/* What got 250 is not passed over for one bad read (F3). */
			TAILQ_REMOVE(&ws->scan, seg, scan);
			TAILQ_INSERT_TAIL(&ws->scan, seg, scan);
			event_add(ws->scan_again, &later);
			return false;
		}
		if (rc != 0) {
			scan_end(ws, seg);
			continue;
		}
		read += r.h.total_bytes;
		take_record(ws, seg, &r);
		if (read >= bytes || ++n >= records) {
			/* The next writer's turn. */
			TAILQ_REMOVE(&ws->scan, seg, scan);
			TAILQ_INSERT_TAIL(&ws->scan, seg, scan);
			return true;
		}
	}
	return false;
}

static void
on_scan(void *arg)
{
	struct writers *ws = arg;
	struct timeval now = { 0, 0 };

	if (scan_some(ws, SCAN_BYTES, SCAN_RECORDS))
		event_add(ws->scan_again, &now);
	store_checkpoint(&ws->q->store, false);
}

static void
on_scan_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_scan(arg);
}

void
writers_scan_now(struct qmgr *q)
{
	if (!TAILQ_EMPTY(&q->writers->scan))
		scan_some(q->writers, SIZE_MAX, UINT32_MAX);
}

static void
scan_soon(struct writers *ws, struct segment *seg)
{
	if ((seg->flags & SEGMENT_SCANNING) == 0) {
		seg->flags |= SEGMENT_SCANNING;
		TAILQ_INSERT_TAIL(&ws->scan, seg, scan);
	}
	loop_defer(ws->q->loop, &ws->scan_later);
}

/* The writer's own open segment, or NULL. */
static struct segment *
own_segment(struct writers *ws, const struct writer *w, uint64_t number)
{
	struct segment *seg = segments_get(&ws->q->store.segments, number);

	if (seg == NULL || seg->header.writer != w->instance ||
	    (seg->flags & SEGMENT_STOCK) != 0)
		return NULL;
	return seg;
}

static int
on_durable(struct writers *ws, struct writer *w, struct ipc_msg *m)
{
	uint64_t number = 0, offset = 0;
	struct segment *seg;
	struct ipc_in in;

	ipc_in_init(&in, m);
	do {
		ipc_get_u64(&in, IPC_F_SEGMENT, &number);
		ipc_get_u64(&in, IPC_F_OFFSET, &offset);
		if (in.error != 0)
			return PK_EPROTO;
		if ((seg = own_segment(ws, w, number)) == NULL ||
		    offset > seg->limit + (1ULL << 30))
			return PK_EPROTO;
		seg->flags |= SEGMENT_STATED;
		if ((seg->flags & SEGMENT_SEALED) != 0 || offset <= seg->durable)
			continue;
		seg->durable = offset;
		scan_soon(ws, seg);
	} while (ipc_has(&in, IPC_F_SEGMENT));
	return ipc_in_end(&in);
}

/* Everything up to `size` is on disk now, and nothing comes behind it. */
static void
on_end_synced(void *arg, struct segment *seg, uint64_t size)
{
	struct writers *ws = arg;

	if (size == 0) {
		/* Its stated part stays good; a restart tries the rest again. */
		log_error("queue/seg/%016" PRIu64 ".seg: what is behind %" PRIu64 " is uncertain",
		    seg->header.number, seg->durable);
		scan_soon(ws, seg);
		return;
	}
	if (seg->end != 0 && size > seg->end)
		size = seg->end;
	if (size > seg->durable)
		seg->durable = size;
	/* A torn tail is no damage here: scan first, then seal. */
	writers_scan_now(ws->q);
	scan_soon(ws, seg);
	scan_some(ws, SIZE_MAX, UINT32_MAX);
	/* Could not be read to its end: the next start seals it. */
	if ((seg->flags & SEGMENT_SCANNING) == 0)
		segments_seal(&ws->q->store.segments, seg, seg->watermark);
}

static int
on_seal(struct writers *ws, struct writer *w, struct ipc_msg *m)
{
	uint64_t number = 0, offset = 0;
	struct segment *seg;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_SEGMENT, &number);
	ipc_get_u64(&in, IPC_F_OFFSET, &offset);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	if ((seg = own_segment(ws, w, number)) == NULL)
		return PK_EPROTO;
	if ((seg->flags & (SEGMENT_SEALED | SEGMENT_SYNCING)) != 0)
		return 0;
	if (w->nopen > 0)
		w->nopen--;
	if (offset > seg->durable && seg->header.kind == SEGMENT_SHARED) {
		seg->end = offset;
		segments_sync(&ws->q->store.segments, seg, on_end_synced, ws);
		return 0;
	}
	segments_seal(&ws->q->store.segments, seg, seg->durable);
	scan_soon(ws, seg);
	return 0;
}

int
writers_message(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct writers *ws = q->writers;
	struct writer *w = map_get_u64(ws->by_instance, ipc_channel_instance(ch));

	if (w == NULL)
		return PK_EPROTO;
	switch (m->type) {
	case IPC_SEGMENT_WANT:
		return on_want(ws, w, m);
	case IPC_SEGMENT_DURABLE:
		return on_durable(ws, w, m);
	case IPC_SEGMENT_SEAL:
		return on_seal(ws, w, m);
	default:
		return PK_EPROTO;
	}
}

/* ---- coming and going ---- */

void
writers_add(struct qmgr *q, enum ipc_role role, uint64_t instance, struct ipc_channel *ch)
{
	struct writers *ws = q->writers;
	struct writer *w = map_get_u64(ws->by_instance, instance);
	int k;

	if (w == NULL) {
		w = XNEW(struct writer);
		w->role = role;
		w->instance = instance;
		for (k = 0; k < SEGMENT_KINDS; k++)
			TAILQ_INIT(&w->wants[k]);
		w->target[SEGMENT_SHARED] = STOCK_SHARED;
		map_put_u64(ws->by_instance, instance, w);
	}
	/* Requests of an old channel are asked again on the new one. */
	for (k = 0; k < SEGMENT_KINDS; k++)
		refuse_wants(w, (enum record_segment_kind)k, 0);
	w->ch = ch;
	top_up(ws, w, SEGMENT_SHARED);
}

static void
end_segments_of(struct writers *ws, uint64_t instance)
{
	struct segments *s = &ws->q->store.segments;
	struct segment *seg;
	struct view key;
	size_t at = 0;
	void *v;

	while (map_next(s->by_number, &at, &key, &v)) {
		seg = v;
		if (seg->header.writer != instance || seg->role == IPC_ROLE_qmgr ||
		    (seg->flags & (SEGMENT_SEALED | SEGMENT_SYNCING)) != 0)
			continue;
		if ((seg->flags & SEGMENT_STOCK) != 0)
			segments_seal(s, seg, seg->watermark);
		else
			segments_sync(s, seg, on_end_synced, ws);
	}
}

void
writers_gone(struct qmgr *q, uint64_t instance)
{
	struct writers *ws = q->writers;
	struct writer *w = map_del_u64(ws->by_instance, instance);
	unsigned i;
	int k;

	if (w == NULL)
		return;
	for (k = 0; k < SEGMENT_KINDS; k++) {
		refuse_wants(w, (enum record_segment_kind)k, 0);
		for (i = 0; i < w->nstock[k]; i++)
			fd_close(&w->stock[k][i].fd);
	}
	end_segments_of(ws, instance);
	xfree(w);
}

void
writers_pressure(struct qmgr *q, unsigned level, const char *text)
{
	struct ipc_out o;
	struct view key;
	struct writer *w;
	size_t at = 0;
	void *v;

	while (map_next(q->writers->by_instance, &at, &key, &v)) {
		w = v;
		if (!ipc_role_accepts(w->role) || w->ch == NULL)
			continue;
		ipc_out_init(&o, IPC_QUEUE_PRESSURE);
		ipc_put_u64(&o, IPC_F_LEVEL, level);
		ipc_put_str(&o, IPC_F_TEXT, text);
		ipc_send(w->ch, &o);
	}
}

/*
 * What a former qmgr had in stock looks like a segment that its writer holds:
 * it stays until that ends. Its reserved blocks need not.
 */
static void
on_trim(void *arg)
{
	struct writers *ws = arg;
	struct segment *seg;
	struct view key;
	size_t at = 0;
	void *v;

	while (map_next(ws->q->store.segments.by_number, &at, &key, &v)) {
		seg = v;
		if ((seg->flags & (SEGMENT_SEALED | SEGMENT_STOCK | SEGMENT_STATED)) == 0 &&
		    seg->role != IPC_ROLE_qmgr && seg->durable <= sizeof(struct segment_header))
			segments_trim(&ws->q->store.segments, seg);
	}
}

void
writers_init(struct qmgr *q)
{
	struct writers *ws = XNEW(struct writers);

	ws->q = q;
	ws->by_instance = map_new();
	TAILQ_INIT(&ws->scan);
	ws->scan_later.fn = on_scan;
	ws->scan_later.arg = ws;
	ws->scan_again = evtimer_new(loop_base(q->loop), on_scan_again, ws);
	loop_timer_init(&ws->trim, on_trim, ws);
	loop_timer_set(q->loop, &ws->trim, TRIM_MS);
	q->writers = ws;
}

void
writers_fini(struct qmgr *q)
{
	struct writers *ws = q->writers;
	struct writer *w;
	struct view key;
	size_t at = 0;
	unsigned i;
	void *v;
	int k;

	while (map_next(ws->by_instance, &at, &key, &v)) {
		w = v;
		for (k = 0; k < SEGMENT_KINDS; k++) {
			refuse_wants(w, (enum record_segment_kind)k, 0);
			/* Not handed out: gone with the last checkpoint. */
			for (i = 0; i < w->nstock[k]; i++) {
				fd_close(&w->stock[k][i].fd);
				segments_seal(&q->store.segments, w->stock[k][i].seg,
				    w->stock[k][i].seg->watermark);
			}
		}
		xfree(w);
	}
	map_free(&ws->by_instance, NULL);
	loop_timer_clear(q->loop, &ws->trim);
	loop_defer_cancel(q->loop, &ws->scan_later);
	event_free(ws->scan_again);
	xfree(ws);
	q->writers = NULL;
}
