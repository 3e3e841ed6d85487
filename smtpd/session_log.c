/* SPDX-License-Identifier: ISC */
/*
 * session_log.c: a session's name and its lines in the log, in Postfix's shapes.
 *
 * Runs in smtpd. Programs read these lines (fail2ban, pflogsumm): a word that
 * changes here is a filter that matches no more.
 */
#include <stdio.h>

#include "base/log.h"
#include "mail/trace.h"
#include "smtpd/auth.h"
#include "smtpd/worker.h"
#include "sys/stats.h"

struct view
session_client(struct session *s, char *text, size_t size)
{
	int n;

	n = snprintf(text, size, "%s[%s]", s->name != NULL ? s->name : "unknown", s->addr);
	return view_of(text, n > 0 && (size_t)n < size ? (size_t)n : size - 1);
}

const char *
session_protocol(const struct session *s)
{
	if (s->tx != NULL && s->tx->utf8)
		return "UTF8SMTP";
	return s->esmtp ? "ESMTP" : "SMTP";
}

const char *
session_with(const struct session *s)
{
	return trace_with(s->esmtp, false, s->tls != NULL, auth_login(s) != NULL,
	    s->tx != NULL && s->tx->utf8);
}

void
session_log_reject(struct session *s, const char *what, struct view reply,
    struct view recipient)
{
	char client[SESSION_CLIENT_MAX], from[ADDRESS_MAX + 16] = "";
	char to[RECORD_ADDRESS_MAX + 16] = "";

	session_client(s, client, sizeof(client));
	if (s->tx != NULL)
		snprintf(from, sizeof(from), " from=<%s>", s->tx->sender_text);
	if (recipient.len > 0)
		snprintf(to, sizeof(to), " to=<%.*s>", VIEW_ARG(recipient));
	stats_add(STATS_C_smtpd_rejects, 1);
	log_info("NOQUEUE: %s from %s: %.*s;%s%s proto=%s%s%s%s", what, client,
	    VIEW_ARG(reply), from, to, session_protocol(s), s->helo != NULL ? " helo=<" : "",
	    s->helo != NULL ? s->helo : "", s->helo != NULL ? ">" : "");
}

/* Postfix's order: as its table of commands; what nobody knows comes last. */
static const uint8_t order[] = {
	SMTP_VERB_HELO, SMTP_VERB_EHLO, SMTP_VERB_LHLO, SMTP_VERB_XCLIENT, SMTP_VERB_XFORWARD,
	SMTP_VERB_STARTTLS, SMTP_VERB_AUTH, SMTP_VERB_MAIL, SMTP_VERB_RCPT, SMTP_VERB_DATA,
	SMTP_VERB_BDAT, SMTP_VERB_RSET, SMTP_VERB_NOOP, SMTP_VERB_VRFY, SMTP_VERB_EXPN,
	SMTP_VERB_ETRN, SMTP_VERB_HELP, SMTP_VERB_QUIT, SMTP_VERB_UNKNOWN,
};
_Static_assert(sizeof(order) == SMTP_VERB_COUNT, "a verb is not logged");

void
session_log_disconnect(struct session *s)
{
	char client[SESSION_CLIENT_MAX], line[512];
	unsigned seen = 0, fine = 0, v, verb;
	size_t n = 0;
	const char *c;

	for (v = 0; v < SMTP_VERB_COUNT; v++) {
		verb = order[v];
		if (s->seen[verb] == 0 || n + 40 > sizeof(line))
			continue;
		line[n++] = ' ';
		for (c = smtp_verb_name(verb); *c != '\0'; c++)
			line[n++] = ascii_lower(*c);
		n += (size_t)snprintf(line + n, sizeof(line) - n,
		    s->fine[verb] == s->seen[verb] ? "=%u" : "=%u/%u",
		    s->fine[verb], s->seen[verb]);
		seen += s->seen[verb];
		fine += s->fine[verb];
	}
	line[n] = '\0';
	session_client(s, client, sizeof(client));
	if (seen == fine)
		log_info("disconnect from %s%s commands=%u", client, line, fine);
	else
		log_info("disconnect from %s%s commands=%u/%u", client, line, fine, seen);
}
