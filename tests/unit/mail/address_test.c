/* SPDX-License-Identifier: ISC */
/*
 * address_test.c: envelope addresses, hostile ones included (A10).
 */
#include "tests/unit/unit.h"

#include "mail/address.h"

#define NUL	ADDRESS_ALLOW_NULL
#define PM	ADDRESS_ALLOW_POSTMASTER
#define NODOM	ADDRESS_ALLOW_NO_DOMAIN
#define U8	ADDRESS_ALLOW_UTF8
#define BARE	ADDRESS_ALLOW_BARE

#define L16	"aaaaaaaaaaaaaaaa"
#define L64	L16 L16 L16 L16
#define D60	"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

static const struct {
	const char	*text;
	unsigned	 allow;
	int		 result;
	const char	*local;
	const char	*domain;
	unsigned	 flags;
	const char	*rest;	/* behind the path */
} paths[] = {
	{ "<a@b>", 0, 0, "a", "b", 0, "" },
	{ "<Alice.B+x@Example.TEST> SIZE=1", 0, 0, "Alice.B+x", "Example.TEST",
	    0, " SIZE=1" },
	{ "<>", NUL, 0, "", "", ADDRESS_NULL, "" },
	{ "<>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<postmaster>", PM, 0, "postmaster", "", ADDRESS_NO_DOMAIN, "" },
	{ "<PostMaster>", PM, 0, "PostMaster", "", ADDRESS_NO_DOMAIN, "" },
	{ "<postmaster>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<root>", PM, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<root>", NODOM, 0, "root", "", ADDRESS_NO_DOMAIN, "" },
	{ "<@a,@b.c:u@d>", 0, 0, "u", "d", ADDRESS_ROUTE, "" },
	{ "<@a:u@d>", 0, 0, "u", "d", ADDRESS_ROUTE, "" },
	{ "<@a,:u@d>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<@:u@d>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<@a>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"a b\"@c>", 0, 0, "\"a b\"", "c", ADDRESS_QUOTED, "" },
	{ "<\"a\\\"> b\"@c>", 0, 0, "\"a\\\"> b\"", "c", ADDRESS_QUOTED, "" },
	{ "<\"\"@c>", 0, 0, "\"\"", "c", ADDRESS_QUOTED, "" },
	{ "<\"a@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"a\\\r\n\"@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"a\"b@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@[1.2.3.4]>", 0, 0, "a", "[1.2.3.4]", ADDRESS_LITERAL, "" },
	{ "<a@[IPv6:::1]>", 0, 0, "a", "[IPv6:::1]", ADDRESS_LITERAL, "" },
	{ "<a@[::1]>", 0, 0, "a", "[::1]", ADDRESS_LITERAL, "" },
	{ "<a@[1.2.3]>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@[IPv6:1.2.3.4]>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@[1.2.3.4>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@1.2.3.4>", 0, 0, "a", "1.2.3.4", 0, "" },
	{ "<j\xc3\xb6@example>", U8, 0, "j\xc3\xb6", "example",
	    ADDRESS_LOCAL_UTF8, "" },
	{ "<a@b\xc3\xbc.de>", U8, 0, "a", "b\xc3\xbc.de", ADDRESS_DOMAIN_UTF8, "" },
	{ "<a@b\xc3\xbc.de>", 0, PK_EUNSUPPORTED, NULL, NULL, 0, NULL },
	{ "<j\xc3@example>", U8, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"\xc3\xb6 x\"@b>", U8, 0, "\"\xc3\xb6 x\"", "b",
	    ADDRESS_LOCAL_UTF8 | ADDRESS_QUOTED, "" },
	{ "<" L64 "@b>", 0, 0, L64, "b", 0, "" },
	{ "<" L64 "a@b>", 0, PK_ELIMIT, NULL, NULL, 0, NULL },
	{ "<\"" L64 "\"@b>", 0, 0, "\"" L64 "\"", "b", ADDRESS_QUOTED, "" },
	{ "<\"" L64 "x\"@b>", 0, PK_ELIMIT, NULL, NULL, 0, NULL },
	{ "<a@" D60 "." D60 "." D60 "." D60 ">", 0, 0, "a",
	    D60 "." D60 "." D60 "." D60, 0, "" },
	{ "<" L64 "@" D60 "." D60 "." D60 "." D60 ">", 0, PK_ELIMIT, NULL,
	    NULL, 0, NULL },
	{ "<a@" D60 "dddd.x>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "a@b SIZE=1", BARE, 0, "a", "b", 0, " SIZE=1" },
	{ "a@b", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "a@b>", BARE, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@b", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<@b>", NODOM, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<.a@b>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a.@b>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a..b@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@b..c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@b.>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@-b>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a@b@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a b@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a\tb@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "< a@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<a(x)@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<;for i in 0;do sh;done@c>", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	/* Atoms by the RFC: never given to a shell or opened as a path. */
	{ "<|/bin/sh@c>", 0, 0, "|/bin/sh", "c", 0, "" },
	{ "<a%b@c>", 0, 0, "a%b", "c", 0, "" },
	{ "<a!b@c>", 0, 0, "a!b", "c", 0, "" },
	{ "", NUL | BARE | NODOM, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<", NUL, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<\"\\", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
	{ "<@", 0, PK_ESYNTAX, NULL, NULL, 0, NULL },
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(paths); i++) {
		struct mail_address a = { .flags = 4711 };
		struct view v = view_str(paths[i].text);
		const char *name = paths[i].text;
		size_t used = 4711;
		int rc = address_parse_path(v, paths[i].allow, &a, &used);

		CHECK_INT(name, rc, paths[i].result);
		if (rc != 0) {
			CHECK_INT(name, a.flags, 4711);
			CHECK_INT(name, used, 4711);
			continue;
		}
		CHECK_VIEW(name, a.local, paths[i].local);
		CHECK_VIEW(name, a.domain, paths[i].domain);
		CHECK_INT(name, a.flags, paths[i].flags);
		CHECK_VIEW(name, view_from(v, used), paths[i].rest);
	}
}

static void
test_nul_is_no_address(void **state)
{
	struct mail_address a;
	size_t used;

	(void)state;
	CHECK_INT("dot-string", address_parse_path(VIEW("<a\0b@c>"), 0, &a,
	    &used), PK_ESYNTAX);
	CHECK_INT("quoted", address_parse_path(VIEW("<\"a\0b\"@c>"), 0, &a,
	    &used), PK_ESYNTAX);
	CHECK_INT("domain", address_parse_path(VIEW("<a@b\0c>"), 0, &a, &used),
	    PK_ESYNTAX);
	CHECK_INT("literal", address_parse_path(VIEW("<a@[1.2.3.4\0]>"), 0, &a,
	    &used), PK_ESYNTAX);
}

static const struct {
	const char	*text;
	const char	*canonical;
	const char	*raw;
} forms[] = {
	{ "Alice@EXAMPLE.Test", "Alice@example.test", "Alice" },
	{ "\"alice\"@b", "alice@b", "alice" },
	{ "\"a\\lice\"@b", "alice@b", "alice" },
	{ "\"a b\"@B", "\"a b\"@b", "a b" },
	{ "\"a\\\"b\"@b", "\"a\\\"b\"@b", "a\"b" },
	{ "\"a..b\"@b", "\"a..b\"@b", "a..b" },
	{ "\"\"@b", "\"\"@b", "" },
	{ "a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]", "a" },
	{ "root", "root", "root" },
};

static void
test_forms(void **state)
{
	struct mail_address a, again;
	struct buf b;

	(void)state;
	buf_init(&b, ADDRESS_MAX);
	for (size_t i = 0; i < NELEMS(forms); i++) {
		const char *name = forms[i].text;

		CHECK_INT(name, address_parse(view_str(name), NODOM, &a), 0);
		buf_reset(&b);
		CHECK_INT(name, address_put(&b, &a), 0);
		CHECK_VIEW(name, buf_view(&b), forms[i].canonical);
		CHECK_INT(name, address_parse(buf_view(&b), NODOM, &again), 0);
		CHECK(name, address_eq(&a, &again));
		buf_reset(&b);
		CHECK_INT(name, address_put_local_raw(&b, &a), 0);
		CHECK_VIEW(name, buf_view(&b), forms[i].raw);
	}
	buf_fini(&b);
}

static void
test_a_labels(void **state)
{
	struct mail_address a;
	struct buf b;

	(void)state;
	buf_init(&b, 512);
	assert_int_equal(address_parse(VIEW("u@B\xc3\xbc" "cher.example"), U8,
	    &a), 0);
	assert_int_equal(address_put_ascii(&b, &a), 0);
	CHECK_VIEW("a-label", buf_view(&b), "u@xn--bcher-kva.example");
	buf_fini(&b);
}

static const struct {
	const char	*local;
	const char	*delimiters;
	const char	*user;	/* NULL: no split */
	const char	*ext;
} splits[] = {
	{ "user+ext", "+", "user", "ext" },
	{ "user+a+b", "+", "user", "a+b" },
	{ "user-a+b", "+-", "user", "a+b" },
	{ "user+", "+", "user", "" },
	{ "+ext", "+", NULL, NULL },
	{ "user", "+", NULL, NULL },
	{ "user+ext", "", NULL, NULL },
	{ "", "+", NULL, NULL },
	{ "mailer-daemon", "-", NULL, NULL },
	{ "Double-Bounce", "-", NULL, NULL },
	{ "owner-list", "-", NULL, NULL },
	{ "list-request", "-", NULL, NULL },
	{ "owner-list", "+", NULL, NULL },
	{ "owner+x", "+-", "owner", "x" },
};

static void
test_extensions(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(splits); i++) {
		struct view user = VIEW_NONE, ext = VIEW_NONE;
		const char *name = splits[i].local;
		bool did = address_split_extension(view_str(name),
		    view_str(splits[i].delimiters), &user, &ext);

		CHECK_INT(name, did, splits[i].user != NULL);
		if (!did)
			continue;
		CHECK_VIEW(name, user, splits[i].user);
		CHECK_VIEW(name, ext, splits[i].ext);
	}
}

static void
test_quoting(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 512);
	assert_int_equal(address_put_local_quoted(&b, VIEW("a\"b\\")), 0);
	CHECK_VIEW("quotes", buf_view(&b), "\"a\\\"b\\\\\"");
	buf_reset(&b);
	assert_int_equal(address_put_local_quoted(&b, VIEW("a\nb")),
	    PK_ESYNTAX);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_paths), cmocka_unit_test(test_nul_is_no_address),
    cmocka_unit_test(test_forms), cmocka_unit_test(test_a_labels),
    cmocka_unit_test(test_extensions), cmocka_unit_test(test_quoting))
