/* SPDX-License-Identifier: ISC */
/*
 * oauth_private.h: what oauth.c, oauth_keys.c and oauth_introspect.c share.
 */
#ifndef PK_AUTHD_OAUTH_PRIVATE_H
#define PK_AUTHD_OAUTH_PRIVATE_H

#include <bsd/sys/queue.h>

#include "authd/oauth.h"
#include "authd/oauth_http.h"
#include "authd/oauth_jwks.h"
#include "authd/oauth_json.h"

/* A kid that we do not know may be a new key; not more often than so. */
#define OAUTH_KEYS_LEAST_MS	(60 * 1000)
/* Keys are fetched anew when they are so old, */
#define OAUTH_KEYS_FRESH_MS	(60 * 60 * 1000)
/* and not used any more when that has failed for so long. */
#define OAUTH_KEYS_STALE_MS	(24 * 60 * 60 * 1000)
/* A token that was active is not asked about again so long. */
#define OAUTH_REMEMBER_MS	(60 * 1000)
#define OAUTH_REMEMBER_MAX	4096
#define OAUTH_ANSWER_MAX	(64 * 1024)

struct oauth_check {
	TAILQ_ENTRY(oauth_check) link;
	struct oauth	*o;
	struct buf	 token;		/* wiped */
	oauth_fn	 fn;
	void		*arg;
	bool		 waits_for_keys;
	struct http_request *request;	/* introspection */
	struct loop_timer timer;
	struct loop_deferred deferred;	/* its beginning, in a turn of its own */
};

struct oauth {
	struct loop	*loop;
	char		*issuer, *audience, *scopes, *claim;
	struct oauth_policy policy;	/* of these */
	unsigned	 algorithms;
	unsigned	 timeout_ms;
	struct http_client *http;	/* NULL: keys are in a file */
	struct http_breaker breaker;
	TAILQ_HEAD(, oauth_check) checks;

	struct jwks	*keys;
	char		*keys_url;	/* NULL: a file, or introspection */
	uint64_t	 keys_got_ms, keys_asked_ms;	/* 0: never */
	struct http_request *keys_request;

	char		*introspection_url;	/* NULL: keys */
	char		*credentials;	/* "id:secret" */
	struct map	*remembered;	/* MAC of the token -> struct remembered */
	unsigned char	 remember_key[32];
};

/* Ends of a check: it is gone then. */
void	oauth_answer(struct oauth_check *c, enum oauth_result result, const char *user,
	    const char *why);
/* The service's failure: log once when the breaker opens. */
void	oauth_service_failed(struct oauth *o, const char *what, const char *why);
void	oauth_service_worked(struct oauth *o, const char *what);

/* oauth_keys.c */
void	oauth_keys_check(struct oauth_check *c);

/* oauth_introspect.c */
void	oauth_introspect_check(struct oauth_check *c);
void	oauth_introspect_forget(struct oauth *o);
/*
 * What an answer says: OAUTH_OK with *c_r, OAUTH_INVALID, OAUTH_SCOPE, or
 * OAUTH_TEMPORARY: it is no answer. why: one line.
 */
enum oauth_result oauth_introspect_judge(struct view answer, const struct oauth_policy *p,
	    uint64_t now_s, struct oauth_claims *c_r, struct buf *why);

#endif
