/* SPDX-License-Identifier: ISC */
/*
 * tls_plan_test.c: what is asked of a host, by policy, DNS answers and the
 * message's own wish (RFC 7672, RFC 8689). A25, F7: what DNS does not answer
 * never weakens the plan.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls_plan.h"

#define H32	"0123456789abcdef0123456789abcdef"
#define EE	VIEW("\3\1\1" H32)
#define TA	VIEW("\2\0\1" H32)
#define PKIX	VIEW("\1\1\1" H32)

static void
on_note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		fail_msg("%s", n->text);
}

/* ---- TLSA look-ups ---- */

struct answer {
	const char	*question;	/* "TLSA _25._tcp.mx.test" */
	int		 error;
	bool		 secure;
	struct view	 record;
};

static const struct lookup {
	const char	*name;
	const char	*host, *canonical;
	bool		 secure;
	struct answer	 answers[4];
	enum tls_dane_state state;
	const char	*base;
	size_t		 nusable;
} lookups[] = {
	{ "signed", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", 0, true, EE } },
	    TLS_DANE_PRESENT, "mx.test", 1 },
	{ "none", "mx.test", NULL, true,
	    { { "TLSA _25._tcp.mx.test", PK_ENOENT, true, VIEW_NONE } },
	    TLS_DANE_ABSENT, NULL, 0 },
	{ "unsigned records", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", 0, false, EE } },
	    TLS_DANE_ABSENT, NULL, 0 },
	{ "no answer", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", PK_ETEMP, false, VIEW_NONE } },
	    TLS_DANE_FAILED, NULL, 0 },
	{ "time over", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", PK_ETIMEOUT, false, VIEW_NONE } },
	    TLS_DANE_FAILED, NULL, 0 },
	{ "unsigned host is not asked about", "mx.test", "mx.test", false,
	    { { NULL, 0, false, VIEW_NONE } }, TLS_DANE_ABSENT, NULL, 0 },
	{ "an address", "192.0.2.1", NULL, true,
	    { { NULL, 0, false, VIEW_NONE } }, TLS_DANE_ABSENT, NULL, 0 },
	{ "alias, at its end", "mx.test", "real.test", true,
	    { { "TLSA _25._tcp.real.test", 0, true, TA } },
	    TLS_DANE_PRESENT, "real.test", 1 },
	{ "alias, at its beginning", "mx.test", "real.test", true,
	    { { "TLSA _25._tcp.real.test", PK_ENOENT, true, VIEW_NONE },
		{ "TLSA _25._tcp.mx.test", 0, true, EE } },
	    TLS_DANE_PRESENT, "mx.test", 1 },
	{ "alias, first look-up fails", "mx.test", "real.test", true,
	    { { "TLSA _25._tcp.real.test", PK_ETEMP, false, VIEW_NONE } },
	    TLS_DANE_FAILED, NULL, 0 },
	{ "signed alias to an unsigned zone", "mx.test", "real.test", false,
	    { { "CNAME mx.test", 0, true, VIEW_NONE },
		{ "TLSA _25._tcp.mx.test", 0, true, EE } },
	    TLS_DANE_PRESENT, "mx.test", 1 },
	{ "unsigned alias", "mx.test", "real.test", false,
	    { { "CNAME mx.test", 0, false, VIEW_NONE } },
	    TLS_DANE_ABSENT, NULL, 0 },
	{ "alias that cannot be looked up", "mx.test", "real.test", false,
	    { { "CNAME mx.test", PK_ETEMP, false, VIEW_NONE } },
	    TLS_DANE_FAILED, NULL, 0 },
	{ "unusable", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", 0, true, PKIX } },
	    TLS_DANE_PRESENT, "mx.test", 0 },
	{ "too short", "mx.test", "mx.test", true,
	    { { "TLSA _25._tcp.mx.test", 0, true, VIEW("\3\1") } },
	    TLS_DANE_PRESENT, "mx.test", 0 },
};

static void
run_lookup(const struct lookup *l, struct tls_dane *d)
{
	const struct answer *a = l->answers;
	char *question;

	tls_dane_init(d, l->host, l->canonical, l->secure, 25);
	for (; d->state == TLS_DANE_ASKING; a++) {
		if (a == &l->answers[4] || a->question == NULL)
			fail_msg("%s: asks for %s", l->name, d->name);
		question = xasprintf("%s %s", dns_type_name(d->type), d->name);
		assert_string_equal(question, a->question);
		xfree(question);
		tls_dane_answer(d, a->error, a->secure, &a->record,
		    a->record.len > 0 ? 1 : 0);
	}
	if (a < &l->answers[4] && a->question != NULL)
		fail_msg("%s: does not ask for %s", l->name, a->question);
}

