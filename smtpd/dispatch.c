/* SPDX-License-Identifier: ISC */
/*
 * dispatch.c: from a line to the function that answers it.
 *
 * Runs in smtpd on every line of every client. The table below is the state
 * machine: a verb, where it may come, what answers it. What is not in it does
 * not exist (A5).
 */
#include "smtpd/dispatch.h"

#include "base/log.h"
#include "base/mem.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"

static const struct command_row rows[] = {
	{ SMTP_VERB_HELO, STATE_ANY, COMMAND_LAST, cmd_helo, NULL },
	{ SMTP_VERB_EHLO, STATE_ANY, COMMAND_LAST | COMMAND_CLEAR, cmd_ehlo, NULL },
	/* What stands behind it is thrown away, whatever it is: session_tls.c. */
	{ SMTP_VERB_STARTTLS, STATE_ANY, COMMAND_CLEAR, cmd_starttls, NULL },
	{ SMTP_VERB_MAIL, STATE_START | STATE_READY, 0, cmd_mail,
	    "503 5.5.1 Error: nested MAIL command" },
	{ SMTP_VERB_RCPT, STATE_MAIL | STATE_RCPT, 0, cmd_rcpt,
	    "503 5.5.1 Error: need MAIL command" },
	{ SMTP_VERB_DATA, STATE_RCPT, COMMAND_LAST, cmd_data,
	    "503 5.5.1 Error: need RCPT command" },
	/* Its bytes follow whatever the answer is: cmd_bdat looks at the state. */
	{ SMTP_VERB_BDAT, STATE_ANY, 0, cmd_bdat, NULL },
	{ SMTP_VERB_RSET, STATE_ANY, COMMAND_JUNK, cmd_rset, NULL },
	{ SMTP_VERB_NOOP, STATE_ANY, COMMAND_JUNK | COMMAND_CLEAR, cmd_noop, NULL },
	{ SMTP_VERB_VRFY, STATE_ANY, COMMAND_JUNK, cmd_vrfy, NULL },
	{ SMTP_VERB_HELP, STATE_ANY, COMMAND_JUNK | COMMAND_CLEAR, cmd_help, NULL },
	{ SMTP_VERB_AUTH, STATE_ANY, COMMAND_LAST, cmd_auth, NULL },
	{ SMTP_VERB_QUIT, STATE_ANY, COMMAND_LAST | COMMAND_CLEAR, cmd_quit, NULL },
};

static const struct command_row *
row_of(enum smtp_verb verb)
{
	size_t i;

	for (i = 0; i < NELEMS(rows); i++)
		if (rows[i].verb == verb)
			return &rows[i];
	return NULL;
}

unsigned
session_keywords(const struct session *s)
{
	unsigned k = s->policy->keywords;

	if (s->tls == NULL)
		k &= ~(unsigned)KEYWORD_REQUIRETLS;
	if (s->tls != NULL || !worker_has_tls(s->w, s->policy))
		k &= ~(unsigned)KEYWORD_STARTTLS;
	return k;
}

unsigned
session_extensions(const struct session *s)
{
	unsigned k = s->esmtp ? session_keywords(s) : 0, ext = 0;

	if (k & KEYWORD_SIZE)
		ext |= SMTP_EXT_SIZE;
	if (k & KEYWORD_8BITMIME)
		ext |= SMTP_EXT_8BITMIME;
	if (k & KEYWORD_BINARYMIME)
		ext |= SMTP_EXT_BINARYMIME;
	if (k & KEYWORD_SMTPUTF8)
		ext |= SMTP_EXT_SMTPUTF8;
	if (k & KEYWORD_DSN)
		ext |= SMTP_EXT_DSN;
	if (k & KEYWORD_MT_PRIORITY)
		ext |= SMTP_EXT_MT_PRIORITY;
	if (k & KEYWORD_REQUIRETLS)
		ext |= SMTP_EXT_REQUIRETLS;
	if (s->esmtp && (auth_offered(s) || auth_login(s) != NULL))
		ext |= SMTP_EXT_AUTH;
	if (s->esmtp && session_may_hold(s))
		ext |= SMTP_EXT_FUTURERELEASE;
	if (s->tx != NULL && s->tx->utf8)
		ext |= SMTP_EXT_UTF8_NOW;
	if (s->policy->conf->strict_rfc821_envelopes)
		ext |= SMTP_EXT_STRICT;
	return ext;
}

bool
session_may_hold(const struct session *s)
{
	return (s->policy->keywords & KEYWORD_FUTURERELEASE) != 0 &&
	    s->policy->conf->smtpd_futurerelease_limit > 0 &&
	    (auth_login(s) != NULL || auth_offered(s));
}

