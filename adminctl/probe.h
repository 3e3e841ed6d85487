/* SPDX-License-Identifier: ISC */
/*
 * probe.h: the parts of `adminctl tls probe`.
 *
 *	cmd_tls_probe.c		the command: policy, hosts, verdict, what is printed
 *	probe_dns.c		DNS and tables as the suite sees them
 *	probe_session.c		one session with a server, up to QUIT
 */
#ifndef PK_ADMINCTL_PROBE_H
#define PK_ADMINCTL_PROBE_H

#include "adminctl/command.h"
#include "net/dns_rdata.h"
#include "net/tls_plan.h"

/* ---- probe_dns.c ---- */

/* A look-up by dnsd; error as in net/dns_client.h. */
struct probe_answer {
	int		 error;
	bool		 secure;
	const char	*security, *rcode, *canonical;	/* in json */
	const json_t	*records;	/* texts, as in a zone file */
	json_t		*json;		/* owned */
};

/* false: dnsd does not answer (said); *status_r. */
bool	probe_lookup(const struct context *x, const char *name, const char *type,
	    struct probe_answer *a_r, int *status_r);
void	probe_answer_fini(struct probe_answer *a);
/* Asks for d's records until it is decided; facts go into host (JSON). */
bool	probe_dane(const struct context *x, struct tls_dane *d, json_t *host, int *status_r);
/*
 * The policy of a next hop: *source_r (owned by the caller) says where from.
 * false: the tables do not answer, or say nonsense: *source_r says what.
 */
bool	probe_policy(const struct context *x, const struct conf *conf, const char *nexthop,
	    struct tls_policy *policy, char **source_r);

/* ---- probe_session.c ---- */

struct probe_result {
	bool		connected;
	bool		ready;		/* EHLO was answered, at the end */
	bool		offered;	/* STARTTLS */
	bool		tried;		/* a handshake was begun */
	bool		handshake;	/* done */
	bool		requiretls;	/* offered inside TLS */
	enum tls_trust	trust;
	char		*error;		/* why it ended early; or NULL */
	json_t		*json;		/* facts, owned */
};

/* Speaks with address (text) up to EHLO inside TLS, and QUIT. */
void	probe_session(const struct conf *conf, struct tls_client *tls, const char *host,
	    const char *address, uint16_t port, const struct tls_plan *plan,
	    struct probe_result *r_r);
void	probe_result_fini(struct probe_result *r);

#endif
