/* SPDX-License-Identifier: ISC */
/*
 * answer_test.c: packets, the cache, overrides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "dnsd/cache.h"
#include "dnsd/override.h"

/* A packet under construction. */
static struct buf packet;

static void
put16(unsigned n)
{
	char two[2] = { (char)(n >> 8), (char)n };

	buf_put(&packet, two, 2);
}

static void
begin(const char *qname, unsigned type, unsigned rcode, unsigned answers, unsigned authority)
{
	buf_fini(&packet);
	buf_init(&packet, 65535);
	put16(1);
	put16(0x8180 | rcode);
	put16(1);
	put16(answers);
	put16(authority);
	put16(0);
	assert_int_equal(dns_name_put_wire(&packet, view_str(qname)), 0);
	put16(type);
	put16(1);
}

static void
record(const char *owner, unsigned type, unsigned ttl, struct view data)
{
	if (owner == NULL)
		put16(0xc00c);	/* the question's name */
	else
		assert_int_equal(dns_name_put_wire(&packet, view_str(owner)), 0);
	put16(type);
	put16(1);
	put16(ttl >> 16);
	put16(ttl & 0xffff);
	put16((unsigned)data.len);
	buf_put_view(&packet, data);
}

static void
record_name(const char *owner, unsigned type, unsigned ttl, const char *target)
{
	struct buf data;

	buf_init(&data, 300);
	assert_int_equal(dns_name_put_wire(&data, view_str(target)), 0);
	record(owner, type, ttl, buf_view(&data));
	buf_fini(&data);
}

static char *
text_of(const struct answer *a, uint16_t type)
{
	struct view rest = buf_view(&a->data), rdata;
	struct buf b;

	buf_init(&b, 100000);
	while (answer_next(&rest, &rdata)) {
		if (b.len > 0)
			buf_put_char(&b, ' ');
		assert_int_equal(dns_rdata_put_text(&b, type, rdata), 0);
	}
	return b.len > 0 ? buf_steal(&b, NULL) : xstrdup("");
}

static void
check(const char *name, uint16_t type, int code, unsigned ttl, const char *canonical,
    const char *records)
{
	struct answer a;
	char *text;

	answer_init(&a);
	assert_int_equal(answer_parse(&a, buf_view(&packet), name, type), 0);
	assert_int_equal(a.code, code);
	assert_int_equal(a.ttl, ttl);
	assert_string_equal(a.canonical, canonical);
	text = text_of(&a, type);
	assert_string_equal(text, records);
	xfree(text);
	answer_fini(&a);
}

static void
check_refused(const char *name, uint16_t type)
{
	struct answer a;

	answer_init(&a);
	assert_int_equal(answer_parse(&a, buf_view(&packet), name, type), PK_EFORMAT);
	answer_fini(&a);
}

static void
test_plain(void **state)
{
	(void)state;
	begin("a.test", DNS_TYPE_A, 0, 2, 0);
	record(NULL, DNS_TYPE_A, 300, VIEW("\300\000\002\001"));
	record("A.TEST", DNS_TYPE_A, 100, VIEW("\300\000\002\002"));
	check("a.test", DNS_TYPE_A, 0, 100, "a.test", "192.0.2.1 192.0.2.2");
	/* Somebody else's record in between is no answer. */
	begin("a.test", DNS_TYPE_A, 0, 2, 0);
	record("b.test", DNS_TYPE_A, 1, VIEW("\300\000\002\001"));
	record(NULL, DNS_TYPE_A, 100, VIEW("\300\000\002\002"));
	check("a.test", DNS_TYPE_A, 0, 100, "a.test", "192.0.2.2");
}

static void
test_mx_compressed(void **state)
{
	(void)state;
	begin("a.test", DNS_TYPE_MX, 0, 2, 0);
	record(NULL, DNS_TYPE_MX, 60, VIEW("\000\012\002mx\xc0\x0c"));
	record(NULL, DNS_TYPE_MX, 60, VIEW("\000\000\000"));
	check("a.test", DNS_TYPE_MX, 0, 60, "a.test", "10 mx.a.test 0 .");
}

static void
test_cname(void **state)
{
	(void)state;
	begin("a.test", DNS_TYPE_A, 0, 3, 0);
	/* In no order at all. */
	record("c.test", DNS_TYPE_A, 300, VIEW("\300\000\002\001"));
	record_name("b.test", DNS_TYPE_CNAME, 20, "c.test");
	record_name(NULL, DNS_TYPE_CNAME, 30, "b.test");
	check("a.test", DNS_TYPE_A, 0, 20, "c.test", "192.0.2.1");
	/* F7: a circle. */
	begin("a.test", DNS_TYPE_A, 0, 2, 0);
	record_name(NULL, DNS_TYPE_CNAME, 30, "b.test");
	record_name("b.test", DNS_TYPE_CNAME, 30, "a.test");
	check_refused("a.test", DNS_TYPE_A);
	/* The alias itself, when it is what was asked for. */
	begin("a.test", DNS_TYPE_CNAME, 0, 1, 0);
	record_name(NULL, DNS_TYPE_CNAME, 30, "b.test");
	check("a.test", DNS_TYPE_CNAME, 0, 30, "a.test", "b.test");
}

