/* SPDX-License-Identifier: ISC */
/*
 * buf_test.c: limits, growth and consumption of buffers.
 */
#include "tests/unit/unit.h"

#include <string.h>

static void
refuses_whole(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_int_equal(buf_put_str(&b, "abc"), 0);
	assert_int_equal(buf_put_str(&b, "def"), PK_ELIMIT);
	CHECK_VIEW("nothing of it is there", buf_view(&b), "abc");
	/* It would fit, but not behind a hole. */
	assert_int_equal(buf_put_str(&b, "d"), PK_ELIMIT);
	assert_int_equal(buf_put(&b, "", 0), PK_ELIMIT);
	assert_int_equal(buf_error(&b), PK_ELIMIT);
	buf_reset(&b);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(buf_put_str(&b, "abcde"), 0);
	assert_int_equal(buf_printf(&b, "%d", 1), PK_ELIMIT);
	CHECK_VIEW("printf too", buf_view(&b), "abcde");
	buf_fini(&b);
}

static void
knows_no_overflow(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	assert_int_equal(buf_put_char(&b, 'a'), 0);
	assert_null(buf_room(&b, SIZE_MAX));
	assert_int_equal(buf_error(&b), PK_ELIMIT);
	buf_fini(&b);
}

static void
empty_is_harmless(void **state)
{
	struct buf b;
	size_t len = 1;
	char *s;

	(void)state;
	buf_init(&b, 0);
	assert_string_equal(buf_cstr(&b), "");
	CHECK_VIEW("view", buf_view(&b), "");
	buf_consume(&b, 3);
	buf_truncate(&b, 3);
	assert_int_equal(buf_put(&b, NULL, 0), 0);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	s = buf_steal(&b, &len);
	assert_string_equal(s, "");
	assert_int_equal(len, 0);
	xfree(s);
	buf_fini(&b);
}

static void
formats(void **state)
{
	char longer[300];
	struct buf b;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	buf_init(&b, 1000);
	buf_put_u64(&b, 0);
	buf_put_char(&b, ' ');
	buf_put_u64(&b, UINT64_MAX);
	assert_int_equal(buf_printf(&b, " %s-%03d", "a", 7), 0);
	CHECK_VIEW("short", buf_view(&b), "0 18446744073709551615 a-007");
	buf_reset(&b);
	assert_int_equal(buf_printf(&b, "%s!", longer), 0);
	assert_int_equal(b.len, 300);
	assert_memory_equal(buf_data(&b), longer, 299);
	assert_int_equal(buf_data(&b)[299], '!');
	buf_fini(&b);
}

static void
steals(void **state)
{
	struct buf b;
	size_t len;
	char *s;

	(void)state;
	buf_init(&b, 100);
	buf_put_str(&b, "abcdef");
	buf_consume(&b, 2);
	s = buf_steal(&b, &len);
	assert_string_equal(s, "cdef");
	assert_int_equal(len, 4);
	xfree(s);
	assert_int_equal(buf_put_str(&b, "again"), 0);
	s = buf_steal(&b, NULL);
	assert_string_equal(s, "again");
	xfree(s);
}

/* A stream through a buffer, held against the same bytes counted. */
static void
streams(void **state)
{
	unsigned char next_in = 0, next_out = 0;
	size_t round, i, n;
	struct buf b;

	(void)state;
	buf_init(&b, 500);
	for (round = 0; round < 5000; round++) {
		n = round * 7 % 61;
		for (i = 0; i < n && b.len < 500; i++)
			assert_int_equal(buf_put_char(&b, (char)next_in++), 0);
		n = round * 11 % 59;
		for (i = 0; i < n && i < b.len; i++)
			assert_int_equal((unsigned char)buf_data(&b)[i],
			    next_out++);
		buf_consume(&b, i);
		if (round % 97 == 0) {
			while (b.len > 0) {
				assert_int_equal((unsigned char)*buf_data(&b),
				    next_out++);
				buf_consume(&b, 1);
			}
		}
		assert_true(b.cap <= 2 * 501);
	}
	assert_int_equal(buf_error(&b), 0);
	buf_fini(&b);
}

/* A full buffer consumed byte by byte must not move all each time. */
static void
slides(void **state)
{
	size_t moved = 0, i;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	while (b.len < 4096)
		buf_put_char(&b, 'x');
	for (i = 0; i < 10000; i++) {
		buf_consume(&b, 1);
		buf_put_char(&b, 'y');
		moved += b.off == 0;
	}
	assert_int_equal(b.len, 4096);
	assert_true(moved < 10);
	buf_fini(&b);
}

static void
writes_in_place(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 10);
	p = buf_room(&b, 10);
	assert_non_null(p);
	memcpy(p, "0123456789", 10);
	buf_added(&b, 4);
	assert_string_equal(buf_cstr(&b), "0123");
	assert_null(buf_room(&b, 7));
	buf_reset(&b);
	assert_non_null(buf_room(&b, 10));
	buf_truncate(&b, 0);
	buf_fini(&b);
}

UNIT_MAIN(
	cmocka_unit_test(refuses_whole),
	cmocka_unit_test(knows_no_overflow),
	cmocka_unit_test(empty_is_harmless),
	cmocka_unit_test(formats),
	cmocka_unit_test(steals),
	cmocka_unit_test(streams),
	cmocka_unit_test(slides),
	cmocka_unit_test(writes_in_place)
)
