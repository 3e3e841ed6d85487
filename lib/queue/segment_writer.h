/* SPDX-License-Identifier: ISC */
/*
 * segment_writer.h: how a process (smtpd, bounce) puts messages into its
 * queue segments and learns that they are on disk.
 *
 * Messages of a turn are gathered; one sync thread writes what has gathered
 * (writev) and calls fdatasync; what ends meanwhile is the next group. The
 * completion runs in the loop. No call here ever blocks on the disk.
 *
 * A failed or short write, or a failed sync, seals the segment at its last
 * good offset (QUEUE.md state Q3): the messages of that group are written
 * again into the next segment, once; a second failure completes them with
 * PK_ENOSPC or PK_EIO (the session answers 452 or 451). A failed fdatasync
 * is never repeated on the same file (F4).
 */
#ifndef PK_QUEUE_SEGMENT_WRITER_H
#define PK_QUEUE_SEGMENT_WRITER_H

#include <stdint.h>

#include "queue/record.h"
#include "sys/loop.h"

struct segment_writer;

struct segment_writer_ops {
	/* Ask qmgr for a segment (SEGMENT_WANT). A spare is asked for early. */
	void	(*want)(void *arg, enum record_segment_kind kind, uint64_t size_hint);
	/* Tell qmgr (SEGMENT_DURABLE), before the completions of that group run. */
	void	(*durable)(void *arg, uint64_t segment, uint64_t offset);
	/* Tell qmgr (SEGMENT_SEAL). */
	void	(*seal)(void *arg, uint64_t segment, uint64_t offset);
};

/* Starts the sync thread: call before confinement forbids threads. */
struct segment_writer *segment_writer_new(struct loop *l, const struct segment_writer_ops *ops,
	    void *arg);
void	segment_writer_free(struct segment_writer **w);

/* The same with other system calls in the sync threads, for tests (segment_lane.h). */
struct segment_io;
struct segment_writer *segment_writer_new_io(struct loop *l, const struct segment_writer_ops *ops,
	    void *arg, const struct segment_io *io);

/* qmgr's SEGMENT arrived. fds become the writer's (read_fd -1 for shared). */
void	segment_writer_give(struct segment_writer *w, enum record_segment_kind kind,
	    uint64_t number, uint64_t key, uint64_t size, int append_fd, int read_fd);
/* qmgr refused (ACK with a code) a wanted segment. */
void	segment_writer_refused(struct segment_writer *w, enum record_segment_kind kind, int error);
/* A new qmgr: states every segment held and its durable end again, repeats wants. */
void	segment_writer_reconnected(struct segment_writer *w);
/* True if nothing is waiting to become durable. */
bool	segment_writer_idle(const struct segment_writer *w);
/* True if a message could be taken now (a segment is at hand). */
bool	segment_writer_ready(const struct segment_writer *w);
/* Seals what is held (drain). */
void	segment_writer_close(struct segment_writer *w);

/*
 * error: 0 and the message id (durable, qmgr told), or PK_ENOSPC, PK_EIO,
 * PK_ETIMEOUT (no segment came), PK_ELIMIT (fits no segment).
 */
typedef void (*segment_done_fn)(void *arg, int error, uint64_t message);

/*
 * What a message consists of. The bytes are borrowed until done runs. The
 * header block may contain the queue id: `compose` is called with the id when
 * the place is fixed, and again if the message moves to another segment; it
 * returns the header block (borrowed as well).
 */
struct segment_message {
	struct view	envelope;
	struct view	content;
	struct view	(*compose)(void *arg, uint64_t message);
	segment_done_fn	done;
	void		*arg;
};

/*
 * Small message, into the shared segment. Returns a cookie for
 * segment_writer_abandon() (client gone: done will not be called, the bytes
 * are free at return; the message itself may or may not become durable). May
 * wait for a write into the page cache that is under way, never for a sync.
 */
uint64_t segment_writer_put(struct segment_writer *w, const struct segment_message *m);
void	segment_writer_abandon(struct segment_writer *w, uint64_t cookie);

/*
 * Large message, streamed into a dedicated segment. begin asks for one;
 * chunks are copied and written behind by the sync thread; when `backlog`
 * passes SEGMENT_STREAM_BACKLOG the session stops reading until `writable`.
 */
#define SEGMENT_STREAM_BACKLOG	(256U << 10)
/*
 * Less than this waits for more before it is written: whoever pauses must go
 * on with so much of a backlog, or would wait for ever.
 */
#define SEGMENT_STREAM_BLOCK	4096U
struct segment_stream;
struct segment_stream *segment_stream_begin(struct segment_writer *w,
	    void (*writable)(void *arg), void *arg);
/* 0, or the error that ends the stream (then abort). */
int	segment_stream_add(struct segment_stream *s, struct view chunk);
size_t	segment_stream_backlog(const struct segment_stream *s);
/* Commit record, sync, done. m->content is not used. Frees the stream. */
void	segment_stream_commit(struct segment_stream *s, const struct segment_message *m);
/* Gives the segment back unsealed-empty (qmgr removes it). Frees the stream. */
void	segment_stream_abort(struct segment_stream *s);

#endif
