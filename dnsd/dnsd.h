/* SPDX-License-Identifier: ISC */
/*
 * dnsd.h: the process: cache, overrides, questions under way.
 */
#ifndef DNSD_DNSD_H
#define DNSD_DNSD_H

#include "base/map.h"
#include "dnsd/cache.h"
#include "dnsd/override.h"
#include "dnsd/upstream.h"
#include "ipc/early.h"
#include "ipc/child.h"

enum dnsd_source {
	DNSD_FROM_OVERRIDE,
	DNSD_FROM_CACHE,
	DNSD_FROM_UPSTREAM,
};

struct dnsd_stats {
	uint64_t	questions, overridden, cached, joined, asked;
	uint64_t	answered, negative, failed, bogus, timeouts, refused;
};

struct dnsd {
	struct child	*child;
	struct loop	*loop;
	const struct conf *conf;
	struct cache	*cache;
	struct overrides *overrides;
	struct upstream	*upstream;
	struct map	*queries;	/* "name/type" -> struct query */
	struct dnsd_stats stats;
	struct early_channels early;	/* came before the start was over */
	bool		 ready;
};

/* ---- query.c ---- */

typedef void (*dnsd_answer_fn)(const struct answer *a, enum dnsd_source source, void *arg);
struct dnsd_waiter;

void	dnsd_query_init(struct dnsd *d);
/*
 * Answers from overrides, cache or upstream; name as dnsd_put_name() makes
 * it. fn is called once: at once (then the result is NULL) or later. Identical
 * questions are asked once.
 */
struct dnsd_waiter *dnsd_ask(struct dnsd *d, const char *name, uint16_t type,
	    dnsd_answer_fn fn, void *arg);
/* fn will not be called; sets *w to NULL. */
void	dnsd_forget(struct dnsd_waiter **w);

/* ---- dnsd_ipc.c ---- */

void	dnsd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd);
/* Opens the channels that came too early. */
void	dnsd_begin(struct dnsd *d);

/* ---- admin.c ---- */

int	dnsd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
	    struct view verb, struct view args, uint32_t uid);
void	dnsd_admin_closed(struct child *c, struct ipc_channel *ch);

#endif
