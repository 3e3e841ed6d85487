/* SPDX-License-Identifier: ISC */
/*
 * checkpoint.c: from memory into the index (QUEUE.md, "Checkpoints").
 *
 * Run by qmgr. At an instant between two events the dirty messages are
 * written as operations into a buffer, the journal goes on in a new file, and
 * a thread commits the buffer in one synced transaction. Until that is done
 * nothing that it depends on is removed; if it fails (disk full) the same
 * buffer is tried again, while the journal keeps everything anyway.
 */
#include "qmgr/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/done.h"
#include "sys/fd.h"
#include "sys/stats.h"

#define BATCH_MAX		(1U << 30)
/* Dirty messages that bring a checkpoint forward. */
#define DIRTY_MANY		10000
#define INTERVAL_LEAST_MS	100
#define RETRY_MS		1000
/* Messages evicted at most after a commit before the loop turns again. */

struct checkpoint {
	struct worker_job job;
	struct store	*store;
	struct index	*index;
	struct buf	 batch;
	struct buf	 done;
	int		 dirfd;
	struct message	**messages;
	size_t		 nmessages;
	struct segment	**removed;
	size_t		 nremoved;
	uint64_t	*unlinked;	/* segments whose rows go: sync dirfd before */
	size_t		 nunlinked;
	uint64_t	 journal;
	int		 error;
	bool		 foreground;
	struct event	*retry;
};

static void
put_u64(struct buf *b, enum index_table t, const char *name, uint64_t n)
{
	index_put(b, t, view_str(name), view_of((char *)&n, sizeof(n)));
}

static void
due_key(char *key, uint64_t due, uint64_t id)
{
	index_be64(key, due);
	index_be64(key + 8, id);
}

static void
put_due(struct checkpoint *c, struct message *m, uint64_t due)
{
	uint64_t route = store_message_route(m);
	char key[16];

	if (m->indexed_due != 0 && m->indexed_due != due) {
		due_key(key, m->indexed_due, m->id);
		index_del(&c->batch, INDEX_DUE, view_of(key, sizeof(key)));
	}
	m->indexed_due = due;
	if (due == 0)
		return;
	due_key(key, due, m->id);
	index_put(&c->batch, INDEX_DUE, view_of(key, sizeof(key)),
	    view_of((char *)&route, sizeof(route)));
}

static void
put_recipients(struct checkpoint *c, struct message *m, struct buf *row)
{
	struct recipient *r;
	uint32_t i, be;
	char key[12];

	index_be64(key, m->id);
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || (r->flags & RCPT_DIRTY) == 0)
			continue;
		r->flags &= (uint8_t)~RCPT_DIRTY;
		be = __builtin_bswap32(i);
		memcpy(key + 8, &be, sizeof(be));
		if (recipient_done(r) && (m->flags & MESSAGE_KEPT) == 0) {
			if ((r->flags & RCPT_INDEXED) != 0)
				index_del(&c->batch, INDEX_RECIPIENT, view_of(key, sizeof(key)));
			r->flags &= (uint8_t)~RCPT_INDEXED;
			continue;
		}
		buf_reset(row);
		recipient_row_put(row, r);
		index_put(&c->batch, INDEX_RECIPIENT, view_of(key, sizeof(key)), buf_view(row));
		r->flags |= RCPT_INDEXED;
	}
}

static void
put_message(struct checkpoint *c, struct message *m, struct buf *row)
{
	char key[8];

	index_be64(key, m->id);
	if ((m->flags & MESSAGE_FINISHED) != 0) {
		put_due(c, m, 0);
		index_del(&c->batch, INDEX_MESSAGE, view_of(key, sizeof(key)));
		index_del_recipients(&c->batch, m->id);
		return;
	}
	if ((m->flags & MESSAGE_EXPANDED) != 0 && m->rcpts != NULL) {
		put_recipients(c, m, row);
		m->flags |= MESSAGE_LOGGING;
	}
	/* The totals must be those of the rows. */
	store_recount(c->store, m);
	put_due(c, m, store_message_due(c->store, m));
	buf_reset(row);
	message_row_put(row, m);
	index_put(&c->batch, INDEX_MESSAGE, view_of(key, sizeof(key)), buf_view(row));
}

static void
put_messages(struct checkpoint *c)
{
	struct store *s = c->store;
	struct message *m;
	struct buf row;

	buf_init(&row, 1 << 20);
	c->messages = xreallocarray(NULL, s->ndirty + 1, sizeof(*c->messages));
	while ((m = TAILQ_FIRST(&s->dirty)) != NULL) {
		TAILQ_REMOVE(&s->dirty, m, dirty);
		m->flags &= (uint16_t)~MESSAGE_DIRTY;
		/* Came and went between two checkpoints. */
		if ((m->flags & MESSAGE_FINISHED) != 0 && (m->flags & MESSAGE_INDEXED) == 0) {
			s->ndirty--;
			store_forget(s, m);
			continue;
		}
		s->ndirty--;
		put_message(c, m, &row);
		m->flags |= MESSAGE_COMMITTING;
		if ((m->flags & MESSAGE_FINISHED) == 0)
			m->flags |= MESSAGE_INDEXED;
		c->messages[c->nmessages++] = m;
	}
	buf_fini(&row);
}

