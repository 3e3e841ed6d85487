/* SPDX-License-Identifier: ISC */
/*
 * nexthop.c: reads next hop notation.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. A next hop is a recipient's
 * domain as often as it is the administrator's word, so it is checked like
 * any address from outside.
 */
#include "net/nexthop.h"

#include "base/error.h"
#include "base/num.h"
#include "mail/domain.h"

/* sun_path of Linux, with its NUL. */
#define UNIX_PATH_MAX_OURS	107

static int
parse_port(struct view v, uint16_t *port_r)
{
	static const struct {
		struct view	name;
		uint16_t	port;
	} services[] = {
		{ { "smtp", 4 }, 25 }, { { "lmtp", 4 }, 24 },
		{ { "submission", 10 }, 587 }, { { "smtps", 5 }, 465 },
		{ { "submissions", 11 }, 465 },
	};
	uint64_t n;
	size_t i;

	for (i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		if (view_caseeq(v, services[i].name)) {
			*port_r = services[i].port;
			return 0;
		}
	}
	if (num_parse_u64(v, 1, 65535, &n) != 0)
		return PK_ESYNTAX;
	*port_r = (uint16_t)n;
	return 0;
}

static bool
host_ok(struct view h, bool literal)
{
	struct domain_literal lit;

	if (h.len == 0 || h.len > DOMAIN_MAX)
		return false;
	if (domain_is_hostname(h))
		return true;
	return literal && domain_parse_ip(h, &lit) == 0;
}

/* "[host]" or "[host]:port" */
static int
parse_bracketed(struct view v, struct nexthop *n)
{
	ptrdiff_t end = view_find(v, ']');
	struct view rest;

	if (end < 2)
		return PK_ESYNTAX;
	n->host = view_head(view_from(v, 1), (size_t)end - 1);
	if (view_casestarts(n->host, VIEW("ipv6:")))
		n->host = view_from(n->host, 5);
	n->mx = false;
	if (!host_ok(n->host, true))
		return PK_ESYNTAX;
	rest = view_from(v, (size_t)end + 1);
	if (rest.len == 0)
		return 0;
	return rest.p[0] == ':' ? parse_port(view_from(rest, 1), &n->port) :
				  PK_ESYNTAX;
}

static int
parse_one(struct view v, bool lmtp, struct nexthop *n)
{
	ptrdiff_t colon;

	if (lmtp && view_casestarts(v, VIEW("unix:"))) {
		n->host = view_from(v, 5);
		n->is_unix = true;
		n->mx = false;
		return n->host.len > 0 && n->host.len <= UNIX_PATH_MAX_OURS ?
		    0 :
		    PK_ESYNTAX;
	}
	if (lmtp && view_casestarts(v, VIEW("inet:")))
		v = view_from(v, 5);
	if (v.len > 0 && v.p[0] == '[')
		return parse_bracketed(v, n);
	n->host = v;
	colon = view_rfind(v, ':');
	if (colon >= 0) {
		n->host = view_head(v, (size_t)colon);
		if (parse_port(view_from(v, (size_t)colon + 1), &n->port) != 0)
			return PK_ESYNTAX;
	}
	/* A bare IPv4 address is an address (LMTP), never a domain. */
	if (domain_is_numeric(n->host))
		n->mx = false;
	return host_ok(n->host, !n->mx) ? 0 : PK_ESYNTAX;
}

int
nexthop_next(struct view *list, bool lmtp, uint16_t default_port,
    struct nexthop *n_r)
{
	struct nexthop n = { .port = default_port, .mx = !lmtp };
	struct view item;

	if (!view_next(list, ", \t", &item))
		return PK_EEND;
	n.text = item;
	if (parse_one(item, lmtp, &n) != 0)
		return PK_ESYNTAX;
	*n_r = n;
	return 0;
}
