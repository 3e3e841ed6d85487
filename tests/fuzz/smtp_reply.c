/* SPDX-License-Identifier: ISC */
/*
 * smtp_reply.c: fuzzes the reply parser (A18): whole and in pieces of the
 * size that the first byte says must give the same answer.
 */
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "mail/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
feed(struct smtp_reply *r, struct view in, size_t piece, size_t *taken_r)
{
	size_t pos = 0, used;
	int rc = PK_EAGAIN;

	while (rc == PK_EAGAIN && pos < in.len) {
		rc = smtp_reply_feed(r, view_head(view_from(in, pos), piece),
		    &used);
		pos += used;
	}
	*taken_r = pos;
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply whole, split;
	struct smtp_caps caps;
	struct view in, line;
	struct buf b;
	size_t taken, taken_split;
	int rc, rc_split;

	if (size < 2)
		return 0;
	in = view_of((const char *)data + 1, size - 1);
	smtp_reply_init(&whole);
	smtp_reply_init(&split);
	rc = feed(&whole, in, in.len, &taken);
	rc_split = feed(&split, in, (size_t)data[0] % 16 + 1, &taken_split);
	/* A line that is too long is noticed sooner in pieces. */
	if (rc != PK_ELIMIT && rc_split != PK_ELIMIT) {
		ASSERT(rc == rc_split && whole.code == split.code);
		ASSERT(view_eq(buf_view(&whole.text), buf_view(&split.text)));
	}
	if (rc == 0) {
		ASSERT(taken == taken_split);
		buf_init(&b, 1 << 20);
		ASSERT(smtp_reply_put_text(&b, &whole) == 0);
		ASSERT(memchr(buf_view(&b).p, '\n', b.len) == NULL);
		buf_fini(&b);
		smtp_caps_parse(&whole, &caps);
		(void)smtp_reply_line(&whole, whole.lines / 2, &line);
	}
	smtp_reply_fini(&whole);
	smtp_reply_fini(&split);
	return 0;
}
