/* SPDX-License-Identifier: ISC */
/*
 * smtp_route.c: from a next hop to the addresses it is reached at.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. DNS answers come from strangers
 * by way of dnsd: counts are bounded, names are only shown and asked for.
 * "No such name" bounces, "no answer" defers; the words are Postfix's.
 *
 * All hops of a list (and smtp_fallback_relay) are resolved at once; targets
 * keep their order: hop, MX preference, shuffled within one preference, IPv6
 * and IPv4 in turn within a host, so that racing neighbours races families.
 */
#include "deliver/smtp_route_impl.h"

#include <arpa/inet.h>
#include <string.h>
#include <bsd/stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* Long enough for a burst, short enough for a moved host. */
#define ROUTE_KEEP_MS	30000
#define ADDRESSES_MAX	32		/* of one host and family */

void
smtp_failure_set(struct smtp_failure *f, enum job_result what,
    struct enhanced dsn, const char *relay, struct view text)
{
	smtp_failure_fini(f);
	f->what = what;
	f->dsn = dsn;
	f->text = view_dup(text);
	f->relay = relay != NULL ? xstrdup(relay) : NULL;
}

void
smtp_failure_fini(struct smtp_failure *f)
{
	xfree(f->text);
	xfree(f->relay);
	memset(f, 0, sizeof(*f));
}

void
smtp_hop_fail(struct resolver_hop *h, enum job_result what, struct enhanced dsn,
    const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	buf_init(&b, 4096);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	smtp_failure_set(&h->failure, what, dsn, NULL, buf_view(&b));
	buf_fini(&b);
}

struct smtp_route *
smtp_route_ref(struct smtp_route *r)
{
	r->refs++;
	return r;
}

void
smtp_route_unref(struct smtp_route **rp)
{
	struct smtp_route *r = *rp;
	size_t i;

	*rp = NULL;
	if (r == NULL || --r->refs > 0)
		return;
	for (i = 0; i < r->ntargets; i++) {
		xfree(r->targets[i].host);
		xfree(r->targets[i].peer);
		xfree(r->targets[i].relay);
		tls_plan_unref(&r->targets[i].plan);
	}
	xfree(r->targets);
	smtp_failure_fini(&r->failure);
	xfree(r);
}

static void
resolver_free(struct smtp_resolver *r)
{
	struct resolver_hop *h;
	struct host *host;
	unsigned i, f;
	size_t k;

	for (i = 0; i < r->nhops; i++) {
		h = &r->hops[i];
		dns_lookup_cancel(&h->mx);
		smtp_policy_hop_fini(h);
		for (k = 0; k < h->nhosts; k++) {
			host = &h->hosts[k];
			for (f = 0; f < 2; f++) {
				dns_lookup_cancel(&host->calls[f]);
				xfree(host->addrs[f]);
			}
			smtp_policy_host_fini(host);
			xfree(host->name);
		}
		xfree(h->hosts);
		xfree(h->name);
		smtp_failure_fini(&h->failure);
	}
	xfree(r->text);
	xfree(r->nexthop);
	xfree(r->myhostname);
	xfree(r);
}

void
smtp_resolver_cancel(struct smtp_resolver **r)
{
	if (*r != NULL)
		resolver_free(*r);
	*r = NULL;
}

/* ---- the list ---- */

static void
target_add(struct smtp_route *route, const char *host,
    const struct domain_literal *a, uint16_t port, unsigned rank,
    struct tls_plan *plan)
{
	struct smtp_target *t;
	struct buf addr;

	if (route->ntargets == SMTP_TARGETS_MAX)
		return;
	route->targets = xreallocarray(
	    route->targets, route->ntargets + 1, sizeof(*route->targets));
	t = &route->targets[route->ntargets++];
	memset(t, 0, sizeof(*t));
	buf_init(&addr, 128);
	domain_put_ip(&addr, a);
	t->host = xstrdup(host);
	t->peer = xasprintf("%s[%s]", host, buf_cstr(&addr));
	t->relay = xasprintf("%s:%u", t->peer, port);
	t->sa_len = dns_put_sockaddr(a, port, &t->sa.ss);
	t->port = port;
	t->rank = rank;
	t->plan = tls_plan_ref(plan);
	buf_fini(&addr);
}

