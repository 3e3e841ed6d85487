/* SPDX-License-Identifier: ISC */
/*
 * tls_rig.c: a certd that a test plays, and both ends of a handshake.
 */
#include "tests/unit/net/tls_rig.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <sys/socket.h>

#include <string.h>
#include <unistd.h>

#define KEYS_EACH	4

/* ---- keys and certificates ---- */

EVP_PKEY *
rig_key(enum rig_kind kind, unsigned number)
{
	static EVP_PKEY *keys[RIG_KINDS][KEYS_EACH];
	EVP_PKEY **k = &keys[kind][number % KEYS_EACH];

	if (*k != NULL)
		return *k;
	switch (kind) {
	case RIG_RSA:
		*k = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
		break;
	case RIG_P256:
		*k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
		break;
	case RIG_P384:
		*k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
		break;
	default:
		*k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	assert_non_null(*k);
	return *k;
}

static void
add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static void
add_names(X509 *x, const struct rig_spec *spec)
{
	struct buf b;
	size_t i;

	buf_init(&b, 1000);
	for (i = 0; i < NELEMS(spec->names) && spec->names[i] != NULL; i++)
		buf_printf(&b, "%sDNS:%s", i > 0 ? "," : "", spec->names[i]);
	if (b.len > 0)
		add_extension(x, NID_subject_alt_name, buf_cstr(&b));
	buf_fini(&b);
}

struct rig_cert *
rig_cert_new(enum rig_kind kind, unsigned key_number, const struct rig_spec *spec)
{
	struct rig_cert *c = XNEW(struct rig_cert);
	const struct rig_cert *issuer = spec->issuer != NULL ? spec->issuer : c;
	long days = spec->days != 0 ? spec->days : 30;
	static long serial = 1;
	X509_NAME *name;

	c->kind = kind;
	c->key = rig_key(kind, key_number);
	c->issuer = spec->issuer;
	c->x509 = X509_new();
	X509_set_version(c->x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(c->x509),
	    days < 0 ? (days - 10) * 86400 : -86400);
	X509_gmtime_adj(X509_getm_notAfter(c->x509), days * 86400);
	name = X509_get_subject_name(c->x509);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)spec->cn, -1, -1, 0);
	X509_set_issuer_name(c->x509, X509_get_subject_name(issuer->x509));
	X509_set_pubkey(c->x509, c->key);
	add_names(c->x509, spec);
	if (spec->ca)
		add_extension(
		    c->x509, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(c->x509, issuer->key,
			issuer->kind == RIG_ED25519 ? NULL : EVP_sha256()) > 0);
	return c;
}

void
rig_cert_free(struct rig_cert **c)
{
	if (*c != NULL)
		X509_free((*c)->x509);
	xfree(*c);
	*c = NULL;
}

/* ---- certd ---- */

static void
put_der(struct ipc_out *o, X509 *x)
{
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);

	assert_true(len > 0);
	ipc_put_bytes(o, IPC_F_RDATA, view_of((const char *)der, (size_t)len));
	OPENSSL_free(der);
}

void
rig_say(struct rig *r, const struct rig_cert *c, unsigned flags,
    const char *name1, const char *name2)
{
	static const enum tls_key_kind kinds[] = {
		TLS_KEY_RSA, TLS_KEY_EC, TLS_KEY_EC, TLS_KEY_ED25519,
	};
	const struct rig_cert *up;
	struct ipc_out o;

	assert_true(r->nsaid < RIG_CERTS_MAX);
	r->said[r->nsaid++].cert = c;
	r->pending++;
	ipc_out_init(&o, IPC_CERTIFICATE);
	ipc_put_u64(&o, IPC_F_KEY, r->nsaid);
	ipc_put_u64(&o, IPC_F_KIND, kinds[c->kind]);
	ipc_put_u64(&o, IPC_F_FLAGS, flags);
	if (name1 != NULL)
		ipc_put_str(&o, IPC_F_NAME, name1);
	if (name2 != NULL)
		ipc_put_str(&o, IPC_F_NAME, name2);
	put_der(&o, c->x509);
	/* As servers do: without the root. */
	for (up = c->issuer; up != NULL && up->issuer != NULL; up = up->issuer)
		put_der(&o, up->x509);
	assert_int_equal(ipc_send(r->certd, &o), 0);
}

void
rig_ready(struct rig *r)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_CERTIFICATES_READY);
	ipc_put_u64(&o, IPC_F_COUNT, r->pending);
	assert_int_equal(ipc_send(r->certd, &o), 0);
	r->pending = 0;
	rig_turn(r);
}

