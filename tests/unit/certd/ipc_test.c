/* SPDX-License-Identifier: ISC */
/*
 * ipc_test.c: what certd says to whom, and KEY_SIGN over a channel.
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "base/clock.h"
#include "certd/certd.h"
#include "certd/signers.h"
#include "tests/unit/certd/certs.h"

static struct loop *loop;
static struct certd d;
static struct buf conf_text;
static struct conf *conf;

/* The other end of a channel to certd. */
struct asker {
	struct ipc_channel *ch;		/* NULL: closed by certd */
	unsigned	 certificates, ready, tickets;
	uint64_t	 key[4], flags[4];
	int		 code;
	size_t		 signature;
	unsigned	 answers;
};

static int
on_certificate(struct asker *a, const struct ipc_msg *m)
{
	struct view name, der;
	uint64_t kind;
	struct ipc_in in;
	unsigned i = a->certificates++ % 4;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_KEY, &a->key[i]);
	ipc_get_range(&in, IPC_F_KIND, 0, TLS_KEY_KINDS - 1, &kind);
	ipc_get_u64(&in, IPC_F_FLAGS, &a->flags[i]);
	while (ipc_has(&in, IPC_F_NAME)) {
		ipc_get_text(&in, IPC_F_NAME, 255, &name);
	}
	while (ipc_has(&in, IPC_F_RDATA))
		ipc_get_bytes(&in, IPC_F_RDATA, IPC_BODY_MAX, &der);
	return ipc_in_end(&in);
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct asker *a = arg;

	(void)ch;
	switch (m->type) {
	case IPC_CERTIFICATE:
		return on_certificate(a, m);
	case IPC_CERTIFICATES_READY:
		a->ready++;
		return 0;
	case IPC_TICKET_KEYS:
		a->tickets++;
		return 0;
	default:
		return PK_EPROTO;
	}
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct asker *a = arg;

	(void)ch;
	(void)why;
	a->ch = NULL;
}

static const struct ipc_channel_ops ops = { on_message, on_closed };

static int
on_signed(struct ipc_msg *m, int error, void *arg)
{
	struct view sig = VIEW_NONE;
	struct asker *a = arg;
	uint64_t code = 99;
	struct ipc_in in;

	a->answers++;
	if (m == NULL) {
		a->code = error;
		return 0;
	}
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_CODE, &code);
	ipc_get_bytes(&in, IPC_F_DATA, 4000, &sig);
	a->code = -(int)code;
	a->signature = sig.len;
	return ipc_in_end(&in);
}

static void
turn(unsigned n)
{
	while (n-- > 0)
		loop_turn(loop, 0);
}

static void
open_asker(struct asker *a, enum ipc_role role)
{
	struct early_channels early = { 0 };
	int sv[2];

	memset(a, 0, sizeof(*a));
	assert_int_equal(ipc_socketpair(sv), 0);
	a->ch = ipc_channel_new(loop, sv[0], role, IPC_ROLE_certd, 1, &ops, a);
	d.early = early;
	assert_true(early_keep(&d.early, role, 7, sv[1]));
	certd_open_early(&d);
	turn(6);
}

/* KEY_SIGN; data_len bytes of zero. */
static void
ask(struct asker *a, uint64_t key, uint64_t kind, uint64_t scheme, size_t data_len)
{
	static const char zeroes[1000];
	struct ipc_out o;

	ipc_out_init(&o, IPC_KEY_SIGN);
	ipc_put_u64(&o, IPC_F_KEY, key);
	ipc_put_u64(&o, IPC_F_KIND, kind);
	ipc_put_u64(&o, IPC_F_SCHEME, scheme);
	ipc_put_bytes(&o, IPC_F_DATA, view_of(zeroes, data_len));
	a->code = 1;
	(void)ipc_call(a->ch, &o, 0, on_signed, a);
	turn(6);
}

static void
configure(const char *name, const char *value)
{
	buf_printf(&conf_text, "%s = %s\n", name, value);
	conf_free(&conf);
	conf = conf_load("main.cf", buf_view(&conf_text), NULL, NULL);
	assert_non_null(conf);
	d.conf = conf;
}

