/* SPDX-License-Identifier: ISC */
/*
 * mime_encode.c: content encoders.
 *
 * Run wherever mime.c runs. Output is gathered in a buffer of fixed size and
 * given to the sink in pieces; an error of the sink sticks and silences the
 * rest.
 */
#include "mail/mime_encode.h"

#include "base/codec.h"
#include "base/error.h"

/* The sink is called when so much has come together. */
#define FLUSH_AT	16384
/* Input taken at a time: encoded it fits behind FLUSH_AT. */
#define PIECE		4096
#define OUT_MAX		(FLUSH_AT + 4 * PIECE + 64)

/* RFC 2045 6.7 (5): 76 with the '=' of a soft break. */
#define QP_COLUMNS	75

void
mime_encoder_init(struct mime_encoder *e, mime_sink_fn sink, void *arg)
{
	memset(e, 0, sizeof(*e));
	e->sink = sink;
	e->arg = arg;
	e->action = MIME_PASS;
	buf_init(&e->out, OUT_MAX);
}

void
mime_encoder_fini(struct mime_encoder *e)
{
	buf_fini(&e->out);
}

void
mime_encoder_flush(struct mime_encoder *e)
{
	if (e->error == 0 && e->out.len > 0)
		e->error = e->sink(e->arg, buf_view(&e->out));
	buf_reset(&e->out);
}

static void
make_room(struct mime_encoder *e)
{
	if (e->out.len >= FLUSH_AT)
		mime_encoder_flush(e);
}

void
mime_encoder_raw(struct mime_encoder *e, const char *p, size_t n)
{
	size_t part;

	for (; n > 0; p += part, n -= part) {
		make_room(e);
		part = n < PIECE ? n : PIECE;
		buf_put(&e->out, p, part);
	}
}

static const char hex[] = "0123456789ABCDEF";

static char *
qp_escape(char *o, char c)
{
	*o++ = '=';
	*o++ = hex[(unsigned char)c >> 4];
	*o++ = hex[(unsigned char)c & 15];
	return o;
}

/* width columns are needed. */
static char *
qp_space(struct mime_encoder *e, char *o, unsigned width)
{
	if (e->column + width > QP_COLUMNS) {
		memcpy(o, "=\r\n", 3);
		o += 3;
		e->column = 0;
	}
	e->column += width;
	return o;
}

/* A blank held back that turned out not to be the line's last byte. */
static char *
qp_release(struct mime_encoder *e, char *o)
{
	if (e->blank != 0) {
		o = qp_space(e, o, 1);
		*o++ = e->blank;
		e->blank = 0;
	}
	return o;
}

static char *
qp_byte(struct mime_encoder *e, char *o, char c)
{
	o = qp_release(e, o);
	if (c == ' ' || c == '\t') {
		e->blank = c;
		return o;
	}
	if (c > ' ' && c <= '~' && c != '=') {
		o = qp_space(e, o, 1);
		*o++ = c;
		return o;
	}
	o = qp_space(e, o, 3);
	return qp_escape(o, c);
}

/* A blank at the end of a line is lost on the way unless encoded (6.7 (3)). */
static char *
qp_end_blank(struct mime_encoder *e, char *o)
{
	if (e->blank != 0) {
		o = qp_space(e, o, 3);
		o = qp_escape(o, e->blank);
		e->blank = 0;
	}
	return o;
}

/* Output of one byte: a released blank and an escape, each with a soft break: 10. */
#define QP_GROWTH	10
#define QP_PIECE	(4 * PIECE / QP_GROWTH)

static void
qp_put(struct mime_encoder *e, const char *p, size_t n)
{
	size_t part;
	char *start, *o;

	for (; n > 0; p += part, n -= part) {
		make_room(e);
		part = n < QP_PIECE ? n : QP_PIECE;
		start = o = buf_room(&e->out, part * QP_GROWTH);
		if (o == NULL)
			return;
		for (size_t i = 0; i < part; i++)
			o = qp_byte(e, o, p[i]);
		buf_added(&e->out, (size_t)(o - start));
	}
}

