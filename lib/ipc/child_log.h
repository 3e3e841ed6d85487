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
/*
 * In whose name qmgr may speak: it knows what became of a recipient, and who
 * reads logs (pflogsumm, fail2ban) looks for postkeep/smtp and the like. logd
 * takes a voice from nobody else. In an entry of LINES: level | voice << 3.
 */
enum child_log_voice {
	CHILD_LOG_OWN,
	CHILD_LOG_SMTP,
	CHILD_LOG_LMTP,
	CHILD_LOG_MAILBOX,
	CHILD_LOG_BOUNCE,
	CHILD_LOG_ERROR,
	CHILD_LOG_DISCARD,
	CHILD_LOG_VOICES
};
#define CHILD_LOG_LEVEL_BITS	3

/* "smtp"; NULL for CHILD_LOG_OWN and what is no voice. */
const char *child_log_voice_name(unsigned voice);
/* CHILD_LOG_OWN for a name that is none. */
enum child_log_voice child_log_voice(const char *name);
/* log_info() in another's name; from the loop's thread. */
void	child_log_info_as(enum child_log_voice voice, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Closes; lines go to standard error again. */
void	child_log_fini(void);

#endif
