/* SPDX-License-Identifier: ISC */
/*
 * tls_conn.c: one TLS connection: handshake, bytes, end.
 *
 * Runs in acceptors and deliverers; everything that is read is the peer's.
 * The handshake runs in a fibre of OpenSSL's (SSL_MODE_ASYNC) while a
 * signature may be needed: the provider sends KEY_SIGN and pauses it, the
 * loop goes on, certd's answer wakes the owner, who calls the handshake
 * again. A connection that is given up meanwhile has its fibre run to its
 * end first, with nothing more said to the peer: otherwise what lies on its
 * stack would never be freed. Fibres are bounded; who finds none waits.
 * The socket under it is tls_bio.c's.
 */
#include <openssl/async.h>
#include <openssl/err.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

#define RECORD_MAX	16384	/* RFC 8446 5.1 */
/* Written at a call: other connections get their turn. */
#define WRITE_TURN_MAX	(16 * RECORD_MAX)
/*
 * Taken from the socket at a call beyond what the caller asked for. Records
 * that carry no byte for him (KeyUpdate, 27 bytes each and a key derivation)
 * would hold the loop for as long as a peer sends them.
 */
#define READ_TURN_MORE	(RECORD_MAX + 1024)
#define ERROR_MAX	500

TAILQ_HEAD(conns, tls_conn);

/* Whose handshake runs now; those that found no fibre. There is one loop in a process. */
static struct tls_conn *current;
static struct conns waiting = TAILQ_HEAD_INITIALIZER(waiting);

static void	wake_waiting(void *arg);
static struct loop_deferred wake_later = { .fn = wake_waiting };

/* ---- life ---- */

void
tls_conn_set_error(struct tls_conn *t, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	if (t->error != NULL)
		return;
	buf_init(&b, ERROR_MAX);
	va_start(ap, fmt);
	if (buf_vprintf(&b, fmt, ap) != 0)
		buf_put_str(&b, "too long to tell");
	va_end(ap);
	t->error = xstrdup(buf_cstr(&b));
	buf_fini(&b);
}

struct tls_conn *
tls_conn_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static void
on_key(void *arg)
{
	struct tls_conn *t = arg;

	t->wake(t->arg);
}

static struct tls_conn *
conn_new(SSL_CTX *ctx, int fd, void (*wake)(void *arg), void *arg)
{
	struct tls_conn *t = XNEW(struct tls_conn);
	BIO *bio;

	t->fd = fd;
	t->wake = wake;
	t->arg = arg;
	t->sign.ready = on_key;
	t->sign.arg = t;
	if (ctx == NULL)
		return t;
	t->ssl = SSL_new(ctx);
	bio = t->ssl != NULL ? tls_bio_new(t) : NULL;
	if (bio == NULL) {
		tls_conn_set_error(t, "OpenSSL: no memory");
		SSL_free(t->ssl);
		t->ssl = NULL;
		return t;
	}
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	return t;
}

struct tls_conn *
tls_conn_accept(struct tls_server *s, int fd, void (*wake)(void *arg), void *arg)
{
	struct tls_conn *t;
	struct buf why;

	buf_init(&why, ERROR_MAX);
	t = conn_new(tls_server_context(s, &why), fd, wake, arg);
	t->is_server = true;
	t->server = tls_server_ref(s);
	if (t->ssl == NULL) {
		tls_conn_set_error(t, "%s", buf_cstr(&why));
	} else {
		SSL_set_accept_state(t->ssl);
		SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
		if (!tls_server_has_tickets(s)) {
			SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
			SSL_set_num_tickets(t->ssl, 0);
		}
	}
	buf_fini(&why);
	return t;
}

/* What the handshake must know of e; the rest is for its end. */
static bool
prepare_client(struct tls_conn *t, const struct tls_expect *e)
{
	SSL_SESSION *session;

	if (e->sni != NULL && SSL_set_tlsext_host_name(t->ssl, e->sni) != 1)
		return false;
	if (tls_wanted_prepare(t->wanted, e, t->ssl) != 0)
		return false;
	if (e->session_key == NULL)
		return true;
	t->session_key = xstrdup(e->session_key);
	session = tls_sessions_take(
	    tls_client_sessions(t->client), t->session_key, &t->trust);
	if (session != NULL) {
		(void)SSL_set_session(t->ssl, session);
		SSL_SESSION_free(session);
	}
	return true;
}

