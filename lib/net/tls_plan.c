/* SPDX-License-Identifier: ISC */
/*
 * tls_plan.c: what the handshake with one host must show.
 *
 * Runs in `deliver smtp`, `deliver lmtp` and adminctl. DNS answers come from
 * strangers by way of dnsd, which says whether they are signed; a missing or
 * unbelievable answer about TLSA records never leads to less than a signed
 * denial would (RFC 7672 2.1: such a host is passed over). The words of
 * refusals are Postfix's.
 */
#include "net/tls_plan.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/domain.h"
#include "net/tls_internal.h"

/* A key holds all records in hexadecimal; one answer is at most a packet. */
#define KEY_MAX		(4 * 65536)

/* ---- TLSA records ---- */

static void
dane_ask(struct tls_dane *d)
{
	xfree(d->name);
	d->type = DNS_TYPE_TLSA;
	d->name = xasprintf("_%u._tcp.%s", d->port, d->bases[d->at]);
	/* Too long with its labels in front: there can be no such record. */
	if (!dns_name_valid(view_str(d->name)))
		d->state = TLS_DANE_ABSENT;
}

void
tls_dane_init(struct tls_dane *d, const char *host, const char *canonical,
    bool secure, uint16_t port)
{
	bool alias = canonical != NULL &&
	    !view_caseeq(view_str(canonical), view_str(host));
	struct domain_literal lit;

	memset(d, 0, sizeof(*d));
	d->port = port;
	if (domain_parse_ip(view_str(host), &lit) == 0 || (!secure && !alias)) {
		d->state = TLS_DANE_ABSENT;
		return;
	}
	d->state = TLS_DANE_ASKING;
	d->signed_host = secure;
	if (secure && alias)
		d->bases[d->nbases++] = xstrdup(canonical);
	d->bases[d->nbases++] = xstrdup(host);
	if (secure) {
		dane_ask(d);
		return;
	}
	/* A signed alias may lead to an unsigned zone (RFC 7672 2.2.2). */
	d->type = DNS_TYPE_CNAME;
	d->name = xstrdup(host);
}

static void
records_free(struct tls_tlsa *t, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		xfree((void *)(uintptr_t)t[i].data.p);
	xfree(t);
}

void
tls_dane_fini(struct tls_dane *d)
{
	unsigned i;

	for (i = 0; i < d->nbases; i++)
		xfree(d->bases[i]);
	xfree(d->name);
	xfree(d->base);
	records_free(d->records, d->nrecords);
	memset(d, 0, sizeof(*d));
}

/* A certificate or public key in full, and nothing behind it. */
static bool
parses(unsigned selector, struct view der)
{
	const unsigned char *p = (const unsigned char *)der.p, *end = p + der.len;
	X509 *x = selector == 0 ? X509_new_ex(tls_library()->ctx, NULL) : NULL;
	EVP_PKEY *key = NULL;
	bool ok;

	if (selector == 0)
		ok = x != NULL && d2i_X509(&x, &p, (long)der.len) != NULL &&
		    X509_get0_pubkey(x) != NULL;
	else
		ok = d2i_PUBKEY_ex(&key, &p, (long)der.len, tls_library()->ctx,
		    NULL) != NULL;
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok && p == end;
}

bool
tls_tlsa_usable(const struct tls_tlsa *t)
{
	/* PKIX-TA and PKIX-EE ask for CAs that mail has none of (3.1.3). */
	if (t->usage != 2 && t->usage != 3)
		return false;
	if (t->selector > 1)
		return false;
	switch (t->matching) {
	case 0:
		return parses(t->selector, t->data);
	case 1:
		return t->data.len == 32;
	case 2:
		return t->data.len == 64;
	default:
		return false;
	}
}

static void
dane_take(struct tls_dane *d, const struct view *rdata, size_t n)
{
	struct tls_tlsa *t;
	size_t i;

	d->records = xcalloc(n, sizeof(*d->records));
	for (i = 0; i < n; i++) {
		if (rdata[i].len < 3)
			continue;
		t = &d->records[d->nrecords++];
		t->usage = (uint8_t)rdata[i].p[0];
		t->selector = (uint8_t)rdata[i].p[1];
		t->matching = (uint8_t)rdata[i].p[2];
		t->data = view_from(rdata[i], 3);
		t->data.p = xmemdup(t->data.p, t->data.len);
		if (tls_tlsa_usable(t))
			d->nusable++;
	}
	d->base = xstrdup(d->bases[d->at]);
	d->state = TLS_DANE_PRESENT;
}

