/* SPDX-License-Identifier: ISC */
/*
 * codec.c: hex, base64, JSON strings, UTF-8 checks.
 *
 * Linked into every process; decodes what peers sent, so each decoder takes
 * the one canonical form only (two texts for the same bytes have been a way
 * around filters) and gives back nothing when it refuses.
 */
#include "base/codec.h"

#include <string.h>

#include "base/error.h"

int
hex_put(struct buf *b, struct view bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *to;
	size_t i;

	if (bytes.len > SIZE_MAX / 2 ||
	    (to = buf_room(b, bytes.len * 2)) == NULL)
		return PK_ELIMIT;
	for (i = 0; i < bytes.len; i++) {
		to[2 * i] = digits[(unsigned char)bytes.p[i] >> 4];
		to[2 * i + 1] = digits[bytes.p[i] & 15];
	}
	buf_added(b, bytes.len * 2);
	return 0;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
hex_decode(struct buf *b, struct view text)
{
	char *to;
	size_t i;
	int hi, lo;

	if (text.len % 2 != 0)
		return PK_ESYNTAX;
	to = buf_room(b, text.len / 2);
	if (to == NULL)
		return PK_ELIMIT;
	for (i = 0; i < text.len; i += 2) {
		hi = hex_value(text.p[i]);
		lo = hex_value(text.p[i + 1]);
		if (hi < 0 || lo < 0)
			return PK_ESYNTAX;
		to[i / 2] = (char)(hi << 4 | lo);
	}
	buf_added(b, text.len / 2);
	return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
base64_put(struct buf *b, struct view bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t i, n;
	uint32_t v;
	char *to;

	if (bytes.len > SIZE_MAX / 2)
		return PK_ELIMIT;
	n = (bytes.len + 2) / 3 * 4;
	to = buf_room(b, n);
	if (to == NULL)
		return PK_ELIMIT;
	for (i = 0; i < bytes.len; i += 3) {
		v = (uint32_t)p[i] << 16;
		v |= i + 1 < bytes.len ? (uint32_t)p[i + 1] << 8 : 0;
		v |= i + 2 < bytes.len ? p[i + 2] : 0;
		*to++ = base64_digits[v >> 18];
		*to++ = base64_digits[v >> 12 & 63];
		*to++ = i + 1 < bytes.len ? base64_digits[v >> 6 & 63] : '=';
		*to++ = i + 2 < bytes.len ? base64_digits[v & 63] : '=';
	}
	buf_added(b, n);
	return 0;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/*
 * One group of four with `pad` padding characters at its end. False for a
 * foreign byte or for bits behind the last byte (RFC 4648 section 3.5).
 */
static bool
base64_group(const char *p, unsigned pad, char *to)
{
	uint32_t v = 0;
	unsigned i;
	int d;

	for (i = 0; i < 4; i++) {
		d = i < 4 - pad ? base64_value(p[i]) : 0;
		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
	}
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return false;
	to[0] = (char)(v >> 16);
	if (pad < 2)
		to[1] = (char)(v >> 8);
	if (pad < 1)
		to[2] = (char)v;
	return true;
}

int
base64_decode(struct buf *b, struct view text)
{
	unsigned pad = 0, here;
	size_t i, n;
	char *to;

	if (text.len % 4 != 0)
		return PK_ESYNTAX;
	while (pad < 2 && pad < text.len && text.p[text.len - 1 - pad] == '=')
		pad++;
	n = text.len / 4 * 3 - pad;
	to = buf_room(b, n);
	if (to == NULL)
		return PK_ELIMIT;
	for (i = 0; i < text.len; i += 4) {
		here = i + 4 == text.len ? pad : 0;
		if (!base64_group(text.p + i, here, to))
			return PK_ESYNTAX;
		to += 3 - here;
	}
	buf_added(b, n);
	return 0;
}

size_t
utf8_sequence(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len, i;
	uint32_t c;

	if (n == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	/* 0xc0 and 0xc1 would be longer than needed, 0xf5 out of range. */
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	len = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	c = u[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (len == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	if (len == 4 && (c < 0x10000 || c > 0x10ffff))
		return 0;
	return len;
}

/* Bytes at the front that are ASCII, eight at a time where possible. */
static size_t
ascii_run(struct view v)
{
	size_t i = 0;
	uint64_t w;

	for (; i + 8 <= v.len; i += 8) {
		memcpy(&w, v.p + i, 8);
		if ((w & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (i < v.len && (v.p[i] & 0x80) == 0)
		i++;
	return i;
}

bool
utf8_valid(struct view v)
{
	size_t i, n;

	for (i = 0; i < v.len; i += n) {
		n = ascii_run(view_from(v, i));
		if (n == 0)
			n = utf8_sequence(v.p + i, v.len - i);
		if (n == 0)
			return false;
	}
	return true;
}

bool
ascii_only(struct view v)
{
	return ascii_run(v) == v.len;
}

static void
json_put_escape(struct buf *b, char c)
{
	static const char plain[] = "\"\\bfnrt";
	static const char coded[] = "\"\\\b\f\n\r\t";
	const char *hit = c != '\0' ? strchr(coded, c) : NULL;

	if (hit != NULL) {
		buf_put_char(b, '\\');
		buf_put_char(b, plain[hit - coded]);
	} else {
		buf_put_str(b, "\\u00");
		hex_put(b, view_of(&c, 1));
	}
}

int
json_put_string(struct buf *b, struct view text)
{
	size_t i, n, start = b->len;
	char c;

	buf_put_char(b, '"');
	for (i = 0; i < text.len; i += n) {
		c = text.p[i];
		n = utf8_sequence(text.p + i, text.len - i);
		if (n == 0) {
			buf_put_str(b, "\xef\xbf\xbd");
			n = 1;
		} else if ((n == 1 && c < ' ') || c == '"' || c == '\\' ||
		    c == 0x7f) {
			json_put_escape(b, c);
		} else {
			buf_put(b, text.p + i, n);
		}
	}
	if (buf_put_char(b, '"') != 0)
		buf_truncate(b, start);
	return buf_error(b);
}
