/* SPDX-License-Identifier: ISC */
/*
 * access.c: how access(5) varies a key.
 *
 * Runs in lookupd for smtpd, which acts on the result; here nothing is
 * decided. Keys are strangers' (a client's name, an address). Only tables
 * that the configuration names may be asked.
 */
#include "base/error.h"
#include "base/mem.h"
#include "lookupd/resolver_impl.h"

struct query {
	struct resolver	*r;
	struct view	 table;
	bool		 pattern;	/* whole keys only */
	struct buf	*value;
	struct buf	*key;		/* the key that matched */
};

static int
look(struct query *q, struct view key)
{
	int error;

	if (key.len == 0)
		return PK_ENOENT;
	error = tables_get(q->r->tables, q->table, key, q->value);
	if (error == 0) {
		buf_reset(q->key);
		buf_put_view(q->key, key);
	}
	return error;
}

/* The domain, then its parents: "parent" or ".parent" by smtpd_access_maps. */
static int
look_domain(struct query *q, struct view domain)
{
	bool plain = match_parent_style("smtpd_access_maps",
	    q->r->conf->parent_domain_matches_subdomains);
	struct view key = domain;
	ptrdiff_t dot;
	int error;

	error = look(q, domain);
	if (q->pattern || (domain.len > 0 && domain.p[0] == '['))
		return error;
	while (error == PK_ENOENT && key.len > 1) {
		dot = view_find(view_from(key, 1), '.');
		if (dot < 0)
			break;
		key = view_from(key, (size_t)dot + 1);
		error = look(q, plain ? view_from(key, 1) : key);
	}
	return error;
}

/* 1.2.3.4, 1.2.3, 1.2, 1; an IPv6 address at its colons likewise. */
static int
look_address(struct query *q, struct view addr)
{
	char part = view_find(addr, ':') >= 0 ? ':' : '.';
	ptrdiff_t cut;
	int error;

	error = look(q, addr);
	while (error == PK_ENOENT && !q->pattern && (cut = view_rfind(addr, part)) > 0) {
		addr = view_head(addr, (size_t)cut);
		/* "2001:db8::1" is cut to "2001:db8", not to "2001:db8:". */
		while (part == ':' && addr.len > 0 && addr.p[addr.len - 1] == ':')
			addr.len--;
		error = look(q, addr);
	}
	return error;
}

static void
split_client(struct view client, struct view *name_r, struct view *addr_r)
{
	ptrdiff_t open = view_rfind(client, '[');

	*name_r = client;
	*addr_r = VIEW_NONE;
	if (open >= 0 && client.p[client.len - 1] == ']') {
		*name_r = view_head(client, (size_t)open);
		*addr_r = view_of(client.p + open + 1, client.len - (size_t)open - 2);
	}
	/* Sockets' way to write an IPv4 client. */
	if (view_casestarts(*addr_r, VIEW("IPv6:")))
		*addr_r = view_from(*addr_r, 5);
}

static int
look_client(struct query *q, struct view client)
{
	struct view name, addr;
	int error;

	split_client(client, &name, &addr);
	error = look_domain(q, name);
	return error == PK_ENOENT ? look_address(q, addr) : error;
}

static int
look_joined(struct query *q, struct view local, struct view domain)
{
	struct buf key;
	int error;

	buf_init(&key, 2 * ADDRESS_MAX);
	buf_put_view(&key, local);
	buf_put_char(&key, '@');
	buf_put_view(&key, domain);
	error = look(q, buf_view(&key));
	buf_fini(&key);
	return error;
}

static int
look_mail(struct query *q, struct view text)
{
	struct view user, ext, domain;
	struct rcpt a;
	bool has_ext;
	int error;

	if (text.len == 0 || view_eq(text, VIEW("<>")))
		return look(q, VIEW("<>"));	/* smtpd_null_access_lookup_key */
	rcpt_init(&a);
	if (resolver_rcpt(q->r, text, &a) != 0) {
		rcpt_fini(&a);
		return look(q, text);
	}
	domain = rcpt_domain(&a);
	has_ext = resolver_split(q->r, rcpt_local(&a), &user, &ext);
	error = look(q, buf_view(&a.text));
	if (!q->pattern) {
		if (error == PK_ENOENT && has_ext)
			error = look_joined(q, user, domain);
		if (error == PK_ENOENT)
			error = look_domain(q, domain);
		if (error == PK_ENOENT)
			error = look_joined(q, rcpt_local(&a), VIEW(""));
		if (error == PK_ENOENT && has_ext)
			error = look_joined(q, user, VIEW(""));
	}
	rcpt_fini(&a);
	return error;
}

/* ---- lists ---- */

static int
look_list(struct resolver *r, struct view param, struct view query, bool *found_r)
{
	const struct {
		struct view		 name;
		const struct match_list	*list;
	} lists[] = {
		{ VIEW("mynetworks"), r->mynetworks },
		{ VIEW("mydestination"), r->mydestination },
		{ VIEW("relay_domains"), r->relay_domains },
		{ VIEW("virtual_alias_domains"), r->virtual_alias_domains },
		{ VIEW("virtual_mailbox_domains"), r->virtual_mailbox_domains },
	};
	struct domain_literal lit;
	struct view name, addr;
	size_t i;

	for (i = 0; i < NELEMS(lists) && !view_eq(param, lists[i].name); i++)
		;
	if (i == NELEMS(lists))
		return PK_EPERM;
	if (lists[i].list == NULL)
		return PK_ETEMP;
	if (lists[i].list != r->mynetworks)
		return match_list_name(lists[i].list, query, found_r);
	split_client(query, &name, &addr);
	return match_list_client(lists[i].list, name,
	    domain_parse_ip(addr, &lit) == 0 ? &lit : NULL, found_r);
}

/* ---- smtpd_sender_login_maps ---- */

static int
look_login(struct resolver *r, struct view tables, struct view sender, struct buf *value_r,
    struct buf *key_r)
{
	struct view rest = tables, item;
	struct rcpt a;
	char *maps;
	int error;

	while (conf_list_next(&rest, &item))
		if (!tables_named(r->tables, item))
			return PK_EPERM;
	rcpt_init(&a);
	error = resolver_rcpt(r, sender, &a) != 0 ? PK_ENOENT : 0;
	if (error == 0) {
		maps = view_dup(tables);
		error = resolver_find(r, maps, &a, 0, value_r, NULL);
		buf_put_view(key_r, buf_view(&a.text));
		xfree(maps);
	}
	rcpt_fini(&a);
	return error;
}

int
resolver_access(struct resolver *r, struct view table, struct view query,
    enum access_kind kind, struct buf *value_r, struct buf *key_r)
{
	struct query q = { .r = r, .table = table, .value = value_r, .key = key_r };
	bool found = false;
	int error;

	if (view_starts(table, VIEW("list:"))) {
		error = look_list(r, view_from(table, 5), query, &found);
		if (error == 0 && found) {
			buf_put_str(value_r, "OK");
			buf_put_view(key_r, query);
		}
		return error == 0 && !found ? PK_ENOENT : error;
	}
	if (kind == ACCESS_LOGIN)
		return look_login(r, table, query, value_r, key_r);
	if (!tables_named(r->tables, table))
		return PK_EPERM;
	q.pattern = tables_is_pattern(r->tables, table);
	switch (kind) {
	case ACCESS_CLIENT:
		return look_client(&q, query);
	case ACCESS_HELO:
		return look_domain(&q, query);
	case ACCESS_ADDRESS:
		return look_mail(&q, query);
	default:
		return look(&q, query);
	}
}
