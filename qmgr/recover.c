/* SPDX-License-Identifier: ISC */
/*
 * recover.c: from what is on disk to the state before the stop or crash.
 *
 * Run by qmgr at its start, before any channel is answered. Order (QUEUE.md,
 * "Checkpoints"): the index, then each segment from its watermark, then the
 * journal from the number the index names (replay.c). The work is that of the tail, not
 * of the queue. A damaged index is moved aside and made anew.
 */
#include "qmgr/checkpoint.h"
#include "qmgr/done.h"
#include "qmgr/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

enum end_bits {
	END_FINISHED	= 1,
	END_HELD	= 2,
	END_KNOWN	= 4,
	END_PARTIAL	= 8,
	END_MARKED	= 16,
};
#define END_MARKS_SHIFT	8	/* message_marks() */

/* ---- opening ---- */

static void
move_index_aside(const char *path)
{
	char bad[300];

	snprintf(bad, sizeof(bad), "%s.damaged-%" PRIu64, path, clock_wall_ms());
	if (rename(path, bad) == -1)
		log_fatal("queue/index is damaged and cannot be moved aside: %m");
	log_error("queue/index is damaged: moved to %s, making another from segments and "
	    "journal", bad);
}

/* `adminctl queue rebuild` asked for another index. */
static void
obey_rebuild_mark(struct store *s, const char *path)
{
	char *mark = xasprintf("%s/" STORE_REBUILD_MARK, s->path), *file;

	if (access(mark, F_OK) == 0) {
		log_info("queue/index: making another from segments and journal");
		file = xasprintf("%s/data.mdb", path);
		unlink(file);
		xfree(file);
		file = xasprintf("%s/lock.mdb", path);
		unlink(file);
		xfree(file);
		if (rmdir(path) == -1 && errno != ENOENT)
			log_fatal("queue/index: cannot be removed: %m");
	}
	xfree(mark);
}

static void
open_index(struct store *s)
{
	char *path = xasprintf("%s/index", s->path);
	int rc, tries;

	obey_rebuild_mark(s, path);
	for (tries = 0; tries < 2; tries++) {
		if (mkdir(path, 0700) == 0)
			s->rebuilt = 1;
		else if (errno != EEXIST)
			log_fatal("queue/index: cannot create: %m");
		rc = index_open(path, &s->index);
		if (rc == 0)
			break;
		if (rc != PK_EFORMAT || tries > 0)
			log_fatal("queue/index: cannot be opened: %m");
		move_index_aside(path);
	}
	xfree(path);
}

/* What was made here is there after a power cut: names need a sync of their folder (F5). */
static void
sync_names(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || fd_sync_dir(fd) != 0)
		log_fatal("%s: cannot sync the folder: %m", path);
	close(fd);
}

void
store_init(struct store *s, struct loop *l, const char *path, const struct store_ops *ops,
    void *arg)
{
	char *sub;

	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->ops = ops;
	s->arg = arg;
	s->path = xstrdup(path);
	s->wall_anchor_ms = clock_wall_ms();
	s->mono_anchor_ms = clock_mono_ms();
	s->checkpoint_every_ms = 1000;
	s->evict_after_ms = 5000;
	s->messages = map_new();
	s->senders = map_new();
	s->routes = map_new();
	TAILQ_INIT(&s->dirty);
	heap_init(&s->due);
	buf_init(&s->done, (size_t)1 << 30);
	s->journal_worker = worker_new(l, "journal");
	s->index_worker = worker_new(l, "checkpoint");
	s->disk_worker = worker_new(l, "segments");
	sub = xasprintf("%s/seg", path);
	segments_init(&s->segments, l, s->disk_worker, sub);
	xfree(sub);
	sub = xasprintf("%s/journal", path);
	if (mkdir(sub, 0700) == -1 && errno != EEXIST)
		log_fatal("queue/journal: cannot create: %m");
	s->journal_dirfd = open(sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->journal_dirfd == -1)
		log_fatal("queue/journal: cannot open: %m");
	xfree(sub);
	open_index(s);
	sub = xasprintf("%s/index", path);
	sync_names(sub);
	sync_names(path);
	xfree(sub);
}

static uint64_t
meta_u64(struct store *s, const char *name, uint64_t otherwise)
{
	struct view v;
	uint64_t n;

	if (index_get(s->index, INDEX_META, view_str(name), &v) != 0 || v.len != sizeof(n))
		return otherwise;
	memcpy(&n, v.p, sizeof(n));
	return n;
}

