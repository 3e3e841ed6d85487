/* SPDX-License-Identifier: ISC */
/*
 * sasl_scram.h: the parts of SCRAM (RFC 5802, 7677) that we read ourselves.
 */
#ifndef PK_AUTHD_SASL_SCRAM_H
#define PK_AUTHD_SASL_SCRAM_H

#include "base/buf.h"
#include "base/view.h"

/* RFC 5802 asks for unpredictable nonces, not for long ones. */
#define SCRAM_NONCE_MAX		256
#define SCRAM_ITERATIONS_MAX	10000000

/* client-first-message: what decides about channel binding and who it is. */
struct scram_first {
	char		flag;		/* 'n', 'y', 'p' */
	struct view	binding;	/* p: "tls-exporter" */
	struct view	nonce;
};

/*
 * Reads a client-first-message. user and authzid get the names with =2C and
 * =3D undone. PK_ESYNTAX, PK_ELIMIT (a buffer's maximum). An "m=" extension
 * is refused, as RFC 5802 says.
 */
int	scram_first_parse(struct view message, struct scram_first *first_r,
	    struct buf *user, struct buf *authzid);

/*
 * A saslname (RFC 5801): "=2C" and "=3D" stand for the comma and the equals
 * sign, there is no other "=". PK_ESYNTAX, PK_ELIMIT.
 */
int	scram_name_put(struct view name, struct buf *out);

/* "{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey" in pieces of the text. */
struct scram_verifier {
	struct view	iterations, salt, stored_key, server_key;
};

/* key_size: bytes of the hash. PK_EFORMAT: of no use. */
int	scram_verifier_parse(struct view text, struct view scheme, size_t key_size,
	    struct scram_verifier *v_r);

#endif
