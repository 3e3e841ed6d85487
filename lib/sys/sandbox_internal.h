/* SPDX-License-Identifier: ISC */
/*
 * sandbox_internal.h: the parts of the sandbox among themselves.
 */
#ifndef PK_SYS_SANDBOX_INTERNAL_H
#define PK_SYS_SANDBOX_INTERNAL_H

#include <stddef.h>

#include "sys/sandbox.h"

/* ---- sandbox_profiles.c: what each need may call ---- */

enum sandbox_cmp {
	SANDBOX_ANY,		/* the argument does not matter */
	SANDBOX_EQ,		/* argument == value */
	SANDBOX_MASK,		/* (argument & mask) == value */
	SANDBOX_OWN_PID,	/* argument == getpid() at confinement */
};

/*
 * One row a way to call: allowed if the role has one of `needs` (0: always)
 * and none of `unless`, and both conditions hold. Rows of one call add up.
 */
struct sandbox_call {
	int		 nr;
	unsigned	 needs;
	unsigned	 unless;
	struct sandbox_condition {
		unsigned	 arg;
		enum sandbox_cmp cmp;
		uint64_t	 value, mask;
	} when[2];
};
extern const struct sandbox_call sandbox_calls[];
extern const size_t sandbox_ncalls;

/* Refused with EPERM where no row allows them: what an attacker reaches for. */
extern const int sandbox_dangerous[];
extern const size_t sandbox_ndangerous;
/* The part of these that no process started by master needs either. */
extern const int sandbox_never[];
extern const size_t sandbox_nnever;

/* ---- seccomp.c ---- */

/* Builds the filter for needs and loads it: 0, PK_EUNSUPPORTED, PK_ESYS. */
int	sandbox_seccomp(unsigned needs);

/* ---- landlock.c ---- */

struct landlock_paths {
	int		 fds[SANDBOX_PATHS_MAX];	/* -1: not there */
	bool		 write[SANDBOX_PATHS_MAX];
	bool		 no_listing[SANDBOX_PATHS_MAX];
	unsigned	 n;
};
/* The kernel's version, 0 if it has none. */
int	landlock_abi(void);
/* Opens the paths (before chroot); one that does not exist stays forbidden. */
int	landlock_paths_open(struct landlock_paths *lp, const struct sandbox_spec *spec);
void	landlock_paths_close(struct landlock_paths *lp);
/* Nothing but these paths, no TCP but by need, no abstract sockets, no signals out. */
/* PK_EUNSUPPORTED: the kernel's cannot do what the role needs; nothing is in force. */
int	landlock_enter(int abi, const struct landlock_paths *lp, unsigned needs);

#endif
