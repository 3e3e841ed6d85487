/* SPDX-License-Identifier: ISC */
/*
 * expiry_test.c: what is said when, whatever the clock does (F6, F15).
 */
#include "tests/unit/unit.h"

#include "certd/expiry.h"
#include "tests/unit/certd/certs.h"

#define DAY	86400000ULL
#define MONO	(1000 * DAY)

static void
thresholds_are_sorted(void **state)
{
	uint64_t ms[EXPIRY_THRESHOLDS_MAX];

	(void)state;
	assert_int_equal(expiry_parse("1d, 30d 7d 36h", ms), 4);
	assert_true(ms[0] == 30 * DAY && ms[1] == 7 * DAY && ms[2] == 36 * 3600000 && ms[3] == DAY);
	assert_int_equal(expiry_parse("", ms), 0);
	assert_int_equal(expiry_parse("14", ms), 1);
	assert_true(ms[0] == 14 * DAY);
	unit_expect_log(LOG_LVL_ERROR, "tls_expiry_warnings: \"soon\" is left out");
	assert_int_equal(expiry_parse("soon 3d", ms), 1);
	unit_check_log();
	unit_ignore_log();
}

static void
F15_each_threshold_once_then_daily(void **state)
{
	static const struct {
		const char	*name;
		int64_t		 left_hours;	/* until its end, by the wall */
		uint64_t	 mono_hours;
		const char	*says;		/* NULL: nothing */
		enum log_level	 level;
	} rows[] = {
		{ "far", 31 * 24, 0, NULL, 0 },
		{ "30 days", 30 * 24, 1, "in 30 days: renew it", LOG_LVL_WARN },
		{ "again", 29 * 24, 24, NULL, 0 },
		{ "F6 back a year", 400 * 24, 25, NULL, 0 },
		{ "F6 and forth", 29 * 24, 26, NULL, 0 },
		{ "7 days: 14 were passed by", 7 * 24, 27, "in 7 days", LOG_LVL_WARN },
		{ "F6 back, 14 days", 14 * 24, 28, NULL, 0 },
		{ "1 day", 23, 29, "in 0 days", LOG_LVL_WARN },
		{ "over", -1, 30, "expired on", LOG_LVL_ERROR },
		{ "an hour later", -2, 31, NULL, 0 },
		{ "F6 an hour back: good again", 1, 32, NULL, 0 },
		{ "F6 and over again", -3, 33, NULL, 0 },
		{ "a day later", -27, 54, "expired on", LOG_LVL_ERROR },
		{ "F6 the wall stands still", -27, 78, "expired on", LOG_LVL_ERROR },
	};
	uint64_t ms[EXPIRY_THRESHOLDS_MAX], wall;
	struct pair *p = certs_pair(KEY_P256, CERT_SERVER);
	size_t n = expiry_parse("30d 14d 7d 1d", ms), i;
	bool said;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		wall = (uint64_t)(p->not_after_s * 1000 - rows[i].left_hours * 3600000);
		if (rows[i].says != NULL)
			unit_expect_log(rows[i].level, rows[i].says);
		said = expiry_check_pair(p, ms, n, wall, MONO + rows[i].mono_hours * 3600000);
		CHECK_INT(rows[i].name, said, rows[i].says != NULL);
		unit_check_log();
	}
	unit_ignore_log();
	pair_unref(&p);
}

static void
days_are_whole_ones(void **state)
{
	struct pair *p = certs_pair(KEY_P256, CERT_SERVER);
	uint64_t end = (uint64_t)p->not_after_s * 1000;

	(void)state;
	assert_int_equal(expiry_days(p, end - 6 * DAY), 6);
	assert_int_equal(expiry_days(p, end - 6 * DAY + 1), 5);
	assert_int_equal(expiry_days(p, end - 1), 0);
	assert_int_equal(expiry_days(p, end + 1), -1);
	assert_int_equal(expiry_days(p, end + DAY), -1);
	assert_int_equal(expiry_days(p, end + DAY + 1), -2);
	pair_unref(&p);
}

UNIT_MAIN(cmocka_unit_test(thresholds_are_sorted),
    cmocka_unit_test(F15_each_threshold_once_then_daily), cmocka_unit_test(days_are_whole_ones))
