/* SPDX-License-Identifier: ISC */
/*
 * smtp_client_test.c: the client engine against scripted servers. Each script
 * is run three times: replies whole, byte by byte, and all later ones glued
 * to the first; what was sent and what became of each recipient must agree.
 * (A18, F9)
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/smtp_client.h"

#define RCPTS 3

struct rig {
	struct smtp_client c;
	struct smtp_client_conf conf;
	struct buf	out;
	struct buf	log;		/* "2:sent:2.0.0:text\n" ... */
	struct smtp_txn	txns[3];
	struct smtp_txn_rcpt rcpts[3][RCPTS];
	unsigned	ntxns;		/* to do */
	unsigned	begun;
	bool		hold_content;	/* content() does not finish at once */
};

static const char content[] = "Subject: x\r\n\r\nhello\r\n";

static void
begin_more(struct rig *r)
{
	while (r->begun < r->ntxns && smtp_client_can_begin(&r->c)) {
		r->begun++;
		smtp_client_begin(&r->c, &r->txns[r->begun - 1]);
	}
}

static void
on_ready(struct smtp_client *c, void *arg)
{
	(void)c;
	begin_more(arg);
}

static void
on_content(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	struct rig *r = arg;

	buf_put_str(&r->out, content);
	if (!t->bdat)
		buf_put_str(&r->out, ".\r\n");
	if (r->hold_content)
		return;
	smtp_client_content_sent(c, t);
	begin_more(r);
}

static void
on_result(struct smtp_client *c, struct smtp_txn *t, size_t i,
    const struct smtp_outcome *o, void *arg)
{
	static const char *const names[] = { "sent", "deferred", "bounced" };
	struct rig *r = arg;

	(void)c;
	buf_printf(
	    &r->log, "%d.%d %s ", (int)(t - r->txns), (int)i, names[o->what]);
	enhanced_put(&r->log, o->dsn);
	buf_printf(&r->log, " %.*s\n", VIEW_ARG(o->text));
}

static void
on_done(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	struct rig *r = arg;

	(void)c;
	(void)t;
	begin_more(r);
}

static const struct smtp_client_ops ops = {
	on_ready, on_content, on_result, on_done, NULL,
};

static void
rig_init(struct rig *r, unsigned ntxns, size_t nrcpts)
{
	static const char *const names[] = { "a@x.test", "b@x.test",
		"c@x.test" };
	unsigned i;
	size_t k;

	memset(r, 0, sizeof(*r));
	buf_init(&r->out, 1 << 20);
	buf_init(&r->log, 1 << 20);
	r->conf.helo_name = "me.test";
	r->conf.myhostname = "me.test";
	r->conf.always_ehlo = true;
	r->ntxns = ntxns;
	for (i = 0; i < ntxns; i++) {
		r->txns[i].sender = VIEW("s@me.test");
		r->txns[i].size = sizeof(content) - 1;
		r->txns[i].rcpts = r->rcpts[i];
		r->txns[i].nrcpts = nrcpts;
		for (k = 0; k < nrcpts; k++)
			r->rcpts[i][k].address = view_str(names[k]);
	}
	smtp_client_init(&r->c, &r->conf, &ops, r, &r->out, "mx[192.0.2.1]");
}

static void
rig_fini(struct rig *r)
{
	smtp_client_fini(&r->c);
	buf_fini(&r->out);
	buf_fini(&r->log);
}

/* Feeds a script; mode 0: by line, 1: by byte, 2: at once. */
static int
feed(struct rig *r, const char *script, int mode)
{
	struct view v = view_str(script);
	size_t n, len;
	int rc = 0;

	for (; v.len > 0 && rc == 0; v = view_from(v, n)) {
		len = (size_t)view_find(v, '\n') + 1;
		n = mode == 0 ? len : mode == 1 ? 1 : v.len;
		rc = smtp_client_feed(&r->c, view_head(v, n));
	}
	return rc;
}

static void
expect(struct rig *r, const char *out, const char *log)
{
	assert_string_equal(buf_cstr(&r->out), out);
	assert_string_equal(buf_cstr(&r->log), log);
}

#define HELLO "220 mx ESMTP\r\n250-mx hi\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"
#define PLAIN "220 mx ESMTP\r\n250 mx hi\r\n"
#define MAIL "MAIL FROM:<s@me.test> SIZE=21\r\n"
#define MSG "Subject: x\r\n\r\nhello\r\n"

struct script {
	const char	*name;
	unsigned	 txns;
	size_t		 rcpts;
	const char	*server;
	int		 rc;
	const char	*out;
	const char	*log;
};

