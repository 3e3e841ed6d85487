/* SPDX-License-Identifier: ISC */
/*
 * file.c: the log file: appended to, rotated, and what happens when it fails.
 *
 * A full disk must not stop mail: lines that cannot be written are counted,
 * and the count is written once there is room again. A write that ended in
 * the middle of a line is mended by starting the next one on a new line.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "logd/logd.h"
#include "sys/fd.h"

/* The group of the folder (admin_group, set-gid) may read. */
#define FILE_MODE 0640

static int
open_file(struct logfile *f)
{
	struct stat st;

	f->fd = openat(f->dirfd, f->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK, FILE_MODE);
	if (f->fd == -1)
		return PK_ESYS;
	if (fstat(f->fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		fd_close(&f->fd);
		errno = EINVAL;
		return PK_ESYS;
	}
	f->size = (uint64_t)st.st_size;
	f->torn = false;
	return 0;
}

int
logfile_open(struct logfile *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (slash == NULL || slash[1] == '\0') {
		errno = EINVAL;
		return PK_ESYS;
	}
	dir = xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
	f->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	xfree(dir);
	if (f->dirfd == -1)
		return PK_ESYS;
	f->name = xstrdup(slash + 1);
	return open_file(f);
}

static uint64_t
count_lines(struct view v)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < v.len; i++)
		n += v.p[i] == '\n';
	return n;
}

static void
lose(struct logfile *f, struct view rest, int error)
{
	uint64_t n = count_lines(rest);

	f->lost += n;
	f->lost_total += n;
	f->lost_errno = error;
}

int
logfile_write(struct logfile *f, struct view lines, uint64_t *lost_r)
{
	struct iovec iov[2];
	size_t skip;
	ssize_t n;

	*lost_r = 0;
	if (f->fd == -1 && open_file(f) != 0) {
		lose(f, lines, errno);
		return PK_ESYS;
	}
	skip = f->torn ? 1 : 0;
	iov[0] = (struct iovec){ (void *)(uintptr_t)"\n", skip };
	iov[1] = (struct iovec){ (void *)(uintptr_t)lines.p, lines.len };
	do {
		n = writev(f->fd, iov, 2);
	} while (n == -1 && errno == EINTR);
	if (n > 0)
		f->size += (uint64_t)n;
	if (n == (ssize_t)(lines.len + skip)) {
		f->torn = false;
		*lost_r = f->lost;
		f->lost = 0;
		return 0;
	}
	if (n > (ssize_t)skip)
		f->torn = lines.p[(size_t)n - skip - 1] != '\n';
	lose(f, n > (ssize_t)skip ? view_from(lines, (size_t)n - skip) : lines,
	    n == -1 ? errno : ENOSPC);
	return PK_ESYS;
}

int
logfile_reopen(struct logfile *f)
{
	int old = f->fd;

	if (open_file(f) != 0) {
		f->fd = old;
		return PK_ESYS;
	}
	fd_close(&old);
	return 0;
}

int
logfile_rotate(struct logfile *f)
{
	char *from, *to;
	unsigned i;
	int error = 0;

	for (i = f->rotate_count; i > 0 && error == 0; i--) {
		from = i > 1 ? xasprintf("%s.%u", f->name, i - 1) : xstrdup(f->name);
		to = xasprintf("%s.%u", f->name, i);
		if (renameat(f->dirfd, from, f->dirfd, to) == -1 && errno != ENOENT)
			error = PK_ESYS;
		xfree(from);
		xfree(to);
	}
	return error != 0 ? error : logfile_reopen(f);
}

void
logfile_close(struct logfile *f)
{
	fd_close(&f->fd);
	fd_close(&f->dirfd);
	xfree(f->name);
	f->name = NULL;
}