static int
set_up(void **state)
{
	X509 *s = certs_self(certs_key(KEY_P256, 0)), *c = certs_self(certs_key(KEY_ED25519, 0));

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	loop = loop_new();
	d.loop = loop;
	TAILQ_INIT(&d.peers);
	TAILQ_INIT(&d.retired);
	d.by_number = map_new();
	buf_init(&conf_text, 10000);
	configure("smtpd_tls_chain_files",
	    certs_write("server.pem", "kc", certs_key(KEY_P256, 0), s));
	configure("smtp_tls_chain_files",
	    certs_write("client.pem", "kc", certs_key(KEY_ED25519, 0), c));
	certd_tickets_init(&d, -1);
	certd_load(&d);
	X509_free(s);
	X509_free(c);
	return 0;
}

/* ---- cases ---- */

static void
each_gets_what_it_may_use(void **state)
{
	struct asker a;

	(void)state;
	open_asker(&a, IPC_ROLE_submission);
	assert_int_equal(a.certificates, 1);
	assert_int_equal(a.flags[0], CERT_SERVER | CERT_DEFAULT);
	assert_int_equal(a.ready, 1);
	assert_int_equal(a.tickets, 1);
	ipc_channel_free(&a.ch);
	open_asker(&a, IPC_ROLE_smtp);
	assert_int_equal(a.certificates, 1);
	assert_int_equal(a.flags[0], CERT_CLIENT);
	assert_int_equal(a.ready, 1);
	assert_int_equal(a.tickets, 0);
	ipc_channel_free(&a.ch);
	turn(3);
}

static void
signatures_are_given(void **state)
{
	struct asker a;

	(void)state;
	open_asker(&a, IPC_ROLE_smtpd);
	ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, 0);
	assert_true(a.signature > 60 && a.signature < 80);
	ipc_channel_free(&a.ch);
	open_asker(&a, IPC_ROLE_lmtp);
	ask(&a, a.key[0], TLS_SIGN_13_CLIENT, 0x0807, 48);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.signature, 64);
	ipc_channel_free(&a.ch);
	turn(3);
}

static void
A24_refusals_are_answered(void **state)
{
	struct asker a, other;
	uint64_t client_key;

	(void)state;
	open_asker(&other, IPC_ROLE_smtp);
	client_key = other.key[0];
	open_asker(&a, IPC_ROLE_smtpd);
	ask(&a, a.key[0] + 1000, TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, PK_ENOENT);
	/* Another's key is one that there is not. */
	ask(&a, client_key, TLS_SIGN_13_SERVER, 0x0807, 32);
	assert_int_equal(a.code, PK_ENOENT);
	ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0804, 32);
	assert_int_equal(a.code, PK_EPERM);
	ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0403, 33);
	assert_int_equal(a.code, PK_EPERM);
	ask(&a, a.key[0], TLS_SIGN_12_SERVER, 0x0403, 200);
	assert_int_equal(a.code, PK_EPERM);
	assert_int_equal(a.signature, 0);
	/* None of it cost the channel. */
	ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, 0);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&other.ch);
	turn(3);
}

