/* SPDX-License-Identifier: ISC */
/*
 * resolver.c: address classes, and how an address is looked up.
 *
 * Runs in lookupd. Addresses are strangers', tables and lists the
 * administrator's. A list that is broken or a table that cannot tell makes the
 * answer PK_ETEMP: mail waits, nothing is refused or relayed by mistake.
 */
#include "lookupd/resolver.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lookupd/resolver_impl.h"

/* Domains remembered as compared, before the memory is emptied. */
#define CHECKED_MAX	10000

/* ---- life ---- */

static struct match_list *
list(struct resolver *r, enum match_kind kind, const char *name, const char *value)
{
	const char *parents = r->conf->parent_domain_matches_subdomains;
	struct match_source source = tables_match_source(r->tables);
	struct match_list *l = NULL;
	struct buf why;

	buf_init(&why, 2000);
	if (match_list_parse(kind, match_parent_style(name, parents) ? MATCH_PARENT : 0,
	    view_str(value), &source, &l, &why) != 0)
		log_error("%s: %s; addresses are deferred until this is mended",
		    name, buf_cstr(&why));
	buf_fini(&why);
	return l;
}

static void
add_transport(struct resolver *r, struct view name, struct view type)
{
	xfree(map_put(r->transports, name, view_dup(type)));
}

static void
load_transports(struct resolver *r)
{
	static const char *const builtin[] = { "smtp", "lmtp", "mailbox", "discard",
	    "error" };
	struct view items = view_str(r->conf->transports), item;
	ptrdiff_t colon;
	size_t i;

	r->transports = map_new();
	for (i = 0; i < NELEMS(builtin); i++)
		add_transport(r, view_str(builtin[i]), view_str(builtin[i]));
	while (conf_list_next(&items, &item)) {
		colon = view_find(item, ':');
		if (colon > 0 && (size_t)colon + 1 < item.len)
			add_transport(r, view_head(item, (size_t)colon),
			    view_from(item, (size_t)colon + 1));
		else
			log_error("transports: \"%.*s\": write NAME:TYPE", VIEW_ARG(item));
	}
}

static void
load_proxy(struct resolver *r)
{
	struct view items = view_str(r->conf->proxy_interfaces), item;
	struct domain_literal addr;

	while (conf_list_next(&items, &item)) {
		if (domain_parse_ip(item, &addr) != 0 &&
		    domain_parse_literal(item, &addr) != 0) {
			log_warn("proxy_interfaces: \"%.*s\" is no address",
			    VIEW_ARG(item));
			continue;
		}
		r->proxy = xreallocarray(r->proxy, r->nproxy + 1, sizeof(*r->proxy));
		r->proxy[r->nproxy++] = addr;
	}
}

struct resolver *
resolver_new(const struct conf *conf, struct tables *tables, const struct resolver_own *own)
{
	struct resolver *r = XNEW(struct resolver);

	r->conf = conf;
	r->tables = tables;
	r->own = own;
	r->checked = map_new();
	r->mydestination = list(r, MATCH_STRING, "mydestination", conf->mydestination);
	r->virtual_alias_domains = list(r, MATCH_STRING, "virtual_alias_domains",
	    conf->virtual_alias_domains);
	r->virtual_mailbox_domains = list(r, MATCH_STRING, "virtual_mailbox_domains",
	    conf->virtual_mailbox_domains);
	r->relay_domains = list(r, MATCH_DOMAIN, "relay_domains", conf->relay_domains);
	r->mynetworks = list(r, MATCH_CLIENT, "mynetworks", conf->mynetworks);
	load_transports(r);
	load_proxy(r);
	return r;
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;

	if (r == NULL)
		return;
	match_list_free(&r->mydestination);
	match_list_free(&r->virtual_alias_domains);
	match_list_free(&r->virtual_mailbox_domains);
	match_list_free(&r->relay_domains);
	match_list_free(&r->mynetworks);
	map_free(&r->transports, xfree);
	map_free(&r->checked, NULL);
	xfree(r->proxy);
	xfree(r);
	*rp = NULL;
}

/* ---- addresses ---- */

void
rcpt_init(struct rcpt *a)
{
	buf_init(&a->text, 2 * ADDRESS_MAX);
	a->at = 0;
}

void
rcpt_fini(struct rcpt *a)
{
	buf_fini(&a->text);
}

static int
set_rcpt(struct rcpt *a, const struct mail_address *address)
{
	ptrdiff_t at;
	int error;

	buf_reset(&a->text);
	error = address_put_ascii(&a->text, address);
	if (error != 0)
		return error;
	/* A domain has no @, a quoted local part may. */
	at = view_rfind(buf_view(&a->text), '@');
	if (at <= 0 || (size_t)at + 1 == a->text.len)
		return PK_ESYNTAX;
	a->at = (size_t)at;
	return 0;
}