struct tls_conn *
tls_conn_connect(struct tls_client *c, int fd, const struct tls_expect *e,
    void (*wake)(void *arg), void *arg)
{
	struct tls_conn *t;
	struct buf why;

	buf_init(&why, ERROR_MAX);
	t = conn_new(tls_client_context(c, e, &why), fd, wake, arg);
	t->client = tls_client_ref(c);
	t->wanted = tls_wanted_new(e);
	if (t->ssl == NULL) {
		tls_conn_set_error(t, "%s", buf_cstr(&why));
	} else {
		SSL_set_connect_state(t->ssl);
		if (tls_client_signs(c))
			SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
		if (!prepare_client(t, e)) {
			tls_conn_set_error(
			    t, "the server's name cannot be said");
			SSL_free(t->ssl);
			t->ssl = NULL;
		}
	}
	ERR_clear_error();
	buf_fini(&why);
	return t;
}

/* NULL: one that needs no fibres. */
static struct loop *
loop_of(struct tls_conn *t)
{
	return t->is_server ? tls_keys_loop(t->server->keys) :
			      tls_client_loop(t->client);
}

static void
leave_waiting(struct tls_conn *t)
{
	if (!t->waiting)
		return;
	TAILQ_REMOVE(&waiting, t, link);
	t->waiting = false;
}

/* A fibre is free, or nobody took the one there was. */
static void
let_next_try(struct tls_conn *t)
{
	struct loop *l = loop_of(t);

	if (!TAILQ_EMPTY(&waiting) && l != NULL)
		loop_defer(l, &wake_later);
}

static void
wake_waiting(void *arg)
{
	struct tls_conn *t = TAILQ_FIRST(&waiting);

	(void)arg;
	if (t == NULL)
		return;
	leave_waiting(t);
	t->wake(t->arg);
}

static int
run_handshake(struct tls_conn *t)
{
	struct tls_conn *before = current;
	int ret;

	current = t;
	ret = SSL_do_handshake(t->ssl);
	current = before;
	return ret;
}

/* The paused fibre runs to its end: it finds that nothing is wanted any more. */
static void
unwind(struct tls_conn *t)
{
	unsigned i;

	t->muted = true;
	for (i = 0; t->paused && i < 10; i++)
		t->paused = run_handshake(t) != 1 &&
		    SSL_get_error(t->ssl, -1) == SSL_ERROR_WANT_ASYNC;
	ERR_clear_error();
}

