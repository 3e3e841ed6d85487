/* SPDX-License-Identifier: ISC */
/*
 * dispatch.h: the commands. Each handler answers, or says session_wait() and
 * answers later.
 */
#ifndef PK_SMTPD_DISPATCH_H
#define PK_SMTPD_DISPATCH_H

#include "smtpd/session.h"

struct command_row {
	enum smtp_verb	 verb;
	unsigned	 states;	/* enum session_state: where it is allowed */
	unsigned	 flags;
	void		(*fn)(struct session *s, struct smtp_command *cmd);
	const char	*refusal;	/* reply elsewhere */
};

enum command_flag {
	COMMAND_LAST	= 1,	/* nothing may stand behind it (RFC 2920) */
	COMMAND_JUNK	= 2,	/* counts as junk */
	COMMAND_CLEAR	= 4,	/* answered without TLS under level encrypt */
};

/* cmd_helo.c */
void	cmd_helo(struct session *s, struct smtp_command *cmd);
void	cmd_ehlo(struct session *s, struct smtp_command *cmd);
/* cmd_mail.c */
void	cmd_mail(struct session *s, struct smtp_command *cmd);
/* cmd_rcpt.c */
void	cmd_rcpt(struct session *s, struct smtp_command *cmd);
/* cmd_data.c */
void	cmd_data(struct session *s, struct smtp_command *cmd);
/* cmd_bdat.c */
void	cmd_bdat(struct session *s, struct smtp_command *cmd);
/* cmd_auth.c */
void	cmd_auth(struct session *s, struct smtp_command *cmd);
/* cmd_starttls.c */
void	cmd_starttls(struct session *s, struct smtp_command *cmd);
/* cmd_misc.c */
void	cmd_rset(struct session *s, struct smtp_command *cmd);
void	cmd_noop(struct session *s, struct smtp_command *cmd);
void	cmd_vrfy(struct session *s, struct smtp_command *cmd);
void	cmd_help(struct session *s, struct smtp_command *cmd);
void	cmd_quit(struct session *s, struct smtp_command *cmd);

/* What EHLO offers in this session as it is now: enum policy_keyword. */
unsigned session_keywords(const struct session *s);
/* Extensions that the parser may accept in this session. */
unsigned session_extensions(const struct session *s);
/* FUTURERELEASE is offered to this client. */
bool	session_may_hold(const struct session *s);
/* A line ended in LF alone: refused, and the session ends. */
void	session_bare_newline(struct session *s);
/* The transaction, if any, ends without a message. */
void	session_reset(struct session *s);

#endif
