/* SPDX-License-Identifier: ISC */
/*
 * cmd_mail.c: MAIL FROM. Runs in smtpd.
 */
#include "base/clock.h"
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

/* A listener for users: nobody else begins a message here (RFC 6409 4.3). */
static bool
needs_login(struct session *s)
{
	if (s->policy->class != CHILD_LISTENER_SUBMISSION || auth_login(s) != NULL ||
	    s->trusted || !s->policy->conf->smtpd_sasl_auth_enable)
		return false;
	session_log_reject(s, "reject: MAIL", VIEW("530 5.7.0 Authentication required"), VIEW_NONE);
	session_reply(s, "530 5.7.0 Authentication required");
	return true;
}

static bool
user_over_limit(struct session *s)
{
	uint32_t n = 0;

	if (!auth_over_limit(s, CLIENT_MESSAGE,
	    s->policy->conf->smtpd_user_message_rate_limit, &n))
		return false;
	log_warn("Message delivery request rate limit exceeded: %u of user %s from %s[%s] for "
	    "service %s", n, auth_login(s), s->name, s->addr, s->policy->listener);
	session_reply(s, "450 4.7.1 Error: too much mail from this user");
	return true;
}

/*
 * HOLDFOR and HOLDUNTIL (RFC 4865) are users'. A time that is over is no wait
 * at all. True if the client was refused.
 */
static bool
bad_hold(struct session *s, const struct smtp_command *cmd, uint64_t *until_ms_r)
{
	uint64_t now = clock_wall_ms();
	uint64_t until = cmd->params & SMTP_PARAM_HOLDFOR ? now + cmd->hold_for_s * 1000 :
	    cmd->hold_until_ms;

	*until_ms_r = 0;
	if ((cmd->params & (SMTP_PARAM_HOLDFOR | SMTP_PARAM_HOLDUNTIL)) == 0)
		return false;
	if (auth_login(s) == NULL) {
		session_reply(s, "530 5.7.0 Authentication required");
		return true;
	}
	if (until > now + s->policy->conf->smtpd_futurerelease_limit) {
		session_reply(s, "501 5.5.4 Requested hold time is longer than allowed");
		return true;
	}
	*until_ms_r = until;
	return false;
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
	n = session_count_event(s, CLIENT_MESSAGE);
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
	uint64_t hold_until_ms;

	if (s->state == STATE_START && s->policy->conf->smtpd_helo_required) {
		session_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
		return;
	}
	if (needs_login(s) || bad_hold(s, cmd, &hold_until_ms) || no_room(s, cmd) ||
	    user_over_limit(s))
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
	tx->hold_until_ms = hold_until_ms;
	tx->requiretls = (cmd->params & SMTP_PARAM_REQUIRETLS) != 0;
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
