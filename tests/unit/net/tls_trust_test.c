/* SPDX-License-Identifier: ISC */
/*
 * tls_trust_test.c: is this the server that was meant? Levels, names, DANE
 * (RFC 7672), fingerprints, and what a resumed session is worth.
 */
#include "tests/unit/net/tls_rig.h"

#include <sys/socket.h>

#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

/* A root, a CA below it, and servers of both. */
struct pki {
	struct rig_cert	*root, *mid, *leaf, *old, *self, *other, *old_self;
	char		*file;
};

static void
pki_init(struct pki *p)
{
	struct rig_spec root = { .cn = "Root", .ca = true };
	struct rig_spec mid = { .cn = "Middle", .ca = true };
	struct rig_spec leaf = { .cn = "leaf",
		.names = { "mx.example", "*.w.example" } };
	struct rig_spec self = { .cn = "self", .names = { "mx.example" } };

	p->root = rig_cert_new(RIG_P256, 1, &root);
	mid.issuer = p->root;
	p->mid = rig_cert_new(RIG_P256, 2, &mid);
	leaf.issuer = p->mid;
	p->leaf = rig_cert_new(RIG_P256, 0, &leaf);
	leaf.days = -2;
	p->old = rig_cert_new(RIG_P256, 0, &leaf);
	p->self = rig_cert_new(RIG_P256, 0, &self);
	self.days = -2;
	p->old_self = rig_cert_new(RIG_P256, 0, &self);
	p->other = rig_cert_new(RIG_P384, 0, &self);
	p->file = rig_write_pem(p->root);
}

static void
pki_fini(struct pki *p)
{
	rig_cert_free(&p->root);
	rig_cert_free(&p->mid);
	rig_cert_free(&p->leaf);
	rig_cert_free(&p->old);
	rig_cert_free(&p->self);
	rig_cert_free(&p->old_self);
	rig_cert_free(&p->other);
	unlink(p->file);
	xfree(p->file);
}

