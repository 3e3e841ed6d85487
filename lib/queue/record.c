/* SPDX-License-Identifier: ISC */
/*
 * record.c: encoding and checking of queue records.
 *
 * Written by smtpd and the bounce composer, read by qmgr. The reader treats
 * the file as hostile: a worker that was taken over may have appended
 * anything, so each length is held against the durable end before use, and
 * nothing here asserts on file contents.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/num.h"
#include "queue/record.h"

_Static_assert(sizeof(struct segment_header) == 64, "segment header is 64 bytes on disk");
_Static_assert(sizeof(struct record_header) == 80, "record header is 80 bytes on disk");
_Static_assert(sizeof(struct record_trailer) == 16, "record trailer is 16 bytes on disk");

#define FIELD_HEAD	4		/* tag u16, length u16 */

void
record_id_format(uint64_t id, char *text)
{
	snprintf(text, RECORD_ID_TEXT_MAX, "%010" PRIX64, id);
}

int
record_id_parse(struct view text, uint64_t *id_r)
{
	if (text.len < 10 || text.len > 16)
		return PK_ESYNTAX;
	return num_parse_hex(text, id_r);
}

uint64_t
record_check(uint64_t key, struct view v)
{
	return XXH3_64bits_withSeed(v.p, v.len, key);
}

