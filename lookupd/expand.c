/* SPDX-License-Identifier: ISC */
/*
 * expand.c: a recipient to all addresses that it stands for.
 *
 * Runs in lookupd for qmgr, at activation. Aliases are the administrator's,
 * but nothing here trusts them to end: addresses are worked off from a list
 * (no recursion), their number and depth are limited, an address that leads
 * back to itself is a loop. All or nothing: one table that cannot tell, one
 * limit, and the whole recipient waits. Aliases lead to addresses only; no
 * entry is ever a program or a file (A10).
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lookupd/resolver_impl.h"

/* Beside the configured limits: a chain is searched for loops at each step. */
#define DEPTH_MAX	1000
#define NONE		SIZE_MAX

struct node {
	struct rcpt	 a;
	size_t		 parent;
	unsigned	 depth;
	bool		 no_virtual;	/* stands in its own virtual alias: final there */
	bool		 no_alias;	/* the same of alias_maps, or \name */
};

struct work {
	struct resolver	*r;
	struct node	*nodes;		/* worked off from the front */
	size_t		 count, cap;
	struct map	*seen;		/* final addresses, folded */
	struct resolver_expansion *e;
};

static int
fail(struct work *w, int code, const char *dsn, const char *text)
{
	w->e->code = code;
	xfree(w->e->dsn);
	xfree(w->e->text);
	w->e->dsn = xstrdup(dsn);
	w->e->text = xstrdup(text);
	return code;
}

static int
fail_lookup(struct work *w)
{
	return fail(w, PK_ETEMP, "4.3.0", "Temporary lookup failure");
}

static struct resolver_route *
add_route(struct work *w)
{
	struct resolver_expansion *e = w->e;

	e->routes = xreallocarray(e->routes, e->count + 1, sizeof(*e->routes));
	memset(&e->routes[e->count], 0, sizeof(*e->routes));
	return &e->routes[e->count++];
}

/* An entry that leads nowhere: the row says so in the alias's own name. */
static void
add_error(struct work *w, const struct node *n, const char *dsn, const char *what,
    struct view entry)
{
	struct resolver_route *route = add_route(w);

	route->address = view_dup(buf_view(&n->a.text));
	route->class = ROUTE_CLASS_LOCAL;
	route->transport = xstrdup("error");
	route->nexthop = xstrdup("");
	route->dsn = xstrdup(dsn);
	route->text = xasprintf("%s: \"%.*s\"", what, VIEW_ARG(view_head(entry, 200)));
	log_error("alias %s: %s", route->address, route->text);
}

/* ---- the list of work ---- */

static bool
is_same(const struct node *n, const struct rcpt *a)
{
	return view_caseeq(buf_view(&n->a.text), buf_view(&a->text));
}

static bool
is_loop(const struct work *w, size_t parent, const struct rcpt *a)
{
	size_t i;

	for (i = parent; i != NONE; i = w->nodes[i].parent)
		if (is_same(&w->nodes[i], a))
			return true;
	return false;
}

static struct node *
add_node(struct work *w, size_t parent)
{
	struct node *n;

	if (w->count == w->cap) {
		w->cap = w->cap > 0 ? 2 * w->cap : 16;
		w->nodes = xreallocarray(w->nodes, w->cap, sizeof(*w->nodes));
	}
	n = &w->nodes[w->count++];
	memset(n, 0, sizeof(*n));
	rcpt_init(&n->a);
	n->parent = parent;
	n->depth = parent == NONE ? 0 : w->nodes[parent].depth + 1;
	return n;
}

static int
check_limits(struct work *w, size_t parent)
{
	const struct conf *c = w->r->conf;

	if (w->nodes[parent].depth + 1 > DEPTH_MAX ||
	    w->nodes[parent].depth + 1 > c->virtual_alias_recursion_limit)
		return fail(w, PK_ELIMIT, "4.6.0", "Alias expansion error:"
		    " virtual_alias_recursion_limit");
	if ((int64_t)w->count > c->virtual_alias_expansion_limit)
		return fail(w, PK_ELIMIT, "4.6.0", "Alias expansion error:"
		    " virtual_alias_expansion_limit");
	return 0;
}

enum origin {
	FROM_VIRTUAL,
	FROM_ALIAS,
};

static int
fail_loop(struct work *w, size_t parent, const struct rcpt *a, enum origin origin)
{
	struct buf text;
	int error;

	buf_init(&text, 2000);
	buf_printf(&text, "mail forwarding loop for %.*s", VIEW_ARG(buf_view(&a->text)));
	log_error("%s (from %.*s)", buf_cstr(&text),
	    VIEW_ARG(buf_view(&w->nodes[parent].a.text)));
	error = fail(w, PK_ELIMIT, origin == FROM_ALIAS ? "5.4.6" : "4.6.0",
	    buf_cstr(&text));
	buf_fini(&text);
	return error;
}

