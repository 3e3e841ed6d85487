/* SPDX-License-Identifier: ISC */
/*
 * segment_lane.c: the threads that may wait for the disk.
 *
 * Runs in smtpd and in the bounce composer, started before confinement. A
 * lane writes all parts of its batch and then syncs what is to be synced; it
 * decides nothing: a short or failed write and a failed sync are results, and
 * what follows from them is the loop's business. A sync that failed is not
 * tried again, the kernel may have dropped the pages (F4).
 */
#include "queue/segment_lane.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * The thread calls writev and fdatasync and little else; but the program's
 * thread-local storage comes out of it too (deliver has 128 KiB). Only pages
 * that are touched cost.
 */
#define LANE_STACK	(512U << 10)

struct lane {
	pthread_t	 thread;
	pthread_mutex_t	 mutex;
	pthread_cond_t	 work;		/* loop to thread: submitted or stop */
	pthread_cond_t	 moved;		/* thread to loop: written */
	bool		 submitted, written, finished, stop;
	bool		 busy;		/* the loop's own view */
	int		 wake_fd;
	struct segment_io io;
	struct lane_batch batch;
};

static const struct segment_io real_io = { writev, fdatasync };

static int
write_error(int saved)
{
	return saved == ENOSPC || saved == EDQUOT || saved == EFBIG ? PK_ENOSPC : PK_EIO;
}

static size_t
iov_bytes(const struct iovec *iov, int niov)
{
	size_t n = 0;
	int i;

	for (i = 0; i < niov; i++)
		n += iov[i].iov_len;
	return n;
}

/* A short write is a failed one: the disk is full or the file at its limit. */
static int
write_op(const struct segment_io *io, const struct lane_op *op, const struct iovec *iov)
{
	size_t left = op->niov;
	ssize_t r;
	int n;

	iov += op->first;
	while (left > 0) {
		n = left < IOV_MAX ? (int)left : IOV_MAX;
		do
			r = io->writev(op->fd, iov, n);
		while (r == -1 && errno == EINTR);
		if (r == -1)
			return write_error(errno);
		if ((size_t)r != iov_bytes(iov, n))
			return PK_ENOSPC;
		iov += n;
		left -= (size_t)n;
	}
	return 0;
}

static void
run_writes(struct lane *l)
{
	struct lane_batch *b = &l->batch;
	size_t i;

	for (i = 0; i < b->nops; i++)
		b->ops[i].error = write_op(&l->io, &b->ops[i], b->iov);
}

static void
run_syncs(struct lane *l)
{
	struct lane_batch *b = &l->batch;
	size_t i;

	for (i = 0; i < b->nops; i++)
		if (b->ops[i].sync && b->ops[i].error == 0 &&
		    l->io.fdatasync(b->ops[i].fd) == -1)
			b->ops[i].error = write_error(errno);
}

static void
wake_loop(struct lane *l)
{
	uint64_t one = 1;
	ssize_t r;

	do
		r = write(l->wake_fd, &one, sizeof(one));
	while (r == -1 && errno == EINTR);
}

static void *
lane_main(void *arg)
{
	struct lane *l = arg;
	uint64_t start_ns;

	pthread_mutex_lock(&l->mutex);
	for (;;) {
		while (!l->submitted && !l->stop)
			pthread_cond_wait(&l->work, &l->mutex);
		if (!l->submitted)
			break;
		l->submitted = false;
		pthread_mutex_unlock(&l->mutex);

		start_ns = clock_mono_ns();
		run_writes(l);
		pthread_mutex_lock(&l->mutex);
		l->written = true;
		pthread_cond_signal(&l->moved);
		pthread_mutex_unlock(&l->mutex);
		run_syncs(l);
		l->batch.commit_us = (clock_mono_ns() - start_ns) / 1000;

		pthread_mutex_lock(&l->mutex);
		l->finished = true;
		pthread_mutex_unlock(&l->mutex);
		wake_loop(l);
		pthread_mutex_lock(&l->mutex);
	}
	pthread_mutex_unlock(&l->mutex);
	return NULL;
}

struct lane *
lane_new(int wake_fd, const struct segment_io *io)
{
	struct lane *l = XNEW(struct lane);
	pthread_attr_t attr;
	sigset_t all, before;
	int error;

	l->wake_fd = wake_fd;
	l->io = io != NULL ? *io : real_io;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->moved, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, LANE_STACK);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&l->thread, &attr, lane_main, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error != 0) {
		errno = error;
		log_fatal("sync thread: %m");
	}
	return l;
}

void
lane_free(struct lane **lp)
{
	struct lane *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	pthread_mutex_lock(&l->mutex);
	l->stop = true;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->mutex);
	pthread_join(l->thread, NULL);
	pthread_mutex_destroy(&l->mutex);
	pthread_cond_destroy(&l->work);
	pthread_cond_destroy(&l->moved);
	xfree(l->batch.ops);
	xfree(l->batch.iov);
	xfree(l);
}

bool
lane_busy(const struct lane *l)
{
	return l->busy;
}

struct lane_batch *
lane_batch_begin(struct lane *l)
{
	ASSERT(!l->busy);
	l->batch.nops = 0;
	l->batch.niov = 0;
	return &l->batch;
}

struct lane_op *
lane_batch_op(struct lane_batch *b, int fd, bool sync, void *owner)
{
	struct lane_op *op;

	if (b->nops == b->ops_cap) {
		b->ops_cap = b->ops_cap > 0 ? b->ops_cap * 2 : 8;
		b->ops = xreallocarray(b->ops, b->ops_cap, sizeof(*b->ops));
	}
	op = &b->ops[b->nops++];
	*op = (struct lane_op){ .fd = fd, .sync = sync, .first = b->niov, .owner = owner };
	return op;
}

void
lane_batch_put(struct lane_batch *b, const void *p, size_t n)
{
	struct lane_op *op;

	ASSERT(b->nops > 0);
	if (n == 0)
		return;
	if (b->niov == b->iov_cap) {
		b->iov_cap = b->iov_cap > 0 ? b->iov_cap * 2 : 64;
		b->iov = xreallocarray(b->iov, b->iov_cap, sizeof(*b->iov));
	}
	op = &b->ops[b->nops - 1];
	b->iov[b->niov++] = (struct iovec){ .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	op->niov++;
	op->bytes += n;
}

void
lane_submit(struct lane *l)
{
	ASSERT(!l->busy);
	l->busy = true;
	pthread_mutex_lock(&l->mutex);
	l->submitted = true;
	l->written = false;
	l->finished = false;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->mutex);
}

struct lane_batch *
lane_collect(struct lane *l)
{
	bool finished;

	if (!l->busy)
		return NULL;
	pthread_mutex_lock(&l->mutex);
	finished = l->finished;
	pthread_mutex_unlock(&l->mutex);
	if (!finished)
		return NULL;
	l->busy = false;
	return &l->batch;
}

void
lane_wait_written(struct lane *l)
{
	if (!l->busy)
		return;
	pthread_mutex_lock(&l->mutex);
	while (!l->written)
		pthread_cond_wait(&l->moved, &l->mutex);
	pthread_mutex_unlock(&l->mutex);
}
