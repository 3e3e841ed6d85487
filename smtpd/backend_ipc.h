/* SPDX-License-Identifier: ISC */
/*
 * backend_ipc.h: the backend that asks lookupd, dnsd and authd.
 */
#ifndef PK_SMTPD_BACKEND_IPC_H
#define PK_SMTPD_BACKEND_IPC_H

#include "ipc/ipc.h"
#include "smtpd/auth_link.h"
#include "smtpd/worker.h"

/* What worker.backend_arg points to. */
struct backend_pools {
	struct ipc_pool	*lookup, *dns;
	struct auth_link *auth;
};

extern const struct backend backend_ipc;

#endif