void
tls_dane_answer(struct tls_dane *d, int error, bool secure,
    const struct view *rdata, size_t n)
{
	if (error != 0 && error != PK_ENOENT) {
		d->state = TLS_DANE_FAILED;
		return;
	}
	if (d->type == DNS_TYPE_CNAME) {
		d->signed_host = error == 0 && secure;
		if (d->signed_host)
			dane_ask(d);
		else
			d->state = TLS_DANE_ABSENT;
		return;
	}
	if (error == 0 && secure && n > 0) {
		dane_take(d, rdata, n);
		return;
	}
	if (++d->at < d->nbases)
		dane_ask(d);
	else
		d->state = TLS_DANE_ABSENT;
}

/* ---- plans ---- */

struct tls_plan *
tls_plan_ref(struct tls_plan *p)
{
	p->refs++;
	return p;
}

static void
strings_free(char **s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		xfree(s[i]);
	xfree(s);
}

void
tls_plan_unref(struct tls_plan **pp)
{
	struct tls_plan *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	strings_free(p->names, p->nnames);
	strings_free(p->fingerprints, p->nfingerprints);
	records_free(p->tlsa, p->ntlsa);
	xfree(p->refused);
	xfree(p->sni);
	xfree(p->protocols);
	xfree(p->ciphers);
	xfree(p->exclude);
	xfree(p->key);
	xfree(p);
}

bool
tls_plan_must(const struct tls_plan *p)
{
	return p->level >= TLS_POLICY_ENCRYPT;
}

bool
tls_plan_must_match(const struct tls_plan *p)
{
	return p->level > TLS_POLICY_ENCRYPT;
}

static void __attribute__((format(printf, 2, 3)))
refuse(struct tls_plan *p, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	buf_init(&b, 2048);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	xfree(p->refused);
	p->refused = view_dup(buf_view(&b));
	p->dsn = ENHANCED(4, 7, 5);
	buf_fini(&b);
}

static void
string_add(char ***list, size_t *n, char *s)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = s;
}

static void
name_add(struct tls_plan *p, const char *name)
{
	struct domain_literal lit;
	struct view v = view_str(name);
	size_t i;

	if (v.len == 0 || domain_parse_ip(v, &lit) == 0)
		return;
	for (i = 0; i < p->nnames; i++)
		if (view_caseeq(view_str(p->names[i]), v))
			return;
	string_add(&p->names, &p->nnames, xstrdup(name));
}

/* hostname, nexthop, dot-nexthop, a name, .a-domain */
static void
names_add(struct tls_plan *p, const struct tls_plan_input *in, struct view list,
    const char *seps)
{
	struct domain_literal lit;
	struct view word;
	char *s;

	while (view_next(&list, seps, &word)) {
		if (view_caseeq(word, VIEW("hostname"))) {
			name_add(p, in->host);
		} else if (view_caseeq(word, VIEW("nexthop"))) {
			name_add(p, in->nexthop);
		} else if (view_caseeq(word, VIEW("dot-nexthop"))) {
			if (domain_parse_ip(view_str(in->nexthop), &lit) == 0)
				continue;
			s = xasprintf(".%s", in->nexthop);
			name_add(p, s);
			xfree(s);
		} else {
			s = view_dup(word);
			name_add(p, s);
			xfree(s);
		}
	}
}

static void
plan_names(struct tls_plan *p, const struct tls_plan_input *in)
{
	const char *fallback = p->level == TLS_POLICY_VERIFY ?
	    in->conf->smtp_tls_verify_cert_match :
	    in->conf->smtp_tls_secure_cert_match;

	if (in->policy->match != NULL && in->policy->level == p->level)
		names_add(p, in, view_str(in->policy->match), ":");
	else
		names_add(p, in, view_str(fallback), ":, \t");
	if (p->nnames == 0)
		refuse(p,
		    "client TLS configuration problem: level %s has no "
		    "name to look for",
		    tls_policy_level_name(p->level));
}

static void
plan_fingerprints(struct tls_plan *p, const struct tls_plan_input *in)
{
	struct view list = view_str(in->policy->match != NULL ?
		in->policy->match :
		in->conf->smtp_tls_fingerprint_cert_match);
	struct view word;

	while (view_next(&list, "|, \t", &word))
		string_add(&p->fingerprints, &p->nfingerprints, view_dup(word));
	if (p->nfingerprints == 0)
		refuse(p,
		    "client TLS configuration problem: level fingerprint "
		    "has no fingerprint to look for");
}

/* Is the server's own name among those that it may have? */
static bool
takes_hostname(const struct tls_plan *p, const struct tls_plan_input *in)
{
	struct view list, word;

	if (p->level != TLS_POLICY_VERIFY && p->level != TLS_POLICY_SECURE)
		return false;
	list = view_str(in->policy->match != NULL ? in->policy->match :
	    p->level == TLS_POLICY_VERIFY ? in->conf->smtp_tls_verify_cert_match :
	    in->conf->smtp_tls_secure_cert_match);
	while (view_next(&list, ":, \t", &word))
		if (view_caseeq(word, VIEW("hostname")))
			return true;
	return false;
}