/* One handshake with a server that shows cert; the trust, and the words in error. */
static enum tls_trust
trust_in(const struct pki *pki, const struct rig_cert *cert,
    const struct tls_expect *e, const char *row, struct buf *error)
{
	char *text = xasprintf("smtp_tls_CAfile = %s\n", pki->file);
	enum tls_trust trust;
	struct rig_bench b;
	struct rig_pair p;

	rig_bench_init(&b, RIG_P256, text);
	rig_say(&b.rig, cert, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	rig_ready(&b.rig);
	rig_bench_shake(&b, row, e, &p);
	trust = tls_conn_trust(p.client.conn);
	buf_reset(error);
	buf_put_str(error, tls_conn_error(p.client.conn));
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	xfree(text);
	return trust;
}

static void
check_levels(const struct pki *pki)
{
	static const char *const right[] = { "other.example", "mx.example" };
	static const char *const below[] = { ".example" };
	static const char *const wild[] = { "x.w.example" };
	static const char *const deep[] = { "y.x.w.example" };
	static const char *const wrong[] = { "mx.example.org" };
	static const char *const parent[] = { "example" };
	static const char *const empty[] = { "" };
	const struct {
		const char *name;
		enum tls_level level;
		const struct rig_cert *cert;
		const char *const *names;
		size_t nnames;
		enum tls_trust trust;
		const char *error;
	} rows[] = {
		{ "may", TLS_LEVEL_MAY, pki->leaf, NULL, 0, TLS_TRUST_TRUSTED, "" },
		{ "may, self", TLS_LEVEL_MAY, pki->self, NULL, 0,
		    TLS_TRUST_UNTRUSTED, "self-signed certificate" },
		{ "encrypt, over", TLS_LEVEL_ENCRYPT, pki->old, NULL, 0,
		    TLS_TRUST_UNTRUSTED, "certificate has expired" },
		{ "encrypt never is more", TLS_LEVEL_ENCRYPT, pki->leaf, right, 2,
		    TLS_TRUST_TRUSTED, "" },
		{ "verify", TLS_LEVEL_VERIFY, pki->leaf, right, 2,
		    TLS_TRUST_VERIFIED, "" },
		{ "verify below", TLS_LEVEL_VERIFY, pki->leaf, below, 1,
		    TLS_TRUST_VERIFIED, "" },
		{ "verify wild", TLS_LEVEL_VERIFY, pki->leaf, wild, 1,
		    TLS_TRUST_VERIFIED, "" },
		{ "verify too deep", TLS_LEVEL_VERIFY, pki->leaf, deep, 1,
		    TLS_TRUST_TRUSTED, "certificate is for leaf, not for y.x.w.example" },
		{ "verify wrong", TLS_LEVEL_VERIFY, pki->leaf, wrong, 1,
		    TLS_TRUST_TRUSTED, "certificate is for leaf, not for mx.example.org" },
		{ "verify parent", TLS_LEVEL_VERIFY, pki->leaf, parent, 1,
		    TLS_TRUST_TRUSTED, "certificate is for leaf, not for example" },
		{ "verify empty", TLS_LEVEL_VERIFY, pki->leaf, empty, 1,
		    TLS_TRUST_TRUSTED, "certificate is for leaf, not for " },
		{ "verify nobody", TLS_LEVEL_SECURE, pki->leaf, NULL, 0,
		    TLS_TRUST_TRUSTED,
		    "certificate is for leaf, not for any name that is known" },
		{ "secure", TLS_LEVEL_SECURE, pki->leaf, right, 2,
		    TLS_TRUST_VERIFIED, "" },
		{ "secure, self", TLS_LEVEL_SECURE, pki->self, right, 2,
		    TLS_TRUST_UNTRUSTED, "self-signed certificate" },
		{ "secure, over", TLS_LEVEL_SECURE, pki->old, right, 2,
		    TLS_TRUST_UNTRUSTED, "certificate has expired" },
	};
	struct tls_expect e;
	struct buf error;
	size_t i;

	buf_init(&error, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		memset(&e, 0, sizeof(e));
		e.level = rows[i].level;
		e.names = rows[i].names;
		e.nnames = rows[i].nnames;
		CHECK_INT(rows[i].name, trust_in(pki, rows[i].cert, &e,
		    rows[i].name, &error), rows[i].trust);
		CHECK_VIEW(rows[i].name, buf_view(&error), rows[i].error);
	}
	buf_fini(&error);
}

static void
test_levels_and_names(void **state)
{
	struct pki pki;

	(void)state;
	pki_init(&pki);
	check_levels(&pki);
	pki_fini(&pki);
}

static void
test_untrusted_issuer(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_SECURE };
	struct rig_bench b;
	struct rig_pair p;
	struct pki pki;

	(void)state;
	pki_init(&pki);
	/* No CA file at all. */
	rig_bench_init(&b, RIG_P256, "");
	rig_say(&b.rig, pki.leaf, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	rig_ready(&b.rig);
	rig_bench_shake(&b, "no CA", &e, &p);
	CHECK_INT("no CA", tls_conn_trust(p.client.conn), TLS_TRUST_UNTRUSTED);
	CHECK_VIEW("no CA", view_str(tls_conn_error(p.client.conn)),
	    "untrusted issuer Middle");
	CHECK_VIEW("no CA", view_str(tls_trust_word(TLS_TRUST_UNTRUSTED)),
	    "Untrusted");
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	pki_fini(&pki);
}

/* ---- DANE ---- */

/* The association data of RFC 6698 2.1. */
static void
association(const struct rig_cert *c, unsigned selector, unsigned matching,
    struct buf *b)
{
	unsigned char *der = NULL, hash[64];
	const EVP_MD *md = matching == 1 ? EVP_sha256() : EVP_sha512();
	unsigned n = 0;
	int len;

	len = selector == 0 ?
	    i2d_X509(c->x509, &der) :
	    i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &der);
	assert_true(len > 0);
	buf_reset(b);
	if (matching == 0)
		buf_put(b, der, (size_t)len);
	else {
		assert_int_equal(
		    EVP_Digest(der, (size_t)len, hash, &n, md, NULL), 1);
		buf_put(b, hash, n);
	}
	OPENSSL_free(der);
}

