/* SPDX-License-Identifier: ISC */
/*
 * destination.h: between sched.c and destination.c only.
 */
#ifndef PK_QMGR_DESTINATION_H
#define PK_QMGR_DESTINATION_H

#include "qmgr/sched.h"

/* Jobs that may be under way at once. */
unsigned destination_allowance(const struct destination *d);
void	destination_arm(struct sched *s);
void	destination_timers(struct sched *s);
void	destination_busy(struct sched *s, struct destination *d);
/* Without work it is kept for a while for what it knows, then freed. */
void	destination_maybe_idle(struct sched *s, struct destination *d);
void	destination_free(struct sched *s, struct destination *d);	/* NULL is fine */
/* sched.c */
void	destination_unready(struct destination *d);
void	destination_check_ready(struct sched *s, struct destination *d);
void	destination_suspend(struct sched *s, struct destination *d);

#endif
