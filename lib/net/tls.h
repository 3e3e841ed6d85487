/* SPDX-License-Identifier: ISC */
/*
 * tls.h: TLS connections, both ends, without private keys (OpenSSL 3).
 *
 *	tls_keys.c	certificates as certd states them, KEY_SIGN
 *	tls_provider.c	the OpenSSL provider whose keys live in certd
 *	tls_server.c	contexts of listeners: names, tickets, client certificates
 *	tls_client.c	contexts of transports: DANE, names, sessions
 *	tls_session.c	sessions that a transport may resume
 *	tls_trust.c	is this the server that was meant
 *	tls_conn.c	one connection: handshake, bytes, end
 *	tls_facts.c	what a handshake came to
 *	tls_chain.c	the peer's certificates, for people
 *	tls_params.c	Postfix's words for protocols, ciphers, curves, CAs
 *
 * Nothing here blocks: a handshake that needs a signature says TLS_WANT_KEY
 * and `wake` is called when it is there (SSL_MODE_ASYNC). The peer is
 * hostile. Renegotiation, compression and early data are off.
 */
#ifndef PK_NET_TLS_H
#define PK_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "net/stream.h"
#include "sys/loop.h"

/* ---- what certd says: one a process ---- */

struct tls_keys;

struct tls_keys *tls_keys_new(struct loop *l, enum ipc_role self);
/* Behind all contexts made with it; connections fail that still need a signature. */
void	tls_keys_free(struct tls_keys **k);
/*
 * certd's channel, also a new one after certd died; fd becomes ours. What was
 * said before stays in use until a new set is complete; signatures that are
 * owed fail (the handshake with them).
 */
void	tls_keys_channel(struct tls_keys *k, int fd, uint64_t instance);
/* There is a certificate with these flags (enum cert_flag): STARTTLS may be offered. */
bool	tls_keys_have(const struct tls_keys *k, unsigned flags);
/* Called after each new set (say what EHLO offers). One observer. */
void	tls_keys_observe(struct tls_keys *k, void (*changed)(void *arg), void *arg);

/* ---- contexts: one a listener or transport, made anew at reload ---- */

struct tls_server;
struct tls_client;

/*
 * conf: the listener's scope. service binds tickets: one that was given out
 * under another name opens no session here (A20). Files (CAfile, ...) are
 * read now: before the confinement. NULL with why (one line) when a value
 * cannot be used. Lives as long as its connections (counted).
 */
struct tls_server *tls_server_new(struct tls_keys *k, const struct conf *conf,
	    const char *service, struct buf *why);
/*
 * Before the confinement, for each scope whose context is made behind it: reads
 * the files that it names. What cannot be read is told by tls_server_new().
 */
void	tls_server_preload(const struct conf *conf);
struct tls_server *tls_server_ref(struct tls_server *s);
void	tls_server_unref(struct tls_server **s);

/* k may be NULL: no client certificate. */
struct tls_client *tls_client_new(struct tls_keys *k, const struct conf *conf, struct buf *why);
struct tls_client *tls_client_ref(struct tls_client *c);
void	tls_client_unref(struct tls_client **c);

/* ---- connections ---- */

struct tls_conn;

enum tls_status {
	TLS_DONE,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_WANT_KEY,		/* wake() will be called; the socket is of no interest till then */
	TLS_ENDED,		/* the peer closed in order */
	TLS_FAILED,		/* tls_conn_error() says why */
};

/*
 * fd stays the owner's, non-blocking. wake: see above; never from inside a
 * call. Never NULL: what stands in the way (no certificate yet) is the
 * handshake's failure.
 */
struct tls_conn *tls_conn_accept(struct tls_server *s, int fd, void (*wake)(void *arg),
	    void *arg);

/* How well a server is to be known (Postfix's levels, without those that need no TLS). */
enum tls_level {
	TLS_LEVEL_MAY,		/* whatever it shows */
	TLS_LEVEL_ENCRYPT,
	TLS_LEVEL_DANE,		/* TLSA records are there and must match (RFC 7672) */
	TLS_LEVEL_FINGERPRINT,
	TLS_LEVEL_VERIFY,	/* trust anchor and name */
	TLS_LEVEL_SECURE,	/* the same with names that DNS did not choose */
};

struct tls_tlsa {
	uint8_t		usage, selector, matching;
	struct view	data;
};

struct tls_expect {
	enum tls_level	level;
	const char	*sni;		/* server name to say; NULL: none */
	const char *const *names;	/* that the certificate may have, ".x" matches below x */
	size_t		nnames;
	const struct tls_tlsa *tlsa;	/* usable records (RFC 7672 3.1) */
	size_t		ntlsa;
	const char *const *fingerprints;	/* "aa:bb:..." by smtp_tls_fingerprint_digest */
	size_t		nfingerprints;
	const char	*protocols, *ciphers, *exclude;	/* policy overrides; NULL: conf's */
	/*
	 * Sessions are resumed under this key only: everything that the trust
	 * in the peer depends on must be in it. NULL: no resumption.
	 */
	const char	*session_key;
};

