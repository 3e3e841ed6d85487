/* SPDX-License-Identifier: ISC */
/*
 * tls_params_test.c: Postfix's words for protocols, ciphers and curves, and
 * what is said of wrong ones.
 */
#include "tests/unit/net/tls_rig.h"

#include <string.h>
#include <unistd.h>

#include "net/tls_internal.h"

static void
test_protocols(void **state)
{
	static const struct {
		const char *value;
		int least, greatest;
		uint64_t options;
	} rows[] = {
		{ "", 0, 0, 0 },
		{ ">=TLSv1.2", TLS1_2_VERSION, 0, 0 },
		{ ">=TLSv1.2, <=TLSv1.2", TLS1_2_VERSION, TLS1_2_VERSION, 0 },
		{ ">=0303 <=0304", TLS1_2_VERSION, TLS1_3_VERSION, 0 },
		{ "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", 0, 0, SSL_OP_NO_SSLv3 |
		    SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 },
		{ "TLSv1.2 TLSv1.3", 0, 0, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 |
		    SSL_OP_NO_TLSv1_1 },
		{ "tlsv1.3", 0, 0, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 |
		    SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 },
	};
	static const char *const bad[] = {
		">=TLSv1.4", "TLSv2", "SSLv2", ">TLSv1.2", "!", ">=TLSv1.3 <=TLSv1.2",
		"!TLSv1.3 >=TLSv1.3", "yes",
	};
	struct tls_protocols p;
	struct buf why;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		CHECK_INT(rows[i].value, tls_params_protocols("x", rows[i].value, &p,
		    &why), 0);
		CHECK_INT(rows[i].value, p.least, rows[i].least);
		CHECK_INT(rows[i].value, p.greatest, rows[i].greatest);
		CHECK_INT(rows[i].value, p.options, rows[i].options);
	}
	for (i = 0; i < NELEMS(bad); i++) {
		buf_reset(&why);
		CHECK_INT(bad[i], tls_params_protocols("smtpd_tls_protocols", bad[i],
		    &p, &why), PK_ESYNTAX);
		CHECK(bad[i], view_starts(buf_view(&why), VIEW("smtpd_tls_protocols: ")));
		CHECK(bad[i], strstr(buf_cstr(&why), bad[i]) != NULL);
	}
	buf_fini(&why);
}

/* Wrong words in main.cf: the parameter and the value are named. */
static void
test_wrong_words(void **state)
{
	static const struct {
		const char *text, *server, *client;
	} rows[] = {
		{ "smtpd_tls_protocols = >=TLSv9\n", "smtpd_tls_protocols: \">=TLSv9\"",
		    NULL },
		{ "smtpd_tls_security_level = encrypt\n"
		  "smtpd_tls_mandatory_protocols = SSLv9\n",
		    "smtpd_tls_mandatory_protocols: \"SSLv9\"", NULL },
		/* A server of ours has no SHA-1 signatures: nothing below TLS 1.2. */
		{ "smtpd_tls_protocols = TLSv1.1\n",
		    "smtpd_tls_protocols: \"TLSv1.1 >=TLSv1.2\" leaves no protocol", NULL },
		{ "smtpd_tls_protocols = !SSLv2, !SSLv3\n", NULL, NULL },
		{ "smtpd_tls_exclude_ciphers = aNULL, NONSENSE\n",
		    "smtpd_tls_exclude_ciphers: \"NONSENSE\"", NULL },
		{ "smtpd_tls_exclude_ciphers = RC4;DES\n",
		    "smtpd_tls_exclude_ciphers: \"RC4;DES\"", NULL },
		{ "smtp_tls_exclude_ciphers = @SECLEVEL=0\n", NULL,
		    "smtp_tls_exclude_ciphers: \"@SECLEVEL=0\"" },
		{ "tls_high_cipherlist = nothing\nsmtpd_tls_ciphers = high\n"
		  "smtp_tls_ciphers = high\n", "tls_high_cipherlist = nothing",
		    "tls_high_cipherlist = nothing" },
		{ "tls_eecdh_auto_curves = X25519 P-999\n",
		    "tls_eecdh_auto_curves: \"P-999\"",
		    "tls_eecdh_auto_curves: \"P-999\"" },
		{ "smtpd_tls_CAfile = /nonexistent\n",
		    "smtpd_tls_CAfile: /nonexistent: cannot be read", NULL },
		{ "smtp_tls_CApath = /nonexistent\n", NULL,
		    "smtp_tls_CApath: /nonexistent: cannot be read" },
		{ "smtp_tls_CAfile = /dev/null\n", NULL,
		    "smtp_tls_CAfile: /dev/null: no certificate in it" },
		{ "smtp_tls_mandatory_protocols = TLSv1.9\n", NULL,
		    "smtp_tls_mandatory_protocols: \"TLSv1.9\"" },
		/* What old configurations leave out, known to this OpenSSL or not. */
		{ "smtpd_tls_exclude_ciphers = aNULL, eNULL, EXPORT, DES, RC4, MD5, PSK,"
		  " aECDH, EDH-DSS-DES-CBC3-SHA, KRB5-DES, CBC3-SHA\n"
		  "smtp_tls_exclude_ciphers = 3DES LOW:EXP\n", NULL, NULL },
	};
	struct tls_server *s;
	struct tls_client *c;
	struct conf *conf;
	struct buf why;
	struct rig r;
	size_t i;

	(void)state;
	rig_init(&r, IPC_ROLE_smtpd);
	buf_init(&why, 10000);
	for (i = 0; i < NELEMS(rows); i++) {
		conf = rig_conf(rows[i].text);
		s = tls_server_new(r.keys, conf, "smtpd", &why);
		CHECK_INT(rows[i].text, s == NULL, rows[i].server != NULL);
		if (s == NULL)
			CHECK(buf_cstr(&why), strncmp(buf_cstr(&why), rows[i].server,
			    strlen(rows[i].server)) == 0);
		buf_reset(&why);
		c = tls_client_new(NULL, conf, &why);
		CHECK_INT(rows[i].text, c == NULL, rows[i].client != NULL);
		if (c == NULL)
			CHECK(buf_cstr(&why), strncmp(buf_cstr(&why), rows[i].client,
			    strlen(rows[i].client)) == 0);
		buf_reset(&why);
		tls_server_unref(&s);
		tls_client_unref(&c);
		conf_free(&conf);
	}
	buf_fini(&why);
	rig_fini(&r);
}

