/* SPDX-License-Identifier: ISC */
/*
 * smtp_route_impl.h: what smtp_route.c (addresses) and smtp_policy.c (TLS
 * policy of next hops and hosts) share; nobody else includes it.
 */
#ifndef PK_DELIVER_SMTP_ROUTE_IMPL_H
#define PK_DELIVER_SMTP_ROUTE_IMPL_H

#include "deliver/smtp.h"
#include "net/dns_client.h"
#include "net/nexthop.h"

struct host {
	struct resolver_hop *hop;
	char		*name;
	char		*canonical;	/* behind CNAMEs, of an answer; or NULL */
	unsigned	preference;
	struct dns_call	*calls[2];	/* AAAA, A */
	struct domain_literal *addrs[2];
	size_t		naddrs[2];
	bool		secure[2];	/* these are signed */
	bool		temp;		/* a look-up had no answer */
	bool		dane_asked;
	struct tls_dane	dane;
	struct dns_call	*dane_call;
};

struct resolver_hop {
	struct smtp_resolver *r;
	struct nexthop	hop;
	char		*name;
	struct dns_call	*mx;
	bool		has_mx, mx_secure;
	char		*mx_canonical;	/* of a secure MX answer; or NULL */
	struct host	*hosts;
	size_t		nhosts;
	struct smtp_failure failure;
	struct tls_policy policy;
	bool		policy_failed;	/* failure says why */
	char		*policy_hop;	/* key, lower case */
	unsigned	policy_key;	/* asked for now */
	struct view	policy_tables;	/* behind the one that is asked now */
	uint64_t	policy_call;
};

struct smtp_resolver {
	struct smtp	*s;
	smtp_route_fn	fn;
	void		*arg;
	const struct conf *conf;	/* of the transport; see smtp_reload() */
	enum tls_need	need;
	char		*text;		/* hop views point here */
	char		*nexthop;
	struct resolver_hop hops[NEXTHOPS_MAX];
	unsigned	nhops;
	unsigned	pending;	/* questions asked, plus one while asking */
	bool		dane_done;
	bool		ipv4, ipv6, ipv4_first, shuffle;
	char		*myhostname;
};

/* ---- smtp_route.c ---- */

void	smtp_hop_fail(struct resolver_hop *h, enum job_result what, struct enhanced dsn,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A question has its answer; the route may be complete now, and r be gone. */
void	smtp_resolver_answered(struct smtp_resolver *r);

/* ---- smtp_policy.c ---- */

/* Looks the next hop up in smtp_tls_policy_maps; counts itself in r->pending. */
void	smtp_policy_ask(struct resolver_hop *h);
/* Addresses are known: asks for TLSA records where the policy wants them. */
void	smtp_policy_ask_dane(struct smtp_resolver *r);
/* What TLS must be with this host. The caller's reference. */
struct tls_plan *smtp_policy_plan(const struct resolver_hop *h, const char *host,
	    const struct host *dns);
void	smtp_policy_hop_fini(struct resolver_hop *h);
void	smtp_policy_host_fini(struct host *host);

#endif
