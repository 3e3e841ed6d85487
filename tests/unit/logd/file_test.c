/* SPDX-License-Identifier: ISC */
/* file_test.c: the log file: appended to, rotated, full (F3). */
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "logd/logd.h"
#include "sys/fd.h"

struct fixture {
	char		 dir[32];
	char		*path;
	struct logfile	 f;
};

static int
set_up(void **state)
{
	struct fixture *x = XNEW(struct fixture);

	memcpy(x->dir, "/tmp/postkeep-log-XXXXXX", 25);
	assert_non_null(mkdtemp(x->dir));
	x->path = xasprintf("%s/mail.log", x->dir);
	x->f.fd = x->f.dirfd = -1;
	x->f.rotate_count = 2;
	assert_int_equal(logfile_open(&x->f, x->path), 0);
	*state = x;
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "mail.log", "mail.log.1", "mail.log.2" };
	struct fixture *x = *state;
	size_t i;

	for (i = 0; i < NELEMS(names); i++)
		(void)unlinkat(x->f.dirfd, names[i], 0);
	logfile_close(&x->f);
	(void)rmdir(x->dir);
	xfree(x->path);
	xfree(x);
	return 0;
}

static void
assert_content(struct fixture *x, const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, 100000);
	assert_int_equal(fd_read_file(x->f.dirfd, name, &b), 0);
	assert_string_equal(buf_cstr(&b), text);
	buf_fini(&b);
}

static void
test_append_and_rotate(void **state)
{
	struct fixture *x = *state;
	uint64_t lost;
	int i;

	for (i = 0; i < 4; i++) {
		assert_int_equal(logfile_write(&x->f, VIEW("a\nb\n"), &lost), 0);
		assert_int_equal(lost, 0);
		if (i < 3)
			assert_int_equal(logfile_rotate(&x->f), 0);
	}
	assert_int_equal(x->f.size, 4);
	assert_content(x, "mail.log", "a\nb\n");
	assert_content(x, "mail.log.2", "a\nb\n");
	assert_int_equal(faccessat(x->f.dirfd, "mail.log.3", F_OK, 0), -1);
}

static void
test_reopen_follows_the_name(void **state)
{
	struct fixture *x = *state;
	uint64_t lost;

	assert_int_equal(logfile_write(&x->f, VIEW("old\n"), &lost), 0);
	assert_int_equal(renameat(x->f.dirfd, "mail.log", x->f.dirfd, "mail.log.1"), 0);
	assert_int_equal(logfile_reopen(&x->f), 0);
	assert_int_equal(logfile_write(&x->f, VIEW("new\n"), &lost), 0);
	assert_content(x, "mail.log", "new\n");
	assert_content(x, "mail.log.1", "old\n");
}

/* A file size limit stands for a full disk: the write is cut, then fails. */
static void
test_full_disk_is_counted_and_said(void **state)
{
	struct rlimit saved, small;
	struct fixture *x = *state;
	uint64_t lost;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
	small = saved;
	small.rlim_cur = 6;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	/* Six bytes fit: one line and a half. */
	assert_int_equal(logfile_write(&x->f, VIEW("one\ntwo\nthree\n"), &lost), PK_ESYS);
	assert_int_equal(logfile_write(&x->f, VIEW("four\n"), &lost), PK_ESYS);
	assert_int_equal(x->f.lost, 3);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
	assert_int_equal(logfile_write(&x->f, VIEW("five\n"), &lost), 0);
	assert_int_equal(lost, 3);
	assert_int_equal(x->f.lost, 0);
	assert_int_equal(x->f.lost_total, 3);
	assert_content(x, "mail.log", "one\ntw\nfive\n");
}

static void
test_no_links(void **state)
{
	struct fixture *x = *state;
	uint64_t lost;

	assert_int_equal(logfile_write(&x->f, VIEW("a\n"), &lost), 0);
	assert_int_equal(unlinkat(x->f.dirfd, "mail.log", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", x->f.dirfd, "mail.log"), 0);
	assert_int_equal(logfile_reopen(&x->f), PK_ESYS);
	/* The old file stays in use. */
	assert_int_equal(logfile_write(&x->f, VIEW("b\n"), &lost), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append_and_rotate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reopen_follows_the_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk_is_counted_and_said, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_no_links, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
