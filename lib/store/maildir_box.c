/* SPDX-License-Identifier: ISC */
/*
 * maildir_box.c: finds, makes and remembers the folders of mailboxes.
 *
 * Runs in `deliver mailbox` as the mail store's user, chrooted into it. Paths
 * come from lookup tables and the folders may have been changed by whoever
 * owns them: every component is opened with O_NOFOLLOW from its parent's
 * handle, and belongs to us (parents: or to root), or it is refused. What was
 * checked once stays open, so that nothing can be exchanged behind it.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/maildir_private.h"
#include "sys/fd.h"

/* Between two looks through some mailbox's tmp/. */
#define CLEAN_INTERVAL_MS	10000
#define CLEAN_FILES_MAX		1000

void
maildir_fail(struct maildir_failure *f, enum maildir_fault fault, int error,
    const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	struct view v;

	f->fault = fault;
	f->error = error;
	buf_init(&b, 4096);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (fault == MAILDIR_FAULT_SYSTEM)
		buf_printf(&b, ": %s", strerror(error));
	v = view_head(buf_view(&b), sizeof(f->text) - 1);
	memcpy(f->text, v.p, v.len);
	f->text[v.len] = '\0';
	buf_fini(&b);
}

struct maildir_store *
maildir_store_new(int base_fd, const char *hostname)
{
	struct maildir_store *s = XNEW(struct maildir_store);
	char *p;

	s->base_fd = base_fd;
	s->hostname = xstrdup(hostname);
	/* maildir(5): what would break a file name. */
	for (p = s->hostname; *p != '\0'; p++)
		if (*p == '/' || *p == ':' || *p == ',')
			*p = '_';
	if (strlen(s->hostname) > 100)
		s->hostname[100] = '\0';
	pthread_mutex_init(&s->lock, NULL);
	s->boxes = map_new();
	TAILQ_INIT(&s->lru);
	return s;
}

static void
box_free(struct maildir_box *b)
{
	fd_close(&b->dir_fd);
	fd_close(&b->tmp_fd);
	fd_close(&b->new_fd);
	xfree(b->path);
	xfree(b);
}

void
maildir_store_free(struct maildir_store **sp)
{
	struct maildir_store *s = *sp;
	struct maildir_box *b;

	if (s == NULL)
		return;
	while ((b = TAILQ_FIRST(&s->lru)) != NULL) {
		TAILQ_REMOVE(&s->lru, b, lru);
		box_free(b);
	}
	map_free(&s->boxes, NULL);
	pthread_mutex_destroy(&s->lock);
	xfree(s->hostname);
	xfree(s);
	*sp = NULL;
}

/* Folders of paths may be gone through by the group; messages' may not. */
#define MODE_PATH	0710
#define MODE_MESSAGES	0700

/*
 * One step down, made with this mode when missing. mine: only our own user may
 * own it. -1: *f_r tells.
 */
static int
step(int parent, const char *name, mode_t mode, bool mine, const char *path,
    struct maildir_failure *f)
{
	struct stat st;
	int fd;

	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT) {
		if (mkdirat(parent, name, mode) == -1 && errno != EEXIST) {
			maildir_fail(f, MAILDIR_FAULT_SYSTEM, errno,
			    "create maildir folder %s (%s)", name, path);
			return -1;
		}
		fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd == -1) {
		if (errno == ELOOP || errno == ENOTDIR)
			maildir_fail(f, MAILDIR_FAULT_PATH, errno,
			    "%s in mailbox "
			    "path %s is a link or no directory",
			    name, path);
		else
			maildir_fail(f, MAILDIR_FAULT_SYSTEM, errno,
			    "open %s in mailbox path %s", name, path);
		return -1;
	}
	if (fstat(fd, &st) == -1 ||
	    (st.st_uid != geteuid() && (mine || st.st_uid != 0))) {
		maildir_fail(f, MAILDIR_FAULT_PATH, 0,
		    "%s in mailbox path %s is "
		    "owned by user %lu, not by %lu",
		    name, path, (unsigned long)st.st_uid,
		    (unsigned long)geteuid());
		close(fd);
		return -1;
	}
	return fd;
}

/* The components of path, down to the mailbox's own folder. */
static int
walk(struct maildir_store *s, struct view path, const char *text,
    struct maildir_failure *f)
{
	struct view rest = path, part, next;
	int fd = s->base_fd, down;
	unsigned depth = 0;
	bool more;
	char *name;

	if (!view_next(&rest, "/", &part)) {
		maildir_fail(f, MAILDIR_FAULT_PATH, 0, "empty mailbox path");
		return -1;
	}
	for (;;) {
		more = view_next(&rest, "/", &next);
		if (view_eq(part, VIEW("..")) || view_eq(part, VIEW(".")) ||
		    part.len > 255 || view_find(part, '\0') >= 0 ||
		    ++depth > MAILDIR_DEPTH_MAX) {
			maildir_fail(f, MAILDIR_FAULT_PATH, 0,
			    "bad mailbox path %s", text);
			down = -1;
		} else {
			name = view_dup(part);
			down = step(fd, name, MODE_PATH, !more, text, f);
			xfree(name);
		}
		if (fd != s->base_fd)
			close(fd);
		if (down == -1 || !more)
			return down;
		fd = down;
		part = next;
	}
}

