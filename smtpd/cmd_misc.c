/* SPDX-License-Identifier: ISC */
/*
 * cmd_misc.c: RSET, NOOP, VRFY, HELP, QUIT. Run in smtpd.
 *
 * VRFY says the same of every address: who wants to know must try RCPT, where
 * restrictions and error limits apply (A15).
 */
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

void
cmd_rset(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	session_reset(s);
	session_reply(s, "250 2.0.0 Ok");
}

void
cmd_noop(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	session_reply(s, "250 2.0.0 Ok");
}

void
cmd_vrfy(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	if (s->policy->conf->disable_vrfy_command)
		session_reply(s, "502 5.5.1 VRFY command is disabled");
	else
		session_reply(s, "252 2.5.2 Cannot VRFY user; try RCPT to attempt delivery");
}

void
cmd_help(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	session_reply(s, "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT AUTH RSET NOOP VRFY HELP QUIT"
	    " (RFC 5321)");
}

void
cmd_quit(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	session_reply(s, "221 2.0.0 Bye");
	session_close_after(s);
}
