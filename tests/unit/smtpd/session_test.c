/* SPDX-License-Identifier: ISC */
/*
 * session_test.c: dialogues with the session engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/smtpd/harness.h"

static struct harness h;

#define SAYS(said, want)						\
	do {								\
		const char *said_ = (said);				\
									\
		if (strncmp(said_, (want), strlen(want)) != 0)		\
			fail_msg("line %d: said \"%s\", not \"%s\"",	\
			    __LINE__, said_, (want));			\
	} while (0)

static void
begin(const char *conf, const char *address)
{
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, conf);
	harness_connect(&h, address);
}

static void
end(void)
{
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

/* EHLO, MAIL, RCPT. */
static void
open_transaction(void)
{
	SAYS(harness_say(&h, "EHLO client.test\r\n"), "250-");
	SAYS(harness_say(&h, "MAIL FROM:<s@sender.test>\r\n"), "250 2.1.0");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "250 2.1.5");
}

static void
check_simple(const struct harness_message *m, void *arg)
{
	struct view rest = m->envelope.recipients;
	struct record_recipient r;

	(void)arg;
	assert_true(view_eq(m->envelope.sender, VIEW("s@sender.test")));
	assert_int_equal(m->envelope.nrecipients, 1);
	assert_true(record_recipient_next(&rest, &r));
	assert_true(view_eq(r.address, VIEW("alice@example.test")));
	assert_true(view_eq(m->content, VIEW("Subject: x\r\nMessage-ID: <1@sender.test>\r\n\r\n"
	    ".hello\r\n")));
	assert_true(view_starts(m->header, VIEW("Received: from client.test (unknown "
	    "[203.0.113.7])")));
	assert_true(view_eq(m->envelope.message_id, VIEW("<1@sender.test>")));
	assert_true(view_eq(m->envelope.protocol, VIEW("ESMTP")));
	assert_int_equal(m->envelope.body, RECORD_BODY_7BIT);
}

static void
test_message(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(buf_cstr(&h.replies), "220 mx.example.test ESMTP");
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\n"), "354 ");
	SAYS(harness_say(&h, "Subject: x\r\nMessage-ID: <1@sender.test>\r\n\r\n..hello\r\n.\r\n"),
	    "250 2.0.0 Ok: queued as ");
	SAYS(harness_say(&h, "QUIT\r\n"), "221 2.0.0");
	assert_true(harness_closed(&h));
	assert_int_equal(harness_messages(&h, check_simple, NULL), 1);
	end();
}

static void
test_two_messages_pipelined(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\n"
	    "RCPT TO:<nobody@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"),
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 <nobody@example.test>: Recipient address "
	    "rejected: User unknown in virtual mailbox table\r\n250 2.1.5 Ok\r\n354 ");
	SAYS(harness_say(&h, "x: y\r\n\r\nbody\r\n.\r\nMAIL FROM:<>\r\n"
	    "RCPT TO:<bob@example.test>\r\nDATA\r\n"), "250 2.0.0 Ok: queued as ");
	SAYS(harness_say(&h, "x: y\r\n\r\nbody\r\n.\r\nQUIT\r\n"), "250 2.0.0 Ok: queued as ");
	assert_int_equal(harness_messages(&h, NULL, NULL), 2);
	end();
}

static void
test_every_split(void **state)
{
	static const char talk[] = "EHLO c.test\r\n|MAIL FROM:<a@b.test>\r\n"
	    "RCPT TO:<alice@example.test>\r\nDATA\r\n|a: b\r\n\r\n..x\r\n.y\r\n.\r\n|QUIT\r\n";
	char part[256], *save, *piece;
	size_t cut, len = strlen(talk), k;

	(void)state;
	begin("smtpd_client_connection_count_limit = 0\n", HARNESS_STRANGER);
	for (cut = 1; cut < len; cut++) {
		harness_connect(&h, HARNESS_STRANGER);
		memcpy(part, talk, len + 1);
		for (piece = part; piece != NULL; piece = save) {
			save = strchr(piece, '|');
			if (save != NULL)
				*save++ = '\0';
			k = strlen(piece);
			if (cut > (size_t)(piece - part) && cut < (size_t)(piece - part) + k) {
				harness_send(&h, view_of(piece, cut - (size_t)(piece - part)));
				piece += cut - (size_t)(piece - part);
			}
			harness_say(&h, piece);
		}
	}
	assert_int_equal(harness_messages(&h, NULL, NULL), len - 1);
	end();
}

