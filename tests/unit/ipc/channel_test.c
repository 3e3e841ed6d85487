/* SPDX-License-Identifier: ISC */
/*
 * channel_test.c: two ends of a channel in one loop, and a raw socket where
 * the other end misbehaves.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "ipc/channel_internal.h"
#include "ipc/ipc.h"
#include "sys/fd.h"

struct end {
	struct ipc_channel *ch;
	unsigned	 got, closed, replies;
	int		 why, error, handle;
	uint16_t	 type;
	uint32_t	 ids[64];
	unsigned	 nids;
	bool		 answer, free_self, parts, refuse, refuse_part;
	char		 text[64];
};

static struct loop *l;
static char logged[4096];

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)arg;
	if (len > sizeof(logged) - 1)
		len = sizeof(logged) - 1;
	memcpy(logged, line, len);
	logged[len] = '\0';
}

static void
ack(struct end *e, struct ipc_msg *m, int code, uint16_t flags)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)code);
	o.flags = flags;
	assert_int_equal(ipc_reply(e->ch, m, &o), 0);
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct end *e = arg;

	assert_ptr_equal(ch, e->ch);
	e->got++;
	e->type = m->type;
	if (e->nids < NELEMS(e->ids))
		e->ids[e->nids++] = m->id;
	if (m->nhandles > 0)
		e->handle = ipc_take_handle(m, 0);
	if (e->parts)
		ack(e, m, 7, IPC_FLAG_MORE);
	if (e->answer)
		ack(e, m, 8, 0);
	if (e->free_self)
		ipc_channel_free(&e->ch);
	return e->refuse ? PK_EPROTO : 0;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct end *e = arg;

	assert_ptr_equal(ch, e->ch);
	e->closed++;
	e->why = why;
	/* Freeing what is about to be freed is harmless. */
	ipc_channel_free(&e->ch);
}

static const struct ipc_channel_ops ops = { on_message, on_closed };

static int
on_reply(struct ipc_msg *m, int error, void *arg)
{
	struct end *e = arg;
	struct ipc_in in;
	uint64_t code = 0;

	e->replies++;
	e->error = error;
	if (m != NULL) {
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_CODE, &code);
		assert_int_equal(ipc_in_end(&in), 0);
		e->got = (unsigned)code;
	}
	if (e->free_self)
		ipc_channel_free(&e->ch);
	return e->refuse_part ? PK_EPROTO : 0;
}

static void
turns(int n)
{
	while (n-- > 0)
		loop_turn(l, 0);
}

static int
set_up(void **state)
{
	(void)state;
	l = loop_new();
	log_set_sink(sink, NULL);
	logged[0] = '\0';
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	loop_free(&l);
	return 0;
}

static void
pair(int sv[2])
{
	assert_int_equal(ipc_socketpair(sv), 0);
}

static void
ends_of(struct end *a, enum ipc_role ra, struct end *b, enum ipc_role rb)
{
	int sv[2];

	pair(sv);
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	a->handle = b->handle = -1;
	a->ch = ipc_channel_new(l, sv[0], ra, rb, 2, &ops, a);
	b->ch = ipc_channel_new(l, sv[1], rb, ra, 1, &ops, b);
}

/* smtpd (a) and qmgr (b). */
static void
ends(struct end *a, struct end *b)
{
	ends_of(a, IPC_ROLE_smtpd, b, IPC_ROLE_qmgr);
	turns(2);
}

static void
say_seal(struct end *e, uint64_t n)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_SEGMENT_SEAL);
	ipc_put_u64(&o, IPC_F_SEGMENT, n);
	ipc_put_u64(&o, IPC_F_OFFSET, n);
	assert_int_equal(ipc_send(e->ch, &o), 0);
}

static uint64_t
ask(struct end *e, uint64_t timeout_ms)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_SEGMENT_WANT);
	ipc_put_u64(&o, IPC_F_KIND, 1);
	return ipc_call(e->ch, &o, timeout_ms, on_reply, e);
}