static void
target_add_unix(struct smtp_route *route, const struct resolver_hop *h,
    unsigned rank)
{
	const char *myhostname = h->r->myhostname;
	struct view path = h->hop.host;
	struct smtp_target *t;

	route->targets = xreallocarray(
	    route->targets, route->ntargets + 1, sizeof(*route->targets));
	t = &route->targets[route->ntargets++];
	memset(t, 0, sizeof(*t));
	t->host = xstrdup(myhostname);
	t->peer = xasprintf("%s[%.*s]", myhostname, VIEW_ARG(path));
	t->relay = xstrdup(t->peer);
	t->sa.un.sun_family = AF_UNIX;
	memcpy(t->sa.un.sun_path, path.p, path.len);
	t->sa_len = (socklen_t)sizeof(t->sa.un);
	t->rank = rank;
	t->plan = smtp_policy_plan(h, myhostname, NULL);
}

static void
host_targets(struct smtp_route *route, const struct smtp_resolver *r,
    struct host *h, unsigned rank)
{
	unsigned first = r->ipv4_first ? 1 : 0;
	struct tls_plan *plan;
	size_t i;

	if (h->naddrs[0] == 0 && h->naddrs[1] == 0)
		return;
	plan = smtp_policy_plan(h->hop, h->name, h);
	if (plan->refused != NULL) {
		log_info("%s: %s", h->hop->name, plan->refused);
		smtp_hop_fail(
		    h->hop, JOB_DEFERRED, plan->dsn, "%s", plan->refused);
		tls_plan_unref(&plan);
		return;
	}

	for (i = 0; i < h->naddrs[0] || i < h->naddrs[1]; i++) {
		if (i < h->naddrs[first])
			target_add(route, h->name, &h->addrs[first][i],
			    h->hop->hop.port, rank, plan);
		if (i < h->naddrs[!first])
			target_add(route, h->name, &h->addrs[!first][i],
			    h->hop->hop.port, rank, plan);
	}
	tls_plan_unref(&plan);
}

static bool
host_is_ours(const struct smtp *s, const struct host *h)
{
	unsigned f;
	size_t i;

	for (f = 0; f < 2; f++)
		for (i = 0; i < h->naddrs[f]; i++)
			if (smtp_address_is_ours(s, &h->addrs[f][i]))
				return true;
	return false;
}

/* The least preference at which we ourselves are, if we are among them. */
static bool
own_preference(const struct smtp_resolver *r, const struct resolver_hop *h,
    unsigned *preference_r)
{
	bool found = false;
	size_t k;

	if (!smtp_port_is_ours(r->s, h->hop.port))
		return false;
	for (k = 0; k < h->nhosts; k++) {
		if (!host_is_ours(r->s, &h->hosts[k]))
			continue;
		if (!found || h->hosts[k].preference < *preference_r)
			*preference_r = h->hosts[k].preference;
		found = true;
	}
	return found;
}

static void
hop_targets(struct smtp_route *route, struct smtp_resolver *r,
    struct resolver_hop *h, unsigned rank)
{
	unsigned own = 0;
	bool loops, temp = false;
	size_t before = route->ntargets, k;

	if (h->policy_failed)
		return;
	if (h->hop.is_unix) {
		target_add_unix(route, h, rank);
		return;
	}
	loops = own_preference(r, h, &own);
	for (k = 0; k < h->nhosts; k++) {
		temp = temp || h->hosts[k].temp;
		/* RFC 5321 5.1: only hosts that are nearer than we are. */
		if (!loops || h->hosts[k].preference < own)
			host_targets(route, r, &h->hosts[k],
			    rank + h->hosts[k].preference);
	}
	if (route->ntargets > before || h->failure.text != NULL)
		return;
	if (loops)
		smtp_hop_fail(h, JOB_BOUNCED, ENHANCED(5, 4, 6),
		    "mail for %s loops back to myself", h->name);
	else if (temp)
		smtp_hop_fail(h, JOB_DEFERRED, ENHANCED(4, 4, 3),
		    "Host or domain name not found. Name service error for "
		    "name=%s type=A: Host not found, try again",
		    h->nhosts > 0 ? h->hosts[0].name : h->name);
	else
		smtp_hop_fail(h, JOB_BOUNCED, ENHANCED(5, 4, 4),
		    "Host or domain name not found. Name service error for "
		    "name=%s type=A: Host not found",
		    h->nhosts > 0 ? h->hosts[0].name : h->name);
}

static void
resolved(struct smtp_resolver *r)
{
	struct smtp_route *route = XNEW(struct smtp_route);
	const struct smtp_failure *f, *best = NULL;
	smtp_route_fn fn = r->fn;
	void *arg = r->arg;
	unsigned i;

	route->refs = 1;
	route->expires_ms = clock_mono_ms() + ROUTE_KEEP_MS;
	for (i = 0; i < r->nhops; i++)
		hop_targets(route, r, &r->hops[i], i << SMTP_RANK_HOP_SHIFT);
	for (i = 0; i < r->nhops; i++) {
		f = &r->hops[i].failure;
		/* One that may work later keeps the message. */
		if (f->text != NULL &&
		    (best == NULL || f->what == JOB_DEFERRED))
			best = f;
	}
	if (route->ntargets == 0) {
		if (best != NULL)
			smtp_failure_set(&route->failure, best->what, best->dsn,
			    NULL, view_str(best->text));
		else
			smtp_failure_set(&route->failure, JOB_DEFERRED,
			    ENHANCED(4, 3, 5), NULL,
			    VIEW("bad or missing next hop destination"));
	}
	resolver_free(r);
	fn(route, arg);
}