static void
read_scopes(struct store *s)
{
	struct view v, name;
	uint16_t len;

	if (index_get(s->index, INDEX_META, VIEW("scopes"), &v) != 0)
		return;
	while (v.len >= 3) {
		memcpy(&len, v.p + 1, sizeof(len));
		name = view_head(view_from(v, 3), len);
		s->ops->scope(s->arg, true, (unsigned char)v.p[0], name);
		v = view_from(v, 3 + (size_t)len);
	}
}

static void
read_meta(struct recovery *rec)
{
	struct store *s = rec->store;
	struct view v;

	rec->journal = meta_u64(s, "journal", 0);
	s->segments.next = meta_u64(s, "next_segment", 1);
	s->open_recipients = meta_u64(s, "open_recipients", 0);
	s->rows_skewed = meta_u64(s, "skew", 0) != 0;
	if (index_get(s->index, INDEX_META, VIEW("counts"), &v) == 0 &&
	    v.len == sizeof(s->counts))
		memcpy(s->counts, v.p, sizeof(s->counts));
	read_scopes(s);
	index_rest(s->index);
}

/* ---- segments ---- */

static void
adopt_one(struct store *s, uint64_t number)
{
	struct index_segment row;
	struct segment *seg;
	struct view v;
	char key[8];
	int error;

	seg = segments_adopt(&s->segments, number, &error);
	if (seg == NULL) {
		/* Cut short while it was made: no writer ever had it. */
		log_warn("queue/seg/%016" PRIu64 ".seg: not a segment (%s), left alone", number,
		    pk_strerror(error));
		if (number >= s->segments.next)
			s->segments.next = number + 1;
		return;
	}
	index_be64(key, number);
	if (index_get(s->index, INDEX_SEGMENT, view_of(key, sizeof(key)), &v) == 0 &&
	    v.len == sizeof(row)) {
		memcpy(&row, v.p, sizeof(row));
		segment_from_row(seg, &row);
	}
	segments_changed(&s->segments, seg);
}

static void
adopt_all(struct store *s)
{
	int fd = dup(s->segments.dirfd);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;
	uint64_t number;

	if (d == NULL)
		log_fatal("queue/seg: cannot be read: %m");
	while ((e = readdir(d)) != NULL)
		if (segment_name_parse(e->d_name, &number) == 0)
			adopt_one(s, number);
	closedir(d);
	index_rest(s->index);
}

struct row_check {
	struct store	*store;
	struct buf	 gone;		/* keys of rows without a file */
};

static bool
check_row(void *arg, struct view key, struct view value)
{
	struct row_check *c = arg;
	struct index_segment row;
	char name[DONE_NAME_MAX];
	uint64_t number;

	if (key.len != 8 || value.len != sizeof(row))
		return true;
	number = index_get64(key.p);
	if (segments_get(&c->store->segments, number) != NULL)
		return true;
	memcpy(&row, value.p, sizeof(row));
	if (row.live > 0)
		log_error("queue/seg/%016" PRIu64 ".seg is missing: %" PRIu64 " messages in it",
		    number, row.live);
	index_del(&c->gone, INDEX_SEGMENT, key);
	/* A crash between the file's end and that of its notes. */
	done_name(number, name);
	unlinkat(c->store->segments.dirfd, name, 0);
	return true;
}

static void
check_rows(struct store *s)
{
	struct row_check c = { .store = s };

	buf_init(&c.gone, 1 << 24);
	index_walk(s->index, INDEX_SEGMENT, VIEW_NONE, check_row, &c);
	index_rest(s->index);
	if (c.gone.len > 0)
		index_apply(s->index, buf_view(&c.gone));
	buf_fini(&c.gone);
}

static void
note_end(void *arg, uint64_t id, uint64_t what)
{
	struct recovery *rec = arg;
	uintptr_t end = (uintptr_t)map_get_u64(rec->ends, id);

	if (what >= DONE_MARKS && what <= DONE_MARKS_LAST) {
		end = (end & ((1U << END_MARKS_SHIFT) - 1)) | END_MARKED |
		    (uintptr_t)(what - DONE_MARKS) << END_MARKS_SHIFT;
		map_put_u64(rec->ends, id, (void *)end);
		return;
	}
	switch (what) {
	case DONE_FINISHED:
		end |= END_FINISHED;
		break;
	case DONE_HELD:
		end |= END_HELD;
		break;
	case DONE_RELEASED:
		end = (end & ~(uintptr_t)END_HELD) | END_KNOWN;
		break;
	default:
		end |= END_PARTIAL;
		break;
	}
	map_put_u64(rec->ends, id, (void *)end);
}

