/* SPDX-License-Identifier: ISC */
/*
 * smtp.h: the parts of the smtp and lmtp roles.
 *
 *	smtp.c		the role; destinations: which job goes on which connection
 *	smtp_route.c	next hop to an ordered list of addresses (MX, A, AAAA)
 *	smtp_policy.c	what TLS must be with each of them (policy maps, TLSA)
 *	smtp_connect.c	one connection: racing addresses, next host on failure
 *	smtp_tls.c	its TLS handshake
 *	smtp_session.c	one session: transactions, content, time limits
 *	smtp_tour.c	which host is next for whom
 */
#ifndef PK_DELIVER_SMTP_H
#define PK_DELIVER_SMTP_H

#include <sys/socket.h>

#include <bsd/sys/queue.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "deliver/deliver.h"
#include "mail/data_writer.h"
#include "mail/domain.h"
#include "mail/mime.h"
#include "net/smtp_client.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/tls_plan.h"

struct smtp;
struct smtp_dest;
struct smtp_conn;
struct smtp_resolver;

/* ---- routes ---- */

/* Hosts of one MX set that are looked up; nobody needs more to be found. */
#define SMTP_HOSTS_MAX		20
#define SMTP_TARGETS_MAX	100

struct smtp_target {
	char		*host;
	char		*peer;		/* "host[addr]" */
	char		*relay;		/* "host[addr]:port" */
	union {
		struct sockaddr_storage ss;
		struct sockaddr_un un;
	} sa;
	socklen_t	sa_len;
	uint16_t	port;		/* 0: Unix socket */
	unsigned	rank;		/* hop and preference: equal ones are raced */
	struct tls_plan	*plan;		/* what TLS must be with it */
};

#define SMTP_RANK_HOP_SHIFT	16

/* An outcome that owns its text. */
struct smtp_failure {
	enum job_result	what;		/* JOB_DEFERRED or JOB_BOUNCED */
	struct enhanced	dsn;
	char		*text;		/* NULL: none */
	char		*relay;		/* NULL: none */
};

void	smtp_failure_set(struct smtp_failure *f, enum job_result what, struct enhanced dsn,
	    const char *relay, struct view text);
void	smtp_failure_fini(struct smtp_failure *f);
/* The result of all that is open of j, which ends with it. */
void	smtp_failure_result(const struct smtp_failure *f, struct job *j);

struct smtp_route {
	unsigned	refs;
	uint64_t	expires_ms;	/* monotonic */
	struct smtp_target *targets;
	size_t		ntargets;
	struct smtp_failure failure;	/* when there are none */
};

struct smtp_route *smtp_route_ref(struct smtp_route *r);
void	smtp_route_unref(struct smtp_route **r);

typedef void (*smtp_route_fn)(struct smtp_route *r, void *arg);
/* fn gets a reference, once, later or from inside (literals, Unix sockets). */
struct smtp_resolver *smtp_resolve(struct smtp *s, const struct conf *conf, const char *nexthop,
	    enum tls_need need, smtp_route_fn fn, void *arg);
void	smtp_resolver_cancel(struct smtp_resolver **r);

/* ---- tours ---- */

/*
 * The targets of a route as a delivery goes through them: those of one next
 * hop side by side, no more of it than smtp_mx_address_limit.
 */
struct smtp_order {
	struct smtp_route *route;
	uint8_t		at[SMTP_TARGETS_MAX];
	size_t		n;
};

/* Of a job that a host has failed. */
struct smtp_tour {
	struct smtp_order order;
	size_t		at;		/* where it is, or goes to */
	int64_t		sessions;	/* at this next hop, before */
};

/* The destination's route; fini gives it back. */
void	smtp_order_init(struct smtp_order *o, const struct smtp_dest *dest);
void	smtp_order_copy(struct smtp_order *o, const struct smtp_order *from);
void	smtp_order_fini(struct smtp_order *o);
/* NULL behind the last one. */
const struct smtp_target *smtp_order_target(const struct smtp_order *o, size_t i);

/* There is another host for what c's defers of j. */
bool	smtp_tour_goes_on(const struct smtp_conn *c, const struct job *j);
/* Only when it goes on: to the next host, with the recipients that are held. */
void	smtp_tour_advance(const struct smtp_conn *c, struct job *j);
/* c was made for j, which has a tour, and got as far as this host. */
void	smtp_tour_arrive(const struct smtp_conn *c, struct job *j);
/* Of a job with a tour. */
const struct smtp_target *smtp_tour_target(const struct job *j);