static void
test_one_way(void **state)
{
	struct end a, b;
	unsigned i;

	(void)state;
	ends(&a, &b);
	for (i = 0; i < 100; i++)
		say_seal(&a, i);
	assert_int_equal(ipc_channel_backlog(a.ch), 100);
	assert_int_equal(b.got, 0);
	turns(6);
	assert_int_equal(b.got, 100);
	assert_int_equal(ipc_channel_backlog(a.ch), 0);
	ipc_channel_free(&a.ch);
	turns(2);
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why, PK_EPEER);
	assert_null(b.ch);
}

static struct view heard;

static int
on_secret(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	(void)ch, (void)arg;
	assert_non_null(memmem(m->body.p, m->body.len, "hunter2", 7));
	heard = m->body;
	return 0;
}

/* A password is nowhere in the buffers that the next message gets, at either end. */
static void
test_A9_secrets_are_wiped(void **state)
{
	static const struct ipc_channel_ops secret_ops = { on_secret, on_closed };
	static const size_t sizes[] = { 7, 3000, 12000 };
	char password[12000];
	struct end a, b;
	struct ipc_out o, next;
	const char *sent;
	size_t i, cap;
	int sv[2];

	(void)state;
	pair(sv);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.ch = ipc_channel_new(l, sv[0], IPC_ROLE_submission, IPC_ROLE_authd, 2, &ops, &a);
	b.ch = ipc_channel_new(l, sv[1], IPC_ROLE_authd, IPC_ROLE_submission, 1, &secret_ops, &b);
	turns(2);
	for (i = 0; i < NELEMS(sizes); i++) {
		memset(password, 'x', sizeof(password));
		memcpy(password + sizes[i] - 7, "hunter2", 7);
		heard = VIEW_NONE;
		ipc_out_init(&o, IPC_AUTH_MORE);
		ipc_put_u64(&o, IPC_F_JOB, 1);
		ipc_put_bytes(&o, IPC_F_DATA, view_of(password, sizes[i]));
		sent = o.body.data;
		cap = o.body.cap;
		(void)ipc_call(a.ch, &o, 0, on_reply, &a);
		turns(4);
		assert_non_null(heard.p);
		assert_null(memmem(heard.p, heard.len, "hunter2", 7));
		ipc_out_init(&next, IPC_AUTH_MORE);
		/* What is too large for the stock went back to malloc. */
		if (next.body.data == sent)
			assert_null(memmem(sent, cap, "hunter2", 7));
		else
			assert_int_not_equal(i, 0);
		ipc_out_fini(&next);
	}
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

static void
ask_admin(struct end *e)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ADMIN);
	ipc_put_str(&o, IPC_F_NAME, "x");
	ipc_put_str(&o, IPC_F_JSON, "{}");
	assert_true(ipc_call(e->ch, &o, 0, on_reply, e) != 0);
}

static void
test_call(void **state)
{
	struct end a, b;

	(void)state;
	ends_of(&a, IPC_ROLE_adminctl, &b, IPC_ROLE_qmgr);
	b.parts = b.answer = true;
	ask_admin(&a);
	assert_int_equal(a.replies, 0);
	turns(4);
	assert_int_equal(a.replies, 2);
	assert_int_equal(a.got, 8);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

/* Most who ask are gone after one answer: "more follows" would be a use after free. */
static void
test_part_where_none_may_be(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	b.parts = true;
	ask(&a, 0);
	turns(4);
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.error, PK_EPEER);
	assert_int_equal(a.closed, 1);
}

static void
test_part_refused(void **state)
{
	struct end a, b;

	(void)state;
	ends_of(&a, IPC_ROLE_adminctl, &b, IPC_ROLE_qmgr);
	b.parts = b.answer = true;
	a.refuse_part = true;
	ask_admin(&a);
	turns(4);
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.closed, 1);
}

/* A call's owner that frees the channel at its loss hears no more of it. */
static void
test_free_while_lost(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	a.free_self = true;
	ask(&a, 0);
	ask(&a, 0);
	turns(2);
	ipc_channel_free(&b.ch);
	turns(2);
	assert_int_equal(a.replies, 2);
	assert_int_equal(a.error, PK_EPEER);
	assert_int_equal(a.closed, 0);
}

