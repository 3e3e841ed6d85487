/* SPDX-License-Identifier: ISC */
/*
 * forge.c: a queue record as a writer in an attacker's hands would append it.
 *
 *	forge SEGMENT-FILE OFFSET SENDER RECIPIENT [FIELD=VALUE]...
 *
 * Writes the record for that place to standard output; the segment's number
 * and key come from its header, which the writer knows too. FIELD: LOGIN,
 * TICKET (hex), CLASS, CLIENT_ADDR.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/num.h"
#include "queue/record.h"

static int
put_field(struct buf *b, const char *arg)
{
	struct view v = view_str(arg), name;
	ptrdiff_t at = view_find(v, '=');
	struct buf bytes;
	uint64_t n;

	buf_init(&bytes, 100);
	if (at < 0)
		return -1;
	name = view_head(v, (size_t)at);
	v = view_from(v, (size_t)at + 1);
	if (view_eq(name, VIEW("LOGIN")))
		envelope_put_text(b, ENVELOPE_LOGIN, v);
	else if (view_eq(name, VIEW("TICKET")) && hex_decode(&bytes, v) == 0)
		envelope_put_text(b, ENVELOPE_TICKET, buf_view(&bytes));
	else if (view_eq(name, VIEW("CLIENT_ADDR")))
		envelope_put_text(b, ENVELOPE_CLIENT_ADDR, v);
	else if (view_eq(name, VIEW("CLASS")) && num_parse_u64(v, 0, 100, &n) == 0)
		envelope_put_u64(b, ENVELOPE_CLASS, n);
	else
		at = -1;
	buf_fini(&bytes);
	return at < 0 ? -1 : 0;
}

int
main(int argc, char **argv)
{
	static const char content[] = "Subject: forged\r\n\r\nTKforged\r\n";
	static const char zeros[RECORD_ALIGN];
	struct segment_header seg;
	struct record_header head;
	struct buf b;
	size_t used;
	uint64_t offset;
	int fd, i;

	if (argc < 5 || num_parse_u64(view_str(argv[2]), 0, UINT32_MAX, &offset) != 0)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd == -1 || read(fd, &seg, sizeof(seg)) != (ssize_t)sizeof(seg))
		return 1;
	buf_init(&b, RECORD_ENVELOPE_MAX);
	clock_init();
	envelope_put_text(&b, ENVELOPE_SENDER, view_str(argv[3]));
	envelope_put_u64(&b, ENVELOPE_ARRIVAL_MS, clock_wall_ms());
	for (i = 5; i < argc; i++)
		if (put_field(&b, argv[i]) != 0)
			return 2;
	envelope_put_text(&b, ENVELOPE_RECIPIENT, view_str(argv[4]));
	record_header_shared(&head, seg.key, seg.number, offset, buf_view(&b), VIEW_NONE,
	    VIEW(content));
	used = sizeof(head) + buf_view(&b).len + sizeof(content) - 1;
	fwrite(&head, sizeof(head), 1, stdout);
	fwrite(buf_view(&b).p, buf_view(&b).len, 1, stdout);
	fwrite(content, sizeof(content) - 1, 1, stdout);
	fwrite(zeros, head.total_bytes - used, 1, stdout);
	buf_fini(&b);
	return 0;
}
