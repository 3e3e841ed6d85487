/* SPDX-License-Identifier: ISC */
/*
 * upstream.c: libunbound: recursion, forwarding, DNSSEC.
 *
 * Runs in dnsd, confined, and is the only code of the suite that reads DNS
 * packets from the network. The library has a cache of its own that cannot be
 * emptied, so forgetting is a new context: the old one lives until its last
 * query is done. Everything it needs (trust anchors, resolvers) is kept in
 * memory, since files are out of reach by then.
 */
#include "dnsd/upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

#define RESOLV_CONF	"/etc/resolv.conf"
#define FILE_MAX	(1u << 20)
#define CLASS_IN	1
#define SEC_BOGUS	1
#define SEC_SECURE	2

struct context {
	struct ub_ctx	*ub;
	struct upstream	*upstream;
	unsigned	 queries;	/* under way */
	bool		 retired;
	TAILQ_ENTRY(context) link;
};

struct upstream {
	struct loop	*loop;
	struct context	*context;	/* the one that is asked */
	TAILQ_HEAD(, context) retired;
	struct loop_deferred sweep;
	struct buf	 resolvers;	/* "address\n"...; empty: recursion */
	struct buf	 stubs;		/* "zone address\n"... */
	struct buf	 anchors;	/* text of the trust anchor file */
	bool		 only_inet4, only_inet6;
};

struct upstream_query {
	struct context	*context;
	int		 id;		/* the library's, 0: none */
	char		*name;
	uint16_t	 type;
	upstream_fn	 fn;
	void		*arg;
	bool		 early;		/* answered in there: told at the end of the turn */
	bool		 cancelled;
	struct answer	 answer;
	struct loop_deferred deferred;
};

/* ---- what it is to be like ---- */

static void
option(struct ub_ctx *ub, const char *name, const char *value)
{
	int rc = ub_ctx_set_option(ub, name, value);

	if (rc != 0)
		log_fatal("libunbound: %s %s: %s", name, value, ub_strerror(rc));
}

static void
check(int rc, const char *what, const char *value)
{
	if (rc != 0)
		log_fatal("%s: \"%s\": %s", what, value, ub_strerror(rc));
}

static void
set_options(const struct upstream *u, struct ub_ctx *ub)
{
	/* Ours is in front: this one is for delegations, keys and glue. */
	option(ub, "msg-cache-size:", "4m");
	option(ub, "rrset-cache-size:", "8m");
	option(ub, "key-cache-size:", "2m");
	option(ub, "neg-cache-size:", "1m");
	/* A descriptor each; answers beyond wait. */
	option(ub, "outgoing-range:", "512");
	option(ub, "num-queries-per-thread:", "1024");
	/* Fits the Ethernet frame: fragments can be forged (flag day 2020). */
	option(ub, "edns-buffer-size:", "1232");
	option(ub, "unblock-lan-zones:", "yes");
	option(ub, "insecure-lan-zones:", "yes");
	option(ub, "val-clean-additional:", "yes");
	option(ub, "do-ip6:", u->only_inet4 ? "no" : "yes");
	option(ub, "do-ip4:", u->only_inet6 ? "no" : "yes");
}

static bool
is_loopback(struct view address)
{
	return view_starts(address, VIEW("127.")) || view_starts(address, VIEW("::1"));
}

static bool
next_pair(struct view *text, char **first_r, char **second_r)
{
	struct view line, word;

	if (!view_next(text, "\n", &line) || !view_next(&line, " ", &word))
		return false;
	*first_r = view_dup(word);
	*second_r = view_dup(line);
	return true;
}

/* A zone of our own under a signed parent has no chain of trust, unless given an anchor. */
static bool
has_anchor(const struct upstream *u, const char *zone)
{
	struct view text = buf_view(&u->anchors), line, owner;
	struct view name = view_str(zone);

	while (view_next(&text, "\n", &line)) {
		if (!view_next(&line, " \t", &owner))
			continue;
		if (owner.len > 1 && owner.p[owner.len - 1] == '.')
			owner.len--;
		if (view_caseeq(owner, name))
			return true;
	}
	return false;
}

/* Names under "test." and its like are answered by the library itself unless told. */
static void
unblock(struct ub_ctx *ub, struct view zone)
{
	static const char *const special[] = { "test", "invalid", "onion", "home.arpa" };
	size_t i;

	for (i = 0; i < NELEMS(special); i++)
		if (domain_is_under(zone, view_str(special[i])))
			(void)ub_ctx_zone_remove(ub, special[i]);
}

