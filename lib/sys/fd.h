/* SPDX-License-Identifier: ISC */
/*
 * fd.h: small certain things done to file descriptors and files.
 */
#ifndef PK_SYS_FD_H
#define PK_SYS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"

int	fd_set_nonblock(int fd);
int	fd_set_cloexec(int fd, bool on);
/* Closes if >= 0, sets to -1. errno is kept. */
void	fd_close(int *fd);
/* Closes every descriptor above `least` except those listed. */
void	fd_close_rest(int least, const int *keep, size_t nkeep);
/* Whole write (blocking descriptor), EINTR handled: 0, PK_ENOSPC or PK_EIO (errno kept). */
int	fd_write_all(int fd, const void *p, size_t n);
int	fd_writev_all(int fd, struct iovec *iov, int niov);
/* Exactly n bytes at offset: 0, PK_EEND when the file is shorter, PK_EIO. */
int	fd_pread_all(int fd, void *p, size_t n, off_t offset);
/* Reads a regular file of at most b->max bytes; PK_ENOENT, PK_ELIMIT, PK_ESYS. */
int	fd_read_file(int dirfd, const char *path, struct buf *b);
/*
 * Writes path.tmp, fsyncs, renames over path, fsyncs the directory. The old
 * file's group is kept, or it fails; its owner where the caller may. Callers
 * that run at once share path.tmp: they lock.
 */
int	fd_replace_file(int dirfd, const char *path, struct view content, mode_t mode);
int	fd_sync_dir(int dirfd);
/* A sealed memfd (no shrink, grow, write) with these bytes, read only; -1 on failure. */
int	fd_sealed_memfd(const char *name, struct view bytes);

#endif
