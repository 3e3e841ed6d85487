/* SPDX-License-Identifier: ISC */
/*
 * num_test.c: numbers, times and sizes, from and to text.
 */
#include "tests/unit/unit.h"

#include "base/num.h"

#define UNTOUCHED 4711

enum kind { DEC, HEX, TIME_S, TIME_D, SIZE };

static const struct {
	const char	*text;
	enum kind	 kind;
	int		 result;
	uint64_t	 n;
} parses[] = {
	{ "0", DEC, 0, 0 },
	{ "007", DEC, 0, 7 },
	{ "1000", DEC, 0, 1000 },
	{ "1001", DEC, PK_ERANGE, 0 },
	{ "18446744073709551616", DEC, PK_ERANGE, 0 },
	{ "99999999999999999999999x", DEC, PK_ESYNTAX, 0 },
	{ "", DEC, PK_ESYNTAX, 0 },
	{ "-1", DEC, PK_ESYNTAX, 0 },
	{ "+1", DEC, PK_ESYNTAX, 0 },
	{ " 1", DEC, PK_ESYNTAX, 0 },
	{ "1 ", DEC, PK_ESYNTAX, 0 },
	{ "0x1", DEC, PK_ESYNTAX, 0 },
	{ "ffffffffffffffff", HEX, 0, UINT64_MAX },
	{ "aF09", HEX, 0, 0xaf09 },
	{ "10000000000000000", HEX, PK_ERANGE, 0 },
	{ "0000000000000000001", HEX, 0, 1 },
	{ "", HEX, PK_ESYNTAX, 0 },
	{ "g", HEX, PK_ESYNTAX, 0 },
	{ "5", TIME_S, 0, 5000 },
	{ "5", TIME_D, 0, 5 * UINT64_C(86400000) },
	{ "5s", TIME_D, 0, 5000 },
	{ "2m", TIME_S, 0, 120000 },
	{ "3H", TIME_S, 0, 10800000 },
	{ "1w", TIME_S, 0, UINT64_C(604800000) },
	{ "250ms", TIME_S, 0, 250 },
	{ "ms", TIME_S, PK_ESYNTAX, 0 },
	{ "s", TIME_S, PK_ESYNTAX, 0 },
	{ "", TIME_S, PK_ESYNTAX, 0 },
	{ "5 s", TIME_S, PK_ESYNTAX, 0 },
	{ "5x", TIME_S, PK_ESYNTAX, 0 },
	{ "99999999999999999w", TIME_S, PK_ERANGE, 0 },
	{ "512", SIZE, 0, 512 },
	{ "4k", SIZE, 0, 4096 },
	{ "2M", SIZE, 0, 2097152 },
	{ "1g", SIZE, 0, 1073741824 },
	{ "17179869184g", SIZE, PK_ERANGE, 0 },
	{ "k", SIZE, PK_ESYNTAX, 0 },
	{ "4kb", SIZE, PK_ESYNTAX, 0 },
};

static int
parse(enum kind kind, struct view v, uint64_t *n_r)
{
	switch (kind) {
	case DEC:
		return num_parse_u64(v, 0, 1000, n_r);
	case HEX:
		return num_parse_hex(v, n_r);
	case TIME_S:
		return num_parse_time_ms(v, 's', n_r);
	case TIME_D:
		return num_parse_time_ms(v, 'd', n_r);
	case SIZE:
		return num_parse_size(v, n_r);
	}
	return 0;
}

static void
reads(void **state)
{
	uint64_t n;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < NELEMS(parses); i++) {
		n = UNTOUCHED;
		r = parse(parses[i].kind, view_str(parses[i].text), &n);
		CHECK_INT(parses[i].text, r, parses[i].result);
		CHECK(parses[i].text,
		    n == (r == 0 ? parses[i].n : UNTOUCHED));
	}
	assert_int_equal(num_parse_u64(VIEW("3"), 4, 9, &n), PK_ERANGE);
	assert_int_equal(num_parse_u64(VIEW("18446744073709551615"), 0,
	    UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
}

static void
writes(void **state)
{
	static const struct {
		uint64_t	 n;
		const char	*duration;
		const char	*size;
	} rows[] = {
		{ 0, "0s", "0 B" },
		{ 999, "0s", "999 B" },
		{ 1024, "1s", "1.0 KB" },
		{ 302000, "5m 2s", "294.9 KB" },
		{ 3600000, "1h", "3.4 MB" },
		{ UINT64_C(273600000), "3d 4h", "260.9 MB" },
		{ UINT64_C(259260000), "3d", "247.2 MB" },
		{ UINT64_MAX, "213503982334d 14h", "16383.9 PB" },
	};
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < NELEMS(rows); i++) {
		num_put_duration(&b, rows[i].n);
		CHECK_VIEW("duration", buf_view(&b), rows[i].duration);
		buf_reset(&b);
		num_put_size(&b, rows[i].n);
		CHECK_VIEW("size", buf_view(&b), rows[i].size);
		buf_reset(&b);
	}
	buf_fini(&b);
}

UNIT_MAIN(
	cmocka_unit_test(reads),
	cmocka_unit_test(writes)
)
