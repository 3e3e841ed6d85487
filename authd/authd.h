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

#define AUTHD_SOURCES_MAX	8

struct authd {
	struct child	*child;
	struct loop	*loop;
	const struct conf *conf;
	struct accounts	*accounts;
	struct source	*sources[AUTHD_SOURCES_MAX];	/* in the order of auth_sources */
	unsigned	 nsources;
	struct work_pool *hashes;	/* auth_hash_threads */
	struct work_pool *queries;	/* for sources that block */
	struct auth_cache *cache;
	struct auth_limits *limits;
	struct tickets	*tickets;
	struct sasl_state *sasl;
	struct early_channels early;
	bool		 ready;
};

#endif
