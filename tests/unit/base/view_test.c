/* SPDX-License-Identifier: ISC */
/*
 * view_test.c: comparing, searching and splitting views.
 */
#include "tests/unit/unit.h"

static const struct {
	const char	*name;
	const char	*a;
	const char	*b;
	bool		 eq, caseeq, starts, casestarts, caseends;
	int		 cmp;
} pairs[] = {
	{ "equal", "abc", "abc", true, true, true, true, true, 0 },
	{ "case", "aBc", "Abc", false, true, false, true, true, 1 },
	{ "prefix", "abc", "ab", false, false, true, true, false, 1 },
	{ "suffix", "abC", "bc", false, false, false, false, true, -1 },
	{ "both empty", "", "", true, true, true, true, true, 0 },
	{ "empty second", "a", "", false, false, true, true, true, 1 },
	{ "empty first", "", "a", false, false, false, false, false, -1 },
	{ "not folded: @ and `", "@", "`", false, false, false, false, false, -1 },
	{ "bytes are unsigned", "\xff", "a", false, false, false, false, false, 1 },
};

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

static void
compares(void **state)
{
	struct view a, b;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(pairs); i++) {
		a = view_str(pairs[i].a);
		b = view_str(pairs[i].b);
		CHECK(pairs[i].name, view_eq(a, b) == pairs[i].eq);
		CHECK(pairs[i].name, view_caseeq(a, b) == pairs[i].caseeq);
		CHECK(pairs[i].name, view_starts(a, b) == pairs[i].starts);
		CHECK(pairs[i].name,
		    view_casestarts(a, b) == pairs[i].casestarts);
		CHECK(pairs[i].name, view_caseends(a, b) == pairs[i].caseends);
		CHECK_INT(pairs[i].name, sign(view_cmp(a, b)), pairs[i].cmp);
	}
	assert_true(view_eq(VIEW_NONE, VIEW("")));
	assert_true(view_caseeq(VIEW_NONE, VIEW("")));
	assert_int_equal(view_str(NULL).len, 0);
}

static void
finds(void **state)
{
	struct view v = VIEW("a@b@c");

	(void)state;
	assert_int_equal(view_find(v, '@'), 1);
	assert_int_equal(view_rfind(v, '@'), 3);
	assert_int_equal(view_find(v, 'x'), -1);
	assert_int_equal(view_rfind(v, 'x'), -1);
	assert_int_equal(view_find(VIEW_NONE, 'x'), -1);
	assert_int_equal(view_rfind(VIEW_NONE, 'x'), -1);
	/* Not beyond its end, even if the byte stands there. */
	assert_int_equal(view_find(view_head(v, 1), '@'), -1);
}

static void
clips(void **state)
{
	struct view v = VIEW("abc");

	(void)state;
	CHECK_VIEW("from 1", view_from(v, 1), "bc");
	CHECK_VIEW("from end", view_from(v, 3), "");
	CHECK_VIEW("from beyond", view_from(v, 99), "");
	CHECK_VIEW("none", view_from(VIEW_NONE, 5), "");
	CHECK_VIEW("head 2", view_head(v, 2), "ab");
	CHECK_VIEW("head beyond", view_head(v, 99), "abc");
	CHECK_VIEW("trim", view_trim(VIEW(" \t a b\t ")), "a b");
	CHECK_VIEW("trim all", view_trim(VIEW(" \t ")), "");
	CHECK_VIEW("trim keeps CR", view_trim(VIEW("a\r ")), "a\r");
	CHECK_VIEW("trim none", view_trim(VIEW_NONE), "");
}

static void
splits(void **state)
{
	static const struct {
		const char	*name;
		const char	*text;
		const char	*joined;	/* tokens, each with a '|' */
	} rows[] = {
		{ "plain", "a,b c", "a|b|c|" },
		{ "empty tokens", ",, a ,,b, ", "a|b|" },
		{ "nothing", "", "" },
		{ "only separators", " ,", "" },
		{ "one", "abc", "abc|" },
	};
	struct view v, token;
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < NELEMS(rows); i++) {
		v = view_str(rows[i].text);
		while (view_next(&v, ", ", &token)) {
			buf_put_view(&b, token);
			buf_put_char(&b, '|');
		}
		CHECK_VIEW(rows[i].name, buf_view(&b), rows[i].joined);
		buf_reset(&b);
	}
	buf_fini(&b);
	/* A NUL is a byte like others. */
	v = view_of("a\0b", 3);
	assert_true(view_next(&v, ",", &token));
	assert_int_equal(token.len, 3);
}

static void
copies(void **state)
{
	char *s = view_dup_lower(view_of("AbC\xc3\x84xyz", 5));

	(void)state;
	assert_string_equal(s, "abc\xc3\x84");
	xfree(s);
	s = view_dup(VIEW_NONE);
	assert_string_equal(s, "");
	xfree(s);
}

static void
knows_printable(void **state)
{
	(void)state;
	assert_true(view_is_printable(VIEW(" ~a")));
	assert_true(view_is_printable(VIEW("")));
	assert_false(view_is_printable(VIEW("a\n")));
	assert_false(view_is_printable(VIEW("a\x7f")));
	assert_false(view_is_printable(VIEW("\xc3\xa4")));
	assert_false(view_is_printable(VIEW("a\0")));
}

UNIT_MAIN(
	cmocka_unit_test(compares),
	cmocka_unit_test(finds),
	cmocka_unit_test(clips),
	cmocka_unit_test(splits),
	cmocka_unit_test(copies),
	cmocka_unit_test(knows_printable)
)