/* ---- one result of a table ---- */

/* `local` with the extension that the key did not match, @ the same domain. */
static int
put_extension(struct rcpt *a, struct view ext)
{
	struct buf text;
	int error;

	if (ext.len == 0 || rcpt_local(a).p[0] == '"')
		return 0;
	buf_init(&text, 2 * ADDRESS_MAX);
	buf_put_view(&text, rcpt_local(a));
	buf_put_view(&text, ext);
	a->at = text.len;
	buf_put_char(&text, '@');
	/* at has moved: take the domain from the old text by its own @. */
	error = buf_put_view(&text, view_from(buf_view(&a->text),
	    (size_t)view_rfind(buf_view(&a->text), '@') + 1));
	buf_reset(&a->text);
	buf_put_view(&a->text, buf_view(&text));
	buf_fini(&text);
	return error != 0 ? error : buf_error(&a->text);
}

/* "Name <user@domain>" is user@domain. */
static struct view
unbracket(struct view v)
{
	ptrdiff_t open = view_rfind(v, '<');

	if (open >= 0 && v.len > 0 && v.p[v.len - 1] == '>')
		v = view_of(v.p + open + 1, v.len - (size_t)open - 2);
	return view_trim(v);
}

static int
parse_result(struct work *w, const struct node *parent, struct view item, struct view ext,
    struct rcpt *a)
{
	struct buf text;
	int error;

	item = unbracket(item);
	if (item.len > 1 && item.p[0] == '@') {
		/* virtual(5): @domain means the same user there. */
		buf_init(&text, 2 * ADDRESS_MAX);
		buf_put_view(&text, rcpt_local(&parent->a));
		buf_put_view(&text, item);
		error = resolver_rcpt(w->r, buf_view(&text), a);
		buf_fini(&text);
		return error;
	}
	if (item.len == 0)
		return PK_ESYNTAX;
	error = resolver_rcpt(w->r, item, a);
	return error == 0 ? put_extension(a, ext) : error;
}

static int
add_result(struct work *w, size_t parent, struct view item, struct view ext,
    enum origin origin, bool plain)
{
	struct node *n, *p;
	struct rcpt a;
	bool self;
	int error;

	error = check_limits(w, parent);
	if (error != 0)
		return error;
	rcpt_init(&a);
	error = parse_result(w, &w->nodes[parent], item, ext, &a);
	if (error == PK_ETEMP) {
		rcpt_fini(&a);
		return fail_lookup(w);
	}
	if (error != 0) {
		add_error(w, &w->nodes[parent], "4.3.5", "bad address in an alias", item);
		rcpt_fini(&a);
		return 0;
	}
	self = is_same(&w->nodes[parent], &a);
	if (!self && is_loop(w, parent, &a)) {
		error = fail_loop(w, parent, &a, origin);
		rcpt_fini(&a);
		return error;
	}
	n = add_node(w, parent);
	p = &w->nodes[parent];
	rcpt_fini(&n->a);
	n->a = a;
	n->no_virtual = plain || (self && (origin == FROM_VIRTUAL || p->no_virtual));
	n->no_alias = plain || (self && origin == FROM_ALIAS);
	return 0;
}

/* ---- lists of results ---- */

/* The next address of a comma separated list; quotes and <> hold commas. */
static bool
next_item(struct view *list, struct view *item_r)
{
	bool quoted = false, angle = false;
	size_t n;

	while (list->len > 0 && (list->p[0] == ',' || ascii_isspace(list->p[0])))
		*list = view_from(*list, 1);
	if (list->len == 0)
		return false;
	for (n = 0; n < list->len; n++) {
		char c = list->p[n];

		if (c == '\\' && quoted && n + 1 < list->len)
			n++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '<' || c == '>'))
			angle = c == '<';
		else if (!quoted && !angle && c == ',')
			break;
	}
	if (n > list->len)
		n = list->len;
	*item_r = view_trim(view_head(*list, n));
	*list = view_from(*list, n);
	return true;
}

static bool
is_no_address(struct view item)
{
	if (item.len > 0 && item.p[0] == '"')
		item = view_from(item, 1);
	return item.len > 0 && (item.p[0] == '|' || item.p[0] == '/' ||
	    view_casestarts(item, VIEW(":include:")));
}

static int
add_results(struct work *w, size_t parent, struct view list, struct view ext,
    enum origin origin)
{
	struct view item;
	bool any = false, plain;
	int error = 0;