void
rig_tickets(struct rig *r, unsigned n, uint8_t first)
{
	char secret[TICKET_SECRET_SIZE];
	struct ipc_out o;
	unsigned i;

	ipc_out_init(&o, IPC_TICKET_KEYS);
	for (i = 0; i < n; i++) {
		memset(secret, first + (int)i, sizeof(secret));
		ipc_put_bytes(&o, IPC_F_DATA, view_of(secret, sizeof(secret)));
	}
	assert_int_equal(ipc_send(r->certd, &o), 0);
	rig_turn(r);
}

static const EVP_MD *
scheme_digest(unsigned scheme)
{
	switch (scheme) {
	case 0x0201:
	case 0x0203:
		return EVP_sha1();
	case 0x0401:
	case 0x0403:
	case 0x0804:
		return EVP_sha256();
	case 0x0501:
	case 0x0503:
	case 0x0805:
		return EVP_sha384();
	case 0x0601:
	case 0x0603:
	case 0x0806:
		return EVP_sha512();
	}
	assert_int_equal(scheme, 0x0807);
	return NULL;
}

/* What the kind says that is signed; checks its form. */
static void
put_signed(struct buf *b, enum tls_sign_kind kind, struct view data)
{
	const uint8_t *p = (const uint8_t *)data.p;
	size_t i;

	switch (kind) {
	case TLS_SIGN_13_SERVER:
	case TLS_SIGN_13_CLIENT:
		assert_true(data.len == 32 || data.len == 48);
		for (i = 0; i < 64; i++)
			buf_put_char(b, ' ');
		buf_put_str(b,
		    kind == TLS_SIGN_13_SERVER ?
			"TLS 1.3, server CertificateVerify" :
			"TLS 1.3, client CertificateVerify");
		buf_put_char(b, '\0');
		break;
	case TLS_SIGN_12_SERVER:
		assert_true(data.len > 68);
		assert_int_equal(p[64], 3); /* named_curve */
		assert_int_equal(data.len, 68 + p[67]);
		break;
	default:
		assert_int_equal(p[0], 1); /* ClientHello */
	}
	buf_put_view(b, data);
}

static void
sign_with(EVP_PKEY *key, unsigned scheme, struct view tbs, struct buf *sig)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	size_t len = TICKET_SECRET_SIZE * 100;
	char *room = buf_room(sig, len);

	assert_int_equal(
	    EVP_DigestSignInit(md, &ctx, scheme_digest(scheme), NULL, key), 1);
	if (scheme >= 0x0804 && scheme <= 0x0806) {
		assert_true(EVP_PKEY_CTX_set_rsa_padding(
				ctx, RSA_PKCS1_PSS_PADDING) > 0);
		assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(
				ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
	}
	assert_int_equal(EVP_DigestSign(md, (unsigned char *)room, &len,
			     (const unsigned char *)tbs.p, tbs.len),
	    1);
	buf_added(sig, len);
	EVP_MD_CTX_free(md);
}

static void
reply(struct rig *r, uint32_t id, int code, struct view data)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_KEY_SIGNED);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)code);
	if (r->mood != RIG_GARBAGE)
		ipc_put_bytes(&o, IPC_F_DATA, data);
	else
		ipc_put_u64(&o, IPC_F_CODE, 77);
	assert_int_equal(ipc_reply_id(r->certd, id, &o), 0);
}

static void
sign_and_reply(struct rig *r, uint32_t id, struct view body)
{
	struct ipc_msg m = { .type = IPC_KEY_SIGN, .body = body };
	uint64_t number = 0, kind = 0, scheme = 0;
	struct view data = VIEW_NONE;
	struct buf tbs, sig;
	struct ipc_in in;

	ipc_in_init(&in, &m);
	ipc_get_u64(&in, IPC_F_KEY, &number);
	ipc_get_range(&in, IPC_F_KIND, 0, TLS_SIGN_KINDS - 1, &kind);
	ipc_get_range(&in, IPC_F_SCHEME, 1, 65535, &scheme);
	ipc_get_bytes(&in, IPC_F_DATA, IPC_BODY_MAX, &data);
	assert_int_equal(ipc_in_end(&in), 0);
	assert_true(number >= 1 && number <= r->nsaid);
	r->last_kind = (enum tls_sign_kind)kind;
	r->last_scheme = (unsigned)scheme;
	buf_init(&tbs, IPC_BODY_MAX + 200);
	buf_init(&sig, 10000);
	put_signed(&tbs, r->last_kind, data);
	sign_with(r->said[number - 1].cert->key, r->last_scheme, buf_view(&tbs),
	    &sig);
	reply(r, id, 0, buf_view(&sig));
	buf_fini(&tbs);
	buf_fini(&sig);
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	static const char zeroes[2000];
	struct rig *r = arg;

	assert_ptr_equal(ch, r->certd);
	assert_int_equal(m->type, IPC_KEY_SIGN);
	r->signs++;
	switch (r->mood) {
	case RIG_SIGNS:
		sign_and_reply(r, m->id, m->body);
		break;
	case RIG_LATER:
		buf_fini(&r->owed.body);
		buf_put_view(&r->owed.body, m->body);
		r->owed.id = m->id;
		r->owes = true;
		break;
	case RIG_REFUSES:
		reply(r, m->id, -PK_EPERM, VIEW_NONE);
		break;
	case RIG_LIES:
	case RIG_GARBAGE:
		reply(r, m->id, 0, view_of(zeroes, 64));
		break;
	case RIG_TOO_LONG:
		reply(r, m->id, 0, view_of(zeroes, 1000));
		break;
	case RIG_DIES:
		ipc_channel_free(&r->certd);
		break;
	}
	return 0;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct rig *r = arg;

	(void)why;
	if (r->certd == ch)
		r->certd = NULL;
}

