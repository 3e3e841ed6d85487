/* SPDX-License-Identifier: ISC */
/*
 * cmd_tls_probe.c: adminctl tls probe: what the servers of a next hop offer,
 * what policy makes of it, and how mail would go.
 *
 * Runs in adminctl with the caller's rights; nothing is sent but EHLO,
 * STARTTLS and QUIT. DNS and tables are asked of the suite, the plan and the
 * handshake are those of `deliver`, so that the verdict is the one that mail
 * would meet. What servers say is shown with control bytes replaced.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

#include "adminctl/probe.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/nexthop.h"

#define HOSTS_MAX	20	/* as `deliver` looks up */
#define ADDRESSES_MAX	4	/* of a host: more tell nothing new */

struct probe {
	const struct context *x;
	const struct conf *conf;
	struct tls_client *tls;
	struct tls_policy policy;
	struct tls_plan_input in;	/* what is the same for all hosts */
	bool		 lmtp;
	int		 status;
	json_t		*doc, *hosts;
	const char	*verdict;	/* of the first host that would get it */
	char		*reason;
};

enum verdict {
	VERDICT_VERIFIED,
	VERDICT_ENCRYPTED,
	VERDICT_CLEAR,
	VERDICT_DEFERRED,
};

static const char *const verdict_words[] = {
	[VERDICT_VERIFIED] = "verified", [VERDICT_ENCRYPTED] = "encrypted",
	[VERDICT_CLEAR] = "in clear", [VERDICT_DEFERRED] = "deferred",
};

/* ---- the verdict ---- */

/* What `deliver` does with a host that behaves like this; *why_r is the caller's. */
static enum verdict
judge(const struct tls_plan *plan, const struct probe_result *r, char **why_r)
{
	bool must = tls_plan_must(plan);

	*why_r = NULL;
	if (!r->connected) {
		*why_r = xstrdup(r->error != NULL ? r->error : "no connection");
		return VERDICT_DEFERRED;
	}
	if (plan->level == TLS_POLICY_NONE) {
		*why_r = xstrdup("level none");
		return VERDICT_CLEAR;
	}
	if (!r->tried && !r->ready) {
		*why_r = xstrdup(r->error != NULL ? r->error : "the session failed");
		return VERDICT_DEFERRED;
	}
	if (!r->offered) {
		*why_r = xstrdup(must ? "TLS is required, but was not offered" :
		    "STARTTLS is not offered");
		return must ? VERDICT_DEFERRED : VERDICT_CLEAR;
	}
	if (!r->handshake) {
		*why_r = xasprintf("%s%s%s", must ? "Cannot start TLS" :
		    "TLS fails: level may waits for minimal_backoff_time,"
		    " and does without", r->error != NULL ? ": " : "",
		    r->error != NULL ? r->error : "");
		return must ? VERDICT_DEFERRED : VERDICT_CLEAR;
	}
	if (tls_plan_must_match(plan) && r->trust != TLS_TRUST_VERIFIED) {
		*why_r = xasprintf("Server certificate not verified: %s",
		    json_string_value(json_object_get(r->json, "certificate_error")) != NULL ?
		    json_string_value(json_object_get(r->json, "certificate_error")) : "");
		return VERDICT_DEFERRED;
	}
	if (plan->hearsay)
		*why_r = xstrdup("the MX record that names the host is not signed");
	return r->trust == TLS_TRUST_VERIFIED && !plan->hearsay ? VERDICT_VERIFIED :
	    VERDICT_ENCRYPTED;
}

static void
set_verdict(struct probe *p, json_t *host, enum verdict v, const char *why)
{
	json_object_set_new(host, "verdict", json_string(verdict_words[v]));
	if (why != NULL)
		json_object_set_new(host, "reason", json_string(why));
	/* The first host that takes it; until then the last one's trouble. */
	if (p->verdict != NULL && strcmp(p->verdict, "deferred") != 0)
		return;
	p->verdict = verdict_words[v];
	xfree(p->reason);
	p->reason = why != NULL ? xstrdup(why) : NULL;
}

