/* SPDX-License-Identifier: ISC */
/*
 * qmgr.h: the queue manager as a process: which parts it has, and what they
 * say to one another. Each part has its own file and keeps its own struct.
 */
#ifndef PK_QMGR_QMGR_H
#define PK_QMGR_QMGR_H

#include "conf/conf.h"
#include "ipc/child.h"
#include "ipc/ipc.h"
#include "qmgr/store.h"

/*
 * Messages in memory because they are worked on. More wait in the index, so
 * that memory does not grow with the queue (F10).
 */
#define QMGR_ACTIVE_MAX		20000
/* The deferred fill up to here; the rest is for new mail. */
#define QMGR_ACTIVE_DEFERRED	(QMGR_ACTIVE_MAX / 2)
/*
 * With so many recipients in memory a message with a list waits in the index;
 * those with few go on, so that a list that is slow keeps nobody else out.
 */
#define QMGR_RECIPIENTS_MAX	100000
#define QMGR_RECIPIENTS_DEFERRED	(QMGR_RECIPIENTS_MAX / 2)
#define QMGR_FEW_RECIPIENTS	10

struct writers;
struct jobs;
struct expander;
struct sched;
struct reporter;
struct feeder;
struct compactor;
struct pressure;
struct admin;
struct tickets;
struct future;

struct qmgr {
	struct child	*child;
	struct loop	*loop;
	const struct conf *conf;
	struct store	 store;
	struct ipc_pool	*lookupd, *authd;
	struct writers	*writers;
	struct jobs	*jobs;
	struct expander	*expander;
	struct sched	*sched;
	struct reporter	*reporter;
	struct feeder	*feeder;
	struct compactor *compactor;
	struct pressure	*pressure;
	struct admin	*admin;
	struct tickets	*tickets;
	struct future	*future;
	size_t		 nactive;	/* messages with MESSAGE_ACTIVE */
	uint64_t	 forced_until_ms;	/* monotonic: a retry or flush was asked for */
	bool		 draining;
	uint64_t	 received, finished, sent, deferred, bounced;	/* since start */
};

/* ---- qmgr.c: a message's way ---- */

/* A new or due message: into work if there is room, else it waits in the index. */
void	qmgr_activate(struct qmgr *q, struct message *m);
/* Works on whatever of m is due; m may be gone when this returns. */
void	qmgr_run(struct qmgr *q, struct message *m);
/* m's record cannot be read: held, and said. */
void	qmgr_damaged(struct qmgr *q, struct message *m, int error);
/* r's scope is frozen: it waits for the thaw (admin_change.c). The caller journals it. */
void	qmgr_set_aside(struct qmgr *q, struct recipient *r);
/*
 * Outcome of recipient r of m, already set in r (state, status); writes the log line
 * "to=<>, ... status=what (text)". program: "smtp", for the reader of the log.
 */
void	qmgr_log_outcome(struct qmgr *q, const struct message *m, const struct recipient *r,
	    const char *program, const char *what, uint64_t queued_mono_ms,
	    uint64_t connect_ms, uint64_t send_ms);
/*
 * What a failed or successful recipient means for reports and retries. text:
 * dsn, relay and reply are set in r. These change r's state and count; the
 * caller logs the row (store_log_rows).
 */
void	qmgr_recipient_sent(struct qmgr *q, struct message *m, struct recipient *r, unsigned flags);
void	qmgr_recipient_failed(struct qmgr *q, struct message *m, struct recipient *r);
/* Sets the next attempt, or fails it when its lifetime is over. True if deferred. */
bool	qmgr_recipient_deferred(struct qmgr *q, struct message *m, struct recipient *r,
	    const struct conf *transport);

/* ---- jobs.c: deliverers ---- */

struct sched_job;
struct destination;

void	jobs_init(struct qmgr *q);
void	jobs_fini(struct qmgr *q);
void	jobs_add_deliverer(struct qmgr *q, enum ipc_role role, uint64_t instance,
	    struct ipc_channel *ch);