static const struct script scripts[] = {
	{ "pipelined", 1, 1,
	    HELLO "250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued as 1\r\n", 0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.0 sent 2.0.0 250 2.0.0 queued as 1\n" },
	{ "step by step", 1, 2,
	    PLAIN "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n", 0,
	    "EHLO me.test\r\nMAIL FROM:<s@me.test>\r\nRCPT TO:<a@x.test>\r\n"
	    "RCPT TO:<b@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.0 sent 2.0.0 250 queued\n0.1 sent 2.0.0 250 queued\n" },
	{ "helo", 1, 1,
	    "220 mx\r\n500 what\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
	    0,
	    "EHLO me.test\r\nHELO me.test\r\nMAIL FROM:<s@me.test>\r\n"
	    "RCPT TO:<a@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.0 sent 2.0.0 250 ok\n" },
	{ "one of three refused", 1, 3,
	    HELLO "250 ok\r\n250 ok\r\n550 5.1.1 who?\r\n450 later\r\n354 go\r\n250 ok\r\n",
	    0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"
	    "RCPT TO:<c@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.1 bounced 5.1.1 host mx[192.0.2.1] said: 550 5.1.1 who? "
	    "(in reply to RCPT TO command)\n"
	    "0.2 deferred 4.0.0 host mx[192.0.2.1] said: 450 later "
	    "(in reply to RCPT TO command)\n"
	    "0.0 sent 2.0.0 250 ok\n" },
	{ "sender refused, pipelined", 1, 1,
	    HELLO "553 no\r\n503 no\r\n503 no\r\n", 0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n",
	    "0.0 bounced 5.0.0 host mx[192.0.2.1] said: 553 no "
	    "(in reply to MAIL FROM command)\n" },
	{ "354 for nobody", 1, 1,
	    HELLO "250 ok\r\n550 no\r\n354 go\r\n250 fine\r\n", 0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n.\r\n",
	    "0.0 bounced 5.0.0 host mx[192.0.2.1] said: 550 no "
	    "(in reply to RCPT TO command)\n" },
	{ "behind the dot", 2, 1,
	    HELLO "250 ok\r\n250 ok\r\n354 go\r\n"
	    "451 4.3.0 first\r\n250 ok\r\n250 ok\r\n354 go\r\n250 second\r\n", 0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n" MSG ".\r\n"
	    MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.0 deferred 4.3.0 host mx[192.0.2.1] said: 451 4.3.0 first "
	    "(in reply to end of DATA command)\n1.0 sent 2.0.0 250 second\n" },
	{ "all refused, then RSET", 2, 1,
	    HELLO "250 ok\r\n550 no\r\n554 none\r\n250 reset\r\n"
	    "250 ok\r\n250 ok\r\n354 go\r\n250 second\r\n", 0,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n"
	    "RSET\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n" MSG ".\r\n",
	    "0.0 bounced 5.0.0 host mx[192.0.2.1] said: 550 no "
	    "(in reply to RCPT TO command)\n1.0 sent 2.0.0 250 second\n" },
	{ "421 for MAIL", 1, 1, HELLO "421 4.3.2 closing\r\n", PK_EPROTO,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n",
	    "0.0 deferred 4.3.2 host mx[192.0.2.1] said: 421 4.3.2 closing "
	    "(in reply to MAIL FROM command)\n" },
	{ "early 250", 1, 1, HELLO "250 ok\r\n250 ok\r\n250 what\r\n", PK_EPROTO,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n",
	    "0.0 deferred 4.5.0 protocol error: host mx[192.0.2.1] sent no "
	    "valid reply while sending DATA command\n" },
	{ "nonsense", 1, 1, HELLO "HTTP/1.1 400 Bad Request\r\n", PK_EPROTO,
	    "EHLO me.test\r\n" MAIL "RCPT TO:<a@x.test>\r\nDATA\r\n",
	    "0.0 deferred 4.5.0 protocol error: host mx[192.0.2.1] sent no "
	    "valid reply while sending MAIL FROM\n" },
};

static void
test_scripts(void **state)
{
	const struct script *s;
	struct rig r;
	size_t i;
	int mode;

	(void)state;
	for (i = 0; i < NELEMS(scripts); i++) {
		s = &scripts[i];
		for (mode = 0; mode < 3; mode++) {
			rig_init(&r, s->txns, s->rcpts);
			if (feed(&r, s->server, mode) != s->rc)
				fail_msg(
				    "%s, mode %d: wrong result", s->name, mode);
			if (strcmp(buf_cstr(&r.out), s->out) != 0 ||
			    strcmp(buf_cstr(&r.log), s->log) != 0)
				print_message("%s, mode %d:\n", s->name, mode);
			expect(&r, s->out, s->log);
			rig_fini(&r);
		}
	}
}

static void
test_bdat(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 2, 1);
	r.txns[0].bdat = r.txns[1].bdat = true;
	assert_int_equal(feed(&r,
			     "220 mx\r\n250-mx\r\n250-PIPELINING\r\n"
			     "250 CHUNKING\r\n",
			     0),
	    0);
	/* Two messages in one packet. */
	assert_string_equal(buf_cstr(&r.out),
	    "EHLO me.test\r\n"
	    "MAIL FROM:<s@me.test>\r\nRCPT TO:<a@x.test>\r\nBDAT 21 "
	    "LAST\r\n" MSG "RSET\r\n"
	    "MAIL FROM:<s@me.test>\r\nRCPT TO:<a@x.test>\r\nBDAT 21 "
	    "LAST\r\n" MSG);
	assert_int_equal(feed(&r,
			     "250 ok\r\n550 no\r\n503 none\r\n"
			     "250 reset\r\n250 ok\r\n250 ok\r\n250 yes\r\n",
			     1),
	    0);
	assert_string_equal(buf_cstr(&r.log),
	    "0.0 bounced 5.0.0 host mx[192.0.2.1] said: 550 no "
	    "(in reply to RCPT TO command)\n1.0 sent 2.0.0 250 yes\n");
	assert_true(smtp_client_can_begin(&r.c));
	rig_fini(&r);
}

