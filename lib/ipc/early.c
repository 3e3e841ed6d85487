/* SPDX-License-Identifier: ISC */
/*
 * early.c: channels that came before a role could serve them. Run by roles
 * whose start takes a while (dnsd, lookupd); what waits is in the kernel.
 */
#include "ipc/early.h"

#include "base/mem.h"

bool
early_keep(struct early_channels *e, enum ipc_role peer, uint64_t instance, int fd)
{
	if (e->over)
		return false;
	e->kept = xreallocarray(e->kept, e->nkept + 1, sizeof(*e->kept));
	e->kept[e->nkept++] = (struct early_channel){ peer, instance, fd };
	return true;
}

void
early_open(struct early_channels *e, void (*open)(void *arg, const struct early_channel *ch),
    void *arg)
{
	size_t i;

	e->over = true;
	for (i = 0; i < e->nkept; i++)
		open(arg, &e->kept[i]);
	xfree(e->kept);
	e->kept = NULL;
	e->nkept = 0;
}
