/* SPDX-License-Identifier: ISC */
/*
 * Counters of failed logins: windows that slide, marks, several processes,
 * and what a flood of keys pushes out.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/fail_limits.h"
#include "tests/unit/unit.h"

#define UNIT	600000ULL
#define NOW	(1000 * UNIT)

static void
test_counts_slide(void **state)
{
	struct fail_limits *f = fail_limits_map(-1);
	int i;

	(void)state;
	assert_non_null(f);
	for (i = 0; i < 10; i++)
		fail_limits_add(f, 1, VIEW("a"), VIEW("a"), UNIT, NOW);
	assert_int_equal(fail_limits_count(f, 1, VIEW("a"), UNIT, NOW), 10);
	assert_int_equal(fail_limits_count(f, 2, VIEW("a"), UNIT, NOW), 0);
	assert_int_equal(fail_limits_count(f, 1, VIEW("b"), UNIT, NOW), 0);
	/* In the next unit they weigh less and less. */
	assert_int_equal(fail_limits_count(f, 1, VIEW("a"), UNIT, NOW + UNIT), 10);
	assert_int_equal(fail_limits_count(f, 1, VIEW("a"), UNIT, NOW + UNIT + UNIT / 2), 5);
	assert_int_equal(fail_limits_count(f, 1, VIEW("a"), UNIT, NOW + 2 * UNIT), 0);
	assert_true(fail_limits_clear(f, 1, VIEW("a")));
	assert_false(fail_limits_clear(f, 1, VIEW("a")));
	fail_limits_unmap(&f);
}

static void
test_two_processes(void **state)
{
	int fd = fail_limits_create();
	struct fail_limits *a = fail_limits_map(fd), *b = fail_limits_map(fd);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	fail_limits_add(a, 1, VIEW("x"), VIEW("x"), UNIT, NOW);
	fail_limits_add(b, 1, VIEW("x"), VIEW("x"), UNIT, NOW);
	assert_int_equal(fail_limits_count(a, 1, VIEW("x"), UNIT, NOW), 2);
	fail_limits_mark(a, 4, VIEW("x y"), NOW);
	assert_true(fail_limits_marked(b, 4, VIEW("x y"), UNIT, NOW + 1000));
	assert_false(fail_limits_marked(b, 4, VIEW("x y"), UNIT, NOW + 2 * UNIT));
	assert_false(fail_limits_marked(b, 4, VIEW("x z"), UNIT, NOW));
	/* Nobody can cut it off under the others. */
	assert_int_equal(ftruncate(fd, 10), -1);
	fail_limits_unmap(&a);
	fail_limits_unmap(&b);
	close(fd);
	assert_null(fail_limits_map(0));
}

static void
count_rows(struct view name, uint32_t count, uint64_t seen_ms, void *arg)
{
	(void)name, (void)seen_ms;
	*(unsigned *)arg += count;
}

static void
test_a_flood_leaves_good_names(void **state)
{
	struct fail_limits *f = fail_limits_map(-1);
	unsigned seen = 0, n;
	char key[32];
	int i;

	(void)state;
	fail_limits_mark(f, 4, VIEW("owner"), NOW);
	for (i = 0; i < 500000; i++) {
		snprintf(key, sizeof(key), "user%d", i);
		fail_limits_add(f, 2, view_str(key), view_str(key), UNIT, NOW + 1);
	}
	assert_true(fail_limits_marked(f, 4, VIEW("owner"), UNIT, NOW + 1));
	assert_int_equal(fail_limits_count(f, 2, view_str(key), UNIT, NOW + 1), 1);
	n = fail_limits_each(f, 2, UNIT, NOW + 1, count_rows, &seen);
	assert_int_equal(n, seen);
	assert_true(seen > 10000 && seen < 500000);
	assert_int_equal(fail_limits_each(f, 1, UNIT, NOW + 1, count_rows, &seen), 0);
	fail_limits_unmap(&f);
}

UNIT_MAIN(cmocka_unit_test(test_counts_slide), cmocka_unit_test(test_two_processes),
    cmocka_unit_test(test_a_flood_leaves_good_names))
