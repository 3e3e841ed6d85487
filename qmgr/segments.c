/* SPDX-License-Identifier: ISC */
/*
 * segments.c: the segment files.
 *
 * Run by qmgr in queue/seg. A writer gets a new inode whose header and
 * directory entry are on disk, opened O_WRONLY|O_APPEND: it can read nothing
 * and change nothing it has handed over. Creating, syncing and unlinking wait
 * for the disk and happen in a thread; the loop owns every struct segment.
 */
#include "qmgr/segments.h"

#include <bsd/stdlib.h>
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
#include "qmgr/done.h"
#include "sys/fd.h"

/* Sealed segments kept open: reading deferred mail hops between files. */
#define OPEN_MAX	256

void
segment_name(uint64_t number, char *name)
{
	snprintf(name, SEGMENT_NAME_MAX, "%016" PRIu64 ".seg", number);
}

int
segment_name_parse(const char *name, uint64_t *number_r)
{
	struct view v = view_str(name);

	if (v.len != 20 || !view_caseends(v, VIEW(".seg")))
		return PK_ESYNTAX;
	return num_parse_u64(view_head(v, 16), 1, UINT64_MAX >> RECORD_ID_OFFSET_BITS, number_r);
}

void
segments_init(struct segments *s, struct loop *l, struct worker *w, const char *path)
{
	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->worker = w;
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		log_fatal("%s: cannot create: %m", path);
	s->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd == -1)
		log_fatal("%s: cannot open: %m", path);
	s->by_number = map_new();
	s->next = 1;
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->open);
	segment_window_init(&s->window);
}

static void
segment_free(struct segments *s, struct segment *seg)
{
	if ((seg->flags & SEGMENT_DIRTY) != 0)
		TAILQ_REMOVE(&s->dirty, seg, dirty);
	if (seg->fd != -1 && (seg->flags & SEGMENT_SEALED) != 0) {
		TAILQ_REMOVE(&s->open, seg, open);
		s->nopen--;
	}
	fd_close(&seg->fd);
	xfree(seg);
}

void
segments_fini(struct segments *s)
{
	size_t at = 0;
	struct view key;
	void *v;

	while (map_next(s->by_number, &at, &key, &v))
		segment_free(s, v);
	map_free(&s->by_number, NULL);
	segment_window_fini(&s->window);
	xfree(s->unlinked);
	fd_close(&s->dirfd);
}

struct segment *
segments_get(const struct segments *s, uint64_t number)
{
	return map_get_u64(s->by_number, number);
}

static struct segment *
segment_add(struct segments *s, const struct segment_header *h, int fd)
{
	struct segment *seg = XNEW(struct segment);

	seg->header = *h;
	seg->role = (enum ipc_role)h->reserved;
	seg->fd = fd;
	seg->durable = seg->watermark = h->kind == SEGMENT_SHARED ? sizeof(*h) : 0;
	map_put_u64(s->by_number, h->number, seg);
	if (h->number >= s->next)
		s->next = h->number + 1;
	return seg;
}

/* ---- making one ---- */

struct create_job {
	struct worker_job job;
	struct segments	*segments;
	struct segment_header header;
	int		 dirfd;
	uint64_t	 limit, reserve;
	int		 read_fd, append_fd;
	int		 error;
	segment_made_fn	 made;
	void		*arg;
};

static int
create_file(struct create_job *c, const char *name)
{
	int fd = openat(c->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;

	if (fd == -1)
		return errno == ENOSPC || errno == EDQUOT ? PK_ENOSPC : PK_EIO;
	rc = fd_write_all(fd, &c->header, sizeof(c->header));
	/* Reserved so that a full disk shows here and not in the middle of a group. */
	if (rc == 0 && c->reserve > 0 &&
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)c->reserve) == -1 &&
	    errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)
		rc = errno == ENOSPC || errno == EDQUOT ? PK_ENOSPC : PK_EIO;
	if (rc == 0 && fsync(fd) == -1)
		rc = PK_EIO;
	close(fd);
	return rc;
}

static void
create_run(struct worker_job *job)
{
	struct create_job *c = (struct create_job *)job;
	char name[SEGMENT_NAME_MAX];

	segment_name(c->header.number, name);
	c->error = create_file(c, name);
	if (c->error == 0 && fd_sync_dir(c->dirfd) != 0)
		c->error = PK_EIO;
	if (c->error == 0) {
		c->append_fd = openat(c->dirfd, name, O_WRONLY | O_APPEND | O_CLOEXEC);
		c->read_fd = openat(c->dirfd, name, O_RDONLY | O_CLOEXEC);
		if (c->append_fd == -1 || c->read_fd == -1)
			c->error = PK_EIO;
	}
	if (c->error != 0) {
		log_error("queue/seg/%s: cannot make a segment: %m", name);
		fd_close(&c->append_fd);
		fd_close(&c->read_fd);
		unlinkat(c->dirfd, name, 0);
	}
}

