/* SPDX-License-Identifier: ISC */
/*
 * data_scanner_test.c: where a message ends and what is in it. A1: every
 * smuggling sequence, split at every byte; one message, one end.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "mail/data_scanner.h"

static int
to_buf(void *arg, struct view slice)
{
	return buf_put_view(arg, slice);
}

struct outcome {
	struct data_scanner s;
	struct buf	 out;
	size_t		 taken;
	int		 rc;
};

/* first, then pieces of n bytes (0: random). */
static void
scan(struct outcome *o, struct view in, enum data_bare bare, unsigned flags,
    size_t first, size_t n)
{
	size_t used, part = first;

	buf_init(&o->out, 1 << 22);
	data_scanner_init(&o->s, bare, flags, 0, to_buf, &o->out);
	o->taken = 0;
	o->rc = PK_EAGAIN;
	while (o->rc == PK_EAGAIN && o->taken < in.len) {
		struct view piece = view_head(view_from(in, o->taken), part);
		/* An exact copy: sanitizers see a byte too far. */
		char *copy = xmemdup(piece.p, piece.len);

		o->rc = data_scanner_feed(&o->s, view_of(copy, piece.len),
		    &used);
		xfree(copy);
		o->taken += used;
		part = n != 0 ? n : (size_t)(random() % 7) + 1;
	}
	if (o->rc == PK_EAGAIN && (flags & DATA_SCANNER_BDAT))
		o->rc = data_scanner_finish(&o->s);
}

#define CR	DATA_SEEN_BARE_CR
#define LF	DATA_SEEN_BARE_LF
#define NUL	DATA_SEEN_NUL
#define BDAT	DATA_SCANNER_BDAT
#define BIN	(DATA_SCANNER_BDAT | DATA_SCANNER_BINARY)

static const struct row {
	struct view	in;
	unsigned	flags;
	int		rc;
	struct view	out;	/* when normalizing */
	unsigned	seen;	/* of CR, LF, NUL */
	struct view	rest;
} rows[] = {
#define ROW(in, flags, rc, out, seen, rest) \
	{ VIEW(in), flags, rc, VIEW(out), seen, VIEW(rest) }
	ROW("a\r\n.\r\n", 0, 0, "a\r\n", 0, ""),
	ROW("a\r\n.\r\nQUIT\r\n", 0, 0, "a\r\n", 0, "QUIT\r\n"),
	ROW(".\r\n", 0, 0, "", 0, ""),
	ROW("\r\n.\r\n", 0, 0, "\r\n", 0, ""),
	ROW("..\r\n.\r\n", 0, 0, ".\r\n", 0, ""),
	ROW("..a\r\n...\r\n.\r\n", 0, 0, ".a\r\n..\r\n", 0, ""),
	ROW(".a\r\n.\r\n", 0, 0, "a\r\n", 0, ""),
	ROW("a.\r\n.\r\n", 0, 0, "a.\r\n", 0, ""),
	/* Smuggling: none of these ends the message. */
	ROW("a\n.\nb\r\n.\r\n", 0, 0, "a\r\n.\r\nb\r\n", LF, ""),
	ROW("a\n.\r\nb\r\n.\r\n", 0, 0, "a\r\n.\r\nb\r\n", LF, ""),
	ROW("a\r.\rb\r\n.\r\n", 0, 0, "a . b\r\n", CR, ""),
	ROW("a\r\n.\nb\r\n.\r\n", 0, 0, "a\r\n.\r\nb\r\n", LF, ""),
	ROW("a\r.\r\nb\r\n.\r\n", 0, 0, "a .\r\nb\r\n", CR, ""),
	ROW("a\r\n.\rb\r\n.\r\n", 0, 0, "a\r\n b\r\n", CR, ""),
	ROW("a\r\r\n.\r\n", 0, 0, "a \r\n", CR, ""),
	ROW("a\r\n\r.\r\n.\r\n", 0, 0, "a\r\n .\r\n", CR, ""),
	ROW("a\r\n.\r\r\nb\r\n.\r\n", 0, 0, "a\r\n \r\nb\r\n", CR, ""),
	ROW("a\0\r\n.\r\n", 0, 0, "a\0\r\n", NUL, ""),
	ROW("a\r\n\0.\r\n.\r\n", 0, 0, "a\r\n\0.\r\n", NUL, ""),
	ROW("a\r\n.\0\r\n.\r\n", 0, 0, "a\r\n\0\r\n", NUL, ""),
	ROW("a\r\0\n.\r\n\r\n.\r\n", 0, 0, "a \0\r\n.\r\n\r\n", CR | LF | NUL, ""),
	ROW("a\n..\r\nb\r\n.\r\n", 0, 0, "a\r\n.\r\nb\r\n", LF, ""),
	ROW("a\n\n.\n\nMAIL FROM:<x>\n.\r\n", 0, PK_EAGAIN,
	    "a\r\n\r\n.\r\n\r\nMAIL FROM:<x>\r\n.\r\n", LF, ""),
	ROW("a\r\n.", 0, PK_EAGAIN, "a\r\n", 0, ""),
	ROW("a\r\n.\r", 0, PK_EAGAIN, "a\r\n", 0, ""),
	ROW("a\r", 0, PK_EAGAIN, "a", 0, ""),
	/* BDAT: dots mean nothing, the end is the caller's. */
	ROW("a\r\n.\r\nb\r\n", BDAT, 0, "a\r\n.\r\nb\r\n", 0, ""),
	ROW("a", BDAT, 0, "a\r\n", 0, ""),
	ROW("a\r", BDAT, 0, "a \r\n", CR, ""),
	ROW("", BDAT, 0, "", 0, ""),
	ROW("a\n.\nb", BDAT, 0, "a\r\n.\r\nb\r\n", LF, ""),
	ROW("a\n\rb\r", BIN, 0, "a\n\rb\r", CR | LF, ""),
};

