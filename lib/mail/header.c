/* SPDX-License-Identifier: ISC */
/*
 * header.c: reads and writes header fields.
 *
 * Run by deliver, bounce and lookupd on stored mail, unprivileged. The header
 * was written by a stranger; the reader keeps no state but a position and
 * looks at each byte once, so that a header of a megabyte costs a megabyte
 * (A8). The writer lets no byte through that could start another line (A11).
 */
#include "mail/header.h"

#include "base/codec.h"
#include "base/error.h"

/* A field name longer than this is no field (RFC 5322 allows 997). */
#define NAME_MAX_LEN	255

void
header_iter_init(struct header_iter *it, struct view message)
{
	it->message = message;
	it->pos = 0;
}

/* End of the line at pos, behind its LF. */
static size_t
line_end(struct view v, size_t pos)
{
	const char *lf = memchr(v.p + pos, '\n', v.len - pos);

	return lf != NULL ? (size_t)(lf - v.p) + 1 : v.len;
}

bool
header_name_valid(struct view name)
{
	if (name.len == 0 || name.len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return true;
}

static struct view
without_eol(struct view v)
{
	if (v.len > 0 && v.p[v.len - 1] == '\n')
		v.len--;
	if (v.len > 0 && v.p[v.len - 1] == '\r')
		v.len--;
	return v;
}

bool
header_next(struct header_iter *it, struct header_field *f_r)
{
	struct view m = it->message, line, name;
	size_t end;
	ptrdiff_t colon;

	if (it->pos >= m.len)
		return false;
	end = line_end(m, it->pos);
	line = view_of(m.p + it->pos, end - it->pos);
	colon = view_find(line, ':');
	if (colon <= 0)
		return false;
	name = view_head(line, (size_t)colon);
	/* "Subject : x" is obsolete syntax (4.5), still a field. */
	while (name.len > 0 && (name.p[name.len - 1] == ' ' ||
	    name.p[name.len - 1] == '\t'))
		name.len--;
	if (!header_name_valid(name))
		return false;
	while (end < m.len && (m.p[end] == ' ' || m.p[end] == '\t'))
		end = line_end(m, end);
	f_r->name = name;
	f_r->whole = view_of(m.p + it->pos, end - it->pos);
	f_r->value = without_eol(view_from(f_r->whole, (size_t)colon + 1));
	it->pos = end;
	return true;
}

bool
header_find(struct view message, struct view name, struct header_field *f_r)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, message);
	while (header_next(&it, &f)) {
		if (view_caseeq(f.name, name)) {
			*f_r = f;
			return true;
		}
	}
	return false;
}

size_t
header_length(struct view message)
{
	struct header_iter it;
	struct header_field f;
	struct view rest;

	header_iter_init(&it, message);
	while (header_next(&it, &f))
		continue;
	rest = view_from(message, it.pos);
	if (view_starts(rest, VIEW("\r\n")))
		return it.pos + 2;
	return it.pos + (view_starts(rest, VIEW("\n")) ? 1 : 0);
}

static inline bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

int
header_put_unfolded(struct buf *b, struct view value)
{
	bool blank = false;

	value = view_trim(value);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];

		if (c == '\r' || c == '\n') {
			blank = true;
			continue;
		}
		if (blank && (c == ' ' || c == '\t'))
			continue;
		if (blank)
			buf_put_char(b, ' ');
		blank = false;
		buf_put_char(b, is_control(c) ? ' ' : c);
	}
	return buf_error(b);
}

int
header_put_value(struct buf *b, struct view value)
{
	char *p = buf_room(b, value.len);

	if (p == NULL)
		return PK_ELIMIT;
	for (size_t i = 0; i < value.len; i++)
		p[i] = is_control(value.p[i]) ? ' ' : value.p[i];
	buf_added(b, value.len);
	return buf_error(b);
}

int
header_put_field(struct buf *b, struct view name, struct view value)
{
	if (!header_name_valid(name))
		return PK_ESYNTAX;
	buf_put_view(b, name);
	buf_put_str(b, ": ");
	header_put_value(b, value);
	return buf_put_str(b, "\r\n");
}

static bool
is_phrase_atom(char c)
{
	return ascii_isalnum(c) || c == ' ' ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* RFC 2047: words of at most 75 bytes that break between characters. */
static int
put_encoded(struct buf *b, struct view phrase)
{
	size_t n;

	while (phrase.len > 0) {
		n = phrase.len < 45 ? phrase.len : 45;
		while (n < phrase.len && n > 1 &&
		    ((unsigned char)phrase.p[n] & 0xc0) == 0x80)
			n--;
		buf_put_str(b, "=?utf-8?B?");
		base64_put(b, view_head(phrase, n));
		buf_put_str(b, "?=");
		phrase = view_from(phrase, n);
		if (phrase.len > 0)
			buf_put_str(b, "\r\n ");
	}
	return buf_error(b);
}

int
header_put_phrase(struct buf *b, struct view phrase)
{
	bool atoms = phrase.len > 0;

	if (!ascii_only(phrase))
		return put_encoded(b, phrase);
	for (size_t i = 0; i < phrase.len; i++)
		atoms = atoms && is_phrase_atom(phrase.p[i]);
	if (atoms)
		return buf_put_view(b, phrase);
	buf_put_char(b, '"');
	for (size_t i = 0; i < phrase.len; i++) {
		char c = phrase.p[i];

		if (c == '"' || c == '\\')
			buf_put_char(b, '\\');
		buf_put_char(b, is_control(c) ? ' ' : c);
	}
	return buf_put_char(b, '"');
}
