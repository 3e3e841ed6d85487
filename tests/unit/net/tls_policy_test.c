/* SPDX-License-Identifier: ISC */
/*
 * tls_policy_test.c: rows of smtp_tls_policy_maps and the keys that are asked.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls_policy.h"

static const struct {
	const char	*row;
	int		 rc;
	enum tls_policy_level level;
	const char	*match, *protocols, *ciphers, *exclude, *servername;
} rows[] = {
	{ "none", 0, TLS_POLICY_NONE, NULL, NULL, NULL, NULL, NULL },
	{ "May", 0, TLS_POLICY_MAY, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt protocols=>=TLSv1.3 ciphers=high exclude=3DES:RC4", 0,
	    TLS_POLICY_ENCRYPT, NULL, ">=TLSv1.3", "high", "3DES:RC4", NULL },
	{ "dane", 0, TLS_POLICY_DANE, NULL, NULL, NULL, NULL, NULL },
	{ "dane-only", 0, TLS_POLICY_DANE_ONLY, NULL, NULL, NULL, NULL, NULL },
	{ "verify, match=hostname:.x.test servername=hostname", 0,
	    TLS_POLICY_VERIFY, "hostname:.x.test", NULL, NULL, NULL,
	    "hostname" },
	{ "secure match=a.test match=b.test", 0, TLS_POLICY_SECURE,
	    "a.test:b.test", NULL, NULL, NULL, NULL },
	{ "fingerprint match=aa:bb|cc:dd match=ee:ff", 0,
	    TLS_POLICY_FINGERPRINT, "aa:bb|cc:dd|ee:ff", NULL, NULL, NULL,
	    NULL },
	{ "", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "sure", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "may match=x", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt tafile=/x", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt ciphers=low", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt ciphers=high ciphers=high", PK_ESYNTAX, 0, NULL, NULL, NULL,
	    NULL, NULL },
	{ "encrypt protocols=", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt =x", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
	{ "encrypt secure", PK_ESYNTAX, 0, NULL, NULL, NULL, NULL, NULL },
};

static void
same(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a != NULL)
		assert_string_equal(a, b);
}

static void
test_rows(void **state)
{
	struct tls_policy p;
	struct buf why;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		memset(&p, 0, sizeof(p));
		p.level = TLS_POLICY_SECURE;
		p.match = xstrdup("old");
		buf_init(&why, 1000);
		assert_int_equal(tls_policy_parse(&p, view_str(rows[i].row),
		    &why), rows[i].rc);
		if (rows[i].rc != 0) {
			/* What it was stays. */
			assert_int_equal(p.level, TLS_POLICY_SECURE);
			assert_string_equal(p.match, "old");
			assert_true(why.len > 0);
		} else {
			assert_int_equal(p.level, rows[i].level);
			same(p.match, rows[i].match);
			same(p.protocols, rows[i].protocols);
			same(p.ciphers, rows[i].ciphers);
			same(p.exclude, rows[i].exclude);
			same(p.servername, rows[i].servername);
		}
		buf_fini(&why);
		tls_policy_fini(&p);
	}
}

static void
test_keys(void **state)
{
	static const struct {
		const char	*hop;
		const char	*keys[5];
	} cases[] = {
		{ "a.b.test", { "a.b.test", ".b.test", ".test", NULL, NULL } },
		{ "test", { "test", NULL, NULL, NULL, NULL } },
		{ "b.test:587", { "b.test:587", NULL, NULL, NULL, NULL } },
		{ "[mx.b.test]:25", { "[mx.b.test]:25", NULL, NULL, NULL, NULL } },
		{ "[192.0.2.1]", { "[192.0.2.1]", NULL, NULL, NULL, NULL } },
		{ "unix:/run/x.y/lmtp", { "unix:/run/x.y/lmtp", NULL, NULL, NULL, NULL } },
	};
	struct view key;
	size_t i;
	unsigned n;

	(void)state;
	for (i = 0; i < NELEMS(cases); i++) {
		for (n = 0; cases[i].keys[n] != NULL; n++) {
			assert_true(tls_policy_key(
			    view_str(cases[i].hop), n, &key));
			assert_true(view_eq(key, view_str(cases[i].keys[n])));
		}
		assert_false(tls_policy_key(view_str(cases[i].hop), n, &key));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests_name("tls_policy", tests, NULL, NULL);
}
