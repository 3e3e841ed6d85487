/* SPDX-License-Identifier: ISC */
/*
 * tls_handshake_test.c: our server and our client, keys in a certd that the
 * test plays.
 */
#include "tests/unit/net/tls_rig.h"

#include <string.h>

static const char *const kind_names[] = { "RSA", "P-256", "P-384", "Ed25519" };

struct bench {
	struct rig	 rig;
	struct conf	*conf;
	struct rig_cert	*cert;
	struct tls_server *server;
	struct tls_client *client;
};

static void
bench_init(struct bench *b, enum rig_kind kind, const char *conf)
{
	struct rig_spec spec = { .cn = "mx.example", .names = { "mx.example" } };
	struct buf why;

	memset(b, 0, sizeof(*b));
	rig_init(&b->rig, IPC_ROLE_smtpd);
	b->conf = rig_conf(conf);
	b->cert = rig_cert_new(kind, 0, &spec);
	rig_say(&b->rig, b->cert, CERT_SERVER | CERT_DEFAULT, "mx.example", NULL);
	rig_ready(&b->rig);
	rig_tickets(&b->rig, 1, 1);
	buf_init(&why, 1000);
	b->server = tls_server_new(b->rig.keys, b->conf, "smtpd", &why);
	b->client = tls_client_new(NULL, b->conf, &why);
	if (b->server == NULL || b->client == NULL)
		fail_msg("%s", buf_cstr(&why));
	buf_fini(&why);
}

static void
bench_fini(struct bench *b)
{
	tls_server_unref(&b->server);
	tls_client_unref(&b->client);
	rig_fini(&b->rig);
	rig_cert_free(&b->cert);
	conf_free(&b->conf);
}

static void
shake(struct bench *b, const char *name, enum tls_sign_kind kind)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct rig_pair p;

	rig_pair_init(&p, b->server, b->client, &e);
	rig_pair_shake(&b->rig, &p);
	if (p.server.status != TLS_DONE || p.client.status != TLS_DONE)
		fail_msg("%s: server: %s; client: %s", name,
		    tls_conn_error(p.server.conn), tls_conn_error(p.client.conn));
	CHECK_INT(name, b->rig.signs, 1);
	CHECK_INT(name, b->rig.last_kind, kind);
	CHECK_INT(name, p.server.wakes, 1);
	rig_pair_talk(&p);
	rig_pair_fini(&p);
}

static void
test_each_kind_of_key(void **state)
{
	static const struct {
		const char *conf;
		enum tls_sign_kind kind;
	} versions[] = {
		{ "smtp_tls_protocols = TLSv1.3\n", TLS_SIGN_13_SERVER },
		{ "smtp_tls_protocols = TLSv1.2\n", TLS_SIGN_12_SERVER },
	};
	struct bench b;
	char name[50];
	size_t i, k;

	(void)state;
	for (i = 0; i < NELEMS(versions); i++)
		for (k = 0; k < RIG_KINDS; k++) {
			snprintf(name, sizeof(name), "%s %s", kind_names[k],
			    versions[i].conf);
			bench_init(&b, (enum rig_kind)k, versions[i].conf);
			shake(&b, name, versions[i].kind);
			bench_fini(&b);
		}
}

UNIT_MAIN(cmocka_unit_test(test_each_kind_of_key))
