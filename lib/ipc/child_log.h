/* SPDX-License-Identifier: ISC */
/*
 * child_log.h: a child's log lines on their way to logd, one packet a turn.
 */
#ifndef PK_IPC_CHILD_LOG_H
#define PK_IPC_CHILD_LOG_H

#include "ipc/ipc.h"

/* Becomes the log sink and the last flush of this process. */
void	child_log_init(struct loop *l, enum ipc_role self);
/* A channel to logd (the old one, if any, is closed); fd becomes ours. */
void	child_log_channel(int fd, uint64_t instance);
/* Hands out what there is; without logd it goes to standard error. */
void	child_log_flush(void);
/* Closes; lines go to standard error again. */
void	child_log_fini(void);

#endif
