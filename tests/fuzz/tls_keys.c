/* SPDX-License-Identifier: ISC */
/*
 * tls_keys.c: what a certd that was taken over says.
 *
 * Input: packets {kind u8, length u16, bytes}: the body of a CERTIFICATE,
 * CERTIFICATES_READY, TICKET_KEYS or KEY_SIGNED. Each goes to the decoder; a
 * set that was taken serves a listener's context, whose names are looked up.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/tls_internal.h"

#define PACKETS_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *l;
static struct conf *conf;

static void
no_log(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)arg;
	if (len > LOG_LINE_MAX || memchr(line, '\n', len) != NULL)
		abort();
}

/* What was taken keeps the promises of ipc/tls_key.h. */
static void
check_set(const struct tls_set *set)
{
	const struct tls_certificate *c;
	size_t i, k;

	if (set == NULL)
		return;
	if (set->ncerts > TLS_CERTIFICATES_MAX)
		abort();
	for (i = 0; i < set->ncerts; i++) {
		c = set->certs[i];
		if (c->nnames > TLS_NAMES_MAX || c->nders < 1 ||
		    c->nders > TLS_CHAIN_MAX || c->kind >= TLS_KEY_KINDS)
			abort();
		for (k = 0; k < c->nnames; k++) {
			struct view name = view_str(c->names[k]);

			if ((c->flags & CERT_SERVER) != 0 && name.p[0] != '*' &&
			    name.p[name.len - 1] != '.' && name.len <= 255 &&
			    tls_set_find(set, name) == NULL)
				abort();
		}
	}
}

static void
packet(struct tls_keys *k, uint8_t kind, struct view body)
{
	static const uint16_t types[] = {
		IPC_CERTIFICATE, IPC_CERTIFICATES_READY, IPC_TICKET_KEYS,
		IPC_KEY_SIGNED,
	};
	struct ipc_msg m = { .type = types[kind % 4], .body = body };
	struct tls_sign op;

	if (m.type != IPC_KEY_SIGNED) {
		(void)tls_keys_message(k, &m);
		return;
	}
	memset(&op, 0, sizeof(op));
	if (tls_keys_signed(&m, &op) == 0 &&
	    (op.error == 0) != (op.len > 0 && op.len <= TLS_SIGNATURE_MAX))
		abort();
	tls_sign_fini(&op);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_server *server;
	struct tls_keys *k;
	struct buf why;
	unsigned n;
	size_t len;

	if (l == NULL) {
		l = loop_new();
		conf = conf_load("main.cf", VIEW("\n"), NULL, NULL);
		log_set_sink(no_log, NULL);
	}
	buf_init(&why, 1000);
	k = tls_keys_new(l, IPC_ROLE_smtpd);
	server = tls_server_new(k, conf, "smtpd", &why);
	if (server == NULL)
		abort();
	for (n = 0; n < PACKETS_MAX && size >= 3; n++) {
		len = (size_t)data[1] << 8 | data[2];
		if (len > size - 3)
			len = size - 3;
		packet(k, data[0], view_of((const char *)data + 3, len));
		data += 3 + len;
		size -= 3 + len;
		check_set(tls_keys_set(k));
		(void)tls_server_context(server, &why);
		(void)tls_server_has_tickets(server);
	}
	tls_server_unref(&server);
	tls_keys_free(&k);
	buf_fini(&why);
	return 0;
}
