/* SPDX-License-Identifier: ISC */
/*
 * work.h: threads for what blocks: password hashes, databases, token services.
 *
 * A pool has a fixed number of threads, started after the confinement (each
 * thread has its own), and a bound on what waits. A job's run() is called in a
 * thread and touches only the job; done() is called in the loop, once, also
 * when the job was cancelled meanwhile (then with cancelled true: the asker is
 * gone). done() may free the job or submit it again.
 */
#ifndef PK_AUTHD_WORK_H
#define PK_AUTHD_WORK_H

#include <bsd/sys/queue.h>
#include <stdbool.h>

#include "sys/loop.h"

struct work_pool;

enum work_state {
	WORK_IDLE,
	WORK_WAITING,
	WORK_RUNNING,
	WORK_DONE,		/* out of its thread; done() is yet to come */
};

/* Zeroed by its owner; everything but run and done is the pool's. */
struct work_job {
	TAILQ_ENTRY(work_job) link;
	enum work_state state;
	void	(*run)(struct work_job *j);
	void	(*done)(struct work_job *j, bool cancelled);
	bool	cancelled;
};

struct work_pool *work_pool_new(struct loop *l, const char *name, unsigned threads,
	    unsigned waiting_max);
/* Waits for what runs; done() of the rest is called with cancelled. */
void	work_pool_free(struct work_pool **p);
void	work_pool_set_max(struct work_pool *p, unsigned waiting_max);
/* False: waiting_max are waiting already; nothing is called then. */
bool	work_submit(struct work_pool *p, struct work_job *j);
/* done(j, true) comes once it is out of its thread. */
void	work_cancel(struct work_pool *p, struct work_job *j);
unsigned work_waiting(const struct work_pool *p);

#endif
