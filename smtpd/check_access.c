/* SPDX-License-Identifier: ISC */
/*
 * check_access.c: access(5) tables.
 *
 * Runs in smtpd; the table is lookupd's. What it answers is the
 * administrator's word: it may permit, refuse, hold, discard, warn, or name
 * other restrictions.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/enhanced.h"
#include "smtpd/check_words.h"
#include "smtpd/lookup.h"
#include "smtpd/worker.h"

struct access_action {
	const char	*name;
	enum check_result (*fn)(struct check *c, struct view text, const char *subject);
};

static enum check_result
act_permit(struct check *c, struct view text, const char *subject)
{
	(void)c;
	(void)text;
	(void)subject;
	return CHECK_PERMIT;
}

static enum check_result
act_dunno(struct check *c, struct view text, const char *subject)
{
	(void)c;
	(void)text;
	(void)subject;
	return CHECK_DUNNO;
}

/* text may begin with an enhanced code of the administrator's own. */
static enum check_result
refuse_with(struct check *c, int code, const char *dsn, struct view text, const char *subject)
{
	struct enhanced e;
	char own[16];
	size_t used;

	if (enhanced_parse_prefix(text, &e, &used) == 0) {
		snprintf(own, sizeof(own), "%u.%u.%u", e.klass, e.subject, e.detail);
		dsn = own;
		text = view_trim(view_from(text, used));
	}
	if (text.len == 0)
		text = VIEW("Access denied");
	return check_refuse(c, code, dsn, "%s rejected: %.*s", subject, VIEW_ARG(text));
}

static enum check_result
act_reject(struct check *c, struct view text, const char *subject)
{
	return refuse_with(c, (int)c->s->policy->conf->access_map_reject_code, "5.7.1", text,
	    subject);
}

static enum check_result
act_defer(struct check *c, struct view text, const char *subject)
{
	return refuse_with(c, 450, "4.7.1", text, subject);
}

static enum check_result
later(struct view text, const char *subject, struct buf *where)
{
	if (text.len == 0)
		text = VIEW("Try again later");
	if (where->len == 0)
		buf_printf(where, "450 4.7.1 %s rejected: %.*s", subject, VIEW_ARG(text));
	return CHECK_DUNNO;
}

static enum check_result
act_defer_if_permit(struct check *c, struct view text, const char *subject)
{
	return later(text, subject, &c->if_permit);
}

static enum check_result
act_defer_if_reject(struct check *c, struct view text, const char *subject)
{
	return later(text, subject, &c->if_reject);
}

static void
say(struct check *c, const char *what, struct view text, const char *subject)
{
	char line[1200], event[40];

	snprintf(event, sizeof(event), "%s: %s", what, c->command);
	snprintf(line, sizeof(line), "%s triggers %s action%s%.*s", subject, what,
	    text.len > 0 ? ": " : "", VIEW_ARG(text));
	session_log_reject(c->s, event, view_str(line), buf_view(&c->address));
}

static enum check_result
act_hold(struct check *c, struct view text, const char *subject)
{
	struct transaction *tx = c->s->tx;

	if (tx == NULL)
		return CHECK_DUNNO;
	say(c, "hold", text, subject);
	tx->hold = true;
	buf_reset(&tx->hold_text);
	buf_put_view(&tx->hold_text, view_head(text.len > 0 ? text : VIEW("access table"), 255));
	return CHECK_DUNNO;
}

static enum check_result
act_discard(struct check *c, struct view text, const char *subject)
{
	if (c->s->tx == NULL)
		return CHECK_DUNNO;
	say(c, "discard", text, subject);
	c->s->tx->discard = true;
	return CHECK_PERMIT;
}

static enum check_result
act_warn(struct check *c, struct view text, const char *subject)
{
	say(c, "warn", text, subject);
	return CHECK_DUNNO;
}

static enum check_result
act_info(struct check *c, struct view text, const char *subject)
{
	say(c, "info", text, subject);
	return CHECK_DUNNO;
}

