/* SPDX-License-Identifier: ISC */
/*
 * address.h: paths and mailboxes of the envelope (RFC 5321 4.1.2, RFC 6531).
 *
 * A parsed address is two views into the caller's bytes: nothing is copied
 * or allocated, so it lives as long as these. `local` is as it was written,
 * with its quotes when ADDRESS_QUOTED is set; address_put_local_raw() takes
 * them off. Source routes ("@a,@b:user@c") are skipped.
 *
 * Limits are RFC 5321 4.5.3.1: local part 64 bytes (as written, without the
 * outer quotes), domain 255, path 256 with its brackets. Postfix takes longer
 * local parts; we do not, PK_ELIMIT says so.
 */
#ifndef PK_MAIL_ADDRESS_H
#define PK_MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/view.h"

#define ADDRESS_LOCAL_MAX	64
#define ADDRESS_DOMAIN_MAX	255
#define ADDRESS_PATH_MAX	256
/* Any address we keep fits: local with quotes, @, domain. */
#define ADDRESS_MAX		(ADDRESS_LOCAL_MAX + 2 + 1 + ADDRESS_DOMAIN_MAX)

enum address_flag {
	ADDRESS_NULL		= 1 << 0,	/* "<>": both views are empty */
	ADDRESS_QUOTED		= 1 << 1,	/* local is a quoted string */
	ADDRESS_LITERAL		= 1 << 2,	/* domain is "[...]" */
	ADDRESS_LOCAL_UTF8	= 1 << 3,
	ADDRESS_DOMAIN_UTF8	= 1 << 4,
	ADDRESS_NO_DOMAIN	= 1 << 5,	/* domain is empty, e.g. <postmaster> */
	ADDRESS_ROUTE		= 1 << 6,	/* a source route was skipped */
};

#define ADDRESS_UTF8	(ADDRESS_LOCAL_UTF8 | ADDRESS_DOMAIN_UTF8)

enum address_allow {
	ADDRESS_ALLOW_NULL	 = 1 << 0,	/* "<>" */
	ADDRESS_ALLOW_POSTMASTER = 1 << 1,	/* "postmaster" without a domain */
	ADDRESS_ALLOW_NO_DOMAIN	 = 1 << 2,	/* any local part without one */
	ADDRESS_ALLOW_UTF8	 = 1 << 3,	/* SMTPUTF8 */
	ADDRESS_ALLOW_BARE	 = 1 << 4,	/* path without < >, ends at a blank */
};

struct mail_address {
	struct view	local;
	struct view	domain;
	unsigned	flags;		/* enum address_flag */
};

/*
 * A path at the start of v: "<" [route ":"] mailbox ">". *used_r is what it
 * takes, closing bracket included. allow: enum address_allow.
 * PK_ESYNTAX; PK_ELIMIT when a part is too long; PK_EUNSUPPORTED for UTF-8
 * without ADDRESS_ALLOW_UTF8.
 */
int	address_parse_path(struct view v, unsigned allow, struct mail_address *a_r, size_t *used_r);
/* The whole view is a mailbox without brackets. Errors as above. */
int	address_parse(struct view v, unsigned allow, struct mail_address *a_r);

/*
 * local@domain as it goes on the wire and into tables: the local part's case
 * kept, quoted only when it must be, the domain in lower case. Nothing for the
 * null address. Returns buf_put's result. Brackets are the caller's.
 */
int	address_put(struct buf *b, const struct mail_address *a);
/* As address_put, and the domain in A-labels (domain_put_ascii's errors). */
int	address_put_ascii(struct buf *b, const struct mail_address *a);
/* The local part without quotes and backslashes: what mailboxes are named by. */
int	address_put_local_raw(struct buf *b, const struct mail_address *a);
/* raw bytes as a local part: quoted when it is no dot-string. PK_ESYNTAX for controls. */
int	address_put_local_quoted(struct buf *b, struct view raw);
/* Same mailbox: local equal byte by byte after unquoting, domains ASCII-case-insensitive. */
bool	address_eq(const struct mail_address *a, const struct mail_address *b);

/*
 * Splits raw (unquoted) local at the first of the bytes in delimiters, as
 * Postfix's recipient_delimiter: *user_r before it, *ext_r behind it, both
 * views into local. False (nothing written) when there is none, at the very
 * start, or for names that are never split: postmaster, mailer-daemon,
 * double-bounce, and owner-x and x-request when '-' is a delimiter.
 */
bool	address_split_extension(struct view local, struct view delimiters,
	    struct view *user_r, struct view *ext_r);

#endif
