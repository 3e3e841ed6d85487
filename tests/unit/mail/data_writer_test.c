/* SPDX-License-Identifier: ISC */
/*
 * data_writer_test.c: A2: whatever is stored, no bare CR or LF goes out; and
 * what goes out comes back through the scanner as it was.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "mail/data_scanner.h"
#include "mail/data_writer.h"

static const struct {
	struct view	in;
	enum data_writer_form form;
	size_t		line_max;
	struct view	out;
} rows[] = {
#define ROW(in, form, max, out) { VIEW(in), DATA_WRITER_##form, max, VIEW(out) }
	ROW("", DOT, 0, ".\r\n"),
	ROW("a\r\n", DOT, 0, "a\r\n.\r\n"),
	ROW("a", DOT, 0, "a\r\n.\r\n"),
	ROW(".\r\n..\r\n.a\r\n", DOT, 0, "..\r\n...\r\n..a\r\n.\r\n"),
	ROW("a.b\r\n", DOT, 0, "a.b\r\n.\r\n"),
	ROW("a\n.\nb\r\n", DOT, 0, "a\r\n..\r\nb\r\n.\r\n"),
	ROW("a\r.\rb", DOT, 0, "a . b\r\n.\r\n"),
	ROW("\r.\r\n", DOT, 0, " .\r\n.\r\n"),
	ROW("a\r\r\n", DOT, 0, "a \r\n.\r\n"),
	ROW("a\r", DOT, 0, "a \r\n.\r\n"),
	ROW("a\0b\r\n", DOT, 0, "a\0b\r\n.\r\n"),
	ROW(".\r\na", PLAIN, 0, ".\r\na\r\n"),
	ROW("a\n\rb", PLAIN, 0, "a\r\n b\r\n"),
	ROW(".\r\na\r\n\r\n", LF, 0, ".\na\n\n"),
	ROW("a\r\nb", LF, 0, "a\nb\n"),
	ROW("0123456789abcdef\r\n", DOT, 16, "0123456789abcdef\r\n.\r\n"),
	ROW("0123456789abcdef.\r\n", DOT, 16,
	    "0123456789abcdef\r\n .\r\n.\r\n"),
	ROW("0123456789abcdef0123456789abcdef\r\n", PLAIN, 16,
	    "0123456789abcdef\r\n 0123456789abcde\r\n f\r\n"),
};

static void
check_row(size_t i, size_t first, size_t n)
{
	struct view in = rows[i].in;
	struct data_writer w;
	struct buf out;
	size_t part = first;

	buf_init(&out, 100000);
	data_writer_init(&w, rows[i].form, rows[i].line_max);
	while (in.len > 0) {
		struct view piece = view_head(in, part);

		assert_int_equal(data_writer_feed(&w, piece, &out), 0);
		in = view_from(in, piece.len);
		part = n;
	}
	assert_int_equal(data_writer_end(&w, &out), 0);
	CHECK(rows[i].in.p, view_eq(buf_view(&out), rows[i].out));
	buf_fini(&out);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		for (size_t at = 1; at <= rows[i].in.len; at++)
			check_row(i, at, 10000);
		check_row(i, 1, 1);
		check_row(i, 10000, 1);
	}
}

static int
to_buf(void *arg, struct view slice)
{
	return buf_put_view(arg, slice);
}

/* Random bytes of the kind that matters: out through the writer, in again. */
static void
test_round_trip(void **state)
{
	static const char bytes[] = "\r\n\r\n..a\0\xff";
	struct data_scanner s;
	struct data_writer w;
	struct buf in, wire, back;
	size_t used;

	(void)state;
	buf_init(&in, 1000);
	buf_init(&wire, 10000);
	buf_init(&back, 10000);
	for (int round = 0; round < 5000; round++) {
		buf_reset(&in);
		buf_reset(&wire);
		buf_reset(&back);
		for (long i = random() % 40; i > 0; i--)
			buf_put_char(&in, bytes[(size_t)random() %
			    (sizeof(bytes) - 1)]);
		data_writer_init(&w, DATA_WRITER_DOT, 0);
		assert_int_equal(data_writer_feed(&w, buf_view(&in), &wire), 0);
		assert_int_equal(data_writer_end(&w, &wire), 0);
		data_scanner_init(&s, DATA_BARE_REJECT, 0, 0, to_buf, &back);
		assert_int_equal(data_scanner_feed(&s, buf_view(&wire), &used),
		    0);
		assert_int_equal(used, wire.len);
		assert_false(s.refused);
	}
	buf_fini(&in);
	buf_fini(&wire);
	buf_fini(&back);
}

static void
test_output_limit(void **state)
{
	struct data_writer w;
	struct buf out;

	(void)state;
	buf_init(&out, 20);
	data_writer_init(&w, DATA_WRITER_DOT, 0);
	assert_int_equal(data_writer_feed(&w, VIEW("too much for it"), &out),
	    PK_ELIMIT);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

UNIT_MAIN(cmocka_unit_test(test_rows), cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_output_limit))
