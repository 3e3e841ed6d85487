/* SPDX-License-Identifier: ISC */
/*
 * data_scanner.c: mail content from the wire, line endings and dots.
 *
 * Run by smtpd on what clients send, in an empty chroot; every byte is
 * hostile. This is the only place that decides where a message ends: SMTP
 * smuggling (A1) lives from servers that see more than one such sequence, so
 * there is one state machine, whose states are all there is to remember
 * between two chunks. Inside a chunk it walks from CR to CR; what lies
 * between goes to the sink in one slice.
 */
#include "mail/data_scanner.h"

#include "base/error.h"
#include "mail/scan.h"

enum state {
	STATE_LINE_START,
	STATE_LINE,
	STATE_CR,	/* CR taken, not put */
	STATE_DOT,	/* dot at the start of a line taken, not put */
	STATE_DOT_CR,	/* and a CR */
};

/* A position in the chunk: [slice, p) is taken and still to be put. */
struct walk {
	const char	*slice;
	const char	*p;
	const char	*end;
};

void
data_scanner_init(struct data_scanner *s, enum data_bare bare, unsigned flags,
    uint64_t size_max, data_sink_fn sink, void *sink_arg)
{
	memset(s, 0, offsetof(struct data_scanner, field));
	s->bare = bare;
	s->flags = flags;
	s->size_max = size_max;
	s->sink = sink;
	s->sink_arg = sink_arg;
	s->in_header = true;
	s->state = STATE_LINE_START;
}

static int
put(struct data_scanner *s, const char *p, size_t n)
{
	if (n == 0)
		return 0;
	s->content_bytes += n;
	if (s->size_max != 0 && s->content_bytes > s->size_max)
		s->too_big = true;
	if (s->refused || s->too_big)
		return 0;
	return s->sink(s->sink_arg, view_of(p, n));
}

/* Puts what was taken so far; the next slice begins at w->p. */
static int
flush(struct data_scanner *s, struct walk *w)
{
	const char *from = w->slice;

	w->slice = w->p;
	return put(s, from, (size_t)(w->p - from));
}

static void
refuse(struct data_scanner *s)
{
	if (s->bare == DATA_BARE_REJECT && !(s->flags & DATA_SCANNER_BINARY))
		s->refused = true;
}

static void
capture(struct data_scanner *s, const char *p, size_t n)
{
	size_t room = sizeof(s->field) - s->field_len;

	if (n > room)
		n = room;
	memcpy(s->field + s->field_len, p, n);
	s->field_len = (uint16_t)(s->field_len + n);
}

static void
note_message_id(struct data_scanner *s, struct view value)
{
	size_t n;

	value = view_trim(value);
	s->field_message_id = value.len == 0;
	n = value.len < DATA_MESSAGE_ID_MAX ? value.len : DATA_MESSAGE_ID_MAX;
	for (size_t i = 0; i < n; i++)
		s->message_id[i] = value.p[i] >= ' ' && value.p[i] <= '~' ?
		    value.p[i] : '?';
	s->message_id[n] = '\0';
}

static void
note_field(struct data_scanner *s, struct view name, struct view value)
{
	s->field_message_id = false;
	switch (name.len) {
	case 4:
		if (view_caseeq(name, VIEW("From")))
			s->seen |= DATA_SEEN_FROM;
		else if (view_caseeq(name, VIEW("Date")))
			s->seen |= DATA_SEEN_DATE;
		break;
	case 8:
		if (view_caseeq(name, VIEW("Received")))
			s->hops++;
		break;
	case 10:
		if (view_caseeq(name, VIEW("Message-ID")) &&
		    !(s->seen & DATA_SEEN_MESSAGE_ID)) {
			s->seen |= DATA_SEEN_MESSAGE_ID;
			note_message_id(s, value);
		}
		break;
	case 11:
		if (view_caseeq(name, VIEW("Resent-From")))
			s->seen |= DATA_SEEN_RESENT;
		break;
	case 12:
		if (view_caseeq(name, VIEW("Delivered-To")))
			s->delivered_to++;
		else if (view_caseeq(name, VIEW("TLS-Required")) &&
		    view_caseeq(view_trim(value), VIEW("No")))
			s->seen |= DATA_SEEN_TLS_OPTIONAL;
		break;
	case 17:
		if (view_caseeq(name, VIEW("Resent-Message-ID")))
			s->seen |= DATA_SEEN_RESENT;
		break;
	default:
		break;
	}
}

