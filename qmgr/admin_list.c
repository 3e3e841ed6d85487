/* SPDX-License-Identifier: ISC */
/*
 * admin_list.c: queue list, view, trace and stats: looking, never changing.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/admin_request.h"
#include "queue/record.h"
#include "sys/fd.h"

#define CONTENT_PART	24000

/* ---- list ---- */

const char *
list_begin(struct request *rq)
{
	char *cursor;
	uint64_t from = 0;

	rq->limit = UINT64_MAX;
	if (request_take_u64(rq, "limit", INT64_MAX, &rq->limit) == PK_ESYNTAX)
		return "limit is a number";
	cursor = request_take_text(rq, "cursor");
	if (cursor != NULL && num_parse_hex(view_str(cursor), &from) != 0) {
		xfree(cursor);
		return "that is no cursor of an earlier answer";
	}
	xfree(cursor);
	walk_init(&rq->walk, rq->q, &rq->sel, from);
	rq->walking = true;
	return NULL;
}

static void
list_open(struct request *rq)
{
	if (rq->opened)
		buf_put_char(&rq->out, ',');
	else
		buf_put_str(&rq->out, "{\"version\":1,\"messages\":[");
	rq->opened = true;
}

static void
list_close(struct request *rq, bool more, const char *cursor)
{
	if (!rq->opened)
		buf_put_str(&rq->out, "{\"version\":1,\"messages\":[");
	buf_put_str(&rq->out, "]}");
	request_part(rq, more, cursor);
}

bool
list_step(struct request *rq)
{
	uint64_t end = clock_mono_ms() + REQUEST_STEP_MS, id;
	char cursor[24];
	struct message *m;
	bool own, match;

	while (walk_next(&rq->walk, &id)) {
		m = peek_begin(rq->q, id, &own);
		if (m == NULL)
			continue;
		match = selection_match(&rq->sel, m);
		if (match && rq->changed == rq->limit) {
			peek_end(rq->q, m, own);
			record_id_format(id, cursor);
			list_close(rq, false, cursor);
			return false;
		}
		if (match) {
			list_open(rq);
			put_message(&rq->out, rq->q, m, REQUEST_LIST_RECIPIENTS);
			rq->changed++;
		}
		peek_end(rq->q, m, own);
		if (rq->out.len >= REQUEST_PART_BYTES)
			list_close(rq, true, NULL);
		if (clock_mono_ms() >= end ||
		    ipc_channel_backlog(rq->ch) > REQUEST_BACKLOG_MAX) {
			if (rq->opened)
				list_close(rq, true, NULL);
			return true;
		}
	}
	list_close(rq, false, NULL);
	return false;
}

/* ---- view ---- */

enum view_phase { VIEW_MESSAGE, VIEW_RECIPIENTS, VIEW_CONTENT };

static const char *
take_id(struct request *rq)
{
	char *id = request_take_text(rq, "id");
	const char *why = NULL;

	if (id == NULL || record_id_parse(view_str(id), &rq->message) != 0)
		why = "id: a queue id is wanted, as the log prints it";
	xfree(id);
	return why;
}

const char *
view_begin(struct request *rq)
{
	const char *why = take_id(rq);
	char *content = request_take_text(rq, "content");

	rq->text = content;
	if (why != NULL)
		return why;
	if (request_take_u64(rq, "offset", INT64_MAX, &rq->offset) == PK_ESYNTAX)
		return "offset is a number of bytes";
	if (content != NULL && strcmp(content, "none") != 0 && strcmp(content, "header") != 0 &&
	    strcmp(content, "full") != 0)
		return "content is none, header or full";
	return NULL;
}

static bool
wants_content(const struct request *rq)
{
	return rq->text != NULL && strcmp(rq->text, "none") != 0;
}

static void
put_envelope(struct request *rq, const struct message *m)
{
	struct segment_record rec;
	struct record_envelope e;
	struct buf *b = &rq->out;

	buf_put_str(b, ",\"envelope\":{");
	if (store_record(&rq->q->store, m, &rec) == 0 &&
	    record_envelope_read(rec.envelope, &e) == 0) {
		put_member_text(b, "message_id", view_head(e.message_id, 1000));
		put_member_text(b, "envid", view_head(e.envid, 200));
		put_member_text(b, "listener", e.listener);
		put_member_text(b, "client_name", e.client_name);
		put_member_text(b, "client_address", e.client_addr);
		put_member_text(b, "helo", view_head(e.helo, 300));
		put_member_text(b, "protocol", e.protocol);
		put_member_text(b, "body", view_str(e.body == RECORD_BODY_BINARY ? "BINARYMIME" :
		    e.body == RECORD_BODY_8BIT ? "8BITMIME" : "7BIT"));
		put_member_u64(b, "utf8", e.utf8);
	}
	buf_put_char(b, '}');
}

