/* SPDX-License-Identifier: ISC */
/*
 * cmd_helo.c: HELO and EHLO. Runs in smtpd; the name is whatever a stranger
 * says and believed by nobody.
 */
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

/* RFC 5321 4.5.3.1.2; longer ones fit nobody's log either. */
#define HELO_MAX	255
#define EHLO_MAX	4096

static void
put_line(struct buf *b, const char *keyword, const char *value)
{
	ptrdiff_t lf = view_rfind(buf_view(b), '\n');

	/* What was the last line is none now. */
	buf_data(b)[lf + 1 + 3] = '-';
	buf_printf(b, "\r\n250 %s%s", keyword, value);
}

/* RFC 4865 3: longest wait in seconds, and when that would be over. */
static void
put_hold_limits(struct buf *b, uint64_t limit_ms)
{
	time_t last = (time_t)((clock_wall_ms() + limit_ms) / 1000);
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&last, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(b, "%llu %s", (unsigned long long)(limit_ms / 1000), date);
}

/* What depends on TLS and on who the client is by now. */
static void
put_login_lines(struct session *s, struct buf *b)
{
	uint64_t limit_ms = s->policy->conf->smtpd_futurerelease_limit;
	struct buf v;

	worker_buf_get(s->w, &v, 1024);
	if (auth_offered(s)) {
		auth_put_mechanisms(s, &v);
		if (v.len > 0)
			put_line(b, "AUTH ", buf_cstr(&v));
		/* Outlook Express 4 and its contemporaries. */
		if (v.len > 0 && s->policy->conf->broken_sasl_auth_clients)
			put_line(b, "AUTH=", buf_cstr(&v));
	}
	if (session_may_hold(s)) {
		buf_reset(&v);
		put_hold_limits(&v, limit_ms);
		put_line(b, "FUTURERELEASE ", buf_cstr(&v));
	}
	worker_buf_put(s->w, &v);
}

static void
answer(struct session *s)
{
	struct buf b;

	s->state = STATE_READY;
	if (!s->esmtp) {
		session_replyf(s, "250 %s", s->policy->conf->myhostname);
		return;
	}
	worker_buf_get(s->w, &b, EHLO_MAX);
	/* Last line without CRLF: session_reply_plain adds it. */
	buf_put_str(&b, policy_ehlo(s->policy,
	    session_keywords(s) & ~(unsigned)KEYWORDS_OF_SESSION));
	put_login_lines(s, &b);
	session_reply_plain(s, buf_cstr(&b));
	worker_buf_put(s->w, &b);
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
