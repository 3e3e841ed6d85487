/* SPDX-License-Identifier: ISC */
/*
 * auth_link.h: the channels to authd, and the conversations on them.
 */
#ifndef PK_SMTPD_AUTH_LINK_H
#define PK_SMTPD_AUTH_LINK_H

#include "ipc/ipc.h"
#include "smtpd/auth.h"
#include "sys/loop.h"

struct auth_link;

/* What authd says it can do goes into *mechanisms, which outlives the link. */
struct auth_link *auth_link_new(struct loop *l, enum ipc_role self,
	    struct auth_mechanisms *mechanisms);
void	auth_link_free(struct auth_link **l);
/* One more authd; fd becomes ours. */
void	auth_link_channel(struct auth_link *l, int fd, uint64_t instance);

/* As backend.auth_begin and its like. */
struct auth_conversation *auth_link_begin(struct auth_link *l, const struct auth_question *q,
	    auth_step_fn fn, void *arg);
void	auth_link_more(struct auth_link *l, struct auth_conversation *c, struct view response);
void	auth_link_cancel(struct auth_link *l, struct auth_conversation **c);

#endif
