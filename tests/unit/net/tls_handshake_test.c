/* SPDX-License-Identifier: ISC */
/*
 * tls_handshake_test.c: what a listener offers: kinds of keys, names,
 * tickets, client certificates; and what it refuses. The keys are in a certd
 * that the test plays.
 */
#include "tests/unit/net/tls_rig.h"

#include <openssl/err.h>

#include <string.h>
#include <unistd.h>

static const char *const kind_names[] = { "RSA", "P-256", "P-384", "Ed25519" };

static struct tls_server *
another_server(struct rig_bench *b, const char *service, const char *text)
{
	struct conf *conf = rig_conf(text);
	struct tls_server *s;
	struct buf why;

	buf_init(&why, 1000);
	s = tls_server_new(b->rig.keys, conf, service, &why);
	if (s == NULL)
		fail_msg("%s", buf_cstr(&why));
	buf_fini(&why);
	conf_free(&conf);
	return s;
}

static void
test_each_kind_of_key(void **state)
{
	static const struct {
		const char *conf;
		enum tls_sign_kind kind;
	} versions[] = {
		{ "smtp_tls_protocols = TLSv1.3\n", TLS_SIGN_13_SERVER },
		{ "smtp_tls_protocols = TLSv1.2\n", TLS_SIGN_12_SERVER },
	};
	struct rig_bench b;
	struct rig_pair p;
	char name[50];
	size_t i, k;

	(void)state;
	for (i = 0; i < NELEMS(versions); i++)
		for (k = 0; k < RIG_KINDS; k++) {
			snprintf(name, sizeof(name), "%s %s", kind_names[k],
			    versions[i].conf);
			rig_bench_init(&b, (enum rig_kind)k, versions[i].conf);
			rig_bench_shake(&b, name, NULL, &p);
			CHECK_INT(name, b.rig.signs, 1);
			CHECK_INT(name, b.rig.last_kind, versions[i].kind);
			CHECK_INT(name, p.server.wakes, 1);
			CHECK(name, tls_conn_key_us(p.server.conn) > 0);
			rig_pair_fini(&p);
			rig_bench_fini(&b);
		}
}

static void
test_description(void **state)
{
	struct rig_bench b;
	struct rig_pair p;
	struct buf line;
	uint8_t ours[32], theirs[32];

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "1.3", NULL, &p);
	buf_init(&line, 500);
	tls_conn_describe(p.server.conn, &line);
	CHECK_VIEW("server", buf_view(&line),
	    "TLSv1.3 with cipher"
	    " TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519"
	    " server-signature ECDSA (P-256) server-digest SHA256");
	buf_reset(&line);
	tls_conn_describe(p.client.conn, &line);
	CHECK_VIEW("client", buf_view(&line),
	    "TLSv1.3 with cipher"
	    " TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519"
	    " server-signature ECDSA (P-256) server-digest SHA256");
	assert_string_equal(tls_conn_protocol(p.server.conn), "TLSv1.3");
	assert_string_equal(
	    tls_conn_cipher(p.server.conn), "TLS_AES_256_GCM_SHA384");
	assert_int_equal(tls_conn_cipher_bits(p.server.conn), 256);
	assert_string_equal(tls_conn_peer_name(p.client.conn), "mx.example");
	assert_string_equal(tls_conn_issuer(p.client.conn), "mx.example");
	assert_string_equal(tls_conn_peer_name(p.server.conn), "");
	assert_int_equal(tls_conn_exporter(p.server.conn, ours), 0);
	assert_int_equal(tls_conn_exporter(p.client.conn, theirs), 0);
	assert_memory_equal(ours, theirs, 32);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	rig_bench_init(&b, RIG_RSA, "smtp_tls_protocols = TLSv1.2\n");
	rig_bench_shake(&b, "1.2", NULL, &p);
	buf_reset(&line);
	tls_conn_describe(p.server.conn, &line);
	CHECK_VIEW("1.2", buf_view(&line),
	    "TLSv1.2 with cipher"
	    " ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)");
	assert_int_equal(
	    tls_conn_exporter(p.server.conn, ours), PK_EUNSUPPORTED);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	buf_fini(&line);
}

