/* SPDX-License-Identifier: ISC */
/*
 * certd.h: the process: pairs, tickets, who asks.
 */
#ifndef CERTD_CERTD_H
#define CERTD_CERTD_H

#include <bsd/sys/queue.h>

#include "certd/set.h"
#include "certd/tickets.h"
#include "certd/watch.h"
#include "ipc/child.h"
#include "ipc/early.h"

struct retired;
struct peer;
struct sign_job;
struct signers;

struct certd {
	struct child	*child;
	struct loop	*loop;
	const struct conf *conf;
	struct set	*set;
	struct watch	*watch;
	struct map	*by_number;	/* KEY -> struct pair, also retired ones */
	TAILQ_HEAD(, retired) retired;
	struct tickets	 tickets;
	TAILQ_HEAD(, peer) peers;
	struct map	*reachable;	/* folders that may be read after the confinement */
	struct loop_timer watch_timer, hour_timer, ticket_timer, retired_timer;
	struct signers	*signers;	/* NULL: one core, everything is signed in the loop */
	struct early_channels early;
	bool		 ready;
	bool		 leaving;	/* ends with the last signature that is owed */
};

/* ---- certd.c: loading, and what goes by the clock ---- */

/* Reads what is configured; before the confinement the first time. */
void	certd_load(struct certd *d);
/* The same with a word to everybody when something changed. */
void	certd_load_again(struct certd *d);
/* Timers, and the channels that came too early. */
void	certd_begin(struct certd *d);
void	certd_tickets_init(struct certd *d, int fd);
/* Ends the process when every signature that is owed was given. */
void	certd_leave(struct certd *d);
/* A new secret, said to everybody and kept. */
void	certd_tickets_rotate(struct certd *d);
/* Pairs that are in no set any more sign for those who were told of them. */
struct pair *certd_pair(const struct certd *d, uint64_t number);

/* ---- certd_ipc.c ---- */

void	certd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd);
void	certd_open_early(struct certd *d);
/* The signers' `done`. */
void	certd_job_done(struct sign_job *j);
void	certd_say_set(struct certd *d);
void	certd_say_tickets(struct certd *d);
/* Calls fn with the role's name for each role that has been told of this pair's use. */
void	certd_each_user(const struct certd *d, unsigned flags,
	    void (*fn)(const char *role, void *arg), void *arg);

/* ---- admin.c ---- */

int	certd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
	    struct view verb, struct view args, uint32_t uid);

/* ---- folders.c: what the confinement lets certd read ---- */

/*
 * Adds the folders of every file that conf names to s, and remembers them. With
 * files of others in them, when there are any (read_any).
 */
void	certd_folders_allow(struct certd *d, struct sandbox_spec *s);
/* The first file of conf that lies elsewhere (xmalloc'ed), or NULL. */
char	*certd_folders_beyond(const struct certd *d);

#endif