static enum tls_trust
dane(const struct pki *pki, const struct rig_cert *shown, unsigned usage,
    unsigned selector, unsigned matching, const struct rig_cert *of,
    const char *name, struct buf *error)
{
	const char *names[] = { name };
	struct tls_expect e = { .level = TLS_LEVEL_DANE,
		.sni = "mx.example",
		.names = names,
		.nnames = 1 };
	struct tls_tlsa r = { (uint8_t)usage, (uint8_t)selector,
		(uint8_t)matching, VIEW_NONE };
	enum tls_trust trust;
	struct buf data;
	char row[50];

	buf_init(&data, 5000);
	association(of, selector > 1 ? 0 : selector,
	    matching > 2 ? 1 : matching, &data);
	r.data = buf_view(&data);
	e.tlsa = &r;
	e.ntlsa = 1;
	snprintf(row, sizeof(row), "%u %u %u", usage, selector, matching);
	trust = trust_in(pki, shown, &e, row, error);
	buf_fini(&data);
	return trust;
}

/* Each record with both selectors and all matching types. */
static void
check_dane_rows(const struct pki *pki, unsigned selector, unsigned matching)
{
	static const char none_fits[] = "no TLSA record matches the certificate";
	const struct {
		const char *name;
		const struct rig_cert *cert;
		unsigned usage;
		const struct rig_cert *record;
		const char *host;
		enum tls_trust trust;
		const char *error;	/* NULL: whatever it says */
	} rows[] = {
		/* DANE-EE: the leaf, whatever its dates and names. */
		{ "leaf", pki->leaf, 3, pki->leaf, "mx.example", TLS_TRUST_VERIFIED, NULL },
		{ "leaf, another name", pki->self, 3, pki->self, "other.example",
		    TLS_TRUST_VERIFIED, NULL },
		{ "leaf, over", pki->old_self, 3, pki->old_self, "other.example",
		    TLS_TRUST_VERIFIED, NULL },
		{ "another leaf", pki->leaf, 3, pki->other, "mx.example",
		    TLS_TRUST_UNTRUSTED, none_fits },
		{ "leaf by its issuer's record", pki->leaf, 3, pki->mid, "mx.example",
		    TLS_TRUST_UNTRUSTED, NULL },
		/* DANE-TA: an issuer that the server shows, dates and names. */
		{ "issuer", pki->leaf, 2, pki->mid, "mx.example", TLS_TRUST_VERIFIED, NULL },
		{ "issuer, another name", pki->leaf, 2, pki->mid, "other.example",
		    TLS_TRUST_UNTRUSTED, "certificate is for leaf, not for other.example" },
		{ "issuer, over", pki->old, 2, pki->mid, "mx.example",
		    TLS_TRUST_UNTRUSTED, "certificate has expired" },
		{ "another issuer", pki->self, 2, pki->mid, "mx.example",
		    TLS_TRUST_UNTRUSTED, NULL },
	};
	struct buf error;
	char row[80];
	size_t i;

	buf_init(&error, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		snprintf(row, sizeof(row), "%s, selector %u matching %u", rows[i].name,
		    selector, matching);
		CHECK_INT(row, dane(pki, rows[i].cert, rows[i].usage, selector, matching,
		    rows[i].record, rows[i].host, &error), rows[i].trust);
		if (rows[i].error != NULL)
			CHECK_VIEW(row, buf_view(&error), rows[i].error);
	}
	buf_fini(&error);
}

