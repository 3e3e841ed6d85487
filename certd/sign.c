/* SPDX-License-Identifier: ISC */
/*
 * sign.c: a handshake's signature and nothing else.
 *
 * Runs in certd; whoever asks may have been taken over. What is signed is
 * built here (TLS 1.3: the context of RFC 8446 4.4.3 makes it useless for
 * anything else) or taken apart first (TLS 1.2: randoms and an ECDHE key, or
 * a whole handshake as a client sends it), so that the same key signs no
 * certificate, no mail and no other protocol's text. RSA keys never decrypt:
 * there is no message for it.
 */
#include "certd/sign.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define RANDOM_SIZE		32
#define CURVE_TYPE_NAMED	3	/* RFC 8422 5.4 */
#define CONTEXT_PAD		64	/* RFC 8446 4.4.3 */

enum versions {
	V12 = 1 << 0,
	V13 = 1 << 1,
};

/*
 * RFC 8446 4.2.3. In TLS 1.2 an ECDSA code point names the hash alone; any
 * curve goes with it (RFC 5246 7.4.1.4.1).
 */
static const struct scheme {
	unsigned	 code;
	enum tls_key_kind kind;
	int		 curve;		/* TLS 1.3: of the key; 0: not in TLS 1.3 */
	bool		 pss;
	unsigned	 versions;
	const EVP_MD	*(*md)(void);
} schemes[] = {
	{ 0x0401, TLS_KEY_RSA, 0, false, V12, EVP_sha256 },
	{ 0x0501, TLS_KEY_RSA, 0, false, V12, EVP_sha384 },
	{ 0x0601, TLS_KEY_RSA, 0, false, V12, EVP_sha512 },
	{ 0x0804, TLS_KEY_RSA, 0, true, V12 | V13, EVP_sha256 },
	{ 0x0805, TLS_KEY_RSA, 0, true, V12 | V13, EVP_sha384 },
	{ 0x0806, TLS_KEY_RSA, 0, true, V12 | V13, EVP_sha512 },
	{ 0x0403, TLS_KEY_EC, NID_X9_62_prime256v1, false, V12 | V13, EVP_sha256 },
	{ 0x0503, TLS_KEY_EC, NID_secp384r1, false, V12 | V13, EVP_sha384 },
	{ 0x0603, TLS_KEY_EC, 0, false, V12, EVP_sha512 },
	{ 0x0807, TLS_KEY_ED25519, 0, false, V12 | V13, NULL },
};

static const struct scheme *
find_scheme(unsigned code)
{
	size_t i;

	for (i = 0; i < NELEMS(schemes); i++)
		if (schemes[i].code == code)
			return &schemes[i];
	return NULL;
}

unsigned
sign_kind_flag(enum tls_sign_kind kind)
{
	return kind == TLS_SIGN_13_SERVER || kind == TLS_SIGN_12_SERVER ? CERT_SERVER :
	    CERT_CLIENT;
}

static bool
is_13(enum tls_sign_kind kind)
{
	return kind == TLS_SIGN_13_SERVER || kind == TLS_SIGN_13_CLIENT;
}

/* ---- what is signed ---- */

/* The hash is the cipher suite's: SHA-256 or SHA-384. */
static int
put_13(enum tls_sign_kind kind, struct view hash, struct buf *tbs)
{
	unsigned i;

	if (hash.len != 32 && hash.len != 48)
		return PK_EPROTO;
	for (i = 0; i < CONTEXT_PAD; i++)
		buf_put_char(tbs, ' ');
	buf_put_str(tbs, kind == TLS_SIGN_13_SERVER ? "TLS 1.3, server CertificateVerify" :
	    "TLS 1.3, client CertificateVerify");
	buf_put_char(tbs, '\0');
	return buf_put_view(tbs, hash);
}

/* Length of a public key on a named group (RFC 8422 5.1.1); 0: no such group here. */
static size_t
point_size(unsigned group)
{
	switch (group) {
	case 23:	/* secp256r1 */
		return 65;
	case 24:	/* secp384r1 */
		return 97;
	case 25:	/* secp521r1 */
		return 133;
	case 29:	/* x25519 */
		return 32;
	case 30:	/* x448 */
		return 56;
	default:
		return 0;
	}
}

