/* SPDX-License-Identifier: ISC */
/*
 * store.h: the queue's state: segments, journal, index and what of it is in
 * memory (QUEUE.md). It knows nothing of channels and schedules.
 *
 * Whoever changes a message or recipient says so with one of the store_log_
 * functions, which write the journal and mark it for the next checkpoint;
 * then store_settle() decides whether it is finished, waits in memory, or
 * leaves memory.
 */
#ifndef PK_QMGR_STORE_H
#define PK_QMGR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "qmgr/index.h"
#include "qmgr/journal.h"
#include "qmgr/message.h"
#include "qmgr/segments.h"
#include "qmgr/worker.h"

TAILQ_HEAD(message_list, message);

/* File in the queue directory: the next start makes the index anew. */
#define STORE_REBUILD_MARK	"rebuild"

struct store_action {
	uint64_t lsn;
	void	(*fn)(void *arg, uint64_t id);
	void	*arg;
	uint64_t id;
};

/* Called by the store. */
struct store_ops {
	/* A message is wanted by the schedule: its time has come. */
	void	(*due)(void *arg, struct message *m);
	/* All recipients are done; true: keep it as failed until m->due_ms. */
	bool	(*keep)(void *arg, struct message *m);
	/* It leaves memory or is finished: forget it. */
	void	(*gone)(void *arg, struct message *m);
	/* A freeze that the index or journal knows of. */
	void	(*scope)(void *arg, bool on, unsigned kind, struct view name);
	/* All freezes as events, into the checkpoint. */
	void	(*scopes)(void *arg, struct buf *b);
};

struct checkpoint;

struct store {
	struct loop	*loop;
	const struct store_ops *ops;
	void		*arg;
	struct worker	*journal_worker, *index_worker, *disk_worker;
	struct segments	 segments;
	struct journal	*journal;
	int		 journal_dirfd;
	struct index	*index;
	char		*path;		/* the queue directory, for opening */
	struct map	*messages, *senders, *routes;
	struct message_list dirty;
	size_t		 ndirty;
	struct heap	 due;
	struct event	*due_timer;
	struct buf	 done;		/* ends since the last checkpoint (done.h) */
	struct checkpoint *checkpoint;	/* under way */
	uint64_t	 checkpoint_ms;	/* begin of the last one, monotonic */
	uint64_t	 checkpoint_every_ms;
	uint64_t	 oldest_journal;
	struct store_action *actions;	/* ring, by rising lsn */
	size_t		 nactions, actions_head, actions_cap;
	uint64_t	 counts[MESSAGE_CLASSES];
	uint64_t	 open_recipients;
	uint64_t	 wall_anchor_ms, mono_anchor_ms;
	bool		 rows_skewed;	/* a process before us saw the clock step */
	int64_t		 skew_ms;	/* the wall clock by now, against store_now_ms() */
	uint64_t	 evict_after_ms;	/* waiting longer than this leaves memory */
	bool		 recovering;
	bool		 checkpoint_failed;	/* the disk is full */
	uint64_t	 rebuilt;		/* messages found when the index was lost */
};

/* ---- life ---- */

/*
 * Opens the queue in `path` (".": inside the chroot) and recovers. alive()
 * tells whether a writer's process lives. Fatal when the queue cannot be used.
 */
void	store_init(struct store *s, struct loop *l, const char *path, const struct store_ops *ops,
	    void *arg);
void	store_recover(struct store *s, bool (*alive)(void *arg, uint64_t instance), void *arg);
/* A last checkpoint, everything closed and freed. */
void	store_fini(struct store *s);
/* As a crash: nothing is written. Tests. */
void	store_drop(struct store *s);

/* Wall time that does not step (F6): anchored at start, kept by the monotonic clock. */
uint64_t store_now_ms(const struct store *s);

/*
 * When m may go first (HOLD_UNTIL_MS, RFC 4865), on store_now_ms()'s clock; 0:
 * at any time. What is promised is a wall time: future.c follows its steps.
 */
