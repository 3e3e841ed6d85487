/* SPDX-License-Identifier: ISC */
/*
 * segment_reader.h: reading records out of a segment.
 *
 * A window of a MiB serves all segments in turn: intake reads each record
 * once and in order, so one large pread replaces two a message. What is
 * behind the durable end is never read.
 */
#ifndef PK_QUEUE_SEGMENT_READER_H
#define PK_QUEUE_SEGMENT_READER_H

#include <stddef.h>
#include <stdint.h>

#include "queue/record.h"

#define SEGMENT_WINDOW_BYTES	(1U << 20)

struct segment_window {
	char		*data;
	size_t		 cap, len;
	uint64_t	 segment;	/* 0: nothing in it */
	uint64_t	 offset;
};

struct segment_record {
	struct record_header h;
	uint64_t	 offset;	/* of h */
	struct view	 envelope;	/* into the window, until its next use */
	struct view	 header;	/* header block */
};

void	segment_window_init(struct segment_window *w);
void	segment_window_fini(struct segment_window *w);

/* Reads and checks a segment's header: 0, PK_EFORMAT, PK_EIO. */
int	segment_reader_header(int fd, uint64_t number, struct segment_header *h_r);
/*
 * The record at `offset` of a segment durable to `end` (dedicated: offset 0
 * stands for wherever its trailer says). Checks header, envelope and header
 * block, not the content. PK_EEND: nothing more here; PK_EFORMAT: damaged;
 * PK_EIO.
 */
int	segment_reader_record(struct segment_window *w, int fd,
	    const struct segment_header *seg, uint64_t offset, uint64_t end,
	    struct segment_record *r_r);
/* n bytes at offset, through the window: 0, PK_EEND, PK_EIO. */
int	segment_reader_bytes(struct segment_window *w, int fd, uint64_t number,
	    uint64_t offset, size_t n, uint64_t end, struct view *v_r);

#endif
