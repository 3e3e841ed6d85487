/* SPDX-License-Identifier: ISC */
/*
 * cmd_config.c: adminctl config show, check, set, diff.
 *
 * Works on main.cf itself with the caller's rights; only diff asks master
 * what the suite runs with. A changed file is written beside the old one,
 * checked as a whole, and put in its place by rename: a bad value never
 * reaches main.cf.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/mem.h"
#include "sys/fd.h"

#define FILE_MAX	(16U << 20)

/* ---- show ---- */

static void
show_one(const struct context *x, const struct conf_row *row, bool expanded, json_t *out)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	if (conf_get(x->conf, view_str(row->name), expanded, &b) == 0) {
		if (out != NULL)
			json_object_set_new(out, row->name, json_string(buf_cstr(&b)));
		else
			printf("%s = %s\n", row->name, buf_cstr(&b));
	}
	buf_fini(&b);
}

int
run_config_show(const struct context *x, const json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "name"));
	bool all = json_is_true(json_object_get(args, "all"));
	bool expanded = json_is_true(json_object_get(args, "expanded"));
	json_t *out = x->json ? json_object() : NULL;
	const char *nearest;
	size_t i, shown = 0;

	for (i = 0; i < conf_nrows; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (name != NULL ? strcmp(name, row->name) != 0 :
		    !all && !conf_is_set(x->conf, view_str(row->name)))
			continue;
		show_one(x, row, expanded, out);
		shown++;
	}
	if (name != NULL && shown == 0) {
		nearest = conf_nearest(view_str(name));
		fprintf(stderr, "adminctl: no parameter %s%s%s\n", name,
		    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
		json_decref(out);
		return EXIT_NOTHING;
	}
	if (out != NULL) {
		json_t *doc = json_pack("{s:i, s:o}", "version", 1, "parameters", out);

		json_dumpf(doc, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(doc);
	}
	return EXIT_OK;
}

/* ---- check ---- */

struct check {
	json_t		*notes;		/* NULL: print */
	unsigned	 errors, warnings;
};

static void
check_note(const struct conf_note *n, void *arg)
{
	struct check *c = arg;

	if (n->level == 'e')
		c->errors++;
	else
		c->warnings++;
	if (c->notes != NULL)
		json_array_append_new(c->notes, json_pack("{s:s, s:i, s:s, s:s}", "file", n->file,
		    "line", (int)n->line, "level", n->level == 'e' ? "error" : "warning",
		    "text", n->text));
	else if (n->line > 0)
		fprintf(stderr, "%s:%u: %s: %s\n", n->file, n->line,
		    n->level == 'e' ? "error" : "warning", n->text);
	else
		fprintf(stderr, "%s: %s: %s\n", n->file,
		    n->level == 'e' ? "error" : "warning", n->text);
}

int
run_config_check(const struct context *x, const json_t *args)
{
	struct check c = { .notes = x->json ? json_array() : NULL };
	struct conf *conf = conf_load(x->conf_path, VIEW_NONE, check_note, &c);
	bool good = conf != NULL;

	(void)args;
	if (c.notes != NULL) {
		json_t *doc = json_pack("{s:i, s:b, s:o}", "version", 1, "good", good,
		    "notes", c.notes);

		json_dumpf(doc, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(doc);
	} else if (good)
		printf("%s is good%s\n", x->conf_path,
		    c.warnings > 0 ? ", but for the warnings" : "");
	conf_free(&conf);
	return good ? EXIT_OK : EXIT_FAILED;
}

/* ---- set ---- */

/* True if this line defines `name` (continuation lines follow it). */
static bool
line_defines(struct view line, struct view name)
{
	struct view rest;

	if (!view_starts(line, name))
		return false;
	rest = view_trim(view_from(line, name.len));
	return rest.len > 0 && rest.p[0] == '=';
}

static struct view
take_line(struct view *rest)
{
	ptrdiff_t nl = view_find(*rest, '\n');
	size_t len = nl >= 0 ? (size_t)nl + 1 : rest->len;
	struct view line = view_head(*rest, len);

	*rest = view_from(*rest, len);
	return line;
}

/* Comments and blank lines do not end a logical line (lib/conf/read.c). */
static bool
line_is_passed_over(struct view line)
{
	struct view text = view_trim(line);

	while (text.len > 0 && (text.p[0] == '\r' || text.p[0] == '\n'))
		text = view_from(text, 1);
	return text.len == 0 || text.p[0] == '#';
}

/* The file's text with `name` set to value in place of its first definition, or at the end. */
static void
edit(struct view text, struct view name, struct view value, struct buf *out)
{
	struct view rest = text, line;
	bool skipping = false, done = false;

	while (rest.len > 0) {
		line = take_line(&rest);
		if (line_is_passed_over(line)) {
			buf_put_view(out, line);
			continue;
		}
		if (skipping && (line.p[0] == ' ' || line.p[0] == '\t'))
			continue;
		skipping = line_defines(line, name);
		if (!skipping) {
			buf_put_view(out, line);
			continue;
		}
		if (!done && value.len > 0)
			buf_printf(out, "%.*s = %.*s\n", VIEW_ARG(name), VIEW_ARG(value));
		done = true;
	}
	if (done || value.len == 0)
		return;
	if (out->len > 0 && buf_data(out)[out->len - 1] != '\n')
		buf_put_char(out, '\n');
	buf_printf(out, "%.*s = %.*s\n", VIEW_ARG(name), VIEW_ARG(value));
}

/* `path` is the file itself where conf_path is a link to it: the link stays. */
static int
put_in_place(const struct context *x, const char *path, struct view text)
{
	struct check c = { 0 };
	struct conf *conf = conf_load(x->conf_path, text, check_note, &c);
	struct stat st;
	mode_t mode = 0644;

	if (conf == NULL) {
		fprintf(stderr, "adminctl: %s was not changed\n", x->conf_path);
		return EXIT_FAILED;
	}
	conf_free(&conf);
	if (stat(path, &st) == 0)
		mode = st.st_mode & 07777;
	if (fd_replace_file(AT_FDCWD, path, text, mode) != 0) {
		fprintf(stderr, "adminctl: cannot write %s: %m\n", x->conf_path);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* One at a time: a second one would begin from the old text, and share the new file's name. */
static int
lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = xstrndup(path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	xfree(folder);
	if (fd != -1 && flock(fd, LOCK_EX) == -1)
		fd_close(&fd);
	return fd;
}

static int
change(const struct context *x, struct view name, struct view value)
{
	char path[PATH_MAX];
	struct buf before, after;
	int status = EXIT_FAILED, lock = -1;

	buf_init(&before, FILE_MAX);
	buf_init(&after, FILE_MAX);
	if (realpath(x->conf_path, path) == NULL || (lock = lock_folder(path)) == -1 ||
	    fd_read_file(AT_FDCWD, path, &before) != 0) {
		fprintf(stderr, "adminctl: cannot read %s: %m\n", x->conf_path);
	} else {
		edit(buf_view(&before), name, value, &after);
		if (buf_error(&after) == 0)
			status = put_in_place(x, path, buf_view(&after));
		else
			fprintf(stderr, "adminctl: %s would be too long\n", x->conf_path);
	}
	fd_close(&lock);
	buf_fini(&before);
	buf_fini(&after);
	return status;
}

/* "a = 1" "c = 2" arrive as one text; nobody means " 1 c = 2" by that. */
static bool
begins_another(struct view value, struct view *name_r)
{
	struct view rest = value, word, before = VIEW("");
	ptrdiff_t eq;
	unsigned i;

	if (view_find(value, '{') >= 0)
		return false;
	while (view_next(&rest, " \t", &word)) {
		eq = view_find(word, '=');
		if (eq > 0)
			before = view_head(word, (size_t)eq);
		for (i = 0; eq >= 0 && i < conf_nrows; i++) {
			if (view_eq(before, view_str(conf_rows[i].name))) {
				*name_r = before;
				return true;
			}
		}
		before = word;
	}
	return false;
}

int
run_config_set(const struct context *x, const json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "assignment"));
	struct view whole = view_str(text), name, value, other;
	ptrdiff_t eq = view_find(whole, '=');
	int status;

	if (eq <= 0) {
		fprintf(stderr, "adminctl: say name = value\n");
		return EXIT_USAGE;
	}
	name = view_trim(view_head(whole, (size_t)eq));
	value = view_trim(view_from(whole, (size_t)eq + 1));
	if (view_find(value, '\n') >= 0 || view_find(name, '\n') >= 0) {
		fprintf(stderr, "adminctl: a value is one line\n");
		return EXIT_USAGE;
	}
	if (begins_another(value, &other)) {
		fprintf(stderr, "adminctl: one assignment at a time: %.*s is another\n",
		    VIEW_ARG(other));
		return EXIT_USAGE;
	}
	status = change(x, name, value);
	if (status == EXIT_OK && !x->json)
		printf("%s changed; adminctl system reload applies it\n", x->conf_path);
	else if (status == EXIT_OK)
		printf("{\"version\": 1, \"changed\": true}\n");
	return status;
}

/* ---- diff ---- */

struct diffing {
	json_t		*list;		/* NULL: print */
	unsigned	 count;
};

static void
diff_line(const char *name, const char *old, const char *new, enum conf_apply apply, void *arg)
{
	struct diffing *d = arg;

	d->count++;
	if (d->list != NULL) {
		json_array_append_new(d->list, json_pack("{s:s, s:s, s:s, s:s}", "name", name,
		    "running", old != NULL ? old : "", "file", new != NULL ? new : "",
		    "applied_by", apply == CONF_RELOAD ? "reload" : "restart"));
		return;
	}
	printf("- %s = %s\n+ %s = %s%s\n", name, old != NULL ? old : "", name,
	    new != NULL ? new : "", apply == CONF_RESTART ?
	    "\n  (reload replaces the processes concerned)" : "");
}

static struct conf *
running_conf(const struct context *x, int *status_r)
{
	json_t *none = json_object(), *answer;
	struct conf *conf = NULL;
	struct check c = { 0 };
	const char *text;

	answer = client_ask_whole(x, IPC_ROLE_master, "config", none, status_r);
	json_decref(none);
	text = json_string_value(json_object_get(answer, "text"));
	if (text != NULL) {
		conf = conf_load("running configuration", view_str(text), check_note, &c);
		if (conf == NULL)
			*status_r = EXIT_FAILED;
	}
	json_decref(answer);
	return conf;
}

int
run_config_diff(const struct context *x, const json_t *args)
{
	const char *file = json_string_value(json_object_get(args, "file"));
	struct diffing d = { .list = x->json ? json_array() : NULL };
	struct check c = { 0 };
	struct conf *other;
	json_t *doc;
	int status = EXIT_FAILED;

	other = file != NULL ? conf_load(file, VIEW_NONE, check_note, &c) :
	    running_conf(x, &status);
	if (other == NULL) {
		json_decref(d.list);
		return status;
	}
	conf_diff(other, x->conf, diff_line, &d);
	conf_free(&other);
	if (d.list != NULL) {
		doc = json_pack("{s:i, s:o}", "version", 1, "differences", d.list);
		json_dumpf(doc, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(doc);
	} else if (d.count == 0)
		printf("no difference\n");
	return EXIT_OK;
}
