/* SPDX-License-Identifier: ISC */
/*
 * clock_test.c: dates as the RFCs write them, in zones east and west.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "base/clock.h"

static void
prints(void **state)
{
	static const struct {
		const char	*zone;
		uint64_t	 ms;
		const char	*rfc5322;
		const char	*rfc3339;
	} rows[] = {
		{ "UTC0", UINT64_C(1795101449123),
		    "Thu, 19 Nov 2026 15:17:29 +0000",
		    "2026-11-19T15:17:29.123+00:00" },
		{ "CET-1", UINT64_C(1795101449000),
		    "Thu, 19 Nov 2026 16:17:29 +0100",
		    "2026-11-19T16:17:29.000+01:00" },
		{ "NST3:30", UINT64_C(1795101449000),
		    "Thu, 19 Nov 2026 11:47:29 -0330",
		    "2026-11-19T11:47:29.000-03:30" },
		{ "UTC0", 0, "Thu, 1 Jan 1970 00:00:00 +0000",
		    "1970-01-01T00:00:00.000+00:00" },
	};
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < NELEMS(rows); i++) {
		setenv("TZ", rows[i].zone, 1);
		clock_init();
		clock_put_rfc5322(&b, rows[i].ms);
		CHECK_VIEW(rows[i].zone, buf_view(&b), rows[i].rfc5322);
		buf_reset(&b);
		clock_put_rfc3339(&b, rows[i].ms);
		CHECK_VIEW(rows[i].zone, buf_view(&b), rows[i].rfc3339);
		buf_reset(&b);
	}
	buf_fini(&b);
}

static void
advances(void **state)
{
	uint64_t before = clock_mono_ns();

	(void)state;
	assert_true(clock_mono_ns() >= before);
	assert_true(clock_mono_ms() >= before / 1000000);
	/* After 2020: the wall clock is in milliseconds. */
	assert_true(clock_wall_ms() > UINT64_C(1577836800000));
}

UNIT_MAIN(
	cmocka_unit_test(prints),
	cmocka_unit_test(advances)
)
