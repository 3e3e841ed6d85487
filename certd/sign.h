/* SPDX-License-Identifier: ISC */
/*
 * sign.h: what KEY_SIGN may have signed (lib/ipc/tls_key.h), and signing it.
 */
#ifndef CERTD_SIGN_H
#define CERTD_SIGN_H

#include "certd/pair.h"

/* RSA of RSA_BITS_MAX bits is the longest one. */
#define SIGN_MAX	2048

/*
 * May this key sign this? 0 with the bytes to be signed appended to tbs;
 * PK_EPERM: the key is not for that kind, or the scheme not for the key;
 * PK_EPROTO: data is nothing that a handshake would have signed. why: a few
 * words (static).
 */
int	sign_prepare(const struct pair *p, enum tls_sign_kind kind, unsigned scheme,
	    struct view data, struct buf *tbs, const char **why_r);
/*
 * Signs what sign_prepare() allowed. May run in any thread. 0 with *len_r
 * bytes at sig_r; PK_EIO when OpenSSL cannot.
 */
int	sign_do(const struct pair *p, unsigned scheme, struct view tbs, uint8_t sig_r[SIGN_MAX],
	    size_t *len_r);
/* Handshakes that this kind belongs to: CERT_SERVER or CERT_CLIENT. */
unsigned sign_kind_flag(enum tls_sign_kind kind);

#endif
