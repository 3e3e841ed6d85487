/* SPDX-License-Identifier: ISC */
/*
 * smtp_reply.c: replies of remote servers, read as they arrive.
 *
 * Run by deliver's smtp and lmtp workers in an empty chroot. Whoever answers
 * an MX is a stranger: every length is bounded before it is kept, and what
 * is no reply ends the session.
 */
#include "mail/smtp_reply.h"

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

void
smtp_reply_init(struct smtp_reply *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->text, SMTP_REPLY_LINES_MAX * (SMTP_REPLY_LINE_MAX + 1));
	buf_init(&r->partial, SMTP_REPLY_LINE_MAX + 2);
}

void
smtp_reply_fini(struct smtp_reply *r)
{
	buf_fini(&r->text);
	buf_fini(&r->partial);
}

void
smtp_reply_reset(struct smtp_reply *r)
{
	r->code = 0;
	r->status = ENHANCED(0, 0, 0);
	r->lines = 0;
	r->complete = false;
	buf_reset(&r->text);
	buf_reset(&r->partial);
}

static bool
code_of(struct view line, int *code_r)
{
	if (line.len < 3 || line.p[0] < '2' || line.p[0] > '5' ||
	    !ascii_isdigit(line.p[1]) || !ascii_isdigit(line.p[2]))
		return false;
	*code_r = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 +
	    (line.p[2] - '0');
	return true;
}

/* A code of another class than the reply's is a server's slip: not used. */
static void
note_status(struct smtp_reply *r, struct view text)
{
	struct enhanced e;
	size_t used;

	if (enhanced_parse_prefix(text, &e, &used) == 0 &&
	    e.klass == r->code / 100)
		r->status = e;
}

/* line: without its end. 0 for the last line, PK_EAGAIN for one in between. */
static int
take_line(struct smtp_reply *r, struct view line)
{
	struct view text;
	int code;

	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (!code_of(line, &code) || (r->lines > 0 && code != r->code))
		return PK_EPROTO;
	if (line.len > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return PK_EPROTO;
	if (line.len > SMTP_REPLY_LINE_MAX ||
	    r->lines >= SMTP_REPLY_LINES_MAX)
		return PK_ELIMIT;
	r->code = code;
	text = view_from(line, 4);
	if (r->lines++ > 0)
		buf_put_char(&r->text, '\n');
	if (buf_put_view(&r->text, text) != 0)
		return PK_ELIMIT;
	note_status(r, text);
	if (line.len > 3 && line.p[3] == '-')
		return PK_EAGAIN;
	r->complete = true;
	return 0;
}

/* The line's last part is in piece; the rest may wait in partial. */
static int
finish_line(struct smtp_reply *r, struct view piece)
{
	int rc;

	if (r->partial.len == 0)
		return take_line(r, piece);
	if (buf_put_view(&r->partial, piece) != 0)
		return PK_ELIMIT;
	rc = take_line(r, buf_view(&r->partial));
	buf_reset(&r->partial);
	return rc;
}

int
smtp_reply_feed(struct smtp_reply *r, struct view in, size_t *used_r)
{
	size_t pos = 0;
	const char *lf;
	int rc = r->complete ? 0 : PK_EAGAIN;

	while (rc == PK_EAGAIN && pos < in.len) {
		lf = memchr(in.p + pos, '\n', in.len - pos);
		if (lf == NULL) {
			if (buf_put(&r->partial, in.p + pos, in.len - pos) != 0)
				rc = PK_ELIMIT;
			pos = in.len;
			break;
		}
		rc = finish_line(r, view_of(in.p + pos,
		    (size_t)(lf - in.p) - pos));
		pos = (size_t)(lf - in.p) + 1;
	}
	*used_r = pos;
	return rc;
}

bool
smtp_reply_line(const struct smtp_reply *r, unsigned n, struct view *line_r)
{
	struct view rest = buf_view(&r->text);
	ptrdiff_t lf;

	if (n >= r->lines)
		return false;
	for (;; n--) {
		lf = view_find(rest, '\n');
		if (n == 0)
			break;
		if (lf < 0)
			return false;
		rest = view_from(rest, (size_t)lf + 1);
	}
	*line_r = lf < 0 ? rest : view_head(rest, (size_t)lf);
	return true;
}

int
smtp_reply_put_text(struct buf *b, const struct smtp_reply *r)
{
	struct view text = buf_view(&r->text);
	bool utf8 = utf8_valid(text);

	buf_printf(b, "%03d", r->code);
	if (text.len > 0)
		buf_put_char(b, ' ');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '\n' || c == '\t')
			c = ' ';
		else if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			c = '?';
		buf_put_char(b, (char)c);
	}
	return buf_error(b);
}

