/* SPDX-License-Identifier: ISC */
/*
 * outside.h: tables whose answers come from another process or over the
 * network, for a resolver that knows no waiting.
 *
 * A request runs. A key that nobody knows yet is noted and taken for "not
 * found", so that the run goes on and notes what it wants next too; its
 * result is thrown away. When the answers are there the whole request runs
 * again with what is known, and so on until a run wants nothing new. A
 * request keeps what it was answered, so that its runs agree with each other;
 * others may use an answer for OUTSIDE_CACHE_MS. Without a table of this kind
 * a request costs nothing here.
 */
#ifndef LOOKUPD_OUTSIDE_H
#define LOOKUPD_OUTSIDE_H

#include "base/buf.h"
#include "base/view.h"
#include "ipc/ipc.h"

#define OUTSIDE_CACHE_MS	1000

struct outside;
struct outside_question;		/* one key, under way or answered */

struct outside_ops {
	/*
	 * Asks; outside_answered() later, never from inside. spec is
	 * "accounts:users", key at most TABLE_KEY_MAX bytes, no NUL, CR or LF.
	 * A time limit is the asker's.
	 */
	void	(*ask)(void *arg, const char *spec, struct view key, struct outside_question *q);
	/* q is freed before it was answered: outside_free() only. */
	void	(*drop)(void *arg, struct outside_question *q);
	void	*arg;
};

struct outside *outside_new(struct loop *l, const struct outside_ops *ops);
/* Requests that wait are not answered. */
void	outside_free(struct outside **o);

/*
 * Runs fn for a request of ch now, and again as often as it takes; m is kept
 * where that is needed. fn answers unless outside_pending(), and an error of
 * its is one of m's syntax, said in the first run. The return is that of the
 * first run, 0 if others follow.
 */
typedef int (*outside_fn)(void *arg, struct ipc_channel *ch, struct ipc_msg *m);
int	outside_run(struct outside *o, struct ipc_channel *ch, struct ipc_msg *m, outside_fn fn,
	    void *arg);
/* In fn: something is not known yet; throw the result away and return 0. */
bool	outside_pending(const struct outside *o);
/* Its requests are of no interest any more; NULL: anybody's. */
void	outside_forget(struct outside *o, const struct ipc_channel *ch);
/* Nothing answered until now is told to those who ask from now on. */
void	outside_renew(struct outside *o);
size_t	outside_waiting(const struct outside *o);

/*
 * A look-up within fn: 0 with the value appended, PK_ENOENT, PK_ETEMP. Outside
 * of a run only what is known: PK_ETEMP otherwise.
 */
int	outside_get(struct outside *o, struct view spec, struct view key, struct buf *value_r);

/* code: 0 with value, PK_ENOENT, or anything else: it cannot be told now. */
void	outside_answered(struct outside *o, struct outside_question *q, int code,
	    struct view value);
/* The asker's own. */
void	outside_set_call(struct outside_question *q, uint64_t call);
uint64_t outside_call(const struct outside_question *q);
struct outside *outside_of(const struct outside_question *q);
void	*outside_arg(const struct outside *o);		/* ops.arg */

#endif
