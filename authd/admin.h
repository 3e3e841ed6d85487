/* SPDX-License-Identifier: ISC */
/*
 * admin.h: administrators' requests, among the files that serve them.
 */
#ifndef PK_AUTHD_ADMIN_H
#define PK_AUTHD_ADMIN_H

#include <jansson.h>

#include "authd/accounts.h"
#include "authd/authd.h"

/*
 * A change: it hashes and syncs, so it runs in a thread with nothing but what
 * is here. Everything is owned by the job.
 */
struct change {
	struct accounts	*accounts;
	const json_t	*args;
	char		 scheme[32];	/* auth_hash_scheme */
	json_t		*result;	/* to be filled */
	struct buf	 why;		/* what is wrong, for a person */
	struct buf	 audit;		/* what was changed; empty: nothing */
};

/* PK_E* with why, or 0. */
typedef int (*change_fn)(struct change *c);

/* admin_change.c. NULL: no such verb. */
change_fn change_find(struct view verb);

/*
 * admin_list.c: reads, in the loop. 0 with *result_r (one part of an answer),
 * PK_EUNSUPPORTED when the verb is not one of its own, PK_E* with why.
 */
int	admin_read(struct accounts *a, struct view verb, const json_t *args, json_t **result_r,
	    struct buf *why);

/* Text member of args, or NULL. */
const char *admin_text(const json_t *args, const char *key);

#endif
