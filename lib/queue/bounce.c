/* SPDX-License-Identifier: ISC */
/*
 * bounce.c: the account of failures between qmgr and `deliver bounce`.
 *
 * Runs in both. The reader trusts nothing: each length is checked against
 * what is there, enums against their range, and the last row must end with
 * the bytes. Texts come from remote servers; mail/dsn.h makes them safe where
 * they are printed.
 */
#include "queue/bounce.h"

#include "base/error.h"
#include "mail/dsn.h"

#define HEAD_SIZE	4

static int
put_number(struct buf *b, uint64_t n, unsigned bytes)
{
	unsigned char raw[8];
	unsigned i;

	for (i = 0; i < bytes; i++)
		raw[i] = (unsigned char)(n >> (8 * i));
	return buf_put(b, raw, bytes);
}

static int
put_text(struct buf *b, struct view v)
{
	v = view_head(v, BOUNCE_TEXT_MAX);
	put_number(b, v.len, 2);
	return buf_put_view(b, v);
}

int
bounce_encode_begin(struct buf *b, enum bounce_kind kind)
{
	if (kind >= BOUNCE_KINDS)
		return PK_ERANGE;
	put_number(b, BOUNCE_VERSION, 1);
	put_number(b, kind, 1);
	return put_number(b, 0, 2);
}

int
bounce_encode_row(struct buf *b, const struct bounce_row *row)
{
	unsigned char *head = (unsigned char *)buf_data(b);
	unsigned rows;

	if (buf_error(b) != 0 || b->len < HEAD_SIZE)
		return PK_ELIMIT;
	rows = head[2] | (unsigned)head[3] << 8;
	if (row->action > DSN_EXPANDED || rows >= BOUNCE_ROWS_MAX)
		return PK_ERANGE;
	put_number(b, row->index, 8);
	put_number(b, row->action, 1);
	put_number(b, row->last_attempt_ms, 8);
	put_number(b, row->retry_until_ms, 8);
	put_text(b, row->dsn);
	put_text(b, row->reply);
	put_text(b, row->relay);
	if (buf_error(b) != 0)
		return PK_ELIMIT;
	/* The bytes may have moved. */
	head = (unsigned char *)buf_data(b);
	rows++;
	head[2] = (unsigned char)rows;
	head[3] = (unsigned char)(rows >> 8);
	return 0;
}

int
bounce_encode_end(struct buf *b)
{
	return buf_error(b);
}

static int
get_number(struct view *rest, unsigned bytes, uint64_t *n_r)
{
	uint64_t n = 0;
	unsigned i;

	if (rest->len < bytes)
		return PK_EFORMAT;
	for (i = 0; i < bytes; i++)
		n |= (uint64_t)(unsigned char)rest->p[i] << (8 * i);
	*rest = view_from(*rest, bytes);
	*n_r = n;
	return 0;
}

static int
get_text(struct view *rest, struct view *v_r)
{
	uint64_t len;

	if (get_number(rest, 2, &len) != 0 || len > rest->len ||
	    len > BOUNCE_TEXT_MAX)
		return PK_EFORMAT;
	*v_r = view_head(*rest, len);
	*rest = view_from(*rest, len);
	return 0;
}

int
bounce_decode_begin(struct bounce_reader *r, struct view data)
{
	uint64_t version, kind, rows;

	if (get_number(&data, 1, &version) != 0 ||
	    get_number(&data, 1, &kind) != 0 ||
	    get_number(&data, 2, &rows) != 0)
		return PK_EFORMAT;
	if (version != BOUNCE_VERSION || kind >= BOUNCE_KINDS || rows == 0 ||
	    rows > BOUNCE_ROWS_MAX)
		return PK_EFORMAT;
	r->rest = data;
	r->kind = (enum bounce_kind)kind;
	r->rows = (unsigned)rows;
	r->read = 0;
	return 0;
}

int
bounce_decode_row(struct bounce_reader *r, struct bounce_row *row_r)
{
	struct bounce_row row;
	uint64_t action;

	if (r->read == r->rows)
		return r->rest.len == 0 ? PK_EEND : PK_EFORMAT;
	if (get_number(&r->rest, 8, &row.index) != 0 ||
	    get_number(&r->rest, 1, &action) != 0 || action > DSN_EXPANDED ||
	    get_number(&r->rest, 8, &row.last_attempt_ms) != 0 ||
	    get_number(&r->rest, 8, &row.retry_until_ms) != 0 ||
	    get_text(&r->rest, &row.dsn) != 0 ||
	    get_text(&r->rest, &row.reply) != 0 ||
	    get_text(&r->rest, &row.relay) != 0)
		return PK_EFORMAT;
	row.action = (uint8_t)action;
	r->read++;
	*row_r = row;
	return 0;
}