/* ---- a host ---- */

static void
plan_facts(const struct tls_plan *plan, json_t *host)
{
	json_t *names = json_array();
	size_t i;

	for (i = 0; i < plan->nnames; i++)
		json_array_append_new(names, json_string(plan->names[i]));
	json_object_set_new(host, "level", json_string(tls_policy_level_name(plan->level)));
	json_object_set_new(host, "names_accepted", names);
	if (plan->sni != NULL)
		json_object_set_new(host, "sni", json_string(plan->sni));
}

static void
speak(struct probe *p, json_t *host, const char *name, const json_t *addresses,
    const struct tls_plan *plan)
{
	struct probe_result r;
	const char *address = "";
	enum verdict v;
	size_t i;
	char *why;

	memset(&r, 0, sizeof(r));
	for (i = 0; i < json_array_size(addresses) && i < ADDRESSES_MAX; i++) {
		probe_result_fini(&r);
		address = json_string_value(json_array_get(addresses, i));
		probe_session(p->conf, p->tls, name, address, p->in.port, plan, &r);
		if (r.connected)
			break;
	}
	json_object_set_new(host, "address", json_string(address));
	json_object_set_new(host, "connected", json_boolean(r.connected));
	json_object_set_new(host, "starttls", json_boolean(r.offered));
	json_object_set_new(host, "requiretls", json_boolean(r.requiretls));
	if (r.error != NULL)
		json_object_set_new(host, "error", json_string(r.error));
	if (r.json != NULL)
		json_object_update(host, r.json);
	v = judge(plan, &r, &why);
	set_verdict(p, host, v, why);
	xfree(why);
	probe_result_fini(&r);
}

struct addresses {
	json_t		*list;
	char		*canonical;
	bool		 secure, temp;
};

static bool
look_up(struct probe *p, const char *name, const char *type, struct addresses *all)
{
	struct probe_answer a;

	if (!probe_lookup(p->x, name, type, &a, &p->status))
		return false;
	if (a.error == 0) {
		if (json_array_size(all->list) == 0)
			all->secure = true;
		all->secure = all->secure && a.secure;
		json_array_extend(all->list, (json_t *)(uintptr_t)a.records);
		if (all->canonical == NULL)
			all->canonical = xstrdup(a.canonical);
	} else if (a.error != PK_ENOENT) {
		all->temp = true;
	}
	probe_answer_fini(&a);
	return true;
}

static bool
resolve(struct probe *p, const char *name, struct addresses *all)
{
	struct domain_literal lit;
	bool ipv4 = strcmp(p->conf->inet_protocols, "ipv6") != 0;
	bool ipv6 = strcmp(p->conf->inet_protocols, "ipv4") != 0;

	all->list = json_array();
	if (domain_parse_ip(view_str(name), &lit) == 0) {
		json_array_append_new(all->list, json_string(name));
		return true;
	}
	return (!ipv4 || look_up(p, name, "A", all)) && (!ipv6 || look_up(p, name, "AAAA", all));
}

static bool
probe_known_host(struct probe *p, json_t *host, const char *name, const struct addresses *all)
{
	struct tls_plan_input in = p->in;
	struct tls_dane dane;
	struct tls_plan *plan;
	bool wants = tls_plan_wants_dane(&in), ok = true;

	in.host = name;
	if (wants) {
		tls_dane_init(&dane, name, all->canonical, all->secure, in.port);
		ok = probe_dane(p->x, &dane, host, &p->status);
		in.dane = &dane;
	}
	if (ok) {
		plan = tls_plan_new(&in);
		plan_facts(plan, host);
		if (plan->refused != NULL)
			set_verdict(p, host, VERDICT_DEFERRED, plan->refused);
		else
			speak(p, host, name, all->list, plan);
		tls_plan_unref(&plan);
	}
	if (wants)
		tls_dane_fini(&dane);
	return ok;
}

