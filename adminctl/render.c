/* SPDX-License-Identifier: ISC */
/*
 * render.c: answers as a person reads them.
 *
 * Everything shown may come from strangers (addresses, replies, subjects):
 * control bytes never reach the terminal.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/mem.h"
#include "base/num.h"

#define CELL_MAX	512
#define DEPTH_MAX	4
#define COLUMNS_MAX	24
/* Widths are settled by the first rows; a listing of a million cannot wait for the rest. */
#define ROWS_BEFORE_WIDTHS 200

void
render_text(struct buf *b, struct view v)
{
	size_t i;
	bool utf8 = utf8_valid(v);

	for (i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			c = '?';
		/* C1 controls are two bytes in UTF-8: c2 80 .. c2 9f */
		if (utf8 && i > 0 && (unsigned char)v.p[i - 1] == 0xc2 && c >= 0x80 && c < 0xa0)
			c = 0xbf;
		buf_put_char(b, (char)c);
	}
}

static void
put_time(struct buf *b, json_int_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];

	if (ms == 0 || localtime_r(&t, &tm) == NULL) {
		buf_put_char(b, '-');
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_put_str(b, text);
}

static void
put_list(struct buf *b, const json_t *v)
{
	size_t i;
	const json_t *item;

	json_array_foreach(v, i, item) {
		if (i > 0)
			buf_put_str(b, ", ");
		render_value(b, item, COL_TEXT);
	}
}

void
render_value(struct buf *b, const json_t *v, enum column_kind kind)
{
	json_int_t n = json_integer_value(v);

	if (v == NULL || json_is_null(v)) {
		buf_put_char(b, '-');
		return;
	}
	if (json_is_array(v)) {
		put_list(b, v);
		return;
	}
	if (json_is_boolean(v)) {
		buf_put_str(b, json_is_true(v) ? "yes" : "no");
		return;
	}
	if (json_is_string(v)) {
		render_text(b, view_of(json_string_value(v), json_string_length(v)));
		return;
	}
	if (json_is_real(v)) {
		buf_printf(b, "%.2f", json_real_value(v));
		return;
	}
	switch (kind) {
	case COL_SIZE:
		num_put_size(b, n > 0 ? (uint64_t)n : 0);
		break;
	case COL_TIME:
		put_time(b, n);
		break;
	case COL_SPAN:
		num_put_duration(b, n > 0 ? (uint64_t)n : 0);
		break;
	case COL_MICRO:
		if (n >= 1000)
			buf_printf(b, "%.1f ms", (double)n / 1000);
		else
			buf_printf(b, "%lld us", (long long)n);
		break;
	default:
		buf_printf(b, "%lld", (long long)n);
	}
}

/* The kind that a key's name promises, for objects without columns. */
static enum column_kind
kind_of_key(const char *key)
{
	struct view k = view_str(key);

	if (view_caseends(k, VIEW("_at_ms")) || view_eq(k, VIEW("arrival_ms")) ||
	    view_eq(k, VIEW("next_ms")) || view_eq(k, VIEW("hold_until_ms")) ||
	    view_eq(k, VIEW("last_ms")) ||
	    view_eq(k, VIEW("not_before_ms")) || view_eq(k, VIEW("not_after_ms")) ||
	    view_eq(k, VIEW("created_ms")) || view_eq(k, VIEW("changed_ms")) ||
	    view_eq(k, VIEW("dead_until_ms")) || view_eq(k, VIEW("next_due_ms")) ||
	    view_eq(k, VIEW("last_error_ms")))
		return COL_TIME;
	if (view_caseends(k, VIEW("_ms")))
		return COL_SPAN;
	if (view_caseends(k, VIEW("_us")))
		return COL_MICRO;
	if (view_caseends(k, VIEW("_bytes")) || view_eq(k, VIEW("size")) ||
	    view_eq(k, VIEW("quota")))
		return COL_SIZE;
	return COL_TEXT;
}

const json_t *
render_find(const json_t *v, const char *path)
{
	struct view rest = view_str(path), step;
	char key[64];
	uint64_t i;

	while (v != NULL && view_next(&rest, ".", &step)) {
		if (step.len >= sizeof(key))
			return NULL;
		memcpy(key, step.p, step.len);
		key[step.len] = '\0';
		if (num_parse_u64(step, 0, UINT32_MAX, &i) == 0)
			v = json_array_get(v, (size_t)i);
		else
			v = json_object_get(v, key);
	}
	return v;
}

struct render_table {
	const struct column *columns;
	size_t		 ncolumns;
	size_t		 width[COLUMNS_MAX];
	int		 indent;
	json_t		*waiting;	/* rows kept until the widths are settled */
	bool		 settled;
};

struct render_table *
render_table_new(const struct column *columns)
{
	struct render_table *t = XNEW(struct render_table);

	t->columns = columns;
	while (columns[t->ncolumns].key != NULL && t->ncolumns < COLUMNS_MAX)
		t->ncolumns++;
	t->waiting = json_array();
	return t;
}

/* Characters, not bytes: UTF-8 continuation bytes take no place. */
static size_t
text_width(struct view v)
{
	size_t i, n = 0;

	for (i = 0; i < v.len; i++)
		n += ((unsigned char)v.p[i] & 0xc0) != 0x80;
	return n;
}