/* RFC 8689 4.2.1: names that nobody could have forged on the way. */
static void
plan_requiretls(struct tls_plan *p, const struct tls_plan_input *in)
{
	bool forgeable = in->mx && !in->mx_secure && takes_hostname(p, in);

	p->requiretls = true;
	if (p->level > TLS_POLICY_ENCRYPT && !p->hearsay && !forgeable)
		return;
	p->level = TLS_POLICY_SECURE;
	p->hearsay = false;
	strings_free(p->names, p->nnames);
	p->names = NULL;
	p->nnames = 0;
	records_free(p->tlsa, p->ntlsa);
	p->tlsa = NULL;
	p->ntlsa = 0;
	names_add(
	    p, in, view_str(in->conf->smtp_tls_secure_cert_match), ":, \t");
	if (!in->mx || in->mx_secure)
		name_add(p, in->host);
}

static void
plan_records(struct tls_plan *p, const struct tls_plan_input *in)
{
	const struct tls_dane *d = in->dane;
	size_t i;

	p->level = TLS_POLICY_DANE;
	p->hearsay = in->mx && !in->mx_secure;
	p->tlsa = xcalloc(d->nusable, sizeof(*p->tlsa));
	for (i = 0; i < d->nrecords; i++) {
		if (!tls_tlsa_usable(&d->records[i]))
			continue;
		p->tlsa[p->ntlsa] = d->records[i];
		p->tlsa[p->ntlsa].data.p =
		    xmemdup(d->records[i].data.p, d->records[i].data.len);
		p->ntlsa++;
	}
	/* RFC 7672 3.2.2: names for DANE-TA. */
	name_add(p, d->base);
	name_add(p, in->host);
	if (!p->hearsay) {
		name_add(p, in->nexthop);
		if (in->nexthop_canonical != NULL)
			name_add(p, in->nexthop_canonical);
	}
	xfree(p->sni);
	p->sni = xstrdup(d->base);
}

static bool
dane_only(const struct tls_plan_input *in)
{
	return in->policy->level == TLS_POLICY_DANE_ONLY;
}

/* Level dane or dane-only: what DNS lets it become. */
static void
plan_dane(struct tls_plan *p, const struct tls_plan_input *in)
{
	const char *insecure = in->conf->smtp_tls_dane_insecure_mx_policy;
	const struct tls_dane *d = in->dane;

	p->level = TLS_POLICY_MAY;
	if (!tls_plan_wants_dane(in) || d == NULL ||
	    d->state == TLS_DANE_ABSENT) {
		if (dane_only(in))
			refuse(p,
			    d == NULL || !d->signed_host ?
				"TLSA lookup for %s:%u: non DNSSEC "
				"destination" :
				"no TLSA records found for %s:%u",
			    in->host, in->port);
		return;
	}
	if (d->state != TLS_DANE_PRESENT) {
		refuse(p, "TLSA lookup error for %s:%u", in->host, in->port);
		return;
	}
	if (d->nusable == 0 ||
	    (in->mx && !in->mx_secure && strcmp(insecure, "encrypt") == 0)) {
		p->level = TLS_POLICY_ENCRYPT;
		if (dane_only(in))
			refuse(p, "TLSA records for %s:%u are unusable",
			    in->host, in->port);
		return;
	}
	plan_records(p, in);
}

bool
tls_plan_wants_dane(const struct tls_plan_input *in)
{
	enum tls_policy_level level = in->policy->level;

	if (in->is_unix)
		return false;
	/* The recipient's wish counts less than the sender's (RFC 8689 4.2.2). */
	if (level == TLS_POLICY_DANE && in->need == TLS_NEED_OPTIONAL)
		return false;
	/* Its own way to be verified, where nothing else is configured. */
	if (in->need == TLS_NEED_REQUIRED && level <= TLS_POLICY_ENCRYPT)
		return !in->mx || in->mx_secure;
	if (level != TLS_POLICY_DANE && level != TLS_POLICY_DANE_ONLY)
		return false;
	if (!in->mx || in->mx_secure)
		return true;
	return level == TLS_POLICY_DANE &&
	    strcmp(in->conf->smtp_tls_dane_insecure_mx_policy, "may") != 0;
}

