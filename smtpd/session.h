/* SPDX-License-Identifier: ISC */
/*
 * session.h: one SMTP client.
 *
 * Between commands a session owns this struct and two short strings; input,
 * output, transaction and check are taken from the worker's stores while they
 * are needed. Commands run in order: while one waits for an answer, input is
 * left alone.
 */
#ifndef PK_SMTPD_SESSION_H
#define PK_SMTPD_SESSION_H

#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "mail/domain.h"
#include "mail/smtp_command.h"
#include "net/dns_client.h"
#include "smtpd/auth.h"
#include "smtpd/policy.h"
#include "smtpd/transaction.h"
#include "sys/client_limits.h"
#include "sys/loop.h"

struct check;
struct tls_conn;
struct worker;

enum session_mode {
	SESSION_CONNECT,	/* client's name is being looked up, no banner yet */
	SESSION_PREGREET,	/* the banner is held back on purpose */
	SESSION_STARTTLS,	/* its 220 leaves, then the handshake */
	SESSION_HANDSHAKE,
	SESSION_COMMAND,
	SESSION_DATA,		/* content up to CRLF.CRLF */
	SESSION_CHUNK,		/* content of a BDAT chunk */
	SESSION_AUTH,		/* the next line is a SASL response, not a command */
	SESSION_CLOSING,	/* output only, then close */
	SESSION_DEAD,		/* client gone, a commit is under way */
};

/* States in which a verb may come. */
enum session_state {
	STATE_START	= 1 << 0,	/* no HELO or EHLO yet */
	STATE_READY	= 1 << 1,	/* greeted, no transaction */
	STATE_MAIL	= 1 << 2,	/* MAIL, no recipient yet */
	STATE_RCPT	= 1 << 3,	/* at least one recipient */
	STATE_BDAT	= 1 << 4,	/* some chunks are here */
	STATE_FAILED	= 1 << 5,	/* BDAT failed: RSET and the like only (RFC 3030) */
};
#define STATE_ANY		0x3f
#define STATE_GREETED		(STATE_ANY & ~STATE_START)

struct session {
	TAILQ_ENTRY(session) link;
	struct worker	*w;
	struct policy	*policy;
	struct event	 ev;		/* readable */
	struct event	*write_ev;	/* only while output is stuck */
	struct loop_timer timer;
	struct loop_deferred again;	/* bytes that the socket will not announce */
	struct tls_conn	*tls;		/* NULL: clear text */
	uint64_t	 tls_begun_ns;
	uint64_t	 deadline_ms;	/* of what the client owes us; 0: nothing */
	uint64_t	 wake_ms;	/* replies are held back until then */
	int		 fd;

	uint8_t		 mode;		/* enum session_mode */
	uint8_t		 state;		/* enum session_state */
	bool		 esmtp : 1;
	bool		 trusted : 1;	/* in mynetworks, or the local listener */
	bool		 local : 1;	/* came over a Unix socket */
	bool		 no_limits : 1;
	bool		 bare_allowed : 1;
	bool		 reading : 1;	/* ev is added */
	bool		 waiting : 1;	/* a command waits for an answer */
	bool		 running : 1;	/* inside session_run() */
	bool		 counted : 1;	/* in the client limits */
	bool		 pipelined_badly : 1;
	bool		 quiet : 1;	/* client sent end of file */
	bool		 skipping : 1;	/* rest of a line that is too long */
	bool		 more : 1;	/* bytes stand behind the command */
	bool		 verb_counted : 1;
	bool		 chunk_last : 1;
	bool		 freed : 1;	/* to be freed when session_run() is through */
	bool		 pregreeted : 1;	/* spoke before the greeting */
	bool		 committing : 1;	/* the queue writer holds our bytes */

	struct buf	 in, out;
	struct transaction *tx;
	struct check	*check;
	struct auth	*auth;		/* NULL until AUTH came */
	struct dns_call	*dns;
	uint64_t	 call;
	char		*helo;		/* NULL before; may be what a stranger likes */
	char		*name;		/* verified, or "unknown" */
	struct domain_literal ip;
	char		 addr[46];	/* text of it */
	uint16_t	 port;
	uint8_t		 name_step;

