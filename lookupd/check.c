/* SPDX-License-Identifier: ISC */
/*
 * check.c: what RCPT (and MAIL) wants to know of an address.
 *
 * Runs in lookupd for smtpd. The texts of unknown recipients are Postfix's
 * word for word: filters of logs (fail2ban, pflogsumm) match them.
 */
#include "base/error.h"
#include "base/mem.h"
#include "lookupd/resolver_impl.h"

void
resolver_check_init(struct resolver_check *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->text, 1000);
	buf_init(&c->dsn_buf, 32);
}

void
resolver_check_fini(struct resolver_check *c)
{
	buf_fini(&c->text);
	buf_fini(&c->dsn_buf);
}

static void
verdict(struct resolver_check *c, enum route_verdict v, const char *dsn, const char *text)
{
	c->verdict = v;
	c->dsn = dsn;
	buf_reset(&c->text);
	buf_put_str(&c->text, text);
}

static void
tempfail(struct resolver_check *c)
{
	verdict(c, ROUTE_TEMPFAIL, "4.3.0", "Temporary lookup failure");
}

/* PK_ENOENT: maps say it does not exist; 0: it does, or there are no maps. */
static int
exists(struct resolver *r, const char *maps, const struct rcpt *a, unsigned flags)
{
	struct buf value;
	int error;

	if (maps[0] == '\0')
		return 0;
	buf_init(&value, TABLE_VALUE_MAX);
	error = resolver_find(r, maps, a, flags, &value, NULL);
	buf_fini(&value);
	return error;
}

static int
is_alias(struct resolver *r, const struct rcpt *a)
{
	if (r->conf->virtual_alias_maps[0] == '\0')
		return PK_ENOENT;
	return exists(r, r->conf->virtual_alias_maps, a, 0);
}

static int
exists_in_class(struct resolver *r, const struct rcpt *a, enum route_class class,
    const char **text_r)
{
	const struct conf *c = r->conf;

	switch (class) {
	case ROUTE_CLASS_LOCAL:
		*text_r = "User unknown in local recipient table";
		if (resolver_is_special(r, rcpt_local(a)))
			return 0;
		return exists(r, c->local_recipient_maps, a, FIND_ALIAS);
	case ROUTE_CLASS_VIRTUAL_ALIAS:
		*text_r = "User unknown in virtual alias table";
		return PK_ENOENT;
	case ROUTE_CLASS_VIRTUAL_MAILBOX:
		*text_r = "User unknown in virtual mailbox table";
		return exists(r, c->virtual_mailbox_maps, a, 0);
	case ROUTE_CLASS_RELAY:
		*text_r = "User unknown in relay recipient table";
		return exists(r, c->relay_recipient_maps, a, 0);
	default:
		return 0;
	}
}

/* A known recipient may still have a route that says no, or a full mailbox. */
static void
check_route(struct resolver *r, const struct rcpt *a, struct resolver_check *c)
{
	struct resolver_route route;
	int error;

	memset(&route, 0, sizeof(route));
	error = resolver_route(r, a, &route);
	if (error != 0) {
		tempfail(c);
	} else if (route.dsn != NULL && route.dsn[0] == '5' &&
	    !(route.class == ROUTE_CLASS_LOCAL && resolver_is_special(r, rcpt_local(a)))) {
		buf_put_str(&c->dsn_buf, route.dsn);
		verdict(c, ROUTE_REJECTED, buf_cstr(&c->dsn_buf), route.text);
	} else if (route.path != NULL && route.quota > 0 &&
	    resolver_over_quota(r->conf, route.path, route.quota)) {
		verdict(c, ROUTE_FULL, "4.2.2", "Mailbox is full");
	}
	resolver_route_fini(&route);
}

static void
validate(struct resolver *r, const struct rcpt *a, unsigned flags, struct resolver_check *c)
{
	bool sender = (flags & ROUTE_FLAG_SENDER) != 0;
	const char *text = "";
	int error;

	error = is_alias(r, a);
	/* Where an alias leads is looked at when the message is on its way. */
	if (error == 0)
		return;
	if (error == PK_ENOENT)
		error = exists_in_class(r, a, c->class, &text);
	if (error == PK_ENOENT)
		verdict(c, ROUTE_UNKNOWN, sender ? "5.1.0" : "5.1.1", text);
	else if (error != 0)
		tempfail(c);
	else if (!sender && (c->class != ROUTE_CLASS_LOCAL ||
	    r->conf->alias_maps[0] == '\0' ||
	    exists(r, r->conf->alias_maps, a, FIND_ALIAS) != 0))
		check_route(r, a, c);
}

void
resolver_check(struct resolver *r, struct view address, unsigned flags,
    struct resolver_check *c)
{
	bool sender = (flags & ROUTE_FLAG_SENDER) != 0;
	struct rcpt a;
	int error;

	verdict(c, ROUTE_KNOWN, "2.1.5", "");
	c->class = ROUTE_CLASS_DEFAULT;
	if (sender && address.len == 0)
		return;
	rcpt_init(&a);
	error = resolver_rcpt(r, address, &a);
	if (error == PK_ETEMP)
		tempfail(c);
	else if (error != 0)
		verdict(c, ROUTE_REJECTED, sender ? "5.1.7" : "5.1.3",
		    sender ? "Bad sender address syntax" : "Bad recipient address syntax");
	else if (resolver_classify(r, rcpt_domain(&a), &c->class) != 0)
		tempfail(c);
	else if (flags & ROUTE_FLAG_VALIDATE)
		validate(r, &a, flags, c);
	rcpt_fini(&a);
}
