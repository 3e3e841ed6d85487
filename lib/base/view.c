/* SPDX-License-Identifier: ISC */
/*
 * view.c: looking at bytes that belong to somebody else.
 *
 * Linked into every process; whatever a peer sent is looked at through these.
 * Nothing here copies (but the two _dup), needs a NUL or asks the locale.
 */
#include "base/view.h"

#include "base/mem.h"

static bool
caseeq_n(const char *a, const char *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool
view_caseeq(struct view a, struct view b)
{
	return a.len == b.len && caseeq_n(a.p, b.p, a.len);
}

bool
view_starts(struct view v, struct view prefix)
{
	return v.len >= prefix.len &&
	    view_eq(view_of(v.p, prefix.len), prefix);
}

bool
view_casestarts(struct view v, struct view prefix)
{
	return v.len >= prefix.len && caseeq_n(v.p, prefix.p, prefix.len);
}

bool
view_caseends(struct view v, struct view suffix)
{
	if (v.len < suffix.len)
		return false;
	return suffix.len == 0 ||
	    caseeq_n(v.p + (v.len - suffix.len), suffix.p, suffix.len);
}

ptrdiff_t
view_find(struct view v, char c)
{
	const char *hit;

	if (v.len == 0)
		return -1;
	hit = memchr(v.p, c, v.len);
	return hit != NULL ? hit - v.p : -1;
}

ptrdiff_t
view_rfind(struct view v, char c)
{
	const char *hit;

	if (v.len == 0)
		return -1;
	hit = memrchr(v.p, c, v.len);
	return hit != NULL ? hit - v.p : -1;
}

struct view
view_from(struct view v, size_t from)
{
	if (from > v.len)
		from = v.len;
	if (from == 0)
		return v;
	return view_of(v.p + from, v.len - from);
}

struct view
view_head(struct view v, size_t len)
{
	return view_of(v.p, len < v.len ? len : v.len);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct view
view_trim(struct view v)
{
	while (v.len > 0 && is_blank(v.p[v.len - 1]))
		v.len--;
	while (v.len > 0 && is_blank(v.p[0])) {
		v.p++;
		v.len--;
	}
	return v;
}

/* A NUL in the text is no separator, although strchr() would find it. */
static bool
is_sep(char c, const char *seps)
{
	return c != '\0' && strchr(seps, c) != NULL;
}

bool
view_next(struct view *v, const char *seps, struct view *token_r)
{
	size_t n = 0;

	while (v->len > 0 && is_sep(v->p[0], seps))
		*v = view_from(*v, 1);
	if (v->len == 0)
		return false;
	while (n < v->len && !is_sep(v->p[n], seps))
		n++;
	*token_r = view_of(v->p, n);
	*v = view_from(*v, n + 1);
	return true;
}

char *
view_dup(struct view v)
{
	return xstrndup(v.p, v.len);
}

char *
view_dup_lower(struct view v)
{
	char *s = view_dup(v);
	size_t i;

	for (i = 0; i < v.len; i++)
		s[i] = ascii_lower(s[i]);
	return s;
}

int
view_cmp(struct view a, struct view b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return (a.len > b.len) - (a.len < b.len);
}

bool
view_is_printable(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (v.p[i] < ' ' || v.p[i] > '~')
			return false;
	return true;
}
