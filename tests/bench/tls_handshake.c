/* SPDX-License-Identifier: ISC */
/*
 * tls_handshake.c: what TLS costs: handshakes with the key here and with the
 * key in another process, resumed ones, and memory of idle sessions.
 *
 *	tls_handshake [ROUNDS [SESSIONS [direct | certd | resumed]]]
 *
 * A child process plays certd: it signs with OpenSSL's ordinary keys. "direct"
 * is the same server code of OpenSSL's with the key in-process, "certd" ours.
 * The client end runs in this process too; its CPU is measured apart and not
 * in the figures. Run by a developer; not part of the tests.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "ipc/ipc.h"
#include "ipc/tls_key.h"
#include "net/tls.h"

static EVP_PKEY *key;
static X509 *cert;
static bool rsa;
static struct loop *l;

static void
make_certificate(void)
{
	X509_NAME *name;

	key = rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048) :
		    EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	cert = X509_new();
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * 30);
	name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"mx.example", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	if (X509_sign(cert, key, EVP_sha256()) <= 0)
		errx(1, "X509_sign");
}

/* ---- certd ---- */

static int
sign(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	static const char head[] =
	    "                                                                "
	    "TLS 1.3, server CertificateVerify";
	uint64_t number = 0, kind = 0, scheme = 0;
	struct view data = VIEW_NONE;
	uint8_t tbs[500], sig[1024];
	size_t len = sizeof(sig);
	EVP_PKEY_CTX *ctx = NULL;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct ipc_out o;
	struct ipc_in in;

	(void)arg;
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_KEY, &number);
	ipc_get_u64(&in, IPC_F_KIND, &kind);
	ipc_get_u64(&in, IPC_F_SCHEME, &scheme);
	ipc_get_bytes(&in, IPC_F_DATA, 64, &data);
	if (ipc_in_end(&in) != 0 || kind != TLS_SIGN_13_SERVER)
		errx(1, "KEY_SIGN");
	memcpy(tbs, head, sizeof(head));
	memcpy(tbs + sizeof(head), data.p, data.len);
	EVP_DigestSignInit(md, &ctx, EVP_sha256(), NULL, key);
	if (rsa) {
		EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST);
	}
	if (EVP_DigestSign(md, sig, &len, tbs, sizeof(head) + data.len) != 1)
		errx(1, "EVP_DigestSign");
	EVP_MD_CTX_free(md);
	ipc_out_init(&o, IPC_KEY_SIGNED);
	ipc_put_u64(&o, IPC_F_CODE, 0);
	ipc_put_bytes(&o, IPC_F_DATA, view_of((const char *)sig, len));
	return ipc_reply(ch, m, &o);
}

static void
gone(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	(void)arg;
	_exit(0);
}

static const struct ipc_channel_ops ops = { sign, gone };

static void
certd(int fd)
{
	struct loop *mine = loop_new();
	struct ipc_channel *ch;
	unsigned char *der = NULL;
	char secret[TICKET_SECRET_SIZE] = { 1 };
	struct ipc_out o;
	int len;

	ch = ipc_channel_new(
	    mine, fd, IPC_ROLE_certd, IPC_ROLE_smtpd, 1, &ops, NULL);
	len = i2d_X509(cert, &der);
	ipc_out_init(&o, IPC_CERTIFICATE);
	ipc_put_u64(&o, IPC_F_KEY, 1);
	ipc_put_u64(&o, IPC_F_KIND, rsa ? TLS_KEY_RSA : TLS_KEY_EC);
	ipc_put_u64(&o, IPC_F_FLAGS, CERT_SERVER | CERT_DEFAULT);
	ipc_put_bytes(&o, IPC_F_RDATA, view_of((char *)der, (size_t)len));
	ipc_send(ch, &o);
	ipc_out_init(&o, IPC_TICKET_KEYS);
	ipc_put_bytes(&o, IPC_F_DATA, view_of(secret, sizeof(secret)));
	ipc_send(ch, &o);
	ipc_out_init(&o, IPC_CERTIFICATES_READY);
	ipc_put_u64(&o, IPC_F_COUNT, 1);
	ipc_send(ch, &o);
	loop_run(mine);
}

/* ---- the client, OpenSSL's own ---- */

static SSL_CTX *client_ctx;
static SSL_SESSION *session;

static int
on_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(session);
	session = s;
	return 1;
}

static SSL *
client_new(int fd, bool resume)
{
	SSL *ssl = SSL_new(client_ctx);

	SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	if (resume && session != NULL)
		SSL_set_session(ssl, session);
	return ssl;
}

/* ---- measuring ---- */

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t
child_cpu_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec ts = { 0, 0 };

	if (clock_getcpuclockid(pid, &clock) == 0)
		clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool woken;

static void
wake(void *arg)
{
	(void)arg;
	woken = true;
}