void
rig_certd(struct rig *r)
{
	static const struct ipc_channel_ops ops = { on_message, on_closed };
	int sv[2];

	rig_certd_dies(r);
	assert_int_equal(ipc_socketpair(sv), 0);
	r->certd = ipc_channel_new(
	    r->loop, sv[0], IPC_ROLE_certd, IPC_ROLE_smtpd, 7, &ops, r);
	tls_keys_channel(r->keys, sv[1], 7);
	r->pending = 0;
}

void
rig_certd_dies(struct rig *r)
{
	if (r->certd != NULL)
		ipc_channel_free(&r->certd);
	r->owes = false;
}

void
rig_answer(struct rig *r)
{
	assert_true(r->owes);
	r->owes = false;
	if (r->certd != NULL)
		sign_and_reply(r, r->owed.id, buf_view(&r->owed.body));
	rig_turn(r);
}

void
rig_turn(struct rig *r)
{
	unsigned i;

	for (i = 0; i < 6; i++)
		loop_turn(r->loop, 0);
}

void
rig_init(struct rig *r, enum ipc_role role)
{
	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	buf_init(&r->owed.body, IPC_BODY_MAX);
	r->keys = tls_keys_new(r->loop, role);
	rig_certd(r);
}

void
rig_fini(struct rig *r)
{
	tls_keys_free(&r->keys);
	rig_certd_dies(r);
	rig_turn(r);
	buf_fini(&r->owed.body);
	loop_free(&r->loop);
}

static void
on_note(const struct conf_note *note, void *arg)
{
	(void)arg;
	if (note->level == 'e')
		fail_msg("configuration: %s", note->text);
}

struct conf *
rig_conf(const char *text)
{
	struct conf *c = conf_load("main.cf", view_str(text), on_note, NULL);

	assert_non_null(c);
	return c;
}

/* ---- both ends ---- */

static void
on_wake(void *arg)
{
	struct rig_end *e = arg;

	e->wakes++;
}

#define SPARES_MAX	20

static int spares[SPARES_MAX][2];
static unsigned nspares;

static void
make_pair(int sv_r[2])
{
	if (nspares > 0) {
		nspares--;
		memcpy(sv_r, spares[nspares], sizeof(spares[0]));
		return;
	}
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv_r), 0);
}

void
rig_spares(unsigned n)
{
	int made[SPARES_MAX][2];
	unsigned i;

	assert_true(n <= SPARES_MAX);
	for (i = 0; i < n; i++)
		make_pair(made[i]);
	memcpy(spares, made, sizeof(made));
	nspares = n;
}

void
rig_pair_init(struct rig_pair *p, struct tls_server *s, struct tls_client *c,
    const struct tls_expect *e)
{
	int sv[2];

	memset(p, 0, sizeof(*p));
	make_pair(sv);
	p->server.fd = sv[0];
	p->client.fd = sv[1];
	p->server.status = p->client.status = TLS_WANT_READ;
	p->server.conn = tls_conn_accept(s, sv[0], on_wake, &p->server);
	p->client.conn = tls_conn_connect(c, sv[1], e, on_wake, &p->client);
	assert_non_null(p->server.conn);
	assert_non_null(p->client.conn);
}

static bool
is_over(const struct rig_end *e)
{
	return e->status == TLS_DONE || e->status == TLS_FAILED;
}