	uint32_t	 errors, junk;
	uint64_t	 chunk_size, chunk_left;	/* BDAT: bytes, and those to come */
	const char	*chunk_refusal;	/* what the chunk will be answered */
	const char	*last_verb;	/* for "lost connection after" */
	enum smtp_verb	 verb;
	uint16_t	 seen[SMTP_VERB_COUNT], fine[SMTP_VERB_COUNT];
};

/* An accepted connection; fd becomes the session's. */
void	session_new(struct worker *w, struct policy *p, int fd, const struct sockaddr *peer);
/* At once, without a word. */
void	session_free(struct session *s);
/* 421 when it is between messages (now), or in any case unless it commits. */
void	session_drain(struct session *s, bool now);

/* ---- for the commands ---- */

/* Queues "line" CRLF. Codes from 400 count as errors of the client. */
void	session_reply(struct session *s, const char *line);
void	session_replyf(struct session *s, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* The same without counting an error (451 of our own making, 421). */
void	session_reply_plain(struct session *s, const char *line);
/* After what is queued, the connection ends. */
void	session_close_after(struct session *s);
/* A command waits: no input until session_resume(). */
void	session_wait(struct session *s);
/* The answer was given: goes on with what is pipelined. */
void	session_resume(struct session *s);
/* Replies of this turn are held back so long. */
void	session_delay(struct session *s, uint64_t ms);
/* "name[addr]" */
struct view session_client(struct session *s, char *text, size_t size);
#define SESSION_CLIENT_MAX	320
/* The protocol as in trace headers and log lines. */
const char *session_protocol(const struct session *s);
void	session_set_deadline(struct session *s, uint64_t ms);
/* Bytes of content came: the deadline moves by what they are worth. */
void	session_extend_deadline(struct session *s, size_t bytes);
/* Reading on or off, for content whose place is full. */
void	session_pause(struct session *s, bool pause);
/* session_log.c */
void	session_log_reject(struct session *s, const char *what, struct view reply,
	    struct view recipient);
void	session_log_disconnect(struct session *s);

/* What waits to be read as commands is forgotten. */
void	session_drop_input(struct session *s);
/* What its events are to do; for handshakes and waits. */
void	session_want(struct session *s, bool read, bool write);
/* The protocol for trace headers and the queue: ESMTP, ESMTPS, ESMTPSA ... (RFC 3848). */
const char *session_with(const struct session *s);

/* connect.c: the client's address and name, and the banner after it. */
void	session_set_peer(struct session *s, const struct sockaddr *peer);
void	session_uncount(struct session *s);
void	session_connect(struct session *s);
void	session_connect_cancel(struct session *s);
/* Implicit TLS is there: the client's checks and the banner follow. */
void	session_secured(struct session *s);
/* One more by this client: how many in this time unit. */
uint32_t session_count_event(struct session *s, enum client_event event);
/* How many there were so far. */
uint32_t session_event_rate(struct session *s, enum client_event event);
extern const char session_pregreet_reply[];
/* pregreet.c: holds the banner back and looks who does not wait for it. */
bool	session_pregreet_wanted(const struct session *s);
void	session_pregreet_begin(struct session *s);
void	session_pregreet_input(struct session *s);
/* connect.c: the wait is over. */
void	session_pregreet_over(struct session *s);
/* dispatch.c: one command line. */
void	session_dispatch(struct session *s, struct view line);
/* cmd_data.c, cmd_bdat.c: take in content, return how much. */
size_t	session_data_input(struct session *s, struct view in);
size_t	session_chunk_input(struct session *s, struct view in);
/* cmd_auth.c: a line that answers a challenge; how much it takes, 0 if it is not whole. */
size_t	session_auth_input(struct session *s, struct view in);

#endif
