/* SPDX-License-Identifier: ISC */
/*
 * tls_internal.h: what the files of lib/net/tls_*.c share; for nobody else.
 */
#ifndef PK_NET_TLS_INTERNAL_H
#define PK_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "base/map.h"
#include "ipc/tls_key.h"
#include "net/tls.h"

/* ---- tls_provider.c: the library and its keys ---- */

/* What every handshake needs, fetched once. */
struct tls_library {
	OSSL_LIB_CTX	*ctx;		/* without openssl.cnf */
	EVP_MD		*sha256, *sha512;
	EVP_CIPHER	*aes256_cbc;	/* tickets */
	EVP_KDF		*hkdf;
};

/* Loads all of it at the first call: before the confinement. Dies if it cannot. */
const struct tls_library *tls_library(void);

/* Where signatures come from; outlives its tls_keys in keys that sessions hold. */
struct tls_signer {
	unsigned	refs;
	struct tls_keys	*keys;		/* NULL: gone */
};

struct tls_signer *tls_signer_ref(struct tls_signer *s);
void	tls_signer_unref(struct tls_signer **s);

/* A private key of certd's as OpenSSL takes it; pub is its public part. NULL: not possible. */
EVP_PKEY *tls_provider_pkey(struct tls_signer *s, uint64_t number, enum tls_key_kind kind,
	    EVP_PKEY *pub);

/* ---- tls_keys.c ---- */

#define TLS_SIGNATURE_MAX	1024	/* RSA with 8192 bits */

/* A certificate of certd's. DER is parsed when it is first used: there may be 10,000. */
struct tls_certificate {
	uint64_t	number;
	enum tls_key_kind kind;
	unsigned	flags;		/* enum cert_flag */
	char		**names;
	size_t		nnames;
	struct buf	der;		/* the chain, leaf first */
	size_t		ders[TLS_CHAIN_MAX];	/* lengths */
	unsigned	nders;
	bool		bad;		/* does not parse: said once */
	X509		*leaf;
	STACK_OF(X509)	*chain;		/* without the leaf */
	EVP_PKEY	*pkey;
};

/* Certificates that serve one name: at most one a kind of key. */
struct tls_group {
	struct tls_certificate *cert[TLS_KEY_KINDS];
};

/* What certd said up to one CERTIFICATES_READY. */
struct tls_set {
	unsigned	refs;
	struct tls_signer *signer;
	struct tls_certificate **certs;
	size_t		ncerts, cap;
	struct map	*names;		/* to struct tls_group; server certificates */
	struct tls_group server;	/* CERT_DEFAULT */
	struct tls_group client;	/* CERT_CLIENT */
	unsigned	flags;		/* of all */
};

struct tls_set *tls_set_ref(struct tls_set *s);
void	tls_set_unref(struct tls_set **s);
/* The group of an exact name, of *.rest, else NULL. name may be anything. */
struct tls_group *tls_set_find(const struct tls_set *s, struct view name);
/* Gives ctx the certificates of g; false if there is none that can be used. */
bool	tls_set_use(struct tls_set *s, struct tls_group *g, SSL_CTX *ctx);

/* The set in use; NULL before the first one. */
struct tls_set *tls_keys_set(const struct tls_keys *k);
struct loop *tls_keys_loop(const struct tls_keys *k);

struct tls_ticket_secrets {
	unsigned	generation;	/* 0: none yet; changes with each TICKET_KEYS */
	unsigned	n;
	uint8_t		secret[TICKET_SECRETS_MAX][TICKET_SECRET_SIZE];
};
const struct tls_ticket_secrets *tls_keys_tickets(const struct tls_keys *k);

/* One KEY_SIGN under way. */
struct tls_sign {
	bool		pending, done;
	int		error;		/* when done */
	uint64_t	call;
	uint64_t	began_ns, took_ns;
	unsigned	count;
	uint8_t		*signature;	/* when done without error */
	size_t		len;
	void		(*ready)(void *arg);
	void		*arg;
};