static void
test_states(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "503 5.5.1 Error: need MAIL");
	SAYS(harness_say(&h, "DATA\r\n"), "503 5.5.1");
	SAYS(harness_say(&h, "EHLO c.test\r\n"), "250-mx.example.test\r\n250-PIPELINING\r\n"
	    "250-SIZE 10240000\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "503 5.5.1 Error: nested MAIL");
	SAYS(harness_say(&h, "DATA\r\n"), "503 5.5.1 Error: need RCPT");
	SAYS(harness_say(&h, "NOOP\r\n"), "250");
	SAYS(harness_say(&h, "RSET\r\n"), "250");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "503");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250");
	SAYS(harness_say(&h, "EHLO again.test\r\n"), "250");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "503");
	SAYS(harness_say(&h, "VRFY alice\r\n"), "252");
	SAYS(harness_say(&h, "HELP\r\n"), "214");
	SAYS(harness_say(&h, "STARTTLS\r\n"), "454 4.7.0");
	SAYS(harness_say(&h, "NONSENSE\r\n"), "500");
	end();
}

static void
test_limits(void **state)
{
	(void)state;
	begin("message_size_limit = 1000\nsmtpd_recipient_limit = 2\nhopcount_limit = 2\n"
	    "header_size_limit = 1024\n", HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> SIZE=1001\r\n"), "552 5.3.4");
	open_transaction();
	SAYS(harness_say(&h, "RCPT TO:<bob@example.test>\r\n"), "250");
	SAYS(harness_say(&h, "RCPT TO:<user1@example.test>\r\n"), "452 4.5.3");
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	harness_say(&h, "a: b\r\n\r\n");
	for (int i = 0; i < 100; i++)
		harness_say(&h, "twelve bytes\r\n");
	SAYS(harness_say(&h, ".\r\n"), "552 5.3.4");
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	SAYS(harness_say(&h, "Received: a\r\nReceived: b\r\nReceived: c\r\n\r\nx\r\n.\r\n"),
	    "554 5.4.0 Error: too many hops");
	assert_int_equal(harness_messages(&h, NULL, NULL), 0);
	end();
}

static void
test_bare_newlines(void **state)
{
	static const char *const bad[] = { "\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\r\n",
	    "\n\n.\r\n", "\r\n.\r" };
	char text[200];
	size_t i;

	(void)state;
	begin("smtpd_forbid_bare_newline = reject\nsmtpd_hard_error_limit = 100\n",
	    HARNESS_STRANGER);
	for (i = 0; i < NELEMS(bad); i++) {
		open_transaction();
		SAYS(harness_say(&h, "DATA\r\n"), "354");
		snprintf(text, sizeof(text), "a: b\r\n\r\nx%sMAIL FROM:<evil@b.test>\r\n"
		    "RCPT TO:<bob@example.test>\r\nDATA\r\nevil\r\n", bad[i]);
		SAYS(harness_say(&h, text), "");
		SAYS(harness_say(&h, "\r\n.\r\n"), "550 5.5.2");
	}
	assert_int_equal(harness_messages(&h, NULL, NULL), 0);
	end();
}

static void
test_bdat(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	open_transaction();
	SAYS(harness_say(&h, "BDAT 10\r\na: b\r\n\r\nhi"), "250 2.0.0 Ok: 10 bytes");
	SAYS(harness_say(&h, "DATA\r\n"), "503");
	SAYS(harness_say(&h, "RCPT TO:<bob@example.test>\r\n"), "503");
	SAYS(harness_say(&h, "BDAT 2 LAST\r\n\r\n"), "250 2.0.0 Ok: queued as ");
	/* Without a transaction the chunk is taken off and refused. */
	SAYS(harness_say(&h, "BDAT 30 LAST\r\nMAIL FROM:<evil@sender.test>\r\nNOOP\r\n"),
	    "503 5.5.1 Error: need RCPT command\r\n250 2.0.0 Ok\r\n");
	assert_int_equal(harness_messages(&h, NULL, NULL), 1);
	end();
}

static void
test_bdat_failure(void **state)
{
	(void)state;
	begin("message_size_limit = 20\n", HARNESS_STRANGER);
	open_transaction();
	SAYS(harness_say(&h, "BDAT 30\r\n012345678901234567890123456789"), "552 5.3.4");
	SAYS(harness_say(&h, "BDAT 2 LAST\r\nx\n"), "503");
	SAYS(harness_say(&h, "DATA\r\n"), "503");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "503");
	SAYS(harness_say(&h, "RCPT TO:<bob@example.test>\r\n"), "503");
	SAYS(harness_say(&h, "RSET\r\n"), "250");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250");
	assert_int_equal(harness_messages(&h, NULL, NULL), 0);
	end();
}