static int
put_12_server(struct view data, struct buf *tbs)
{
	const uint8_t *p = (const uint8_t *)data.p + 2 * RANDOM_SIZE;
	size_t size;

	if (data.len < 2 * RANDOM_SIZE + 5 || p[0] != CURVE_TYPE_NAMED)
		return PK_EPROTO;
	size = point_size((unsigned)p[1] << 8 | p[2]);
	if (size == 0 || p[3] != size || data.len != 2 * RANDOM_SIZE + 4 + size)
		return PK_EPROTO;
	/* The others are points, uncompressed. */
	if (size != 32 && size != 56 && p[4] != 4)
		return PK_EPROTO;
	return buf_put_view(tbs, data);
}

/*
 * A client's handshake up to its CertificateVerify (RFC 5246 7.3). Each type
 * that may stand there with its place in the order; the optional ones may be
 * left out.
 */
static const struct {
	uint8_t		type;
	bool		optional;
} flight[] = {
	{ 1, false },	/* ClientHello */
	{ 2, false },	/* ServerHello */
	{ 11, false },	/* Certificate, the server's */
	{ 22, true },	/* CertificateStatus */
	{ 12, true },	/* ServerKeyExchange */
	{ 13, false },	/* CertificateRequest: there would be no signature without */
	{ 14, false },	/* ServerHelloDone */
	{ 11, false },	/* Certificate, ours */
	{ 16, false },	/* ClientKeyExchange */
};

/* Length of the message at the start of v with its header; 0: not whole. */
static size_t
message_size(struct view v)
{
	const uint8_t *p = (const uint8_t *)v.p;
	size_t n;

	if (v.len < 4)
		return 0;
	n = 4 + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
	return n <= v.len ? n : 0;
}

static int
put_12_client(struct view data, struct buf *tbs)
{
	struct view rest = data;
	size_t i = 0, n;

	/* ClientHello: version 3.3 and a random behind the header. */
	if (data.len < 4 + 2 + RANDOM_SIZE || data.p[4] != 3 || data.p[5] != 3)
		return PK_EPROTO;
	while (rest.len > 0) {
		n = message_size(rest);
		while (n > 0 && i < NELEMS(flight) && flight[i].optional &&
		    flight[i].type != (uint8_t)rest.p[0])
			i++;
		if (n == 0 || i == NELEMS(flight) || flight[i].type != (uint8_t)rest.p[0])
			return PK_EPROTO;
		rest = view_from(rest, n);
		i++;
	}
	return i == NELEMS(flight) ? buf_put_view(tbs, data) : PK_EPROTO;
}

static int
put_tbs(enum tls_sign_kind kind, struct view data, struct buf *tbs)
{
	switch (kind) {
	case TLS_SIGN_13_SERVER:
	case TLS_SIGN_13_CLIENT:
		return put_13(kind, data, tbs);
	case TLS_SIGN_12_SERVER:
		return put_12_server(data, tbs);
	case TLS_SIGN_12_CLIENT:
		return put_12_client(data, tbs);
	default:
		return PK_EPROTO;
	}
}

int
sign_prepare(const struct pair *p, enum tls_sign_kind kind, unsigned scheme, struct view data,
    struct buf *tbs, const char **why_r)
{
	const struct scheme *s = find_scheme(scheme);
	int error;

	*why_r = "a key of another use";
	if ((p->flags & sign_kind_flag(kind)) == 0)
		return PK_EPERM;
	*why_r = "a signature scheme that is not for this key and protocol";
	if (s == NULL || s->kind != p->kind || (s->versions & (is_13(kind) ? V13 : V12)) == 0)
		return PK_EPERM;
	if (is_13(kind) && s->kind == TLS_KEY_EC && s->curve != p->curve)
		return PK_EPERM;
	*why_r = "bytes that no handshake has signed";
	error = put_tbs(kind, data, tbs);
	if (error == 0)
		*why_r = "";
	return error;
}

/* ---- signing ---- */

static bool
set_padding(EVP_PKEY_CTX *pctx, const struct scheme *s)
{
	if (s->kind != TLS_KEY_RSA)
		return true;
	if (!s->pss)
		return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PADDING) == 1;
	return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

int
sign_do(const struct pair *p, unsigned scheme, struct view tbs, uint8_t sig_r[SIGN_MAX],
    size_t *len_r)
{
	const struct scheme *s = find_scheme(scheme);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	size_t len = SIGN_MAX;
	bool done;

	ASSERT(s != NULL && s->kind == p->kind);
	done = ctx != NULL &&
	    EVP_DigestSignInit(ctx, &pctx, s->md != NULL ? s->md() : NULL, NULL, p->key) == 1 &&
	    set_padding(pctx, s) &&
	    EVP_DigestSign(ctx, sig_r, &len, (const unsigned char *)tbs.p, tbs.len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!done) {
		ERR_clear_error();
		return PK_EIO;
	}
	*len_r = len;
	return 0;
}
