/* SPDX-License-Identifier: ISC */
/*
 * address.c: parser and writer of envelope addresses.
 *
 * Run by smtpd for each MAIL and RCPT, by lookupd for table results and by
 * qmgr and deliver on what comes back; unprivileged, without I/O. Input is a
 * stranger's. The parser walks once from left to right and gives views, so
 * that a refused address costs nothing; no form is guessed: what is neither a
 * dot-string nor a quoted string is refused, because guesses about odd local
 * parts are how commands get into addresses (A10).
 */
#include "mail/address.h"

#include "base/codec.h"
#include "base/error.h"
#include "mail/domain.h"

enum {
	C_ATEXT = 1,	/* RFC 5322 3.2.3 */
	C_QTEXT = 2,	/* RFC 5321 qtextSMTP: printable and blank but \ and " */
};

#define BOTH	(C_ATEXT | C_QTEXT)

static const unsigned char byte_class[256] = {
	[' '] = C_QTEXT, ['!'] = BOTH, ['#'] = BOTH, ['$'] = BOTH,
	['%'] = BOTH, ['&'] = BOTH, ['\''] = BOTH, ['('] = C_QTEXT,
	[')'] = C_QTEXT, ['*'] = BOTH, ['+'] = BOTH, [','] = C_QTEXT,
	['-'] = BOTH, ['.'] = C_QTEXT, ['/'] = BOTH,
	['0' ... '9'] = BOTH, [':'] = C_QTEXT, [';'] = C_QTEXT,
	['<'] = C_QTEXT, ['='] = BOTH, ['>'] = C_QTEXT, ['?'] = BOTH,
	['@'] = C_QTEXT, ['A' ... 'Z'] = BOTH, ['['] = C_QTEXT,
	[']'] = C_QTEXT, ['^'] = BOTH, ['_'] = BOTH, ['`'] = BOTH,
	['a' ... 'z'] = BOTH, ['{'] = BOTH, ['|'] = BOTH, ['}'] = BOTH,
	['~'] = BOTH,
};

static inline bool
is_class(char c, unsigned klass)
{
	return (byte_class[(unsigned char)c] & klass) != 0;
}

static inline bool
is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

/* Dot-string at *pos: atoms with single dots between. */
static int
scan_dot_string(struct view v, size_t *pos, struct mail_address *a)
{
	size_t i = *pos;
	bool atom = false, high = false;

	for (; i < v.len; i++) {
		if (is_class(v.p[i], C_ATEXT)) {
			atom = true;
		} else if (is_high(v.p[i])) {
			atom = high = true;
		} else if (v.p[i] == '.' && atom) {
			atom = false;
		} else {
			break;
		}
	}
	if (!atom)
		return PK_ESYNTAX;
	a->local = view_of(v.p + *pos, i - *pos);
	if (high)
		a->flags |= ADDRESS_LOCAL_UTF8;
	*pos = i;
	return a->local.len > ADDRESS_LOCAL_MAX ? PK_ELIMIT : 0;
}

/* Quoted string at *pos, which is its first quote. */
static int
scan_quoted(struct view v, size_t *pos, struct mail_address *a)
{
	size_t i = *pos + 1;

	for (; i < v.len && v.p[i] != '"'; i++) {
		if (v.p[i] == '\\') {
			/* RFC 5321 quoted-pairSMTP: printable ASCII only. */
			if (++i >= v.len || v.p[i] < ' ' || v.p[i] > '~')
				return PK_ESYNTAX;
		} else if (is_high(v.p[i])) {
			a->flags |= ADDRESS_LOCAL_UTF8;
		} else if (!is_class(v.p[i], C_QTEXT)) {
			return PK_ESYNTAX;
		}
	}
	if (i >= v.len)
		return PK_ESYNTAX;
	a->local = view_of(v.p + *pos, i + 1 - *pos);
	a->flags |= ADDRESS_QUOTED;
	*pos = i + 1;
	return a->local.len - 2 > ADDRESS_LOCAL_MAX ? PK_ELIMIT : 0;
}

/* "[...]" at *pos */
static int
scan_literal(struct view v, size_t *pos, struct mail_address *a)
{
	struct domain_literal lit;
	size_t i = *pos;

	while (i < v.len && v.p[i] != ']')
		i++;
	if (i++ >= v.len)
		return PK_ESYNTAX;
	a->domain = view_of(v.p + *pos, i - *pos);
	a->flags |= ADDRESS_LITERAL;
	*pos = i;
	return domain_parse_literal(a->domain, &lit);
}

/*
 * Domain or literal at *pos. A numeric domain without brackets is let through
 * here: it is syntax by the letter of RFC 5321, and what resolves it says no.
 */
