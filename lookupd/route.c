/* SPDX-License-Identifier: ISC */
/*
 * route.c: a final address to transport, next hop and mailbox.
 *
 * Runs in lookupd. Order as in Postfix: the class gives transport and next
 * hop, relayhost the next hop of what is not ours, transport_maps overrides
 * both. What the configuration gets wrong (a transport that does not exist, a
 * path that leaves the mail store) defers with words that name it: mail waits
 * for the administrator and is not returned for his mistake.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "lookupd/resolver_impl.h"
#include "mail/enhanced.h"

#define TRANSPORT_VALUE_MAX	2000
#define PATH_MAX_BYTES		1000
/* What qmgr takes of each field (qmgr/expand.c, smtpd/backend_ipc.c). */
#define NAME_MAX_BYTES		100
#define NEXTHOP_MAX_BYTES	900
#define TEXT_MAX_BYTES		900

void
resolver_route_fini(struct resolver_route *route)
{
	xfree(route->address);
	xfree(route->transport);
	xfree(route->nexthop);
	xfree(route->path);
	xfree(route->dsn);
	xfree(route->text);
	memset(route, 0, sizeof(*route));
}

void
resolver_split_dsn(struct view v, const char *def, char **dsn_r, char **text_r)
{
	struct enhanced e;
	size_t used;

	v = view_trim(v);
	if (enhanced_parse_prefix(v, &e, &used) == 0 && e.klass != 2) {
		*dsn_r = view_dup(view_head(v, used));
		v = view_trim(view_from(v, used));
	} else {
		*dsn_r = xstrdup(def);
	}
	*text_r = v.len > 0 ? view_dup(view_head(v, TEXT_MAX_BYTES)) :
	    xstrdup("Address is undeliverable");
}

const char *
resolver_transport_type(const struct resolver *r, struct view name)
{
	return map_get(r->transports, name);
}

static void
set(char **s, struct view v)
{
	char *copy = view_dup(v);

	xfree(*s);
	*s = copy;
}

/* Takes "text" as what the error transport answers. */
static void
set_error(struct resolver_route *route, const char *def, struct view text)
{
	set(&route->transport, VIEW("error"));
	set(&route->nexthop, VIEW(""));
	xfree(route->dsn);
	xfree(route->text);
	resolver_split_dsn(text, def, &route->dsn, &route->text);
}

static void
split_transport(struct view v, struct view *transport_r, struct view *nexthop_r)
{
	ptrdiff_t colon = view_find(v, ':');

	*transport_r = view_trim(colon < 0 ? v : view_head(v, (size_t)colon));
	*nexthop_r = view_trim(view_from(v, colon < 0 ? v.len : (size_t)colon + 1));
}

/* ---- transport_maps ---- */

/* Parents of a domain: ".parent", or "parent" by parent_domain_matches_subdomains. */
static int
find_parents(struct resolver *r, struct view domain, struct buf *value_r)
{
	bool plain = match_parent_style("transport_maps",
	    r->conf->parent_domain_matches_subdomains);
	ptrdiff_t dot;
	int error = PK_ENOENT;

	while (error == PK_ENOENT && domain.len > 1) {
		dot = view_find(view_from(domain, 1), '.');
		if (dot < 0)
			break;
		domain = view_from(domain, (size_t)dot + 1);
		error = resolver_find_key(r, r->conf->transport_maps,
		    plain ? view_from(domain, 1) : domain, true, value_r);
	}
	return error;
}

/* transport(5): user+ext@domain, user@domain, domain, its parents, "*". */
static int
find_transport(struct resolver *r, const struct rcpt *a, struct buf *value_r)
{
	const char *maps = r->conf->transport_maps;
	struct view user, ext;
	struct buf key;
	int error;

	error = resolver_find_key(r, maps, buf_view(&a->text), false, value_r);
	if (error == PK_ENOENT && resolver_split(r, rcpt_local(a), &user, &ext)) {
		buf_init(&key, 2 * ADDRESS_MAX);
		buf_put_view(&key, user);
		buf_put_char(&key, '@');
		buf_put_view(&key, rcpt_domain(a));
		error = resolver_find_key(r, maps, buf_view(&key), true, value_r);
		buf_fini(&key);
	}
	if (error == PK_ENOENT)
		error = resolver_find_key(r, maps, rcpt_domain(a), true, value_r);
	if (error == PK_ENOENT && rcpt_domain(a).p[0] != '[')
		error = find_parents(r, rcpt_domain(a), value_r);
	if (error == PK_ENOENT)
		error = resolver_find_key(r, maps, VIEW("*"), true, value_r);
	return error;
}

static int
apply_transport_maps(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	struct view transport, nexthop;
	struct buf value;
	int error;

	if (r->conf->transport_maps[0] == '\0')
		return 0;
	buf_init(&value, TRANSPORT_VALUE_MAX);
	error = find_transport(r, a, &value);
	if (error == 0) {
		split_transport(buf_view(&value), &transport, &nexthop);
		/* A transport that is named starts from the recipient's domain. */
		if (transport.len > 0) {
			set(&route->transport, transport);
			set(&route->nexthop, rcpt_domain(a));
		}
		if (nexthop.len > 0)
			set(&route->nexthop, nexthop);
	}
	buf_fini(&value);
	return error == PK_ENOENT ? 0 : error;
}

/* ---- mailboxes ---- */

