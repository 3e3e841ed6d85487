/* SPDX-License-Identifier: ISC */
/*
 * tls_trust.c: is this the server that was meant?
 *
 * Runs in deliverers (and for client certificates in acceptors). OpenSSL
 * builds and checks the chain, with TLSA records where there are some; the
 * names are held against the certificate here, so that "leads to a CA" and
 * "has the name" stay two facts. The certificate is the peer's word and
 * hostile: its strings are shown only when they are printable.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

#define SHOWN_MAX	255

/* ---- what was asked for ---- */

static char **
copy_strings(const char *const *from, size_t n)
{
	char **to = n > 0 ? xcalloc(n, sizeof(char *)) : NULL;
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = xstrdup(from[i]);
	return to;
}

static void
free_strings(char **s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		xfree(s[i]);
	xfree(s);
}

struct tls_wanted *
tls_wanted_new(const struct tls_expect *e)
{
	struct tls_wanted *w = XNEW(struct tls_wanted);

	w->level = e->level;
	w->names = copy_strings(e->names, e->nnames);
	w->nnames = e->nnames;
	w->fingerprints = copy_strings(e->fingerprints, e->nfingerprints);
	w->nfingerprints = e->nfingerprints;
	return w;
}

void
tls_wanted_free(struct tls_wanted **wanted)
{
	struct tls_wanted *w = *wanted;

	*wanted = NULL;
	if (w == NULL)
		return;
	free_strings(w->names, w->nnames);
	free_strings(w->fingerprints, w->nfingerprints);
	xfree(w);
}

int
tls_wanted_prepare(struct tls_wanted *w, const struct tls_expect *e, SSL *ssl)
{
	const struct tls_tlsa *r;
	size_t i;

	if (w->level != TLS_LEVEL_DANE)
		return 0;
	/* The name is only OpenSSL's to say in SNI; we check names ourselves. */
	if (SSL_dane_enable(ssl, e->sni) != 1 || SSL_set1_host(ssl, NULL) != 1)
		return PK_EUNSUPPORTED;
	for (i = 0; i < e->ntlsa; i++) {
		r = &e->tlsa[i];
		/* RFC 7672 3.1.3: PKIX-TA(0) and PKIX-EE(1) are unusable. */
		if (r->usage != 2 && r->usage != 3)
			continue;
		if (SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
			(const unsigned char *)r->data.p, r->data.len) == 1)
			w->ntlsa++;
	}
	ERR_clear_error();
	return 0;
}

/* ---- judging ---- */