void	jobs_deliverer_gone(struct qmgr *q, uint64_t instance);
int	jobs_message(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m);
bool	jobs_room(struct qmgr *q, struct destination *d);
void	jobs_deliver(struct qmgr *q, struct sched_job *j);
/*
 * Recipients of m, all in reports of this kind, to a bounce worker with the
 * account in data. False if there is none with room.
 */
bool	jobs_report(struct qmgr *q, struct message *m, unsigned kind,
	    struct recipient **rcpts, size_t n, struct view data);
size_t	jobs_count(const struct qmgr *q);
size_t	jobs_workers(const struct qmgr *q, enum ipc_role role);
/* m leaves memory: its jobs' results are of no interest any more. */
void	jobs_forget(struct qmgr *q, struct message *m);
enum ipc_role jobs_role(unsigned transport_type);

/* Ends the process in order; master starts the next one (queue rebuild). */
void	qmgr_restart(struct qmgr *q);

/* ---- writers.c: processes that hold segments ---- */

void	writers_init(struct qmgr *q);
void	writers_fini(struct qmgr *q);
/* Instance numbers only, before recovery; then the channels. */
void	writers_add(struct qmgr *q, enum ipc_role role, uint64_t instance, struct ipc_channel *ch);
int	writers_message(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m);
void	writers_gone(struct qmgr *q, uint64_t instance);
/* Reads what is durable in this writer's segments now (a result may rely on it). */
void	writers_scan_now(struct qmgr *q);
/* Level and text to every smtpd. */
void	writers_pressure(struct qmgr *q, unsigned level, const char *text);

/* ---- expand.c: aliases and routes ---- */

void	expander_init(struct qmgr *q);
void	expander_fini(struct qmgr *q);
/* Asks for every recipient without a route; qmgr_run() is called again when all are known. */
void	expander_start(struct qmgr *q, struct message *m);
/* What was answered until now is not used for what comes. */
void	expander_renew(struct qmgr *q);

/* ---- ticket.c: the login that a message states ---- */

void	tickets_init(struct qmgr *q);
void	tickets_fini(struct qmgr *q);
/*
 * True: nothing is done with m before authd has answered (then
 * qmgr_activate() is called again) or before m->due_ms; settle it. False: on
 * with it; it may be on hold by now.
 */
bool	tickets_wait(struct qmgr *q, struct message *m);

/* ---- future.c: mail that waits for a wall time ---- */

void	future_init(struct qmgr *q);
void	future_fini(struct qmgr *q);
/* Follows a step of the clock, which is at wall_ms now. */
void	future_look(struct qmgr *q, uint64_t wall_ms);

/* ---- feed.c: from the index into memory ---- */

void	feeder_init(struct qmgr *q);
void	feeder_fini(struct qmgr *q);
/* Something became due or room became free: look soon. */
void	feeder_kick(struct qmgr *q);
/* Start over: routes that were skipped may be open. */
void	feeder_restart(struct qmgr *q);

/* ---- report.c: jobs for bounce ---- */

void	reporter_init(struct qmgr *q);
void	reporter_fini(struct qmgr *q);
/* Sends the reports of m that are due. */
void	reporter_run(struct qmgr *q, struct message *m);

/* ---- retry.c ---- */

/* Wait before attempt number `attempts` + 1, with jitter derived from seed. */
uint64_t retry_wait_ms(const struct conf *c, unsigned attempts, uint64_t seed);
uint64_t retry_lifetime_ms(const struct conf *global, const struct conf *transport, bool bounce);

/* ---- pressure.c ---- */

void	pressure_init(struct qmgr *q);
void	pressure_fini(struct qmgr *q);
unsigned pressure_level(const struct qmgr *q);
void	pressure_tell(struct qmgr *q);

/* ---- compact.c ---- */

void	compactor_init(struct qmgr *q);
void	compactor_fini(struct qmgr *q);

/* ---- admin.c ---- */

void	admin_init(struct qmgr *q);
void	admin_fini(struct qmgr *q);
int	admin_request(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m,
	    struct view verb, struct view args, uint32_t uid);
void	admin_closed(struct qmgr *q, struct ipc_channel *ch);

#endif
