/* SPDX-License-Identifier: ISC */
/*
 * password_digest.c: hashes by OpenSSL: salted digests, PBKDF2, SCRAM.
 *
 * Runs in authd's threads. Rounds are bounded before they are run.
 */
#include <bsd/stdlib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "authd/password_impl.h"
#include "authd/sasl_prep.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

#define SCRAM_SALT	16

static const EVP_MD *
digest_md(int digest)
{
	return digest == PASSWORD_SHA1 ? EVP_sha1() : digest == PASSWORD_SHA256 ? EVP_sha256() :
	    EVP_sha512();
}

size_t
password_digest_size(int digest)
{
	return digest == PASSWORD_SHA1 ? 20 : digest == PASSWORD_SHA256 ? 32 : 64;
}

int
password_plain_verify(struct view hash, struct view password, int variant)
{
	(void)variant;
	return password_compare(hash, password);
}

static int
digest_of(int digest, struct view a, struct view b, uint8_t out[EVP_MAX_MD_SIZE])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok;

	ok = c != NULL && EVP_DigestInit_ex(c, digest_md(digest), NULL) == 1 &&
	    EVP_DigestUpdate(c, a.p, a.len) == 1 && EVP_DigestUpdate(c, b.p, b.len) == 1 &&
	    EVP_DigestFinal_ex(c, out, NULL) == 1;
	EVP_MD_CTX_free(c);
	return ok ? 0 : PK_EUNSUPPORTED;
}

int
password_salted_verify(struct view hash, struct view password, int digest)
{
	size_t size = password_digest_size(digest);
	uint8_t out[EVP_MAX_MD_SIZE];
	int error;

	if (hash.len < size)
		return PK_EFORMAT;
	error = digest_of(digest, password, view_from(hash, size), out);
	if (error == 0)
		error = password_compare(view_of((char *)out, size), view_head(hash, size));
	explicit_bzero(out, sizeof(out));
	return error;
}

int
password_digest_verify(struct view hash, struct view password, int digest)
{
	if (hash.len != password_digest_size(digest))
		return PK_EFORMAT;
	return password_salted_verify(hash, password, digest);
}

int
password_salted_new(struct view password, struct buf *hash_r)
{
	uint8_t out[64 + 16];
	int error;

	arc4random_buf(out + 64, 16);
	error = digest_of(PASSWORD_SHA512, password, view_of((char *)out + 64, 16), out);
	if (error == 0) {
		buf_put_str(hash_r, "{SSHA512}");
		error = base64_put(hash_r, view_of((char *)out, sizeof(out)));
	}
	explicit_bzero(out, sizeof(out));
	return error;
}

/* ---- PBKDF2 ---- */

static int
pbkdf2(int digest, struct view password, struct view salt, uint64_t rounds, uint8_t *out,
    size_t size)
{
	if (rounds > PASSWORD_ROUNDS_MAX)
		return PK_ELIMIT;
	return PKCS5_PBKDF2_HMAC(password.p, (int)password.len, (const uint8_t *)salt.p,
	    (int)salt.len, (int)rounds, digest_md(digest), (int)size, out) == 1 ? 0 :
	    PK_EUNSUPPORTED;
}

static int
pbkdf2_check(int digest, struct view password, struct view salt, uint64_t rounds,
    struct view hash)
{
	uint8_t out[EVP_MAX_MD_SIZE];
	int error;

	if (hash.len < 16 || hash.len > sizeof(out))
		return PK_EFORMAT;
	error = pbkdf2(digest, password, salt, rounds, out, hash.len);
	if (error == 0)
		error = password_compare(view_of((char *)out, hash.len), hash);
	explicit_bzero(out, sizeof(out));
	return error;
}

static bool
take_part(struct view *v, struct view *part_r)
{
	ptrdiff_t end = view_find(*v, '$');

	*part_r = end >= 0 ? view_head(*v, (size_t)end) : *v;
	*v = view_from(*v, part_r->len + (end >= 0));
	return part_r->len > 0;
}

/* Dovecot's: "$1$salt$rounds$hex", SHA-1, the salt as it is written. */
int
password_pbkdf2_verify(struct view hash, struct view password, int variant)
{
	struct view salt, rounds, text;
	struct buf b;
	uint64_t n;
	int error;

	(void)variant;
	if (!view_starts(hash, VIEW("$1$")))
		return PK_EFORMAT;
	hash = view_from(hash, 3);
	if (!take_part(&hash, &salt) || !take_part(&hash, &rounds) || !take_part(&hash, &text) ||
	    hash.len > 0 || num_parse_u64(rounds, 1, UINT32_MAX, &n) != 0)
		return PK_EFORMAT;
	buf_init(&b, EVP_MAX_MD_SIZE);
	error = hex_decode(&b, text) != 0 ? PK_EFORMAT :
	    pbkdf2_check(PASSWORD_SHA1, password, salt, n, buf_view(&b));
	buf_fini(&b);
	return error;
}

/*
 * OpenLDAP's pw-pbkdf2 "10000$salt$hash" and passlib's
 * "$pbkdf2-sha256$10000$salt$hash": base64 with '.' for '+', no padding.
 */
