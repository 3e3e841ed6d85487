/* SPDX-License-Identifier: ISC */
/*
 * certs.h: keys and certificates for the tests of certd.
 */
#ifndef PK_TESTS_CERTD_CERTS_H
#define PK_TESTS_CERTD_CERTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certd/pair.h"

enum certs_key {
	KEY_RSA, KEY_RSA_1024, KEY_P256, KEY_P384, KEY_P521, KEY_ED25519, KEY_KINDS
};

/* Made once a process, `number` keys of a kind (0, 1, ...); not to be freed. */
EVP_PKEY *certs_key(enum certs_key kind, unsigned number);

struct certs_issue {
	const char	*name;		/* common name and DNS name */
	EVP_PKEY	*key;
	const X509	*issuer;	/* NULL: self-signed */
	EVP_PKEY	*issuer_key;
	bool		 ca;
	const char	*usage;		/* extendedKeyUsage, NULL: none */
	int		 from_days, to_days;	/* from now; both 0: -1 to 90 */
};
X509	*certs_make(const struct certs_issue *i);

/* A leaf for example.test, self-signed, 90 days. */
X509	*certs_self(EVP_PKEY *key);

/* Folder of this test's files, made at the first call, removed at exit. */
const char *certs_dir(void);
/* PEM of these to DIR/name: 'k' a key (EVP_PKEY *), 'c' a certificate (X509 *). Path. */
const char *certs_write(const char *name, const char *what, ...);
const char *certs_write_text(const char *name, const char *text);

/* "a, b" */
const char *certs_list(const char *a, const char *b);

/* Notes of a load: one string, lines "e text\n". */
struct certs_notes {
	struct buf	 text;
};
void	certs_note(char level, const char *text, void *notes);

/* The pair of one file. Fails the test when there is none. */
struct pair *certs_pair(enum certs_key kind, unsigned flags);

#endif
