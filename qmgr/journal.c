/* SPDX-License-Identifier: ISC */
/*
 * journal.c: the outcome journal.
 *
 * Run by qmgr in its own directory. Events gather in memory; a thread writes
 * and syncs them in groups, one group at a time, so that the order on disk is
 * the order of events even across files. The reader trusts no length: a file
 * may end anywhere, and a disk may return anything.
 *
 * A write or sync that fails ends the process (fatal): outcomes that cannot
 * be recorded would be repeated for ever, and the file cannot be trusted any
 * more (F4). master starts another qmgr, which recovers and begins a new file.
 */
#include "qmgr/journal.h"

#include <bsd/stdlib.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"
#include "sys/stats.h"

#define BUFFER_MAX	JOURNAL_EVENT_MAX

_Static_assert(sizeof(struct journal_header) == 40, "journal header is 40 bytes on disk");

struct event_head {
	uint32_t	length;
	uint16_t	type;
	uint16_t	reserved;
	uint64_t	check;
};
_Static_assert(sizeof(struct event_head) == 16, "event head is 16 bytes on disk");

struct group {
	struct worker_job job;
	struct journal	*journal;
	struct buf	 bytes;
	uint64_t	 lsn;		/* of the last event in it */
	uint64_t	 number;
	int		 dirfd;
	int		 fd;		/* file to write to; -1: create `number` first */
	int		 old_fd;	/* closed when fd was made */
	bool		 failed;
};

struct journal {
	struct loop	*loop;
	struct worker	*worker;
	int		 dirfd;
	int		 fd;
	uint64_t	 number, key, offset;	/* of the file being filled */
	uint64_t	 lsn, synced_lsn;
	struct buf	 bytes;
	size_t		 event_start;		/* of the event being added */
	enum journal_event event_type;
	unsigned	 in_flight;
	bool		 hurry;
	struct event	*timer;
	bool		 timer_set;
	struct loop_deferred deferred;
	void		(*synced)(void *, uint64_t);
	void		*arg;
};

void
journal_name(uint64_t number, char *name)
{
	snprintf(name, JOURNAL_NAME_MAX, "%016" PRIu64, number);
}

static uint64_t
event_check(uint64_t key, uint64_t offset, unsigned type, struct view v)
{
	uint64_t seed[3] = { key, offset, type };

	return XXH3_64bits_withSeed(v.p, v.len, XXH3_64bits(seed, sizeof(seed)));
}

static uint64_t
header_check(const struct journal_header *h)
{
	return XXH3_64bits_withSeed(h, offsetof(struct journal_header, check), h->key);
}

static size_t
padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

int
journal_walk(struct view file, uint64_t number, journal_event_fn fn, void *arg,
    uint64_t *good_r)
{
	struct journal_header h;
	struct event_head e;
	struct view payload;
	uint64_t at = sizeof(h);

	if (file.len < sizeof(h))
		return PK_EFORMAT;
	memcpy(&h, file.p, sizeof(h));
	if (h.magic != JOURNAL_MAGIC || h.version != JOURNAL_VERSION ||
	    h.check != header_check(&h) || (number != 0 && h.number != number))
		return PK_EFORMAT;
	for (;;) {
		*good_r = at;
		if (at == file.len)
			return 0;
		if (file.len - at < sizeof(e))
			return PK_EEND;
		memcpy(&e, file.p + at, sizeof(e));
		if (e.length > JOURNAL_EVENT_MAX ||
		    padded(e.length) > file.len - at - sizeof(e))
			return PK_EEND;
		payload = view_of(file.p + at + sizeof(e), e.length);
		if (e.check != event_check(h.key, at, e.type, payload))
			return PK_EEND;
		fn(arg, (enum journal_event)e.type, payload);
		at += sizeof(e) + padded(e.length);
	}
}

static void
new_file_header(struct journal *j)
{
	struct journal_header h = { .magic = JOURNAL_MAGIC, .version = JOURNAL_VERSION };

	arc4random_buf(&j->key, sizeof(j->key));
	h.number = j->number;
	h.key = j->key;
	h.check = header_check(&h);
	buf_put(&j->bytes, &h, sizeof(h));
	j->offset = sizeof(h);
}

