/* SPDX-License-Identifier: ISC */
/*
 * data_scanner.c: fuzzes the scanner (A1) and the writer (A2). Byte 0: piece
 * size; byte 1: flags. Whole and in pieces must agree; what comes out has no
 * bare CR or LF and goes through the writer and back unchanged.
 */
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "mail/data_scanner.h"
#include "mail/data_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
to_buf(void *arg, struct view slice)
{
	return buf_put_view(arg, slice);
}

static size_t
scan(struct data_scanner *s, struct view in, size_t piece, unsigned flags,
    struct buf *out)
{
	size_t pos = 0, used;
	int rc = PK_EAGAIN;

	buf_init(out, 1 << 24);
	data_scanner_init(s, DATA_BARE_NORMALIZE, flags, 0, to_buf, out);
	while (rc == PK_EAGAIN && pos < in.len) {
		rc = data_scanner_feed(s, view_head(view_from(in, pos), piece),
		    &used);
		pos += used;
	}
	if (flags & DATA_SCANNER_BDAT)
		ASSERT(data_scanner_finish(s) == 0);
	return pos;
}

static void
check_lines(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\n')
			ASSERT(i > 0 && v.p[i - 1] == '\r');
		if (v.p[i] == '\r' && i + 1 < v.len)
			ASSERT(v.p[i + 1] == '\n');
	}
}

static void
check_round_trip(struct view content)
{
	struct data_scanner s;
	struct data_writer w;
	struct buf wire, back;

	buf_init(&wire, 1 << 26);
	data_writer_init(&w, DATA_WRITER_DOT, 0);
	ASSERT(data_writer_feed(&w, content, &wire) == 0);
	ASSERT(data_writer_end(&w, &wire) == 0);
	ASSERT(scan(&s, buf_view(&wire), 4096, 0, &back) == wire.len);
	ASSERT(s.ended && view_eq(buf_view(&back), content));
	buf_fini(&wire);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct data_scanner a, b;
	struct buf out_a, out_b;
	struct view in;
	unsigned flags;

	if (size < 3)
		return 0;
	flags = data[1] & (DATA_SCANNER_BDAT | DATA_SCANNER_BINARY);
	/* Binary content exists in BDAT only. */
	if (flags == DATA_SCANNER_BINARY)
		flags = 0;
	in = view_of((const char *)data + 2, size - 2);
	ASSERT(scan(&a, in, in.len, flags, &out_a) ==
	    scan(&b, in, (size_t)data[0] % 8 + 1, flags, &out_b));
	ASSERT(view_eq(buf_view(&out_a), buf_view(&out_b)));
	ASSERT(a.seen == b.seen && a.hops == b.hops && a.lines == b.lines &&
	    a.header_bytes == b.header_bytes && a.ended == b.ended &&
	    a.content_bytes == b.content_bytes &&
	    a.longest_line == b.longest_line);
	ASSERT(a.content_bytes == out_a.len);
	if (!(flags & DATA_SCANNER_BINARY)) {
		check_lines(buf_view(&out_a));
		if (a.ended)
			check_round_trip(buf_view(&out_a));
	}
	buf_fini(&out_a);
	buf_fini(&out_b);
	return 0;
}
