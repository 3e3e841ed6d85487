/* SPDX-License-Identifier: ISC */
/*
 * trace.c: Received, Return-Path and their like.
 *
 * Run by smtpd (Received) and deliver (the others), unprivileged. HELO, names
 * and addresses were chosen by strangers: what could leave its place in the
 * field, a blank or a parenthesis included, becomes '?'.
 */
#include "mail/trace.h"

#include "base/clock.h"
#include "base/codec.h"
#include "mail/header.h"

#include <string.h>

/* Longest piece that anybody may put into a trace field. */
#define PIECE_MAX	255

/* One word: no blank, no parenthesis; bytes over 127 only as UTF-8 when allowed. */
static void
put_word(struct buf *b, struct view v, bool utf8)
{
	v = view_head(v, PIECE_MAX);
	utf8 = utf8 && utf8_valid(v);
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c <= ' ' || c == 0x7f || c == '(' || c == ')' ||
		    c == '\\' || (c >= 0x80 && !utf8))
			c = '?';
		buf_put_char(b, (char)c);
	}
}

/* Text inside a comment: blanks stay. */
static void
put_comment(struct buf *b, struct view v)
{
	v = view_head(v, PIECE_MAX);
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < ' ' || c >= 0x7f || c == '(' || c == ')' || c == '\\')
			c = '?';
		buf_put_char(b, (char)c);
	}
}

static void
put_login(struct buf *b, struct view login, const char *before)
{
	buf_put_str(b, before);
	buf_put_str(b, "(Authenticated sender: ");
	put_comment(b, login);
	buf_put_str(b, ")\r\n\t");
}

/*
 * A comment whose text is our own, with parentheses that must close again:
 * else they are replaced like anybody's. At least one of the words in it was
 * a stranger's (the name in a certificate).
 */
static void
put_own_comment(struct buf *b, struct view v)
{
	size_t i, depth = 0;
	bool fits = true;

	for (i = 0; fits && i < v.len; i++) {
		depth += v.p[i] == '(';
		fits = v.p[i] != ')' || depth > 0;
		depth -= fits && v.p[i] == ')';
	}
	if (!fits || depth > 0 || v.len > 2 * PIECE_MAX) {
		put_comment(b, v);
		return;
	}
	for (i = 0; i < v.len; i++)
		buf_put_char(b, v.p[i] < ' ' || v.p[i] >= 0x7f || v.p[i] == '\\' ? '?' : v.p[i]);
}

/* "(using TLSv1.3 with cipher ... (256/256 bits)" CRLF " key-exchange ...)" as Postfix. */
static void
put_tls(struct buf *b, const struct trace_received *t)
{
	static const char key[] = " key-exchange ";
	const char *fold = memmem(t->tls.p, t->tls.len, key, sizeof(key) - 1);
	size_t at = fold != NULL ? (size_t)(fold - t->tls.p) : t->tls.len;

	buf_put_str(b, "\r\n\t(using ");
	put_own_comment(b, view_head(t->tls, at));
	if (fold != NULL) {
		buf_put_str(b, "\r\n\t");
		put_own_comment(b, view_from(t->tls, at));
	}
	buf_put_char(b, ')');
	if (t->tls_peer.len == 0)
		return;
	buf_put_str(b, "\r\n\t(");
	put_own_comment(b, t->tls_peer);
	buf_put_char(b, ')');
}

/* "from HELO (name [addr])" and what is known about the session. */
static void
put_from(struct buf *b, const struct trace_received *t, bool utf8)
{
	buf_put_str(b, "from ");
	put_word(b, t->helo.len > 0 ? t->helo : VIEW("unknown"), utf8);
	buf_put_str(b, " (");
	put_word(b, t->client_name.len > 0 ? t->client_name : VIEW("unknown"),
	    utf8);
	buf_put_str(b, " [");
	if (view_find(t->client_addr, ':') >= 0)
		buf_put_str(b, "IPv6:");
	put_word(b, t->client_addr, false);
	buf_put_str(b, "])");
	if (t->tls.len > 0)
		put_tls(b, t);
	if (t->authenticated.len > 0)
		put_login(b, t->authenticated, "\r\n\t");
	else
		buf_put_str(b, "\r\n\t");
}

int
trace_put_received(struct buf *b, const struct trace_received *t)
{
	bool utf8 = view_starts(t->with, VIEW("UTF8"));

	buf_put_str(b, "Received: ");
	if (t->client_addr.len > 0)
		put_from(b, t, utf8);
	else if (t->authenticated.len > 0)
		put_login(b, t->authenticated, "");
	buf_put_str(b, "by ");
	put_word(b, t->by, utf8);
	buf_put_str(b, " (");
	put_comment(b, t->mail_name.len > 0 ? t->mail_name : VIEW("Postkeep"));
	buf_put_char(b, ')');
	if (t->with.len > 0) {
		buf_put_str(b, " with ");
		put_word(b, t->with, false);
	}
	buf_put_str(b, " id ");
	put_word(b, t->id, false);
	if (t->rcpt.len > 0) {
		buf_put_str(b, "\r\n\tfor <");
		header_put_value(b, t->rcpt);
		buf_put_char(b, '>');
	}
	buf_put_str(b, "; ");
	clock_put_rfc5322(b, t->wall_ms);
	return buf_put_str(b, "\r\n");
}

const char *
trace_with(bool ehlo, bool lmtp, bool tls, bool auth, bool utf8)
{
	static const char *const esmtp[4] =
	    { "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA" };
	static const char *const lmtps[4] =
	    { "LMTP", "LMTPA", "LMTPS", "LMTPSA" };
	static const char *const utf8smtp[4] =
	    { "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA" };
	static const char *const utf8lmtp[4] =
	    { "UTF8LMTP", "UTF8LMTPA", "UTF8LMTPS", "UTF8LMTPSA" };
	unsigned i = (tls ? 2u : 0u) + (auth ? 1u : 0u);

	if (lmtp)
		return utf8 ? utf8lmtp[i] : lmtps[i];
	if (!ehlo)
		return "SMTP";
	return utf8 ? utf8smtp[i] : esmtp[i];
}

int
trace_put_return_path(struct buf *b, struct view sender)
{
	buf_put_str(b, "Return-Path: <");
	header_put_value(b, sender);
	return buf_put_str(b, ">\r\n");
}

int
trace_put_delivered_to(struct buf *b, struct view rcpt)
{
	return header_put_field(b, VIEW("Delivered-To"), rcpt);
}

int
trace_put_original_to(struct buf *b, struct view rcpt)
{
	return header_put_field(b, VIEW("X-Original-To"), rcpt);
}
