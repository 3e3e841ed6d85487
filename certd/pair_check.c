/* SPDX-License-Identifier: ISC */
/*
 * pair_check.c: may this key and this chain be used?
 *
 * Runs in certd. A pair that fails here is never said to anybody: a client
 * would have found the same fault, one handshake at a time. Each refusal names
 * what to do. Dates are judged by whoever knows what else there is (set.c).
 */
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "certd/pair_private.h"

#define RSA_BITS_MIN	2048
#define RSA_BITS_MAX	16384	/* more would stop everybody else for seconds */
/* A CERTIFICATE must fit a packet, with its names. */
#define CHAIN_BYTES_MAX	38000

static int
check_key_kind(struct pair *p, struct buf *why)
{
	char group[64];

	switch (EVP_PKEY_get_base_id(p->key)) {
	case EVP_PKEY_RSA:
		p->kind = TLS_KEY_RSA;
		if (EVP_PKEY_get_bits(p->key) >= RSA_BITS_MIN &&
		    EVP_PKEY_get_bits(p->key) <= RSA_BITS_MAX)
			return 0;
		buf_printf(why, "the RSA key has %d bits, and %d to %d are wanted: make a new one",
		    EVP_PKEY_get_bits(p->key), RSA_BITS_MIN, RSA_BITS_MAX);
		return PK_EUNSUPPORTED;
	case EVP_PKEY_EC:
		p->kind = TLS_KEY_EC;
		if (EVP_PKEY_get_group_name(p->key, group, sizeof(group), NULL) != 1)
			group[0] = '\0';
		p->curve = OBJ_sn2nid(group);
		if (p->curve == NID_X9_62_prime256v1 || p->curve == NID_secp384r1)
			return 0;
		buf_printf(why, "the EC key is on the curve %s: make one on P-256 or P-384",
		    group[0] != '\0' ? group : "with parameters of its own");
		return PK_EUNSUPPORTED;
	case EVP_PKEY_ED25519:
		p->kind = TLS_KEY_ED25519;
		return 0;
	default:
		buf_put_str(why, "a key that is neither RSA, EC (P-256, P-384) nor Ed25519"
		    " is not used for TLS here");
		return PK_EUNSUPPORTED;
	}
}

/* Signed with the one, verified with the other: also finds a damaged key. */
static bool
signs_for(EVP_PKEY *key, EVP_PKEY *public, enum tls_key_kind kind)
{
	static const unsigned char text[] = "certd tries a pair of keys";
	const EVP_MD *md = kind == TLS_KEY_ED25519 ? NULL : EVP_sha256();
	EVP_MD_CTX *s = EVP_MD_CTX_new(), *v = EVP_MD_CTX_new();
	unsigned char sig[RSA_BITS_MAX / 8];
	size_t len = sizeof(sig);
	bool fits;

	fits = s != NULL && v != NULL && EVP_DigestSignInit(s, NULL, md, NULL, key) == 1 &&
	    EVP_DigestSign(s, sig, &len, text, sizeof(text)) == 1 &&
	    EVP_DigestVerifyInit(v, NULL, md, NULL, public) == 1 &&
	    EVP_DigestVerify(v, sig, len, text, sizeof(text)) == 1;
	EVP_MD_CTX_free(s);
	EVP_MD_CTX_free(v);
	return fits;
}

static int
check_match(const struct pair_draft *d, const struct pair *p, struct buf *why)
{
	if (X509_check_private_key(d->certs[0], d->key) != 1) {
		buf_put_str(why, "the private key is not that of the first certificate: put the"
		    " key there that the certificate was asked for with (and the server's own"
		    " certificate in front of its CAs)");
		return PK_EFORMAT;
	}
	if (!signs_for(d->key, X509_get0_pubkey(d->certs[0]), p->kind)) {
		buf_put_str(why, "the private key is damaged: its signature does not verify");
		return PK_EFORMAT;
	}
	return 0;
}

static int
check_order(const struct pair_draft *d, struct buf *why)
{
	unsigned i;

	for (i = 0; i + 1 < d->ncerts; i++) {
		if (X509_check_issued(d->certs[i + 1], d->certs[i]) == X509_V_OK &&
		    X509_check_ca(d->certs[i + 1]) > 0 &&
		    X509_verify(d->certs[i], X509_get0_pubkey(d->certs[i + 1])) == 1)
			continue;
		buf_printf(why, "certificate %u is not signed by certificate %u: write the"
		    " server's own first, behind each one its issuer's, and nothing else",
		    i + 1, i + 2);
		return PK_EFORMAT;
	}
	return 0;
}

