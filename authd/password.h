/* SPDX-License-Identifier: ISC */
/*
 * password.h: password hash schemes, with Dovecot's {SCHEME} prefixes.
 *
 * yescrypt ($y$), argon2id, bcrypt ($2[aby]$), SHA512-CRYPT, SHA256-CRYPT,
 * MD5-CRYPT only for verifying, SSHA, SSHA256, SSHA512, SHA*, PBKDF2,
 * SCRAM-SHA-256, SCRAM-SHA-1, PLAIN. A hash without a prefix is recognised by
 * its shape. Called in threads; everything here is thread safe.
 */
#ifndef PK_AUTHD_PASSWORD_H
#define PK_AUTHD_PASSWORD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/view.h"

#define PASSWORD_MAX	1024		/* bytes of a password */
/* RFC 7677 4 wants 4096 at least; a client computes them at each login. */
#define PASSWORD_SCRAM_ROUNDS	10000

/*
 * 0: right; PK_EPERM: wrong; PK_EUNSUPPORTED, PK_EFORMAT: the hash is of no use;
 * PK_ELIMIT: it would cost more than the bounds of password_impl.h. An empty
 * password is wrong.
 */
int	password_verify(const char *hash, struct view password);
/* It has the form of a hash of a scheme we know (without computing anything). */
bool	password_is_known(const char *hash);
/*
 * What a user who does not exist costs: as long as `scheme` (a name, or a hash
 * whose settings are taken) takes for a wrong one.
 */
void	password_waste(const char *scheme, struct view password);
/* "{SCHEME}..." of a new hash; scheme "yescrypt", "argon2id" (auth_hash_scheme). */
int	password_hash(const char *scheme, struct view password, struct buf *hash_r);
/* "{SSHA512}...": fast, and good enough for what we drew at random ourselves: app passwords. */
int	password_salted_new(struct view password, struct buf *hash_r);
/* "{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey" (base64 inside), RFC 5803's content. */
int	password_scram(const char *scheme, struct view password, struct buf *verifier_r);
/* It should be made anew at the next login: weaker than `scheme`, or old parameters. */
bool	password_is_weak(const char *hash, const char *scheme);

#endif
