/* SPDX-License-Identifier: ISC */
/*
 * match_list.c: is this name or address in that list?
 *
 * Runs in lookupd (with tables and files) and in smtpd (literals only: it has
 * no file system). Names and addresses are strangers', the list is the
 * administrator's.
 */
#include "table/match_list.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "conf/conf.h"
#include "table/table.h"

enum element_type {
	ELEMENT_NAME,
	ELEMENT_BELOW,		/* .domain */
	ELEMENT_NET,
	ELEMENT_TABLE,
	ELEMENT_FILE,		/* a file without a source to read it */
};

struct element {
	enum element_type type;
	bool		 negated;
	char		*text;		/* lower case for names */
	struct match_net net;
};

struct match_list {
	enum match_kind	 kind;
	unsigned	 flags;
	struct match_source source;
	bool		 has_source;
	struct element	*elements;
	size_t		 count, cap;
};

/* ---- networks ---- */

/* ::ffff:1.2.3.4 is 1.2.3.4: a dual-stack socket reports it so. */
static void
unmap(struct domain_literal *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family != DOMAIN_INET6 || memcmp(a->bytes, prefix, 12) != 0)
		return;
	a->family = DOMAIN_INET4;
	memmove(a->bytes, a->bytes + 12, 4);
	memset(a->bytes + 4, 0, 12);
}

static bool
host_bits_zero(const struct match_net *net)
{
	unsigned size = net->addr.family == DOMAIN_INET4 ? 4 : 16;
	unsigned i, bit;

	for (i = 0; i < size; i++) {
		for (bit = 0; bit < 8; bit++) {
			if (i * 8 + bit >= net->bits &&
			    (net->addr.bytes[i] & (0x80 >> bit)))
				return false;
		}
	}
	return true;
}

int
match_net_parse(struct view v, struct match_net *net_r, struct buf *why)
{
	struct match_net net;
	ptrdiff_t slash = view_rfind(v, '/');
	struct view host = slash < 0 ? v : view_head(v, (size_t)slash);
	uint64_t bits, greatest;

	memset(&net, 0, sizeof(net));
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = view_of(host.p + 1, host.len - 2);
	if (domain_parse_ip(host, &net.addr) != 0) {
		if (why != NULL)
			buf_printf(why, "\"%.*s\" is no address or network", VIEW_ARG(v));
		return PK_ESYNTAX;
	}
	greatest = bits = net.addr.family == DOMAIN_INET4 ? 32 : 128;
	if (slash >= 0 && num_parse_u64(view_from(v, (size_t)slash + 1), 0,
	    greatest, &bits) != 0) {
		if (why != NULL)
			buf_printf(why, "\"%.*s\": the prefix is 0 to %u bits",
			    VIEW_ARG(v), (unsigned)greatest);
		return PK_ESYNTAX;
	}
	net.bits = (unsigned)bits;
	if (!host_bits_zero(&net)) {
		if (why != NULL)
			buf_printf(why, "\"%.*s\": bits are set behind the prefix"
			    " of %u", VIEW_ARG(v), net.bits);
		return PK_ESYNTAX;
	}
	*net_r = net;
	return 0;
}

