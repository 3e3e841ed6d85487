/* SPDX-License-Identifier: ISC */
/*
 * segment_reader.c: reading records out of a segment.
 *
 * Run by qmgr over files that other processes append to. Every length in a
 * record was written by somebody who may have been taken over: it is held
 * against the durable end and the format's limits before memory is asked for.
 */
#include "queue/segment_reader.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sys/fd.h"

void
segment_window_init(struct segment_window *w)
{
	memset(w, 0, sizeof(*w));
}

void
segment_window_fini(struct segment_window *w)
{
	xfree(w->data);
	segment_window_init(w);
}

int
segment_reader_header(int fd, uint64_t number, struct segment_header *h_r)
{
	struct segment_header h;
	int rc = fd_pread_all(fd, &h, sizeof(h), 0);

	if (rc != 0)
		return rc == PK_EEND ? PK_EFORMAT : rc;
	if ((rc = segment_header_check(&h, number)) != 0)
		return rc;
	*h_r = h;
	return 0;
}

int
segment_reader_bytes(struct segment_window *w, int fd, uint64_t number, uint64_t offset,
    size_t n, uint64_t end, struct view *v_r)
{
	size_t want;
	int rc;

	if (offset > end || end - offset < n)
		return PK_EEND;
	if (w->segment != number || offset < w->offset ||
	    offset - w->offset > w->len || w->len - (offset - w->offset) < n) {
		want = n > SEGMENT_WINDOW_BYTES ? n : SEGMENT_WINDOW_BYTES;
		if (want > end - offset)
			want = end - offset;
		w->segment = 0;
		/* A giant envelope grew it: do not keep that for ever. */
		if (want > w->cap || w->cap > 2 * SEGMENT_WINDOW_BYTES) {
			xfree(w->data);
			w->cap = want > SEGMENT_WINDOW_BYTES ? want : SEGMENT_WINDOW_BYTES;
			w->data = xmalloc(w->cap);
		}
		if ((rc = fd_pread_all(fd, w->data, want, (off_t)offset)) != 0)
			return rc == PK_EEND ? PK_EFORMAT : PK_EIO;
		w->segment = number;
		w->offset = offset;
		w->len = want;
	}
	*v_r = view_of(w->data + (offset - w->offset), n);
	return 0;
}

/* Where the record of a dedicated segment begins. */
static int
dedicated_offset(struct segment_window *w, int fd, const struct segment_header *seg,
    uint64_t end, uint64_t *offset_r)
{
	struct record_trailer t;
	struct view v;
	int rc;

	if (end < sizeof(*seg) + sizeof(struct record_header) + sizeof(t))
		return PK_EEND;
	if ((rc = segment_reader_bytes(w, fd, seg->number, end - sizeof(t), sizeof(t), end,
	    &v)) != 0)
		return rc;
	memcpy(&t, v.p, sizeof(t));
	if (t.check != record_check(seg->key,
	    view_of((char *)&t.record_offset, sizeof(t.record_offset))) ||
	    t.record_offset < sizeof(*seg) || t.record_offset > end)
		return PK_EEND;
	*offset_r = t.record_offset;
	return 0;
}

static int
meta_read(struct segment_window *w, int fd, const struct segment_header *seg, uint64_t end,
    struct segment_record *r)
{
	size_t n = (size_t)r->h.envelope_bytes + r->h.header_bytes;
	struct view v;
	int rc;

	if ((rc = segment_reader_bytes(w, fd, seg->number, r->offset + sizeof(r->h), n, end,
	    &v)) != 0)
		return rc == PK_EEND ? PK_EFORMAT : rc;
	r->envelope = view_head(v, r->h.envelope_bytes);
	r->header = view_from(v, r->h.envelope_bytes);
	if (r->h.meta_check != record_check(record_check(seg->key, r->envelope), r->header))
		return PK_EFORMAT;
	return 0;
}

int
segment_reader_record(struct segment_window *w, int fd, const struct segment_header *seg,
    uint64_t offset, uint64_t end, struct segment_record *r_r)
{
	struct segment_record r;
	struct view v;
	int rc;

	if (seg->kind == SEGMENT_DEDICATED && offset == 0 &&
	    (rc = dedicated_offset(w, fd, seg, end, &offset)) != 0)
		return rc;
	if ((rc = segment_reader_bytes(w, fd, seg->number, offset, sizeof(r.h), end, &v)) != 0)
		return rc;
	memcpy(&r.h, v.p, sizeof(r.h));
	r.offset = offset;
	if ((rc = record_header_check(&r.h, seg->key, (enum record_segment_kind)seg->kind, offset,
	    end)) != 0)
		return rc;
	if ((rc = meta_read(w, fd, seg, end, &r)) != 0)
		return rc;
	*r_r = r;
	return 0;
}
