/* SPDX-License-Identifier: ISC */
/*
 * backend_ipc.h: the backend that asks lookupd and dnsd.
 */
#ifndef PK_SMTPD_BACKEND_IPC_H
#define PK_SMTPD_BACKEND_IPC_H

#include "ipc/ipc.h"
#include "smtpd/worker.h"

/* What worker.backend_arg points to. */
struct backend_pools {
	struct ipc_pool	*lookup, *dns;
};

extern const struct backend backend_ipc;

#endif
