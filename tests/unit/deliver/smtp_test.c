/* SPDX-License-Identifier: ISC */
/*
 * smtp_test.c: the smtp and lmtp roles against servers on loopback: reuse,
 * several recipients, refusals, large and 8-bit content, idle connections that
 * went away, hosts that are not there (A2, F9).
 */
#include "tests/unit/deliver/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define CONF "myhostname = me.test\nlisteners = smtp:inet:1\n"

static char nexthop[64];

static void
start(struct rig *r, struct rig_server *s, const char *conf)
{
	rig_init(r, &deliver_role_smtp, conf);
	rig_server_init(s, r->d.loop, false);
	snprintf(nexthop, sizeof(nexthop), "[127.0.0.1]:%u", s->port);
}

static void
stop(struct rig *r, struct rig_server *s)
{
	rig_fini(r);
	rig_server_fini(s);
}

static struct rig_job
job(void)
{
	struct rig_job j = {
		.nexthop = nexthop, .sender = "s@me.test",
		.rcpts = { "a@x.test" }, .header = "Received: x\r\n",
		.content = VIEW("Subject: t\r\n\r\nhello\r\n"),
	};

	return j;
}

static void
test_one(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	j = job();
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_int_equal(r.ready, 1000);
	assert_memory_equal(buf_cstr(&r.log),
	    "1/0 sent 2.0.0 250 2.0.0 queued [127.0.0.1[127.0.0.1]:", 52);
	assert_string_equal(
	    buf_cstr(&s.data), "Received: x\r\nSubject: t\r\n\r\nhello\r\n");
	stop(&r, &s);
}

static void
test_reuse(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	int i;

	(void)state;
	start(&r, &s, CONF);
	j = job();
	for (i = 0; i < 500; i++)
		rig_send(&r, &j);
	rig_wait(&r, 500);
	assert_int_equal(s.messages, 500);
	assert_true(s.connections <= 20);
	assert_null(strstr(buf_cstr(&r.log), "deferred"));
	/* And all of it on one connection. */
	stop(&r, &s);
	start(&r, &s, CONF "destination_concurrency_limit = 1\n");
	s.ehlo = "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
	for (i = 0; i < 50; i++)
		rig_send(&r, &j);
	rig_wait(&r, 50);
	assert_int_equal(s.messages, 50);
	assert_int_equal(s.connections, 1);
	stop(&r, &s);
}

static void
test_dots(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	j = job();
	j.header = "";
	j.content = VIEW("A: b\r\n\r\n.\r\n..\r\nbare\rcr\nlf\n.\nend");
	rig_send(&r, &j);
	rig_wait(&r, 1);
	/* What a receiver sees before it takes the dots off. */
	assert_string_equal(buf_cstr(&s.data),
	    "A: b\r\n\r\n..\r\n...\r\n"
	    "bare cr\r\nlf\r\n..\r\nend\r\n");
	stop(&r, &s);
}

static void
test_recipients(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	s.special[0][0] = "RCPT TO:<no@";
	s.special[0][1] = "550 5.1.1 who\r\n";
	s.ehlo = "250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n";
	j = job();
	j.rcpts[1] = "no@x.test";
	j.rcpts[2] = "c@x.test";
	j.rcpts[3] = "d@x.test> NOTIFY=NEVER";
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_int_equal(r.results, 4);
	assert_int_equal(s.messages, 2);
	assert_non_null(strstr(buf_cstr(&r.log),
	    "1/1 bounced 5.1.1 host "
	    "127.0.0.1[127.0.0.1] said: 550 5.1.1 who (in reply to RCPT TO "
	    "command)"));
	assert_non_null(strstr(buf_cstr(&r.log), "1/0 sent 2.0.0"));
	assert_non_null(strstr(buf_cstr(&r.log), "1/2 sent 2.0.0"));
	assert_non_null(strstr(buf_cstr(&r.log), "1/3 bounced 5.1.3"));
	assert_null(strstr(buf_cstr(&s.commands), "NOTIFY"));
	stop(&r, &s);
}

