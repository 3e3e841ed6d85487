/* SPDX-License-Identifier: ISC */
/*
 * header.c: fuzzes the header reader, the writers and the dates. A written
 * field is one field when it is read again (A11).
 */
#include <stdint.h>

#include "base/log.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_one_field(struct buf *b)
{
	struct header_iter it;
	struct header_field f;

	ASSERT(buf_error(b) == 0);
	header_iter_init(&it, buf_view(b));
	ASSERT(header_next(&it, &f) && f.whole.len == b->len);
	buf_reset(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view v = view_of((const char *)data, size);
	struct trace_received t = { .helo = v, .client_name = v,
	    .client_addr = v, .authenticated = v, .tls = v, .tls_peer = v, .by = v,
	    .with = v, .id = v, .rcpt = v };
	struct header_iter it;
	struct header_field f;
	struct buf b;
	uint64_t ms;
	size_t length = 0;

	if (size > 65536)
		return 0;
	buf_init(&b, 1 << 20);
	header_iter_init(&it, v);
	while (header_next(&it, &f)) {
		length += f.whole.len;
		(void)date_parse_rfc5322(f.value, &ms);
		buf_reset(&b);
		ASSERT(header_put_field(&b, f.name, f.value) == 0);
		check_one_field(&b);
	}
	ASSERT(header_length(v) >= length && header_length(v) <= length + 2);
	(void)date_parse_rfc3339(v, &ms);
	(void)date_parse_rfc5322(v, &ms);
	header_put_field(&b, VIEW("X"), v);
	check_one_field(&b);
	trace_put_received(&b, &t);
	check_one_field(&b);
	trace_put_return_path(&b, v);
	check_one_field(&b);
	buf_put_str(&b, "From: ");
	header_put_phrase(&b, v);
	buf_put_str(&b, "\r\n");
	check_one_field(&b);
	header_put_unfolded(&b, v);
	buf_fini(&b);
	return 0;
}
