/* SPDX-License-Identifier: ISC */
/* roles_test.c: master's tables against the tables of lib/. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "master/master.h"
#include "sys/fd.h"

static void
test_every_role_is_started_once(void **state)
{
	unsigned seen[IPC_ROLES] = { 0 }, role;
	size_t k;

	(void)state;
	for (k = 0; roles_start_order[k] != IPC_ROLE_none; k++)
		seen[roles_start_order[k]]++;
	for (role = 1; role < IPC_ROLES; role++)
		assert_int_equal(seen[role],
		    role != IPC_ROLE_master && role != IPC_ROLE_adminctl);
}

static void
test_pairs(void **state)
{
	unsigned role;

	(void)state;
	for (role = 1; role < IPC_ROLES; role++) {
		assert_false(role_talks((enum ipc_role)role, (enum ipc_role)role));
		if (role != IPC_ROLE_logd)
			assert_true(role_talks((enum ipc_role)role, IPC_ROLE_logd));
	}
	assert_true(role_talks(IPC_ROLE_smtpd, IPC_ROLE_qmgr));
	assert_true(role_talks(IPC_ROLE_qmgr, IPC_ROLE_smtpd));
	/* What speaks to strangers reaches no mailbox and no other next hop's worker. */
	assert_false(role_talks(IPC_ROLE_smtpd, IPC_ROLE_mailbox));
	assert_false(role_talks(IPC_ROLE_smtp, IPC_ROLE_mailbox));
	assert_false(role_talks(IPC_ROLE_smtp, IPC_ROLE_smtpd));
	assert_false(role_talks(IPC_ROLE_smtpd, IPC_ROLE_submission));
	assert_false(role_talks(IPC_ROLE_submission, IPC_ROLE_localsmtp));
	assert_true(role_talks(IPC_ROLE_submission, IPC_ROLE_authd));
	/* Passwords are asked by who serves users, tickets by the queue, and nobody else. */
	assert_false(role_talks(IPC_ROLE_smtp, IPC_ROLE_authd));
	assert_false(role_talks(IPC_ROLE_bounce, IPC_ROLE_authd));
	assert_false(role_talks(IPC_ROLE_authd, IPC_ROLE_certd));
	assert_false(role_talks(IPC_ROLE_qmgr, IPC_ROLE_certd));
	assert_false(role_talks(IPC_ROLE_lookupd, IPC_ROLE_certd));
	assert_false(role_talks(IPC_ROLE_mailbox, IPC_ROLE_dnsd));
}

/* Every parameter that needs new processes says which. */
static void
test_restart_parameters(void **state)
{
	unsigned all = role_mask_of_param("no_such_parameter");
	size_t i;

	(void)state;
	for (i = 0; i < conf_nrows; i++)
		if (conf_rows[i].apply == CONF_RESTART &&
		    role_mask_of_param(conf_rows[i].name) == all)
			fail_msg("master/roles.c does not know what to replace for %s",
			    conf_rows[i].name);
}

static void
test_counts(void **state)
{
	struct conf *c = conf_load("main.cf", VIEW("smtpd_workers = 7\nlmtp_workers = 2\n"),
	    NULL, NULL);

	(void)state;
	assert_non_null(c);
	assert_int_equal(role_count(c, IPC_ROLE_smtpd), 7);
	assert_int_equal(role_count(c, IPC_ROLE_lmtp), 2);
	assert_in_range(role_count(c, IPC_ROLE_smtp), 1, 4);
	assert_int_equal(role_count(c, IPC_ROLE_qmgr), 1);
	assert_int_equal(role_count(c, IPC_ROLE_master), 0);
	conf_free(&c);
}

/* scripts/create-users makes the users that roles.def names, and no other. */
static void
test_users(void **state)
{
	const char *dir = getenv("srcdir"), *start;
	unsigned role, found = 0, wanted = 0;
	struct view list, name;
	struct buf script;
	char *path;

	(void)state;
	path = xasprintf("%s/scripts/create-users", dir != NULL ? dir : ".");
	buf_init(&script, 100000);
	assert_int_equal(fd_read_file(AT_FDCWD, path, &script), 0);
	start = strstr(buf_cstr(&script), "\nusers='");
	assert_non_null(start);
	list = view_str(start + 8);
	list = view_head(list, (size_t)view_find(list, '\''));
	while (view_next(&list, " \n\t", &name)) {
		for (role = 1; role < IPC_ROLES; role++)
			if (view_eq(name, view_str(ipc_role_user((enum ipc_role)role))))
				break;
		if (role == IPC_ROLES)
			fail_msg("create-users has %.*s, roles.def does not", VIEW_ARG(name));
		found++;
	}
	for (role = 1; role < IPC_ROLES; role++)
		wanted += role != IPC_ROLE_master && ipc_role_user((enum ipc_role)role) != NULL;
	assert_int_equal(found, wanted);
	buf_fini(&script);
	xfree(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_role_is_started_once),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_restart_parameters),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
