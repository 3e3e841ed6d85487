/* SPDX-License-Identifier: ISC */
#include <bsd/string.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

#include "authd/oauth_http.h"
#include "authd/oauth_json.h"
#include "authd/oauth_jwks.h"
#include "authd/oauth_jwt.h"
#include "authd/oauth_private.h"
#include "authd/sasl.h"
#include "authd/sasl_bearer.h"
#include "base/log.h"
#include "tests/unit/authd/fake_verify.h"
#include "tests/unit/authd/token.h"
#include "tests/unit/unit.h"

#define NOW		1800000000ULL
#define GOOD_CLAIMS	"{\"iss\":\"https://id.example.test\",\"aud\":\"mail\"," \
    "\"exp\":1800000300,\"iat\":1799999990,\"nbf\":1799999990," \
    "\"email\":\"alice@example.test\",\"scope\":\"openid mail.send\"}"
#define ALL_ALGORITHMS	((1U << JWKS_ALGORITHMS) - 1)

static struct jwks *keys;

static int
set_up(void **state)
{
	struct buf b, why;

	(void)state;
	token_init();
	buf_init(&b, 20000);
	buf_init(&why, 500);
	buf_put_str(&b, "{\"keys\":[");
	token_put_jwk(&b, TOKEN_RSA, "rsa", ",\"use\":\"sig\"");
	buf_put_char(&b, ',');
	token_put_jwk(&b, TOKEN_EC, "ec", ",\"alg\":\"ES256\"");
	buf_put_char(&b, ',');
	token_put_jwk(&b, TOKEN_EC384, "ec384", "");
	buf_put_str(&b, ",{\"kty\":\"oct\",\"kid\":\"secret\",\"k\":\"c2VjcmV0\"}]}");
	assert_int_equal(jwks_parse(buf_view(&b), &keys, &why), 0);
	assert_int_equal(keys->nkeys, 3);
	assert_int_equal(keys->ignored, 1);
	buf_fini(&b);
	buf_fini(&why);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	jwks_free(&keys);
	token_fini();
	return 0;
}

static int
verify(struct view token, unsigned algorithms, struct buf *why)
{
	json_t *claims = NULL;
	int rc;

	buf_reset(why);
	rc = oauth_jwt_verify(token, keys, algorithms, &claims, why);
	if (rc == 0)
		assert_non_null(json_object_get(claims, "email"));
	else
		assert_true(why->len > 0);
	json_decref(claims);
	return rc;
}

static void
test_signatures_that_are_right(void **state)
{
	static const struct {
		const char	*header, *how;
		enum token_key	 key;
	} rows[] = {
		{ "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", "RS256", TOKEN_RSA },
		{ "{\"alg\":\"RS384\",\"kid\":\"rsa\",\"typ\":\"JWT\"}", "RS384", TOKEN_RSA },
		{ "{\"alg\":\"RS512\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}", "RS512", TOKEN_RSA },
		{ "{\"alg\":\"ES256\",\"kid\":\"ec\"}", "ES256", TOKEN_EC },
		{ "{\"alg\":\"ES384\",\"kid\":\"ec384\"}", "ES384", TOKEN_EC384 },
		/* The only key that fits. */
		{ "{\"alg\":\"ES256\"}", "ES256", TOKEN_EC },
		/* Where a token says that keys are is nobody's business. */
		{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":\"https://evil.example/\"}",
		    "RS256", TOKEN_RSA },
	};
	struct buf token, why;

	(void)state;
	buf_init(&token, 8192);
	buf_init(&why, 500);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		buf_reset(&token);
		token_put(&token, rows[i].header, GOOD_CLAIMS, rows[i].how,
		    rows[i].key, VIEW(""));
		CHECK_INT(rows[i].header, verify(buf_view(&token),
		    ALL_ALGORITHMS, &why), 0);
	}
	buf_fini(&token);
	buf_fini(&why);
}

/* What an attacker has: our public key, as it is served. */
static void
put_public_pem(struct buf *b)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, token_key(TOKEN_RSA)), 1);
	n = BIO_get_mem_data(bio, &p);
	buf_put(b, p, (size_t)n);
	BIO_free(bio);
}

