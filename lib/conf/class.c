/* SPDX-License-Identifier: ISC */
/*
 * class.c: what a listener's class means for parameters it does not set.
 *
 * A listener of class submission is for users: what main.cf says of strangers
 * (block lists, names that must resolve) does not fit them, and what every
 * such listener needs should not take ten lines. The values here stand before
 * main.cf's global ones and behind the listener's own (NAME_parameter); they
 * are written out by conf_serialise(), so that every process sees the same.
 */
#include "base/mem.h"
#include "conf/conf_private.h"

/* postkeep.conf(5), "SASL and submission", has this table. */
static const struct {
	size_t		 row;
	const char	*value;
	bool		 network;	/* not for Unix sockets */
} submission[] = {
	{ CONF_I_smtpd_sasl_auth_enable, "yes", false },
	/* Without a certificate nobody can log in, and nobody gets in. */
	{ CONF_I_smtpd_tls_security_level, "${smtpd_tls_chain_files?encrypt:"
	    "${smtpd_tls_cert_file?encrypt:${smtpd_tls_eccert_file?encrypt:none}}}", true },
	{ CONF_I_smtpd_client_restrictions, "", false },
	{ CONF_I_smtpd_helo_restrictions, "", false },
	{ CONF_I_smtpd_sender_restrictions, "reject_sender_login_mismatch", false },
	{ CONF_I_smtpd_relay_restrictions,
	    "permit_mynetworks, permit_sasl_authenticated, reject", false },
	{ CONF_I_smtpd_recipient_restrictions, "", false },
};

static bool
is_unix(const struct conf_private *p, struct view name)
{
	struct view list = view_str(p->global->slots[CONF_I_listeners].value), item;
	struct conf_listener l;

	while (conf_list_next(&list, &item))
		if (conf_listener_parse(item, &l) && view_eq(l.name, name))
			return view_eq(l.family, VIEW("unix"));
	return false;
}

void
conf_class_defaults(struct conf_loader *ld, struct conf_set *set)
{
	struct conf_slot *class = &set->slots[CONF_I_listener_class], *s;
	bool local = is_unix(ld->priv, view_str(set->name));
	size_t i;

	if (class->raw == NULL || !conf_expand(ld, set, CONF_I_listener_class) ||
	    !view_eq(view_trim(view_str(class->value)), VIEW("submission")))
		return;
	for (i = 0; i < NELEMS(submission); i++) {
		s = &set->slots[submission[i].row];
		if (s->raw != NULL || (submission[i].network && local))
			continue;
		s->raw = xstrdup(submission[i].value);
		s->line = class->line;
	}
}