static void
test_pipelining_refused(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(harness_say(&h, "EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n"), "554 5.5.0");
	assert_true(harness_closed(&h));
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "HELO c.test\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\n"), "554");
	harness_connect(&h, HARNESS_STRANGER);
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\na: b\r\n\r\nbody\r\n.\r\nQUIT\r\n"), "554 5.5.0");
	assert_int_equal(harness_messages(&h, NULL, NULL), 0);
	end();
}

static void
test_http(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(harness_say(&h, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "221 2.7.0");
	assert_true(harness_closed(&h));
	harness_connect(&h, HARNESS_STRANGER);
	SAYS(harness_say(&h, "\x16\x03\x01\r\n"), "221 2.7.0");
	end();
}

static void
test_errors_end_it(void **state)
{
	int i;

	(void)state;
	begin("smtpd_hard_error_limit = 5\n", HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	for (i = 0; i < 4; i++)
		SAYS(harness_say(&h, "XYZZY\r\n"), "500");
	SAYS(harness_say(&h, "XYZZY\r\n"), "500 5.5.2 Error: command not recognized\r\n421 4.7.0");
	assert_true(harness_closed(&h));
	end();
}

static void
test_long_line(void **state)
{
	char *line = xmalloc(100000);

	(void)state;
	begin("", HARNESS_STRANGER);
	memset(line, 'x', 100000);
	SAYS(harness_send(&h, view_of(line, 100000)), "500 5.5.2");
	SAYS(harness_say(&h, "\r\n"), "");
	SAYS(harness_say(&h, "NOOP\r\n"), "250");
	xfree(line);
	end();
}

static void
test_large(void **state)
{
	size_t size = 3 << 20, i;
	char *text = xmalloc(size + 5);

	(void)state;
	begin("", HARNESS_STRANGER);
	h.segment_size = 64 << 20;
	for (i = 0; i < size; i++)
		text[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'a';
	memcpy(text + size, ".\r\n", 3);
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	harness_push(&h, view_of("a: b\r\n\r\n", 8));
	SAYS(harness_send(&h, view_of(text, size + 3)), "250 2.0.0 Ok: queued as ");
	assert_int_equal(harness_messages(&h, NULL, NULL), 1);
	/* The client goes in the middle: nothing is left, nothing is queued. */
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	harness_send(&h, view_of(text, size / 2));
	harness_hang_up(&h);
	assert_int_equal(harness_messages(&h, NULL, NULL), 1);
	xfree(text);
	end();
}

static void
test_client_leaves_while_committing(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	open_transaction();
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	harness_push(&h, VIEW("a: b\r\n\r\nbody\r\n.\r\n"));
	loop_turn(h.loop, 0);
	harness_hang_up(&h);
	end();
}

static void
test_pressure(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	h.worker->pressure = 2;
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "452 4.3.1");
	h.worker->pressure = 0;
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250");
	end();
}

static void
test_drain(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	open_transaction();
	worker_drain(h.worker);
	SAYS(harness_say(&h, "DATA\r\n"), "354");
	SAYS(harness_say(&h, "a: b\r\n\r\nx\r\n.\r\n"), "250 2.0.0 Ok: queued as ");
	assert_non_null(strstr(buf_cstr(&h.replies), "421 4.3.2"));
	assert_true(harness_closed(&h));
	end();
}

static void
check_dsn(const struct harness_message *m, void *arg)
{
	struct view rest = m->envelope.recipients;
	struct record_recipient r;

	(void)arg;
	assert_true(view_eq(m->envelope.envid, VIEW("abc+2Bd")));
	assert_int_equal(m->envelope.ret, RECORD_RET_HDRS);
	assert_int_equal(m->envelope.body, RECORD_BODY_8BIT);
	assert_true(record_recipient_next(&rest, &r));
	assert_int_equal(r.notify, RECORD_NOTIFY_SUCCESS | RECORD_NOTIFY_FAILURE);
	assert_true(view_eq(r.orcpt, VIEW("rfc822;o@x.test")));
}

static void
test_dsn_parameters(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> RET=HDRS ENVID=abc+2Bd BODY=8BITMIME "
	    "SIZE=10\r\n"),
	    "250");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test> NOTIFY=SUCCESS,FAILURE "
	    "ORCPT=rfc822;o@x.test\r\n"), "250");
	harness_say(&h, "DATA\r\n");
	SAYS(harness_say(&h, "a: b\r\n\r\n\xc3\xa4\xff\r\n.\r\n"), "250 2.0.0 Ok: queued as ");
	assert_int_equal(harness_messages(&h, check_dsn, NULL), 1);
	end();
}

