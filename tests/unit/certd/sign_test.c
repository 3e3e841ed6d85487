/* SPDX-License-Identifier: ISC */
/*
 * sign_test.c: every scheme verifies with the public key; everything that is
 * no handshake of this key is refused (A24: a worker that was taken over).
 */
#include "tests/unit/unit.h"

#include <openssl/rsa.h>

#include "certd/sign.h"
#include "tests/unit/certd/certs.h"

static struct pair *server[KEY_KINDS], *client[KEY_KINDS];

static int
set_up(void **state)
{
	(void)state;
	static const enum certs_key kinds[] = { KEY_RSA, KEY_P256, KEY_P384, KEY_ED25519 };
	size_t i;

	for (i = 0; i < NELEMS(kinds); i++) {
		server[kinds[i]] = certs_pair(kinds[i], CERT_SERVER);
		client[kinds[i]] = certs_pair(kinds[i], CERT_CLIENT);
	}
	return 0;
}

static int
tear_down(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < KEY_KINDS; i++) {
		pair_unref(&server[i]);
		pair_unref(&client[i]);
	}
	return 0;
}

/* ---- what handshakes sign ---- */

static void
put_params(struct buf *b, unsigned group, unsigned size)
{
	unsigned i;

	for (i = 0; i < 64; i++)
		buf_put_char(b, (char)i);
	buf_put_char(b, 3);
	buf_put_char(b, (char)(group >> 8));
	buf_put_char(b, (char)group);
	buf_put_char(b, (char)size);
	buf_put_char(b, 4);
	for (i = 1; i < size; i++)
		buf_put_char(b, (char)(i * 7));
}

static void
put_message(struct buf *b, unsigned type, size_t size)
{
	size_t i;

	buf_put_char(b, (char)type);
	buf_put_char(b, (char)(size >> 16));
	buf_put_char(b, (char)(size >> 8));
	buf_put_char(b, (char)size);
	/* version of a ClientHello */
	for (i = 0; i < size; i++)
		buf_put_char(b, i < 2 ? 3 : 'x');
}

static void
put_flight(struct buf *b, const uint8_t *types, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		put_message(b, types[i], types[i] == 14 ? 0 : 40);
}

static const uint8_t usual_flight[] = { 1, 2, 11, 12, 13, 14, 11, 16 };

static void
put_data(struct buf *b, enum tls_sign_kind kind)
{
	unsigned i;

	buf_reset(b);
	if (kind == TLS_SIGN_12_SERVER)
		put_params(b, 29, 32);
	else if (kind == TLS_SIGN_12_CLIENT)
		put_flight(b, usual_flight, sizeof(usual_flight));
	else
		for (i = 0; i < 32; i++)
			buf_put_char(b, (char)(200 + i));
}

/* ---- signing ---- */

