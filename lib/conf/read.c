/* SPDX-License-Identifier: ISC */
/*
 * read.c: the lines of main.cf.
 *
 * A logical line begins with text in the first column; lines that begin with
 * a blank go on; blank lines and lines whose first other byte is `#` are
 * passed over, also between the two. This is the only place that knows line
 * ends. The file is an administrator's, yet nothing in it may do more than
 * be wrong: every byte is checked, every length has its limit.
 */
#include "conf/conf_private.h"

struct reader {
	struct conf_loader *ld;
	struct buf	 line;		/* logical line so far */
	unsigned	 number;	/* where it began */
	conf_line_fn	 fn;
	void		*arg;
};

static bool
name_valid(struct view name)
{
	size_t i;

	if (name.len == 0 || name.len > CONF_NAME_MAX)
		return false;
	for (i = 0; i < name.len; i++)
		if (!ascii_isalnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '-')
			return false;
	return true;
}

static bool
has_control(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (((unsigned char)v.p[i] < 0x20 && v.p[i] != '\t') || v.p[i] == 0x7f)
			return true;
	return false;
}

static void
line_end(struct reader *r)
{
	struct view v, name, value;
	ptrdiff_t eq;

	if (buf_error(&r->line) != 0) {
		conf_complain(r->ld, 'e', r->number, "line is longer than %d bytes",
		    CONF_VALUE_MAX);
		buf_reset(&r->line);
		return;
	}
	v = buf_view(&r->line);
	if (v.len == 0)
		return;
	eq = view_find(v, '=');
	if (has_control(v)) {
		conf_complain(r->ld, 'e', r->number,
		    "control character in the line: remove it");
	} else if (eq < 0) {
		conf_complain(r->ld, 'e', r->number, "no \"=\" in \"%.*s\": write name = value",
		    VIEW_ARG(view_head(v, 60)));
	} else {
		name = view_trim(view_head(v, (size_t)eq));
		value = view_trim(view_from(v, (size_t)eq + 1));
		if (name_valid(name))
			r->fn(r->ld, name, value, r->number, r->arg);
		else
			conf_complain(r->ld, 'e', r->number, "\"%.*s\" is no parameter name",
			    VIEW_ARG(view_head(name, 60)));
	}
	buf_reset(&r->line);
}

static void
physical_line(struct reader *r, struct view v, unsigned number)
{
	struct view text;

	if (v.len > 0 && v.p[v.len - 1] == '\r')
		v.len--;
	text = view_trim(v);
	if (text.len == 0 || text.p[0] == '#')
		return;
	if (v.p[0] == ' ' || v.p[0] == '\t') {
		if (r->line.len == 0) {
			conf_complain(r->ld, 'e', number,
			    "the line begins with a blank, but there is nothing it goes on from");
			return;
		}
		buf_put_char(&r->line, ' ');
	} else {
		line_end(r);
		r->number = number;
	}
	buf_put_view(&r->line, text);
}

void
conf_read(struct conf_loader *ld, struct view text, conf_line_fn fn, void *arg)
{
	struct reader r = { .ld = ld, .fn = fn, .arg = arg };
	unsigned number = 0;
	ptrdiff_t nl;

	buf_init(&r.line, CONF_VALUE_MAX);
	while (text.len > 0) {
		nl = view_find(text, '\n');
		if (nl < 0)
			nl = (ptrdiff_t)text.len;
		physical_line(&r, view_head(text, (size_t)nl), ++number);
		text = view_from(text, (size_t)nl + 1);
	}
	line_end(&r);
	buf_fini(&r.line);
}
