/* SPDX-License-Identifier: ISC */
/*
 * main.c of authd: accounts, passwords, SASL, tickets.
 *
 * Started by master as root, works as pk-auth; its database directory and the
 * databases, LDAP servers and token services of the configuration. It parses
 * SASL messages of strangers. What its loss costs: the password hashes.
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
	struct child_spec spec = { .role = IPC_ROLE_authd, .ops = &ops };
	struct sandbox_spec sandbox = {
		.user = ipc_role_user(IPC_ROLE_authd),
		.needs = SANDBOX_ACCEPT,
	};
	struct child *c = child_begin(argc, argv, &spec);

	child_confine(c, &sandbox);
	return child_run(c);
}
