/* SPDX-License-Identifier: ISC */
/*
 * codec_test.c: the one canonical form of each code, and nothing else.
 */
#include "tests/unit/unit.h"

#include "base/codec.h"

static const struct {
	const char	*bytes;
	const char	*base64;
	const char	*hex;
} pairs[] = {
	{ "", "", "" },
	{ "f", "Zg==", "66" },
	{ "fo", "Zm8=", "666f" },
	{ "foo", "Zm9v", "666f6f" },
	{ "foob", "Zm9vYg==", "666f6f62" },
	{ "\xff\xfe\xfb", "//77", "fffefb" },
};

static void
round_trips(void **state)
{
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < NELEMS(pairs); i++) {
		base64_put(&b, view_str(pairs[i].bytes));
		CHECK_VIEW("base64_put", buf_view(&b), pairs[i].base64);
		buf_reset(&b);
		CHECK_INT(pairs[i].base64,
		    base64_decode(&b, view_str(pairs[i].base64)), 0);
		CHECK_VIEW(pairs[i].base64, buf_view(&b), pairs[i].bytes);
		buf_reset(&b);
		hex_put(&b, view_str(pairs[i].bytes));
		CHECK_VIEW("hex_put", buf_view(&b), pairs[i].hex);
		buf_reset(&b);
		CHECK_INT(pairs[i].hex,
		    hex_decode(&b, view_str(pairs[i].hex)), 0);
		CHECK_VIEW(pairs[i].hex, buf_view(&b), pairs[i].bytes);
		buf_reset(&b);
	}
	assert_int_equal(hex_decode(&b, VIEW("fF")), 0);
	buf_fini(&b);
}

static void
refuses(void **state)
{
	static const char *const bad_base64[] = {
		"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=",
		"Zm 8", "Zm8=Zm8=", "Zg==\n", "Zm9-", "Zm\x80v", "Z===",
	};
	static const char *const bad_hex[] = { "6", "6g", "0x", " 6", "666" };
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	buf_put_char(&b, 'x');
	for (i = 0; i < NELEMS(bad_base64); i++)
		CHECK_INT(bad_base64[i],
		    base64_decode(&b, view_str(bad_base64[i])), PK_ESYNTAX);
	for (i = 0; i < NELEMS(bad_hex); i++)
		CHECK_INT(bad_hex[i],
		    hex_decode(&b, view_str(bad_hex[i])), PK_ESYNTAX);
	CHECK_VIEW("nothing was added", buf_view(&b), "x");
	buf_fini(&b);
	buf_init(&b, 3);
	assert_int_equal(hex_put(&b, VIEW("ab")), PK_ELIMIT);
	buf_reset(&b);
	assert_int_equal(base64_put(&b, VIEW("a")), PK_ELIMIT);
	buf_reset(&b);
	assert_int_equal(json_put_string(&b, VIEW("ab")), PK_ELIMIT);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void
knows_utf8(void **state)
{
	static const struct {
		const char	*name;
		const char	*text;
		bool		 valid;
	} rows[] = {
		{ "empty", "", true },
		{ "ascii", "the quick brown fox", true },
		{ "two", "gr\xc3\xbc\xc3\x9f""e an alle, die da sind", true },
		{ "three", "\xe2\x82\xac", true },
		{ "four", "\xf0\x9f\x93\xa7", true },
		{ "last of all", "\xf4\x8f\xbf\xbf", true },
		{ "too high", "\xf4\x90\x80\x80", false },
		{ "five bytes", "\xf8\x88\x80\x80\x80", false },
		{ "overlong slash", "\xc0\xaf", false },
		{ "overlong in three", "\xe0\x9f\xbf", false },
		{ "overlong in four", "\xf0\x8f\xbf\xbf", false },
		{ "surrogate", "\xed\xa0\x80", false },
		{ "before surrogates", "\xed\x9f\xbf", true },
		{ "alone", "\x80", false },
		{ "cut", "12345678\xe2\x82", false },
		{ "cut by ascii", "\xe2\x82""a", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++)
		CHECK(rows[i].name,
		    utf8_valid(view_str(rows[i].text)) == rows[i].valid);
	assert_true(ascii_only(VIEW("0123456789")));
	assert_true(ascii_only(VIEW("")));
	assert_false(ascii_only(VIEW("012345678\x80")));
	assert_false(ascii_only(VIEW("\xff""12345678")));
}

static void
quotes_json(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	json_put_string(&b, view_of("a\"\\\n\t\0\x01\x7f\xc3\xa4\xff.", 12));
	CHECK_VIEW("json", buf_view(&b),
	    "\"a\\\"\\\\\\n\\t\\u0000\\u0001\\u007f\xc3\xa4\xef\xbf\xbd.\"");
	buf_fini(&b);
}

UNIT_MAIN(
	cmocka_unit_test(round_trips),
	cmocka_unit_test(refuses),
	cmocka_unit_test(knows_utf8),
	cmocka_unit_test(quotes_json)
)
