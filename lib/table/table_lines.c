/* SPDX-License-Identifier: ISC */
/*
 * table_lines.c: logical lines of table files (Postfix's postmap(1) syntax).
 *
 * Runs in lookupd and adminctl. The file is the administrator's, yet read as
 * if it were not: no line may be longer than its limit, no control character
 * gets into a value.
 */
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "table/table.h"
#include "table/table_impl.h"

void
table_lines_init(struct table_lines *l, struct view text)
{
	memset(l, 0, sizeof(*l));
	l->rest = text;
	l->next = 1;
	buf_init(&l->text, TABLE_LINE_MAX);
}

void
table_lines_fini(struct table_lines *l)
{
	buf_fini(&l->text);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct view
trim_end(struct view v)
{
	while (v.len > 0 && ascii_isspace(v.p[v.len - 1]))
		v.len--;
	return v;
}

/* The physical line at the start of rest, without consuming it. */
static struct view
peek(const struct table_lines *l)
{
	ptrdiff_t end = view_find(l->rest, '\n');

	return end < 0 ? l->rest : view_head(l->rest, (size_t)end);
}

static void
skip(struct table_lines *l, struct view line)
{
	l->rest = view_from(l->rest, line.len + 1);
	l->next++;
}

static bool
is_nothing(struct view line)
{
	line = trim_end(line);
	while (line.len > 0 && is_blank(line.p[0]))
		line = view_from(line, 1);
	return line.len == 0 || line.p[0] == '#';
}

static int
take(struct table_lines *l, struct view line)
{
	size_t i;

	skip(l, line);
	line = trim_end(line);
	for (i = 0; i < line.len; i++) {
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') ||
		    line.p[i] == 127) {
			l->error = "control character";
			return PK_ESYNTAX;
		}
	}
	if (buf_put_view(&l->text, line) != 0) {
		l->error = "line is too long";
		return PK_ELIMIT;
	}
	return 0;
}

int
table_lines_next(struct table_lines *l)
{
	struct view line;
	int error;

	buf_reset(&l->text);
	while (l->rest.len > 0) {
		line = peek(l);
		if (is_nothing(line)) {
			skip(l, line);
			continue;
		}
		if (is_blank(line.p[0]) != (l->text.len > 0)) {
			if (l->text.len > 0)
				return 0;
			l->line = l->next;
			l->error = "the first line begins with a blank: "
			    "nothing there to go on with";
			return PK_ESYNTAX;
		}
		if (l->text.len == 0)
			l->line = l->next;
		error = take(l, line);
		if (error != 0)
			return error;
	}
	return l->text.len > 0 ? 0 : PK_EEND;
}

static int
quoted_key(struct view *line, struct buf *scratch)
{
	size_t i;

	buf_reset(scratch);
	for (i = 1; i < line->len && line->p[i] != '"'; i++) {
		if (line->p[i] == '\\' && i + 1 < line->len)
			i++;
		buf_put_char(scratch, line->p[i]);
	}
	if (i >= line->len)
		return PK_ESYNTAX;
	i++;
	/* "two words": value, as aliases(5) has it, keeps its colon. */
	while (i < line->len && !is_blank(line->p[i]))
		buf_put_char(scratch, line->p[i++]);
	*line = view_from(*line, i);
	return buf_error(scratch);
}

int
table_split_entry(struct view line, struct buf *scratch, struct view *key_r,
    struct view *value_r)
{
	struct view key;
	size_t n = 0;

	if (line.len > 0 && line.p[0] == '"') {
		if (quoted_key(&line, scratch) != 0)
			return PK_ESYNTAX;
		key = buf_view(scratch);
	} else {
		while (n < line.len && !is_blank(line.p[n]))
			n++;
		key = view_head(line, n);
		line = view_from(line, n);
	}
	line = view_trim(line);
	if (key.len == 0 || line.len == 0)
		return PK_ESYNTAX;
	*key_r = key;
	*value_r = line;
	return 0;
}

void
table_put_where(struct buf *why, const char *path, unsigned line)
{
	buf_printf(why, "%s, line %u: ", path, line);
}

struct view
table_unbrace(struct view v)
{
	v = view_trim(v);
	if (v.len >= 2 && v.p[0] == '{' && v.p[v.len - 1] == '}')
		v = view_trim(view_of(v.p + 1, v.len - 2));
	return v;
}

int
table_rules_load(struct view text, const char *path,
    int (*line)(void *arg, struct view line, unsigned number, struct buf *why), void *arg,
    const unsigned *depth, struct buf *why)
{
	struct table_lines l;
	size_t mark = why->len;
	int error;

	table_lines_init(&l, text);
	while ((error = table_lines_next(&l)) == 0) {
		table_put_where(why, path, l.line);
		error = line(arg, buf_view(&l.text), l.line, why);
		if (error != 0)
			break;
		buf_truncate(why, mark);
	}
	if (error != 0 && error != PK_EEND && l.error != NULL) {
		table_put_where(why, path, l.line);
		buf_put_str(why, l.error);
	}
	if (error == PK_EEND && *depth > 0) {
		table_put_where(why, path, l.line);
		buf_put_str(why, "an if has no endif");
		error = PK_ESYNTAX;
	}
	table_lines_fini(&l);
	return error == PK_EEND ? 0 : error;
}

int
table_map_get(void *data, struct view key, struct buf *value_r)
{
	const char *value = map_get(data, key);

	if (value == NULL)
		return PK_ENOENT;
	buf_put_str(value_r, value);
	return 0;
}

size_t
table_map_count(const void *data)
{
	return map_count(data);
}

void
table_map_free(void *data)
{
	struct map *m = data;

	map_free(&m, xfree);
}