static void
plan_sni(struct tls_plan *p, const struct tls_plan_input *in)
{
	const char *s = in->policy->servername != NULL ?
	    in->policy->servername :
	    in->conf->smtp_tls_servername;
	struct domain_literal lit;

	if (strcmp(s, "hostname") == 0)
		s = in->host;
	else if (strcmp(s, "nexthop") == 0)
		s = in->nexthop;
	if (*s != '\0' && domain_parse_ip(view_str(s), &lit) != 0)
		p->sni = xstrdup(s);
}

static void
put_list(struct buf *b, const char *what, char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		buf_printf(b, " %s=%s", what, list[i]);
}

static void
put_pair(struct buf *b, const char *what, const char *value)
{
	if (value != NULL)
		buf_printf(b, " %s=%s", what, value);
}

static void
plan_key(struct tls_plan *p)
{
	struct buf b;
	size_t i, k;

	buf_init(&b, KEY_MAX);
	buf_put_str(&b, tls_policy_level_name(p->level));
	if (p->requiretls)
		buf_put_str(&b, " requiretls");
	if (p->hearsay)
		buf_put_str(&b, " hearsay");
	put_pair(&b, "sni", p->sni);
	put_list(&b, "name", p->names, p->nnames);
	put_list(&b, "fingerprint", p->fingerprints, p->nfingerprints);
	put_pair(&b, "protocols", p->protocols);
	put_pair(&b, "ciphers", p->ciphers);
	put_pair(&b, "exclude", p->exclude);
	for (i = 0; i < p->ntlsa; i++) {
		buf_printf(&b, " tlsa=%u.%u.%u.", p->tlsa[i].usage,
		    p->tlsa[i].selector, p->tlsa[i].matching);
		for (k = 0; k < p->tlsa[i].data.len; k++)
			buf_printf(
			    &b, "%02x", (unsigned char)p->tlsa[i].data.p[k]);
	}
	/* It would stand for another one's trust: no connection is shared. */
	if (buf_error(&b) != 0)
		refuse(p, "TLSA records are too long");
	p->key = view_dup(buf_view(&b));
	buf_fini(&b);
}

static char *
dup_or_null(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

struct tls_plan *
tls_plan_new(const struct tls_plan_input *in)
{
	struct tls_plan *p = XNEW(struct tls_plan);

	p->refs = 1;
	p->level = in->policy->level;
	p->protocols = dup_or_null(in->policy->protocols);
	p->ciphers = dup_or_null(in->policy->ciphers);
	p->exclude = dup_or_null(in->policy->exclude);
	plan_sni(p, in);
	if (p->level == TLS_POLICY_DANE || p->level == TLS_POLICY_DANE_ONLY ||
	    (in->need == TLS_NEED_REQUIRED && tls_plan_wants_dane(in)))
		plan_dane(p, in);
	else if (p->level == TLS_POLICY_VERIFY || p->level == TLS_POLICY_SECURE)
		plan_names(p, in);
	else if (p->level == TLS_POLICY_FINGERPRINT)
		plan_fingerprints(p, in);
	/* Nobody listens between the two ends of a Unix socket. */
	if (in->is_unix && p->level == TLS_POLICY_MAY)
		p->level = TLS_POLICY_NONE;
	if (in->need == TLS_NEED_REQUIRED && p->refused == NULL && !in->is_unix)
		plan_requiretls(p, in);
	plan_key(p);
	return p;
}

void
tls_plan_expect(const struct tls_plan *p, const char *session_key,
    struct tls_expect *e_r)
{
	static const enum tls_level levels[TLS_POLICY_LEVELS] = {
		[TLS_POLICY_NONE] = TLS_LEVEL_MAY,
		[TLS_POLICY_MAY] = TLS_LEVEL_MAY,
		[TLS_POLICY_ENCRYPT] = TLS_LEVEL_ENCRYPT,
		[TLS_POLICY_DANE] = TLS_LEVEL_DANE,
		[TLS_POLICY_DANE_ONLY] = TLS_LEVEL_DANE,
		[TLS_POLICY_FINGERPRINT] = TLS_LEVEL_FINGERPRINT,
		[TLS_POLICY_VERIFY] = TLS_LEVEL_VERIFY,
		[TLS_POLICY_SECURE] = TLS_LEVEL_SECURE,
	};

	memset(e_r, 0, sizeof(*e_r));
	e_r->level = levels[p->level];
	e_r->sni = p->sni;
	e_r->names = (const char *const *)p->names;
	e_r->nnames = p->nnames;
	e_r->tlsa = p->tlsa;
	e_r->ntlsa = p->ntlsa;
	e_r->fingerprints = (const char *const *)p->fingerprints;
	e_r->nfingerprints = p->nfingerprints;
	e_r->protocols = p->protocols;
	e_r->ciphers = p->ciphers;
	e_r->exclude = p->exclude;
	e_r->session_key = session_key;
}