unsigned
rig_pair_shake(struct rig *r, struct rig_pair *p)
{
	unsigned i;

	for (i = 0; i < 20 && (!is_over(&p->server) || !is_over(&p->client));
	     i++) {
		if (!is_over(&p->client))
			p->client.status = tls_conn_handshake(p->client.conn);
		if (p->client.status == TLS_FAILED)
			shutdown(p->client.fd, SHUT_WR);
		if (!is_over(&p->server))
			p->server.status = tls_conn_handshake(p->server.conn);
		if (p->server.status == TLS_FAILED)
			shutdown(p->server.fd, SHUT_WR);
		rig_turn(r);
	}
	return i;
}

static void
say(struct tls_conn *from, struct tls_conn *to, const char *words)
{
	struct iovec iov = { (void *)(uintptr_t)words, strlen(words) };
	char in[100];
	ssize_t n;

	assert_int_equal(tls_conn_writev(from, &iov, 1), iov.iov_len);
	n = tls_conn_read(to, in, sizeof(in));
	assert_int_equal(n, iov.iov_len);
	assert_memory_equal(in, words, iov.iov_len);
}

void
rig_pair_talk(struct rig_pair *p)
{
	say(p->client.conn, p->server.conn, "EHLO client.example\r\n");
	say(p->server.conn, p->client.conn, "250 server.example\r\n");
}

void
rig_pair_fini(struct rig_pair *p)
{
	tls_conn_free(&p->server.conn);
	tls_conn_free(&p->client.conn);
	close(p->server.fd);
	close(p->client.fd);
}

/* ---- the usual ---- */

void
rig_bench_init(struct rig_bench *b, enum rig_kind kind, const char *conf)
{
	struct rig_spec spec = { .cn = "mx.example",
		.names = { "mx.example" } };
	struct buf why;

	memset(b, 0, sizeof(*b));
	rig_init(&b->rig, IPC_ROLE_smtpd);
	b->conf = rig_conf(conf);
	b->cert = rig_cert_new(kind, 0, &spec);
	rig_say(
	    &b->rig, b->cert, CERT_SERVER | CERT_DEFAULT, "mx.example", NULL);
	rig_ready(&b->rig);
	rig_tickets(&b->rig, 1, 1);
	buf_init(&why, 10000);
	b->server = tls_server_new(b->rig.keys, b->conf, "smtpd", &why);
	b->client = tls_client_new(NULL, b->conf, &why);
	if (b->server == NULL || b->client == NULL)
		fail_msg("%s", buf_cstr(&why));
	buf_fini(&why);
}

void
rig_bench_fini(struct rig_bench *b)
{
	tls_server_unref(&b->server);
	tls_client_unref(&b->client);
	rig_fini(&b->rig);
	rig_cert_free(&b->cert);
	conf_free(&b->conf);
}

void
rig_bench_shake(struct rig_bench *b, const char *name,
    const struct tls_expect *e, struct rig_pair *p_r)
{
	struct tls_expect may = { .level = TLS_LEVEL_MAY };

	rig_pair_init(p_r, b->server, b->client, e != NULL ? e : &may);
	rig_pair_shake(&b->rig, p_r);
	if (p_r->server.status != TLS_DONE || p_r->client.status != TLS_DONE)
		fail_msg("%s: server: %s; client: %s", name,
		    tls_conn_error(p_r->server.conn),
		    tls_conn_error(p_r->client.conn));
	rig_pair_talk(p_r);
}

/* ---- a stranger ---- */

void
rig_stranger_init(struct rig_stranger *x)
{
	memset(x, 0, sizeof(*x));
	x->ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(x->ctx);
}

void
rig_stranger_start(struct rig_stranger *x, struct tls_server *s)
{
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	x->server.fd = sv[0];
	x->fd = sv[1];
	x->server.status = TLS_WANT_READ;
	x->server.conn = tls_conn_accept(s, sv[0], on_wake, &x->server);
	x->ssl = SSL_new(x->ctx);
	SSL_set_fd(x->ssl, x->fd);
	SSL_set_connect_state(x->ssl);
}

void
rig_stranger_shake(struct rig *r, struct rig_stranger *x)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		x->done = SSL_do_handshake(x->ssl);
		if (!is_over(&x->server))
			x->server.status = tls_conn_handshake(x->server.conn);
		if (x->server.status == TLS_FAILED)
			shutdown(x->server.fd, SHUT_WR);
		rig_turn(r);
	}
}

void
rig_stranger_fini(struct rig_stranger *x)
{
	tls_conn_free(&x->server.conn);
	SSL_set_shutdown(x->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(x->ssl);
	SSL_CTX_free(x->ctx);
	close(x->server.fd);
	close(x->fd);
	ERR_clear_error();
}

char *
rig_write_pem(const struct rig_cert *c)
{
	char *path = xstrdup("/tmp/postkeep-tls-XXXXXX");
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, c->x509), 1);
	fclose(f);
	return path;
}