/* Server's share of one connection with our code, in CPU and wall time. */
struct cost {
	uint64_t	cpu, wall, key;
};

static struct tls_conn *
serve(struct tls_server *s, SSL *client, int fd, struct cost *cost)
{
	enum tls_status status = TLS_WANT_READ;
	uint64_t at = cpu_ns(), wall = clock_mono_ns();
	struct tls_conn *t = tls_conn_accept(s, fd, wake, NULL);
	unsigned i;

	for (i = 0; i < 1000 && status != TLS_DONE; i++) {
		cost->cpu += cpu_ns() - at;
		cost->wall += clock_mono_ns() - wall;
		(void)SSL_do_handshake(client);
		wall = clock_mono_ns();
		at = cpu_ns();
		status = tls_conn_handshake(t);
		while (status == TLS_WANT_KEY) {
			for (woken = false; !woken;)
				loop_turn(l, 1000);
			status = tls_conn_handshake(t);
		}
		if (status == TLS_FAILED)
			errx(1, "%s", tls_conn_error(t));
	}
	cost->cpu += cpu_ns() - at;
	cost->wall += clock_mono_ns() - wall;
	cost->key += tls_conn_key_us(t);
	return t;
}

static void
bench_ours(struct tls_server *s, unsigned rounds, bool resume, pid_t certd_pid)
{
	struct cost cost = { 0, 0, 0 };
	uint64_t before = child_cpu_ns(certd_pid);
	struct tls_conn *t;
	unsigned i, resumed = 0;
	char in[100];
	SSL *c;
	int sv[2];

	for (i = 0; i < rounds; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) ==
		    -1)
			err(1, "socketpair");
		c = client_new(sv[1], resume);
		t = serve(s, c, sv[0], &cost);
		(void)SSL_read(c, in, sizeof(in));
		resumed += tls_conn_resumed(t);
		tls_conn_free(&t);
		SSL_set_shutdown(c, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(c);
		close(sv[0]);
		close(sv[1]);
	}
	printf("%-8s %-8s cpu %6.1f us, certd's %6.1f us, wall %6.1f us, key"
	       " %6.1f us, %u resumed\n",
	    rsa ? "RSA" : "P-256", resume ? "resumed" : "certd",
	    (double)cost.cpu / rounds / 1000,
	    (double)(child_cpu_ns(certd_pid) - before) / rounds / 1000,
	    (double)cost.wall / rounds / 1000, (double)cost.key / rounds,
	    resumed);
}

static void
bench_direct(unsigned rounds)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	uint64_t cpu = 0, wall = 0, at, wat;
	unsigned i, k;
	char in[100];
	SSL *c, *s;
	int sv[2], done;

	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	for (i = 0; i < rounds; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) ==
		    -1)
			err(1, "socketpair");
		c = client_new(sv[1], false);
		wat = clock_mono_ns();
		at = cpu_ns();
		s = SSL_new(ctx);
		SSL_set_fd(s, sv[0]);
		SSL_set_accept_state(s);
		for (k = 0, done = 0; k < 10 && done != 1; k++) {
			cpu += cpu_ns() - at;
			wall += clock_mono_ns() - wat;
			(void)SSL_do_handshake(c);
			wat = clock_mono_ns();
			at = cpu_ns();
			done = SSL_do_handshake(s);
		}
		cpu += cpu_ns() - at;
		wall += clock_mono_ns() - wat;
		(void)SSL_read(c, in, sizeof(in));
		SSL_free(s);
		SSL_free(c);
		close(sv[0]);
		close(sv[1]);
	}
	SSL_CTX_free(ctx);
	printf("%-8s direct   cpu %6.1f us, wall %6.1f us\n",
	    rsa ? "RSA" : "P-256", (double)cpu / rounds / 1000,
	    (double)wall / rounds / 1000);
}

static long
private_kib(void)
{
	char line[200];
	uint64_t n = 0, one;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct view v = view_str(line), word, number;

		if (!view_starts(v, VIEW("Private_Dirty:")) &&
		    !view_starts(v, VIEW("Private_Clean:")))
			continue;
		if (view_next(&v, " \t", &word) &&
		    view_next(&v, " \t", &number) &&
		    num_parse_u64(number, 0, UINT64_MAX, &one) == 0)
			n += one;
	}
	if (f != NULL)
		fclose(f);
	return (long)n;
}

/*
 * Idle sessions after a handshake and a few commands. The client ends are in
 * a process of their own.
 */
static void
client_process(int fd, unsigned n)
{
	struct msghdr mh;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte, in[100];
	struct iovec iov = { &byte, 1 };
	unsigned i;
	SSL *c;
	int sock;

	for (i = 0; i < n; i++) {
		memset(&mh, 0, sizeof(mh));
		mh.msg_iov = &iov;
		mh.msg_iovlen = 1;
		mh.msg_control = control.bytes;
		mh.msg_controllen = sizeof(control.bytes);
		if (recvmsg(fd, &mh, 0) != 1)
			_exit(1);
		memcpy(&sock, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(sock));
		c = client_new(sock, false);
		if (SSL_do_handshake(c) != 1 ||
		    SSL_write(c, "EHLO x\r\n", 8) != 8 ||
		    SSL_read(c, in, sizeof(in)) <= 0)
			_exit(2);
	}
	pause();
	_exit(0);
}