static void
set_servers(const struct upstream *u, struct ub_ctx *ub)
{
	struct view text = buf_view(&u->resolvers);
	char *first, *second;
	bool local = false;

	while (next_pair(&text, &first, &second)) {
		check(ub_ctx_set_fwd(ub, first), "dns_resolvers", first);
		local = local || is_loopback(view_str(first));
		xfree(first);
		xfree(second);
	}
	text = buf_view(&u->stubs);
	while (next_pair(&text, &first, &second)) {
		check(ub_ctx_set_stub(ub, first, second, 0), "dns_stub_zones", first);
		if (!has_anchor(u, first))
			option(ub, "domain-insecure:", first);
		local = local || is_loopback(view_str(second));
		xfree(first);
		xfree(second);
	}
	if (local)
		option(ub, "do-not-query-localhost:", "no");
}

static void
set_anchors(const struct upstream *u, struct ub_ctx *ub)
{
	struct view text = buf_view(&u->anchors), line;
	char *record;

	while (view_next(&text, "\n", &line)) {
		line = view_trim(line);
		if (line.len == 0 || line.p[0] == ';' || line.p[0] == '#')
			continue;
		record = view_dup(line);
		check(ub_ctx_add_ta(ub, record), "dns_trust_anchor", record);
		xfree(record);
	}
}

static void
ignore(void *arg, int rcode, void *packet, int len, int sec, char *why, int limited)
{
	(void)arg, (void)rcode, (void)packet, (void)len, (void)sec, (void)why, (void)limited;
}

static void
unblock_all(const struct upstream *u, struct ub_ctx *ub)
{
	struct view text = buf_view(&u->stubs);
	char *first, *second;

	while (next_pair(&text, &first, &second)) {
		unblock(ub, view_str(first));
		xfree(first);
		xfree(second);
	}
}

static struct context *
context_new(struct upstream *u)
{
	struct context *c = XNEW(struct context);
	int rc;

	c->upstream = u;
	c->ub = ub_ctx_create_event(loop_base(u->loop));
	if (c->ub == NULL)
		log_fatal("libunbound does not start with this libevent");
	ub_ctx_debugout(c->ub, NULL);
	set_options(u, c->ub);
	set_servers(u, c->ub);
	set_anchors(u, c->ub);
	/* Answered by the library itself: brings the configuration into force. */
	rc = ub_resolve_event(c->ub, "localhost.", DNS_TYPE_A, CLASS_IN, NULL, ignore, NULL);
	if (rc != 0)
		log_fatal("libunbound: %s", ub_strerror(rc));
	unblock_all(u, c->ub);
	return c;
}

/* ---- the configuration ---- */

static void
add_resolver(struct upstream *u, struct view address)
{
	buf_put_view(&u->resolvers, address);
	buf_put_char(&u->resolvers, '\n');
}

static void
read_resolv_conf(struct upstream *u)
{
	struct view text, line, word;
	struct buf b;

	buf_init(&b, FILE_MAX);
	if (fd_read_file(AT_FDCWD, RESOLV_CONF, &b) != 0)
		log_warn("%s cannot be read", RESOLV_CONF);
	text = buf_view(&b);
	while (view_next(&text, "\n", &line)) {
		if (!view_next(&line, " \t", &word) || !view_eq(word, VIEW("nameserver")))
			continue;
		if (view_next(&line, " \t\r", &word))
			add_resolver(u, word);
	}
	buf_fini(&b);
	if (u->resolvers.len == 0)
		log_warn("%s names no resolver: asking the root servers", RESOLV_CONF);
}

static void
configure_resolvers(struct upstream *u, const char *value)
{
	struct view items = view_str(value), item;

	if (value[0] == '\0') {
		read_resolv_conf(u);
		return;
	}
	while (conf_list_next(&items, &item))
		if (!view_eq(item, VIEW("recursive")))
			add_resolver(u, item);
}

static void
configure_stubs(struct upstream *u, const char *value)
{
	struct view items = view_str(value), item, zone;
	ptrdiff_t eq;

	while (conf_list_next(&items, &item)) {
		eq = view_find(item, '=');
		if (eq <= 0 || (size_t)eq + 1 == item.len)
			log_fatal("dns_stub_zones: \"%.*s\": write ZONE=ADDRESS[@PORT]",
			    VIEW_ARG(item));
		zone = view_head(item, (size_t)eq);
		if (zone.len > 1 && zone.p[zone.len - 1] == '.')
			zone.len--;
		buf_put_view(&u->stubs, zone);
		buf_put_char(&u->stubs, ' ');
		buf_put_view(&u->stubs, view_from(item, (size_t)eq + 1));
		buf_put_char(&u->stubs, '\n');
	}
}

static void	sweep(void *arg);

