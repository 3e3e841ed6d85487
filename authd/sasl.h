/* SPDX-License-Identifier: ISC */
/*
 * sasl.h: one SASL conversation with a client, by libgsasl; OAUTHBEARER and
 * XOAUTH2 are ours (oauth.h).
 *
 * Bytes of the client go in decoded (base64 is the acceptor's); each call of
 * sasl_step() leads to exactly one call of `next`, at once or later, unless
 * sasl_free() comes before. A conversation may be freed within `next`; it must
 * be after a success or failure. Failures are told at once: who delays them
 * (auth_failure_delay) is the caller. Nothing goes with a success: what a
 * mechanism says last is a challenge, answered by an empty message.
 */
#ifndef PK_AUTHD_SASL_H
#define PK_AUTHD_SASL_H

#include "authd/verify.h"
#include "ipc/auth.h"
#include "sys/sandbox.h"

struct sasl;

struct sasl_client {
	struct verify_client who;
	unsigned	flags;		/* enum auth_session_flag */
	struct view	binding;	/* tls-exporter data; empty where no -PLUS is offered */
	const char	*certificate;	/* verified name, or "" */
};

struct sasl_result {
	enum auth_state	state;
	struct view	data;		/* challenge; valid during the call */
	const char	*login;		/* success */
	const char	*text;		/* failure: for the log and the reply */
};

typedef void (*sasl_fn)(const struct sasl_result *r, void *arg);

/*
 * Before the confinement: mechanisms of the configuration. PK_ESYNTAX,
 * PK_EUNSUPPORTED with why (one line).
 */
int	sasl_init(struct authd *d, struct buf *why);
/* d->conf is a new one. On failure what was in force stays. */
int	sasl_reload(struct authd *d, struct buf *why);
void	sasl_fini(struct authd *d);
/* What made-up verifiers derive from: the same in all authd, and after each start. */
void	sasl_set_secret(struct authd *d, const unsigned char key[32]);
/* What confinement must leave open for it: files of keys, token services. */
void	sasl_needs(const struct conf *conf, struct sandbox_spec *spec);
/* {name, enum auth_mechanism_flag}: what there is by configuration. */
void	sasl_mechanisms(struct authd *d, void (*fn)(const char *name, unsigned flags, void *arg),
	    void *arg);
/* NULL: no such mechanism, or not under these circumstances (c->flags). */
struct sasl *sasl_new(struct authd *d, struct view mechanism, const struct sasl_client *c,
	    sasl_fn next, void *arg);
void	sasl_free(struct sasl **s);
/* The last step has not been answered yet: an acceptor that goes on lies. */
bool	sasl_waiting(const struct sasl *s);
/* has_input false: the client sent no initial response. Not while sasl_waiting(). */
void	sasl_step(struct sasl *s, bool has_input, struct view input);

#endif
