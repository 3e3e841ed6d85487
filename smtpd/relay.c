/* SPDX-License-Identifier: ISC */
/*
 * relay.c: the decision that keeps us from being an open relay (A16).
 *
 * Runs in smtpd. The class of the domain is lookupd's answer; the rest is
 * the form of the address as a stranger wrote it. Nothing here depends on
 * the configuration: allow_percent_hack and swap_bangpath are for clients
 * that may relay anyway.
 */
#include "smtpd/relay.h"

bool
relay_is_routed(const struct mail_address *rcpt)
{
	size_t i;

	/* A quoted pair hides nothing: "@" is "@" with a backslash too. */
	for (i = 0; i < rcpt->local.len; i++)
		if (rcpt->local.p[i] == '@' || rcpt->local.p[i] == '%' ||
		    rcpt->local.p[i] == '!')
			return true;
	return false;
}

bool
relay_is_authorised(const struct mail_address *rcpt, enum route_class class)
{
	switch (class) {
	case ROUTE_CLASS_LOCAL:
	case ROUTE_CLASS_VIRTUAL_ALIAS:
	case ROUTE_CLASS_VIRTUAL_MAILBOX:
	case ROUTE_CLASS_RELAY:
		return !relay_is_routed(rcpt);
	case ROUTE_CLASS_DEFAULT:
	default:
		return false;
	}
}
