/* SPDX-License-Identifier: ISC */
/*
 * ticket.h: proofs that a user logged in at a worker (lib/ipc/auth.h).
 */
#ifndef PK_AUTHD_TICKET_H
#define PK_AUTHD_TICKET_H

#include <stdint.h>

#include "authd/accounts.h"
#include "ipc/auth.h"

struct tickets;

/*
 * keep_ms: how long mail may be queued. The keys are kept in the accounts
 * database, so that all authd have the same. NULL a: keys of this process
 * alone (tests). NULL with why.
 */
struct tickets *tickets_new(struct accounts *a, uint64_t keep_ms, uint64_t now_ms,
	    struct buf *why);
void	tickets_free(struct tickets **t);
/* Renews the key when it is a day old and takes what others renewed. Call each minute. */
void	tickets_turn(struct tickets *t, uint64_t keep_ms, uint64_t now_ms);
/* now_ms is wall time here and below. */
void	ticket_make(struct tickets *t, uint64_t instance, struct view login, uint64_t now_ms,
	    uint8_t ticket_r[AUTH_TICKET_SIZE]);
/* Did authd give this out, and was it good when the mail came? 0, PK_EPERM, PK_ETEMP. */
int	ticket_check(struct tickets *t, uint64_t instance, struct view login, struct view ticket,
	    uint64_t arrival_ms);

#endif