static void
test_dane_usages(void **state)
{
	struct pki pki;
	struct buf error;
	unsigned selector, matching;

	(void)state;
	pki_init(&pki);
	buf_init(&error, 1000);
	for (selector = 0; selector <= 1; selector++)
		for (matching = 0; matching <= 2; matching++)
			check_dane_rows(&pki, selector, matching);
	/* A root in full that the server does not show (2 0 0, 2 1 0). */
	CHECK_INT("root",
	    dane(&pki, pki.leaf, 2, 0, 0, pki.root, "mx.example", &error),
	    TLS_TRUST_VERIFIED);
	CHECK_INT("root",
	    dane(&pki, pki.leaf, 2, 1, 0, pki.root, "mx.example", &error),
	    TLS_TRUST_VERIFIED);
	/* CAs that are configured do not count. */
	CHECK_INT("PKIX",
	    dane(&pki, pki.leaf, 2, 0, 1, pki.other, "mx.example", &error),
	    TLS_TRUST_UNTRUSTED);
	buf_fini(&error);
	pki_fini(&pki);
}

static void
test_dane_unusable(void **state)
{
	static const struct {
		unsigned usage, selector, matching;
	} rows[] = { { 0, 0, 1 }, { 1, 0, 1 }, { 4, 0, 1 }, { 3, 2, 1 },
		{ 3, 0, 3 }, { 255, 255, 255 } };
	struct tls_expect e = { .level = TLS_LEVEL_DANE };
	struct tls_tlsa two[2] = { { 3, 1, 1, VIEW("too short") },
		{ 3, 1, 1, VIEW_NONE } };
	struct pki pki;
	struct buf error, data;
	size_t i;

	(void)state;
	pki_init(&pki);
	buf_init(&error, 1000);
	buf_init(&data, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		CHECK_INT("unusable",
		    dane(&pki, pki.leaf, rows[i].usage, rows[i].selector,
			rows[i].matching, pki.leaf, "mx.example", &error),
		    TLS_TRUST_UNTRUSTED);
		CHECK_VIEW(
		    "unusable", buf_view(&error), "no TLSA record can be used");
	}
	e.tlsa = two;
	e.ntlsa = 0;
	CHECK_INT("none", trust_in(&pki, pki.leaf, &e, "none", &error),
	    TLS_TRUST_UNTRUSTED);
	e.ntlsa = 1;
	CHECK_INT("short", trust_in(&pki, pki.leaf, &e, "short", &error),
	    TLS_TRUST_UNTRUSTED);
	/* One that can be used beside it is enough. */
	association(pki.leaf, 1, 1, &data);
	two[1].data = buf_view(&data);
	e.ntlsa = 2;
	CHECK_INT("two", trust_in(&pki, pki.leaf, &e, "two", &error),
	    TLS_TRUST_VERIFIED);
	buf_fini(&error);
	buf_fini(&data);
	pki_fini(&pki);
}

/* ---- fingerprints ---- */

static void
test_fingerprints(void **state)
{
	struct tls_expect may = { .level = TLS_LEVEL_MAY };
	struct tls_expect e = { .level = TLS_LEVEL_FINGERPRINT };
	const char *list[2] = { "AA:BB", NULL };
	struct rig_bench b;
	struct rig_pair p;
	struct buf cert, key;
	size_t i;

	(void)state;
	buf_init(&cert, 500);
	buf_init(&key, 500);
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "may", &may, &p);
	assert_int_equal(
	    tls_conn_fingerprint(p.client.conn, "sha256", &cert), 0);
	assert_int_equal(
	    tls_conn_pubkey_fingerprint(p.client.conn, "sha256", &key), 0);
	assert_int_equal(tls_conn_fingerprint(p.client.conn, "nonsense", &key),
	    PK_EUNSUPPORTED);
	assert_int_equal(
	    tls_conn_fingerprint(p.server.conn, "sha256", &key), PK_ENOENT);
	rig_pair_fini(&p);
	e.fingerprints = list;
	for (i = 0; i < 3; i++) {
		list[1] = i == 0 ? buf_cstr(&cert) :
		    i == 1       ? buf_cstr(&key) :
				   "CC";
		e.nfingerprints = 2;
		rig_bench_shake(&b, list[1], &e, &p);
		CHECK_INT(list[1], tls_conn_trust(p.client.conn),
		    i < 2 ? TLS_TRUST_VERIFIED : TLS_TRUST_UNTRUSTED);
		rig_pair_fini(&p);
	}
	rig_bench_fini(&b);
	buf_fini(&cert);
	buf_fini(&key);
}

