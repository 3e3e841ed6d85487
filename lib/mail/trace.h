/* SPDX-License-Identifier: ISC */
/*
 * trace.h: header fields that a server puts in front (RFC 5321 4.4).
 */
#ifndef PK_MAIL_TRACE_H
#define PK_MAIL_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct trace_received {
	struct view	helo;		/* as the client said it */
	struct view	client_name;	/* verified reverse name; empty: "unknown" */
	struct view	client_addr;	/* "192.0.2.1", "2001:db8::1"; empty: nobody's business */
	struct view	authenticated;	/* login; empty: not shown */
	struct view	tls;		/* "TLSv1.3 with cipher ..."; empty: none */
	struct view	tls_peer;	/* "No client certificate requested" and the like */
	struct view	by;		/* myhostname */
	struct view	mail_name;	/* "Postkeep"; empty: that */
	struct view	with;		/* "ESMTP", "ESMTPSA", "UTF8SMTP" ...; see trace_with() */
	struct view	id;		/* queue id */
	struct view	rcpt;		/* without <>; empty: no "for" (more than one recipient) */
	uint64_t	wall_ms;
};

/*
 * "Received: from HELO (name [addr])" CRLF HT "by host (Postkeep) with ESMTP id
 * X" CRLF HT "for <rcpt>; date" CRLF, sanitised (a client chooses HELO), at
 * most some 2 KiB. Returns the buf's result.
 */
int	trace_put_received(struct buf *b, const struct trace_received *t);
/*
 * The protocol name of RFC 3848 and RFC 6531: SMTP, ESMTP, ESMTPS, ESMTPA,
 * ESMTPSA, UTF8SMTP, UTF8SMTPSA ...; lmtp: LMTP family.
 */
const char *trace_with(bool ehlo, bool lmtp, bool tls, bool auth, bool utf8);
/* "Return-Path: <sender>" CRLF; sender without brackets, may be empty. */
int	trace_put_return_path(struct buf *b, struct view sender);
/* "Delivered-To: rcpt" CRLF */
int	trace_put_delivered_to(struct buf *b, struct view rcpt);
/* "X-Original-To: rcpt" CRLF */
int	trace_put_original_to(struct buf *b, struct view rcpt);

#endif