/* False when the line is no field: the header ended before it. */
static bool
take_field(struct data_scanner *s)
{
	struct view line = view_of(s->field, s->field_len), name;
	ptrdiff_t colon;

	if (line.p[0] == ' ' || line.p[0] == '\t') {
		if (s->field_message_id)
			note_message_id(s, line);
		return s->header_bytes > 0;
	}
	colon = view_find(line, ':');
	if (colon <= 0)
		return false;
	name = view_trim(view_head(line, (size_t)colon));
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return false;
	note_field(s, name, view_from(line, (size_t)colon + 1));
	return name.len > 0;
}

/* content_end: content_bytes as it will be when all that was taken is put. */
static void
header_line_end(struct data_scanner *s, uint64_t content_end)
{
	bool empty = s->line_bytes == 0;

	if (!empty && (s->field_len == 0 || !take_field(s))) {
		s->in_header = false;
		return;
	}
	if (s->line_high)
		s->seen |= DATA_SEEN_HEADER_8BIT;
	s->header_bytes = content_end;
	s->in_header = !empty;
	s->field_len = 0;
}

/* Behind a line's CRLF; bare: it was a lone LF in the input. */
static void
line_end(struct data_scanner *s, const struct walk *w, bool bare)
{
	if (s->in_header)
		header_line_end(s, s->content_bytes +
		    (uint64_t)(w->p - w->slice));
	if (s->line_high)
		s->seen |= DATA_SEEN_8BIT;
	if (s->line_bytes > s->longest_line)
		s->longest_line = s->line_bytes;
	if (s->line_bytes > DATA_LINE_MAX)
		s->seen |= DATA_SEEN_LONG_LINE;
	s->lines++;
	s->line_bytes = 0;
	s->line_high = false;
	s->after_bare = bare;
	s->state = STATE_LINE_START;
}

/* The CR was taken and not put; what follows is no LF. */
static int
bare_cr(struct data_scanner *s)
{
	s->seen |= DATA_SEEN_BARE_CR;
	s->line_bytes++;
	s->state = STATE_LINE;
	refuse(s);
	if (s->in_header)
		capture(s, " ", 1);
	return put(s, s->flags & DATA_SCANNER_BINARY ? "\r" : " ", 1);
}

/* w->p is at a LF without CR; [slice, p) is not put yet. */
static int
bare_lf(struct data_scanner *s, struct walk *w)
{
	int rc;

	s->seen |= DATA_SEEN_BARE_LF;
	refuse(s);
	if (s->flags & DATA_SCANNER_BINARY) {
		s->line_bytes++;
		w->p++;
		s->state = STATE_LINE;
		return 0;
	}
	rc = flush(s, w);
	if (rc == 0)
		rc = put(s, "\r\n", 2);
	w->slice = ++w->p;
	line_end(s, w, true);
	return rc;
}

/* w->p is at a CR in the middle of a line. */
static int
at_cr(struct data_scanner *s, struct walk *w)
{
	int rc;

	if (w->end - w->p >= 2 && w->p[1] == '\n') {
		w->p += 2;
		line_end(s, w, false);
		return 0;
	}
	rc = flush(s, w);
	w->slice = ++w->p;
	if (rc != 0)
		return rc;
	if (w->p == w->end) {
		s->state = STATE_CR;
		return 0;
	}
	return bare_cr(s);
}

