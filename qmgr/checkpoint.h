/* SPDX-License-Identifier: ISC */
/*
 * checkpoint.h: between store.c, checkpoint.c and recover.c only.
 */
#ifndef PK_QMGR_CHECKPOINT_H
#define PK_QMGR_CHECKPOINT_H

#include "qmgr/store.h"

/* store.c: drops m from memory whatever its state. */
void	store_forget(struct store *s, struct message *m);
/* store.c: m's class may be another: the totals follow. */
void	store_recount(struct store *s, struct message *m);
/* store.c: the journal's callback. */
void	store_synced(void *arg, uint64_t lsn);
/* checkpoint.c: a commit in the foreground that keeps the journal's number. Recovery. */
void	checkpoint_run(struct store *s, uint64_t journal);
/* checkpoint.c: removes journal files below `number`. */
void	checkpoint_drop_journals(struct store *s, uint64_t number);

#endif