bool
match_net_contains(const struct match_net *net, const struct domain_literal *addr)
{
	struct domain_literal a = *addr;
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	uint8_t mask;

	if (net->addr.family == DOMAIN_INET4)
		unmap(&a);
	if (a.family != net->addr.family)
		return false;
	if (memcmp(a.bytes, net->addr.bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	mask = (uint8_t)(0xff00 >> rest);
	return (a.bytes[whole] & mask) == (net->addr.bytes[whole] & mask);
}

/* ---- parsing ---- */

static int	parse_text(struct match_list *l, struct view text, bool negated,
		    bool in_file, struct buf *why);

static struct element *
add(struct match_list *l, enum element_type type, bool negated, struct view text)
{
	struct element *e;

	if (l->count == l->cap) {
		l->cap = l->cap > 0 ? 2 * l->cap : 8;
		l->elements = xreallocarray(l->elements, l->cap, sizeof(*l->elements));
	}
	e = &l->elements[l->count++];
	memset(e, 0, sizeof(*e));
	e->type = type;
	e->negated = negated;
	e->text = type == ELEMENT_TABLE || type == ELEMENT_FILE ?
	    view_dup(text) : view_dup_lower(text);
	return e;
}

/* Comments go, whole lines of them; what is left is a list like the value. */
static void
strip_comments(struct view text, struct buf *b)
{
	struct view line, trimmed;
	ptrdiff_t end;

	while (text.len > 0) {
		end = view_find(text, '\n');
		line = end < 0 ? text : view_head(text, (size_t)end);
		text = view_from(text, line.len + 1);
		trimmed = view_trim(line);
		if (trimmed.len > 0 && trimmed.p[0] != '#') {
			buf_put_view(b, trimmed);
			buf_put_char(b, ' ');
		}
	}
}

static int
parse_file(struct match_list *l, struct view path, bool negated, struct buf *why)
{
	struct buf content, list;
	char *name;
	int error;

	if (!l->has_source) {
		add(l, ELEMENT_FILE, negated, path);
		return 0;
	}
	buf_init(&content, 16u << 20);
	buf_init(&list, (16u << 20) + 1);
	name = view_dup(path);
	error = l->source.read_file(l->source.arg, name, &content);
	if (error != 0) {
		buf_printf(why, "%s: %s", name, pk_strerror(error));
	} else {
		strip_comments(buf_view(&content), &list);
		error = parse_text(l, buf_view(&list), negated, true, why);
		if (error != 0)
			buf_printf(why, " (in %s)", name);
	}
	xfree(name);
	buf_fini(&list);
	buf_fini(&content);
	return error;
}

static bool
looks_like_net(struct view v)
{
	struct domain_literal addr;
	ptrdiff_t slash = view_rfind(v, '/');

	return v.p[0] == '[' || domain_parse_ip(v, &addr) == 0 || (slash > 0 &&
	    domain_parse_ip(view_head(v, (size_t)slash), &addr) == 0);
}

static int
parse_net(struct match_list *l, struct view item, bool negated, struct buf *why)
{
	struct match_net net;
	int error;

	error = match_net_parse(item, &net, why);
	if (error == 0)
		add(l, ELEMENT_NET, negated, item)->net = net;
	return error;
}

static int
parse_element(struct match_list *l, struct view item, bool negated, bool in_file,
    struct buf *why)
{
	while (item.len > 0 && item.p[0] == '!') {
		negated = !negated;
		item = view_from(item, 1);
	}
	if (item.len == 0) {
		buf_put_str(why, "\"!\" with nothing behind it");
		return PK_ESYNTAX;
	}
	if (l->count >= MATCH_ELEMENTS_MAX) {
		buf_put_str(why, "too many elements in a list");
		return PK_ELIMIT;
	}
	if (item.p[0] == '/') {
		if (in_file) {
			buf_printf(why, "\"%.*s\": a file in a list's file is"
			    " not read", VIEW_ARG(item));
			return PK_ESYNTAX;
		}
		return parse_file(l, item, negated, why);
	}
	if (l->kind == MATCH_CLIENT && looks_like_net(item))
		return parse_net(l, item, negated, why);
	if (table_is_spec(item))
		add(l, ELEMENT_TABLE, negated, item);
	else if (item.p[0] == '.' && l->kind != MATCH_STRING &&
	    !(l->flags & MATCH_PARENT))
		add(l, ELEMENT_BELOW, negated, item);
	else
		add(l, ELEMENT_NAME, negated, item);
	return 0;
}

static int
parse_text(struct match_list *l, struct view text, bool negated, bool in_file,
    struct buf *why)
{
	struct view item;
	int error = 0;

	while (error == 0 && conf_list_next(&text, &item))
		error = parse_element(l, item, negated, in_file, why);
	return error;
}

int
match_list_parse(enum match_kind kind, unsigned flags, struct view text,
    const struct match_source *source, struct match_list **list_r, struct buf *why)
{
	struct match_list *l = XNEW(struct match_list);
	int error;

	l->kind = kind;
	l->flags = flags;
	if (source != NULL) {
		l->source = *source;
		l->has_source = true;
	}
	error = parse_text(l, text, false, false, why);
	if (error != 0) {
		match_list_free(&l);
		return error;
	}
	*list_r = l;
	return 0;
}

void
match_list_free(struct match_list **list)
{
	size_t i;

	if (*list == NULL)
		return;
	for (i = 0; i < (*list)->count; i++)
		xfree((*list)->elements[i].text);
	xfree((*list)->elements);
	xfree(*list);
	*list = NULL;
}

bool
match_list_empty(const struct match_list *list)
{
	return list->count == 0;
}

bool
match_list_external(const struct match_list *list)
{
	size_t i;

	for (i = 0; i < list->count && !list->has_source; i++)
		if (list->elements[i].type == ELEMENT_TABLE ||
		    list->elements[i].type == ELEMENT_FILE)
			return true;
	return false;
}

/* ---- matching ---- */

static bool
is_below(struct view name, struct view dot_domain)
{
	return name.len > dot_domain.len && view_caseends(name, dot_domain);
}

static bool
name_matches(const struct match_list *l, const struct element *e, struct view name)
{
	struct view text = view_str(e->text);

	if (e->type == ELEMENT_BELOW)
		return is_below(name, text);
	if (view_caseeq(name, text))
		return true;
	return l->kind != MATCH_STRING && (l->flags & MATCH_PARENT) != 0 &&
	    name.len > text.len && name.p[name.len - text.len - 1] == '.' &&
	    view_caseends(name, text);
}

/* The name, then what is above it: "d.e" with MATCH_PARENT, else ".d.e". */
static int
table_matches(const struct match_list *l, const struct element *e, struct view name,
    bool parents)
{
	const struct match_source *s = &l->source;
	struct view key = name;
	ptrdiff_t dot;
	int error;

	if (!l->has_source)
		return PK_EUNSUPPORTED;
	error = s->lookup(s->arg, e->text, key);
	if (!parents || (s->partial != NULL && !s->partial(s->arg, e->text)))
		return error;
	while (error == PK_ENOENT && key.len > 1) {
		dot = view_find(view_from(key, 1), '.');
		if (dot < 0)
			break;
		key = view_from(key, (size_t)dot + 1);
		if (l->flags & MATCH_PARENT)
			key = view_from(key, 1);
		if (key.len == 0)
			break;
		error = s->lookup(s->arg, e->text, key);
	}
	return error;
}

static int
element_matches(const struct match_list *l, const struct element *e, struct view name,
    bool parents, bool *hit_r)
{
	int error;

	switch (e->type) {
	case ELEMENT_NAME:
	case ELEMENT_BELOW:
		*hit_r = name_matches(l, e, name);
		return 0;
	case ELEMENT_TABLE:
		error = table_matches(l, e, name, parents);
		if (error != 0 && error != PK_ENOENT)
			return error;
		*hit_r = error == 0;
		return 0;
	case ELEMENT_FILE:
		return PK_EUNSUPPORTED;
	case ELEMENT_NET:
		break;
	}
	*hit_r = false;
	return 0;
}

int
match_list_name(const struct match_list *list, struct view name, bool *found_r)
{
	const struct element *e;
	size_t i;
	bool hit;
	int error;

	for (i = 0; name.len > 0 && i < list->count; i++) {
		e = &list->elements[i];
		error = element_matches(list, e, name, list->kind != MATCH_STRING, &hit);
		if (error != 0)
			return error;
		if (hit) {
			*found_r = !e->negated;
			return 0;
		}
	}
	*found_r = false;
	return 0;
}

int
match_list_client(const struct match_list *list, struct view name,
    const struct domain_literal *addr, bool *found_r)
{
	const struct element *e;
	struct buf text;
	size_t i;
	bool hit = false;
	int error = 0;

	buf_init(&text, 64);
	if (addr != NULL)
		domain_put_ip(&text, addr);
	for (i = 0; error == 0 && !hit && i < list->count; i++) {
		e = &list->elements[i];
		if (name.len > 0)
			error = element_matches(list, e, name, true, &hit);
		if (error != 0 || hit || addr == NULL)
			continue;
		if (e->type == ELEMENT_NET)
			hit = match_net_contains(&e->net, addr);
		else if (e->type == ELEMENT_TABLE || e->type == ELEMENT_FILE)
			error = element_matches(list, e, buf_view(&text), false, &hit);
	}
	buf_fini(&text);
	if (error == 0)
		*found_r = hit && !list->elements[i - 1].negated;
	return error;
}

bool
match_parent_style(const char *param, const char *parent_domain_matches_subdomains)
{
	struct view list = view_str(parent_domain_matches_subdomains), item;

	while (conf_list_next(&list, &item))
		if (view_eq(item, view_str(param)))
			return true;
	return false;
}
