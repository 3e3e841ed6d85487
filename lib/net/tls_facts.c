/* SPDX-License-Identifier: ISC */
/*
 * tls_facts.c: what a handshake came to: for logs, headers and policy.
 *
 * Runs wherever a connection is. What the peer chose to write into its
 * certificate goes out only as printable ASCII of bounded length.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

#define NAME_SHOWN	255

/* ---- the handshake ---- */

const char *
tls_conn_protocol(const struct tls_conn *t)
{
	return t->ssl != NULL ? SSL_get_version(t->ssl) : "";
}

const char *
tls_conn_cipher(const struct tls_conn *t)
{
	const char *name = t->ssl != NULL ? SSL_get_cipher_name(t->ssl) : NULL;

	return name != NULL ? name : "";
}

unsigned
tls_conn_cipher_bits(const struct tls_conn *t)
{
	int bits = t->ssl != NULL ? SSL_get_cipher_bits(t->ssl, NULL) : 0;

	return bits > 0 ? (unsigned)bits : 0;
}

bool
tls_conn_resumed(const struct tls_conn *t)
{
	return t->ssl != NULL && SSL_session_reused(t->ssl) == 1;
}

const char *
tls_conn_sni(const struct tls_conn *t)
{
	const char *name = t->ssl != NULL ?
	    SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) :
	    NULL;

	if (name == NULL || !view_is_printable(view_str(name)))
		return "";
	return name;
}

enum tls_trust
tls_conn_trust(const struct tls_conn *t)
{
	return t->trust;
}

const char *
tls_conn_error(const struct tls_conn *t)
{
	return t->error != NULL ? t->error : "";
}

uint64_t
tls_conn_key_us(const struct tls_conn *t)
{
	return t->sign.took_ns / 1000;
}

int
tls_conn_exporter(const struct tls_conn *t, uint8_t binding_r[32])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (t->ssl == NULL || !t->established ||
	    SSL_version(t->ssl) < TLS1_3_VERSION)
		return PK_EUNSUPPORTED;
	if (SSL_export_keying_material(t->ssl, binding_r, 32, label,
		sizeof(label) - 1, NULL, 0, 1) != 1)
		return PK_EUNSUPPORTED;
	return 0;
}

/* ---- Postfix's line ---- */

static const char *
curve_name(const EVP_PKEY *key)
{
	static char name[40];
	const char *nist;
	size_t len;

	if (EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1)
		return "unknown curve";
	nist = EC_curve_nid2nist(OBJ_sn2nid(name));
	return nist != NULL ? nist : name;
}

static void
put_key_exchange(const struct tls_conn *t, struct buf *b)
{
	EVP_PKEY *key = NULL;

	if (SSL_get_peer_tmp_key(t->ssl, &key) != 1 || key == NULL)
		return;
	if (EVP_PKEY_is_a(key, "EC"))
		buf_printf(b, " key-exchange ECDHE (%s)", curve_name(key));
	else if (EVP_PKEY_is_a(key, "DH"))
		buf_printf(
		    b, " key-exchange DHE (%d bits)", EVP_PKEY_get_bits(key));
	else
		buf_printf(b, " key-exchange %s", EVP_PKEY_get0_type_name(key));
	EVP_PKEY_free(key);
}

static void
put_signature(struct buf *b, const char *who, const X509 *x, int type, int digest)
{
	EVP_PKEY *key = x != NULL ? X509_get0_pubkey(x) : NULL;

	if (key == NULL)
		return;
	if (type == NID_X9_62_id_ecPublicKey)
		buf_printf(b, " %s-signature ECDSA (%s)", who, curve_name(key));
	else if (type == NID_ED25519)
		buf_printf(b, " %s-signature ED25519", who);
	else
		buf_printf(b, " %s-signature %s (%d bits)", who,
		    type == NID_rsassaPss ? "RSA-PSS" : "RSA",
		    EVP_PKEY_get_bits(key));
	if (digest != NID_undef)
		buf_printf(b, " %s-digest %s", who, OBJ_nid2sn(digest));
}