/* It reads and never answers: what it owes has a bound. */
static void
test_hanging_peer(void **state)
{
	struct end a, b;
	unsigned i;

	(void)state;
	ends(&a, &b);
	for (i = 0; i < 10000 && a.closed == 0; i++) {
		ipc_call_cancel(ask(&a, 0));
		if (i % 16 == 0)
			turns(1);
	}
	turns(2);
	assert_true(i < 9000);
	assert_int_equal(a.closed, 1);
	assert_int_equal(a.why, PK_ETIMEOUT);
	assert_int_equal(a.replies, 0);
	assert_int_equal(b.closed, 1);
}

static void
test_peer_dies(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	ask(&a, 0);
	turns(2);
	ipc_channel_free(&b.ch);
	turns(2);
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.error, PK_EPEER);
	assert_int_equal(a.closed, 1);
}

static void
test_free_cancels(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	ask(&a, 0);
	ipc_channel_free(&a.ch);
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.error, PK_ECANCEL);
	assert_int_equal(a.closed, 0);
	turns(2);
	/* What was said before is still said. */
	assert_int_equal(b.got, 1);
}

static void
test_free_inside(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	b.free_self = true;
	say_seal(&a, 1);
	say_seal(&a, 2);
	turns(3);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.closed, 0);
	assert_int_equal(a.closed, 1);

	ends(&a, &b);
	b.answer = true;
	a.free_self = true;
	ask(&a, 0);
	ask(&a, 0);
	turns(4);
	assert_int_equal(a.replies, 2);
	assert_int_equal(a.error, PK_ECANCEL);
	assert_int_equal(b.closed, 1);
}

static void
test_cancel(void **state)
{
	struct end a, b;
	uint64_t call;

	(void)state;
	ends(&a, &b);
	b.answer = true;
	call = ask(&a, 0);
	ipc_call_cancel(call);
	ipc_call_cancel(call);
	ipc_call_cancel(0);
	ipc_call_cancel(UINT64_MAX);
	turns(4);
	assert_int_equal(b.got, 1);
	assert_int_equal(a.replies, 0);
	assert_int_equal(a.closed, 0);
	ask(&a, 0);
	ipc_call_cancel(call);
	turns(4);
	assert_int_equal(a.replies, 1);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

static void
test_timeout_then_late_answer(void **state)
{
	struct end a, b;
	struct ipc_out o;
	int i;

	(void)state;
	ends(&a, &b);
	ask(&a, 1);
	for (i = 0; i < 40 && a.replies == 0; i++)
		loop_turn(l, 100);
	assert_int_equal(a.error, PK_ETIMEOUT);
	/* Another question gets another id while the first is owed. */
	ask(&a, 0);
	turns(2);
	assert_int_equal(b.nids, 2);
	assert_int_not_equal(b.ids[0], b.ids[1]);
	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, 1);
	assert_int_equal(ipc_reply_id(b.ch, b.ids[0], &o), 0);
	turns(2);
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.closed, 0);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