static uint64_t
padded(uint64_t n)
{
	return (n + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

void
segment_header_init(struct segment_header *h, enum record_segment_kind kind,
    uint64_t number, uint64_t key, uint64_t writer, uint64_t created_ms)
{
	memset(h, 0, sizeof(*h));
	h->magic = SEGMENT_MAGIC;
	h->version = SEGMENT_VERSION;
	h->kind = kind;
	h->number = number;
	h->key = key;
	h->writer = writer;
	h->created_ms = created_ms;
	h->check = record_check(key,
	    view_of((char *)h, offsetof(struct segment_header, check)));
}

int
segment_header_check(const struct segment_header *h, uint64_t number)
{
	if (h->magic != SEGMENT_MAGIC || h->version != SEGMENT_VERSION ||
	    h->kind >= SEGMENT_KINDS)
		return PK_EFORMAT;
	if (number != 0 && h->number != number)
		return PK_EFORMAT;
	if (h->check != record_check(h->key,
	    view_of((const char *)h, offsetof(struct segment_header, check))))
		return PK_EFORMAT;
	return 0;
}

void
envelope_put_u64(struct buf *b, unsigned tag, uint64_t n)
{
	uint16_t head[2] = { (uint16_t)tag, sizeof(n) };

	buf_put(b, head, sizeof(head));
	buf_put(b, &n, sizeof(n));
}

void
envelope_put_text(struct buf *b, unsigned tag, struct view v)
{
	uint16_t head[2] = { (uint16_t)tag, (uint16_t)v.len };

	if (v.len > UINT16_MAX) {
		b->error = PK_ELIMIT;
		return;
	}
	buf_put(b, head, sizeof(head));
	buf_put_view(b, v);
}

static uint64_t
meta_check(uint64_t key, struct view envelope, struct view header)
{
	/* The parts lie side by side on disk; chain them by the seed. */
	return record_check(record_check(key, envelope), header);
}

static void
header_init(struct record_header *h, uint64_t key, struct view envelope, struct view header)
{
	memset(h, 0, sizeof(*h));
	h->magic = RECORD_MAGIC;
	h->version = RECORD_VERSION;
	h->envelope_bytes = (uint32_t)envelope.len;
	h->header_bytes = (uint32_t)header.len;
	h->meta_check = meta_check(key, envelope, header);
}

static uint64_t
header_own_check(const struct record_header *h, uint64_t key)
{
	return record_check(key,
	    view_of((const char *)h, offsetof(struct record_header, check)));
}

void
record_header_shared(struct record_header *h, uint64_t key, uint64_t segment,
    uint64_t offset, struct view envelope, struct view header, struct view content)
{
	header_init(h, key, envelope, header);
	h->message = record_id(segment, offset);
	h->content_bytes = content.len;
	h->content_offset = offset + sizeof(*h) + envelope.len + header.len;
	h->total_bytes = padded(sizeof(*h) + envelope.len + header.len + content.len);
	h->content_check = record_check(key, content);
	h->check = header_own_check(h, key);
}

void
record_header_dedicated(struct record_header *h, struct record_trailer *t, uint64_t key,
    uint64_t segment, uint64_t record_offset, struct view envelope, struct view header,
    uint64_t content_bytes, uint64_t content_check)
{
	header_init(h, key, envelope, header);
	h->message = record_id(segment, 0);
	h->content_bytes = content_bytes;
	h->content_offset = sizeof(struct segment_header);
	h->total_bytes = padded(sizeof(*h) + envelope.len + header.len) + sizeof(*t);
	h->content_check = content_check;
	h->check = header_own_check(h, key);
	t->record_offset = record_offset;
	t->check = record_check(key, view_of((char *)&t->record_offset, sizeof(t->record_offset)));
}

int
record_header_check(const struct record_header *h, uint64_t key,
    enum record_segment_kind kind, uint64_t offset, uint64_t end)
{
	uint64_t parts, room;

	if (offset > end || end - offset < sizeof(*h))
		return PK_EEND;
	if (h->magic != RECORD_MAGIC || h->version != RECORD_VERSION ||
	    h->check != header_own_check(h, key))
		return PK_EFORMAT;
	room = end - offset;
	if (h->envelope_bytes > RECORD_ENVELOPE_MAX || h->header_bytes > RECORD_HEADER_MAX ||
	    h->total_bytes > room || h->total_bytes % RECORD_ALIGN != 0)
		return PK_EFORMAT;
	parts = sizeof(*h) + h->envelope_bytes + h->header_bytes;
	if (kind == SEGMENT_SHARED) {
		if (h->content_bytes > room || h->content_offset != offset + parts ||
		    h->total_bytes != padded(parts + h->content_bytes))
			return PK_EFORMAT;
	} else {
		if (h->content_offset != sizeof(struct segment_header) ||
		    h->content_bytes > offset - sizeof(struct segment_header) ||
		    h->total_bytes != padded(parts) + sizeof(struct record_trailer))
			return PK_EFORMAT;
	}
	return 0;
}

/* Takes one field off the front of *rest; false at the end or when damaged. */
static bool
field_next(struct view *rest, unsigned *tag_r, struct view *v_r)
{
	uint16_t head[2];

	if (rest->len < FIELD_HEAD)
		return false;
	memcpy(head, rest->p, sizeof(head));
	if (rest->len - FIELD_HEAD < head[1])
		return false;
	*tag_r = head[0];
	*v_r = view_of(rest->p + FIELD_HEAD, head[1]);
	*rest = view_from(*rest, FIELD_HEAD + (size_t)head[1]);
	return true;
}

static bool
text_ok(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (v.p[i] == '\0' || v.p[i] == '\r' || v.p[i] == '\n')
			return false;
	return true;
}

static int
take_u64(struct view v, uint64_t greatest, uint64_t *n_r)
{
	uint64_t n;

	if (v.len != sizeof(n))
		return PK_EFORMAT;
	memcpy(&n, v.p, sizeof(n));
	if (n > greatest)
		return PK_EFORMAT;
	*n_r = n;
	return 0;
}

static int
take_enum(struct view v, unsigned count, unsigned *n_r)
{
	uint64_t n;

	if (take_u64(v, count - 1, &n) != 0)
		return PK_EFORMAT;
	*n_r = (unsigned)n;
	return 0;
}

static int
take_bool(struct view v, bool *yes_r)
{
	uint64_t n;

	if (take_u64(v, 1, &n) != 0)
		return PK_EFORMAT;
	*yes_r = n == 1;
	return 0;
}

static int
take_text(struct view v, struct view *v_r)
{
	if (!text_ok(v))
		return PK_EFORMAT;
	*v_r = v;
	return 0;
}

/* One field of the part before the recipients. */
static int
envelope_field(struct record_envelope *e, unsigned tag, struct view v)
{
	switch (tag) {
	case ENVELOPE_SENDER:		return take_text(v, &e->sender);
	case ENVELOPE_ENVID:		return take_text(v, &e->envid);
	case ENVELOPE_LISTENER:		return take_text(v, &e->listener);
	case ENVELOPE_CLIENT_ADDR:	return take_text(v, &e->client_addr);
	case ENVELOPE_CLIENT_NAME:	return take_text(v, &e->client_name);
	case ENVELOPE_HELO:		return take_text(v, &e->helo);
	case ENVELOPE_PROTOCOL:		return take_text(v, &e->protocol);
	case ENVELOPE_MESSAGE_ID:	return take_text(v, &e->message_id);
	case ENVELOPE_LOGIN:		return take_text(v, &e->login);
	case ENVELOPE_ARRIVAL_MS:	return take_u64(v, UINT64_MAX, &e->arrival_ms);
	case ENVELOPE_DSN_OF:		return take_u64(v, UINT64_MAX, &e->dsn_of);
	case ENVELOPE_LINE_MAX:		return take_u64(v, UINT64_MAX, &e->line_max);
	case ENVELOPE_HOLD_UNTIL_MS:	return take_u64(v, UINT64_MAX, &e->hold_until_ms);
	case ENVELOPE_PRIORITY:		return take_enum(v, 5, &e->priority);
	case ENVELOPE_BODY:		return take_enum(v, RECORD_BODIES, &e->body);
	case ENVELOPE_RET:		return take_enum(v, RECORD_RETS, &e->ret);
	case ENVELOPE_DSN_KIND:		return take_enum(v, RECORD_DSN_KINDS, &e->dsn_kind);
	case ENVELOPE_TICKET:
		e->ticket = v;
		return 0;
	case ENVELOPE_DSN_RCPTS:
		e->dsn_rcpts = v;
		return v.len % sizeof(uint32_t) == 0 ? 0 : PK_EFORMAT;
	case ENVELOPE_HOLD:
		e->has_hold = true;
		return take_text(v, &e->hold);
	case ENVELOPE_UTF8:		return take_bool(v, &e->utf8);
	case ENVELOPE_REQUIRETLS:	return take_bool(v, &e->requiretls);
	case ENVELOPE_TLS_OPTIONAL:	return take_bool(v, &e->tls_optional);
	default:
		return tag % 2 == 0 ? 0 : PK_EFORMAT;
	}
}

static int
recipient_field(struct record_recipient *r, unsigned tag, struct view v)
{
	uint64_t n;

	switch (tag) {
	case ENVELOPE_ORCPT:
		return take_text(v, &r->orcpt);
	case ENVELOPE_NOTIFY:
		if (take_u64(v, 15, &n) != 0)
			return PK_EFORMAT;
		r->notify = (unsigned)n;
		return 0;
	default:
		return tag % 2 == 0 ? 0 : PK_EFORMAT;
	}
}

static int
envelope_read(struct view bytes, bool recipients, struct record_envelope *e_r)
{
	struct record_envelope e;
	struct record_recipient r;
	struct view rest = bytes, before, v;
	uint64_t seen = 0;
	unsigned tag;

	memset(&e, 0, sizeof(e));
	e.priority = 2;
	for (;;) {
		before = rest;
		if (!field_next(&rest, &tag, &v))
			break;
		if (tag == ENVELOPE_RECIPIENT) {
			rest = before;
			break;
		}
		if (tag < 64 && (seen & 1ULL << tag) != 0)
			return PK_EFORMAT;
		if (tag < 64)
			seen |= 1ULL << tag;
		if (envelope_field(&e, tag, v) != 0)
			return PK_EFORMAT;
	}
	if ((seen & 1ULL << ENVELOPE_SENDER) == 0 ||
	    (seen & 1ULL << ENVELOPE_ARRIVAL_MS) == 0)
		return PK_EFORMAT;
	e.recipients = rest;
	while (rest.len > 0) {
		if (!field_next(&rest, &tag, &v))
			return PK_EFORMAT;
		if (tag == ENVELOPE_RECIPIENT) {
			if (v.len == 0 || v.len > RECORD_ADDRESS_MAX || !text_ok(v))
				return PK_EFORMAT;
			e.nrecipients++;
		} else if (recipient_field(&r, tag, v) != 0)
			return PK_EFORMAT;
	}
	if (recipients && e.nrecipients == 0)
		return PK_EFORMAT;
	*e_r = e;
	return 0;
}

int
record_envelope_read(struct view bytes, struct record_envelope *e_r)
{
	return envelope_read(bytes, true, e_r);
}

int
record_envelope_read_head(struct view bytes, struct record_envelope *e_r)
{
	return envelope_read(bytes, false, e_r);
}

bool
record_recipient_next(struct view *rest, struct record_recipient *r_r)
{
	struct record_recipient r;
	struct view before, v;
	unsigned tag;

	memset(&r, 0, sizeof(r));
	if (!field_next(rest, &tag, &v) || tag != ENVELOPE_RECIPIENT)
		return false;
	r.address = v;
	for (;;) {
		before = *rest;
		if (!field_next(rest, &tag, &v))
			break;
		if (tag == ENVELOPE_RECIPIENT) {
			*rest = before;
			break;
		}
		if (recipient_field(&r, tag, v) != 0)
			return false;
	}
	*r_r = r;
	return true;
}
