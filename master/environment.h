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

#endif
