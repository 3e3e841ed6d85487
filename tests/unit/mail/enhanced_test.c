/* SPDX-License-Identifier: ISC */
/*
 * enhanced_test.c: enhanced status codes.
 */
#include "tests/unit/unit.h"

#include "mail/enhanced.h"

static const struct {
	const char	*text;
	int		 result;
	size_t		 used;
	struct enhanced	 code;
} cases[] = {
	{ "5.1.1 no such user", 0, 5, { 5, 1, 1 } },
	{ "2.0.0", 0, 5, { 2, 0, 0 } },
	{ "4.999.123 x", 0, 9, { 4, 999, 123 } },
	{ "5.7.25\n", 0, 6, { 5, 7, 25 } },
	{ "3.1.1", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "5.1", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "5.1.", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "5..1 ", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "5.1.1x", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "5.1000.1", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "51.1.1", PK_ESYNTAX, 0, { 0, 0, 0 } },
	{ "", PK_ESYNTAX, 0, { 0, 0, 0 } },
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct enhanced e = { 0, 0, 0 };
		size_t used = 0;

		CHECK_INT(cases[i].text, enhanced_parse_prefix(
		    view_str(cases[i].text), &e, &used), cases[i].result);
		CHECK_INT(cases[i].text, used, cases[i].used);
		CHECK(cases[i].text, enhanced_eq(e, cases[i].code));
	}
}

static void
test_put(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	enhanced_put(&b, ENHANCED(0, 0, 0));
	assert_int_equal(b.len, 0);
	enhanced_put(&b, enhanced_with_class(ENHANCED(4, 7, 25), 5));
	CHECK_VIEW("class", buf_view(&b), "5.7.25");
	assert_true(enhanced_eq(enhanced_from_reply(451), ENHANCED(4, 0, 0)));
	assert_false(enhanced_is_set(enhanced_from_reply(354)));
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_parse), cmocka_unit_test(test_put))
