/* SPDX-License-Identifier: ISC */
/*
 * mime_field.c: reads Content-Type and Content-Transfer-Encoding.
 *
 * Run wherever mime.c runs; the values are a stranger's, at most 4 KiB.
 * Comments nest by a counter, not by recursion (A8).
 */
#include "mail/mime_field.h"

#include "base/error.h"

struct cursor {
	struct view	v;
	size_t		pos;
};

/* Blanks and comments (RFC 822 says where they may stand: everywhere). */
static void
skip_cfws(struct cursor *c)
{
	unsigned depth = 0;

	for (; c->pos < c->v.len; c->pos++) {
		char b = c->v.p[c->pos];

		if (b == '(')
			depth++;
		else if (b == ')' && depth > 0)
			depth--;
		else if (b == '\\' && depth > 0)
			c->pos++;
		else if (depth == 0 && !ascii_isspace(b))
			return;
	}
}

static bool
is_token_byte(char c)
{
	return c > ' ' && c <= '~' && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static struct view
take_token(struct cursor *c)
{
	size_t start = c->pos;

	while (c->pos < c->v.len && is_token_byte(c->v.p[c->pos]))
		c->pos++;
	return view_of(c->v.p + start, c->pos - start);
}

static bool
take(struct cursor *c, char wanted)
{
	skip_cfws(c);
	if (c->pos >= c->v.len || c->v.p[c->pos] != wanted)
		return false;
	c->pos++;
	skip_cfws(c);
	return true;
}

/*
 * A quoted string into out (at most max bytes; longer: *len_r is max + 1).
 * The cursor is behind its first quote.
 */
static void
take_quoted(struct cursor *c, char *out, size_t max, size_t *len_r)
{
	size_t n = 0;

	for (; c->pos < c->v.len && c->v.p[c->pos] != '"'; c->pos++) {
		if (c->v.p[c->pos] == '\\' && c->pos + 1 < c->v.len)
			c->pos++;
		if (n < max)
			out[n] = c->v.p[c->pos];
		if (n <= max)
			n++;
	}
	if (c->pos < c->v.len)
		c->pos++;
	*len_r = n;
}

/* Unquoted values: boundaries with '=' or '/' in them are common in the field. */
static struct view
take_loose_value(struct cursor *c)
{
	size_t start = c->pos;

	while (c->pos < c->v.len && c->v.p[c->pos] != ';' &&
	    !ascii_isspace(c->v.p[c->pos]))
		c->pos++;
	return view_of(c->v.p + start, c->pos - start);
}

/* One ";name=value"; sets the boundary when it is that. False at the end. */
static bool
take_param(struct cursor *c, struct mime_type *t)
{
	char value[MIME_BOUNDARY_MAX];
	struct view name, loose;
	size_t len;

	/* Junk before the next ';' is skipped. */
	while (c->pos < c->v.len && c->v.p[c->pos] != ';')
		c->pos++;
	if (!take(c, ';'))
		return false;
	name = take_token(c);
	if (!take(c, '='))
		return true;
	if (c->pos < c->v.len && c->v.p[c->pos] == '"') {
		c->pos++;
		take_quoted(c, value, sizeof(value), &len);
	} else {
		loose = take_loose_value(c);
		len = loose.len;
		if (len <= sizeof(value))
			memcpy(value, loose.p, len);
	}
	while (len > 0 && len <= sizeof(value) && value[len - 1] == ' ')
		len--;
	if (t->boundary_len == 0 && len > 0 && len <= sizeof(value) &&
	    view_caseeq(name, VIEW("boundary"))) {
		memcpy(t->boundary, value, len);
		t->boundary_len = len;
	}
	return true;
}

void
mime_type_default(struct mime_type *t_r, bool in_digest)
{
	t_r->kind = in_digest ? MIME_KIND_MESSAGE : MIME_KIND_TEXT;
	t_r->digest = false;
	t_r->boundary_len = 0;
}

void
mime_type_parse(struct view value, struct mime_type *t_r)
{
	struct cursor c = { .v = value };
	struct view type, subtype;

	mime_type_default(t_r, false);
	skip_cfws(&c);
	type = take_token(&c);
	if (type.len == 0 || !take(&c, '/'))
		return;
	subtype = take_token(&c);
	if (view_caseeq(type, VIEW("multipart"))) {
		t_r->digest = view_caseeq(subtype, VIEW("digest"));
		while (take_param(&c, t_r))
			continue;
		if (t_r->boundary_len > 0)
			t_r->kind = MIME_KIND_MULTIPART;
	} else if (view_caseeq(type, VIEW("message"))) {
		/* delivery-status and its like are text; global is opaque. */
		if (view_caseeq(subtype, VIEW("rfc822")))
			t_r->kind = MIME_KIND_MESSAGE;
		else if (view_casestarts(subtype, VIEW("global")))
			t_r->kind = MIME_KIND_OTHER;
	} else if (!view_caseeq(type, VIEW("text"))) {
		t_r->kind = MIME_KIND_OTHER;
	}
}

enum mime_cte
mime_cte_parse(struct view value)
{
	struct cursor c = { .v = value };
	struct view word;

	skip_cfws(&c);
	word = take_token(&c);
	if (word.len == 0)
		return MIME_CTE_NONE;
	if (view_caseeq(word, VIEW("7bit")))
		return MIME_CTE_7BIT;
	if (view_caseeq(word, VIEW("8bit")))
		return MIME_CTE_8BIT;
	if (view_caseeq(word, VIEW("binary")))
		return MIME_CTE_BINARY;
	if (view_caseeq(word, VIEW("quoted-printable")))
		return MIME_CTE_QP;
	return MIME_CTE_OTHER;
}
