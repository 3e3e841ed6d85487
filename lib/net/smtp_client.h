/* SPDX-License-Identifier: ISC */
/*
 * smtp_client.h: the client's side of one SMTP or LMTP session (RFC 5321,
 * RFC 2033), without sockets.
 *
 * The owner feeds it with what the server sends; it appends commands to the
 * owner's buf and calls back: when the session is ready, when content may be
 * sent, what became of each recipient, when a transaction is over. Nothing
 * waits, nothing allocates for a reply beyond smtp_reply's limits, and the
 * outcome does not depend on how bytes were split. The server is hostile
 * (A18): whatever it says, each recipient of a transaction gets exactly one
 * result, and no recipient is "sent" without a 2xx behind its content.
 *
 * TLS is the owner's: the engine says STARTTLS when it should, calls
 * `starttls` when the server has agreed, and begins anew with EHLO when the
 * owner says that the handshake is done; nothing that was said before counts
 * then (RFC 3207 4.2, A3).
 *
 * Two transactions may be under way: the second one's commands travel behind
 * the first one's final dot in the same packet (RFC 2920 3.1).
 */
#ifndef PK_NET_SMTP_CLIENT_H
#define PK_NET_SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mail/enhanced.h"
#include "mail/smtp_command.h"
#include "mail/smtp_reply.h"

struct smtp_client;
struct smtp_txn;

struct smtp_txn_rcpt {
	struct view	address;	/* local@domain, no brackets */
	struct view	orcpt;		/* as it came, type;xtext, or empty */
	unsigned	notify;		/* enum smtp_notify, 0: not given */
	/* The engine's: */
	bool		accepted;	/* 2xx to RCPT, no result yet */
	bool		done;		/* has its result */
};

/* Caller's memory, unchanged from begin until done; views too. */
struct smtp_txn {
	struct view	sender;		/* without brackets, empty for <> */
	struct view	envid;		/* xtext, or empty */
	enum smtp_ret	ret;
	enum smtp_body	body;		/* said when the server has the extension */
	bool		smtputf8;
	bool		requiretls;	/* MAIL says so: only with smtp_client_want_tls()'s */
	int		mt_priority;	/* -9 to 9, said when not 0 */
	uint64_t	size;		/* bytes of content; 0: not said */
	bool		bdat;		/* content goes as one BDAT of `size` bytes */
	struct smtp_txn_rcpt *rcpts;
	size_t		nrcpts;		/* at least 1 */
	void		*arg;		/* owner's */

	/* The engine's state; the owner reads nothing of it. */
	unsigned	await;		/* enum smtp_txn_await: next reply is for this */
	unsigned	sent;		/* commands sent up to this */
	size_t		next_rcpt;	/* RCPT whose reply is next; LMTP: also behind the dot */
	size_t		sent_rcpts;
	size_t		naccepted;
	bool		rset_first;
	bool		void_content;	/* nobody is left: end it with nothing in it */
	bool		over;		/* results are complete */
};

enum smtp_outcome_what {
	SMTP_OUTCOME_SENT,
	SMTP_OUTCOME_DEFERRED,
	SMTP_OUTCOME_BOUNCED,
};

struct smtp_outcome {
	enum smtp_outcome_what what;
	struct enhanced	dsn;
	struct view	text;		/* Postfix's words; valid during the call */
	/*
	 * Deferred, and it is known that this server has not taken the
	 * message (RFC 1047): another one may have it at once.
	 */
	bool		elsewhere;
};

struct smtp_client_ops {
	/* Greeting and EHLO are done: c->caps is known, transactions may begin. */
	void	(*ready)(struct smtp_client *c, void *arg);
	/*
	 * Put the content of t behind what is in the output: dot-stuffed with
	 * its end, or with t->bdat exactly t->size bytes; then (now or later)
	 * call smtp_client_content_sent().
	 */
	void	(*content)(struct smtp_client *c, struct smtp_txn *t, void *arg);
	void	(*result)(struct smtp_client *c, struct smtp_txn *t, size_t rcpt,
		    const struct smtp_outcome *o, void *arg);
	/* t is over and out of the engine; t may be freed, another begun. */
	void	(*done)(struct smtp_client *c, struct smtp_txn *t, void *arg);
	/*
	 * The server has agreed to STARTTLS: shake hands (not from inside),
	 * then smtp_client_tls_begun(). NULL is fine when TLS is never wanted.
	 */
	void	(*starttls)(struct smtp_client *c, void *arg);
};

struct smtp_client_conf {
	const char	*helo_name;
	const char	*myhostname;	/* greeting with it is a loop; NULL: not looked at */
	bool		lmtp;
	bool		always_ehlo;
	unsigned	ignored_caps;	/* enum smtp_cap bits: smtp_discard_ehlo_keywords */
};

