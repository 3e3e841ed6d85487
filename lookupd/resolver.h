/* SPDX-License-Identifier: ISC */
/*
 * resolver.h: addresses to classes, verdicts and routes.
 *
 * Knows the configuration and the tables, nothing of IPC or events; every
 * call returns with its answer. One error means "ask again later": PK_ETEMP,
 * when a table cannot tell.
 */
#ifndef LOOKUPD_RESOLVER_H
#define LOOKUPD_RESOLVER_H

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "ipc/route.h"
#include "lookupd/tables.h"
#include "mail/domain.h"

struct resolver;

/* This machine's addresses (inet_interfaces), for user@[address]. */
struct resolver_own {
	struct domain_literal	*addresses;
	size_t			 count;
};

/* conf, tables and own live as long as the resolver. A broken list is logged and defers. */
struct resolver *resolver_new(const struct conf *conf, struct tables *tables,
	    const struct resolver_own *own);
void	resolver_free(struct resolver **r);

/* ---- RCPT ---- */

struct resolver_check {
	enum route_class	 class;
	enum route_verdict	 verdict;
	const char		*dsn;	/* static, or points into text_r */
	struct buf		 text;	/* "User unknown in local recipient table" */
	struct buf		 dsn_buf;
};
void	resolver_check_init(struct resolver_check *c);
void	resolver_check_fini(struct resolver_check *c);
/* flags: enum route_flags. */
void	resolver_check(struct resolver *r, struct view address, unsigned flags,
	    struct resolver_check *c);

/* ---- activation ---- */

struct resolver_route {
	char		*address;
	enum route_class class;
	char		*transport;
	char		*nexthop;
	char		*path;		/* mailbox transports only */
	uint64_t	 quota;
	char		*dsn;		/* transport "error" only: what to answer */
	char		*text;
};

struct resolver_expansion {
	int		 code;		/* 0, PK_ETEMP, PK_ELIMIT, PK_ESYNTAX */
	char		*dsn;		/* when code is not 0 */
	char		*text;
	struct resolver_route *routes;
	size_t		 count;
};
void	resolver_expand(struct resolver *r, struct view recipient,
	    struct resolver_expansion *e_r);
void	resolver_expansion_fini(struct resolver_expansion *e);

/* ---- access(5) ---- */

/*
 * table is "type:name", or "list:PARAMETER" for mynetworks, mydestination,
 * relay_domains, virtual_alias_domains, virtual_mailbox_domains (the value is
 * then "OK"). 0 with value_r and the key that matched; PK_ENOENT; PK_ETEMP;
 * PK_EPERM for a table that the configuration does not name.
 */
int	resolver_access(struct resolver *r, struct view table, struct view query,
	    enum access_kind kind, struct buf *value_r, struct buf *key_r);

#endif
