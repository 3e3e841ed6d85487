/* SPDX-License-Identifier: ISC */
/*
 * password.c: which scheme a stored hash is of, and how it is written.
 *
 * Runs in authd's threads. Hashes come from files and databases that others
 * write: their form is checked, and what they would cost is bounded before
 * anything is computed (password_impl.h). A hash without a prefix that has no
 * known shape is of no use; it is never taken for a password in clear.
 */
#include "authd/password.h"

#include <openssl/crypto.h>
#include <string.h>

#include "authd/password_impl.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

enum encoding {
	ENCODING_NONE,		/* the text is the hash */
	ENCODING_BASE64,
	ENCODING_HEX,
};

static const struct scheme {
	const char	*name;
	password_verify_fn verify;
	int		 variant;	/* enum password_digest, or 0 */
	bool		 binary;	/* bytes in base64, or hex where the length says so */
} schemes[] = {
	{ "PLAIN",		password_plain_verify,	0, false },
	{ "CLEARTEXT",		password_plain_verify,	0, false },
	{ "CLEAR",		password_plain_verify,	0, false },
	{ "CRYPT",		password_crypt_verify,	0, false },
	{ "YESCRYPT",		password_crypt_verify,	'y', false },
	{ "BLF-CRYPT",		password_crypt_verify,	'2', false },
	{ "SHA512-CRYPT",	password_crypt_verify,	'6', false },
	{ "SHA256-CRYPT",	password_crypt_verify,	'5', false },
	{ "MD5-CRYPT",		password_crypt_verify,	'1', false },
	{ "ARGON2ID",		password_argon2_verify, 0, false },
	{ "ARGON2I",		password_argon2_verify, 0, false },
	{ "ARGON2",		password_argon2_verify, 0, false },
	{ "SHA",		password_digest_verify, PASSWORD_SHA1, true },
	{ "SHA1",		password_digest_verify, PASSWORD_SHA1, true },
	{ "SHA256",		password_digest_verify, PASSWORD_SHA256, true },
	{ "SHA512",		password_digest_verify, PASSWORD_SHA512, true },
	{ "SSHA",		password_salted_verify, PASSWORD_SHA1, true },
	{ "SSHA256",		password_salted_verify, PASSWORD_SHA256, true },
	{ "SSHA512",		password_salted_verify, PASSWORD_SHA512, true },
	{ "PBKDF2",		password_pbkdf2_verify, 0, false },
	{ "PBKDF2-SHA1",	password_pbkdf2_ab64_verify, PASSWORD_SHA1, false },
	{ "PBKDF2-SHA256",	password_pbkdf2_ab64_verify, PASSWORD_SHA256, false },
	{ "PBKDF2-SHA512",	password_pbkdf2_ab64_verify, PASSWORD_SHA512, false },
	{ "SCRAM-SHA-1",	password_scram_verify,	PASSWORD_SHA1, false },
	{ "SCRAM-SHA-256",	password_scram_verify,	PASSWORD_SHA256, false },
};

/* What a hash without a prefix begins with. */
static const struct shape {
	const char	*begin;
	const char	*scheme;
} shapes[] = {
	{ "$argon2",		"ARGON2" },
	{ "$pbkdf2$",		"PBKDF2-SHA1" },
	{ "$pbkdf2-sha256$",	"PBKDF2-SHA256" },
	{ "$pbkdf2-sha512$",	"PBKDF2-SHA512" },
	{ "$y$",		"CRYPT" },
	{ "$2a$",		"CRYPT" },
	{ "$2b$",		"CRYPT" },
	{ "$2y$",		"CRYPT" },
	{ "$6$",		"CRYPT" },
	{ "$5$",		"CRYPT" },
	{ "$1$",		"CRYPT" },
};

int
password_compare(struct view a, struct view b)
{
	if (a.len != b.len)
		return PK_EPERM;
	return a.len == 0 || CRYPTO_memcmp(a.p, b.p, a.len) == 0 ? 0 : PK_EPERM;
}

int
password_b64_decode(struct view text, struct buf *b)
{
	struct buf padded;
	size_t i;
	int error;

	if (text.len > PASSWORD_HASH_MAX)
		return PK_EFORMAT;
	buf_init(&padded, PASSWORD_HASH_MAX + 4);
	for (i = 0; i < text.len; i++)
		buf_put_char(&padded, text.p[i] == '.' ? '+' : text.p[i]);
	while (padded.len % 4 != 0)
		buf_put_char(&padded, '=');
	error = base64_decode(b, buf_view(&padded));
	buf_fini(&padded);
	return error == 0 ? 0 : PK_EFORMAT;
}

static const struct scheme *
scheme_find(struct view name)
{
	size_t i;

	for (i = 0; i < NELEMS(schemes); i++)
		if (view_caseeq(name, view_str(schemes[i].name)))
			return &schemes[i];
	return NULL;
}

static const struct scheme *
scheme_by_shape(struct view hash)
{
	size_t i;

	for (i = 0; i < NELEMS(shapes); i++)
		if (view_starts(hash, view_str(shapes[i].begin)))
			return scheme_find(view_str(shapes[i].scheme));
	return NULL;
}