static const struct access_action actions[] = {
	{ "OK", act_permit },
	{ "RELAY", act_permit },
	{ "DUNNO", act_dunno },
	{ "REJECT", act_reject },
	{ "DEFER", act_defer },
	{ "DEFER_IF_PERMIT", act_defer_if_permit },
	{ "DEFER_IF_REJECT", act_defer_if_reject },
	{ "HOLD", act_hold },
	{ "DISCARD", act_discard },
	{ "WARN", act_warn },
	{ "INFO", act_info },
};

static bool
all_digits(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (!ascii_isdigit(v.p[i]))
			return false;
	return v.len > 0;
}

/* "550 text" or "450 4.7.1 text" */
static bool
is_reply(struct view word)
{
	return word.len == 3 && all_digits(word) && (word.p[0] == '4' || word.p[0] == '5');
}

static enum check_result
access_result(struct check *c, struct view answer, const char *subject)
{
	struct view rest = view_trim(answer), word;
	size_t i;
	int code;

	if (!view_next(&rest, " \t", &word))
		return CHECK_DUNNO;
	rest = view_trim(rest);
	for (i = 0; i < NELEMS(actions); i++)
		if (view_caseeq(word, view_str(actions[i].name)))
			return actions[i].fn(c, rest, subject);
	if (is_reply(word)) {
		code = (word.p[0] - '0') * 100 + (word.p[1] - '0') * 10 + word.p[2] - '0';
		return refuse_with(c, code, "5.7.1", rest, subject);
	}
	/* access(5): an answer of digits alone is OK (pop-before-smtp tables). */
	if (all_digits(word) && rest.len == 0)
		return CHECK_PERMIT;
	return check_nest(c, answer);
}

enum check_result
check_access_table(struct check *c, const struct check_item *it, struct view key,
    enum access_kind kind, const char *subject)
{
	if (view_casestarts(it->arg, VIEW("static:")))
		return access_result(c, view_from(it->arg, 7), subject);
	if (!c->answered)
		return lookup_access(c, it->arg, key, kind);
	if (c->answer_error == PK_ENOENT)
		return CHECK_DUNNO;
	if (c->answer_error != 0) {
		log_warn("access table %.*s does not answer: %s", VIEW_ARG(it->arg),
		    pk_strerror(c->answer_error));
		return check_refuse(c, 451, "4.3.5", "Server configuration problem");
	}
	return access_result(c, buf_view(&c->answer), subject);
}

CHECK_WORD(check_client_access)
{
	char client[SESSION_CLIENT_MAX], subject[SESSION_CLIENT_MAX + 32];
	struct view key = session_client(c->s, client, sizeof(client));

	snprintf(subject, sizeof(subject), "<%s>: Client host", client);
	return check_access_table(c, it, key, ACCESS_CLIENT, subject);
}

CHECK_WORD(check_helo_access)
{
	char subject[300];

	if (c->s->helo == NULL)
		return CHECK_DUNNO;
	snprintf(subject, sizeof(subject), "<%s>: Helo command", c->s->helo);
	return check_access_table(c, it, view_str(c->s->helo), ACCESS_HELO, subject);
}

CHECK_WORD(check_sender_access)
{
	char subject[RECORD_ADDRESS_MAX];
	const struct transaction *tx = c->s->tx;

	if (tx == NULL)
		return CHECK_DUNNO;
	snprintf(subject, sizeof(subject), "<%s>: Sender address", tx->sender_text);
	/* smtpd_null_access_lookup_key */
	return check_access_table(c, it,
	    tx->sender_len > 0 ? view_of(tx->sender_text, tx->sender_len) : VIEW("<>"),
	    ACCESS_ADDRESS, subject);
}

CHECK_WORD(check_recipient_access)
{
	char subject[RECORD_ADDRESS_MAX + 32];

	if (c->address.len == 0)
		return CHECK_DUNNO;
	snprintf(subject, sizeof(subject), "<%.*s>: Recipient address",
	    VIEW_ARG(buf_view(&c->address)));
	return check_access_table(c, it, buf_view(&c->address), ACCESS_ADDRESS, subject);
}

CHECK_WORD(check_sasl_access)
{
	char subject[AUTH_LOGIN_MAX + 32];
	const char *login = auth_login(c->s);

	if (login == NULL)
		return CHECK_DUNNO;
	snprintf(subject, sizeof(subject), "<%s>: SASL login name", login);
	return check_access_table(c, it, view_str(login), ACCESS_EXACT, subject);
}
