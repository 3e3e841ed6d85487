/* SPDX-License-Identifier: ISC */
/*
 * cmd_bdat.c: BDAT (RFC 3030). Runs in smtpd.
 *
 * A chunk's bytes come whatever we think of the command, and are always taken
 * off before the next command is looked for: a refused chunk is never read as
 * commands. After a failure nothing but RSET and a new greeting gets the
 * session out (A5).
 */
#include "base/error.h"
#include "smtpd/dispatch.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"

/* The reply to a chunk that is not wanted, NULL if it is. */
static const char *
refusal(const struct session *s)
{
	if (s->pregreeted)
		return session_pregreet_reply;
	if (session_needs_tls(s))
		return session_needs_tls_reply;
	if (!s->esmtp || (s->policy->keywords & KEYWORD_CHUNKING) == 0)
		return "502 5.5.1 Error: command not implemented";
	if (s->state == STATE_FAILED)
		return "503 5.5.1 Error: BDAT failed, only RSET is possible";
	if (s->state != STATE_RCPT && s->state != STATE_BDAT)
		return "503 5.5.1 Error: need RCPT command";
	return NULL;
}

static void
chunk_failed(struct session *s, const char *reply)
{
	session_reply(s, reply);
	if (s->tx != NULL) {
		transaction_drop_content(s);
		s->state = STATE_FAILED;
	}
}

static void
chunk_complete(struct session *s)
{
	char text[320];
	const char *error;

	s->mode = SESSION_COMMAND;
	if (s->chunk_refusal != NULL) {
		chunk_failed(s, s->chunk_refusal);
		return;
	}
	if (s->chunk_last) {
		data_scanner_finish(&s->tx->scanner);
		transaction_end(s);
		return;
	}
	error = transaction_content_error(s, text, sizeof(text));
	if (error != NULL)
		chunk_failed(s, error);
	else
		session_replyf(s, "250 2.0.0 Ok: %llu bytes",
		    (unsigned long long)s->chunk_size);
}

void
cmd_bdat(struct session *s, struct smtp_command *cmd)
{
	s->chunk_refusal = refusal(s);
	s->chunk_left = s->chunk_size = cmd->chunk_size;
	s->chunk_last = cmd->chunk_last;
	if (s->chunk_refusal == NULL && s->state == STATE_RCPT) {
		transaction_begin_content(s, DATA_SCANNER_BDAT |
		    (s->tx->body == SMTP_BODY_BINARYMIME ? DATA_SCANNER_BINARY : 0));
		s->state = STATE_BDAT;
	}
	s->mode = SESSION_CHUNK;
	if (s->chunk_left == 0)
		chunk_complete(s);
}

size_t
session_chunk_input(struct session *s, struct view in)
{
	struct view chunk = view_head(in, s->chunk_left < in.len ? (size_t)s->chunk_left : in.len);
	size_t used;

	if (s->chunk_refusal == NULL) {
		data_scanner_feed(&s->tx->scanner, chunk, &used);
		transaction_content_grew(s);
	}
	session_extend_deadline(s, chunk.len);
	s->chunk_left -= chunk.len;
	if (s->chunk_left == 0)
		chunk_complete(s);
	return chunk.len;
}
