/* SPDX-License-Identifier: ISC */
/*
 * tls_chain.c: the certificates that a peer sent, for people to look at.
 *
 * Runs in adminctl (tls probe). The peer wrote them: names are bounded and
 * what is not printable becomes '?'.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#define TEXT_MAX	1024	/* of a subject */
#define NAMES_MAX	8192	/* of all names together: further ones are left out */

static void
put_printable(struct buf *b, struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		buf_put_char(b, v.p[i] >= ' ' && v.p[i] <= '~' ? v.p[i] : '?');
}

static void
put_name(struct buf *b, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;

	if (bio != NULL &&
	    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		n = BIO_get_mem_data(bio, &p);
		if (n > 0)
			put_printable(
			    b, view_head(view_of(p, (size_t)n), TEXT_MAX));
	}
	BIO_free(bio);
}

static void
put_alternatives(struct buf *b, const X509 *x)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *g;
	struct view v;
	int i;

	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_DNS)
			continue;
		v = view_of((const char *)ASN1_STRING_get0_data(g->d.dNSName),
		    (size_t)ASN1_STRING_length(g->d.dNSName));
		if (v.len > 255 || b->len + v.len + 1 > NAMES_MAX)
			continue;
		if (b->len > 0)
			buf_put_char(b, ' ');
		put_printable(b, v);
	}
	GENERAL_NAMES_free(names);
}

static int64_t
seconds(const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

static void
put_hash(struct buf *b, const unsigned char *der, int len)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	if (der == NULL || len <= 0 ||
	    EVP_Digest(
		der, (size_t)len, hash, &n, tls_library()->sha256, NULL) != 1)
		return;
	for (i = 0; i < n; i++)
		buf_printf(b, i == 0 ? "%02X" : ":%02X", hash[i]);
}

static void
show(X509 *x, void (*fn)(const struct tls_shown *c, void *arg), void *arg)
{
	struct buf subject, issuer, names, hash, pubkey;
	unsigned char *der = NULL, *key = NULL;
	struct tls_shown c;
	int len, keylen;

	buf_init(&subject, TEXT_MAX + 1);
	buf_init(&issuer, TEXT_MAX + 1);
	buf_init(&names, NAMES_MAX + 1);
	buf_init(&hash, 4 * EVP_MAX_MD_SIZE);
	buf_init(&pubkey, 4 * EVP_MAX_MD_SIZE);
	put_name(&subject, X509_get_subject_name(x));
	put_name(&issuer, X509_get_issuer_name(x));
	put_alternatives(&names, x);
	len = i2d_X509(x, &der);
	keylen = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &key);
	put_hash(&hash, der, len);
	put_hash(&pubkey, key, keylen);
	OPENSSL_free(der);
	OPENSSL_free(key);
	c.subject = buf_cstr(&subject);
	c.issuer = buf_cstr(&issuer);
	c.names = buf_cstr(&names);
	c.not_before = seconds(X509_get0_notBefore(x));
	c.not_after = seconds(X509_get0_notAfter(x));
	c.sha256 = buf_cstr(&hash);
	c.pubkey_sha256 = buf_cstr(&pubkey);
	fn(&c, arg);
	buf_fini(&subject);
	buf_fini(&issuer);
	buf_fini(&names);
	buf_fini(&hash);
	buf_fini(&pubkey);
	ERR_clear_error();
}

void
tls_conn_each_certificate(const struct tls_conn *t,
    void (*fn)(const struct tls_shown *c, void *arg), void *arg)
{
	STACK_OF(X509) *chain =
	    t->ssl != NULL ? SSL_get_peer_cert_chain(t->ssl) : NULL;
	int i;

	for (i = 0; i < sk_X509_num(chain) && i < TLS_CHAIN_MAX; i++)
		show(sk_X509_value(chain, i), fn, arg);
}
