/* SPDX-License-Identifier: ISC */
/*
 * roles.c: how many of each, who talks to whom, what a change asks for.
 *
 * The tables here are the process diagram of ARCHITECTURE.md in C: master
 * makes a socket pair for each pair of rows and no other, so that a process
 * that was taken over reaches its siblings only along these lines.
 */
#include <unistd.h>

#include "base/mem.h"
#include "master/master.h"

/* Who is asked stands before who asks; the log before everything. */
const enum ipc_role roles_start_order[] = {
	IPC_ROLE_logd, IPC_ROLE_dnsd, IPC_ROLE_certd, IPC_ROLE_authd, IPC_ROLE_lookupd,
	IPC_ROLE_qmgr,
	IPC_ROLE_mailbox, IPC_ROLE_lmtp, IPC_ROLE_smtp, IPC_ROLE_bounce,
	IPC_ROLE_smtpd, IPC_ROLE_submission, IPC_ROLE_localsmtp, IPC_ROLE_none,
};

static const struct {
	enum ipc_role	asks, answers;
} pairs[] = {
	{ IPC_ROLE_smtpd,	IPC_ROLE_lookupd },
	{ IPC_ROLE_smtpd,	IPC_ROLE_dnsd },
	{ IPC_ROLE_smtpd,	IPC_ROLE_qmgr },
	{ IPC_ROLE_smtpd,	IPC_ROLE_certd },
	{ IPC_ROLE_smtpd,	IPC_ROLE_authd },
	{ IPC_ROLE_qmgr,	IPC_ROLE_lookupd },
	{ IPC_ROLE_qmgr,	IPC_ROLE_smtp },
	{ IPC_ROLE_qmgr,	IPC_ROLE_lmtp },
	{ IPC_ROLE_qmgr,	IPC_ROLE_mailbox },
	{ IPC_ROLE_qmgr,	IPC_ROLE_bounce },
	{ IPC_ROLE_smtp,	IPC_ROLE_dnsd },
	{ IPC_ROLE_lmtp,	IPC_ROLE_dnsd },
	{ IPC_ROLE_smtp,	IPC_ROLE_certd },
	{ IPC_ROLE_smtp,	IPC_ROLE_lookupd },
	{ IPC_ROLE_lmtp,	IPC_ROLE_certd },
	{ IPC_ROLE_lmtp,	IPC_ROLE_lookupd },
	{ IPC_ROLE_lookupd,	IPC_ROLE_dnsd },
	{ IPC_ROLE_lookupd,	IPC_ROLE_authd },
	{ IPC_ROLE_qmgr,	IPC_ROLE_authd },
};

enum ipc_role
role_of_class(enum child_listener_class class)
{
	switch (class) {
	case CHILD_LISTENER_SUBMISSION:
		return IPC_ROLE_submission;
	case CHILD_LISTENER_LOCAL:
		return IPC_ROLE_localsmtp;
	default:
		return IPC_ROLE_smtpd;
	}
}

enum child_listener_class
role_listener_class(const struct conf *c, const struct conf_listener *cl)
{
	char *name = view_dup(cl->name);
	const char *class = conf_scope(c, name)->listener_class;

	xfree(name);
	if (strcmp(class, "submission") == 0)
		return CHILD_LISTENER_SUBMISSION;
	return strcmp(class, "local") == 0 ? CHILD_LISTENER_LOCAL : CHILD_LISTENER_MX;
}

/* A pool whose class has no listener has no worker: nobody could reach it. */
static bool
has_listener(const struct conf *c, enum ipc_role role)
{
	struct view list = view_str(c->listeners), item;
	struct conf_listener l;

	while (conf_list_next(&list, &item))
		if (conf_listener_parse(item, &l) &&
		    role_of_class(role_listener_class(c, &l)) == role)
			return true;
	return false;
}

bool
role_talks(enum ipc_role a, enum ipc_role b)
{
	size_t i;

	if ((a == IPC_ROLE_logd) != (b == IPC_ROLE_logd))
		return true;
	/* The table has smtpd for every acceptor. */
	a = ipc_role_accepts(a) ? IPC_ROLE_smtpd : a;
	b = ipc_role_accepts(b) ? IPC_ROLE_smtpd : b;
	for (i = 0; i < NELEMS(pairs); i++)
		if ((pairs[i].asks == a && pairs[i].answers == b) ||
		    (pairs[i].asks == b && pairs[i].answers == a))
			return true;
	return false;
}

