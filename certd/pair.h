/* SPDX-License-Identifier: ISC */
/*
 * pair.h: a private key and its certificate chain, checked before use.
 */
#ifndef CERTD_PAIR_H
#define CERTD_PAIR_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/view.h"
#include "ipc/tls_key.h"

#define PAIR_FINGERPRINT_SIZE	32

struct pair {
	unsigned	 refs;
	uint64_t	 number;	/* KEY of CERTIFICATE and KEY_SIGN; 0: not yet said */
	enum tls_key_kind kind;
	int		 curve;		/* TLS_KEY_EC: NID of its group */
	unsigned	 flags;		/* CERT_SERVER or CERT_CLIENT: what the key may sign */
	EVP_PKEY	*key;
	X509		*leaf;
	struct view	 chain[TLS_CHAIN_MAX];	/* DER, the leaf first; owned */
	unsigned	 nchain;
	char		*files;		/* where it comes from: "/a.pem", "/a.pem, /b.pem" */
	uint8_t		 fingerprint[PAIR_FINGERPRINT_SIZE];	/* SHA-256 of the leaf */
	int64_t		 not_before_s, not_after_s;	/* wall time, seconds since 1970 */
	/* expiry.c: what was said already. */
	unsigned	 warned;
	uint64_t	 expired_said_ms;	/* monotonic; 0: never */
};

struct pair *pair_ref(struct pair *p);
/* Wipes the key with the last reference. Sets *p to NULL. */
void	pair_unref(struct pair **p);
/* Same key, same chain, same use: a load that changed nothing. */
bool	pair_same(const struct pair *a, const struct pair *b);

/* One line a thing that is wrong, or worth a look: level 'e' or 'w'. */
typedef void (*pair_note_fn)(char level, const char *text, void *arg);

#define PAIR_LOAD_MAX	TLS_KEY_KINDS	/* one a kind of key */

struct pair_load {
	struct pair	*pairs[TLS_KEY_KINDS];	/* by kind; NULL: none */
	unsigned	 errors;
};

/*
 * Reads the PEM files of `files` (as smtpd_tls_chain_files writes them) as one
 * text: each key with the certificates behind it, or in front of it. What is
 * wrong goes to note, one line a file or pair; the good pairs are in load_r,
 * with a reference each. flags: CERT_SERVER or CERT_CLIENT.
 */
void	pair_load_files(struct view files, unsigned flags, struct pair_load *load_r,
	    pair_note_fn note, void *arg);
void	pair_load_fini(struct pair_load *load);

/* "RSA 2048", "EC P-256", "Ed25519". */
const char *pair_key_text(const struct pair *p);
/* True if the leaf's names cover a server name ("*.example.com" too). */
bool	pair_covers(const struct pair *p, const char *name);
/* "2027-02-18" */
void	pair_put_date(struct buf *b, int64_t when_s);

#endif
