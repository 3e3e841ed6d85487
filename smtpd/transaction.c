/* SPDX-License-Identifier: ISC */
/*
 * transaction.c: what a message in the making holds, and where its content goes.
 *
 * Runs in smtpd. Content stays in memory up to what one client may have
 * (smtpd_content_memory, more for our own networks) and what all together may
 * have (smtpd_memory_limit), then moves into a dedicated queue segment. A
 * client that is faster than the disk is held up. A stranger's recipients
 * count as well: RCPT is 452 when they outgrow its share (A7).
 */
#include "smtpd/transaction.h"

#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/xtext.h"
#include "smtpd/worker.h"

/* What a spare transaction keeps allocated. */
#define SPARE_CONTENT_MAX	16384
/* Room that content always has, however many recipients there are. */
#define CONTENT_LEAST		4096

struct transaction *
transaction_new(struct worker *w)
{
	struct transaction *tx = TAILQ_FIRST(&w->spare_transactions);

	if (tx != NULL) {
		TAILQ_REMOVE(&w->spare_transactions, tx, link);
		w->nspare_transactions--;
		return tx;
	}
	tx = XNEW(struct transaction);
	buf_init(&tx->envid, XTEXT_ENVID_MAX);
	buf_init(&tx->hold_text, 255);
	buf_init(&tx->rcpts, TRANSACTION_RCPTS_TRUSTED);
	buf_init(&tx->content, TRANSACTION_TRUSTED_MAX + WORKER_SCRATCH);
	buf_init(&tx->envelope, RECORD_ENVELOPE_MAX);
	buf_init(&tx->header, RECORD_HEADER_MAX);
	return tx;
}

static void
spare_buf(struct buf *b, size_t most)
{
	if (b->cap > most)
		buf_fini(b);
	else
		buf_reset(b);
}

static void
really_free(struct transaction *tx)
{
	buf_fini(&tx->envid);
	buf_fini(&tx->hold_text);
	buf_fini(&tx->rcpts);
	buf_fini(&tx->content);
	buf_fini(&tx->envelope);
	buf_fini(&tx->header);
	xfree(tx);
}

static void
drop_content(struct worker *w, struct transaction *tx)
{
	w->content_bytes -= tx->content.len;
	spare_buf(&tx->content, SPARE_CONTENT_MAX);
	if (tx->stream != NULL)
		segment_stream_abort(tx->stream);
	tx->stream = NULL;
	tx->stalled = false;
}

void
transaction_free(struct worker *w, struct transaction **txp)
{
	struct transaction *tx = *txp;

	if (tx == NULL)
		return;
	*txp = NULL;
	drop_content(w, tx);
	if (w->nspare_transactions >= WORKER_SPARES) {
		really_free(tx);
		return;
	}
	spare_buf(&tx->envid, XTEXT_ENVID_MAX + 1);
	spare_buf(&tx->hold_text, 256);
	spare_buf(&tx->rcpts, 4096);
	spare_buf(&tx->envelope, 4096);
	spare_buf(&tx->header, 4096);
	tx->hold_until_ms = 0;
	tx->own_message_id = false;
	tx->requiretls = tx->hold = tx->discard = tx->scanning = tx->utf8 = false;
	tx->nrcpts = tx->overshoot = 0;
	tx->rcpts_kept = 0;
	tx->stream_error = 0;
	TAILQ_INSERT_HEAD(&w->spare_transactions, tx, link);
	w->nspare_transactions++;
}

/* ---- recipients ---- */

static unsigned
notify_bits(unsigned notify)
{
	unsigned bits = 0;

	bits |= notify & SMTP_NOTIFY_NEVER ? RECORD_NOTIFY_NEVER : 0;
	bits |= notify & SMTP_NOTIFY_SUCCESS ? RECORD_NOTIFY_SUCCESS : 0;
	bits |= notify & SMTP_NOTIFY_FAILURE ? RECORD_NOTIFY_FAILURE : 0;
	bits |= notify & SMTP_NOTIFY_DELAY ? RECORD_NOTIFY_DELAY : 0;
	return bits;
}

static size_t
stranger_max(const struct session *s)
{
	return s->tls != NULL ? TRANSACTION_STRANGER_TLS_MAX : TRANSACTION_STRANGER_MAX;
}

static size_t
backlog_max(const struct session *s)
{
	if (s->trusted)
		return SEGMENT_STREAM_BACKLOG;
	return s->tls != NULL ? TRANSACTION_BACKLOG_STRANGER_TLS : TRANSACTION_BACKLOG_STRANGER;
}

int
transaction_add_recipient(struct session *s, struct view address,
    const struct smtp_command *cmd)
{
	struct buf *b = &s->tx->rcpts;
	size_t most = s->trusted ? TRANSACTION_RCPTS_TRUSTED : stranger_max(s) - CONTENT_LEAST;
	char orcpt[XTEXT_ORCPT_MAX + 64];
	int n;

	s->tx->rcpts_kept = b->len;
	envelope_put_text(b, ENVELOPE_RECIPIENT, address);
	if (cmd->params & SMTP_PARAM_ORCPT) {
		n = snprintf(orcpt, sizeof(orcpt), "%.*s;%.*s", VIEW_ARG(cmd->orcpt_type),
		    VIEW_ARG(cmd->orcpt));
		if (n > 0 && (size_t)n < sizeof(orcpt))
			envelope_put_text(b, ENVELOPE_ORCPT, view_of(orcpt, (size_t)n));
	}
	if (cmd->params & SMTP_PARAM_NOTIFY)
		envelope_put_u64(b, ENVELOPE_NOTIFY, notify_bits(cmd->notify));
	if (buf_error(b) == 0 && b->len <= most)
		return 0;
	b->error = 0;
	buf_truncate(b, s->tx->rcpts_kept);
	return PK_ELIMIT;
}

