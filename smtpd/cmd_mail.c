/* SPDX-License-Identifier: ISC */
/*
 * cmd_mail.c: MAIL FROM. Runs in smtpd.
 */
#include "base/log.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

/* While the queue is under pressure strangers are slowed down by so much. */
#define PRESSURE_DELAY_MS	1000

/* RFC 6710's -9..9 in five classes; only trusted clients may push ahead. */
static unsigned
priority_of(const struct session *s, const struct smtp_command *cmd)
{
	unsigned usual = (unsigned)s->policy->conf->default_priority, p;

	if ((cmd->params & SMTP_PARAM_MT_PRIORITY) == 0)
		return usual;
	if (cmd->mt_priority <= -6)
		p = 0;
	else if (cmd->mt_priority <= -2)
		p = 1;
	else if (cmd->mt_priority <= 1)
		p = 2;
	else if (cmd->mt_priority <= 5)
		p = 3;
	else
		p = 4;
	return !s->trusted && p > usual ? usual : p;
}

/* local@domain as it will be kept; names without a domain are ours. */
static int
put_sender(struct session *s, const struct mail_address *a)
{
	struct transaction *tx = s->tx;
	struct buf b;
	int error;

	worker_buf_get(s->w, &b, sizeof(tx->sender_text) - 1);
	error = address_put(&b, a);
	if (error == 0 && (a->flags & ADDRESS_NO_DOMAIN) != 0) {
		buf_put_char(&b, '@');
		error = buf_put_str(&b, s->policy->conf->myorigin);
	}
	if (error == 0) {
		tx->sender_len = (uint16_t)b.len;
		memcpy(tx->sender_text, buf_cstr(&b), b.len + 1);
		error = address_parse(view_of(tx->sender_text, b.len),
		    ADDRESS_ALLOW_NULL | ADDRESS_ALLOW_UTF8, &tx->sender);
	}
	worker_buf_put(s->w, &b);
	return error;
}

static void
checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: MAIL", buf_view(&c->reply), VIEW_NONE);
		session_replyf(s, "%s", buf_cstr(&c->reply));
		session_reset(s);
	} else {
		session_reply(s, "250 2.1.0 Ok");
	}
	session_resume(s);
}

/* Why there is no room for a message now; NULL: there is. */
static bool
no_room(struct session *s, const struct smtp_command *cmd)
{
	const struct conf *c = s->policy->conf;
	uint32_t n;

	if (s->w->pressure >= 2) {
		session_reply_plain(s, "452 4.3.1 Insufficient system storage");
		return true;
	}
	if ((cmd->params & SMTP_PARAM_SIZE) != 0 && c->message_size_limit > 0 &&
	    cmd->size > c->message_size_limit) {
		session_reply(s, "552 5.3.4 Message size exceeds fixed limit");
		return true;
	}
	if (s->no_limits || c->smtpd_client_message_rate_limit == 0)
		return false;
	n = client_limits_count(s->w->limits, s->ip.bytes,
	    s->ip.family == DOMAIN_INET4 ? 4 : 16, CLIENT_MESSAGE, c->anvil_rate_time_unit,
	    loop_now_ms(s->w->loop));
	if (n <= c->smtpd_client_message_rate_limit)
		return false;
	log_warn("Message delivery request rate limit exceeded: %u from %s[%s] for service %s",
	    n, s->name, s->addr, s->policy->listener);
	session_replyf(s, "450 4.7.1 Error: too much mail from %s", s->addr);
	return true;
}

void
cmd_mail(struct session *s, struct smtp_command *cmd)
{
	struct transaction *tx;

	if (s->state == STATE_START && s->policy->conf->smtpd_helo_required) {
		session_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
		return;
	}
	if (no_room(s, cmd))
		return;
	if (s->w->pressure == 1 && !s->trusted)
		session_delay(s, PRESSURE_DELAY_MS);
	s->tx = tx = transaction_new(s->w);
	tx->utf8 = (cmd->params & SMTP_PARAM_SMTPUTF8) != 0;
	if (put_sender(s, &cmd->address) != 0) {
		session_reply(s, smtp_command_error_text(SMTP_COMMAND_E_SENDER));
		transaction_free(s->w, &s->tx);
		return;
	}
	tx->size = cmd->params & SMTP_PARAM_SIZE ? cmd->size : 0;
	tx->body = cmd->params & SMTP_PARAM_BODY ? cmd->body : SMTP_BODY_UNSET;
	tx->ret = cmd->params & SMTP_PARAM_RET ? cmd->ret : SMTP_RET_UNSET;
	tx->priority = priority_of(s, cmd);
	if (cmd->params & SMTP_PARAM_ENVID)
		buf_put_view(&tx->envid, cmd->envid);
	s->state = STATE_MAIL;
	if (s->policy->conf->smtpd_delay_reject || s->policy->lists[CHECK_SENDER].count == 0) {
		session_reply(s, "250 2.1.0 Ok");
		return;
	}
	session_wait(s);
	check_begin(s, 1 << CHECK_SENDER, "MAIL", NULL, VIEW_NONE, checked);
}
