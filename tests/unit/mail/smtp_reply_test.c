/* SPDX-License-Identifier: ISC */
/*
 * smtp_reply_test.c: replies of servers, honest and hostile (A18), fed whole,
 * byte by byte and split at random.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "mail/smtp_reply.h"

static const struct {
	const char	*wire;
	int		 result;
	int		 code;
	const char	*status;
	const char	*text;
	const char	*rest;
} cases[] = {
	{ "250 OK\r\n", 0, 250, "", "250 OK", "" },
	{ "250\r\n", 0, 250, "", "250", "" },
	{ "250 \r\n", 0, 250, "", "250", "" },
	{ "250 OK\n", 0, 250, "", "250 OK", "" },
	{ "250-a\r\n250-b\r\n250 c\r\n", 0, 250, "", "250 a b c", "" },
	{ "550 5.1.1 <x>: unknown\r\n250 next", 0, 550, "5.1.1",
	    "550 5.1.1 <x>: unknown", "250 next" },
	{ "550-5.1.1 one\r\n550 5.1.1 two\r\n", 0, 550, "5.1.1",
	    "550 5.1.1 one 5.1.1 two", "" },
	/* A code of another class is not used. */
	{ "550 4.1.1 x\r\n", 0, 550, "", "550 4.1.1 x", "" },
	{ "421 bye\x1b[2J\x01\r\n", 0, 421, "", "421 bye?[2J?", "" },
	{ "250 \xc3\xb6\r\n", 0, 250, "", "250 \xc3\xb6", "" },
	{ "250 \xc3\r\n", 0, 250, "", "250 ?", "" },
	{ "250-a\r\n", PK_EAGAIN, 250, "", NULL, "" },
	{ "250 a", PK_EAGAIN, 0, "", NULL, "" },
	{ "", PK_EAGAIN, 0, "", NULL, "" },
	{ "250-a\r\n251 b\r\n", PK_EPROTO, 250, "", NULL, NULL },
	{ "\r\n", PK_EPROTO, 0, "", NULL, NULL },
	{ "25 x\r\n", PK_EPROTO, 0, "", NULL, NULL },
	{ "2500 x\r\n", PK_EPROTO, 0, "", NULL, NULL },
	{ "650 x\r\n", PK_EPROTO, 0, "", NULL, NULL },
	{ "150 x\r\n", PK_EPROTO, 0, "", NULL, NULL },
	{ "SSH-2.0-x\r\n", PK_EPROTO, 0, "", NULL, NULL },
};

/* Feeds in pieces of n bytes (0: random); returns the last result. */
static int
feed(struct smtp_reply *r, struct view in, size_t n, size_t *taken_r)
{
	size_t pos = 0, used, part;
	int rc = PK_EAGAIN;

	while (rc == PK_EAGAIN && pos < in.len) {
		part = n != 0 ? n : (size_t)(random() % 9) + 1;
		rc = smtp_reply_feed(r, view_head(view_from(in, pos), part),
		    &used);
		pos += used;
	}
	*taken_r = pos;
	return rc;
}

static void
check_case(size_t i, size_t n)
{
	const char *name = cases[i].wire;
	struct smtp_reply r;
	struct buf b;
	size_t taken;

	buf_init(&b, 8192);
	smtp_reply_init(&r);
	CHECK_INT(name, feed(&r, view_str(name), n, &taken), cases[i].result);
	CHECK_INT(name, r.code, cases[i].code);
	enhanced_put(&b, r.status);
	CHECK_VIEW(name, buf_view(&b), cases[i].status);
	if (cases[i].rest != NULL)
		CHECK_VIEW(name, view_str(name + taken), cases[i].rest);
	buf_reset(&b);
	smtp_reply_put_text(&b, &r);
	if (cases[i].text != NULL)
		CHECK_VIEW(name, buf_view(&b), cases[i].text);
	smtp_reply_fini(&r);
	buf_fini(&b);
}

static void
test_replies(void **state)
{
	static const size_t pieces[] = { 10000, 1, 2, 3, 0, 0, 0 };

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		for (size_t j = 0; j < NELEMS(pieces); j++)
			check_case(i, pieces[j]);
}

/* Bytes without end, lines without end: both stop at their limit. */
static void
test_limits(void **state)
{
	struct smtp_reply r;
	struct buf b;
	size_t used;
	int rc;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_put_str(&b, "250 ");
	for (int i = 0; i < SMTP_REPLY_LINE_MAX - 4; i++)
		buf_put_char(&b, 'x');
	buf_put_str(&b, "\r\n");
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, buf_view(&b), &used), 0);
	smtp_reply_reset(&r);
	buf_truncate(&b, b.len - 2);
	buf_put_str(&b, "xx\r\n");
	assert_int_equal(smtp_reply_feed(&r, buf_view(&b), &used), PK_ELIMIT);
	smtp_reply_reset(&r);
	rc = PK_EAGAIN;
	for (int i = 0; i < 5000 && rc == PK_EAGAIN; i++)
		rc = smtp_reply_feed(&r, VIEW("y"), &used);
	assert_int_equal(rc, PK_ELIMIT);
	smtp_reply_reset(&r);
	rc = PK_EAGAIN;
	for (int i = 0; i < 200 && rc == PK_EAGAIN; i++)
		rc = smtp_reply_feed(&r, VIEW("250-z\r\n"), &used);
	assert_int_equal(rc, PK_ELIMIT);
	assert_int_equal(r.lines, SMTP_REPLY_LINES_MAX);
	smtp_reply_fini(&r);
	buf_fini(&b);
}

static void
test_caps(void **state)
{
	struct smtp_reply r;
	struct smtp_caps c;
	struct view line;
	size_t used;

	(void)state;
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, VIEW("250-SIZE pretends\r\n"
	    "250-PIPELINING\r\n250-size 10240000\r\n250-8BITMIME\r\n"
	    "250-AUTH PLAIN SCRAM-SHA-256-PLUS X-FOO\r\n250-AUTH=LOGIN\r\n"
	    "250-LIMITS RCPTMAX=100 MAILMAX=0 rcptdomainmax=1 X=y\r\n"
	    "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-CHUNKING\r\n"
	    "250-BINARYMIMEX\r\n250-\r\n250 SMTPUTF8\r\n"), &used), 0);
	smtp_caps_parse(&r, &c);
	assert_int_equal(c.flags, SMTP_CAP_PIPELINING | SMTP_CAP_SIZE |
	    SMTP_CAP_8BITMIME | SMTP_CAP_AUTH | SMTP_CAP_LIMITS |
	    SMTP_CAP_ENHANCEDSTATUSCODES | SMTP_CAP_DSN | SMTP_CAP_CHUNKING |
	    SMTP_CAP_SMTPUTF8);
	assert_int_equal(c.size_max, 10240000);
	assert_int_equal(c.auth, SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN |
	    SMTP_AUTH_SCRAM_SHA_256_PLUS);
	assert_int_equal(c.rcpt_max, 100);
	assert_int_equal(c.mail_max, 0);
	assert_int_equal(c.rcpt_domain_max, 1);
	assert_true(smtp_reply_line(&r, 0, &line));
	CHECK_VIEW("first", line, "SIZE pretends");
	assert_true(smtp_reply_line(&r, 12, &line));
	CHECK_VIEW("last", line, "SMTPUTF8");
	assert_false(smtp_reply_line(&r, 13, &line));
	smtp_reply_fini(&r);
}

UNIT_MAIN(cmocka_unit_test(test_replies), cmocka_unit_test(test_limits),
    cmocka_unit_test(test_caps))