static void
A24_a_lie_closes_its_own_channel(void **state)
{
	static const struct {
		const char	*name;
		enum ipc_role	 role;
		uint64_t	 kind, scheme;
	} rows[] = {
		{ "acceptor as client", IPC_ROLE_smtpd, TLS_SIGN_13_CLIENT, 0x0403 },
		{ "acceptor as client, 1.2", IPC_ROLE_localsmtp, TLS_SIGN_12_CLIENT, 0x0403 },
		{ "deliverer as server", IPC_ROLE_smtp, TLS_SIGN_13_SERVER, 0x0807 },
		{ "deliverer as server, 1.2", IPC_ROLE_lmtp, TLS_SIGN_12_SERVER, 0x0807 },
		{ "no such kind", IPC_ROLE_smtpd, TLS_SIGN_KINDS, 0x0403 },
		{ "no such scheme", IPC_ROLE_smtpd, TLS_SIGN_13_SERVER, 0x10000 },
	};
	struct asker a, other;
	size_t i;

	(void)state;
	open_asker(&other, IPC_ROLE_submission);
	for (i = 0; i < NELEMS(rows); i++) {
		open_asker(&a, rows[i].role);
		CHECK(rows[i].name, a.ch != NULL);
		ask(&a, a.key[0], rows[i].kind, rows[i].scheme, 32);
		CHECK_INT(rows[i].name, a.code, PK_EPEER);
		CHECK(rows[i].name, a.ch == NULL);
	}
	ask(&other, other.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(other.code, 0);
	ipc_channel_free(&other.ch);
	turn(3);
}

static void
A24_rate_is_limited_a_channel(void **state)
{
	struct asker a, other;
	unsigned i, good = 0, busy = 0;
	uint64_t start;

	(void)state;
	configure("tls_key_rate_limit", "20");
	open_asker(&a, IPC_ROLE_smtpd);
	open_asker(&other, IPC_ROLE_smtpd);
	start = clock_mono_ms();
	for (i = 0; i < 60; i++) {
		ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
		good += a.code == 0;
		busy += a.code == PK_EBUSY;
	}
	assert_int_equal(good + busy, 60);
	assert_in_range(good, 20, 21 + (clock_mono_ms() - start) * 20 / 1000);
	ask(&other, other.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(other.code, 0);
	configure("tls_key_rate_limit", "0");
	ask(&a, a.key[0], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, 0);
	ipc_channel_free(&a.ch);
	ipc_channel_free(&other.ch);
	turn(3);
}

static void
a_new_pair_is_said_and_the_old_one_still_signs(void **state)
{
	X509 *x = certs_self(certs_key(KEY_P256, 2));
	struct asker a;
	uint64_t old;

	(void)state;
	open_asker(&a, IPC_ROLE_smtpd);
	old = a.key[0];
	certd_load_again(&d);
	turn(6);
	assert_int_equal(a.ready, 2);
	assert_int_equal(a.key[1], old);
	(void)certs_write("server.pem", "kc", certs_key(KEY_P256, 2), x);
	X509_free(x);
	certd_load_again(&d);
	turn(6);
	assert_int_equal(a.ready, 3);
	assert_int_not_equal(a.key[2], old);
	ask(&a, old, TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, 0);
	ask(&a, a.key[2], TLS_SIGN_13_SERVER, 0x0403, 32);
	assert_int_equal(a.code, 0);
	ipc_channel_free(&a.ch);
	turn(3);
}

/* RSA in threads: answered in any order, not at all to who is gone. */
static void
threads_sign(void **state)
{
	X509 *x = certs_self(certs_key(KEY_RSA, 0));
	static const char zeroes[32];
	struct asker a, gone;
	struct ipc_out o;
	unsigned i;

	(void)state;
	(void)certs_write("server.pem", "kc", certs_key(KEY_RSA, 0), x);
	X509_free(x);
	certd_load_again(&d);
	d.signers = signers_new(loop, 3, certd_job_done);
	open_asker(&a, IPC_ROLE_smtpd);
	open_asker(&gone, IPC_ROLE_submission);
	for (i = 0; i < 60; i++) {
		ipc_out_init(&o, IPC_KEY_SIGN);
		ipc_put_u64(&o, IPC_F_KEY, a.key[0]);
		ipc_put_u64(&o, IPC_F_KIND, TLS_SIGN_13_SERVER);
		ipc_put_u64(&o, IPC_F_SCHEME, 0x0804 + i % 3);
		ipc_put_bytes(&o, IPC_F_DATA, view_of(zeroes, sizeof(zeroes)));
		(void)ipc_call(i % 2 == 0 ? a.ch : gone.ch, &o, 0, on_signed,
		    i % 2 == 0 ? &a : &gone);
	}
	a.code = 99;
	/* Both ends look once: certd has the jobs. */
	turn(2);
	ipc_channel_free(&gone.ch);
	for (i = 0; i < 2000 && (a.answers < 30 || signers_pending(d.signers) > 0); i++)
		loop_turn(loop, 5);
	assert_int_equal(a.answers, 30);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.signature, 256);
	assert_int_equal(signers_pending(d.signers), 0);
	ipc_channel_free(&a.ch);
	turn(3);
	signers_free(&d.signers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_gets_what_it_may_use),
		cmocka_unit_test(signatures_are_given),
		cmocka_unit_test(A24_refusals_are_answered),
		cmocka_unit_test(A24_a_lie_closes_its_own_channel),
		cmocka_unit_test(a_new_pair_is_said_and_the_old_one_still_signs),
		cmocka_unit_test(A24_rate_is_limited_a_channel),
		cmocka_unit_test(threads_sign),
	};

	return cmocka_run_group_tests(tests, set_up, NULL) != 0;
}
