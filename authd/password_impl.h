/* SPDX-License-Identifier: ISC */
/*
 * password_impl.h: the parts of password.c among themselves.
 *
 * A verifier is given what stands behind the {SCHEME}, decoded as its suffix
 * says: 0, PK_EPERM, PK_EUNSUPPORTED, PK_EFORMAT, PK_ELIMIT (its cost is over
 * the bounds below: nothing was computed).
 */
#ifndef PK_AUTHD_PASSWORD_IMPL_H
#define PK_AUTHD_PASSWORD_IMPL_H

#include "authd/password.h"

/*
 * Whoever can write a hash into a source must not be able to stop a thread for
 * good: each bound is about a second of one of today's cores.
 */
#define PASSWORD_ROUNDS_MAX	2000000u	/* PBKDF2 and SCRAM */
#define PASSWORD_SHA_CRYPT_MAX	1000000u	/* rounds= of $5$ and $6$ */
#define PASSWORD_BCRYPT_MAX	14u		/* log2 of rounds */
#define PASSWORD_KIB_MAX	(256u * 1024)	/* memory of yescrypt and argon2 */
#define PASSWORD_KIB_PASSES_MAX	(2u * 1024 * 1024)	/* argon2: memory times passes */
#define PASSWORD_LANES_MAX	16u
#define PASSWORD_SALT_MAX	256
#define PASSWORD_HASH_MAX	512		/* characters of a hash with its prefix */

typedef int (*password_verify_fn)(struct view hash, struct view password, int variant);

/* password_crypt.c */
int	password_crypt_verify(struct view hash, struct view password, int variant);
int	password_argon2_verify(struct view hash, struct view password, int variant);
int	password_crypt_new(struct view password, struct buf *hash_r);
int	password_argon2_new(struct view password, struct buf *hash_r);
bool	password_crypt_is_weak(struct view hash);
bool	password_argon2_is_weak(struct view hash);

enum password_digest {
	PASSWORD_SHA1,
	PASSWORD_SHA256,
	PASSWORD_SHA512,
};

/* password_digest.c */
int	password_plain_verify(struct view hash, struct view password, int variant);
int	password_digest_verify(struct view hash, struct view password, int digest);
int	password_salted_verify(struct view hash, struct view password, int digest);
int	password_pbkdf2_verify(struct view hash, struct view password, int variant);
int	password_pbkdf2_ab64_verify(struct view hash, struct view password, int digest);
int	password_scram_verify(struct view hash, struct view password, int digest);
size_t	password_digest_size(int digest);

/* password.c: 0 or PK_EPERM, in a time that depends on the lengths alone. */
int	password_compare(struct view a, struct view b);
/* Base64 without padding, strict otherwise; '.' for '+' too. */
int	password_b64_decode(struct view text, struct buf *b);

#endif
