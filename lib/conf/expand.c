/* SPDX-License-Identifier: ISC */
/*
 * expand.c: $name in values.
 *
 * $name, ${name}, $(name), ${name?x}, ${name:x}, ${name?x:y}, and Postfix's
 * ${name?{x}:{y}}; $$ is a dollar sign. Each row is expanded once a set and
 * remembered, so that a chain costs what it is long; a row met again while it
 * is being expanded is a circle. Nesting has a limit, so the stack has one.
 */
#include "base/mem.h"
#include "conf/conf_private.h"

struct expansion {
	struct conf_loader *ld;
	struct conf_set	*set;
	unsigned	 line;		/* for complaints */
	const char	*row;
	struct buf	*out;
};

static bool expand_row(struct conf_loader *ld, struct conf_set *set, size_t row, unsigned depth);
static bool expand_text(struct expansion *x, struct view text, unsigned depth);

static bool
fail(struct expansion *x, const char *what, struct view name)
{
	conf_complain(x->ld, 'e', x->line, "%s: %s \"%.*s\"", x->row, what,
	    VIEW_ARG(view_head(name, 60)));
	return false;
}

/* Length of a name at the start of v. */
static size_t
name_len(struct view v)
{
	size_t i;

	for (i = 0; i < v.len && (ascii_isalnum(v.p[i]) || v.p[i] == '_'); i++)
		;
	return i;
}

static bool
name_unknown(struct expansion *x, struct view name)
{
	const char *near = conf_nearest(name);

	if (conf_postfix_hint(name) != NULL)
		return fail(x, "it refers to a Postfix parameter that does not exist here,", name);
	if (near != NULL) {
		conf_complain(x->ld, 'e', x->line,
		    "%s: there is no parameter \"%.*s\"; did you mean $%s?", x->row,
		    VIEW_ARG(view_head(name, 60)), near);
		return false;
	}
	return fail(x, "there is no parameter", name);
}

/* The value that a name stands for; it lives as long as the set. */
static bool
name_value(struct expansion *x, struct view name, unsigned depth, struct view *value_r)
{
	struct conf_private *p = x->ld->priv;
	ptrdiff_t row = conf_row_find(name);
	struct view scope;
	unsigned kinds;
	struct conf_set *set = x->set, *other;
	const char *raw;

	if (row < 0 && (raw = map_get(p->ignored, name)) != NULL) {
		*value_r = view_str(raw);
		return true;
	}
	if (row < 0 && conf_scope_split(p->global, name, &scope, &kinds, &row)) {
		other = conf_set_find(p, scope);
		set = other != NULL ? other : p->global;
	}
	if (row < 0)
		return name_unknown(x, name);
	if (set->slots[row].state == CONF_EXPANDING)
		return fail(x, "the value goes in a circle by", name);
	if (!expand_row(x->ld, set, (size_t)row, depth + 1))
		return false;
	*value_r = view_str(set->slots[row].value);
	return true;
}

