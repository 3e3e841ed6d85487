/* SPDX-License-Identifier: ISC */
/*
 * scan.c: reading segments from their watermark on.
 *
 * Run by qmgr for intake and for recovery. The files were written by workers
 * that may have been taken over and by disks that may lie: each record is
 * checked whole, and what is damaged costs itself only. Going on behind it is
 * safe because checks are keyed: no client can make bytes that pass.
 */
#include "qmgr/store.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/checkpoint.h"

/* A writer knows the key of its segment: no record may take another message's id. */
static bool
owns_id(const struct segment *seg, const struct segment_record *r, uint64_t at)
{
	return seg->role == IPC_ROLE_qmgr ||
	    r->h.message == record_id(seg->header.number, at);
}

/* The next place behind `from` where a whole record stands; `end` if none. 0 or PK_EIO. */
static int
resync(struct store *s, struct segment *seg, int fd, uint64_t from, uint64_t end,
    struct segment_record *r, uint64_t *at_r)
{
	uint32_t magic;
	struct view v;
	uint64_t at;
	int rc;

	for (at = from + RECORD_ALIGN; at + sizeof(struct record_header) <= end;
	    at += RECORD_ALIGN) {
		rc = segment_reader_bytes(&s->segments.window, fd, seg->header.number, at,
		    sizeof(magic), end, &v);
		if (rc == PK_EIO)
			return rc;
		if (rc != 0)
			break;
		memcpy(&magic, v.p, sizeof(magic));
		if (magic != RECORD_MAGIC)
			continue;
		rc = segment_reader_record(&s->segments.window, fd, &seg->header, at, end, r);
		if (rc == PK_EIO)
			return rc;
		if (rc == 0 && owns_id(seg, r, at)) {
			*at_r = at;
			return 0;
		}
	}
	*at_r = end;
	return 0;
}

static int
scan_shared(struct store *s, struct segment *seg, int fd, uint64_t end, bool partial,
    struct segment_record *r)
{
	uint64_t from = seg->watermark, at;
	int rc;

	if (from >= end)
		return PK_EEND;
	rc = segment_reader_record(&s->segments.window, fd, &seg->header, from, end, r);
	if (rc == 0 && owns_id(seg, r, from)) {
		seg->watermark = from + r->h.total_bytes;
		return 0;
	}
	if (rc == PK_EIO)
		return rc;
	if (partial)
		return PK_EEND;
	if ((rc = resync(s, seg, fd, from, end, r, &at)) != 0)
		return rc;
	if (at < end) {
		log_error("queue/seg/%016" PRIu64 ".seg: damaged from offset %" PRIu64
		    " to %" PRIu64 ", goes on behind it", seg->header.number, from, at);
		seg->watermark = at + r->h.total_bytes;
		return 0;
	}
	if ((seg->flags & SEGMENT_SEALED) == 0)
		log_info("queue/seg/%016" PRIu64 ".seg: %" PRIu64 " bytes of an unfinished "
		    "record at its end", seg->header.number, end - from);
	else
		log_error("queue/seg/%016" PRIu64 ".seg: damaged at offset %" PRIu64 ", nothing "
		    "whole behind it", seg->header.number, from);
	seg->flags |= SEGMENT_DAMAGED;
	seg->watermark = end;
	return PK_EEND;
}

static int
scan_dedicated(struct store *s, struct segment *seg, int fd, uint64_t end, bool partial,
    struct segment_record *r)
{
	int rc;

	if (seg->watermark != 0 || end == 0)
		return PK_EEND;
	rc = segment_reader_record(&s->segments.window, fd, &seg->header, 0, end, r);
	if (rc == 0 && !owns_id(seg, r, 0))
		rc = PK_EFORMAT;
	if (rc == PK_EIO)
		return rc;
	/* Without its last bytes it is still being written, whatever was said to be durable. */
	if (rc != 0 && (partial || (rc == PK_EEND && (seg->flags & SEGMENT_SEALED) == 0)))
		return PK_EEND;
	seg->watermark = end;
	if (rc == PK_EFORMAT) {
		log_error("queue/seg/%016" PRIu64 ".seg: damaged", seg->header.number);
		seg->flags |= SEGMENT_DAMAGED;
		rc = PK_EEND;
	}
	return rc;
}

int
store_scan(struct store *s, struct segment *seg, uint64_t end, bool partial,
    struct segment_record *r_r)
{
	struct segment_record r;
	int fd = segments_fd(&s->segments, seg), rc;

	if (fd == -1) {
		log_error("queue/seg/%016" PRIu64 ".seg: cannot be opened: %m",
		    seg->header.number);
		return PK_EIO;
	}
	if (seg->header.kind == SEGMENT_SHARED)
		rc = scan_shared(s, seg, fd, end, partial, &r);
	else
		rc = scan_dedicated(s, seg, fd, end, partial, &r);
	segments_changed(&s->segments, seg);
	if (rc == PK_EIO)
		log_error("queue/seg/%016" PRIu64 ".seg: cannot be read at offset %" PRIu64,
		    seg->header.number, seg->watermark);
	if (rc == 0)
		*r_r = r;
	return rc;
}

bool
store_report_taken(struct store *s, struct message *dsn, struct view indexes)
{
	struct message *m = store_message(s, dsn->dsn_of);
	struct recipient **changed, *r;
	uint8_t bit = (uint8_t)(1U << dsn->dsn_kind);
	size_t n = 0;
	uint32_t i;

	if (m == NULL)
		return false;
	if (m->rcpts == NULL && store_recipients(s, m) != 0)
		return false;
	changed = xreallocarray(NULL, indexes.len / sizeof(i) + 1, sizeof(*changed));
	for (; indexes.len >= sizeof(i); indexes = view_from(indexes, sizeof(i))) {
		memcpy(&i, indexes.p, sizeof(i));
		if (i >= m->nrcpts || (r = m->rcpts[i]) == NULL || (r->reported & bit) != 0)
			continue;
		r->reported |= bit;
		r->report &= (uint8_t)~bit;
		changed[n++] = r;
	}
	if (n > 0 && s->recovering) {
		for (i = 0; i < n; i++)
			store_touch(s, m, changed[i]);
	} else if (n > 0) {
		store_log_rows(s, m, changed, n);
	}
	xfree(changed);
	store_settle(s, m);
	return n > 0;
}
