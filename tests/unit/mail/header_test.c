/* SPDX-License-Identifier: ISC */
/*
 * header_test.c: fields read and written; A11: nothing starts a line of its
 * own.
 */
#include "tests/unit/unit.h"

#include "mail/header.h"
#include "mail/trace.h"

static const char message[] =
    "Subject: one\r\n"
    "X-Folded: a\r\n\tb\r\n  c\r\n"
    "To : x@y\r\n"
    "Empty:\r\n"
    "subject: two\r\n"
    "\r\n"
    "Not: header\r\n";

static const struct {
	const char	*name;
	const char	*value;
} fields[] = {
	{ "Subject", " one" },
	{ "X-Folded", " a\r\n\tb\r\n  c" },
	{ "To", " x@y" },
	{ "Empty", "" },
	{ "subject", " two" },
};

static void
test_fields(void **state)
{
	struct header_iter it;
	struct header_field f;
	size_t n = 0, bytes = 0;

	(void)state;
	header_iter_init(&it, VIEW(message));
	for (; header_next(&it, &f); n++) {
		assert_true(n < NELEMS(fields));
		CHECK_VIEW(fields[n].name, f.name, fields[n].name);
		CHECK_VIEW(fields[n].name, f.value, fields[n].value);
		bytes += f.whole.len;
	}
	assert_int_equal(n, NELEMS(fields));
	assert_int_equal(header_length(VIEW(message)), bytes + 2);
	assert_true(header_find(VIEW(message), VIEW("TO"), &f));
	assert_false(header_find(VIEW(message), VIEW("Not"), &f));
}

static const struct {
	const char	*message;
	size_t		 length;
	unsigned	 fields;
} ends[] = {
	{ "", 0, 0 },
	{ "\r\nbody", 2, 0 },
	{ "\nbody", 1, 0 },
	{ "A: b\n\nbody", 6, 1 },
	{ "A: b", 4, 1 },
	{ "A: b\r\nno field\r\n", 6, 1 },
	{ "no field\r\nA: b\r\n", 0, 0 },
	{ " folded first\r\nA: b\r\n", 0, 0 },
	{ ": x\r\n", 0, 0 },
	{ "A b: x\r\n", 0, 0 },
	{ "A\x01: x\r\n", 0, 0 },
};

static void
test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(ends); i++) {
		struct view v = view_str(ends[i].message);
		struct header_iter it;
		struct header_field f;
		unsigned n = 0;

		header_iter_init(&it, v);
		while (header_next(&it, &f))
			n++;
		CHECK_INT(ends[i].message, n, ends[i].fields);
		CHECK_INT(ends[i].message, header_length(v), ends[i].length);
	}
}

static void
test_written(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	header_put_unfolded(&b, VIEW(" a\r\n\tb\r\n  c\n"));
	CHECK_VIEW("unfolded", buf_view(&b), "a b c");
	buf_reset(&b);
	assert_int_equal(header_put_field(&b, VIEW("X"),
	    VIEW("a\r\nBcc: evil\0\x7f\tb")), 0);
	CHECK_VIEW("field", buf_view(&b), "X: a  Bcc: evil  \tb\r\n");
	buf_reset(&b);
	assert_int_equal(header_put_field(&b, VIEW("X: y\r\nZ"), VIEW("")),
	    PK_ESYNTAX);
	header_put_phrase(&b, VIEW("Mail Delivery System"));
	buf_put_char(&b, '|');
	header_put_phrase(&b, VIEW("a \"b\"\r\n, c"));
	buf_put_char(&b, '|');
	header_put_phrase(&b, VIEW("J\xc3\xb6rg"));
	CHECK_VIEW("phrase", buf_view(&b), "Mail Delivery System|"
	    "\"a \\\"b\\\"  , c\"|=?utf-8?B?SsO2cmc=?=");
	buf_fini(&b);
}

/* Everything a client may choose tries to leave its place. */
static void
test_received(void **state)
{
	struct trace_received t = {
		.helo = VIEW("mx.evil\r\nX: (y) z"),
		.client_name = VIEW(""),
		.client_addr = VIEW("2001:db8::1"),
		.authenticated = VIEW("al)ice\n"),
		.by = VIEW("mail.example.test"),
		.with = VIEW("ESMTPA"),
		.id = VIEW("ABC123"),
		.rcpt = VIEW("bob@example.test"),
	};
	struct buf b;
	const char *end = "\r\n\tby mail.example.test (Postkeep) with ESMTPA "
	    "id ABC123\r\n\tfor <bob@example.test>; ";
	const char *want = "Received: from mx.evil??X:??y??z (unknown "
	    "[IPv6:2001:db8::1])\r\n\t(Authenticated sender: al?ice?)";

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(trace_put_received(&b, &t), 0);
	CHECK_VIEW("start", view_head(buf_view(&b), strlen(want)), want);
	CHECK_VIEW("end", view_head(view_from(buf_view(&b), strlen(want)),
	    strlen(end)), end);
	assert_memory_equal(buf_view(&b).p + b.len - 2, "\r\n", 2);
	buf_reset(&b);
	trace_put_return_path(&b, VIEW("a@b\r\nX: y"));
	trace_put_delivered_to(&b, VIEW("c@d"));
	CHECK_VIEW("paths", buf_view(&b),
	    "Return-Path: <a@b  X: y>\r\nDelivered-To: c@d\r\n");
	buf_fini(&b);
}

static void
test_received_tls(void **state)
{
	struct trace_received t = {
		.helo = VIEW("c.test"),
		.client_name = VIEW("c.test"),
		.client_addr = VIEW("192.0.2.1"),
		.tls = VIEW("TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) "
		    "key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256"),
		.tls_peer = VIEW("No client certificate requested"),
		.by = VIEW("mail.example.test"),
		.with = VIEW("ESMTPS"),
		.id = VIEW("ABC123"),
	};
	const char *want = "Received: from c.test (c.test [192.0.2.1])\r\n"
	    "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n"
	    "\t key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256)\r\n"
	    "\t(No client certificate requested)\r\n"
	    "\tby mail.example.test (Postkeep) with ESMTPS id ABC123; ";
	/* A parenthesis that would leave the comment. */
	const char *odd = "\t(Client CN \"x?, Issuer \"?? ?X-Spam: no\")\r\n\tby ";
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(trace_put_received(&b, &t), 0);
	CHECK_VIEW("tls", view_head(buf_view(&b), strlen(want)), want);
	buf_reset(&b);
	t.tls_peer = VIEW("Client CN \"x), Issuer \"\r\n (X-Spam: no\"");
	assert_int_equal(trace_put_received(&b, &t), 0);
	assert_non_null(strstr(buf_cstr(&b), odd));
	buf_fini(&b);
}

static void
test_with(void **state)
{
	(void)state;
	assert_string_equal(trace_with(false, false, false, false, false),
	    "SMTP");
	assert_string_equal(trace_with(true, false, false, false, false),
	    "ESMTP");
	assert_string_equal(trace_with(true, false, true, true, false),
	    "ESMTPSA");
	assert_string_equal(trace_with(true, false, true, false, true),
	    "UTF8SMTPS");
	assert_string_equal(trace_with(true, true, false, false, false),
	    "LMTP");
}

UNIT_MAIN(cmocka_unit_test(test_fields), cmocka_unit_test(test_ends),
    cmocka_unit_test(test_written), cmocka_unit_test(test_received),
    cmocka_unit_test(test_received_tls), cmocka_unit_test(test_with))