/* ---- destinations ---- */

TAILQ_HEAD(smtp_conns, smtp_conn);

struct smtp_dest {
	struct smtp	*s;
	char		*key;		/* transport NUL nexthop NUL need */
	size_t		key_len;
	enum tls_need	need;		/* of all its messages */
	struct tls_client *tls;		/* NULL: TLS cannot be used */
	char		*transport, *nexthop;
	const struct conf *conf;	/* of the transport, renewed at reload */
	struct smtp_client_conf client_conf;
	struct smtp_client_conf loop_conf;	/* at a port of ours */
	struct job_list	waiting;
	size_t		nwaiting;
	struct job_list	again;		/* a host failed them: for the next one */
	struct smtp_conns conns;	/* every live one that may take jobs */
	struct smtp_conns idle;		/* the most recently used first */
	size_t		nconns;
	size_t		nconnecting;	/* of these, for anybody */
	struct smtp_route *route;
	struct smtp_resolver *resolver;
	bool		scheduling;
	char		*avoid;		/* relay of a host that broke off, or NULL */
	struct loop_timer linger;	/* unused: goes */
};

struct smtp {
	struct deliver	*d;
	bool		lmtp;
	struct ipc_pool	*dns, *lookup;
	struct tls_keys	*keys;
	struct map	*tls_clients;	/* by transport: struct tls_client */
	struct map	*dests;
	struct smtp_conns dead;		/* freed at the end of the turn */
	struct smtp_conns quitting;
	struct loop_deferred bury;
	struct domain_literal *own;	/* our addresses */
	size_t		nown;
};

/* An answer of the route or a failed connection: see smtp.c. */
void	smtp_dest_connect_failed(struct smtp_dest *dest, const struct smtp_failure *f);
/* Jobs to connections, connections for jobs. */
void	smtp_dest_schedule(struct smtp_dest *dest);
/* Back to the head of the queue, to be tried on another connection. */
void	smtp_dest_requeue(struct smtp_dest *dest, struct job *j);
/* Connections begin with other hosts of the route, if it has any. */
void	smtp_dest_avoid(struct smtp_dest *dest, const struct smtp_target *t);
struct job *smtp_dest_take(struct smtp_dest *dest);
/* The first one of those for a next host. */
struct job *smtp_dest_take_again(struct smtp_dest *dest);
/* Jobs for a next host wait for a connection to end. */
bool	smtp_dest_is_crowded(const struct smtp_dest *dest);
/* Port is one that we listen on: an own address there is a loop. */
bool	smtp_port_is_ours(const struct smtp *s, uint16_t port);
bool	smtp_address_is_ours(const struct smtp *s, const struct domain_literal *a);

/* ---- connections ---- */

enum smtp_conn_state {
	SMTP_CONN_CONNECTING,
	SMTP_CONN_HELLO,	/* greeting, EHLO, TLS */
	SMTP_CONN_BUSY,
	SMTP_CONN_IDLE,
	SMTP_CONN_QUIT,
	SMTP_CONN_DEAD,
};

/* A transaction under way. */
struct smtp_work {
	struct smtp_txn	txn;
	struct smtp_conn *conn;
	struct job	*job;
	size_t		*index;		/* txn's recipient to job's */
	char		*said;		/* the last that was held for; or NULL */
	bool		plain;		/* content may go as it is */
	bool		raw;		/* BINARYMIME */
	bool		pumping;	/* content is asked for and not all put */
	uint64_t	offset;		/* content sent so far */
	struct data_writer writer;
	struct mime	*mime;		/* converting */
};

/* Connects in flight for one connection. */
#define SMTP_TRIES_MAX	4

struct smtp_try {
	struct smtp_conn *conn;
	const struct smtp_target *target;
	int		fd;		/* -1: free */
	struct event	*event;
};