void
session_reset(struct session *s)
{
	transaction_free(s->w, &s->tx);
	s->chunk_left = 0;
	if (s->state != STATE_START)
		s->state = STATE_READY;
	if (s->mode == SESSION_DATA || s->mode == SESSION_CHUNK)
		s->mode = SESSION_COMMAND;
}

/* ---- what ends a session ---- */

static void
forbidden_command(struct session *s, struct view line)
{
	char client[SESSION_CLIENT_MAX];

	session_client(s, client, sizeof(client));
	log_warn("non-SMTP command from %s: %.*s", client, VIEW_ARG(view_head(line, 100)));
	session_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
	session_close_after(s);
}

/* What stands behind a command that must be the last of its packet (RFC 2920). */
static bool
pipelines_badly(struct session *s, const struct command_row *row, struct view line)
{
	char client[SESSION_CLIENT_MAX];
	bool allowed = s->esmtp && (s->policy->keywords & KEYWORD_PIPELINING) != 0;

	if (row != NULL && row->verb == SMTP_VERB_STARTTLS)
		return false;
	if (!s->more || (allowed && (row == NULL || (row->flags & COMMAND_LAST) == 0)))
		return false;
	/* Nobody waits for the answer to QUIT. */
	if (row != NULL && row->verb == SMTP_VERB_QUIT)
		return false;
	/* Never a password in the log. */
	if (row != NULL && row->verb == SMTP_VERB_AUTH)
		line = view_head(line, 4);
	if (!s->pipelined_badly) {
		session_client(s, client, sizeof(client));
		log_info("improper command pipelining after %s from %s: %.*s", s->last_verb,
		    client, VIEW_ARG(view_head(line, 100)));
	}
	s->pipelined_badly = true;
	if (!s->policy->conf->smtpd_forbid_unauth_pipelining)
		return false;
	session_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
	session_close_after(s);
	return true;
}

void
session_bare_newline(struct session *s)
{
	char client[SESSION_CLIENT_MAX];

	session_client(s, client, sizeof(client));
	log_info("bare newline received after %s from %s", s->last_verb, client);
	session_replyf(s, "%d 5.5.2 %s Error: bare <LF> received",
	    (int)s->policy->conf->smtpd_forbid_bare_newline_reject_code,
	    s->policy->conf->myhostname);
	session_close_after(s);
}

/* ---- one line ---- */

static void
run_command(struct session *s, const struct command_row *row, struct smtp_command *cmd)
{
	if (row->flags & COMMAND_JUNK && ++s->junk > s->policy->conf->smtpd_junk_command_limit)
		s->errors++;
	if (s->state == STATE_FAILED && (row->verb == SMTP_VERB_DATA ||
	    row->verb == SMTP_VERB_MAIL || row->verb == SMTP_VERB_RCPT)) {
		session_reply(s, "503 5.5.1 Error: BDAT failed, only RSET is possible");
		return;
	}
	if ((row->states & s->state) == 0) {
		session_reply(s, row->refusal);
		return;
	}
	row->fn(s, cmd);
}

void
session_dispatch(struct session *s, struct view line)
{
	const struct command_row *row;
	enum smtp_command_error error;
	struct smtp_command cmd;
	bool lf_only = line.len == 0 || line.p[line.len - 1] != '\r';

	if (!lf_only)
		line.len--;
	s->verb = SMTP_VERB_UNKNOWN;
	s->verb_counted = false;
	session_set_deadline(s, s->policy->conf->smtpd_timeout);
	if (lf_only && s->policy->bare == DATA_BARE_REJECT && !s->bare_allowed) {
		session_bare_newline(s);
		return;
	}
	error = smtp_command_parse(line, session_extensions(s), &cmd);
	row = row_of(cmd.verb);
	if (row == NULL && policy_forbids(s->policy, line)) {
		forbidden_command(s, line);
		return;
	}
	if (pipelines_badly(s, row, line))
		return;
	s->verb = row != NULL ? cmd.verb : SMTP_VERB_UNKNOWN;
	s->seen[s->verb]++;
	s->last_verb = row != NULL ? smtp_verb_name(cmd.verb) : "UNKNOWN";
	if (row == NULL)
		session_reply(s, cmd.verb == SMTP_VERB_UNKNOWN && error != SMTP_COMMAND_OK ?
		    smtp_command_error_text(error) : "502 5.5.1 Error: command not implemented");
	else if (s->pregreeted && row->verb != SMTP_VERB_BDAT && row->verb != SMTP_VERB_QUIT)
		session_reply(s, session_pregreet_reply);
	else if (session_needs_tls(s) && (row->flags & COMMAND_CLEAR) == 0 &&
	    row->verb != SMTP_VERB_BDAT)
		session_reply(s, session_needs_tls_reply);
	else if (error != SMTP_COMMAND_OK)
		session_reply(s, smtp_command_error_text(error));
	else
		run_command(s, row, &cmd);
}