static const struct {
	const char	*name;
	unsigned	 bit;
} cap_names[] = {
	{ "PIPELINING", SMTP_CAP_PIPELINING },
	{ "SIZE", SMTP_CAP_SIZE },
	{ "8BITMIME", SMTP_CAP_8BITMIME },
	{ "BINARYMIME", SMTP_CAP_BINARYMIME },
	{ "CHUNKING", SMTP_CAP_CHUNKING },
	{ "SMTPUTF8", SMTP_CAP_SMTPUTF8 },
	{ "DSN", SMTP_CAP_DSN },
	{ "ENHANCEDSTATUSCODES", SMTP_CAP_ENHANCEDSTATUSCODES },
	{ "LIMITS", SMTP_CAP_LIMITS },
	{ "MT-PRIORITY", SMTP_CAP_MT_PRIORITY },
	{ "STARTTLS", SMTP_CAP_STARTTLS },
	{ "AUTH", SMTP_CAP_AUTH },
	{ "REQUIRETLS", SMTP_CAP_REQUIRETLS },
};

static const struct {
	const char	*name;
	unsigned	 bit;
} mech_names[] = {
	{ "PLAIN", SMTP_AUTH_PLAIN },
	{ "LOGIN", SMTP_AUTH_LOGIN },
	{ "CRAM-MD5", SMTP_AUTH_CRAM_MD5 },
	{ "SCRAM-SHA-1", SMTP_AUTH_SCRAM_SHA_1 },
	{ "SCRAM-SHA-1-PLUS", SMTP_AUTH_SCRAM_SHA_1_PLUS },
	{ "SCRAM-SHA-256", SMTP_AUTH_SCRAM_SHA_256 },
	{ "SCRAM-SHA-256-PLUS", SMTP_AUTH_SCRAM_SHA_256_PLUS },
	{ "XOAUTH2", SMTP_AUTH_XOAUTH2 },
	{ "OAUTHBEARER", SMTP_AUTH_OAUTHBEARER },
	{ "EXTERNAL", SMTP_AUTH_EXTERNAL },
};

static unsigned
parse_mechs(struct view rest)
{
	struct view word;
	unsigned mechs = 0;

	while (view_next(&rest, " \t", &word))
		for (size_t i = 0; i < NELEMS(mech_names); i++)
			if (view_caseeq(word, view_str(mech_names[i].name)))
				mechs |= mech_names[i].bit;
	return mechs;
}

/* RFC 9422: LIMITS NAME=VALUE ...; names we do not know are skipped. */
static void
parse_limits(struct view rest, struct smtp_caps *caps)
{
	struct view word, name, value;
	ptrdiff_t equals;
	uint64_t n;

	while (view_next(&rest, " \t", &word)) {
		equals = view_find(word, '=');
		if (equals < 0)
			continue;
		name = view_head(word, (size_t)equals);
		value = view_from(word, (size_t)equals + 1);
		if (num_parse_u64(value, 1, 999999, &n) != 0)
			continue;
		if (view_caseeq(name, VIEW("RCPTMAX")))
			caps->rcpt_max = n;
		else if (view_caseeq(name, VIEW("MAILMAX")))
			caps->mail_max = n;
		else if (view_caseeq(name, VIEW("RCPTDOMAINMAX")))
			caps->rcpt_domain_max = n;
	}
}

static void
parse_keyword(struct view line, struct smtp_caps *caps)
{
	struct view rest = line, keyword;
	unsigned bit = 0;

	/* "AUTH=LOGIN": what servers said before RFC 2554. */
	if (view_casestarts(line, VIEW("AUTH="))) {
		caps->flags |= SMTP_CAP_AUTH;
		caps->auth |= parse_mechs(view_from(line, 5));
		return;
	}
	if (!view_next(&rest, " \t", &keyword))
		return;
	for (size_t i = 0; i < NELEMS(cap_names) && bit == 0; i++)
		if (view_caseeq(keyword, view_str(cap_names[i].name)))
			bit = cap_names[i].bit;
	caps->flags |= bit;
	if (bit == SMTP_CAP_SIZE)
		(void)num_parse_u64(view_trim(rest), 0, UINT64_MAX,
		    &caps->size_max);
	else if (bit == SMTP_CAP_AUTH)
		caps->auth |= parse_mechs(rest);
	else if (bit == SMTP_CAP_LIMITS)
		parse_limits(rest, caps);
}

void
smtp_caps_parse(const struct smtp_reply *r, struct smtp_caps *caps_r)
{
	struct view rest = buf_view(&r->text), line;
	ptrdiff_t lf;

	memset(caps_r, 0, sizeof(*caps_r));
	/* The first line is the server's name. */
	lf = view_find(rest, '\n');
	while (lf >= 0) {
		rest = view_from(rest, (size_t)lf + 1);
		lf = view_find(rest, '\n');
		line = lf < 0 ? rest : view_head(rest, (size_t)lf);
		parse_keyword(line, caps_r);
	}
}
