/* SPDX-License-Identifier: ISC */
/*
 * authd_ipc.c: an acceptor, qmgr or lookupd that was taken over, against authd.
 *
 * The first byte says who speaks. Then packets: type (its low byte), length of
 * the body (one byte), body. Whatever comes, authd answers or closes that
 * channel; a conversation that was begun is gone with it.
 */
#include <sys/socket.h>

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "authd/authd.h"
#include "authd/cache.h"
#include "authd/limits.h"
#include "authd/sasl.h"
#include "authd/ticket.h"
#include "authd/verify.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct authd d;

static int
find(struct source *s, struct view login, struct source_user *u)
{
	(void)s;
	if (!view_eq(login, VIEW("alice@x.test")))
		return PK_ENOENT;
	source_user_add_hash(u, "{PLAIN}secret", NULL);
	u->login = view_dup(login);
	return 0;
}

static int
map(struct source *s, enum source_map which, struct view key, struct buf *b)
{
	(void)s;
	(void)which;
	return key.len % 2 == 0 ? buf_put_view(b, key) : PK_ENOENT;
}

static const struct source_type type = { .name = "fuzz", .find = find, .map = map };
static struct source source = { .type = &type };

static void
set_up(void)
{
	struct buf why;

	log_set_level(LOG_LVL_PANIC);
	d.conf = conf_load("main.cf", VIEW("auth_default_domain = x.test\n"
	    "auth_failure_delay = 0\nauth_client_failure_limit = 0\n"
	    "auth_account_failure_limit = 0\nauth_mechanisms = plain login scram-sha-256\n"),
	    NULL, NULL);
	ASSERT(d.conf != NULL);
	buf_init(&why, 1000);
	d.loop = loop_new();
	ASSERT(sasl_init(&d, &why) == 0);
	d.limits = auth_limits_new(d.conf, -1);
	d.cache = auth_cache_new();
	d.tickets = tickets_new(NULL, 0, 86400000, &why);
	d.hashes = work_pool_new(d.loop, "hashes", 1, 100);
	d.queries = work_pool_new(d.loop, "queries", 1, 100);
	d.sources = XNEW(struct source_set);
	d.sources->refs = 1;
	d.sources->sources[0] = &source;
	d.sources->n = 1;
	verify_init(&d);
	authd_ipc_init(&d);
	buf_fini(&why);
}

static void
send_packet(int fd, uint16_t type_, uint32_t id, struct view body)
{
	struct { uint16_t type, flags; uint32_t length, id; } head = {
		type_, 0, (uint32_t)body.len, id
	};
	char packet[sizeof(head) + 256];

	memcpy(packet, &head, sizeof(head));
	if (body.len > 0)
		memcpy(packet + sizeof(head), body.p, body.len);
	(void)!send(fd, packet, sizeof(head) + body.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
hello(int fd, enum ipc_role role)
{
	static const uint16_t tags[2] = { IPC_F_VERSION, IPC_F_ROLE };
	uint64_t values[2] = { IPC_VERSION, role };
	uint16_t len = 8;
	char body[24];
	int i;

	for (i = 0; i < 2; i++) {
		memcpy(body + 12 * i, &tags[i], 2);
		memcpy(body + 12 * i + 2, &len, 2);
		memcpy(body + 12 * i + 4, &values[i], 8);
	}
	send_packet(fd, IPC_HELLO, 0, view_of(body, sizeof(body)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum ipc_role roles[] = {
		IPC_ROLE_smtpd, IPC_ROLE_submission, IPC_ROLE_qmgr, IPC_ROLE_lookupd,
	};
	struct view in = view_of((const char *)data, size), body;
	enum ipc_role role;
	char reply[65536];
	uint32_t id = 1;
	int sv[2], i;

	if (d.loop == NULL)
		set_up();
	if (size < 1 || ipc_socketpair(sv) != 0)
		return 0;
	role = roles[data[0] % NELEMS(roles)];
	in = view_from(in, 1);
	d.early.over = false;
	(void)early_keep(&d.early, role, 7, sv[0]);
	authd_begin(&d);
	hello(sv[1], role);
	while (in.len >= 2) {
		body = view_head(view_from(in, 2), (uint8_t)in.p[1]);
		send_packet(sv[1], (uint8_t)in.p[0], id++, body);
		in = view_from(in, 2 + body.len);
		loop_turn(d.loop, 0);
		while (recv(sv[1], reply, sizeof(reply), MSG_DONTWAIT) > 0)
			continue;
	}
	close(sv[1]);
	for (i = 0; i < 1000 && authd_open(&d) > 0; i++)
		loop_turn(d.loop, 1);
	loop_turn(d.loop, 0);
	ASSERT(authd_open(&d) == 0);
	return 0;
}
