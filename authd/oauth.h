/* SPDX-License-Identifier: ISC */
/*
 * oauth.h: whose token is this? By the issuer's keys (oauth2_jwks) or by
 * asking the issuer (oauth2_introspection_url, RFC 7662).
 */
#ifndef PK_AUTHD_OAUTH_H
#define PK_AUTHD_OAUTH_H

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "sys/loop.h"
#include "sys/sandbox.h"

/* A token in a SASL message. */
#define OAUTH_TOKEN_MAX		8192

struct oauth;
struct oauth_check;

enum oauth_result {
	OAUTH_OK,
	OAUTH_INVALID,
	OAUTH_SCOPE,		/* right, but for something else */
	OAUTH_TEMPORARY,	/* the service cannot tell now, or the keys are not there */
};

/*
 * user: what the claim says, "" unless OAUTH_OK: nobody is known to have that
 * login. why: one line for the log, with words of strangers.
 */
typedef void (*oauth_fn)(enum oauth_result result, const char *user, const char *why, void *arg);

/*
 * Before the confinement, and at a reload: reads the files that conf names.
 * PK_E* with why (one line). Threads begin with the first question.
 */
int	oauth_new(struct loop *l, const struct conf *conf, struct oauth **o_r, struct buf *why);
/* Open checks are answered OAUTH_TEMPORARY before it returns. */
void	oauth_free(struct oauth **o);
/* Called once, never from inside, within auth_source_timeout and two seconds. */
struct oauth_check *oauth_check_new(struct oauth *o, struct view token, oauth_fn fn, void *arg);
/* fn will not be called. */
void	oauth_check_cancel(struct oauth_check **c);
/* What confinement must leave open. */
void	oauth_needs(const struct conf *conf, struct sandbox_spec *spec);

#endif