/* ---- names ---- */

/* The common name that a client that says sni is shown. */
static void
expect_certificate(struct rig_bench *b, const char *sni, const char *cn)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY, .sni = sni };
	struct rig_pair p;
	const char *row = sni != NULL ? sni : "(none)";

	rig_bench_shake(b, row, &e, &p);
	CHECK_VIEW(row, view_str(tls_conn_peer_name(p.client.conn)), cn);
	CHECK_VIEW(
	    row, view_str(tls_conn_sni(p.server.conn)), sni != NULL ? sni : "");
	rig_pair_fini(&p);
}

static void
test_names(void **state)
{
	struct rig_spec a = { .cn = "A" }, w = { .cn = "W" };
	struct rig_cert *ca, *cw;
	struct rig_bench b;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	ca = rig_cert_new(RIG_P384, 0, &a);
	cw = rig_cert_new(RIG_RSA, 0, &w);
	rig_say(&b.rig, b.cert, CERT_SERVER | CERT_DEFAULT, "mx.example", NULL);
	rig_say(&b.rig, ca, CERT_SERVER, "a.example", "deep.w.example");
	rig_say(&b.rig, cw, CERT_SERVER, "*.w.example", NULL);
	rig_ready(&b.rig);
	expect_certificate(&b, NULL, "mx.example");
	expect_certificate(&b, "nobody.example", "mx.example");
	expect_certificate(&b, "mx.example", "mx.example");
	expect_certificate(&b, "a.example", "A");
	expect_certificate(&b, "A.EXAMPLE", "A");
	expect_certificate(&b, "deep.w.example", "A");
	expect_certificate(&b, "x.w.example", "W");
	/* One label, and not the domain itself. */
	expect_certificate(&b, "y.x.w.example", "mx.example");
	expect_certificate(&b, "w.example", "mx.example");
	rig_cert_free(&ca);
	rig_cert_free(&cw);
	rig_bench_fini(&b);
}

/* RSA and ECDSA side by side: the client's signature algorithms choose. */
static void
test_two_kinds_for_a_name(void **state)
{
	static const struct {
		const char *sigalgs;
		int version;
		unsigned scheme;
	} rows[] = {
		{ "ECDSA+SHA256:RSA-PSS+SHA256", TLS1_3_VERSION, 0x0403 },
		{ "RSA-PSS+SHA256", TLS1_3_VERSION, 0x0804 },
		{ "RSA+SHA256", TLS1_2_VERSION, 0x0401 },
		{ "RSA-PSS+SHA384", TLS1_2_VERSION, 0x0805 },
		{ "RSA+SHA224:RSA+SHA256", TLS1_2_VERSION, 0x0401 },
	};
	struct rig_spec spec = { .cn = "mx.example" };
	struct rig_stranger x;
	struct rig_bench b;
	struct rig_cert *rsa;
	size_t i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rsa = rig_cert_new(RIG_RSA, 0, &spec);
	rig_say(&b.rig, rsa, CERT_SERVER | CERT_DEFAULT, "mx.example", NULL);
	rig_say(&b.rig, b.cert, CERT_SERVER | CERT_DEFAULT, "mx.example", NULL);
	rig_ready(&b.rig);
	for (i = 0; i < NELEMS(rows); i++) {
		rig_stranger_init(&x);
		SSL_CTX_set_min_proto_version(x.ctx, rows[i].version);
		SSL_CTX_set_max_proto_version(x.ctx, rows[i].version);
		assert_int_equal(SSL_CTX_set1_sigalgs_list(x.ctx, rows[i].sigalgs), 1);
		rig_stranger_start(&x, b.server);
		SSL_set_tlsext_host_name(x.ssl, "mx.example");
		rig_stranger_shake(&b.rig, &x);
		CHECK_INT(rows[i].sigalgs, x.server.status, TLS_DONE);
		CHECK_INT(rows[i].sigalgs, x.done, 1);
		CHECK_INT(rows[i].sigalgs, b.rig.last_scheme, rows[i].scheme);
		rig_stranger_fini(&x);
	}
	rig_cert_free(&rsa);
	rig_bench_fini(&b);
}