/* Where m's bytes to show begin and end: header block and content lie side by side or apart. */
static void
content_range(struct request *rq, const struct message *m)
{
	rq->end = m->header_bytes + m->content_bytes;
	if (rq->offset > rq->end)
		rq->offset = rq->end;
}

static bool
view_message(struct request *rq)
{
	struct message *m;
	bool own, more;

	m = peek_begin(rq->q, rq->message, &own);
	if (m == NULL) {
		request_error(rq, PK_ENOENT, "no such message in the queue");
		return false;
	}
	buf_put_str(&rq->out, "{\"version\":1,\"message\":");
	rq->index = put_message(&rq->out, rq->q, m, 60);
	put_envelope(rq, m);
	buf_put_char(&rq->out, '}');
	content_range(rq, m);
	more = rq->index < m->nrcpts && m->rcpts != NULL;
	rq->phase = more ? VIEW_RECIPIENTS : VIEW_CONTENT;
	peek_end(rq->q, m, own);
	request_part(rq, more || wants_content(rq), NULL);
	return more || wants_content(rq);
}

static bool
view_recipients(struct request *rq)
{
	struct message *m;
	bool own, more = false, first = true;

	m = peek_begin(rq->q, rq->message, &own);
	buf_put_str(&rq->out, "{\"version\":1,\"recipients\":[");
	while (m != NULL && m->rcpts != NULL && rq->index < m->nrcpts &&
	    rq->out.len < REQUEST_PART_BYTES) {
		if (m->rcpts[rq->index] != NULL) {
			if (!first)
				buf_put_char(&rq->out, ',');
			first = false;
			put_recipient(&rq->out, m->rcpts[rq->index]);
		}
		rq->index++;
	}
	if (m != NULL) {
		more = m->rcpts != NULL && rq->index < m->nrcpts;
		peek_end(rq->q, m, own);
	}
	buf_put_str(&rq->out, "]}");
	if (!more)
		rq->phase = VIEW_CONTENT;
	request_part(rq, more || wants_content(rq), NULL);
	return more || wants_content(rq);
}

/* Up to n bytes of header block and content at `offset`; how many, or -1. */
static ssize_t
read_content(struct request *rq, const struct message *m, char *p, size_t n)
{
	struct segment *seg = segments_get(&rq->q->store.segments, m->segment);
	struct segment_record rec;
	uint64_t at;
	int fd;

	if (rq->offset < m->header_bytes) {
		/* What the index says of its length may be damaged. */
		if (store_record(&rq->q->store, m, &rec) != 0 || rec.header.len <= rq->offset)
			return -1;
		n = n < rec.header.len - rq->offset ? n : (size_t)(rec.header.len - rq->offset);
		memcpy(p, rec.header.p + rq->offset, n);
		return (ssize_t)n;
	}
	if (seg == NULL || (fd = segments_fd(&rq->q->store.segments, seg)) == -1)
		return -1;
	at = rq->offset - m->header_bytes;
	if (n > m->content_bytes - at)
		n = (size_t)(m->content_bytes - at);
	if (fd_pread_all(fd, p, n, (off_t)(m->content_offset + at)) != 0)
		return -1;
	return (ssize_t)n;
}

/* With "header": cut behind the empty line, if these bytes have it. */
static void
cut_header(struct request *rq, const char *p, ssize_t *n)
{
	const char *blank;

	if (strcmp(rq->text, "header") != 0)
		return;
	blank = memmem(p, (size_t)*n, "\r\n\r\n", 4);
	if (blank == NULL)
		return;
	*n = blank + 4 - p;
	rq->end = rq->offset + (uint64_t)*n;
}

static bool
view_content(struct request *rq)
{
	char *bytes = xmalloc(CONTENT_PART);
	struct message *m;
	ssize_t n = 0;
	bool own;

	m = peek_begin(rq->q, rq->message, &own);
	if (m != NULL && rq->offset < rq->end)
		n = read_content(rq, m, bytes, CONTENT_PART);
	if (m == NULL || n < 0) {
		request_error(rq, PK_EIO, "the content cannot be read, or is gone by now");
		if (m != NULL)
			peek_end(rq->q, m, own);
		xfree(bytes);
		return false;
	}
	cut_header(rq, bytes, &n);
	buf_put_str(&rq->out, "{\"version\":1");
	put_member_u64(&rq->out, "offset", rq->offset);
	put_member_u64(&rq->out, "size", m->header_bytes + m->content_bytes);
	buf_put_str(&rq->out, ",\"content_base64\":\"");
	base64_put(&rq->out, view_of(bytes, (size_t)n));
	buf_put_str(&rq->out, "\"}");
	rq->offset += (uint64_t)n;
	peek_end(rq->q, m, own);
	xfree(bytes);
	request_part(rq, rq->offset < rq->end, NULL);
	return rq->offset < rq->end;
}