/* Thread. */
static void
group_run(struct worker_job *job)
{
	struct group *g = (struct group *)job;
	char name[JOURNAL_NAME_MAX];
	bool created = false;

	if (g->fd == -1) {
		fd_close(&g->old_fd);
		journal_name(g->number, name);
		g->fd = openat(g->dirfd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
		if (g->fd == -1)
			log_fatal("journal/%s: cannot create: %m", name);
		created = true;
	}
	if (fd_write_all(g->fd, buf_data(&g->bytes), g->bytes.len) != 0)
		log_fatal("journal/%016" PRIu64 ": write: %m", g->number);
	if (fdatasync(g->fd) == -1)
		log_fatal("journal/%016" PRIu64 ": sync: %m", g->number);
	if (created && fd_sync_dir(g->dirfd) != 0)
		log_fatal("journal: directory sync: %m");
}

static void	schedule(struct journal *j);

static void
group_done(struct worker_job *job)
{
	struct group *g = (struct group *)job;
	struct journal *j = g->journal;

	j->in_flight--;
	if (g->number == j->number)
		j->fd = g->fd;
	j->synced_lsn = g->lsn;
	stats_add(STATS_C_queue_journal_syncs, 1);
	buf_fini(&g->bytes);
	xfree(g);
	if (j->bytes.len > 0)
		schedule(j);
	j->synced(j->arg, j->synced_lsn);
}

/* Takes what is buffered. */
static struct group *
group_new(struct journal *j)
{
	struct group *g = XNEW(struct group);

	g->job.run = group_run;
	g->job.done = group_done;
	g->journal = j;
	g->bytes = j->bytes;
	buf_init(&j->bytes, BUFFER_MAX);
	g->lsn = j->lsn;
	g->number = j->number;
	g->dirfd = j->dirfd;
	g->fd = j->fd;
	g->old_fd = -1;
	j->hurry = false;
	j->in_flight++;
	return g;
}

static void
start_group(struct journal *j)
{
	if (j->bytes.len > 0)
		worker_post(j->worker, &group_new(j)->job);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;

	(void)fd;
	(void)what;
	j->timer_set = false;
	if (j->in_flight == 0)
		start_group(j);
}

static void
on_deferred(void *arg)
{
	struct journal *j = arg;

	if (j->in_flight == 0)
		start_group(j);
}

static void
schedule(struct journal *j)
{
	struct timeval tv = { 0, JOURNAL_SYNC_MS * 1000 };

	if (j->in_flight > 0 || j->loop == NULL)
		return;
	if (j->hurry) {
		loop_defer(j->loop, &j->deferred);
	} else if (!j->timer_set) {
		j->timer_set = true;
		event_add(j->timer, &tv);
	}
}

struct journal *
journal_new(struct loop *l, struct worker *w, int dirfd, uint64_t number,
    void (*synced)(void *arg, uint64_t lsn), void *arg)
{
	struct journal *j = XNEW(struct journal);

	j->loop = l;
	j->worker = w;
	j->dirfd = dirfd;
	j->fd = -1;
	j->number = number;
	j->synced = synced;
	j->arg = arg;
	j->deferred.fn = on_deferred;
	j->deferred.arg = j;
	if (l != NULL)
		j->timer = evtimer_new(loop_base(l), on_timer, j);
	buf_init(&j->bytes, BUFFER_MAX);
	new_file_header(j);
	journal_flush(j);
	return j;
}

void
journal_free(struct journal **jp)
{
	struct journal *j = *jp;

	if (j == NULL)
		return;
	*jp = NULL;
	journal_flush(j);
	if (j->loop != NULL) {
		loop_defer_cancel(j->loop, &j->deferred);
		event_free(j->timer);
	}
	fd_close(&j->fd);
	buf_fini(&j->bytes);
	xfree(j);
}

uint64_t
journal_number(const struct journal *j)
{
	return j->number;
}

struct buf *
journal_begin(struct journal *j, enum journal_event type)
{
	struct event_head head = { .type = (uint16_t)type };

	j->event_start = j->bytes.len;
	j->event_type = type;
	buf_put(&j->bytes, &head, sizeof(head));
	return &j->bytes;
}

uint64_t
journal_end(struct journal *j)
{
	static const char zeros[8];
	struct event_head head = { .type = (uint16_t)j->event_type };
	size_t body = j->event_start + sizeof(head), length;

	if (buf_error(&j->bytes) != 0)
		log_fatal("journal: more than %u MB wait for the disk", BUFFER_MAX >> 20);
	length = j->bytes.len - body;
	head.length = (uint32_t)length;
	head.check = event_check(j->key, j->offset, j->event_type,
	    view_of(buf_data(&j->bytes) + body, length));
	memcpy(buf_data(&j->bytes) + j->event_start, &head, sizeof(head));
	buf_put(&j->bytes, zeros, padded(length) - length);
	j->offset += sizeof(head) + padded(length);
	j->lsn++;
	schedule(j);
	return j->lsn;
}

uint64_t
journal_lsn(const struct journal *j)
{
	return j->lsn;
}

uint64_t
journal_synced(const struct journal *j)
{
	return j->synced_lsn;
}

void
journal_hurry(struct journal *j)
{
	if (j->synced_lsn == j->lsn)
		return;
	j->hurry = true;
	schedule(j);
}

bool
journal_ready(const struct journal *j)
{
	return j->fd != -1;
}

uint64_t
journal_rotate(struct journal *j)
{
	struct group *g;
	int old = j->fd;

	ASSERT(old != -1);
	/* What is buffered belongs to the old file: the thread keeps the order. */
	start_group(j);
	j->fd = -1;
	j->number++;
	new_file_header(j);
	g = group_new(j);
	g->old_fd = old;
	worker_post(j->worker, &g->job);
	return j->number;
}

void
journal_flush(struct journal *j)
{
	do {
		worker_drain(j->worker);
		if (j->bytes.len > 0)
			start_group(j);
		worker_drain(j->worker);
	} while (j->bytes.len > 0);
}
