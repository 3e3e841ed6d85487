/* SPDX-License-Identifier: ISC */
/*
 * upstream_test.c: libunbound in our loop against a name server of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "dnsd/dnsd.h"
#include "sys/fd.h"

static struct dnsd dnsd;
static int server = -1;
static unsigned asked;
static char *main_cf;

/* ---- the name server: one UDP socket ---- */

static size_t
question_end(const uint8_t *p, size_t len)
{
	size_t off = 12;

	while (off < len && p[off] != 0)
		off += 1 + (size_t)p[off];
	return off + 5;
}

/*
 * By the first letter of the name: a: an address, n: no such name, s:
 * SERVFAIL, t: silence, x: an address with a byte missing.
 */
static size_t
answer(uint8_t *p, size_t len)
{
	static const uint8_t a[] = { 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7 };
	size_t end = question_end(p, len);
	bool is_a = p[end - 3] == 1;

	if (end > len || p[13] == 't')
		return 0;
	p[2] = 0x84;
	p[3] = 0;
	memset(p + 6, 0, 6);
	if (p[13] == 'n')
		p[3] = DNS_RCODE_NXDOMAIN;
	else if (p[13] == 's')
		p[3] = DNS_RCODE_SERVFAIL;
	else if ((p[13] == 'a' || p[13] == 'x') && is_a) {
		p[7] = 1;
		memcpy(p + end, a, sizeof(a));
		end += sizeof(a);
		if (p[13] == 'x') {
			p[end - 5] = 3;
			end--;
		}
	}
	return end;
}

static void
on_question(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_storage from;
	socklen_t fromlen = sizeof(from);
	uint8_t packet[1500];
	ssize_t n;
	size_t len;

	(void)what;
	(void)arg;
	n = recvfrom(fd, packet, 1000, 0, (struct sockaddr *)&from, &fromlen);
	if (n < 17)
		return;
	asked++;
	len = answer(packet, (size_t)n);
	if (len > 0)
		(void)sendto(fd, packet, len, 0, (struct sockaddr *)&from, fromlen);
}

static unsigned
start_server(struct loop *l)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&sin, &len), 0);
	event_add(event_new(loop_base(l), server, EV_READ | EV_PERSIST, on_question, NULL), NULL);
	return ntohs(sin.sin_port);
}

/* ---- asking ---- */

struct got {
	unsigned	 count;
	int		 code;
	unsigned	 rcode, records;
	enum dnsd_source source;
};

static void
on_answer(const struct answer *a, enum dnsd_source source, void *arg)
{
	struct got *g = arg;

	g->count++;
	g->code = a->code;
	g->rcode = a->rcode;
	g->records = a->count;
	g->source = source;
}

static void
turn_until(const unsigned *count, unsigned want)
{
	uint64_t end = clock_mono_ms() + 10000;

	while (*count < want && clock_mono_ms() < end)
		loop_turn(dnsd.loop, 100);
}

static struct got
ask(const char *name)
{
	struct got g = { 0 };

	(void)dnsd_ask(&dnsd, name, DNS_TYPE_A, on_answer, &g);
	turn_until(&g.count, 1);
	assert_int_equal(g.count, 1);
	return g;
}

static void
test_answers(void **state)
{
	struct got g;

	(void)state;
	g = ask("a1.stub.test");
	assert_int_equal(g.code, 0);
	assert_int_equal(g.records, 1);
	assert_int_equal(g.source, DNSD_FROM_UPSTREAM);
	g = ask("a1.stub.test");
	assert_int_equal(g.code, 0);
	assert_int_equal(g.source, DNSD_FROM_CACHE);
	g = ask("n1.stub.test");
	assert_int_equal(g.code, PK_ENOENT);
	assert_int_equal(g.rcode, DNS_RCODE_NXDOMAIN);
	g = ask("o1.stub.test");
	assert_int_equal(g.code, PK_ENOENT);
	assert_int_equal(g.rcode, DNS_RCODE_NOERROR);
	g = ask("over.stub.test");
	assert_int_equal(g.code, 0);
	assert_int_equal(g.source, DNSD_FROM_OVERRIDE);
	g = ask("localhost");
	assert_int_equal(g.code, 0);
}

