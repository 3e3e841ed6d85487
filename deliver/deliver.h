/* SPDX-License-Identifier: ISC */
/*
 * deliver.h: what the four roles of `deliver` have in common: the channel to
 * qmgr, the table of jobs, the way to an end. A role is a table of functions.
 */
#ifndef PK_DELIVER_DELIVER_H
#define PK_DELIVER_DELIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "deliver/job.h"
#include "ipc/child.h"
#include "ipc/ipc.h"
#include "sys/loop.h"

struct deliver_role {
	enum ipc_role	role;
	/* Still with the first privileges: open what needs them. */
	void	(*prepare)(struct deliver *d);
	/* Says what it needs of the kernel. */
	void	(*confine)(struct deliver *d, struct sandbox_spec *spec);
	/* Confined: make threads and tables. */
	void	(*start)(struct deliver *d);
	/* A complete job: the role's until job_finish(). */
	void	(*job)(struct deliver *d, struct job *j);
	/* Put it back if it is not begun; else nothing. */
	void	(*cancel)(struct deliver *d, struct job *j);
	/* Others are NULL when not needed. */
	void	(*reload)(struct deliver *d);
	void	(*channel)(struct deliver *d, enum ipc_role peer, uint64_t instance, int fd);
	/* A message of qmgr's that is no JOB. */
	int	(*message)(struct deliver *d, struct ipc_msg *m);
	/* A new qmgr is there; it is gone. */
	void	(*connected)(struct deliver *d);
	void	(*disconnected)(struct deliver *d);
	/* The grace is over: give up what goes on. */
	void	(*stop)(struct deliver *d);
	/* Nothing is left to do; call deliver_leave(). NULL: leaves at once. */
	void	(*finish)(struct deliver *d);
};

extern const struct deliver_role deliver_role_smtp;
extern const struct deliver_role deliver_role_lmtp;
extern const struct deliver_role deliver_role_mailbox;
extern const struct deliver_role deliver_role_bounce;

struct deliver {
	const struct deliver_role *role;
	struct child	*child;		/* NULL in tests */
	const struct conf *conf;	/* in force */
	struct loop	*loop;
	struct ipc_channel *qmgr;	/* NULL between two qmgrs */
	struct map	*jobs;		/* by number, of the present qmgr */
	struct job_list	all;
	size_t		njobs;
	bool		draining;
	bool		leaving;
	struct loop_timer grace;
	struct loop_deferred check_end;
	void		*ctx;		/* the role's */
};

/* main() of a role. Returns the exit status. */
int	deliver_main(const struct deliver_role *role, int argc, char **argv);
/* What deliver_main() begins with (tests run a role without master). */
void	deliver_init(struct deliver *d, const struct deliver_role *role);
/* Frees what deliver_init() made; no job may be left. Tests. */
void	deliver_fini(struct deliver *d);
/* A channel to (a new) qmgr. fd becomes the deliverer's. */
void	deliver_attach(struct deliver *d, uint64_t instance, int fd);
const struct conf *deliver_conf(const struct deliver *d);
/* Parameters of a transport (conf_scope). */
const struct conf *deliver_transport_conf(const struct deliver *d, struct view transport);
/* To qmgr, or nowhere when there is none. Consumes o. */
void	deliver_send(struct deliver *d, struct ipc_out *o);
/* The job leaves the table (job_finish calls it). */
void	deliver_forget(struct deliver *d, struct job *j);
void	deliver_count(struct deliver *d, enum job_result what);
/* Ends the process when the loop comes round. */
void	deliver_leave(struct deliver *d);

#endif
