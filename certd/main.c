/* SPDX-License-Identifier: ISC */
/*
 * main.c of certd: TLS private keys.
 *
 * Started by master as root, works as pk-cert and reads key and certificate
 * files; no network. It parses what acceptors and deliverers ask to be signed
 * and nothing of strangers directly. What its loss costs: the keys.
 */
#include <unistd.h>

#include "base/log.h"
#include "ipc/child.h"

static void
on_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	(void)c;
	(void)instance;
	log_debug("channel to %s", ipc_role_name(peer));
	close(fd);
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	(void)grace_ms;
	child_exit(c, 0);
}

static const struct child_ops ops = {
	.channel = on_channel,
	.drain = on_drain,
};

int
main(int argc, char **argv)
{
	struct child_spec spec = { .role = IPC_ROLE_certd, .ops = &ops };
	struct sandbox_spec sandbox = {
		.user = ipc_role_user(IPC_ROLE_certd),
		.needs = SANDBOX_ACCEPT,
	};
	struct child *c = child_begin(argc, argv, &spec);

	child_confine(c, &sandbox);
	return child_run(c);
}
