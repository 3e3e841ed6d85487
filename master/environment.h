/* SPDX-License-Identifier: ISC */
/*
 * environment.h: what must be there before the suite can run; for master,
 * which makes what is missing, and for `postkeep check`, which only looks.
 */
#ifndef PK_MASTER_ENVIRONMENT_H
#define PK_MASTER_ENVIRONMENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf.h"

/* level: 'w' or 'e'; text says what to do. */
typedef void (*environment_say_fn)(char level, const char *text, void *arg);

struct environment {
	const struct conf *conf;
	bool		 development;	/* not root: one user for everything */
	bool		 create;	/* make what is missing */
	environment_say_fn say;
	void		*arg;
	unsigned	 errors;
};

/* Users of the roles, programs, directories. True: no error was said. */
bool	environment_check(struct environment *e);
/* Writes "PID\n"; the descriptor holds the lock. -1: running, pid in *pid_r (0: other error). */
int	environment_lock(const struct conf *c, pid_t *pid_r);
/* pid of the master that holds the lock, 0: none, -1: cannot tell (errno). */
pid_t	environment_running(const struct conf *c);

/*
 * Every child holds a shared lock on queue_directory/lock while it lives
 * (CHILD_LOCK_FD). A master that died leaves children behind, which finish
 * what they have in hand: a second qmgr beside the first, or a segment sealed
 * under a writer that still answers 250, would lose mail. So a new master
 * starts nobody before the last of them is gone.
 */
/* The file, made when missing, not locked; -1 with errno. */
int	environment_queue_handle(const struct conf *c);
/* 0 when nobody holds it; PK_ETIMEOUT, PK_ESYS. waits() is called once before it waits. */
int	environment_queue_wait(const struct conf *c, uint64_t timeout_ms, void (*waits)(void));

#endif
