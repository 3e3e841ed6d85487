/* SPDX-License-Identifier: ISC */
/*
 * dns_client.h: asking dnsd (twin of dnsd_ipc.c).
 *
 * dnsd is a process that speaks with strangers: its answers are parsed as if
 * an attacker had written them. A record whose data has not the shape of its
 * type is left out.
 */
#ifndef PK_NET_DNS_CLIENT_H
#define PK_NET_DNS_CLIENT_H

#include <sys/socket.h>

#include "ipc/ipc.h"
#include "ipc/route.h"
#include "net/dns_rdata.h"

struct dns_mx {
	uint16_t	preference;
	const char	*host;		/* "." is the null MX (RFC 7505) */
};

/*
 * error is
 *   0		at least one record of the type asked for;
 *   PK_ENOENT	none: rcode tells DNS_RCODE_NXDOMAIN (no such name) from
 *		DNS_RCODE_NOERROR (the name has other records);
 *   PK_ETEMP	no answer that can be believed: SERVFAIL, time over, bogus
 *		DNSSEC (security says so), REFUSED: defer, never bounce;
 *   PK_EPEER, PK_ETIMEOUT	dnsd itself does not answer: the same.
 * Everything lives until the callback returns.
 */
struct dns_answer {
	int		 error;
	uint16_t	 type;
	unsigned	 rcode;		/* enum dns_rcode */
	enum dns_security security;
	uint32_t	 ttl;		/* seconds */
	struct view	 canonical;	/* name after CNAMEs, text */
	size_t		 count;		/* at most IPC_DNS_RECORDS_MAX */
	struct view	*rdata;		/* all types: wire form */
	struct domain_literal *addresses;	/* A, AAAA */
	struct dns_mx	*mx;		/* MX, by preference; equal ones as they came */
	const char	**names;	/* PTR, CNAME, NS */
};

typedef void (*dns_lookup_fn)(const struct dns_answer *answer, void *arg);
struct dns_call;

/*
 * Asks for (name, type). fn is called once, never from inside dns_lookup();
 * the call is gone after that. NULL when name is no DNS name: treat it as one
 * that does not exist. timeout_ms 0: a little more than dnsd's own limit.
 */
struct dns_call *dns_lookup(struct ipc_pool *pool, struct view name, enum dns_type type,
	    uint64_t timeout_ms, dns_lookup_fn fn, void *arg);
/* fn will not be called. Fine with *call NULL; sets it to NULL. */
void	dns_lookup_cancel(struct dns_call **call);

/*
 * Decodes the body of a DNS_ANSWER for `type` and calls fn (also the fuzz
 * harness's door). PK_EPROTO when it is malformed: then fn is not called.
 */
int	dns_answer_decode(const struct ipc_msg *m, uint16_t type, dns_lookup_fn fn, void *arg);

/* Address and port for connect(). */
socklen_t dns_put_sockaddr(const struct domain_literal *addr, uint16_t port,
	    struct sockaddr_storage *ss);

#endif
