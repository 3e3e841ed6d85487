/* SPDX-License-Identifier: ISC */
/*
 * tls_plan.h: from a policy and what DNS says to what is asked of one host.
 *
 *	struct tls_dane		the TLSA records of a host (RFC 7672 2.2), asked
 *				for step by step: whoever asks brings the answers
 *	struct tls_plan		level, names, records: what the handshake must show
 *
 * Nothing here asks or waits: `deliver` and `adminctl tls probe` come to the
 * same verdict with the same code.
 */
#ifndef PK_NET_TLS_PLAN_H
#define PK_NET_TLS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "mail/enhanced.h"
#include "net/dns_rdata.h"
#include "net/tls.h"
#include "net/tls_policy.h"

/* ---- TLSA records of a host ---- */

enum tls_dane_state {
	TLS_DANE_ASKING,	/* `name` and `type` are to be asked for */
	TLS_DANE_ABSENT,	/* it is sure that none counts, or DNS is not signed there */
	TLS_DANE_PRESENT,	/* secure ones */
	TLS_DANE_FAILED,	/* no answer that can be believed: this host gets nothing */
};

struct tls_dane {
	enum tls_dane_state state;
	bool		signed_host;	/* the addresses, or the alias, are secure */
	uint16_t	port;
	char		*bases[2];	/* the end of the alias first (RFC 7672 2.2.2) */
	unsigned	nbases, at;
	char		*name;		/* question */
	enum dns_type	type;
	char		*base;		/* PRESENT: TLSA base domain */
	struct tls_tlsa *records;	/* all of it, data owned */
	size_t		nrecords, nusable;
};

/* secure: each address record of host that was found. canonical: behind CNAMEs. */
void	tls_dane_init(struct tls_dane *d, const char *host, const char *canonical, bool secure,
	    uint16_t port);
void	tls_dane_fini(struct tls_dane *d);
/*
 * The answer to the question; error as in struct dns_answer. Goes on to the
 * next question or to the end.
 */
void	tls_dane_answer(struct tls_dane *d, int error, bool secure, const struct view *rdata,
	    size_t n);
/*
 * RFC 7672 3.1: usage 2 or 3, known selector, digest of the right length or
 * what can be read as a certificate or key.
 */
bool	tls_tlsa_usable(const struct tls_tlsa *t);

/* ---- plans ---- */

/* What the message itself asks for (RFC 8689). */
enum tls_need {
	TLS_NEED_POLICY,	/* nothing */
	TLS_NEED_REQUIRED,	/* MAIL had REQUIRETLS */
	TLS_NEED_OPTIONAL,	/* TLS-Required: No */
};

struct tls_plan_input {
	const struct conf *conf;	/* of the transport */
	const struct tls_policy *policy;
	const char	*nexthop;	/* domain or host, no port */
	const char	*nexthop_canonical;	/* of a secure MX answer, or NULL */
	const char	*host;
	uint16_t	port;
	bool		mx;		/* host came from MX records */
	bool		mx_secure;	/* which are signed */
	bool		is_unix;
	enum tls_need	need;
	const struct tls_dane *dane;	/* NULL: not looked for */
};

struct tls_plan {
	unsigned	refs;
	/* In force for this host; never DANE_ONLY: it is DANE, or refused. */
	enum tls_policy_level level;
	bool		requiretls;	/* MAIL says REQUIRETLS, the server must offer it */
	/* The MX that named this host is not signed: matched is no more than "Trusted". */
	bool		hearsay;
	/* NULL, or why this host may not be used now; dsn is 4.7.x. */
	char		*refused;
	struct enhanced	dsn;
	char		*sni;
	char		**names, **fingerprints;
	size_t		nnames, nfingerprints;
	struct tls_tlsa	*tlsa;
	size_t		ntlsa;
	char		*protocols, *ciphers, *exclude;
	/*
	 * Everything above as one text: connections and sessions are used
	 * again under the same key only.
	 */
	char		*key;
};

/* The policies that make it worthwhile to ask for TLSA records of hosts. */
bool	tls_plan_wants_dane(const struct tls_plan_input *in);
struct tls_plan *tls_plan_new(const struct tls_plan_input *in);
struct tls_plan *tls_plan_ref(struct tls_plan *p);
void	tls_plan_unref(struct tls_plan **p);
/* Nothing may go out in clear. */
bool	tls_plan_must(const struct tls_plan *p);
/* The peer must have proven who it is. */
bool	tls_plan_must_match(const struct tls_plan *p);
/* Views and pointers into p; session_key as it was given. */
void	tls_plan_expect(const struct tls_plan *p, const char *session_key, struct tls_expect *e_r);

#endif
