/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwt.c of authd: signed tokens of strangers (A15).
 *
 * The header chooses among what we have and nothing else: the algorithm is one
 * of a fixed list, the key is found by kid among those that we got from the
 * issuer, and its kind must fit the algorithm. A token cannot bring a key or
 * say where one is: jku, jwk, x5u and x5c are not looked at. OpenSSL verifies;
 * the claims are read only then. (libjwt 1.x refuses tokens of the type
 * "at+jwt", RFC 9068, which issuers of access tokens write.)
 */
#include "authd/oauth_jwt.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "authd/oauth_json.h"
#include "base/codec.h"
#include "base/error.h"

struct parts {
	struct view	header, claims, signature;
};

static int
refuse(struct buf *why, int error, const char *text)
{
	buf_put_str(why, text);
	return error;
}

static bool
split(struct view token, struct parts *p)
{
	ptrdiff_t first = view_find(token, '.'), last = view_rfind(token, '.');

	if (first <= 0 || last <= first + 1 || (size_t)last + 1 >= token.len)
		return false;
	p->header = view_head(token, (size_t)first);
	p->claims = view_head(
	    view_from(token, (size_t)first + 1), (size_t)(last - first) - 1);
	p->signature = view_from(token, (size_t)last + 1);
	return view_find(p->claims, '.') < 0;
}

/* One part's JSON object. */
static int
parse_part(struct view part, size_t max, json_t **o_r, struct buf *why)
{
	struct buf text;
	int rc;

	buf_init(&text, max);
	rc = base64url_decode(&text, part);
	if (rc != 0)
		buf_put_str(
		    why, rc == PK_ELIMIT ? "too large" : "no base64url");
	else
		rc = oauth_json_parse(buf_view(&text), max, o_r, why);
	buf_fini(&text);
	return rc;
}

static bool
type_ok(const json_t *typ)
{
	struct view v = view_str(json_string_value(typ));

	return typ == NULL || view_caseeq(v, VIEW("JWT")) ||
	    view_caseeq(v, VIEW("at+jwt")) ||
	    view_caseeq(v, VIEW("application/at+jwt"));
}

static int
choose_key(const json_t *header, const struct jwks *keys, unsigned algorithms,
    enum jwks_algorithm *a_r, const struct jwks_key **key_r, struct buf *why)
{
	const json_t *alg = json_object_get(header, "alg");
	const json_t *kid = json_object_get(header, "kid");
	enum jwks_algorithm a;

	if (!json_is_string(alg) ||
	    !jwks_algorithm_find(view_str(json_string_value(alg)), &a) ||
	    !(algorithms & 1U << a))
		return refuse(why, PK_EPERM, "its algorithm is not permitted");
	/* Extensions that must be understood (RFC 7515 4.1.11): none is. */
	if (json_object_get(header, "crit") != NULL)
		return refuse(why, PK_EPERM, "it needs an extension");
	if (!type_ok(json_object_get(header, "typ")))
		return refuse(why, PK_EPERM, "it is of another type");
	if (kid != NULL &&
	    (!json_is_string(kid) || json_string_length(kid) > JWKS_KID_MAX))
		return refuse(why, PK_EPERM, "its kid is no name");
	*key_r = jwks_find(keys, json_string_value(kid), a);
	if (*key_r == NULL)
		return refuse(why, PK_ENOENT, "the issuer has no such key");
	*a_r = a;
	return 0;
}

/* JOSE writes r and s side by side (RFC 7518 3.4); OpenSSL reads DER. */
static int
ecdsa_to_der(const struct buf *raw, size_t size, unsigned char **der_r)
{
	const unsigned char *p = (unsigned char *)buf_data(raw);
	ECDSA_SIG *sig;
	BIGNUM *r, *s;
	int len = -1;

	if (raw->len != 2 * size)
		return -1;
	sig = ECDSA_SIG_new();
	r = BN_bin2bn(p, (int)size, NULL);
	s = BN_bin2bn(p + size, (int)size, NULL);
	if (sig != NULL && r != NULL && s != NULL &&
	    ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(sig, der_r);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return len;
}

static bool
digest_ok(const struct jwks_key *key, const EVP_MD *md, struct view text,
    const unsigned char *sig, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	/* RSA: PKCS #1 v1.5, the key's default. */
	ok = ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->key) == 1 &&
	    EVP_DigestVerify(
		ctx, sig, len, (const unsigned char *)text.p, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

static const EVP_MD *
digest_of(enum jwks_algorithm a)
{
	switch (a) {
	case JWKS_RS512:
		return EVP_sha512();
	case JWKS_RS384:
	case JWKS_ES384:
		return EVP_sha384();
	case JWKS_RS256:
	case JWKS_ES256:
	case JWKS_ALGORITHMS:
		break;
	}
	return EVP_sha256();
}

static bool
signature_ok(struct view text, struct view signature,
    const struct jwks_key *key, enum jwks_algorithm a)
{
	unsigned char *der = NULL;
	struct buf raw;
	bool ok = false;
	int len;

	buf_init(&raw, JWKS_RSA_BITS_MAX / 8);
	if (base64url_decode(&raw, signature) != 0) {
		buf_fini(&raw);
		return false;
	}
	if (a == JWKS_ES256 || a == JWKS_ES384) {
		len = ecdsa_to_der(&raw, a == JWKS_ES256 ? 32 : 48, &der);
		ok = len > 0 &&
		    digest_ok(key, digest_of(a), text, der, (size_t)len);
		OPENSSL_free(der);
	} else {
		ok = digest_ok(key, digest_of(a), text,
		    (unsigned char *)buf_data(&raw), raw.len);
	}
	buf_fini(&raw);
	return ok;
}

int
oauth_jwt_verify(struct view token, const struct jwks *keys,
    unsigned algorithms, json_t **claims_r, struct buf *why)
{
	const struct jwks_key *key = NULL;
	enum jwks_algorithm a = JWKS_RS256;
	json_t *header = NULL;
	struct parts p;
	int rc;

	if (token.len > JWT_SIZE_MAX)
		return refuse(why, PK_ELIMIT, "too large");
	if (!split(token, &p))
		return refuse(why, PK_ESYNTAX, "it has not three parts");
	rc = parse_part(p.header, JWT_HEADER_MAX, &header, why);
	if (rc != 0)
		return rc;
	rc = choose_key(header, keys, algorithms, &a, &key, why);
	json_decref(header);
	if (rc != 0)
		return rc;
	if (!signature_ok(view_head(token, p.header.len + 1 + p.claims.len),
		p.signature, key, a))
		return refuse(why, PK_EPERM, "its signature is wrong");
	return parse_part(p.claims, JWT_SIZE_MAX, claims_r, why);
}