/* e is copied. */
struct tls_conn *tls_conn_connect(struct tls_client *c, int fd, const struct tls_expect *e,
	    void (*wake)(void *arg), void *arg);
/* Nothing is said to the peer: tls_conn_shutdown() does. Twice is fine. */
void	tls_conn_free(struct tls_conn **t);

/*
 * Goes on with the handshake until DONE or FAILED. After DONE bytes may be here
 * already: tls_conn_pending() (stream_init() looks by itself). The client is DONE also
 * when the peer's certificate does not fit e: look at tls_conn_trust().
 */
enum tls_status tls_conn_handshake(struct tls_conn *t);
/*
 * As read() and writev(): -1 with errno EAGAIN (and tls_conn_wants_write() or
 * not), EPROTO for an alert or garbage, EPIPE for an end without close_notify
 * (0 is the end in order). read goes on over records until p is full or the
 * socket is empty.
 */
ssize_t	tls_conn_read(struct tls_conn *t, void *p, size_t n);
ssize_t	tls_conn_writev(struct tls_conn *t, const struct iovec *iov, int niov);
/* Bytes are here that the socket will not announce. */
bool	tls_conn_pending(const struct tls_conn *t);
/* The last EAGAIN waits for room to write, not for bytes. */
bool	tls_conn_wants_write(const struct tls_conn *t);
/* close_notify, as far as the socket takes it now. */
void	tls_conn_shutdown(struct tls_conn *t);
/* Its ctx is a tls_conn after the handshake; close says close_notify and frees it. */
extern const struct stream_io tls_stream_io;

/* ---- facts, after the handshake ---- */

enum tls_trust {
	TLS_TRUST_ANONYMOUS,	/* the peer showed no certificate */
	TLS_TRUST_UNTRUSTED,	/* one that leads nowhere */
	TLS_TRUST_TRUSTED,	/* to a trust anchor; the name was not asked for or is another */
	TLS_TRUST_VERIFIED,	/* and the name, fingerprint or TLSA record fits */
};

enum tls_trust tls_conn_trust(const struct tls_conn *t);
/* Postfix's word: "Anonymous", "Untrusted", "Trusted", "Verified". */
const char *tls_trust_word(enum tls_trust trust);
/*
 * "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange
 * X25519 server-signature ECDSA (P-256) server-digest SHA256": Postfix's
 * words for the log; for trace headers too. Appended.
 */
void	tls_conn_describe(const struct tls_conn *t, struct buf *b);
/* "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_conn_protocol(const struct tls_conn *t);
const char *tls_conn_cipher(const struct tls_conn *t);
unsigned tls_conn_cipher_bits(const struct tls_conn *t);
bool	tls_conn_resumed(const struct tls_conn *t);
/* Server: the name the client asked for, or empty. */
const char *tls_conn_sni(const struct tls_conn *t);
/*
 * The peer's certificate: digest is a name as in smtpd_tls_fingerprint_digest;
 * "aa:bb:..." appended. PK_ENOENT: it showed none.
 */
int	tls_conn_fingerprint(const struct tls_conn *t, const char *digest, struct buf *b);
int	tls_conn_pubkey_fingerprint(const struct tls_conn *t, const char *digest, struct buf *b);
/* Common name, or first DNS or e-mail name: printable, at most 255 bytes; empty: none. */
const char *tls_conn_peer_name(const struct tls_conn *t);
const char *tls_conn_issuer(const struct tls_conn *t);
/* A certificate of the peer's as it may be shown: printable, bounded. */
struct tls_shown {
	const char	*subject, *issuer;	/* "CN=..., O=..." */
	const char	*names;			/* DNS names, parted by blanks */
	int64_t		not_before, not_after;	/* seconds since 1970; 0: cannot be read */
	const char	*sha256, *pubkey_sha256;	/* "AA:BB:..." */
};
/* Those that it sent, in its order (the leaf first), at most TLS_CHAIN_MAX. */
void	tls_conn_each_certificate(const struct tls_conn *t,
	    void (*fn)(const struct tls_shown *c, void *arg), void *arg);
/* Channel binding tls-exporter (RFC 9266), 32 bytes; PK_EUNSUPPORTED below TLS 1.3. */
int	tls_conn_exporter(const struct tls_conn *t, uint8_t binding_r[32]);
/* Why it failed, or why the peer is not trusted: words for a log line, never NULL. */
const char *tls_conn_error(const struct tls_conn *t);
/* Milliseconds and count of KEY_SIGN in this handshake, for measuring. */
uint64_t tls_conn_key_us(const struct tls_conn *t);

#endif