/* user%domain and site!user of our own domains, where switched on (Postfix's rewriting). */
static int
unroute(struct resolver *r, struct mail_address *m)
{
	ptrdiff_t i;
	bool local = true;
	int error, hops;

	for (hops = 0; hops < 10 && !(m->flags & ADDRESS_QUOTED); hops++) {
		if (m->domain.len > 0) {
			error = resolver_is_local(r, m->domain, &local);
			if (error != 0)
				return error;
		}
		if (!local)
			return 0;
		i = r->conf->swap_bangpath ? view_find(m->local, '!') : -1;
		if (i > 0) {
			m->domain = view_head(m->local, (size_t)i);
			m->local = view_from(m->local, (size_t)i + 1);
			continue;
		}
		i = r->conf->allow_percent_hack ? view_rfind(m->local, '%') : -1;
		if (i <= 0)
			return 0;
		m->domain = view_from(m->local, (size_t)i + 1);
		m->local = view_head(m->local, (size_t)i);
	}
	return 0;
}

int
resolver_rcpt(struct resolver *r, struct view address, struct rcpt *a)
{
	const unsigned allow = ADDRESS_ALLOW_NO_DOMAIN | ADDRESS_ALLOW_POSTMASTER |
	    ADDRESS_ALLOW_UTF8;
	struct mail_address m;
	int error;

	if (address.len == 0)
		address = view_str(r->conf->empty_address_recipient);
	error = address_parse(address, allow, &m);
	if (error != 0)
		return error;
	if (r->conf->allow_percent_hack || r->conf->swap_bangpath) {
		error = unroute(r, &m);
		if (error != 0)
			return error;
	}
	if (m.domain.len == 0) {
		m.domain = view_str(r->conf->myorigin);
		m.flags &= ~(unsigned)ADDRESS_NO_DOMAIN;
	}
	return set_rcpt(a, &m);
}

/* ---- classes ---- */

static bool
is_own_address(const struct resolver *r, struct view domain)
{
	struct domain_literal lit;
	struct match_net net;
	size_t i;

	if (domain_parse_literal(domain, &lit) != 0)
		return false;
	net.addr = lit;
	net.bits = lit.family == DOMAIN_INET4 ? 32 : 128;
	for (i = 0; i < r->own->count; i++)
		if (match_net_contains(&net, &r->own->addresses[i]))
			return true;
	for (i = 0; i < r->nproxy; i++)
		if (match_net_contains(&net, &r->proxy[i]))
			return true;
	return false;
}

static int
in_list(const struct match_list *l, struct view domain, bool *found_r)
{
	return l == NULL ? PK_ETEMP : match_list_name(l, domain, found_r);
}

int
resolver_is_local(struct resolver *r, struct view domain, bool *local_r)
{
	if (domain.len > 0 && domain.p[0] == '[') {
		*local_r = is_own_address(r, domain);
		return 0;
	}
	return in_list(r->mydestination, domain, local_r);
}

static const struct {
	enum route_class class;
	const char	*param;
} classes[] = {
	{ ROUTE_CLASS_LOCAL,		"mydestination" },
	{ ROUTE_CLASS_VIRTUAL_ALIAS,	"virtual_alias_domains" },
	{ ROUTE_CLASS_VIRTUAL_MAILBOX,	"virtual_mailbox_domains" },
	{ ROUTE_CLASS_RELAY,		"relay_domains" },
};

static int
is_in_class(struct resolver *r, enum route_class class, struct view domain, bool *found_r)
{
	switch (class) {
	case ROUTE_CLASS_LOCAL:
		return resolver_is_local(r, domain, found_r);
	case ROUTE_CLASS_VIRTUAL_ALIAS:
		return in_list(r->virtual_alias_domains, domain, found_r);
	case ROUTE_CLASS_VIRTUAL_MAILBOX:
		return in_list(r->virtual_mailbox_domains, domain, found_r);
	case ROUTE_CLASS_RELAY:
		return in_list(r->relay_domains, domain, found_r);
	default:
		*found_r = true;
		return 0;
	}
}

/* A domain in two classes gets the first; the administrator hears of it once. */
static void
warn_twice(struct resolver *r, struct view domain, size_t first)
{
	bool found;
	size_t i;

	if (map_get(r->checked, domain) != NULL)
		return;
	if (map_count(r->checked) >= CHECKED_MAX) {
		map_free(&r->checked, NULL);
		r->checked = map_new();
	}
	map_put(r->checked, domain, r);
	/* relay_domains may well contain the parent of a domain that is ours. */
	for (i = first + 1; i < NELEMS(classes) && classes[i].class != ROUTE_CLASS_RELAY; i++)
		if (is_in_class(r, classes[i].class, domain, &found) == 0 && found)
			log_warn("do not list domain %.*s in BOTH %s and %s",
			    VIEW_ARG(domain), classes[first].param, classes[i].param);
	/* A list that has not answered yet is compared when it has. */
	if (tables_pending(r->tables))
		map_del(r->checked, domain);
}

