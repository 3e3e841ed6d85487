/* SPDX-License-Identifier: ISC */
/*
 * check_name.c: restrictions about the form and the existence of names.
 *
 * Runs in smtpd; DNS is dnsd's. A name whose state cannot be found out is
 * deferred if it would be permitted, as in Postfix.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/domain.h"
#include "smtpd/check_words.h"
#include "smtpd/worker.h"

static bool
domain_ok(struct view domain)
{
	struct domain_literal literal;

	return domain_is_fqdn(domain) || domain_is_utf8(domain) ||
	    domain_parse_literal(domain, &literal) == 0;
}

CHECK_WORD(reject_non_fqdn_sender)
{
	const struct transaction *tx = c->s->tx;

	(void)it;
	if (tx == NULL || tx->sender_len == 0 || domain_ok(tx->sender.domain))
		return CHECK_DUNNO;
	return check_refuse(c, (int)c->s->policy->conf->non_fqdn_reject_code, "5.5.2",
	    "<%s>: Sender address rejected: need fully-qualified address", tx->sender_text);
}

CHECK_WORD(reject_non_fqdn_recipient)
{
	(void)it;
	if (c->address.len == 0 || domain_ok(c->rcpt.domain))
		return CHECK_DUNNO;
	return check_refuse(c, (int)c->s->policy->conf->non_fqdn_reject_code, "5.5.2",
	    "<%.*s>: Recipient address rejected: need fully-qualified address",
	    VIEW_ARG(buf_view(&c->address)));
}

CHECK_WORD(reject_non_fqdn_helo_hostname)
{
	(void)it;
	if (c->s->helo == NULL || domain_ok(view_str(c->s->helo)))
		return CHECK_DUNNO;
	return check_refuse(c, (int)c->s->policy->conf->non_fqdn_reject_code, "5.5.2",
	    "<%s>: Helo command rejected: need fully-qualified hostname", c->s->helo);
}

CHECK_WORD(reject_invalid_helo_hostname)
{
	(void)it;
	if (c->s->helo == NULL || domain_is_helo(view_str(c->s->helo)))
		return CHECK_DUNNO;
	return check_refuse(c, (int)c->s->policy->conf->invalid_hostname_reject_code, "5.5.2",
	    "<%s>: Helo command rejected: Invalid name", c->s->helo);
}

/* ---- domains that must exist ---- */

static const enum dns_type wanted[] = { DNS_TYPE_MX, DNS_TYPE_A, DNS_TYPE_AAAA };

static void
domain_answered(const struct dns_answer *a, void *arg)
{
	struct check *c = arg;

	c->dns = NULL;
	c->answered = true;
	c->answer_error = a->error;
	/* A null MX (RFC 7505) says that nobody is there. */
	if (a->error == 0 && a->mx != NULL && a->count == 1 && strcmp(a->mx[0].host, ".") == 0) {
		c->answer_error = PK_ENOENT;
		c->step = NELEMS(wanted);
	}
	check_again(c);
}

/* DUNNO: it exists, or nobody can tell (noted); REJECT: it does not. */
static enum check_result
domain_exists(struct check *c, struct view domain)
{
	while (c->step < NELEMS(wanted) || c->answered) {
		if (c->answered) {
			c->answered = false;
			if (c->answer_error == 0)
				return CHECK_PERMIT;
			c->uncertain |= c->answer_error != PK_ENOENT;
			continue;
		}
		c->dns = c->s->w->backend->dns(c->s->w, domain, wanted[c->step++],
		    domain_answered, c);
		if (c->dns != NULL)
			return CHECK_PENDING;
	}
	return c->uncertain ? CHECK_DUNNO : CHECK_REJECT;
}

static enum check_result
unknown_domain(struct check *c, struct view domain, struct view address, const char *what,
    const char *dsn)
{
	struct domain_literal literal;
	enum check_result result;

	if (domain.len == 0 || domain_parse_literal(domain, &literal) == 0)
		return CHECK_DUNNO;
	result = domain_exists(c, domain);
	if (result == CHECK_PENDING || result == CHECK_PERMIT)
		return result == CHECK_PERMIT ? CHECK_DUNNO : result;
	if (result == CHECK_REJECT)
		return check_refuse(c, (int)c->s->policy->conf->unknown_address_reject_code,
		    dsn, "<%.*s>: %s address rejected: Domain not found", VIEW_ARG(address), what);
	if (c->if_permit.len == 0)
		buf_printf(&c->if_permit, "450 4%s <%.*s>: %s address rejected: Domain not found",
		    dsn + 1, VIEW_ARG(address), what);
	return CHECK_DUNNO;
}

CHECK_WORD(reject_unknown_sender_domain)
{
	const struct transaction *tx = c->s->tx;

	(void)it;
	if (tx == NULL)
		return CHECK_DUNNO;
	return unknown_domain(c, tx->sender.domain, view_of(tx->sender_text, tx->sender_len),
	    "Sender", "5.1.8");
}

CHECK_WORD(reject_unknown_recipient_domain)
{
	(void)it;
	return unknown_domain(c, c->rcpt.domain, buf_view(&c->address), "Recipient", "5.1.2");
}