static void
put_cell(struct render_table *t, size_t i, struct view text)
{
	const struct column *c = &t->columns[i];
	size_t width = text_width(text);
	int pad = width < t->width[i] ? (int)(t->width[i] - width) : 0;
	bool right = c->kind == COL_NUMBER || c->kind == COL_SIZE || c->kind == COL_MICRO;
	bool last = i + 1 == t->ncolumns;

	if (i == 0)
		printf("%*s", t->indent, "");
	if (right)
		printf("%*s%.*s%s", pad, "", VIEW_ARG(text), last ? "\n" : "  ");
	else if (last)
		printf("%.*s\n", VIEW_ARG(text));
	else
		printf("%.*s%*s  ", VIEW_ARG(text), pad, "");
}

static void
print_row(struct render_table *t, const json_t *row)
{
	struct buf b;
	size_t i;

	buf_init(&b, 1 << 16);
	for (i = 0; i < t->ncolumns; i++) {
		buf_reset(&b);
		render_value(&b, render_find(row, t->columns[i].key), t->columns[i].kind);
		put_cell(t, i, buf_view(&b));
	}
	buf_fini(&b);
}

static void
settle(struct render_table *t)
{
	struct buf b;
	size_t i, j, w;
	json_t *row;

	if (t->settled)
		return;
	t->settled = true;
	if (json_array_size(t->waiting) == 0)
		return;
	buf_init(&b, 1 << 16);
	for (i = 0; i < t->ncolumns; i++) {
		t->width[i] = strlen(t->columns[i].heading);
		json_array_foreach(t->waiting, j, row) {
			buf_reset(&b);
			render_value(&b, render_find(row, t->columns[i].key),
			    t->columns[i].kind);
			w = text_width(buf_view(&b));
			if (w > t->width[i] && w <= CELL_MAX)
				t->width[i] = w;
		}
	}
	buf_fini(&b);
	for (i = 0; i < t->ncolumns; i++)
		put_cell(t, i, view_str(t->columns[i].heading));
	json_array_foreach(t->waiting, j, row)
		print_row(t, row);
	json_array_clear(t->waiting);
}

void
render_table_rows(struct render_table *t, const json_t *rows)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row) {
		if (t->settled) {
			print_row(t, row);
			continue;
		}
		json_array_append(t->waiting, row);
		if (json_array_size(t->waiting) >= ROWS_BEFORE_WIDTHS)
			settle(t);
	}
}

void
render_table_free(struct render_table **tp)
{
	struct render_table *t = *tp;

	if (t == NULL)
		return;
	settle(t);
	json_decref(t->waiting);
	xfree(t);
	*tp = NULL;
}

static void	object_lines(const json_t *object, unsigned depth);

/* Rows that share their keys are easier to read as a table. */
static void
rows_table(const json_t *rows, unsigned depth)
{
	struct column columns[COLUMNS_MAX + 1] = { { NULL, NULL, COL_TEXT } };
	struct render_table *t;
	const char *key;
	size_t n = 0;
	json_t *v;

	json_object_foreach(json_array_get(rows, 0), key, v)
		if (n < COLUMNS_MAX)
			columns[n++] = (struct column){ key, key, kind_of_key(key) };
	t = render_table_new(columns);
	t->indent = (int)depth * 2;
	render_table_rows(t, rows);
	render_table_free(&t);
}

/* True if every row is an object of plain values and few enough columns for a line. */
static bool
is_tabular(const json_t *rows)
{
	const char *key;
	size_t i;
	json_t *row, *v;

	json_array_foreach(rows, i, row) {
		if (!json_is_object(row) || json_object_size(row) > 8)
			return false;
		json_object_foreach(row, key, v)
			if (json_is_object(v) || json_is_array(v) || json_string_length(v) > 60)
				return false;
	}
	return i > 0;
}

static void
object_rows(const json_t *rows, unsigned depth)
{
	size_t i;
	json_t *item;

	if (is_tabular(rows)) {
		rows_table(rows, depth);
		return;
	}
	json_array_foreach(rows, i, item) {
		object_lines(item, depth);
		if (i + 1 < json_array_size(rows))
			putchar('\n');
	}
}

static void
object_lines(const json_t *object, unsigned depth)
{
	const char *key;
	json_t *v;
	struct buf b;

	buf_init(&b, 1 << 20);
	json_object_foreach((json_t *)object, key, v) {
		bool rows = json_is_array(v) && json_is_object(json_array_get(v, 0));

		if (depth == 0 && strcmp(key, "version") == 0)
			continue;
		if (depth < DEPTH_MAX && (json_is_object(v) || rows)) {
			printf("%*s%s:\n", (int)depth * 2, "", key);
			if (rows)
				object_rows(v, depth + 1);
			else
				object_lines(v, depth + 1);
			continue;
		}
		buf_reset(&b);
		render_value(&b, v, kind_of_key(key));
		printf("%*s%s: %s\n", (int)depth * 2, "", key, buf_cstr(&b));
	}
	buf_fini(&b);
}

void
render_object(const json_t *object)
{
	object_lines(object, 0);
}

static bool progress_shown;

void
render_progress(double done, double total)
{
	static const char bar[] = "########################################";
	int n;

	if (!isatty(STDERR_FILENO) || total <= 0)
		return;
	n = (int)(40 * done / total);
	n = n < 0 ? 0 : n > 40 ? 40 : n;
	fprintf(stderr, "\r[%.*s%*s] %3.0f%%", n, bar, 40 - n, "", 100 * done / total);
	fflush(stderr);
	progress_shown = true;
}

void
render_progress_end(void)
{
	if (progress_shown)
		fprintf(stderr, "\r%*s\r", 48, "");
	progress_shown = false;
}