/* The index is lost: what was finished is known from the .done files. */
static void
read_ends(struct recovery *rec, struct segment **segs, size_t n)
{
	size_t i;

	rec->ends = map_new();
	for (i = 0; i < n; i++)
		if (done_read(rec->store->segments.dirfd, segs[i]->header.number, note_end,
		    rec) != 0)
			log_error("queue/seg/%016" PRIu64 ".done: cannot be read, its messages may "
			    "be sent again", segs[i]->header.number);
}

static void
apply_end(struct recovery *rec, struct message *m, uintptr_t end)
{
	if ((end & END_PARTIAL) != 0)
		m->flags |= MESSAGE_PARTIAL;
	/* A copy by compaction: its segment's writer says nothing of it. */
	if ((end & END_MARKED) != 0)
		message_set_marks(m, (unsigned)(end >> END_MARKS_SHIFT));
	if ((end & END_HELD) == 0 && (end & END_KNOWN) != 0) {
		m->flags &= (uint16_t)~MESSAGE_HELD;
		xfree(m->hold);
		m->hold = NULL;
	} else if ((end & END_HELD) != 0 && (m->flags & MESSAGE_HELD) == 0) {
		m->flags |= MESSAGE_HELD;
		m->hold = xstrdup("held before the index was rebuilt");
	}
	store_changed(rec->store, m);
}

/* Behind a cut, header and envelope may be there and the content not. */
static bool
content_whole(struct store *s, struct segment *seg, const struct segment_record *r)
{
	size_t n = (size_t)r->h.content_bytes;
	char *content = xmalloc(n + 1);
	bool whole = fd_pread_all(segments_fd(&s->segments, seg), content, n,
	    (off_t)r->h.content_offset) == 0 &&
	    record_check(seg->header.key, view_of(content, n)) == r->h.content_check;

	xfree(content);
	return whole;
}

static void
found_record(struct recovery *rec, struct segment *seg, const struct segment_record *r)
{
	bool bounce = seg->role == IPC_ROLE_bounce;
	struct record_envelope e;
	struct pending_report *p;
	struct message *m;
	uintptr_t end;
	int rc;

	rec->records++;
	end = rec->ends != NULL ? (uintptr_t)map_get_u64(rec->ends, r->h.message) : 0;
	if ((end & END_FINISHED) != 0)
		return;
	/* A report that cannot be sent must not end what it reports: it is made again. */
	if (bounce && !content_whole(rec->store, seg, r)) {
		log_info("queue/seg/%016" PRIu64 ".seg: report at offset %" PRIu64
		    " is not whole: passed over", seg->header.number, r->offset);
		return;
	}
	rc = store_take_in(rec->store, seg, r, bounce, &m);
	if (rc == PK_EFORMAT)
		log_error("queue/seg/%016" PRIu64 ".seg: envelope at offset %" PRIu64
		    " cannot be read", seg->header.number, r->offset);
	if (rc == 0 && end != 0)
		apply_end(rec, m, end);
	if (rc != 0 || (m->flags & MESSAGE_IS_DSN) == 0)
		return;
	if (record_envelope_read(r->envelope, &e) != 0)
		return;
	p = XNEW(struct pending_report);
	p->id = m->id;
	p->len = e.dsn_rcpts.len;
	p->indexes = xstrndup(p->len > 0 ? e.dsn_rcpts.p : "", p->len);
	TAILQ_INSERT_TAIL(&rec->reports, p, link);
}

/* What was never on disk for sure is made so before it is believed. */
static uint64_t
synced_size(struct store *s, struct segment *seg)
{
	int fd = segments_fd(&s->segments, seg);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1 || fdatasync(fd) == -1)
		log_fatal("queue/seg/%016" PRIu64 ".seg: cannot be read: %m", seg->header.number);
	return (uint64_t)st.st_size;
}

