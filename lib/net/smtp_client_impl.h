/* SPDX-License-Identifier: ISC */
/*
 * smtp_client_impl.h: what smtp_client.c (the session) and smtp_txn.c (its
 * transactions) share; nobody else includes it.
 */
#ifndef PK_NET_SMTP_CLIENT_IMPL_H
#define PK_NET_SMTP_CLIENT_IMPL_H

#include "net/smtp_client.h"

enum smtp_client_state {
	STATE_GREETING,
	STATE_EHLO,
	STATE_HELO,
	STATE_STARTTLS,		/* its reply is due */
	STATE_HANDSHAKE,	/* the owner's: nothing is read here */
	STATE_READY,
	STATE_QUIT,
};

enum smtp_txn_await {
	AWAIT_RSET,
	AWAIT_MAIL,
	AWAIT_RCPT,
	AWAIT_DATA,
	AWAIT_CONTENT,		/* no reply is due: our content is on its way */
	AWAIT_END,
};

static inline bool
smtp_client_has(const struct smtp_client *c, unsigned cap)
{
	return (c->caps.flags & cap) != 0;
}

/* ---- smtp_client.c ---- */

/* A reply that fits nothing: everybody gets a result. PK_EPROTO. */
int	smtp_client_fail_protocol(struct smtp_client *c);

/* ---- smtp_txn.c ---- */

/* Status of the reply at hand; its digits decide the class. */
struct enhanced smtp_txn_reply_status(const struct smtp_reply *r);
/* The session is of no use: every open recipient gets o. */
void	smtp_txn_fail_all(struct smtp_client *c, const struct smtp_outcome *o);
/* "sending MAIL FROM": behind "while"; "idle". */
const char *smtp_txn_doing(const struct smtp_client *c);
/* The reply at hand is for the first transaction. */
int	smtp_txn_reply(struct smtp_client *c);
enum smtp_wait smtp_txn_wait(const struct smtp_client *c);

#endif
