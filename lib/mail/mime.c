/* SPDX-License-Identifier: ISC */
/*
 * mime.c: walks MIME structure and takes 8-bit bytes out of it.
 *
 * Run by deliver when a next hop has no 8BITMIME, unprivileged. Content was
 * written by strangers. It is read line by line in two passes: the first notes
 * for each entity what it holds, the second knows from that what to do with
 * an entity before its header is out. Nothing is kept but a stack of
 * boundaries, one byte an entity and the start of the current line; there is
 * no recursion, and each line is compared with at most MIME_DEPTH_MAX
 * boundaries (A8). The encoders are in mime_encode.c.
 */
#include "mail/mime.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/mime_encode.h"
#include "mail/mime_field.h"

/*
 * Start of a line that is kept until it is clear what the line is: longer
 * than any delimiter with padding, and than any field name we look for.
 */
#define HOLD_MAX	256
/* Content-Type is read up to here; a boundary further behind is not found. */
#define FIELD_MAX	4096

/* What the first pass notes for each entity. */
enum note {
	NOTE_TEXT	= 1 << 0,
	NOTE_COMPOSITE	= 1 << 1,
	NOTE_LABEL_8BIT	= 1 << 2,	/* 8bit or binary */
	NOTE_BINARY	= 1 << 3,
	NOTE_QP		= 1 << 4,	/* encoded already */
	NOTE_ENCODED	= 1 << 5,	/* encoded already, base64 or unknown */
	NOTE_HAS_8BIT	= 1 << 6,
};

enum where {
	WHERE_HEADER,
	WHERE_LEAF,
	WHERE_BETWEEN,	/* preamble or epilogue of a multipart */
};

enum line_kind {
	LINE_UNKNOWN,	/* still in hold */
	LINE_FIELD,
	LINE_DROPPED,	/* of a field that is replaced */
	LINE_CONTENT,
	LINE_DONE,	/* delimiter or empty line: dealt with */
};

enum field_kind {
	FIELD_OTHER,
	FIELD_TYPE,
	FIELD_ENCODING,
	FIELD_VERSION,
};

struct level {
	char	boundary[MIME_BOUNDARY_MAX];
	size_t	len;
	bool	digest;		/* children are message/rfc822 by default */
};

struct mime {
	bool		 converting;
	int		 error;
	struct mime_summary sum;

	struct level	 levels[MIME_DEPTH_MAX];
	unsigned	 depth;

	unsigned char	*notes;
	unsigned	 nnotes;	/* of the first pass */
	unsigned	 cap;
	unsigned	 entity;	/* number of the current one */

	enum where	 where;
	enum line_kind	 kind;
	char		 hold[HOLD_MAX];
	size_t		 hold_len;
	bool		 cr;		/* taken, and what follows is not known */

	/* The current header. */
	bool		 is_message;	/* has MIME-Version of its own */
	bool		 seen_version;
	bool		 seen_type;
	enum field_kind	 field_kind;
	struct buf	 field;
	struct mime_type type;
	enum mime_cte	 cte;

	struct mime_encoder enc;
};

struct mime *
mime_new(void)
{
	struct mime *m = XNEW(struct mime);

	buf_init(&m->field, FIELD_MAX);
	mime_encoder_init(&m->enc, NULL, NULL);
	return m;
}

void
mime_free(struct mime **m)
{
	if (*m == NULL)
		return;
	buf_fini(&(*m)->field);
	mime_encoder_fini(&(*m)->enc);
	xfree((*m)->notes);
	xfree(*m);
	*m = NULL;
}

static void
fail(struct mime *m, int error)
{
	if (m->error == 0)
		m->error = error;
}

static void
emit(struct mime *m, const char *p, size_t n)
{
	if (m->converting)
		mime_encoder_raw(&m->enc, p, n);
}

static void
emit_str(struct mime *m, const char *s)
{
	emit(m, s, strlen(s));
}