static int
check_use(const struct pair_draft *d, unsigned flags, struct buf *why, pair_note_fn note,
    void *arg)
{
	bool server = (flags & CERT_SERVER) != 0;

	if (X509_check_purpose(d->certs[0],
	    server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT, 0) == 1)
		return 0;
	if (server) {
		buf_put_str(why, "the certificate does not allow use by a TLS server (keyUsage,"
		    " extendedKeyUsage): have one issued for serverAuth");
		return PK_EFORMAT;
	}
	/* CAs stop issuing clientAuth; who asks for such a certificate often compares it only. */
	buf_printf(why, "%s: the certificate does not allow use by a TLS client"
	    " (extendedKeyUsage): some servers will refuse it", buf_cstr((void *)&d->files));
	note('w', buf_cstr(why), arg);
	buf_reset(why);
	return 0;
}

static bool
put_time(const ASN1_TIME *t, int64_t *s_r)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*s_r = (int64_t)timegm(&tm);
	return true;
}

static int
check_dates(struct pair_draft *d, struct pair *p, struct buf *why, pair_note_fn note, void *arg)
{
	int64_t now_s = (int64_t)(clock_wall_ms() / 1000), end_s;
	unsigned i;

	if (!put_time(X509_get0_notBefore(d->certs[0]), &p->not_before_s) ||
	    !put_time(X509_get0_notAfter(d->certs[0]), &p->not_after_s)) {
		buf_put_str(why, "the certificate's dates cannot be read");
		return PK_EFORMAT;
	}
	for (i = 1; i < d->ncerts; i++) {
		if (!put_time(X509_get0_notAfter(d->certs[i]), &end_s) || end_s > now_s)
			continue;
		buf_printf(why, "%s: certificate %u, a CA's, expired on ", buf_cstr(&d->files),
		    i + 1);
		pair_put_date(why, end_s);
		buf_put_str(why, ": replace it by the CA's present one");
		note('w', buf_cstr(why), arg);
		buf_reset(why);
	}
	return 0;
}

static int
take_chain(const struct pair_draft *d, struct pair *p, struct buf *why)
{
	size_t total = 0;
	unsigned i;

	for (i = 0; i < d->ncerts; i++) {
		unsigned char *der = NULL;
		int n = i2d_X509(d->certs[i], &der);

		if (n > 0) {
			total += (size_t)n;
			p->chain[p->nchain++] = view_of(xmemdup(der, (size_t)n), (size_t)n);
		}
		OPENSSL_free(der);
		if (n <= 0 || total > CHAIN_BYTES_MAX) {
			buf_printf(why, "the chain has more than %d bytes: leave out what clients"
			    " do not need", CHAIN_BYTES_MAX);
			return PK_ELIMIT;
		}
	}
	if (X509_digest(d->certs[0], EVP_sha256(), p->fingerprint, NULL) != 1) {
		buf_put_str(why, "the certificate cannot be digested");
		return PK_EFORMAT;
	}
	return 0;
}

int
pair_check(struct pair_draft *d, unsigned flags, struct pair **p_r, struct buf *why,
    pair_note_fn note, void *arg)
{
	struct pair *p = XNEW(struct pair);
	int error;

	p->refs = 1;
	p->flags = flags;
	p->key = d->key;
	error = check_key_kind(p, why);
	if (error == 0)
		error = check_match(d, p, why);
	if (error == 0)
		error = check_order(d, why);
	if (error == 0)
		error = check_use(d, flags, why, note, arg);
	if (error == 0)
		error = check_dates(d, p, why, note, arg);
	if (error == 0)
		error = take_chain(d, p, why);
	ERR_clear_error();
	if (error != 0) {
		p->key = NULL;
		pair_unref(&p);
		return error;
	}
	d->key = NULL;
	p->leaf = d->certs[0];
	(void)X509_up_ref(p->leaf);
	p->files = xstrdup(buf_cstr(&d->files));
	*p_r = p;
	return 0;
}