/* 0, or an error; ready is called later, never from in here. data is copied. */
int	tls_keys_sign(struct tls_keys *k, struct tls_sign *op, uint64_t number,
	    enum tls_sign_kind kind, unsigned scheme, struct view data);
/* Wipes and forgets, also what is owed. */
void	tls_sign_fini(struct tls_sign *op);
/* A message of certd's: what the channel calls, for the fuzzer too. */
int	tls_keys_message(struct tls_keys *k, struct ipc_msg *m);
int	tls_keys_signed(struct ipc_msg *m, struct tls_sign *op);

/* ---- tls_params.c: words of main.cf ---- */

struct tls_protocols {
	int		least, greatest;	/* TLS1_2_VERSION..., 0: as the library */
	uint64_t	options;		/* SSL_OP_NO_..., for gaps */
};
/* param: the name that why begins with. 0 or PK_ESYNTAX. */
int	tls_params_protocols(const char *param, const char *value, struct tls_protocols *p_r,
	    struct buf *why);

struct tls_cipher_words {
	const char	*grade_param, *grade;
	const char	*exclude_param[2], *exclude[2];	/* NULL: none */
	const char	*always;	/* left out whatever is configured, ":!X:!Y" */
};
/* An OpenSSL list, checked to give at least one cipher. */
int	tls_params_ciphers(const struct conf *conf, const struct tls_cipher_words *w,
	    struct buf *list_r, struct buf *why);
/* "X25519:P-256" for SSL_CTX_set1_groups_list. */
int	tls_params_curves(const char *param, const char *value, struct buf *list_r,
	    struct buf *why);
/* Postfix's names of digests; NULL: unknown. */
EVP_MD	*tls_params_digest(const char *name);
/*
 * Trust anchors from a file, a folder and the system, read now. NULL with
 * why; names_r (may be NULL): subjects of the file's, to be asked for.
 */
X509_STORE *tls_params_trust(const char *file_param, const char *file, const char *path_param,
	    const char *path, bool append_default, STACK_OF(X509_NAME) **names_r,
	    struct buf *why);

/* ---- contexts ---- */

struct tls_server {
	unsigned	refs;
	struct tls_keys	*keys;
	char		*service;
	struct tls_protocols protocols;
	char		*ciphers, *curves;
	X509_STORE	*trust;
	STACK_OF(X509_NAME) *ca_names;
	int		depth;
	bool		ask, require;
	bool		preempt;
	uint64_t	ticket_seconds;	/* 0: none */
	uint8_t		id[32];		/* session id context */

	struct tls_set	*set;		/* what the contexts were made of */
	SSL_CTX		*main;
	struct map	*by_group;	/* struct tls_group * to struct tls_family */
	TAILQ_HEAD(tls_families, tls_family) lru;	/* the last used first */
	size_t		nfamilies;

	unsigned	tickets_generation;
	unsigned	ntickets;
	struct tls_ticket {
		uint8_t	name[16], cipher[32], mac[32];
	} tickets[TICKET_SECRETS_MAX];
};

/* The context of the moment; NULL with why. */
SSL_CTX	*tls_server_context(struct tls_server *s, struct buf *why);
bool	tls_server_has_tickets(struct tls_server *s);

struct tls_client;
/* The context for what e asks; NULL with why. */
SSL_CTX	*tls_client_context(struct tls_client *c, const struct tls_expect *e, struct buf *why);
bool	tls_client_signs(const struct tls_client *c);
const char *tls_client_digest(const struct tls_client *c);
/* NULL without keys. */
struct loop *tls_client_loop(const struct tls_client *c);

/* ---- tls_session.c: sessions that a client may resume ---- */

struct tls_sessions;
struct tls_sessions *tls_sessions_new(uint64_t lifetime_ms);
void	tls_sessions_free(struct tls_sessions **s);
/* Takes over session; at most a few a key. */
void	tls_sessions_put(struct tls_sessions *s, const char *key, SSL_SESSION *session,
	    enum tls_trust trust);
