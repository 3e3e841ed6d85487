/* SPDX-License-Identifier: ISC */
/*
 * verify.h: is this the user? One answer for sources, hashes and limits.
 *
 * Asynchronous: sources that block and hashes run in threads. Limits a client
 * and an account are asked first; a success is remembered for auth_cache_ttl
 * as a MAC of user and password under a key of this process. Unknown users,
 * disabled ones and wrong passwords take the same time and get the same
 * answer: both hash, and auth_failure_delay is authd_ipc.c's, for whatever
 * mechanism failed.
 */
#ifndef PK_AUTHD_VERIFY_H
#define PK_AUTHD_VERIFY_H

#include "authd/source.h"
#include "base/view.h"

struct authd;
struct verify;

/* Who asks, for limits and the log. Copied. */
struct verify_client {
	const char	*address;	/* IP address or "local" */
	const char	*listener;
	unsigned	 service;	/* enum source_service, one */
};

enum verify_result {
	VERIFY_OK,
	VERIFY_WRONG,		/* unknown, disabled, wrong */
	VERIFY_LIMITED,		/* too many failures: answered as temporary */
	VERIFY_TEMPORARY,	/* a source or the threads cannot tell now */
};

/* login: canonical, or "" unless VERIFY_OK. Called once, never from inside. */
typedef void (*verify_fn)(enum verify_result result, const char *login, void *arg);

/* PLAIN, LOGIN: user and password. authzid must be empty or the same user. */
struct verify *verify_password(struct authd *d, const struct verify_client *c,
	    struct view user, struct view password, verify_fn fn, void *arg);
/*
 * The same for a password of which there is another form: right if either is,
 * and one failure if neither is. An empty `other` is none.
 */
struct verify *verify_password_forms(struct authd *d, const struct verify_client *c,
	    struct view user, struct view password, struct view other, verify_fn fn, void *arg);
/*
 * Mechanisms that prove the user themselves (SCRAM, OAUTHBEARER, EXTERNAL):
 * finds the user; u is valid during the call only, and has nothing but a login
 * unless VERIFY_OK. Whoever is told VERIFY_WRONG goes on with a made-up
 * verifier (RFC 5802: no enumeration) and fails at the end.
 */
typedef void (*verify_user_fn)(enum verify_result result, const struct source_user *u,
	    void *arg);
struct verify *verify_find(struct authd *d, const struct verify_client *c,
	    struct view user, verify_user_fn fn, void *arg);
/* fn will not be called. */
void	verify_cancel(struct verify **v);
/*
 * A mechanism that proves the user itself came to its end: counts for limits,
 * statistics and the log. Not after verify_password(), which does it.
 */
void	verify_report(struct authd *d, const struct verify_client *c, const char *user,
	    bool success);
void	verify_init(struct authd *d);
void	verify_fini(struct authd *d);
/*
 * Who just logged in with the password that hash number `matched` is of: that
 * hash in the scheme of today and the SCRAM verifiers that are missing, where
 * the source can be written.
 */
void	verify_upgrade(struct authd *d, struct source_set *set, struct source *source,
	    const struct source_user *user, size_t matched, struct view password);
/* user or user@domain as clients write it, to the canonical form; PK_ESYNTAX, PK_ELIMIT. */
int	verify_canonical(struct authd *d, struct view user, struct buf *login_r);

#endif