/* What the second pass does with an entity. */
static enum mime_action
action_of(unsigned note)
{
	bool high = (note & NOTE_HAS_8BIT) != 0;

	if (note & NOTE_COMPOSITE)
		return note & NOTE_LABEL_8BIT ? MIME_RELABEL : MIME_PASS;
	if (note & NOTE_QP)
		return high ? MIME_MEND_QP : MIME_PASS;
	if (note & NOTE_ENCODED)
		return high ? MIME_STRIP : MIME_PASS;
	if (high || (note & NOTE_BINARY))
		return note & NOTE_TEXT ? MIME_QP : MIME_BASE64;
	return note & NOTE_LABEL_8BIT ? MIME_RELABEL : MIME_PASS;
}

static enum mime_action
current_action(const struct mime *m)
{
	return m->converting && m->entity < m->nnotes ?
	    action_of(m->notes[m->entity]) : MIME_PASS;
}

static void
note(struct mime *m, unsigned bits)
{
	if (!m->converting && m->entity < m->cap)
		m->notes[m->entity] |= (unsigned char)bits;
}

/* Room for the note of entity m->entity. */
static void
entity_reserve(struct mime *m)
{
	unsigned cap;

	if (m->converting) {
		if (m->entity >= m->nnotes)
			fail(m, PK_EFORMAT);
		return;
	}
	if (m->entity >= MIME_PARTS_MAX) {
		fail(m, PK_ELIMIT);
		return;
	}
	if (m->entity >= m->cap) {
		cap = m->cap == 0 ? 16 : m->cap * 2;
		m->notes = xreallocarray(m->notes, cap, 1);
		memset(m->notes + m->cap, 0, cap - m->cap);
		m->cap = cap;
	}
	m->sum.parts = m->entity + 1;
}

/* is_message: top level or inside message/rfc822. */
static void
header_begin(struct mime *m, bool is_message)
{
	entity_reserve(m);
	m->where = WHERE_HEADER;
	m->is_message = is_message;
	m->seen_version = m->seen_type = false;
	m->field_kind = FIELD_OTHER;
	m->cte = MIME_CTE_NONE;
	mime_type_default(&m->type, !is_message && m->depth > 0 &&
	    m->levels[m->depth - 1].digest);
}

static void
start(struct mime *m, bool converting)
{
	m->converting = converting;
	m->error = 0;
	m->depth = 0;
	m->entity = 0;
	m->kind = LINE_UNKNOWN;
	m->hold_len = 0;
	m->cr = false;
	header_begin(m, true);
}

/* The field in m->field is complete. */
static void
field_end(struct mime *m)
{
	struct view value = buf_view(&m->field);

	switch (m->field_kind) {
	case FIELD_TYPE:
		if (!m->seen_type)
			mime_type_parse(value, &m->type);
		m->seen_type = true;
		break;
	case FIELD_ENCODING:
		m->cte = mime_cte_parse(value);
		break;
	case FIELD_VERSION:
		m->seen_version = true;
		break;
	case FIELD_OTHER:
		break;
	}
	m->field_kind = FIELD_OTHER;
	buf_reset(&m->field);
}

static unsigned
cte_notes(enum mime_cte cte)
{
	switch (cte) {
	case MIME_CTE_8BIT:
		return NOTE_LABEL_8BIT;
	case MIME_CTE_BINARY:
		return NOTE_LABEL_8BIT | NOTE_BINARY;
	case MIME_CTE_QP:
		return NOTE_QP;
	case MIME_CTE_OTHER:
		return NOTE_ENCODED;
	case MIME_CTE_NONE:
	case MIME_CTE_7BIT:
		break;
	}
	return 0;
}

/* Fields that replace or complete what the header said. */
static void
emit_labels(struct mime *m, enum mime_action action)
{
	const char *cte = mime_action_label(action);

	if (cte == NULL)
		return;
	if (m->is_message && !m->seen_version)
		emit_str(m, "MIME-Version: 1.0\r\n");
	/* RFC 1428 2: text of unknown charset that nobody labelled. */
	if (m->is_message && !m->seen_type && action == MIME_QP)
		emit_str(m, "Content-Type: text/plain; charset=unknown-8bit\r\n");
	emit_str(m, "Content-Transfer-Encoding: ");
	emit_str(m, cte);
	emit_str(m, "\r\n");
}

