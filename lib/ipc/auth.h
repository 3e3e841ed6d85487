/* SPDX-License-Identifier: ISC */
/*
 * auth.h: values that authd, acceptors (smtpd) and qmgr exchange about logins.
 *
 * A ticket is authd's proof that a user logged in at a worker: {version u8,
 * key number u8, expiry u64 (wall seconds), instance u64 of the worker, MAC
 * over these and the login: HMAC-SHA-256 cut to 16 bytes}. The key stays in
 * authd (kept in its directory, renewed daily, old ones kept as long as mail
 * may be queued), so that a worker can neither make one for another user nor
 * use one that another worker got.
 */
#ifndef PK_IPC_AUTH_H
#define PK_IPC_AUTH_H

#define AUTH_TICKET_SIZE	34
#define AUTH_LOGIN_MAX		320	/* user@domain, bytes */
#define AUTH_DATA_MAX		12288	/* a SASL message, decoded (RFC 4954 4: 12288 encoded) */

enum auth_session_flag {
	AUTH_SESSION_TLS	= 1 << 0,	/* plaintext mechanisms are fine */
	AUTH_SESSION_TLS13	= 1 << 1,	/* tls-exporter binding (RFC 9266) */
	AUTH_SESSION_LOCAL	= 1 << 2,	/* Unix socket listener */
};

enum auth_mechanism_flag {
	AUTH_MECHANISM_PLAINTEXT = 1 << 0,	/* sends the password: offered with TLS only
						 * unless smtpd_tls_auth_only is no */
	AUTH_MECHANISM_BINDING	= 1 << 1,	/* -PLUS: needs channel binding */
	AUTH_MECHANISM_EXTERNAL	= 1 << 2,	/* needs a verified client certificate */
};

enum auth_state {
	AUTH_CHALLENGE,
	AUTH_SUCCESS,
	AUTH_FAILURE,		/* 535 5.7.8, or as DSN says */
	AUTH_TEMPORARY,		/* 454 4.7.0 */
	AUTH_STATES
};

#endif
