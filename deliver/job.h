/* SPDX-License-Identifier: ISC */
/*
 * job.h: one JOB of qmgr's as a deliverer holds it, and its results.
 */
#ifndef PK_DELIVER_JOB_H
#define PK_DELIVER_JOB_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "ipc/ipc.h"
#include "ipc/route.h"
#include "mail/enhanced.h"
#include "queue/record.h"

/* Recipients of one job: qmgr's destination_recipient_limit has the same. */
#define JOB_RCPTS_MAX	100000
/* A result's texts: qmgr stores them, postfix's log lines are no longer. */
#define JOB_REPLY_MAX	1000
#define JOB_RELAY_MAX	300

struct deliver;

struct job_rcpt {
	uint64_t	index;		/* within the message */
	struct view	address, orcpt, path;
	struct view	original;	/* before expansion; empty: the same */
	uint64_t	quota;		/* bytes; 0: none */
	unsigned	notify;		/* enum record_notify */
	bool		done;		/* has its result */
	bool		held;		/* not done: the next host is asked */
};

TAILQ_HEAD(job_list, job);

struct job {
	TAILQ_ENTRY(job) all;		/* of the deliverer */
	TAILQ_ENTRY(job) link;		/* where the role keeps it */
	struct deliver	*d;
	uint64_t	number;
	uint64_t	message;
	char		queue_id[RECORD_ID_TEXT_MAX];
	struct view	transport, nexthop;
	uint64_t	attempt;
	uint64_t	arrival_ms;	/* wall time */
	uint64_t	content_bytes;
	struct record_envelope env;
	struct job_rcpt	*rcpts;
	size_t		nrcpts, cap_rcpts;
	size_t		undone;		/* recipients without result */
	size_t		nheld;		/* of these */
	struct view	header;
	struct view	content;	/* inline; p NULL: in fd */
	int		fd;		/* -1: none */
	uint64_t	fd_offset;
	struct view	data;		/* bounce: queue/bounce.h */
	bool		complete;	/* all its packets are here */
	bool		orphan;		/* its qmgr is gone: results go nowhere */
	bool		putting_back;
	uint64_t	begun_ms;	/* monotonic: JOB arrived */
	uint64_t	connected_ms;	/* monotonic: transmission began, 0: not */
	void		*role;		/* the role's own */
	void		*tour;		/* smtp: struct smtp_tour, or NULL */
	void		(*tour_free)(void *tour);

	/* Packets that the views point into. */
	char		**packets;
	size_t		npackets;
	/* Results not yet sent. */
	struct ipc_out	out;
	bool		out_open;
};

/*
 * A JOB packet. first: NULL, or the job whose further part this is. *job_r is
 * the job (complete or not). PK_EPROTO when it is malformed: nothing is kept,
 * but a `first` stays as it was. Takes the handle.
 */
int	job_decode(struct ipc_msg *m, struct job *first, struct job **job_r);
/* Number of a JOB packet, to find the job it goes on with. PK_EPROTO. */
int	job_peek(const struct ipc_msg *m, uint64_t *number_r);
void	job_free(struct job **j);

/*
 * What became of recipient i. reply and relay are cut and cleaned. A
 * recipient that has a result already is passed over.
 */
void	job_result(struct job *j, size_t i, enum job_result what, unsigned flags,
	    struct enhanced dsn, struct view reply, struct view relay);
/* The same for every recipient that has none. */
void	job_result_rest(struct job *j, enum job_result what, unsigned flags,
	    struct enhanced dsn, struct view reply, struct view relay);
/* Recipient i, without result so far, waits for another host's. */
void	job_hold(struct job *j, size_t i);
/* Those that were held are to be tried. */
void	job_release(struct job *j);
/* Not tried: drain, cancel, lost worker. */
void	job_put_back_rest(struct job *j);
/* Every recipient has a result: sends what is left and frees the job. */
void	job_finish(struct job **j);

/*
 * Bytes of header block and content from `offset` on: views into the job, or
 * into room[size] when it is in a file. 0, PK_EEND, PK_EIO (errno).
 */
int	job_read(const struct job *j, uint64_t offset, char *room, size_t size, struct view *v_r);
/* Header block and content together. */
uint64_t job_size(const struct job *j);

#endif