/* F7: a failure, silence, a record one byte short: deferred, never "no such name". */
static void
test_failures(void **state)
{
	uint64_t start = clock_mono_ms();
	struct got g;

	(void)state;
	g = ask("s1.stub.test");
	assert_int_equal(g.code, PK_ETEMP);
	g = ask("x1.stub.test");
	assert_int_equal(g.code, PK_ETEMP);
	start = clock_mono_ms();
	g = ask("t1.stub.test");
	assert_int_equal(g.code, PK_ETEMP);
	assert_true(clock_mono_ms() - start < 4000);
	assert_int_equal(map_count(dnsd.queries), 0);
}

static void
test_joined(void **state)
{
	struct got g = { 0 }, h = { 0 };
	struct dnsd_waiter *w, *gone;
	unsigned before = asked;

	(void)state;
	w = dnsd_ask(&dnsd, "a2.stub.test", DNS_TYPE_A, on_answer, &g);
	assert_non_null(w);
	assert_non_null(dnsd_ask(&dnsd, "a2.stub.test", DNS_TYPE_A, on_answer, &g));
	gone = dnsd_ask(&dnsd, "a2.stub.test", DNS_TYPE_A, on_answer, &h);
	dnsd_forget(&gone);
	assert_null(gone);
	turn_until(&g.count, 2);
	assert_int_equal(g.count, 2);
	assert_int_equal(h.count, 0);
	assert_int_equal(asked - before, 1);
	assert_int_equal(dnsd.stats.joined, 2);
}

/* Forgetting empties the library's cache, too, also with a question under way. */
static void
test_forget(void **state)
{
	struct got g = { 0 }, first;
	unsigned before;

	(void)state;
	first = ask("a3.stub.test");
	assert_int_equal(first.code, 0);
	cache_clear(dnsd.cache, NULL, NULL, NULL);
	before = asked;
	(void)ask("a3.stub.test");
	assert_int_equal(asked, before);
	(void)dnsd_ask(&dnsd, "a4.stub.test", DNS_TYPE_A, on_answer, &g);
	cache_clear(dnsd.cache, NULL, NULL, NULL);
	upstream_forget(dnsd.upstream);
	turn_until(&g.count, 1);
	assert_int_equal(g.code, 0);
	before = asked;
	(void)ask("a3.stub.test");
	assert_true(asked > before);
}

static int
setup(void **state)
{
	struct buf why;
	unsigned port;

	(void)state;
	log_init("upstream_test");
	dnsd.loop = loop_new();
	port = start_server(dnsd.loop);
	main_cf = xasprintf("dns_resolvers = 127.0.0.1@%u\ndns_stub_zones ="
	    " stub.test=127.0.0.1@%u\ndns_timeout = 2s\n"
	    "dns_overrides = over.stub.test/A=192.0.2.9\n", port, port);
	dnsd.conf = conf_load("main.cf", view_str(main_cf), NULL, NULL);
	if (dnsd.conf == NULL)
		return -1;
	dnsd.cache = cache_new(1 << 20);
	dnsd.overrides = overrides_new();
	buf_init(&why, 1000);
	assert_int_equal(overrides_configure(dnsd.overrides, dnsd.conf->dns_overrides, &why), 0);
	buf_fini(&why);
	dnsd_query_init(&dnsd);
	dnsd.upstream = upstream_new(dnsd.loop, dnsd.conf);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free((struct conf **)(uintptr_t)&dnsd.conf);
	xfree(main_cf);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_forget),
	};

	return cmocka_run_group_tests_name("dnsd upstream", tests, setup, teardown);
}
