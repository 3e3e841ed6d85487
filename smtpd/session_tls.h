/* SPDX-License-Identifier: ISC */
/*
 * session_tls.h: a session's way into TLS, and what it knows of it then.
 */
#ifndef PK_SMTPD_SESSION_TLS_H
#define PK_SMTPD_SESSION_TLS_H

#include "smtpd/session.h"

/*
 * The handshake begins: with STARTTLS behind its 220, with implicit TLS before
 * the greeting. The session may be gone when it returns, here and below.
 */
void	session_tls_begin(struct session *s);
/* Its socket is ready, or its signature is there. */
void	session_tls_step(struct session *s);
/* It took too long. */
void	session_tls_timed_out(struct session *s);
/* What came with STARTTLS in clear text: thrown away, with a word in the log. */
void	session_tls_discard(struct session *s, struct view in);
/*
 * Too many new TLS sessions by this client (smtpd_client_new_tls_session_rate_limit);
 * says so in the log.
 */
bool	session_tls_over_limit(struct session *s);
/* The policy wants TLS (level encrypt) and there is none yet: 530. */
bool	session_needs_tls(const struct session *s);
extern const char session_needs_tls_reply[];

/* "TLSv1.3 with cipher ...": empty without TLS. Appended. */
void	session_tls_describe(const struct session *s, struct buf *b);
/* The comment of a trace header about the client's certificate. Appended. */
void	session_tls_describe_peer(const struct session *s, struct buf *b);

#endif
