/* SPDX-License-Identifier: ISC */
/*
 * dns_rdata.h: what is inside a DNS record (RFC 1035, 3596, 6698).
 *
 * Bytes come from strangers' name servers: every length is checked against
 * the record's own, names are uncompressed here (libunbound expands them) and
 * a compression pointer is an error. Nothing recurses.
 */
#ifndef PK_NET_DNS_RDATA_H
#define PK_NET_DNS_RDATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mail/domain.h"

enum dns_type {
	DNS_TYPE_A	= 1,
	DNS_TYPE_NS	= 2,
	DNS_TYPE_CNAME	= 5,
	DNS_TYPE_SOA	= 6,
	DNS_TYPE_PTR	= 12,
	DNS_TYPE_MX	= 15,
	DNS_TYPE_TXT	= 16,
	DNS_TYPE_AAAA	= 28,
	DNS_TYPE_TLSA	= 52,
};

enum dns_rcode {
	DNS_RCODE_NOERROR  = 0,
	DNS_RCODE_FORMERR  = 1,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NXDOMAIN = 3,
	DNS_RCODE_NOTIMP   = 4,
	DNS_RCODE_REFUSED  = 5,
};

/* Text form of a name, without the trailing dot (RFC 1035 2.3.4: 255 on the wire). */
#define DNS_NAME_MAX	253
/* One record's data. */
#define DNS_RDATA_MAX	65535

/* "MX"; NULL for a type that we have no name for. */
const char *dns_type_name(uint16_t type);
/* "mx", "MX", "TYPE99"; PK_ESYNTAX otherwise. */
int	dns_type_parse(struct view v, uint16_t *type_r);
/* "NXDOMAIN"; "RCODE" for one without a name. */
const char *dns_rcode_name(unsigned rcode);

/*
 * An uncompressed wire name at the start of v as text in lower case, without
 * the trailing dot ("." for the root alone). Bytes that are no letter, digit,
 * '-', '_', '*', '/', '+' or '=' make it \DDD as in master files, so that the
 * text is always printable. *used_r: bytes taken. PK_EFORMAT, PK_ELIMIT; b is
 * as it was then.
 */
int	dns_name_put_text(struct buf *b, struct view v, size_t *used_r);
/*
 * The other way: text (with or without trailing dot, \DDD taken) to wire.
 * PK_ESYNTAX for empty or too long labels, PK_ELIMIT for the whole.
 */
int	dns_name_put_wire(struct buf *b, struct view text);
/* True for text that dns_name_put_wire() takes. */
bool	dns_name_valid(struct view text);

/* True if the data has the shape its type asks for; unknown types always have. */
bool	dns_rdata_valid(uint16_t type, struct view rdata);
/*
 * As in a master file: A AAAA MX TXT PTR CNAME NS SOA TLSA; others as RFC 3597
 * "\# length hex". PK_EFORMAT for data of the wrong shape.
 */
int	dns_rdata_put_text(struct buf *b, uint16_t type, struct view rdata);
/* Text of A AAAA MX TXT PTR CNAME NS TLSA to wire: overrides. PK_ESYNTAX, PK_EUNSUPPORTED. */
int	dns_rdata_put_wire(struct buf *b, uint16_t type, struct view text);

/* A or AAAA. */
int	dns_rdata_address(uint16_t type, struct view rdata, struct domain_literal *addr_r);
/* MX: the exchange is appended as text, "." for the null MX (RFC 7505). */
int	dns_rdata_mx(struct view rdata, uint16_t *preference_r, struct buf *exchange);
/* NS, CNAME, PTR: the name is appended as text. */
int	dns_rdata_name(struct view rdata, struct buf *name);
/* TXT: all its strings joined. */
int	dns_rdata_txt(struct view rdata, struct buf *text);

/* "4.3.2.1.in-addr.arpa" or the ip6.arpa name. */
int	dns_put_reverse_name(struct buf *b, const struct domain_literal *addr);

#endif
