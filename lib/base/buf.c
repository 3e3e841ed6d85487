/* SPDX-License-Identifier: ISC */
/*
 * buf.c: the one growing byte buffer.
 *
 * Linked into every process and in every hot path: an append that fits is a
 * comparison and a memcpy. One byte more than asked for is always kept, so
 * that buf_cstr() never has to grow. Growth doubles, so a byte is copied a
 * bounded number of times; what was consumed at the front is reclaimed only
 * when it is at least half of the allocation, for the same reason.
 *
 * After one append was refused the next ones are refused too: a message with
 * a hole in its middle is worse than none.
 */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define BUF_LEAST 64

void
buf_init(struct buf *b, size_t max)
{
	/* SIZE_MAX / 4 keeps every sum below from overflowing. */
	*b = (struct buf){ .max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4 };
}

void
buf_fini(struct buf *b)
{
	xfree(b->data);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->off = 0;
	b->len = 0;
	b->error = 0;
}

/* Makes len + n + 1 bytes fit behind off; n has passed the limit. */
static void
buf_grow(struct buf *b, size_t n)
{
	size_t need = b->len + n + 1, cap, limit;
	char *data;

	if (need <= b->cap && b->off >= b->cap / 2) {
		memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
		return;
	}
	if (need <= b->cap) {
		/*
		 * It would fit after a move, but of more than half: give it
		 * space to slide in (past max, then), or a full buffer that
		 * is consumed in small steps moves everything each time.
		 */
		limit = 2 * (b->max + 1);
		cap = 2 * b->cap;
	} else {
		limit = b->max + 1;
		cap = b->cap > BUF_LEAST ? b->cap : BUF_LEAST;
		while (cap < need)
			cap *= 2;
	}
	if (cap > limit)
		cap = limit;
	if (b->off == 0) {
		b->data = xreallocarray(b->data, cap, 1);
	} else {
		data = xmalloc(cap);
		memcpy(data, b->data + b->off, b->len);
		xfree(b->data);
		b->data = data;
		b->off = 0;
	}
	b->cap = cap;
}

char *
buf_room(struct buf *b, size_t n)
{
	if (b->error != 0 || n > b->max - b->len) {
		b->error = PK_ELIMIT;
		return NULL;
	}
	if (b->cap == 0 || b->cap - b->off - b->len < n + 1)
		buf_grow(b, n);
	return b->data + b->off + b->len;
}

void
buf_added(struct buf *b, size_t n)
{
	ASSERT(n == 0 || n < b->cap - b->off - b->len);
	b->len += n;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0)
		return b->error;
	to = buf_room(b, n);
	if (to == NULL)
		return PK_ELIMIT;
	memcpy(to, p, n);
	b->len += n;
	return 0;
}

int
buf_put_view(struct buf *b, struct view v)
{
	return buf_put(b, v.p, v.len);
}

int
buf_put_str(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int
buf_put_char(struct buf *b, char c)
{
	return buf_put(b, &c, 1);
}

int
buf_put_u64(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return buf_put(b, digits + i, sizeof(digits) - i);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t avail = b->data != NULL ? b->cap - b->off - b->len : 0;
	char none[1], *to = avail > 0 ? b->data + b->off + b->len : none;
	va_list again;
	int n;

	if (b->error != 0)
		return b->error;
	va_copy(again, ap);
	n = vsnprintf(to, avail > 0 ? avail : sizeof(none), fmt, ap);
	/* A length that does not fit an int cannot fit a limit of ours. */
	to = buf_room(b, n >= 0 ? (size_t)n : SIZE_MAX);
	if (to != NULL) {
		if ((size_t)n >= avail)
			vsnprintf(to, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return b->error;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->off = 0;
		b->len = 0;
		return;
	}
	b->off += n;
	b->len -= n;
}

void
buf_truncate(struct buf *b, size_t n)
{
	if (n < b->len)
		b->len = n;
}

const char *
buf_cstr(struct buf *b)
{
	if (b->data == NULL)
		return "";
	b->data[b->off + b->len] = '\0';
	return b->data + b->off;
}

char *
buf_steal(struct buf *b, size_t *len_r)
{
	size_t len = b->len;
	char *s;

	if (b->data == NULL || b->off > 0) {
		s = xstrndup(buf_view(b).p, len);
		xfree(b->data);
	} else {
		buf_cstr(b);
		s = b->data;
	}
	buf_init(b, b->max);
	if (len_r != NULL)
		*len_r = len;
	return s;
}
