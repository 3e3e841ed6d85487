/* SPDX-License-Identifier: ISC */
/*
 * sasl_private.h: what the files of the SASL part share.
 *
 *	sasl.c		the list of mechanisms, life and limits of a conversation
 *	sasl_gsasl.c	libgsasl: sessions, its callback, wiping
 *	sasl_password.c	PLAIN, LOGIN
 *	sasl_scram.c	SCRAM-SHA-*, with and without channel binding
 *	sasl_proof.c	EXTERNAL, CRAM-MD5
 *	sasl_bearer.c	OAUTHBEARER, XOAUTH2
 */
#ifndef PK_AUTHD_SASL_PRIVATE_H
#define PK_AUTHD_SASL_PRIVATE_H

#include <gsasl.h>

#include "authd/authd.h"
#include "authd/sasl.h"
#include "sys/loop.h"

struct oauth;			/* oauth.h */
struct oauth_check;

/* More than any mechanism needs: LOGIN has three. */
#define SASL_STEPS_MAX		6
/* A program answers in milliseconds; who types LOGIN by hand gets this. */
#define SASL_CONVERSATION_MS	(2 * 60 * 1000)
/* tls-exporter has 32 bytes (RFC 9266). */
#define SASL_BINDING_MAX	64
/* The one text for a wrong password, an unknown user, a disabled one. */
#define SASL_TEXT_WRONG		"authentication failed"
#define SASL_TEXT_MALFORMED	"malformed response"
#define SASL_TEXT_AUTHZID	"another user's authorization identity"

struct sasl;

struct sasl_mechanism {
	const char	*name;		/* upper case, as clients write it */
	const char	*gsasl;		/* libgsasl's name; NULL: ours */
	unsigned	 flags;		/* enum auth_mechanism_flag */
	bool		 client_first;	/* without initial response: an empty challenge */
	/*
	 * Takes the client's message (one is there unless !client_first) and
	 * comes to one sasl_*() end below, at once or from a callback.
	 */
	void		(*step)(struct sasl *s, bool has_input, struct view input);
};

struct sasl_state {
	Gsasl		*gsasl;
	unsigned	 enabled;	/* bit n: row n of the table */
	struct oauth	*oauth;		/* NULL: not configured */
	struct map	*no_verifier;	/* logins that were told about in the log */
	unsigned char	 key[32];	/* of made-up SCRAM verifiers */
};

struct sasl {
	struct authd	*d;
	const struct sasl_mechanism *mech;
	struct verify_client who;	/* strings are ours */
	char		*address, *listener, *certificate;
	unsigned	 flags;
	char		 binding[SASL_BINDING_MAX];
	size_t		 binding_len;
	sasl_fn		 next;
	void		*arg;
	struct loop_timer timer;

	Gsasl_session	*session;
	bool		 asked;		/* libgsasl asked whether this is right */
	unsigned	 steps;
	bool		 waiting;	/* next is owed */
	bool		 expired;
	bool		 doomed;	/* unknown or disabled: goes on, fails at the end */
	bool		 proven;	/* said its last: an empty answer, then success */
	bool		 refused;	/* said why in a challenge: whatever comes, then failure */
	bool		 over;

	struct verify	*verify;
	struct oauth_check *check;
	struct buf	 user;		/* as the client wrote it */
	struct buf	 secret;	/* password: wiped */
	struct buf	 input;		/* message that waits for a look-up */
	char		*login;		/* canonical, once found */
};

/* Ends of a step. s may be gone when they return: return at once. */
void	sasl_challenge(struct sasl *s, struct view data);
void	sasl_succeed(struct sasl *s, const char *login);
/* Reported to the limits as a failed try of s->user. */
void	sasl_fail(struct sasl *s, const char *text);
/* The same for who was counted already (verify_password). */
void	sasl_fail_counted(struct sasl *s, const char *text);
void	sasl_temporary(struct sasl *s, const char *text);

/* Empty, or the same user as `user`: else false. */
bool	sasl_authzid_ok(struct sasl *s, struct view authzid, struct view user);
/* A login as clients may write it: length, UTF-8, no control characters. */
bool	sasl_user_ok(struct view user);
/* A mechanism with channel binding was offered at this connection. */
bool	sasl_binding_offered(const struct sasl *s);
/* Overwrites, then frees: of what was put at once, so that it never moved. */
void	sasl_wipe(struct buf *b);

/* sasl_gsasl.c. 0 or PK_EUNSUPPORTED. */
int	sasl_gsasl_begin(struct sasl *s);
void	sasl_gsasl_end(struct sasl *s);
/* GSASL_OK, GSASL_NEEDS_MORE or an error; the answer is appended to out. */
int	sasl_gsasl_step(struct sasl *s, struct view input, struct buf *out);
void	sasl_gsasl_set(struct sasl *s, Gsasl_property property, struct view value);
/* "" if it is not set. */
const char *sasl_gsasl_get(struct sasl *s, Gsasl_property property);
int	sasl_gsasl_callback(Gsasl *g, Gsasl_session *session, Gsasl_property property);

void	sasl_plain_step(struct sasl *s, bool has_input, struct view input);
void	sasl_login_step(struct sasl *s, bool has_input, struct view input);
void	sasl_scram_step(struct sasl *s, bool has_input, struct view input);
void	sasl_external_step(struct sasl *s, bool has_input, struct view input);
void	sasl_bearer_step(struct sasl *s, bool has_input, struct view input);
void	sasl_cram_step(struct sasl *s, bool has_input, struct view input);

#endif
