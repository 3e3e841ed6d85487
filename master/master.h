/* SPDX-License-Identifier: ISC */
/*
 * master.h: the supervisor's own state and what its files do for each other.
 *
 * A slot is a place for a worker ("smtpd number 2") and lives as long as the
 * configuration wants it; a proc is a process that is or was in it. While a
 * process is being replaced its slot has two.
 */
#ifndef PK_MASTER_MASTER_H
#define PK_MASTER_MASTER_H

#include <sys/types.h>
#include <bsd/sys/queue.h>

#include "conf/conf.h"
#include "ipc/child.h"
#include "ipc/ipc.h"
#include "master/environment.h"
#include "sys/loop.h"
#include "sys/stats.h"

#define MASTER_READY_MS		30000	/* a child that needs longer hangs */
/* A child leaves by itself 5 s after its grace (lib/ipc/child.c); then we help. */
#define MASTER_DRAIN_EXTRA_MS	6000
#define MASTER_BACKOFF_MIN_MS	100
#define MASTER_BACKOFF_MAX_MS	30000
/* Beyond drain_timeout, for the children of a master that died. */
#define MASTER_ALONE_GRACE_MS	15000
#define MASTER_HEALTHY_MS	60000	/* such a life resets the backoff */
#define MASTER_RENEW_MS		1000	/* who ends in order begins anew at once, not oftener */
#define MASTER_LOUD_DEATHS	10
/* At start there is somebody to tell: three deaths are a failed start. */
#define MASTER_START_DEATHS	3
#define MASTER_WORKERS_MAX	64

enum proc_state {
	PROC_STARTING,			/* no READY yet */
	PROC_READY,
	PROC_DRAINING,			/* told to come to an end */
};

struct master;
struct slot;

/* Channels that a process waits for at once; more are forgotten until it is replaced. */
#define PROC_LOST_MAX	16

struct proc {
	struct master	*master;
	struct slot	*slot;
	uint64_t	 instance;
	pid_t		 pid;
	enum proc_state	 state;
	struct ipc_channel *control;	/* NULL: lost, it is about to be reaped */
	int		 fd;		/* our own handle of it, for an upgrade */
	unsigned	 page;		/* of the statistics */
	uint64_t	 started_ms;	/* monotonic */
	uint64_t	 deadline_ms;	/* READY, or the end, by then; 0: none */
	uint64_t	 report;	/* FLAGS of READY */
	bool		 killed;
	struct loop_timer rejoin;	/* makes the channels that it lost anew */
	struct {
		enum ipc_role	role;
		uint64_t	instance;
	}		 lost[PROC_LOST_MAX];
	unsigned	 nlost;
	TAILQ_ENTRY(proc) link;
};

struct slot {
	enum ipc_role	 role;
	unsigned	 index;
	bool		 wanted;	/* false: not started again */
	struct proc	*proc;		/* the one at work or starting */
	struct proc	*old;		/* goes when proc is READY */
	bool		 respawn;	/* exclusive role: start when the old one is gone */
	unsigned	 deaths;	/* quick ones in a row */
	unsigned	 restarts;
	uint64_t	 start_ms;	/* not before; 0: not waiting */
	uint64_t	 renewed_ms;	/* last start after an end in order */
};

struct listener {
	char		*name;
	char		*family;
	char		*address;
	enum child_listener_class class;
	int		 fd;
	bool		 keep;		/* during a reload */
	TAILQ_ENTRY(listener) link;
};
TAILQ_HEAD(listener_list, listener);

struct master {
	struct loop	*loop;
	struct conf	*conf;
	char		*conf_path;
	bool		 foreground;
	bool		 development;
	int		 ready_fd;	/* postkeep start waits there; -1 */
	int		 pid_fd;	/* locked */
	int		 stats_fd;
	int		 limits_fd;	/* sys/client_limits.h; -1: not made yet */
	int		 auth_limits_fd;	/* sys/fail_limits.h; -1: not made yet */
	bool		 pages[STATS_PAGES_MAX];
	uint64_t	 next_instance, instance_limit;
	uint64_t	 started_ms;	/* monotonic; kept over an upgrade */
	TAILQ_HEAD(, proc) procs;
	struct slot	 slots[IPC_ROLES][MASTER_WORKERS_MAX];
	struct listener_list listeners;	/* SMTP */
	struct listener_list admin;	/* admin sockets; address is the role's name */
	bool		 started;	/* everybody was READY once */
	unsigned	 configs_open;	/* CONFIGs of a reload without an answer */
	bool		 stopping;
	unsigned	 stop_phase;
	unsigned	 replace_mask;	/* roles that are still to be replaced */
	unsigned	 replace_now;	/* the one whose turn it is, 0: none */
	pid_t		 upgrade_check;	/* the new binary, asked whether it can go on */
	int		 exit_status;
	struct event	*timer;
};