static void
test_handles(void **state)
{
	struct end a, b;
	struct ipc_out o;
	int p[2];
	char c = 0;

	(void)state;
	ends(&a, &b);
	assert_int_equal(pipe(p), 0);
	ipc_out_init(&o, IPC_SEGMENT);
	ipc_put_u64(&o, IPC_F_SEGMENT, 1);
	ipc_put_handle(&o, p[1]);
	assert_int_equal(ipc_send(b.ch, &o), 0);
	/* The caller may close its own at once. */
	close(p[1]);
	turns(2);
	assert_int_equal(a.got, 1);
	assert_true(a.handle >= 0);
	assert_int_equal(fcntl(a.handle, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(a.handle, "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	close(a.handle);
	/* Nobody else holds the other end: nothing leaked. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

static void
test_own_mistakes(void **state)
{
	struct end a, b;
	struct ipc_out o;

	(void)state;
	ends(&a, &b);
	ipc_out_init(&o, IPC_SEGMENT);	/* qmgr's to say */
	assert_int_equal(ipc_send(a.ch, &o), PK_EPERM);
	assert_non_null(strstr(logged, "ipc: qmgr[2]: SEGMENT not sent"));
	ipc_out_init(&o, IPC_ROUTE_CHECK);
	ipc_put_str(&o, IPC_F_RECIPIENT, "a\nb");
	assert_int_equal(ipc_out_error(&o), PK_ESYNTAX);
	ipc_out_fini(&o);
	assert_int_equal(a.closed, 0);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

static void
test_full_queue(void **state)
{
	struct end a = { 0 }, b = { 0 };
	static char bytes[60000];
	struct ipc_out o;
	unsigned i;
	int sv[2];

	(void)state;
	pair(sv);
	a.ch = ipc_channel_new(l, sv[0], IPC_ROLE_qmgr, IPC_ROLE_smtp, 2, &ops,
	    &a);
	b.ch = ipc_channel_new(l, sv[1], IPC_ROLE_smtp, IPC_ROLE_qmgr, 1, &ops,
	    &b);
	for (i = 0; i < 200; i++) {
		ipc_out_init(&o, IPC_JOB);
		ipc_put_bytes(&o, IPC_F_DATA, view_of(bytes, sizeof(bytes)));
		o.id = i;
		assert_int_equal(ipc_send(a.ch, &o), 0);
	}
	ipc_flush(a.ch);
	assert_true(ipc_channel_backlog(a.ch) > 0);
	for (i = 0; i < 200 && b.got < 200; i++)
		loop_turn(l, 10);
	assert_int_equal(b.got, 200);
	for (i = 0; i < b.nids; i++)
		assert_int_equal(b.ids[i], i);
	assert_int_equal(ipc_channel_backlog(a.ch), 0);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&b.ch);
}

/* Takes everything, beginning a moment later. */
static void *
late_reader(void *arg)
{
	static char room[IPC_PACKET_MAX];
	int fd = *(int *)arg;

	usleep(50000);
	while (recv(fd, room, sizeof(room), 0) > 0)
		continue;
	return NULL;
}

/* Last words of a process reach a peer that is slow. */
static void
test_flush_wait(void **state)
{
	static char bytes[60000];
	struct end a = { 0 };
	struct ipc_out o;
	pthread_t thread;
	unsigned i;
	int sv[2];

	(void)state;
	pair(sv);
	assert_int_equal(fcntl(sv[1], F_SETFL, 0), 0);
	a.ch = ipc_channel_new(l, sv[0], IPC_ROLE_smtp, IPC_ROLE_qmgr, 1, &ops, &a);
	for (i = 0; i < 100; i++) {
		ipc_out_init(&o, IPC_JOB_RESULT);
		ipc_put_bytes(&o, IPC_F_DATA, view_of(bytes, sizeof(bytes)));
		assert_int_equal(ipc_send(a.ch, &o), 0);
	}
	ipc_flush_wait(a.ch, 20);
	assert_true(ipc_channel_backlog(a.ch) > 0);
	assert_int_equal(pthread_create(&thread, NULL, late_reader, &sv[1]), 0);
	ipc_flush_wait(a.ch, 10000);
	assert_int_equal(ipc_channel_backlog(a.ch), 0);
	ipc_channel_free(&a.ch);
	pthread_join(thread, NULL);
	close(sv[1]);
}

/* The bound of 64 MiB is one of memory, for small packets too. */
static void
test_nobody_reads(void **state)
{
	struct end a, b;
	struct ipc_out o;
	unsigned i;
	int error = 0;

	(void)state;
	ends(&a, &b);
	for (i = 0; i < 300000 && error == 0; i++) {
		ipc_out_init(&o, IPC_SEGMENT_SEAL);
		ipc_put_u64(&o, IPC_F_SEGMENT, i);
		ipc_put_u64(&o, IPC_F_OFFSET, i);
		error = ipc_send(a.ch, &o);
	}
	assert_int_equal(error, PK_EPEER);
	assert_in_range(i, 50000, 140000);
	turns(2);
	assert_int_equal(a.closed, 1);
	assert_int_equal(a.why, PK_ETIMEOUT);
}

/* ---- a peer that misbehaves: raw packets to qmgr that poses as smtpd ---- */

struct raw {
	struct ipc_header h;
	unsigned char	 body[128];
};

static const struct raw hello = {
	{ IPC_HELLO, 0, 24, 0 },
	{ 1, 0, 8, 0, IPC_VERSION, 0, 0, 0, 0, 0, 0, 0,
	  2, 0, 8, 0, IPC_ROLE_smtpd, 0, 0, 0, 0, 0, 0, 0 },
};

static void
expect_violation(const struct raw *r, size_t len, bool with_hello, const char *log)
{
	struct end b;
	int sv[2];

	pair(sv);
	memset(&b, 0, sizeof(b));
	b.ch = ipc_channel_new(l, sv[1], IPC_ROLE_qmgr, IPC_ROLE_smtpd, 1,
	    &ops, &b);
	if (with_hello)
		assert_int_equal(write(sv[0], &hello, sizeof(hello.h) + 24), 36);
	assert_int_equal(write(sv[0], r, len), (ssize_t)len);
	logged[0] = '\0';
	turns(2);
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why, PK_EPROTO);
	if (strstr(logged, log) == NULL)
		fail_msg("logged \"%s\", expected \"%s\"", logged, log);
	assert_non_null(strstr(logged, "ipc: smtpd[1]: "));
	close(sv[0]);
}

static void
test_violations(void **state)
{
	struct raw r = hello;

	(void)state;
	expect_violation(&hello, 36, true, "no HELLO expected");
	expect_violation(&hello, 5, false, "packet of 5 bytes");
	expect_violation(&hello, 35, false, "wrong length");
	r.body[4] = 99;
	expect_violation(&r, 36, false, "HELLO: not supported");
	r = hello;
	r.body[16] = IPC_ROLE_dnsd;
	expect_violation(&r, 36, false, "HELLO: not permitted");
	r = hello;
	r.h.length = 23;
	expect_violation(&r, 35, false, "HELLO: protocol violation");
	r = (struct raw){ .h = { IPC_SEGMENT_SEAL, 0, 0, 0 } };
	expect_violation(&r, 12, false, "SEGMENT_SEAL where HELLO expected");
	r.h.type = 999;
	expect_violation(&r, 12, true, "unknown message 999");
	r.h.type = IPC_SEGMENT;
	expect_violation(&r, 12, true, "SEGMENT is not its to say");
	r.h.type = IPC_DRAIN;
	expect_violation(&r, 12, true, "DRAIN is not its to say");
	r.h.type = IPC_SEGMENT_SEAL;
	r.h.flags = 4;
	expect_violation(&r, 12, true, "unknown flags");
	r.h.flags = IPC_FLAG_REPLY;
	r.h.id = 1;
	expect_violation(&r, 12, true, "SEGMENT_SEAL: protocol violation");
	r.h.id = 0;
	expect_violation(&r, 12, true, "SEGMENT_SEAL: protocol violation");
	r.h.flags = 0;
	r.h.length = 100;
	expect_violation(&r, 112, true, "100 bytes, greatest is 64");
}

static void
test_adopted(void **state)
{
	struct raw r = { .h = { IPC_SEGMENT_SEAL, 0, 0, 0 } };
	struct end b = { 0 };
	int sv[2];

	(void)state;
	pair(sv);
	b.ch = ipc_channel_adopt(l, sv[1], IPC_ROLE_qmgr, IPC_ROLE_smtpd, 1,
	    &ops, &b);
	/* No HELLO comes any more; an answer may be to who was here before. */
	assert_int_equal(write(sv[0], &r, 12), 12);
	r.h.type = IPC_ACK;
	r.h.flags = IPC_FLAG_REPLY;
	r.h.id = 0x7fffffff;
	assert_int_equal(write(sv[0], &r, 12), 12);
	turns(2);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.closed, 0);
	ipc_channel_free(&b.ch);
	close(sv[0]);
}

static void
test_handles_not_declared(void **state)
{
	struct ipc_header h = { IPC_SEGMENT_SEAL, 0, 0, 0 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov = { &h, sizeof(h) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = &control };
	struct cmsghdr *c = &control.align;
	struct end b;
	unsigned n, i;
	int sv[2], p[2], fds[8];
	char byte;

	(void)state;
	for (n = 1; n <= 8; n += 7) {
		pair(sv);
		assert_int_equal(pipe(p), 0);
		memset(&b, 0, sizeof(b));
		b.ch = ipc_channel_new(l, sv[1], IPC_ROLE_qmgr, IPC_ROLE_smtpd,
		    1, &ops, &b);
		assert_int_equal(write(sv[0], &hello, 36), 36);
		for (i = 0; i < n; i++)
			fds[i] = p[1];
		memset(&control, 0, sizeof(control));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		assert_int_equal(sendmsg(sv[0], &m, 0), (ssize_t)sizeof(h));
		close(p[1]);
		turns(2);
		assert_int_equal(b.closed, 1);
		assert_non_null(strstr(logged, "handles"));
		/* Every copy was closed. */
		assert_int_equal(read(p[0], &byte, 1), 0);
		close(p[0]);
		close(sv[0]);
	}
}

static void
test_handler_refuses(void **state)
{
	struct end a, b;

	(void)state;
	ends(&a, &b);
	b.refuse = true;
	say_seal(&a, 1);
	turns(2);
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why, PK_EPROTO);
	assert_non_null(strstr(logged, "SEGMENT_SEAL: protocol violation"));
	turns(1);
	assert_int_equal(a.closed, 1);
}

static void
test_last_words_are_heard(void **state)
{
	struct end b;
	struct raw r = { .h = { IPC_SEGMENT_SEAL, 0, 0, 0 } };
	int sv[2];

	(void)state;
	pair(sv);
	memset(&b, 0, sizeof(b));
	b.ch = ipc_channel_new(l, sv[1], IPC_ROLE_qmgr, IPC_ROLE_smtpd, 1,
	    &ops, &b);
	turns(1);
	assert_int_equal(write(sv[0], &hello, 36), 36);
	assert_int_equal(write(sv[0], &r, 12), 12);
	/* Closed with our HELLO unread: the kernel says ECONNRESET first. */
	close(sv[0]);
	turns(3);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why, PK_EPEER);
}

