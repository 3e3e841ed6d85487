/* SPDX-License-Identifier: ISC */
/*
 * segment_lane.h: a sync thread and the batch it works on (inside lib/queue).
 *
 * The loop fills the lane's batch while the thread is not busy, submits it,
 * and collects the result when the wake descriptor (an eventfd) was written.
 * Between submit and collect the batch belongs to the thread.
 */
#ifndef PK_QUEUE_SEGMENT_LANE_H
#define PK_QUEUE_SEGMENT_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/view.h"

/* The system calls of the thread; tests put failing ones in their place. */
struct segment_io {
	ssize_t	(*writev)(int fd, const struct iovec *iov, int niov);
	int	(*fdatasync)(int fd);
};

/* One file's part of a batch: iov[first .. first + niov) is written, then synced. */
struct lane_op {
	int	 fd;
	bool	 sync;
	size_t	 first;
	size_t	 niov;
	uint64_t bytes;
	int	 error;		/* result: 0, PK_ENOSPC, PK_EIO */
	void	*owner;
};

struct lane_batch {
	struct lane_op	*ops;
	size_t		 nops, ops_cap;
	struct iovec	*iov;
	size_t		 niov, iov_cap;
	uint64_t	 commit_us;	/* result: how long writes and syncs took */
};

struct lane;

/* Starts the thread. wake_fd is borrowed; io NULL: the real calls. */
struct lane *lane_new(int wake_fd, const struct segment_io *io);
/* Waits for what is under way. */
void	lane_free(struct lane **l);
/* True between submit and collect. */
bool	lane_busy(const struct lane *l);
/* The batch to fill, emptied; only while not busy. */
struct lane_batch *lane_batch_begin(struct lane *l);
struct lane_op *lane_batch_op(struct lane_batch *b, int fd, bool sync, void *owner);
/* Adds bytes to the last op. They stay valid until collect. */
void	lane_batch_put(struct lane_batch *b, const void *p, size_t n);
void	lane_submit(struct lane *l);
/* The finished batch, or NULL when there is none (yet). */
struct lane_batch *lane_collect(struct lane *l);
/*
 * Returns when the thread reads none of the batch's bytes any more: waits for
 * a write into the page cache, never for a sync.
 */
void	lane_wait_written(struct lane *l);

#endif
