/* SPDX-License-Identifier: ISC */
/*
 * tls_policy.c: reads security levels and policy rows.
 *
 * Runs in `deliver smtp`, `deliver lmtp` and adminctl. A row comes out of the
 * administrator's table by way of lookupd; one that cannot be understood is
 * an error and never a weaker policy.
 */
#include "net/tls_policy.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/domain.h"

/* Longer values mean nothing to OpenSSL either. */
#define VALUE_MAX	4096

static const char *const level_names[TLS_POLICY_LEVELS] = {
	[TLS_POLICY_NONE] = "none", [TLS_POLICY_MAY] = "may",
	[TLS_POLICY_ENCRYPT] = "encrypt", [TLS_POLICY_DANE] = "dane",
	[TLS_POLICY_DANE_ONLY] = "dane-only",
	[TLS_POLICY_FINGERPRINT] = "fingerprint",
	[TLS_POLICY_VERIFY] = "verify", [TLS_POLICY_SECURE] = "secure",
};

const char *
tls_policy_level_name(enum tls_policy_level level)
{
	return level_names[level];
}

int
tls_policy_level_parse(struct view v, enum tls_policy_level *level_r)
{
	unsigned i;

	for (i = 0; i < TLS_POLICY_LEVELS; i++) {
		if (view_caseeq(v, view_str(level_names[i]))) {
			*level_r = (enum tls_policy_level)i;
			return 0;
		}
	}
	return PK_ESYNTAX;
}

void
tls_policy_init(struct tls_policy *p, const struct conf *conf)
{
	memset(p, 0, sizeof(*p));
	/* params.def has the same words. */
	if (tls_policy_level_parse(
		view_str(conf->smtp_tls_security_level), &p->level) != 0)
		log_panic("smtp_tls_security_level: %s",
		    conf->smtp_tls_security_level);
}

void
tls_policy_fini(struct tls_policy *p)
{
	xfree(p->match);
	xfree(p->protocols);
	xfree(p->ciphers);
	xfree(p->exclude);
	xfree(p->servername);
	memset(p, 0, sizeof(*p));
}

static int __attribute__((format(printf, 2, 3)))
bad(struct buf *why, const char *fmt, ...)
{
	va_list ap;

	if (why != NULL) {
		va_start(ap, fmt);
		buf_vprintf(why, fmt, ap);
		va_end(ap);
	}
	return PK_ESYNTAX;
}

static bool
takes_match(enum tls_policy_level level)
{
	return level == TLS_POLICY_VERIFY || level == TLS_POLICY_SECURE ||
	    level == TLS_POLICY_FINGERPRINT;
}

/* Further match= attributes add to the first, as in Postfix. */
static void
add_match(struct tls_policy *p, struct view value)
{
	char sep = p->level == TLS_POLICY_FINGERPRINT ? '|' : ':';
	char *joined;

	if (p->match == NULL) {
		p->match = view_dup(value);
		return;
	}
	joined = xasprintf("%s%c%.*s", p->match, sep, VIEW_ARG(value));
	xfree(p->match);
	p->match = joined;
}

static int
take_value(char **to, struct view name, struct view value, struct buf *why)
{
	if (*to != NULL)
		return bad(
		    why, "attribute \"%.*s\" is given twice", VIEW_ARG(name));
	*to = view_dup(value);
	return 0;
}

static bool
is_grade(struct view v)
{
	return view_caseeq(v, VIEW("high")) || view_caseeq(v, VIEW("medium")) ||
	    view_caseeq(v, VIEW("null"));
}

static int
take_attribute(struct tls_policy *p, struct view name, struct view value,
    struct buf *why)
{
	if (value.len == 0 || value.len > VALUE_MAX ||
	    !view_is_printable(value))
		return bad(why, "attribute \"%.*s\" has no usable value",
		    VIEW_ARG(name));
	if (view_caseeq(name, VIEW("match"))) {
		if (!takes_match(p->level))
			return bad(why,
			    "attribute \"match\" means nothing at "
			    "level %s",
			    level_names[p->level]);
		add_match(p, value);
		return 0;
	}
	if (view_caseeq(name, VIEW("protocols")))
		return take_value(&p->protocols, name, value, why);
	if (view_caseeq(name, VIEW("ciphers"))) {
		if (!is_grade(value))
			return bad(why,
			    "\"%.*s\" is no grade of ciphers: "
			    "high, medium, null",
			    VIEW_ARG(value));
		return take_value(&p->ciphers, name, value, why);
	}
	if (view_caseeq(name, VIEW("exclude")))
		return take_value(&p->exclude, name, value, why);
	if (view_caseeq(name, VIEW("servername")))
		return take_value(&p->servername, name, value, why);
	return bad(why, "there is no attribute \"%.*s\"", VIEW_ARG(name));
}

static int
parse_attributes(struct tls_policy *p, struct view rest, struct buf *why)
{
	struct view word;
	ptrdiff_t eq;
	int rc = 0;

	while (rc == 0 && view_next(&rest, ", \t\r\n", &word)) {
		eq = view_find(word, '=');
		if (eq <= 0)
			return bad(why, "\"%.*s\" is no attribute=value",
			    VIEW_ARG(word));
		rc = take_attribute(p, view_head(word, (size_t)eq),
		    view_from(word, (size_t)eq + 1), why);
	}
	return rc;
}

int
tls_policy_parse(struct tls_policy *p, struct view row, struct buf *why)
{
	struct tls_policy new;
	struct view word = VIEW_NONE;
	int rc;

	memset(&new, 0, sizeof(new));
	if (!view_next(&row, ", \t\r\n", &word) ||
	    tls_policy_level_parse(word, &new.level) != 0)
		return bad(
		    why, "\"%.*s\" is no security level", VIEW_ARG(word));
	rc = parse_attributes(&new, row, why);
	if (rc != 0) {
		tls_policy_fini(&new);
		return rc;
	}
	tls_policy_fini(p);
	*p = new;
	return 0;
}

bool
tls_policy_key(struct view nexthop, unsigned n, struct view *key_r)
{
	ptrdiff_t dot;

	if (n == 0) {
		*key_r = nexthop;
		return true;
	}
	if (!domain_is_hostname(nexthop))
		return false;
	/* ".example.com" of a.example.com; then ".com". */
	for (; n > 0; n--) {
		dot = view_find(view_from(nexthop, 1), '.');
		if (dot < 0)
			return false;
		nexthop = view_from(nexthop, (size_t)dot + 1);
	}
	*key_r = nexthop;
	return true;
}
