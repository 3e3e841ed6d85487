/* SPDX-License-Identifier: ISC */
/*
 * policy.c: main.cf as sessions use it.
 *
 * Runs in smtpd, at start and at each reload. What can be decided once a
 * configuration is decided here: lists parsed, networks compiled, the reply to
 * EHLO written out.
 */
#include "smtpd/policy.h"
#include "table/table.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define FORBIDDEN_RE_MAX	16

/* ---- the configuration ---- */

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		log_error("configuration: %s", n->text);
}

struct policy_set *
policy_set_new(const struct conf *conf)
{
	struct policy_set *set = XNEW(struct policy_set);
	struct buf text;

	set->refs = 1;
	buf_init(&text, 16U << 20);
	if (conf_serialise(conf, &text) == 0)
		set->conf = conf_load("(copy)", buf_view(&text), note, NULL);
	buf_fini(&text);
	if (set->conf == NULL)
		log_panic("configuration cannot be copied");
	return set;
}

void
policy_set_unref(struct policy_set **setp)
{
	struct policy_set *set = *setp;

	*setp = NULL;
	if (set == NULL || --set->refs > 0)
		return;
	conf_free(&set->conf);
	xfree(set);
}

/* ---- EHLO ---- */

static const struct keyword {
	const char	*name;
	unsigned	 bit;
} keywords[] = {
	{ "PIPELINING", KEYWORD_PIPELINING },
	{ "SIZE", KEYWORD_SIZE },
	{ "VRFY", KEYWORD_VRFY },
	{ "ENHANCEDSTATUSCODES", KEYWORD_ENHANCEDSTATUSCODES },
	{ "8BITMIME", KEYWORD_8BITMIME },
	{ "DSN", KEYWORD_DSN },
	{ "SMTPUTF8", KEYWORD_SMTPUTF8 },
	{ "CHUNKING", KEYWORD_CHUNKING },
	{ "BINARYMIME", KEYWORD_BINARYMIME },
	{ "LIMITS", KEYWORD_LIMITS },
	{ "MT-PRIORITY", KEYWORD_MT_PRIORITY },
	{ "STARTTLS", KEYWORD_STARTTLS },
	{ "REQUIRETLS", KEYWORD_REQUIRETLS },
	{ "HELP", KEYWORD_HELP },
	{ "AUTH", KEYWORD_AUTH },
	{ "FUTURERELEASE", KEYWORD_FUTURERELEASE },
};

static unsigned
offered(const struct conf *c)
{
	struct view rest = view_str(c->smtpd_discard_ehlo_keywords), item;
	unsigned bits = 0;
	size_t i;

	for (i = 0; i < NELEMS(keywords); i++)
		bits |= keywords[i].bit;
	if (c->disable_vrfy_command)
		bits &= ~(unsigned)KEYWORD_VRFY;
	if (!c->smtpd_binarymime)
		bits &= ~(unsigned)KEYWORD_BINARYMIME;
	while (conf_list_next(&rest, &item))
		for (i = 0; i < NELEMS(keywords); i++)
			if (view_caseeq(item, view_str(keywords[i].name)))
				bits &= ~keywords[i].bit;
	/* RFC 3030: BINARYMIME needs CHUNKING. */
	if ((bits & KEYWORD_CHUNKING) == 0)
		bits &= ~(unsigned)KEYWORD_BINARYMIME;
	return bits;
}

static void
put_keyword(struct buf *b, const struct keyword *k, const struct conf *c)
{
	buf_put_str(b, k->name);
	if (k->bit == KEYWORD_SIZE && c->message_size_limit > 0)
		buf_printf(b, " %llu", (unsigned long long)c->message_size_limit);
	else if (k->bit == KEYWORD_LIMITS)
		buf_printf(b, " RCPTMAX=%lld", (long long)c->smtpd_recipient_limit);
}

/* Without the last CRLF. */
static char *
ehlo_reply(const struct policy *p, unsigned offer)
{
	const struct keyword *last = NULL;
	struct buf b;
	size_t i;

	buf_init(&b, 4096);
	for (i = 0; i < NELEMS(keywords); i++)
		if (offer & keywords[i].bit)
			last = &keywords[i];
	buf_printf(&b, "250%c%s", last != NULL ? '-' : ' ', p->conf->myhostname);
	for (i = 0; last != NULL && i < NELEMS(keywords); i++) {
		if ((offer & keywords[i].bit) == 0)
			continue;
		buf_printf(&b, "\r\n250%c", &keywords[i] == last ? ' ' : '-');
		put_keyword(&b, &keywords[i], p->conf);
	}
	return buf_steal(&b, NULL);
}

const char *
policy_ehlo(struct policy *p, unsigned offer)
{
	struct policy_ehlo *e;
	size_t i;

	for (i = 0; i < POLICY_EHLOS; i++)
		if (p->ehlo[i].text != NULL && p->ehlo[i].keywords == offer)
			return p->ehlo[i].text;
	e = &p->ehlo[p->ehlo_next++ % POLICY_EHLOS];
	xfree(e->text);
	e->keywords = offer;
	e->text = ehlo_reply(p, offer);
	return e->text;
}

