/* SPDX-License-Identifier: ISC */
/*
 * smtp_content.c: a message's content on its way into a connection.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. The usual message is CRLF lines
 * with no dot in front: it is sent from the packet it came in. Everything
 * else goes through data_writer (dots, bare CR or LF, long lines; A2) and, for
 * a server without 8BITMIME, through mime.h's converter, in pieces.
 */
#include "deliver/smtp.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* A piece of a file; what one becomes at most is below STREAM_OUT_MAX. */
#define PIECE_SIZE	(64 * 1024)
/* More is not put into a stream that has not got rid of this. */
#define PENDING_MAX	(256 * 1024)
/* Sent in the same packet as its recipients, before these are answered. */
#define BDAT_SMALL	(64 * 1024)

bool
smtp_content_is_plain(struct view v, size_t line_max)
{
	const char *p = v.p, *end = v.p + v.len, *nl;

	while (p < end) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL || nl == p || nl[-1] != '\r' || *p == '.')
			return false;
		if (line_max > 0 && (size_t)(nl - 1 - p) > line_max)
			return false;
		if (memchr(p, '\r', (size_t)(nl - 1 - p)) != NULL)
			return false;
		p = nl + 1;
	}
	return true;
}

static void
refuse(struct smtp_work *w, struct enhanced dsn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Nobody of this job can have it there. */
static void
refuse(struct smtp_work *w, struct enhanced dsn, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	buf_init(&b, 4096);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	job_result_rest(w->job, dsn.klass == 5 ? JOB_BOUNCED : JOB_DEFERRED, 0,
	    dsn, buf_view(&b), view_str(w->conn->target->relay));
	buf_fini(&b);
}

static int
scan_all(struct smtp_work *w, struct mime_summary *sum)
{
	static char room[PIECE_SIZE];
	uint64_t offset = 0;
	struct view v;
	int rc;

	while ((rc = job_read(w->job, offset, room, sizeof(room), &v)) == 0) {
		offset += v.len;
		rc = mime_scan(w->mime, v);
		if (rc != 0)
			return rc;
	}
	return rc == PK_EEND ? mime_scan_end(w->mime, sum) : rc;
}

static int
put_converted(void *arg, struct view v)
{
	struct smtp_work *w = arg;

	return data_writer_feed(&w->writer, v, stream_out(&w->conn->stream));
}

/* The next hop takes seven bits only (RFC 6152 3). */
static bool
prepare_conversion(struct smtp_work *w)
{
	struct mime_summary sum;
	int rc;

	w->mime = mime_new();
	rc = scan_all(w, &sum);
	if (rc == PK_EIO) {
		refuse(w, ENHANCED(4, 3, 0), "cannot read the message content");
		return false;
	}
	if (rc != 0) {
		refuse(w, ENHANCED(5, 6, 3),
		    "message content has to be "
		    "converted to 7 bit for host %s and cannot be",
		    w->conn->target->peer);
		return false;
	}
	mime_convert_begin(w->mime, put_converted, w);
	w->plain = false;
	w->txn.size = 0;
	return true;
}

static bool
prepare_body(struct smtp_work *w)
{
	const struct smtp_caps *caps = &w->conn->client.caps;
	const struct conf *conf = w->conn->dest->conf;
	unsigned binary = SMTP_CAP_BINARYMIME | SMTP_CAP_CHUNKING;

	if (w->job->env.body == RECORD_BODY_BINARY &&
	    (caps->flags & binary) == binary) {
		w->txn.body = SMTP_BODY_BINARYMIME;
		w->txn.bdat = w->raw = true;
		return true;
	}
	if (w->job->env.body == RECORD_BODY_8BIT &&
	    (caps->flags & SMTP_CAP_8BITMIME) != 0) {
		w->txn.body = SMTP_BODY_8BITMIME;
		return true;
	}
	if (w->job->env.body == RECORD_BODY_7BIT ||
	    (conf->disable_mime_output_conversion &&
		w->job->env.body == RECORD_BODY_8BIT))
		return true;
	return prepare_conversion(w);
}

bool
smtp_content_prepare(struct smtp_work *w)
{
	const struct smtp_caps *caps = &w->conn->client.caps;
	size_t line_max = (size_t)w->conn->dest->conf->smtp_line_length_limit;
	struct job *j = w->job;

	w->txn.size = job_size(j);
	if (caps->size_max > 0 && w->txn.size > caps->size_max) {
		refuse(w, ENHANCED(5, 3, 4),
		    "message size %llu exceeds size "
		    "limit %llu of server %s",
		    (unsigned long long)w->txn.size,
		    (unsigned long long)caps->size_max, w->conn->target->peer);
		return false;
	}
	if (j->env.utf8 && (caps->flags & SMTP_CAP_SMTPUTF8) == 0) {
		refuse(w, ENHANCED(5, 6, 7),
		    "SMTPUTF8 is required, but was not "
		    "offered by host %s",
		    w->conn->target->peer);
		return false;
	}
	w->txn.smtputf8 = j->env.utf8;
	w->plain = j->fd == -1 && smtp_content_is_plain(j->header, line_max) &&
	    smtp_content_is_plain(j->content, line_max);
	data_writer_init(&w->writer, DATA_WRITER_DOT, line_max);
	if (!prepare_body(w))
		return false;
	/* One round trip a message: worth it while a refusal wastes little. */
	if (w->plain && (caps->flags & SMTP_CAP_CHUNKING) != 0 &&
	    (caps->flags & SMTP_CAP_PIPELINING) != 0 &&
	    w->txn.size <= BDAT_SMALL)
		w->txn.bdat = true;
	return true;
}

/* The end of the content: true when the transaction has got it all. */
static int
end_content(struct smtp_work *w)
{
	struct buf *out = stream_out(&w->conn->stream);
	int rc = 0;

	if (w->mime != NULL)
		rc = mime_convert_end(w->mime);
	if (rc == 0 && !w->raw)
		rc = data_writer_end(&w->writer, out);
	if (rc != 0)
		return PK_EIO;
	w->pumping = false;
	smtp_client_content_sent(&w->conn->client, &w->txn);
	return 0;
}

static void
put_plain(struct smtp_work *w)
{
	struct stream *s = &w->conn->stream;

	if (w->txn.bdat) {
		/* Copied: its reply may be read before all of it is sent. */
		buf_put_view(stream_out(s), w->job->header);
		buf_put_view(stream_out(s), w->job->content);
	} else {
		stream_put_borrowed(s, w->job->header);
		stream_put_borrowed(s, w->job->content);
		buf_put_str(stream_out(s), ".\r\n");
	}
	smtp_client_content_sent(&w->conn->client, &w->txn);
}

int
smtp_content_pump(struct smtp_work *w)
{
	static char room[PIECE_SIZE];
	struct stream *s = &w->conn->stream;
	struct view v;
	int rc;

	if (w->plain) {
		put_plain(w);
		return 0;
	}
	w->pumping = true;
	while (stream_pending(s) < PENDING_MAX) {
		rc = job_read(w->job, w->offset, room, sizeof(room), &v);
		if (rc == PK_EEND)
			return end_content(w);
		if (rc != 0)
			return PK_EIO;
		v = view_head(v, PIECE_SIZE);
		w->offset += v.len;
		if (w->mime != NULL)
			rc = mime_convert(w->mime, v);
		else if (w->raw)
			rc = buf_put_view(stream_out(s), v);
		else
			rc = data_writer_feed(&w->writer, v, stream_out(s));
		if (rc != 0)
			return PK_EIO;
	}
	return 0;
}
