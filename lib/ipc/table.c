/* SPDX-License-Identifier: ISC */
/*
 * table.c: messages.def, fields.def and roles.def as look-up tables.
 *
 * Used by every process. The direction of a message is kept as two sets of
 * roles (bit masks), so that the check of a packet is two bit tests.
 */
#include "ipc/channel_internal.h"

#define BIT(role)	(1U << IPC_ROLE_##role)

/* The words that messages.def uses for sets of roles. */
#define SET_master	BIT(master)
#define SET_logd	BIT(logd)
#define SET_certd	BIT(certd)
#define SET_authd	BIT(authd)
#define SET_qmgr	BIT(qmgr)
#define SET_dnsd	BIT(dnsd)
#define SET_lookupd	BIT(lookupd)
#define SET_adminctl	BIT(adminctl)
#define SET_any		(~0U)
#define SET_acceptor	(BIT(smtpd) | BIT(submission) | BIT(localsmtp))
#define SET_writer	(SET_acceptor | BIT(bounce))
#define SET_deliverer	(BIT(smtp) | BIT(lmtp) | BIT(mailbox) | BIT(bounce))
#define SET_asker	(SET_acceptor | BIT(lookupd) | SET_deliverer)
#define SET_keyuser	(SET_acceptor | BIT(smtp) | BIT(lmtp))
#define SET_served	(BIT(master) | BIT(qmgr) | BIT(dnsd) | BIT(lookupd) | BIT(logd) |	\
			    BIT(certd) | BIT(authd))

static const struct ipc_row rows[] = {
#define IPC_MESSAGE(name, number, from, to, again, size_max, handles, text) \
	[number] = { #name, SET_##from, SET_##to, again, handles, size_max },
#include "ipc/messages.def"
#undef IPC_MESSAGE
};

#define IPC_MESSAGE(name, number, from, to, again, size_max, handles, text) \
	_Static_assert((size_max) <= IPC_BODY_MAX, #name ": does not fit"); \
	_Static_assert((handles) <= IPC_HANDLES_MAX, #name ": too many handles"); \
	_Static_assert(!(again) || (handles) == 0, #name ": handles are not asked again");
#include "ipc/messages.def"
#undef IPC_MESSAGE

bool
ipc_type_is_secret(uint16_t type)
{
	switch (type) {
	case IPC_AUTH_BEGIN:
	case IPC_AUTH_MORE:
	case IPC_AUTH_STEP:
	case IPC_TICKET_KEYS:
	case IPC_ADMIN:
	case IPC_ADMIN_ANSWER:
		return true;
	default:
		return false;
	}
}

#define u64	'u'
#define bytes	'b'
#define text	't'
static const char field_kinds[] = {
#define IPC_FIELD(name, number, type, words) [number] = type,
#include "ipc/fields.def"
#undef IPC_FIELD
};
#undef u64
#undef bytes
#undef text

static const char *const field_names[] = {
#define IPC_FIELD(name, number, type, words) [number] = #name,
#include "ipc/fields.def"
#undef IPC_FIELD
};

static const struct {
	const char	*name;
	const char	*program;
	const char	*user;
} roles[IPC_ROLES] = {
	[IPC_ROLE_none] = { "none", NULL, NULL },
#define ROLE(name, program, user, text) [IPC_ROLE_##name] = { #name, program, user },
#include "ipc/roles.def"
#undef ROLE
};

const struct ipc_row *
ipc_row(uint16_t type)
{
	if (type >= NELEMS(rows) || rows[type].name == NULL)
		return NULL;
	return &rows[type];
}

const char *
ipc_type_name(uint16_t type)
{
	const struct ipc_row *row = ipc_row(type);

	return row != NULL ? row->name : "?";
}

char
ipc_field_kind(unsigned tag)
{
	return tag < NELEMS(field_kinds) ? field_kinds[tag] : '\0';
}

const char *
ipc_field_name(unsigned tag)
{
	if (tag >= NELEMS(field_names) || field_names[tag] == NULL)
		return "?";
	return field_names[tag];
}

bool
ipc_row_allows(const struct ipc_row *row, enum ipc_role from, enum ipc_role to)
{
	return (row->from >> from & 1) != 0 && (row->to >> to & 1) != 0;
}

bool
ipc_role_accepts(enum ipc_role role)
{
	return role == IPC_ROLE_smtpd || role == IPC_ROLE_submission ||
	    role == IPC_ROLE_localsmtp;
}

const char *
ipc_role_name(enum ipc_role role)
{
	return role < IPC_ROLES ? roles[role].name : "?";
}

const char *
ipc_role_log_name(enum ipc_role role)
{
	switch (role) {
	case IPC_ROLE_submission:
		return "submission/smtpd";
	case IPC_ROLE_localsmtp:
		return "local/smtpd";
	default:
		return ipc_role_name(role);
	}
}

enum ipc_role
ipc_role_parse(struct view name)
{
	unsigned role;

	for (role = IPC_ROLE_none + 1; role < IPC_ROLES; role++) {
		if (view_eq(name, view_str(roles[role].name)))
			return (enum ipc_role)role;
	}
	return IPC_ROLE_none;
}

const char *
ipc_role_program(enum ipc_role role)
{
	return role < IPC_ROLES ? roles[role].program : NULL;
}

const char *
ipc_role_user(enum ipc_role role)
{
	return role < IPC_ROLES ? roles[role].user : NULL;
}