static bool
probe_host(struct probe *p, const char *name, json_int_t preference)
{
	struct addresses all = { .list = NULL };
	json_t *host = json_object();
	bool ok;

	json_array_append_new(p->hosts, host);
	json_object_set_new(host, "host", json_string(name));
	if (preference >= 0)
		json_object_set_new(host, "preference", json_integer(preference));
	ok = resolve(p, name, &all);
	if (ok) {
		json_object_set(host, "addresses", all.list);
		json_object_set_new(host, "signed", json_boolean(all.secure));
		if (all.canonical != NULL)
			json_object_set_new(host, "canonical", json_string(all.canonical));
		if (json_array_size(all.list) > 0)
			ok = probe_known_host(p, host, name, &all);
		else
			set_verdict(p, host, VERDICT_DEFERRED, all.temp ?
			    "no answer to the look-up of its addresses" : "it has no address");
	}
	json_decref(all.list);
	xfree(all.canonical);
	return ok;
}

/* ---- MX ---- */

struct mx_host {
	uint64_t	preference;
	char		*name;
};

static int
by_preference(const void *a, const void *b)
{
	const struct mx_host *x = a, *y = b;

	return x->preference < y->preference ? -1 : x->preference > y->preference;
}

/* "10 mx.example.test" */
static size_t
read_mx(const json_t *records, struct mx_host *mx)
{
	struct view v, number, name;
	size_t n = 0, i;

	for (i = 0; i < json_array_size(records) && n < HOSTS_MAX; i++) {
		v = view_str(json_string_value(json_array_get(records, i)));
		name = number = VIEW_NONE;
		if (!view_next(&v, " ", &number) || !view_next(&v, " ", &name) ||
		    num_parse_u64(number, 0, 65535, &mx[n].preference) != 0)
			continue;
		if (name.len > 1 && name.p[name.len - 1] == '.')
			name.len--;
		mx[n++].name = view_dup(name);
	}
	qsort(mx, n, sizeof(*mx), by_preference);
	return n;
}

static bool
probe_mx(struct probe *p, const struct probe_answer *a)
{
	struct mx_host mx[HOSTS_MAX];
	size_t n = read_mx(a->records, mx), i;
	bool ok = true;

	p->in.mx = true;
	p->in.mx_secure = a->secure;
	p->in.nexthop_canonical = a->secure ? a->canonical : NULL;
	if (n == 1 && strcmp(mx[0].name, ".") == 0) {
		p->verdict = "bounced";
		p->reason = xstrdup("the domain does not accept mail (nullMX)");
	} else {
		for (i = 0; i < n && ok; i++)
			if (strcmp(mx[i].name, ".") != 0)
				ok = probe_host(p, mx[i].name, (json_int_t)mx[i].preference);
	}
	for (i = 0; i < n; i++)
		xfree(mx[i].name);
	return ok;
}

static bool
probe_domain(struct probe *p, const char *name)
{
	struct probe_answer a;
	bool ok;

	if (!probe_lookup(p->x, name, "MX", &a, &p->status))
		return false;
	json_object_set_new(p->doc, "mx_security", json_string(a.security));
	json_object_set_new(p->doc, "mx_rcode", json_string(a.rcode));
	if (a.error == 0) {
		ok = probe_mx(p, &a);
		p->in.nexthop_canonical = NULL;
	} else if (a.error == PK_ENOENT) {
		ok = probe_host(p, name, -1);
	} else {
		p->verdict = "deferred";
		p->reason = xstrdup("no answer to the look-up of MX records");
		ok = true;
	}
	probe_answer_fini(&a);
	return ok;
}

/* ---- what is printed ---- */

static void
print_text(const char *label, const json_t *v)
{
	struct buf b;

	if (v == NULL)
		return;
	buf_init(&b, 32768);
	render_value(&b, v, json_is_array(v) ? COL_LIST : COL_TEXT);
	if (b.len > 0)
		printf("  %-14s %s\n", label, buf_cstr(&b));
	buf_fini(&b);
}

