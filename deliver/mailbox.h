/* SPDX-License-Identifier: ISC */
/*
 * mailbox.h: the parts of the mailbox role: mailbox.c (jobs and results, in
 * the loop), mailbox_writer.c (its two threads).
 */
#ifndef PK_DELIVER_MAILBOX_H
#define PK_DELIVER_MAILBOX_H

#include <bsd/sys/queue.h>
#include <pthread.h>

#include "deliver/deliver.h"
#include "store/maildir.h"

struct mailbox_item {			/* a recipient */
	struct maildir_delivery delivery;
	struct maildir_failure failure;
	bool		written;	/* in tmp/ or found */
	bool		published;
	bool		failed;
};

TAILQ_HEAD(mailbox_tasks, mailbox_task);

struct mailbox_task {			/* a job */
	TAILQ_ENTRY(mailbox_task) link;
	struct job	*job;		/* threads read it, the loop changes it */
	bool		begun;		/* under lock */
	bool		look_twice;
	struct mailbox_item *items;
	size_t		nitems;
};

struct mailbox {
	struct deliver	*d;
	struct maildir_store *store;
	int		base_fd;
	uint64_t	since_ms;	/* wall time: older messages may be repeats */
	pthread_t	writer, syncer;
	bool		threads;
	pthread_mutex_t	lock;
	pthread_cond_t	to_write_cond, to_sync_cond;
	struct mailbox_tasks to_write, to_sync, done;
	bool		stop;
	int		wake_fd;	/* eventfd: `done` has something */
	bool		woken;
	struct event	*wake_event;
};

/* Starts the threads; 0 or an errno. */
int	mailbox_threads_start(struct mailbox *m);
/* Ends them after what they are at (tests; at exit nobody waits for them). */
void	mailbox_threads_stop(struct mailbox *m);
/* Loop: hands a task over; what is done comes back by wake_fd and `done`. */
void	mailbox_put(struct mailbox *m, struct mailbox_task *t);
/* True if the writer had not begun it: it is the caller's again. */
bool	mailbox_take_back(struct mailbox *m, struct mailbox_task *t);

#endif