static bool
encoding_find(struct view suffix, enum encoding *e)
{
	if (view_caseeq(suffix, VIEW("HEX")))
		*e = ENCODING_HEX;
	else if (view_caseeq(suffix, VIEW("B64")) || view_caseeq(suffix, VIEW("BASE64")))
		*e = ENCODING_BASE64;
	else
		return false;
	return true;
}

/* "{SSHA256.HEX}..." taken apart: 0, PK_EUNSUPPORTED, PK_EFORMAT. */
static int
split(struct view hash, const struct scheme **s_r, enum encoding *e_r, struct view *rest_r)
{
	struct view name;
	ptrdiff_t close, dot;

	*e_r = ENCODING_NONE;
	*rest_r = hash;
	if (hash.len == 0 || hash.len > PASSWORD_HASH_MAX)
		return PK_EFORMAT;
	if (hash.p[0] != '{') {
		*s_r = scheme_by_shape(hash);
		return *s_r != NULL ? 0 : PK_EFORMAT;
	}
	close = view_find(hash, '}');
	if (close < 0)
		return PK_EFORMAT;
	name = view_of(hash.p + 1, (size_t)close - 1);
	*rest_r = view_from(hash, (size_t)close + 1);
	dot = view_rfind(name, '.');
	if (dot >= 0) {
		if (!encoding_find(view_from(name, (size_t)dot + 1), e_r))
			return PK_EUNSUPPORTED;
		name = view_head(name, (size_t)dot);
	}
	*s_r = scheme_find(name);
	if (*s_r == NULL)
		return PK_EUNSUPPORTED;
	if (*e_r == ENCODING_NONE && (*s_r)->binary)
		*e_r = rest_r->len == 2 * password_digest_size((*s_r)->variant) ?
		    ENCODING_HEX : ENCODING_BASE64;
	return 0;
}

static int
decode(enum encoding e, struct view text, struct buf *b)
{
	switch (e) {
	case ENCODING_BASE64:
		return password_b64_decode(view_head(text, text.len -
		    (text.len > 0 && text.p[text.len - 1] == '=') -
		    (text.len > 1 && text.p[text.len - 2] == '=')), b);
	case ENCODING_HEX:
		return hex_decode(b, text) == 0 ? 0 : PK_EFORMAT;
	default:
		return buf_put_view(b, text) == 0 ? 0 : PK_EFORMAT;
	}
}

int
password_verify(const char *hash, struct view password)
{
	const struct scheme *s;
	struct view rest;
	enum encoding e;
	struct buf b;
	int error;

	error = split(view_str(hash), &s, &e, &rest);
	if (error != 0)
		return error;
	/* An empty one is nobody's; libraries that take strings end at a NUL. */
	if (password.len == 0 || password.len > PASSWORD_MAX ||
	    memchr(password.p, '\0', password.len) != NULL)
		return PK_EPERM;
	buf_init(&b, PASSWORD_HASH_MAX);
	error = decode(e, rest, &b);
	if (error == 0)
		error = s->verify(buf_view(&b), password, s->variant);
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	return error;
}

bool
password_is_known(const char *hash)
{
	const struct scheme *s;
	struct view rest;
	enum encoding e;

	return split(view_str(hash), &s, &e, &rest) == 0;
}

void
password_waste(const char *scheme, struct view password)
{
	/* Settings of password_hash(), salts of nobody: only the time counts. */
	static const char yescrypt[] = "{CRYPT}$y$j9T$5A8rVqXgkqFmHzZc6bQ0u/"
	    "$0000000000000000000000000000000000000000000";
	static const char argon2id[] = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1"
	    "$MTIzNDU2Nzg5MDEyMzQ1Ng$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

	if (strcmp(scheme, "argon2id") == 0)
		scheme = argon2id;
	else if (strcmp(scheme, "yescrypt") == 0)
		scheme = yescrypt;
	(void)password_verify(scheme, password);
}

int
password_hash(const char *scheme, struct view password, struct buf *hash_r)
{
	if (password.len == 0 || memchr(password.p, '\0', password.len) != NULL)
		return PK_ESYNTAX;
	if (password.len > PASSWORD_MAX)
		return PK_ELIMIT;
	if (strcmp(scheme, "argon2id") == 0)
		return password_argon2_new(password, hash_r);
	if (strcmp(scheme, "yescrypt") == 0)
		return password_crypt_new(password, hash_r);
	return PK_EUNSUPPORTED;
}

bool
password_is_weak(const char *hash, const char *scheme)
{
	const struct scheme *s;
	struct view rest;
	enum encoding e;

	(void)scheme;
	/* Either scheme of new hashes is good: none is made anew for its name. */
	if (split(view_str(hash), &s, &e, &rest) != 0 || e != ENCODING_NONE)
		return true;
	if (s->verify == password_argon2_verify)
		return password_argon2_is_weak(rest);
	if (s->verify == password_crypt_verify)
		return password_crypt_is_weak(rest);
	return true;
}
