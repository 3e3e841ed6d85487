/* SPDX-License-Identifier: ISC */
/*
 * limits.h: who has failed too often, asked before anything is hashed.
 *
 * Counted: a client's network (not a Unix socket's: many people speak through
 * one), an account (by clients that never got in), and
 * the pair of both. A client that once got into an account may go on there
 * whatever strangers do; only its own failures there count against it. The
 * counters are shared by the workers of this machine (sys/fail_limits.h), and
 * by the machines through a remote (Redis) when there is one.
 */
#ifndef PK_AUTHD_LIMITS_H
#define PK_AUTHD_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "sys/fail_limits.h"

struct auth_limits;

enum limits_kind {
	LIMITS_CLIENT = 1,	/* network: "192.0.2.1/32", "2001:db8::/64" */
	LIMITS_ACCOUNT,		/* login */
	LIMITS_PAIR,		/* "network login": failures of one that got in before */
	LIMITS_KNOWN,		/* "network login": a mark, got in before */
	LIMITS_KINDS
};

#define LIMITS_KEY_MAX		(64 + 1 + 320)
/* So long a client is known to an account after its last success. */
#define LIMITS_KNOWN_MS		(30ULL * 86400 * 1000)

/* What other nodes counted, by kind; known: got in at one of them. */
struct limits_counts {
	uint32_t	count[LIMITS_KINDS];
	bool		known;
};

/*
 * The remote's part (limits_redis.c). Everything is asynchronous; one that
 * does not answer within its own short bound calls fn with zeros (and says so
 * once): a dead Redis locks nobody out, the local counters remain.
 */
struct limits_remote {
	/*
	 * Counts of these three keys (NUL-terminated; kinds as above). fn is called
	 * once, never from inside; cancel() instead of it.
	 */
	void	*(*ask)(void *remote, const char *client, const char *account, const char *pair,
		    void (*fn)(const struct limits_counts *c, void *arg), void *arg);
	void	(*cancel)(void *remote, void *question);
	/* One more failure of this key, in a window of unit_ms. */
	void	(*add)(void *remote, enum limits_kind kind, const char *key, uint64_t unit_ms);
	/* This pair got in. */
	void	(*mark)(void *remote, const char *pair, uint64_t keep_ms);
	/* An administrator forgave it. */
	void	(*clear)(void *remote, enum limits_kind kind, const char *key);
	void	(*free)(void *remote);
};

/* fd: master's table, or -1 for one of this process alone. Never NULL. */
struct auth_limits *auth_limits_new(const struct conf *conf, int fd);
void	auth_limits_free(struct auth_limits **l);
/* conf is borrowed until the next call. */
void	auth_limits_configure(struct auth_limits *l, const struct conf *conf);
/* master's table came later than the start, or anew. */
void	auth_limits_share(struct auth_limits *l, int fd);
/* NULL: none. ops->free(remote) is called when it is replaced and at the end. */
void	auth_limits_set_remote(struct auth_limits *l, const struct limits_remote *ops,
	    void *remote);

/* The client's network as text: one IPv4 or IPv6 network by the prefix parameters, or "local". */
void	auth_limits_client(const struct auth_limits *l, const char *address, struct buf *b);

typedef void (*limits_fn)(bool limited, void *arg);
struct limits_question;
/*
 * May this client try this account? NULL: *limited_r is the answer. Otherwise
 * fn is called later, once.
 */
struct limits_question *auth_limits_ask(struct auth_limits *l, const char *address,
	    const char *login, bool *limited_r, limits_fn fn, void *arg);
void	auth_limits_forget(struct limits_question **q);

void	auth_limits_failure(struct auth_limits *l, const char *address, const char *login);
void	auth_limits_success(struct auth_limits *l, const char *address, const char *login);

/* For the administrator: all but LIMITS_KNOWN. */
unsigned auth_limits_each(struct auth_limits *l, enum limits_kind kind, fail_limits_fn fn,
	    void *arg);
/*
 * A network or address, a login, or a pair as it is listed; the first two
 * with all pairs that they are one half of. False: nothing was counted there.
 */
bool	auth_limits_clear(struct auth_limits *l, struct view name);

#endif
