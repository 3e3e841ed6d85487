/* SPDX-License-Identifier: ISC */
#include "tests/unit/authd/token.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"

static EVP_PKEY *keys[TOKEN_KEYS];

void
token_init(void)
{
	keys[TOKEN_RSA] = EVP_RSA_gen(2048);
	keys[TOKEN_RSA_OTHER] = EVP_RSA_gen(2048);
	keys[TOKEN_EC] = EVP_EC_gen("P-256");
	keys[TOKEN_EC384] = EVP_EC_gen("P-384");
	for (size_t i = 0; i < TOKEN_KEYS; i++)
		ASSERT(keys[i] != NULL);
}

void
token_fini(void)
{
	for (size_t i = 0; i < TOKEN_KEYS; i++)
		EVP_PKEY_free(keys[i]);
}

EVP_PKEY *
token_key(enum token_key k)
{
	return keys[k];
}

void
token_put_base64url(struct buf *b, struct view v)
{
	struct buf plain;
	struct view text;

	buf_init(&plain, v.len * 2 + 8);
	base64_put(&plain, v);
	text = buf_view(&plain);
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] != '=')
			buf_put_char(b, text.p[i] == '+' ? '-' :
			    text.p[i] == '/' ? '_' : text.p[i]);
	buf_fini(&plain);
}

static void
put_number(struct buf *b, EVP_PKEY *key, const char *param, int size)
{
	unsigned char bytes[1024];
	BIGNUM *n = NULL;

	ASSERT(EVP_PKEY_get_bn_param(key, param, &n) == 1);
	if (size == 0)
		size = BN_num_bytes(n);
	ASSERT(BN_bn2binpad(n, bytes, size) == size);
	token_put_base64url(b, view_of((char *)bytes, (size_t)size));
	BN_free(n);
}

void
token_put_jwk(struct buf *b, enum token_key k, const char *kid, const char *more)
{
	int size = k == TOKEN_EC ? 32 : 48;

	if (k == TOKEN_EC || k == TOKEN_EC384) {
		buf_printf(b, "{\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"", size * 8);
		put_number(b, keys[k], OSSL_PKEY_PARAM_EC_PUB_X, size);
		buf_put_str(b, "\",\"y\":\"");
		put_number(b, keys[k], OSSL_PKEY_PARAM_EC_PUB_Y, size);
	} else {
		buf_put_str(b, "{\"kty\":\"RSA\",\"n\":\"");
		put_number(b, keys[k], OSSL_PKEY_PARAM_RSA_N, 0);
		buf_put_str(b, "\",\"e\":\"");
		put_number(b, keys[k], OSSL_PKEY_PARAM_RSA_E, 0);
	}
	buf_put_char(b, '"');
	if (kid != NULL)
		buf_printf(b, ",\"kid\":\"%s\"", kid);
	buf_put_str(b, more);
	buf_put_char(b, '}');
}

/* JOSE writes r and s side by side; OpenSSL gives DER. */
static void
put_ecdsa(struct buf *b, const unsigned char *der, size_t len, int size)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	unsigned char raw[96];

	ASSERT(sig != NULL);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, size);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + size, size);
	token_put_base64url(b, view_of((char *)raw, (size_t)size * 2));
	ECDSA_SIG_free(sig);
}

static void
put_signature(struct buf *b, struct view text, const char *how, enum token_key k)
{
	const EVP_MD *md = strcmp(how + 2, "384") == 0 ? EVP_sha384() :
	    strcmp(how + 2, "512") == 0 ? EVP_sha512() : EVP_sha256();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t len = sizeof(sig);

	ASSERT(EVP_DigestSignInit(ctx, NULL, md, NULL, keys[k]) == 1);
	ASSERT(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text.p,
	    text.len) == 1);
	EVP_MD_CTX_free(ctx);
	if (how[0] == 'E')
		put_ecdsa(b, sig, len, k == TOKEN_EC ? 32 : 48);
	else
		token_put_base64url(b, view_of((char *)sig, len));
}

void
token_put(struct buf *b, const char *header, const char *claims,
    const char *how, enum token_key k, struct view secret)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buf sig;

	token_put_base64url(b, view_str(header));
	buf_put_char(b, '.');
	token_put_base64url(b, view_str(claims));
	buf_init(&sig, 4096);
	if (how[0] == 'H') {
		HMAC(EVP_sha256(), secret.p, (int)secret.len,
		    (unsigned char *)buf_data(b), b->len, mac, &len);
		token_put_base64url(&sig, view_of((char *)mac, len));
	} else if (how[0] != 'n') {
		put_signature(&sig, buf_view(b), how, k);
	}
	buf_put_char(b, '.');
	buf_put_view(b, buf_view(&sig));
	buf_fini(&sig);
}
