/* SPDX-License-Identifier: ISC */
/*
 * token.h: an issuer for tests: keys, their JWKS, tokens with any header.
 */
#ifndef PK_TESTS_AUTHD_TOKEN_H
#define PK_TESTS_AUTHD_TOKEN_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/view.h"

enum token_key { TOKEN_RSA, TOKEN_RSA_OTHER, TOKEN_EC, TOKEN_EC384, TOKEN_KEYS };

void	token_init(void);
void	token_fini(void);
EVP_PKEY *token_key(enum token_key k);
/* {"kty":...} with this kid (NULL: none) and further members ("" or ",\"use\":\"sig\""). */
void	token_put_jwk(struct buf *b, enum token_key k, const char *kid, const char *more);
void	token_put_base64url(struct buf *b, struct view v);
/* "RS256" and so on by key; "HS256" with `secret` as the key; "none". */
void	token_put(struct buf *b, const char *header, const char *claims, const char *how,
	    enum token_key k, struct view secret);

#endif