static void
check_row(const struct row *row, size_t first, size_t n, enum data_bare bare)
{
	unsigned mask = CR | LF | NUL;
	const char *name = row->in.p;
	struct outcome o;

	scan(&o, row->in, bare, row->flags, first, n);
	CHECK_INT(name, o.rc, row->rc);
	CHECK_INT(name, o.s.seen & mask, row->seen);
	CHECK(name, view_eq(view_from(row->in, o.taken), row->rest));
	CHECK_INT(name, o.s.content_bytes, row->out.len);
	CHECK_INT(name, o.s.wire_bytes, o.taken);
	if (bare == DATA_BARE_NORMALIZE) {
		CHECK_INT(name, o.s.refused, false);
		CHECK(name, view_eq(buf_view(&o.out), row->out));
	} else {
		CHECK_INT(name, o.s.refused, (row->seen & (CR | LF)) != 0 &&
		    row->flags != BIN);
	}
	buf_fini(&o.out);
}

static void
test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		for (size_t at = 1; at <= rows[i].in.len; at++) {
			check_row(&rows[i], at, 10000, DATA_BARE_NORMALIZE);
			check_row(&rows[i], at, 10000, DATA_BARE_REJECT);
			check_row(&rows[i], at, 0, DATA_BARE_NORMALIZE);
		}
		check_row(&rows[i], 1, 1, DATA_BARE_NORMALIZE);
		check_row(&rows[i], 1, 1, DATA_BARE_REJECT);
	}
}

static const char message[] =
    "Received: from a\r\n\tby b; date\r\n"
    "RECEIVED : from c\r\n"
    "Delivered-To: x\r\n"
    "Message-Id:\r\n <id.1@example.test>\r\n"
    "Message-ID: <second>\r\n"
    "From: a@b\r\n"
    "Date: now\r\n"
    "tls-required: NO \r\n"
    "Subject: b\xc3\xbc\r\n"
    "\r\n"
    "Received: not a field\r\n"
    "..dot\r\n"
    ".\r\n";