static void
test_lookups(void **state)
{
	struct tls_dane d;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(lookups); i++) {
		run_lookup(&lookups[i], &d);
		if (d.state != lookups[i].state ||
		    d.nusable != lookups[i].nusable)
			fail_msg("%s: state %u", lookups[i].name,
			    (unsigned)d.state);
		if (lookups[i].base != NULL)
			assert_string_equal(d.base, lookups[i].base);
		tls_dane_fini(&d);
	}
}

static void
test_usable(void **state)
{
	static const struct {
		unsigned	usage, selector, matching;
		size_t		len;
		bool		usable;
	} cases[] = {
		{ 3, 1, 1, 32, true }, { 3, 0, 2, 64, true },
		{ 2, 0, 0, 400, false }, { 2, 1, 1, 32, true },
		{ 0, 0, 1, 32, false }, { 1, 1, 1, 32, false },
		{ 4, 0, 1, 32, false }, { 255, 0, 1, 32, false },
		{ 3, 2, 1, 32, false }, { 3, 1, 3, 32, false },
		{ 3, 1, 1, 31, false }, { 3, 1, 2, 32, false },
		{ 3, 1, 0, 0, false },
	};
	static const char data[400];
	struct tls_tlsa t;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(cases); i++) {
		t.usage = (uint8_t)cases[i].usage;
		t.selector = (uint8_t)cases[i].selector;
		t.matching = (uint8_t)cases[i].matching;
		t.data = view_of(data, cases[i].len);
		if (tls_tlsa_usable(&t) != cases[i].usable)
			fail_msg("row %zu", i);
	}
}