/* Sealed, taken in to its end, and nothing lives in it. */
static bool
segment_empty(const struct segment *seg)
{
	return (seg->flags & (SEGMENT_SEALED | SEGMENT_SCANNING | SEGMENT_SYNCING |
	    SEGMENT_REMOVING | SEGMENT_COMPACTING)) == SEGMENT_SEALED &&
	    seg->live == 0 && (seg->watermark >= seg->end || (seg->flags & SEGMENT_DAMAGED) != 0);
}

static void
put_segments(struct checkpoint *c)
{
	struct segments *s = &c->store->segments;
	struct index_segment row;
	struct segment *seg;
	char key[8];
	size_t n = 0;

	TAILQ_FOREACH(seg, &s->dirty, dirty)
		n++;
	c->removed = xreallocarray(NULL, n + 1, sizeof(*c->removed));
	while ((seg = TAILQ_FIRST(&s->dirty)) != NULL) {
		TAILQ_REMOVE(&s->dirty, seg, dirty);
		seg->flags &= ~(unsigned)SEGMENT_DIRTY;
		index_be64(key, seg->header.number);
		if (segment_empty(seg) && !(c->store->recovering && c->foreground)) {
			seg->flags |= SEGMENT_REMOVING;
			c->removed[c->nremoved++] = seg;
		}
		/* The row says that all of it is finished; it goes after the file. */
		segment_row(seg, &row);
		index_put(&c->batch, INDEX_SEGMENT, view_of(key, sizeof(key)),
		    view_of((char *)&row, sizeof(row)));
	}
}

/* Rows of files that are unlinked; the commit waits for that to be on disk. */
static void
del_segments(struct checkpoint *c)
{
	struct segments *s = &c->store->segments;
	char key[8];
	size_t i;

	c->unlinked = s->unlinked;
	c->nunlinked = s->nunlinked;
	s->unlinked = NULL;
	s->nunlinked = 0;
	for (i = 0; i < c->nunlinked; i++) {
		index_be64(key, c->unlinked[i]);
		index_del(&c->batch, INDEX_SEGMENT, view_of(key, sizeof(key)));
	}
}

static void
put_meta(struct checkpoint *c)
{
	struct store *s = c->store;
	struct buf scopes;

	put_u64(&c->batch, INDEX_META, "journal", c->journal);
	put_u64(&c->batch, INDEX_META, "next_segment", s->segments.next);
	put_u64(&c->batch, INDEX_META, "open_recipients", s->open_recipients);
	put_u64(&c->batch, INDEX_META, "skew", (uint64_t)s->skew_ms);
	index_put(&c->batch, INDEX_META, VIEW("counts"),
	    view_of((char *)s->counts, sizeof(s->counts)));
	buf_init(&scopes, 1 << 20);
	s->ops->scopes(s->arg, &scopes);
	index_put(&c->batch, INDEX_META, VIEW("scopes"), buf_view(&scopes));
	buf_fini(&scopes);
}

/* Thread. The notes of a segment go when the segment is gone for certain. */
static int
sync_unlinked(const struct checkpoint *c)
{
	char name[DONE_NAME_MAX];
	size_t i;

	if (fd_sync_dir(c->dirfd) != 0)
		return PK_EIO;
	for (i = 0; i < c->nunlinked; i++) {
		done_name(c->unlinked[i], name);
		unlinkat(c->dirfd, name, 0);
	}
	return 0;
}

static void
commit_run(struct worker_job *job)
{
	struct checkpoint *c = (struct checkpoint *)job;

	/*
	 * First what a lost index must not forget, then the index. A file that
	 * came back without its row would be read, and sent, again.
	 */
	c->error = done_write(c->dirfd, buf_view(&c->done));
	if (c->error == 0 && c->nunlinked > 0)
		c->error = sync_unlinked(c);
	if (c->error == 0)
		c->error = index_apply(c->index, buf_view(&c->batch));
}

void
checkpoint_drop_journals(struct store *s, uint64_t number)
{
	char name[JOURNAL_NAME_MAX];

	for (; s->oldest_journal < number; s->oldest_journal++) {
		journal_name(s->oldest_journal, name);
		if (unlinkat(s->journal_dirfd, name, 0) == -1 && errno != ENOENT)
			log_error("queue/journal/%s: cannot remove: %m", name);
	}
}

