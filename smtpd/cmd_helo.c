/* SPDX-License-Identifier: ISC */
/*
 * cmd_helo.c: HELO and EHLO. Runs in smtpd; the name is whatever a stranger
 * says and believed by nobody.
 */
#include "base/mem.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

/* RFC 5321 4.5.3.1.2; longer ones fit nobody's log either. */
#define HELO_MAX	255

static void
answer(struct session *s)
{
	s->state = STATE_READY;
	if (!s->esmtp) {
		session_replyf(s, "250 %s", s->policy->conf->myhostname);
		return;
	}
	/* Last line without CRLF: session_reply_plain adds it. */
	session_reply_plain(s, policy_ehlo(s->policy, session_keywords(s)));
}

static void
checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: HELO", buf_view(&c->reply), VIEW_NONE);
		session_replyf(s, "%s", buf_cstr(&c->reply));
		xfree(s->helo);
		s->helo = NULL;
		s->state = STATE_START;
	} else {
		answer(s);
	}
	session_resume(s);
}

static void
greeting(struct session *s, struct smtp_command *cmd, bool esmtp)
{
	if (cmd->arg.len > HELO_MAX) {
		session_reply(s, smtp_command_error_text(SMTP_COMMAND_E_HELO_SYNTAX));
		return;
	}
	/* A second one is a RSET (RFC 5321 4.1.4). */
	session_reset(s);
	xfree(s->helo);
	s->helo = view_dup(cmd->arg);
	s->esmtp = esmtp;
	if (s->policy->conf->smtpd_delay_reject || s->policy->lists[CHECK_HELO].count == 0) {
		answer(s);
		return;
	}
	session_wait(s);
	check_begin(s, 1 << CHECK_HELO, esmtp ? "EHLO" : "HELO", NULL, VIEW_NONE, checked);
}

void
cmd_helo(struct session *s, struct smtp_command *cmd)
{
	greeting(s, cmd, false);
}

void
cmd_ehlo(struct session *s, struct smtp_command *cmd)
{
	greeting(s, cmd, true);
}
