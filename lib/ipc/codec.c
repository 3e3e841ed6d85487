/* SPDX-License-Identifier: ISC */
/*
 * codec.c: the fields of a message, written and read.
 *
 * Runs in every process on both ends. The writing side trusts its caller but
 * for lengths and for text that may not be on the wire (both stick in the
 * buffer's error); the reading side trusts nobody: tags in their fixed
 * order, lengths within the packet, numbers within their range, nothing left
 * at the end. Bodies come from a small stock of buffers, so that a packet
 * costs no allocation.
 */
#include "ipc/channel_internal.h"

#include <string.h>
#include <unistd.h>

#define FIELD_HEADER	4

/* ---- composing ---- */

/* A body begins with this much room: nearly every message fits. */
#define BODY_FIRST	512
/* Buffers that grew past this go back to malloc. */
#define BODY_KEPT_MAX	8192
#define STOCK_MAX	64

static struct {
	char	*data[STOCK_MAX];
	size_t	 cap[STOCK_MAX];
	unsigned n;
} stock;

void
ipc_out_init(struct ipc_out *o, enum ipc_type type)
{
	buf_init(&o->body, IPC_BODY_MAX);
	if (stock.n > 0) {
		stock.n--;
		o->body.data = stock.data[stock.n];
		o->body.cap = stock.cap[stock.n];
	}
	o->type = (uint16_t)type;
	o->flags = 0;
	o->id = 0;
	o->nhandles = 0;
	o->close_handles = false;
}

/* Takes the bytes back into the stock; the buffer is empty afterwards. */
void
ipc_body_fini(struct buf *b)
{
	if (b->data == NULL || b->cap > BODY_KEPT_MAX || b->cap < BODY_FIRST ||
	    stock.n == STOCK_MAX) {
		buf_fini(b);
		return;
	}
	stock.data[stock.n] = b->data;
	stock.cap[stock.n] = b->cap;
	stock.n++;
	b->data = NULL;
	b->off = b->len = b->cap = 0;
	b->error = 0;
}

void
ipc_out_fini(struct ipc_out *o)
{
	unsigned i;

	if (ipc_type_is_secret(o->type) && o->body.data != NULL)
		explicit_bzero(o->body.data, o->body.cap);
	ipc_body_fini(&o->body);
	for (i = 0; o->close_handles && i < o->nhandles; i++)
		close(o->handles[i]);
	o->nhandles = 0;
}

static char *
put_field(struct ipc_out *o, enum ipc_field tag, size_t len)
{
	uint16_t head[2];
	size_t want = FIELD_HEADER + len;
	char *p;

	/* The first growth of a new buffer is for the whole message. */
	if (o->body.cap == 0 && want < BODY_FIRST)
		(void)buf_room(&o->body, BODY_FIRST);
	p = buf_room(&o->body, want);
	if (p == NULL)
		return NULL;
	head[0] = (uint16_t)tag;
	head[1] = (uint16_t)len;
	memcpy(p, head, FIELD_HEADER);
	return p + FIELD_HEADER;
}

void
ipc_put_u64(struct ipc_out *o, enum ipc_field tag, uint64_t n)
{
	char *p;

	ASSERT(ipc_field_kind(tag) == 'u');
	p = put_field(o, tag, sizeof(n));
	if (p == NULL)
		return;
	memcpy(p, &n, sizeof(n));
	buf_added(&o->body, FIELD_HEADER + sizeof(n));
}

static bool
is_text(const char *p, size_t len)
{
	size_t i;
	unsigned bad = 0;

	/* Without an early end: the compiler makes vectors of it. */
	for (i = 0; i < len; i++)
		bad |= (p[i] == '\0') | (p[i] == '\r') | (p[i] == '\n');
	return bad == 0;
}

