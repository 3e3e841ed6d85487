/* SPDX-License-Identifier: ISC */
/*
 * index.h: the LMDB environment in queue/index, derived from segments and
 * journal (QUEUE.md, "Checkpoints").
 *
 * Tables, keys big endian so that their order is that of the numbers:
 *	message		{id u64}			-> message row (message.h)
 *	recipient	{id u64, index u32}		-> recipient row (message.h)
 *	due		{time_ms u64, id u64}		-> {destination hash u64}
 *	segment		{number u64}			-> struct index_segment
 *	meta		name				-> value
 * Written by checkpoints only, one transaction each, in a thread. Reading
 * happens in the loop in short transactions.
 */
#ifndef PK_QMGR_INDEX_H
#define PK_QMGR_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

enum index_table {
	INDEX_MESSAGE,
	INDEX_RECIPIENT,
	INDEX_DUE,
	INDEX_SEGMENT,
	INDEX_META,
	INDEX_TABLES
};

#define INDEX_VERSION	1
#define INDEX_KEY_MAX	64

struct index_segment {			/* 64 bytes */
	uint64_t	watermark;	/* taken in up to here */
	uint64_t	end;		/* sealed at; 0: open */
	uint64_t	live;
	uint64_t	live_bytes;
	uint32_t	role;		/* of its writer */
	uint32_t	damaged;
	uint64_t	reserved[3];
};

struct index;

/*
 * Opens (or creates) the environment in folder `path`. PK_EFORMAT if it is
 * damaged or of an unknown version, PK_ESYS otherwise (errno).
 */
int	index_open(const char *path, struct index **ix_r);
void	index_close(struct index **ix);

/* ---- a checkpoint ---- */

/* Operations gather in a buf in the loop, and are applied in a thread. */
void	index_put(struct buf *batch, enum index_table t, struct view key, struct view value);
void	index_del(struct buf *batch, enum index_table t, struct view key);
/* Every recipient row of a message. */
void	index_del_recipients(struct buf *batch, uint64_t id);
/*
 * One synced transaction. 0, or PK_ENOSPC, PK_EIO: nothing has changed;
 * PK_EFORMAT: a write to its first pages failed, and LMDB lets nobody use the
 * environment again but a new process.
 */
int	index_apply(struct index *ix, struct view batch);

/* ---- reading (the loop) ---- */

/*
 * A read transaction is begun when needed and given back at index_rest();
 * views are valid until then. Call it at the end of a piece of work: pages
 * that a checkpoint frees are reused only when no reader looks at them.
 */
void	index_rest(struct index *ix);
/* 0, PK_ENOENT, PK_EFORMAT. */
int	index_get(struct index *ix, enum index_table t, struct view key, struct view *value_r);
/*
 * Walks rows from `from` (inclusive) on; fn returns false to stop. The return
 * is true if fn stopped it, false at the end of the table.
 */
bool	index_walk(struct index *ix, enum index_table t, struct view from,
	    bool (*fn)(void *arg, struct view key, struct view value), void *arg);
uint64_t index_rows(struct index *ix, enum index_table t);

static inline void
index_be64(char *p, uint64_t n)
{
	n = __builtin_bswap64(n);
	memcpy(p, &n, sizeof(n));
}

static inline uint64_t
index_get64(const char *p)
{
	uint64_t n;

	memcpy(&n, p, sizeof(n));
	return __builtin_bswap64(n);
}

#endif
