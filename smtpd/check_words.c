/* SPDX-License-Identifier: ISC */
/*
 * check_words.c: the table of restriction words, and those that need nobody.
 * Runs in smtpd.
 */
#include "smtpd/check_words.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "smtpd/worker.h"

/* warn_if_reject changes how the next word is applied: check.c does that. */
#define check_warn_if_reject	NULL

const struct check_word check_words[] = {
#define RESTRICTION(name, argument, text) { #name, CHECK_ARG_##argument, check_##name },
#include "conf/restrictions.def"
#undef RESTRICTION
};
const size_t check_nwords = NELEMS(check_words);

const char *
check_subject(const struct check *c, char *text, size_t size)
{
	const struct session *s = c->s;
	char client[SESSION_CLIENT_MAX];

	switch (c->stage) {
	case CHECK_CLIENT:
		session_client(c->s, client, sizeof(client));
		snprintf(text, size, "<%s>: Client host", client);
		break;
	case CHECK_HELO:
		snprintf(text, size, "<%s>: Helo command", s->helo != NULL ? s->helo : "");
		break;
	case CHECK_SENDER:
		snprintf(text, size, "<%s>: Sender address",
		    s->tx != NULL ? s->tx->sender_text : "");
		break;
	case CHECK_DATA:
		snprintf(text, size, "<DATA>: Data command");
		break;
	case CHECK_END_OF_DATA:
		snprintf(text, size, "<END-OF-MESSAGE>: End-of-data");
		break;
	default:
		snprintf(text, size, "<%.*s>: Recipient address", VIEW_ARG(buf_view(&c->address)));
		break;
	}
	return text;
}

CHECK_WORD(permit)
{
	(void)c;
	(void)it;
	return CHECK_PERMIT;
}

CHECK_WORD(reject)
{
	char subject[RECORD_ADDRESS_MAX];

	(void)it;
	return check_refuse(c, (int)c->s->policy->conf->reject_code, "5.7.1",
	    "%s rejected: Access denied", check_subject(c, subject, sizeof(subject)));
}

CHECK_WORD(defer)
{
	char subject[RECORD_ADDRESS_MAX];

	(void)it;
	return check_refuse(c, 450, "4.7.1", "%s rejected: Try again later",
	    check_subject(c, subject, sizeof(subject)));
}

static enum check_result
note(struct check *c, struct buf *where)
{
	char subject[RECORD_ADDRESS_MAX];

	if (where->len == 0)
		buf_printf(where, "450 4.7.1 %s rejected: Try again later",
		    check_subject(c, subject, sizeof(subject)));
	return CHECK_DUNNO;
}

CHECK_WORD(defer_if_permit)
{
	(void)it;
	return note(c, &c->if_permit);
}

CHECK_WORD(defer_if_reject)
{
	(void)it;
	return note(c, &c->if_reject);
}

CHECK_WORD(sleep)
{
	uint64_t seconds = 0;

	if (c->answered)
		return CHECK_DUNNO;
	num_parse_u64(it->arg, 0, 3600, &seconds);
	loop_timer_set(c->s->w->loop, &c->timer, seconds * 1000);
	return CHECK_PENDING;
}

CHECK_WORD(permit_mynetworks)
{
	(void)it;
	return c->s->trusted ? CHECK_PERMIT : CHECK_DUNNO;
}

CHECK_WORD(permit_sasl_authenticated)
{
	(void)it;
	return auth_login(c->s) != NULL ? CHECK_PERMIT : CHECK_DUNNO;
}

CHECK_WORD(reject_unauth_pipelining)
{
	(void)it;
	if (!c->s->pipelined_badly)
		return CHECK_DUNNO;
	return check_refuse(c, 503, "5.5.0", "<%s>: Data command rejected: Improper use of"
	    " SMTP command pipelining", c->command);
}

CHECK_WORD(reject_unknown_client_hostname)
{
	(void)it;
	if (strcmp(c->s->name, "unknown") != 0)
		return CHECK_DUNNO;
	return check_refuse(c, 450, "4.7.25", "Client host rejected: cannot find your hostname,"
	    " [%s]", c->s->addr);
}