/* ---- pools: smtpd asks lookupd ---- */

static struct end *
worker(struct ipc_pool *p, uint64_t instance)
{
	struct end *e = XNEW(struct end);
	int sv[2];

	pair(sv);
	ipc_pool_add(p, sv[0], instance);
	e->ch = ipc_channel_new(l, sv[1], IPC_ROLE_lookupd, IPC_ROLE_smtpd, 9,
	    &ops, e);
	return e;
}

static uint64_t
route(struct ipc_pool *p, struct end *e, uint64_t timeout_ms)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ROUTE_CHECK);
	ipc_put_str(&o, IPC_F_RECIPIENT, "alice@example.test");
	return ipc_pool_call(p, &o, timeout_ms, on_reply, e);
}

static void
worker_free(struct end *e)
{
	ipc_channel_free(&e->ch);
	xfree(e);
}

static void
test_pool_again(void **state)
{
	struct ipc_pool *p = ipc_pool_new(l, IPC_ROLE_smtpd, IPC_ROLE_lookupd);
	struct end asker = { 0 }, *w1, *w2, *w3;

	(void)state;
	/* Asked before anybody is there: waits. */
	route(p, &asker, 0);
	turns(2);
	assert_int_equal(asker.replies, 0);
	w1 = worker(p, 1);
	turns(4);
	assert_int_equal(w1->got, 1);
	w2 = worker(p, 2);
	assert_int_equal(ipc_pool_count(p), 2);
	turns(2);
	/* The idle one is asked. */
	route(p, &asker, 0);
	turns(2);
	assert_int_equal(w1->got, 1);
	assert_int_equal(w2->got, 1);
	/* One dies: the other one is asked again. */
	worker_free(w1);
	turns(3);
	assert_int_equal(ipc_pool_count(p), 1);
	assert_int_equal(w2->got, 2);
	assert_int_equal(asker.replies, 0);
	/* All dead: they wait for the next one, which answers. */
	worker_free(w2);
	turns(3);
	w3 = worker(p, 3);
	w3->answer = true;
	turns(4);
	assert_int_equal(w3->got, 2);
	assert_int_equal(asker.replies, 2);
	assert_int_equal(asker.error, 0);
	assert_int_equal(asker.got, 8);
	worker_free(w3);
	turns(2);
	ipc_pool_free(&p);
}

