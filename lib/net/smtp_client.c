/* SPDX-License-Identifier: ISC */
/*
 * smtp_client.c: the client's side of an SMTP or LMTP session.
 *
 * Runs in `deliver smtp` and `deliver lmtp`, which hold nothing but outgoing
 * connections and one message a job. The peer is a stranger: its replies are
 * read by smtp_reply.h with limits, each is matched with the one command it
 * must belong to, and what does not fit ends the session. All that a reply
 * can do is to choose between sent, deferred and bounced for recipients of
 * the transaction it answers.
 *
 * Each transaction walks through enum smtp_txn_await as replies arrive;
 * commands run ahead of it when the server offers PIPELINING.
 */
#include "net/smtp_client.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

enum smtp_client_state {
	STATE_GREETING,
	STATE_EHLO,
	STATE_HELO,
	STATE_READY,
	STATE_QUIT,
};

enum smtp_txn_await {
	AWAIT_RSET,
	AWAIT_MAIL,
	AWAIT_RCPT,
	AWAIT_DATA,
	AWAIT_CONTENT,		/* no reply is due: our content is on its way */
	AWAIT_END,
};

static const struct {
	const char	*command;	/* "in reply to ..." */
	const char	*doing;		/* "lost connection while ..." */
} await_words[] = {
	[AWAIT_RSET] =	  { "RSET command", "sending RSET" },
	[AWAIT_MAIL] =	  { "MAIL FROM command", "sending MAIL FROM" },
	[AWAIT_RCPT] =	  { "RCPT TO command", "sending RCPT TO" },
	[AWAIT_DATA] =	  { "DATA command", "sending DATA command" },
	[AWAIT_CONTENT] = { "end of DATA command", "sending message body" },
	[AWAIT_END] =	  { "end of DATA command",
	    "sending end of data -- message may be sent more than once" },
};

/* RCPTs are sent ahead up to this: the owner's buffer has a limit. */
#define PIPELINE_BYTES	(64 * 1024)

/* Longest text of an outcome; a reply is cut in JOB_RESULT anyway. */
#define OUTCOME_TEXT_MAX	(SMTP_REPLY_LINE_MAX * SMTP_REPLY_LINES_MAX + 1024)

/* Buffers greater than this are given back behind a reply. */
#define REPLY_KEEP	4096

static void	txn_send(struct smtp_client *, struct smtp_txn *);

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

static bool
has_cap(const struct smtp_client *c, unsigned cap)
{
	return (c->caps.flags & cap) != 0;
}

/* ---- outcomes ---- */

static struct enhanced
reply_status(const struct smtp_reply *r)
{
	struct enhanced e = r->status;

	if (!enhanced_is_set(e))
		return enhanced_from_reply(r->code);
	/* The digits decide (RFC 2034 4); a server may say 250 5.0.0. */
	return enhanced_with_class(e, (unsigned)r->code / 100);
}

/* Fills c->text; the outcome points into it. */
static void
outcome_from_reply(struct smtp_client *c, unsigned await,
    struct smtp_outcome *o_r)
{
	int klass = c->reply.code / 100;

	buf_reset(&c->text);
	o_r->elsewhere = false;
	o_r->dsn = reply_status(&c->reply);
	if (klass == 2) {
		o_r->what = SMTP_OUTCOME_SENT;
		smtp_reply_put_text(&c->text, &c->reply);
	} else {
		/* 421 is about the session, never about the recipient. */
		o_r->what =
		    klass == 5 ? SMTP_OUTCOME_BOUNCED : SMTP_OUTCOME_DEFERRED;
		o_r->elsewhere = klass != 5;
		buf_printf(&c->text, "host %s said: ", c->peer);
		smtp_reply_put_text(&c->text, &c->reply);
		buf_printf(
		    &c->text, " (in reply to %s)", await_words[await].command);
	}
	o_r->text = buf_view(&c->text);
}

static void
give_result(struct smtp_client *c, struct smtp_txn *t, size_t i,
    const struct smtp_outcome *o)
{
	struct smtp_txn_rcpt *r = &t->rcpts[i];

	if (r->done)
		return;
	r->done = true;
	if (r->accepted) {
		r->accepted = false;
		t->naccepted--;
	}
	c->ops->result(c, t, i, o, c->arg);
}

static void
give_all(struct smtp_client *c, struct smtp_txn *t, const struct smtp_outcome *o)
{
	size_t i;

	for (i = 0; i < t->nrcpts; i++)
		give_result(c, t, i, o);
}