/* Index of the brace that closes the one before v, or -1. */
static ptrdiff_t
closing(struct view v, char open, char close)
{
	unsigned depth = 1;
	size_t i;

	for (i = 0; i < v.len; i++) {
		if (v.p[i] == open)
			depth++;
		else if (v.p[i] == close && --depth == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

/* Splits "x:y" or "{x}:{y}" at the colon outside of braces. */
static void
alternatives(struct view v, struct view *x_r, struct view *y_r)
{
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < v.len; i++) {
		if (v.p[i] == '{' || v.p[i] == '(')
			depth++;
		else if ((v.p[i] == '}' || v.p[i] == ')') && depth > 0)
			depth--;
		else if (v.p[i] == ':' && depth == 0)
			break;
	}
	*x_r = view_head(v, i);
	*y_r = view_from(v, i + 1);
}

static struct view
strip_braces(struct view v)
{
	struct view t = view_trim(v);

	if (t.len >= 2 && t.p[0] == '{' &&
	    closing(view_from(t, 1), '{', '}') == (ptrdiff_t)t.len - 2)
		return view_trim(view_head(view_from(t, 1), t.len - 2));
	return v;
}

/* What stands between ${ and }. */
static bool
expand_braced(struct expansion *x, struct view v, unsigned depth)
{
	size_t n = name_len(v);
	struct view name = view_head(v, n), rest = view_from(v, n), value, yes, no;

	if (n == 0)
		return fail(x, "cannot understand", v);
	rest = view_trim(rest);
	if (rest.len > 0 && rest.p[0] != '?' && rest.p[0] != ':')
		return fail(x, "cannot understand", v);
	if (!name_value(x, name, depth, &value))
		return false;
	if (rest.len == 0)
		return buf_put_view(x->out, value), true;
	if (rest.p[0] == ':') {
		if (value.len > 0)
			return true;
		return expand_text(x, strip_braces(view_from(rest, 1)), depth + 1);
	}
	alternatives(view_from(rest, 1), &yes, &no);
	return expand_text(x, strip_braces(value.len > 0 ? yes : no), depth + 1);
}

/* v begins behind the dollar sign; *used_r counts what belongs to it. */
static bool
expand_dollar(struct expansion *x, struct view v, unsigned depth, size_t *used_r)
{
	struct view inner, value;
	ptrdiff_t end;
	char open;

	if (v.len > 0 && v.p[0] == '$') {
		buf_put_char(x->out, '$');
		*used_r = 1;
		return true;
	}
	if (v.len > 0 && (v.p[0] == '{' || v.p[0] == '(')) {
		open = v.p[0];
		inner = view_from(v, 1);
		end = closing(inner, open, open == '{' ? '}' : ')');
		if (end < 0)
			return fail(x, "a brace is not closed in", v);
		*used_r = (size_t)end + 2;
		return expand_braced(x, view_head(inner, (size_t)end), depth);
	}
	*used_r = name_len(v);
	if (*used_r == 0)
		return fail(x, "no name behind \"$\" (write $$ for a dollar sign) in", v);
	if (!name_value(x, view_head(v, *used_r), depth, &value))
		return false;
	buf_put_view(x->out, value);
	return true;
}

static bool
expand_text(struct expansion *x, struct view text, unsigned depth)
{
	ptrdiff_t dollar;
	size_t used = 0;

	if (depth > CONF_DEPTH_MAX)
		return fail(x, "nested too deep:", text);
	while ((dollar = view_find(text, '$')) >= 0) {
		buf_put_view(x->out, view_head(text, (size_t)dollar));
		text = view_from(text, (size_t)dollar + 1);
		if (!expand_dollar(x, text, depth, &used))
			return false;
		text = view_from(text, used);
	}
	buf_put_view(x->out, text);
	return true;
}

/* mydomain is myhostname without its first label, unless somebody says. */
static bool
default_mydomain(struct expansion *x, unsigned depth)
{
	struct view host, domain;

	if (!name_value(x, VIEW("myhostname"), depth, &host))
		return false;
	domain = view_find(host, '.') < 0 ? VIEW_NONE :
	    view_from(host, (size_t)view_find(host, '.') + 1);
	return buf_put_view(x->out, domain.len > 0 ? domain : VIEW("localdomain")) == 0;
}

static bool
expand_row(struct conf_loader *ld, struct conf_set *set, size_t row, unsigned depth)
{
	struct conf_slot *s = &set->slots[row];
	struct conf_slot *g = &ld->priv->global->slots[row];
	struct expansion x = { .ld = ld, .set = set, .row = conf_rows[row].name,
	    .line = s->raw != NULL ? s->line : g->line };
	struct buf out;
	bool ok;

	if (s->state == CONF_DONE || s->state == CONF_FAILED)
		return s->state == CONF_DONE;
	s->state = CONF_EXPANDING;
	buf_init(&out, CONF_VALUE_MAX);
	x.out = &out;
	if (row == CONF_I_mydomain && s->raw == NULL && g->raw == NULL)
		ok = default_mydomain(&x, depth);
	else
		ok = expand_text(&x, view_str(conf_raw(ld->priv, set, row)), depth);
	if (ok && buf_error(&out) != 0)
		ok = fail(&x, "too long when expanded:", view_str(x.row));
	if (ok)
		s->value = view_dup(view_trim(buf_view(&out)));
	s->state = ok ? CONF_DONE : CONF_FAILED;
	buf_fini(&out);
	return ok;
}

bool
conf_expand(struct conf_loader *ld, struct conf_set *set, size_t row)
{
	return expand_row(ld, set, row, 0);
}
