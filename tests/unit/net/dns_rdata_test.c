/* SPDX-License-Identifier: ISC */
/*
 * dns_rdata_test.c: record data to text and back; wrong data is refused.
 */
#include "tests/unit/unit.h"

#include "net/dns_rdata.h"

static const struct {
	const char	*name;
	uint16_t	 type;
	const char	*text;		/* as given */
	const char	*want;		/* NULL: PK_ESYNTAX */
} both[] = {
	{ "a", DNS_TYPE_A, "192.0.2.1", "192.0.2.1" },
	{ "aaaa", DNS_TYPE_AAAA, "2001:DB8:0::1", "2001:db8::1" },
	{ "a for aaaa", DNS_TYPE_AAAA, "192.0.2.1", NULL },
	{ "aaaa for a", DNS_TYPE_A, "::1", NULL },
	{ "mx", DNS_TYPE_MX, "10 MX.example.test.", "10 mx.example.test" },
	{ "null mx", DNS_TYPE_MX, "0 .", "0 ." },
	{ "mx without preference", DNS_TYPE_MX, "mx.example.test", NULL },
	{ "mx, preference too large", DNS_TYPE_MX, "65536 mx.test", NULL },
	{ "ptr", DNS_TYPE_PTR, "host.test", "host.test" },
	{ "cname", DNS_TYPE_CNAME, "a\\046b.test", "a\\046b.test" },
	{ "empty label", DNS_TYPE_NS, "a..test", NULL },
	{ "txt", DNS_TYPE_TXT, "\"v=spf1 -all\"", "\"v=spf1 -all\"" },
	{ "txt, quote inside", DNS_TYPE_TXT, "a\"b", "\"a\\\"b\"" },
	{ "tlsa", DNS_TYPE_TLSA, "3 1 1 0a0b", "3 1 1 0a0b" },
	{ "tlsa without data", DNS_TYPE_TLSA, "3 1 1", NULL },
};

static void
test_both_ways(void **state)
{
	struct buf wire, text;
	size_t i;
	int error;

	(void)state;
	buf_init(&wire, 4096);
	buf_init(&text, 4096);
	for (i = 0; i < NELEMS(both); i++) {
		buf_reset(&wire);
		buf_reset(&text);
		error = dns_rdata_put_wire(&wire, both[i].type, view_str(both[i].text));
		CHECK_INT(both[i].name, error != 0, both[i].want == NULL);
		if (error != 0) {
			CHECK_INT(both[i].name, wire.len, 0);
			continue;
		}
		CHECK(both[i].name, dns_rdata_valid(both[i].type, buf_view(&wire)));
		CHECK_INT(both[i].name, dns_rdata_put_text(&text, both[i].type,
		    buf_view(&wire)), 0);
		CHECK_VIEW(both[i].name, buf_view(&text), both[i].want);
	}
	buf_fini(&wire);
	buf_fini(&text);
}

static const struct {
	const char	*name;
	uint16_t	 type;
	struct view	 rdata;
} wrong[] = {
	{ "a short", DNS_TYPE_A, VIEW("\1\2\3") },
	{ "a long", DNS_TYPE_A, VIEW("\1\2\3\4\5") },
	{ "aaaa short", DNS_TYPE_AAAA, VIEW("123456789012345") },
	{ "mx without name", DNS_TYPE_MX, VIEW("\0\1") },
	{ "mx, name not ended", DNS_TYPE_MX, VIEW("\0\1\2mx") },
	{ "mx, bytes behind", DNS_TYPE_MX, VIEW("\0\1\2mx\0x") },
	{ "mx, compressed", DNS_TYPE_MX, VIEW("\0\1\300\014") },
	{ "label of 64", DNS_TYPE_NS, VIEW("\100x") },
	{ "empty name", DNS_TYPE_NS, VIEW("") },
	{ "txt empty", DNS_TYPE_TXT, VIEW("") },
	{ "txt, string too long", DNS_TYPE_TXT, VIEW("\4abc") },
	{ "soa short", DNS_TYPE_SOA, VIEW("\0\0" "1234567890123456789") },
	{ "tlsa short", DNS_TYPE_TLSA, VIEW("\3\1\1") },
};

/* F7: one byte short, one too many. */
static void
test_wrong(void **state)
{
	struct buf text;
	size_t i;

	(void)state;
	buf_init(&text, 4096);
	for (i = 0; i < NELEMS(wrong); i++) {
		CHECK(wrong[i].name, !dns_rdata_valid(wrong[i].type, wrong[i].rdata));
		CHECK_INT(wrong[i].name, dns_rdata_put_text(&text, wrong[i].type,
		    wrong[i].rdata), PK_EFORMAT);
		CHECK_INT(wrong[i].name, text.len, 0);
	}
	buf_fini(&text);
}

static void
test_names(void **state)
{
	struct buf b, wire;
	size_t used, i;

	(void)state;
	buf_init(&b, 4096);
	buf_init(&wire, 4096);
	assert_true(dns_name_valid(VIEW("a.test.")));
	assert_true(dns_name_valid(VIEW(".")));
	assert_false(dns_name_valid(VIEW("")));
	assert_false(dns_name_valid(VIEW(".a")));
	assert_false(dns_name_valid(VIEW("a\\25")));
	assert_false(dns_name_valid(VIEW("a\\256.test")));
	/* 63 bytes in a label, 255 in all. */
	for (i = 0; i < 63; i++)
		buf_put_char(&b, 'a');
	assert_true(dns_name_valid(buf_view(&b)));
	buf_put_char(&b, 'a');
	assert_false(dns_name_valid(buf_view(&b)));
	buf_reset(&b);
	for (i = 0; i < 126; i++)
		buf_put_str(&b, "a.");
	buf_put_char(&b, 'b');
	assert_int_equal(b.len, DNS_NAME_MAX);
	assert_true(dns_name_valid(buf_view(&b)));
	buf_put_char(&b, 'b');
	assert_false(dns_name_valid(buf_view(&b)));
	/* Any byte comes back, printable. */
	buf_reset(&b);
	assert_int_equal(dns_name_put_text(&b, VIEW("\4A\0\n.\3net\0"), &used), 0);
	assert_int_equal(used, 10);
	assert_string_equal(buf_cstr(&b), "a\\000\\010\\046.net");
	assert_int_equal(dns_name_put_wire(&wire, buf_view(&b)), 0);
	CHECK("round", view_eq(buf_view(&wire), VIEW("\4a\0\n.\3net\0")));
	buf_fini(&b);
	buf_fini(&wire);
}

static void
test_reverse(void **state)
{
	struct domain_literal addr;
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	assert_int_equal(domain_parse_ip(VIEW("192.0.2.1"), &addr), 0);
	dns_put_reverse_name(&b, &addr);
	assert_string_equal(buf_cstr(&b), "1.2.0.192.in-addr.arpa");
	buf_reset(&b);
	assert_int_equal(domain_parse_ip(VIEW("2001:db8::1"), &addr), 0);
	dns_put_reverse_name(&b, &addr);
	assert_string_equal(buf_cstr(&b), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	    "8.b.d.0.1.0.0.2.ip6.arpa");
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_both_ways), cmocka_unit_test(test_wrong),
    cmocka_unit_test(test_names), cmocka_unit_test(test_reverse))