static void
test_A15_hostile_tokens(void **state)
{
	static const struct {
		const char	*name, *header, *how;
		enum token_key	 key;
		unsigned	 algorithms;
		int		 want;
	} rows[] = {
#define ALG(a, kid) "{\"alg\":\"" a "\",\"kid\":\"" kid "\"}"
		{ "alg none", ALG("none", "rsa"), "none", 0, ALL_ALGORITHMS, PK_EPERM },
		{ "alg None", ALG("None", "rsa"), "none", 0, ALL_ALGORITHMS, PK_EPERM },
		{ "none, with a signature", ALG("none", "rsa"), "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "HS256 by the public key", ALG("HS256", "rsa"), "HS256", 0,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "RS256 that is HS256", ALG("RS256", "rsa"), "HS256", 0,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "alg in small letters", ALG("rs256", "rsa"), "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "RS512 that is not permitted", ALG("RS512", "rsa"), "RS512",
		    TOKEN_RSA, 1U << JWKS_RS256, PK_EPERM },
		{ "RS384 that says RS256", ALG("RS256", "rsa"), "RS384", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "another key", ALG("RS256", "rsa"), "RS256", TOKEN_RSA_OTHER,
		    ALL_ALGORITHMS, PK_EPERM },
		{ "EC key for RS256", ALG("RS256", "ec"), "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_ENOENT },
		{ "RSA key for ES256", ALG("ES256", "rsa"), "ES256", TOKEN_EC,
		    ALL_ALGORITHMS, PK_ENOENT },
		{ "P-384 key for ES256", ALG("ES256", "ec384"), "ES256", TOKEN_EC384,
		    ALL_ALGORITHMS, PK_ENOENT },
		{ "the secret", ALG("HS256", "secret"), "HS256", 0, ALL_ALGORITHMS,
		    PK_EPERM },
		{ "unknown kid", ALG("RS256", "other"), "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_ENOENT },
		{ "kid that is a path", ALG("RS256", "../../etc/passwd"), "RS256",
		    TOKEN_RSA, ALL_ALGORITHMS, PK_ENOENT },
		{ "kid that is a URL", ALG("RS256", "https://evil.example/k"), "RS256",
		    TOKEN_RSA, ALL_ALGORITHMS, PK_ENOENT },
		{ "kid that is a number", "{\"alg\":\"RS256\",\"kid\":1}", "RS256",
		    TOKEN_RSA, ALL_ALGORITHMS, PK_EPERM },
		{ "no alg", "{\"kid\":\"rsa\"}", "RS256", TOKEN_RSA, ALL_ALGORITHMS,
		    PK_EPERM },
		{ "alg that is a list", "{\"alg\":[\"RS256\"],\"kid\":\"rsa\"}", "RS256",
		    TOKEN_RSA, ALL_ALGORITHMS, PK_EPERM },
		{ "two algs", "{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"rsa\"}",
		    "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_ESYNTAX },
		{ "two kids", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"kid\":\"x\"}",
		    "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_ESYNTAX },
		{ "NUL in the alg", "{\"alg\":\"RS256\\u0000\",\"kid\":\"rsa\"}",
		    "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_ESYNTAX },
		{ "crit", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"b64\"],"
		    "\"b64\":false}", "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_EPERM },
		{ "another type", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":"
		    "\"logout+jwt\"}", "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_EPERM },
		{ "header no object", "[\"RS256\"]", "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_ESYNTAX },
		{ "header no JSON", "{\"alg\":\"RS256\"", "RS256", TOKEN_RSA,
		    ALL_ALGORITHMS, PK_ESYNTAX },
		{ "deep header", "{\"alg\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
		    "RS256", TOKEN_RSA, ALL_ALGORITHMS, PK_ELIMIT },
#undef ALG
	};
	struct buf token, why, pem;

	(void)state;
	buf_init(&token, 8192);
	buf_init(&why, 500);
	buf_init(&pem, 4000);
	put_public_pem(&pem);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		buf_reset(&token);
		token_put(&token, rows[i].header, GOOD_CLAIMS, rows[i].how,
		    rows[i].key, buf_view(&pem));
		if (strcmp(rows[i].how, "none") == 0) {
			/* Without and with something behind the dot. */
			CHECK_INT(rows[i].name, verify(buf_view(&token),
			    ALL_ALGORITHMS, &why), PK_ESYNTAX);
			buf_put_str(&token, "AAAA");
		}
		CHECK_INT(rows[i].name, verify(buf_view(&token),
		    rows[i].algorithms, &why), rows[i].want);
	}
	buf_fini(&token);
	buf_fini(&why);
	buf_fini(&pem);
}

/* Every cut and every changed byte of a good token. */
static void
test_A15_damaged_tokens(void **state)
{
	struct buf token, why;
	char *copy;
	size_t len;

	(void)state;
	buf_init(&token, 8192);
	buf_init(&why, 500);
	token_put(&token, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", GOOD_CLAIMS, "ES256",
	    TOKEN_EC, VIEW(""));
	len = token.len;
	assert_int_equal(verify(buf_view(&token), ALL_ALGORITHMS, &why), 0);
	for (size_t i = 0; i < len; i++)
		if (verify(view_head(buf_view(&token), i), ALL_ALGORITHMS,
		    &why) == 0)
			fail_msg("cut at %zu of %zu", i, len);
	copy = buf_data(&token);
	for (size_t i = 0; i + 1 < len; i++) {
		char was = copy[i];

		/* The last character of a part has bits that say nothing. */
		copy[i] = was == 'A' ? 'w' : 'A';
		if (verify(buf_view(&token), ALL_ALGORITHMS, &why) == 0)
			fail_msg("changed byte %zu of %zu", i, len);
		copy[i] = was;
	}
	buf_put_str(&token, ".AAAA");
	assert_int_not_equal(verify(buf_view(&token), ALL_ALGORITHMS, &why), 0);
	buf_fini(&token);
	buf_init(&token, 20000);
	while (token.len < 9000)
		buf_put_str(&token, "eyJhbGciOiJSUzI1NiJ9.");
	assert_int_equal(verify(buf_view(&token), ALL_ALGORITHMS, &why), PK_ELIMIT);
	buf_fini(&token);
	buf_fini(&why);
}

static void
test_A15_claims(void **state)
{
	static const struct {
		const char	*name, *claims;
		int		 want;
	} rows[] = {
#define BASE "\"iss\":\"https://id.example.test\",\"email\":\"alice@example.test\","
#define SCOPE "\"scope\":\"openid mail.send\","
		{ "good", GOOD_CLAIMS, 0 },
		{ "a list of audiences", "{" BASE SCOPE "\"aud\":[\"x\",\"mail\"],"
		    "\"exp\":1800000001}", 0 },
		{ "expired within the leeway", "{" BASE SCOPE "\"aud\":\"mail\","
		    "\"exp\":1799999950}", 0 },
		{ "expired", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":1799999940}",
		    PK_EPERM },
		{ "no exp", "{" BASE SCOPE "\"aud\":\"mail\"}", PK_EPERM },
		{ "exp no number", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":\"9999999999\"}",
		    PK_EPERM },
		{ "exp negative", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":-1}", PK_EPERM },
		{ "exp enormous", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":1e300}", PK_EPERM },
		{ "nbf in the future", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":1800000300,"
		    "\"nbf\":1800000061}", PK_EPERM },
		{ "iat in the future", "{" BASE SCOPE "\"aud\":\"mail\",\"exp\":1800000300,"
		    "\"iat\":1800000061}", PK_EPERM },
		{ "another audience", "{" BASE SCOPE "\"aud\":\"web\",\"exp\":1800000300}",
		    PK_EPERM },
		{ "audience that begins so", "{" BASE SCOPE "\"aud\":\"mail2\","
		    "\"exp\":1800000300}", PK_EPERM },
		{ "no audience", "{" BASE SCOPE "\"exp\":1800000300}", PK_EPERM },
		{ "audience an object", "{" BASE SCOPE "\"aud\":{\"mail\":1},"
		    "\"exp\":1800000300}", PK_EPERM },
		{ "another issuer", "{\"iss\":\"https://id.example.test/\","
		    "\"email\":\"alice@example.test\"," SCOPE "\"aud\":\"mail\","
		    "\"exp\":1800000300}", PK_EPERM },
		{ "no issuer", "{\"email\":\"alice@example.test\"," SCOPE
		    "\"aud\":\"mail\",\"exp\":1800000300}", PK_EPERM },
		{ "no user", "{\"iss\":\"https://id.example.test\"," SCOPE
		    "\"aud\":\"mail\",\"exp\":1800000300}", PK_EPERM },
		{ "user a list", "{\"iss\":\"https://id.example.test\"," SCOPE
		    "\"aud\":\"mail\",\"exp\":1800000300,"
		    "\"email\":[\"alice@example.test\"]}", PK_EPERM },
		{ "address not verified", "{" BASE SCOPE "\"aud\":\"mail\","
		    "\"exp\":1800000300,\"email_verified\":false}", PK_EPERM },
		{ "address verified", "{" BASE SCOPE "\"aud\":\"mail\","
		    "\"exp\":1800000300,\"email_verified\":true}", 0 },
		{ "no scope", "{" BASE "\"aud\":\"mail\",\"exp\":1800000300}", PK_ENOENT },
		{ "part of a scope", "{" BASE "\"scope\":\"mail.sender mail\","
		    "\"aud\":\"mail\",\"exp\":1800000300}", PK_ENOENT },
		{ "scp as a list", "{" BASE "\"scp\":[\"a\",\"mail.send\"],"
		    "\"aud\":\"mail\",\"exp\":1800000300}", 0 },
#undef BASE
#undef SCOPE
	};
	const struct oauth_policy p = {
		"https://id.example.test", "mail", "mail.send", "email", true,
	};
	struct buf why;

	(void)state;
	buf_init(&why, 500);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct oauth_claims c = { 0 };
		json_t *claims = NULL;

		buf_reset(&why);
		assert_int_equal(oauth_json_parse(view_str(rows[i].claims), 4000,
		    &claims, &why), 0);
		CHECK_INT(rows[i].name, oauth_claims_check(claims, &p, NOW, &c,
		    &why), rows[i].want);
		if (rows[i].want == 0)
			CHECK_VIEW(rows[i].name, view_str(c.user),
			    "alice@example.test");
		else
			CHECK(rows[i].name, why.len > 0 && c.user == NULL);
		oauth_claims_fini(&c);
		json_decref(claims);
	}
	buf_fini(&why);
}

static void
test_key_sets(void **state)
{
	static const struct { const char *name, *before, *after; } rows[] = {
		{ "no object", "[", "]" },
		{ "no keys", "{\"key\":[", "]}" },
		{ "keys no list", "{\"keys\":", "}" },
		{ "no JSON", "{\"keys\":[", "" },
	};
	static const struct { const char *name, *jwk; } useless[] = {
		{ "empty", "{}" },
		{ "no object", "1" },
		{ "secret", "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}" },
		{ "small RSA", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"wQID\"}" },
		{ "no base64url", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"++++\"}" },
		{ "unknown curve", "{\"kty\":\"EC\",\"crv\":\"P-192\",\"x\":\"AA\",\"y\":\"AA\"}" },
		{ "not on the curve", "{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
		    "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}" },
		{ "short coordinate", "{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"AAE\",\"y\":\"AAE\"}" },
	};
	static const char *const others[] = {
		",\"use\":\"enc\"", ",\"key_ops\":[\"encrypt\"]", ",\"key_ops\":1",
		",\"alg\":\"HS256\"", ",\"alg\":\"ES256\"", ",\"alg\":1", ",\"kid\":7",
	};
	struct jwks *k = NULL;
	struct buf b, why;

	(void)state;
	buf_init(&b, 20000);
	buf_init(&why, 500);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		buf_reset(&b);
		buf_put_str(&b, rows[i].before);
		token_put_jwk(&b, TOKEN_RSA, "x", "");
		buf_put_str(&b, rows[i].after);
		CHECK_INT(rows[i].name, jwks_parse(buf_view(&b), &k, &why), PK_ESYNTAX);
	}
	for (size_t i = 0; i < NELEMS(useless); i++) {
		buf_reset(&b);
		buf_printf(&b, "{\"keys\":[%s]}", useless[i].jwk);
		CHECK_INT(useless[i].name, jwks_parse(buf_view(&b), &k, &why), PK_EFORMAT);
	}
	for (size_t i = 0; i < NELEMS(others); i++) {
		buf_reset(&b);
		buf_put_str(&b, "{\"keys\":[");
		token_put_jwk(&b, TOKEN_RSA, NULL, others[i]);
		buf_put_str(&b, "]}");
		CHECK_INT(others[i], jwks_parse(buf_view(&b), &k, &why), PK_EFORMAT);
	}
	/* More than there may be: the rest is passed over. */
	buf_reset(&b);
	buf_fini(&b);
	buf_init(&b, JWKS_SIZE_MAX);
	buf_put_str(&b, "{\"keys\":[");
	for (size_t i = 0; i < JWKS_KEYS_MAX + 5; i++) {
		if (i > 0)
			buf_put_char(&b, ',');
		token_put_jwk(&b, TOKEN_EC, "same", "");
	}
	buf_put_str(&b, "]}");
	assert_int_equal(jwks_parse(buf_view(&b), &k, &why), 0);
	assert_int_equal(k->nkeys, JWKS_KEYS_MAX);
	assert_int_equal(k->ignored, 5);
	/* Two of one name: nobody can say which signed. */
	assert_null(jwks_find(k, "same", JWKS_ES256));
	jwks_free(&k);
	buf_fini(&b);
	buf_fini(&why);
}

static void
test_introspection_answers(void **state)
{
	static const struct {
		const char		*name, *answer;
		enum oauth_result	 want;
	} rows[] = {
		{ "active", "{\"active\":true,\"email\":\"alice@example.test\","
		    "\"aud\":\"mail\",\"scope\":\"mail.send\",\"exp\":1800000100}", OAUTH_OK },
		{ "without an end", "{\"active\":true,\"email\":\"a@example.test\","
		    "\"aud\":\"mail\",\"scope\":\"mail.send\"}", OAUTH_OK },
		{ "not active", "{\"active\":false}", OAUTH_INVALID },
		{ "a lie: active and expired", "{\"active\":true,\"aud\":\"mail\","
		    "\"email\":\"a@example.test\",\"scope\":\"mail.send\",\"exp\":1}",
		    OAUTH_INVALID },
		{ "another issuer", "{\"active\":true,\"aud\":\"mail\",\"iss\":\"x\","
		    "\"email\":\"a@example.test\",\"scope\":\"mail.send\"}", OAUTH_INVALID },
		{ "another audience", "{\"active\":true,\"aud\":\"x\","
		    "\"email\":\"a@example.test\",\"scope\":\"mail.send\"}", OAUTH_INVALID },
		{ "another scope", "{\"active\":true,\"aud\":\"mail\","
		    "\"email\":\"a@example.test\",\"scope\":\"web\"}", OAUTH_SCOPE },
		{ "active a string", "{\"active\":\"true\"}", OAUTH_TEMPORARY },
		{ "active a number", "{\"active\":1}", OAUTH_TEMPORARY },
		{ "two actives", "{\"active\":false,\"active\":true}", OAUTH_TEMPORARY },
		{ "nothing", "{}", OAUTH_TEMPORARY },
		{ "a list", "[true]", OAUTH_TEMPORARY },
		{ "empty", "", OAUTH_TEMPORARY },
		{ "a page", "<html>", OAUTH_TEMPORARY },
		{ "deep", "{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", OAUTH_TEMPORARY },
	};
	const struct oauth_policy p = {
		"https://id.example.test", "mail", "mail.send", "email", false,
	};
	struct buf why;

	(void)state;
	buf_init(&why, 500);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct oauth_claims c = { 0 };

		buf_reset(&why);
		CHECK_INT(rows[i].name, oauth_introspect_judge(
		    view_str(rows[i].answer), &p, NOW, &c, &why), rows[i].want);
		oauth_claims_fini(&c);
	}
	buf_fini(&why);
}

static void
test_bearer_grammar(void **state)
{
	static const struct {
		const char	*message, *user, *token;	/* token NULL: refused */
	} oauth[] = {
		{ "n,,\1auth=Bearer abc\1\1", "", "abc" },
		{ "n,a=user@example.com,\1host=h\1port=143\1auth=Bearer vF9d=\1\1",
		    "user@example.com", "vF9d=" },
		{ "n,a=a=2Cb,\1auth=bearer abc\1\1", "a,b", "abc" },
		{ "y,,\1auth=Bearer abc\1\1", "", "abc" },
		{ "p=x,,\1auth=Bearer abc\1\1", NULL, NULL },
		{ "", NULL, NULL },
		{ "\1", NULL, NULL },
		{ "n,,", NULL, NULL },
		{ "n,,\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer abc\1", NULL, NULL },
		{ "n,,\1auth=Bearer abc\1\1x", NULL, NULL },
		{ "n,,\1auth=Bearer abc\1\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer abc\1auth=Bearer def\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer \1\1", NULL, NULL },
		{ "n,,\1auth=Bearer a b\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer a=b\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer ===\1\1", NULL, NULL },
		{ "n,,\1auth=Basic abc\1\1", NULL, NULL },
		{ "n,,\1=x\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,,\1ho st=x\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,,\1host=\2\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,,\1host\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,b=x,\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,a=,\1auth=Bearer abc\1\1", NULL, NULL },
		{ "n,,auth=Bearer abc\1\1", NULL, NULL },
	}, xoauth2[] = {
		{ "user=a@example.com\1auth=Bearer abc\1\1", "a@example.com", "abc" },
		{ "user=\1auth=Bearer abc\1\1", NULL, NULL },
		{ "auth=Bearer abc\1\1", NULL, NULL },
		{ "user=a\1auth=Bearer abc\1", NULL, NULL },
		{ "user=a\1auth=Bearer abc\1\1x", NULL, NULL },
		{ "user=a\1auth=Bearer abc\1x=y\1\1", NULL, NULL },
		{ "user=a\1auth=Bearer\1\1", NULL, NULL },
		{ "user=a\1auth=abc\1\1", NULL, NULL },
		{ "n,,\1auth=Bearer abc\1\1", NULL, NULL },
	};
	struct view token;
	struct buf user;

	(void)state;
	buf_init(&user, 320);
	for (size_t i = 0; i < NELEMS(oauth); i++) {
		buf_reset(&user);
		CHECK_INT(oauth[i].message, bearer_oauth_parse(
		    view_str(oauth[i].message), &user, &token) == 0,
		    oauth[i].token != NULL);
		if (oauth[i].token == NULL)
			continue;
		CHECK_VIEW(oauth[i].message, token, oauth[i].token);
		CHECK_VIEW(oauth[i].message, buf_view(&user), oauth[i].user);
	}
	for (size_t i = 0; i < NELEMS(xoauth2); i++) {
		buf_reset(&user);
		CHECK_INT(xoauth2[i].message, bearer_xoauth2_parse(
		    view_str(xoauth2[i].message), &user, &token) == 0,
		    xoauth2[i].token != NULL);
		if (xoauth2[i].token == NULL)
			continue;
		CHECK_VIEW(xoauth2[i].message, token, xoauth2[i].token);
		CHECK_VIEW(xoauth2[i].message, buf_view(&user), xoauth2[i].user);
	}
	buf_fini(&user);
}

/* F8: five failures in a row, then one question a while. */
static void
test_F8_circuit_breaker(void **state)
{
	struct http_breaker b = { 0 };
	uint64_t now = 1000;

	(void)state;
	for (int i = 0; i < HTTP_BREAKER_FAILURES; i++) {
		assert_true(http_breaker_permits(&b, now));
		assert_int_equal(http_breaker_note(&b, false, now),
		    i == HTTP_BREAKER_FAILURES - 1);
	}
	assert_false(http_breaker_permits(&b, now));
	now += HTTP_BREAKER_OPEN_MS - 1;
	assert_false(http_breaker_permits(&b, now));
	now += 1;
	assert_true(http_breaker_permits(&b, now));	/* the probe */
	assert_false(http_breaker_permits(&b, now));
	http_breaker_note(&b, false, now);
	assert_false(http_breaker_permits(&b, now + 1));
	now += HTTP_BREAKER_OPEN_MS;
	assert_true(http_breaker_permits(&b, now));
	http_breaker_note(&b, true, now);
	assert_true(http_breaker_permits(&b, now));
	assert_true(http_breaker_permits(&b, now));
	/* Failures with successes between them are not in a row. */
	for (int i = 0; i < 20; i++) {
		http_breaker_note(&b, i % 4 == 3, now);
		assert_true(http_breaker_permits(&b, now));
	}
}

static void
test_urls(void **state)
{
	static const struct { const char *url; bool ok; } rows[] = {
		{ "https://id.example.test/keys", true },
		{ "https://id.example.test:8443/keys?x=y", true },
		{ "http://id.example.test/keys", false },
		{ "file:///etc/passwd", false },
		{ "https://user:secret@id.example.test/", false },
		{ "gopher://x/", false },
		{ "https://", false },
		{ "id.example.test/keys", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++)
		CHECK_INT(rows[i].url, http_url_ok(rows[i].url), rows[i].ok);
}

/* ---- conversations, with keys in a file ---- */

static struct sasl_result last;
static char last_data[4000], last_login[400];
static char refusal[4000];	/* the challenge before a failure */

static void
on_next(const struct sasl_result *r, void *arg)
{
	(void)arg;
	last = *r;
	ASSERT(r->data.len < sizeof(last_data));
	memcpy(last_data, r->data.p, r->data.len);
	last_data[r->data.len] = '\0';
	(void)strlcpy(last_login, r->login, sizeof(last_login));
}

static void
on_note(const struct conf_note *n, void *arg)
{
	(void)arg;
	log_panic("%s", n->text);
}

static void
give(struct authd *d, struct sasl *s, struct view message)
{
	sasl_step(s, true, message);
	while (sasl_waiting(s)) {
		if (!fake_pump())
			loop_turn(d->loop, 0);
	}
}

/* One token from a client; a refusal's object is in last_data. */
static void
talk(struct authd *d, const char *mechanism, struct view message)
{
	const struct sasl_client c = {
		.who = { "192.0.2.1", "submission", SOURCE_SMTP },
		.flags = AUTH_SESSION_TLS,
	};
	struct sasl *s = sasl_new(d, view_str(mechanism), &c, on_next, NULL);

	assert_non_null(s);
	last_data[0] = '\0';
	give(d, s, message);
	if (last.state == AUTH_CHALLENGE) {
		(void)strlcpy(refusal, last_data, sizeof(refusal));
		sasl_step(s, true, VIEW("\1"));
		assert_int_equal(last.state, AUTH_FAILURE);
	}
	sasl_free(&s);
}

static void
begin(struct authd *d, struct buf *keys_file)
{
	struct buf text, why;
	char path[] = "/tmp/postkeep-jwks-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf_data(keys_file), keys_file->len), keys_file->len);
	close(fd);
	buf_init(&text, 2000);
	buf_init(&why, 500);
	buf_printf(&text, "auth_mechanisms = oauthbearer xoauth2\n"
	    "oauth2_issuer = https://id.example.test\noauth2_audience = mail\n"
	    "oauth2_jwks = %s\noauth2_openid_configuration = https://id/x\n", path);
	memset(d, 0, sizeof(*d));
	d->conf = conf_load("main.cf", buf_view(&text), on_note, NULL);
	d->loop = loop_new();
	if (sasl_init(d, &why) != 0)
		fail_msg("%s", buf_cstr(&why));
	unlink(path);
	buf_fini(&text);
	buf_fini(&why);
	fake_reset();
}

static void
put_bearer(struct buf *b, const char *before, const char *user, bool right)
{
	char claims[500], *at;
	struct buf token;

	snprintf(claims, sizeof(claims), "{\"iss\":\"https://id.example.test\","
	    "\"aud\":\"mail\",\"exp\":9000000000,\"email\":\"%s\"}", user);
	buf_reset(b);
	buf_put_str(b, before);
	buf_put_str(b, "\1auth=Bearer ");
	buf_init(&token, 8000);
	token_put(&token, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", claims, "ES256",
	    TOKEN_EC, VIEW(""));
	if (!right) {
		at = buf_data(&token) + token.len - 10;
		*at = *at == 'A' ? 'B' : 'A';
	}
	buf_put_view(b, buf_view(&token));
	buf_fini(&token);
	buf_put_str(b, "\1\1");
}

static struct sasl *
start(struct authd *d)
{
	const struct sasl_client c = {
		.who = { "192.0.2.1", "submission", SOURCE_SMTP },
		.flags = AUTH_SESSION_TLS,
	};
	struct sasl *s = sasl_new(d, VIEW("XOAUTH2"), &c, on_next, NULL);

	assert_non_null(s);
	fake_reset();
	return s;
}

/* Who hangs up on the reason has failed all the same. */
static void
leave_after_refusal(struct authd *d, struct buf *b)
{
	struct sasl *s = start(d);

	put_bearer(b, "user=alice", "alice@example.test", false);
	give(d, s, buf_view(b));
	assert_int_equal(last.state, AUTH_CHALLENGE);
	sasl_free(&s);
	assert_int_equal(fake_seen.failures, 1);
}

/* The mechanism is taken away between a client's AUTH and its token. */
static void
reload_without_tokens(struct authd *d, struct buf *b)
{
	const struct conf *before = d->conf;
	struct sasl *s = start(d);
	struct buf why;

	sasl_step(s, false, VIEW(""));
	assert_int_equal(last.state, AUTH_CHALLENGE);
	d->conf = conf_load("main.cf", VIEW("auth_mechanisms = plain\n"), on_note, NULL);
	buf_init(&why, 500);
	assert_int_equal(sasl_reload(d, &why), 0);
	buf_fini(&why);
	put_bearer(b, "user=alice", "alice@example.test", true);
	give(d, s, buf_view(b));
	assert_int_equal(last.state, AUTH_TEMPORARY);
	sasl_free(&s);
	conf_free((struct conf **)(uintptr_t)&d->conf);
	d->conf = before;
}

static void
test_A15_conversations(void **state)
{
	static const struct {
		const char		*name, *mechanism, *before, *user;
		bool			 right;
		enum verify_result	 source;
		enum auth_state		 want;
		const char		*says;
	} rows[] = {
		{ "right", "OAUTHBEARER", "n,,", "alice@example.test", true, VERIFY_OK,
		    AUTH_SUCCESS, "" },
		{ "right, named", "OAUTHBEARER", "n,a=Alice,", "alice@example.test", true,
		    VERIFY_OK, AUTH_SUCCESS, "" },
		{ "right, XOAUTH2", "XOAUTH2", "user=alice", "alice@example.test", true,
		    VERIFY_OK, AUTH_SUCCESS, "" },
		{ "wrong", "OAUTHBEARER", "n,,", "alice@example.test", false, VERIFY_OK,
		    AUTH_FAILURE, "{\"status\":\"invalid_token\","
		    "\"openid-configuration\":\"https://id/x\"}" },
		{ "unknown user: the same", "OAUTHBEARER", "n,,", "nobody@example.test",
		    true, VERIFY_OK, AUTH_FAILURE, "{\"status\":\"invalid_token\","
		    "\"openid-configuration\":\"https://id/x\"}" },
		{ "disabled: the same", "OAUTHBEARER", "n,,", "gone@example.test", true,
		    VERIFY_OK, AUTH_FAILURE, "{\"status\":\"invalid_token\","
		    "\"openid-configuration\":\"https://id/x\"}" },
		{ "another's token", "XOAUTH2", "user=gone@example.test",
		    "alice@example.test", true, VERIFY_OK, AUTH_FAILURE,
		    "{\"status\":\"401\",\"schemes\":\"bearer\"}" },
		{ "too many failures", "OAUTHBEARER", "n,,", "alice@example.test", true,
		    VERIFY_LIMITED, AUTH_TEMPORARY, "" },
	};
	struct buf b;
	struct authd d;

	(void)state;
	unit_ignore_log();
	log_set_level(LOG_LVL_WARN);
	buf_init(&b, 12000);
	buf_put_str(&b, "{\"keys\":[");
	token_put_jwk(&b, TOKEN_EC, "ec", "");
	buf_put_str(&b, "]}");
	begin(&d, &b);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		fake_reset();
		fake_result = rows[i].source;
		put_bearer(&b, rows[i].before, rows[i].user, rows[i].right);
		talk(&d, rows[i].mechanism, buf_view(&b));
		CHECK_INT(rows[i].name, last.state, rows[i].want);
		CHECK_VIEW(rows[i].name, view_str(last_login),
		    rows[i].want == AUTH_SUCCESS ? "alice@example.test" : "");
		if (rows[i].want == AUTH_FAILURE)
			CHECK_VIEW(rows[i].name, view_str(refusal), rows[i].says);
		CHECK_INT(rows[i].name, fake_seen.failures, rows[i].want == AUTH_FAILURE);
		CHECK_INT(rows[i].name, fake_seen.successes, rows[i].want == AUTH_SUCCESS);
	}
	leave_after_refusal(&d, &b);
	reload_without_tokens(&d, &b);
	sasl_fini(&d);
	loop_free(&d.loop);
	conf_free((struct conf **)(uintptr_t)&d.conf);
	buf_fini(&b);
	log_set_level(LOG_LVL_INFO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures_that_are_right),
		cmocka_unit_test(test_A15_hostile_tokens),
		cmocka_unit_test(test_A15_damaged_tokens),
		cmocka_unit_test(test_A15_claims),
		cmocka_unit_test(test_key_sets),
		cmocka_unit_test(test_introspection_answers),
		cmocka_unit_test(test_bearer_grammar),
		cmocka_unit_test(test_F8_circuit_breaker),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_A15_conversations),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