/* A set that is replaced serves nobody new; who is there stays. */
static void
test_new_set(void **state)
{
	struct rig_spec spec = { .cn = "new.example" };
	struct rig_cert *next;
	struct rig_pair old;
	struct rig_bench b;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "old", NULL, &old);
	next = rig_cert_new(RIG_P256, 1, &spec);
	rig_say(&b.rig, next, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	expect_certificate(&b, NULL, "mx.example"); /* not complete yet */
	rig_ready(&b.rig);
	expect_certificate(&b, NULL, "new.example");
	rig_pair_talk(&old);
	rig_pair_fini(&old);
	rig_ready(&b.rig);
	assert_false(tls_keys_have(b.rig.keys, CERT_SERVER));
	rig_cert_free(&next);
	rig_bench_fini(&b);
}

/* ---- tickets ---- */

static bool
resumes(struct rig_bench *b, struct tls_server *s, const char *key)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY, .session_key = key };
	unsigned signs = b->rig.signs;
	struct rig_pair p;
	bool resumed;

	rig_pair_init(&p, s, b->client, &e);
	rig_pair_shake(&b->rig, &p);
	assert_int_equal(p.server.status, TLS_DONE);
	assert_int_equal(p.client.status, TLS_DONE);
	rig_pair_talk(&p);
	resumed = tls_conn_resumed(p.server.conn);
	assert_int_equal(resumed, tls_conn_resumed(p.client.conn));
	assert_int_equal(b->rig.signs - signs, resumed ? 0 : 1);
	rig_pair_fini(&p);
	return resumed;
}

static void
check_tickets(const char *version)
{
	struct tls_server *other;
	struct rig_bench b;

	rig_bench_init(&b, RIG_P256, version);
	other = another_server(&b, "submission", version);
	CHECK(version, !resumes(&b, b.server, "k"));
	CHECK(version, resumes(&b, b.server, "k"));
	CHECK(version, resumes(&b, b.server, "k"));
	/* Only under the same key; and not without one. */
	CHECK(version, !resumes(&b, b.server, "l"));
	CHECK(version, !resumes(&b, b.server, NULL));
	/* The older secret still opens, a new ticket comes with it. */
	rig_tickets(&b.rig, 2, 0);
	CHECK(version, resumes(&b, b.server, "k"));
	rig_tickets(&b.rig, 1, 0);
	CHECK(version, resumes(&b, b.server, "k"));
	rig_tickets(&b.rig, 1, 99);
	CHECK(version, !resumes(&b, b.server, "k"));
	CHECK(version, resumes(&b, b.server, "k"));
	tls_server_unref(&other);
	rig_bench_fini(&b);
}

static void
test_tickets(void **state)
{
	(void)state;
	check_tickets("smtp_tls_protocols = TLSv1.3\n");
	check_tickets("smtp_tls_protocols = TLSv1.2\n");
}

static void
test_A20_ticket_of_another_service(void **state)
{
	static const char *const versions[] = {
		"smtp_tls_protocols = TLSv1.3\n", "smtp_tls_protocols = TLSv1.2\n",
	};
	struct tls_server *other, *same;
	struct rig_bench b;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(versions); i++) {
		rig_bench_init(&b, RIG_P256, versions[i]);
		other = another_server(&b, "submission", versions[i]);
		same = another_server(&b, "smtpd", versions[i]);
		assert_false(resumes(&b, b.server, "k"));
		assert_false(resumes(&b, other, "k"));
		/* Another worker of the same one does; the session was renewed there. */
		assert_false(resumes(&b, b.server, "m"));
		assert_true(resumes(&b, same, "m"));
		tls_server_unref(&other);
		tls_server_unref(&same);
		rig_bench_fini(&b);
	}
}