struct upstream *
upstream_new(struct loop *l, const struct conf *conf)
{
	struct upstream *u = XNEW(struct upstream);

	u->loop = l;
	TAILQ_INIT(&u->retired);
	u->sweep.fn = sweep;
	u->sweep.arg = u;
	buf_init(&u->resolvers, FILE_MAX);
	buf_init(&u->stubs, FILE_MAX);
	buf_init(&u->anchors, FILE_MAX);
	u->only_inet4 = strcmp(conf->inet_protocols, "ipv4") == 0;
	u->only_inet6 = strcmp(conf->inet_protocols, "ipv6") == 0;
	configure_resolvers(u, conf->dns_resolvers);
	configure_stubs(u, conf->dns_stub_zones);
	if (conf->dns_trust_anchor[0] != '\0' &&
	    fd_read_file(AT_FDCWD, conf->dns_trust_anchor, &u->anchors) != 0)
		log_fatal("dns_trust_anchor: %s: %s", conf->dns_trust_anchor,
		    strerror(errno));
	u->context = context_new(u);
	return u;
}

bool
upstream_validates(const struct upstream *u)
{
	return u->anchors.len > 0;
}

/* ---- queries ---- */

/* Not from inside the library's own callback: contexts die at the turn's end. */
static void
sweep(void *arg)
{
	struct upstream *u = arg;
	struct context *c, *next;

	for (c = TAILQ_FIRST(&u->retired); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->queries > 0)
			continue;
		TAILQ_REMOVE(&u->retired, c, link);
		ub_ctx_delete(c->ub);
		xfree(c);
	}
}

static void
release(struct upstream_query *q)
{
	struct context *c = q->context;

	c->queries--;
	if (c->retired && c->queries == 0)
		loop_defer(c->upstream->loop, &c->upstream->sweep);
	loop_defer_cancel(c->upstream->loop, &q->deferred);
	answer_fini(&q->answer);
	xfree(q->name);
	xfree(q);
}

static void
tell(void *arg)
{
	struct upstream_query *q = arg;

	if (!q->cancelled)
		q->fn(&q->answer, q->arg);
	release(q);
}

static void
fill(struct upstream_query *q, int rcode, struct view packet, int sec)
{
	struct answer *a = &q->answer;

	a->security = sec == SEC_SECURE ? DNS_SECURE : sec == SEC_BOGUS ? DNS_BOGUS :
	    DNS_INSECURE;
	if (a->security == DNS_BOGUS)
		answer_fail(a, q->name, DNS_RCODE_SERVFAIL, DNS_BOGUS);
	else if (rcode != 0 || packet.p == NULL)
		answer_fail(a, q->name, rcode != 0 ? (unsigned)rcode : DNS_RCODE_SERVFAIL,
		    DNS_INSECURE);
	else if (answer_parse(a, packet, q->name, q->type) != 0)
		answer_fail(a, q->name, DNS_RCODE_SERVFAIL, DNS_INSECURE);
}

static void
done(void *arg, int rcode, void *packet, int len, int sec, char *why, int limited)
{
	struct upstream_query *q = arg;

	(void)limited;
	if (sec == SEC_BOGUS && why != NULL)
		log_info("DNSSEC: %s/%s is bogus: %s", q->name,
		    dns_type_name(q->type) != NULL ? dns_type_name(q->type) : "?", why);
	fill(q, rcode, view_of(packet, packet != NULL && len > 0 ? (size_t)len : 0), sec);
	/*
	 * Told at the end of the turn: whoever hears of it may ask again or
	 * forget everything, and the library is not to be entered from its
	 * own callback.
	 */
	q->id = 0;
	q->early = true;
	loop_defer(q->context->upstream->loop, &q->deferred);
}

struct upstream_query *
upstream_ask(struct upstream *u, const char *name, uint16_t type, upstream_fn fn, void *arg)
{
	struct upstream_query *q = XNEW(struct upstream_query);
	int rc, id = 0;

	q->context = u->context;
	q->context->queries++;
	q->name = xstrdup(name);
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	q->deferred.fn = tell;
	q->deferred.arg = q;
	answer_init(&q->answer);
	rc = ub_resolve_event(u->context->ub, name, type, CLASS_IN, q, done, &id);
	if (rc != 0) {
		log_warn("libunbound: %s: %s", name, ub_strerror(rc));
		done(q, DNS_RCODE_SERVFAIL, NULL, 0, 0, NULL, 0);
	} else if (!q->early) {
		q->id = id;
	}
	return q;
}

void
upstream_cancel(struct upstream_query **qp)
{
	struct upstream_query *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	q->cancelled = true;
	/* Answered already: tell() frees it. */
	if (q->early)
		return;
	if (q->id != 0 && ub_cancel(q->context->ub, q->id) == 0) {
		release(q);
		return;
	}
	/* The library still knows it and will call: done() leads to tell(). */
}

void
upstream_forget(struct upstream *u)
{
	struct context *old = u->context;

	old->retired = true;
	TAILQ_INSERT_TAIL(&u->retired, old, link);
	u->context = context_new(u);
	loop_defer(u->loop, &u->sweep);
}
