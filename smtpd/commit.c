/* SPDX-License-Identifier: ISC */
/*
 * commit.c: from the end of data to the 250.
 *
 * Runs in smtpd. The envelope and the trace header are composed here, the
 * content lies where it arrived; all three are lent to the queue writer until
 * it says done. The 250 is sent from there and from nowhere else: done with 0
 * means synced and told to qmgr (QUEUE.md Q5). A client that leaves meanwhile
 * leaves its session behind until then.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "mail/trace.h"
#include "net/tls.h"
#include "smtpd/complete.h"
#include "smtpd/dispatch.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"
#include "sys/stats.h"

/* Facts of TLS, with two names out of a certificate. */
#define DESCRIPTION_MAX	1024

/* Nothing without TLS. */
static struct view
describe(const struct session *s, void (*put)(const struct session *s, struct buf *b),
    char text[DESCRIPTION_MAX])
{
	struct buf b;
	struct view v;

	worker_buf_get(s->w, &b, DESCRIPTION_MAX);
	put(s, &b);
	v = buf_view(&b);
	memcpy(text, v.p, v.len);
	worker_buf_put(s->w, &b);
	return view_of(text, v.len);
}

static void
put_trace(struct session *s, const char *id)
{
	char tls[DESCRIPTION_MAX], peer[DESCRIPTION_MAX];
	struct transaction *tx = s->tx;
	struct trace_received t = {
		.helo = view_str(s->helo),
		.client_name = view_str(s->name),
		.client_addr = view_str(s->addr),
		.by = view_str(s->policy->conf->myhostname),
		.mail_name = view_str(s->policy->conf->mail_name),
		.with = view_str(session_with(s)),
		.id = view_str(id),
		.wall_ms = tx->arrival_ms,
	};

	if (auth_login(s) != NULL && s->policy->conf->smtpd_sasl_authenticated_header)
		t.authenticated = view_str(auth_login(s));
	/* Where a user sits is nobody's business; the log knows it. */
	if (auth_login(s) != NULL && s->policy->conf->smtpd_hide_client)
		t.client_addr = VIEW_NONE;
	if (s->tls != NULL && s->policy->conf->smtpd_tls_received_header) {
		t.tls = describe(s, session_tls_describe, tls);
		t.tls_peer = describe(s, session_tls_describe_peer, peer);
	}
	if (tx->nrcpts == 1)
		t.rcpt = view_str(tx->first_rcpt);
	buf_reset(&tx->header);
	trace_put_received(&tx->header, &t);
	complete_put(s, &tx->header);
}

/* ", tls=TLSv1.3/TLS_AES_256_GCM_SHA384" for the log and `adminctl trace`; empty: none. */
static const char *
tls_word(const struct session *s, char *text, size_t size)
{
	text[0] = '\0';
	if (s->tls != NULL)
		snprintf(text, size, ", tls=%s/%s", tls_conn_protocol(s->tls),
		    tls_conn_cipher(s->tls));
	return text;
}

/* The place is fixed, so is the queue id. */
static struct view
compose(void *arg, uint64_t message)
{
	struct session *s = arg;
	char id[RECORD_ID_TEXT_MAX], client[SESSION_CLIENT_MAX], tls[80];

	record_id_format(message, id);
	put_trace(s, id);
	session_client(s, client, sizeof(client));
	if (auth_login(s) != NULL)
		log_info("%s: client=%s, sasl_method=%s, sasl_username=%s%s", id, client,
		    s->auth->mechanism, auth_login(s), tls_word(s, tls, sizeof(tls)));
	else
		log_info("%s: client=%s%s", id, client, tls_word(s, tls, sizeof(tls)));
	log_info("%s: message-id=%s", id, s->tx->scanner.message_id[0] != '\0' ?
	    s->tx->scanner.message_id : "<>");
	return buf_view(&s->tx->header);
}

/* What a message demands of its way on; a demand counts more than leave (RFC 8689 5). */
static void
put_tls(struct session *s, struct buf *b)
{
	char text[DESCRIPTION_MAX];

	if (s->tls != NULL)
		envelope_put_text(b, ENVELOPE_TLS, describe(s, session_tls_describe, text));
	if (s->tx->requiretls)
		envelope_put_u64(b, ENVELOPE_REQUIRETLS, 1);
	else if (s->tx->scanner.seen & DATA_SEEN_TLS_OPTIONAL)
		envelope_put_u64(b, ENVELOPE_TLS_OPTIONAL, 1);
}

