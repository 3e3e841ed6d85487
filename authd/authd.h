/* SPDX-License-Identifier: ISC */
/*
 * authd.h: the process: sources, threads, limits, tickets, conversations.
 */
#ifndef PK_AUTHD_AUTHD_H
#define PK_AUTHD_AUTHD_H

#include "authd/source.h"
#include "authd/work.h"
#include "ipc/child.h"
#include "ipc/early.h"

struct accounts;		/* accounts.h: our own database */
struct auth_cache;		/* passwords that were right */
struct auth_limits;		/* failed logins, shared with other authd */
struct tickets;			/* ticket.h */
struct sasl_state;		/* sasl.c's */
struct verify_state;		/* verify.c's */
struct authd_conversations;	/* authd_ipc.c's */

struct authd {
	struct child	*child;
	struct loop	*loop;
	const struct conf *conf;
	struct accounts	*accounts;
	struct source_set *sources;
	struct work_pool *hashes;	/* auth_hash_threads */
	struct work_pool *queries;	/* for sources that block */
	struct auth_cache *cache;
	struct auth_limits *limits;
	struct tickets	*tickets;
	struct sasl_state *sasl;
	struct verify_state *verify;
	struct authd_conversations *conversations;
	struct early_channels early;
	bool		 ready;		/* false again: about to end */
};

/* ---- main.c ---- */

/* Ends in order: what is open is finished, the next one starts with its first privileges. */
void	authd_leave(struct authd *d, const char *why);

/* ---- authd_ipc.c ---- */

void	authd_ipc_init(struct authd *d);
void	authd_ipc_fini(struct authd *d);
/* What siblings ask. fd becomes the channel's. */
void	authd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd);
/* Opens the channels that came too early. */
void	authd_begin(struct authd *d);
/* AUTH_MECHANISMS to every acceptor. */
void	authd_say_mechanisms(struct authd *d);
/* Nobody begins anything here any more. */
void	authd_leave_channels(struct authd *d);
/* Conversations and questions that are open. */
size_t	authd_open(const struct authd *d);

/* ---- admin.c: what administrators ask ---- */

int	authd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
	    struct view verb, struct view args, uint32_t uid);
void	authd_admin_closed(struct child *c, struct ipc_channel *ch);

#endif