/* ---- sessions ---- */

/* What a full handshake proved holds for its session; what failed is not kept. */
static void
test_trust_of_a_session(void **state)
{
	static const char *const right[] = { "mx.example" },
				 *const wrong[] = { "no.example" };
	struct tls_expect e = { .level = TLS_LEVEL_SECURE,
		.names = right,
		.nnames = 1,
		.session_key = "secure mx.example" };
	struct rig_bench b;
	struct rig_pair p;
	struct pki pki;
	char *text;
	unsigned i;

	(void)state;
	pki_init(&pki);
	text = xasprintf("smtp_tls_CAfile = %s\n", pki.file);
	rig_bench_init(&b, RIG_P256, text);
	rig_say(&b.rig, pki.leaf, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	rig_ready(&b.rig);
	for (i = 0; i < 3; i++) {
		rig_bench_shake(&b, "right", &e, &p);
		CHECK_INT("resumed", tls_conn_resumed(p.client.conn), i > 0);
		CHECK_INT(
		    "trust", tls_conn_trust(p.client.conn), TLS_TRUST_VERIFIED);
		rig_pair_fini(&p);
	}
	e.names = wrong;
	e.session_key = "secure no.example";
	for (i = 0; i < 2; i++) {
		rig_bench_shake(&b, "wrong", &e, &p);
		CHECK_INT("resumed", tls_conn_resumed(p.client.conn), 0);
		CHECK_INT(
		    "trust", tls_conn_trust(p.client.conn), TLS_TRUST_TRUSTED);
		rig_pair_fini(&p);
	}
	rig_bench_fini(&b);
	xfree(text);
	pki_fini(&pki);
}

/* ---- primes that a server chooses ---- */

static void
woken(void *arg)
{
	(void)arg;
}

static EVP_PKEY *
dh_key(const char *group)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_keygen_init(c), 1);
	assert_int_equal(EVP_PKEY_CTX_set_group_name(c, group), 1);
	assert_int_equal(EVP_PKEY_generate(c, &key), 1);
	EVP_PKEY_CTX_free(c);
	return key;
}

/* Our client and OpenSSL's server with this group; what the client came to. */
static enum tls_status
shake_dhe(struct rig_bench *b, const char *group)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum tls_status status = TLS_WANT_READ;
	struct tls_conn *t;
	int sv[2], i;
	SSL *ssl;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "DHE-RSA-AES128-GCM-SHA256"), 1);
	assert_int_equal(SSL_CTX_use_cert_and_key(ctx, b->cert->x509, b->cert->key, NULL, 1), 1);
	assert_int_equal(SSL_CTX_set0_tmp_dh_pkey(ctx, dh_key(group)), 1);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, sv[1]);
	SSL_set_accept_state(ssl);
	t = tls_conn_connect(b->client, sv[0], &e, woken, NULL);
	for (i = 0; i < 10 && status == TLS_WANT_READ; i++) {
		status = tls_conn_handshake(t);
		(void)SSL_do_handshake(ssl);
	}
	tls_conn_free(&t);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(sv[0]);
	close(sv[1]);
	ERR_clear_error();
	return status;
}

static void
test_A18_large_primes(void **state)
{
	struct rig_bench b;

	(void)state;
	/* The usual lists have no DHE. */
	rig_bench_init(&b, RIG_RSA, "tls_medium_cipherlist = HIGH\n");
	assert_int_equal(shake_dhe(&b, "ffdhe2048"), TLS_DONE);
	assert_int_equal(shake_dhe(&b, "ffdhe8192"), TLS_FAILED);
	rig_bench_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_A18_large_primes),
    cmocka_unit_test(test_levels_and_names), cmocka_unit_test(test_untrusted_issuer),
    cmocka_unit_test(test_dane_usages), cmocka_unit_test(test_dane_unusable),
    cmocka_unit_test(test_fingerprints), cmocka_unit_test(test_trust_of_a_session))
