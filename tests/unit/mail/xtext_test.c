/* SPDX-License-Identifier: ISC */
/*
 * xtext_test.c: DSN parameter encodings, enhanced codes and dates: small
 * pieces of text that stand in commands.
 */
#include "tests/unit/unit.h"

#include "mail/xtext.h"

static const struct {
	const char	*text;
	int		 result;
	const char	*raw;
} xtexts[] = {
	{ "abc", 0, "abc" },
	{ "a+2Bb+3D", 0, "a+b=" },
	{ "a+20b", 0, "a b" },
	{ "+0A", 0, "\n" },
	{ "", 0, "" },
	{ "a+2", PK_ESYNTAX, "" },
	{ "a+", PK_ESYNTAX, "" },
	{ "a+GG", PK_ESYNTAX, "" },
	{ "a=b", PK_ESYNTAX, "" },
	{ "a b", PK_ESYNTAX, "" },
	{ "\xc3\xb6", PK_ESYNTAX, "" },
};

static void
test_xtext(void **state)
{
	struct buf b, again;

	(void)state;
	buf_init(&b, 1024);
	buf_init(&again, 1024);
	for (size_t i = 0; i < NELEMS(xtexts); i++) {
		const char *name = xtexts[i].text;

		buf_reset(&b);
		CHECK_INT(name, xtext_decode(&b, view_str(name)),
		    xtexts[i].result);
		CHECK_VIEW(name, buf_view(&b), xtexts[i].raw);
		if (xtexts[i].result != 0)
			continue;
		buf_reset(&again);
		xtext_put(&again, buf_view(&b));
		CHECK_VIEW(name, buf_view(&again), name);
	}
	buf_fini(&b);
	buf_fini(&again);
}

static const struct {
	const char	*text;
	bool		 utf8;
	int		 result;
	const char	*raw;
} utf8s[] = {
	{ "a@b", false, 0, "a@b" },
	{ "\\x{F6}@b", false, 0, "\xc3\xb6@b" },
	{ "\\x{2B}\\x{1F600}", false, 0, "+\xf0\x9f\x98\x80" },
	{ "\xc3\xb6@b", true, 0, "\xc3\xb6@b" },
	{ "\xc3\xb6@b", false, PK_ESYNTAX, NULL },
	{ "\\x{D800}", false, PK_ESYNTAX, NULL },
	{ "\\x{110000}", false, PK_ESYNTAX, NULL },
	{ "\\x{F}", false, PK_ESYNTAX, NULL },
	{ "\\x{F6", false, PK_ESYNTAX, NULL },
	{ "\\x{}", false, PK_ESYNTAX, NULL },
	{ "a+b", false, PK_ESYNTAX, NULL },
	{ "\\", false, PK_ESYNTAX, NULL },
};

static void
test_utf8(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (size_t i = 0; i < NELEMS(utf8s); i++) {
		const char *name = utf8s[i].text;
		bool ok = xtext_utf8_valid(view_str(name), utf8s[i].utf8);

		CHECK_INT(name, ok, utf8s[i].result == 0);
		if (!ok)
			continue;
		buf_reset(&b);
		CHECK_INT(name, xtext_utf8_decode(&b, view_str(name)), 0);
		CHECK_VIEW(name, buf_view(&b), utf8s[i].raw);
	}
	buf_reset(&b);
	assert_int_equal(xtext_utf8_put(&b, VIEW("\xc3\xb6+x@b")), 0);
	CHECK_VIEW("put", buf_view(&b), "\\x{F6}\\x{2B}x@b");
	buf_reset(&b);
	assert_int_equal(xtext_utf8_put(&b, VIEW("\xe2\x82\xac\xf0\x9f\x98\x80")), 0);
	CHECK_VIEW("put", buf_view(&b), "\\x{20AC}\\x{1F600}");
	buf_fini(&b);
}

static const struct {
	const char	*text;
	int		 result;
	const char	*type;
	const char	*value;
} orcpts[] = {
	{ "rfc822;a+2Bb@c", 0, "rfc822", "a+2Bb@c" },
	{ "x400;/C=de/", PK_ESYNTAX, NULL, NULL },
	{ "utf-8;\\x{F6}@c", 0, "utf-8", "\\x{F6}@c" },
	{ "rfc822", PK_ESYNTAX, NULL, NULL },
	{ ";a", PK_ESYNTAX, NULL, NULL },
	{ "rfc822;", PK_ESYNTAX, NULL, NULL },
	{ "rf c;a", PK_ESYNTAX, NULL, NULL },
};

static void
test_orcpt(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(orcpts); i++) {
		const char *name = orcpts[i].text;
		struct view type, value;

		CHECK_INT(name, xtext_orcpt_parse(view_str(name), false, &type,
		    &value), orcpts[i].result);
		if (orcpts[i].result != 0)
			continue;
		CHECK_VIEW(name, type, orcpts[i].type);
		CHECK_VIEW(name, value, orcpts[i].value);
	}
}

UNIT_MAIN(cmocka_unit_test(test_xtext), cmocka_unit_test(test_utf8),
    cmocka_unit_test(test_orcpt))
