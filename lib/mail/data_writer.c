/* SPDX-License-Identifier: ISC */
/*
 * data_writer.c: content to the wire or into a Maildir file.
 *
 * Run by deliver's workers. Content comes from the queue and was written in
 * CRLF form, but nothing here relies on it: whatever the bytes are, what goes
 * out has line ends that every server reads alike (A2).
 */
#include "mail/data_writer.h"

#include "base/error.h"
#include "mail/scan.h"

void
data_writer_init(struct data_writer *w, enum data_writer_form form,
    size_t line_max)
{
	memset(w, 0, sizeof(*w));
	w->form = form;
	/* Less would make the output more than DATA_WRITER_GROWTH says. */
	w->line_max = line_max == 0 || line_max >= 16 ? line_max : 16;
	w->line_start = true;
}

static char *
put_eol(const struct data_writer *w, char *out)
{
	if (w->form != DATA_WRITER_LF)
		*out++ = '\r';
	*out++ = '\n';
	return out;
}

static char *
end_line(struct data_writer *w, char *out)
{
	w->line_start = true;
	w->line_bytes = 0;
	return put_eol(w, out);
}

/* n bytes without CR or LF, folded where the line gets too long. */
static char *
put_run(struct data_writer *w, char *out, const char *p, size_t n)
{
	size_t part;

	if (n > 0 && w->line_start) {
		if (*p == '.' && w->form == DATA_WRITER_DOT)
			*out++ = '.';
		w->line_start = false;
	}
	while (w->line_max != 0 && n > w->line_max - w->line_bytes) {
		part = w->line_max - w->line_bytes;
		memcpy(out, p, part);
		out = put_eol(w, out + part);
		*out++ = ' ';
		w->line_bytes = 1;
		p += part;
		n -= part;
	}
	memcpy(out, p, n);
	w->line_bytes += n;
	return out + n;
}

/* A CR that waited for what follows it. */
static char *
resolve_cr(struct data_writer *w, char *out, const char **p)
{
	w->cr = false;
	if (**p != '\n')
		return put_run(w, out, " ", 1);
	++*p;
	return end_line(w, out);
}

int
data_writer_feed(struct data_writer *w, struct view chunk, struct buf *out)
{
	const char *p = chunk.p, *end = chunk.p + chunk.len, *q;
	bool high = false;
	char *start, *o;

	if (chunk.len == 0)
		return buf_error(out);
	start = o = buf_room(out, DATA_WRITER_GROWTH(chunk.len));
	if (o == NULL)
		return PK_ELIMIT;
	while (p < end) {
		if (w->cr) {
			o = resolve_cr(w, o, &p);
			continue;
		}
		q = scan_line_bytes(p, end, &high);
		o = put_run(w, o, p, (size_t)(q - p));
		if (q == end)
			break;
		if (*q == '\n')
			o = end_line(w, o);
		else if (*q == '\r')
			w->cr = true;
		else
			o = put_run(w, o, q, 1);
		p = q + 1;
	}
	buf_added(out, (size_t)(o - start));
	return buf_error(out);
}

int
data_writer_end(struct data_writer *w, struct buf *out)
{
	char *start = buf_room(out, 16), *o = start;

	if (o == NULL)
		return PK_ELIMIT;
	if (w->cr) {
		w->cr = false;
		o = put_run(w, o, " ", 1);
	}
	if (!w->line_start)
		o = end_line(w, o);
	if (w->form == DATA_WRITER_DOT) {
		memcpy(o, ".\r\n", 3);
		o += 3;
	}
	buf_added(out, (size_t)(o - start));
	return buf_error(out);
}
