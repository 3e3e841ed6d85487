/* SPDX-License-Identifier: ISC */
/*
 * check_login.c: does the sender address belong to who is logged in?
 *
 * Runs in smtpd. smtpd_sender_login_maps is lookupd's to look up; its result
 * is a list of logins. The null sender belongs to everybody (reports have it).
 * When the tables cannot tell nobody is let through: 451.
 */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "smtpd/check_words.h"
#include "smtpd/lookup.h"
#include "smtpd/worker.h"

/* lookupd takes no longer name of a table. */
#define MAPS_MAX	2000

enum mismatch {
	MISMATCH_LOGGED_IN	= 1 << 0,	/* judge clients that are */
	MISMATCH_STRANGER	= 1 << 1,	/* and those that are not */
	MISMATCH_KNOWN_ONLY	= 1 << 2,	/* an address without an owner is anybody's */
};

/* Is login among them? One without a domain is of auth_default_domain. */
static bool
is_owner(const struct conf *conf, struct view owners, struct view login)
{
	struct view one, domain = view_str(conf->auth_default_domain);
	ptrdiff_t at = view_rfind(login, '@');
	bool ours = at >= 0 && view_caseeq(view_from(login, (size_t)at + 1), domain);

	while (view_next(&owners, ", \t", &one)) {
		if (view_caseeq(one, login))
			return true;
		if (ours && view_find(one, '@') < 0 &&
		    view_caseeq(one, view_head(login, (size_t)at)))
			return true;
	}
	return false;
}

static enum check_result
judge(struct check *c, unsigned flags)
{
	const char *login = auth_login(c->s), *sender = c->s->tx->sender_text;

	if (c->answer_error != 0 && c->answer_error != PK_ENOENT) {
		log_warn("smtpd_sender_login_maps do not answer: %s",
		    pk_strerror(c->answer_error));
		return check_refuse(c, 451, "4.3.0", "<%s>: Temporary lookup failure", sender);
	}
	if (c->answer_error == PK_ENOENT && (login == NULL || flags & MISMATCH_KNOWN_ONLY))
		return CHECK_DUNNO;
	if (login == NULL)
		return check_refuse(c, 553, "5.7.1",
		    "<%s>: Sender address rejected: not logged in", sender);
	if (c->answer_error == 0 &&
	    is_owner(c->s->policy->conf, buf_view(&c->answer), view_str(login)))
		return CHECK_DUNNO;
	return check_refuse(c, 553, "5.7.1",
	    "<%s>: Sender address rejected: not owned by user %s", sender, login);
}

static enum check_result
mismatch(struct check *c, unsigned flags)
{
	const char *maps = c->s->policy->conf->smtpd_sender_login_maps;
	const struct transaction *tx = c->s->tx;
	unsigned who = auth_login(c->s) != NULL ? MISMATCH_LOGGED_IN : MISMATCH_STRANGER;

	if (tx == NULL || tx->sender_len == 0 || maps[0] == '\0' || (flags & who) == 0)
		return CHECK_DUNNO;
	if (!c->answered && strlen(maps) > MAPS_MAX) {
		log_error("smtpd_sender_login_maps of listener %s is too long",
		    c->s->policy->listener);
		return check_refuse(c, 451, "4.3.5", "Server configuration error");
	}
	if (!c->answered)
		return lookup_access(c, view_str(maps),
		    view_of(tx->sender_text, tx->sender_len), ACCESS_LOGIN);
	return judge(c, flags);
}

CHECK_WORD(reject_sender_login_mismatch)
{
	(void)it;
	return mismatch(c, MISMATCH_LOGGED_IN | MISMATCH_STRANGER);
}

CHECK_WORD(reject_authenticated_sender_login_mismatch)
{
	(void)it;
	return mismatch(c, MISMATCH_LOGGED_IN);
}

CHECK_WORD(reject_unauthenticated_sender_login_mismatch)
{
	(void)it;
	return mismatch(c, MISMATCH_STRANGER);
}

CHECK_WORD(reject_known_sender_login_mismatch)
{
	(void)it;
	return mismatch(c, MISMATCH_LOGGED_IN | MISMATCH_STRANGER | MISMATCH_KNOWN_ONLY);
}
