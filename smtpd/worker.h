/* SPDX-License-Identifier: ISC */
/*
 * worker.h: what the sessions of one smtpd process share.
 */
#ifndef PK_SMTPD_WORKER_H
#define PK_SMTPD_WORKER_H

#include <bsd/sys/queue.h>

#include "queue/segment_writer.h"
#include "smtpd/backend.h"
#include "smtpd/check.h"
#include "smtpd/policy.h"
#include "smtpd/session.h"
#include "sys/client_limits.h"
#include "sys/loop.h"

/* One recv(); content beyond it waits in the kernel. */
#define WORKER_SCRATCH		65536
/* Buffers and structs kept for the next one that needs them. */
#define WORKER_SPARES		128

struct lookup_cache;
struct tls_keys;

struct worker {
	struct loop		*loop;
	struct segment_writer	*writer;
	const struct backend	*backend;
	void			*backend_arg;
	struct lookup_cache	*cache;
	struct client_limits	*limits;
	struct auth_mechanisms	 mechanisms;	/* as authd said last */
	struct tls_keys		*keys;		/* NULL: no TLS (tests) */

	TAILQ_HEAD(, session)	 sessions;
	size_t			 nsessions;
	TAILQ_HEAD(, session)	 spare_sessions;
	TAILQ_HEAD(, transaction) spare_transactions;
	TAILQ_HEAD(, check)	 spare_checks;
	unsigned		 nspare_transactions, nspare_checks, nspare_sessions;
	struct buf		 spare_bufs[WORKER_SPARES];
	unsigned		 nspare_bufs;

	uint64_t		 content_bytes;	/* of all sessions, in memory */
	unsigned		 pressure;	/* QUEUE_PRESSURE level */
	bool			 draining;
	/* Called when a session ended (drain, accept again). */
	void			(*session_ended)(struct worker *w);
	void			*owner;
	char			 scratch[WORKER_SCRATCH];
};

struct worker *worker_new(struct loop *l, struct segment_writer *writer);
void	worker_free(struct worker **w);
/* Sessions between messages end now with 421, the others when they are. */
void	worker_drain(struct worker *w);
/* The grace is over: 421 for all that are not committing. */
void	worker_drain_now(struct worker *w);
/* There is a certificate for this listener's handshakes. */
bool	worker_has_tls(const struct worker *w, const struct policy *p);
/* A buffer while bytes are in flight: given back when empty. */
void	worker_buf_get(struct worker *w, struct buf *b, size_t max);
void	worker_buf_put(struct worker *w, struct buf *b);

#endif
