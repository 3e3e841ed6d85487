/* SPDX-License-Identifier: ISC */
/*
 * mime.c: fuzzes the 8-bit conversion. Byte 0: piece size of the second pass.
 * What comes out has no byte over 127, and converting it again says that
 * nothing is left to do.
 */
#include <stdint.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
to_buf(void *arg, struct view slice)
{
	return buf_put_view(arg, slice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mime_summary sum;
	struct view in, piece;
	struct mime *m;
	struct buf out;
	int rc;

	if (size < 1)
		return 0;
	in = view_of((const char *)data + 1, size - 1);
	m = mime_new();
	(void)mime_scan(m, in);
	rc = mime_scan_end(m, &sum);
	buf_init(&out, 1 << 28);
	if (rc == 0) {
		mime_convert_begin(m, to_buf, &out);
		while (in.len > 0) {
			piece = view_head(in, (size_t)data[0] + 1);
			ASSERT(mime_convert(m, piece) == 0);
			in = view_from(in, piece.len);
		}
		ASSERT(mime_convert_end(m) == 0);
		ASSERT(ascii_only(buf_view(&out)));
	}
	mime_free(&m);
	if (rc == 0) {
		m = mime_new();
		(void)mime_scan(m, buf_view(&out));
		(void)mime_scan_end(m, &sum);
		ASSERT(!sum.has_8bit);
		mime_free(&m);
	}
	buf_fini(&out);
	return 0;
}