#define MANY 20000

/* More recipients than fit into the output: they go out as it leaves. */
static void
test_many_recipients(void **state)
{
	static struct smtp_txn_rcpt rcpts[MANY];
	static char names[MANY][80];
	struct view out, line;
	unsigned rounds = 0;
	struct rig r;
	size_t i, replies;

	(void)state;
	rig_init(&r, 1, 1);
	buf_fini(&r.log);
	buf_init(&r.log, 16 << 20);
	for (i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]),
		    "somebody.with.a.rather.long.name.%zu@some.domain.x.test",
		    i);
		rcpts[i] =
		    (struct smtp_txn_rcpt){ .address = view_str(names[i]) };
	}
	r.txns[0].rcpts = rcpts;
	r.txns[0].nrcpts = MANY;
	assert_int_equal(feed(&r, HELLO, 0), 0);
	while (r.out.len > 0 && rounds++ < 10000) {
		assert_true(r.out.len < 100000);
		out = buf_view(&r.out);
		for (replies = 0; view_next(&out, "\r\n", &line);)
			replies += view_starts(line, VIEW("MAIL")) ||
			    view_starts(line, VIEW("RCPT"));
		if (view_caseends(buf_view(&r.out), VIEW("DATA\r\n")))
			replies += 1000000;
		buf_reset(&r.out);
		for (i = 0; i < replies % 1000000; i++)
			assert_int_equal(feed(&r, "250 ok\r\n", 0), 0);
		if (replies >= 1000000)
			assert_int_equal(
			    feed(&r, "354 go\r\n250 ok\r\n", 0), 0);
	}
	for (i = 0; i < MANY; i++)
		assert_true(rcpts[i].done);
	assert_int_equal(buf_error(&r.out), 0);
	assert_null(strstr(buf_cstr(&r.log), "deferred"));
	rig_fini(&r);
}

static void
test_lmtp(void **state)
{
	struct rig r;
	int mode;

	(void)state;
	for (mode = 0; mode < 3; mode++) {
		rig_init(&r, 1, 3);
		r.conf.lmtp = true;
		assert_int_equal(feed(&r,
				     HELLO "250 ok\r\n250 ok\r\n550 who\r\n"
					   "250 ok\r\n354 go\r\n250 2.1.5 "
					   "stored\r\n452 4.2.2 full\r\n",
				     mode),
		    0);
		assert_string_equal(buf_cstr(&r.log),
		    "0.1 bounced 5.0.0 host mx[192.0.2.1] said: 550 who "
		    "(in reply to RCPT TO command)\n"
		    "0.0 sent 2.1.5 250 2.1.5 stored\n"
		    "0.2 deferred 4.2.2 host mx[192.0.2.1] said: 452 4.2.2 "
		    "full "
		    "(in reply to end of DATA command)\n");
		assert_true(smtp_client_can_begin(&r.c));
		rig_fini(&r);
	}
}

static void
test_extensions(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 1, 1);
	r.txns[0].ret = SMTP_RET_HDRS;
	r.txns[0].envid = VIEW("id+2B1");
	r.txns[0].body = SMTP_BODY_8BITMIME;
	r.txns[0].smtputf8 = true;
	r.txns[0].mt_priority = -3;
	r.rcpts[0][0].notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY;
	r.rcpts[0][0].orcpt = VIEW("rfc822;a@x.test");
	feed(&r,
	    "220 mx\r\n250-mx\r\n250-DSN\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	    "250-MT-PRIORITY\r\n250-SIZE\r\n250 PIPELINING\r\n",
	    0);
	assert_string_equal(buf_cstr(&r.out),
	    "EHLO me.test\r\n"
	    "MAIL FROM:<s@me.test> SIZE=21 BODY=8BITMIME SMTPUTF8 RET=HDRS "
	    "ENVID=id+2B1 MT-PRIORITY=-3\r\n"
	    "RCPT TO:<a@x.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@x.test\r\n"
	    "DATA\r\n");
	rig_fini(&r);
}

