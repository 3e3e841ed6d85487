/* SPDX-License-Identifier: ISC */
/*
 * tls_key.h: values that certd and who shakes hands exchange.
 *
 * KEY_SIGN states what is signed so closely that certd can build or check it:
 * a process that was taken over gets TLS handshake signatures and nothing
 * else that a key of the same certificate could sign.
 */
#ifndef PK_IPC_TLS_KEY_H
#define PK_IPC_TLS_KEY_H

enum tls_key_kind {
	TLS_KEY_RSA,
	TLS_KEY_EC,		/* P-256, P-384 */
	TLS_KEY_ED25519,
	TLS_KEY_KINDS
};

enum cert_flag {
	CERT_SERVER	= 1 << 0,	/* smtpd_tls_chain_files, tls_server_sni_maps */
	CERT_CLIENT	= 1 << 1,	/* smtp_tls_chain_files */
	CERT_DEFAULT	= 1 << 2,	/* for clients that name nobody we know */
};

enum tls_sign_kind {
	/* DATA: the transcript hash; certd puts RFC 8446 4.4.3's context in front. */
	TLS_SIGN_13_SERVER,
	TLS_SIGN_13_CLIENT,
	/* DATA: client_random, server_random, ServerECDHParams (RFC 8422 5.4), checked. */
	TLS_SIGN_12_SERVER,
	/* DATA: all handshake messages (RFC 5246 7.4.8); begins with a ClientHello. */
	TLS_SIGN_12_CLIENT,
	TLS_SIGN_KINDS
};

/* Ticket secrets: 16 bytes of name, 32 bytes from which each service derives its own keys. */
#define TICKET_SECRET_SIZE	48
#define TICKET_SECRETS_MAX	4
#define TLS_CHAIN_MAX		10	/* certificates of a chain */
#define TLS_CERTIFICATES_MAX	10000	/* a certd */
#define TLS_NAMES_MAX		100	/* server names of a certificate's row */

#endif
