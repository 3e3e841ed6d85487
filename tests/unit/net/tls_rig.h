/* SPDX-License-Identifier: ISC */
/*
 * tls_rig.h: both ends of TLS in one process, and a certd that the test plays.
 *
 * Keys and certificates are made at run time. The fake certd holds them,
 * says CERTIFICATE over a real channel and signs with OpenSSL's ordinary
 * keys, after it has checked that what it is asked to sign has the form that
 * ipc/tls_key.h states.
 */
#ifndef PK_TESTS_TLS_RIG_H
#define PK_TESTS_TLS_RIG_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/unit/unit.h"

#include "conf/conf.h"
#include "ipc/tls_key.h"
#include "net/tls.h"
#include "sys/loop.h"

#define RIG_CERTS_MAX	64

enum rig_kind { RIG_RSA, RIG_P256, RIG_P384, RIG_ED25519, RIG_KINDS };

/* What a certificate is to be; zeroes are usual. */
struct rig_spec {
	const char	*cn;
	const char	*names[4];	/* DNS names */
	long		 days;		/* validity; 0: 30; below 0: over for so long */
	bool		 ca;
	const struct rig_cert *issuer;	/* NULL: signs itself */
};

struct rig_cert {
	EVP_PKEY	*key;
	X509		*x509;
	enum rig_kind	 kind;
	const struct rig_cert *issuer;
};

/* A process-wide key of this kind: making RSA keys takes long. */
EVP_PKEY *rig_key(enum rig_kind kind, unsigned number);
struct rig_cert *rig_cert_new(enum rig_kind kind, unsigned key_number,
	    const struct rig_spec *spec);
void	rig_cert_free(struct rig_cert **c);

struct rig_entry {
	const struct rig_cert *cert;
	unsigned	 flags;
	const char	*names[4];
	uint64_t	 number;
};

/* How the fake certd answers KEY_SIGN. */
enum rig_mood {
	RIG_SIGNS,
	RIG_LATER,		/* keeps the request until rig_answer() */
	RIG_REFUSES,		/* CODE */
	RIG_LIES,		/* a signature that is none */
	RIG_TOO_LONG,		/* more than any key gives */
	RIG_GARBAGE,		/* a packet that is no KEY_SIGNED body */
	RIG_DIES,		/* closes its end */
};

struct rig {
	struct loop	*loop;
	struct tls_keys	*keys;		/* the process under test */
	struct ipc_channel *certd;	/* our end as certd; NULL: dead */
	enum rig_mood	 mood;
	struct rig_entry said[RIG_CERTS_MAX];	/* by number - 1 */
	unsigned	 nsaid, pending;	/* said in all; not READY yet */
	struct {
		uint32_t id;
		struct buf body;
	} owed;
	bool		 owes;
	unsigned	 signs;		/* KEY_SIGN seen */
	enum tls_sign_kind last_kind;
	unsigned	 last_scheme;
};

void	rig_init(struct rig *r, enum ipc_role role);
void	rig_fini(struct rig *r);
/* A new certd on a new channel. */
void	rig_certd(struct rig *r);
void	rig_certd_dies(struct rig *r);
void	rig_say(struct rig *r, const struct rig_cert *c, unsigned flags, const char *name1,
	    const char *name2);
void	rig_ready(struct rig *r);
/* n secrets, filled with the bytes first, first + 1... */
void	rig_tickets(struct rig *r, unsigned n, uint8_t first);
void	rig_answer(struct rig *r);
/* Turns of the loop until nothing more happens. */
void	rig_turn(struct rig *r);
/* Configuration from main.cf text; freed by the caller. */
struct conf *rig_conf(const char *text);

/* ---- a server of ours with a client of ours ---- */

struct rig_end {
	struct tls_conn	*conn;
	enum tls_status	 status;
	int		 fd;
	unsigned	 wakes;
};

struct rig_pair {
	struct rig_end	server, client;
};

/* Makes n socket pairs now, for rig_pair_init() in a process that can make none. */
void	rig_spares(unsigned n);
void	rig_pair_init(struct rig_pair *p, struct tls_server *s, struct tls_client *c,
	    const struct tls_expect *e);
/* Handshakes until both are done or failed; the number of rounds. */
unsigned rig_pair_shake(struct rig *r, struct rig_pair *p);
/* Some bytes each way, so that tickets are read. */
void	rig_pair_talk(struct rig_pair *p);
void	rig_pair_fini(struct rig_pair *p);

/* ---- the usual: a server for mx.example, a client without CAs ---- */

struct rig_bench {
	struct rig	 rig;
	struct conf	*conf;
	struct rig_cert	*cert;
	struct tls_server *server;
	struct tls_client *client;
};

void	rig_bench_init(struct rig_bench *b, enum rig_kind kind, const char *conf);
void	rig_bench_fini(struct rig_bench *b);
/* A handshake with e (NULL: level may) that must do on both ends. */
void	rig_bench_shake(struct rig_bench *b, const char *name, const struct tls_expect *e,
	    struct rig_pair *p_r);

/* ---- any other client: OpenSSL's own against our server ---- */

struct rig_stranger {
	struct rig_end	 server;
	SSL_CTX		*ctx;
	SSL		*ssl;
	int		 fd;
	int		 done;		/* SSL_do_handshake's last answer */
};

/* ctx is made; set it up, then _start. */
void	rig_stranger_init(struct rig_stranger *x);
void	rig_stranger_start(struct rig_stranger *x, struct tls_server *s);
void	rig_stranger_shake(struct rig *r, struct rig_stranger *x);
void	rig_stranger_fini(struct rig_stranger *x);
/* Writes a PEM file under a name of its own; the path is the caller's to free. */
char	*rig_write_pem(const struct rig_cert *c);

#endif
