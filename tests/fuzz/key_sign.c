/* SPDX-License-Identifier: ISC */
/*
 * key_sign.c: what a worker that was taken over asks certd to sign.
 *
 * Input: {role u8, key u8} and the body of a KEY_SIGN as a channel hands it
 * over; the fields also go straight to sign_prepare() as {kind u8, scheme
 * u16, data}, so that framing hides nothing. What is let through must be the
 * shape of a handshake, told here in other words than in certd.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "certd/certd.h"
#include "certd/sign.h"
#include "ipc/channel_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct certd d;
static struct pair pairs[TLS_KEY_KINDS];

static void
no_log(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)line;
	(void)len;
	(void)arg;
}

static void
set_up(void)
{
	unsigned i;

	log_init("key_sign");
	log_set_sink(no_log, NULL);
	loop = loop_new();
	d.loop = loop;
	d.conf = conf_load("main.cf", VIEW("tls_key_rate_limit = 0\n"), NULL, NULL);
	d.set = XNEW(struct set);
	d.by_number = map_new();
	TAILQ_INIT(&d.peers);
	for (i = 0; i < TLS_KEY_KINDS; i++) {
		pairs[i].refs = 1;
		pairs[i].number = i;
		pairs[i].kind = (enum tls_key_kind)i;
		pairs[i].flags = CERT_SERVER | CERT_CLIENT;
		pairs[i].curve = NID_X9_62_prime256v1;
		map_put_u64(d.by_number, i, &pairs[i]);
	}
	pairs[TLS_KEY_RSA].key = EVP_RSA_gen(2048);
	pairs[TLS_KEY_EC].key = EVP_EC_gen("P-256");
	pairs[TLS_KEY_ED25519].key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	early_open(&d.early, NULL, NULL);
}

/* What was let through is a handshake's. */
static void
judge(enum tls_sign_kind kind, struct view data, struct view tbs)
{
	switch (kind) {
	case TLS_SIGN_13_SERVER:
	case TLS_SIGN_13_CLIENT:
		if (tbs.len != 98 + data.len || (data.len != 32 && data.len != 48) ||
		    tbs.p[0] != ' ' || tbs.p[63] != ' ' || tbs.p[64] != 'T' || tbs.p[97] != '\0' ||
		    memcmp(tbs.p + 73, kind == TLS_SIGN_13_SERVER ? "server" : "client", 6) != 0)
			abort();
		break;
	case TLS_SIGN_12_SERVER:
		if (!view_eq(data, tbs) || data.len < 100 || data.len > 64 + 4 + 133 ||
		    data.p[64] != 3)
			abort();
		break;
	default:
		if (!view_eq(data, tbs) || data.p[0] != 1 || data.p[4] != 3 || data.p[5] != 3)
			abort();
		break;
	}
}

static void
prepare(const uint8_t *p, size_t size)
{
	struct view data = view_of((const char *)p + 3, size - 3);
	enum tls_sign_kind kind = p[0] % TLS_SIGN_KINDS;
	unsigned scheme = (unsigned)p[1] << 8 | p[2], i;
	const char *why = NULL;
	struct buf tbs;

	for (i = 0; i < TLS_KEY_KINDS; i++) {
		buf_init(&tbs, IPC_BODY_MAX);
		if (sign_prepare(&pairs[i], kind, scheme, data, &tbs, &why) == 0)
			judge(kind, data, buf_view(&tbs));
		if (why == NULL)
			abort();
		buf_fini(&tbs);
	}
}

static void
say(int fd, uint16_t type, uint32_t id, const void *body, size_t len)
{
	struct {
		struct ipc_header h;
		char	bytes[IPC_BODY_MAX];
	} p = { .h = { type, 0, (uint32_t)len, id } };

	memcpy(p.bytes, body, len);
	(void)!send(fd, &p, sizeof(p.h) + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
through_channel(enum ipc_role role, const uint8_t *body, size_t len)
{
	unsigned char hello[24] = { 1, 0, 8, 0, IPC_VERSION, 0, 0, 0, 0, 0, 0, 0, 2, 0, 8, 0,
	    (unsigned char)role };
	char answer[8192];
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) == -1)
		abort();
	say(sv[1], IPC_HELLO, 0, hello, sizeof(hello));
	d.early.over = false;
	(void)early_keep(&d.early, role, 1, sv[0]);
	certd_open_early(&d);
	say(sv[1], IPC_KEY_SIGN, 9, body, len);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	while (recv(sv[1], answer, sizeof(answer), 0) > 0)
		;
	/* certd's end goes with ours. */
	close(sv[1]);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	if (!TAILQ_EMPTY(&d.peers))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum ipc_role roles[] = { IPC_ROLE_smtpd, IPC_ROLE_submission,
	    IPC_ROLE_localsmtp, IPC_ROLE_smtp, IPC_ROLE_lmtp };

	if (loop == NULL)
		set_up();
	if (size < 4 || size > IPC_BODY_MAX)
		return 0;
	prepare(data, size);
	through_channel(roles[data[0] % NELEMS(roles)], data + 1, size - 1);
	return 0;
}
