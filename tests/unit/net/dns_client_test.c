/* SPDX-License-Identifier: ISC */
/*
 * dns_client_test.c: answers of a dnsd that may be anybody's (A18).
 */
#include "tests/unit/unit.h"

#include "net/dns_client.h"

struct seen {
	unsigned	calls;
	int		error;
	unsigned	rcode;
	enum dns_security security;
	size_t		count;
	char		text[500];
};

static void
on_answer(const struct dns_answer *a, void *arg)
{
	struct seen *s = arg;
	struct buf b;
	size_t i;

	s->calls++;
	s->error = a->error;
	s->rcode = a->rcode;
	s->security = a->security;
	s->count = a->count;
	buf_init(&b, sizeof(s->text));
	for (i = 0; i < a->count && i < 5; i++) {
		if (a->mx != NULL)
			buf_printf(&b, "%u %s;", a->mx[i].preference, a->mx[i].host);
		if (a->names != NULL)
			buf_printf(&b, "%s;", a->names[i]);
		if (a->addresses != NULL)
			domain_put_ip(&b, &a->addresses[i]);
	}
	memcpy(s->text, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
}

static void
begin(struct ipc_out *o, int code, unsigned rcode, unsigned security)
{
	ipc_out_init(o, IPC_DNS_ANSWER);
	ipc_put_u64(o, IPC_F_CODE, (uint64_t)-code);
	ipc_put_u64(o, IPC_F_RCODE, rcode);
	ipc_put_u64(o, IPC_F_SECURITY, security);
	ipc_put_u64(o, IPC_F_TTL, 60);
	ipc_put_str(o, IPC_F_CANONICAL, "a.test");
}

static int
decode(struct ipc_out *o, uint16_t type, struct seen *s)
{
	struct ipc_msg m = { .type = IPC_DNS_ANSWER, .body = buf_view(&o->body) };
	int error;

	memset(s, 0, sizeof(*s));
	error = dns_answer_decode(&m, type, on_answer, s);
	ipc_out_fini(o);
	return error;
}

static void
test_records(void **state)
{
	struct ipc_out o;
	struct seen s;

	(void)state;
	begin(&o, 0, 0, DNS_SECURE);
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\0\024\1b\0"));
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\0\012\1z\0"));
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\0\012\300\014"));	/* left out */
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\0\012\1a\0"));
	assert_int_equal(decode(&o, DNS_TYPE_MX, &s), 0);
	assert_int_equal(s.error, 0);
	assert_int_equal(s.security, DNS_SECURE);
	assert_string_equal(s.text, "10 z;10 a;20 b;");
	begin(&o, 0, 0, 0);
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\300\0\2\1"));
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), 0);
	assert_string_equal(s.text, "192.0.2.1");
	begin(&o, 0, 0, 0);
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\4host\4test\0"));
	assert_int_equal(decode(&o, DNS_TYPE_PTR, &s), 0);
	assert_string_equal(s.text, "host.test;");
}

static void
test_without(void **state)
{
	struct ipc_out o;
	struct seen s;

	(void)state;
	begin(&o, PK_ENOENT, DNS_RCODE_NXDOMAIN, 0);
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), 0);
	assert_int_equal(s.error, PK_ENOENT);
	assert_int_equal(s.rcode, DNS_RCODE_NXDOMAIN);
	begin(&o, PK_ETEMP, DNS_RCODE_SERVFAIL, DNS_BOGUS);
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), 0);
	assert_int_equal(s.error, PK_ETEMP);
	assert_int_equal(s.security, DNS_BOGUS);
	/* A failure with records has none. */
	begin(&o, PK_ETEMP, DNS_RCODE_SERVFAIL, 0);
	ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\300\0\2\1"));
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), 0);
	assert_int_equal(s.count, 0);
}

static void
test_violations(void **state)
{
	struct ipc_out o;
	struct seen s;
	unsigned i;

	(void)state;
	begin(&o, 0, 0, DNS_SECURITIES);
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), PK_EPROTO);
	assert_int_equal(s.calls, 0);
	begin(&o, 0, 0, 0);
	ipc_put_u64(&o, IPC_F_TTL, 1);
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), PK_EPROTO);
	begin(&o, 0, 0, 0);
	for (i = 0; i <= IPC_DNS_RECORDS_MAX; i++)
		ipc_put_bytes(&o, IPC_F_RDATA, VIEW("\300\0\2\1"));
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), PK_EPROTO);
	assert_int_equal(s.calls, 0);
	ipc_out_init(&o, IPC_DNS_ANSWER);
	assert_int_equal(decode(&o, DNS_TYPE_A, &s), PK_EPROTO);
}

UNIT_MAIN(cmocka_unit_test(test_records), cmocka_unit_test(test_without),
    cmocka_unit_test(test_violations))