struct smtp_conn {
	TAILQ_ENTRY(smtp_conn) link;	/* dest->conns, quitting or dead */
	TAILQ_ENTRY(smtp_conn) idle_link;
	struct smtp	*s;
	struct smtp_dest *dest;		/* NULL when quitting or dead */
	enum smtp_conn_state state;
	bool		bound;		/* made for one job on its tour */
	struct job	*job;		/* this one, as long as it is not begun */
	struct smtp_order order;
	size_t		next_target;	/* in order */
	struct smtp_try	tries[SMTP_TRIES_MAX];
	struct event	*race;
	const struct smtp_target *target;
	const struct smtp_target *clear; /* TLS failed there: once more without */
	bool		in_clear;	/* this is that time */
	bool		stale;		/* the policy has changed: no more jobs */
	bool		tls_due;	/* the server has agreed to STARTTLS */
	struct tls_conn	*tls;		/* the stream's, once there is one */
	int		tls_fd;		/* in the handshake, else -1 */
	struct event	*tls_event;
	struct stream	stream;
	bool		has_stream;
	struct smtp_client client;
	bool		has_client;
	struct smtp_work *works[SMTP_CLIENT_TXNS_MAX];
	unsigned	nworks;
	struct smtp_failure failure;	/* of the last host */
	uint64_t	since_ms;	/* monotonic: session began */
	uint64_t	replies;	/* at the last timer_set */
	enum smtp_wait	wait;
	int64_t		transactions;
	struct loop_timer timer;
};

/* smtp_connect.c */
void	smtp_conn_new(struct smtp_dest *dest);
/* For j, which has a tour: to where this goes on. */
void	smtp_conn_new_for(struct smtp_dest *dest, struct job *j);
/* The host cannot be used; f is taken. The next one is tried. */
void	smtp_conn_host_failed(struct smtp_conn *c, struct smtp_failure *f);
/* The same host once more, by a connection without TLS (level may alone). */
void	smtp_conn_retry_in_clear(struct smtp_conn *c);
/* Out of its destination, closed, freed at the end of the turn. */
void	smtp_conn_kill(struct smtp_conn *c);
void	smtp_conn_bury(void *smtp);
void	smtp_conn_timeout(void *conn);

/* smtp_tls.c */

/* Contexts of the transports; from the first privileges, and at each reload. */
void	smtp_tls_configure(struct smtp *s);
struct tls_client *smtp_tls_client(struct smtp *s, const char *transport);
/* What the engine is to do about STARTTLS with c->target. */
enum smtp_starttls smtp_tls_wanted(const struct smtp_conn *c);
/* TLS begins on fd, which is taken; smtp_session_secured() or a failed host follows. */
void	smtp_tls_begin(struct smtp_conn *c, int fd);
/* The handshake took too long. */
void	smtp_tls_timeout(struct smtp_conn *c);
/* Ends what goes on; says good-bye as far as it goes at once. */
void	smtp_tls_end(struct smtp_conn *c);
/* TLS broke there: may what waits go without it, on another connection? */
bool	smtp_tls_may_do_without(const struct smtp_conn *c);
/* "Verified", ...; "none" in clear. */
const char *smtp_tls_word(const struct smtp_conn *c);

/* smtp_session.c */
/* The handshake is done: c->tls carries the bytes from here on. */
void	smtp_session_secured(struct smtp_conn *c, int fd);
void	smtp_session_begin(struct smtp_conn *c, int fd, const struct smtp_target *t);
/* Idle: takes waiting jobs. */
void	smtp_session_work(struct smtp_conn *c);
/* Idle, and may have another transaction: takes this one. */
void	smtp_session_take(struct smtp_conn *c, struct job *j);
bool	smtp_session_may_take(const struct smtp_conn *c);
void	smtp_session_quit(struct smtp_conn *c);
void	smtp_session_timeout(struct smtp_conn *c);
/* Gives up at once: what is open is put back or, behind its dot, deferred. */
void	smtp_session_stop(struct smtp_conn *c);

/* smtp_content.c */
/*
 * Fits the transaction to what the server can: false when nobody can get this
 * message there (results are given).
 */
bool	smtp_content_prepare(struct smtp_work *w);
/* Puts what fits into the stream; ends it when it is all. PK_EIO: cannot be read. */
int	smtp_content_pump(struct smtp_work *w);
/* CRLF lines only, none longer, none with a dot in front: needs no copy. */
bool	smtp_content_is_plain(struct view v, size_t line_max);

#endif
