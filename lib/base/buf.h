/* SPDX-License-Identifier: ISC */
/*
 * buf.h: the one growing byte buffer.
 *
 * The maximum is given at creation; what would pass it is refused whole with
 * PK_ELIMIT, nothing is truncated, and the buffer is then marked (buf_error)
 * so that a run of appends may be checked once at its end. Bytes are consumed
 * at the front (buf_consume) without moving until space is needed.
 */
#ifndef PK_BASE_BUF_H
#define PK_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct buf {
	char	*data;		/* allocation, NULL when empty */
	size_t	 off;		/* first byte not consumed */
	size_t	 len;		/* bytes behind off */
	size_t	 cap;		/* bytes allocated */
	size_t	 max;		/* greatest len */
	int	 error;		/* 0 or PK_ELIMIT, sticky until buf_reset */
};

/* max: greatest length in bytes; allocates nothing. */
void	 buf_init(struct buf *b, size_t max);
/* Frees the bytes, keeps max: the buffer can be used again. */
void	 buf_fini(struct buf *b);
/* Empties; keeps the allocation; clears the error. */
void	 buf_reset(struct buf *b);

static inline char *
buf_data(const struct buf *b)
{
	return b->data != NULL ? b->data + b->off : NULL;
}

static inline struct view
buf_view(const struct buf *b)
{
	return (struct view){ b->data != NULL ? b->data + b->off : "", b->len };
}

static inline int
buf_error(const struct buf *b)
{
	return b->error;
}

/*
 * Room for n more bytes behind the end; returns where they go or NULL
 * (PK_ELIMIT noted). buf_added() says how many were really written.
 */
char	*buf_room(struct buf *b, size_t n);
void	 buf_added(struct buf *b, size_t n);

int	 buf_put(struct buf *b, const void *p, size_t n);
int	 buf_put_view(struct buf *b, struct view v);
int	 buf_put_str(struct buf *b, const char *s);
int	 buf_put_char(struct buf *b, char c);
int	 buf_put_u64(struct buf *b, uint64_t n);	/* decimal digits */
int	 buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int	 buf_vprintf(struct buf *b, const char *fmt, va_list ap)
	    __attribute__((format(printf, 2, 0)));
/* Drops n bytes (at most len) from the front. */
void	 buf_consume(struct buf *b, size_t n);
/* Cuts to n bytes (at most len). */
void	 buf_truncate(struct buf *b, size_t n);
/* The bytes with a NUL behind them (not counted); valid until the next change. */
const char *buf_cstr(struct buf *b);
/* Hands the bytes over as an xmalloc'ed NUL-terminated string and empties b. */
char	*buf_steal(struct buf *b, size_t *len_r);

#endif
