/* SPDX-License-Identifier: ISC */
/*
 * smtp_client.c: the client's side of an SMTP or LMTP session: greeting,
 * EHLO, STARTTLS, the end. Transactions are smtp_txn.c's.
 *
 * Runs in `deliver smtp` and `deliver lmtp`, which hold nothing but outgoing
 * connections and one message a job, and in adminctl (tls probe). The peer is
 * a stranger: its replies are read by smtp_reply.h with limits, each is
 * matched with the one command it must belong to, and what does not fit ends
 * the session.
 */
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/smtp_client_impl.h"

/* Longest text of an outcome; a reply is cut in JOB_RESULT anyway. */
#define OUTCOME_TEXT_MAX	(SMTP_REPLY_LINE_MAX * SMTP_REPLY_LINES_MAX + 1024)

/* Buffers greater than this are given back behind a reply. */
#define REPLY_KEEP	4096

void
smtp_client_init(struct smtp_client *c, const struct smtp_client_conf *conf,
    const struct smtp_client_ops *ops, void *arg, struct buf *out,
    const char *peer)
{
	memset(c, 0, sizeof(*c));
	c->conf = conf;
	c->ops = ops;
	c->arg = arg;
	c->out = out;
	c->peer = xstrdup(peer);
	c->state = STATE_GREETING;
	smtp_reply_init(&c->reply);
	buf_init(&c->text, OUTCOME_TEXT_MAX);
}

void
smtp_client_fini(struct smtp_client *c)
{
	smtp_reply_fini(&c->reply);
	buf_fini(&c->text);
	xfree(c->peer);
	c->peer = NULL;
}

bool
smtp_client_address_ok(struct view a)
{
	bool quoted = false;
	size_t i;
	unsigned char ch;

	for (i = 0; i < a.len; i++) {
		ch = (unsigned char)a.p[i];
		if (ch < ' ' || ch == 0x7f)
			return false;
		if (quoted) {
			if (ch == '\\') {
				if (++i == a.len)
					return false;
				ch = (unsigned char)a.p[i];
				if (ch < ' ' || ch == 0x7f)
					return false;
			} else if (ch == '"') {
				quoted = false;
			}
		} else if (ch == '"') {
			quoted = true;
		} else if (ch == ' ' || ch == '<' || ch == '>') {
			return false;
		}
	}
	return !quoted;
}

static const char *
doing_words(const struct smtp_client *c)
{
	switch ((enum smtp_client_state)c->state) {
	case STATE_GREETING:
		return "receiving the initial server greeting";
	case STATE_EHLO:
		return c->conf->lmtp ? "performing the LHLO handshake" :
				       "performing the EHLO handshake";
	case STATE_HELO:
		return "performing the HELO handshake";
	case STATE_STARTTLS:
		return "sending STARTTLS";
	case STATE_HANDSHAKE:
		return "performing the TLS handshake";
	case STATE_QUIT:
		return "sending QUIT command";
	case STATE_READY:
		break;
	}
	return smtp_txn_doing(c);
}

static void
fail_words(struct smtp_client *c, const char *before, const char *behind,
    struct enhanced dsn)
{
	struct smtp_outcome o = {
		.what = SMTP_OUTCOME_DEFERRED, .dsn = dsn,
		.elsewhere = true,
	};

	buf_reset(&c->text);
	buf_printf(&c->text, "%s%s%s%s", before, c->peer, behind,
	    doing_words(c));
	o.text = buf_view(&c->text);
	if (c->state < STATE_READY && c->refusal == SMTP_REFUSAL_NONE) {
		c->refusal = SMTP_REFUSAL_PROTOCOL;
		c->refused = o;
	}
	smtp_txn_fail_all(c, &o);
}

void
smtp_client_lost(struct smtp_client *c, int why)
{
	if (why == PK_ETIMEOUT)
		fail_words(c, "conversation with ", " timed out while ",
		    ENHANCED(4, 4, 2));
	else
		fail_words(
		    c, "lost connection with ", " while ", ENHANCED(4, 4, 2));
}

int
smtp_client_fail_protocol(struct smtp_client *c)
{
	fail_words(c, "protocol error: host ", " sent no valid reply while ",
	    ENHANCED(4, 5, 0));
	return PK_EPROTO;
}

void
smtp_client_abort(struct smtp_client *c, const struct smtp_outcome *o)
{
	smtp_txn_fail_all(c, o);
}

void
smtp_client_quit(struct smtp_client *c)
{
	if (c->dead || c->ntxns > 0 || c->state == STATE_QUIT)
		return;
	buf_put_str(c->out, "QUIT\r\n");
	c->state = STATE_QUIT;
}

/* ---- replies ---- */

