/* SPDX-License-Identifier: ISC */
/*
 * cmd_auth.c: AUTH (RFC 4954), and the lines that answer its challenges.
 *
 * Runs in smtpd. Between a challenge and its answer the session is in a mode
 * of its own (SESSION_AUTH), in which a line is never a command: what a client
 * sends as a password cannot become MAIL. Responses are decoded here and
 * judged by authd; they are wiped from our buffers once they are on their way.
 */
#include <string.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

static void	stepped(const struct auth_step *step, void *arg);

/* ---- the end of a conversation ---- */

static void
over(struct session *s)
{
	auth_cancel(s);
	if (s->mode == SESSION_AUTH)
		s->mode = SESSION_COMMAND;
}

/* Postfix's words: fail2ban's filter reads them. */
static void
log_failure(struct session *s, const char *what, struct view why)
{
	char client[SESSION_CLIENT_MAX];

	session_client(s, client, sizeof(client));
	log_warn("%s: SASL %s authentication %s: %.*s", client, s->auth->mechanism, what,
	    VIEW_ARG(why));
}

/* No fault of the client's: fail2ban's filter knows this text and lets it go. */
static void
no_authd(struct session *s)
{
	log_failure(s, "failed", VIEW("Connection lost to authentication server"));
	session_reply_plain(s, "454 4.7.0 Temporary authentication failure: Connection lost to "
	    "authentication server");
}

static int
failure_code(struct view dsn)
{
	if (view_eq(dsn, VIEW("5.5.2")) || view_eq(dsn, VIEW("5.7.0")))
		return 501;
	if (view_eq(dsn, VIEW("5.5.4")))
		return 504;
	if (view_eq(dsn, VIEW("5.7.9")))
		return 534;
	return view_eq(dsn, VIEW("5.7.11")) ? 538 : 535;
}

static void
failed(struct session *s, const struct auth_step *step)
{
	struct view prefix = VIEW("Error: authentication failed: "), why = step->text;
	bool temporary = step->state == AUTH_TEMPORARY;
	struct view dsn = step->dsn;

	if (dsn.len == 0 || dsn.p[0] != (temporary ? '4' : '5'))
		dsn = temporary ? VIEW("4.7.0") : VIEW("5.7.8");
	if (view_starts(why, prefix))
		why = view_from(why, prefix.len);
	if (why.len == 0)
		why = VIEW("authentication failure");
	/* Our own trouble is not for fail2ban, which knows the other word. */
	log_failure(s, temporary ? "temporarily failed" : "failed", why);
	session_replyf(s, "%d %.*s %s: %.*s", temporary ? 454 : failure_code(dsn), VIEW_ARG(dsn),
	    temporary ? "Temporary authentication failure" : "Error: authentication failed",
	    VIEW_ARG(why));
}

static void
succeeded(struct session *s, const struct auth_step *step)
{
	s->auth->login = view_dup(step->login);
	memcpy(s->auth->ticket, step->data.p, sizeof(s->auth->ticket));
	session_reply(s, "235 2.7.0 Authentication successful");
}

static void
challenge(struct session *s, struct view data)
{
	struct buf b;

	worker_buf_get(s->w, &b, 4 + AUTH_DATA_MAX / 3 * 4 + 8);
	buf_put_str(&b, "334 ");
	base64_put(&b, data);
	if (buf_error(&b) == 0) {
		s->mode = SESSION_AUTH;
		session_reply(s, buf_cstr(&b));
	} else {
		auth_cancel(s);
		session_reply_plain(s, "454 4.7.0 Temporary authentication failure");
	}
	worker_buf_put(s->w, &b);
}

static void
stepped(const struct auth_step *step, void *arg)
{
	struct session *s = arg;

	s->mode = SESSION_COMMAND;
	if (step->error == 0 && step->state == AUTH_CHALLENGE) {
		challenge(s, step->data);
		session_resume(s);
		return;
	}
	s->auth->talk = NULL;
	if (step->error != 0)
		no_authd(s);
	else if (step->state == AUTH_SUCCESS)
		succeeded(s, step);
	else
		failed(s, step);
	session_resume(s);
}

/* ---- AUTH ---- */

static bool
over_limit(struct session *s)
{
	const struct conf *c = s->policy->conf;
	char client[SESSION_CLIENT_MAX];
	uint32_t n;

	if (s->no_limits || c->smtpd_client_auth_rate_limit == 0)
		return false;
	n = client_limits_count(s->w->limits, s->ip.bytes,
	    s->ip.family == DOMAIN_INET4 ? 4 : 16, CLIENT_AUTH, c->anvil_rate_time_unit,
	    loop_now_ms(s->w->loop));
	if (n <= c->smtpd_client_auth_rate_limit)
		return false;
	session_client(s, client, sizeof(client));
	log_warn("AUTH command rate limit exceeded: %u from %s for service %s", n, client,
	    s->policy->listener);
	session_replyf(s, "450 4.7.1 Error: too many AUTH commands from %s", s->addr);
	return true;
}