static void
print_certificate(const json_t *c)
{
	json_int_t after = json_integer_value(json_object_get(c, "not_after_ms"));
	json_int_t before = json_integer_value(json_object_get(c, "not_before_ms"));
	struct buf b;

	print_text("certificate", json_object_get(c, "subject"));
	print_text("  names", json_object_get(c, "names"));
	print_text("  issuer", json_object_get(c, "issuer"));
	buf_init(&b, 200);
	if (before > 0)
		clock_put_rfc3339(&b, (uint64_t)before);
	buf_put_str(&b, " to ");
	if (after > 0)
		clock_put_rfc3339(&b, (uint64_t)after);
	if (after > 0 && (uint64_t)after < clock_wall_ms())
		buf_put_str(&b, " (expired)");
	printf("  %-14s %s\n", "  valid", buf_cstr(&b));
	buf_fini(&b);
	print_text("  sha256", json_object_get(c, "sha256"));
	print_text("  key sha256", json_object_get(c, "public_key_sha256"));
}

static void
print_host(const json_t *h)
{
	const json_t *preference = json_object_get(h, "preference"), *row;
	struct buf b;
	size_t i;

	buf_init(&b, 4096);
	render_value(&b, json_object_get(h, "host"), COL_TEXT);
	if (preference != NULL)
		buf_printf(&b, " (MX %lld)", (long long)json_integer_value(preference));
	printf("%s: %s\n", buf_cstr(&b), json_is_true(json_object_get(h, "signed")) ?
	    "addresses are signed" : "addresses are not signed");
	buf_fini(&b);
	print_text("addresses", json_object_get(h, "addresses"));
	print_text("TLSA", json_object_get(h, "tlsa_state"));
	print_text("TLSA base", json_object_get(h, "tlsa_base"));
	json_array_foreach(json_object_get(h, "tlsa"), i, row)
		print_text(json_is_true(json_object_get(row, "usable")) ? "  record" :
		    "  unusable", json_object_get(row, "record"));
	print_text("level", json_object_get(h, "level"));
	print_text("names", json_object_get(h, "names_accepted"));
	print_text("SNI", json_object_get(h, "sni"));
	print_text("asked", json_object_get(h, "address"));
	if (json_is_true(json_object_get(h, "connected")))
		printf("  %-14s %s\n", "STARTTLS", json_is_true(json_object_get(h,
		    "starttls")) ? "offered" : "not offered");
	print_text("error", json_object_get(h, "error"));
	print_text("TLS", json_object_get(h, "tls"));
	print_text("trust", json_object_get(h, "trust"));
	print_text("because", json_object_get(h, "certificate_error"));
	json_array_foreach(json_object_get(h, "certificates"), i, row)
		print_certificate(row);
	if (json_object_get(h, "tls") != NULL)
		printf("  %-14s %s\n", "REQUIRETLS", json_is_true(json_object_get(h,
		    "requiretls")) ? "offered" : "not offered");
	print_text("verdict", json_object_get(h, "verdict"));
	print_text("  reason", json_object_get(h, "reason"));
}

static void
print_all(const struct probe *p)
{
	const json_t *host;
	struct buf b;
	size_t i;

	buf_init(&b, 32768);
	buf_put_str(&b, "policy: ");
	render_value(&b, json_object_get(p->doc, "policy_source"), COL_TEXT);
	if (json_object_get(p->doc, "mx_security") != NULL) {
		buf_put_str(&b, "\nMX: ");
		render_value(&b, json_object_get(p->doc, "mx_rcode"), COL_TEXT);
		buf_put_str(&b, ", ");
		render_value(&b, json_object_get(p->doc, "mx_security"), COL_TEXT);
	}
	printf("%s\n", buf_cstr(&b));
	json_array_foreach(p->hosts, i, host)
		print_host(host);
	buf_reset(&b);
	render_value(&b, json_object_get(p->doc, "reason"), COL_TEXT);
	printf("mail would be %s%s%s%s\n", strcmp(p->verdict, "deferred") == 0 ||
	    strcmp(p->verdict, "bounced") == 0 ? "" : "sent: ", p->verdict,
	    p->reason != NULL ? " because: " : "", p->reason != NULL ? buf_cstr(&b) : "");
	buf_fini(&b);
}