/* ---- smtpd_forbidden_commands ---- */

/* "regexp:{{/pattern/ text}}": the pattern; what it would answer is fixed. */
static void
forbid_pattern(struct policy *p, struct view item)
{
	ptrdiff_t from = view_find(item, '/'), to = view_rfind(item, '/');
	char *pattern;

	if (from < 0 || to <= from || p->nforbidden_re == FORBIDDEN_RE_MAX)
		return;
	pattern = view_dup(view_of(item.p + from + 1, (size_t)(to - from - 1)));
	p->forbidden_re = xreallocarray(p->forbidden_re, p->nforbidden_re + 1,
	    sizeof(*p->forbidden_re));
	if (regcomp(&p->forbidden_re[p->nforbidden_re], pattern,
	    REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0)
		p->nforbidden_re++;
	else
		log_error("smtpd_forbidden_commands: bad pattern /%s/", pattern);
	xfree(pattern);
}

static void
compile_forbidden(struct policy *p)
{
	struct view rest = view_str(p->conf->smtpd_forbidden_commands), item;
	struct buf words;

	buf_init(&words, 65536);
	buf_put_char(&words, ' ');
	while (conf_list_next(&rest, &item)) {
		if (view_casestarts(item, VIEW("regexp:")) ||
		    view_casestarts(item, VIEW("pcre:"))) {
			forbid_pattern(p, item);
			continue;
		}
		buf_put_view(&words, item);
		buf_put_char(&words, ' ');
	}
	p->forbidden = buf_steal(&words, NULL);
}

bool
policy_forbids(const struct policy *p, struct view line)
{
	struct view rest = view_str(p->forbidden), word, verb;
	char text[128];
	size_t i;

	verb = view_head(line, sizeof(text) - 1);
	for (i = 0; i < verb.len && verb.p[i] != ' ' && verb.p[i] != '\t'; i++)
		;
	verb = view_head(verb, i);
	while (view_next(&rest, " ", &word))
		if (view_caseeq(word, verb))
			return true;
	if (line.len == 0)
		return false;
	line = view_head(line, sizeof(text) - 1);
	memcpy(text, line.p, line.len);
	text[line.len] = '\0';
	for (i = 0; i < p->nforbidden_re; i++)
		if (regexec(&p->forbidden_re[i], text, 0, NULL, 0) == 0)
			return true;
	return false;
}

/* ---- one listener ---- */

/* These are judged here, at once: a table in them would have to be asked for. */
static void
warn_of_tables(const char *name, const char *text)
{
	struct view list = view_str(text), item;

	while (conf_list_next(&list, &item)) {
		if (view_starts(item, VIEW("!")))
			item = view_from(item, 1);
		if (view_starts(item, VIEW("/")) || table_is_spec(item))
			log_warn("%s: %.*s is passed over: name networks and hosts here, no "
			    "files and tables", name, VIEW_ARG(item));
	}
}

static struct match_list *
networks(const char *param, const char *text)
{
	struct match_list *list = NULL;
	struct buf why;

	buf_init(&why, 1024);
	if (match_list_parse(MATCH_CLIENT, 0, view_str(text), NULL, &list, &why) != 0) {
		/* Nobody is trusted rather than everybody. */
		log_error("%s: %s", param, buf_cstr(&why));
		match_list_parse(MATCH_CLIENT, 0, VIEW(""), NULL, &list, &why);
	}
	buf_fini(&why);
	return list;
}

static void
compile_lists(struct policy *p)
{
	const struct conf *c = p->conf;
	const char *texts[CHECK_STAGES] = {
		[CHECK_CLIENT] = c->smtpd_client_restrictions,
		[CHECK_HELO] = c->smtpd_helo_restrictions,
		[CHECK_SENDER] = c->smtpd_sender_restrictions,
		[CHECK_RELAY] = c->smtpd_relay_restrictions,
		[CHECK_RECIPIENT] = c->smtpd_recipient_restrictions,
		[CHECK_DATA] = c->smtpd_data_restrictions,
		[CHECK_END_OF_DATA] = c->smtpd_end_of_data_restrictions,
	};
	struct buf implied;
	unsigned i;

	buf_init(&implied, 256);
	if (c->smtpd_reject_unlisted_recipient)
		buf_put_str(&implied, "reject_unlisted_recipient ");
	if (c->smtpd_reject_unlisted_sender)
		buf_put_str(&implied, "reject_unlisted_sender");
	texts[CHECK_UNLISTED] = buf_cstr(&implied);
	for (i = 0; i < CHECK_STAGES; i++) {
		check_list_parse(&p->lists[i], view_str(texts[i]), i);
		if (p->lists[i].bad != NULL)
			log_error("configuration of listener %s: %s", p->listener,
			    p->lists[i].bad);
	}
	buf_fini(&implied);
	/* `permit` among the relay restrictions says it in words; elsewhere it does not. */
	p->guarded = check_list_guards(&p->lists[CHECK_RELAY]) ||
	    check_list_guards(&p->lists[CHECK_RECIPIENT]) ||
	    check_list_permits_all(&p->lists[CHECK_RELAY]);
}

/* ---- TLS ---- */

/*
 * Tickets of one listener open no session of another, nor of another role:
 * what a client proved there (a certificate, a login) does not count here (A20).
 */
static char *
ticket_service(const struct policy *p)
{
	static const char *const classes[CHILD_LISTENER_CLASSES] = {
		[CHILD_LISTENER_MX] = "smtpd",
		[CHILD_LISTENER_SUBMISSION] = "submission",
		[CHILD_LISTENER_LOCAL] = "localsmtp",
		[CHILD_LISTENER_ADMIN] = "admin",
	};

	return xasprintf("%s/%s", classes[p->class], p->listener);
}

static void
set_tls(struct policy *p, struct tls_keys *keys)
{
	const char *level = p->conf->smtpd_tls_security_level;
	char *service;
	struct buf why;

	/* This machine's Unix socket has nobody to hide from. */
	if (p->class == CHILD_LISTENER_LOCAL)
		return;
	p->tls_wrapper = p->conf->smtpd_tls_wrappermode;
	if (p->tls_wrapper || strcmp(level, "encrypt") == 0)
		p->tls_level = POLICY_TLS_ENCRYPT;
	else if (strcmp(level, "may") == 0)
		p->tls_level = POLICY_TLS_MAY;
	if (p->tls_level == POLICY_TLS_NONE || keys == NULL)
		return;
	buf_init(&why, 1024);
	service = ticket_service(p);
	p->tls = tls_server_new(keys, p->conf, service, &why);
	if (p->tls == NULL)
		p->tls_bad = xstrdup(buf_cstr(&why));
	xfree(service);
	buf_fini(&why);
}

void
policy_read_files(const struct policy_set *set, struct tls_keys *keys)
{
	struct view rest = view_str(set->conf->listeners), item;
	struct conf_listener l;
	struct tls_server *tls;
	struct buf why;
	char *name;

	buf_init(&why, 1024);
	while (conf_list_next(&rest, &item)) {
		if (!conf_listener_parse(item, &l))
			continue;
		name = view_dup(l.name);
		buf_reset(&why);
		/* What is wrong is said when the listener is there. */
		tls = tls_server_new(keys, conf_scope(set->conf, name), name, &why);
		tls_server_unref(&tls);
		xfree(name);
	}
	buf_fini(&why);
}

struct policy *
policy_new(struct policy_set *set, const char *listener, enum child_listener_class class,
    struct tls_keys *keys)
{
	struct policy *p = XNEW(struct policy);
	const struct conf *c = conf_scope(set->conf, listener);

	p->refs = 1;
	p->set = set;
	set->refs++;
	p->listener = xstrdup(listener);
	p->class = class;
	p->conf = c;
	p->mynetworks = networks("mynetworks", c->mynetworks);
	warn_of_tables("smtpd_client_event_limit_exceptions",
	    c->smtpd_client_event_limit_exceptions);
	warn_of_tables("smtpd_forbid_bare_newline_exclusions",
	    c->smtpd_forbid_bare_newline_exclusions);
	warn_of_tables("smtpd_sasl_exceptions_networks", c->smtpd_sasl_exceptions_networks);
	p->no_limits = networks("smtpd_client_event_limit_exceptions",
	    c->smtpd_client_event_limit_exceptions);
	p->bare_allowed = networks("smtpd_forbid_bare_newline_exclusions",
	    c->smtpd_forbid_bare_newline_exclusions);
	p->auth_exceptions = networks("smtpd_sasl_exceptions_networks",
	    c->smtpd_sasl_exceptions_networks);
	compile_lists(p);
	compile_forbidden(p);
	set_tls(p, keys);
	p->keywords = offered(c);
	if (p->tls_level == POLICY_TLS_NONE || p->tls_wrapper)
		p->keywords &= ~(unsigned)KEYWORD_STARTTLS;
	p->bare = strcmp(c->smtpd_forbid_bare_newline, "reject") == 0 ?
	    DATA_BARE_REJECT : DATA_BARE_NORMALIZE;
	return p;
}

struct policy *
policy_ref(struct policy *p)
{
	p->refs++;
	return p;
}

void
policy_unref(struct policy **pp)
{
	struct policy *p = *pp;
	size_t i;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	for (i = 0; i < CHECK_STAGES; i++)
		check_list_fini(&p->lists[i]);
	for (i = 0; i < p->nforbidden_re; i++)
		regfree(&p->forbidden_re[i]);
	xfree(p->forbidden_re);
	tls_server_unref(&p->tls);
	xfree(p->tls_bad);
	match_list_free(&p->mynetworks);
	match_list_free(&p->no_limits);
	match_list_free(&p->bare_allowed);
	match_list_free(&p->auth_exceptions);
	policy_set_unref(&p->set);
	xfree(p->listener);
	for (i = 0; i < POLICY_EHLOS; i++)
		xfree(p->ehlo[i].text);
	xfree(p->forbidden);
	xfree(p);
}