/* Below the store and nowhere else: no absolute path, no "..", no empty one. */
static bool
is_safe_path(struct view path)
{
	struct view rest = path, part;

	if (path.len == 0 || path.len > PATH_MAX_BYTES || path.p[0] == '/' ||
	    view_find(path, '\0') >= 0)
		return false;
	while (view_next(&rest, "/", &part))
		if (view_eq(part, VIEW("..")) || view_eq(part, VIEW(".")))
			return false;
	return true;
}

static int
find_quota(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	struct buf value;
	int error;

	route->quota = r->conf->virtual_mailbox_limit;
	if (r->conf->virtual_mailbox_quota_maps[0] == '\0')
		return 0;
	buf_init(&value, TRANSPORT_VALUE_MAX);
	error = resolver_find(r, r->conf->virtual_mailbox_quota_maps, a, 0, &value, NULL);
	if (error == 0 && num_parse_size(view_trim(buf_view(&value)), &route->quota) != 0) {
		log_error("virtual_mailbox_quota_maps: \"%s\" of %s is no size",
		    buf_cstr(&value), route->address);
		error = PK_ETEMP;
	}
	buf_fini(&value);
	return error == PK_ENOENT ? 0 : error;
}

static int
find_mailbox(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	struct buf value, text;
	struct view path;
	int error;

	buf_init(&value, TABLE_VALUE_MAX);
	buf_init(&text, 1000);
	error = resolver_find(r, r->conf->virtual_mailbox_maps, a, 0, &value, NULL);
	path = view_trim(buf_view(&value));
	if (error == PK_ENOENT) {
		buf_printf(&text, "unknown user: \"%s\"", route->address);
		set_error(route, "5.1.1", buf_view(&text));
		error = 0;
	} else if (error == 0 && !is_safe_path(path)) {
		log_error("virtual_mailbox_maps: the path of %s must lie below"
		    " virtual_mailbox_base: relative, without \"..\"", route->address);
		set_error(route, "4.3.5", VIEW("mail system configuration error"
		    " (mailbox path)"));
	} else if (error == 0) {
		set(&route->path, path);
		error = find_quota(r, a, route);
	}
	buf_fini(&text);
	buf_fini(&value);
	return error;
}

/* ---- putting it together ---- */

static void
set_by_class(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	const struct conf *c = r->conf;
	struct view transport, nexthop, domain = rcpt_domain(a);
	const char *value = c->default_transport;

	if (route->class == ROUTE_CLASS_LOCAL)
		value = c->local_transport;
	else if (route->class == ROUTE_CLASS_VIRTUAL_MAILBOX)
		value = c->virtual_transport;
	else if (route->class == ROUTE_CLASS_RELAY)
		value = c->relay_transport;
	split_transport(view_str(value), &transport, &nexthop);
	set(&route->transport, transport);
	if (nexthop.len > 0)
		set(&route->nexthop, nexthop);
	else if (c->relayhost[0] != '\0' && (route->class == ROUTE_CLASS_RELAY ||
	    route->class == ROUTE_CLASS_DEFAULT))
		set(&route->nexthop, view_str(c->relayhost));
	else
		set(&route->nexthop, domain);
}

static void
unknown_transport(struct resolver_route *route)
{
	struct buf text;

	log_error("%s: there is no transport \"%s\": name it in transports",
	    route->address, route->transport);
	buf_init(&text, 1000);
	buf_printf(&text, "mail transport \"%.200s\" is not configured", route->transport);
	set_error(route, "4.3.5", buf_view(&text));
	buf_fini(&text);
}

static int
finish(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	const char *type;
	char *text;

	if (view_eq(view_str(route->transport), VIEW("error")) ||
	    view_eq(view_str(route->transport), VIEW("retry"))) {
		text = xstrdup(route->nexthop);
		set_error(route, route->transport[0] == 'e' ? "5.0.0" : "4.0.0",
		    view_str(text));
		xfree(text);
		return 0;
	}
	if (strlen(route->nexthop) > NEXTHOP_MAX_BYTES) {
		log_error("%s: the next hop is longer than %d bytes", route->address,
		    NEXTHOP_MAX_BYTES);
		set_error(route, "4.3.5", VIEW("mail system configuration error (next hop)"));
		return 0;
	}
	type = resolver_transport_type(r, view_str(route->transport));
	if (type == NULL || strlen(route->transport) > NAME_MAX_BYTES) {
		unknown_transport(route);
		return 0;
	}
	if (view_eq(view_str(type), VIEW("mailbox")))
		return find_mailbox(r, a, route);
	return 0;
}

static bool
is_double_bounce(const struct resolver *r, const struct rcpt *a)
{
	return view_caseeq(rcpt_local(a), view_str(r->conf->double_bounce_sender));
}

int
resolver_route(struct resolver *r, const struct rcpt *a, struct resolver_route *route)
{
	int error;

	error = resolver_classify(r, rcpt_domain(a), &route->class);
	if (error != 0)
		return error;
	set(&route->address, buf_view(&a->text));
	if (route->class == ROUTE_CLASS_VIRTUAL_ALIAS) {
		/* Aliases were looked up before: this one is none. */
		set_error(route, "5.1.1", VIEW("User unknown in virtual alias table"));
		return 0;
	}
	set_by_class(r, a, route);
	if (route->class == ROUTE_CLASS_LOCAL && is_double_bounce(r, a)) {
		set(&route->transport, VIEW("discard"));
		set(&route->nexthop, VIEW(""));
		return 0;
	}
	error = apply_transport_maps(r, a, route);
	if (error == 0)
		error = finish(r, a, route);
	return error;
}
