/* SPDX-License-Identifier: ISC */
/*
 * child.h: the same visible start for every role, and its life with master.
 *
 * main() of a role: child_begin() reads what master sends over descriptor
 * CHILD_CONTROL_FD up to START (configuration, log channel, statistics page,
 * channels, listeners); the role opens what it needs with its first
 * privileges in `prepare`; child_confine() gives privileges up and reports
 * READY; child_run() turns the loop until DRAIN is done.
 */
#ifndef PK_IPC_CHILD_H
#define PK_IPC_CHILD_H

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "sys/loop.h"
#include "sys/sandbox.h"

#define CHILD_CONTROL_FD	3
/* A lock that master set before the start; held until the process ends, never used. */
#define CHILD_LOCK_FD		4

/* READY's FLAGS: what confinement came to be in force. */
enum child_confinement {
	CHILD_CONFINED_CHROOT	= 1 << 0,
	CHILD_CONFINED_USER	= 1 << 1,
	CHILD_CONFINED_CAPS	= 1 << 2,
	CHILD_CONFINED_NNP	= 1 << 3,	/* no_new_privs */
	CHILD_CONFINED_LANDLOCK	= 1 << 4,
	CHILD_CONFINED_SECCOMP	= 1 << 5,
};

enum child_listener_class {
	CHILD_LISTENER_MX,		/* port 25: strangers */
	CHILD_LISTENER_SUBMISSION,	/* 587, 465: users */
	CHILD_LISTENER_LOCAL,		/* Unix socket of this machine */
	CHILD_LISTENER_ADMIN,		/* adminctl */
	CHILD_LISTENER_CLASSES
};

struct child;

struct child_ops {
	/* A sibling's channel, also later when one was replaced. fd becomes the callee's. */
	void	(*channel)(struct child *c, enum ipc_role peer, uint64_t instance, int fd);
	void	(*listener)(struct child *c, const char *name, enum child_listener_class class,
		    const char *address, int fd);
	void	(*listener_close)(struct child *c, const char *name);
	/* A new configuration is in force (child_conf()); `old` lives until this returns. */
	void	(*reload)(struct child *c, const struct conf *old);
	/* Finish within grace_ms, then call child_exit(). */
	void	(*drain)(struct child *c, uint64_t grace_ms);
	/*
	 * A request on the admin socket after the peer's credentials were
	 * checked (uid 0 or a member of admin_group). `args` is JSON text.
	 * Answer with ipc_reply()/ADMIN_ANSWER, now or later.
	 */
	int	(*admin)(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
		    struct view verb, struct view args, uint32_t uid);
	/* An admin channel is about to be freed: forget it (answers owed later). */
	void	(*admin_closed)(struct child *c, struct ipc_channel *ch);
	/*
	 * A message of the role's own from master (LOG_REOPEN) or from an
	 * administrator (TABLE_GET): ipc_channel_peer(ch) tells. As
	 * ipc_channel_ops.message.
	 */
	int	(*message)(struct child *c, struct ipc_channel *ch, struct ipc_msg *m);
};

struct child_spec {
	enum ipc_role	 role;		/* none: argv[1] names it (deliver) */
	const struct child_ops *ops;	/* unused entries NULL */
	void		*arg;
};

/*
 * Called first in main(). master starts `program ROLE`. Receives everything
 * up to START, installs the log sink, maps the statistics page. ops->channel
 * and ops->listener are called from here for what came before START. Exits
 * when master is not there.
 */
struct child *child_begin(int argc, char **argv, const struct child_spec *spec);
struct loop *child_loop(struct child *c);
const struct conf *child_conf(const struct child *c);
void	*child_arg(const struct child *c);
void	child_set_arg(struct child *c, void *arg);
enum ipc_role child_role(const struct child *c);
/* The channel to master, for what a role says to it by itself. */
struct ipc_channel *child_control(const struct child *c);
uint64_t child_instance(const struct child *c);
/* Within ops->channel: the peer's pid as master knows it, 0 if it did not say. */
pid_t child_channel_pid(const struct child *c);
/* True when not started by root: confinement is partial. */
bool	child_development(const struct child *c);
/*
 * Fills user and development (and, for who names neither chroot_dir nor
 * paths, the empty directory as chroot_dir), enters the sandbox, sends READY.
 * Fatal on failure as root.
 */
void	child_confine(struct child *c, struct sandbox_spec *spec);
/* Returns the exit status after child_exit() or the loss of master. */
int	child_run(struct child *c);
void	child_exit(struct child *c, int status);
/* A line for the audit trail: who (uid) changed what. Logged at info as "audit: uid=.. ..." */
void	child_audit(struct child *c, uint32_t uid, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Peer uid of an admin channel. */
uint32_t child_admin_uid(const struct ipc_channel *ch);

#endif
