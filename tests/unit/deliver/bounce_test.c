/* SPDX-License-Identifier: ISC */
/*
 * bounce_test.c: the bounce role: a job with an account of failures becomes a
 * durable record with a report in it, and qmgr hears of the record first.
 */
#include "tests/unit/deliver/rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/dsn.h"
#include "queue/bounce.h"

#define KEY 0x1234567890abcdefULL

static char path[64];
static uint64_t durable_end;

/* The test's qmgr hands out one segment and notes how far it is durable. */
static int
queue(struct rig *r, struct ipc_msg *m)
{
	struct segment_header h;
	struct ipc_out o;
	struct ipc_in in;
	uint64_t segment = 0;
	int fd;

	switch (m->type) {
	case IPC_SEGMENT_WANT:
		if (path[0] != '\0') {
			ipc_out_init(&o, IPC_ACK);
			ipc_put_u64(&o, IPC_F_CODE, -PK_ENOSPC);
			return ipc_reply(r->qmgr, m, &o);
		}
		memcpy(path, "/tmp/pk-segment-XXXXXX", 23);
		fd = mkostemp(path, O_APPEND);
		segment_header_init(&h, SEGMENT_SHARED, 5, KEY, 7, 0);
		assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
		ipc_out_init(&o, IPC_SEGMENT);
		ipc_put_u64(&o, IPC_F_SEGMENT, 5);
		ipc_put_u64(&o, IPC_F_KEY, KEY);
		ipc_put_u64(&o, IPC_F_KIND, SEGMENT_SHARED);
		ipc_put_u64(&o, IPC_F_SIZE, 1 << 20);
		ipc_put_handle(&o, fd);
		o.close_handles = true;
		return ipc_reply(r->qmgr, m, &o);
	case IPC_SEGMENT_DURABLE:
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_SEGMENT, &segment);
		ipc_get_u64(&in, IPC_F_OFFSET, &durable_end);
		assert_int_equal(r->finished, 0);
		return 0;
	default:
		return 0;
	}
}

static void
account(struct buf *b, enum bounce_kind kind, enum dsn_action action)
{
	struct bounce_row row = {
		.index = 1, .action = action, .last_attempt_ms = 1700000000000,
		.dsn = VIEW("5.1.1"),
		.reply = VIEW("host mx.x.test[192.0.2.1] said: 550 5.1.1 no such "
		    "user (in reply to RCPT TO command)"),
		.relay = VIEW("mx.x.test[192.0.2.1]:25"),
	};

	buf_init(b, 4096);
	bounce_encode_begin(b, kind);
	assert_int_equal(bounce_encode_row(b, &row), 0);
	assert_int_equal(bounce_encode_end(b), 0);
}

static void
report(bool requiretls)
{
	struct record_envelope env;
	struct record_recipient rcpt;
	struct record_header h;
	struct rig r;
	struct buf data;
	struct rig_job j = {
		.nexthop = "", .sender = "sender@x.test",
		.rcpts = { "ok@x.test", "gone@x.test" },
		.header = "Received: y\r\n", .orcpt = "rfc822;old+40x.test",
		.content = VIEW("Subject: t\r\n\r\nthe body\r\n"),
		.message = 77, .requiretls = requiretls,
	};
	char file[65536];
	struct view v;
	ssize_t n;
	int fd;

	path[0] = '\0';
	durable_end = 0;
	rig_init(&r, &deliver_role_bounce, "myhostname = me.test\n");
	r.other = queue;
	account(&data, BOUNCE_FAILED, DSN_FAILED);
	j.data = buf_view(&data);
	rig_send(&r, &j);
	rig_wait(&r, 1);
	buf_fini(&data);
	assert_int_equal(r.results, 2);
	assert_non_null(strstr(buf_cstr(&r.log),
	    "1/1 sent 2.0.0 sender non-delivery notification: "));

	fd = open(path, O_RDONLY);
	n = read(fd, file, sizeof(file) - 1);
	close(fd);
	assert_true(n > 0 && durable_end > 64 && (uint64_t)n >= durable_end);
	file[n] = '\0';
	memcpy(&h, file + 64, sizeof(h));
	assert_int_equal(record_header_check(&h, KEY, SEGMENT_SHARED, 64,
	    durable_end), 0);
	v = view_of(file + 64 + sizeof(h), h.envelope_bytes);
	assert_int_equal(record_envelope_read(v, &env), 0);
	assert_int_equal(env.sender.len, 0);
	assert_int_equal(env.dsn_of, 77);
	assert_int_equal(env.requiretls, requiretls);
	assert_int_equal(env.dsn_kind, RECORD_DSN_FAILED);
	assert_int_equal(env.dsn_rcpts.len, 4);
	assert_int_equal(env.dsn_rcpts.p[0], 1);
	assert_true(record_recipient_next(&env.recipients, &rcpt));
	assert_true(view_eq(rcpt.address, VIEW("sender@x.test")));
	v = view_of(file + 64 + sizeof(h) + h.envelope_bytes,
	    (size_t)(h.header_bytes + h.content_bytes));
	assert_non_null(memmem(v.p, v.len, "Received: by me.test", 20));
	assert_non_null(memmem(v.p, v.len, "Final-Recipient: rfc822; gone@x.test", 36));
	assert_non_null(memmem(v.p, v.len, "Original-Recipient: rfc822; old@x.test", 38));
	assert_non_null(memmem(v.p, v.len, "Remote-MTA: dns; mx.x.test", 26));
	assert_non_null(memmem(v.p, v.len,
	    "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n", 47));
	assert_non_null(memmem(v.p, v.len, "Subject: t", 10));
	assert_int_equal(memmem(v.p, v.len, "the body", 8) == NULL, requiretls);
	unlink(path);
	rig_fini(&r);
}

static void
test_failed(void **state)
{
	(void)state;
	report(false);
}

/* RFC 8689 5: it goes as the message had to, and without the body. */
static void
test_requiretls(void **state)
{
	(void)state;
	report(true);
}

/* What cannot be composed is said so, and the process goes on. */
static void
test_refused(void **state)
{
	struct rig r;
	struct buf data;
	struct rig_job j = {
		.nexthop = "", .sender = "", .rcpts = { "a@x.test" },
		.header = "", .content = VIEW("x\r\n"), .data = VIEW("junk"),
	};

	(void)state;
	rig_init(&r, &deliver_role_bounce, "myhostname = me.test\n");
	r.other = queue;
	rig_send(&r, &j);
	j.sender = "s@x.test";
	rig_send(&r, &j);
	/* Its row speaks of a recipient that the job has not. */
	account(&data, BOUNCE_DELAYED, DSN_DELAYED);
	j.data = buf_view(&data);
	rig_send(&r, &j);
	rig_wait(&r, 3);
	buf_fini(&data);
	assert_non_null(strstr(buf_cstr(&r.log), "1/0 bounced"));
	assert_non_null(strstr(buf_cstr(&r.log), "2/0 deferred 4.3.0"));
	assert_non_null(strstr(buf_cstr(&r.log), "3/0 deferred 4.3.0"));
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_requiretls),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("deliver bounce", tests, NULL, NULL);
}
