/* SPDX-License-Identifier: ISC */
/*
 * lookupd.h: the process: its resolver and who asks it.
 */
#ifndef LOOKUPD_LOOKUPD_H
#define LOOKUPD_LOOKUPD_H

#include "ipc/early.h"
#include "ipc/child.h"
#include "lookupd/outside.h"
#include "lookupd/resolver.h"

/* A channel that came before the tables were open. */
struct lookupd {
	struct child		*child;
	struct tables		*tables;
	struct resolver		*resolver;
	struct resolver_own	 own;
	struct outside		*outside;
	struct ipc_pool		*authd;
	uint64_t		 accounts_said_ms;	/* it does not answer: logged */
	uint64_t		 requests;
	struct ipc_channel	**channels;	/* of siblings */
	size_t			 nchannels;
	struct early_channels early;	/* came before the start was over */
	bool			 ready;		/* false again: about to end */
};

/* Opens tables and lists of the configuration in force; what was open is closed. */
void	lookupd_load(struct lookupd *d);

/* What siblings ask (lookupd_ipc.c). fd becomes the channel's. */
void	lookupd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd);
/* Opens the channels that came too early. */
void	lookupd_begin(struct lookupd *d);
/* Answers nobody any more, and tells who asks. */
void	lookupd_leave(struct lookupd *d);
/* Tables that authd answers (accounts.c). */
struct outside *lookupd_accounts(struct lookupd *d);
/* What administrators ask (admin.c). */
int	lookupd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
	    struct view verb, struct view args, uint32_t uid);
int	lookupd_admin_message(struct child *c, struct ipc_channel *ch, struct ipc_msg *m);
void	lookupd_admin_closed(struct child *c, struct ipc_channel *ch);

/* This machine's addresses by inet_interfaces (own.c); before confinement. */
void	lookupd_own_load(struct resolver_own *own, const char *inet_interfaces);

#endif