static void
create_done(struct worker_job *job)
{
	struct create_job *c = (struct create_job *)job;
	struct segments *s = c->segments;
	struct segment *seg = NULL;

	if (c->error == 0) {
		seg = segment_add(s, &c->header, c->read_fd);
		seg->limit = c->limit;
		segments_changed(s, seg);
	}
	c->made(c->arg, seg, c->append_fd, c->error);
	xfree(c);
}

void
segments_create(struct segments *s, enum record_segment_kind kind, uint64_t writer,
    enum ipc_role role, uint64_t limit, uint64_t reserve, segment_made_fn made, void *arg)
{
	struct create_job *c = XNEW(struct create_job);
	uint64_t key;

	arc4random_buf(&key, sizeof(key));
	segment_header_init(&c->header, kind, s->next++, key, writer, clock_wall_ms());
	/* Who may claim to report on other messages is decided by this. */
	c->header.reserved = role;
	c->header.check = record_check(key,
	    view_of((char *)&c->header, offsetof(struct segment_header, check)));
	c->job.run = create_run;
	c->job.done = create_done;
	c->segments = s;
	c->dirfd = s->dirfd;
	c->limit = limit;
	c->reserve = reserve;
	c->read_fd = c->append_fd = -1;
	c->made = made;
	c->arg = arg;
	worker_post(s->worker, &c->job);
}

struct segment *
segments_adopt(struct segments *s, uint64_t number, int *error_r)
{
	struct segment_header h;
	struct segment *seg;
	char name[SEGMENT_NAME_MAX];
	struct stat st;
	int fd, rc = PK_EIO;

	segment_name(number, name);
	fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || fstat(fd, &st) == -1 ||
	    (rc = segment_reader_header(fd, number, &h)) != 0) {
		fd_close(&fd);
		*error_r = rc;
		return NULL;
	}
	/* Opened again when needed: thousands may be found. */
	fd_close(&fd);
	seg = segment_add(s, &h, -1);
	seg->limit = (uint64_t)st.st_size;
	return seg;
}

/* ---- reading ---- */