/* What is waited for, which is also what a time limit is chosen by. */
enum smtp_wait {
	SMTP_WAIT_NOTHING,	/* idle between transactions */
	SMTP_WAIT_GREETING,
	SMTP_WAIT_HELO,
	SMTP_WAIT_TLS,		/* reply to STARTTLS, handshake */
	SMTP_WAIT_MAIL,
	SMTP_WAIT_RCPT,
	SMTP_WAIT_DATA,
	SMTP_WAIT_CONTENT,	/* we are sending content */
	SMTP_WAIT_END,		/* reply to the end of data */
	SMTP_WAIT_RSET,
	SMTP_WAIT_QUIT,
};

/* Why a session that failed before its first transaction failed. */
enum smtp_refusal {
	SMTP_REFUSAL_NONE,
	SMTP_REFUSAL_GREETING,	/* 4xx or 5xx at greeting or (E)HLO */
	SMTP_REFUSAL_LOOP,	/* it greets with our own name */
	SMTP_REFUSAL_PROTOCOL,	/* no SMTP is spoken there */
	SMTP_REFUSAL_TLS,	/* TLS is a must and not to be had */
	SMTP_REFUSAL_REQUIRETLS, /* the extension is a must and not offered */
};

enum smtp_starttls {
	SMTP_STARTTLS_NEVER,
	SMTP_STARTTLS_MAY,	/* when it is offered; refused: in clear */
	SMTP_STARTTLS_MUST,	/* nothing is said beyond EHLO without it */
};

#define SMTP_CLIENT_TXNS_MAX	2

struct smtp_client {
	const struct smtp_client_conf *conf;
	const struct smtp_client_ops *ops;
	void		*arg;
	struct buf	*out;		/* owner's */
	char		*peer;		/* "name[addr]", for texts */
	struct smtp_caps caps;
	struct smtp_reply reply;
	struct buf	text;		/* scratch for outcome texts */
	struct smtp_txn	*txns[SMTP_CLIENT_TXNS_MAX];	/* [0] gets the replies */
	unsigned	ntxns;
	unsigned	state;		/* enum smtp_client_state */
	bool		ehlo_ok;	/* EHLO or LHLO, not HELO */
	bool		dead;		/* feed answers PK_EPROTO; nothing is sent */
	enum smtp_starttls starttls;	/* NEVER behind the handshake */
	bool		tls;		/* what is fed comes out of TLS */
	bool		starttls_refused; /* offered, then refused, and it went on in clear */
	bool		requiretls;
	bool		closing;	/* 421 seen: no new transaction */
	bool		need_rset;	/* a MAIL is open at the server */
	uint64_t	begun;		/* transactions so far */
	uint64_t	replies;	/* complete ones so far: progress */
	/* Of a session that ended before it was ready: */
	enum smtp_refusal refusal;
	struct smtp_outcome refused;	/* text points into `text` */
};

/* peer: name[addr], copied; conf, ops and out outlive c. */
void	smtp_client_init(struct smtp_client *c, const struct smtp_client_conf *conf,
	    const struct smtp_client_ops *ops, void *arg, struct buf *out, const char *peer);
void	smtp_client_fini(struct smtp_client *c);
/*
 * Before anything is fed (the default is never). requiretls: the session is
 * refused unless the server offers REQUIRETLS inside TLS (RFC 8689 4.2.1).
 */
void	smtp_client_want_tls(struct smtp_client *c, enum smtp_starttls starttls, bool requiretls);
/*
 * The handshake is done and its outcome good enough for the owner. Says EHLO
 * to out; before the greeting (TLS from the first byte) it says nothing.
 */
void	smtp_client_tls_begun(struct smtp_client *c);
/*
 * Takes all of in. 0, or PK_EPROTO / PK_ELIMIT: the session is of no use any
 * more; transactions have got their results, c->refusal tells of one that
 * was never ready. The owner closes the connection.
 */
int	smtp_client_feed(struct smtp_client *c, struct view in);
/* A transaction could be begun now (its commands would go out at once). */
bool	smtp_client_can_begin(const struct smtp_client *c);
/* Only when can_begin. Commands go to out; content may be called from here (BDAT). */
void	smtp_client_begin(struct smtp_client *c, struct smtp_txn *t);
/* The content that `content` asked for is in the output as a whole. */
void	smtp_client_content_sent(struct smtp_client *c, struct smtp_txn *t);
/*
 * The connection ended: lost (PK_EPEER) or out of time (PK_ETIMEOUT). What is
 * open gets its results, in Postfix's words; result and done are called.
 */
void	smtp_client_lost(struct smtp_client *c, int why);
/*
 * The owner cannot go on with t's content (its file is gone): recipients get
 * o, the session is dead. Nothing the server has is a whole message.
 */
void	smtp_client_abort(struct smtp_client *c, const struct smtp_outcome *o);
/* Idle only. */
void	smtp_client_quit(struct smtp_client *c);
enum smtp_wait smtp_client_wait(const struct smtp_client *c);
/* Nothing of t has been answered yet: it may be tried on another connection. */
bool	smtp_client_untouched(const struct smtp_client *c, const struct smtp_txn *t);
/* Takes t out without results (only when untouched and the session is given up). */
void	smtp_client_take_back(struct smtp_client *c, struct smtp_txn *t);

/* No control byte, no blank or bracket outside quotes: may stand between < and >. */
bool	smtp_client_address_ok(struct view address);

#endif