/* Why AUTH is not possible now; NULL: it is. */
static const char *
refusal(const struct session *s)
{
	if (s->state == STATE_START || !s->esmtp)
		return "503 5.5.1 Error: send EHLO first";
	if (auth_login(s) != NULL)
		return "503 5.5.1 Error: already authenticated";
	if (auth_needs_tls(s))
		return "538 5.7.11 Encryption required for requested authentication mechanism";
	if (!auth_offered(s))
		return "503 5.5.1 Error: authentication not enabled";
	if (s->tx != NULL || s->state == STATE_FAILED)
		return "503 5.5.1 Error: MAIL transaction in progress";
	return NULL;
}

static void
begin(struct session *s, const struct auth_mechanism *m, bool has_initial, struct view initial)
{
	struct auth_question q = { .mechanism = view_str(m->name),
	    .listener = view_str(s->policy->listener),
	    .address = s->local ? VIEW("local") : view_str(s->addr),
	    .has_initial = has_initial, .initial = initial };
	uint8_t binding[32];

	auth_describe(s, &q, binding);
	if (s->auth == NULL)
		s->auth = XNEW(struct auth);
	memcpy(s->auth->mechanism, m->name, sizeof(s->auth->mechanism));
	s->auth->talk = s->w->backend->auth_begin(s->w, &q, stepped, s);
	if (s->auth->talk == NULL)
		no_authd(s);
	else
		session_wait(s);
}

/*
 * Decodes a response; the text and what came out of it are wiped by the
 * caller. False when the client was told that it cannot be.
 */
static bool
decode(struct session *s, struct view text, struct buf *b)
{
	int error;

	/* A tighter bound than the line's: authd takes no more. */
	worker_buf_get(s->w, b, AUTH_DATA_MAX);
	error = base64_decode(b, text);
	if (error == 0)
		return true;
	session_reply(s, error == PK_ELIMIT ?
	    "500 5.5.6 Error: authentication exchange line is too long" :
	    "501 5.5.2 Error: cannot decode the response: bad base64");
	return false;
}

static void
wipe(struct session *s, struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	worker_buf_put(s->w, b);
}

static void
begin_with(struct session *s, const struct auth_mechanism *m, struct view text)
{
	struct buf b;

	/* "=": there is one, and it is empty. */
	if (decode(s, view_eq(text, VIEW("=")) ? VIEW("") : text, &b))
		begin(s, m, true, buf_view(&b));
	wipe(s, &b);
}

void
cmd_auth(struct session *s, struct smtp_command *cmd)
{
	struct view rest = cmd->arg, name = VIEW_NONE, initial = VIEW_NONE, more;
	const struct auth_mechanism *m;
	const char *no = refusal(s);

	if (no != NULL) {
		session_reply(s, no);
		return;
	}
	view_next(&rest, " \t", &name);
	view_next(&rest, " \t", &initial);
	if (name.len == 0 || view_next(&rest, " \t", &more)) {
		session_reply(s, "501 5.5.4 Syntax: AUTH mechanism [response]");
		return;
	}
	if (over_limit(s))
		return;
	if (s->w->mechanisms.count == 0) {
		session_reply_plain(s, "454 4.7.0 Temporary authentication failure: Connection "
		    "lost to authentication server");
		return;
	}
	m = auth_mechanism_find(s, name);
	if (m == NULL)
		session_reply(s, "504 5.5.4 Error: unsupported authentication mechanism");
	else if (initial.len > 0)
		begin_with(s, m, initial);
	else
		begin(s, m, false, VIEW_NONE);
}

/* ---- the answer to a challenge ---- */

static void
response(struct session *s, struct view line)
{
	struct buf b;

	s->verb_counted = false;
	if (view_eq(line, VIEW("*"))) {
		over(s);
		session_reply(s, "501 5.7.0 Authentication aborted");
		return;
	}
	if (decode(s, line, &b)) {
		session_wait(s);
		s->w->backend->auth_more(s->w, s->auth->talk, buf_view(&b));
	} else {
		over(s);
	}
	wipe(s, &b);
}

static void
too_long(struct session *s)
{
	over(s);
	session_reply(s, "500 5.5.6 Error: authentication exchange line is too long");
}

size_t
session_auth_input(struct session *s, struct view in)
{
	const char *lf = memchr(in.p, '\n', in.len);
	size_t most = (size_t)s->policy->conf->smtpd_sasl_response_limit;
	bool lf_only;
	struct view line;
	size_t used;

	if (lf == NULL && in.len <= most)
		return 0;
	session_set_deadline(s, s->policy->conf->smtpd_timeout);
	if (lf == NULL) {
		too_long(s);
		s->skipping = true;	/* the rest of it is no command */
		return in.len;
	}
	line = view_head(in, (size_t)(lf - in.p));
	used = line.len + 1;
	lf_only = line.len == 0 || line.p[line.len - 1] != '\r';
	if (!lf_only)
		line.len--;
	if (lf_only && s->policy->bare == DATA_BARE_REJECT && !s->bare_allowed) {
		over(s);
		session_bare_newline(s);
	} else if (line.len > most) {
		too_long(s);
	} else {
		response(s, line);
	}
	return used;
}
