/* SPDX-License-Identifier: ISC */
/*
 * dsn_test.c: reports, honest and with every field hostile (A11).
 */
#include "tests/unit/unit.h"

#include "base/clock.h"
#include "base/codec.h"
#include "mail/data_scanner.h"
#include "mail/dsn.h"
#include "mail/header.h"

#define T0 UINT64_C(1795187849000)

static bool
contains(const struct buf *b, const char *text)
{
	return memmem(buf_view(b).p, b->len, text, strlen(text)) != NULL;
}

#define HAS(b, text)							\
	do {								\
		if (!contains((b), (text)))				\
			fail_msg("no \"%s\" in:\n%.*s", (text),		\
			    VIEW_ARG(buf_view(b)));			\
	} while (0)

static struct dsn_recipient
recipient(void)
{
	return (struct dsn_recipient){
		.final = VIEW("bob@example.test"),
		.orcpt_type = VIEW("rfc822"),
		.orcpt = VIEW("sales@example.test"),
		.action = DSN_FAILED,
		.status = ENHANCED(5, 1, 1),
		.remote_mta = VIEW("mx.example.test"),
		.diagnostic = VIEW("550 5.1.1 <bob@example.test>: unknown"),
		.last_attempt_ms = T0,
	};
}

static struct dsn
report(const struct dsn_recipient *r, size_t n)
{
	return (struct dsn){
		.queue_id = VIEW("ABC1"), .dsn_id = VIEW("ABC1.1"),
		.myhostname = VIEW("mail.example.test"),
		.myorigin = VIEW("example.test"),
		.sender = VIEW("alice@example.test"),
		.envid = VIEW("QQ 1"),
		.arrival_ms = T0, .now_ms = T0, .ret_full = true,
		.return_max = 50000,
		.original = VIEW("Subject: hi\r\nTo: bob\r\n\r\nsecret\r\n"),
		.recipients = r, .nrecipients = n,
	};
}

static void
compose(struct buf *b, const struct dsn *d, struct dsn_needs *needs)
{
	buf_init(b, dsn_size_max(d));
	assert_int_equal(dsn_compose(b, d, needs), 0);
}

static int
count_sink(void *arg, struct view slice)
{
	(void)arg;
	(void)slice;
	return 0;
}

/* Fit for the queue: CRLF only, a header that is one, no long lines. */
static void
check_wire_form(const struct buf *b, struct data_scanner *s)
{
	size_t used;

	data_scanner_init(s, DATA_BARE_REJECT, DATA_SCANNER_BDAT, 0,
	    count_sink, NULL);
	assert_int_equal(data_scanner_feed(s, buf_view(b), &used), PK_EAGAIN);
	assert_int_equal(data_scanner_finish(s), 0);
	assert_int_equal(s->content_bytes, b->len);
	assert_int_equal(s->seen & (DATA_SEEN_BARE_CR | DATA_SEEN_BARE_LF |
	    DATA_SEEN_NUL | DATA_SEEN_LONG_LINE), 0);
	assert_int_equal(s->seen & (DATA_SEEN_FROM | DATA_SEEN_DATE |
	    DATA_SEEN_MESSAGE_ID), DATA_SEEN_FROM | DATA_SEEN_DATE |
	    DATA_SEEN_MESSAGE_ID);
	assert_true(s->header_bytes > 0);
}

static void
test_failure(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct data_scanner s;
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	clock_init();
	compose(&b, &d, &needs);
	check_wire_form(&b, &s);
	assert_false(needs.body_8bit);
	assert_false(needs.smtputf8);
	HAS(&b, "From: MAILER-DAEMON@example.test (Mail Delivery System)\r\n");
	HAS(&b, "To: alice@example.test\r\n");
	HAS(&b, "Subject: Undelivered Mail Returned to Sender\r\n");
	HAS(&b, "Auto-Submitted: auto-replied\r\n");
	HAS(&b, "multipart/report; report-type=delivery-status;");
	HAS(&b, "Content-Type: message/delivery-status\r\n\r\n"
	    "Reporting-MTA: dns; mail.example.test\r\n"
	    "Original-Envelope-Id: QQ 1\r\n"
	    "X-Postkeep-Queue-ID: ABC1\r\n"
	    "X-Postkeep-Sender: rfc822; alice@example.test\r\n"
	    "Arrival-Date: ");
	HAS(&b, "\r\n\r\nFinal-Recipient: rfc822; bob@example.test\r\n"
	    "Original-Recipient: rfc822; sales@example.test\r\n"
	    "Action: failed\r\nStatus: 5.1.1\r\n"
	    "Remote-MTA: dns; mx.example.test\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 <bob@example.test>: unknown\r\n"
	    "Last-Attempt-Date: ");
	HAS(&b, "Content-Type: message/rfc822\r\n\r\nSubject: hi\r\nTo: bob"
	    "\r\n\r\nsecret\r\n\r\n--=_report_ABC11_0--\r\n");
	buf_fini(&b);
}

