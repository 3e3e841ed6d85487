/* SPDX-License-Identifier: ISC */
/*
 * fd.c: small certain things done to file descriptors and files.
 *
 * Used by every role with its own rights. Nothing here trusts the size that
 * stat() gives: a file is read until its end or its limit, whichever is first.
 */
#include "sys/fd.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

int
fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return PK_ESYS;
	if ((flags & O_NONBLOCK) != 0)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ? PK_ESYS : 0;
}

int
fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == -1 ? PK_ESYS : 0;
}

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static int
int_cmp(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void
fd_close_rest(int least, const int *keep, size_t nkeep)
{
	int *sorted = NULL, next = least + 1;
	size_t i;

	if (nkeep > 0) {
		sorted = xreallocarray(NULL, nkeep, sizeof(*sorted));
		for (i = 0; i < nkeep; i++)
			sorted[i] = keep[i];
		qsort(sorted, nkeep, sizeof(*sorted), int_cmp);
	}
	for (i = 0; i < nkeep; i++) {
		if (sorted[i] < next)
			continue;
		if (sorted[i] > next)
			close_range((unsigned)next, (unsigned)sorted[i] - 1, 0);
		next = sorted[i] + 1;
	}
	close_range((unsigned)next, ~0U, 0);
	xfree(sorted);
}

static int
write_error(void)
{
	return errno == ENOSPC || errno == EDQUOT ? PK_ENOSPC : PK_EIO;
}

int
fd_write_all(int fd, const void *p, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };

	return fd_writev_all(fd, &iov, 1);
}

int
fd_writev_all(int fd, struct iovec *iov, int niov)
{
	ssize_t n;

	while (niov > 0) {
		if (iov->iov_len == 0) {
			iov++;
			niov--;
			continue;
		}
		n = writev(fd, iov, niov < 1024 ? niov : 1024);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return write_error();
		if (n == 0) {
			errno = EIO;
			return PK_EIO;
		}
		while (niov > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			niov--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int
fd_pread_all(int fd, void *p, size_t n, off_t offset)
{
	char *to = p;
	ssize_t got;

	while (n > 0) {
		got = pread(fd, to, n, offset);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return PK_EIO;
		if (got == 0)
			return PK_EEND;
		to += got;
		offset += got;
		n -= (size_t)got;
	}
	return 0;
}

static int
read_to_end(int fd, struct buf *b)
{
	size_t want;
	ssize_t n;
	char *p, extra;

	for (;;) {
		want = b->max - b->len;
		if (want > 65536)
			want = 65536;
		if (want == 0) {
			/* Full: fine if this is the end. */
			n = read(fd, &extra, 1);
			if (n == -1 && errno == EINTR)
				continue;
			if (n == -1)
				return PK_ESYS;
			return n == 0 ? 0 : PK_ELIMIT;
		}
		p = buf_room(b, want);
		if (p == NULL)
			return PK_ELIMIT;
		n = read(fd, p, want);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return PK_ESYS;
		if (n == 0)
			return 0;
		buf_added(b, (size_t)n);
	}
}

int
fd_read_file(int dirfd, const char *path, struct buf *b)
{
	struct stat st;
	int fd, error;

	/* O_NONBLOCK: a FIFO put in the file's place must not hold us. */
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? PK_ENOENT : PK_ESYS;
	if (fstat(fd, &st) == -1) {
		error = PK_ESYS;
	} else if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		error = PK_ESYS;
	} else {
		error = read_to_end(fd, b);
	}
	fd_close(&fd);
	return error;
}

/* Syncs the directory that holds path. */
static int
sync_parent(int dirfd, const char *path)
{
	struct view v = view_str(path);
	ptrdiff_t slash = view_rfind(v, '/');
	char *parent;
	int fd, error;

	if (slash < 0)
		parent = xstrdup(".");
	else
		parent = xstrndup(path, slash == 0 ? 1 : (size_t)slash);
	fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	xfree(parent);
	if (fd == -1)
		return PK_ESYS;
	error = fd_sync_dir(fd);
	fd_close(&fd);
	return error;
}

/* The group at least: with a mode of 0640 it is who may read the file. */
static int
keep_owner(int dirfd, const char *path, int fd)
{
	struct stat old, new;

	if (fstatat(dirfd, path, &old, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &new) == -1)
		return -1;
	if (old.st_uid != new.st_uid && fchown(fd, old.st_uid, old.st_gid) == 0)
		return 0;
	return old.st_gid == new.st_gid ? 0 : fchown(fd, (uid_t)-1, old.st_gid);
}

int
fd_replace_file(int dirfd, const char *path, struct view content, mode_t mode)
{
	char *tmp = xasprintf("%s.tmp", path);
	int fd, error;

	/* A left-over of a crash goes; O_EXCL then follows no link. */
	unlinkat(dirfd, tmp, 0);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd == -1) {
		error =
		    errno == ENOSPC || errno == EDQUOT ? PK_ENOSPC : PK_ESYS;
		xfree(tmp);
		return error;
	}
	error = fd_write_all(fd, content.p, content.len);
	if (error == 0 && (keep_owner(dirfd, path, fd) != 0 || fchmod(fd, mode) == -1))
		error = PK_ESYS;
	if (error == 0 && fsync(fd) == -1)
		error = write_error();
	if (close(fd) == -1 && error == 0)
		error = write_error();
	if (error == 0 && renameat(dirfd, tmp, dirfd, path) == -1)
		error = PK_ESYS;
	if (error != 0) {
		int saved = errno;

		unlinkat(dirfd, tmp, 0);
		errno = saved;
	} else {
		error = sync_parent(dirfd, path);
	}
	xfree(tmp);
	return error;
}

int
fd_sync_dir(int dirfd)
{
	return fsync(dirfd) == -1 ? PK_ESYS : 0;
}

int
fd_sealed_memfd(const char *name, struct view bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (fd_write_all(fd, bytes.p, bytes.len) != 0 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ==
		-1 ||
	    lseek(fd, 0, SEEK_SET) == -1) {
		fd_close(&fd);
		return -1;
	}
	return fd;
}