	while (error == 0 && next_item(&list, &item)) {
		any = true;
		if (origin == FROM_ALIAS && is_no_address(item)) {
			add_error(w, &w->nodes[parent], "5.7.1", "an alias may lead to"
			    " addresses only, not to", item);
			continue;
		}
		plain = origin == FROM_ALIAS && item.len > 1 && item.p[0] == '\\';
		error = add_result(w, parent, plain ? view_from(item, 1) : item,
		    ext, origin, plain);
	}
	if (error == 0 && !any)
		add_error(w, &w->nodes[parent], "4.3.5", "empty alias", list);
	return error;
}

/* ---- one address ---- */

static bool
propagates(const struct work *w, const char *what)
{
	return match_parent_style(what, w->r->conf->propagate_unmatched_extensions);
}

/* 0: its results were added; PK_ENOENT: no alias; else e is filled. */
static int
expand_in(struct work *w, size_t index, const char *maps, enum origin origin)
{
	struct buf value, ext_copy;
	struct view ext;
	int error;

	if (maps[0] == '\0')
		return PK_ENOENT;
	buf_init(&value, TABLE_VALUE_MAX);
	buf_init(&ext_copy, ADDRESS_MAX);
	error = resolver_find(w->r, maps, &w->nodes[index].a,
	    origin == FROM_ALIAS ? FIND_ALIAS : 0, &value, &ext);
	if (error == 0) {
		/* The view points into a node, and nodes move. */
		if (propagates(w, origin == FROM_ALIAS ? "alias" : "virtual"))
			buf_put_view(&ext_copy, ext);
		error = add_results(w, index, buf_view(&value), buf_view(&ext_copy),
		    origin);
	} else if (error != PK_ENOENT) {
		error = fail_lookup(w);
	}
	buf_fini(&ext_copy);
	buf_fini(&value);
	return error;
}

static int
expand_alias(struct work *w, size_t index)
{
	enum route_class class;

	if (w->r->conf->alias_maps[0] == '\0')
		return PK_ENOENT;
	if (resolver_classify(w->r, rcpt_domain(&w->nodes[index].a), &class) != 0)
		return fail_lookup(w);
	if (class != ROUTE_CLASS_LOCAL)
		return PK_ENOENT;
	return expand_in(w, index, w->r->conf->alias_maps, FROM_ALIAS);
}

static int
add_final(struct work *w, const struct rcpt *a)
{
	struct resolver_route *route;
	char *key = view_dup_lower(buf_view(&a->text));
	bool seen;

	seen = map_put(w->seen, view_str(key), w) != NULL;
	xfree(key);
	if (seen)
		return 0;
	route = add_route(w);
	return resolver_route(w->r, a, route) != 0 ? fail_lookup(w) : 0;
}

static int
work_off(struct work *w, size_t index)
{
	int error = PK_ENOENT;

	if (!w->nodes[index].no_virtual)
		error = expand_in(w, index, w->r->conf->virtual_alias_maps, FROM_VIRTUAL);
	if (error == PK_ENOENT && !w->nodes[index].no_alias)
		error = expand_alias(w, index);
	if (error == PK_ENOENT)
		error = add_final(w, &w->nodes[index].a);
	return error;
}

static void
free_routes(struct resolver_expansion *e)
{
	size_t i;

	for (i = 0; i < e->count; i++)
		resolver_route_fini(&e->routes[i]);
	xfree(e->routes);
	e->routes = NULL;
	e->count = 0;
}

void
resolver_expansion_fini(struct resolver_expansion *e)
{
	free_routes(e);
	xfree(e->dsn);
	xfree(e->text);
	memset(e, 0, sizeof(*e));
}

static void
work_fini(struct work *w)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		rcpt_fini(&w->nodes[i].a);
	xfree(w->nodes);
	map_free(&w->seen, NULL);
}

void
resolver_expand(struct resolver *r, struct view recipient, struct resolver_expansion *e_r)
{
	struct work w = { .r = r, .e = e_r, .seen = map_new() };
	size_t i;
	int error;

	memset(e_r, 0, sizeof(*e_r));
	error = resolver_rcpt(r, recipient, &add_node(&w, NONE)->a);
	if (error == PK_ETEMP)
		error = fail_lookup(&w);
	else if (error != 0)
		error = fail(&w, PK_ESYNTAX, "5.1.3", "bad address syntax");
	for (i = 0; error == 0 && i < w.count; i++)
		error = work_off(&w, i);
	if (error != 0)
		free_routes(e_r);
	work_fini(&w);
}