static void
push_level(struct mime *m)
{
	struct level *l;

	if (m->depth >= MIME_DEPTH_MAX) {
		fail(m, PK_ELIMIT);
		return;
	}
	l = &m->levels[m->depth++];
	memcpy(l->boundary, m->type.boundary, m->type.boundary_len);
	l->len = m->type.boundary_len;
	l->digest = m->type.digest;
	if (m->depth > m->sum.depth)
		m->sum.depth = m->depth;
}

/* The header is over: what kind of entity is it, and what comes now? */
static void
header_end(struct mime *m, const char *empty_line)
{
	bool identity;

	field_end(m);
	note(m, cte_notes(m->cte));
	identity = m->cte != MIME_CTE_QP && m->cte != MIME_CTE_OTHER;
	if (m->type.kind == MIME_KIND_TEXT)
		note(m, NOTE_TEXT);
	if (identity && (m->type.kind == MIME_KIND_MESSAGE ||
	    m->type.kind == MIME_KIND_MULTIPART))
		note(m, NOTE_COMPOSITE);
	emit_labels(m, current_action(m));
	emit_str(m, empty_line);
	mime_encoder_begin(&m->enc, current_action(m));
	if (identity && m->type.kind == MIME_KIND_MULTIPART) {
		push_level(m);
		m->where = WHERE_BETWEEN;
		mime_encoder_begin(&m->enc, MIME_STRIP);
	} else if (identity && m->type.kind == MIME_KIND_MESSAGE) {
		m->entity++;
		header_begin(m, true);
	} else {
		m->where = WHERE_LEAF;
	}
}

/*
 * Is the line a delimiter of an open multipart? *level_r: its depth, *close_r:
 * whether it is the last one.
 */
static bool
find_delimiter(const struct mime *m, struct view line, unsigned *level_r,
    bool *close_r)
{
	const struct level *l;
	size_t rest;

	if (m->depth == 0 || line.len < 3 || line.p[0] != '-' ||
	    line.p[1] != '-')
		return false;
	line = view_from(line, 2);
	while (line.len > 0 && (line.p[line.len - 1] == ' ' ||
	    line.p[line.len - 1] == '\t'))
		line.len--;
	for (unsigned i = m->depth; i-- > 0;) {
		l = &m->levels[i];
		if (line.len < l->len || memcmp(line.p, l->boundary, l->len))
			continue;
		rest = line.len - l->len;
		if (rest != 0 && (rest != 2 || line.p[l->len] != '-' ||
		    line.p[l->len + 1] != '-'))
			continue;
		*level_r = i;
		*close_r = rest == 2;
		return true;
	}
	return false;
}

static void
take_delimiter(struct mime *m, unsigned level, bool close)
{
	/* A header that a delimiter cuts off is an entity without a body. */
	if (m->where == WHERE_HEADER)
		header_end(m, "");
	mime_encoder_end(&m->enc, true);
	emit(m, m->hold, m->hold_len);
	emit_str(m, "\r\n");
	m->kind = LINE_DONE;
	if (close) {
		m->depth = level;
		m->where = WHERE_BETWEEN;
		mime_encoder_begin(&m->enc, MIME_STRIP);
		return;
	}
	m->depth = level + 1;
	m->entity++;
	header_begin(m, false);
}

static enum field_kind
field_kind_of(struct view name)
{
	if (view_caseeq(name, VIEW("Content-Type")))
		return FIELD_TYPE;
	if (view_caseeq(name, VIEW("Content-Transfer-Encoding")))
		return FIELD_ENCODING;
	if (view_caseeq(name, VIEW("MIME-Version")))
		return FIELD_VERSION;
	return FIELD_OTHER;
}