/* The connection goes away behind each reply of a good session (F9). */
static void
test_lost(void **state)
{
	static const struct {
		const char *server, *words;
	} cases[] = {
		{ "", NULL },
		{ "220 mx\r\n", NULL },
		{ HELLO, "sending MAIL FROM" },
		{ HELLO "250 ok\r\n", "sending RCPT TO" },
		{ HELLO "250 ok\r\n250 ok\r\n", "sending DATA command" },
		{ HELLO "250 ok\r\n250 ok\r\n354 go\r\n",
		    "sending end of data -- message may be sent more than once" },
	};
	struct rig r;
	size_t i;
	char *want;

	(void)state;
	for (i = 0; i < NELEMS(cases); i++) {
		rig_init(&r, 1, 1);
		assert_int_equal(feed(&r, cases[i].server, 0), 0);
		smtp_client_lost(&r.c, i & 1 ? PK_ETIMEOUT : PK_EPEER);
		if (cases[i].words == NULL) {
			assert_int_equal(r.c.refusal, SMTP_REFUSAL_PROTOCOL);
			assert_int_equal(r.log.len, 0);
		} else {
			want = xasprintf("0.0 deferred 4.4.2 %s mx[192.0.2.1]%s "
			    "while %s\n", i & 1 ? "conversation with" :
			    "lost connection with", i & 1 ? " timed out" : "",
			    cases[i].words);
			assert_string_equal(buf_cstr(&r.log), want);
			xfree(want);
		}
		rig_fini(&r);
	}
}

static void
test_refusals(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 1, 1);
	assert_int_equal(feed(&r, "554 5.7.1 go away\r\n", 1), PK_EPROTO);
	assert_int_equal(r.c.refusal, SMTP_REFUSAL_GREETING);
	assert_int_equal(r.c.refused.what, SMTP_OUTCOME_BOUNCED);
	assert_true(view_eq(r.c.refused.text,
	    VIEW("host mx[192.0.2.1] refused "
		 "to talk to me: 554 5.7.1 go away")));
	rig_fini(&r);

	rig_init(&r, 1, 1);
	assert_int_equal(
	    feed(&r, "220 x\r\n250 ME.test hello\r\n", 1), PK_EPROTO);
	assert_int_equal(r.c.refusal, SMTP_REFUSAL_LOOP);
	rig_fini(&r);
}

/* A cached connection that the server has had enough of. */
static void
test_take_back(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 2, 1);
	assert_int_equal(feed(&r,
			     HELLO "250 ok\r\n250 ok\r\n354 go\r\n250 one\r\n"
				   "421 too many\r\n",
			     0),
	    PK_EPROTO);
	assert_string_equal(buf_cstr(&r.log), "0.0 sent 2.0.0 250 one\n");
	assert_int_equal(r.c.ntxns, 1);
	assert_true(smtp_client_untouched(&r.c, &r.txns[1]));
	smtp_client_take_back(&r.c, &r.txns[1]);
	assert_int_equal(r.c.ntxns, 0);
	rig_fini(&r);
}

static void
test_early_refusal(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 1, 1);
	r.hold_content = true;
	assert_int_equal(feed(&r,
			     HELLO "250 ok\r\n250 ok\r\n354 go\r\n"
				   "552 5.3.4 too big\r\n",
			     0),
	    PK_EPROTO);
	assert_string_equal(buf_cstr(&r.log),
	    "0.0 bounced 5.3.4 host "
	    "mx[192.0.2.1] said: 552 5.3.4 too big (in reply to end of DATA "
	    "command)\n");
	rig_fini(&r);
}

static void
test_address_ok(void **state)
{
	(void)state;
	assert_true(smtp_client_address_ok(VIEW("a@b")));
	assert_true(smtp_client_address_ok(VIEW("\"a b<>\\\"\"@c")));
	assert_true(smtp_client_address_ok(VIEW("")));
	assert_false(smtp_client_address_ok(VIEW("a> NOTIFY=NEVER")));
	assert_false(smtp_client_address_ok(VIEW("a\r\nDATA")));
	assert_false(smtp_client_address_ok(VIEW("\"a\\\r\"@b")));
	assert_false(smtp_client_address_ok(VIEW("\"a@b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_bdat),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_lmtp),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_take_back),
		cmocka_unit_test(test_early_refusal),
		cmocka_unit_test(test_address_ok),
	};

	return cmocka_run_group_tests_name("smtp_client", tests, NULL, NULL);
}
