/* SPDX-License-Identifier: ISC */
/*
 * done.h: what a lost index must not forget: NNNNNNNNNNNNNNNN.done beside a
 * segment says which of its messages and recipients are finished.
 *
 * The journal is dropped at each checkpoint since the index has what it said;
 * without the index a rebuild would send everything in the segments again.
 * So each checkpoint appends the ends since the last one here, syncs, and
 * only then commits. The file goes with its segment.
 *
 * Entries are {message id u64, what u64, check u64}; check is XXH3-64 of the
 * 16 bytes before it. A torn or damaged one is passed over.
 */
#ifndef PK_QMGR_DONE_H
#define PK_QMGR_DONE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/view.h"

enum done_what {
	DONE_FINISHED,		/* the whole message */
	DONE_HELD,
	DONE_RELEASED,
	DONE_MARKS,		/* from here on: message_marks() of one that was relocated */
	DONE_MARKS_LAST = DONE_MARKS + 31,
	DONE_RECIPIENT_LEAST	/* from here on: done_recipient() */
};

#define DONE_NAME_MAX	32
void	done_name(uint64_t segment, char *name);
/* The value that stands for a recipient's address (ASCII case does not matter). */
uint64_t done_recipient(struct view address);
/* Notes an end for the next checkpoint. */
void	done_add(struct buf *b, uint64_t segment, uint64_t message, uint64_t what);
/* In the checkpoint's thread: appends and syncs. 0, PK_ENOSPC, PK_EIO. */
int	done_write(int dirfd, struct view notes);
/*
 * Calls fn for each whole entry of a segment's file (none if there is no
 * file). 0 or PK_EIO.
 */
int	done_read(int dirfd, uint64_t segment, void (*fn)(void *arg, uint64_t message,
	    uint64_t what), void *arg);

#endif