void
tls_conn_free(struct tls_conn **conn)
{
	struct tls_conn *t = *conn;
	unsigned i;

	*conn = NULL;
	if (t == NULL)
		return;
	tls_sign_fini(&t->sign);
	if (t->paused)
		unwind(t);
	leave_waiting(t);
	let_next_try(t);
	for (i = 0; i < t->nfresh; i++)
		SSL_SESSION_free(t->fresh[i]);
	/* Or OpenSSL takes the session for broken: QUIT is end enough for us. */
	if (t->established && !t->failed)
		SSL_set_shutdown(
		    t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	tls_wanted_free(&t->wanted);
	tls_server_unref(&t->server);
	tls_client_unref(&t->client);
	xfree(t->session_key);
	xfree(t->error);
	xfree(t->peer_name);
	xfree(t->issuer);
	xfree(t);
}

/* ---- signatures, within the fibre ---- */

/* RFC 8446 4.4.3: 64 blanks, the context, 0, the transcript's hash. */
static bool
transcript_hash(struct view tbs, bool is_server, struct view *hash_r)
{
	static const char pad[64 + 1] =
	    "                                                                ";
	struct view context = is_server ?
	    VIEW("TLS 1.3, server CertificateVerify") :
	    VIEW("TLS 1.3, client CertificateVerify");
	size_t begin = 64 + context.len + 1;

	if (tbs.len <= begin || memcmp(tbs.p, pad, 64) != 0 ||
	    memcmp(tbs.p + 64, context.p, context.len) != 0 ||
	    tbs.p[begin - 1] != '\0')
		return false;
	*hash_r = view_from(tbs, begin);
	return true;
}

static bool
what_is_signed(const struct tls_conn *t, struct view tbs,
    enum tls_sign_kind *kind_r, struct view *data_r)
{
	if (SSL_version(t->ssl) >= TLS1_3_VERSION) {
		*kind_r =
		    t->is_server ? TLS_SIGN_13_SERVER : TLS_SIGN_13_CLIENT;
		return transcript_hash(tbs, t->is_server, data_r);
	}
	*kind_r = t->is_server ? TLS_SIGN_12_SERVER : TLS_SIGN_12_CLIENT;
	*data_r = tbs;
	return true;
}

/* Until certd has answered, or the owner has gone. */
static bool
await_signature(struct tls_conn *t)
{
	while (!t->sign.done && !t->muted)
		if (ASYNC_pause_job() != 1)
			return false;
	return !t->muted;
}

int
tls_conn_sign(struct tls_signer *s, uint64_t number, unsigned scheme,
    struct view tbs, uint8_t *signature, size_t *len_r)
{
	struct tls_conn *t = current;
	struct view data = VIEW_NONE;
	enum tls_sign_kind kind;
	int error;

	if (t == NULL || t->muted || ASYNC_get_current_job() == NULL)
		return 0;
	if (!what_is_signed(t, tbs, &kind, &data)) {
		tls_conn_set_error(t, "a signature of an unknown kind");
		return 0;
	}
	error = s->keys == NULL ?
	    PK_EPEER :
	    tls_keys_sign(s->keys, &t->sign, number, kind, scheme, data);
	if (error == 0 && !await_signature(t))
		return 0;
	t->sign.pending = false;
	if (error == 0)
		error = t->sign.error;
	if (error == 0 && t->sign.len > *len_r)
		error = PK_EPROTO;
	if (error == 0) {
		memcpy(signature, t->sign.signature, t->sign.len);
		*len_r = t->sign.len;
	} else {
		tls_conn_set_error(
		    t, "no signature by certd: %s", pk_strerror(error));
	}
	tls_sign_fini(&t->sign);
	return error == 0;
}

/* ---- the handshake ---- */

static void
begin_call(struct tls_conn *t, size_t wanted)
{
	t->room = wanted + READ_TURN_MORE;
	t->drained = false;
	t->blocked = false;
	t->wants_write = false;
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* The words of the first thing that went wrong. */
static void
fail(struct tls_conn *t)
{
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);

	t->failed = true;
	if (t->eof) {
		tls_conn_set_error(t, "lost connection");
		t->error_no = EPIPE;
	} else if (t->error_no != 0) {
		tls_conn_set_error(t, "%s", strerror(t->error_no));
	} else {
		tls_conn_set_error(
		    t, "%s", reason != NULL ? reason : "TLS library problem");
		t->error_no = EPROTO;
	}
	ERR_clear_error();
}

/* Sessions that came go where the next connection finds them. */
static void
keep_sessions(struct tls_conn *t, bool fit)
{
	unsigned i;

	for (i = 0; i < t->nfresh; i++) {
		if (fit)
			tls_sessions_put(tls_client_sessions(t->client),
			    t->session_key, t->fresh[i], t->trust);
		else
			SSL_SESSION_free(t->fresh[i]);
	}
	t->nfresh = 0;
}

/* OpenSSL does not tell of a ticket that TLS 1.2 renewed. */
static void
note_renewed(struct tls_conn *t)
{
	if (t->session_key != NULL && t->nfresh == 0 &&
	    SSL_version(t->ssl) < TLS1_3_VERSION)
		t->fresh[t->nfresh++] = SSL_get1_session(t->ssl);
}

static void
established(struct tls_conn *t)
{
	t->established = true;
	SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
	if (t->is_server) {
		tls_trust_judge_client(t);
		return;
	}
	if (SSL_session_reused(t->ssl) == 1)
		note_renewed(t);
	else
		tls_trust_judge(t, t->wanted);
	/* A session with the wrong one is not worth keeping. */
	if (t->wanted->level > TLS_LEVEL_ENCRYPT &&
	    t->trust != TLS_TRUST_VERIFIED) {
		xfree(t->session_key);
		t->session_key = NULL;
	}
	tls_wanted_free(&t->wanted);
	keep_sessions(t, t->session_key != NULL);
}

static enum tls_status
handshake_stopped(struct tls_conn *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		t->wants_write = true;
		return TLS_WANT_WRITE;
	case SSL_ERROR_WANT_ASYNC:
		t->paused = true;
		return TLS_WANT_KEY;
	case SSL_ERROR_WANT_ASYNC_JOB:
		t->waiting = true;
		TAILQ_INSERT_TAIL(&waiting, t, link);
		return TLS_WANT_KEY;
	}
	fail(t);
	return TLS_FAILED;
}

enum tls_status
tls_conn_handshake(struct tls_conn *t)
{
	enum tls_status status = TLS_DONE;
	int ret;

	if (t->established)
		return TLS_DONE;
	if (t->failed || t->ssl == NULL) {
		t->failed = true;
		return TLS_FAILED;
	}
	if ((t->paused && !t->sign.done) || t->waiting)
		return TLS_WANT_KEY;
	begin_call(t, 0);
	t->paused = false;
	ret = run_handshake(t);
	if (ret == 1)
		established(t);
	else
		status = handshake_stopped(t, ret);
	if (!t->paused && !t->waiting)
		let_next_try(t);
	return status;
}

/* ---- bytes ---- */

/* -1 with errno as the header says, or 0 for the end. */
static ssize_t
report_end(struct tls_conn *t)
{
	t->reported = true;
	if (!t->failed)
		return 0;
	errno = t->error_no;
	return -1;
}

static void
read_stopped(struct tls_conn *t)
{
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		t->blocked = true;
		break;
	case SSL_ERROR_WANT_WRITE:
		t->blocked = t->wants_write = true;
		break;
	case SSL_ERROR_ZERO_RETURN:
		t->ended = true;
		break;
	default:
		fail(t);
	}
}

