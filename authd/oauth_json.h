/* SPDX-License-Identifier: ISC */
/*
 * oauth_json.h: JSON and base64url of strangers, and what a set of claims must
 * say (RFC 7519, RFC 7662).
 */
#ifndef PK_AUTHD_OAUTH_JSON_H
#define PK_AUTHD_OAUTH_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* Clocks of two machines differ. */
#define OAUTH_LEEWAY_S		60
/* Nothing that we read nests deeper than a key in an array in an object. */
#define OAUTH_DEPTH_MAX		16

/* base64url without padding (RFC 7515), strict. PK_ESYNTAX, PK_ELIMIT. */
int	base64url_decode(struct buf *b, struct view text);

/*
 * One object, at most max bytes, no name twice, no NUL in strings, at most
 * OAUTH_DEPTH_MAX deep. PK_ELIMIT, PK_ESYNTAX with why (may be NULL).
 */
int	oauth_json_parse(struct view text, size_t max, json_t **o_r, struct buf *why);

/* What is asked of claims. Empty strings: not asked. */
struct oauth_policy {
	const char	*issuer;
	const char	*audience;
	const char	*scopes;	/* list: all must be there */
	const char	*claim;		/* with the user's name */
	bool		 strict;	/* a JWT: exp, iss, aud must be there */
};

struct oauth_claims {
	char		*user;		/* as the claim says */
	uint64_t	 expires_s;	/* wall clock; UINT64_MAX: does not say */
};

/*
 * 0 with *c_r (oauth_claims_fini() it), PK_EPERM with why, or PK_ENOENT: right,
 * but without the scope.
 */
int	oauth_claims_check(const json_t *claims, const struct oauth_policy *p, uint64_t now_s,
	    struct oauth_claims *c_r, struct buf *why);
void	oauth_claims_fini(struct oauth_claims *c);

#endif
