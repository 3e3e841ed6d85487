/* SPDX-License-Identifier: ISC */
/*
 * smtp_policy.c: which TLS policy applies to a next hop and its hosts.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. Tables are lookupd's, records
 * are dnsd's; both are asked while the route is made and their answers live
 * as long as the route. Neither is believed more than need be: a table that
 * does not answer, or says what is no policy, defers the mail; TLSA records
 * that cannot be had take their host out of the route (RFC 7672 2.1.2).
 */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/smtp_route_impl.h"

/* lookupd answers from memory, or from a database within its own limit. */
#define TABLE_TIMEOUT_MS	30000
#define ROW_MAX			8192

static void	ask_table(struct resolver_hop *);

/* ---- smtp_tls_policy_maps ---- */

static void
policy_failed(struct resolver_hop *h, const char *why)
{
	h->policy_failed = true;
	log_warn("smtp_tls_policy_maps: %s: %s", h->policy_hop, why);
	smtp_hop_fail(h, JOB_DEFERRED, ENHANCED(4, 7, 5),
	    "client TLS configuration problem: policy of %s: %s", h->policy_hop,
	    why);
}

static void
take_row(struct resolver_hop *h, struct view row)
{
	struct buf why;

	buf_init(&why, 2 * ROW_MAX);
	if (tls_policy_parse(&h->policy, row, &why) != 0)
		policy_failed(h, buf_cstr(&why));
	buf_fini(&why);
}

static int
on_row(struct ipc_msg *m, int error, void *arg)
{
	struct resolver_hop *h = arg;
	struct smtp_resolver *r = h->r;
	struct view row = VIEW_NONE, key = VIEW_NONE;
	uint64_t code = 0;
	struct ipc_in in;

	h->policy_call = 0;
	if (m == NULL) {
		if (error == PK_ECANCEL)
			return 0;
		policy_failed(h, "the table does not answer");
		smtp_resolver_answered(r);
		return 0;
	}
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 0, UINT64_MAX, &code);
	ipc_get_text(&in, IPC_F_ANSWER, ROW_MAX, &row);
	ipc_get_text(&in, IPC_F_QUERY, ROW_MAX, &key);
	if (m->type != IPC_TABLE_ANSWER || ipc_in_end(&in) != 0) {
		policy_failed(h, "the table's answer makes no sense");
		smtp_resolver_answered(r);
		return PK_EPROTO;
	}
	if (code == 0)
		take_row(h, row);
	else if (code == (uint64_t)-PK_ENOENT)
		ask_table(h);
	else
		policy_failed(h, "the table does not answer");
	smtp_resolver_answered(r);
	return 0;
}

/* The table at h->policy_tables, or the first one with the next key. */
static void
ask_table(struct resolver_hop *h)
{
	struct smtp *s = h->r->s;
	struct view table, key;
	struct ipc_out o;

	while (!conf_list_next(&h->policy_tables, &table)) {
		if (++h->policy_key == TLS_POLICY_KEYS_MAX ||
		    !tls_policy_key(
			view_str(h->policy_hop), h->policy_key, &key))
			return;
		h->policy_tables = view_str(h->r->conf->smtp_tls_policy_maps);
	}
	if (!tls_policy_key(view_str(h->policy_hop), h->policy_key, &key))
		return;
	if (s->lookup == NULL) {
		policy_failed(h, "there is nobody to ask");
		return;
	}
	ipc_out_init(&o, IPC_ACCESS);
	ipc_put_bytes(&o, IPC_F_TABLE, table);
	ipc_put_bytes(&o, IPC_F_QUERY, key);
	ipc_put_u64(&o, IPC_F_KIND, ACCESS_EXACT);
	h->r->pending++;
	h->policy_call =
	    ipc_pool_call(s->lookup, &o, TABLE_TIMEOUT_MS, on_row, h);
}

void
smtp_policy_ask(struct resolver_hop *h)
{
	const struct conf *conf = h->r->conf;

	tls_policy_init(&h->policy, conf);
	h->policy_tables = view_str(conf->smtp_tls_policy_maps);
	if (view_trim(h->policy_tables).len == 0)
		return;
	h->policy_hop = view_dup_lower(h->hop.text);
	ask_table(h);
}

/* ---- TLSA ---- */

static void
plan_input(const struct resolver_hop *h, const char *host,
    const struct host *dns, struct tls_plan_input *in_r)
{
	memset(in_r, 0, sizeof(*in_r));
	in_r->conf = h->r->conf;
	in_r->policy = &h->policy;
	in_r->nexthop = h->name;
	in_r->nexthop_canonical = h->mx_canonical;
	in_r->host = host;
	in_r->port = h->hop.port;
	in_r->mx = h->has_mx;
	in_r->mx_secure = h->mx_secure;
	in_r->is_unix = h->hop.is_unix;
	in_r->need = h->r->need;
	in_r->dane = dns != NULL && dns->dane_asked ? &dns->dane : NULL;
}

struct tls_plan *
smtp_policy_plan(const struct resolver_hop *h, const char *host,
    const struct host *dns)
{
	struct tls_plan_input in;

	plan_input(h, host, dns, &in);
	return tls_plan_new(&in);
}

static void	ask_records(struct host *);

static void
on_records(const struct dns_answer *a, void *arg)
{
	struct host *host = arg;

	host->dane_call = NULL;
	tls_dane_answer(&host->dane, a->error, a->security == DNS_SECURE,
	    a->rdata, a->count);
	ask_records(host);
	smtp_resolver_answered(host->hop->r);
}

/* The next question about a host, if there is one. */
static void
ask_records(struct host *host)
{
	struct smtp_resolver *r = host->hop->r;
	struct tls_dane *d = &host->dane;

	if (d->state != TLS_DANE_ASKING)
		return;
	host->dane_call = r->s->dns == NULL ?
	    NULL :
	    dns_lookup(
		r->s->dns, view_str(d->name), d->type, 0, on_records, host);
	if (host->dane_call != NULL)
		r->pending++;
	else
		tls_dane_answer(d, PK_ETEMP, false, NULL, 0);
}

static bool
host_secure(const struct host *host)
{
	unsigned f;

	for (f = 0; f < 2; f++)
		if (host->naddrs[f] > 0 && !host->secure[f])
			return false;
	return host->naddrs[0] > 0 || host->naddrs[1] > 0;
}

void
smtp_policy_ask_dane(struct smtp_resolver *r)
{
	struct tls_plan_input in;
	struct resolver_hop *h;
	struct host *host;
	unsigned i;
	size_t k;

	for (i = 0; i < r->nhops; i++) {
		h = &r->hops[i];
		for (k = 0; k < h->nhosts && h->failure.text == NULL; k++) {
			host = &h->hosts[k];
			plan_input(h, host->name, host, &in);
			if (!tls_plan_wants_dane(&in) ||
			    (host->naddrs[0] == 0 && host->naddrs[1] == 0))
				continue;
			host->dane_asked = true;
			tls_dane_init(&host->dane, host->name, host->canonical,
			    host_secure(host), h->hop.port);
			ask_records(host);
		}
	}
}

void
smtp_policy_hop_fini(struct resolver_hop *h)
{
	if (h->policy_call != 0)
		ipc_call_cancel(h->policy_call);
	tls_policy_fini(&h->policy);
	xfree(h->policy_hop);
	xfree(h->mx_canonical);
}

void
smtp_policy_host_fini(struct host *host)
{
	dns_lookup_cancel(&host->dane_call);
	if (host->dane_asked)
		tls_dane_fini(&host->dane);
	xfree(host->canonical);
}