/* True for what can begin a field: a name and a colon. */
static bool
field_name(struct view line, struct view *name_r)
{
	ptrdiff_t colon = view_find(line, ':');

	if (colon <= 0)
		return false;
	*name_r = view_trim(view_head(line, (size_t)colon));
	for (size_t i = 0; i < name_r->len; i++)
		if (name_r->p[i] <= ' ' || name_r->p[i] > '~')
			return false;
	return name_r->len > 0 && line.p[0] != ' ' && line.p[0] != '\t';
}

static void
field_line(struct mime *m, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] >= 0x80)
			m->sum.header_8bit = m->sum.has_8bit = true;
	/* What is too long stays a field, only we do not read all of it. */
	if (m->field_kind != FIELD_OTHER && m->field.len + n <= FIELD_MAX)
		buf_put(&m->field, p, n);
	if (m->kind == LINE_FIELD)
		emit(m, p, n);
}

/* The held start of a line in a header. */
static void
begin_header_line(struct mime *m, struct view line, bool complete)
{
	struct view name;
	bool relabels = mime_action_label(current_action(m)) != NULL;

	if (line.len == 0 && complete) {
		header_end(m, "\r\n");
		m->kind = LINE_DONE;
		return;
	}
	if (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		m->kind = m->field_kind == FIELD_ENCODING && relabels ?
		    LINE_DROPPED : LINE_FIELD;
		field_line(m, line.p, line.len);
		return;
	}
	if (!field_name(line, &name)) {
		/* No field: the body began without an empty line. */
		header_end(m, relabels ? "\r\n" : "");
		if (m->where == WHERE_HEADER)
			header_end(m, "");
		m->kind = LINE_CONTENT;
		return;
	}
	field_end(m);
	m->field_kind = field_kind_of(name);
	m->kind = m->field_kind == FIELD_ENCODING && relabels ?
	    LINE_DROPPED : LINE_FIELD;
	field_line(m, line.p, line.len);
	if (m->field_kind != FIELD_OTHER)
		buf_consume(&m->field,
		    (size_t)view_find(buf_view(&m->field), ':') + 1);
}

static void
content(struct mime *m, const char *p, size_t n)
{
	unsigned bits = 0;
	bool nul = false;

	for (size_t i = 0; i < n; i++) {
		bits |= (unsigned char)p[i];
		nul |= p[i] == '\0';
	}
	m->sum.has_nul |= nul;
	if (bits & 0x80) {
		m->sum.has_8bit = true;
		if (m->where == WHERE_LEAF)
			note(m, NOTE_HAS_8BIT);
	}
	if (m->converting)
		mime_encoder_put(&m->enc, p, n);
}

/* Enough of the line is in hold (all of it when complete) to say what it is. */
static void
begin_line(struct mime *m, bool complete)
{
	struct view line = view_of(m->hold, m->hold_len);
	unsigned level;
	bool close;

	if (complete && find_delimiter(m, line, &level, &close)) {
		take_delimiter(m, level, close);
	} else if (m->where == WHERE_HEADER) {
		begin_header_line(m, line, complete);
		if (m->kind == LINE_CONTENT)
			content(m, line.p, line.len);
	} else {
		m->kind = LINE_CONTENT;
		mime_encoder_line(&m->enc);
		content(m, line.p, line.len);
	}
	m->hold_len = 0;
}

/* Bytes of a line, without its end. */
static void
line_bytes(struct mime *m, const char *p, size_t n)
{
	size_t part;

	if (n == 0)
		return;
	if (m->kind == LINE_UNKNOWN) {
		/* Most lines of a body show with one byte what they are. */
		if (m->hold_len == 0 && m->where != WHERE_HEADER && *p != '-') {
			begin_line(m, false);
		} else {
			part = HOLD_MAX - m->hold_len;
			part = n < part ? n : part;
			memcpy(m->hold + m->hold_len, p, part);
			m->hold_len += part;
			p += part;
			n -= part;
			if (m->hold_len == HOLD_MAX)
				begin_line(m, false);
			if (n == 0)
				return;
		}
	}
	if (m->kind == LINE_CONTENT)
		content(m, p, n);
	else if (m->kind == LINE_FIELD || m->kind == LINE_DROPPED)
		field_line(m, p, n);
}

