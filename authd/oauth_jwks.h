/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwks.h: an issuer's public keys (RFC 7517), as JSON, from a file or a
 * token service. No trust but in where it came from.
 */
#ifndef PK_AUTHD_OAUTH_JWKS_H
#define PK_AUTHD_OAUTH_JWKS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/view.h"

/* Services publish two to ten keys of some 500 bytes each. */
#define JWKS_SIZE_MAX		(128 * 1024)
#define JWKS_KEYS_MAX		32
#define JWKS_KID_MAX		256
#define JWKS_RSA_BITS_MIN	2048
#define JWKS_RSA_BITS_MAX	8192

/* What oauth2_algorithms may name: signatures by a private key, nothing else. */
enum jwks_algorithm {
	JWKS_RS256,
	JWKS_RS384,
	JWKS_RS512,
	JWKS_ES256,
	JWKS_ES384,
	JWKS_ALGORITHMS
};
const char *jwks_algorithm_name(enum jwks_algorithm a);
/* As JOSE writes it, case matters. False: none of these. */
bool	jwks_algorithm_find(struct view name, enum jwks_algorithm *a_r);

struct jwks_key {
	char	*kid;		/* NULL: has none */
	unsigned algorithms;	/* bits of enum jwks_algorithm that fit the key and its "alg" */
	EVP_PKEY *key;
};

struct jwks {
	struct jwks_key	keys[JWKS_KEYS_MAX];
	size_t		nkeys;
	size_t		ignored;	/* entries that are no such key */
};

/*
 * Keys for other uses, of other kinds and too small ones are passed over.
 * PK_ESYNTAX, PK_ELIMIT, PK_EFORMAT (no usable key) with why (one line).
 */
int	jwks_parse(struct view text, struct jwks **k_r, struct buf *why);
void	jwks_free(struct jwks **k);
/*
 * The key for a token's kid and algorithm. Without a kid (NULL) the only key
 * that fits. NULL: there is none.
 */
const struct jwks_key *jwks_find(const struct jwks *k, const char *kid, enum jwks_algorithm a);

#endif