/* One for key that is still good, the caller's; NULL: none. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, const char *key, enum tls_trust *trust_r);
size_t	tls_sessions_count(const struct tls_sessions *s);
struct tls_sessions *tls_client_sessions(const struct tls_client *c);

/* ---- tls_hello.c: what a client may say before anything is encrypted ---- */

/*
 * OpenSSL has room for as much from the beginning. A hello with a key share
 * of each kind, post-quantum ones too, has a quarter of it; so has a chain of
 * a client certificate.
 */
#define TLS_HELLO_MAX	16384

/* A walk over records and messages; all zero at the first byte. */
struct tls_hello {
	bool		over;
	uint8_t		record[5], message[4];	/* headers */
	uint8_t		record_have, message_have;
	size_t		record_left, message_left;
};

/*
 * The next bytes of the wire; false: a handshake message in clear says that it
 * is longer than TLS_HELLO_MAX. is_12: TLS 1.2 has been agreed on.
 */
bool	tls_hello_passes(struct tls_hello *h, bool is_12, const void *bytes, size_t n);

/* ---- tls_conn.c ---- */

#define TLS_FRESH_MAX	2

struct tls_wanted;		/* a copy of struct tls_expect, until the handshake is done */

struct tls_conn {
	SSL		*ssl;		/* NULL: no context, the handshake fails */
	int		fd;
	size_t		handshake_bytes;	/* read before it was done */
	bool		is_server;
	bool		established;
	bool		failed, ended;
	bool		drained;	/* the socket gave less than asked, in this call */
	bool		eof, muted;
	bool		reported;	/* the owner knows that it failed or ended */
	bool		blocked;	/* the last read found no whole record */
	bool		wants_write;
	bool		waiting;	/* for a fibre */
	bool		paused;		/* within SSL_do_handshake, for a signature */
	int		error_no;	/* of the socket */
	size_t		write_owed;	/* bytes of a record that is not out yet */
	size_t		room;		/* bytes that this call may take from the socket */
	struct tls_hello hello;		/* server, until the handshake is done */
	enum tls_trust	trust;
	struct tls_server *server;
	struct tls_client *client;
	struct tls_wanted *wanted;
	char		*session_key;	/* client */
	SSL_SESSION	*fresh[TLS_FRESH_MAX];
	unsigned	nfresh;
	char		*error;
	char		*peer_name, *issuer;	/* made when asked for */
	void		(*wake)(void *arg);
	void		*arg;
	struct tls_sign	sign;
	TAILQ_ENTRY(tls_conn) link;	/* of those that wait for a fibre */
};

/* tls_bio.c; owned by the SSL that it is given to. NULL: no memory. */
BIO	*tls_bio_new(struct tls_conn *t);

struct tls_conn *tls_conn_of(const SSL *ssl);
/*
 * Called by the provider inside the handshake's fibre: 1 and a signature of
 * at most *len_r bytes, or 0.
 */
int	tls_conn_sign(struct tls_signer *s, uint64_t number, unsigned scheme, struct view tbs,
	    uint8_t *signature, size_t *len_r);
/* First words win. */
void	tls_conn_set_error(struct tls_conn *t, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* ---- tls_trust.c: is this the server that was meant ---- */

struct tls_wanted {
	enum tls_level	level;
	char		**names;
	size_t		nnames;
	char		**fingerprints;
	size_t		nfingerprints;
	size_t		ntlsa;		/* that OpenSSL took */
};

struct tls_wanted *tls_wanted_new(const struct tls_expect *e);
void	tls_wanted_free(struct tls_wanted **w);
/* DANE's part, before the handshake. */
int	tls_wanted_prepare(struct tls_wanted *w, const struct tls_expect *e, SSL *ssl);
/* After a full handshake: sets trust and the words for why it is not more. */
void	tls_trust_judge(struct tls_conn *t, const struct tls_wanted *w);
/* The same for a client's certificate. */
void	tls_trust_judge_client(struct tls_conn *t);

#endif