static void
scan_segment(struct recovery *rec, struct segment *seg, bool alive)
{
	struct store *s = rec->store;
	struct segment_record r;
	uint64_t end;
	int rc;

	if ((seg->flags & SEGMENT_SEALED) != 0)
		end = seg->end;
	else
		end = synced_size(s, seg);
	if (seg->role == IPC_ROLE_qmgr && s->rebuilt == 0) {
		/* Copies count only where the journal says so. */
		seg->watermark = end;
	} else {
		while ((rc = store_scan(s, seg, end, alive, &r)) == 0) {
			found_record(rec, seg, &r);
			if (s->ndirty >= RECOVER_BATCH)
				checkpoint_run(s, rec->journal);
		}
		if (rc == PK_EIO) {
			/* Not sealed, so nothing of it is given up; the other mail goes on. */
			log_error("queue/seg/%016" PRIu64 ".seg: what is behind waits for the "
			    "next start", seg->header.number);
			return;
		}
	}
	if (seg->watermark > seg->durable)
		seg->durable = seg->watermark;
	if (alive || (seg->flags & SEGMENT_SEALED) != 0)
		return;
	segments_seal(&s->segments, seg, seg->watermark);
}

/* ---- the end ---- */

static void
take_reports(struct recovery *rec)
{
	struct store *s = rec->store;
	struct pending_report *p;
	struct message *m;

	while ((p = TAILQ_FIRST(&rec->reports)) != NULL) {
		TAILQ_REMOVE(&rec->reports, p, link);
		m = store_message(s, p->id);
		if (m != NULL && !store_report_taken(s, m, view_of(p->indexes, p->len)) &&
		    map_get_u64(rec->taken, p->id) == NULL && s->rebuilt == 0) {
			log_info("report %010llX says what was reported before: dropped",
			    (unsigned long long)p->id);
			store_finish(s, m);
		}
		xfree(p->indexes);
		xfree(p);
	}
}

static void
settle_all(struct store *s)
{
	size_t at = 0;
	struct view key;
	void *v;

	while (map_next(s->messages, &at, &key, &v))
		store_settle(s, v);
}

/* The new index is whole from here on. */
static void
end_rebuild(struct store *s, uint64_t journal)
{
	char *mark = xasprintf("%s/" STORE_REBUILD_MARK, s->path);

	checkpoint_run(s, journal);
	checkpoint_drop_journals(s, journal);
	if (unlink(mark) == 0)
		log_info("queue/index: made anew");
	xfree(mark);
}

void
store_recover(struct store *s, bool (*alive)(void *arg, uint64_t instance), void *arg)
{
	struct recovery rec = { .store = s };
	struct segment **segs;
	uint64_t begin = clock_mono_ms(), next;
	size_t n, i;

	s->recovering = true;
	TAILQ_INIT(&rec.reports);
	rec.taken = map_new();
	read_meta(&rec);
	adopt_all(s);
	check_rows(s);
	segs = segments_sorted(&s->segments, &n);
	if (n == 0)
		s->rebuilt = 0;
	if (s->rebuilt != 0)
		read_ends(&rec, segs, n);
	for (i = 0; i < n; i++)
		scan_segment(&rec, segs[i], alive(arg, segs[i]->header.writer));
	xfree(segs);
	next = replay_journals(&rec);
	take_reports(&rec);
	s->journal = journal_new(s->loop, s->journal_worker, s->journal_dirfd, next, store_synced,
	    s);
	s->recovering = false;
	if (rec.records + rec.events > 0 || s->rebuilt != 0)
		log_info("queue recovered in %" PRIu64 " ms: %zu segments, %" PRIu64
		    " records and %" PRIu64 " events behind the last checkpoint",
		    clock_mono_ms() - begin, n, rec.records, rec.events);
	map_free(&rec.taken, NULL);
	map_free(&rec.ends, NULL);
	if (s->rebuilt != 0)
		end_rebuild(s, next);
	settle_all(s);
}

static void
drop_all(struct store *s)
{
	size_t at = 0;
	struct view key;
	void *v;

	while (map_next(s->messages, &at, &key, &v))
		message_free(v, s->senders, s->routes);
	map_free(&s->messages, NULL);
	map_free(&s->senders, NULL);
	map_free(&s->routes, NULL);
	heap_fini(&s->due);
	if (s->due_timer != NULL)
		event_free(s->due_timer);
	worker_free(&s->journal_worker);
	worker_free(&s->index_worker);
	worker_free(&s->disk_worker);
	segments_fini(&s->segments);
	index_close(&s->index);
	fd_close(&s->journal_dirfd);
	buf_fini(&s->done);
	xfree(s->actions);
	xfree(s->path);
}

void
store_fini(struct store *s)
{
	store_checkpoint_wait(s);
	if (s->checkpoint == NULL) {
		journal_flush(s->journal);
		store_checkpoint(s, true);
		store_checkpoint_wait(s);
		/* What that one found empty. */
		store_checkpoint(s, false);
		store_checkpoint_wait(s);
	}
	journal_free(&s->journal);
	drop_all(s);
}
