/* SPDX-License-Identifier: ISC */
/*
 * admin_test.c: a local user who knocks in a loop gets his refusals and no
 * more: neither memory nor the log are his (A19).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/admin.h"

#define KNOCKS	300

static unsigned logged, requests;

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)line;
	(void)len;
	(void)arg;
	logged++;
}

static int
on_request(struct ipc_channel *ch, struct ipc_msg *m, struct view verb, struct view args,
    uint32_t uid, void *arg)
{
	(void)ch;
	(void)m;
	(void)verb;
	(void)args;
	(void)uid;
	(void)arg;
	requests++;
	return 0;
}

static const struct admin_ops ops = { on_request, NULL, NULL };

static int
knock(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)sun, sizeof(*sun)), 0);
	/* Nonsense: a refused one is not believed either. */
	assert_true(write(fd, "x", 1) == 1);
	return fd;
}

static void
test_knocking(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/pk_admin_XXXXXX";
	struct admin_listener *al;
	struct loop *l;
	unsigned i;
	int fd;

	(void)state;
	/* Only root can be somebody else. */
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(chmod(sun.sun_path, 0666), 0);
	assert_int_equal(listen(fd, 64), 0);
	l = loop_new();
	al = admin_listener_new(l, fd, IPC_ROLE_qmgr, 0, ADMIN_NO_GROUP, &ops, NULL);
	log_set_sink(sink, NULL);
	for (i = 0; i < KNOCKS; i++) {
		assert_int_equal(seteuid(12345), 0);
		fd = knock(&sun);
		assert_int_equal(seteuid(0), 0);
		loop_turn(l, 0);
		loop_turn(l, 0);
		close(fd);
	}
	assert_int_equal(requests, 0);
	/* Two lines each for a few of them, though a second may have begun. */
	assert_in_range(logged, 1, 40);
	log_set_sink(NULL, NULL);
	admin_listener_free(&al);
	loop_free(&l);
	unlink(sun.sun_path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knocking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
