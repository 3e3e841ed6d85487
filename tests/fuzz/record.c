/* SPDX-License-Identifier: ISC */
/*
 * record.c: fuzzes queue records as qmgr reads them. The first byte chooses:
 * an envelope, a segment of foreign bytes, or a whole record around foreign
 * parts, which must be read back as it is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "queue/record.h"
#include "queue/segment_reader.h"
#include "sys/fd.h"

#define KEY	77

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_envelope(struct view v)
{
	struct record_envelope e;
	struct record_recipient r;
	struct view rest;
	uint32_t n = 0;

	(void)record_envelope_read_head(v, &e);
	if (record_envelope_read(v, &e) != 0)
		return;
	for (rest = e.recipients; record_recipient_next(&rest, &r); n++)
		ASSERT(r.address.len > 0 && r.address.len <= RECORD_ADDRESS_MAX);
	ASSERT(n == e.nrecipients);
}

static int
segment_fd(struct segment_header *h, unsigned kind, struct view bytes)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	segment_header_init(h, kind != 0 ? SEGMENT_DEDICATED : SEGMENT_SHARED, 1, KEY, 1, 1);
	ASSERT(fd != -1);
	ASSERT(fd_write_all(fd, h, sizeof(*h)) == 0);
	ASSERT(fd_write_all(fd, bytes.p, bytes.len) == 0);
	return fd;
}

static void
read_foreign(unsigned kind, struct view v)
{
	struct segment_window w;
	struct segment_header h;
	struct segment_record r;
	uint64_t at, end = sizeof(h) + v.len;
	int fd = segment_fd(&h, kind, v);

	segment_window_init(&w);
	for (at = kind != 0 ? 0 : sizeof(h); at < end && at < 4096; at += RECORD_ALIGN)
		if (segment_reader_record(&w, fd, &h, at, end, &r) == 0)
			ASSERT(r.offset + r.h.total_bytes <= end);
	segment_window_fini(&w);
	close(fd);
}

static void
read_own(struct view v)
{
	struct view envelope = view_head(v, v.len / 3), head = view_head(view_from(v, v.len / 3),
	    v.len / 3), content = view_from(v, 2 * (v.len / 3));
	struct segment_window w;
	struct segment_header h;
	struct segment_record r;
	struct record_header rh;
	struct buf b;
	int fd;

	record_header_shared(&rh, KEY, 1, sizeof(h), envelope, head, content);
	buf_init(&b, 1 << 24);
	buf_put(&b, &rh, sizeof(rh));
	buf_put_view(&b, v);
	buf_put(&b, "\0\0\0\0\0\0\0", rh.total_bytes - b.len);
	fd = segment_fd(&h, 0, buf_view(&b));
	segment_window_init(&w);
	ASSERT(segment_reader_record(&w, fd, &h, sizeof(h), sizeof(h) + b.len, &r) == 0);
	ASSERT(view_eq(r.envelope, envelope) && view_eq(r.header, head));
	ASSERT(r.h.content_bytes == content.len);
	segment_window_fini(&w);
	close(fd);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view v;

	if (size < 2 || size > 60000)
		return 0;
	v = view_of((const char *)data + 2, size - 2);
	switch (data[0] % 3) {
	case 0:
		read_envelope(v);
		break;
	case 1:
		read_foreign(data[1] & 1u, v);
		break;
	default:
		read_own(v);
		break;
	}
	return 0;
}
