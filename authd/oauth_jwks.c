/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwks.c of authd: JSON Web Keys to OpenSSL's.
 *
 * A key says itself which algorithms it can do: its kind decides, so that no
 * token can have an RSA key used as a secret (HS256 with a public key). "oct"
 * keys are never taken.
 */
#include "authd/oauth_jwks.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "authd/oauth_json.h"
#include "base/error.h"
#include "base/mem.h"

#define RSA_ALGORITHMS (1U << JWKS_RS256 | 1U << JWKS_RS384 | 1U << JWKS_RS512)

static const char *const names[JWKS_ALGORITHMS] = {
	[JWKS_RS256] = "RS256", [JWKS_RS384] = "RS384", [JWKS_RS512] = "RS512",
	[JWKS_ES256] = "ES256", [JWKS_ES384] = "ES384",
};

const char *
jwks_algorithm_name(enum jwks_algorithm a)
{
	return names[a];
}

bool
jwks_algorithm_find(struct view name, enum jwks_algorithm *a_r)
{
	for (unsigned a = 0; a < JWKS_ALGORITHMS; a++)
		if (view_eq(name, view_str(names[a]))) {
			*a_r = a;
			return true;
		}
	return false;
}

/* ---- from JSON to OpenSSL ---- */

/* base64url of a positive number, no larger than max bytes. */
static BIGNUM *
get_number(const json_t *key, const char *name, size_t max)
{
	const char *text = json_string_value(json_object_get(key, name));
	BIGNUM *n = NULL;
	struct buf b;

	if (text == NULL)
		return NULL;
	buf_init(&b, max);
	if (base64url_decode(&b, view_str(text)) == 0 && b.len > 0)
		n = BN_bin2bn((unsigned char *)buf_data(&b), (int)b.len, NULL);
	buf_fini(&b);
	return n;
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *
get_rsa(const json_t *key)
{
	BIGNUM *n = get_number(key, "n", JWKS_RSA_BITS_MAX / 8 + 1);
	BIGNUM *e = get_number(key, "e", 8);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *pkey = NULL;

	if (n != NULL && e != NULL && bld != NULL &&
	    BN_num_bits(n) >= JWKS_RSA_BITS_MIN &&
	    BN_num_bits(n) <= JWKS_RSA_BITS_MAX && BN_is_odd(n) &&
	    BN_is_odd(e) && BN_num_bits(e) > 1 && BN_num_bits(e) <= 33 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		pkey = from_params("RSA", bld);
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(e);
	return pkey;
}

/* The point as 04 || x || y; each coordinate has exactly size bytes (RFC 7518 6.2.1.2). */
static bool
get_point(const json_t *key, size_t size, struct buf *point)
{
	static const char *const coordinates[] = { "x", "y" };
	const char *text;
	size_t before;

	buf_put_char(point, 4);
	for (size_t i = 0; i < NELEMS(coordinates); i++) {
		text = json_string_value(json_object_get(key, coordinates[i]));
		before = point->len;
		if (text == NULL ||
		    base64url_decode(point, view_str(text)) != 0 ||
		    point->len - before != size)
			return false;
	}
	return true;
}

static EVP_PKEY *
get_ec(const json_t *key, const char *group, size_t size)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *ctx;
	struct buf point;

	buf_init(&point, 2 * size + 1);
	if (bld != NULL && get_point(key, size, &point) &&
	    OSSL_PARAM_BLD_push_utf8_string(
		bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, buf_data(&point), point.len) == 1)
		pkey = from_params("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	buf_fini(&point);
	if (pkey == NULL)
		return NULL;
	/* The point is on the curve. */
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx == NULL || EVP_PKEY_public_check(ctx) != 1) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* ---- a key ---- */

static bool
for_signatures(const json_t *key)
{
	const json_t *use = json_object_get(key, "use");
	const json_t *ops = json_object_get(key, "key_ops"), *op;
	bool found = ops == NULL;
	size_t i;

	if (use != NULL &&
	    (!json_is_string(use) ||
		strcmp(json_string_value(use), "sig") != 0))
		return false;
	if (ops != NULL && !json_is_array(ops))
		return false;
	json_array_foreach(ops, i, op) if (json_is_string(op) &&
	    strcmp(json_string_value(op), "verify") == 0) found = true;
	return found;
}

static EVP_PKEY *
get_key(const json_t *key, unsigned *algorithms_r)
{
	const char *kty = json_string_value(json_object_get(key, "kty"));
	const char *crv = json_string_value(json_object_get(key, "crv"));

	if (kty == NULL)
		return NULL;
	if (strcmp(kty, "RSA") == 0) {
		*algorithms_r = RSA_ALGORITHMS;
		return get_rsa(key);
	}
	if (strcmp(kty, "EC") != 0 || crv == NULL)
		return NULL;
	if (strcmp(crv, "P-256") == 0) {
		*algorithms_r = 1U << JWKS_ES256;
		return get_ec(key, "P-256", 32);
	}
	if (strcmp(crv, "P-384") == 0) {
		*algorithms_r = 1U << JWKS_ES384;
		return get_ec(key, "P-384", 48);
	}
	return NULL;
}

static bool
add_key(struct jwks *k, const json_t *key)
{
	const json_t *kid = json_object_get(key, "kid");
	const json_t *alg = json_object_get(key, "alg");
	struct jwks_key *to = &k->keys[k->nkeys];
	enum jwks_algorithm a;
	unsigned algorithms = 0;
	EVP_PKEY *pkey;

	if (k->nkeys == JWKS_KEYS_MAX || !json_is_object(key) ||
	    !for_signatures(key))
		return false;
	if (kid != NULL &&
	    (!json_is_string(kid) || json_string_length(kid) == 0 ||
		json_string_length(kid) > JWKS_KID_MAX))
		return false;
	pkey = get_key(key, &algorithms);
	if (pkey == NULL)
		return false;
	if (alg != NULL)
		algorithms &= json_is_string(alg) &&
			jwks_algorithm_find(
			    view_str(json_string_value(alg)), &a) ?
		    1U << a :
		    0;
	if (algorithms == 0) {
		EVP_PKEY_free(pkey);
		return false;
	}
	to->key = pkey;
	to->kid = kid != NULL ? xstrdup(json_string_value(kid)) : NULL;
	to->algorithms = algorithms;
	k->nkeys++;
	return true;
}

int
jwks_parse(struct view text, struct jwks **k_r, struct buf *why)
{
	struct jwks *k;
	json_t *all = NULL, *keys, *key;
	size_t i;
	int rc = oauth_json_parse(text, JWKS_SIZE_MAX, &all, why);

	if (rc != 0)
		return rc;
	keys = json_object_get(all, "keys");
	if (!json_is_array(keys)) {
		json_decref(all);
		buf_put_str(why, "has no array \"keys\"");
		return PK_ESYNTAX;
	}
	k = XNEW(struct jwks);
	json_array_foreach(keys, i, key) if (!add_key(k, key)) k->ignored++;
	json_decref(all);
	ERR_clear_error();
	if (k->nkeys == 0) {
		jwks_free(&k);
		buf_put_str(why, "has no usable RSA or EC key");
		return PK_EFORMAT;
	}
	*k_r = k;
	return 0;
}

void
jwks_free(struct jwks **kp)
{
	struct jwks *k = *kp;

	if (k == NULL)
		return;
	*kp = NULL;
	for (size_t i = 0; i < k->nkeys; i++) {
		xfree(k->keys[i].kid);
		EVP_PKEY_free(k->keys[i].key);
	}
	xfree(k);
}

const struct jwks_key *
jwks_find(const struct jwks *k, const char *kid, enum jwks_algorithm a)
{
	const struct jwks_key *found = NULL;

	for (size_t i = 0; i < k->nkeys; i++) {
		const struct jwks_key *key = &k->keys[i];

		if (!(key->algorithms & 1U << a))
			continue;
		if (kid != NULL &&
		    (key->kid == NULL || strcmp(key->kid, kid) != 0))
			continue;
		/* Two that fit: who signed cannot be told. */
		if (found != NULL)
			return NULL;
		found = key;
	}
	return found;
}
