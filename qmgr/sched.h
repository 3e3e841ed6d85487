/* SPDX-License-Identifier: ISC */
/*
 * sched.h: which recipients are delivered next, and by whom.
 *
 * A destination is a route (transport and next hop) with work or memory of
 * trouble. Per destination: a concurrency window that grows with success and
 * shrinks with failure; five priority classes with weights, so that none
 * starves; in a class, senders take turns, so that one mailing delays nobody.
 * Destinations of a transport that may go take turns likewise. Every step is
 * O(1), but for timers, which are O(log n).
 *
 * The scheduler knows no channels: it hands jobs to `ops`, so that tests can
 * be the deliverer.
 */
#ifndef PK_QMGR_SCHED_H
#define PK_QMGR_SCHED_H

#include <stdbool.h>
#include <stdint.h>
#include <bsd/sys/queue.h>

#include "base/heap.h"
#include "base/map.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "qmgr/message.h"
#include "sys/loop.h"

#define SCHED_CLASSES	5

TAILQ_HEAD(recipient_list, recipient);

/* The recipients of one message that go to one destination. */
struct sched_entry {
	struct message	*m;
	struct destination *dest;
	struct sched_group *group;
	struct recipient_list rcpts;
	uint32_t	nrcpts;
	uint64_t	queued_ms;
	TAILQ_ENTRY(sched_entry) link;
};

/* One sender's entries in one class of one destination. */
struct sched_group {
	struct destination *dest;
	struct sender	*sender;
	unsigned	 class;
	uint64_t	 key;
	TAILQ_HEAD(, sched_entry) entries;
	TAILQ_ENTRY(sched_group) link;
};
TAILQ_HEAD(sched_groups, sched_group);

enum transport_type {
	TRANSPORT_SMTP,
	TRANSPORT_LMTP,
	TRANSPORT_MAILBOX,
	TRANSPORT_BOUNCE,
	TRANSPORT_DISCARD,	/* done here */
	TRANSPORT_ERROR,	/* done here */
	TRANSPORT_TYPES
};

struct destination {
	struct route	*route;		/* a reference */
	struct transport *transport;
	double		 window;
	double		 fail_cohorts;
	unsigned	 deaths;	/* in a row */
	uint32_t	 active;	/* jobs */
	uint32_t	 entries;
	uint64_t	 waiting;	/* recipients */
	uint64_t	 deferred;	/* attempts deferred since start */
	uint64_t	 dead_until_ms;	/* monotonic; 0: alive */
	uint64_t	 next_ms;	/* rate delay */
	uint64_t	 last_used_ms;
	uint64_t	 last_error_ms;	/* wall */
	char		*last_error;
	char		*last_dsn;
	struct sched_groups classes[SCHED_CLASSES];
	uint8_t		 credit[SCHED_CLASSES];
	struct sched_entry *last;	/* added last */
	bool		 ready;
	unsigned	 ready_class;
	TAILQ_ENTRY(destination) link;	/* in its transport's ready list */
	TAILQ_ENTRY(destination) idle;	/* of those without work */
	bool		 is_idle;
	struct heap_node timer;
};
TAILQ_HEAD(destination_list, destination);

struct transport {
	char		*name;
	enum transport_type type;
	const struct conf *conf;
	unsigned	 active;	/* jobs */
	uint64_t	 waiting;	/* recipients */
	size_t		 ndestinations;
	bool		 frozen;
	bool		 put_off;	/* in defer_transports */
	struct destination_list ready[SCHED_CLASSES];
	uint8_t		 credit[SCHED_CLASSES];
	TAILQ_ENTRY(transport) link;
};
TAILQ_HEAD(transport_list, transport);

/* What was taken for one delivery: recipients of one message. */
struct sched_job {
	struct message	*m;
	struct destination *dest;
	struct recipient **rcpts;	/* the caller's to free */
	size_t		 nrcpts;
	uint64_t	 queued_ms;
};

struct sched_ops {
	/* Room at a worker for this destination? */
	bool	(*room)(void *arg, struct destination *d);
	/* Delivers j, which is the callee's (rcpts too). Must end in sched_job_done(). */
	void	(*deliver)(void *arg, struct sched_job *j);
	/* Put back undone: a dead destination, a lost transport. dest->last_error tells why. */
	void	(*suspend)(void *arg, struct message *m, struct recipient *r,
		    struct destination *d);
	/* After suspend() of all of m's recipients there. */
	void	(*suspended)(void *arg, struct message *m);
};

struct sched {
	struct loop	*loop;		/* NULL in tests */
	struct map	*routes;
	struct transport_list transports;
	struct map	*groups;
	struct heap	 timers;
	struct destination_list idle;
	size_t		 ndestinations, nwaiting_destinations;
	uint64_t	 waiting;	/* recipients */
	struct loop_deferred pump;
	struct event	*timer;
	struct event	*again;
	const struct sched_ops *ops;
	void		*arg;
	struct map	*frozen_domains;
	bool		 frozen_all;
	bool		 stopped;	/* draining */
	uint64_t	 (*now_ms)(void);	/* monotonic */
};

struct sched *sched_new(struct loop *l, struct map *routes, const struct sched_ops *ops, void *arg);
void	sched_free(struct sched **s);
/* Transports as the configuration names them; routes to others wait. Keep conf alive. */
void	sched_configure(struct sched *s, const struct conf *conf);
struct transport *sched_transport(struct sched *s, struct view name);
/* Room for more of this route's messages in memory? (the feeder asks by hash) */
bool	sched_route_crowded(struct sched *s, struct route *r, size_t limit);

/* The destination of a route, made if needed; NULL if its transport is unknown. */
struct destination *sched_destination(struct sched *s, struct route *r);
/* Queues r of m, whose route is d's: r becomes RCPT_QUEUED, m->nbusy counts it. */
void	sched_add(struct sched *s, struct destination *d, struct message *m, struct recipient *r);
/* Takes a QUEUED r out again (RCPT_WAIT). */
void	sched_remove(struct sched *s, struct recipient *r);
/* Something may go: at the end of the turn, or now. */
void	sched_kick(struct sched *s);
void	sched_pump(struct sched *s);

enum sched_feedback { SCHED_OK, SCHED_NEUTRAL, SCHED_FAILED };
/*
 * A job ended. FAILED: the next hop as such did not work; error and dsn say
 * how. The window follows; the destination may be dead now.
 */
void	sched_job_done(struct sched *s, struct destination *d, enum sched_feedback f,
	    struct view dsn, struct view error);
bool	sched_dead(const struct sched *s, const struct destination *d);
/* A dead one is tried again at once (flush). */
void	sched_revive(struct sched *s, struct destination *d);
/* Alive, waiting, in words for `queue why`. */
unsigned sched_window(const struct destination *d);

enum sched_scope { SCHED_SCOPE_ALL, SCHED_SCOPE_DOMAIN, SCHED_SCOPE_TRANSPORT, SCHED_SCOPES };
/* name: lower case domain, or transport. */
void	sched_freeze(struct sched *s, bool on, enum sched_scope kind, struct view name);
/* By its domain or transport; a freeze of everything stops sched_pump() only. */
bool	sched_frozen(struct sched *s, const struct recipient *r);
/* Calls fn for each freeze. */
void	sched_scopes(struct sched *s, void (*fn)(void *arg, enum sched_scope kind,
	    struct view name), void *arg);

#endif
