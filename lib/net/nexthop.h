/* SPDX-License-Identifier: ISC */
/*
 * nexthop.h: where a transport sends mail, in Postfix's notation:
 *
 *	domain   domain:port	MX of the domain, or its address
 *	[host]   [host]:port	no MX look-up
 *	[1.2.3.4]  [ipv6:2001:db8::1]:port
 *	unix:path   inet:host[:port]	(LMTP)
 *
 * Several are parted by commas or blanks and tried in turn.
 */
#ifndef PK_NET_NEXTHOP_H
#define PK_NET_NEXTHOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

/* A hostile table may list more; nobody waits for them. */
#define NEXTHOPS_MAX	32

struct nexthop {
	struct view	text;		/* as it was written */
	struct view	host;		/* without brackets and "ipv6:"; path for Unix */
	uint16_t	port;
	bool		mx;		/* look MX up */
	bool		is_unix;
};

/*
 * Takes the next one of *list. lmtp: "unix:" and "inet:" are known and there
 * is no MX. 0, PK_EEND at the end, PK_ESYNTAX.
 */
int	nexthop_next(struct view *list, bool lmtp, uint16_t default_port, struct nexthop *n_r);

#endif