void
tls_conn_describe(const struct tls_conn *t, struct buf *b)
{
	const char *mine = t->is_server ? "server" : "client";
	const char *theirs = t->is_server ? "client" : "server";
	int bits = 0, of = 0, type = NID_undef, digest = NID_undef;

	if (t->ssl == NULL)
		return;
	bits = SSL_get_cipher_bits(t->ssl, &of);
	buf_printf(b, "%s with cipher %s (%d/%d bits)", tls_conn_protocol(t),
	    tls_conn_cipher(t), bits, of);
	/* As Postfix: below 1.3 the cipher's name says the rest. */
	if (SSL_version(t->ssl) < TLS1_3_VERSION)
		return;
	put_key_exchange(t, b);
	if (tls_conn_resumed(t))
		return;
	if (t->is_server && SSL_get_signature_type_nid(t->ssl, &type) == 1) {
		(void)SSL_get_signature_nid(t->ssl, &digest);
		put_signature(
		    b, mine, SSL_get_certificate(t->ssl), type, digest);
	}
	digest = NID_undef;
	if (SSL_get_peer_signature_type_nid(t->ssl, &type) == 1) {
		(void)SSL_get_peer_signature_nid(t->ssl, &digest);
		put_signature(
		    b, theirs, SSL_get0_peer_certificate(t->ssl), type, digest);
	}
	digest = NID_undef;
	if (!t->is_server && t->sign.count > 0 &&
	    SSL_get_signature_type_nid(t->ssl, &type) == 1) {
		(void)SSL_get_signature_nid(t->ssl, &digest);
		put_signature(
		    b, mine, SSL_get_certificate(t->ssl), type, digest);
	}
}

/* ---- the peer's certificate ---- */

static void
put_hex(struct buf *b, const uint8_t *p, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		buf_printf(b, i == 0 ? "%02X" : ":%02X", p[i]);
}

int
tls_conn_fingerprint(const struct tls_conn *t, const char *digest, struct buf *b)
{
	X509 *x = t->ssl != NULL ? SSL_get0_peer_certificate(t->ssl) : NULL;
	const EVP_MD *md = tls_params_digest(digest);
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (x == NULL)
		return PK_ENOENT;
	if (md == NULL || X509_digest(x, md, hash, &n) != 1)
		return PK_EUNSUPPORTED;
	put_hex(b, hash, n);
	return 0;
}

int
tls_conn_pubkey_fingerprint(const struct tls_conn *t, const char *digest,
    struct buf *b)
{
	X509 *x = t->ssl != NULL ? SSL_get0_peer_certificate(t->ssl) : NULL;
	const EVP_MD *md = tls_params_digest(digest);
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned char *der = NULL;
	unsigned n = 0;
	int len, ok;

	if (x == NULL)
		return PK_ENOENT;
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	ok = md != NULL && len > 0 &&
	    EVP_Digest(der, (size_t)len, hash, &n, md, NULL) == 1;
	OPENSSL_free(der);
	if (!ok)
		return PK_EUNSUPPORTED;
	put_hex(b, hash, n);
	return 0;
}

/* A printable copy of an ASN.1 string; NULL: empty, too long or not printable. */
static char *
printable(const ASN1_STRING *s)
{
	unsigned char *utf8 = NULL;
	char *copy = NULL;
	int len = s != NULL ? ASN1_STRING_to_UTF8(&utf8, s) : -1;
	struct view v = view_of((const char *)utf8, len > 0 ? (size_t)len : 0);

	if (v.len > 0 && v.len <= NAME_SHOWN && view_is_printable(v))
		copy = view_dup(v);
	OPENSSL_free(utf8);
	ERR_clear_error();
	return copy;
}

static char *
name_part(const X509_NAME *name, int nid)
{
	int at = X509_NAME_get_index_by_NID(name, nid, -1);

	if (at < 0)
		return NULL;
	return printable(
	    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

static char *
first_alternative(X509 *x)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *g;
	char *found = NULL;
	int i;

	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (i = 0; found == NULL && i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS || g->type == GEN_EMAIL)
			found = printable(g->d.ia5);
	}
	GENERAL_NAMES_free(names);
	return found;
}

const char *
tls_conn_peer_name(const struct tls_conn *t)
{
	struct tls_conn *w = (struct tls_conn *)(uintptr_t)t;
	X509 *x = t->ssl != NULL ? SSL_get0_peer_certificate(t->ssl) : NULL;

	if (x == NULL)
		return "";
	if (w->peer_name == NULL)
		w->peer_name =
		    name_part(X509_get_subject_name(x), NID_commonName);
	if (w->peer_name == NULL)
		w->peer_name = first_alternative(x);
	if (w->peer_name == NULL)
		w->peer_name = xstrdup("");
	return w->peer_name;
}

const char *
tls_conn_issuer(const struct tls_conn *t)
{
	struct tls_conn *w = (struct tls_conn *)(uintptr_t)t;
	X509 *x = t->ssl != NULL ? SSL_get0_peer_certificate(t->ssl) : NULL;
	const X509_NAME *name = x != NULL ? X509_get_issuer_name(x) : NULL;

	if (name == NULL)
		return "";
	if (w->issuer == NULL)
		w->issuer = name_part(name, NID_commonName);
	if (w->issuer == NULL)
		w->issuer = name_part(name, NID_organizationName);
	if (w->issuer == NULL)
		w->issuer = xstrdup("");
	return w->issuer;
}
