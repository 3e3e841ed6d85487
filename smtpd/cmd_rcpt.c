/* SPDX-License-Identifier: ISC */
/*
 * cmd_rcpt.c: RCPT TO. Runs in smtpd.
 *
 * Here it is decided whether we take responsibility for a recipient: with
 * smtpd_delay_reject all lists up to this one are evaluated now, so that the
 * log knows who wrote to whom. A configuration in which nothing would ever
 * refuse a stranger's relaying is refused itself.
 */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

static bool
too_many(struct session *s)
{
	const struct conf *c = s->policy->conf;
	uint32_t n;

	if (s->tx->nrcpts >= c->smtpd_recipient_limit) {
		if (++s->tx->overshoot > c->smtpd_recipient_overshoot_limit)
			session_reply(s, "452 4.5.3 Error: too many recipients");
		else
			session_reply_plain(s, "452 4.5.3 Error: too many recipients");
		return true;
	}
	if (auth_over_limit(s, CLIENT_RECIPIENT, c->smtpd_user_recipient_rate_limit, &n)) {
		log_warn("Recipient address rate limit exceeded: %u of user %s from %s[%s] for "
		    "service %s", n, auth_login(s), s->name, s->addr, s->policy->listener);
		session_reply(s, "450 4.7.1 Error: too many recipients from this user");
		return true;
	}
	if (s->no_limits || c->smtpd_client_recipient_rate_limit == 0)
		return false;
	n = client_limits_count(s->w->limits, s->ip.bytes,
	    s->ip.family == DOMAIN_INET4 ? 4 : 16, CLIENT_RECIPIENT, c->anvil_rate_time_unit,
	    loop_now_ms(s->w->loop));
	if (n <= c->smtpd_client_recipient_rate_limit)
		return false;
	log_warn("Recipient address rate limit exceeded: %u from %s[%s] for service %s",
	    n, s->name, s->addr, s->policy->listener);
	session_replyf(s, "450 4.7.1 Error: too many recipients from %s", s->addr);
	return true;
}

static bool
misconfigured(struct session *s)
{
	const struct policy *p = s->policy;
	unsigned i;

	for (i = 0; i < CHECK_STAGES; i++) {
		if (p->lists[i].bad == NULL)
			continue;
		log_error("configuration of listener %s: %s", p->listener, p->lists[i].bad);
		session_reply_plain(s, "451 4.3.5 Server configuration error");
		return true;
	}
	if (p->guarded)
		return false;
	log_error("listener %s: smtpd_relay_restrictions and smtpd_recipient_restrictions"
	    " would make an open relay: one must contain reject_unauth_destination,"
	    " defer_unauth_destination, reject or defer before any permit"
	    " (or smtpd_relay_restrictions must say permit)", p->listener);
	session_reply_plain(s, "451 4.3.5 Server configuration error");
	return true;
}

static void
accepted(struct session *s, struct check *c)
{
	struct transaction *tx = s->tx;
	struct view address = buf_view(&c->address);

	if (tx->nrcpts++ == 0 && address.len < sizeof(tx->first_rcpt)) {
		memcpy(tx->first_rcpt, address.p, address.len);
		tx->first_rcpt[address.len] = '\0';
	}
	s->state = STATE_RCPT;
	session_reply(s, "250 2.1.5 Ok");
}

static void
checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: RCPT", buf_view(&c->reply),
		    buf_view(&c->address));
		session_replyf(s, "%s", buf_cstr(&c->reply));
		buf_truncate(&s->tx->rcpts, s->tx->rcpts_kept);
	} else {
		accepted(s, c);
	}
	session_resume(s);
}

static void
put_recipient(struct session *s, struct smtp_command *cmd, struct buf *b)
{
	address_put(b, &cmd->address);
	if (cmd->address.flags & ADDRESS_NO_DOMAIN) {
		buf_put_char(b, '@');
		buf_put_str(b, s->policy->conf->myorigin);
	}
}

void
cmd_rcpt(struct session *s, struct smtp_command *cmd)
{
	unsigned stages = 1 << CHECK_RELAY | 1 << CHECK_RECIPIENT | 1 << CHECK_UNLISTED;
	struct buf b;
	int error;

	if (too_many(s) || misconfigured(s))
		return;
	worker_buf_get(s->w, &b, RECORD_ADDRESS_MAX);
	put_recipient(s, cmd, &b);
	error = buf_error(&b);
	if (error != 0 || b.len == 0) {
		session_reply(s, smtp_command_error_text(SMTP_COMMAND_E_RECIPIENT));
	} else if (transaction_add_recipient(s, buf_view(&b), cmd) != 0) {
		session_reply_plain(s, "452 4.5.3 Error: too many recipients");
	} else {
		if (s->policy->conf->smtpd_delay_reject)
			stages |= 1 << CHECK_CLIENT | 1 << CHECK_HELO | 1 << CHECK_SENDER;
		session_wait(s);
		check_begin(s, stages, "RCPT", &cmd->address, buf_view(&b), checked);
	}
	worker_buf_put(s->w, &b);
}