static void
test_pool_gives_up(void **state)
{
	struct ipc_pool *p = ipc_pool_new(l, IPC_ROLE_smtpd, IPC_ROLE_lookupd);
	struct end asker = { 0 }, *w;
	int i;

	(void)state;
	route(p, &asker, 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(asker.replies, 0);
		w = worker(p, (uint64_t)i);
		turns(3);
		assert_int_equal(w->got, 1);
		worker_free(w);
		turns(3);
	}
	assert_int_equal(asker.replies, 1);
	assert_int_equal(asker.error, PK_EPEER);
	ipc_pool_free(&p);
}

/* Any number of workers may end in order, and nobody is blamed. */
static void
test_pool_leaving(void **state)
{
	struct ipc_pool *p = ipc_pool_new(l, IPC_ROLE_smtpd, IPC_ROLE_lookupd);
	struct end asker = { 0 }, *w, *other;
	int i;

	(void)state;
	route(p, &asker, 0);
	for (i = 0; i < 10; i++) {
		w = worker(p, (uint64_t)i);
		turns(3);
		assert_int_equal(w->got, 1);
		ipc_leave(w->ch);
		turns(2);
		worker_free(w);
		turns(3);
		assert_int_equal(asker.replies, 0);
	}
	/* Who has said so is not asked, though it is still there. */
	w = worker(p, 10);
	turns(3);
	ipc_leave(w->ch);
	turns(3);
	assert_int_equal(w->got, 1);
	other = worker(p, 11);
	other->answer = true;
	turns(2);
	route(p, &asker, 0);
	turns(4);
	assert_int_equal(w->got, 1);
	assert_int_equal(asker.replies, 1);
	worker_free(w);
	turns(4);
	assert_int_equal(asker.replies, 2);
	assert_int_equal(asker.error, 0);
	worker_free(other);
	turns(2);
	ipc_pool_free(&p);
}

