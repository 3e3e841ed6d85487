/* SPDX-License-Identifier: ISC */
/*
 * journal.h: the outcome journal, qmgr's append-only log of what happened
 * since the last checkpoint (QUEUE.md).
 *
 * A file is a header and events, each {length u32, type u16, reserved u16,
 * check u64} and `length` bytes, padded with zeros to 8. The check is
 * XXH3-64 over the event's place, type and bytes, seeded with the file's random key: a
 * stale or moved event does not pass. A torn event ends the file; it was
 * never acted upon.
 *
 * Events state what is now true of a message, not what changed: replaying
 * one twice, or one that a checkpoint already holds, does no harm.
 */
#ifndef PK_QMGR_JOURNAL_H
#define PK_QMGR_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "qmgr/worker.h"

#define JOURNAL_MAGIC		0x31304c4e4a504bULL	/* "KPJNL01" */
#define JOURNAL_VERSION		1
#define JOURNAL_EVENT_MAX	(512U << 20)	/* ROWS of 250,000 recipients with long replies */

enum journal_event {
	/* {message u64, flags u32, n u32, {index u32, length u32, row}*} */
	JOURNAL_ROWS		= 1,
	JOURNAL_MESSAGE		= 2,	/* {message u64, message row} */
	JOURNAL_FINISHED	= 3,	/* {message u64} */
	JOURNAL_RELOCATED	= 4,	/* {message, segment, offset, content offset} */
	JOURNAL_SCOPE		= 5,	/* {on u8, kind u8, name} */
	JOURNAL_DSN_TAKEN	= 6,	/* {message u64 of the report} */
};

/* In the flags of ROWS: all recipients that there are. */
#define JOURNAL_ROWS_WHOLE	(1U << 31)
/* message_marks(), 5 bits; 0 in files of before they were kept. */
#define JOURNAL_ROWS_MARKS_SHIFT	16
#define JOURNAL_ROWS_MARKS_MASK		31U

struct journal_header {			/* 40 bytes */
	uint64_t	magic;
	uint32_t	version;
	uint32_t	reserved;
	uint64_t	number;
	uint64_t	key;
	uint64_t	check;		/* of the 32 bytes before, seeded with key */
};

/* ---- reading ---- */

typedef void (*journal_event_fn)(void *arg, enum journal_event type, struct view payload);
/*
 * Walks the events of a file's bytes. 0; PK_EEND if it ends in a torn or
 * damaged event (*good_r: bytes before it); PK_EFORMAT for a bad header.
 */
int	journal_walk(struct view file, uint64_t number, journal_event_fn fn, void *arg,
	    uint64_t *good_r);

/* ---- writing ---- */

struct journal;

/*
 * dirfd: the journal's directory, kept by reference. Creates file `number`
 * and syncs it before it returns. synced(arg, lsn) runs in the loop
 * when everything up to event number lsn is on disk.
 */
struct journal *journal_new(struct loop *l, struct worker *w, int dirfd, uint64_t number,
	    void (*synced)(void *arg, uint64_t lsn), void *arg);
/* Syncs what there is. */
void	journal_free(struct journal **j);
uint64_t journal_number(const struct journal *j);
/* Adds an event in parts: bytes go to the buf between begin and end. Returns its lsn at end. */
struct buf *journal_begin(struct journal *j, enum journal_event type);
uint64_t journal_end(struct journal *j);
/* Last event added, last event on disk. */
uint64_t journal_lsn(const struct journal *j);
uint64_t journal_synced(const struct journal *j);
/* Sync at the end of this turn instead of within JOURNAL_SYNC_MS. */
#define JOURNAL_SYNC_MS 10
void	journal_hurry(struct journal *j);
/* False right after a rotation, until the new file is made. */
bool	journal_ready(const struct journal *j);
/* Events from here on go to the next file. Returns its number. Must be ready. */
uint64_t journal_rotate(struct journal *j);
/* Waits until all is on disk. */
void	journal_flush(struct journal *j);
/* File name of a number into name[JOURNAL_NAME_MAX]. */
#define JOURNAL_NAME_MAX 24
void	journal_name(uint64_t number, char *name);

#endif
