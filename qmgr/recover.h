/* SPDX-License-Identifier: ISC */
/*
 * recover.h: between recover.c and replay.c only.
 */
#ifndef PK_QMGR_RECOVER_H
#define PK_QMGR_RECOVER_H

#include "qmgr/checkpoint.h"

/* Dirty messages at which a long recovery writes the index and frees them. */
#define RECOVER_BATCH		50000

struct pending_report {
	uint64_t	id;
	char		*indexes;
	size_t		 len;
	TAILQ_ENTRY(pending_report) link;
};

struct recovery {
	struct store	*store;
	TAILQ_HEAD(, pending_report) reports;	/* found in segment tails */
	struct map	*taken;			/* reports that the journal knows */
	struct map	*ends;			/* rebuild: what the .done files say, by id */
	uint64_t	 journal;		/* first file to replay */
	uint64_t	 events;
	uint64_t	 records;
};

/* Replays the journal files from rec->journal on. The number of the next file. */
uint64_t replay_journals(struct recovery *rec);

#endif