static void
after_commit(struct checkpoint *c)
{
	struct store *s = c->store;
	struct message *m;
	size_t i;

	s->checkpoint = NULL;
	for (i = 0; i < c->nmessages; i++) {
		m = c->messages[i];
		m->flags &= (uint16_t)~MESSAGE_COMMITTING;
		if ((m->flags & MESSAGE_LOGGING) != 0)
			m->flags |= MESSAGE_LOGGED;
		m->flags &= (uint16_t)~MESSAGE_LOGGING;
		if ((m->flags & (MESSAGE_FINISHED | MESSAGE_DIRTY)) == MESSAGE_FINISHED)
			m->flags &= (uint16_t)~MESSAGE_INDEXED;
		store_settle(s, m);
	}
	for (i = 0; i < c->nremoved; i++)
		segments_remove(&s->segments, c->removed[i]);
	stats_add(STATS_C_queue_checkpoints, 1);
}

static void
checkpoint_free(struct checkpoint *c)
{
	buf_fini(&c->batch);
	buf_fini(&c->done);
	xfree(c->messages);
	xfree(c->removed);
	xfree(c->unlinked);
	if (c->retry != NULL)
		event_free(c->retry);
	xfree(c);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct checkpoint *c = arg;

	(void)fd;
	(void)what;
	worker_post(c->store->index_worker, &c->job);
}

static void
commit_done(struct worker_job *job)
{
	struct checkpoint *c = (struct checkpoint *)job;
	struct store *s = c->store;
	struct timeval tv = { RETRY_MS / 1000, 0 };

	s->checkpoint_failed = c->error != 0;
	/* The journal has everything; the next process begins at the last checkpoint. */
	if (c->error == PK_EFORMAT)
		log_fatal("queue/index cannot be used by this process any more");
	if (c->error != 0) {
		/* Already said in the log. Everything is in the journal still. */
		if (s->loop == NULL)
			log_fatal("queue/index: cannot be written");
		if (c->retry == NULL)
			c->retry = evtimer_new(loop_base(s->loop), on_retry, c);
		event_add(c->retry, &tv);
		return;
	}
	if (!c->foreground)
		checkpoint_drop_journals(s, c->journal);
	after_commit(c);
	checkpoint_free(c);
}

/* Of segments that go with this checkpoint nothing need be remembered. */
static void
take_done(struct checkpoint *c)
{
	struct store *s = c->store;
	struct view v = buf_view(&s->done);
	struct segment *seg;
	uint64_t note[3];

	buf_init(&c->done, BATCH_MAX);
	for (; v.len >= sizeof(note); v = view_from(v, sizeof(note))) {
		memcpy(note, v.p, sizeof(note));
		seg = segments_get(&s->segments, note[0]);
		if (seg != NULL && (seg->flags & SEGMENT_REMOVING) == 0)
			buf_put(&c->done, note, sizeof(note));
	}
	buf_fini(&s->done);
	buf_init(&s->done, BATCH_MAX);
}

static struct checkpoint *
gather(struct store *s, bool foreground)
{
	struct checkpoint *c = XNEW(struct checkpoint);

	c->store = s;
	c->index = s->index;
	c->foreground = foreground;
	c->job.run = commit_run;
	c->job.done = commit_done;
	buf_init(&c->batch, BATCH_MAX);
	c->dirfd = s->segments.dirfd;
	put_messages(c);
	put_segments(c);
	take_done(c);
	del_segments(c);
	return c;
}

static void
commit(struct store *s, struct checkpoint *c)
{
	put_meta(c);
	if (buf_error(&c->batch) != 0)
		log_fatal("queue/index: a checkpoint of more than %u MB", BATCH_MAX >> 20);
	s->checkpoint = c;
	worker_post(s->index_worker, &c->job);
}

void
store_checkpoint(struct store *s, bool now)
{
	uint64_t mono = clock_mono_ms();
	struct checkpoint *c;

	if (s->checkpoint != NULL || !journal_ready(s->journal))
		return;
	if (s->ndirty == 0 && TAILQ_EMPTY(&s->segments.dirty) && !now)
		return;
	if (!now && mono - s->checkpoint_ms < s->checkpoint_every_ms &&
	    (s->ndirty < DIRTY_MANY || mono - s->checkpoint_ms < INTERVAL_LEAST_MS))
		return;
	s->checkpoint_ms = mono;
	c = gather(s, false);
	c->journal = journal_rotate(s->journal);
	commit(s, c);
}

void
store_checkpoint_wait(struct store *s)
{
	while (s->checkpoint != NULL && s->checkpoint->retry == NULL)
		worker_drain(s->index_worker);
}

void
checkpoint_run(struct store *s, uint64_t journal)
{
	struct checkpoint *c = gather(s, true);

	c->journal = journal;
	commit(s, c);
	store_checkpoint_wait(s);
	if (s->checkpoint != NULL)
		log_fatal("queue/index: cannot be written");
}
