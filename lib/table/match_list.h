/* SPDX-License-Identifier: ISC */
/*
 * match_list.h: lists of domains, names and networks, as in mydestination,
 * relay_domains, mynetworks (Postfix's match_list semantics).
 *
 * Elements are parted by commas and blanks and tried in order, the first that
 * matches decides:
 *	name, user@domain	equal, ASCII case-insensitive
 *	.domain			a name below it (without MATCH_PARENT)
 *	domain			with MATCH_PARENT a name below it, too
 *	1.2.3.4  [::1]  net/n	address or network (MATCH_CLIENT)
 *	/file			elements in a file, one level deep, # comments
 *	type:name		found in a table
 *	!element		matches negatively: the answer is no
 *
 * Files and tables are read through a match_source. A process without a file
 * system (smtpd) passes NULL: literals work all the same, and a match that
 * would depend on a file or table says PK_EUNSUPPORTED: then ask lookupd,
 * ACCESS with TABLE "list:<parameter>" (CODE 0 found, PK_ENOENT not).
 */
#ifndef PK_TABLE_MATCH_LIST_H
#define PK_TABLE_MATCH_LIST_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/view.h"
#include "mail/domain.h"

enum match_kind {
	MATCH_STRING,		/* mydestination, virtual_*_domains: equal only */
	MATCH_DOMAIN,		/* relay_domains: names and what is below them */
	MATCH_CLIENT,		/* mynetworks: names, addresses, networks */
};

enum match_flag {
	MATCH_PARENT = 1,	/* the parameter is in parent_domain_matches_subdomains */
};

/* One list has at most this many elements, files included. */
#define MATCH_ELEMENTS_MAX	100000

struct match_source {
	/* Contents of a file; PK_ENOENT and friends. */
	int	(*read_file)(void *arg, const char *path, struct buf *b);
	/* 0 found, PK_ENOENT not, else an error that defers. */
	int	(*lookup)(void *arg, const char *table, struct view key);
	/* May parts of a key be looked up (not for patterns)? NULL: yes. */
	bool	(*partial)(void *arg, const char *table);
	void	*arg;
};

struct match_list;

/*
 * text: the parameter's value. PK_ESYNTAX, PK_ELIMIT or the file's error, with
 * words for a person appended to `why`; *list_r untouched then. source may be
 * NULL; it is copied, its arg lives as long as the list.
 */
int	match_list_parse(enum match_kind kind, unsigned flags, struct view text,
	    const struct match_source *source, struct match_list **list_r, struct buf *why);
void	match_list_free(struct match_list **list);
/* No element at all. */
bool	match_list_empty(const struct match_list *list);
/* An element is a file or table that could not be read for want of a source. */
bool	match_list_external(const struct match_list *list);

/*
 * Is it in the list? 0 with *found_r, PK_EUNSUPPORTED (see above), or the
 * table's error (PK_ETEMP). client: name may be empty or "unknown", addr may
 * be NULL; IPv4-mapped IPv6 addresses match as IPv4.
 */
int	match_list_name(const struct match_list *list, struct view name, bool *found_r);
int	match_list_client(const struct match_list *list, struct view name,
	    const struct domain_literal *addr, bool *found_r);

/* Is `param` listed in parent_domain_matches_subdomains? */
bool	match_parent_style(const char *param, const char *parent_domain_matches_subdomains);

/* A network "1.2.3.0/24", "[2001:db8::]/32", or one address. */
struct match_net {
	struct domain_literal	 addr;	/* host bits are zero */
	unsigned		 bits;
};
/* PK_ESYNTAX (words in why, may be NULL): no address, or host bits set. */
int	match_net_parse(struct view v, struct match_net *net_r, struct buf *why);
bool	match_net_contains(const struct match_net *net, const struct domain_literal *addr);

#endif