/* Addresses first, then what must be asked about their hosts. */
static void
go_on(struct smtp_resolver *r)
{
	if (!r->dane_done) {
		r->dane_done = true;
		r->pending = 1;
		smtp_policy_ask_dane(r);
		if (--r->pending > 0)
			return;
	}
	resolved(r);
}

void
smtp_resolver_answered(struct smtp_resolver *r)
{
	if (--r->pending == 0)
		go_on(r);
}

/* ---- questions ---- */

static void
on_address(const struct dns_answer *a, void *arg)
{
	struct host *h = arg;
	unsigned f = a->type == DNS_TYPE_AAAA ? 0 : 1;
	size_t n = a->count < ADDRESSES_MAX ? a->count : ADDRESSES_MAX;

	h->calls[f] = NULL;
	if (a->error == 0 && n > 0) {
		h->addrs[f] = xcalloc(n, sizeof(*h->addrs[f]));
		memcpy(h->addrs[f], a->addresses, n * sizeof(*h->addrs[f]));
		h->naddrs[f] = n;
		h->secure[f] = a->security == DNS_SECURE;
		if (h->canonical == NULL && a->canonical.len > 0)
			h->canonical = view_dup(a->canonical);
	} else if (a->error != 0 && a->error != PK_ENOENT) {
		h->temp = true;
	}
	smtp_resolver_answered(h->hop->r);
}

static void
ask_address(struct host *h, unsigned f, enum dns_type type)
{
	struct smtp_resolver *r = h->hop->r;

	h->calls[f] =
	    dns_lookup(r->s->dns, view_str(h->name), type, 0, on_address, h);
	if (h->calls[f] != NULL)
		r->pending++;
}

static void
ask_host(struct host *h)
{
	struct smtp_resolver *r = h->hop->r;
	struct domain_literal lit;
	unsigned f;

	if (domain_parse_ip(view_str(h->name), &lit) == 0) {
		f = lit.family == DOMAIN_INET6 ? 0 : 1;
		h->addrs[f] = xmemdup(&lit, sizeof(lit));
		h->naddrs[f] = 1;
		return;
	}
	if (r->s->dns == NULL) {
		h->temp = true;
		return;
	}
	if (r->ipv6)
		ask_address(h, 0, DNS_TYPE_AAAA);
	if (r->ipv4)
		ask_address(h, 1, DNS_TYPE_A);
}

/* Memory of the hosts is fixed before the first question points into it. */
static void
hosts_alloc(struct resolver_hop *h, size_t n)
{
	h->hosts = xcalloc(n, sizeof(*h->hosts));
}

static void
host_add(struct resolver_hop *h, struct view name, unsigned preference)
{
	struct host *host = &h->hosts[h->nhosts++];

	host->hop = h;
	host->name = view_dup(name);
	host->preference = preference;
}

static void
shuffle_equal(struct resolver_hop *h)
{
	struct host tmp;
	size_t i, k, end;

	for (i = 0; i < h->nhosts; i = end) {
		for (end = i + 1; end < h->nhosts &&
		     h->hosts[end].preference == h->hosts[i].preference;
		     end++)
			;
		for (k = end - 1; k > i; k--) {
			size_t o =
			    i + arc4random_uniform((uint32_t)(k - i + 1));

			tmp = h->hosts[k];
			h->hosts[k] = h->hosts[o];
			h->hosts[o] = tmp;
		}
	}
}

static void
mx_hosts(struct resolver_hop *h, const struct dns_answer *a)
{
	size_t n = a->count < SMTP_HOSTS_MAX ? a->count : SMTP_HOSTS_MAX, i;

	hosts_alloc(h, n);
	for (i = 0; i < n; i++) {
		/* "." beside others means nothing (RFC 7505 3). */
		if (strcmp(a->mx[i].host, ".") != 0)
			host_add(
			    h, view_str(a->mx[i].host), a->mx[i].preference);
	}
	if (h->r->shuffle)
		shuffle_equal(h);
	for (i = 0; i < h->nhosts; i++)
		ask_host(&h->hosts[i]);
}

