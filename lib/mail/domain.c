/* SPDX-License-Identifier: ISC */
/*
 * domain.c: syntax of domains and address literals.
 *
 * Run by smtpd, lookupd, deliver and qmgr, unprivileged, without I/O. Input
 * comes from clients, tables and DNS and is not trusted. IDNA is libidn2's
 * work; it is called only for names with bytes over 127, so that the common
 * case costs one walk.
 */
#include "mail/domain.h"

#include <arpa/inet.h>
#include <idn2.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

/* RFC 1035 2.3.4: 255 octets on the wire are 253 in text. */
#define HOSTNAME_MAX	253

enum {
	B_OTHER,
	B_LETTER,
	B_DIGIT,
	B_INNER,	/* '-': not at the ends of a label */
	B_DOT,
	B_HIGH,
};

static const unsigned char byte_kind[256] = {
	['a' ... 'z'] = B_LETTER, ['A' ... 'Z'] = B_LETTER, ['_'] = B_LETTER,
	['0' ... '9'] = B_DIGIT, ['-'] = B_INNER, ['.'] = B_DOT,
	[0x80 ... 0xff] = B_HIGH,
};

struct domain_shape
domain_scan(struct view v)
{
	struct domain_shape s = { 0, true, false, false };
	unsigned kind, before = B_DOT;
	size_t start = 0, i;

	for (i = 0; i < v.len; i++, before = kind) {
		kind = byte_kind[(unsigned char)v.p[i]];
		if (kind == B_LETTER) {
			s.named = true;
		} else if (kind == B_DOT) {
			if (before == B_DOT || before == B_INNER ||
			    (!s.high && i - start > DOMAIN_LABEL_MAX))
				s.labels = false;
			start = i + 1;
		} else if (kind == B_OTHER) {
			break;
		} else if (kind != B_DIGIT) {
			s.named = true;
			s.high |= kind == B_HIGH;
			if (kind == B_INNER && before == B_DOT)
				s.labels = false;
		}
	}
	if (before == B_DOT || before == B_INNER ||
	    (!s.high && i - start > DOMAIN_LABEL_MAX))
		s.labels = false;
	s.len = i;
	return s;
}

bool
domain_shape_is_hostname(struct domain_shape s)
{
	return s.labels && s.named && !s.high && s.len <= HOSTNAME_MAX;
}

bool
domain_is_numeric(struct view d)
{
	if (d.len == 0)
		return false;
	for (size_t i = 0; i < d.len; i++)
		if (!ascii_isdigit(d.p[i]) && d.p[i] != '.')
			return false;
	return true;
}

bool
domain_is_hostname(struct view d)
{
	struct domain_shape s = domain_scan(d);

	return s.len == d.len && domain_shape_is_hostname(s);
}

bool
domain_is_fqdn(struct view d)
{
	return domain_is_hostname(d) && view_find(d, '.') > 0;
}

bool
domain_is_utf8(struct view d)
{
	struct domain_shape s = domain_scan(d);

	return s.len == d.len && d.len <= DOMAIN_MAX && s.labels && s.high &&
	    utf8_valid(d);
}

int
domain_parse_ip(struct view d, struct domain_literal *lit_r)
{
	char text[INET6_ADDRSTRLEN];
	struct domain_literal lit = { .family = DOMAIN_INET4 };

	if (d.len == 0 || d.len >= sizeof(text) ||
	    memchr(d.p, '\0', d.len) != NULL)
		return PK_ESYNTAX;
	memcpy(text, d.p, d.len);
	text[d.len] = '\0';
	if (inet_pton(AF_INET, text, lit.bytes) != 1) {
		lit.family = DOMAIN_INET6;
		if (inet_pton(AF_INET6, text, lit.bytes) != 1)
			return PK_ESYNTAX;
	}
	*lit_r = lit;
	return 0;
}

int
domain_parse_literal(struct view d, struct domain_literal *lit_r)
{
	struct domain_literal lit;
	bool tagged;

	if (d.len < 3 || d.p[0] != '[' || d.p[d.len - 1] != ']')
		return PK_ESYNTAX;
	d = view_of(d.p + 1, d.len - 2);
	tagged = view_casestarts(d, VIEW("IPv6:"));
	if (tagged)
		d = view_from(d, 5);
	if (domain_parse_ip(d, &lit) != 0 ||
	    (tagged && lit.family != DOMAIN_INET6))
		return PK_ESYNTAX;
	*lit_r = lit;
	return 0;
}

int
domain_put_ip(struct buf *b, const struct domain_literal *lit)
{
	char text[INET6_ADDRSTRLEN];
	int family = lit->family == DOMAIN_INET6 ? AF_INET6 : AF_INET;

	if (inet_ntop(family, lit->bytes, text, sizeof(text)) == NULL)
		return PK_ESYNTAX;
	return buf_put_str(b, text);
}

bool
domain_is_helo(struct view d)
{
	struct domain_literal lit;

	if (d.len > 0 && d.p[0] == '[')
		return domain_parse_literal(d, &lit) == 0;
	return domain_is_hostname(d) || domain_is_utf8(d);
}

static int
put_lower(struct buf *b, struct view d)
{
	char *p = buf_room(b, d.len);

	if (p == NULL)
		return PK_ELIMIT;
	for (size_t i = 0; i < d.len; i++)
		p[i] = ascii_lower(d.p[i]);
	buf_added(b, d.len);
	return 0;
}

/* d has no NUL: domain_is_utf8() let it through. */
static int
put_idn(struct buf *b, struct view d)
{
	char *text, *ascii = NULL;
	int rc;

	text = view_dup(d);
	rc = idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&ascii,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	xfree(text);
	if (rc != IDN2_OK)
		return rc == IDN2_TOO_BIG_DOMAIN || rc == IDN2_TOO_BIG_LABEL ?
		    PK_ELIMIT : PK_ESYNTAX;
	/* Mapping may have made something else of it: check what DNS gets. */
	rc = domain_is_hostname(view_str(ascii)) ?
	    put_lower(b, view_str(ascii)) : PK_ESYNTAX;
	idn2_free(ascii);
	return rc;
}

int
domain_put_ascii(struct buf *b, struct view d)
{
	struct domain_literal lit;

	if (d.len > DOMAIN_MAX)
		return PK_ELIMIT;
	if (domain_is_hostname(d) || domain_parse_literal(d, &lit) == 0)
		return put_lower(b, d);
	if (domain_is_utf8(d))
		return put_idn(b, d);
	return PK_ESYNTAX;
}

int
domain_put_unicode(struct buf *b, struct view d)
{
	char *text, *unicode = NULL;
	int rc;

	if (!domain_is_hostname(d))
		return buf_put_view(b, d);
	text = view_dup_lower(d);
	rc = idn2_to_unicode_8z8z(text, &unicode, IDN2_NONTRANSITIONAL);
	rc = buf_put_str(b, rc == IDN2_OK ? unicode : text);
	if (unicode != NULL)
		idn2_free(unicode);
	xfree(text);
	return rc;
}

bool
domain_is_under(struct view d, struct view parent)
{
	if (parent.len == 0 || d.len < parent.len || !view_caseends(d, parent))
		return false;
	return d.len == parent.len || d.p[d.len - parent.len - 1] == '.';
}
