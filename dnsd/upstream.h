/* SPDX-License-Identifier: ISC */
/*
 * upstream.h: the resolver library (libunbound) inside our event loop.
 */
#ifndef DNSD_UPSTREAM_H
#define DNSD_UPSTREAM_H

#include "conf/conf.h"
#include "dnsd/answer.h"
#include "sys/loop.h"

struct upstream;
struct upstream_query;

/*
 * Reads resolv.conf and the trust anchors, once, so before confinement;
 * starts the library. Dies when the configuration cannot be brought into
 * force: a validator that was asked for and is not there is no detail.
 */
struct upstream *upstream_new(struct loop *l, const struct conf *conf);
/*
 * Asks. fn is called once, with a packet's answer or a failure, never from
 * inside upstream_ask(); the query is gone after it. name as dnsd_put_name()
 * makes it.
 */
typedef void (*upstream_fn)(struct answer *a, void *arg);
struct upstream_query *upstream_ask(struct upstream *u, const char *name, uint16_t type,
	    upstream_fn fn, void *arg);
/* fn is not called any more. Sets *q to NULL. */
void	upstream_cancel(struct upstream_query **q);
/* Forgets all that the library has cached; queries under way go on. */
void	upstream_forget(struct upstream *u);
bool	upstream_validates(const struct upstream *u);

#endif
