/* SPDX-License-Identifier: ISC */
/*
 * dsn.c: fuzzes the report composer: the input, cut at '|', is every field of
 * a report (A11). What comes out is fit for the queue: CRLF only, one To, no
 * field that was not ours.
 */
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "mail/data_scanner.h"
#include "mail/dsn.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
no_sink(void *arg, struct view slice)
{
	(void)arg;
	(void)slice;
	return 0;
}

static struct view
cut(struct view *rest)
{
	ptrdiff_t bar = view_find(*rest, '|');
	struct view v = bar < 0 ? *rest : view_head(*rest, (size_t)bar);

	*rest = bar < 0 ? view_from(*rest, rest->len) :
	    view_from(*rest, (size_t)bar + 1);
	return v;
}

static void
check(const struct buf *b)
{
	struct data_scanner s;
	struct header_iter it;
	struct header_field f;
	size_t used;
	unsigned fields = 0;

	data_scanner_init(&s, DATA_BARE_REJECT, DATA_SCANNER_BDAT, 0, no_sink,
	    NULL);
	(void)data_scanner_feed(&s, buf_view(b), &used);
	ASSERT(data_scanner_finish(&s) == 0 && !s.refused);
	header_iter_init(&it, buf_view(b));
	while (header_next(&it, &f))
		fields++;
	ASSERT(fields == 8 || fields == 9);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_of((const char *)data, size);
	struct dsn_recipient r = { .last_attempt_ms = 1, .retry_until_ms = 1 };
	struct dsn d = { .recipients = &r, .nrecipients = 1, .ret_full = true };
	struct dsn_needs needs;
	struct buf b;

	if (size > 65536)
		return 0;
	r.action = size > 0 ? (enum dsn_action)(data[0] % 5) : DSN_FAILED;
	d.original_utf8 = size > 1 && data[1] % 2 == 0;
	r.final = cut(&rest);
	r.orcpt_type = cut(&rest);
	r.orcpt = cut(&rest);
	r.remote_mta = cut(&rest);
	r.diagnostic = cut(&rest);
	d.sender = cut(&rest);
	d.envid = cut(&rest);
	d.dsn_id = d.queue_id = cut(&rest);
	d.myhostname = cut(&rest);
	/* The original is the scanner's output: no bare CR or LF in it. */
	d.original = VIEW("A: b\r\n\r\n\xff\r\n");
	buf_init(&b, dsn_size_max(&d));
	if (dsn_compose(&b, &d, &needs) == 0)
		check(&b);
	else
		ASSERT(d.sender.len == 0);
	buf_fini(&b);
	return 0;
}