static bool
name_fits(X509 *x, const char *name)
{
	/* ".x" matches any name below x: OpenSSL's own rule. */
	return name[0] != '\0' &&
	    X509_check_host(x, name, strlen(name),
		X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

static bool
names_fit(X509 *x, const struct tls_wanted *w)
{
	size_t i;

	for (i = 0; i < w->nnames; i++)
		if (name_fits(x, w->names[i]))
			return true;
	return false;
}

static void
say_names(struct tls_conn *t, const struct tls_wanted *w)
{
	const char *has = tls_conn_peer_name(t);

	tls_conn_set_error(t, "certificate is for %s, not for %s%s",
	    has[0] != '\0' ? has : "nobody",
	    w->nnames > 0 ? w->names[0] : "any name that is known",
	    w->nnames > 1 ? " or another name that was expected" : "");
}

/* Postfix's words for what is wrong with a chain. */
static void
say_chain(struct tls_conn *t, long result)
{
	const char *issuer = tls_conn_issuer(t);

	switch (result) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		tls_conn_set_error(t, "untrusted issuer %s",
		    issuer[0] != '\0' ? issuer : "without a name");
		return;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		tls_conn_set_error(t, "self-signed certificate");
		return;
	case X509_V_ERR_DANE_NO_MATCH:
		tls_conn_set_error(t, "no TLSA record matches the certificate");
		return;
	}
	tls_conn_set_error(t, "%s", X509_verify_cert_error_string(result));
}

static void
judge_dane(struct tls_conn *t, const struct tls_wanted *w, X509 *x)
{
	long result = SSL_get_verify_result(t->ssl);
	uint8_t usage = 0;

	t->trust = TLS_TRUST_UNTRUSTED;
	if (w->ntlsa == 0) {
		tls_conn_set_error(t, "no TLSA record can be used");
		return;
	}
	if (result != X509_V_OK ||
	    SSL_get0_dane_tlsa(t->ssl, &usage, NULL, NULL, NULL, NULL) < 0) {
		say_chain(
		    t, result != X509_V_OK ? result : X509_V_ERR_DANE_NO_MATCH);
		return;
	}
	/* RFC 7672 3.1.1, 3.1.2: names count with DANE-TA(2) alone. */
	if (usage == 2 && !names_fit(x, w)) {
		say_names(t, w);
		return;
	}
	t->trust = TLS_TRUST_VERIFIED;
}

static bool
fingerprint_fits(struct tls_conn *t, const struct tls_wanted *w)
{
	const char *digest = tls_client_digest(t->client);
	struct buf cert, key;
	bool fits = false;
	size_t i;

	buf_init(&cert, 512);
	buf_init(&key, 512);
	(void)tls_conn_fingerprint(t, digest, &cert);
	(void)tls_conn_pubkey_fingerprint(t, digest, &key);
	for (i = 0; i < w->nfingerprints && !fits; i++)
		fits = view_caseeq(
			   view_str(w->fingerprints[i]), buf_view(&cert)) ||
		    view_caseeq(view_str(w->fingerprints[i]), buf_view(&key));
	buf_fini(&cert);
	buf_fini(&key);
	return fits;
}

void
tls_trust_judge(struct tls_conn *t, const struct tls_wanted *w)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	long result = SSL_get_verify_result(t->ssl);

	t->trust = TLS_TRUST_ANONYMOUS;
	if (x == NULL) {
		if (w->level > TLS_LEVEL_ENCRYPT)
			tls_conn_set_error(t, "server shows no certificate");
		return;
	}
	switch (w->level) {
	case TLS_LEVEL_DANE:
		judge_dane(t, w, x);
		return;
	case TLS_LEVEL_FINGERPRINT:
		t->trust = TLS_TRUST_VERIFIED;
		if (fingerprint_fits(t, w))
			return;
		t->trust = TLS_TRUST_UNTRUSTED;
		tls_conn_set_error(
		    t, "fingerprint of the certificate is another");
		return;
	case TLS_LEVEL_MAY:
	case TLS_LEVEL_ENCRYPT:
	case TLS_LEVEL_VERIFY:
	case TLS_LEVEL_SECURE:
		break;
	}
	t->trust =
	    result == X509_V_OK ? TLS_TRUST_TRUSTED : TLS_TRUST_UNTRUSTED;
	if (result != X509_V_OK)
		say_chain(t, result);
	else if (w->level < TLS_LEVEL_VERIFY)
		return;
	else if (names_fit(x, w))
		t->trust = TLS_TRUST_VERIFIED;
	else
		say_names(t, w);
}

void
tls_trust_judge_client(struct tls_conn *t)
{
	long result = SSL_get_verify_result(t->ssl);

	t->trust = TLS_TRUST_ANONYMOUS;
	if (SSL_get0_peer_certificate(t->ssl) == NULL)
		return;
	t->trust =
	    result == X509_V_OK ? TLS_TRUST_TRUSTED : TLS_TRUST_UNTRUSTED;
	if (result != X509_V_OK)
		say_chain(t, result);
}

const char *
tls_trust_word(enum tls_trust trust)
{
	static const char *const words[] = {
		"Anonymous", "Untrusted", "Trusted", "Verified",
	};

	return words[trust];
}