static void
base64_flush(struct mime_encoder *e)
{
	if (e->block_len == 0)
		return;
	make_room(e);
	base64_put(&e->out, view_of((const char *)e->block, e->block_len));
	buf_put_str(&e->out, "\r\n");
	e->block_len = 0;
}

static void
base64_feed(struct mime_encoder *e, const char *p, size_t n)
{
	size_t part;

	for (; n > 0; p += part, n -= part) {
		part = sizeof(e->block) - e->block_len;
		part = n < part ? n : part;
		memcpy(e->block + e->block_len, p, part);
		e->block_len += part;
		if (e->block_len == sizeof(e->block))
			base64_flush(e);
	}
}

/* Bytes over 127 become '?' or "=XX". */
static void
mend_put(struct mime_encoder *e, const char *p, size_t n)
{
	size_t part;
	char *start, *o;

	for (; n > 0; p += part, n -= part) {
		make_room(e);
		part = n < PIECE ? n : PIECE;
		start = o = buf_room(&e->out, 3 * part);
		if (o == NULL)
			return;
		for (size_t i = 0; i < part; i++) {
			if ((unsigned char)p[i] < 0x80)
				*o++ = p[i];
			else if (e->action == MIME_STRIP)
				*o++ = '?';
			else
				o = qp_escape(o, p[i]);
		}
		buf_added(&e->out, (size_t)(o - start));
	}
}

void
mime_encoder_begin(struct mime_encoder *e, enum mime_action action)
{
	e->action = action;
	e->column = 0;
	e->blank = 0;
	e->eol = NULL;
	e->block_len = 0;
}

void
mime_encoder_line(struct mime_encoder *e)
{
	const char *eol = e->eol;

	e->eol = NULL;
	if (eol != NULL)
		base64_feed(e, eol, strlen(eol));
}

void
mime_encoder_put(struct mime_encoder *e, const char *p, size_t n)
{
	switch (e->action) {
	case MIME_PASS:
	case MIME_RELABEL:
		mime_encoder_raw(e, p, n);
		break;
	case MIME_QP:
		qp_put(e, p, n);
		break;
	case MIME_BASE64:
		base64_feed(e, p, n);
		break;
	case MIME_MEND_QP:
	case MIME_STRIP:
		mend_put(e, p, n);
		break;
	}
}

static void
qp_eol(struct mime_encoder *e, const char *eol)
{
	char *start, *o;

	/* A bare LF is a byte of a binary part, not a line end (6.7 (4)). */
	if (eol[0] == '\n') {
		qp_put(e, "\n", 1);
		return;
	}
	make_room(e);
	start = o = buf_room(&e->out, 16);
	if (o == NULL)
		return;
	o = qp_end_blank(e, o);
	memcpy(o, "\r\n", 2);
	buf_added(&e->out, (size_t)(o + 2 - start));
	e->column = 0;
}

void
mime_encoder_eol(struct mime_encoder *e, const char *eol)
{
	switch (e->action) {
	case MIME_QP:
		qp_eol(e, eol);
		break;
	case MIME_BASE64:
		mime_encoder_line(e);
		e->eol = eol;
		break;
	default:
		mime_encoder_raw(e, "\r\n", 2);
		break;
	}
}

void
mime_encoder_end(struct mime_encoder *e, bool delimiter)
{
	char *start, *o;

	if (e->action == MIME_BASE64) {
		if (!delimiter)
			mime_encoder_line(e);
		base64_flush(e);
	} else if (e->action == MIME_QP) {
		make_room(e);
		start = o = buf_room(&e->out, 16);
		if (o == NULL)
			return;
		o = qp_end_blank(e, o);
		/* Content that ends inside a line: a break that adds nothing. */
		if (e->column > 0) {
			memcpy(o, "=\r\n", 3);
			o += 3;
		}
		buf_added(&e->out, (size_t)(o - start));
	}
	mime_encoder_begin(e, MIME_PASS);
}

const char *
mime_action_label(enum mime_action action)
{
	switch (action) {
	case MIME_RELABEL:
		return "7bit";
	case MIME_QP:
		return "quoted-printable";
	case MIME_BASE64:
		return "base64";
	case MIME_PASS:
	case MIME_MEND_QP:
	case MIME_STRIP:
		break;
	}
	return NULL;
}