/* eol: "\r\n" or "\n", as it was. */
static void
line_end(struct mime *m, const char *eol)
{
	if (m->kind == LINE_UNKNOWN)
		begin_line(m, true);
	if (m->kind == LINE_CONTENT) {
		if (m->converting)
			mime_encoder_eol(&m->enc, eol);
	} else if (m->kind == LINE_FIELD) {
		emit_str(m, "\r\n");
	}
	if (m->field_kind != FIELD_OTHER && m->field.len < FIELD_MAX)
		buf_put_char(&m->field, ' ');
	m->kind = LINE_UNKNOWN;
	m->hold_len = 0;
}

static int
feed(struct mime *m, struct view chunk)
{
	const char *p = chunk.p, *end = chunk.p + chunk.len, *lf, *stop;

	while (p < end && m->error == 0) {
		if (m->cr) {
			m->cr = false;
			if (*p == '\n') {
				line_end(m, "\r\n");
				p++;
				continue;
			}
			line_bytes(m, "\r", 1);
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		stop = lf != NULL ? lf : end;
		if (stop > p && stop[-1] == '\r') {
			line_bytes(m, p, (size_t)(stop - 1 - p));
			if (lf != NULL)
				line_end(m, "\r\n");
			else
				m->cr = true;
		} else {
			line_bytes(m, p, (size_t)(stop - p));
			if (lf != NULL)
				line_end(m, "\n");
		}
		p = lf != NULL ? lf + 1 : end;
	}
	return m->error;
}

/* A last line without its end, a header without its empty line. */
static void
finish(struct mime *m)
{
	if (m->error != 0)
		return;
	if (m->cr) {
		m->cr = false;
		line_bytes(m, "\r", 1);
	}
	if (m->kind == LINE_UNKNOWN && m->hold_len > 0)
		begin_line(m, true);
	if (m->kind == LINE_FIELD)
		emit_str(m, "\r\n");
	while (m->where == WHERE_HEADER && m->error == 0)
		header_end(m, "");
	if (m->converting)
		mime_encoder_end(&m->enc, false);
}

int
mime_scan(struct mime *m, struct view chunk)
{
	if (m->sum.parts == 0 && m->error == 0)
		start(m, false);
	return feed(m, chunk);
}

int
mime_scan_end(struct mime *m, struct mime_summary *s_r)
{
	unsigned n;

	if (m->sum.parts == 0 && m->error == 0)
		start(m, false);
	finish(m);
	n = m->sum.parts;
	for (unsigned i = 0; i < n; i++) {
		enum mime_action action = action_of(m->notes[i]);

		m->sum.needs_conversion |= action != MIME_PASS &&
		    action != MIME_RELABEL;
	}
	/* Preambles count too: no byte over 127 may go out. */
	m->sum.needs_conversion |= m->sum.has_8bit;
	m->nnotes = n;
	*s_r = m->sum;
	if (m->error != 0)
		return m->error;
	return m->sum.header_8bit ? PK_EUNSUPPORTED : 0;
}

void
mime_convert_begin(struct mime *m, mime_sink_fn sink, void *arg)
{
	int error = m->error;

	mime_encoder_fini(&m->enc);
	mime_encoder_init(&m->enc, sink, arg);
	start(m, true);
	fail(m, error);
}

/* The sink's error, if it had one, is what stopped us. */
static int
result(struct mime *m)
{
	return m->enc.error != 0 ? m->enc.error : m->error;
}

int
mime_convert(struct mime *m, struct view chunk)
{
	feed(m, chunk);
	return result(m);
}

int
mime_convert_end(struct mime *m)
{
	finish(m);
	if (result(m) == 0)
		mime_encoder_flush(&m->enc);
	return result(m);
}
