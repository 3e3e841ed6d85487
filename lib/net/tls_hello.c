/* SPDX-License-Identifier: ISC */
/*
 * tls_hello.c: how long a client says that its hello is.
 *
 * Runs in acceptors, on a stranger's first bytes. OpenSSL makes room for a
 * handshake message as soon as its length is known, and takes a ClientHello of
 * 128 KiB: more than a stranger may hold (A7), and more than tls_bio.c lets it
 * send. Nothing of OpenSSL's bounds that, so the records that are not encrypted
 * are walked here on their way to it. A client's chain of certificates has
 * OpenSSL's bound (SSL_CTX_set_max_cert_list).
 */
#include "net/tls_internal.h"

/* RFC 8446 5.1, 4 */
#define RECORD_HEADER		5
#define MESSAGE_HEADER		4
#define RECORD_CHANGE_CIPHER	20
#define RECORD_HANDSHAKE	22

/* Of the bytes at p, as many as are wanted still. */
static size_t
collect(uint8_t *to, uint8_t *have, size_t want, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && *have < want; i++)
		to[(*have)++] = p[i];
	return i;
}

/* Bytes of a handshake record; false: a message is too long. */
static bool
messages(struct tls_hello *h, const uint8_t *p, size_t n)
{
	size_t step;

	while (n > 0) {
		if (h->message_left > 0) {
			step = n < h->message_left ? n : h->message_left;
			h->message_left -= step;
		} else {
			step = collect(h->message, &h->message_have,
			    MESSAGE_HEADER, p, n);
			if (h->message_have == MESSAGE_HEADER) {
				h->message_have = 0;
				h->message_left = (size_t)h->message[1] << 16 |
				    (size_t)h->message[2] << 8 | h->message[3];
			}
			if (h->message_left > TLS_HELLO_MAX)
				return false;
		}
		p += step;
		n -= step;
	}
	return true;
}

bool
tls_hello_passes(struct tls_hello *h, bool is_12, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t step;

	while (n > 0 && !h->over) {
		if (h->record_left == 0) {
			step = collect(h->record, &h->record_have,
			    RECORD_HEADER, p, n);
			if (h->record_have == RECORD_HEADER) {
				h->record_have = 0;
				h->record_left = (size_t)h->record[3] << 8 |
				    h->record[4];
				/* What follows in TLS 1.2 is encrypted. */
				h->over = is_12 &&
				    h->record[0] == RECORD_CHANGE_CIPHER;
			}
		} else {
			step = n < h->record_left ? n : h->record_left;
			if (h->record[0] == RECORD_HANDSHAKE &&
			    !messages(h, p, step))
				return false;
			h->record_left -= step;
		}
		p += step;
		n -= step;
	}
	return true;
}
