/* SPDX-License-Identifier: ISC */
/*
 * table_cidr.c: networks, the first that holds the address wins
 * (Postfix's cidr_table(5)): "network result", "!network result",
 * "if network" ... "endif", also negated and nested.
 *
 * Runs in lookupd. The key is an address from a client's connection.
 */
#include "base/error.h"
#include "base/mem.h"
#include "table/match_list.h"
#include "table/table.h"
#include "table/table_impl.h"

#define NESTING_MAX	32

struct rule {
	struct match_net net;
	bool		 negated;
	size_t		 skip_to;	/* "if": where its endif is; 0: a result */
	char		*value;
};

struct cidr {
	struct rule	*rules;
	size_t		 count, cap;
	size_t		 open[NESTING_MAX];	/* rules of "if"s not yet ended */
	unsigned	 depth;
};

static void
cidr_free(void *data)
{
	struct cidr *c = data;
	size_t i;

	for (i = 0; i < c->count; i++)
		xfree(c->rules[i].value);
	xfree(c->rules);
	xfree(c);
}

static struct rule *
add_rule(struct cidr *c)
{
	if (c->count == c->cap) {
		c->cap = c->cap > 0 ? 2 * c->cap : 64;
		c->rules = xreallocarray(c->rules, c->cap, sizeof(*c->rules));
	}
	memset(&c->rules[c->count], 0, sizeof(*c->rules));
	return &c->rules[c->count++];
}

static int
pattern(struct rule *r, struct view text, struct buf *why)
{
	if (text.len > 0 && text.p[0] == '!') {
		r->negated = true;
		text = view_trim(view_from(text, 1));
	}
	return match_net_parse(text, &r->net, why);
}

static int
begin_if(struct cidr *c, struct view text, struct buf *why)
{
	if (c->depth == NESTING_MAX) {
		buf_put_str(why, "too many ifs inside each other");
		return PK_ELIMIT;
	}
	c->open[c->depth++] = c->count;
	return pattern(add_rule(c), text, why);
}

static int
end_if(struct cidr *c, struct buf *why)
{
	if (c->depth == 0) {
		buf_put_str(why, "endif without an if");
		return PK_ESYNTAX;
	}
	c->rules[c->open[--c->depth]].skip_to = c->count;
	return 0;
}

static bool
is_word(struct view line, struct view word, struct view *rest_r)
{
	if (!view_casestarts(line, word) || (line.len > word.len &&
	    line.p[word.len] != ' ' && line.p[word.len] != '\t'))
		return false;
	*rest_r = view_trim(view_from(line, word.len));
	return true;
}

static int
parse_line(struct cidr *c, struct view line, struct buf *why)
{
	struct view rest;
	struct rule *r;
	size_t n = 0;
	int error;

	if (is_word(line, VIEW("endif"), &rest))
		return end_if(c, why);
	if (is_word(line, VIEW("if"), &rest))
		return begin_if(c, rest, why);
	/* "! net" has a blank that ends nothing. */
	if (line.p[0] == '!')
		for (n = 1; n < line.len && (line.p[n] == ' ' || line.p[n] == '\t'); n++)
			;
	while (n < line.len && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	rest = view_trim(view_from(line, n));
	if (rest.len == 0) {
		buf_put_str(why, "expected: network, blanks, result");
		return PK_ESYNTAX;
	}
	r = add_rule(c);
	error = pattern(r, view_head(line, n), why);
	if (error == 0)
		r->value = view_dup(rest);
	return error;
}

static int
cidr_line(void *arg, struct view line, unsigned number, struct buf *why)
{
	(void)number;
	return parse_line(arg, line, why);
}

static int
cidr_load(struct view text, const char *path, void **data_r, struct buf *why)
{
	struct cidr *c = XNEW(struct cidr);
	int error = table_rules_load(text, path, cidr_line, c, &c->depth, why);

	if (error != 0) {
		cidr_free(c);
		return error;
	}
	*data_r = c;
	return 0;
}

static int
cidr_get(void *data, struct view key, struct buf *value_r)
{
	struct domain_literal addr;
	const struct cidr *c = data;
	const struct rule *r;
	size_t i = 0;

	if (domain_parse_ip(key, &addr) != 0)
		return PK_ENOENT;
	while (i < c->count) {
		r = &c->rules[i++];
		if (match_net_contains(&r->net, &addr) != r->negated) {
			if (r->value == NULL)
				continue;
			buf_put_str(value_r, r->value);
			return 0;
		}
		if (r->value == NULL)
			i = r->skip_to;
	}
	return PK_ENOENT;
}

static size_t
cidr_count(const void *data)
{
	return ((const struct cidr *)data)->count;
}

const struct table_type table_type_cidr = {
	.name = "cidr",
	.suffix = "",
	.pattern = true,
	.fold = true,
	.load_text = cidr_load,
	.get = cidr_get,
	.count = cidr_count,
	.close = cidr_free,
};
