/* SPDX-License-Identifier: ISC */
/*
 * resolver_impl.h: between the resolver's own files.
 */
#ifndef LOOKUPD_RESOLVER_IMPL_H
#define LOOKUPD_RESOLVER_IMPL_H

#include "base/map.h"
#include "lookupd/resolver.h"
#include "mail/address.h"
#include "table/table.h"

struct resolver {
	const struct conf	*conf;
	struct tables		*tables;
	const struct resolver_own *own;
	struct match_list	*mydestination;	/* NULL: the list is broken, defer */
	struct match_list	*virtual_alias_domains;
	struct match_list	*virtual_mailbox_domains;
	struct match_list	*relay_domains;
	struct match_list	*mynetworks;
	struct map		*transports;	/* name -> type (char *) */
	struct map		*checked;	/* domains whose classes were compared */
	struct domain_literal	*proxy;		/* proxy_interfaces */
	size_t			 nproxy;
};

/*
 * An address as tables know it: "local@domain", local quoted only when it
 * must be, domain in lower-case A-labels.
 */
struct rcpt {
	struct buf	 text;
	size_t		 at;		/* where the @ is */
};

static inline struct view
rcpt_local(const struct rcpt *a)
{
	return view_head(buf_view(&a->text), a->at);
}

static inline struct view
rcpt_domain(const struct rcpt *a)
{
	return view_from(buf_view(&a->text), a->at + 1);
}

void	rcpt_init(struct rcpt *a);
void	rcpt_fini(struct rcpt *a);
/*
 * Parses and completes an address; PK_ESYNTAX, PK_ELIMIT. The empty one
 * becomes empty_address_recipient.
 */
int	resolver_rcpt(struct resolver *r, struct view address, struct rcpt *a);

/* Is it a domain of this machine: mydestination or one of our addresses? */
int	resolver_is_local(struct resolver *r, struct view domain, bool *local_r);
int	resolver_classify(struct resolver *r, struct view domain, enum route_class *class_r);
/* postmaster, mailer-daemon, double-bounce: never unknown in the local class. */
bool	resolver_is_special(const struct resolver *r, struct view local);

enum find_flag {
	FIND_ALIAS	= 1,		/* aliases(5): also "name:" */
};

/*
 * Looks an address up in `maps` (a list of tables) as virtual(5) says:
 * user+ext@domain, user@domain, user+ext and user if the domain is local,
 * @domain. *ext_r: the extension that no part of the key matched, with its
 * delimiter, else empty; a view into a. ext_r may be NULL.
 */
int	resolver_find(struct resolver *r, const char *maps, const struct rcpt *a,
	    unsigned flags, struct buf *value_r, struct view *ext_r);
/* One key in a list of tables; partial: patterns are passed over. */
int	resolver_find_key(struct resolver *r, const char *maps, struct view key,
	    bool partial, struct buf *value_r);
/* Splits an unquoted local part at recipient_delimiter. */
bool	resolver_split(const struct resolver *r, struct view local, struct view *user_r,
	    struct view *ext_r);

/* Fills route (zeroed) for a final address. 0 or PK_ETEMP. */
int	resolver_route(struct resolver *r, const struct rcpt *a, struct resolver_route *route);
void	resolver_route_fini(struct resolver_route *route);
/* "mailbox", "smtp", ... of a transport's name; NULL: there is none. */
const char *resolver_transport_type(const struct resolver *r, struct view name);

/* Parts of "5.1.1 text"; the code is taken from def when there is none. */
void	resolver_split_dsn(struct view v, const char *def, char **dsn_r, char **text_r);

/*
 * True if the Maildir at `path` (below virtual_mailbox_base) is over quota
 * bytes; false if nobody can tell.
 */
bool	resolver_over_quota(const struct conf *conf, const char *path, uint64_t quota);

#endif