static int
scan_domain(struct view v, size_t *pos, struct mail_address *a)
{
	struct domain_shape s;

	if (*pos < v.len && v.p[*pos] == '[')
		return scan_literal(v, pos, a);
	s = domain_scan(view_of(v.p + *pos, v.len - *pos));
	a->domain = view_of(v.p + *pos, s.len);
	*pos += s.len;
	if (domain_shape_is_hostname(s))
		return 0;
	if (s.len > ADDRESS_DOMAIN_MAX)
		return PK_ELIMIT;
	if (s.high) {
		a->flags |= ADDRESS_DOMAIN_UTF8;
		return s.labels && utf8_valid(a->domain) ? 0 : PK_ESYNTAX;
	}
	return s.len > 0 && !s.named ? 0 : PK_ESYNTAX;
}

static int
check_utf8(const struct mail_address *a, unsigned allow)
{
	if ((a->flags & ADDRESS_UTF8) == 0)
		return 0;
	if ((a->flags & ADDRESS_LOCAL_UTF8) && !utf8_valid(a->local))
		return PK_ESYNTAX;
	return allow & ADDRESS_ALLOW_UTF8 ? 0 : PK_EUNSUPPORTED;
}

static bool
may_lack_domain(const struct mail_address *a, unsigned allow)
{
	if (allow & ADDRESS_ALLOW_NO_DOMAIN)
		return true;
	return (allow & ADDRESS_ALLOW_POSTMASTER) &&
	    view_caseeq(a->local, VIEW("postmaster"));
}

/* local [@ domain] at *pos */
static int
scan_mailbox(struct view v, size_t *pos, unsigned allow, struct mail_address *a)
{
	int rc;

	if (*pos < v.len && v.p[*pos] == '"')
		rc = scan_quoted(v, pos, a);
	else
		rc = scan_dot_string(v, pos, a);
	if (rc != 0)
		return rc;
	if (*pos >= v.len || v.p[*pos] != '@') {
		if (!may_lack_domain(a, allow))
			return PK_ESYNTAX;
		a->domain = view_of(v.p + *pos, 0);
		a->flags |= ADDRESS_NO_DOMAIN;
		return check_utf8(a, allow);
	}
	++*pos;
	rc = scan_domain(v, pos, a);
	return rc != 0 ? rc : check_utf8(a, allow);
}

/* "@one,@two:" is skipped (RFC 5321 appendix C), its domains are checked all the same. */
static int
skip_route(struct view v, size_t *pos, struct mail_address *a)
{
	struct mail_address hop = { .flags = 0 };
	int rc;

	for (;;) {
		if (*pos >= v.len || v.p[*pos] != '@')
			return PK_ESYNTAX;
		++*pos;
		hop.flags = 0;
		rc = scan_domain(v, pos, &hop);
		if (rc != 0)
			return rc;
		if (*pos >= v.len)
			return PK_ESYNTAX;
		if (v.p[*pos] == ':')
			break;
		if (v.p[*pos] != ',')
			return PK_ESYNTAX;
		++*pos;
	}
	++*pos;
	a->flags |= ADDRESS_ROUTE;
	return 0;
}

static int
parse_bracketed(struct view v, unsigned allow, struct mail_address *a_r,
    size_t *used_r)
{
	struct mail_address a = { .flags = 0 };
	size_t pos = 1;
	int rc = 0;

	if (pos < v.len && v.p[pos] == '>') {
		if ((allow & ADDRESS_ALLOW_NULL) == 0)
			return PK_ESYNTAX;
		a.local = a.domain = view_of(v.p + pos, 0);
		a.flags = ADDRESS_NULL;
	} else {
		if (pos < v.len && v.p[pos] == '@')
			rc = skip_route(v, &pos, &a);
		if (rc == 0)
			rc = scan_mailbox(v, &pos, allow, &a);
		if (rc != 0)
			return rc;
		if (pos >= v.len || v.p[pos] != '>')
			return PK_ESYNTAX;
	}
	/* 4.5.3.1.3 counts the brackets; a route is not kept and not counted. */
	if (a.local.len + 1 + a.domain.len + 2 > ADDRESS_PATH_MAX)
		return PK_ELIMIT;
	*a_r = a;
	*used_r = pos + 1;
	return 0;
}

int
address_parse_path(struct view v, unsigned allow, struct mail_address *a_r,
    size_t *used_r)
{
	struct mail_address a = { .flags = 0 };
	size_t pos = 0;
	int rc;

	if (v.len == 0)
		return PK_ESYNTAX;
	if (v.p[0] == '<')
		return parse_bracketed(v, allow, a_r, used_r);
	if ((allow & ADDRESS_ALLOW_BARE) == 0)
		return PK_ESYNTAX;
	rc = scan_mailbox(v, &pos, allow, &a);
	if (rc != 0)
		return rc;
	if (pos < v.len && v.p[pos] != ' ')
		return PK_ESYNTAX;
	if (a.local.len + 1 + a.domain.len + 2 > ADDRESS_PATH_MAX)
		return PK_ELIMIT;
	*a_r = a;
	*used_r = pos;
	return 0;
}

