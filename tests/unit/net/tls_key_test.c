/* SPDX-License-Identifier: ISC */
/*
 * tls_key_test.c: a certd that is late, dies, refuses or lies, and what it
 * says of certificates (A24: a sibling that was taken over).
 */
#include "tests/unit/net/tls_rig.h"

#include <sys/wait.h>

#include <string.h>
#include <unistd.h>

#include "sys/sandbox.h"

static const char *const versions[] = {
	"smtp_tls_protocols = TLSv1.3\n", "smtp_tls_protocols = TLSv1.2\n",
};

/* ---- signatures ---- */

static void
test_A24_certd_that_does_not_sign(void **state)
{
	static const struct {
		const char *name;
		enum rig_mood mood;
		const char *error;
		bool channel_stays;
	} rows[] = {
		{ "refuses", RIG_REFUSES, "no signature by certd: not permitted", true },
		{ "dies", RIG_DIES, "no signature by certd: peer is gone", false },
		{ "garbage", RIG_GARBAGE, "no signature by certd: protocol violation",
		    false },
		{ "too long", RIG_TOO_LONG,
		    "no signature by certd: protocol violation", true },
	};
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;
	size_t i, v;

	(void)state;
	unit_ignore_log();
	for (i = 0; i < NELEMS(rows); i++)
		for (v = 0; v < NELEMS(versions); v++) {
			rig_bench_init(&b, RIG_RSA, versions[v]);
			b.rig.mood = rows[i].mood;
			rig_pair_init(&p, b.server, b.client, &e);
			rig_pair_shake(&b.rig, &p);
			CHECK_INT(rows[i].name, p.server.status, TLS_FAILED);
			CHECK_INT(rows[i].name, p.client.status, TLS_FAILED);
			CHECK_VIEW(rows[i].name,
			    view_str(tls_conn_error(p.server.conn)), rows[i].error);
			rig_pair_fini(&p);
			CHECK_INT(rows[i].name, b.rig.certd != NULL,
			    rows[i].channel_stays);
			/* The certificates are still there, and a new certd signs. */
			CHECK(rows[i].name, tls_keys_have(b.rig.keys, CERT_SERVER));
			b.rig.mood = RIG_SIGNS;
			rig_certd(&b.rig);
			rig_turn(&b.rig);
			rig_bench_shake(&b, rows[i].name, NULL, &p);
			rig_pair_fini(&p);
			rig_bench_fini(&b);
		}
}

/* A false signature is the client's to find; it does no harm here. */
static void
test_A24_certd_that_lies(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;
	size_t v;

	(void)state;
	for (v = 0; v < NELEMS(versions); v++) {
		rig_bench_init(&b, RIG_P256, versions[v]);
		b.rig.mood = RIG_LIES;
		rig_pair_init(&p, b.server, b.client, &e);
		rig_pair_shake(&b.rig, &p);
		CHECK_INT(versions[v], p.client.status, TLS_FAILED);
		CHECK_INT(versions[v], p.server.status, TLS_FAILED);
		rig_pair_fini(&p);
		rig_bench_fini(&b);
	}
}

static void
test_late_signature(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;
	size_t v;

	(void)state;
	for (v = 0; v < NELEMS(versions); v++) {
		rig_bench_init(&b, RIG_P256, versions[v]);
		b.rig.mood = RIG_LATER;
		rig_pair_init(&p, b.server, b.client, &e);
		rig_pair_shake(&b.rig, &p);
		CHECK_INT(versions[v], p.server.status, TLS_WANT_KEY);
		CHECK_INT(versions[v], p.server.wakes, 0);
		/* Asking again changes nothing. */
		CHECK_INT(versions[v], tls_conn_handshake(p.server.conn),
		    TLS_WANT_KEY);
		rig_answer(&b.rig);
		CHECK_INT(versions[v], p.server.wakes, 1);
		rig_pair_shake(&b.rig, &p);
		CHECK_INT(versions[v], p.server.status, TLS_DONE);
		CHECK_INT(versions[v], p.client.status, TLS_DONE);
		rig_pair_talk(&p);
		rig_pair_fini(&p);
		rig_bench_fini(&b);
	}
}