static void
test_ciphers_take_effect(void **state)
{
	static const struct {
		const char *text, *cipher;
	} rows[] = {
		{ "smtpd_tls_exclude_ciphers = AES256\n", "ECDHE-RSA-CHACHA20-POLY1305" },
		{ "smtpd_tls_exclude_ciphers = AES256 CHACHA20 ARIA CAMELLIA\n",
		    "ECDHE-RSA-AES128-GCM-SHA256" },
		{ "smtp_tls_exclude_ciphers = AESGCM, CHACHA20, ARIA, CAMELLIA, AESCCM\n",
		    "ECDHE-RSA-AES256-SHA384" },
		{ "smtpd_tls_security_level = encrypt\n"
		  "smtpd_tls_mandatory_exclude_ciphers = AES256-GCM-SHA384, "
		  "ECDHE-RSA-AES256-GCM-SHA384\n", "ECDHE-RSA-CHACHA20-POLY1305" },
		{ "tls_high_cipherlist = ECDHE-RSA-AES128-GCM-SHA256\n"
		  "smtpd_tls_ciphers = high\n", "ECDHE-RSA-AES128-GCM-SHA256" },
	};
	struct rig_bench b;
	struct rig_pair p;
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		text = xasprintf("%ssmtp_tls_protocols = TLSv1.2\n", rows[i].text);
		rig_bench_init(&b, RIG_RSA, text);
		rig_bench_shake(&b, rows[i].text, NULL, &p);
		CHECK_VIEW(rows[i].text, view_str(tls_conn_cipher(p.server.conn)),
		    rows[i].cipher);
		rig_pair_fini(&p);
		rig_bench_fini(&b);
		xfree(text);
	}
}

/* What a policy asks for instead of what the transport does. */
static void
test_policy_overrides(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_ENCRYPT,
		.protocols = "TLSv1.2",
		.ciphers = "high",
		.exclude = "AES256" };
	struct rig_bench b;
	struct rig_pair p;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "policy", &e, &p);
	assert_string_equal(tls_conn_protocol(p.client.conn), "TLSv1.2");
	assert_string_equal(
	    tls_conn_cipher(p.client.conn), "ECDHE-ECDSA-CHACHA20-POLY1305");
	rig_pair_fini(&p);
	e.protocols = "nonsense";
	rig_pair_init(&p, b.server, b.client, &e);
	assert_int_equal(tls_conn_handshake(p.client.conn), TLS_FAILED);
	assert_true(strstr(tls_conn_error(p.client.conn), "nonsense") != NULL);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

static void
test_curves_take_effect(void **state)
{
	struct rig_bench b;
	struct rig_pair p;
	struct buf line;

	(void)state;
	buf_init(&line, 500);
	rig_bench_init(&b, RIG_P256, "tls_eecdh_auto_curves = prime256v1\n");
	rig_bench_shake(&b, "P-256", NULL, &p);
	tls_conn_describe(p.client.conn, &line);
	assert_non_null(strstr(buf_cstr(&line), "key-exchange ECDHE (P-256)"));
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	buf_fini(&line);
}

UNIT_MAIN(cmocka_unit_test(test_protocols), cmocka_unit_test(test_wrong_words),
    cmocka_unit_test(test_ciphers_take_effect), cmocka_unit_test(test_policy_overrides),
    cmocka_unit_test(test_curves_take_effect))
