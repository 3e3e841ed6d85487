/* SPDX-License-Identifier: ISC */
/*
 * view.h: a read-only piece of somebody else's bytes.
 *
 * A view owns nothing, ends in no NUL and may contain any byte. It lives as
 * long as what it points into. Parsers take and give views; case folding is
 * ASCII only, whatever the locale.
 */
#ifndef PK_BASE_VIEW_H
#define PK_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const char	*p;
	size_t		 len;
};

#define VIEW(literal)	((struct view){ (literal), sizeof(literal) - 1 })
#define VIEW_NONE	((struct view){ NULL, 0 })
/* For printf: "%.*s", VIEW_ARG(v) */
#define VIEW_ARG(v)	(int)(v).len, (v).p != NULL ? (v).p : ""

static inline struct view
view_of(const char *p, size_t len)
{
	return (struct view){ p, len };
}

/* A NULL string is the empty view. */
static inline struct view
view_str(const char *s)
{
	return (struct view){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool
view_eq(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool	view_caseeq(struct view a, struct view b);
bool	view_starts(struct view v, struct view prefix);
bool	view_casestarts(struct view v, struct view prefix);
bool	view_caseends(struct view v, struct view suffix);
/* Index of the first (last) c, or -1. */
ptrdiff_t view_find(struct view v, char c);
ptrdiff_t view_rfind(struct view v, char c);
/* From byte `from` on; both clip at the end. */
struct view view_from(struct view v, size_t from);
struct view view_head(struct view v, size_t len);
/* Without blanks and tabs at both ends. */
struct view view_trim(struct view v);
/*
 * Takes the next token of *v up to any byte of seps (which is consumed);
 * empty tokens are skipped. False at the end.
 */
bool	view_next(struct view *v, const char *seps, struct view *token_r);
/* xmalloc'ed copy with a NUL behind it. */
char	*view_dup(struct view v);
/* Lower-cased copy (ASCII). */
char	*view_dup_lower(struct view v);
/* Orders like memcmp, the shorter first. */
int	view_cmp(struct view a, struct view b);
/* True if every byte is printable ASCII or blank: safe in a log line. */
bool	view_is_printable(struct view v);

static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool
ascii_isdigit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ascii_isalpha(char c)
{
	c = (char)(c | 32);
	return c >= 'a' && c <= 'z';
}

static inline bool
ascii_isalnum(char c)
{
	return ascii_isdigit(c) || ascii_isalpha(c);
}

static inline bool
ascii_isspace(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

#endif