static void
test_pool_waits_until_timeout(void **state)
{
	struct ipc_pool *p = ipc_pool_new(l, IPC_ROLE_smtpd, IPC_ROLE_lookupd);
	struct end asker = { 0 };
	uint64_t call;
	int i;

	(void)state;
	route(p, &asker, 1);
	call = route(p, &asker, 0);
	ipc_call_cancel(call);
	for (i = 0; i < 40 && asker.replies == 0; i++)
		loop_turn(l, 100);
	assert_int_equal(asker.replies, 1);
	assert_int_equal(asker.error, PK_ETIMEOUT);
	ipc_pool_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(test_one_way),
		T(test_A9_secrets_are_wiped),
		T(test_call),
		T(test_part_where_none_may_be),
		T(test_part_refused),
		T(test_free_while_lost),
		T(test_hanging_peer),
		T(test_peer_dies),
		T(test_free_cancels),
		T(test_free_inside),
		T(test_cancel),
		T(test_timeout_then_late_answer),
		T(test_handles),
		T(test_own_mistakes),
		T(test_full_queue),
		T(test_flush_wait),
		T(test_nobody_reads),
		T(test_violations),
		T(test_adopted),
		T(test_handles_not_declared),
		T(test_handler_refuses),
		T(test_last_words_are_heard),
		T(test_pool_again),
		T(test_pool_gives_up),
		T(test_pool_leaving),
		T(test_pool_waits_until_timeout),
#undef T
	};

	log_init("channel_test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
