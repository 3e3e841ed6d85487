/* SPDX-License-Identifier: ISC */
/*
 * cmd_starttls.c: STARTTLS (RFC 3207). Runs in smtpd.
 *
 * The command only promises; the handshake begins when the 220 has left
 * (session_tls.c), and what stands behind the command is thrown away.
 */
#include "net/tls.h"
#include "smtpd/dispatch.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"

void
cmd_starttls(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	if (s->tls != NULL) {
		session_reply(s, "554 5.5.1 Error: TLS already active");
	} else if ((s->policy->keywords & KEYWORD_STARTTLS) == 0) {
		session_reply(s, "502 5.5.1 Error: command not implemented");
	} else if (!worker_has_tls(s->w, s->policy)) {
		session_reply_plain(s, "454 4.7.0 TLS not available due to local problem");
	} else if (session_tls_over_limit(s)) {
		session_replyf(s, "454 4.7.0 Error: too many new TLS sessions from %s", s->addr);
	} else {
		session_reply(s, "220 2.0.0 Ready to start TLS");
		s->mode = SESSION_STARTTLS;
	}
}
