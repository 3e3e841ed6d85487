/* SPDX-License-Identifier: ISC */
/*
 * dsn.h: composes delivery status notifications: multipart/report of RFC 6522
 * with message/delivery-status of RFC 3464, or the message/global forms of
 * RFC 6533 when an address or the original needs UTF-8.
 *
 * Every text given here may come from strangers (remote replies, addresses,
 * ENVID): all of it is sanitised and folded on the way out.
 */
#ifndef PK_MAIL_DSN_H
#define PK_MAIL_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mail/enhanced.h"

/* RFC 3464 2.3.3, in order of how bad it is. */
enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_DELIVERED,
	DSN_RELAYED,
	DSN_EXPANDED,
};

/* Views belong to the caller; empty (len 0) or 0 means: not known, left out. */
struct dsn_recipient {
	struct view	final;		/* local@domain, no brackets */
	struct view	orcpt_type;	/* "rfc822", "utf-8" */
	struct view	orcpt;		/* decoded */
	enum dsn_action	action;
	struct enhanced	status;		/* not set: by action, 5.0.0 and so on */
	struct view	remote_mta;	/* host name of who answered */
	struct view	diagnostic_type; /* empty: "smtp" if remote_mta is set, else "x-postkeep" */
	struct view	diagnostic;	/* the reply word for word, or our reason */
	uint64_t	last_attempt_ms;
	uint64_t	retry_until_ms;	/* delayed only */
};

struct dsn {
	struct view	queue_id;	/* of the original */
	struct view	dsn_id;		/* for Message-ID and boundary; unique */
	struct view	myhostname;	/* reporting MTA */
	struct view	myorigin;	/* domain of MAILER-DAEMON; empty: myhostname */
	struct view	sender;		/* of the original: who gets this; no brackets */
	struct view	envid;		/* decoded; empty: none */
	uint64_t	arrival_ms;
	uint64_t	now_ms;
	bool		ret_full;	/* RET=FULL asked or by default; failed only */
	size_t		return_max;	/* bounce_size_limit: larger originals: header only */
	struct view	original;	/* header and content in CRLF form; may be mapped */
	bool		original_utf8;	/* arrived with SMTPUTF8 */
	const struct dsn_recipient *recipients;
	size_t		nrecipients;
};

/* What the composed message needs of its next hop. */
struct dsn_needs {
	bool		body_8bit;	/* 8BITMIME */
	bool		smtputf8;
};

/*
 * The longest result: report text for n recipients and the original. Give a
 * buf of at least this maximum.
 */
size_t	dsn_size_max(const struct dsn *d);
/*
 * Appends the whole message in CRLF wire form (header from From: on; no
 * Received). All recipients should share one action class: the subject and
 * first part speak of the worst. Returns 0, PK_ELIMIT of the buf, or
 * PK_ERANGE without recipients or sender.
 */
int	dsn_compose(struct buf *b, const struct dsn *d, struct dsn_needs *needs_r);
/* "failed", ... */
const char *dsn_action_name(enum dsn_action action);

#endif