/* Inside a line, up to its end or the chunk's. */
static int
in_line(struct data_scanner *s, struct walk *w)
{
	const char *from = w->p;

	w->p = scan_line_bytes(from, w->end, &s->line_high);
	s->line_bytes += (uint64_t)(w->p - from);
	if (s->in_header)
		capture(s, from, (size_t)(w->p - from));
	if (w->p == w->end)
		return 0;
	if (*w->p == '\r')
		return at_cr(s, w);
	if (*w->p == '\n')
		return bare_lf(s, w);
	s->seen |= DATA_SEEN_NUL;
	s->line_bytes++;
	w->p++;
	if (s->in_header)
		capture(s, "", 1);
	return 0;
}

/* A CR was the last byte before w->p. */
static int
behind_cr(struct data_scanner *s, struct walk *w)
{
	int rc;

	if (*w->p != '\n')
		return bare_cr(s);
	rc = put(s, "\r\n", 2);
	w->slice = ++w->p;
	line_end(s, w, false);
	return rc;
}

/* A line that is a dot alone, but did not end the data: it stays. */
static int
lone_dot(struct data_scanner *s)
{
	s->line_bytes = 1;
	if (s->in_header)
		capture(s, ".", 1);
	return put(s, ".", 1);
}

/* Behind a dot at the start of a line; the dot is dropped unless it is alone. */
static int
behind_dot(struct data_scanner *s, struct walk *w)
{
	int rc = 0;

	if (*w->p == '\r') {
		w->slice = ++w->p;
		s->state = STATE_DOT_CR;
	} else if (*w->p == '\n' && !(s->flags & DATA_SCANNER_BINARY)) {
		rc = lone_dot(s);
		if (rc == 0)
			rc = bare_lf(s, w);
	} else {
		s->state = STATE_LINE;
	}
	return rc;
}

/*
 * Behind ".<CR>" at the start of a line. Only a line that began behind a real
 * CRLF may end the data.
 */
static int
behind_dot_cr(struct data_scanner *s, struct walk *w)
{
	int rc;

	if (*w->p != '\n')
		return bare_cr(s);
	if (!s->after_bare) {
		w->slice = ++w->p;
		s->ended = true;
		return 0;
	}
	rc = lone_dot(s);
	return rc != 0 ? rc : behind_cr(s, w);
}

static int
at_line_start(struct data_scanner *s, struct walk *w)
{
	int rc;

	if (*w->p != '.' || (s->flags & DATA_SCANNER_BDAT)) {
		s->state = STATE_LINE;
		return in_line(s, w);
	}
	rc = flush(s, w);
	w->slice = ++w->p;
	s->state = STATE_DOT;
	return rc;
}

static int
step(struct data_scanner *s, struct walk *w)
{
	switch ((enum state)s->state) {
	case STATE_LINE_START:
		return at_line_start(s, w);
	case STATE_LINE:
		return in_line(s, w);
	case STATE_CR:
		return behind_cr(s, w);
	case STATE_DOT:
		return behind_dot(s, w);
	case STATE_DOT_CR:
		return behind_dot_cr(s, w);
	}
	return PK_EFORMAT;
}

int
data_scanner_feed(struct data_scanner *s, struct view in, size_t *used_r)
{
	struct walk w = { in.p, in.p, in.p + in.len };
	int rc = 0;

	while (rc == 0 && !s->ended && w.p < w.end)
		rc = step(s, &w);
	if (rc == 0)
		rc = flush(s, &w);
	s->wire_bytes += (uint64_t)(w.p - in.p);
	*used_r = (size_t)(w.p - in.p);
	if (rc != 0)
		return rc;
	return s->ended ? 0 : PK_EAGAIN;
}

int
data_scanner_finish(struct data_scanner *s)
{
	struct walk w = { NULL, NULL, NULL };
	int rc = 0;

	if (s->ended)
		return 0;
	s->ended = true;
	if (s->state == STATE_CR)
		rc = bare_cr(s);
	if (rc != 0 || s->state == STATE_LINE_START)
		return rc;
	if (!(s->flags & DATA_SCANNER_BINARY))
		rc = put(s, "\r\n", 2);
	line_end(s, &w, false);
	return rc;
}