static void
txn_remove(struct smtp_client *c, struct smtp_txn *t)
{
	unsigned i;

	for (i = 0; i < c->ntxns && c->txns[i] != t; i++)
		;
	ASSERT(i < c->ntxns);
	for (; i + 1 < c->ntxns; i++)
		c->txns[i] = c->txns[i + 1];
	c->ntxns--;
	c->txns[c->ntxns] = NULL;
}

/* Everybody has a result; t leaves the engine. */
static void
txn_over(struct smtp_client *c, struct smtp_txn *t)
{
	txn_remove(c, t);
	c->ops->done(c, t, c->arg);
}

/* The end of its content has gone out: the server may have it as a whole. */
static bool
has_all(const struct smtp_txn *t)
{
	return t->sent == AWAIT_END && !t->void_content;
}

/*
 * The session is of no use; every open recipient gets o. What the server may
 * have as a whole is not for elsewhere.
 */
static void
fail_all(struct smtp_client *c, const struct smtp_outcome *o)
{
	struct smtp_outcome each;
	struct smtp_txn *t;

	c->dead = true;
	while (c->ntxns > 0) {
		t = c->txns[0];
		each = *o;
		each.elsewhere = o->elsewhere && !has_all(t);
		give_all(c, t, &each);
		txn_over(c, t);
	}
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
	case STATE_QUIT:
		return "sending QUIT command";
	case STATE_READY:
		break;
	}
	return c->ntxns > 0 ? await_words[c->txns[0]->await].doing : "idle";
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
	fail_all(c, &o);
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

static int
fail_protocol(struct smtp_client *c)
{
	fail_words(c, "protocol error: host ", " sent no valid reply while ",
	    ENHANCED(4, 5, 0));
	return PK_EPROTO;
}

void
smtp_client_abort(struct smtp_client *c, const struct smtp_outcome *o)
{
	fail_all(c, o);
}

/* ---- commands ---- */

static void
put_mail(struct smtp_client *c, const struct smtp_txn *t)
{
	buf_put_str(c->out, "MAIL FROM:<");
	buf_put_view(c->out, t->sender);
	buf_put_char(c->out, '>');
	if (t->size > 0 && has_cap(c, SMTP_CAP_SIZE))
		buf_printf(c->out, " SIZE=%llu", (unsigned long long)t->size);
	if (t->body == SMTP_BODY_BINARYMIME && has_cap(c, SMTP_CAP_BINARYMIME))
		buf_put_str(c->out, " BODY=BINARYMIME");
	else if (t->body == SMTP_BODY_8BITMIME && has_cap(c, SMTP_CAP_8BITMIME))
		buf_put_str(c->out, " BODY=8BITMIME");
	if (t->smtputf8 && has_cap(c, SMTP_CAP_SMTPUTF8))
		buf_put_str(c->out, " SMTPUTF8");
	if (has_cap(c, SMTP_CAP_DSN)) {
		if (t->ret != SMTP_RET_UNSET)
			buf_put_str(c->out,
			    t->ret == SMTP_RET_FULL ? " RET=FULL" :
						      " RET=HDRS");
		if (t->envid.len > 0) {
			buf_put_str(c->out, " ENVID=");
			buf_put_view(c->out, t->envid);
		}
	}
	if (t->mt_priority != 0 && has_cap(c, SMTP_CAP_MT_PRIORITY))
		buf_printf(c->out, " MT-PRIORITY=%d", t->mt_priority);
	buf_put_str(c->out, "\r\n");
}