/* The client is gone while certd signs; then certd answers, or dies, or we end. */
static void
test_cancelled(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;
	unsigned i;
	char c;

	(void)state;
	for (i = 0; i < 6; i++) {
		rig_bench_init(&b, RIG_P256, versions[i % 2]);
		b.rig.mood = RIG_LATER;
		rig_pair_init(&p, b.server, b.client, &e);
		rig_pair_shake(&b.rig, &p);
		CHECK_INT("before", p.server.status, TLS_WANT_KEY);
		tls_conn_free(&p.server.conn);
		assert_null(p.server.conn);
		/* Nothing was said to the client. */
		CHECK_INT("silent", read(p.client.fd, &c, 1), -1);
		if (i / 2 == 0)
			rig_answer(&b.rig);
		else if (i / 2 == 1)
			rig_certd_dies(&b.rig);
		rig_turn(&b.rig);
		CHECK_INT("after", p.server.wakes, 0);
		rig_pair_fini(&p);
		rig_bench_fini(&b);
	}
}

/* The process ends, or its contexts are made anew, with a signature under way. */
static void
test_keys_go_first(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	b.rig.mood = RIG_LATER;
	rig_pair_init(&p, b.server, b.client, &e);
	rig_pair_shake(&b.rig, &p);
	tls_server_unref(&b.server);
	rig_ready(&b.rig); /* a set without certificates */
	rig_answer(&b.rig);
	rig_pair_shake(&b.rig, &p);
	CHECK_INT("old set", p.server.status, TLS_DONE);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* More handshakes at once than there are fibres: the others wait their turn. */
static void
test_more_than_fibres(void **state)
{
	enum { N = 300 };
	static struct rig_pair p[N];
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	unsigned i, round, done = 0;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	for (i = 0; i < N; i++) {
		rig_pair_init(&p[i], b.server, b.client, &e);
		(void)tls_conn_handshake(p[i].client.conn);
	}
	/* All of them ask before certd gets a turn of the loop. */
	for (i = 0; i < N; i++) {
		p[i].server.status = tls_conn_handshake(p[i].server.conn);
		CHECK_INT("asked", p[i].server.status, TLS_WANT_KEY);
	}
	/* Two of those that wait give up. */
	rig_pair_fini(&p[N - 1]);
	rig_pair_fini(&p[N - 20]);
	for (round = 0; round < 1000 && done < N - 2; round++) {
		loop_turn(b.rig.loop, 0);
		for (done = 0, i = 0; i < N; i++) {
			if (p[i].server.conn == NULL)
				continue;
			if (p[i].server.wakes > 0) {
				p[i].server.wakes = 0;
				p[i].server.status =
				    tls_conn_handshake(p[i].server.conn);
			} else if (p[i].server.status == TLS_WANT_READ) {
				(void)tls_conn_handshake(p[i].client.conn);
				p[i].server.status =
				    tls_conn_handshake(p[i].server.conn);
			}
			done += p[i].server.status == TLS_DONE;
		}
	}
	CHECK_INT("done", done, N - 2);
	for (i = 0; i < N; i++)
		if (p[i].server.conn != NULL)
			rig_pair_fini(&p[i]);
	rig_bench_fini(&b);
}

static void
test_without_certificate(void **state)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_bench b;
	struct rig_pair p;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	rig_ready(&b.rig);
	rig_pair_init(&p, b.server, b.client, &e);
	rig_pair_shake(&b.rig, &p);
	CHECK_INT("none", p.server.status, TLS_FAILED);
	CHECK_VIEW("none", view_str(tls_conn_error(p.server.conn)),
	    "no server certificate");
	rig_pair_fini(&p);
	/* One that only says its own name. */
	rig_say(&b.rig, b.cert, CERT_SERVER, "mx.example", NULL);
	rig_ready(&b.rig);
	rig_pair_init(&p, b.server, b.client, &e);
	rig_pair_shake(&b.rig, &p);
	CHECK_INT("no default", p.server.status, TLS_FAILED);
	rig_pair_fini(&p);
	e.sni = "mx.example";
	rig_bench_shake(&b, "named", &e, &p);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

/* ---- what certd says of certificates ---- */

struct said {
	const char	*name;
	uint64_t	 kind, flags;
	const char	*server_name;
	unsigned	 names, ders;
	size_t		 der_len;
	bool		 trailing, no_key;
};

static void
say_raw(struct rig *r, const struct said *s)
{
	static const char zeroes[60000];
	struct ipc_out o;
	unsigned i;

	ipc_out_init(&o, IPC_CERTIFICATE);
	if (!s->no_key)
		ipc_put_u64(&o, IPC_F_KEY, 1);
	ipc_put_u64(&o, IPC_F_KIND, s->kind);
	ipc_put_u64(&o, IPC_F_FLAGS, s->flags);
	for (i = 0; i < s->names; i++)
		ipc_put_str(&o, IPC_F_NAME, s->server_name);
	for (i = 0; i < s->ders; i++)
		ipc_put_bytes(&o, IPC_F_RDATA, view_of(zeroes, s->der_len));
	if (s->trailing)
		ipc_put_u64(&o, IPC_F_COUNT, 1);
	assert_int_equal(ipc_send(r->certd, &o), 0);
	rig_turn(r);
}

static void
test_A24_certificates_out_of_bounds(void **state)
{
	static const struct said rows[] = {
		{ "kind", 3, 1, "a", 1, 1, 10, false, false },
		{ "flags", 0, 8, "a", 1, 1, 10, false, false },
		{ "no name's bytes", 0, 1, "", 1, 1, 10, false, false },
		{ "upper case", 0, 1, "A.example", 1, 1, 10, false, false },
		{ "star inside", 0, 1, "a.*.example", 1, 1, 10, false, false },
		{ "blank", 0, 1, "a b", 1, 1, 10, false, false },
		{ "names", 0, 1, "a", TLS_NAMES_MAX + 1, 1, 10, false, false },
		{ "no chain", 0, 1, "a", 1, 0, 10, false, false },
		{ "long chain", 0, 1, "a", 1, TLS_CHAIN_MAX + 1, 10, false, false },
		{ "empty", 0, 1, "a", 1, 1, 0, false, false },
		{ "trailing", 0, 1, "a", 1, 1, 10, true, false },
		{ "no number", 0, 1, "a", 1, 1, 10, false, true },
	};
	struct rig_bench b;
	struct rig_pair p;
	size_t i;

	(void)state;
	unit_ignore_log();
	for (i = 0; i < NELEMS(rows); i++) {
		rig_bench_init(&b, RIG_P256, "");
		say_raw(&b.rig, &rows[i]);
		CHECK(rows[i].name, b.rig.certd == NULL);
		rig_certd(&b.rig);
		rig_bench_shake(&b, rows[i].name, NULL, &p);
		rig_pair_fini(&p);
		rig_bench_fini(&b);
	}
}

/* Bytes that are no certificate, or one of another kind of key: found when it is used. */
static void
test_A24_certificates_that_are_none(void **state)
{
	struct said garbage = { "garbage", TLS_KEY_EC,
		CERT_SERVER | CERT_DEFAULT, "bad.example", 1, 1, 500, false,
		false };
	struct tls_expect e = { .level = TLS_LEVEL_MAY, .sni = "bad.example" };
	struct rig_bench b;
	struct rig_pair p;

	(void)state;
	unit_ignore_log();
	rig_bench_init(&b, RIG_P256, "");
	say_raw(&b.rig, &garbage);
	b.rig.nsaid++;
	b.rig.pending++;
	rig_say(&b.rig, b.cert, CERT_SERVER, "good.example", NULL);
	rig_ready(&b.rig);
	rig_pair_init(&p, b.server, b.client, &e);
	rig_pair_shake(&b.rig, &p);
	CHECK_INT("bad", p.server.status, TLS_FAILED);
	rig_pair_fini(&p);
	e.sni = "good.example";
	rig_bench_shake(&b, "good", &e, &p);
	rig_pair_fini(&p);
	rig_bench_fini(&b);
}

static void
send_number(struct rig *r, enum ipc_type type, enum ipc_field tag, uint64_t n)
{
	struct ipc_out o;

	ipc_out_init(&o, type);
	ipc_put_u64(&o, tag, n);
	assert_int_equal(ipc_send(r->certd, &o), 0);
	rig_turn(r);
}

static void
send_secrets(struct rig *r, unsigned n, size_t len)
{
	char secret[100] = { 0 };
	struct ipc_out o;

	ipc_out_init(&o, IPC_TICKET_KEYS);
	while (n-- > 0)
		ipc_put_bytes(&o, IPC_F_DATA, view_of(secret, len));
	assert_int_equal(ipc_send(r->certd, &o), 0);
	rig_turn(r);
}

static void
test_A24_counts_and_secrets(void **state)
{
	struct rig_bench b;

	(void)state;
	unit_ignore_log();
	rig_bench_init(&b, RIG_P256, "");
	rig_say(&b.rig, b.cert, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	send_number(&b.rig, IPC_CERTIFICATES_READY, IPC_F_COUNT, 2);
	assert_null(b.rig.certd);
	/* What was said halfway does not count with the next one. */
	rig_certd(&b.rig);
	send_number(&b.rig, IPC_CERTIFICATES_READY, IPC_F_COUNT, 1);
	assert_null(b.rig.certd);
	assert_true(tls_keys_have(b.rig.keys, CERT_SERVER | CERT_DEFAULT));
	rig_certd(&b.rig);
	send_secrets(&b.rig, TICKET_SECRETS_MAX, TICKET_SECRET_SIZE);
	assert_non_null(b.rig.certd);
	send_secrets(&b.rig, TICKET_SECRETS_MAX + 1, TICKET_SECRET_SIZE);
	assert_null(b.rig.certd);
	rig_certd(&b.rig);
	send_secrets(&b.rig, 1, TICKET_SECRET_SIZE - 1);
	assert_null(b.rig.certd);
	rig_bench_fini(&b);
}

static void
count_change(void *arg)
{
	++*(unsigned *)arg;
}

static void
test_observer(void **state)
{
	struct rig_bench b;
	unsigned changes = 0;

	(void)state;
	rig_bench_init(&b, RIG_P256, "");
	tls_keys_observe(b.rig.keys, count_change, &changes);
	assert_true(tls_keys_have(b.rig.keys, CERT_SERVER));
	assert_false(tls_keys_have(b.rig.keys, CERT_CLIENT));
	rig_say(&b.rig, b.cert, CERT_CLIENT, NULL, NULL);
	rig_turn(&b.rig);
	assert_int_equal(changes, 0);
	rig_ready(&b.rig);
	assert_int_equal(changes, 1);
	assert_false(tls_keys_have(b.rig.keys, CERT_SERVER));
	assert_true(tls_keys_have(b.rig.keys, CERT_CLIENT));
	rig_bench_fini(&b);
}

/* ---- in smtpd's confinement ---- */

struct confined {
	struct rig_bench b;
	struct rig_cert	*rsa;
	struct tls_client *client;
};

/* Everything that happens later: nothing may be opened for it. */
static void
shake_confined(void *arg)
{
	static const char *const names[] = { "x.w.example" };
	struct sandbox_spec spec = { .needs = SANDBOX_ACCEPT | SANDBOX_APPEND };
	struct tls_expect e = { .level = TLS_LEVEL_SECURE,
		.sni = "x.w.example",
		.names = names,
		.nnames = 1,
		.session_key = "k" };
	struct sandbox_report report;
	struct confined *c = arg;
	const char *what = "";
	struct rig_pair p;
	struct buf print;
	unsigned i;

	if (geteuid() == 0)
		spec.user = "nobody";
	else
		spec.development = true;
	buf_init(&print, 1000);
	if (sandbox_enter(&spec, &report, &what) != 0 || !report.seccomp)
		_exit(2);
	/* A new set, contexts for a name, another policy's ciphers. */
	rig_say(&c->b.rig, c->b.cert, CERT_SERVER | CERT_DEFAULT, NULL, NULL);
	rig_say(&c->b.rig, c->rsa, CERT_SERVER, "*.w.example", NULL);
	rig_say(&c->b.rig, c->b.cert, CERT_CLIENT, NULL, NULL);
	rig_ready(&c->b.rig);
	rig_tickets(&c->b.rig, 2, 5);
	/* A reload: the CAs were read before. */
	tls_server_unref(&c->b.server);
	c->b.server = tls_server_new(c->b.rig.keys, c->b.conf, "smtpd", &print);
	if (c->b.server == NULL)
		_exit(6);
	for (i = 0; i < 6; i++) {
		e.protocols = i % 2 == 0 ? "TLSv1.3" : "TLSv1.2";
		e.level = i < 4 ? TLS_LEVEL_SECURE : TLS_LEVEL_ENCRYPT;
		rig_pair_init(&p, c->b.server, c->client, &e);
		rig_pair_shake(&c->b.rig, &p);
		if (p.server.status != TLS_DONE || p.client.status != TLS_DONE)
			_exit(3);
		rig_pair_talk(&p);
		if (tls_conn_fingerprint(p.server.conn, "sha512", &print) !=
			0 ||
		    tls_conn_trust(p.client.conn) != TLS_TRUST_UNTRUSTED)
			_exit(4);
		tls_conn_describe(p.server.conn, &print);
		tls_conn_shutdown(p.client.conn);
		rig_pair_fini(&p);
	}
	/* And one that fails, with words. */
	e.protocols = "TLSv1.2";
	e.session_key = NULL;
	c->b.rig.mood = RIG_LIES;
	rig_pair_init(&p, c->b.server, c->client, &e);
	rig_pair_shake(&c->b.rig, &p);
	if (p.client.status != TLS_FAILED ||
	    tls_conn_error(p.client.conn)[0] == '\0')
		_exit(5);
	_exit(0);
}

static void
test_A24_everything_within_the_confinement(void **state)
{
	struct rig_spec spec = { .cn = "w" };
	char *file, *text;
	struct confined c;
	struct buf why;
	int status;

	(void)state;
#ifdef PK_SANITIZERS
	print_message("# the sanitizers' runtime needs what is refused\n");
	skip();
#endif
	unit_skip_under_valgrind("its runtime needs what is refused");
	c.rsa = rig_cert_new(RIG_RSA, 0, &spec);
	file = rig_write_pem(c.rsa);
	text = xasprintf(
	    "smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = %s\n", file);
	rig_bench_init(&c.b, RIG_P256, text);
	unlink(file);
	buf_init(&why, 1000);
	c.client = tls_client_new(c.b.rig.keys, c.b.conf, &why);
	assert_non_null(c.client);
	rig_spares(8);
	status = unit_run_forked(shake_confined, &c);
	rig_spares(0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	tls_client_unref(&c.client);
	rig_cert_free(&c.rsa);
	rig_bench_fini(&c.b);
	buf_fini(&why);
	xfree(file);
	xfree(text);
}

UNIT_MAIN(cmocka_unit_test(test_A24_everything_within_the_confinement),
    cmocka_unit_test(test_A24_certd_that_does_not_sign),
    cmocka_unit_test(test_A24_certd_that_lies), cmocka_unit_test(test_late_signature),
    cmocka_unit_test(test_cancelled), cmocka_unit_test(test_keys_go_first),
    cmocka_unit_test(test_more_than_fibres), cmocka_unit_test(test_without_certificate),
    cmocka_unit_test(test_A24_certificates_out_of_bounds),
    cmocka_unit_test(test_A24_certificates_that_are_none),
    cmocka_unit_test(test_A24_counts_and_secrets), cmocka_unit_test(test_observer))
