/* SPDX-License-Identifier: ISC */
/*
 * smtp_reply.h: what an SMTP or LMTP server answers (RFC 5321 4.2), for the
 * client side. Fed as bytes arrive, same answer for every split.
 *
 * Lenient in what it reads: a bare LF ends a line, text may be missing, lines
 * may be longer than 512 bytes. Strict in what decides: three digits 2-5 0-9
 * 0-9, then ' ', '-' or the end of line, the same code on each line. A reply
 * that is not one is PK_EPROTO and the connection is useless (A18).
 */
#ifndef PK_MAIL_SMTP_REPLY_H
#define PK_MAIL_SMTP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mail/enhanced.h"

/* 4.5.3.1.5 says 512; real servers' texts with links are longer. */
#define SMTP_REPLY_LINE_MAX	4096
#define SMTP_REPLY_LINES_MAX	100

struct smtp_reply {
	int		code;		/* 0 until the first line is known */
	struct enhanced	status;		/* of the last line that had one */
	unsigned	lines;
	/* Text behind the code (enhanced code included), lines joined by LF. */
	struct buf	text;
	/* Inside the parser: the line that is not complete yet. */
	struct buf	partial;
	bool		complete;
};

void	smtp_reply_init(struct smtp_reply *r);
void	smtp_reply_fini(struct smtp_reply *r);
/* Ready for the next reply; keeps allocations. */
void	smtp_reply_reset(struct smtp_reply *r);
/*
 * Takes bytes of in up to the end of the reply; *used_r says how many (set in
 * any case). 0: complete. PK_EAGAIN: all taken, more is needed. PK_EPROTO,
 * PK_ELIMIT: the server talks nonsense.
 */
int	smtp_reply_feed(struct smtp_reply *r, struct view in, size_t *used_r);
/*
 * "550 5.1.1 unknown user; try later" on one line for logs, diagnostics and
 * DSNs: lines joined by a blank, controls become '?'. Bytes that are not
 * UTF-8 become '?' too.
 */
int	smtp_reply_put_text(struct buf *b, const struct smtp_reply *r);
/* Line n of the text (0 first), without the code; false behind the end. */
bool	smtp_reply_line(const struct smtp_reply *r, unsigned n, struct view *line_r);

enum smtp_cap {
	SMTP_CAP_PIPELINING	= 1 << 0,
	SMTP_CAP_SIZE		= 1 << 1,
	SMTP_CAP_8BITMIME	= 1 << 2,
	SMTP_CAP_BINARYMIME	= 1 << 3,
	SMTP_CAP_CHUNKING	= 1 << 4,
	SMTP_CAP_SMTPUTF8	= 1 << 5,
	SMTP_CAP_DSN		= 1 << 6,
	SMTP_CAP_ENHANCEDSTATUSCODES = 1 << 7,
	SMTP_CAP_LIMITS		= 1 << 8,
	SMTP_CAP_MT_PRIORITY	= 1 << 9,
	SMTP_CAP_STARTTLS	= 1 << 10,
	SMTP_CAP_AUTH		= 1 << 11,
	SMTP_CAP_REQUIRETLS	= 1 << 12,
};

enum smtp_auth_mech {
	SMTP_AUTH_PLAIN			= 1 << 0,
	SMTP_AUTH_LOGIN			= 1 << 1,
	SMTP_AUTH_CRAM_MD5		= 1 << 2,
	SMTP_AUTH_SCRAM_SHA_1		= 1 << 3,
	SMTP_AUTH_SCRAM_SHA_1_PLUS	= 1 << 4,
	SMTP_AUTH_SCRAM_SHA_256		= 1 << 5,
	SMTP_AUTH_SCRAM_SHA_256_PLUS	= 1 << 6,
	SMTP_AUTH_XOAUTH2		= 1 << 7,
	SMTP_AUTH_OAUTHBEARER		= 1 << 8,
	SMTP_AUTH_EXTERNAL		= 1 << 9,
};

/* What EHLO or LHLO offered. Numbers are 0 when not stated (no limit known). */
struct smtp_caps {
	unsigned	flags;		/* enum smtp_cap */
	unsigned	auth;		/* enum smtp_auth_mech */
	uint64_t	size_max;	/* bytes; 0: none stated */
	uint64_t	rcpt_max;	/* LIMITS RCPTMAX (RFC 9422) */
	uint64_t	mail_max;	/* LIMITS MAILMAX */
	uint64_t	rcpt_domain_max; /* LIMITS RCPTDOMAINMAX */
};

/* Reads the keywords of a complete 250 reply to EHLO; unknown ones are skipped. */
void	smtp_caps_parse(const struct smtp_reply *r, struct smtp_caps *caps_r);

#endif
