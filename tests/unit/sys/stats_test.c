/* SPDX-License-Identifier: ISC */
/*
 * stats_test.c: counting in shared pages, reading and retiring them.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/stats.h"

static void
test_pages(void **state)
{
	static struct stats_sum sum;
	int fd = stats_create();

	(void)state;
	assert_true(fd >= 0);
	/* What was counted before the page came is not lost. */
	stats_add(STATS_C_smtpd_connections, 2);
	assert_int_equal(stats_map_own(fd, 0), PK_ERANGE);
	assert_int_equal(stats_map_own(fd, STATS_PAGES_MAX), PK_ERANGE);
	assert_int_equal(stats_map_own(fd, 1), 0);
	stats_add(STATS_C_smtpd_connections, 3);
	stats_set(STATS_C_smtpd_sessions, 7);
	assert_int_equal(stats_read(fd, &sum), 0);
	assert_int_equal(sum.counters[STATS_C_smtpd_connections], 5);
	assert_int_equal(sum.counters[STATS_C_smtpd_sessions], 7);
	/* Another process. */
	assert_int_equal(stats_map_own(fd, 2), 0);
	stats_add(STATS_C_smtpd_connections, 10);
	stats_set(STATS_C_smtpd_sessions, 1);
	assert_int_equal(stats_read(fd, &sum), 0);
	assert_int_equal(sum.counters[STATS_C_smtpd_connections], 15);
	assert_int_equal(sum.counters[STATS_C_smtpd_sessions], 8);
	/* The first one dies: its counts stay, its sessions do not. */
	assert_int_equal(stats_retire_page(fd, 1), 0);
	assert_int_equal(stats_retire_page(fd, 0), PK_ERANGE);
	assert_int_equal(stats_read(fd, &sum), 0);
	assert_int_equal(sum.counters[STATS_C_smtpd_connections], 15);
	assert_int_equal(sum.counters[STATS_C_smtpd_sessions], 1);
	fd_close(&fd);
}

static void
test_histogram(void **state)
{
	static const struct {
		uint64_t value;
		unsigned bucket;
	} rows[] = {
		{ 0, 0 }, { 1, 1 }, { 2, 2 }, { 3, 2 }, { 4, 3 }, { 1023, 10 },
		{ 1024, 11 }, { UINT64_MAX, STATS_BUCKETS - 1 },
	};
	static struct stats_sum sum;
	int fd = stats_create();
	size_t i;

	(void)state;
	assert_int_equal(stats_map_own(fd, 5), 0);
	for (i = 0; i < NELEMS(rows); i++) {
		memset(&sum, 0, sizeof(sum));
		stats_observe(STATS_H_dns_us, rows[i].value);
		assert_int_equal(stats_read(fd, &sum), 0);
		assert_true(sum.buckets[STATS_H_dns_us][rows[i].bucket] > 0);
	}
	fd_close(&fd);
}

static void
test_short_file(void **state)
{
	static struct stats_sum sum;
	int fd = fd_sealed_memfd("short", VIEW("too short"));

	(void)state;
	assert_int_equal(stats_read(fd, &sum), PK_EFORMAT);
	assert_int_equal(stats_retire_page(fd, 1), PK_EFORMAT);
	fd_close(&fd);
}

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < STATS_COUNTERS; i++)
		assert_true(stats_counter_rows[i].name != NULL &&
		    stats_counter_rows[i].text != NULL);
	for (i = 0; i < STATS_HISTOGRAMS; i++)
		assert_int_equal(stats_histogram_rows[i].kind, 'h');
}

UNIT_MAIN(cmocka_unit_test(test_pages),
    cmocka_unit_test(test_histogram),
    cmocka_unit_test(test_short_file),
    cmocka_unit_test(test_rows))
