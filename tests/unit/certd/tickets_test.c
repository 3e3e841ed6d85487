/* SPDX-License-Identifier: ISC */
/*
 * tickets_test.c: session ticket secrets turn over, and outlive the process.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "certd/tickets.h"
#include "tests/unit/certd/certs.h"

#define HOUR	3600000ULL
#define NOW	(1000 * HOUR)		/* monotonic */
#define WALL	(500000 * HOUR)

static void
rotation_keeps_what_still_opens(void **state)
{
	uint8_t first[TICKET_SECRET_SIZE];
	struct tickets t;

	(void)state;
	tickets_init(&t, -1, NOW, WALL, HOUR, HOUR);
	assert_int_equal(t.count, 1);
	memcpy(first, t.secrets[0].bytes, sizeof(first));
	assert_false(tickets_turn(&t, NOW + HOUR - 1, HOUR, HOUR));
	assert_int_equal(tickets_due_ms(&t, NOW + HOUR - 1, HOUR, HOUR), 1);
	assert_true(tickets_turn(&t, NOW + HOUR, HOUR, HOUR));
	assert_int_equal(t.count, 2);
	assert_memory_equal(t.secrets[1].bytes, first, sizeof(first));
	assert_memory_not_equal(t.secrets[0].bytes, first, sizeof(first));
	/* Retired for as long as a session lasts: gone, and the next one is there. */
	assert_true(tickets_turn(&t, NOW + 2 * HOUR, HOUR, HOUR));
	assert_int_equal(t.count, 2);
	assert_memory_not_equal(t.secrets[1].bytes, first, sizeof(first));
	tickets_fini(&t);
}

static void
number_is_limited(void **state)
{
	struct tickets t;
	unsigned i;

	(void)state;
	tickets_init(&t, -1, NOW, WALL, HOUR, 100 * HOUR);
	for (i = 0; i < 10; i++)
		tickets_rotate(&t, NOW + i);
	assert_int_equal(t.count, TICKET_SECRETS_MAX);
	for (i = 1; i < t.count; i++)
		assert_memory_not_equal(t.secrets[i].bytes, t.secrets[i - 1].bytes,
		    TICKET_SECRET_SIZE);
	tickets_fini(&t);
}

static int
file(const char *name)
{
	char *path = xasprintf("%s/%s", certs_dir(), name);
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	xfree(path);
	assert_true(fd >= 0);
	return fd;
}

static void
next_process_takes_over(void **state)
{
	static const struct {
		const char	*name;
		int64_t		 wall_later_ms;
		unsigned	 count;
		bool		 same_first;
	} rows[] = {
		{ "at once", 0, 2, true },
		{ "half an hour later", HOUR / 2, 2, true },
		{ "period over: a new first one", HOUR + 1, 2, false },
		{ "F6 a clock set back a day", -24 * (int64_t)HOUR, 2, true },
		{ "F6 a clock a year ahead", 9000 * (int64_t)HOUR, 2, false },
	};
	struct tickets old, new;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		tickets_init(&old, file(rows[i].name), NOW, WALL, HOUR, HOUR);
		tickets_rotate(&old, NOW);
		CHECK_INT(rows[i].name, tickets_save(&old, NOW, WALL), 0);
		/* Another boot: its monotonic clock begins at zero. */
		tickets_init(&new, file(rows[i].name), 5000,
		    (uint64_t)((int64_t)WALL + rows[i].wall_later_ms), HOUR, HOUR);
		CHECK_INT(rows[i].name, new.count >= 1, 1);
		CHECK(rows[i].name, (memcmp(old.secrets[0].bytes, new.secrets[0].bytes,
		    TICKET_SECRET_SIZE) == 0) == rows[i].same_first);
		if (rows[i].same_first)
			CHECK_INT(rows[i].name, new.count, rows[i].count);
		tickets_fini(&old);
		tickets_fini(&new);
	}
}

static void
damaged_file_is_not_taken(void **state)
{
	uint8_t first[TICKET_SECRET_SIZE];
	struct tickets t;
	int fd;

	(void)state;
	tickets_init(&t, file("damaged"), NOW, WALL, HOUR, HOUR);
	memcpy(first, t.secrets[0].bytes, sizeof(first));
	assert_int_equal(tickets_save(&t, NOW, WALL), 0);
	tickets_fini(&t);
	fd = file("damaged");
	assert_int_equal(pwrite(fd, "x", 1, 30), 1);
	tickets_init(&t, fd, NOW, WALL, HOUR, HOUR);
	assert_int_equal(t.count, 1);
	assert_memory_not_equal(t.secrets[0].bytes, first, sizeof(first));
	tickets_fini(&t);
	fd = file("damaged");
	assert_int_equal(ftruncate(fd, 100), 0);
	tickets_init(&t, fd, NOW, WALL, HOUR, HOUR);
	assert_int_equal(t.count, 1);
	tickets_fini(&t);
}

UNIT_MAIN(cmocka_unit_test(rotation_keeps_what_still_opens), cmocka_unit_test(number_is_limited),
    cmocka_unit_test(next_process_takes_over), cmocka_unit_test(damaged_file_is_not_taken))