int
address_parse(struct view v, unsigned allow, struct mail_address *a_r)
{
	struct mail_address a = { .flags = 0 };
	size_t pos = 0;
	int rc;

	if (v.len == 0) {
		if ((allow & ADDRESS_ALLOW_NULL) == 0)
			return PK_ESYNTAX;
		a.local = a.domain = v;
		a.flags = ADDRESS_NULL;
		*a_r = a;
		return 0;
	}
	rc = scan_mailbox(v, &pos, allow, &a);
	if (rc != 0)
		return rc;
	if (pos != v.len)
		return PK_ESYNTAX;
	if (a.local.len + 1 + a.domain.len + 2 > ADDRESS_PATH_MAX)
		return PK_ELIMIT;
	*a_r = a;
	return 0;
}

int
address_put_local_raw(struct buf *b, const struct mail_address *a)
{
	struct view v = a->local;

	if ((a->flags & ADDRESS_QUOTED) == 0)
		return buf_put_view(b, v);
	v = view_of(v.p + 1, v.len - 2);
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\\' && i + 1 < v.len)
			i++;
		buf_put_char(b, v.p[i]);
	}
	return buf_error(b);
}

static bool
is_dot_string(struct view raw)
{
	struct mail_address a = { .flags = 0 };
	size_t pos = 0;
	int rc = scan_dot_string(raw, &pos, &a);

	return (rc == 0 || rc == PK_ELIMIT) && pos == raw.len;
}

int
address_put_local_quoted(struct buf *b, struct view raw)
{
	for (size_t i = 0; i < raw.len; i++)
		if ((unsigned char)raw.p[i] < ' ' || raw.p[i] == 0x7f)
			return PK_ESYNTAX;
	if (is_dot_string(raw))
		return buf_put_view(b, raw);
	buf_put_char(b, '"');
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.p[i] == '"' || raw.p[i] == '\\')
			buf_put_char(b, '\\');
		buf_put_char(b, raw.p[i]);
	}
	return buf_put_char(b, '"');
}

/* The shortest form of the local part, so that equal mailboxes look equal. */
static int
put_local(struct buf *b, const struct mail_address *a)
{
	struct buf raw;
	int rc;

	if ((a->flags & ADDRESS_QUOTED) == 0)
		return buf_put_view(b, a->local);
	buf_init(&raw, ADDRESS_MAX);
	rc = address_put_local_raw(&raw, a);
	if (rc == 0)
		rc = address_put_local_quoted(b, buf_view(&raw));
	buf_fini(&raw);
	return rc;
}

int
address_put(struct buf *b, const struct mail_address *a)
{
	char *p;
	int rc;

	if (a->flags & ADDRESS_NULL)
		return buf_error(b);
	rc = put_local(b, a);
	if (rc != 0 || (a->flags & ADDRESS_NO_DOMAIN))
		return rc;
	p = buf_room(b, a->domain.len + 1);
	if (p == NULL)
		return PK_ELIMIT;
	*p++ = '@';
	for (size_t i = 0; i < a->domain.len; i++)
		p[i] = ascii_lower(a->domain.p[i]);
	buf_added(b, a->domain.len + 1);
	return buf_error(b);
}

int
address_put_ascii(struct buf *b, const struct mail_address *a)
{
	int rc;

	if ((a->flags & ADDRESS_DOMAIN_UTF8) == 0)
		return address_put(b, a);
	rc = put_local(b, a);
	if (rc == 0)
		rc = buf_put_char(b, '@');
	return rc != 0 ? rc : domain_put_ascii(b, a->domain);
}

bool
address_eq(const struct mail_address *a, const struct mail_address *b)
{
	struct buf x, y;
	bool equal;

	if (!view_caseeq(a->domain, b->domain))
		return false;
	if (((a->flags | b->flags) & ADDRESS_QUOTED) == 0)
		return view_eq(a->local, b->local);
	buf_init(&x, ADDRESS_MAX);
	buf_init(&y, ADDRESS_MAX);
	equal = address_put_local_raw(&x, a) == 0 &&
	    address_put_local_raw(&y, b) == 0 &&
	    view_eq(buf_view(&x), buf_view(&y));
	buf_fini(&x);
	buf_fini(&y);
	return equal;
}

/* Postfix's split_addr(): these names never carry an extension. */
static bool
is_never_split(struct view local, char delimiter)
{
	if (view_caseeq(local, VIEW("postmaster")) ||
	    view_caseeq(local, VIEW("mailer-daemon")) ||
	    view_caseeq(local, VIEW("double-bounce")))
		return true;
	if (delimiter != '-')
		return false;
	return view_casestarts(local, VIEW("owner-")) ||
	    view_caseends(local, VIEW("-request"));
}

bool
address_split_extension(struct view local, struct view delimiters,
    struct view *user_r, struct view *ext_r)
{
	for (size_t i = 0; i < local.len; i++) {
		if (view_find(delimiters, local.p[i]) < 0)
			continue;
		if (i == 0 || is_never_split(local, local.p[i]))
			return false;
		*user_r = view_head(local, i);
		*ext_r = view_from(local, i + 1);
		return true;
	}
	return false;
}
