/* SPDX-License-Identifier: ISC */
/*
 * deliver: carries messages to where they belong. One program, four roles,
 * each with a user and a confinement of its own; master says which by the
 * first argument:
 *
 *	smtp	other hosts by SMTP	may connect; no file
 *	lmtp	next hops by LMTP	may connect; no file but its sockets
 *	mailbox	Maildirs below virtual_mailbox_base; no network
 *	bounce	delivery status notifications into its own queue segment;
 *		no network, no path
 */
#include <err.h>
#include <string.h>

#include "base/mem.h"
#include "deliver/deliver.h"

int
main(int argc, char **argv)
{
	static const struct {
		const char	*name;
		const struct deliver_role *role;
	} roles[] = {
		{ "smtp", &deliver_role_smtp },
		{ "lmtp", &deliver_role_lmtp },
		{ "mailbox", &deliver_role_mailbox },
		{ "bounce", &deliver_role_bounce },
	};
	size_t i;

	for (i = 0; argc > 1 && i < NELEMS(roles); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return deliver_main(roles[i].role, argc, argv);
	errx(2, "usage: deliver smtp|lmtp|mailbox|bounce (started by master)");
}