static void
test_client_name(void **state)
{
	(void)state;
	begin("smtpd_client_restrictions = reject_unknown_client_hostname\n", "192.0.2.1");
	open_transaction();
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	harness_say(&h, "MAIL FROM:<a@b.test>\r\n");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"),
	    "450 4.7.25 Client host rejected");
	end();
}

static void
test_connection_limit(void **state)
{
	int first;

	(void)state;
	begin("smtpd_client_connection_count_limit = 1\n", HARNESS_STRANGER);
	first = h.fd;
	h.fd = -1;
	harness_connect(&h, HARNESS_STRANGER);
	SAYS(buf_cstr(&h.replies), "421 4.7.0 mx.example.test Error: too many connections");
	harness_hang_up(&h);
	h.fd = first;
	harness_connect(&h, HARNESS_STRANGER);
	SAYS(buf_cstr(&h.replies), "220");
	end();
}

UNIT_MAIN(cmocka_unit_test(test_message), cmocka_unit_test(test_two_messages_pipelined),
    cmocka_unit_test(test_every_split), cmocka_unit_test(test_states),
    cmocka_unit_test(test_limits), cmocka_unit_test(test_bare_newlines),
    cmocka_unit_test(test_bdat), cmocka_unit_test(test_bdat_failure),
    cmocka_unit_test(test_pipelining_refused), cmocka_unit_test(test_http),
    cmocka_unit_test(test_errors_end_it), cmocka_unit_test(test_long_line),
    cmocka_unit_test(test_large), cmocka_unit_test(test_client_leaves_while_committing),
    cmocka_unit_test(test_pressure), cmocka_unit_test(test_drain),
    cmocka_unit_test(test_dsn_parameters), cmocka_unit_test(test_client_name),
    cmocka_unit_test(test_connection_limit))
