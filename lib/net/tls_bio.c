/* SPDX-License-Identifier: ISC */
/*
 * tls_bio.c: the socket under OpenSSL.
 *
 * Runs in acceptors and deliverers; everything that is read is the peer's. The
 * socket is read as far ahead as a record is long, not asked again after it
 * gave less than there was room for (epoll will say), and for no more than a
 * call may take; until a client's handshake is done for little in all.
 */
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "net/tls_internal.h"

/*
 * What a client may send before its handshake is done: hellos and a chain of
 * certificates. OpenSSL alone would keep 128 KiB of a ClientHello, and a
 * stranger has 64 KiB in all (A7; smtpd/transaction.h).
 */
#define HANDSHAKE_MAX	18432

static int
socket_read(BIO *bio, char *p, int n)
{
	struct tls_conn *t = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (t->muted)
		return -1;
	if (t->drained || t->room == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (t->is_server && !t->established) {
		if (t->handshake_bytes == HANDSHAKE_MAX) {
			tls_conn_set_error(t, "the handshake is too long");
			t->error_no = EPROTO;
			return -1;
		}
		if ((size_t)n > HANDSHAKE_MAX - t->handshake_bytes)
			n = (int)(HANDSHAKE_MAX - t->handshake_bytes);
	}
	if ((size_t)n > t->room)
		n = (int)t->room;
	got = read(t->fd, p, (size_t)n);
	if (got > 0 && !t->established)
		t->handshake_bytes += (size_t)got;
	if (got == -1 && (errno == EAGAIN || errno == EINTR)) {
		t->drained = errno == EAGAIN;
		BIO_set_retry_read(bio);
		return -1;
	}
	if (got == -1)
		t->error_no = errno;
	else if (got == 0)
		t->eof = true;
	else
		t->drained = got < n;
	if (got > 0)
		t->room -= (size_t)got;
	if (got > 0 && t->is_server && !t->established &&
	    !tls_hello_passes(&t->hello,
		SSL_version(t->ssl) == TLS1_2_VERSION, p, (size_t)got)) {
		tls_conn_set_error(t, "the handshake is too long");
		t->error_no = EPROTO;
		return -1;
	}
	return (int)got;
}

static int
socket_write(BIO *bio, const char *p, int n)
{
	struct tls_conn *t = BIO_get_data(bio);
	ssize_t sent;

	BIO_clear_retry_flags(bio);
	if (t->muted)
		return n;
	sent = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
	if (sent == -1 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	else if (sent == -1)
		t->error_no = errno;
	return (int)sent;
}

static long
socket_ctrl(BIO *bio, int command, long number, void *p)
{
	(void)bio;
	(void)number;
	(void)p;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static int
socket_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO *
tls_bio_new(struct tls_conn *t)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL) {
		method = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
		if (method == NULL)
			return NULL;
		BIO_meth_set_read(method, socket_read);
		BIO_meth_set_write(method, socket_write);
		BIO_meth_set_ctrl(method, socket_ctrl);
		BIO_meth_set_create(method, socket_create);
	}
	bio = BIO_new(method);
	if (bio != NULL)
		BIO_set_data(bio, t);
	return bio;
}