static void
test_nobody_there(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	char *hop, *want;

	(void)state;
	start(&r, &s, CONF);
	j = job();
	hop = xasprintf("[127.0.0.1]:1, %s", nexthop);
	j.nexthop = hop;
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_non_null(strstr(buf_cstr(&r.log), "1/0 sent"));
	j.nexthop = "[127.0.0.1]:2";
	rig_send(&r, &j);
	rig_wait(&r, 2);
	want =
	    xasprintf("2/0 deferred 4.4.1 connect to 127.0.0.1[127.0.0.1]:2: "
		      "Connection refused [none]");
	assert_non_null(strstr(buf_cstr(&r.log), want));
	j.nexthop = "bad[";
	rig_send(&r, &j);
	rig_wait(&r, 3);
	assert_non_null(strstr(buf_cstr(&r.log), "3/0 bounced 5.1.2"));
	xfree(hop);
	xfree(want);
	stop(&r, &s);
}

static void
test_large(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	struct buf b;
	int i;

	(void)state;
	start(&r, &s, CONF);
	buf_init(&b, 1 << 23);
	for (i = 0; b.len < 3000000; i++)
		buf_printf(&b, "line %d of a long message\r\n", i);
	j = job();
	j.header = "H: x\r\n";
	j.content = buf_view(&b);
	j.memfd = true;
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_int_equal(s.data.len, b.len + 6);
	assert_memory_equal(buf_data(&s.data) + 6, buf_data(&b), b.len);
	buf_fini(&b);
	stop(&r, &s);
}

static void
test_conversion(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	s.ehlo = "250 server.test\r\n";
	j = job();
	j.body = RECORD_BODY_8BIT;
	j.content =
	    VIEW("MIME-Version: 1.0\r\nContent-Type: text/plain; "
		 "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		 "gr\xc3\xbc\xc3\x9f"
		 "e\r\n");
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_non_null(strstr(buf_cstr(&s.data), "gr=C3=BC=C3=9Fe\r\n"));
	assert_non_null(strstr(buf_cstr(&s.data), "quoted-printable"));
	/* Nothing can be done about an address. */
	j.utf8 = true;
	rig_send(&r, &j);
	rig_wait(&r, 2);
	assert_non_null(
	    strstr(buf_cstr(&r.log), "2/0 bounced 5.6.7 SMTPUTF8 is required"));
	stop(&r, &s);
}

static void
test_too_big(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	s.ehlo = "250-server.test\r\n250 SIZE 10\r\n";
	j = job();
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_non_null(strstr(buf_cstr(&r.log), "1/0 bounced 5.3.4"));
	stop(&r, &s);
}

/* The server closes behind each message: jobs that wait lose nothing. */
static void
test_closing_server(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	int i;

	(void)state;
	start(&r, &s, CONF "destination_concurrency_limit = 2\n");
	s.close_after = true;
	j = job();
	for (i = 0; i < 20; i++)
		rig_send(&r, &j);
	rig_wait(&r, 20);
	assert_int_equal(s.messages, 20);
	assert_null(strstr(buf_cstr(&r.log), "deferred"));
	stop(&r, &s);
}

static void
test_drop(void **state)
{
	static const char *const at[][2] = {
		{ "EHLO", "performing the EHLO handshake" },
		{ "MAIL", "sending MAIL FROM" },
		{ "RCPT", "sending RCPT TO" },
		{ "DATA", "sending DATA command" },
	};
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(at); i++) {
		start(&r, &s, CONF);
		s.special[0][0] = at[i][0];
		j = job();
		rig_send(&r, &j);
		rig_wait(&r, 1);
		if (strstr(buf_cstr(&r.log), at[i][1]) == NULL ||
		    strstr(buf_cstr(&r.log), "1/0 deferred 4.4.2 lost connection "
		    "with 127.0.0.1[127.0.0.1] while ") == NULL)
			fail_msg("%s: %s", at[i][0], buf_cstr(&r.log));
		stop(&r, &s);
	}
}

