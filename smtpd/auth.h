/* SPDX-License-Identifier: ISC */
/*
 * auth.h: who a session's client says and proves to be (AUTH, RFC 4954).
 *
 * smtpd carries SASL messages between the client and authd and decides
 * nothing: a login is authd's word, with the ticket that proves it to qmgr.
 */
#ifndef PK_SMTPD_AUTH_H
#define PK_SMTPD_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "ipc/auth.h"
#include "sys/client_limits.h"

struct policy;
struct session;
struct worker;

#define AUTH_MECHANISM_MAX	20	/* RFC 4422 3.1 */
#define AUTH_MECHANISMS_MAX	24	/* more than there are */

struct auth_mechanism {
	char		name[AUTH_MECHANISM_MAX + 1];
	unsigned	flags;		/* enum auth_mechanism_flag */
};

/* What authd can do, as it said last. */
struct auth_mechanisms {
	struct auth_mechanism	list[AUTH_MECHANISMS_MAX];
	unsigned		count;
};
/* PK_ESYNTAX, PK_ELIMIT: not a mechanism's name, or too many. */
int	auth_mechanisms_add(struct auth_mechanisms *m, struct view name, unsigned flags);

/* ---- what is asked of authd (backend.h) ---- */

struct auth_conversation;

struct auth_question {
	struct view	mechanism, listener, address;
	unsigned	flags;		/* enum auth_session_flag */
	struct view	binding;	/* tls-exporter, or empty */
	struct view	certificate;	/* verified client certificate's name, or empty */
	bool		has_initial;
	struct view	initial;
};

/* A step: views are valid during the callback. */
struct auth_step {
	int		error;		/* authd is gone or silent; the rest is not set then */
	enum auth_state	state;
	struct view	data;		/* challenge; success: the ticket */
	struct view	login;
	struct view	dsn, text;	/* failure, temporary */
};
typedef void (*auth_step_fn)(const struct auth_step *step, void *arg);

/* ---- a session's ---- */

struct auth {
	struct auth_conversation *talk;	/* NULL: none is under way */
	char		 mechanism[AUTH_MECHANISM_MAX + 1];
	char		*login;		/* NULL: not logged in */
	uint8_t		 ticket[AUTH_TICKET_SIZE];
};

/* The login, or NULL. */
const char *auth_login(const struct session *s);
/* AUTH is possible in this session as it is now. */
bool	auth_offered(const struct session *s);
/* It would be, over TLS. */
bool	auth_needs_tls(const struct session *s);
/* The mechanism if this session may use it now, else NULL. */
const struct auth_mechanism *auth_mechanism_find(const struct session *s, struct view name);
/* "PLAIN LOGIN ..." appended; nothing when there is none. */
void	auth_put_mechanisms(const struct session *s, struct buf *b);
/* Does smtpd_sasl_mechanism_filter let it through? */
bool	auth_filter_allows(const char *filter, struct view name);
/* Facts for authd: fills flags, binding (32 bytes at least) and certificate. */
void	auth_describe(const struct session *s, struct auth_question *q, uint8_t binding[32]);
/* Login and conversation are gone: STARTTLS, the end of the session. */
void	auth_forget(struct session *s);
/* Only a conversation that is under way: the client gave up, or is told to go. */
void	auth_cancel(struct session *s);
/*
 * Counts an event of the login's (CLIENT_MESSAGE, CLIENT_RECIPIENT) over all
 * workers: true if there were more than limit in this time unit. False for who
 * is not logged in, and for limit 0.
 */
bool	auth_over_limit(struct session *s, enum client_event event, int64_t limit,
	    uint32_t *count_r);

#endif
