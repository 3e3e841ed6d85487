/* SPDX-License-Identifier: ISC */
/*
 * segment_private.h: what segment_writer.c and segment_stream.c share.
 */
#ifndef PK_QUEUE_SEGMENT_PRIVATE_H
#define PK_QUEUE_SEGMENT_PRIVATE_H

#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <stdbool.h>

#include "queue/segment_lane.h"
#include "queue/segment_writer.h"

/* A message or stream that gets no segment for so long is given up (451). */
#define SEGMENT_WAIT_MS		10000
/* After a refusal qmgr is left alone for a moment. */
#define SEGMENT_WANT_PAUSE_MS	1000
/*
 * Threads for dedicated segments. One would leave the disk idle between the
 * syncs of large messages; the shared segment has its own, so that small
 * messages never wait behind large ones.
 */
#define SEGMENT_STREAM_LANES	3

struct segment {
	TAILQ_ENTRY(segment) link;
	enum record_segment_kind kind;
	uint64_t	 number, key;
	uint64_t	 size;		/* it may grow to */
	uint64_t	 offset;	/* end of what the lane was given */
	uint64_t	 durable;	/* end of what is synced */
	int		 fd, read_fd;
};
TAILQ_HEAD(segment_list, segment);

enum item_state { ITEM_WAITING, ITEM_FLYING, ITEM_DONE };

struct segment_item {
	TAILQ_ENTRY(segment_item) link;
	struct segment_message	m;
	struct record_header	head;
	uint64_t		id;
	uint64_t		since_ms;
	enum item_state		state;
	bool			tried;		/* a group with it failed already */
	bool			abandoned;
};
TAILQ_HEAD(segment_items, segment_item);
TAILQ_HEAD(segment_streams, segment_stream);

struct segment_writer {
	struct loop		*loop;
	struct segment_writer_ops ops;
	void			*arg;
	int			 wake_fd;
	struct event		*wake;
	struct loop_deferred	 turn;
	struct loop_timer	 timer;
	bool			 closing;

	struct segment_list	 held;
	struct segment		*current, *spare;
	bool			 wanted;	/* a shared segment is on its way */
	uint64_t		 want_after_ms;
	struct lane		*lane;
	struct segment_items	 waiting, flying, unused;

	struct lane		*stream_lanes[SEGMENT_STREAM_LANES];
	unsigned		 next_lane;
	unsigned		 dedicated_wanted;
	struct segment_streams	 streams;
};

/* segment_writer.c */
struct segment *segment_held(struct segment_writer *w, enum record_segment_kind kind,
	    uint64_t number, uint64_t key, uint64_t size, int fd, int read_fd);
/* Tells qmgr and lets go of it. */
void	segment_seal(struct segment_writer *w, struct segment *seg, uint64_t offset);
void	segment_writer_arm(struct segment_writer *w);

/* segment_stream.c */
void	segment_streams_init(struct segment_writer *w, const struct segment_io *io);
void	segment_streams_fini(struct segment_writer *w);
/* True if a stream was waiting for it. */
bool	segment_streams_give(struct segment_writer *w, struct segment *seg);
void	segment_streams_refused(struct segment_writer *w, int error);
/* Asks for as many segments as there are streams without one. */
void	segment_streams_want(struct segment_writer *w);
void	segment_streams_submit(struct segment_writer *w);
void	segment_streams_collect(struct segment_writer *w);
/* Gives up those that waited too long; true if some still wait. */
bool	segment_streams_expire(struct segment_writer *w, uint64_t now_ms);

#endif
