/* SPDX-License-Identifier: ISC */
/*
 * fake_verify.h: verify.h's functions for tests of the SASL part, with a few
 * users and answers that come when the test says.
 */
#ifndef PK_TESTS_AUTHD_FAKE_VERIFY_H
#define PK_TESTS_AUTHD_FAKE_VERIFY_H

#include <stdbool.h>

#include "authd/authd.h"
#include "authd/verify.h"

struct fake_user {
	const char	*login;
	const char	*password;
	const char	*typed;		/* hash is of these bytes as they are; else NULL */
	bool		 disabled;
	bool		 no_verifier;
};

extern const struct fake_user fake_users[];

/* What was asked and reported since fake_reset(). */
struct fake_seen {
	unsigned	passwords;	/* verify_password() */
	unsigned	finds;
	unsigned	cancels;
	unsigned	failures;	/* verify_report() */
	unsigned	successes;
	char		password[64];	/* the last */
	char		reported[64];	/* user of the last report */
};
extern struct fake_seen fake_seen;
/* What the next questions are answered, instead of the truth; VERIFY_OK: the truth. */
extern enum verify_result fake_result;

void	fake_reset(void);
/* Answers what is open. False: nothing was. */
bool	fake_pump(void);

#endif