static void
test_negative(void **state)
{
	struct buf soa;

	(void)state;
	buf_init(&soa, 300);
	dns_name_put_wire(&soa, VIEW("ns.test"));
	dns_name_put_wire(&soa, VIEW("root.test"));
	buf_put(&soa, "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x3c", 20);
	begin("no.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN, 0, 1);
	record("test", DNS_TYPE_SOA, 900, buf_view(&soa));
	check("no.test", DNS_TYPE_A, PK_ENOENT, 60, "no.test", "");
	begin("no.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN, 0, 0);
	check("no.test", DNS_TYPE_A, PK_ENOENT, 0, "no.test", "");
	begin("no.test", DNS_TYPE_A, DNS_RCODE_SERVFAIL, 0, 0);
	check("no.test", DNS_TYPE_A, PK_ETEMP, 0, "no.test", "");
	begin("no.test", DNS_TYPE_A, DNS_RCODE_REFUSED, 0, 0);
	check("no.test", DNS_TYPE_A, PK_ETEMP, 0, "no.test", "");
	buf_fini(&soa);
}

/* F7: data that is not what its type says is left out; alone it proves nothing. */
static void
test_malformed(void **state)
{
	size_t i, len;
	struct answer a;

	(void)state;
	begin("a.test", DNS_TYPE_A, 0, 2, 0);
	record(NULL, DNS_TYPE_A, 300, VIEW("\300\000\002"));
	record(NULL, DNS_TYPE_A, 300, VIEW("\300\000\002\002"));
	check("a.test", DNS_TYPE_A, 0, 300, "a.test", "192.0.2.2");
	begin("a.test", DNS_TYPE_A, 0, 1, 0);
	record(NULL, DNS_TYPE_A, 300, VIEW("\300\000\002"));
	check_refused("a.test", DNS_TYPE_A);
	begin("a.test", DNS_TYPE_MX, 0, 1, 0);
	record(NULL, DNS_TYPE_MX, 300, VIEW("\000\012\002mx\xc0"));
	check_refused("a.test", DNS_TYPE_MX);
	/* A name that points at itself, and one that points forward. */
	begin("a.test", DNS_TYPE_MX, 0, 1, 0);
	len = packet.len;
	record(NULL, DNS_TYPE_MX, 300, VIEW("\000\012\xc0\xff"));
	buf_data(&packet)[len + 15] = (char)(len + 14);
	check_refused("a.test", DNS_TYPE_MX);
	/* Every shorter packet is refused or says less, never reads beyond. */
	begin("a.test", DNS_TYPE_MX, 0, 2, 0);
	record(NULL, DNS_TYPE_MX, 60, VIEW("\000\012\002mx\xc0\x0c"));
	record(NULL, DNS_TYPE_MX, 60, VIEW("\000\000\000"));
	for (i = 0; i < packet.len; i++) {
		char *copy = xmemdup(buf_data(&packet), i + 1);

		answer_init(&a);
		assert_int_equal(answer_parse(&a, view_of(copy, i), "a.test", DNS_TYPE_MX),
		    PK_EFORMAT);
		answer_fini(&a);
		xfree(copy);
	}
}

/* F7: ten thousand records. */
static void
test_many(void **state)
{
	struct answer a;
	unsigned i;

	(void)state;
	begin("a.test", DNS_TYPE_A, 0, 4000, 0);
	for (i = 0; i < 4000; i++)
		record(NULL, DNS_TYPE_A, 300, VIEW("\300\000\002\001"));
	answer_init(&a);
	assert_int_equal(answer_parse(&a, buf_view(&packet), "a.test", DNS_TYPE_A), 0);
	assert_int_equal(a.count, IPC_DNS_RECORDS_MAX);
	answer_fini(&a);
}

/* ---- cache ---- */

static void
count_row(const char *name, uint16_t type, const struct answer *a, void *arg)
{
	(void)type;
	(void)a;
	buf_put_str(arg, name);
	buf_put_char(arg, ' ');
}

static void
test_cache(void **state)
{
	struct cache *c = cache_new(100000);
	const struct answer *got;
	struct cache_stats s;
	struct answer a;
	struct buf names;
	char name[32];
	int i;

	(void)state;
	buf_init(&names, 10000);
	answer_init(&a);
	a.canonical = xstrdup("x.test");
	answer_add(&a, VIEW("\300\000\002\001"));
	cache_put(c, "x.test", DNS_TYPE_A, &a, 10000, 1000);
	got = cache_get(c, "x.test", DNS_TYPE_A, 1500);
	assert_non_null(got);
	assert_int_equal(got->ttl, 10);
	assert_int_equal(got->count, 1);
	assert_null(cache_get(c, "x.test", DNS_TYPE_MX, 1500));
	assert_int_equal(cache_get(c, "x.test", DNS_TYPE_A, 10900)->ttl, 1);
	assert_null(cache_get(c, "x.test", DNS_TYPE_A, 11000));
	cache_stats(c, &s);
	assert_int_equal(s.entries, 0);
	assert_int_equal(s.bytes, 0);
	assert_int_equal(s.expired, 1);
	cache_put(c, "n.test", DNS_TYPE_A, &a, 0, 1000);
	assert_null(cache_get(c, "n.test", DNS_TYPE_A, 1000));
	/* The bound holds and the most recently used stays. */
	for (i = 0; i < 1000; i++) {
		struct buf b;

		buf_init(&b, sizeof(name));
		buf_printf(&b, "n%d.test", i);
		cache_put(c, buf_cstr(&b), DNS_TYPE_A, &a, 10000, 1000);
		buf_fini(&b);
		if (i > 0)
			assert_non_null(cache_get(c, "n0.test", DNS_TYPE_A, 1000));
	}
	cache_stats(c, &s);
	assert_true(s.bytes <= 100000);
	assert_true(s.entries > 100 && s.entries < 1000);
	assert_int_equal(cache_clear(c, "n0.test", NULL, NULL), 1);
	assert_int_equal(cache_clear(c, "test", NULL, NULL), s.entries - 1);
	for (i = 0; i < 5; i++) {
		static const char *const list[] = { "b.x", "a.x", "c.x", "a.y", "ab.x" };

		cache_put(c, list[i], DNS_TYPE_A, &a, 10000, 1000);
	}
	assert_true(cache_list(c, VIEW("a"), VIEW(""), 2, 1000, count_row, &names));
	assert_string_equal(buf_cstr(&names), "a.x a.y ");
	buf_reset(&names);
	assert_false(cache_list(c, VIEW("a"), VIEW("a.y/1"), 2, 1000, count_row, &names));
	assert_string_equal(buf_cstr(&names), "ab.x ");
	answer_fini(&a);
	buf_fini(&names);
	cache_free(&c);
}

/* ---- overrides ---- */

static void
test_overrides(void **state)
{
	struct overrides *o = overrides_new();
	struct answer a;
	struct buf why;
	char *text;

	(void)state;
	buf_init(&why, 1000);
	answer_init(&a);
	assert_int_equal(overrides_configure(o, "A.test/A=192.0.2.1, a.test/A=192.0.2.2,"
	    " {a.test/MX=10 mx.a.test}, gone.test/A=NXDOMAIN, bad.test/A=SERVFAIL", &why), 0);
	assert_int_equal(overrides_get(o, "a.test", DNS_TYPE_A, &a), 0);
	text = text_of(&a, DNS_TYPE_A);
	assert_string_equal(text, "192.0.2.1 192.0.2.2");
	xfree(text);
	assert_int_equal(overrides_get(o, "a.test", DNS_TYPE_MX, &a), 0);
	assert_int_equal(a.code, 0);
	assert_int_equal(overrides_get(o, "gone.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.code, PK_ENOENT);
	assert_int_equal(a.rcode, DNS_RCODE_NXDOMAIN);
	assert_int_equal(overrides_get(o, "bad.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.code, PK_ETEMP);
	assert_int_equal(overrides_get(o, "a.test", DNS_TYPE_AAAA, &a), PK_ENOENT);
	assert_int_equal(overrides_set(o, VIEW("r.test."), VIEW("txt"), VIEW("some text"),
	    &why), 0);
	/* Configured anew: those of the command stay. */
	assert_int_equal(overrides_configure(o, "a.test/A=x, b.test/A=192.0.2.3", &why),
	    PK_ESYNTAX);
	assert_non_null(strstr(buf_cstr(&why), "\"x\" is no data"));
	assert_int_equal(overrides_get(o, "a.test", DNS_TYPE_A, &a), PK_ENOENT);
	assert_int_equal(overrides_get(o, "b.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(overrides_get(o, "r.test", DNS_TYPE_TXT, &a), 0);
	assert_int_equal(overrides_remove(o, VIEW("R.test"), 0), 1);
	assert_int_equal(overrides_get(o, "r.test", DNS_TYPE_TXT, &a), PK_ENOENT);
	answer_fini(&a);
	buf_fini(&why);
	overrides_free(&o);
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&packet);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_mx_compressed),
		cmocka_unit_test(test_cname),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_overrides),
	};

	return cmocka_run_group_tests_name("dnsd answer", tests, NULL, teardown);
}
