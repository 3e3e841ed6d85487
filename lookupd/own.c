/* SPDX-License-Identifier: ISC */
/*
 * own.c: which addresses are this machine's.
 *
 * Runs in lookupd before it is confined: the kernel is asked once.
 */
#include <sys/socket.h>

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "lookupd/lookupd.h"

static void
add(struct resolver_own *own, const struct domain_literal *addr)
{
	own->addresses = xreallocarray(own->addresses, own->count + 1,
	    sizeof(*own->addresses));
	own->addresses[own->count++] = *addr;
}

static bool
from_sockaddr(const struct sockaddr *sa, struct domain_literal *addr_r)
{
	memset(addr_r, 0, sizeof(*addr_r));
	if (sa != NULL && sa->sa_family == AF_INET) {
		addr_r->family = DOMAIN_INET4;
		memcpy(addr_r->bytes, &((const struct sockaddr_in *)
		    (const void *)sa)->sin_addr, 4);
		return true;
	}
	if (sa != NULL && sa->sa_family == AF_INET6) {
		addr_r->family = DOMAIN_INET6;
		memcpy(addr_r->bytes, &((const struct sockaddr_in6 *)
		    (const void *)sa)->sin6_addr, 16);
		return true;
	}
	return false;
}

static bool
is_loopback(const struct domain_literal *a)
{
	static const uint8_t six[16] = { [15] = 1 };

	return a->family == DOMAIN_INET4 ? a->bytes[0] == 127 :
	    memcmp(a->bytes, six, 16) == 0;
}

static void
add_interfaces(struct resolver_own *own, bool loopback_only)
{
	struct ifaddrs *list, *i;
	struct domain_literal addr;

	if (getifaddrs(&list) == -1) {
		log_warn("addresses of this machine: %s", strerror(errno));
		return;
	}
	for (i = list; i != NULL; i = i->ifa_next)
		if (from_sockaddr(i->ifa_addr, &addr) &&
		    (!loopback_only || is_loopback(&addr)))
			add(own, &addr);
	freeifaddrs(list);
}

void
lookupd_own_load(struct resolver_own *own, const char *inet_interfaces)
{
	struct view items = view_str(inet_interfaces), item;
	struct domain_literal addr;

	while (conf_list_next(&items, &item)) {
		if (view_eq(item, VIEW("all")))
			add_interfaces(own, false);
		else if (view_eq(item, VIEW("loopback-only")))
			add_interfaces(own, true);
		else if (domain_parse_ip(item, &addr) == 0 ||
		    domain_parse_literal(item, &addr) == 0)
			add(own, &addr);
	}
}