/* ---- roles.c ---- */
extern const enum ipc_role roles_start_order[];	/* ends with IPC_ROLE_none */
unsigned role_count(const struct conf *c, enum ipc_role role);
/* Only one at a time may have what it works on: the old one goes first. */
bool	role_exclusive(enum ipc_role role);
bool	role_has_admin(enum ipc_role role);
bool	role_talks(enum ipc_role a, enum ipc_role b);
/* Appends to the queue. */
bool	role_writes(enum ipc_role role);
/* The acceptors' pools: which role serves listeners of a class. */
enum ipc_role role_of_class(enum child_listener_class class);
enum child_listener_class role_listener_class(const struct conf *c,
	    const struct conf_listener *cl);
/* Which roles must be replaced when a CONF_RESTART parameter changes. */
#define ROLES_FIXED	(1U << 31)	/* only by stop and start */
unsigned role_mask_of_param(const char *name);

/* ---- instance.c ---- */
/* The next number, never given before on this data_directory. */
uint64_t instance_next(struct master *m);

/* ---- listeners.c ---- */
/* Opens what c wants and m->listeners lacks into `fresh`; false after a complaint. */
bool	listeners_prepare(struct master *m, const struct conf *c, struct listener_list *fresh);
/* Puts prepared listeners in force: children are told. */
void	listeners_commit(struct master *m, struct listener_list *fresh);
bool	listeners_open_admin(struct master *m);
/* All are READY for the first time: smtpd gets its listeners. */
void	listeners_announce(struct master *m);
void	listeners_send(struct master *m, struct proc *p);
void	listeners_close(struct master *m);
void	listeners_remove_files(struct master *m);
struct listener *listener_add(struct listener_list *list, struct view name, struct view family,
	    struct view address, enum child_listener_class class, int fd);

/* ---- proc.c ---- */
/* Starts a process for the slot; NULL when the system gives none. */
struct proc *proc_spawn(struct master *m, struct slot *s);
void	proc_watch(struct master *m, struct proc *p, bool adopted);
/* Gives logd a channel for master's own lines. */
void	proc_join_log(struct proc *logd);
void	proc_drain(struct master *m, struct proc *p, uint64_t grace_ms);
void	proc_kill(struct proc *p);
void	proc_free(struct master *m, struct proc *p);
struct proc *proc_by_pid(struct master *m, pid_t pid);
void	proc_send_config(struct master *m, struct proc *p);
void	proc_send_simple(struct proc *p, enum ipc_type type);
void	proc_send_u64(struct proc *p, enum ipc_type type, enum ipc_field field, uint64_t n);
const char *proc_state_name(const struct proc *p);

/* ---- supervise.c ---- */
void	supervise_begin(struct master *m);
/* Looks what is due now and sets the timer for what is due next. */
void	supervise_turn(struct master *m);
void	supervise_children(struct master *m);	/* SIGCHLD */
void	supervise_replace(struct master *m, unsigned mask);
void	supervise_counts(struct master *m);
void	supervise_stop(struct master *m, uint64_t grace_ms);

/* ---- reload.c ---- */
/* 0, or PK_E* with the reason (what is wrong, file and line) in why. */
int	reload_config(struct master *m, struct buf *why);

/* ---- upgrade.c ---- */
/* Asks the new binary, then becomes it; 0 when that has begun. */
int	upgrade_begin(struct master *m, struct buf *why);
/* The new binary's answer (exit status). Returns only if nothing came of it. */
void	upgrade_checked(struct master *m, int status);

/* ---- state.c ---- */
/* The whole state as text in a memfd, or -1. */
int	state_write(const struct master *m);
/* Fills m from it, watches nothing. PK_EFORMAT and a complaint if it cannot. */
int	state_read(struct master *m, int fd);
/* Every descriptor of the state is kept over exec, or not. */
void	state_keep_handles(const struct master *m, bool keep);

/* ---- masterlog.c ---- */
void	masterlog_init(struct master *m);
/* logd is there (fd: our end of a channel to it) or gone (-1). */
void	masterlog_channel(int fd, uint64_t instance);
void	masterlog_stderr(bool on);

/* ---- admin.c, confinement.c ---- */
void	admin_begin(struct master *m);
/*
 * admin_group is another one: once the reload is done connections are closed
 * and new ones checked against it.
 */
void	admin_group_changed(void);
unsigned admin_pings_open(void);
/* Every process has taken the new configuration: who asked for it is told. */
void	admin_reload_done(struct master *m);
/* What the kernel says of a process, as a JSON object without role. */
struct json_t *confinement_describe(pid_t pid, uint64_t report);

#endif
