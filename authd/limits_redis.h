/* SPDX-License-Identifier: ISC */
/*
 * limits_redis.h: failed logins that several machines count together.
 */
#ifndef PK_AUTHD_LIMITS_REDIS_H
#define PK_AUTHD_LIMITS_REDIS_H

#include "authd/limits.h"
#include "sys/loop.h"

extern const struct limits_remote limits_redis_ops;

/*
 * For auth_limits_set_remote(); before the confinement: reads the password's
 * file and resolves the name. It connects later, by itself. NULL with why.
 */
void	*limits_redis_new(struct loop *l, const struct conf *conf, struct buf *why);

#endif