int
password_pbkdf2_ab64_verify(struct view hash, struct view password, int digest)
{
	struct view part, rounds;
	struct buf salt, key;
	uint64_t n;
	int error = 0;

	if (view_starts(hash, VIEW("$pbkdf2"))) {
		hash = view_from(hash, 1);
		(void)take_part(&hash, &part);
	}
	if (!take_part(&hash, &rounds) || num_parse_u64(rounds, 1, UINT32_MAX, &n) != 0)
		return PK_EFORMAT;
	buf_init(&salt, PASSWORD_SALT_MAX);
	buf_init(&key, EVP_MAX_MD_SIZE);
	if (!take_part(&hash, &part) || password_b64_decode(part, &salt) != 0 ||
	    !take_part(&hash, &part) || password_b64_decode(part, &key) != 0 || hash.len > 0)
		error = PK_EFORMAT;
	if (error == 0)
		error = pbkdf2_check(digest, password, buf_view(&salt), n, buf_view(&key));
	buf_fini(&salt);
	buf_fini(&key);
	return error;
}

/* ---- SCRAM (RFC 5802 3) ---- */

struct scram {
	uint64_t	 rounds;
	struct buf	 salt, stored, server;
};

static void
scram_init(struct scram *s)
{
	buf_init(&s->salt, PASSWORD_SALT_MAX);
	buf_init(&s->stored, EVP_MAX_MD_SIZE);
	buf_init(&s->server, EVP_MAX_MD_SIZE);
}

static void
scram_fini(struct scram *s)
{
	buf_fini(&s->salt);
	buf_fini(&s->stored);
	buf_fini(&s->server);
}

static bool
scram_part(struct view *v, struct buf *b, size_t size)
{
	ptrdiff_t comma = view_find(*v, ',');
	struct view part = comma >= 0 ? view_head(*v, (size_t)comma) : *v;

	*v = view_from(*v, part.len + (comma >= 0));
	return base64_decode(b, part) == 0 && b->len > 0 && (size == 0 || b->len == size);
}

static int
scram_parse(struct view v, int digest, struct scram *s)
{
	size_t size = password_digest_size(digest);
	ptrdiff_t comma = view_find(v, ',');

	if (comma < 0 || num_parse_u64(view_head(v, (size_t)comma), 1, UINT32_MAX,
	    &s->rounds) != 0)
		return PK_EFORMAT;
	v = view_from(v, (size_t)comma + 1);
	if (!scram_part(&v, &s->salt, 0) || !scram_part(&v, &s->stored, size) ||
	    !scram_part(&v, &s->server, size) || v.len > 0)
		return PK_EFORMAT;
	return 0;
}

/* As clients do (RFC 5802 5.1); what has no such form is taken as it is. */
static void
prepare(struct view password, struct buf *b)
{
	buf_init(b, 4 * PASSWORD_MAX);
	if (sasl_prep(password, b) == 0)
		return;
	buf_reset(b);
	buf_put_view(b, password);
}

static int
scram_keys(int digest, struct view password, struct view salt, uint64_t rounds, uint8_t *stored,
    uint8_t *server)
{
	uint8_t salted[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE];
	size_t size = password_digest_size(digest);
	const EVP_MD *md = digest_md(digest);
	struct buf prepared;
	int error;

	prepare(password, &prepared);
	error = pbkdf2(digest, buf_view(&prepared), salt, rounds, salted, size);
	if (prepared.data != NULL)
		explicit_bzero(prepared.data, prepared.cap);
	buf_fini(&prepared);
	if (error == 0 &&
	    (HMAC(md, salted, (int)size, (const uint8_t *)"Client Key", 10, key, NULL) == NULL ||
	    digest_of(digest, view_of((char *)key, size), VIEW_NONE, stored) != 0 ||
	    HMAC(md, salted, (int)size, (const uint8_t *)"Server Key", 10, server, NULL) == NULL))
		error = PK_EUNSUPPORTED;
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(key, sizeof(key));
	return error;
}

int
password_scram_verify(struct view hash, struct view password, int digest)
{
	uint8_t stored[EVP_MAX_MD_SIZE], server[EVP_MAX_MD_SIZE];
	struct scram s;
	int error;

	scram_init(&s);
	error = scram_parse(hash, digest, &s);
	if (error == 0)
		error = scram_keys(digest, password, buf_view(&s.salt), s.rounds, stored, server);
	if (error == 0)
		error = password_compare(view_of((char *)stored, password_digest_size(digest)),
		    buf_view(&s.stored));
	explicit_bzero(server, sizeof(server));
	scram_fini(&s);
	return error;
}

int
password_scram(const char *scheme, struct view password, struct buf *verifier_r)
{
	uint8_t stored[EVP_MAX_MD_SIZE], server[EVP_MAX_MD_SIZE];
	int digest = strcmp(scheme, "SCRAM-SHA-1") == 0 ? PASSWORD_SHA1 : PASSWORD_SHA256;
	size_t size = password_digest_size(digest);
	char salt[SCRAM_SALT];
	int error;

	if (digest == PASSWORD_SHA256 && strcmp(scheme, "SCRAM-SHA-256") != 0)
		return PK_EUNSUPPORTED;
	if (password.len == 0 || memchr(password.p, '\0', password.len) != NULL)
		return PK_ESYNTAX;
	if (password.len > PASSWORD_MAX)
		return PK_ELIMIT;
	arc4random_buf(salt, sizeof(salt));
	error = scram_keys(digest, password, view_of(salt, sizeof(salt)),
	    PASSWORD_SCRAM_ROUNDS, stored, server);
	if (error != 0)
		return error;
	buf_printf(verifier_r, "{%s}%d,", scheme, PASSWORD_SCRAM_ROUNDS);
	base64_put(verifier_r, view_of(salt, sizeof(salt)));
	buf_put_char(verifier_r, ',');
	base64_put(verifier_r, view_of((char *)stored, size));
	buf_put_char(verifier_r, ',');
	base64_put(verifier_r, view_of((char *)server, size));
	explicit_bzero(server, sizeof(server));
	return buf_error(verifier_r);
}