ssize_t
tls_conn_read(struct tls_conn *t, void *p, size_t n)
{
	size_t got = 0, some;

	if (t->failed || t->ended)
		return report_end(t);
	if (!t->established) {
		errno = EPROTO;
		return -1;
	}
	begin_call(t, n);
	while (got < n && !t->blocked && !t->failed && !t->ended) {
		/* Nothing is here or on the way: spares OpenSSL a buffer. */
		if (t->drained && SSL_has_pending(t->ssl) == 0)
			t->blocked = true;
		else if (SSL_read_ex(t->ssl, (char *)p + got, n - got, &some) ==
		    1)
			got += some;
		else
			read_stopped(t);
	}
	if (t->nfresh > 0)
		keep_sessions(t, true);
	if (got > 0)
		return (ssize_t)got;
	if (t->failed || t->ended)
		return report_end(t);
	errno = EAGAIN;
	return -1;
}

/*
 * What the next record holds: the caller's bytes where they are when they
 * fill it, else collected in piece.
 */
static struct view
next_record(const struct iovec *iov, int niov, size_t skip, char *piece)
{
	size_t n = 0, take;
	int i = 0;

	while (i < niov && skip >= iov[i].iov_len)
		skip -= iov[i++].iov_len;
	if (i == niov)
		return VIEW_NONE;
	if (iov[i].iov_len - skip >= RECORD_MAX || i + 1 == niov) {
		take = iov[i].iov_len - skip;
		return view_of((const char *)iov[i].iov_base + skip,
		    take < RECORD_MAX ? take : RECORD_MAX);
	}
	for (; i < niov && n < RECORD_MAX; i++, skip = 0) {
		take = iov[i].iov_len - skip;
		if (take > RECORD_MAX - n)
			take = RECORD_MAX - n;
		memcpy(piece + n, (const char *)iov[i].iov_base + skip, take);
		n += take;
	}
	return view_of(piece, n);
}

/* True: it left; false: t says why not. */
static bool
write_record(struct tls_conn *t, struct view bytes, size_t *sent_r)
{
	/* A record that began must go on with the bytes it began with. */
	if (bytes.len < t->write_owed) {
		tls_conn_set_error(t, "bytes were taken back");
		t->error_no = EPROTO;
		t->failed = true;
		return false;
	}
	if (SSL_write_ex(t->ssl, bytes.p, bytes.len, sent_r) == 1) {
		t->write_owed = 0;
		return true;
	}
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_WRITE:
		t->wants_write = true;
		t->write_owed = bytes.len;
		break;
	case SSL_ERROR_WANT_READ:
		t->write_owed = bytes.len;
		break;
	default:
		fail(t);
	}
	return false;
}

ssize_t
tls_conn_writev(struct tls_conn *t, const struct iovec *iov, int niov)
{
	static char piece[RECORD_MAX];
	size_t total = 0, sent = 0;
	struct view bytes;

	if (!t->established && !t->failed) {
		errno = EPROTO;
		return -1;
	}
	if (!t->failed)
		begin_call(t, 0);
	while (!t->failed && total < WRITE_TURN_MAX) {
		bytes = next_record(iov, niov, total, piece);
		if (bytes.len == 0)
			break;
		if (!write_record(t, bytes, &sent))
			break;
		total += sent;
	}
	if (total > 0)
		return (ssize_t)total;
	if (t->failed) {
		t->reported = true;
		errno = t->error_no;
		return -1;
	}
	if (!t->wants_write && t->write_owed == 0)
		return 0;
	errno = EAGAIN;
	return -1;
}

bool
tls_conn_pending(const struct tls_conn *t)
{
	if (t->failed || t->ended)
		return !t->reported;
	return t->established && !t->blocked && SSL_has_pending(t->ssl) == 1;
}

bool
tls_conn_wants_write(const struct tls_conn *t)
{
	return t->wants_write;
}

void
tls_conn_shutdown(struct tls_conn *t)
{
	if (!t->established || t->failed)
		return;
	begin_call(t, 0);
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* ---- under a stream ---- */

static ssize_t
stream_read(void *ctx, int fd, void *p, size_t n)
{
	(void)fd;
	return tls_conn_read(ctx, p, n);
}

static ssize_t
stream_writev(void *ctx, int fd, const struct iovec *iov, int niov)
{
	(void)fd;
	return tls_conn_writev(ctx, iov, niov);
}

static bool
stream_has_pending(void *ctx)
{
	return tls_conn_pending(ctx);
}

static void
stream_closed(void *ctx)
{
	struct tls_conn *t = ctx;

	tls_conn_shutdown(t);
	tls_conn_free(&t);
}

const struct stream_io tls_stream_io = {
	.read = stream_read,
	.writev = stream_writev,
	.close = stream_closed,
	.pending = stream_has_pending,
};