/* A certificate or a key in the record itself (matching type 0). */
static void
test_usable_in_full(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	unsigned char *der[2] = { NULL, NULL };
	struct tls_tlsa t = { .usage = 3 };
	unsigned i;
	int len[2];

	(void)state;
	assert_true(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL &&
	    X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
	len[0] = i2d_X509(x, &der[0]);
	len[1] = i2d_PUBKEY(key, &der[1]);
	for (i = 0; i < 4; i++) {
		t.selector = (uint8_t)(i / 2);
		t.data = view_of((const char *)der[i % 2], (size_t)len[i % 2]);
		assert_true(tls_tlsa_usable(&t) == (t.selector == i % 2));
		t.data.len--;
		assert_false(tls_tlsa_usable(&t));
	}
	OPENSSL_free(der[0]);
	OPENSSL_free(der[1]);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* ---- plans ---- */

#define NO	-1		/* no TLSA look-up */

static const struct plan {
	const char	*name;
	const char	*conf, *row;
	int		 lookup;	/* index of lookups[] */
	bool		 mx, mx_secure;
	enum tls_need	 need;
	enum tls_policy_level level;
	const char	*names;		/* joined; NULL: whatever */
	const char	*sni;
	const char	*refused;
	bool		 hearsay, requiretls;
} plans[] = {
	{ "default", "", "may", NO, true, false, 0, TLS_POLICY_MAY, "", NULL,
	    NULL, false, false },
	{ "verify", "", "verify", NO, true, false, 0, TLS_POLICY_VERIFY,
	    "mx.test ", NULL, NULL, false, false },
	{ "verify, own names", "", "verify match=hostname:.x.test", NO, true,
	    false, 0, TLS_POLICY_VERIFY, "mx.test .x.test ", NULL, NULL, false,
	    false },
	{ "secure", "", "secure", NO, true, false, 0, TLS_POLICY_SECURE,
	    "d.test .d.test ", NULL, NULL, false, false },
	{ "servername", "smtp_tls_servername = hostname\n", "encrypt", NO, true,
	    false, 0, TLS_POLICY_ENCRYPT, "", "mx.test", NULL, false, false },
	{ "servername of the row", "smtp_tls_servername = hostname\n",
	    "encrypt servername=nexthop", NO, true, false, 0,
	    TLS_POLICY_ENCRYPT, "", "d.test", NULL, false, false },
	{ "fingerprint without one", "", "fingerprint", NO, true, false, 0,
	    TLS_POLICY_FINGERPRINT, "", NULL, "client TLS configuration problem:"
	    " level fingerprint has no fingerprint to look for", false, false },
	{ "dane", "", "dane", 0, true, true, 0, TLS_POLICY_DANE,
	    "mx.test d.test ", "mx.test", NULL, false, false },
	{ "dane, alias", "", "dane", 7, true, true, 0, TLS_POLICY_DANE,
	    "real.test mx.test d.test ", "real.test", NULL, false, false },
	{ "dane, no records", "", "dane", 1, true, true, 0, TLS_POLICY_MAY, "",
	    NULL, NULL, false, false },
	{ "dane, unusable", "", "dane", 13, true, true, 0, TLS_POLICY_ENCRYPT,
	    "", NULL, NULL, false, false },
	{ "dane, look-up fails", "", "dane", 3, true, true, 0, TLS_POLICY_MAY,
	    "", NULL, "TLSA lookup error for mx.test:25", false, false },
	{ "dane, time over", "", "dane", 4, true, true, 0, TLS_POLICY_MAY,
	    "", NULL, "TLSA lookup error for mx.test:25", false, false },
	{ "dane, unsigned MX", "", "dane", 0, true, false, 0, TLS_POLICY_DANE,
	    "mx.test ", "mx.test", NULL, true, false },
	{ "dane, unsigned MX, policy encrypt",
	    "smtp_tls_dane_insecure_mx_policy = encrypt\n", "dane", 0, true,
	    false, 0, TLS_POLICY_ENCRYPT, "", NULL, NULL, false, false },
	{ "dane, unsigned MX, policy may",
	    "smtp_tls_dane_insecure_mx_policy = may\n", "dane", NO, true, false,
	    0, TLS_POLICY_MAY, "", NULL, NULL, false, false },
	{ "dane, no MX", "", "dane", 0, false, false, 0, TLS_POLICY_DANE,
	    "mx.test d.test ", "mx.test", NULL, false, false },
	{ "dane-only", "", "dane-only", 0, true, true, 0, TLS_POLICY_DANE,
	    "mx.test d.test ", "mx.test", NULL, false, false },
	{ "dane-only, no records", "", "dane-only", 1, true, true, 0,
	    TLS_POLICY_MAY, "", NULL, "no TLSA records found for mx.test:25",
	    false, false },
	{ "dane-only, unsigned", "", "dane-only", 5, true, true, 0,
	    TLS_POLICY_MAY, "", NULL,
	    "TLSA lookup for mx.test:25: non DNSSEC destination", false, false },
	{ "dane-only, unsigned MX", "", "dane-only", NO, true, false, 0,
	    TLS_POLICY_MAY, "", NULL,
	    "TLSA lookup for mx.test:25: non DNSSEC destination", false, false },
	{ "dane-only, unusable", "", "dane-only", 13, true, true, 0,
	    TLS_POLICY_ENCRYPT, "", NULL,
	    "TLSA records for mx.test:25 are unusable", false, false },
	{ "REQUIRETLS at may", "", "may", NO, true, false,
	    TLS_NEED_REQUIRED, TLS_POLICY_SECURE, "d.test .d.test ", NULL,
	    NULL, false, true },
	{ "REQUIRETLS at none, signed MX", "", "none", 1, true, true,
	    TLS_NEED_REQUIRED, TLS_POLICY_SECURE, "d.test .d.test mx.test ",
	    NULL, NULL, false, true },
	{ "REQUIRETLS at may, DANE", "", "may", 0, true, true,
	    TLS_NEED_REQUIRED, TLS_POLICY_DANE, "mx.test d.test ", "mx.test",
	    NULL, false, true },
	{ "REQUIRETLS, DANE behind an unsigned MX", "", "dane", 0, true, false,
	    TLS_NEED_REQUIRED, TLS_POLICY_SECURE, "d.test .d.test ", "mx.test",
	    NULL, false, true },
	{ "REQUIRETLS, TLSA look-up fails", "", "dane", 3, true, true,
	    TLS_NEED_REQUIRED, TLS_POLICY_MAY, "", NULL,
	    "TLSA lookup error for mx.test:25", false, false },
	{ "REQUIRETLS at verify", "", "verify", NO, true, true,
	    TLS_NEED_REQUIRED, TLS_POLICY_VERIFY, "mx.test ", NULL, NULL, false,
	    true },
	/* Who forges the MX has a certificate with its name (RFC 8689 4.2.1, 2). */
	{ "REQUIRETLS at verify, unsigned MX", "", "verify", NO, true, false,
	    TLS_NEED_REQUIRED, TLS_POLICY_SECURE, "d.test .d.test ", NULL, NULL,
	    false, true },
	{ "REQUIRETLS at secure, hostname of an unsigned MX", "",
	    "secure match=hostname:nexthop", NO, true, false, TLS_NEED_REQUIRED,
	    TLS_POLICY_SECURE, "d.test .d.test ", NULL, NULL, false, true },
	{ "REQUIRETLS at verify, names of the row", "", "verify match=x.test", NO,
	    true, false, TLS_NEED_REQUIRED, TLS_POLICY_VERIFY, "x.test ", NULL,
	    NULL, false, true },
	{ "TLS-Required: No at dane", "", "dane", NO, true, true,
	    TLS_NEED_OPTIONAL, TLS_POLICY_MAY, "", NULL, NULL, false, false },
	{ "TLS-Required: No at encrypt", "", "encrypt", NO, true, true,
	    TLS_NEED_OPTIONAL, TLS_POLICY_ENCRYPT, "", NULL, NULL, false,
	    false },
};

static void
run_plan(const struct plan *want)
{
	struct conf *conf = conf_load("test", view_str(want->conf), on_note, NULL);
	struct tls_plan_input in = { .conf = conf, .nexthop = "d.test",
	    .host = "mx.test", .port = 25, .mx = want->mx,
	    .mx_secure = want->mx_secure, .need = want->need };
	struct tls_policy policy;
	struct tls_plan *p;
	struct tls_dane dane;
	struct buf names;
	size_t i;

	tls_policy_init(&policy, conf);
	assert_int_equal(tls_policy_parse(&policy, view_str(want->row), NULL), 0);
	in.policy = &policy;
	if (tls_plan_wants_dane(&in) != (want->lookup != NO))
		fail_msg("%s: wants_dane", want->name);
	if (want->lookup != NO) {
		run_lookup(&lookups[want->lookup], &dane);
		in.dane = &dane;
	}
	p = tls_plan_new(&in);
	buf_init(&names, 1000);
	for (i = 0; i < p->nnames; i++)
		buf_printf(&names, "%s ", p->names[i]);
	if (p->level != want->level || p->hearsay != want->hearsay ||
	    p->requiretls != want->requiretls ||
	    strcmp(buf_cstr(&names), want->names) != 0)
		fail_msg("%s: level %s, names %s", want->name,
		    tls_policy_level_name(p->level), buf_cstr(&names));
	if ((p->refused == NULL) != (want->refused == NULL) ||
	    (p->refused != NULL && strcmp(p->refused, want->refused) != 0))
		fail_msg("%s: refused: %s", want->name, p->refused);
	if (want->sni != NULL)
		assert_string_equal(p->sni, want->sni);
	buf_fini(&names);
	tls_plan_unref(&p);
	if (want->lookup != NO)
		tls_dane_fini(&dane);
	tls_policy_fini(&policy);
	conf_free(&conf);
}

static void
test_plans(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(plans); i++)
		run_plan(&plans[i]);
}

/* Whatever trust depends on is in the key: other records, another key. */
static void
test_key(void **state)
{
	static const char *const rows[] = { "may", "encrypt",
		"encrypt protocols=>=TLSv1.3", "encrypt ciphers=high",
		"encrypt exclude=RC4", "encrypt servername=nexthop",
		"verify", "verify match=a.test", "secure match=a.test",
		"fingerprint match=aa", "fingerprint match=bb" };
	struct conf *conf = conf_load("test", VIEW(""), on_note, NULL);
	struct tls_plan_input in = { .conf = conf, .nexthop = "d.test",
	    .host = "mx.test", .port = 25, .mx = true, .mx_secure = true };
	struct tls_plan *p[NELEMS(rows) + 2];
	const size_t dane_rows[] = { 0, 7 };
	struct tls_policy policy;
	struct tls_dane dane;
	size_t i, k;

	(void)state;
	tls_policy_init(&policy, conf);
	in.policy = &policy;
	for (i = 0; i < NELEMS(rows); i++) {
		assert_int_equal(
		    tls_policy_parse(&policy, view_str(rows[i]), NULL), 0);
		p[i] = tls_plan_new(&in);
	}
	assert_int_equal(tls_policy_parse(&policy, VIEW("dane"), NULL), 0);
	for (k = 0; k < 2; k++, i++) {
		run_lookup(&lookups[dane_rows[k]], &dane);
		in.dane = &dane;
		p[i] = tls_plan_new(&in);
		tls_dane_fini(&dane);
	}
	for (i = 0; i < NELEMS(p); i++)
		for (k = 0; k < i; k++)
			assert_string_not_equal(p[i]->key, p[k]->key);
	for (i = 0; i < NELEMS(p); i++)
		tls_plan_unref(&p[i]);
	tls_policy_fini(&policy);
	conf_free(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_usable),
    cmocka_unit_test(test_usable_in_full),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests_name("tls_plan", tests, NULL, NULL);
}
