/* SPDX-License-Identifier: ISC */
/*
 * date_test.c: dates from commands and headers.
 */
#include "tests/unit/unit.h"

#include "mail/date.h"

#define T0 UINT64_C(1795187849000)	/* 2026-11-20T15:17:29Z */

static const struct {
	const char	*text;
	bool		 header;
	int		 result;
	uint64_t	 ms;
} cases[] = {
	{ "2026-11-20T15:17:29Z", false, 0, T0 },
	{ "2026-11-20t15:17:29.5z", false, 0, T0 + 500 },
	{ "2026-11-20T16:17:29.123456+01:00", false, 0, T0 + 123 },
	{ "2026-11-20T10:17:29-05:00", false, 0, T0 },
	{ "1970-01-01T00:00:00Z", false, 0, 0 },
	{ "2024-02-29T00:00:00Z", false, 0, UINT64_C(1709164800000) },
	{ "2023-02-29T00:00:00Z", false, PK_ERANGE, 0 },
	{ "1969-12-31T23:59:59Z", false, PK_ERANGE, 0 },
	{ "1970-01-01T00:00:00+01:00", false, PK_ERANGE, 0 },
	{ "2026-13-01T00:00:00Z", false, PK_ERANGE, 0 },
	{ "2026-11-20T15:17:29", false, PK_ESYNTAX, 0 },
	{ "2026-11-20T15:17:29Zx", false, PK_ESYNTAX, 0 },
	{ "2026-11-20T15:17:29.Z", false, PK_ESYNTAX, 0 },
	{ "", false, PK_ESYNTAX, 0 },
	{ "Fri, 20 Nov 2026 15:17:29 +0000", true, 0, T0 },
	{ " 20 Nov 2026 15:17:29 GMT (now)", true, 0, T0 },
	{ "Fri,20 Nov 26 10:17:29 EST", true, 0, T0 },
	{ "Fri, 20 Nov 2026 16:17 +0100", true, 0, T0 - 29000 },
	{ "Fri, 20 Nov 2026 15:17:29", true, 0, T0 },
	{ "20 Nov 99 00:00:00 Z", true, 0, UINT64_C(943056000000) },
	{ "Fri, 31 Nov 2026 15:17:29 +0000", true, PK_ERANGE, 0 },
	{ "Fri, 20 Foo 2026 15:17:29 +0000", true, PK_ESYNTAX, 0 },
	{ "yesterday", true, PK_ESYNTAX, 0 },
	{ "", true, PK_ESYNTAX, 0 },
};

static void
test_dates(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct view v = view_str(cases[i].text);
		uint64_t ms = 0;

		CHECK_INT(cases[i].text, cases[i].header ?
		    date_parse_rfc5322(v, &ms) : date_parse_rfc3339(v, &ms),
		    cases[i].result);
		CHECK_INT(cases[i].text, ms, cases[i].ms);
	}
}

UNIT_MAIN(cmocka_unit_test(test_dates))