static void
on_mx(const struct dns_answer *a, void *arg)
{
	struct resolver_hop *h = arg;

	h->mx = NULL;
	h->has_mx = a->error == 0 && a->count > 0;
	h->mx_secure = h->has_mx && a->security == DNS_SECURE;
	if (h->mx_secure && a->canonical.len > 0)
		h->mx_canonical = view_dup(a->canonical);
	if (a->error == 0 && a->count == 1 && strcmp(a->mx[0].host, ".") == 0) {
		smtp_hop_fail(h, JOB_BOUNCED, ENHANCED(5, 1, 10),
		    "Domain %s does not accept mail (nullMX)", h->name);
	} else if (a->error == 0 && a->count > 0) {
		mx_hosts(h, a);
	} else if (a->error == 0 || a->error == PK_ENOENT) {
		/*
		 * RFC 5321 5.1: the domain itself is its MX. Asked even if
		 * there is no such name: some servers say so of a name that
		 * has an address, and a bounce should be sure.
		 */
		hosts_alloc(h, 1);
		host_add(h, view_str(h->name), 0);
		ask_host(&h->hosts[0]);
	} else {
		smtp_hop_fail(h, JOB_DEFERRED, ENHANCED(4, 4, 3),
		    "Host or domain "
		    "name not found. Name service error for name=%s type=MX: "
		    "Host not found, try again",
		    h->name);
	}
	smtp_resolver_answered(h->r);
}

static void
ask_hop(struct resolver_hop *h)
{
	struct smtp_resolver *r = h->r;

	if (h->hop.is_unix)
		return;
	if (!h->hop.mx) {
		hosts_alloc(h, 1);
		host_add(h, view_str(h->name), 0);
		ask_host(&h->hosts[0]);
		return;
	}
	if (r->s->dns != NULL)
		h->mx = dns_lookup(
		    r->s->dns, view_str(h->name), DNS_TYPE_MX, 0, on_mx, h);
	if (h->mx != NULL)
		r->pending++;
	else if (r->s->dns == NULL)
		smtp_hop_fail(
		    h, JOB_DEFERRED, ENHANCED(4, 3, 0), "no name service");
	else
		smtp_hop_fail(h, JOB_BOUNCED, ENHANCED(5, 1, 2),
		    "%s is no valid domain name", h->name);
}

static void
add_hops(struct smtp_resolver *r, struct view list, uint16_t port)
{
	struct resolver_hop *h;
	struct nexthop hop;
	int rc;

	while (r->nhops < NEXTHOPS_MAX &&
	    (rc = nexthop_next(&list, r->s->lmtp, port, &hop)) != PK_EEND) {
		h = &r->hops[r->nhops++];
		h->r = r;
		if (rc != 0) {
			h->name = xstrdup("");
			smtp_hop_fail(h, JOB_BOUNCED, ENHANCED(5, 1, 2),
			    "bad next hop destination syntax: %s", r->nexthop);
			continue;
		}
		h->hop = hop;
		h->name = view_dup(hop.host);
	}
}

struct smtp_resolver *
smtp_resolve(struct smtp *s, const struct conf *conf, const char *nexthop,
    enum tls_need need, smtp_route_fn fn, void *arg)
{
	struct smtp_resolver *r = XNEW(struct smtp_resolver);
	uint16_t port = s->lmtp ? 24 : (uint16_t)conf->smtp_tcp_port;
	size_t len = strlen(nexthop);
	unsigned i;

	r->s = s;
	r->conf = conf;
	r->need = need;
	r->fn = fn;
	r->arg = arg;
	r->nexthop = xstrdup(nexthop);
	r->myhostname = xstrdup(conf->myhostname);
	r->ipv4 = strcmp(conf->inet_protocols, "ipv6") != 0;
	r->ipv6 = strcmp(conf->inet_protocols, "ipv4") != 0;
	r->ipv4_first = strcmp(conf->smtp_address_preference, "ipv4") == 0;
	r->shuffle = conf->smtp_randomize_addresses;
	r->text = xasprintf(
	    "%s\n%s", nexthop, s->lmtp ? "" : conf->smtp_fallback_relay);
	add_hops(r, view_of(r->text, len), port);
	add_hops(r, view_str(r->text + len + 1), port);
	r->pending = 1;
	for (i = 0; i < r->nhops; i++)
		if (r->hops[i].failure.text == NULL) {
			smtp_policy_ask(&r->hops[i]);
			ask_hop(&r->hops[i]);
		}
	if (--r->pending > 0)
		return r;
	r->dane_done = true;
	r->pending = 1;
	smtp_policy_ask_dane(r);
	if (--r->pending > 0)
		return r;
	resolved(r);
	return NULL;
}
