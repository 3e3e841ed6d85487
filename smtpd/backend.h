/* SPDX-License-Identifier: ISC */
/*
 * backend.h: what sessions ask of other processes. backend_ipc.c asks
 * lookupd and dnsd, auth_link.c authd; tests answer themselves. Answers never come from inside
 * the question. Ids are not 0 and never reused; cancel is fine for old ones.
 */
#ifndef PK_SMTPD_BACKEND_H
#define PK_SMTPD_BACKEND_H

#include "ipc/route.h"
#include "net/dns_client.h"
#include "smtpd/auth.h"

struct worker;

struct route_answer {
	int		 error;		/* 0, or nobody answered: 451 */
	enum route_class class;
	enum route_verdict verdict;
	struct view	 dsn, text;	/* valid during the callback */
};

/* error: 0 found, PK_ENOENT, otherwise the table cannot tell. */
typedef void (*backend_route_fn)(const struct route_answer *answer, void *arg);
typedef void (*backend_access_fn)(int error, struct view answer, void *arg);

struct backend {
	uint64_t (*route)(struct worker *w, struct view address, struct view sender,
		    unsigned flags, backend_route_fn fn, void *arg);
	uint64_t (*access)(struct worker *w, struct view table, struct view query,
		    enum access_kind kind, backend_access_fn fn, void *arg);
	void	(*cancel)(struct worker *w, uint64_t id);
	/* NULL: no such name can exist. */
	struct dns_call *(*dns)(struct worker *w, struct view name, enum dns_type type,
		    dns_lookup_fn fn, void *arg);
	void	(*dns_cancel)(struct worker *w, struct dns_call **call);
	/*
	 * One conversation with authd: fn is called once for each question. A step
	 * that is not AUTH_CHALLENGE, or an error, is its end (the conversation is
	 * freed before fn is called). NULL: nobody is there to ask.
	 */
	struct auth_conversation *(*auth_begin)(struct worker *w, const struct auth_question *q,
		    auth_step_fn fn, void *arg);
	void	(*auth_more)(struct worker *w, struct auth_conversation *c, struct view response);
	void	(*auth_cancel)(struct worker *w, struct auth_conversation **c);
};

#endif
