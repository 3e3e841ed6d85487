/* SPDX-License-Identifier: ISC */
/*
 * tls_conn_test.c: bytes through a connection: records, room, ends, garbage.
 */
#include "tests/unit/net/tls_rig.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/stream.h"
#include "net/tls_internal.h"

static void
read_all(struct tls_conn *t, char *to, size_t n)
{
	size_t got = 0;
	ssize_t some;

	while (got < n) {
		some = tls_conn_read(t, to + got, n - got);
		if (some <= 0)
			fail_msg("%zu of %zu bytes, then %zd (errno %d)", got,
			    n, some, errno);
		got += (size_t)some;
	}
}

static void
test_pending(void **state)
{
	char out[40000], in[40000];
	struct iovec iov = { out, sizeof(out) };
	struct rig_bench b;
	struct rig_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7);
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	assert_false(tls_conn_pending(p.server.conn));
	assert_int_equal(tls_conn_writev(p.client.conn, &iov, 1), sizeof(out));
	assert_false(tls_conn_pending(p.server.conn));
	/* A record is here, of which a part was taken. */
	assert_int_equal(tls_conn_read(p.server.conn, in, 10), 10);
	assert_true(tls_conn_pending(p.server.conn));
	read_all(p.server.conn, in + 10, sizeof(in) - 10);
	assert_memory_equal(in, out, sizeof(in));
	/* Nothing more; it is sure of that after it has looked. */
	assert_int_equal(tls_conn_read(p.server.conn, in, 10), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(tls_conn_wants_write(p.server.conn));
	assert_false(tls_conn_pending(p.server.conn));
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* A call takes several records, as many as fit. */
static void
test_read_goes_on_over_records(void **state)
{
	struct iovec iov = { (void *)(uintptr_t) "NOOP\r\n", 6 };
	struct rig_bench b;
	struct rig_pair p;
	char in[1000];
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	for (i = 0; i < 50; i++)
		assert_int_equal(tls_conn_writev(p.client.conn, &iov, 1), 6);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), 300);
	for (i = 0; i < 50; i++)
		assert_memory_equal(in + i * 6, "NOOP\r\n", 6);
	assert_false(tls_conn_pending(p.server.conn));
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* Bytes on the wire between two ends, without the library looking. */
static size_t
wire_bytes(int fd)
{
	static char in[100000];
	ssize_t n = recv(fd, in, sizeof(in), MSG_PEEK | MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

static void
test_small_pieces_are_one_record(void **state)
{
	struct iovec iov[10];
	struct rig_bench b;
	struct rig_pair p;
	char in[1000];
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	for (i = 0; i < 10; i++) {
		iov[i].iov_base = (void *)(uintptr_t) "250 OK\r\n";
		iov[i].iov_len = i == 5 ? 0 : 8;
	}
	assert_int_equal(tls_conn_writev(p.server.conn, iov, 10), 72);
	/* TLS 1.3: a header of 5, a type of 1 and a tag of 16. */
	assert_int_equal(wire_bytes(p.client.fd), 72 + 22);
	assert_int_equal(tls_conn_read(p.client.conn, in, sizeof(in)), 72);
	assert_int_equal(tls_conn_writev(p.server.conn, iov + 5, 1), 0);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* A peer that reads nothing for a while, pieces of all sizes: nothing lost or doubled. */
static void
test_partial_writes(void **state)
{
	enum { TOTAL = 3000000 };
	char *out = xmalloc(TOTAL), *in = xmalloc(TOTAL);
	size_t sent = 0, got = 0, cut, i;
	struct iovec iov[5];
	struct rig_bench b;
	struct rig_pair p;
	unsigned stalls = 0;
	ssize_t n;

	(void)state;
	for (i = 0; i < TOTAL; i++)
		out[i] = (char)(i * 31 + i / 1000);
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	while (got < TOTAL) {
		while (sent < TOTAL) {
			/* The same bytes in other pieces each time: the stream's memory moves. */
			cut = (TOTAL - sent) / (stalls % 3 + 2);
			iov[0].iov_base = out + sent;
			iov[0].iov_len = cut;
			iov[1].iov_base = out + sent + cut;
			iov[1].iov_len = TOTAL - sent - cut;
			n = tls_conn_writev(p.server.conn, iov, 2);
			if (n == -1) {
				assert_int_equal(errno, EAGAIN);
				assert_true(
				    tls_conn_wants_write(p.server.conn));
				stalls++;
				break;
			}
			assert_true(n > 0);
			sent += (size_t)n;
		}
		n = tls_conn_read(p.client.conn, in + got,
		    50000 < TOTAL - got ? 50000 : TOTAL - got);
		assert_true(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_true(stalls > 3);
	assert_memory_equal(in, out, TOTAL);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
	xfree(out);
	xfree(in);
}

/* ---- ends ---- */

static void
test_ends(void **state)
{
	struct rig_bench b;
	struct rig_pair p;
	char in[100];

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "in order", NULL, &p);
	tls_conn_shutdown(p.client.conn);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), 0);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), 0);
	assert_false(tls_conn_pending(p.server.conn));
	rig_pair_fini(&p);

	rig_bench_shake(&b, "cut off", NULL, &p);
	shutdown(p.client.fd, SHUT_WR);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), -1);
	assert_int_equal(errno, EPIPE);
	assert_false(tls_conn_pending(p.server.conn));
	rig_pair_fini(&p);

	rig_bench_shake(&b, "garbage", NULL, &p);
	assert_int_equal(
	    write(p.client.fd, "QUIT\r\n and more than that", 25), 25);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), -1);
	assert_int_equal(errno, EPROTO);
	assert_true(tls_conn_error(p.server.conn)[0] != '\0');
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* The last words and the end come in one read of the socket: the end is not forgotten. */
static void
test_end_behind_bytes(void **state)
{
	struct iovec iov = { (void *)(uintptr_t) "QUIT\r\n", 6 };
	struct rig_bench b;
	struct rig_pair p;
	char in[100];

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	assert_int_equal(tls_conn_writev(p.client.conn, &iov, 1), 6);
	tls_conn_shutdown(p.client.conn);
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), 6);
	assert_true(tls_conn_pending(p.server.conn));
	assert_int_equal(tls_conn_read(p.server.conn, in, sizeof(in)), 0);
	assert_false(tls_conn_pending(p.server.conn));
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* A closed socket is an error, not a signal. */
static void
test_write_to_nobody(void **state)
{
	struct iovec iov = { (void *)(uintptr_t) "250 OK\r\n", 8 };
	struct rig_bench b;
	struct rig_pair p;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	close(p.client.fd);
	assert_int_equal(tls_conn_writev(p.server.conn, &iov, 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(tls_conn_writev(p.server.conn, &iov, 1), -1);
	tls_conn_shutdown(p.server.conn);
	p.client.fd = dup(p.server.fd);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* ---- the handshake's bytes ---- */

static void
on_wake(void *arg)
{
	(void)arg;
}

/* Moves at most n bytes from one socket to another. */
static bool
pass(int from, int to, size_t n)
{
	char bytes[20000];
	ssize_t got = recv(from, bytes, n, MSG_DONTWAIT);

	if (got <= 0)
		return false;
	assert_int_equal(write(to, bytes, (size_t)got), got);
	return true;
}

/* Both ends with a wire in between that gives n bytes at a time. */
static void
shake_by_pieces(struct rig_bench *b, size_t n)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	int c[2], s[2];
	struct rig_pair p;
	unsigned i;

	memset(&p, 0, sizeof(p));
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, c), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	p.client.conn = tls_conn_connect(b->client, c[0], &e, on_wake, NULL);
	p.server.conn = tls_conn_accept(b->server, s[0], on_wake, NULL);
	for (i = 0; i < 20000; i++) {
		p.client.status = tls_conn_handshake(p.client.conn);
		p.server.status = tls_conn_handshake(p.server.conn);
		if (p.client.status == TLS_DONE && p.server.status == TLS_DONE)
			break;
		if (p.server.status == TLS_WANT_KEY)
			loop_turn(b->rig.loop, 0);
		(void)pass(c[1], s[1], n);
		(void)pass(s[1], c[1], n);
	}
	assert_int_equal(p.client.status, TLS_DONE);
	assert_int_equal(p.server.status, TLS_DONE);
	tls_conn_free(&p.client.conn);
	tls_conn_free(&p.server.conn);
	close(c[0]);
	close(c[1]);
	close(s[0]);
	close(s[1]);
}

static void
test_handshake_bytewise(void **state)
{
	static const char *const versions[] = {
		"smtp_tls_protocols = TLSv1.3\n", "smtp_tls_protocols = TLSv1.2\n",
	};
	struct rig_bench b;
	size_t v;

	(void)state;
	for (v = 0; v < NELEMS(versions); v++) {
		rig_bench_init(&b, RIG_P256, versions[v]);
		shake_by_pieces(&b, 1);
		shake_by_pieces(&b, 3);
		shake_by_pieces(&b, 1000);
		rig_bench_fini(&b);
	}
}

static bool
survives(struct rig_bench *b, const char *bytes, size_t len, size_t piece)
{
	enum tls_status status = TLS_WANT_READ;
	struct tls_conn *t;
	size_t i, n;
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	t = tls_conn_accept(b->server, sv[0], on_wake, NULL);
	for (i = 0; i < len && status == TLS_WANT_READ; i += n) {
		n = len - i < piece ? len - i : piece;
		if (write(sv[1], bytes + i, n) != (ssize_t)n)
			break;
		status = tls_conn_handshake(t);
	}
	if (status == TLS_WANT_READ) {
		shutdown(sv[1], SHUT_WR);
		status = tls_conn_handshake(t);
	}
	if (status == TLS_FAILED)
		CHECK("says why", tls_conn_error(t)[0] != '\0');
	tls_conn_free(&t);
	close(sv[0]);
	close(sv[1]);
	return status == TLS_FAILED;
}

/* What is no ClientHello, whole and byte by byte; and a real one with each byte changed. */
static void
test_garbage(void **state)
{
	static const char *const words[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "EHLO x\r\nMAIL FROM:<>\r\n",
		"\x16\x03\x01\xff\xff", "\x16\x03\x01", "\x80\x2e\x01\x03\x01",
		"\x15\x03\x01\x00\x02\x02\x28", "\x17\x03\x03\x00\x05hello",
		"\x14\x03\x03\x00\x01\x01", "\x16\x03\x03\x00\x04\x01\xff\xff\xff",
	};
	static const size_t lens[] = { 0, 0, 5, 3, 5, 7, 10, 6, 9 };
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	char hello[2000];
	struct rig_bench b;
	struct rig_pair p;
	ssize_t len;
	size_t i, n;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	for (i = 0; i < NELEMS(words); i++) {
		n = lens[i] > 0 ? lens[i] : strlen(words[i]);
		CHECK(words[i], survives(&b, words[i], n, n));
		CHECK(words[i], survives(&b, words[i], n, 1));
	}
	rig_pair_init(&p, b.server, b.client, &e);
	(void)tls_conn_handshake(p.client.conn);
	len = read(p.server.fd, hello, sizeof(hello));
	assert_true(len > 100);
	rig_pair_fini(&p);
	/* Cut off anywhere it never gets on. */
	for (i = 0; i < (size_t)len; i += 7)
		CHECK("cut", survives(&b, hello, i, (size_t)len));
	for (i = 0; i < (size_t)len; i++) {
		hello[i] ^= 0x55;
		(void)survives(&b, hello, (size_t)len, (size_t)len);
		hello[i] ^= 0x55;
	}
	rig_turn(&b.rig);
	rig_bench_shake(&b, "as before", NULL, &p);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* Records with these bytes, n at a time. */
static bool
passes(const char *bytes, size_t len, bool is_12, size_t piece)
{
	struct tls_hello h;
	size_t i, n;

	memset(&h, 0, sizeof(h));
	for (i = 0; i < len; i += n) {
		n = len - i < piece ? len - i : piece;
		if (!tls_hello_passes(&h, is_12, bytes + i, n))
			return false;
	}
	return true;
}

#define HELLO(size)	"\x16\x03\x01\x00\x06\x01" size "ab"
#define CCS		"\x14\x03\x03\x00\x01\x01"
#define LONGEST		"\x00\x40\x00"
#define LONGER		"\x00\x40\x01"
#define ROW(b)		b, sizeof(b) - 1

static void
test_A7_length_of_a_hello(void **state)
{
	static const struct {
		const char	*name, *bytes;
		size_t		 len;
		bool		 passes, passes_12;
	} rows[] = {
		{ "longest", ROW(HELLO(LONGEST)), true, true },
		{ "longer", ROW(HELLO(LONGER)), false, false },
		{ "OpenSSL's longest", ROW(HELLO("\x02\x01\x3c")), false, false },
		{ "greatest", ROW(HELLO("\xff\xff\xff")), false, false },
		/* Two messages in a record, and one header over three. */
		{ "second", ROW("\x16\x03\x01\x00\x0a\x01\x00\x00\x02xy\x01" LONGER),
		    false, false },
		{ "parted", ROW("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00"
		    "\x16\x03\x01\x00\x03" LONGER), false, false },
		{ "parted, longest", ROW("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03"
		    LONGEST), true, true },
		/* Behind it everything is encrypted in TLS 1.2, a second hello comes in 1.3. */
		{ "change of cipher", ROW(CCS HELLO(LONGER)), false, true },
		{ "encrypted", ROW("\x17\x03\x03\x00\x04\x01\xff\xff\xff"), true, true },
		{ "alert", ROW("\x15\x03\x03\x00\x04\x01\xff\xff\xff"), true, true },
	};
	size_t i, piece;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		for (piece = 1; piece <= rows[i].len; piece++) {
			CHECK(rows[i].name, passes(rows[i].bytes, rows[i].len, false,
			    piece) == rows[i].passes);
			CHECK(rows[i].name, passes(rows[i].bytes, rows[i].len, true,
			    piece) == rows[i].passes_12);
		}
	}
}

static size_t
waiting_bytes(int fd)
{
	int n = 0;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return (size_t)n;
}

/* Records without a byte for us, as many as come, do not hold the loop. */
static void
test_A9_key_updates(void **state)
{
	enum { UPDATES = 4000 };
	struct rig_stranger x;
	struct rig_bench b;
	unsigned calls = 0;
	char in[100], *wire;
	ssize_t n = -1;
	BIO *mem;
	long len;
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_stranger_init(&x);
	rig_stranger_start(&x, b.server);
	rig_stranger_shake(&b.rig, &x);
	assert_int_equal(x.server.status, TLS_DONE);
	mem = BIO_new(BIO_s_mem());
	SSL_set0_wbio(x.ssl, mem);
	for (i = 0; i < UPDATES; i++) {
		assert_int_equal(SSL_key_update(x.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(x.ssl), 1);
	}
	assert_int_equal(SSL_write(x.ssl, "NOOP\r\n", 6), 6);
	len = BIO_get_mem_data(mem, &wire);
	assert_int_equal(write(x.fd, wire, (size_t)len), len);
	while (n == -1 && waiting_bytes(x.server.fd) > 0) {
		n = tls_conn_read(x.server.conn, in, sizeof(in));
		assert_true(n != -1 || errno == EAGAIN);
		/* What is left is in the socket, which says so. */
		assert_false(n == -1 && tls_conn_pending(x.server.conn));
		calls++;
	}
	assert_int_equal(n, 6);
	assert_memory_equal(in, "NOOP\r\n", 6);
	assert_true(calls >= (unsigned)len / 20000);
	rig_stranger_fini(&x);
	rig_bench_fini(&b);
}

/* ---- under a stream ---- */

struct seen {
	size_t		got;
	bool		ended;
};

static void
on_data(struct stream *s, struct view bytes, void *arg)
{
	struct seen *seen = arg;

	(void)s;
	seen->got += bytes.len;
	if (bytes.len == 0)
		seen->ended = true;
}

static void
on_drained(struct stream *s, void *arg)
{
	(void)s;
	(void)arg;
}

static void
on_failed(struct stream *s, int error, void *arg)
{
	(void)s;
	(void)arg;
	fail_msg("stream: %s", strerror(error));
}

/* More than the stream's buffer holds in one go, and the end right behind it. */
static void
test_stream(void **state)
{
	static const struct stream_ops ops = { on_data, on_drained, on_failed };
	static char out[16384 * 3 + 100];
	struct iovec iov = { out, sizeof(out) };
	struct seen seen = { 0, false };
	struct rig_bench b;
	struct rig_pair p;
	struct stream s;
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_bench_shake(&b, "pair", NULL, &p);
	assert_int_equal(tls_conn_writev(p.client.conn, &iov, 1), sizeof(out));
	tls_conn_shutdown(p.client.conn);
	stream_init(&s, b.rig.loop, dup(p.server.fd), &tls_stream_io,
	    p.server.conn, &ops, &seen);
	p.server.conn = NULL;
	for (i = 0; i < 20; i++)
		loop_turn(b.rig.loop, 0);
	assert_int_equal(seen.got, sizeof(out));
	assert_true(seen.ended);
	stream_close(&s);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* A client that does not wait: its words come in one piece with its Finished. */
static void
test_bytes_behind_the_handshake(void **state)
{
	static const struct stream_ops ops = { on_data, on_drained, on_failed };
	struct iovec iov = { (void *)(uintptr_t) "EHLO x\r\n", 8 };
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct seen seen = { 0, false };
	struct rig_bench b;
	struct rig_pair p;
	struct stream s;
	int i;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_pair_init(&p, b.server, b.client, &e);
	(void)tls_conn_handshake(p.client.conn);
	assert_int_equal(tls_conn_handshake(p.server.conn), TLS_WANT_KEY);
	rig_turn(&b.rig);
	assert_int_equal(tls_conn_handshake(p.server.conn), TLS_WANT_READ);
	assert_int_equal(tls_conn_handshake(p.client.conn), TLS_DONE);
	assert_int_equal(tls_conn_writev(p.client.conn, &iov, 1), 8);
	assert_int_equal(tls_conn_handshake(p.server.conn), TLS_DONE);
	assert_true(tls_conn_pending(p.server.conn));
	stream_init(&s, b.rig.loop, dup(p.server.fd), &tls_stream_io,
	    p.server.conn, &ops, &seen);
	p.server.conn = NULL;
	for (i = 0; i < 3; i++)
		loop_turn(b.rig.loop, 0);
	assert_int_equal(seen.got, 8);
	stream_close(&s);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_bytes_behind_the_handshake),
    cmocka_unit_test(test_pending), cmocka_unit_test(test_read_goes_on_over_records),
    cmocka_unit_test(test_small_pieces_are_one_record),
    cmocka_unit_test(test_partial_writes), cmocka_unit_test(test_ends),
    cmocka_unit_test(test_end_behind_bytes), cmocka_unit_test(test_write_to_nobody),
    cmocka_unit_test(test_handshake_bytewise), cmocka_unit_test(test_garbage),
    cmocka_unit_test(test_A7_length_of_a_hello),
    cmocka_unit_test(test_A9_key_updates), cmocka_unit_test(test_stream))