void
ipc_put_bytes(struct ipc_out *o, enum ipc_field tag, struct view v)
{
	char kind = ipc_field_kind(tag);
	char *p;

	ASSERT(kind == 'b' || kind == 't');
	if (kind == 't' && !is_text(v.p, v.len)) {
		if (o->body.error == 0)
			o->body.error = PK_ESYNTAX;
		return;
	}
	p = put_field(o, tag, v.len);
	if (p == NULL)
		return;
	if (v.len > 0)
		memcpy(p, v.p, v.len);
	buf_added(&o->body, FIELD_HEADER + v.len);
}

void
ipc_put_str(struct ipc_out *o, enum ipc_field tag, const char *s)
{
	ipc_put_bytes(o, tag, view_str(s));
}

void
ipc_put_handle(struct ipc_out *o, int fd)
{
	ASSERT(o->nhandles < IPC_HANDLES_MAX);
	o->handles[o->nhandles++] = fd;
}

size_t
ipc_out_left(const struct ipc_out *o)
{
	return o->body.max - o->body.len;
}

int
ipc_out_error(const struct ipc_out *o)
{
	return buf_error(&o->body);
}

/* ---- reading ---- */

void
ipc_in_init(struct ipc_in *in, const struct ipc_msg *m)
{
	in->p = (const uint8_t *)m->body.p;
	in->end = in->p + m->body.len;
	in->error = 0;
}

bool
ipc_has(const struct ipc_in *in, enum ipc_field tag)
{
	uint16_t next;

	if (in->error != 0 || in->end - in->p < FIELD_HEADER)
		return false;
	memcpy(&next, in->p, sizeof(next));
	return next == tag;
}

/* The next field, which must be this one and at most max bytes long. */
static bool
get_field(struct ipc_in *in, enum ipc_field tag, size_t max, struct view *v_r)
{
	uint16_t head[2];

	if (in->error != 0)
		return false;
	if (in->end - in->p < FIELD_HEADER)
		goto bad;
	memcpy(head, in->p, FIELD_HEADER);
	if (head[0] != tag || head[1] > in->end - in->p - FIELD_HEADER ||
	    head[1] > max)
		goto bad;
	*v_r = view_of((const char *)in->p + FIELD_HEADER, head[1]);
	in->p += FIELD_HEADER + head[1];
	return true;
bad:
	in->error = PK_EPROTO;
	return false;
}

void
ipc_get_range(struct ipc_in *in, enum ipc_field tag, uint64_t least, uint64_t greatest,
    uint64_t *n_r)
{
	struct view v;
	uint64_t n;

	ASSERT(ipc_field_kind(tag) == 'u');
	if (!get_field(in, tag, sizeof(n), &v))
		return;
	if (v.len != sizeof(n)) {
		in->error = PK_EPROTO;
		return;
	}
	memcpy(&n, v.p, sizeof(n));
	if (n < least || n > greatest) {
		in->error = PK_EPROTO;
		return;
	}
	*n_r = n;
}

void
ipc_get_u64(struct ipc_in *in, enum ipc_field tag, uint64_t *n_r)
{
	ipc_get_range(in, tag, 0, UINT64_MAX, n_r);
}

void
ipc_get_bytes(struct ipc_in *in, enum ipc_field tag, size_t max, struct view *v_r)
{
	struct view v;

	ASSERT(ipc_field_kind(tag) != 'u');
	if (get_field(in, tag, max, &v))
		*v_r = v;
}

void
ipc_get_text(struct ipc_in *in, enum ipc_field tag, size_t max, struct view *v_r)
{
	struct view v;

	ASSERT(ipc_field_kind(tag) == 't');
	if (!get_field(in, tag, max, &v))
		return;
	if (!is_text(v.p, v.len)) {
		in->error = PK_EPROTO;
		return;
	}
	*v_r = v;
}

int
ipc_in_end(const struct ipc_in *in)
{
	if (in->error != 0)
		return in->error;
	return in->p == in->end ? 0 : PK_EPROTO;
}

int
ipc_take_handle(struct ipc_msg *m, unsigned n)
{
	int fd;

	if (n >= m->nhandles)
		return -1;
	fd = m->handles[n];
	m->handles[n] = -1;
	return fd;
}
