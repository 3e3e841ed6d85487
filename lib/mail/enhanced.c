/* SPDX-License-Identifier: ISC */
/*
 * enhanced.c: enhanced status codes, from text and to text.
 *
 * Run by every process that speaks SMTP or reports on it, unprivileged. The
 * text comes from remote servers and is not trusted.
 */
#include "mail/enhanced.h"

#include "base/error.h"

/* One to three digits at *pos. RFC 3463 2: no leading zeros; we take them. */
static bool
number_at(struct view v, size_t *pos, uint16_t *n_r)
{
	size_t i = *pos;
	unsigned n = 0;

	while (i < v.len && i - *pos < 3 && ascii_isdigit(v.p[i]))
		n = n * 10 + (unsigned)(v.p[i++] - '0');
	if (i == *pos)
		return false;
	*pos = i;
	*n_r = (uint16_t)n;
	return true;
}

int
enhanced_parse_prefix(struct view v, struct enhanced *e_r, size_t *used_r)
{
	struct enhanced e;
	size_t pos = 2;

	if (v.len < 5 || v.p[1] != '.' ||
	    (v.p[0] != '2' && v.p[0] != '4' && v.p[0] != '5'))
		return PK_ESYNTAX;
	e.klass = (uint8_t)(v.p[0] - '0');
	if (!number_at(v, &pos, &e.subject) || pos >= v.len || v.p[pos] != '.')
		return PK_ESYNTAX;
	pos++;
	if (!number_at(v, &pos, &e.detail))
		return PK_ESYNTAX;
	if (pos < v.len && !ascii_isspace(v.p[pos]))
		return PK_ESYNTAX;
	*e_r = e;
	*used_r = pos;
	return 0;
}

int
enhanced_parse(struct view v, struct enhanced *e_r)
{
	struct enhanced e;
	size_t used;

	if (enhanced_parse_prefix(v, &e, &used) != 0 || used != v.len)
		return PK_ESYNTAX;
	*e_r = e;
	return 0;
}

int
enhanced_put(struct buf *b, struct enhanced e)
{
	if (!enhanced_is_set(e))
		return 0;
	return buf_printf(b, "%u.%u.%u", (unsigned)e.klass,
	    (unsigned)e.subject, (unsigned)e.detail);
}

struct enhanced
enhanced_from_reply(int reply_code)
{
	int first = reply_code / 100;

	if (first != 2 && first != 4 && first != 5)
		return ENHANCED(0, 0, 0);
	return ENHANCED((uint8_t)first, 0, 0);
}

struct enhanced
enhanced_with_class(struct enhanced e, unsigned klass)
{
	e.klass = (uint8_t)klass;
	return e;
}