static int
refuse(struct smtp_client *c, enum smtp_refusal why)
{
	buf_reset(&c->text);
	buf_printf(&c->text, "host %s refused to talk to me: ", c->peer);
	smtp_reply_put_text(&c->text, &c->reply);
	c->refusal = why;
	c->refused.elsewhere = false;
	c->refused.what = c->reply.code / 100 == 5 ? SMTP_OUTCOME_BOUNCED :
						     SMTP_OUTCOME_DEFERRED;
	c->refused.dsn = smtp_txn_reply_status(&c->reply);
	c->refused.text = buf_view(&c->text);
	c->dead = true;
	return PK_EPROTO;
}

/* The session ends for want of what our policy asks for; `fmt` has the peer. */
static int __attribute__((format(printf, 5, 6)))
refuse_policy(struct smtp_client *c, enum smtp_refusal why,
    enum smtp_outcome_what what, struct enhanced dsn, const char *fmt, ...)
{
	va_list ap;

	buf_reset(&c->text);
	va_start(ap, fmt);
	buf_vprintf(&c->text, fmt, ap);
	va_end(ap);
	c->refusal = why;
	c->refused.what = what;
	c->refused.dsn = dsn;
	c->refused.text = buf_view(&c->text);
	c->refused.elsewhere = true;
	c->dead = true;
	return PK_EPROTO;
}

static void
put_hello(struct smtp_client *c, const char *verb, unsigned state)
{
	buf_put_str(c->out, verb);
	buf_put_str(c->out, c->conf->helo_name);
	buf_put_str(c->out, "\r\n");
	c->state = state;
}

static int
on_greeting(struct smtp_client *c)
{
	struct view line = VIEW_NONE, word;
	bool esmtp = c->conf->always_ehlo;

	if (c->reply.code / 100 != 2)
		return c->reply.code / 100 == 3 ?
		    smtp_client_fail_protocol(c) :
		    refuse(c, SMTP_REFUSAL_GREETING);
	smtp_reply_line(&c->reply, 0, &line);
	while (!esmtp && view_next(&line, " ", &word))
		esmtp = view_caseeq(word, VIEW("ESMTP"));
	if (c->conf->lmtp)
		put_hello(c, "LHLO ", STATE_EHLO);
	else if (esmtp)
		put_hello(c, "EHLO ", STATE_EHLO);
	else
		put_hello(c, "HELO ", STATE_HELO);
	return 0;
}

/* The server has said what it can: TLS first, then work. */
static int
hello_done(struct smtp_client *c)
{
	if (c->starttls != SMTP_STARTTLS_NEVER &&
	    smtp_client_has(c, SMTP_CAP_STARTTLS)) {
		buf_put_str(c->out, "STARTTLS\r\n");
		c->state = STATE_STARTTLS;
		return 0;
	}
	if (c->starttls == SMTP_STARTTLS_MUST && !c->requiretls)
		return refuse_policy(c, SMTP_REFUSAL_TLS, SMTP_OUTCOME_DEFERRED,
		    ENHANCED(4, 7, 4),
		    "TLS is required, but was not offered "
		    "by host %s",
		    c->peer);
	if (c->requiretls &&
	    !(c->tls && smtp_client_has(c, SMTP_CAP_REQUIRETLS)))
		return refuse_policy(c, SMTP_REFUSAL_REQUIRETLS,
		    SMTP_OUTCOME_BOUNCED, ENHANCED(5, 7, 30),
		    "REQUIRETLS "
		    "support required, but was not offered by host %s",
		    c->peer);
	c->state = STATE_READY;
	c->ops->ready(c, c->arg);
	return 0;
}

static int
on_hello(struct smtp_client *c)
{
	struct view line = VIEW_NONE, word;
	int code = c->reply.code;

	if (code / 100 == 3)
		return smtp_client_fail_protocol(c);
	if (code / 100 != 2) {
		if (c->state == STATE_HELO || c->conf->lmtp || code == 421)
			return refuse(c, SMTP_REFUSAL_GREETING);
		put_hello(c, "HELO ", STATE_HELO);
		return 0;
	}
	smtp_reply_line(&c->reply, 0, &line);
	if (c->conf->myhostname != NULL && view_next(&line, " ", &word) &&
	    view_caseeq(word, view_str(c->conf->myhostname)))
		return refuse(c, SMTP_REFUSAL_LOOP);
	if (c->state == STATE_EHLO) {
		smtp_caps_parse(&c->reply, &c->caps);
		c->caps.flags &= ~c->conf->ignored_caps;
		c->ehlo_ok = true;
	}
	return hello_done(c);
}

