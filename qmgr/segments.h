/* SPDX-License-Identifier: ISC */
/*
 * segments.h: the segment files: creating, reading, sealing, removing.
 *
 * qmgr alone creates and removes them (QUEUE.md, "Who holds what"). What
 * blocks is done in a worker thread; a segment is known here from the moment
 * its file exists.
 */
#ifndef PK_QMGR_SEGMENTS_H
#define PK_QMGR_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <bsd/sys/queue.h>

#include "base/map.h"
#include "ipc/ipc.h"
#include "qmgr/index.h"
#include "qmgr/worker.h"
#include "queue/segment_reader.h"

enum segment_flag {
	SEGMENT_SEALED		= 1,	/* nothing will be appended: `end` is final */
	SEGMENT_DAMAGED		= 2,	/* a bad record ends it */
	SEGMENT_DIRTY		= 4,	/* differs from the index */
	SEGMENT_INDEXED		= 8,	/* has a row there */
	SEGMENT_SCANNING	= 16,	/* in the intake's list */
	SEGMENT_SYNCING		= 32,	/* being synced at its writer's death */
	SEGMENT_REMOVING	= 64,	/* its row is going: unlinked after the commit */
	SEGMENT_COMPACTING	= 128,
	SEGMENT_STOCK		= 256,	/* not handed out yet */
	SEGMENT_STATED		= 512,	/* its writer has spoken of it to this qmgr */
	SEGMENT_UNCHECKED	= 1024,	/* not compacted: a login in it waits for authd */
};

struct segment {
	struct segment_header header;	/* number, key, kind, writer */
	enum ipc_role	role;		/* of the writer; qmgr: a compaction */
	unsigned	flags;
	int		fd;		/* for reading; -1: not open */
	uint64_t	durable;	/* synced, as stated or by ourselves */
	uint64_t	watermark;	/* taken in up to here */
	uint64_t	end;		/* SEALED: last byte of the last record */
	uint64_t	limit;		/* may grow to */
	uint64_t	live;		/* unfinished messages in it */
	uint64_t	live_bytes;
	TAILQ_ENTRY(segment) dirty;
	TAILQ_ENTRY(segment) scan;
	TAILQ_ENTRY(segment) open;	/* fd cache, least recently used first */
};
TAILQ_HEAD(segment_list, segment);

struct segments {
	struct loop	*loop;
	struct worker	*worker;
	int		 dirfd;
	struct map	*by_number;
	uint64_t	 next;		/* number of the next one */
	uint64_t	*unlinked;	/* their rows may go once the folder is synced */
	size_t		 nunlinked;
	struct segment_list dirty;
	struct segment_list open;	/* sealed ones with an fd */
	unsigned	 nopen;
	struct segment_window window;
	uint64_t	 bytes;		/* of all sealed ones, for statistics */
};

/* path: folder of the segments, created if missing. Fatal on failure. */
void	segments_init(struct segments *s, struct loop *l, struct worker *w, const char *path);
void	segments_fini(struct segments *s);
struct segment *segments_get(const struct segments *s, uint64_t number);

/*
 * Makes a segment for a writer: number and file, header, `reserve` bytes of
 * blocks, all synced. It may grow to `limit`. made() runs in the loop: seg and
 * a descriptor open for appending
 * (the callee's; for role qmgr as for others), or NULL and PK_ENOSPC, PK_EIO.
 */
typedef void (*segment_made_fn)(void *arg, struct segment *seg, int append_fd, int error);
void	segments_create(struct segments *s, enum record_segment_kind kind, uint64_t writer,
	    enum ipc_role role, uint64_t limit, uint64_t reserve, segment_made_fn made, void *arg);
/* A file that recovery found: reads its header. NULL and the file's error if it is none of ours. */
struct segment *segments_adopt(struct segments *s, uint64_t number, int *error_r);
/* A descriptor for reading, kept open by us; -1 with errno. */
int	segments_fd(struct segments *s, struct segment *seg);
/* A descriptor for reading of the caller's own. */
int	segments_open(struct segments *s, struct segment *seg);
void	segments_changed(struct segments *s, struct segment *seg);
/* Nothing is appended any more; `end` becomes final, blocks behind it are given back. */
void	segments_seal(struct segments *s, struct segment *seg, uint64_t end);
/* Gives blocks behind the end back; what is appended later needs none reserved. */
void	segments_trim(struct segments *s, struct segment *seg);
/* Syncs the file (its writer died), then done(arg, seg, size or 0 on failure). */
void	segments_sync(struct segments *s, struct segment *seg,
	    void (*done)(void *arg, struct segment *seg, uint64_t size), void *arg);
/* Unlinks in the thread and forgets it. */
void	segments_remove(struct segments *s, struct segment *seg);
/* Index row, and back. */
void	segment_row(const struct segment *seg, struct index_segment *row_r);
void	segment_from_row(struct segment *seg, const struct index_segment *row);
#define SEGMENT_NAME_MAX 32
void	segment_name(uint64_t number, char *name);
/* PK_ESYNTAX if it is not such a name. */
int	segment_name_parse(const char *name, uint64_t *number_r);
/* All segments in rising order; xfree the array. */
struct segment **segments_sorted(const struct segments *s, size_t *n_r);

#endif
