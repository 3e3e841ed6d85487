/* SPDX-License-Identifier: ISC */
/*
 * source_query.c: an administrator's query to one with bound parameters (A12).
 *
 * Runs in authd at its start and at reloads. Quotes around a placeholder are
 * the habit of systems that put text into text; here they are taken off, and a
 * literal of which a placeholder is a part is put together by the database.
 */
#include "authd/source_sql.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

#define QUERY_MAX	20000

struct parse {
	const struct sql_driver *d;
	struct sql_query *q;
	struct buf	 out;
	struct buf	*why;
};

static int
fail(struct parse *p, const char *words)
{
	buf_put_str(p->why, words);
	return PK_ESYNTAX;
}

static int
put_param(struct parse *p, char which)
{
	if (p->q->nparams == SQL_PARAMS_MAX)
		return fail(p, "too many %u, %n and %d");
	p->q->params[p->q->nparams++] = which;
	if (p->d->numbered)
		buf_printf(&p->out, "$%u", p->q->nparams);
	else
		buf_put_char(&p->out, '?');
	return 0;
}

/* At a '%': 'u', 'n', 'd', '%' for two of them, 0 for what is none. */
static char
placeholder(struct view v)
{
	if (v.len < 2 || strchr("und%", v.p[1]) == NULL)
		return '\0';
	return v.p[1];
}

/* Length of a literal from its opening quote to behind the closing one; 0: it has none. */
static size_t
literal_length(const struct parse *p, struct view v)
{
	char quote = v.p[0];
	size_t i;

	for (i = 1; i < v.len; i++) {
		if (v.p[i] == '\\' && p->d->concat)
			i++;
		else if (v.p[i] == quote && i + 1 < v.len && v.p[i + 1] == quote)
			i++;
		else if (v.p[i] == quote)
			return i + 1;
	}
	return 0;
}

static bool
has_placeholder(struct view v)
{
	char c;

	for (; v.len > 0; v = view_from(v, 1)) {
		if (v.p[0] != '%')
			continue;
		c = placeholder(v);
		if (c == '\0' || c != '%')
			return true;
		v = view_from(v, 1);
	}
	return false;
}

/* 'abc%ndef' to ('abc' || $1 || 'def'). */
static int
put_joined(struct parse *p, struct view inner, char quote)
{
	const char *between = p->d->concat ? ", " : " || ";
	bool open = false, first = true;
	int rc = 0;
	char c;

	buf_put_str(&p->out, p->d->concat ? "CONCAT(" : "(");
	while (rc == 0 && inner.len > 0) {
		c = inner.p[0] == '%' ? placeholder(inner) : 'x';
		if (c == '\0')
			return fail(p, "write %% for a percent sign");
		if (c == 'x' || c == '%') {
			if (!open)
				buf_printf(&p->out, "%s%c", first ? "" : between, quote);
			open = true;
			buf_put_char(&p->out, inner.p[0]);
			inner = view_from(inner, c == '%' ? 2 : 1);
		} else {
			if (open)
				buf_put_char(&p->out, quote);
			open = false;
			buf_put_str(&p->out, first ? "" : between);
			rc = put_param(p, c);
			inner = view_from(inner, 2);
		}
		first = false;
	}
	if (open)
		buf_put_char(&p->out, quote);
	buf_put_char(&p->out, ')');
	return rc;
}

static int
put_literal(struct parse *p, struct view v)
{
	struct view inner = view_of(v.p + 1, v.len - 2);

	if (!has_placeholder(inner)) {
		for (; v.len > 0; v = view_from(v, 1)) {
			buf_put_char(&p->out, v.p[0]);
			if (v.p[0] == '%')
				v = view_from(v, 1);	/* the second of two */
		}
		return 0;
	}
	if (v.p[0] != '\'' && !(v.p[0] == '"' && p->d->concat))
		return fail(p, "%u, %n and %d stand for values, not for names of columns");
	if (inner.len == 2 && inner.p[0] == '%' && placeholder(inner) != '\0')
		return put_param(p, inner.p[1]);
	return put_joined(p, inner, v.p[0]);
}

static int
parse(struct parse *p, struct view v)
{
	size_t n;
	char c;
	int rc = 0;

	while (rc == 0 && v.len > 0) {
		n = 1;
		if (strchr("'\"`", v.p[0]) != NULL) {
			if ((n = literal_length(p, v)) == 0)
				return fail(p, "a quote is not closed");
			rc = put_literal(p, view_head(v, n));
		} else if (v.p[0] == '%') {
			n = 2;
			c = placeholder(v);
			if (c == '\0')
				return fail(p, "write %% for a percent sign");
			if (c == '%')
				buf_put_char(&p->out, '%');
			else
				rc = put_param(p, c);
		} else if (v.p[0] == ';') {
			return fail(p, "one statement, without a semicolon");
		} else {
			buf_put_char(&p->out, v.p[0]);
		}
		v = view_from(v, n);
	}
	return rc;
}

int
sql_query_parse(const struct sql_driver *d, struct view text, struct sql_query *q,
    struct buf *why)
{
	struct parse p = { .d = d, .q = q, .why = why };
	int rc;

	q->nparams = 0;
	buf_init(&p.out, QUERY_MAX);
	rc = parse(&p, text);
	if (rc == 0 && buf_error(&p.out) != 0)
		rc = fail(&p, "too long");
	if (rc == 0)
		q->text = xstrdup(buf_cstr(&p.out));
	buf_fini(&p.out);
	return rc;
}

void
sql_query_fini(struct sql_query *q)
{
	xfree(q->text);
	q->text = NULL;
}