static int
on_starttls(struct smtp_client *c)
{
	struct enhanced dsn = smtp_txn_reply_status(&c->reply);

	switch (c->reply.code / 100) {
	case 2:
		c->state = STATE_HANDSHAKE;
		return 0;
	case 3:
		return smtp_client_fail_protocol(c);
	default:
		break;
	}
	if (c->reply.code == 421)
		return refuse(c, SMTP_REFUSAL_GREETING);
	if (c->starttls == SMTP_STARTTLS_MUST) {
		/* Whatever the digits say: a server that is mended later gets it. */
		refuse_policy(c, SMTP_REFUSAL_TLS, SMTP_OUTCOME_DEFERRED,
		    enhanced_with_class(dsn, 4),
		    "TLS is required, but host "
		    "%s refused to start TLS: ",
		    c->peer);
		smtp_reply_put_text(&c->text, &c->reply);
		c->refused.text = buf_view(&c->text);
		return PK_EPROTO;
	}
	c->caps.flags &= ~(unsigned)SMTP_CAP_STARTTLS;
	c->starttls = SMTP_STARTTLS_NEVER;
	c->starttls_refused = true;
	return hello_done(c);
}

static int
on_reply(struct smtp_client *c)
{
	c->replies++;
	switch ((enum smtp_client_state)c->state) {
	case STATE_GREETING:
		return on_greeting(c);
	case STATE_EHLO:
	case STATE_HELO:
		return on_hello(c);
	case STATE_STARTTLS:
		return on_starttls(c);
	case STATE_HANDSHAKE:
		return smtp_client_fail_protocol(c);
	case STATE_QUIT:
		c->dead = true;
		return PK_EPROTO;
	case STATE_READY:
		break;
	}
	if (c->ntxns == 0) {
		/* Nobody asked: mostly 421 before it closes. */
		c->dead = true;
		return PK_EPROTO;
	}
	return smtp_txn_reply(c);
}

/* A server may say much once; it need not cost memory for ever (A7). */
static void
forget_reply(struct smtp_client *c)
{
	if (c->reply.text.cap <= REPLY_KEEP) {
		smtp_reply_reset(&c->reply);
	} else {
		smtp_reply_fini(&c->reply);
		smtp_reply_init(&c->reply);
	}
	if (c->text.cap > REPLY_KEEP && c->refusal == SMTP_REFUSAL_NONE)
		buf_fini(&c->text);
}

/*
 * What stands behind the go-ahead was written by somebody who did not wait
 * for the handshake: an answer meant to be taken for one from inside (A3).
 */
static int
start_tls(struct smtp_client *c, struct view behind)
{
	if (behind.len > 0)
		return smtp_client_fail_protocol(c);
	c->ops->starttls(c, c->arg);
	return 0;
}

void
smtp_client_want_tls(struct smtp_client *c, enum smtp_starttls starttls,
    bool requiretls)
{
	ASSERT(c->state == STATE_GREETING);
	c->starttls = starttls;
	c->requiretls = requiretls;
}

void
smtp_client_tls_begun(struct smtp_client *c)
{
	ASSERT(c->state == STATE_HANDSHAKE || c->state == STATE_GREETING);
	c->tls = true;
	c->starttls = SMTP_STARTTLS_NEVER;
	if (c->state == STATE_GREETING)
		return;
	/* RFC 3207 4.2: nothing that was said in clear counts. */
	memset(&c->caps, 0, sizeof(c->caps));
	c->ehlo_ok = false;
	smtp_reply_fini(&c->reply);
	smtp_reply_init(&c->reply);
	put_hello(c, c->conf->lmtp ? "LHLO " : "EHLO ", STATE_EHLO);
}

int
smtp_client_feed(struct smtp_client *c, struct view in)
{
	size_t used;
	int rc;

	if (c->state == STATE_HANDSHAKE && in.len > 0 && !c->dead)
		return smtp_client_fail_protocol(c);
	while (!c->dead && in.len > 0) {
		rc = smtp_reply_feed(&c->reply, in, &used);
		in = view_from(in, used);
		if (rc == PK_EAGAIN)
			return 0;
		if (rc != 0)
			return smtp_client_fail_protocol(c);
		rc = on_reply(c);
		forget_reply(c);
		if (rc != 0)
			return rc;
		if (c->state == STATE_HANDSHAKE)
			return start_tls(c, in);
	}
	return c->dead ? PK_EPROTO : 0;
}

enum smtp_wait
smtp_client_wait(const struct smtp_client *c)
{
	switch ((enum smtp_client_state)c->state) {
	case STATE_GREETING:
		return SMTP_WAIT_GREETING;
	case STATE_EHLO:
	case STATE_HELO:
		return SMTP_WAIT_HELO;
	case STATE_STARTTLS:
	case STATE_HANDSHAKE:
		return SMTP_WAIT_TLS;
	case STATE_QUIT:
		return SMTP_WAIT_QUIT;
	case STATE_READY:
		break;
	}
	return smtp_txn_wait(c);
}
