/* SPDX-License-Identifier: ISC */
/*
 * worker.h: one thread that does what blocks on the disk, in order.
 *
 * qmgr has three: journal syncs, checkpoints, and segment files. A job is
 * run() in the thread, then done() in the loop, in the order of posting. The
 * job is the caller's until done() has been called.
 */
#ifndef PK_QMGR_WORKER_H
#define PK_QMGR_WORKER_H

#include <stddef.h>
#include <bsd/sys/queue.h>

#include "sys/loop.h"

struct worker_job {
	void	(*run)(struct worker_job *j);	/* thread: touches only the job */
	void	(*done)(struct worker_job *j);	/* loop; may free the job */
	TAILQ_ENTRY(worker_job) link;
};

struct worker;

/* Starts the thread. name: for ps, at most 15 bytes, static. */
struct worker *worker_new(struct loop *l, const char *name);
void	worker_post(struct worker *w, struct worker_job *j);
/* Jobs posted whose done() has not run. */
size_t	worker_pending(const struct worker *w);
/* Waits for everything posted and runs the done()s. For start and end only. */
void	worker_drain(struct worker *w);
/* Drains, ends the thread. */
void	worker_free(struct worker **w);

#endif