static void
pass_socket(int fd, int sock)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh;
	struct cmsghdr *c;

	memset(&mh, 0, sizeof(mh));
	memset(&control, 0, sizeof(control));
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = control.bytes;
	mh.msg_controllen = sizeof(control.bytes);
	c = CMSG_FIRSTHDR(&mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sock, sizeof(sock));
	if (sendmsg(fd, &mh, 0) != 1)
		err(1, "sendmsg");
}

static struct tls_conn *
accept_idle(struct tls_server *s, int fd)
{
	struct iovec iov = { (void *)(uintptr_t) "250-x\r\n", 7 };
	struct tls_conn *t = tls_conn_accept(s, fd, wake, NULL);
	enum tls_status status;
	char in[100];

	do {
		status = tls_conn_handshake(t);
		if (status == TLS_WANT_KEY)
			loop_turn(l, 100);
		if (status == TLS_FAILED)
			errx(1, "%s", tls_conn_error(t));
	} while (status != TLS_DONE);
	while (tls_conn_read(t, in, sizeof(in)) <= 0)
		;
	if (tls_conn_writev(t, &iov, 1) != 7)
		errx(1, "write");
	(void)tls_conn_read(t, in, sizeof(in));
	return t;
}

static void
bench_idle(struct tls_server *s, unsigned n)
{
	struct tls_conn **t = xcalloc(n, sizeof(struct tls_conn *));
	struct rlimit rl = { 20000, 20000 };
	int pair[2], sv[2];
	long before = 0;
	unsigned i;
	pid_t pid;

	(void)setrlimit(RLIMIT_NOFILE, &rl);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		err(1, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		client_process(pair[1], n);
	}
	for (i = 0; i < n; i++) {
		/* The first ones pay for what all share. */
		if (i == n / 10)
			before = private_kib();
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
			err(1, "socketpair");
		pass_socket(pair[0], sv[1]);
		close(sv[1]);
		(void)fcntl(sv[0], F_SETFL, O_NONBLOCK);
		t[i] = accept_idle(s, sv[0]);
	}
	printf("idle sessions: %.1f KiB each (%u)\n",
	    (double)(private_kib() - before) / (n - n / 10), n);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (i = 0; i < n; i++)
		tls_conn_free(&t[i]);
	xfree(t);
}

static const char *only;

static bool
wants(const char *what)
{
	return only == NULL || strcmp(only, what) == 0;
}

static void
run(unsigned rounds, unsigned sessions)
{
	struct conf *conf = conf_load("main.cf", VIEW("\n"), NULL, NULL);
	struct tls_keys *keys;
	struct tls_server *s;
	struct buf why;
	pid_t pid;
	int sv[2];

	make_certificate();
	if (ipc_socketpair(sv) != 0)
		err(1, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		certd(sv[1]);
		_exit(0);
	}
	close(sv[1]);
	l = loop_new();
	keys = tls_keys_new(l, IPC_ROLE_smtpd);
	tls_keys_channel(keys, sv[0], 1);
	while (!tls_keys_have(keys, CERT_SERVER))
		loop_turn(l, 100);
	buf_init(&why, 1000);
	s = tls_server_new(keys, conf, "smtpd", &why);
	if (s == NULL)
		errx(1, "%s", buf_cstr(&why));
	if (sessions > 0) {
		bench_idle(s, sessions);
	} else {
		if (wants("direct"))
			bench_direct(rounds);
		if (wants("certd"))
			bench_ours(s, rounds, false, pid);
		if (wants("resumed"))
			bench_ours(s, rounds, true, pid);
	}
	tls_server_unref(&s);
	tls_keys_free(&keys);
	waitpid(pid, NULL, 0);
	conf_free(&conf);
	loop_free(&l);
}

int
main(int argc, char **argv)
{
	uint64_t rounds = 2000, sessions = 2000;

	if (argc > 1 &&
	    num_parse_u64(view_str(argv[1]), 0, 1000000, &rounds) != 0)
		errx(1, "ROUNDS");
	if (argc > 2 &&
	    num_parse_u64(view_str(argv[2]), 0, 1000000, &sessions) != 0)
		errx(1, "SESSIONS");
	if (argc > 3)
		only = argv[3];
	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(
	    client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client_ctx, on_session);
	if (rounds > 0) {
		run((unsigned)rounds, 0);
		rsa = true;
		run((unsigned)rounds, 0);
		rsa = false;
	}
	if (sessions > 0)
		run(0, (unsigned)sessions);
	return 0;
}
