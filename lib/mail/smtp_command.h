/* SPDX-License-Identifier: ISC */
/*
 * smtp_command.h: one SMTP command line, parsed in place (RFC 5321 4.1.1).
 *
 * The result holds views into the line; nothing is allocated. The parser
 * knows grammar only: whether a verb is allowed now, and what an address
 * means, is the session's business.
 *
 * All verbs stand in SMTP_VERBS, all refusals in SMTP_COMMAND_ERRORS: these
 * two tables give the enums, names and reply texts.
 */
#ifndef PK_MAIL_SMTP_COMMAND_H
#define PK_MAIL_SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "mail/address.h"

/*
 * Longest command line without CRLF. RFC 5321 4.5.3.1.4 says 512 with CRLF and
 * lets extensions add; Postfix's line_length_limit is 2048.
 */
#define SMTP_COMMAND_LINE_MAX	2048
/* AUTH with its initial response: greatest smtpd_sasl_response_limit. */
#define SMTP_COMMAND_AUTH_MAX	65536

/* V(name, argument): what may follow the verb; see enum smtp_verb_arg */
#define SMTP_VERBS(V)							\
	V(HELO,		DOMAIN)						\
	V(EHLO,		DOMAIN)						\
	V(LHLO,		DOMAIN)						\
	V(MAIL,		MAIL)						\
	V(RCPT,		RCPT)						\
	V(DATA,		NONE)						\
	V(BDAT,		BDAT)						\
	V(RSET,		NONE)						\
	V(NOOP,		ANY)						\
	V(VRFY,		NEEDED)						\
	V(EXPN,		NEEDED)						\
	V(ETRN,		NEEDED)						\
	V(HELP,		ANY)						\
	V(QUIT,		NONE)						\
	V(AUTH,		NEEDED)						\
	V(STARTTLS,	NONE)						\
	V(XCLIENT,	NEEDED)						\
	V(XFORWARD,	NEEDED)

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
#define V(name, argument) SMTP_VERB_##name,
	SMTP_VERBS(V)
#undef V
	SMTP_VERB_COUNT
};

/* E(name, reply text without CRLF) */
#define SMTP_COMMAND_ERRORS(E)							\
	E(UNKNOWN_VERB,	"500 5.5.2 Error: command not recognized")		\
	E(EMPTY,	"500 5.5.2 Error: bad syntax")				\
	E(LINE_TOO_LONG, "500 5.5.2 Error: line too long")			\
	E(BAD_BYTE,	"500 5.5.2 Error: NUL, CR or LF in a command")		\
	E(BAD_UTF8,	"500 5.5.2 Error: bad UTF-8 syntax")			\
	E(ARGUMENT,	"501 5.5.4 Syntax: no parameters allowed")		\
	E(NO_ARGUMENT,	"501 5.5.4 Syntax: parameter required")			\
	E(HELO_SYNTAX,	"501 5.5.4 Syntax: HELO or EHLO hostname")		\
	E(MAIL_SYNTAX,	"501 5.5.4 Syntax: MAIL FROM:<address>")		\
	E(RCPT_SYNTAX,	"501 5.5.4 Syntax: RCPT TO:<address>")			\
	E(BDAT_SYNTAX,	"501 5.5.4 Syntax: BDAT count [LAST]")			\
	E(SENDER,	"501 5.1.7 Bad sender address syntax")			\
	E(RECIPIENT,	"501 5.1.3 Bad recipient address syntax")		\
	E(LOCAL_TOO_LONG, "501 5.1.3 Address too long")				\
	E(NEEDS_SMTPUTF8, "553 5.6.7 Must specify SMTPUTF8 for such an address")	\
	E(OPTION,	"555 5.5.4 Unsupported option")				\
	E(OPTION_SYNTAX, "501 5.5.4 Bad option syntax")				\
	E(OPTION_TWICE,	"501 5.5.4 Duplicate option")				\
	E(SIZE,		"501 5.5.4 Bad SIZE value")				\
	E(BODY,		"501 5.5.4 Bad BODY value")				\
	E(RET,		"501 5.5.4 Bad RET value")				\
	E(ENVID,	"501 5.5.4 Bad ENVID value")				\
	E(AUTH,		"501 5.5.4 Bad AUTH value")				\
	E(PRIORITY,	"501 5.5.4 Bad MT-PRIORITY value")			\
	E(HOLD,		"501 5.5.4 Bad HOLDFOR or HOLDUNTIL value")		\
	E(NOTIFY,	"501 5.5.4 Bad NOTIFY value")				\
	E(ORCPT,	"501 5.5.4 Bad ORCPT value")

enum smtp_command_error {
	SMTP_COMMAND_OK,
#define E(name, text) SMTP_COMMAND_E_##name,
	SMTP_COMMAND_ERRORS(E)
#undef E
};

/*
 * Extensions that this session offers. A parameter whose extension is not
 * offered is refused with E_OPTION (RFC 5321 4.1.1.11: 555).
 */
