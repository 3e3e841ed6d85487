/* SPDX-License-Identifier: ISC */
/*
 * date.c: RFC 3339 and RFC 5322 dates.
 *
 * Run by smtpd (HOLDUNTIL) and whoever reads Date: fields, unprivileged. The
 * text is a stranger's. Days are counted by arithmetic, not by mktime(): no
 * zone files, no locale, same answer everywhere.
 */
#include "mail/date.h"

#include "base/error.h"
#include "base/mem.h"

struct cursor {
	struct view	v;
	size_t		pos;
};

struct civil {
	unsigned	year, month, day, hour, minute, second, ms;
	int		offset_min;	/* east of UTC */
};

/* Between least and most digits; false when there are fewer. */
static bool
take_number(struct cursor *c, unsigned least, unsigned most, unsigned *n_r)
{
	unsigned n = 0, digits = 0;

	while (c->pos < c->v.len && digits < most &&
	    ascii_isdigit(c->v.p[c->pos])) {
		n = n * 10 + (unsigned)(c->v.p[c->pos++] - '0');
		digits++;
	}
	if (digits < least)
		return false;
	*n_r = n;
	return true;
}

static bool
take(struct cursor *c, char wanted)
{
	if (c->pos >= c->v.len || c->v.p[c->pos] != wanted)
		return false;
	c->pos++;
	return true;
}

static void
skip_blanks(struct cursor *c)
{
	while (c->pos < c->v.len && ascii_isspace(c->v.p[c->pos]))
		c->pos++;
}

static struct view
take_word(struct cursor *c)
{
	size_t start = c->pos;

	while (c->pos < c->v.len && ascii_isalpha(c->v.p[c->pos]))
		c->pos++;
	return view_of(c->v.p + start, c->pos - start);
}

/* Days since 1970-01-01 of a Gregorian date, year from 1970 on. */
static uint64_t
days_from_civil(unsigned y, unsigned m, unsigned d)
{
	unsigned era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y % 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return (uint64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy -
	    719468;
}

static unsigned
days_in_month(unsigned y, unsigned m)
{
	static const unsigned char days[12] =
	    { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

static int
civil_to_ms(const struct civil *t, uint64_t *wall_ms_r)
{
	int64_t s;

	if (t->year < 1970 || t->year > 9999 || t->month < 1 || t->month > 12 ||
	    t->day < 1 || t->day > days_in_month(t->year, t->month) ||
	    t->hour > 23 || t->minute > 59 || t->second > 60)
		return PK_ERANGE;
	s = (int64_t)days_from_civil(t->year, t->month, t->day) * 86400 +
	    (int64_t)t->hour * 3600 + (int64_t)t->minute * 60 + t->second -
	    (int64_t)t->offset_min * 60;
	if (s < 0)
		return PK_ERANGE;
	*wall_ms_r = (uint64_t)s * 1000 + t->ms;
	return 0;
}

/* Digits behind the point; what is finer than a millisecond is dropped. */
static bool
take_fraction(struct cursor *c, unsigned *ms_r)
{
	unsigned ms = 0, digits = 0, dropped;

	while (digits < 3 && take_number(c, 1, 1, &dropped)) {
		ms = ms * 10 + dropped;
		digits++;
	}
	if (digits == 0)
		return false;
	for (unsigned i = digits; i < 3; i++)
		ms *= 10;
	while (take_number(c, 1, 1, &dropped))
		continue;
	*ms_r = ms;
	return true;
}

/* "Z", "+hh:mm", "-hh:mm" */
static bool
take_rfc3339_offset(struct cursor *c, int *min_r)
{
	unsigned h, m;
	bool west;

	if (take(c, 'Z') || take(c, 'z')) {
		*min_r = 0;
		return true;
	}
	west = take(c, '-');
	if (!west && !take(c, '+'))
		return false;
	if (!take_number(c, 2, 2, &h) || !take(c, ':') ||
	    !take_number(c, 2, 2, &m) || h > 23 || m > 59)
		return false;
	*min_r = (int)(h * 60 + m) * (west ? -1 : 1);
	return true;
}

int
date_parse_rfc3339(struct view v, uint64_t *wall_ms_r)
{
	struct cursor c = { .v = v };
	struct civil t = { .ms = 0 };

	if (!take_number(&c, 4, 4, &t.year) || !take(&c, '-') ||
	    !take_number(&c, 2, 2, &t.month) || !take(&c, '-') ||
	    !take_number(&c, 2, 2, &t.day) ||
	    (!take(&c, 'T') && !take(&c, 't') && !take(&c, ' ')) ||
	    !take_number(&c, 2, 2, &t.hour) || !take(&c, ':') ||
	    !take_number(&c, 2, 2, &t.minute) || !take(&c, ':') ||
	    !take_number(&c, 2, 2, &t.second))
		return PK_ESYNTAX;
	if (take(&c, '.') && !take_fraction(&c, &t.ms))
		return PK_ESYNTAX;
	if (!take_rfc3339_offset(&c, &t.offset_min) || c.pos != v.len)
		return PK_ESYNTAX;
	return civil_to_ms(&t, wall_ms_r);
}

static unsigned
month_number(struct view word)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	if (word.len < 3)
		return 0;
	for (unsigned m = 0; m < 12; m++)
		if (view_caseeq(view_head(word, 3), view_of(names + 3 * m, 3)))
			return m + 1;
	return 0;
}

/* Numeric or one of RFC 5322's names; others count as UTC, as 4.3 says. */
static bool
take_zone(struct cursor *c, int *min_r)
{
	static const struct { const char name[4]; int hours; } zones[] = {
		{ "EDT", -4 }, { "EST", -5 }, { "CDT", -5 }, { "CST", -6 },
		{ "MDT", -6 }, { "MST", -7 }, { "PDT", -7 }, { "PST", -8 },
	};
	struct view word;
	unsigned n;
	bool west;

	west = take(c, '-');
	if (west || take(c, '+')) {
		if (!take_number(c, 4, 4, &n) || n / 100 > 23 || n % 100 > 59)
			return false;
		*min_r = (int)(n / 100 * 60 + n % 100) * (west ? -1 : 1);
		return true;
	}
	*min_r = 0;
	word = take_word(c);
	for (size_t i = 0; i < NELEMS(zones); i++)
		if (view_caseeq(word, view_str(zones[i].name)))
			*min_r = zones[i].hours * 60;
	return true;
}

int
date_parse_rfc5322(struct view v, uint64_t *wall_ms_r)
{
	struct cursor c = { .v = v };
	struct civil t = { .ms = 0 };
	size_t start;

	skip_blanks(&c);
	if (take_word(&c).len > 0)
		take(&c, ',');
	skip_blanks(&c);
	if (!take_number(&c, 1, 2, &t.day))
		return PK_ESYNTAX;
	skip_blanks(&c);
	t.month = month_number(take_word(&c));
	skip_blanks(&c);
	start = c.pos;
	if (t.month == 0 || !take_number(&c, 2, 4, &t.year))
		return PK_ESYNTAX;
	if (c.pos - start < 4)
		t.year += c.pos - start == 2 && t.year < 50 ? 2000 : 1900;
	skip_blanks(&c);
	if (!take_number(&c, 1, 2, &t.hour) || !take(&c, ':') ||
	    !take_number(&c, 2, 2, &t.minute))
		return PK_ESYNTAX;
	if (take(&c, ':') && !take_number(&c, 2, 2, &t.second))
		return PK_ESYNTAX;
	skip_blanks(&c);
	if (!take_zone(&c, &t.offset_min))
		return PK_ESYNTAX;
	return civil_to_ms(&t, wall_ms_r);
}
