/* SPDX-License-Identifier: ISC */
/*
 * xtext.c: encodings of ENVID, ORCPT and AUTH parameters.
 *
 * Run by smtpd on what clients send, by deliver and bounce on the way out.
 * Decoded values may hold any byte: whoever prints them sanitises (A11).
 */
#include "mail/xtext.h"

#include "base/codec.h"
#include "base/error.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
is_xchar(char c)
{
	return c > ' ' && c <= '~' && c != '+' && c != '=';
}

/* Length of the piece at i (1 or 3), 0 when it is none. */
static size_t
xtext_step(struct view v, size_t i)
{
	if (is_xchar(v.p[i]))
		return 1;
	if (v.p[i] == '+' && v.len - i >= 3 && hex_value(v.p[i + 1]) >= 0 &&
	    hex_value(v.p[i + 2]) >= 0)
		return 3;
	return 0;
}

bool
xtext_valid(struct view v)
{
	size_t n;

	for (size_t i = 0; i < v.len; i += n) {
		n = xtext_step(v, i);
		if (n == 0)
			return false;
	}
	return true;
}

int
xtext_decode(struct buf *b, struct view v)
{
	size_t n;

	if (!xtext_valid(v))
		return PK_ESYNTAX;
	for (size_t i = 0; i < v.len; i += n) {
		n = xtext_step(v, i);
		if (n == 1)
			buf_put_char(b, v.p[i]);
		else
			buf_put_char(b, (char)(hex_value(v.p[i + 1]) << 4 |
			    hex_value(v.p[i + 2])));
	}
	return buf_error(b);
}

int
xtext_put(struct buf *b, struct view raw)
{
	for (size_t i = 0; i < raw.len; i++) {
		if (is_xchar(raw.p[i]))
			buf_put_char(b, raw.p[i]);
		else
			buf_printf(b, "+%02X", (unsigned char)raw.p[i]);
	}
	return buf_error(b);
}

/*
 * EmbeddedUnicodeChar at i: "\x{" 2 to 6 hex digits "}"; its length, 0 for
 * none. *cp_r: the code point.
 */
static size_t
unicode_step(struct view v, size_t i, uint32_t *cp_r)
{
	uint32_t cp = 0;
	size_t j = i + 3;

	if (v.len - i < 6 || memcmp(v.p + i, "\\x{", 3) != 0)
		return 0;
	while (j < v.len && j - i < 9 && hex_value(v.p[j]) >= 0)
		cp = cp << 4 | (uint32_t)hex_value(v.p[j++]);
	if (j - i < 5 || j >= v.len || v.p[j] != '}')
		return 0;
	if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*cp_r = cp;
	return j + 1 - i;
}

static size_t
utf8_put(char *p, uint32_t cp)
{
	if (cp < 0x80) {
		p[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		p[0] = (char)(0xc0 | cp >> 6);
		p[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		p[0] = (char)(0xe0 | cp >> 12);
		p[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		p[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	p[0] = (char)(0xf0 | cp >> 18);
	p[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	p[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	p[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* QCHAR of RFC 6533: printable but '+', '=', '\'. */
static bool
is_qchar(char c)
{
	return is_xchar(c) && c != '\\';
}

bool
xtext_utf8_valid(struct view v, bool utf8)
{
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < v.len; i += n) {
		n = 1;
		if (is_qchar(v.p[i]) || ((unsigned char)v.p[i] >= 0x80 && utf8))
			continue;
		n = unicode_step(v, i, &cp);
		if (n == 0)
			return false;
	}
	return utf8_valid(v);
}

int
xtext_utf8_decode(struct buf *b, struct view v)
{
	uint32_t cp;
	char bytes[4];
	size_t n;

	if (!xtext_utf8_valid(v, true))
		return PK_ESYNTAX;
	for (size_t i = 0; i < v.len; i += n) {
		n = 1;
		if (v.p[i] != '\\') {
			buf_put_char(b, v.p[i]);
			continue;
		}
		n = unicode_step(v, i, &cp);
		buf_put(b, bytes, utf8_put(bytes, cp));
	}
	return buf_error(b);
}

/* The code point at i of valid UTF-8 and its length. */
static size_t
utf8_get(struct view v, size_t i, uint32_t *cp_r)
{
	unsigned char c = (unsigned char)v.p[i];
	size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t cp = c & (0xffu >> (n + 1));

	for (size_t j = 1; j < n; j++)
		cp = cp << 6 | ((unsigned char)v.p[i + j] & 0x3fu);
	*cp_r = cp;
	return n;
}

int
xtext_utf8_put(struct buf *b, struct view raw)
{
	uint32_t cp;
	size_t n;

	if (!utf8_valid(raw))
		return PK_ESYNTAX;
	for (size_t i = 0; i < raw.len; i += n) {
		n = 1;
		if (is_qchar(raw.p[i])) {
			buf_put_char(b, raw.p[i]);
			continue;
		}
		cp = (unsigned char)raw.p[i];
		if (cp >= 0x80)
			n = utf8_get(raw, i, &cp);
		buf_printf(b, "\\x{%02X}", (unsigned)cp);
	}
	return buf_error(b);
}

static bool
is_type(struct view type)
{
	if (type.len == 0)
		return false;
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_isalnum(type.p[i]) && type.p[i] != '-')
			return false;
	return true;
}

int
xtext_orcpt_parse(struct view v, bool utf8, struct view *type_r,
    struct view *value_r)
{
	ptrdiff_t semicolon = view_find(v, ';');
	struct view type, value;
	bool ok;

	if (v.len > XTEXT_ORCPT_MAX)
		return PK_ELIMIT;
	if (semicolon <= 0)
		return PK_ESYNTAX;
	type = view_head(v, (size_t)semicolon);
	value = view_from(v, (size_t)semicolon + 1);
	if (!is_type(type) || value.len == 0)
		return PK_ESYNTAX;
	if (view_caseeq(type, VIEW("utf-8")))
		ok = xtext_utf8_valid(value, utf8);
	else
		ok = xtext_valid(value);
	if (!ok)
		return PK_ESYNTAX;
	*type_r = type;
	*value_r = value;
	return 0;
}