/* The first host breaks off in the transaction: what follows begins elsewhere. */
static void
test_avoid(void **state)
{
	struct rig_server s, s2;
	struct rig r;
	struct rig_job j;
	char *hop;

	(void)state;
	start(&r, &s, CONF);
	rig_server_init(&s2, r.d.loop, false);
	s.special[0][0] = "DATA";
	hop = xasprintf("%s, [127.0.0.1]:%u", nexthop, s2.port);
	j = job();
	j.nexthop = hop;
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_non_null(strstr(buf_cstr(&r.log), "1/0 sent"));
	assert_int_equal(s2.messages, 1);
	xfree(hop);
	rig_server_fini(&s2);
	stop(&r, &s);
}

/* It says nothing any more: the time limit of that step (F9). */
static void
test_hang(void **state)
{
	static const char *const at[][2] = {
		{ "EHLO", "performing the EHLO handshake" },
		{ "MAIL", "sending MAIL FROM" },
		{ "DATA", "sending DATA command" },
	};
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(at); i++) {
		start(&r, &s, CONF "smtp_helo_timeout = 100ms\n"
		    "smtp_mail_timeout = 100ms\n"
		    "smtp_data_init_timeout = 100ms\n");
		s.special[0][0] = at[i][0];
		s.special[0][1] = "";
		s.ehlo = "250 x\r\n";
		j = job();
		rig_send(&r, &j);
		rig_wait(&r, 1);
		if (strstr(buf_cstr(&r.log), at[i][1]) == NULL ||
		    strstr(buf_cstr(&r.log), "1/0 deferred 4.4.2 conversation "
		    "with 127.0.0.1[127.0.0.1] timed out while ") == NULL)
			fail_msg("%s: %s", at[i][0], buf_cstr(&r.log));
		stop(&r, &s);
	}
}

static void
test_refused_greeting(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;

	(void)state;
	start(&r, &s, CONF);
	s.special[0][0] = "EHLO";
	s.special[0][1] = "421 4.3.2 not now\r\n";
	j = job();
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_non_null(strstr(buf_cstr(&r.log),
	    "1/0 deferred 4.3.2 host "
	    "127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 not now"));
	stop(&r, &s);
}

static void
test_lmtp(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	char *hop;

	(void)state;
	rig_init(&r, &deliver_role_lmtp, CONF);
	rig_server_init(&s, r.d.loop, true);
	s.lmtp = true;
	hop = xasprintf("unix:%s", s.path);
	j = job();
	j.nexthop = hop;
	j.rcpts[1] = "b@x.test";
	rig_send(&r, &j);
	rig_wait(&r, 1);
	assert_int_equal(r.results, 2);
	assert_non_null(strstr(buf_cstr(&r.log),
	    "1/0 sent+final 2.0.0 250 2.0.0 "
	    "queued [me.test[/tmp/pk-rig-"));
	assert_non_null(strstr(buf_cstr(&s.commands), "LHLO me.test"));
	xfree(hop);
	stop(&r, &s);
}

/* qmgr dies: its jobs are nobody's, the process lives on. */
static void
test_lost_qmgr(void **state)
{
	struct rig_server s;
	struct rig r;
	struct rig_job j;
	int i;

	(void)state;
	start(&r, &s, CONF "destination_concurrency_limit = 1\n");
	j = job();
	for (i = 0; i < 5; i++)
		rig_send(&r, &j);
	ipc_flush(r.qmgr);
	loop_turn(r.d.loop, 100);
	ipc_channel_free(&r.qmgr);
	for (i = 0; i < 50 && r.d.njobs > 0; i++)
		loop_turn(r.d.loop, 20);
	assert_int_equal(r.d.njobs, 0);
	assert_null(r.d.qmgr);
	stop(&r, &s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_dots),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_conversion),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_closing_server),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_avoid),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_refused_greeting),
		cmocka_unit_test(test_lmtp),
		cmocka_unit_test(test_lost_qmgr),
	};

	return cmocka_run_group_tests_name("deliver smtp", tests, NULL, NULL);
}