/* ---- content ---- */

static size_t
memory_max(const struct session *s)
{
	size_t most = s->trusted ? TRANSACTION_TRUSTED_MAX :
	    (size_t)s->policy->conf->smtpd_content_memory;
	size_t rcpts = s->tx->rcpts.len;

	if (!s->trusted && most > stranger_max(s))
		most = stranger_max(s);
	return rcpts + CONTENT_LEAST < most ? most - rcpts : CONTENT_LEAST;
}

/* A session goes on at half of what it paused at. */
_Static_assert(SEGMENT_STREAM_BLOCK <= TRANSACTION_BACKLOG_STRANGER_TLS / 2 &&
    SEGMENT_STREAM_BLOCK <= TRANSACTION_BACKLOG_STRANGER / 2, "a stream would stall");

static void
stream_writable(void *arg)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;

	if (!tx->stalled || segment_stream_backlog(tx->stream) > backlog_max(s) / 2)
		return;
	tx->stalled = false;
	/* It was we who were slow. */
	session_set_deadline(s, s->policy->conf->smtpd_timeout);
	session_pause(s, false);
}

static void
to_stream(struct session *s, struct view v)
{
	struct transaction *tx = s->tx;

	if (tx->stream == NULL && tx->stream_error == 0) {
		tx->stream = segment_stream_begin(s->w->writer, stream_writable, s);
		tx->stream_error = segment_stream_add(tx->stream, buf_view(&tx->content));
		s->w->content_bytes -= tx->content.len;
		buf_fini(&tx->content);
	}
	if (tx->stream_error == 0)
		tx->stream_error = segment_stream_add(tx->stream, v);
}

static int
sink(void *arg, struct view v)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;
	struct worker *w = s->w;

	if (tx->stream != NULL || tx->stream_error != 0 ||
	    tx->content.len + v.len >= memory_max(s) ||
	    (w->content_bytes + v.len > s->policy->conf->smtpd_memory_limit &&
	    tx->content.len + v.len > CONTENT_LEAST)) {
		to_stream(s, v);
		return 0;
	}
	buf_put_view(&tx->content, v);
	w->content_bytes += v.len;
	return 0;
}

void
transaction_begin_content(struct session *s, unsigned flags)
{
	struct transaction *tx = s->tx;

	tx->scanning = true;
	data_scanner_init(&tx->scanner, s->bare_allowed ? DATA_BARE_NORMALIZE : s->policy->bare,
	    flags, s->policy->conf->message_size_limit, sink, s);
	if (tx->size > memory_max(s))
		to_stream(s, VIEW_NONE);
}

void
transaction_drop_content(struct session *s)
{
	drop_content(s->w, s->tx);
}

void
transaction_content_grew(struct session *s)
{
	struct transaction *tx = s->tx;

	/* What will be refused needs no place. */
	if (tx->scanner.refused || tx->scanner.too_big || tx->stream_error != 0) {
		drop_content(s->w, tx);
		return;
	}
	if (tx->stream != NULL && !tx->stalled &&
	    segment_stream_backlog(tx->stream) > backlog_max(s)) {
		tx->stalled = true;
		session_pause(s, true);
	}
}

const char *
transaction_content_error(struct session *s, char *text, size_t size)
{
	const struct data_scanner *c = &s->tx->scanner;
	const struct conf *conf = s->policy->conf;

	if (c->refused) {
		snprintf(text, size, "%d 5.5.2 %s Error: bare <%s> received",
		    (int)conf->smtpd_forbid_bare_newline_reject_code, conf->myhostname,
		    c->seen & DATA_SEEN_BARE_LF ? "LF" : "CR");
		return text;
	}
	if (c->too_big)
		return "552 5.3.4 Error: message file too big";
	if (c->header_bytes > conf->header_size_limit ||
	    (c->in_header && c->content_bytes > conf->header_size_limit))
		return "552 5.3.4 Error: message header too big";
	if (c->hops > conf->hopcount_limit)
		return "554 5.4.0 Error: too many hops";
	if ((c->seen & DATA_SEEN_NUL) != 0 && (c->flags & DATA_SCANNER_BINARY) == 0)
		return "550 5.6.0 Error: NUL byte in the message";
	if (s->tx->stream_error == PK_ENOSPC)
		return "452 4.3.1 Insufficient system storage";
	if (s->tx->stream_error != 0)
		return "451 4.3.0 Error: queue file write error";
	return NULL;
}

void
transaction_free_all(struct worker *w)
{
	struct transaction *tx;

	while ((tx = TAILQ_FIRST(&w->spare_transactions)) != NULL) {
		TAILQ_REMOVE(&w->spare_transactions, tx, link);
		really_free(tx);
	}
	w->nspare_transactions = 0;
}
