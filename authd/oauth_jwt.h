/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwt.h: is this token signed by one of the issuer's keys?
 */
#ifndef PK_AUTHD_OAUTH_JWT_H
#define PK_AUTHD_OAUTH_JWT_H

#include <jansson.h>

#include "authd/oauth_jwks.h"
#include "base/buf.h"
#include "base/view.h"

/* Tokens of services have 1 to 4 KiB; a SASL message has 12 KiB. */
#define JWT_SIZE_MAX		8192
#define JWT_HEADER_MAX		2048

/*
 * A signed token (JWS compact form) by a key of `keys` and one of `algorithms`
 * (bits of enum jwks_algorithm). 0 with the claims (json_decref); else with
 * why (one line): PK_ESYNTAX, PK_ELIMIT, PK_EPERM (not acceptable, or the
 * signature is wrong), PK_ENOENT (no key of that name: the set may be old).
 */
int	oauth_jwt_verify(struct view token, const struct jwks *keys, unsigned algorithms,
	    json_t **claims_r, struct buf *why);

#endif
