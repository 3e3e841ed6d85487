/* SPDX-License-Identifier: ISC */
/*
 * list.c: lists in values, and the two lists that name scopes: `listeners`
 * and `transports`.
 */
#include "base/mem.h"
#include "base/num.h"
#include "conf/conf_private.h"

static bool
is_separator(char c)
{
	return c == ',' || ascii_isspace(c);
}

bool
conf_list_next(struct view *list, struct view *item_r)
{
	unsigned depth = 0;
	size_t i = 0;

	while (list->len > 0 && is_separator(list->p[0]))
		*list = view_from(*list, 1);
	if (list->len == 0)
		return false;
	for (; i < list->len; i++) {
		if (list->p[i] == '{')
			depth++;
		else if (list->p[i] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && is_separator(list->p[i]))
			break;
	}
	*item_r = view_head(*list, i);
	*list = view_from(*list, i);
	return true;
}

static bool
scope_name_valid(struct view v)
{
	size_t i;

	if (v.len == 0 || v.len > 32)
		return false;
	for (i = 0; i < v.len; i++)
		if (!ascii_isalnum(v.p[i]) && v.p[i] != '_' && v.p[i] != '-')
			return false;
	return true;
}

/* "port", "host:port", "[v6]:port" */
static bool
inet_address(struct view v, struct conf_listener *l)
{
	struct view port = v;
	ptrdiff_t colon = view_rfind(v, ':');

	l->host = VIEW_NONE;
	if (colon >= 0) {
		l->host = view_head(v, (size_t)colon);
		port = view_from(v, (size_t)colon + 1);
		if (l->host.len >= 2 && l->host.p[0] == '[' &&
		    l->host.p[l->host.len - 1] == ']')
			l->host = view_head(view_from(l->host, 1), l->host.len - 2);
		else if (view_find(l->host, ':') >= 0)
			return false;
		if (l->host.len == 0)
			return false;
	}
	return num_parse_u64(port, 1, 65535, &l->port) == 0;
}

bool
conf_listener_parse(struct view item, struct conf_listener *l_r)
{
	struct conf_listener l = { 0 };
	struct view rest;
	ptrdiff_t colon;

	colon = view_find(item, ':');
	if (colon < 0)
		return false;
	l.name = view_head(item, (size_t)colon);
	rest = view_from(item, (size_t)colon + 1);
	colon = view_find(rest, ':');
	if (colon < 0 || !scope_name_valid(l.name))
		return false;
	l.family = view_head(rest, (size_t)colon);
	l.address = view_from(rest, (size_t)colon + 1);
	if (view_eq(l.family, VIEW("unix"))) {
		if (l.address.len == 0 || l.address.len > 100)
			return false;
	} else if (view_eq(l.family, VIEW("inet")) || view_eq(l.family, VIEW("inet6"))) {
		if (!inet_address(l.address, &l))
			return false;
	} else {
		return false;
	}
	*l_r = l;
	return true;
}

static const char *const builtin_transports[] = {
	"smtp", "lmtp", "mailbox", "discard", "error",
};

static bool
builtin_transport(struct view name)
{
	size_t i;

	for (i = 0; i < NELEMS(builtin_transports); i++)
		if (view_eq(name, view_str(builtin_transports[i])))
			return true;
	return false;
}

bool
conf_transport_parse(struct view item, struct view *name_r, struct view *type_r)
{
	ptrdiff_t colon = view_find(item, ':');
	struct view name, type;

	if (colon < 0)
		return false;
	name = view_head(item, (size_t)colon);
	type = view_from(item, (size_t)colon + 1);
	if (!scope_name_valid(name) || !builtin_transport(type))
		return false;
	*name_r = name;
	*type_r = type;
	return true;
}

struct view
conf_transport_type(const struct conf *c, struct view name)
{
	struct view list = view_str(c->transports), item, n, type;

	while (conf_list_next(&list, &item))
		if (conf_transport_parse(item, &n, &type) && view_eq(n, name))
			return type;
	return builtin_transport(name) ? name : VIEW_NONE;
}

/* ---- scopes ---- */

/* True if name is SCOPE_x with a longer scope than the best so far. */
static void
scope_try(struct view name, struct view scope, unsigned kind, struct view *best, unsigned *kinds)
{
	if (name.len <= scope.len + 1 || name.p[scope.len] != '_' || !view_starts(name, scope))
		return;
	if (scope.len > best->len) {
		*best = scope;
		*kinds = 0;
	}
	if (scope.len == best->len)
		*kinds |= kind;
}

bool
conf_scope_split(const struct conf_set *global, struct view name, struct view *scope_r,
    unsigned *kinds_r, ptrdiff_t *row_r)
{
	struct view list, item, n, type, best = VIEW_NONE;
	struct conf_listener l;
	unsigned kinds = 0;
	size_t i;

	list = view_str(global->slots[CONF_I_listeners].value);
	while (conf_list_next(&list, &item))
		if (conf_listener_parse(item, &l))
			scope_try(name, l.name, 1, &best, &kinds);
	list = view_str(global->slots[CONF_I_transports].value);
	while (conf_list_next(&list, &item))
		if (conf_transport_parse(item, &n, &type))
			scope_try(name, n, 2, &best, &kinds);
	for (i = 0; i < NELEMS(builtin_transports); i++)
		scope_try(name, view_str(builtin_transports[i]), 2, &best, &kinds);
	if (best.len == 0)
		return false;
	*scope_r = best;
	*kinds_r = kinds;
	*row_r = conf_row_find(view_from(name, best.len + 1));
	return true;
}
