/* SPDX-License-Identifier: ISC */
/*
 * early.h: channels that master sends before a role's start is over, kept
 * until the role can serve them (tables read, resolver made, confined).
 */
#ifndef PK_IPC_EARLY_H
#define PK_IPC_EARLY_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/ipc.h"

struct early_channel {
	enum ipc_role	 peer;
	uint64_t	 instance;
	int		 fd;
};

struct early_channels {
	struct early_channel *kept;
	size_t		 nkept;
	bool		 over;		/* the start is over: nothing is kept any more */
};

/* True if the channel was kept; false: serve it now. */
bool	early_keep(struct early_channels *e, enum ipc_role peer, uint64_t instance, int fd);
/* The start is over: open() for each kept one, in their order. */
void	early_open(struct early_channels *e,
	    void (*open)(void *arg, const struct early_channel *ch), void *arg);

#endif