static void
put_once(struct session *s, struct buf *b)
{
	struct transaction *tx = s->tx;
	const struct data_scanner *c = &tx->scanner;

	envelope_put_text(b, ENVELOPE_SENDER, view_of(tx->sender_text, tx->sender_len));
	envelope_put_u64(b, ENVELOPE_ARRIVAL_MS, tx->arrival_ms);
	envelope_put_u64(b, ENVELOPE_PRIORITY, tx->priority);
	envelope_put_u64(b, ENVELOPE_BODY, tx->body == SMTP_BODY_BINARYMIME ?
	    RECORD_BODY_BINARY : c->seen & DATA_SEEN_8BIT ?
	    RECORD_BODY_8BIT : RECORD_BODY_7BIT);
	if (tx->utf8)
		envelope_put_u64(b, ENVELOPE_UTF8, 1);
	if (tx->ret != SMTP_RET_UNSET)
		envelope_put_u64(b, ENVELOPE_RET,
		    tx->ret == SMTP_RET_FULL ? RECORD_RET_FULL : RECORD_RET_HDRS);
	if (tx->envid.len > 0)
		envelope_put_text(b, ENVELOPE_ENVID, buf_view(&tx->envid));
	if (tx->hold)
		envelope_put_text(b, ENVELOPE_HOLD, buf_view(&tx->hold_text));
	envelope_put_text(b, ENVELOPE_LISTENER, view_str(s->policy->listener));
	envelope_put_text(b, ENVELOPE_CLIENT_ADDR, view_str(s->addr));
	envelope_put_text(b, ENVELOPE_CLIENT_NAME, view_str(s->name));
	envelope_put_text(b, ENVELOPE_HELO, view_str(s->helo));
	envelope_put_text(b, ENVELOPE_PROTOCOL, view_str(session_with(s)));
	if (c->message_id[0] != '\0')
		envelope_put_text(b, ENVELOPE_MESSAGE_ID, view_str(c->message_id));
	if (auth_login(s) != NULL) {
		envelope_put_text(b, ENVELOPE_LOGIN, view_str(auth_login(s)));
		envelope_put_text(b, ENVELOPE_TICKET,
		    view_of((const char *)s->auth->ticket, sizeof(s->auth->ticket)));
	}
	if (tx->hold_until_ms > tx->arrival_ms)
		envelope_put_u64(b, ENVELOPE_HOLD_UNTIL_MS, tx->hold_until_ms);
	envelope_put_u64(b, ENVELOPE_CLASS, s->policy->class);
	envelope_put_u64(b, ENVELOPE_LINE_MAX, c->longest_line);
	put_tls(s, b);
}

/* The transaction is over, whatever became of it. */
static void
finish(struct session *s)
{
	session_reset(s);
	session_resume(s);
}

static void
accepted(struct session *s, uint64_t message)
{
	struct transaction *tx = s->tx;
	char id[RECORD_ID_TEXT_MAX];

	record_id_format(message, id);
	stats_add(STATS_C_smtpd_messages, 1);
	stats_add(STATS_C_smtpd_bytes, (int64_t)tx->scanner.content_bytes);
	stats_observe(STATS_H_message_bytes, tx->scanner.content_bytes);
	stats_observe(STATS_H_smtpd_accept_us, (clock_mono_ns() - tx->ended_ns) / 1000);
	s->errors = 0;
	s->junk = 0;
	session_replyf(s, "250 2.0.0 Ok: queued as %s", id);
}

static void
committed(void *arg, int error, uint64_t message)
{
	struct session *s = arg;

	s->committing = false;
	if (s->mode == SESSION_DEAD) {
		session_free(s);
		return;
	}
	if (error == 0)
		accepted(s, message);
	else if (error == PK_ENOSPC)
		session_reply_plain(s, "452 4.3.1 Insufficient system storage");
	else if (error == PK_ELIMIT)
		session_reply(s, "552 5.3.4 Error: message file too big");
	else
		session_reply_plain(s, "451 4.3.0 Error: queue file write error");
	finish(s);
}

static void
hand_over(struct session *s)
{
	struct transaction *tx = s->tx;
	struct segment_stream *stream = tx->stream;
	struct segment_message m;

	if (tx->discard) {
		session_reply(s, "250 2.0.0 Ok: discarded");
		finish(s);
		return;
	}
	tx->arrival_ms = clock_wall_ms();
	tx->ended_ns = clock_mono_ns();
	complete_prepare(s);
	buf_reset(&tx->envelope);
	put_once(s, &tx->envelope);
	buf_put_view(&tx->envelope, buf_view(&tx->rcpts));
	if (buf_error(&tx->envelope) != 0) {
		session_reply(s, "552 5.3.4 Error: envelope too big");
		finish(s);
		return;
	}
	m = (struct segment_message){ buf_view(&tx->envelope), buf_view(&tx->content), compose,
	    committed, s };
	s->committing = true;
	if (stream == NULL) {
		segment_writer_put(s->w->writer, &m);
		return;
	}
	tx->stream = NULL;
	segment_stream_commit(stream, &m);
}

static void
checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: END-OF-MESSAGE", buf_view(&c->reply),
		    VIEW_NONE);
		session_replyf(s, "%s", buf_cstr(&c->reply));
		finish(s);
		return;
	}
	hand_over(s);
}

void
transaction_end(struct session *s)
{
	char text[320];
	const char *error = transaction_content_error(s, text, sizeof(text));

	session_wait(s);
	if (error != NULL) {
		session_log_reject(s, "reject: END-OF-MESSAGE", view_str(error), VIEW_NONE);
		session_reply(s, error);
		finish(s);
		return;
	}
	if (s->policy->lists[CHECK_END_OF_DATA].count == 0)
		hand_over(s);
	else
		check_begin(s, 1 << CHECK_END_OF_DATA, "END-OF-MESSAGE", NULL, VIEW_NONE, checked);
}