uint64_t store_release_ms(const struct store *s, const struct message *m);

/* ---- messages ---- */

/* In memory, or loaded from the index; NULL when there is none or it is finished. */
struct message *store_message(struct store *s, uint64_t id);
/* In memory only. */
struct message *store_peek(const struct store *s, uint64_t id);
/*
 * Takes a record in: 0; PK_EEXIST if the id is known; PK_EFORMAT. from_bounce:
 * what the record says of being a report is believed.
 */
int	store_take_in(struct store *s, struct segment *seg, const struct segment_record *r,
	    bool from_bounce, struct message **m_r);
/* Reads the recipients out of the record if they are not there: 0, PK_EFORMAT, PK_EIO. */
int	store_recipients(struct store *s, struct message *m);
/*
 * The record of m: envelope and header block (views into the window until its
 * next use), checked. PK_ENOENT, PK_EFORMAT, PK_EIO.
 */
int	store_record(struct store *s, const struct message *m, struct segment_record *r_r);
/* Adds a recipient to an expansion; index is the next one. */
void	store_recipient_add(struct store *s, struct message *m, struct recipient *r);

/*
 * Reads the record at seg's watermark, durable to `end`, and moves the
 * watermark behind it. A damaged one is passed over to the next that is
 * whole, with a line in the log. 0, PK_EEND. partial: a torn one at the end
 * is no damage, its writer may be at it. PK_EIO: it could not be read, which
 * says nothing about it; the watermark stays.
 */
int	store_scan(struct store *s, struct segment *seg, uint64_t end, bool partial,
	    struct segment_record *r_r);
/*
 * A report (IS_DSN) was read: marks what it reports. False if it says nothing
 * new: its recipients have been reported, or their message is gone.
 */
bool	store_report_taken(struct store *s, struct message *dsn, struct view indexes);

/*
 * A message from a rebuild: marks the recipients that were done before the
 * index was lost. After its expansion.
 */
void	store_apply_done(struct store *s, struct message *m);

/* ---- saying what happened ---- */

void	store_log_rows(struct store *s, struct message *m, struct recipient *const *rs, size_t n);
/*
 * True if what was logged of m's recipients is on disk. If not, it soon is
 * (store_when_durable() tells).
 */
bool	store_rows_durable(struct store *s, struct message *m);
void	store_log_message(struct store *s, struct message *m);
/* m's own row differs: the next checkpoint has it, the journal not. */
void	store_changed(struct store *s, struct message *m);
/* A report was taken in. */
void	store_log_dsn(struct store *s, uint64_t id);
void	store_log_scope(struct store *s, bool on, unsigned kind, struct view name);
/* m's record is now there. */
void	store_relocate(struct store *s, struct message *m, uint64_t segment, uint64_t offset,
	    uint64_t content_offset);
/* Marks r (RCPT_DIRTY) without the journal: found again by other means after a crash. */
void	store_touch(struct store *s, struct message *m, struct recipient *r);
/* Nothing is left of it: admin's delete, or the last recipient. */
void	store_finish(struct store *s, struct message *m);
/*
 * After changes, when nothing else refers to m on the stack: m may be gone
 * when this returns.
 */
void	store_settle(struct store *s, struct message *m);
/* A busy message wants to be looked at then (ops->due). */
void	store_wake(struct store *s, struct message *m, uint64_t when_ms);
/* Earliest time anything of m is to be done, 0: never. */
uint64_t store_message_due(const struct store *s, const struct message *m);
/* Hash of the one route that m waits for, 0: several or none. */
uint64_t store_message_route(const struct message *m);
/* fn(arg, id) runs when all events so far are on disk. */
void	store_when_durable(struct store *s, void (*fn)(void *arg, uint64_t id), void *arg,
	    uint64_t id);

/* ---- checkpoints ---- */

/* Begins one if it is time (or `now`) and none is under way. */
void	store_checkpoint(struct store *s, bool now);
/* Waits for the one under way. */
void	store_checkpoint_wait(struct store *s);

#endif
