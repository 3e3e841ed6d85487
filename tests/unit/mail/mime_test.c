/* SPDX-License-Identifier: ISC */
/*
 * mime_test.c: 8-bit mail for 7-bit next hops: structure, encodings, and
 * hostile nesting (A8). Fed whole, byte by byte and split at random.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "mail/mime.h"

static const struct row {
	const char	*name;
	const char	*in;
	int		 scan;		/* mime_scan_end's result */
	bool		 needs;
	const char	*out;		/* NULL: not converted */
} rows[] = {
	{ "plain 7bit", "A: b\r\n\r\nbody\r\n", 0, false,
	    "A: b\r\n\r\nbody\r\n" },
	{ "no MIME, 8-bit body", "A: b\r\n\r\nb\xc3\xbc= \r\n", 0, true,
	    "A: b\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "b=C3=BC=3D=20\r\n" },
	{ "text 8bit", "MIME-Version: 1.0\r\nContent-Type: text/plain; "
	    "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n"
	    "\xc3\xbc\r\n\r\n.\r\n", 0, true,
	    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "X: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "=C3=BC\r\n\r\n.\r\n" },
	{ "folded label", "Mime-version: 1.0\r\n"
	    "Content-Transfer-Encoding:\r\n 8bit\r\nX: y\r\n\r\n\xff\r\n", 0,
	    true, "Mime-version: 1.0\r\nX: y\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=FF\r\n" },
	{ "label 8bit, body 7bit", "MIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n", 0, false,
	    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	    "x\r\n" },
	{ "image", "MIME-Version: 1.0\r\nContent-Type: image/png\r\n\r\n"
	    "\x89PNG\r\n", 0, true,
	    "MIME-Version: 1.0\r\nContent-Type: image/png\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\niVBORw0K\r\n" },
	{ "multipart", "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/mixed; boundary=\"b 1\"\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\npre\xff\r\n"
	    "--b 1\r\nContent-Type: text/html\r\n\r\n<\xe4>\r\n"
	    "--b 1 \r\n\r\nplain\r\n"
	    "--b 1\r\nContent-Type: application/x\r\n"
	    "Content-Transfer-Encoding: binary\r\n\r\nab\r\n"
	    "--b 1--\r\npost\xff\r\n", 0, true,
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/mixed; boundary=\"b 1\"\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\npre?\r\n"
	    "--b 1\r\nContent-Type: text/html\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n<=E4>\r\n"
	    "--b 1 \r\n\r\nplain\r\n"
	    "--b 1\r\nContent-Type: application/x\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nYWI=\r\n"
	    "--b 1--\r\npost?\r\n" },
	{ "outer delimiter closes inner", "Content-Type: multipart/mixed; "
	    "boundary=o\r\n\r\n--o\r\nContent-Type: multipart/alternative;\r\n"
	    "\tboundary=i\r\n\r\n--i\r\n\r\n\xff\r\n--o\r\n\r\nx\r\n--o--\r\n",
	    0, true, "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
	    "Content-Type: multipart/alternative;\r\n\tboundary=i\r\n\r\n"
	    "--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=FF\r\n"
	    "--o\r\n\r\nx\r\n--o--\r\n" },
	{ "message/rfc822", "Content-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\n"
	    "Subject: in\r\n\r\n\xff\r\n", 0, true,
	    "Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n"
	    "Subject: in\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=FF\r\n" },
	{ "digest", "Content-Type: multipart/digest; boundary=d\r\n\r\n"
	    "--d\r\n\r\nSubject: x\r\n\r\n\xff\r\n--d--\r\n", 0, true,
	    "Content-Type: multipart/digest; boundary=d\r\n\r\n"
	    "--d\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=FF\r\n"
	    "--d--\r\n" },
	{ "raw bytes in quoted-printable", "Content-Transfer-Encoding: "
	    "Quoted-Printable\r\n\r\na=3D\xff\r\n", 0, true,
	    "Content-Transfer-Encoding: Quoted-Printable\r\n\r\na=3D=FF\r\n" },
	{ "raw bytes in base64", "Content-Transfer-Encoding: base64\r\n\r\n"
	    "YW\xffI=\r\n", 0, true,
	    "Content-Transfer-Encoding: base64\r\n\r\nYW?I=\r\n" },
	{ "8-bit header", "Subject: \xff\r\n\r\nx\r\n", PK_EUNSUPPORTED, true,
	    NULL },
	{ "8-bit header of a part", "Content-Type: multipart/mixed; "
	    "boundary=b\r\n\r\n--b\r\nX: \xff\r\n\r\n--b--\r\n",
	    PK_EUNSUPPORTED, true, NULL },
	{ "multipart without boundary", "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/mixed\r\n\r\n--b\r\n\xff\r\n", 0, true,
	    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n--b\r\n=FF\r\n" },
	{ "no empty line", "A: b\r\nbody \xff\r\n", 0, true,
	    "A: b\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "body =FF\r\n" },
	{ "delimiter cuts header", "Content-Type: multipart/mixed; "
	    "boundary=b\r\n\r\n--b\r\nX: y\r\n--b--\r\n", 0, false,
	    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	    "--b\r\nX: y\r\n--b--\r\n" },
	{ "ends in a header", "A: b", 0, false, "A: b\r\n" },
	{ "empty", "", 0, false, "" },
	{ "comments in Content-Type", "Content-Type: (a (b\\)) ) multipart "
	    "(x) / mixed ; a=\"b;boundary=no\"; boundary=(c)\"y\\e\"s\r\n\r\n"
	    "--ye\r\n\r\n\xff\r\n--ye--\r\n", 0, true,
	    "Content-Type: (a (b\\)) ) multipart "
	    "(x) / mixed ; a=\"b;boundary=no\"; boundary=(c)\"y\\e\"s\r\n\r\n"
	    "--ye\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=FF\r\n"
	    "--ye--\r\n" },
};

static int
to_buf(void *arg, struct view slice)
{
	return buf_put_view(arg, slice);
}

typedef int (*feed_fn)(struct mime *m, struct view chunk);

static int
feed(feed_fn fn, struct mime *m, struct view in, size_t n)
{
	int rc = 0;

	while (rc == 0 && in.len > 0) {
		struct view piece = view_head(in, n != 0 ? n :
		    (size_t)(random() % 11) + 1);
		char *copy = xmemdup(piece.p, piece.len);

		rc = fn(m, view_of(copy, piece.len));
		xfree(copy);
		in = view_from(in, piece.len);
	}
	return rc;
}

static void
check_row(const struct row *row, size_t scan_n, size_t convert_n)
{
	struct view in = view_str(row->in);
	struct mime_summary sum;
	struct mime *m = mime_new();
	struct buf out;

	buf_init(&out, 1 << 20);
	CHECK_INT(row->name, feed(mime_scan, m, in, scan_n), 0);
	CHECK_INT(row->name, mime_scan_end(m, &sum), row->scan);
	CHECK_INT(row->name, sum.needs_conversion, row->needs);
	if (row->out != NULL) {
		mime_convert_begin(m, to_buf, &out);
		CHECK_INT(row->name, feed(mime_convert, m, in, convert_n), 0);
		CHECK_INT(row->name, mime_convert_end(m), 0);
		CHECK_VIEW(row->name, buf_view(&out), row->out);
		CHECK(row->name, ascii_only(buf_view(&out)));
	}
	buf_fini(&out);
	mime_free(&m);
	assert_null(m);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		check_row(&rows[i], 100000, 100000);
		check_row(&rows[i], 1, 1);
		check_row(&rows[i], 2, 3);
		for (int j = 0; j < 20; j++)
			check_row(&rows[i], 0, 0);
	}
}

/* Quoted-printable lines keep to 76, decode to what went in. */
static void
test_line_length(void **state)
{
	struct mime_summary sum;
	struct mime *m = mime_new();
	struct buf in, out;
	struct view rest, line;
	size_t at;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_put_str(&in, "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n");
	at = in.len;
	for (int i = 0; i < 3000; i++)
		buf_put_str(&in, i % 7 == 0 ? "\xe4 " : "x");
	assert_int_equal(mime_scan(m, buf_view(&in)), 0);
	assert_int_equal(mime_scan_end(m, &sum), 0);
	mime_convert_begin(m, to_buf, &out);
	assert_int_equal(mime_convert(m, buf_view(&in)), 0);
	assert_int_equal(mime_convert_end(m), 0);
	rest = view_from(buf_view(&out), at);
	while (view_next(&rest, "\n", &line))
		assert_true(line.len <= 77);
	buf_fini(&in);
	buf_fini(&out);
	mime_free(&m);
}

static void
put_nested(struct buf *b, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_printf(b, "Content-Type: multipart/mixed; boundary=b%u\r\n"
		    "\r\n--b%u\r\n", i, i);
}

static void
test_depth(void **state)
{
	struct mime_summary sum;
	struct mime *m = mime_new();
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	put_nested(&b, MIME_DEPTH_MAX);
	assert_int_equal(mime_scan(m, buf_view(&b)), 0);
	assert_int_equal(mime_scan_end(m, &sum), 0);
	assert_int_equal(sum.depth, MIME_DEPTH_MAX);
	mime_free(&m);
	m = mime_new();
	buf_reset(&b);
	put_nested(&b, 10000);
	assert_int_equal(mime_scan(m, buf_view(&b)), PK_ELIMIT);
	assert_int_equal(mime_scan_end(m, &sum), PK_ELIMIT);
	mime_free(&m);
	buf_fini(&b);
}

/* Deepest nesting, then lines that look like delimiters and are none. */
static uint64_t
time_of(size_t lines)
{
	struct mime_summary sum;
	struct mime *m = mime_new();
	struct buf b;
	uint64_t start, ns;

	buf_init(&b, 1 << 26);
	put_nested(&b, MIME_DEPTH_MAX);
	buf_put_str(&b, "\r\n");
	for (size_t i = 0; i < lines; i++)
		buf_put_str(&b, "--b9-\r\n");
	start = clock_mono_ns();
	assert_int_equal(mime_scan(m, buf_view(&b)), 0);
	assert_int_equal(mime_scan_end(m, &sum), 0);
	ns = clock_mono_ns() - start;
	buf_fini(&b);
	mime_free(&m);
	return ns;
}

static void
test_linear_time(void **state)
{
	uint64_t once = UINT64_MAX, twice = UINT64_MAX, ns;

	(void)state;
	unit_skip_under_valgrind("it has its own idea of time");
	/* The best of several: other work on the machine is not our matter. */
	for (int i = 0; i < 20 && (i < 3 || twice >= once * 5 / 2 + 1000000); i++) {
		ns = time_of(20000);
		once = ns < once ? ns : once;
		ns = time_of(40000);
		twice = ns < twice ? ns : twice;
	}
	assert_true(twice < once * 5 / 2 + 1000000);
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
	struct mime_summary sum;
	struct mime *m = mime_new();

	(void)state;
	assert_int_equal(mime_scan(m, VIEW("A: b\r\n\r\n\xff")), 0);
	assert_int_equal(mime_scan_end(m, &sum), 0);
	mime_convert_begin(m, failing_sink, NULL);
	(void)mime_convert(m, VIEW("A: b\r\n\r\n\xff"));
	assert_int_equal(mime_convert_end(m), PK_ENOSPC);
	mime_free(&m);
}

static void
test_other_bytes(void **state)
{
	struct mime_summary sum;
	struct mime *m = mime_new();
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(mime_scan(m, VIEW("A: b\r\n\r\n")), 0);
	assert_int_equal(mime_scan_end(m, &sum), 0);
	mime_convert_begin(m, to_buf, &out);
	assert_int_equal(mime_convert(m, VIEW("Content-Type: message/rfc822"
	    "\r\n\r\nA: b\r\n\r\n")), PK_EFORMAT);
	mime_free(&m);
	buf_fini(&out);
}

UNIT_MAIN(cmocka_unit_test(test_rows), cmocka_unit_test(test_line_length),
    cmocka_unit_test(test_depth), cmocka_unit_test(test_linear_time),
    cmocka_unit_test(test_sink_error), cmocka_unit_test(test_other_bytes))