static void
test_no_tickets(void **state)
{
	struct rig_bench b;

	(void)state;
	rig_bench_init(&b, RIG_P256, "smtpd_tls_session_cache_timeout = 0\n");
	assert_false(resumes(&b, b.server, "k"));
	assert_false(resumes(&b, b.server, "k"));
	rig_bench_fini(&b);
	/* Before certd has said any secret. */
	rig_bench_init(&b, RIG_P256, "");
	rig_tickets(&b.rig, 0, 0);
	assert_false(resumes(&b, b.server, "k"));
	assert_false(resumes(&b, b.server, "k"));
	rig_bench_fini(&b);
}

/* ---- client certificates ---- */

struct ccert_row {
	const char	*name, *conf;
	int		 shows;		/* 0: nothing, 1: the CA's, 2: a stranger's */
	enum tls_status	 status;
	enum tls_trust	 trust;
};

static void
check_ccert(const struct ccert_row *row, const char *version, const char *ca_file,
    const struct rig_cert *good, const struct rig_cert *bad)
{
	const struct rig_cert *mine = row->shows == 1 ? good : bad;
	char *text = xasprintf(
	    "%s%ssmtpd_tls_CAfile = %s\n", row->conf, version, ca_file);
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct tls_client *client;
	struct rig_bench b;
	struct rig_pair p;
	struct buf why, print;

	buf_init(&why, 1000);
	buf_init(&print, 1000);
	rig_bench_init(&b, RIG_P256, text);
	rig_say(&b.rig, b.cert, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	if (row->shows != 0)
		rig_say(&b.rig, mine, CERT_CLIENT, NULL, NULL);
	rig_ready(&b.rig);
	client = tls_client_new(b.rig.keys, b.conf, &why);
	assert_non_null(client);
	rig_pair_init(&p, b.server, client, &e);
	rig_pair_shake(&b.rig, &p);
	CHECK_INT(row->name, p.server.status, row->status);
	if (p.server.status == TLS_DONE) {
		CHECK_INT(row->name, tls_conn_trust(p.server.conn), row->trust);
		CHECK_INT(row->name, b.rig.signs, row->shows != 0 ? 2 : 1);
		CHECK_INT(row->name,
		    tls_conn_fingerprint(p.server.conn, "sha256", &print),
		    row->shows != 0 ? 0 : PK_ENOENT);
		CHECK_VIEW(row->name,
		    view_str(tls_conn_peer_name(p.server.conn)),
		    row->shows == 0 ? "" : "client.example");
		CHECK_INT(row->name, print.len, row->shows != 0 ? 95 : 0);
		rig_pair_talk(&p);
	}
	rig_pair_fini(&p);
	tls_client_unref(&client);
	rig_bench_fini(&b);
	buf_fini(&why);
	buf_fini(&print);
	xfree(text);
}

static void
test_client_certificates(void **state)
{
	static const struct ccert_row rows[] = {
		{ "asked, none", "smtpd_tls_ask_ccert = yes\n", 0, TLS_DONE,
		    TLS_TRUST_ANONYMOUS },
		{ "asked, good", "smtpd_tls_ask_ccert = yes\n", 1, TLS_DONE,
		    TLS_TRUST_TRUSTED },
		{ "asked, stranger", "smtpd_tls_ask_ccert = yes\n", 2, TLS_DONE,
		    TLS_TRUST_UNTRUSTED },
		{ "required but may", "smtpd_tls_req_ccert = yes\n", 0, TLS_DONE,
		    TLS_TRUST_ANONYMOUS },
		{ "required, none", "smtpd_tls_req_ccert = yes\n"
		    "smtpd_tls_security_level = encrypt\n", 0, TLS_FAILED, 0 },
		{ "required, good", "smtpd_tls_req_ccert = yes\n"
		    "smtpd_tls_security_level = encrypt\n", 1, TLS_DONE,
		    TLS_TRUST_TRUSTED },
		{ "required, stranger", "smtpd_tls_req_ccert = yes\n"
		    "smtpd_tls_security_level = encrypt\n", 2, TLS_FAILED, 0 },
		{ "too deep", "smtpd_tls_ask_ccert = yes\n"
		    "smtpd_tls_ccert_verifydepth = 0\n", 1, TLS_DONE,
		    TLS_TRUST_UNTRUSTED },
	};
	struct rig_spec root = { .cn = "Root", .ca = true }, mid, leaf, self;
	struct rig_cert *croot, *cmid, *good, *bad;
	char *file;
	size_t i;

	(void)state;
	croot = rig_cert_new(RIG_P256, 1, &root);
	mid = (struct rig_spec){ .cn = "Middle", .ca = true, .issuer = croot };
	cmid = rig_cert_new(RIG_P256, 2, &mid);
	leaf = (struct rig_spec){ .cn = "client.example", .issuer = cmid };
	good = rig_cert_new(RIG_P256, 3, &leaf);
	self = (struct rig_spec){ .cn = "client.example" };
	bad = rig_cert_new(RIG_RSA, 1, &self);
	file = rig_write_pem(croot);
	for (i = 0; i < NELEMS(rows); i++) {
		check_ccert(&rows[i], "smtp_tls_protocols = TLSv1.3\n", file, good, bad);
		check_ccert(&rows[i], "smtp_tls_protocols = TLSv1.2\n", file, good, bad);
	}
	unlink(file);
	xfree(file);
	rig_cert_free(&croot);
	rig_cert_free(&cmid);
	rig_cert_free(&good);
	rig_cert_free(&bad);
}

/* ---- what is refused ---- */

static int
alpn_result(struct rig_bench *b, const char *wire, size_t len)
{
	struct rig_stranger x;
	int status;

	rig_stranger_init(&x);
	SSL_CTX_set_alpn_protos(
	    x.ctx, (const unsigned char *)wire, (unsigned)len);
	rig_stranger_start(&x, b->server);
	rig_stranger_shake(&b->rig, &x);
	status = (int)x.server.status;
	if (status == TLS_FAILED)
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
		    SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
	rig_stranger_fini(&x);
	return status;
}

static void
test_A4_other_protocols_by_alpn(void **state)
{
	struct rig_bench b;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	assert_int_equal(alpn_result(&b, "\2h2\10http/1.1", 12), TLS_FAILED);
	assert_int_equal(alpn_result(&b, "\10http/1.1", 9), TLS_FAILED);
	assert_int_equal(alpn_result(&b, "\3ftp", 4), TLS_FAILED);
	assert_int_equal(alpn_result(&b, "\4smtp", 5), TLS_DONE);
	assert_int_equal(alpn_result(&b, "\6x-mine", 7), TLS_DONE);
	rig_bench_fini(&b);
}

static void
test_renegotiation_is_refused(void **state)
{
	struct rig_stranger x;
	struct rig_bench b;
	bool told = false;
	char in[100];
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_stranger_init(&x);
	SSL_CTX_set_max_proto_version(x.ctx, TLS1_2_VERSION);
	rig_stranger_start(&x, b.server);
	rig_stranger_shake(&b.rig, &x);
	assert_int_equal(x.server.status, TLS_DONE);
	assert_int_equal(SSL_renegotiate(x.ssl), 1);
	(void)SSL_do_handshake(x.ssl);
	for (i = 0; i < 3; i++) {
		assert_int_equal(
		    tls_conn_read(x.server.conn, in, sizeof(in)), -1);
		assert_true(SSL_do_handshake(x.ssl) != 1);
		told = told ||
		    ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION;
	}
	assert_int_equal(b.rig.signs, 1);
	assert_true(told);
	rig_stranger_fini(&x);
	rig_bench_fini(&b);
}

/* A resumed client that sends early data all the same: that is its end. */
static void
test_early_data_is_refused(void **state)
{
	SSL_SESSION *session;
	struct rig_stranger x;
	struct rig_bench b;
	size_t sent = 0;
	char in[100];

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_stranger_init(&x);
	rig_stranger_start(&x, b.server);
	rig_stranger_shake(&b.rig, &x);
	assert_int_equal(x.done, 1);
	(void)SSL_read(x.ssl, in, sizeof(in));
	session = SSL_get1_session(x.ssl);
	assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
	rig_stranger_fini(&x);

	assert_int_equal(SSL_SESSION_set_max_early_data(session, 1000), 1);
	rig_stranger_init(&x);
	rig_stranger_start(&x, b.server);
	SSL_set_session(x.ssl, session);
	assert_int_equal(
	    SSL_write_early_data(x.ssl, "EHLO early\r\n", 12, &sent), 1);
	rig_stranger_shake(&b.rig, &x);
	/* The ticket said that none is taken. */
	assert_int_equal(x.server.status, TLS_FAILED);
	assert_int_equal(tls_conn_read(x.server.conn, in, sizeof(in)), -1);
	SSL_SESSION_free(session);
	rig_stranger_fini(&x);
	rig_bench_fini(&b);
}

static void
test_old_versions_and_weak_ciphers(void **state)
{
	static const struct {
		const char *name, *list;
		int version;
	} rows[] = {
		{ "TLS 1.1", "ALL:@SECLEVEL=0", TLS1_1_VERSION },
		{ "TLS 1.0", "ALL:@SECLEVEL=0", TLS1_VERSION },
		{ "RSA key exchange", "kRSA:@SECLEVEL=0", TLS1_2_VERSION },
		{ "anonymous", "aNULL:@SECLEVEL=0", TLS1_2_VERSION },
		{ "null", "eNULL:@SECLEVEL=0", TLS1_2_VERSION },
		{ "DHE", "kDHE:@SECLEVEL=0", TLS1_2_VERSION },
	};
	struct rig_stranger x;
	struct rig_bench b;
	size_t i;

	(void)state;
	rig_bench_init(&b, RIG_RSA, "smtpd_tls_ciphers = high\n"
	    "smtpd_tls_protocols = !SSLv2 !SSLv3\n");
	for (i = 0; i < NELEMS(rows); i++) {
		rig_stranger_init(&x);
		SSL_CTX_set_min_proto_version(x.ctx, rows[i].version);
		SSL_CTX_set_max_proto_version(x.ctx, rows[i].version);
		assert_int_equal(SSL_CTX_set_cipher_list(x.ctx, rows[i].list), 1);
		rig_stranger_start(&x, b.server);
		rig_stranger_shake(&b.rig, &x);
		CHECK_INT(rows[i].name, x.server.status, TLS_FAILED);
		rig_stranger_fini(&x);
	}
	rig_bench_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_each_kind_of_key), cmocka_unit_test(test_description),
    cmocka_unit_test(test_names), cmocka_unit_test(test_two_kinds_for_a_name),
    cmocka_unit_test(test_new_set), cmocka_unit_test(test_tickets),
    cmocka_unit_test(test_A20_ticket_of_another_service),
    cmocka_unit_test(test_no_tickets), cmocka_unit_test(test_client_certificates),
    cmocka_unit_test(test_A4_other_protocols_by_alpn),
    cmocka_unit_test(test_renegotiation_is_refused),
    cmocka_unit_test(test_early_data_is_refused),
    cmocka_unit_test(test_old_versions_and_weak_ciphers))