static bool
verifies(const struct pair *p, const EVP_MD *md, bool pss, struct view tbs, const uint8_t *sig,
    size_t len)
{
	EVP_PKEY *public = X509_get0_pubkey(p->leaf);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool good;

	good = EVP_DigestVerifyInit(ctx, &pctx, md, NULL, public) == 1;
	if (good && pss)
		good = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	good = good && EVP_DigestVerify(ctx, sig, len, (const unsigned char *)tbs.p, tbs.len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

static const struct {
	const char	*name;
	unsigned	 code;
	enum certs_key	 key;
	const EVP_MD	*(*md)(void);
	bool		 pss, in12, in13;
} schemes[] = {
	{ "rsa_pkcs1_sha256", 0x0401, KEY_RSA, EVP_sha256, false, true, false },
	{ "rsa_pkcs1_sha384", 0x0501, KEY_RSA, EVP_sha384, false, true, false },
	{ "rsa_pkcs1_sha512", 0x0601, KEY_RSA, EVP_sha512, false, true, false },
	{ "rsa_pss_rsae_sha256", 0x0804, KEY_RSA, EVP_sha256, true, true, true },
	{ "rsa_pss_rsae_sha384", 0x0805, KEY_RSA, EVP_sha384, true, true, true },
	{ "rsa_pss_rsae_sha512", 0x0806, KEY_RSA, EVP_sha512, true, true, true },
	{ "ecdsa_secp256r1_sha256", 0x0403, KEY_P256, EVP_sha256, false, true, true },
	{ "ecdsa_secp384r1_sha384", 0x0503, KEY_P384, EVP_sha384, false, true, true },
	{ "ecdsa sha384 with P-256", 0x0503, KEY_P256, EVP_sha384, false, true, false },
	{ "ecdsa sha256 with P-384", 0x0403, KEY_P384, EVP_sha256, false, true, false },
	{ "ecdsa sha512 with P-384", 0x0603, KEY_P384, EVP_sha512, false, true, false },
	{ "ed25519", 0x0807, KEY_ED25519, NULL, false, true, true },
};

static int
prepare(const struct pair *p, enum tls_sign_kind kind, unsigned code, struct view data,
    struct buf *tbs)
{
	const char *why = NULL;
	int error;

	buf_reset(tbs);
	error = sign_prepare(p, kind, code, data, tbs, &why);
	assert_non_null(why);
	return error;
}

static void
every_scheme_verifies(void **state)
{
	static const struct {
		enum tls_sign_kind kind;
		bool		 is13, server;
	} kinds[] = {
		{ TLS_SIGN_13_SERVER, true, true }, { TLS_SIGN_13_CLIENT, true, false },
		{ TLS_SIGN_12_SERVER, false, true }, { TLS_SIGN_12_CLIENT, false, false },
	};
	struct buf data, tbs;
	uint8_t sig[SIGN_MAX];
	size_t i, k, len;

	(void)state;
	buf_init(&data, 70000);
	buf_init(&tbs, 70000);
	for (i = 0; i < NELEMS(schemes); i++)
		for (k = 0; k < NELEMS(kinds); k++) {
			const char *name = schemes[i].name;
			struct pair *p = kinds[k].server ? server[schemes[i].key] :
			    client[schemes[i].key];
			bool allowed = kinds[k].is13 ? schemes[i].in13 : schemes[i].in12;

			put_data(&data, kinds[k].kind);
			CHECK_INT(name, prepare(p, kinds[k].kind, schemes[i].code,
			    buf_view(&data), &tbs), allowed ? 0 : PK_EPERM);
			if (!allowed)
				continue;
			CHECK_INT(name, sign_do(p, schemes[i].code, buf_view(&tbs), sig, &len), 0);
			CHECK(name, verifies(p, schemes[i].md != NULL ? schemes[i].md() : NULL,
			    schemes[i].pss, buf_view(&tbs), sig, len));
			sig[len / 2] ^= 1;
			CHECK(name, !verifies(p, schemes[i].md != NULL ? schemes[i].md() : NULL,
			    schemes[i].pss, buf_view(&tbs), sig, len));
		}
	buf_fini(&data);
	buf_fini(&tbs);
}

static void
context_of_tls13_is_built_here(void **state)
{
	struct buf data, tbs;
	char want[64 + 34 + 32];

	(void)state;
	buf_init(&data, 100);
	buf_init(&tbs, 1000);
	put_data(&data, TLS_SIGN_13_SERVER);
	assert_int_equal(prepare(server[KEY_P256], TLS_SIGN_13_SERVER, 0x0403, buf_view(&data),
	    &tbs), 0);
	memset(want, ' ', 64);
	memcpy(want + 64, "TLS 1.3, server CertificateVerify", 34);	/* with its NUL */
	memcpy(want + 98, buf_data(&data), 32);
	assert_int_equal(tbs.len, sizeof(want));
	assert_memory_equal(buf_data(&tbs), want, sizeof(want));
	buf_fini(&data);
	buf_fini(&tbs);
}

static void
A24_key_of_another_use_is_refused(void **state)
{
	static const enum tls_sign_kind servers[] = { TLS_SIGN_13_SERVER, TLS_SIGN_12_SERVER };
	static const enum tls_sign_kind clients[] = { TLS_SIGN_13_CLIENT, TLS_SIGN_12_CLIENT };
	struct buf data, tbs;
	size_t i;

	(void)state;
	buf_init(&data, 10000);
	buf_init(&tbs, 10000);
	for (i = 0; i < 2; i++) {
		put_data(&data, servers[i]);
		assert_int_equal(prepare(client[KEY_P256], servers[i], 0x0403, buf_view(&data),
		    &tbs), PK_EPERM);
		put_data(&data, clients[i]);
		assert_int_equal(prepare(server[KEY_P256], clients[i], 0x0403, buf_view(&data),
		    &tbs), PK_EPERM);
	}
	buf_fini(&data);
	buf_fini(&tbs);
}

static void
A24_scheme_of_another_key_is_refused(void **state)
{
	static const unsigned codes[] = { 0x0101, 0x0201, 0x0203, 0x0303, 0x0401, 0x0402, 0x0501,
	    0x0601, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0403, 0x0503, 0x0603, 0x0807,
	    0x0808, 0x0000, 0xffff };
	static const enum certs_key keys[] = { KEY_RSA, KEY_P256, KEY_P384, KEY_ED25519 };
	struct buf data, tbs;
	size_t c, k, s, allowed = 0;
	bool known;

	(void)state;
	buf_init(&data, 10000);
	buf_init(&tbs, 10000);
	put_data(&data, TLS_SIGN_13_SERVER);
	for (c = 0; c < NELEMS(codes); c++)
		for (k = 0; k < NELEMS(keys); k++) {
			known = false;
			for (s = 0; s < NELEMS(schemes); s++)
				known |= schemes[s].code == codes[c] && schemes[s].key == keys[k] &&
				    schemes[s].in13;
			assert_int_equal(prepare(server[keys[k]], TLS_SIGN_13_SERVER, codes[c],
			    buf_view(&data), &tbs), known ? 0 : PK_EPERM);
			allowed += known;
		}
	assert_int_equal(allowed, 6);
	buf_fini(&data);
	buf_fini(&tbs);
}

static void
A24_hash_of_another_length_is_refused(void **state)
{
	char bytes[200] = { 0 };
	struct buf tbs;
	size_t n;

	(void)state;
	buf_init(&tbs, 1000);
	for (n = 0; n < sizeof(bytes); n++)
		assert_int_equal(prepare(server[KEY_RSA], TLS_SIGN_13_SERVER, 0x0804,
		    view_of(bytes, n), &tbs), n == 32 || n == 48 ? 0 : PK_EPROTO);
	buf_fini(&tbs);
}

static void
A24_tls12_server_signs_randoms_and_a_point_only(void **state)
{
	static const struct {
		const char	*name;
		unsigned	 group, size;
		bool		 good;
	} rows[] = {
		{ "P-256", 23, 65, true }, { "P-384", 24, 97, true }, { "P-521", 25, 133, true },
		{ "X25519", 29, 32, true }, { "X448", 30, 56, true }, { "no group", 0, 32, false },
		{ "length of another", 29, 33, false }, { "short point", 23, 64, false },
		{ "sect163k1", 1, 43, false }, { "ffdhe2048", 256, 200, false },
	};
	struct buf data, tbs;
	size_t i, n;

	(void)state;
	buf_init(&data, 1000);
	buf_init(&tbs, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		buf_reset(&data);
		put_params(&data, rows[i].group, rows[i].size);
		CHECK_INT(rows[i].name, prepare(server[KEY_P256], TLS_SIGN_12_SERVER, 0x0403,
		    buf_view(&data), &tbs), rows[i].good ? 0 : PK_EPROTO);
		/* Nothing may be missing, and nothing follow. */
		for (n = 0; n < data.len; n++)
			CHECK_INT(rows[i].name, prepare(server[KEY_P256], TLS_SIGN_12_SERVER,
			    0x0403, view_head(buf_view(&data), n), &tbs), PK_EPROTO);
		buf_put_char(&data, 0);
		CHECK_INT(rows[i].name, prepare(server[KEY_P256], TLS_SIGN_12_SERVER, 0x0403,
		    buf_view(&data), &tbs), PK_EPROTO);
	}
	buf_reset(&data);
	put_params(&data, 23, 65);
	buf_data(&data)[64 + 4] = 2;	/* compressed */
	assert_int_equal(prepare(server[KEY_P256], TLS_SIGN_12_SERVER, 0x0403, buf_view(&data),
	    &tbs), PK_EPROTO);
	buf_data(&data)[64] = 1;	/* explicit_prime */
	assert_int_equal(prepare(server[KEY_P256], TLS_SIGN_12_SERVER, 0x0403, buf_view(&data),
	    &tbs), PK_EPROTO);
	buf_fini(&data);
	buf_fini(&tbs);
}

static void
A24_tls12_client_signs_a_handshake_only(void **state)
{
	static const struct {
		const char	*name;
		uint8_t		 types[12];
		size_t		 n;
		bool		 good;
	} rows[] = {
		{ "usual", { 1, 2, 11, 12, 13, 14, 11, 16 }, 8, true },
		{ "with a status", { 1, 2, 11, 22, 12, 13, 14, 11, 16 }, 9, true },
		{ "RSA key exchange", { 1, 2, 11, 13, 14, 11, 16 }, 7, true },
		{ "no request", { 1, 2, 11, 12, 14, 11, 16 }, 7, false },
		{ "hello alone", { 1 }, 1, false },
		{ "no end", { 1, 2, 11, 12, 13, 14, 11 }, 7, false },
		{ "more behind", { 1, 2, 11, 12, 13, 14, 11, 16, 15 }, 9, false },
		{ "hello twice", { 1, 1, 2, 11, 12, 13, 14, 11, 16 }, 9, false },
		{ "not at the beginning", { 2, 11, 12, 13, 14, 11, 16 }, 7, false },
		{ "order", { 1, 2, 12, 11, 13, 14, 11, 16 }, 8, false },
		{ "nothing", { 0 }, 0, false },
	};
	struct buf data, tbs;
	size_t i, n;

	(void)state;
	buf_init(&data, 10000);
	buf_init(&tbs, 10000);
	for (i = 0; i < NELEMS(rows); i++) {
		buf_reset(&data);
		put_flight(&data, rows[i].types, rows[i].n);
		CHECK_INT(rows[i].name, prepare(client[KEY_P256], TLS_SIGN_12_CLIENT, 0x0403,
		    buf_view(&data), &tbs), rows[i].good ? 0 : PK_EPROTO);
	}
	put_data(&data, TLS_SIGN_12_CLIENT);
	for (n = 0; n < data.len; n++)
		assert_int_equal(prepare(client[KEY_P256], TLS_SIGN_12_CLIENT, 0x0403,
		    view_head(buf_view(&data), n), &tbs), PK_EPROTO);
	buf_data(&data)[5] = 1;		/* TLS 1.0 */
	assert_int_equal(prepare(client[KEY_P256], TLS_SIGN_12_CLIENT, 0x0403, buf_view(&data),
	    &tbs), PK_EPROTO);
	buf_fini(&data);
	buf_fini(&tbs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scheme_verifies),
		cmocka_unit_test(context_of_tls13_is_built_here),
		cmocka_unit_test(A24_key_of_another_use_is_refused),
		cmocka_unit_test(A24_scheme_of_another_key_is_refused),
		cmocka_unit_test(A24_hash_of_another_length_is_refused),
		cmocka_unit_test(A24_tls12_server_signs_randoms_and_a_point_only),
		cmocka_unit_test(A24_tls12_client_signs_a_handshake_only),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