bool
role_writes(enum ipc_role role)
{
	return ipc_role_accepts(role) || role == IPC_ROLE_bounce;
}

/* One a core, at most 4: more event loops would only take turns. */
static unsigned
per_core(int64_t configured)
{
	long cores;

	if (configured > 0)
		return (unsigned)configured;
	cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
}

unsigned
role_count(const struct conf *c, enum ipc_role role)
{
	switch (role) {
	case IPC_ROLE_smtpd:
		return per_core(c->smtpd_workers);
	case IPC_ROLE_submission:
	case IPC_ROLE_localsmtp:
		return has_listener(c, role) ? per_core(c->smtpd_workers) : 0;
	case IPC_ROLE_authd:
		return (unsigned)c->authd_workers;
	case IPC_ROLE_smtp:
		return per_core(c->smtp_workers);
	case IPC_ROLE_lmtp:
		return (unsigned)c->lmtp_workers;
	case IPC_ROLE_mailbox:
		return (unsigned)c->mailbox_workers;
	case IPC_ROLE_lookupd:
		return (unsigned)c->lookupd_workers;
	case IPC_ROLE_logd:
	case IPC_ROLE_qmgr:
	case IPC_ROLE_bounce:
	case IPC_ROLE_dnsd:
	case IPC_ROLE_certd:
		return 1;
	default:
		return 0;
	}
}

bool
role_exclusive(enum ipc_role role)
{
	/* The queue's index and journal; the log file that is rotated. */
	return role == IPC_ROLE_qmgr || role == IPC_ROLE_logd;
}

bool
role_has_admin(enum ipc_role role)
{
	return role == IPC_ROLE_master || role == IPC_ROLE_qmgr || role == IPC_ROLE_dnsd ||
	    role == IPC_ROLE_lookupd || role == IPC_ROLE_logd || role == IPC_ROLE_certd ||
	    role == IPC_ROLE_authd;
}

#define R(role) (1U << IPC_ROLE_##role)
#define R_ACCEPTORS	(R(smtpd) | R(submission) | R(localsmtp))

static const struct {
	const char	*prefix;
	unsigned	 mask;
} restart_rows[] = {
	{ "queue_directory",	ROLES_FIXED },
	{ "runtime_directory",	ROLES_FIXED },
	{ "data_directory",	ROLES_FIXED },
	{ "program_directory",	ROLES_FIXED },
	/* The counts are brought about by themselves. */
	{ "smtpd_workers",	0 },
	{ "smtp_workers",	0 },
	{ "lmtp_workers",	0 },
	{ "mailbox_workers",	0 },
	{ "lookupd_workers",	0 },
	{ "authd_workers",	0 },
	{ "auth_hash_threads",	R(authd) },
	/* Counters are kept by these: workers with others would not meet in them. */
	{ "smtpd_client_ipv",	R_ACCEPTORS | R(authd) },
	/* Read before the confinement. */
	{ "smtpd_tls_CAfile",	R_ACCEPTORS },
	{ "smtpd_tls_CApath",	R_ACCEPTORS },
	{ "smtp_tls_CAfile",	R(smtp) | R(lmtp) },
	{ "smtp_tls_CApath",	R(smtp) | R(lmtp) },
	{ "tls_append_default_CA", R_ACCEPTORS | R(smtp) | R(lmtp) },
	{ "dns_",		R(dnsd) },
	{ "virtual_mailbox_base", R(mailbox) | R(lookupd) },
	{ "inet_interfaces",	R(smtp) | R(lmtp) | R(lookupd) },
	/* Looked up before the confinement. */
	{ "admin_group",	R(logd) | R(dnsd) | R(lookupd) | R(qmgr) | R(certd) | R(authd) },
	{ "syslog_name",	R(logd) },
	/* Opened before logd is confined. */
	{ "maillog_file",	R(logd) },
	{ "maillog_syslog",	R(logd) },
};

unsigned
role_mask_of_param(const char *name)
{
	size_t i;

	for (i = 0; i < NELEMS(restart_rows); i++)
		if (view_starts(view_str(name), view_str(restart_rows[i].prefix)))
			return restart_rows[i].mask;
	/* A row that this table forgot: everybody, and nothing is missed. */
	return R(logd) | R(dnsd) | R(lookupd) | R(qmgr) | R(mailbox) | R(lmtp) | R(smtp) |
	    R(bounce) | R(certd) | R(authd) | R_ACCEPTORS;
}
