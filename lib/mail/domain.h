/* SPDX-License-Identifier: ISC */
/*
 * domain.h: what may stand right of the @ and in HELO (RFC 5321 4.1.2, 4.1.3;
 * RFC 1035 2.3.1; RFC 5890).
 *
 * Nothing here looks anything up. Comparison of domains is ASCII
 * case-insensitive on A-labels: domain_put_ascii() makes the form that tables,
 * DNS and next hops are keyed by.
 */
#ifndef PK_MAIL_DOMAIN_H
#define PK_MAIL_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* RFC 5321 4.5.3.1.2; DNS itself allows 253 in text form, checked for names. */
#define DOMAIN_MAX	255
#define DOMAIN_LABEL_MAX 63

enum domain_family {
	DOMAIN_INET4 = 4,
	DOMAIN_INET6 = 6,
};

/* An address in network order; 4 or 16 bytes used. */
struct domain_literal {
	enum domain_family family;
	uint8_t		 bytes[16];
};

/* What one walk over a name tells. */
struct domain_shape {
	size_t	len;		/* bytes that may stand in a name: the walk ended there */
	bool	labels;		/* all labels are well formed (length of U-labels apart) */
	bool	high;		/* a byte over 127 */
	bool	named;		/* something that is no digit and no dot */
};

/* Walks v as far as it could be a name: letters, digits, '-', '_', '.', over 127. */
struct domain_shape domain_scan(struct view v);
/* d is what domain_scan() walked over, all of it. As domain_is_hostname(). */
bool	domain_shape_is_hostname(struct domain_shape s);

/*
 * ASCII host name: labels of letters, digits, '-' and (as in Postfix, because
 * the field uses it) '_', 1 to 63 bytes, no '-' at either end of a label, at
 * most 253 bytes, not all digits and dots. No trailing dot.
 */
bool	domain_is_hostname(struct view d);
/* A host name with at least two labels. */
bool	domain_is_fqdn(struct view d);
/* Digits and dots only ("1.2.3.4" without brackets, "12"). */
bool	domain_is_numeric(struct view d);
/* Valid UTF-8 with at least one byte over 127 and no ASCII byte that is not LDH, '_' or '.'. */
bool	domain_is_utf8(struct view d);
/* A bare IPv4 or IPv6 address; PK_ESYNTAX otherwise. */
int	domain_parse_ip(struct view d, struct domain_literal *lit_r);
/*
 * "[1.2.3.4]" or "[IPv6:2001:db8::1]" (also "[2001:db8::1]", as Postfix takes
 * it). PK_ESYNTAX otherwise; general address literals are not supported.
 */
int	domain_parse_literal(struct view d, struct domain_literal *lit_r);
/* "1.2.3.4" or "2001:db8::1" without brackets. */
int	domain_put_ip(struct buf *b, const struct domain_literal *lit);
/* HELO/EHLO argument: a host name, an address literal, or a U-label name. */
bool	domain_is_helo(struct view d);
/*
 * Lower-case A-labels: ASCII names are folded, U-labels go through IDNA2008
 * (libidn2, non-transitional). Address literals are folded only. PK_ESYNTAX
 * when the result is not a name, PK_ELIMIT when too long. On failure b is as
 * it was.
 */
int	domain_put_ascii(struct buf *b, struct view d);
/* U-labels for people and logs; what cannot be converted is put as it is. */
int	domain_put_unicode(struct buf *b, struct view d);
/* d is `parent` itself or a name below it. ASCII case-insensitive. */
bool	domain_is_under(struct view d, struct view parent);

#endif
