/* SPDX-License-Identifier: ISC */
/*
 * stream.c: buffered non-blocking output, unbuffered input.
 *
 * Runs in processes that speak to strangers. A read takes at most one piece
 * of fixed size a turn and socket, so that a peer that sends without end
 * costs its share and no more; output waits in memory only within the
 * owner's limits.
 */
#include "net/stream.h"

#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

/* A reply or a run of pipelined ones; shared by all streams of the process. */
#define READ_SIZE	16384
#define IOV_MAX_OURS	16
/* Above this an idle stream gives its output buffer back. */
#define OUT_KEEP	8192
/* Refills a turn: a peer that reads as fast as we write is not alone. */
#define ROUNDS_MAX	8

static ssize_t
socket_read(void *ctx, int fd, void *p, size_t n)
{
	(void)ctx;
	return read(fd, p, n);
}

static ssize_t
socket_writev(void *ctx, int fd, const struct iovec *iov, int niov)
{
	struct msghdr mh;

	(void)ctx;
	memset(&mh, 0, sizeof(mh));
	mh.msg_iov = (struct iovec *)(uintptr_t)iov;
	mh.msg_iovlen = (size_t)niov;
	return sendmsg(fd, &mh, MSG_NOSIGNAL);
}

static const struct stream_io socket_io = {
	socket_read, socket_writev, NULL, NULL,
};

static void
fail(struct stream *s, int error)
{
	if (s->dead)
		return;
	s->dead = true;
	event_del(s->read_event);
	if (s->write_event != NULL)
		event_del(s->write_event);
	s->ops->failed(s, error, s->arg);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static char in[READ_SIZE];
	struct stream *s = arg;
	ssize_t n;

	(void)what;
	n = s->io->read(s->io_ctx, fd, in, sizeof(in));
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			fail(s, errno);
		return;
	}
	if (n == 0)
		event_del(s->read_event);
	else if (s->io->pending != NULL && s->io->pending(s->io_ctx))
		event_active(s->read_event, EV_READ, 0);
	s->ops->data(s, view_of(in, (size_t)n), s->arg);
}

void
stream_init(struct stream *s, struct loop *l, int fd,
    const struct stream_io *io, void *io_ctx, const struct stream_ops *ops,
    void *arg)
{
	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->fd = fd;
	s->io = io != NULL ? io : &socket_io;
	s->io_ctx = io_ctx;
	s->ops = ops;
	s->arg = arg;
	buf_init(&s->out, STREAM_OUT_MAX);
	s->read_event =
	    event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_readable, s);
	if (s->read_event == NULL || event_add(s->read_event, NULL) == -1)
		log_fatal("event for a connection: %s", strerror(errno));
	/* The handshake may have read what came behind it. */
	if (s->io->pending != NULL && s->io->pending(s->io_ctx))
		event_active(s->read_event, EV_READ, 0);
	/* What came with the end of a handshake is in there already. */
	if (io != NULL)
		event_active(s->read_event, EV_READ, 0);
}

void
stream_close(struct stream *s)
{
	if (s->read_event != NULL)
		event_free(s->read_event);
	if (s->write_event != NULL)
		event_free(s->write_event);
	s->read_event = s->write_event = NULL;
	if (s->fd >= 0 && s->io->close != NULL)
		s->io->close(s->io_ctx);
	fd_close(&s->fd);
	buf_fini(&s->out);
	xfree(s->pieces);
	s->pieces = NULL;
	s->npieces = s->cap_pieces = 0;
	s->writing = false;
	s->dead = true;
}

int
stream_detach(struct stream *s)
{
	int fd = s->fd;

	ASSERT(stream_pending(s) == 0);
	s->fd = -1;
	stream_close(s);
	return fd;
}

bool
stream_is_open(const struct stream *s)
{
	return s->fd >= 0 && !s->dead;
}