static void
put_notify(struct buf *b, unsigned notify)
{
	static const struct {
		unsigned	 bit;
		const char	*word;
	} words[] = {
		{ SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		{ SMTP_NOTIFY_FAILURE, "FAILURE" },
		{ SMTP_NOTIFY_DELAY, "DELAY" },
	};
	char sep = '=';
	size_t i;

	buf_put_str(b, " NOTIFY");
	if (notify & SMTP_NOTIFY_NEVER) {
		buf_put_str(b, "=NEVER");
		return;
	}
	for (i = 0; i < NELEMS(words); i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		buf_put_char(b, sep);
		buf_put_str(b, words[i].word);
		sep = ',';
	}
}

static void
put_rcpt(struct smtp_client *c, const struct smtp_txn_rcpt *r)
{
	buf_put_str(c->out, "RCPT TO:<");
	buf_put_view(c->out, r->address);
	buf_put_char(c->out, '>');
	if (has_cap(c, SMTP_CAP_DSN)) {
		if (r->notify != 0)
			put_notify(c->out, r->notify);
		if (r->orcpt.len > 0) {
			buf_put_str(c->out, " ORCPT=");
			buf_put_view(c->out, r->orcpt);
		}
	}
	buf_put_str(c->out, "\r\n");
}

/* A command may go out: its turn has come, or the server takes them early. */
static bool
may_send(const struct smtp_client *c, const struct smtp_txn *t, unsigned what)
{
	return t->await == what || has_cap(c, SMTP_CAP_PIPELINING);
}

static void
send_rcpts(struct smtp_client *c, struct smtp_txn *t)
{
	if (has_cap(c, SMTP_CAP_PIPELINING)) {
		/* The others follow as replies come, and as output leaves. */
		while (t->sent_rcpts < t->nrcpts &&
		    (c->out->len < PIPELINE_BYTES ||
			(t->await == AWAIT_RCPT &&
			    t->sent_rcpts == t->next_rcpt)))
			put_rcpt(c, &t->rcpts[t->sent_rcpts++]);
	} else if (t->sent_rcpts == t->next_rcpt && t->sent_rcpts < t->nrcpts) {
		put_rcpt(c, &t->rcpts[t->sent_rcpts++]);
	}
}

static void
send_data(struct smtp_client *c, struct smtp_txn *t)
{
	t->sent = AWAIT_CONTENT;
	if (!t->bdat) {
		buf_put_str(c->out, "DATA\r\n");
		return;
	}
	buf_printf(c->out, "BDAT %llu LAST\r\n", (unsigned long long)t->size);
	c->ops->content(c, t, c->arg);
}

/* Sends what may be sent now; t->sent is the first command not yet sent. */
static void
txn_send(struct smtp_client *c, struct smtp_txn *t)
{
	if (t->sent == AWAIT_RSET && may_send(c, t, AWAIT_RSET)) {
		buf_put_str(c->out, "RSET\r\n");
		t->sent = AWAIT_MAIL;
	}
	if (t->sent == AWAIT_MAIL && may_send(c, t, AWAIT_MAIL)) {
		put_mail(c, t);
		t->sent = AWAIT_RCPT;
	}
	if (t->sent == AWAIT_RCPT && may_send(c, t, AWAIT_RCPT)) {
		send_rcpts(c, t);
		if (t->sent_rcpts == t->nrcpts)
			t->sent = AWAIT_DATA;
	}
	if (t->sent == AWAIT_DATA && may_send(c, t, AWAIT_DATA))
		send_data(c, t);
}

bool
smtp_client_can_begin(const struct smtp_client *c)
{
	const struct smtp_txn *t = c->txns[0];

	if (c->dead || c->closing || c->state != STATE_READY)
		return false;
	if (c->ntxns == 0)
		return true;
	/* Behind the end of the content of one, never of two. */
	return c->ntxns == 1 && has_cap(c, SMTP_CAP_PIPELINING) &&
	    t->sent == AWAIT_END && !t->void_content;
}

void
smtp_client_begin(struct smtp_client *c, struct smtp_txn *t)
{
	size_t i;

	ASSERT(smtp_client_can_begin(c) && t->nrcpts > 0);
	t->next_rcpt = t->sent_rcpts = t->naccepted = 0;
	t->void_content = t->over = false;
	for (i = 0; i < t->nrcpts; i++)
		t->rcpts[i].accepted = t->rcpts[i].done = false;
	/*
	 * Behind BDAT the server's state is known only when its reply is
	 * (RFC 3030 2); a RSET costs nothing in the same packet.
	 */
	t->rset_first = c->ntxns > 0 ? c->txns[0]->bdat : c->need_rset;
	t->await = t->sent = t->rset_first ? AWAIT_RSET : AWAIT_MAIL;
	c->txns[c->ntxns++] = t;
	c->begun++;
	txn_send(c, t);
}

void
smtp_client_content_sent(struct smtp_client *c, struct smtp_txn *t)
{
	(void)c;
	t->sent = AWAIT_END;
	if (t->await == AWAIT_CONTENT)
		t->await = AWAIT_END;
}

void
smtp_client_quit(struct smtp_client *c)
{
	if (c->dead || c->ntxns > 0 || c->state == STATE_QUIT)
		return;
	buf_put_str(c->out, "QUIT\r\n");
	c->state = STATE_QUIT;
}

bool
smtp_client_untouched(const struct smtp_client *c, const struct smtp_txn *t)
{
	(void)c;
	return t->await <= AWAIT_MAIL;
}

void
smtp_client_take_back(struct smtp_client *c, struct smtp_txn *t)
{
	c->dead = true;
	txn_remove(c, t);
}

/* ---- replies ---- */

static int
refuse(struct smtp_client *c, enum smtp_refusal why)
{
	buf_reset(&c->text);
	buf_printf(&c->text, "host %s refused to talk to me: ", c->peer);
	smtp_reply_put_text(&c->text, &c->reply);
	c->refusal = why;
	c->refused.what = c->reply.code / 100 == 5 ? SMTP_OUTCOME_BOUNCED :
						     SMTP_OUTCOME_DEFERRED;
	c->refused.dsn = reply_status(&c->reply);
	c->refused.text = buf_view(&c->text);
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
		    fail_protocol(c) :
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

static int
on_hello(struct smtp_client *c)
{
	struct view line = VIEW_NONE, word;
	int code = c->reply.code;

	if (code / 100 == 3)
		return fail_protocol(c);
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
	c->state = STATE_READY;
	c->ops->ready(c, c->arg);
	return 0;
}

static void
on_mail(struct smtp_client *c, struct smtp_txn *t)
{
	struct smtp_outcome o;

	if (c->reply.code / 100 == 2) {
		c->need_rset = true;
		t->await = AWAIT_RCPT;
		return;
	}
	outcome_from_reply(c, AWAIT_MAIL, &o);
	give_all(c, t, &o);
	/* Pipelined commands still get their replies. */
	t->await = AWAIT_RCPT;
	if (t->sent_rcpts == 0)
		txn_over(c, t);
}

/* All RCPTs are answered. */
static void
rcpts_answered(struct smtp_client *c, struct smtp_txn *t)
{
	t->next_rcpt = 0; /* now counts LMTP's replies behind the dot */
	if (t->naccepted == 0 && t->sent <= AWAIT_DATA) {
		txn_over(c, t);
		return;
	}
	if (!t->bdat) {
		t->await = AWAIT_DATA;
		return;
	}
	/* BDAT: sent already, or in a moment when its turn has come. */
	if (t->sent == AWAIT_DATA) {
		t->await = AWAIT_CONTENT;
		send_data(c, t);
	} else {
		t->await = t->sent == AWAIT_END ? AWAIT_END : AWAIT_CONTENT;
	}
}

static void
on_rcpt(struct smtp_client *c, struct smtp_txn *t)
{
	struct smtp_txn_rcpt *r = &t->rcpts[t->next_rcpt];
	struct smtp_outcome o;

	if (!r->done) {
		if (c->reply.code / 100 == 2) {
			r->accepted = true;
			t->naccepted++;
		} else {
			outcome_from_reply(c, AWAIT_RCPT, &o);
			give_result(c, t, t->next_rcpt, &o);
		}
	}
	if (++t->next_rcpt == t->nrcpts)
		rcpts_answered(c, t);
}

static int
on_data(struct smtp_client *c, struct smtp_txn *t)
{
	struct smtp_outcome o;
	int klass = c->reply.code / 100;

	if (klass == 2)
		return fail_protocol(c);
	if (klass != 3) {
		outcome_from_reply(c, AWAIT_DATA, &o);
		give_all(c, t, &o);
		txn_over(c, t);
		return 0;
	}
	if (t->naccepted > 0) {
		t->await = AWAIT_CONTENT;
		c->ops->content(c, t, c->arg);
		return 0;
	}
	/*
	 * It wants content for nobody (RFC 2920 3.1). LMTP may not: there
	 * would be no reply to wait for (RFC 2033 4.2).
	 */
	if (c->conf->lmtp)
		return fail_protocol(c);
	buf_put_str(c->out, ".\r\n");
	t->void_content = true;
	t->await = t->sent = AWAIT_END;
	return 0;
}

static void
on_end(struct smtp_client *c, struct smtp_txn *t)
{
	struct smtp_outcome o;
	bool ok = c->reply.code / 100 == 2;

	outcome_from_reply(c, AWAIT_END, &o);
	/* A failed BDAT leaves the server in doubt (RFC 3030 2). */
	c->need_rset = t->bdat && !ok;
	if (!c->conf->lmtp) {
		give_all(c, t, &o);
		txn_over(c, t);
		return;
	}
	if (t->naccepted > 0) {
		while (!t->rcpts[t->next_rcpt].accepted)
			t->next_rcpt++;
		give_result(c, t, t->next_rcpt, &o);
	}
	if (t->naccepted == 0)
		txn_over(c, t);
}

/* A reply while content is on its way: the server wants no more of it. */
static int
on_early(struct smtp_client *c)
{
	struct smtp_outcome o;

	if (c->reply.code / 100 != 4 && c->reply.code / 100 != 5)
		return fail_protocol(c);
	outcome_from_reply(c, AWAIT_CONTENT, &o);
	fail_all(c, &o);
	return PK_EPROTO;
}

/* 421: the server closes (RFC 5321 3.8). Nothing more will be answered. */
static int
on_closing(struct smtp_client *c, struct smtp_txn *t)
{
	struct smtp_outcome o;

	c->closing = true;
	/* Idle too long for it: the owner tries another connection. */
	if (t->await <= AWAIT_MAIL && c->begun > 1) {
		c->dead = true;
		return PK_EPROTO;
	}
	outcome_from_reply(c, t->await, &o);
	give_all(c, t, &o);
	c->dead = true;
	txn_over(c, t);
	return PK_EPROTO;
}

static int
on_txn_reply(struct smtp_client *c, struct smtp_txn *t)
{
	int klass = c->reply.code / 100;

	if (c->reply.code == 421)
		return on_closing(c, t);
	if (klass == 3 && t->await != AWAIT_DATA)
		return fail_protocol(c);
	switch ((enum smtp_txn_await)t->await) {
	case AWAIT_RSET:
		if (klass != 2)
			return fail_protocol(c);
		c->need_rset = false;
		t->await = AWAIT_MAIL;
		break;
	case AWAIT_MAIL:
		on_mail(c, t);
		break;
	case AWAIT_RCPT:
		on_rcpt(c, t);
		break;
	case AWAIT_DATA:
		return on_data(c, t);
	case AWAIT_CONTENT:
		return on_early(c);
	case AWAIT_END:
		on_end(c, t);
		break;
	}
	return 0;
}

static int
on_reply(struct smtp_client *c)
{
	struct smtp_txn *t;
	int rc;

	c->replies++;
	switch ((enum smtp_client_state)c->state) {
	case STATE_GREETING:
		return on_greeting(c);
	case STATE_EHLO:
	case STATE_HELO:
		return on_hello(c);
	case STATE_QUIT:
		c->dead = true;
		return PK_EPROTO;
	case STATE_READY:
		break;
	}
	t = c->txns[0];
	if (t == NULL) {
		/* Nobody asked: mostly 421 before it closes. */
		c->dead = true;
		return PK_EPROTO;
	}
	rc = on_txn_reply(c, t);
	/* t may be over and freed; it is still ours if it stands first. */
	if (rc == 0 && c->ntxns > 0 && c->txns[0] == t)
		txn_send(c, t);
	return rc;
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

int
smtp_client_feed(struct smtp_client *c, struct view in)
{
	size_t used;
	int rc;

	while (!c->dead && in.len > 0) {
		rc = smtp_reply_feed(&c->reply, in, &used);
		in = view_from(in, used);
		if (rc == PK_EAGAIN)
			return 0;
		if (rc != 0)
			return fail_protocol(c);
		rc = on_reply(c);
		forget_reply(c);
		if (rc != 0)
			return rc;
	}
	return c->dead ? PK_EPROTO : 0;
}

enum smtp_wait
smtp_client_wait(const struct smtp_client *c)
{
	static const enum smtp_wait waits[] = {
		[AWAIT_RSET] = SMTP_WAIT_RSET, [AWAIT_MAIL] = SMTP_WAIT_MAIL,
		[AWAIT_RCPT] = SMTP_WAIT_RCPT, [AWAIT_DATA] = SMTP_WAIT_DATA,
		[AWAIT_CONTENT] = SMTP_WAIT_CONTENT,
		[AWAIT_END] = SMTP_WAIT_END,
	};

	switch ((enum smtp_client_state)c->state) {
	case STATE_GREETING:
		return SMTP_WAIT_GREETING;
	case STATE_EHLO:
	case STATE_HELO:
		return SMTP_WAIT_HELO;
	case STATE_QUIT:
		return SMTP_WAIT_QUIT;
	case STATE_READY:
		break;
	}
	return c->ntxns > 0 ? waits[c->txns[0]->await] : SMTP_WAIT_NOTHING;
}
