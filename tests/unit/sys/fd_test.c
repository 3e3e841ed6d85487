/* SPDX-License-Identifier: ISC */
/*
 * fd_test.c: descriptors and files.
 */
#include "tests/unit/unit.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fd.h"

static char dir[] = "/tmp/pk_fd_XXXXXX";
static int dirfd = -1;

static void
test_flags(void **state)
{
	int p[2], fd;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_set_nonblock(p[0]), 0);
	assert_true((fcntl(p[0], F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(fd_set_cloexec(p[0], true), 0);
	assert_int_equal(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_set_cloexec(p[0], false), 0);
	assert_int_equal(fcntl(p[0], F_GETFD), 0);
	fd = p[0];
	errno = 77;
	fd_close(&p[0]);
	fd_close(&p[0]);
	assert_int_equal(errno, 77);
	assert_int_equal(p[0], -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fd_set_nonblock(fd), PK_ESYS);
	fd_close(&p[1]);
}

static void
close_rest(void *arg)
{
	int keep[] = { 50, 40, 40, 2 }, fd;

	(void)arg;
	for (fd = 10; fd < 60; fd += 10)
		if (dup2(1, fd) != fd)
			_exit(1);
	fd_close_rest(2, keep, 4);
	for (fd = 3; fd < 70; fd++) {
		bool open = fcntl(fd, F_GETFD) != -1;

		if (open != (fd == 40 || fd == 50))
			_exit(2);
	}
	fd_close_rest(1, NULL, 0);
	_exit(fcntl(2, F_GETFD) == -1 ? 0 : 3);
}

static void
test_close_rest(void **state)
{
	(void)state;
	assert_int_equal(unit_run_forked(close_rest, NULL), 0);
}

static void
test_replace_and_read(void **state)
{
	struct buf b;
	struct stat st;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(fd_read_file(dirfd, "f", &b), PK_ENOENT);
	assert_int_equal(fd_replace_file(dirfd, "f", VIEW("0123456789"), 0640), 0);
	assert_int_equal(fstatat(dirfd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(fstatat(dirfd, "f.tmp", &st, 0), -1);
	/* Exactly as much as fits. */
	assert_int_equal(fd_read_file(dirfd, "f", &b), 0);
	CHECK_VIEW("read", buf_view(&b), "0123456789");
	buf_reset(&b);
	assert_int_equal(fd_replace_file(dirfd, "f", VIEW("0123456789a"), 0600), 0);
	assert_int_equal(fd_read_file(dirfd, "f", &b), PK_ELIMIT);
	/* A link in place of the temporary file is not followed. */
	assert_int_equal(symlinkat("/nonexistent/x", dirfd, "f.tmp"), 0);
	assert_int_equal(fd_replace_file(dirfd, "f", VIEW("new"), 0600), 0);
	buf_reset(&b);
	assert_int_equal(fd_read_file(dirfd, "f", &b), 0);
	CHECK_VIEW("replaced", buf_view(&b), "new");
	/* Who could read it still can. */
	if (geteuid() == 0) {
		assert_int_equal(fchownat(dirfd, "f", 12345, 23456, 0), 0);
		assert_int_equal(fd_replace_file(dirfd, "f", VIEW("x"), 0640), 0);
		assert_int_equal(fstatat(dirfd, "f", &st, 0), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 23456);
		assert_int_equal(st.st_mode & 07777, 0640);
	}
	/* No such directory; a directory in place of the file. */
	assert_int_equal(fd_replace_file(dirfd, "no/f", VIEW("x"), 0600), PK_ESYS);
	assert_int_equal(mkdirat(dirfd, "d", 0700), 0);
	assert_int_equal(fd_replace_file(dirfd, "d", VIEW("x"), 0600), PK_ESYS);
	buf_reset(&b);
	assert_int_equal(fd_read_file(dirfd, "d", &b), PK_ESYS);
	assert_int_equal(fd_replace_file(dirfd, "d/f", VIEW("x"), 0600), 0);
	/* A FIFO does not hold us. */
	assert_int_equal(mkfifoat(dirfd, "p", 0600), 0);
	assert_int_equal(fd_read_file(dirfd, "p", &b), PK_ESYS);
	unlinkat(dirfd, "p", 0);
	unlinkat(dirfd, "f", 0);
	unlinkat(dirfd, "d/f", 0);
	unlinkat(dirfd, "d", AT_REMOVEDIR);
	buf_fini(&b);
}

static void
test_whole_io(void **state)
{
	struct iovec iov[] = {
		{ (void *)(uintptr_t)"ab", 2 }, { (void *)(uintptr_t)"", 0 },
		{ (void *)(uintptr_t)"cd", 2 },
	};
	char got[8];
	int fd;

	(void)state;
	fd = openat(dirfd, "w", O_RDWR | O_CREAT, 0600);
	assert_int_equal(fd_write_all(fd, "xy", 2), 0);
	assert_int_equal(fd_writev_all(fd, iov, 3), 0);
	assert_int_equal(fd_pread_all(fd, got, 5, 1), 0);
	assert_memory_equal(got, "yabcd", 5);
	assert_int_equal(fd_pread_all(fd, got, 5, 2), PK_EEND);
	fd_close(&fd);
	assert_int_equal(fd_write_all(-1, "x", 1), PK_EIO);
	fd = open("/dev/full", O_WRONLY);
	if (fd != -1) {
		assert_int_equal(fd_write_all(fd, "x", 1), PK_ENOSPC);
		fd_close(&fd);
	}
	unlinkat(dirfd, "w", 0);
}

static void
test_sealed_memfd(void **state)
{
	int fd = fd_sealed_memfd("t", VIEW("content"));
	char got[7];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fd_pread_all(fd, got, 7, 0), 0);
	assert_memory_equal(got, "content", 7);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_ptr_equal(mmap(NULL, 7, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	fd_close(&fd);
}

static int
set_up(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	return dirfd == -1 ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fd_close(&dirfd);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_close_rest),
		cmocka_unit_test(test_replace_and_read),
		cmocka_unit_test(test_whole_io),
		cmocka_unit_test(test_sealed_memfd),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