void
stream_put_borrowed(struct stream *s, struct view bytes)
{
	size_t own = s->out.len, i;

	if (bytes.len == 0)
		return;
	for (i = 0; i < s->npieces; i++)
		own -= s->pieces[i].own_before;
	if (s->npieces == s->cap_pieces) {
		s->cap_pieces = s->cap_pieces == 0 ? 4 : 2 * s->cap_pieces;
		s->pieces =
		    xreallocarray(s->pieces, s->cap_pieces, sizeof(*s->pieces));
	}
	s->pieces[s->npieces].own_before = own;
	s->pieces[s->npieces].bytes = bytes;
	s->npieces++;
}

size_t
stream_pending(const struct stream *s)
{
	size_t n = s->out.len, i;

	for (i = 0; i < s->npieces; i++)
		n += s->pieces[i].bytes.len;
	return n;
}

static int
gather(struct stream *s, struct iovec *iov)
{
	char *own = s->out.len > 0 ? buf_data(&s->out) : NULL;
	size_t left = s->out.len, i;
	int n = 0;

	for (i = 0; i < s->npieces && n + 2 < IOV_MAX_OURS; i++) {
		const struct stream_piece *p = &s->pieces[i];

		if (p->own_before > 0) {
			iov[n].iov_base = own;
			iov[n++].iov_len = p->own_before;
			own += p->own_before;
			left -= p->own_before;
		}
		iov[n].iov_base = (void *)(uintptr_t)p->bytes.p;
		iov[n++].iov_len = p->bytes.len;
	}
	if (i == s->npieces && left > 0) {
		iov[n].iov_base = own;
		iov[n++].iov_len = left;
	}
	return n;
}

/* n bytes have left. */
static void
account(struct stream *s, size_t n)
{
	struct stream_piece *p;
	size_t take, gone = 0;

	while (n > 0 && gone < s->npieces) {
		p = &s->pieces[gone];
		take = n < p->own_before ? n : p->own_before;
		buf_consume(&s->out, take);
		p->own_before -= take;
		n -= take;
		take = n < p->bytes.len ? n : p->bytes.len;
		p->bytes = view_from(p->bytes, take);
		n -= take;
		if (p->own_before == 0 && p->bytes.len == 0)
			gone++;
	}
	if (gone > 0) {
		s->npieces -= gone;
		memmove(s->pieces, s->pieces + gone,
		    s->npieces * sizeof(*s->pieces));
	}
	buf_consume(&s->out, n);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stream_flush(arg);
}

static void
want_write(struct stream *s, bool want)
{
	if (want == s->writing)
		return;
	if (s->write_event == NULL) {
		s->write_event = event_new(loop_base(s->loop), s->fd,
		    EV_WRITE | EV_PERSIST, on_writable, s);
		if (s->write_event == NULL)
			log_fatal("event for a connection: no memory");
	}
	if (want)
		event_add(s->write_event, NULL);
	else
		event_del(s->write_event);
	s->writing = want;
}

/* Everything is with the kernel; true if the owner has put more. */
static bool
emptied(struct stream *s)
{
	s->ops->drained(s, s->arg);
	if (!stream_is_open(s))
		return false;
	if (stream_pending(s) > 0)
		return true;
	want_write(s, false);
	if (s->out.cap > OUT_KEEP)
		buf_fini(&s->out);
	return false;
}

void
stream_flush(struct stream *s)
{
	struct iovec iov[IOV_MAX_OURS];
	unsigned rounds = 0;
	ssize_t n;
	int niov;

	while (stream_is_open(s)) {
		niov = gather(s, iov);
		if (niov == 0) {
			/* It may have put more: no recursion for that. */
			if (!emptied(s))
				return;
			if (++rounds < ROUNDS_MAX)
				continue;
			want_write(s, true);
			return;
		}
		n = s->io->writev(s->io_ctx, s->fd, iov, niov);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			want_write(s, true);
			return;
		}
		if (n == -1) {
			fail(s, errno);
			return;
		}
		account(s, (size_t)n);
	}
}
