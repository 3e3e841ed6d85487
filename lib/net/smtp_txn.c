/* SPDX-License-Identifier: ISC */
/*
 * smtp_txn.c: transactions of the client's side of SMTP and LMTP.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. Each transaction walks through
 * enum smtp_txn_await as replies arrive; commands run ahead of it when the
 * server offers PIPELINING. The server is a stranger: all that a reply can do
 * is to choose between sent, deferred and bounced for recipients of the
 * transaction it answers.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/smtp_client_impl.h"

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

/* ---- outcomes ---- */

struct enhanced
smtp_txn_reply_status(const struct smtp_reply *r)
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
	o_r->dsn = smtp_txn_reply_status(&c->reply);
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
void
smtp_txn_fail_all(struct smtp_client *c, const struct smtp_outcome *o)
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

/* ---- commands ---- */

static void
put_mail(struct smtp_client *c, const struct smtp_txn *t)
{
	buf_put_str(c->out, "MAIL FROM:<");
	buf_put_view(c->out, t->sender);
	buf_put_char(c->out, '>');
	if (t->size > 0 && smtp_client_has(c, SMTP_CAP_SIZE))
		buf_printf(c->out, " SIZE=%llu", (unsigned long long)t->size);
	if (t->body == SMTP_BODY_BINARYMIME &&
	    smtp_client_has(c, SMTP_CAP_BINARYMIME))
		buf_put_str(c->out, " BODY=BINARYMIME");
	else if (t->body == SMTP_BODY_8BITMIME &&
	    smtp_client_has(c, SMTP_CAP_8BITMIME))
		buf_put_str(c->out, " BODY=8BITMIME");
	if (t->smtputf8 && smtp_client_has(c, SMTP_CAP_SMTPUTF8))
		buf_put_str(c->out, " SMTPUTF8");
	if (smtp_client_has(c, SMTP_CAP_DSN)) {
		if (t->ret != SMTP_RET_UNSET)
			buf_put_str(c->out,
			    t->ret == SMTP_RET_FULL ? " RET=FULL" :
						      " RET=HDRS");
		if (t->envid.len > 0) {
			buf_put_str(c->out, " ENVID=");
			buf_put_view(c->out, t->envid);
		}
	}
	if (t->requiretls)
		buf_put_str(c->out, " REQUIRETLS");
	if (t->mt_priority != 0 && smtp_client_has(c, SMTP_CAP_MT_PRIORITY))
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
	if (smtp_client_has(c, SMTP_CAP_DSN)) {
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
	return t->await == what || smtp_client_has(c, SMTP_CAP_PIPELINING);
}

static void
send_rcpts(struct smtp_client *c, struct smtp_txn *t)
{
	if (smtp_client_has(c, SMTP_CAP_PIPELINING)) {
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
	return c->ntxns == 1 && smtp_client_has(c, SMTP_CAP_PIPELINING) &&
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
		return smtp_client_fail_protocol(c);
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
		return smtp_client_fail_protocol(c);
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
		return smtp_client_fail_protocol(c);
	outcome_from_reply(c, AWAIT_CONTENT, &o);
	smtp_txn_fail_all(c, &o);
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
		return smtp_client_fail_protocol(c);
	switch ((enum smtp_txn_await)t->await) {
	case AWAIT_RSET:
		if (klass != 2)
			return smtp_client_fail_protocol(c);
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

int
smtp_txn_reply(struct smtp_client *c)
{
	struct smtp_txn *t = c->txns[0];
	int rc = on_txn_reply(c, t);

	/* t may be over and freed; it is still ours if it stands first. */
	if (rc == 0 && c->ntxns > 0 && c->txns[0] == t)
		txn_send(c, t);
	return rc;
}

const char *
smtp_txn_doing(const struct smtp_client *c)
{
	return c->ntxns > 0 ? await_words[c->txns[0]->await].doing : "idle";
}

enum smtp_wait
smtp_txn_wait(const struct smtp_client *c)
{
	static const enum smtp_wait waits[] = {
		[AWAIT_RSET] = SMTP_WAIT_RSET, [AWAIT_MAIL] = SMTP_WAIT_MAIL,
		[AWAIT_RCPT] = SMTP_WAIT_RCPT, [AWAIT_DATA] = SMTP_WAIT_DATA,
		[AWAIT_CONTENT] = SMTP_WAIT_CONTENT,
		[AWAIT_END] = SMTP_WAIT_END,
	};

	return c->ntxns > 0 ? waits[c->txns[0]->await] : SMTP_WAIT_NOTHING;
}