enum smtp_extension {
	SMTP_EXT_SIZE		= 1 << 0,
	SMTP_EXT_8BITMIME	= 1 << 1,	/* BODY=7BIT, BODY=8BITMIME */
	SMTP_EXT_BINARYMIME	= 1 << 2,	/* BODY=BINARYMIME as well */
	SMTP_EXT_SMTPUTF8	= 1 << 3,
	SMTP_EXT_DSN		= 1 << 4,	/* RET ENVID NOTIFY ORCPT */
	SMTP_EXT_AUTH		= 1 << 5,	/* AUTH= of MAIL */
	SMTP_EXT_REQUIRETLS	= 1 << 6,
	SMTP_EXT_MT_PRIORITY	= 1 << 7,
	SMTP_EXT_FUTURERELEASE	= 1 << 8,	/* HOLDFOR HOLDUNTIL */
	/*
	 * strict_rfc821_envelopes: without it, as in Postfix, "MAIL FROM: a@b"
	 * (blank, no brackets) and addresses without a domain are taken; the
	 * session looks at ADDRESS_NO_DOMAIN. With it, RCPT TO:<postmaster> alone
	 * has no domain.
	 */
	SMTP_EXT_STRICT		= 1 << 29,
	/* State, not an offer: the transaction's MAIL said SMTPUTF8 (for RCPT). */
	SMTP_EXT_UTF8_NOW	= 1 << 30,
};

enum smtp_body {
	SMTP_BODY_UNSET,
	SMTP_BODY_7BIT,
	SMTP_BODY_8BITMIME,
	SMTP_BODY_BINARYMIME,
};

enum smtp_ret {
	SMTP_RET_UNSET,
	SMTP_RET_FULL,
	SMTP_RET_HDRS,
};

/* 0: not given. NEVER stands alone. */
enum smtp_notify {
	SMTP_NOTIFY_NEVER	= 1 << 0,
	SMTP_NOTIFY_SUCCESS	= 1 << 1,
	SMTP_NOTIFY_FAILURE	= 1 << 2,
	SMTP_NOTIFY_DELAY	= 1 << 3,
};

enum smtp_param {
	SMTP_PARAM_SIZE		= 1 << 0,
	SMTP_PARAM_BODY		= 1 << 1,
	SMTP_PARAM_SMTPUTF8	= 1 << 2,
	SMTP_PARAM_RET		= 1 << 3,
	SMTP_PARAM_ENVID	= 1 << 4,
	SMTP_PARAM_AUTH		= 1 << 5,
	SMTP_PARAM_REQUIRETLS	= 1 << 6,
	SMTP_PARAM_MT_PRIORITY	= 1 << 7,
	SMTP_PARAM_HOLDFOR	= 1 << 8,
	SMTP_PARAM_HOLDUNTIL	= 1 << 9,
	SMTP_PARAM_NOTIFY	= 1 << 10,
	SMTP_PARAM_ORCPT	= 1 << 11,
};

struct smtp_command {
	enum smtp_verb	verb;
	struct view	arg;		/* behind the verb, blanks trimmed */
	unsigned	params;		/* enum smtp_param: which were given */

	/* MAIL, RCPT */
	struct mail_address address;	/* valid for MAIL and RCPT only */

	/* MAIL; each is meaningful when its bit in params is set */
	uint64_t	size;		/* bytes */
	enum smtp_body	body;
	enum smtp_ret	ret;
	struct view	envid;		/* xtext, checked */
	struct view	auth;		/* xtext, checked; "<>" for unknown */
	int		mt_priority;	/* -9 to 9 (RFC 6710) */
	uint64_t	hold_for_s;	/* RFC 4865 */
	uint64_t	hold_until_ms;	/* since 1970 */

	/* RCPT */
	unsigned	notify;		/* enum smtp_notify */
	struct view	orcpt_type;	/* "rfc822" */
	struct view	orcpt;		/* encoded, checked; see xtext.h */

	/* BDAT; VRFY, EXPN: params may have SMTP_PARAM_SMTPUTF8 and arg is without it */
	uint64_t	chunk_size;	/* bytes */
	bool		chunk_last;
};

/*
 * line: without CRLF. enabled: enum smtp_extension bits.
 * Returns SMTP_COMMAND_OK or what is wrong. cmd_r->verb and arg are set in any
 * case (so that the caller can log and count); the rest only on OK, and only
 * the fields that the verb and `params` name.
 */
enum smtp_command_error smtp_command_parse(struct view line, unsigned enabled,
	    struct smtp_command *cmd_r);
/* The reply of an error: "501 5.5.4 ...", no CRLF. NULL for SMTP_COMMAND_OK. */
const char *smtp_command_error_text(enum smtp_command_error error);
/* "MAIL"; "UNKNOWN". */
const char *smtp_verb_name(enum smtp_verb verb);

#endif
