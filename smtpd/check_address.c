/* SPDX-License-Identifier: ISC */
/*
 * check_address.c: who may send where, and does the recipient exist.
 *
 * Runs in smtpd; class and existence are lookupd's answer, the decision is
 * relay.c's. When lookupd does not answer nobody is let through: 451.
 */
#include "base/error.h"
#include "smtpd/check_words.h"
#include "smtpd/lookup.h"
#include "smtpd/relay.h"
#include "smtpd/worker.h"

static enum check_result
no_answer(struct check *c, struct view address)
{
	return check_refuse(c, 451, "4.3.0", "<%.*s>: Temporary lookup failure",
	    VIEW_ARG(address));
}

/* DUNNO: *authorised_r is set; else what the word returns. */
static enum check_result
authorised(struct check *c, bool *authorised_r)
{
	enum check_result result;

	if (c->address.len == 0) {		/* DATA and its like */
		*authorised_r = true;
		return CHECK_DUNNO;
	}
	result = lookup_recipient(c);
	if (result != CHECK_DUNNO)
		return result;
	if (c->route.error != 0)
		return no_answer(c, buf_view(&c->address));
	*authorised_r = relay_is_authorised(&c->rcpt, c->route.class);
	return CHECK_DUNNO;
}

CHECK_WORD(permit_auth_destination)
{
	bool fine = false;
	enum check_result result = authorised(c, &fine);

	(void)it;
	if (result != CHECK_DUNNO)
		return result;
	return fine && c->address.len > 0 ? CHECK_PERMIT : CHECK_DUNNO;
}

static enum check_result
unauth_destination(struct check *c, int code)
{
	bool fine = false;
	enum check_result result = authorised(c, &fine);

	if (result != CHECK_DUNNO || fine)
		return result;
	return check_refuse(c, code, "5.7.1", "<%.*s>: Relay access denied",
	    VIEW_ARG(buf_view(&c->address)));
}

CHECK_WORD(reject_unauth_destination)
{
	(void)it;
	return unauth_destination(c, (int)c->s->policy->conf->relay_domains_reject_code);
}

CHECK_WORD(defer_unauth_destination)
{
	(void)it;
	return unauth_destination(c, 454);
}

static const char *
table_of(enum route_class class)
{
	switch (class) {
	case ROUTE_CLASS_LOCAL:
		return " in local recipient table";
	case ROUTE_CLASS_VIRTUAL_ALIAS:
		return " in virtual alias table";
	case ROUTE_CLASS_VIRTUAL_MAILBOX:
		return " in virtual mailbox table";
	case ROUTE_CLASS_RELAY:
		return " in relay recipient table";
	default:
		return "";
	}
}

static int
code_of(const char *dsn)
{
	return dsn[0] == '4' ? 450 : 550;
}

CHECK_WORD(reject_unlisted_recipient)
{
	struct view a = buf_view(&c->address);
	enum check_result result;

	(void)it;
	if (a.len == 0)
		return CHECK_DUNNO;
	result = lookup_recipient(c);
	if (result != CHECK_DUNNO)
		return result;
	if (c->route.error != 0)
		return no_answer(c, a);
	switch (c->route.verdict) {
	case ROUTE_KNOWN:
		return CHECK_DUNNO;
	case ROUTE_UNKNOWN:
		return check_refuse(c,
		    (int)c->s->policy->conf->unknown_local_recipient_reject_code, "5.1.1",
		    "<%.*s>: Recipient address rejected: User unknown%s", VIEW_ARG(a),
		    table_of(c->route.class));
	case ROUTE_FULL:
		return check_refuse(c, 452, "4.2.2",
		    "<%.*s>: Recipient address rejected: Mailbox is full", VIEW_ARG(a));
	case ROUTE_REJECTED:
		return check_refuse(c, code_of(c->route.dsn),
		    c->route.dsn[0] != '\0' ? c->route.dsn : "5.1.1",
		    "<%.*s>: Recipient address rejected: %s", VIEW_ARG(a), c->route.text);
	default:
		return no_answer(c, a);
	}
}

CHECK_WORD(reject_unlisted_sender)
{
	enum check_result result;

	(void)it;
	if (c->s->tx == NULL || c->s->tx->sender_len == 0)
		return CHECK_DUNNO;
	result = lookup_sender(c);
	if (result != CHECK_DUNNO)
		return result;
	if (c->sender_route.error != 0 || c->sender_route.verdict == ROUTE_TEMPFAIL)
		return no_answer(c, view_str(c->s->tx->sender_text));
	if (c->sender_route.verdict != ROUTE_UNKNOWN)
		return CHECK_DUNNO;
	return check_refuse(c, (int)c->s->policy->conf->unknown_local_recipient_reject_code,
	    "5.1.0", "<%s>: Sender address rejected: User unknown%s", c->s->tx->sender_text,
	    table_of(c->sender_route.class));
}