static void
test_header_only(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	d.ret_full = false;
	compose(&b, &d, &needs);
	HAS(&b, "Content-Type: text/rfc822-headers\r\n\r\nSubject: hi\r\n"
	    "To: bob\r\n\r\n");
	assert_false(contains(&b, "secret"));
	buf_fini(&b);
	d.ret_full = true;
	d.return_max = 10;
	compose(&b, &d, &needs);
	assert_false(contains(&b, "secret"));
	buf_fini(&b);
}

static void
test_delay_and_success(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	r.action = DSN_DELAYED;
	r.status = ENHANCED(0, 0, 0);
	r.retry_until_ms = T0 + 86400000;
	compose(&b, &d, &needs);
	HAS(&b, "Subject: Delayed Mail (still being retried)\r\n");
	HAS(&b, "Action: delayed\r\nStatus: 4.0.0\r\n");
	HAS(&b, "Will-Retry-Until: ");
	assert_false(contains(&b, "secret"));
	buf_fini(&b);
	r.action = DSN_RELAYED;
	compose(&b, &d, &needs);
	HAS(&b, "Subject: Successful Mail Delivery Report\r\n");
	HAS(&b, "Action: relayed\r\nStatus: 2.0.0\r\n");
	assert_false(contains(&b, "Will-Retry-Until: "));
	buf_fini(&b);
}

/* Every field tries to add a line, a part or a recipient. */
static void
test_hostile_fields(void **state)
{
	static const char evil[] =
	    "x\r\nBcc: evil@x\r\n\r\n--=_report_ABC11_0\r\n\0\n\ny\r";
	struct view v = view_of(evil, sizeof(evil) - 1);
	struct dsn_recipient r = { .final = v, .orcpt_type = v, .orcpt = v,
	    .remote_mta = v, .diagnostic_type = v, .diagnostic = v };
	struct dsn d = report(&r, 1);
	struct data_scanner s;
	struct dsn_needs needs;
	struct header_field f;
	struct buf b;

	(void)state;
	d.queue_id = d.dsn_id = d.myhostname = d.myorigin = d.sender =
	    d.envid = v;
	compose(&b, &d, &needs);
	check_wire_form(&b, &s);
	assert_false(header_find(buf_view(&b), VIEW("Bcc"), &f));
	assert_false(contains(&b, "\nBcc:"));
	buf_fini(&b);
}

static void
test_boundary_in_original(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	d.original = VIEW("A: b\r\n\r\n--=_report_ABC11_0--\r\n");
	compose(&b, &d, &needs);
	HAS(&b, "\r\n--=_report_ABC11_1--\r\n");
	buf_fini(&b);
}

static void
test_long_reply(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct data_scanner s;
	struct dsn_needs needs;
	struct buf b, reply;

	(void)state;
	buf_init(&reply, 1 << 20);
	for (int i = 0; i < 100000; i++)
		buf_put_char(&reply, i % 5000 == 0 ? ' ' : 'w');
	r.diagnostic = buf_view(&reply);
	compose(&b, &d, &needs);
	check_wire_form(&b, &s);
	assert_true(b.len < 30000);
	buf_fini(&b);
	buf_fini(&reply);
}

static void
test_utf8(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct data_scanner s;
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	r.final = VIEW("j\xc3\xb6@example.test");
	/* The sender does not know UTF-8: the address is armoured. */
	compose(&b, &d, &needs);
	HAS(&b, "Final-Recipient: utf-8; j\\x{F6}@example.test\r\n");
	assert_false(needs.smtputf8);
	buf_fini(&b);
	d.original_utf8 = true;
	d.sender = VIEW("\xc3\xa4@example.test");
	compose(&b, &d, &needs);
	check_wire_form(&b, &s);
	assert_true(needs.smtputf8);
	assert_true(needs.body_8bit);
	HAS(&b, "report-type=global-delivery-status");
	HAS(&b, "Content-Type: message/global-delivery-status\r\n");
	HAS(&b, "Final-Recipient: utf-8; j\xc3\xb6@example.test\r\n");
	HAS(&b, "Content-Type: message/global\r\n");
	assert_true(utf8_valid(buf_view(&b)));
	buf_fini(&b);
}

static void
test_8bit_original(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 1);
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	d.original = VIEW("A: b\r\n\r\n\xff");
	compose(&b, &d, &needs);
	assert_true(needs.body_8bit);
	HAS(&b, "Content-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n\r\n\xff\r\n");
	buf_fini(&b);
}

static void
test_refused(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = report(&r, 0);
	struct dsn_needs needs;
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(dsn_compose(&b, &d, &needs), PK_ERANGE);
	d = report(&r, 1);
	/* Never a bounce of a bounce. */
	d.sender = VIEW("");
	assert_int_equal(dsn_compose(&b, &d, &needs), PK_ERANGE);
	d = report(&r, 1);
	assert_int_equal(dsn_compose(&b, &d, &needs), PK_ELIMIT);
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_failure), cmocka_unit_test(test_header_only),
    cmocka_unit_test(test_delay_and_success),
    cmocka_unit_test(test_hostile_fields),
    cmocka_unit_test(test_boundary_in_original),
    cmocka_unit_test(test_long_reply), cmocka_unit_test(test_utf8),
    cmocka_unit_test(test_8bit_original), cmocka_unit_test(test_refused))