/* Leftovers of deliveries that died (maildir(5)). */
static void
clean_tmp(struct maildir_box *b)
{
	time_t now = (time_t)(clock_wall_ms() / 1000);
	unsigned seen = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir;
	int fd;

	fd = openat(b->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL && seen++ < CLEAN_FILES_MAX) {
		if (e->d_name[0] == '.')
			continue;
		if (fstatat(b->tmp_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    S_ISREG(st.st_mode) &&
		    st.st_mtime < now - MAILDIR_TMP_AGE_S)
			unlinkat(b->tmp_fd, e->d_name, 0);
	}
	closedir(dir);
}

static struct maildir_box *
box_make(struct maildir_store *s, struct view path, struct maildir_failure *f)
{
	struct maildir_box *b = XNEW(struct maildir_box);
	struct stat st;
	int cur;

	b->store = s;
	b->path = view_dup(path);
	b->tmp_fd = b->new_fd = -1;
	b->dir_fd = walk(s, path, b->path, f);
	if (b->dir_fd == -1)
		goto fail;
	b->tmp_fd = step(b->dir_fd, "tmp", MODE_MESSAGES, true, b->path, f);
	if (b->tmp_fd == -1)
		goto fail;
	b->new_fd = step(b->dir_fd, "new", MODE_MESSAGES, true, b->path, f);
	if (b->new_fd == -1)
		goto fail;
	cur = step(b->dir_fd, "cur", MODE_MESSAGES, true, b->path, f);
	if (cur == -1)
		goto fail;
	close(cur);
	if (fstat(b->new_fd, &st) == -1) {
		maildir_fail(
		    f, MAILDIR_FAULT_SYSTEM, errno, "stat %s", b->path);
		goto fail;
	}
	b->device = st.st_dev;
	if (clock_mono_ms() - s->cleaned_ms >= CLEAN_INTERVAL_MS) {
		s->cleaned_ms = clock_mono_ms();
		clean_tmp(b);
	}
	return b;
fail:
	box_free(b);
	return NULL;
}

/* Out of the cache; closed when the last user lets go. Lock held. */
static struct maildir_box *
evict(struct maildir_store *s, struct maildir_box *b)
{
	TAILQ_REMOVE(&s->lru, b, lru);
	map_del(s->boxes, view_str(b->path));
	s->nboxes--;
	b->evicted = true;
	return b->refs == 0 ? b : NULL;
}

/* A folder that was removed or replaced behind our back is opened again. */
static bool
still_there(const struct maildir_box *b)
{
	struct stat st;

	return fstat(b->new_fd, &st) == 0 && st.st_nlink > 0 &&
	    fstat(b->tmp_fd, &st) == 0 && st.st_nlink > 0;
}

struct maildir_box *
maildir_box_open(struct maildir_store *s, struct view path,
    struct maildir_failure *f_r)
{
	struct maildir_box *b, *old = NULL;

	if (path.len > MAILDIR_PATH_MAX) {
		maildir_fail(
		    f_r, MAILDIR_FAULT_PATH, 0, "mailbox path too long");
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	b = map_get(s->boxes, path);
	if (b != NULL && !still_there(b)) {
		old = evict(s, b);
		b = NULL;
	}
	if (b != NULL) {
		TAILQ_REMOVE(&s->lru, b, lru);
		TAILQ_INSERT_HEAD(&s->lru, b, lru);
		b->refs++;
	}
	pthread_mutex_unlock(&s->lock);
	if (old != NULL)
		box_free(old);
	if (b != NULL)
		return b;
	b = box_make(s, path, f_r);
	if (b == NULL)
		return NULL;
	old = NULL;
	pthread_mutex_lock(&s->lock);
	if (s->nboxes >= MAILDIR_BOXES_MAX)
		old = evict(s, TAILQ_LAST(&s->lru, maildir_box_list));
	map_put(s->boxes, path, b);
	TAILQ_INSERT_HEAD(&s->lru, b, lru);
	s->nboxes++;
	b->refs++;
	pthread_mutex_unlock(&s->lock);
	if (old != NULL)
		box_free(old);
	return b;
}

void
maildir_box_release(struct maildir_box **bp)
{
	struct maildir_box *b = *bp;
	struct maildir_store *s;
	bool last;

	if (b == NULL)
		return;
	s = b->store;
	pthread_mutex_lock(&s->lock);
	last = --b->refs == 0 && b->evicted;
	pthread_mutex_unlock(&s->lock);
	if (last)
		box_free(b);
	*bp = NULL;
}

dev_t
maildir_box_device(const struct maildir_box *b, int *fd_r)
{
	*fd_r = b->new_fd;
	return b->device;
}
