/* SPDX-License-Identifier: ISC */
/*
 * record.h: what a message is on disk (QUEUE.md).
 *
 * A segment file begins with struct segment_header. In a shared segment
 * records follow one another, each 8-byte aligned:
 *
 *	record_header | envelope | header block | content | 0..7 zero bytes
 *
 * (header block and content together are the message as it is sent on). A
 * dedicated segment holds one message:
 *
 *	segment_header | content | pad | record_header | envelope | header
 *	block | pad | record_trailer
 *
 * Checks are XXH3-64 seeded with the segment's key, which no client knows.
 * Content is CRLF wire form, without dot-stuffing, ending in CRLF.
 * Every integer is little endian. A reader believes nothing: lengths are held
 * against the durable end of the segment before they are used.
 */
#ifndef PK_QUEUE_RECORD_H
#define PK_QUEUE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define SEGMENT_MAGIC		0x31474553504bULL	/* "KPSEG1" */
#define SEGMENT_VERSION		1
#define RECORD_MAGIC		0x3152504bU		/* "KPR1" */
#define RECORD_VERSION		1
#define RECORD_ALIGN		8
#define RECORD_ENVELOPE_MAX	(16U << 20)	/* 100,000 recipients of 160 bytes */
#define RECORD_HEADER_MAX	(64U << 10)	/* trace and result headers of ours */
#define RECORD_ADDRESS_MAX	1024

enum record_segment_kind {
	SEGMENT_SHARED,
	SEGMENT_DEDICATED,
	SEGMENT_KINDS
};

enum record_body { RECORD_BODY_7BIT, RECORD_BODY_8BIT, RECORD_BODY_BINARY, RECORD_BODIES };
enum record_ret { RECORD_RET_NONE, RECORD_RET_FULL, RECORD_RET_HDRS, RECORD_RETS };
enum record_notify {
	RECORD_NOTIFY_DEFAULT	= 0,		/* failure and delay, as if not given */
	RECORD_NOTIFY_NEVER	= 1,
	RECORD_NOTIFY_SUCCESS	= 2,
	RECORD_NOTIFY_FAILURE	= 4,
	RECORD_NOTIFY_DELAY	= 8,
};
enum record_dsn_kind {
	RECORD_DSN_FAILED,
	RECORD_DSN_DELAYED,
	RECORD_DSN_SUCCESS,
	RECORD_DSN_KINDS,
};

struct segment_header {			/* 64 bytes */
	uint64_t	magic;
	uint32_t	version;
	uint32_t	kind;		/* enum record_segment_kind */
	uint64_t	number;
	uint64_t	key;
	uint64_t	writer;		/* instance of the process that appends */
	uint64_t	created_ms;
	uint64_t	reserved;
	uint64_t	check;		/* of the 56 bytes before */
};

struct record_header {			/* 80 bytes */
	uint32_t	magic;
	uint16_t	version;
	uint16_t	reserved;
	uint32_t	envelope_bytes;
	uint32_t	header_bytes;	/* header block to put in front */
	uint64_t	content_bytes;
	uint64_t	content_offset;	/* in the file */
	uint64_t	total_bytes;	/* this record with padding (dedicated: with trailer) */
	uint64_t	message;	/* message id; survives compaction */
	uint64_t	content_check;
	uint64_t	meta_check;	/* of envelope and header block */
	uint64_t	reserved2;
	uint64_t	check;		/* of the 72 bytes before */
};

struct record_trailer {			/* 16 bytes, ends a dedicated segment */
	uint64_t	record_offset;
	uint64_t	check;		/* of record_offset */
};

/*
 * Message ids: segment number and place, never reused since segment numbers
 * never are. Printed as upper-case hex digits, at least ten (the queue id).
 */
#define RECORD_ID_OFFSET_BITS	24
static inline uint64_t
record_id(uint64_t segment, uint64_t offset)
{
	return segment << RECORD_ID_OFFSET_BITS | offset / RECORD_ALIGN;
}
#define RECORD_ID_TEXT_MAX	20
/* Writes the text with NUL into text[RECORD_ID_TEXT_MAX]. */
void	record_id_format(uint64_t id, char *text);
int	record_id_parse(struct view text, uint64_t *id_r);

/* ---- composing ---- */

void	segment_header_init(struct segment_header *h, enum record_segment_kind kind,
	    uint64_t number, uint64_t key, uint64_t writer, uint64_t created_ms);

/* Envelope fields into b (max RECORD_ENVELOPE_MAX); PK_ELIMIT sticks in b. */
void	envelope_put_u64(struct buf *b, unsigned tag, uint64_t n);
void	envelope_put_text(struct buf *b, unsigned tag, struct view v);

/*
 * Fills h for a record of a shared segment at `offset` whose parts follow it
 * directly, and gives its whole size with padding in h->total_bytes.
 */
void	record_header_shared(struct record_header *h, uint64_t key, uint64_t segment,
	    uint64_t offset, struct view envelope, struct view header, struct view content);
/* The same for a dedicated segment: content (already written) is known by length and check. */
void	record_header_dedicated(struct record_header *h, struct record_trailer *t, uint64_t key,
	    uint64_t segment, uint64_t record_offset, struct view envelope, struct view header,
	    uint64_t content_bytes, uint64_t content_check);
uint64_t record_check(uint64_t key, struct view v);

/* ---- reading ---- */

/* 0, or PK_EFORMAT. number 0: any. */
int	segment_header_check(const struct segment_header *h, uint64_t number);
/*
 * Checks a record header that stands at `offset` of a segment durable to
 * `end`: magic, version, check, every length within bounds. Does not look at
 * envelope or content. PK_EEND if not even the header fits (nothing more
 * here), PK_EFORMAT otherwise.
 */
int	record_header_check(const struct record_header *h, uint64_t key,
	    enum record_segment_kind kind, uint64_t offset, uint64_t end);

struct record_envelope {		/* views into the envelope's bytes */
	struct view	sender, envid, hold, listener, client_addr, client_name, helo, protocol;
	struct view	message_id, login, ticket, dsn_rcpts;
	bool		has_hold;
	uint64_t	arrival_ms, dsn_of, line_max, hold_until_ms;
	unsigned	priority, body, ret, dsn_kind;
	bool		utf8, requiretls, tls_optional;
	struct view	recipients;	/* the fields from the first RECIPIENT on */
	uint32_t	nrecipients;
};
struct record_recipient {
	struct view	address, orcpt;
	unsigned	notify;
};

/* PK_EFORMAT if anything is out of place. */
int	record_envelope_read(struct view bytes, struct record_envelope *e_r);
/* The same for a JOB's ENVELOPE, which ends before the first RECIPIENT. */
int	record_envelope_read_head(struct view bytes, struct record_envelope *e_r);
/* Walks: start with a copy of e.recipients; false at the end. */
bool	record_recipient_next(struct view *rest, struct record_recipient *r_r);

enum envelope_tag {
#define ENVELOPE_FIELD(name, tag, type, once, text) ENVELOPE_##name = tag,
#include "queue/envelope.def"
#undef ENVELOPE_FIELD
};

#endif