int
segments_open(struct segments *s, struct segment *seg)
{
	char name[SEGMENT_NAME_MAX];

	segment_name(seg->header.number, name);
	return openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Open segments keep theirs; of the sealed ones the least recently used goes. */
int
segments_fd(struct segments *s, struct segment *seg)
{
	struct segment *oldest;

	if ((seg->flags & SEGMENT_SEALED) == 0) {
		if (seg->fd == -1)
			seg->fd = segments_open(s, seg);
		return seg->fd;
	}
	if (seg->fd != -1) {
		TAILQ_REMOVE(&s->open, seg, open);
		TAILQ_INSERT_TAIL(&s->open, seg, open);
		return seg->fd;
	}
	if (s->nopen >= OPEN_MAX) {
		oldest = TAILQ_FIRST(&s->open);
		TAILQ_REMOVE(&s->open, oldest, open);
		fd_close(&oldest->fd);
		s->nopen--;
	}
	seg->fd = segments_open(s, seg);
	if (seg->fd != -1) {
		TAILQ_INSERT_TAIL(&s->open, seg, open);
		s->nopen++;
	}
	return seg->fd;
}

/* ---- the end of one ---- */

void
segments_changed(struct segments *s, struct segment *seg)
{
	if ((seg->flags & SEGMENT_DIRTY) != 0)
		return;
	seg->flags |= SEGMENT_DIRTY;
	TAILQ_INSERT_TAIL(&s->dirty, seg, dirty);
}

struct file_job {
	struct worker_job job;
	struct segments	*segments;
	struct segment	*seg;
	uint64_t	 number, size;
	int		 dirfd, fd;
	void		(*done)(void *, struct segment *, uint64_t);
	void		*arg;
};

static struct file_job *
file_job_new(struct segments *s, uint64_t number, void (*run)(struct worker_job *),
    void (*done)(struct worker_job *))
{
	struct file_job *f = XNEW(struct file_job);

	f->job.run = run;
	f->job.done = done;
	f->segments = s;
	f->number = number;
	f->dirfd = s->dirfd;
	f->fd = -1;
	return f;
}

static void
file_job_done(struct worker_job *job)
{
	xfree(job);
}

/* Gives the blocks behind the end back; appended bytes are never cut. */
static void
trim_run(struct worker_job *job)
{
	struct file_job *f = (struct file_job *)job;
	char name[SEGMENT_NAME_MAX];
	struct stat st;
	int fd;

	segment_name(f->number, name);
	fd = openat(f->dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_blocks * 512 > (uint64_t)st.st_size + 65536 &&
	    ftruncate(fd, st.st_size) == -1)
		log_warn("queue/seg/%s: cannot give reserved blocks back: %m", name);
	close(fd);
}

void
segments_trim(struct segments *s, struct segment *seg)
{
	worker_post(s->worker, &file_job_new(s, seg->header.number, trim_run,
	    file_job_done)->job);
}

void
segments_seal(struct segments *s, struct segment *seg, uint64_t end)
{
	if ((seg->flags & SEGMENT_SEALED) != 0)
		return;
	seg->flags |= SEGMENT_SEALED;
	seg->end = end;
	if (seg->fd != -1) {
		TAILQ_INSERT_TAIL(&s->open, seg, open);
		s->nopen++;
	}
	segments_changed(s, seg);
	segments_trim(s, seg);
}

static void
sync_run(struct worker_job *job)
{
	struct file_job *f = (struct file_job *)job;
	char name[SEGMENT_NAME_MAX];
	struct stat st;
	int fd;

	segment_name(f->number, name);
	fd = openat(f->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || fdatasync(fd) == -1 || fstat(fd, &st) == -1)
		log_error("queue/seg/%s: cannot sync what its writer left: %m", name);
	else
		f->size = (uint64_t)st.st_size;
	fd_close(&fd);
}

static void
sync_done(struct worker_job *job)
{
	struct file_job *f = (struct file_job *)job;

	f->seg->flags &= ~(unsigned)SEGMENT_SYNCING;
	f->done(f->arg, f->seg, f->size);
	xfree(f);
}

void
segments_sync(struct segments *s, struct segment *seg,
    void (*done)(void *arg, struct segment *seg, uint64_t size), void *arg)
{
	struct file_job *f = file_job_new(s, seg->header.number, sync_run, sync_done);

	seg->flags |= SEGMENT_SYNCING;
	f->seg = seg;
	f->done = done;
	f->arg = arg;
	worker_post(s->worker, &f->job);
}

static void
remove_run(struct worker_job *job)
{
	struct file_job *f = (struct file_job *)job;
	char name[SEGMENT_NAME_MAX];

	segment_name(f->number, name);
	if (unlinkat(f->dirfd, name, 0) == -1 && errno != ENOENT)
		log_error("queue/seg/%s: cannot remove: %m", name);
	else
		f->size = 1;
}

static void
remove_done(struct worker_job *job)
{
	struct file_job *f = (struct file_job *)job;
	struct segments *s = f->segments;

	if (f->size != 0) {
		s->unlinked = xreallocarray(s->unlinked, s->nunlinked + 1, sizeof(*s->unlinked));
		s->unlinked[s->nunlinked++] = f->number;
	}
	xfree(f);
}

void
segments_remove(struct segments *s, struct segment *seg)
{
	uint64_t number = seg->header.number;

	map_del_u64(s->by_number, number);
	segment_free(s, seg);
	worker_post(s->worker, &file_job_new(s, number, remove_run, remove_done)->job);
}

void
segment_row(const struct segment *seg, struct index_segment *row_r)
{
	*row_r = (struct index_segment){
		.watermark = seg->watermark, .live = seg->live, .live_bytes = seg->live_bytes,
		.end = (seg->flags & SEGMENT_SEALED) != 0 ? seg->end : 0,
		.role = seg->role, .damaged = (seg->flags & SEGMENT_DAMAGED) != 0,
	};
}

void
segment_from_row(struct segment *seg, const struct index_segment *row)
{
	seg->watermark = row->watermark;
	seg->durable = row->watermark > seg->durable ? row->watermark : seg->durable;
	seg->live = row->live;
	seg->live_bytes = row->live_bytes;
	seg->flags |= SEGMENT_INDEXED;
	if (row->damaged != 0)
		seg->flags |= SEGMENT_DAMAGED;
	if (row->end != 0) {
		seg->flags |= SEGMENT_SEALED;
		seg->end = row->end;
	}
}

static int
by_number_cmp(const void *a, const void *b)
{
	uint64_t x = (*(struct segment *const *)a)->header.number;
	uint64_t y = (*(struct segment *const *)b)->header.number;

	return (x > y) - (x < y);
}

struct segment **
segments_sorted(const struct segments *s, size_t *n_r)
{
	size_t n = 0, at = 0;
	struct segment **v = xreallocarray(NULL, map_count(s->by_number) + 1, sizeof(*v));
	struct view key;
	void *seg;

	while (map_next(s->by_number, &at, &key, &seg))
		v[n++] = seg;
	qsort(v, n, sizeof(*v), by_number_cmp);
	*n_r = n;
	return v;
}
