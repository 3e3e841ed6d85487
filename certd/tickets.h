/* SPDX-License-Identifier: ISC */
/*
 * tickets.h: the secrets that seal session tickets (RFC 5077, RFC 8446 4.6.1).
 */
#ifndef CERTD_TICKETS_H
#define CERTD_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "ipc/tls_key.h"

struct ticket_secret {
	uint8_t		bytes[TICKET_SECRET_SIZE];
	/* Both in the clock of `now_ms`; before the boot they are below zero. */
	int64_t		made_ms;
	int64_t		retired_ms;	/* when a newer one took over; the first: 0 */
};

struct tickets {
	struct ticket_secret secrets[TICKET_SECRETS_MAX];	/* the newest first */
	unsigned	 count;
	int		 fd;		/* where they outlive this process; -1: nowhere */
};

/*
 * Takes the secrets over from fd (kept; -1: none) as far as they are good, or
 * makes the first one. now_ms is monotonic, wall_ms is what the file is dated
 * by: a clock that was set back or far ahead costs sessions at most.
 */
void	tickets_init(struct tickets *t, int fd, uint64_t now_ms, uint64_t wall_ms,
	    uint64_t period_ms, uint64_t life_ms);
void	tickets_fini(struct tickets *t);
/*
 * Renews the first one when it is period_ms old, drops those that retired more
 * than life_ms ago. True if something changed: say it and tickets_save().
 */
bool	tickets_turn(struct tickets *t, uint64_t now_ms, uint64_t period_ms, uint64_t life_ms);
/* A new first one now. */
void	tickets_rotate(struct tickets *t, uint64_t now_ms);
/* 0 or PK_ESYS. */
int	tickets_save(const struct tickets *t, uint64_t now_ms, uint64_t wall_ms);
/* Milliseconds until tickets_turn() has something to do. */
uint64_t tickets_due_ms(const struct tickets *t, uint64_t now_ms, uint64_t period_ms,
	    uint64_t life_ms);

#endif