static void
check_message(size_t first, size_t n)
{
	struct outcome o;

	scan(&o, VIEW(message), DATA_BARE_REJECT, 0, first, n);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.s.hops, 2);
	assert_int_equal(o.s.delivered_to, 1);
	assert_string_equal(o.s.message_id, "<id.1@example.test>");
	assert_int_equal(o.s.seen, DATA_SEEN_8BIT | DATA_SEEN_HEADER_8BIT |
	    DATA_SEEN_MESSAGE_ID | DATA_SEEN_DATE | DATA_SEEN_FROM | DATA_SEEN_TLS_OPTIONAL);
	assert_int_equal(o.s.header_bytes, strstr(message, "\r\n\r\n") + 4 -
	    message);
	assert_int_equal(o.s.lines, 14);
	assert_int_equal(o.s.longest_line, 21);
	assert_false(o.s.in_header);
	assert_int_equal(o.s.content_bytes, sizeof(message) - 1 - 4);
	buf_fini(&o.out);
}

static void
test_header(void **state)
{
	(void)state;
	for (size_t at = 1; at < sizeof(message); at++)
		check_message(at, 10000);
	check_message(1, 1);
	for (int i = 0; i < 50; i++)
		check_message(1, 0);
}

static void
test_no_header(void **state)
{
	struct outcome o;

	(void)state;
	scan(&o, VIEW("just text\r\nFrom: x\r\n\r\n.\r\n"), DATA_BARE_REJECT, 0,
	    10000, 1);
	assert_int_equal(o.s.header_bytes, 0);
	assert_int_equal(o.s.seen, 0);
	buf_fini(&o.out);
	scan(&o, VIEW("A: b\r\nno field\r\nFrom: x\r\n.\r\n"),
	    DATA_BARE_REJECT, 0, 1, 1);
	assert_int_equal(o.s.header_bytes, 6);
	assert_int_equal(o.s.seen, 0);
	buf_fini(&o.out);
}

static void
test_limits(void **state)
{
	struct data_scanner s;
	struct buf out;
	char line[1100];
	size_t used;

	(void)state;
	buf_init(&out, 10000);
	memset(line, 'x', sizeof(line));
	data_scanner_init(&s, DATA_BARE_REJECT, 0, 500, to_buf, &out);
	assert_int_equal(data_scanner_feed(&s, view_of(line, 400), &used),
	    PK_EAGAIN);
	assert_false(s.too_big);
	assert_int_equal(data_scanner_feed(&s, view_of(line, 599), &used),
	    PK_EAGAIN);
	assert_true(s.too_big);
	assert_int_equal(out.len, 400);
	assert_int_equal(data_scanner_feed(&s, VIEW("\r\n.\r\nRSET"), &used), 0);
	assert_int_equal(used, 5);
	assert_int_equal(s.seen, DATA_SEEN_LONG_LINE);
	assert_int_equal(s.longest_line, 999);
	assert_int_equal(s.content_bytes, 1001);
	buf_fini(&out);
}

static int
failing_sink(void *arg, struct view slice)
{
	(void)arg;
	(void)slice;
	return PK_ENOSPC;
}

static void
test_sink_error(void **state)
{
	struct data_scanner s;
	size_t used;

	(void)state;
	data_scanner_init(&s, DATA_BARE_REJECT, 0, 0, failing_sink, NULL);
	assert_int_equal(data_scanner_feed(&s, VIEW("a\r\n.\r\n"), &used),
	    PK_ENOSPC);
}

static void
test_message_id_bounded(void **state)
{
	struct outcome o;
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	buf_put_str(&b, "Message-ID: <\x01");
	for (int i = 0; i < 2000; i++)
		buf_put_char(&b, 'i');
	buf_put_str(&b, ">\r\n\r\n.\r\n");
	scan(&o, buf_view(&b), DATA_BARE_REJECT, 0, 1, 3);
	assert_int_equal(strlen(o.s.message_id), DATA_MESSAGE_ID_MAX);
	assert_int_equal(o.s.message_id[1], '?');
	buf_fini(&o.out);
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_every_split), cmocka_unit_test(test_header),
    cmocka_unit_test(test_no_header), cmocka_unit_test(test_limits),
    cmocka_unit_test(test_sink_error),
    cmocka_unit_test(test_message_id_bounded))
