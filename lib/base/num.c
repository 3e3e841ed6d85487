/* SPDX-License-Identifier: ISC */
/*
 * num.c: numbers from text and text from numbers.
 *
 * Linked into every process; reads what peers and administrators wrote. The
 * C library's readers take signs, blanks, prefixes and whatever stands behind
 * the number; here the whole view is the number or there is none.
 */
#include "base/num.h"

#include "base/error.h"
#include "base/mem.h"

#define MINUTE_MS	UINT64_C(60000)
#define HOUR_MS		(60 * MINUTE_MS)
#define DAY_MS		(24 * HOUR_MS)

int
num_parse_u64(struct view v, uint64_t least, uint64_t greatest, uint64_t *n_r)
{
	bool over = false;
	uint64_t n = 0;
	size_t i;

	if (v.len == 0)
		return PK_ESYNTAX;
	for (i = 0; i < v.len; i++) {
		if (!ascii_isdigit(v.p[i]))
			return PK_ESYNTAX;
		over |= __builtin_mul_overflow(n, 10, &n);
		over |= __builtin_add_overflow(n,
		    (unsigned)(v.p[i] - '0'), &n);
	}
	if (over || n < least || n > greatest)
		return PK_ERANGE;
	*n_r = n;
	return 0;
}

int
num_parse_hex(struct view v, uint64_t *n_r)
{
	bool over = false;
	uint64_t n = 0;
	unsigned d;
	size_t i;
	char c;

	if (v.len == 0)
		return PK_ESYNTAX;
	for (i = 0; i < v.len; i++) {
		c = ascii_lower(v.p[i]);
		if (ascii_isdigit(c))
			d = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			d = (unsigned)(c - 'a') + 10;
		else
			return PK_ESYNTAX;
		over |= n >> 60 != 0;
		n = n << 4 | d;
	}
	if (over)
		return PK_ERANGE;
	*n_r = n;
	return 0;
}

/* Milliseconds in a unit, 0 if it is none. */
static uint64_t
unit_ms(char unit)
{
	switch (ascii_lower(unit)) {
	case 's':
		return 1000;
	case 'm':
		return MINUTE_MS;
	case 'h':
		return HOUR_MS;
	case 'd':
		return DAY_MS;
	case 'w':
		return 7 * DAY_MS;
	}
	return 0;
}

/* Parses the digits and multiplies. */
static int
scaled(struct view digits, uint64_t scale, uint64_t *n_r)
{
	uint64_t n;
	int r;

	r = num_parse_u64(digits, 0, UINT64_MAX / scale, &n);
	if (r != 0)
		return r;
	*n_r = n * scale;
	return 0;
}

int
num_parse_time_ms(struct view v, char unit, uint64_t *ms_r)
{
	uint64_t scale = unit_ms(unit), given;

	if (v.len == 0 || scale == 0)
		return PK_ESYNTAX;
	if (v.len > 2 && view_caseends(v, VIEW("ms")))
		return scaled(view_head(v, v.len - 2), 1, ms_r);
	given = unit_ms(v.p[v.len - 1]);
	if (given != 0)
		return scaled(view_head(v, v.len - 1), given, ms_r);
	return scaled(v, scale, ms_r);
}

int
num_parse_size(struct view v, uint64_t *bytes_r)
{
	unsigned shift = 0;

	if (v.len == 0)
		return PK_ESYNTAX;
	switch (ascii_lower(v.p[v.len - 1])) {
	case 'k':
		shift = 10;
		break;
	case 'm':
		shift = 20;
		break;
	case 'g':
		shift = 30;
		break;
	}
	if (shift > 0)
		v.len--;
	return scaled(v, UINT64_C(1) << shift, bytes_r);
}

void
num_put_duration(struct buf *b, uint64_t ms)
{
	static const struct {
		uint64_t	ms;
		char		name;
	} units[] = {
		{ DAY_MS, 'd' }, { HOUR_MS, 'h' }, { MINUTE_MS, 'm' },
		{ 1000, 's' },
	};
	size_t i = 0;

	while (i + 1 < NELEMS(units) && ms < units[i].ms)
		i++;
	buf_put_u64(b, ms / units[i].ms);
	buf_put_char(b, units[i].name);
	ms %= units[i].ms;
	if (++i == NELEMS(units) || ms < units[i].ms)
		return;
	buf_put_char(b, ' ');
	buf_put_u64(b, ms / units[i].ms);
	buf_put_char(b, units[i].name);
}

void
num_put_size(struct buf *b, uint64_t bytes)
{
	static const char *const units[] = { "KB", "MB", "GB", "TB", "PB" };
	uint64_t tenths;
	size_t i = 0;

	if (bytes < 1024) {
		buf_put_u64(b, bytes);
		buf_put_str(b, " B");
		return;
	}
	/* Whole units first: ten times a great number could overflow. */
	while (i + 1 < NELEMS(units) && bytes >= 1024 * 1024) {
		bytes >>= 10;
		i++;
	}
	tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024;
	buf_put_u64(b, tenths / 10);
	buf_put_char(b, '.');
	buf_put_u64(b, tenths % 10);
	buf_put_char(b, ' ');
	buf_put_str(b, units[i]);
}
