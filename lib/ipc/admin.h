/* SPDX-License-Identifier: ISC */
/*
 * admin.h: the listening end of an admin socket (adminctl).
 *
 * The socket is AF_UNIX SOCK_SEQPACKET, made by master. A peer is let in
 * when the kernel says that it is root, a member of the admin group, or (in
 * development mode) the user that runs the suite; anybody else gets PK_EPERM
 * as the answer to the first request and is closed. child.c uses this for the roles; master, who
 * has no child.c, uses it for itself.
 */
#ifndef PK_IPC_ADMIN_H
#define PK_IPC_ADMIN_H

#include <sys/types.h>

#include "ipc/ipc.h"

#define ADMIN_NO_GROUP	((gid_t)-1)

struct admin_listener;

struct admin_ops {
	/*
	 * ADMIN. Answer with ipc_reply()/ADMIN_ANSWER, now, or later until
	 * `closed` has been called for ch. An error closes ch.
	 */
	int	(*request)(struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
		    struct view args, uint32_t uid, void *arg);
	/* Any other message that adminctl may say to this role; may be NULL. */
	int	(*message)(struct ipc_channel *ch, struct ipc_msg *m, void *arg);
	/* ch is about to be freed: forget it; may be NULL. */
	void	(*closed)(struct ipc_channel *ch, void *arg);
};

/*
 * owner: let in beside root; 0 but in development mode. gid: of admin_group,
 * or ADMIN_NO_GROUP. fd becomes the listener's.
 */
struct admin_listener *admin_listener_new(struct loop *l, int fd, enum ipc_role self,
	    uid_t owner, gid_t gid, const struct admin_ops *ops, void *arg);
/* Closes its connections too (`closed` is called for each). */
void	admin_listener_free(struct admin_listener **al);
/* No new connections; those there are go on. */
void	admin_listener_stop(struct admin_listener *al);
/* The peer's uid, as the kernel said it when the connection was made. */
uint32_t admin_uid(const struct ipc_channel *ch);
/* Group id by name, ADMIN_NO_GROUP if there is none. Before chroot. */
gid_t	admin_group_id(const char *name);

#endif