int
resolver_classify(struct resolver *r, struct view domain, enum route_class *class_r)
{
	bool found;
	size_t i;
	int error;

	for (i = 0; i < NELEMS(classes); i++) {
		error = is_in_class(r, classes[i].class, domain, &found);
		if (error != 0)
			return PK_ETEMP;
		if (found) {
			warn_twice(r, domain, i);
			*class_r = classes[i].class;
			return 0;
		}
	}
	*class_r = ROUTE_CLASS_DEFAULT;
	return 0;
}

bool
resolver_is_special(const struct resolver *r, struct view local)
{
	return view_caseeq(local, VIEW("postmaster")) ||
	    view_caseeq(local, VIEW("mailer-daemon")) ||
	    view_caseeq(local, view_str(r->conf->double_bounce_sender));
}

/* ---- looking up ---- */

bool
resolver_split(const struct resolver *r, struct view local, struct view *user_r,
    struct view *ext_r)
{
	struct view user, ext;

	if (local.len > 0 && local.p[0] == '"')
		return false;
	if (!address_split_extension(local, view_str(r->conf->recipient_delimiter),
	    &user, &ext))
		return false;
	*user_r = user;
	/* With its delimiter: it is put back as it was. */
	*ext_r = view_from(local, user.len);
	return true;
}

int
resolver_find_key(struct resolver *r, const char *maps, struct view key, bool partial,
    struct buf *value_r)
{
	struct view items = view_str(maps), item;
	int error;

	while (conf_list_next(&items, &item)) {
		if (partial && tables_is_pattern(r->tables, item))
			continue;
		error = tables_get(r->tables, item, key, value_r);
		if (error != PK_ENOENT)
			return error == 0 ? 0 : PK_ETEMP;
	}
	return PK_ENOENT;
}

/* "user", and in aliases(5) files "user:". */
static int
find_local(struct resolver *r, const char *maps, struct view local, unsigned flags,
    struct buf *value_r)
{
	struct buf key;
	int error;

	error = resolver_find_key(r, maps, local, true, value_r);
	if (error != PK_ENOENT || !(flags & FIND_ALIAS))
		return error;
	buf_init(&key, ADDRESS_MAX + 1);
	buf_put_view(&key, local);
	buf_put_char(&key, ':');
	error = resolver_find_key(r, maps, buf_view(&key), true, value_r);
	buf_fini(&key);
	return error;
}

static int
find_at(struct resolver *r, const char *maps, struct view local, struct view domain,
    struct buf *value_r)
{
	struct buf key;
	int error;

	buf_init(&key, 2 * ADDRESS_MAX);
	buf_put_view(&key, local);
	buf_put_char(&key, '@');
	buf_put_view(&key, domain);
	error = resolver_find_key(r, maps, buf_view(&key), true, value_r);
	buf_fini(&key);
	return error;
}

static int
is_local_or_origin(struct resolver *r, struct view domain, bool *local_r)
{
	if (view_caseeq(domain, view_str(r->conf->myorigin))) {
		*local_r = true;
		return 0;
	}
	return resolver_is_local(r, domain, local_r);
}

int
resolver_find(struct resolver *r, const char *maps, const struct rcpt *a, unsigned flags,
    struct buf *value_r, struct view *ext_r)
{
	struct view local = rcpt_local(a), domain = rcpt_domain(a);
	struct view user, ext = VIEW_NONE;
	bool has_ext, is_local = false;
	int error;

	has_ext = resolver_split(r, local, &user, &ext);
	if (ext_r != NULL)
		*ext_r = VIEW_NONE;
	error = resolver_find_key(r, maps, buf_view(&a->text), false, value_r);
	if (error == PK_ENOENT && has_ext) {
		error = find_at(r, maps, user, domain, value_r);
		if (error == 0 && ext_r != NULL)
			*ext_r = ext;
	}
	if (error == PK_ENOENT)
		error = is_local_or_origin(r, domain, &is_local) != 0 ?
		    PK_ETEMP : PK_ENOENT;
	if (error == PK_ENOENT && is_local)
		error = find_local(r, maps, local, flags, value_r);
	if (error == PK_ENOENT && is_local && has_ext) {
		error = find_local(r, maps, user, flags, value_r);
		if (error == 0 && ext_r != NULL)
			*ext_r = ext;
	}
	if (error == PK_ENOENT)
		error = find_at(r, maps, VIEW(""), domain, value_r);
	return error;
}