bool
view_step(struct request *rq)
{
	switch (rq->phase) {
	case VIEW_MESSAGE:
		return view_message(rq);
	case VIEW_RECIPIENTS:
		return view_recipients(rq);
	default:
		return view_content(rq);
	}
}

/* ---- trace ---- */

const char *
trace_begin(struct request *rq)
{
	return take_id(rq);
}

static void
put_reports(struct request *rq)
{
	const struct store *s = &rq->q->store;
	char id[RECORD_ID_TEXT_MAX];
	size_t cursor = 0;
	struct view key;
	const struct message *m;
	void *v;

	buf_put_str(&rq->out, ",\"reports\":[");
	while (map_next(s->messages, &cursor, &key, &v)) {
		m = v;
		if (m->dsn_of != rq->message || (m->flags & MESSAGE_FINISHED) != 0)
			continue;
		record_id_format(m->id, id);
		if (buf_view(&rq->out).p[rq->out.len - 1] != '[')
			buf_put_char(&rq->out, ',');
		buf_put_char(&rq->out, '{');
		put_member_text(&rq->out, "id", view_str(id));
		buf_put_char(&rq->out, '}');
	}
	buf_put_char(&rq->out, ']');
}

bool
trace_step(struct request *rq)
{
	struct message *m;
	bool own;

	m = peek_begin(rq->q, rq->message, &own);
	buf_put_str(&rq->out, "{\"version\":1,\"message\":");
	if (m == NULL)
		buf_put_str(&rq->out, "null");
	else {
		put_message(&rq->out, rq->q, m, 60);
		peek_end(rq->q, m, own);
	}
	put_reports(rq);
	buf_put_char(&rq->out, '}');
	request_part(rq, false, NULL);
	return false;
}

/* ---- stats ---- */

static void
put_transports(struct buf *b, const struct qmgr *q)
{
	static const char *const types[TRANSPORT_TYPES] = {
		"smtp", "lmtp", "mailbox", "bounce", "discard", "error",
	};
	const struct transport *t;

	buf_put_str(b, ",\"transports\":[");
	TAILQ_FOREACH(t, &q->sched->transports, link) {
		if (buf_view(b).p[b->len - 1] != '[')
			buf_put_char(b, ',');
		buf_put_char(b, '{');
		put_member_text(b, "name", view_str(t->name));
		put_member_text(b, "type", view_str(types[t->type]));
		put_member_u64(b, "active", t->active);
		put_member_u64(b, "waiting", t->waiting);
		put_member_u64(b, "destinations", t->ndestinations);
		buf_put_char(b, '}');
	}
	buf_put_char(b, ']');
}

/* Of the messages not on hold or failed: being worked on now. */
static uint64_t
count_active(const struct qmgr *q)
{
	size_t cursor = 0;
	struct view key;
	uint64_t n = 0;
	const struct message *m;
	void *v;

	while (map_next(q->store.messages, &cursor, &key, &v)) {
		m = v;
		if ((m->flags & MESSAGE_FINISHED) == 0 && selection_state(m) == SELECTION_ACTIVE)
			n++;
	}
	return n;
}

bool
stats_step(struct request *rq)
{
	const struct qmgr *q = rq->q;
	const struct store *s = &q->store;
	struct buf *b = &rq->out;
	uint64_t active = count_active(q), deferred = s->counts[MESSAGE_CLASS_DEFERRED];

	buf_put_str(b, "{\"version\":1");
	put_member_u64(b, "messages", walk_total(&(struct walk){ .q = rq->q, .sel = &rq->sel }));
	put_member_u64(b, "recipients", s->open_recipients);
	put_member_u64(b, "incoming", s->counts[MESSAGE_CLASS_INCOMING]);
	put_member_u64(b, "active", active < deferred ? active : deferred);
	put_member_u64(b, "deferred", deferred - (active < deferred ? active : deferred));
	put_member_u64(b, "hold", s->counts[MESSAGE_CLASS_HOLD]);
	put_member_u64(b, "failed", s->counts[MESSAGE_CLASS_FAILED]);
	put_member_u64(b, "in_memory", map_count(s->messages));
	put_member_u64(b, "segments", map_count(s->segments.by_number));
	put_member_u64(b, "segment_bytes", s->segments.bytes);
	put_member_u64(b, "journal", journal_number(s->journal));
	put_member_u64(b, "received", q->received);
	put_member_u64(b, "finished", q->finished);
	put_member_u64(b, "sent", q->sent);
	put_member_u64(b, "attempts_deferred", q->deferred);
	put_member_u64(b, "bounced", q->bounced);
	put_member_u64(b, "pressure", pressure_level(q));
	put_scopes(b, q);
	put_transports(b, q);
	buf_put_char(b, '}');
	request_part(rq, false, NULL);
	return false;
}
