/* SPDX-License-Identifier: ISC */
/*
 * stream.h: a connection with an output queue, non-blocking, on the loop.
 *
 * Output is bytes that the stream keeps (stream_out) and pieces of the
 * owner's memory that are sent from where they are (stream_put_borrowed); it
 * leaves in as few sendmsg() calls as the kernel allows. Input goes to the
 * owner as it is read; the stream keeps none of it. What carries the bytes is
 * a struct stream_io, so that TLS can stand between.
 */
#ifndef PK_NET_STREAM_H
#define PK_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/view.h"
#include "sys/loop.h"

struct stream;

struct stream_ops {
	/* Bytes arrived; len 0 is the end. The stream may be closed in here. */
	void	(*data)(struct stream *s, struct view bytes, void *arg);
	/* Everything put so far is with the kernel. Put more, do not flush, in here. */
	void	(*drained)(struct stream *s, void *arg);
	/* Reading or writing failed; error is errno. The owner closes. */
	void	(*failed)(struct stream *s, int error, void *arg);
};

/* As read() and writev(): -1 with EAGAIN when it cannot go on now. */
struct stream_io {
	ssize_t	(*read)(void *ctx, int fd, void *p, size_t n);
	ssize_t	(*writev)(void *ctx, int fd, const struct iovec *iov, int niov);
	void	(*close)(void *ctx);		/* may be NULL */
	/* Bytes are here that the socket will not announce; may be NULL. */
	bool	(*pending)(void *ctx);
};

struct stream_piece {
	size_t		own_before;	/* bytes of `out` in front of it */
	struct view	bytes;
};

struct stream {
	struct loop	*loop;
	int		fd;
	const struct stream_io *io;
	void		*io_ctx;
	const struct stream_ops *ops;
	void		*arg;
	struct event	*read_event;
	struct event	*write_event;	/* made when it is first needed */
	struct buf	out;
	struct stream_piece *pieces;
	size_t		npieces, cap_pieces;
	bool		reading;
	bool		writing;	/* write_event is added */
	bool		dead;		/* failed() was called */
};

/* Own bytes that may wait: the owner holds back what is more. */
#define STREAM_OUT_MAX		(1U << 20)

/* fd becomes the stream's, is non-blocking; reading starts at once. io NULL: the socket itself. */
void	stream_init(struct stream *s, struct loop *l, int fd, const struct stream_io *io,
	    void *io_ctx, const struct stream_ops *ops, void *arg);
/* Closes; what is pending is lost. Twice is fine. */
void	stream_close(struct stream *s);
/*
 * The socket for somebody else: events and buffers go, input that was not
 * asked for yet stays in the kernel. Only when nothing is pending; fine inside
 * data(). It may be given to stream_init() again.
 */
int	stream_detach(struct stream *s);
bool	stream_is_open(const struct stream *s);

/* Append here, then stream_flush(). */
static inline struct buf *
stream_out(struct stream *s)
{
	return &s->out;
}

/* Bytes stay the owner's, unchanged until drained or closed. */
void	stream_put_borrowed(struct stream *s, struct view bytes);
/* Hands out what it can; failed() or drained() may be called before it returns. */
void	stream_flush(struct stream *s);
/* Bytes that wait, with those not flushed. */
size_t	stream_pending(const struct stream *s);

#endif