/* ---- the command ---- */

/* EXIT_OK: goes on. */
static int
begin(struct probe *p, const char *target, struct nexthop *hop_r)
{
	struct view list = view_str(target);
	struct buf why;

	if (nexthop_next(&list, p->lmtp, p->lmtp ? 24 : (uint16_t)p->conf->smtp_tcp_port,
	    hop_r) != 0 || hop_r->is_unix || view_trim(list).len > 0) {
		fprintf(stderr, "adminctl: \"%s\" is no domain, host, [host] or host:port\n",
		    target);
		return EXIT_USAGE;
	}
	buf_init(&why, 4096);
	p->tls = tls_client_new(NULL, p->conf, &why);
	if (p->tls == NULL)
		fprintf(stderr, "adminctl: TLS: %s\n", buf_cstr(&why));
	buf_fini(&why);
	return p->tls != NULL ? EXIT_OK : EXIT_FAILED;
}

static int
finish(struct probe *p)
{
	if (p->verdict == NULL)
		p->verdict = "deferred";
	json_object_set_new(p->doc, "verdict", json_string(p->verdict));
	if (p->reason != NULL)
		json_object_set_new(p->doc, "reason", json_string(p->reason));
	if (p->x->json) {
		json_dumpf(p->doc, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_all(p);
	}
	return strcmp(p->verdict, "deferred") == 0 || strcmp(p->verdict, "bounced") == 0 ?
	    EXIT_FAILED : EXIT_OK;
}

static bool
go(struct probe *p, const char *target, const struct nexthop *hop)
{
	char *name = view_dup(hop->host), *source = NULL;
	bool ok;

	p->in.conf = p->conf;
	p->in.policy = &p->policy;
	p->in.nexthop = name;
	p->in.port = hop->port;
	p->in.need = TLS_NEED_POLICY;
	ok = probe_policy(p->x, p->conf, target, &p->policy, &source);
	json_object_set_new(p->doc, "policy_source", json_string(source));
	if (!ok) {
		p->verdict = "deferred";
		p->reason = xstrdup(source);
		ok = true;
	} else {
		json_object_set_new(p->doc, "policy",
		    json_string(tls_policy_level_name(p->policy.level)));
		ok = hop->mx ? probe_domain(p, name) : probe_host(p, name, -1);
	}
	xfree(source);
	xfree(name);
	return ok;
}

int
run_tls_probe(const struct context *x, const json_t *args)
{
	const char *target = json_string_value(json_object_get(args, "target"));
	const char *transport = json_string_value(json_object_get(args, "transport"));
	struct probe p = { .x = x, .status = EXIT_FAILED };
	struct nexthop hop;
	struct view type;
	int status;

	if (transport == NULL)
		transport = "smtp";
	type = conf_transport_type(x->conf, view_str(transport));
	if (!view_eq(type, VIEW("smtp")) && !view_eq(type, VIEW("lmtp"))) {
		fprintf(stderr, "adminctl: \"%s\" is no transport of type smtp or lmtp\n",
		    transport);
		return EXIT_USAGE;
	}
	p.conf = conf_scope(x->conf, transport);
	p.lmtp = view_eq(type, VIEW("lmtp"));
	status = begin(&p, target, &hop);
	if (status != EXIT_OK)
		return status;
	p.hosts = json_array();
	p.doc = json_pack("{s:i, s:s, s:s, s:i}", "version", 1, "target", target,
	    "transport", transport, "port", (int)hop.port);
	json_object_set(p.doc, "hosts", p.hosts);
	status = go(&p, target, &hop) ? finish(&p) : p.status;
	json_decref(p.hosts);
	json_decref(p.doc);
	tls_policy_fini(&p.policy);
	tls_client_unref(&p.tls);
	xfree(p.reason);
	return status;
}
