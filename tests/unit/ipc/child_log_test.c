/* SPDX-License-Identifier: ISC */
/*
 * child_log_test.c: lines of the loop and of another thread at once reach
 * logd whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "ipc/child_log.h"
#include "ipc/ipc.h"

#define LINES	20000

static struct {
	unsigned	 loop, thread, bad;
} got;
static atomic_bool finished;

static void
take_line(struct view line)
{
	if (view_starts(line, VIEW("line of the loop ")))
		got.loop++;
	else if (view_starts(line, VIEW("line of the thread ")))
		got.thread++;
	else
		got.bad++;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct view lines = VIEW_NONE;
	struct ipc_in in;
	uint64_t pid = 0;
	uint16_t n;

	(void)ch;
	(void)arg;
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_PID, &pid);
	ipc_get_bytes(&in, IPC_F_LINES, IPC_BODY_MAX, &lines);
	if (ipc_in_end(&in) != 0 || pid != (uint64_t)getpid())
		return PK_EPROTO;
	while (lines.len >= 3) {
		memcpy(&n, lines.p + 1, sizeof(n));
		if (lines.len < 3 + (size_t)n)
			return PK_EPROTO;
		take_line(view_of(lines.p + 3, n));
		lines = view_from(lines, 3 + (size_t)n);
	}
	return lines.len == 0 ? 0 : PK_EPROTO;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	(void)arg;
	got.bad++;
}

static const struct ipc_channel_ops ops = { on_message, on_closed };

static void *
chatter(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < LINES; i++) {
		log_error("line of the thread %u", i);
		if (i % 100 == 0)
			usleep(1000);
	}
	atomic_store(&finished, true);
	return NULL;
}

static void
test_two_threads(void **state)
{
	struct ipc_channel *logd;
	struct loop *l = loop_new();
	unsigned said = 0, i;
	pthread_t thread;
	int sv[2];

	(void)state;
	assert_int_equal(ipc_socketpair(sv), 0);
	child_log_init(l, IPC_ROLE_qmgr);
	child_log_channel(sv[0], 1);
	logd = ipc_channel_new(l, sv[1], IPC_ROLE_logd, IPC_ROLE_qmgr, 2, &ops, NULL);
	assert_int_equal(pthread_create(&thread, NULL, chatter, NULL), 0);
	while (!atomic_load(&finished)) {
		for (i = 0; i < 10; i++)
			log_info("line of the loop %u", said++);
		loop_turn(l, 0);
	}
	pthread_join(thread, NULL);
	for (i = 0; i < 5000 && (i < 200 || got.loop < said); i++)
		loop_turn(l, 1);
	assert_int_equal(got.bad, 0);
	assert_int_equal(got.loop, said);
	/* What found no room in the socket went to standard error. */
	assert_in_range(got.thread, LINES / 4, LINES);
	child_log_fini();
	ipc_channel_free(&logd);
	loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
