/* SPDX-License-Identifier: ISC */
/*
 * segment_link.h: a segment writer and its conversation with qmgr
 * (SEGMENT_WANT, SEGMENT, SEGMENT_DURABLE, SEGMENT_SEAL).
 */
#ifndef PK_QUEUE_SEGMENT_LINK_H
#define PK_QUEUE_SEGMENT_LINK_H

#include "ipc/ipc.h"
#include "queue/segment_writer.h"

struct segment_link;

/* Makes the writer (and its threads): call before confinement. */
struct segment_link *segment_link_new(struct loop *l);
void	segment_link_free(struct segment_link **link);
struct segment_writer *segment_link_writer(struct segment_link *link);
/*
 * A channel to qmgr, also to a new one: segments held are stated again. The
 * channel stays the caller's, who says `down` before or when it ends.
 */
void	segment_link_up(struct segment_link *link, struct ipc_channel *qmgr);
void	segment_link_down(struct segment_link *link);

#endif
