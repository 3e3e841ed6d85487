/* SPDX-License-Identifier: ISC */
/*
 * domain_test.c: host names, literals, IDNA.
 */
#include "tests/unit/unit.h"

#include "mail/domain.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum { HOST = 1, FQDN = 2, NUM = 4, UTF8 = 8, HELO = 16 };

static const struct {
	const char	*text;
	unsigned	 is;
} names[] = {
	{ "localhost", HOST | HELO },
	{ "mail.example.test", HOST | FQDN | HELO },
	{ "a_b.example", HOST | FQDN | HELO },
	{ "1a", HOST | HELO },
	{ "1.2.3.4", NUM },
	{ "123", NUM },
	{ "", 0 },
	{ ".", NUM },
	{ "a.", 0 },
	{ ".a", 0 },
	{ "a..b", 0 },
	{ "-a.b", 0 },
	{ "a-.b", 0 },
	{ "a b", 0 },
	{ "a/b", 0 },
	{ L63 ".x", HOST | FQDN | HELO },
	{ L63 "a.x", 0 },
	{ L63 "." L63 "." L63 "." L63, 0 },
	{ "b\xc3\xbc.de", UTF8 | HELO },
	{ "b\xc3.de", 0 },
	{ "b\xc3\xbc d", 0 },
	{ "[127.0.0.1]", HELO },
	{ "[IPv6:::1]", HELO },
	{ "[bogus]", 0 },
	{ "[]", 0 },
};

static void
test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(names); i++) {
		struct view v = view_str(names[i].text);
		unsigned is = (domain_is_hostname(v) ? HOST : 0) |
		    (domain_is_fqdn(v) ? FQDN : 0) |
		    (domain_is_numeric(v) ? NUM : 0) |
		    (domain_is_utf8(v) ? UTF8 : 0) |
		    (domain_is_helo(v) ? HELO : 0);

		CHECK_INT(names[i].text, is, names[i].is);
	}
}

static const struct {
	const char	*text;
	int		 result;
	const char	*ascii;
} idns[] = {
	{ "Example.TEST", 0, "example.test" },
	{ "B\xc3\xbc" "cher.example", 0, "xn--bcher-kva.example" },
	{ "[1.2.3.4]", 0, "[1.2.3.4]" },
	{ "\xc3\xbc..x", PK_ESYNTAX, "" },
	{ "a b", PK_ESYNTAX, "" },
	{ "1.2.3.4", PK_ESYNTAX, "" },
	{ "", PK_ESYNTAX, "" },
};

static void
test_idn(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (size_t i = 0; i < NELEMS(idns); i++) {
		const char *name = idns[i].text;

		buf_reset(&b);
		CHECK_INT(name, domain_put_ascii(&b, view_str(name)),
		    idns[i].result);
		CHECK_VIEW(name, buf_view(&b), idns[i].ascii);
	}
	buf_reset(&b);
	domain_put_unicode(&b, VIEW("xn--bcher-kva.example"));
	CHECK_VIEW("back", buf_view(&b), "b\xc3\xbc" "cher.example");
	buf_fini(&b);
}

static void
test_literals(void **state)
{
	struct domain_literal lit;
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(domain_parse_literal(VIEW("[IPv6:2001:DB8::1]"), &lit),
	    0);
	assert_int_equal(lit.family, DOMAIN_INET6);
	domain_put_ip(&b, &lit);
	CHECK_VIEW("text", buf_view(&b), "2001:db8::1");
	assert_int_equal(domain_parse_ip(VIEW("10.0.0.1"), &lit), 0);
	assert_int_equal(lit.bytes[0], 10);
	assert_int_equal(domain_parse_ip(VIEW("10.0.0.256"), &lit), PK_ESYNTAX);
	buf_fini(&b);
}

static void
test_under(void **state)
{
	(void)state;
	assert_true(domain_is_under(VIEW("a.B.c"), VIEW("b.C")));
	assert_true(domain_is_under(VIEW("b.c"), VIEW("b.c")));
	assert_false(domain_is_under(VIEW("xb.c"), VIEW("b.c")));
	assert_false(domain_is_under(VIEW("b.c"), VIEW("a.b.c")));
	assert_false(domain_is_under(VIEW("b.c"), VIEW("")));
}

UNIT_MAIN(cmocka_unit_test(test_names), cmocka_unit_test(test_idn),
    cmocka_unit_test(test_literals), cmocka_unit_test(test_under))
