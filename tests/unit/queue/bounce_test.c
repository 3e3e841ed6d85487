/* SPDX-License-Identifier: ISC */
/*
 * bounce_test.c: the account of failures: what goes in comes out, and a
 * damaged one is refused at every length.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "mail/dsn.h"
#include "queue/bounce.h"

static void
encode_sample(struct buf *b)
{
	struct bounce_row row = {
		.index = 3, .action = DSN_FAILED, .last_attempt_ms = 1700000000123,
		.dsn = VIEW("5.1.1"), .reply = VIEW("550 5.1.1 no such user"),
		.relay = VIEW("mx.example.test[192.0.2.1]:25"),
	};

	buf_init(b, 65536);
	assert_int_equal(bounce_encode_begin(b, BOUNCE_FAILED), 0);
	assert_int_equal(bounce_encode_row(b, &row), 0);
	row.index = 7;
	row.relay = VIEW_NONE;
	assert_int_equal(bounce_encode_row(b, &row), 0);
	assert_int_equal(bounce_encode_end(b), 0);
}

static void
test_round_trip(void **state)
{
	struct bounce_reader r;
	struct bounce_row row;
	struct buf b;

	(void)state;
	encode_sample(&b);
	assert_int_equal(bounce_decode_begin(&r, buf_view(&b)), 0);
	assert_int_equal(r.kind, BOUNCE_FAILED);
	assert_int_equal(r.rows, 2);
	assert_int_equal(bounce_decode_row(&r, &row), 0);
	assert_int_equal(row.index, 3);
	assert_int_equal(row.last_attempt_ms, 1700000000123);
	assert_true(view_eq(row.reply, VIEW("550 5.1.1 no such user")));
	assert_int_equal(bounce_decode_row(&r, &row), 0);
	assert_int_equal(row.index, 7);
	assert_int_equal(row.relay.len, 0);
	assert_int_equal(bounce_decode_row(&r, &row), PK_EEND);
	buf_fini(&b);
}

static void
test_damaged(void **state)
{
	struct bounce_reader r;
	struct bounce_row row;
	struct buf b;
	size_t len;
	int rc;

	(void)state;
	encode_sample(&b);
	for (len = 0; len < b.len; len++) {
		rc = bounce_decode_begin(&r, view_head(buf_view(&b), len));
		while (rc == 0)
			rc = bounce_decode_row(&r, &row);
		assert_int_equal(rc, PK_EFORMAT);
	}
	/* A byte too many, a wrong version, kind and action. */
	buf_put_char(&b, 'x');
	assert_int_equal(bounce_decode_begin(&r, buf_view(&b)), 0);
	while ((rc = bounce_decode_row(&r, &row)) == 0)
		;
	assert_int_equal(rc, PK_EFORMAT);
	buf_data(&b)[12] = 99;
	assert_int_equal(bounce_decode_begin(&r, buf_view(&b)), 0);
	assert_int_equal(bounce_decode_row(&r, &row), PK_EFORMAT);
	buf_data(&b)[1] = BOUNCE_KINDS;
	assert_int_equal(bounce_decode_begin(&r, buf_view(&b)), PK_EFORMAT);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("bounce", tests, NULL, NULL);
}
