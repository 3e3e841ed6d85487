/* SPDX-License-Identifier: ISC */
/*
 * client_limits_test.c: counters a client over several workers.
 */
#include <string.h>
#include <unistd.h>

#include "../unit.h"
#include "sys/client_limits.h"

static const uint8_t v4[4] = { 192, 0, 2, 1 }, other[4] = { 192, 0, 2, 2 };
static const uint8_t v6a[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1 };
static const uint8_t v6b[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9, 9 };
static const uint8_t v6c[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 1 };

static void
test_sessions_of_all_workers(void **state)
{
	struct client_limits *a, *b;
	int fd = client_limits_create();

	(void)state;
	assert_true(fd >= 0);
	a = client_limits_map(fd, 1);
	b = client_limits_map(fd, 2);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(client_limits_enter(a, v4, 4, 1), 1);
	assert_int_equal(client_limits_enter(b, v4, 4, 1), 2);
	assert_int_equal(client_limits_enter(b, other, 4, 1), 1);
	client_limits_leave(a, v4, 4, 2);
	assert_int_equal(client_limits_enter(a, v4, 4, 2), 2);
	/* Worker 2 dies with one session; its successor begins with none. */
	client_limits_unmap(&b);
	b = client_limits_map(fd, 2);
	assert_int_equal(client_limits_enter(b, v4, 4, 3), 2);
	/* More leaves than enters are no debt. */
	client_limits_leave(b, v4, 4, 3);
	client_limits_leave(b, v4, 4, 3);
	assert_int_equal(client_limits_enter(b, v4, 4, 3), 2);
	client_limits_unmap(&a);
	client_limits_unmap(&b);
	close(fd);
}

static void
test_prefixes(void **state)
{
	struct client_limits *c = client_limits_map(-1, 0);
	static const uint8_t far[4] = { 192, 0, 3, 1 };

	(void)state;
	assert_non_null(c);
	assert_int_equal(client_limits_rate(c, v4, 4, CLIENT_AUTH, 1000, 5000), 0);
	assert_int_equal(client_limits_count(c, v4, 4, CLIENT_AUTH, 1000, 5000), 1);
	assert_int_equal(client_limits_rate(c, v4, 4, CLIENT_AUTH, 1000, 5000), 1);
	assert_int_equal(client_limits_rate(c, v4, 4, CLIENT_AUTH, 1000, 6000), 0);
	assert_int_equal(client_limits_rate(c, other, 4, CLIENT_AUTH, 1000, 5000), 0);
	client_limits_set_prefix(c, 22, 44);
	assert_int_equal(client_limits_count(c, v4, 4, CLIENT_NEW_TLS, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, far, 4, CLIENT_NEW_TLS, 1000, 5000), 2);
	assert_int_equal(client_limits_count(c, v6a, 16, CLIENT_NEW_TLS, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, v6c, 16, CLIENT_NEW_TLS, 1000, 5000), 2);
	client_limits_set_prefix(c, 24, 128);
	assert_int_equal(client_limits_count(c, v4, 4, CLIENT_MESSAGE, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, other, 4, CLIENT_MESSAGE, 1000, 5000), 2);
	assert_int_equal(client_limits_count(c, far, 4, CLIENT_MESSAGE, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, v6a, 16, CLIENT_MESSAGE, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, v6b, 16, CLIENT_MESSAGE, 1000, 5000), 1);
	client_limits_unmap(&c);
}

static void
test_rates(void **state)
{
	struct client_limits *c = client_limits_map(-1, 0);
	int i;

	(void)state;
	assert_non_null(c);
	for (i = 1; i <= 5; i++)
		assert_int_equal(client_limits_count(c, v4, 4, CLIENT_MESSAGE, 1000, 5000), i);
	assert_int_equal(client_limits_count(c, v4, 4, CLIENT_RECIPIENT, 1000, 5000), 1);
	assert_int_equal(client_limits_count(c, v4, 4, CLIENT_MESSAGE, 1000, 6000), 1);
	/* An IPv6 client is its /64. */
	assert_int_equal(client_limits_count(c, v6a, 16, CLIENT_MESSAGE, 1000, 6000), 1);
	assert_int_equal(client_limits_count(c, v6b, 16, CLIENT_MESSAGE, 1000, 6000), 2);
	assert_int_equal(client_limits_count(c, v6c, 16, CLIENT_MESSAGE, 1000, 6000), 1);
	client_limits_unmap(&c);
	assert_null(c);
}

/* More clients than rows: those with sessions stay known. */
static void
test_flood(void **state)
{
	struct client_limits *c = client_limits_map(-1, 0);
	uint8_t address[4];
	uint32_t i;

	(void)state;
	assert_int_equal(client_limits_enter(c, v4, 4, 1), 1);
	for (i = 0; i < 200000; i++) {
		memcpy(address, &i, 4);
		client_limits_count(c, address, 4, CLIENT_CONNECTION, 1000, 2 + i);
	}
	assert_int_equal(client_limits_enter(c, v4, 4, 300000), 2);
	client_limits_unmap(&c);
}

static void
test_not_a_table(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_null(client_limits_map(fds[0], 0));
	assert_null(client_limits_map(-1, CLIENT_LIMITS_WORKERS));
	close(fds[0]);
	close(fds[1]);
}

/* One worker that cuts it off would be the end of all. */
static void
test_size_is_fixed(void **state)
{
	int fd = client_limits_create();

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 1 << 30), -1);
	close(fd);
}

UNIT_MAIN(cmocka_unit_test(test_sessions_of_all_workers), cmocka_unit_test(test_rates),
    cmocka_unit_test(test_prefixes),
    cmocka_unit_test(test_flood), cmocka_unit_test(test_not_a_table),
    cmocka_unit_test(test_size_is_fixed))
