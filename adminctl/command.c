/* SPDX-License-Identifier: ISC */
/*
 * command.c: from argv to a row of the command table, and from the row to an
 * answer on the screen. Runs as the caller.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"

#define ARGS_MAX	16

/* How many words of `words` argv begins with; 0 if it is another command. */
static int
words_match(const char *words, int argc, char **argv)
{
	struct view rest = view_str(words), word;
	int n = 0;

	while (view_next(&rest, " ", &word)) {
		if (n >= argc || !view_eq(word, view_str(argv[n])))
			return 0;
		n++;
	}
	return n;
}

const struct command *
command_find(int argc, char **argv, int *used_r)
{
	const struct command *best = NULL;
	int best_n = 0, n;
	size_t i;

	for (i = 0; i < ncommands; i++) {
		n = words_match(commands[i].words, argc, argv);
		if (n > best_n) {
			best_n = n;
			best = &commands[i];
		}
	}
	if (best != NULL)
		*used_r = best_n;
	return best;
}

/* JSON keys have _ where options have -. */
static char *
arg_key(const char *name)
{
	char *key = xstrdup(name), *p;

	for (p = key; *p != '\0'; p++)
		if (*p == '-')
			*p = '_';
	return key;
}

static const struct command_arg *
option_find(const struct command *cmd, struct view name)
{
	const struct command_arg *a;

	for (a = cmd->args; a != NULL && a->name != NULL; a++)
		if (a->kind >= ARG_VALUE && view_eq(name, view_str(a->name)))
			return a;
	return NULL;
}

static void
set_value(json_t *args, const struct command_arg *a, json_t *value)
{
	char *key = arg_key(a->name);

	json_object_set_new(args, key, value);
	xfree(key);
}

/* One --option [value]; returns how many of argv it took, 0 with err set. */
static int
parse_option(const struct command *cmd, json_t *args, int argc, char **argv,
    char *err, size_t err_size)
{
	struct view name = view_from(view_str(argv[0]), 2), value = VIEW_NONE;
	ptrdiff_t eq = view_find(name, '=');
	const struct command_arg *a;
	uint64_t n;
	int used = 1;

	if (eq >= 0) {
		value = view_from(name, (size_t)eq + 1);
		name = view_head(name, (size_t)eq);
	}
	a = option_find(cmd, name);
	if (a == NULL) {
		snprintf(err, err_size, "unknown option --%.*s", VIEW_ARG(name));
		return 0;
	}
	if (a->kind == ARG_FLAG) {
		set_value(args, a, json_true());
		return 1;
	}
	if (eq < 0) {
		if (argc < 2) {
			snprintf(err, err_size, "--%s needs a value", a->name);
			return 0;
		}
		value = view_str(argv[1]);
		used = 2;
	}
	if (a->kind == ARG_NUMBER) {
		if (num_parse_u64(value, 0, INT64_MAX, &n) != 0) {
			snprintf(err, err_size, "--%s needs a number, not \"%.*s\"", a->name,
			    VIEW_ARG(value));
			return 0;
		}
		set_value(args, a, json_integer((json_int_t)n));
	} else
		set_value(args, a, json_stringn(value.p, value.len));
	return used;
}

static json_t *
joined(int argc, char **argv)
{
	struct buf b;
	json_t *text;
	int i;

	buf_init(&b, 1 << 16);
	for (i = 0; i < argc; i++) {
		if (i > 0)
			buf_put_char(&b, ' ');
		buf_put_str(&b, argv[i]);
	}
	text = json_string(buf_cstr(&b));
	buf_fini(&b);
	return text;
}

/*
 * "all", a queue id, or key=value: the members that qmgr understands. Several
 * ids are separated by commas.
 */
static bool
set_selector(json_t *args, const char *text, char *err, size_t err_size)
{
	static const char *const keys[] = {
		"sender", "recipient", "domain", "transport", "state",
	};
	struct view v = view_str(text), id;
	ptrdiff_t eq = view_find(v, '=');
	json_t *ids;
	size_t i;

	if (view_eq(v, VIEW("all"))) {
		json_object_set_new(args, "all", json_true());
		return true;
	}
	for (i = 0; eq > 0 && i < NELEMS(keys); i++)
		if (view_eq(view_head(v, (size_t)eq), view_str(keys[i]))) {
			json_object_set_new(args, keys[i], json_string(text + eq + 1));
			return true;
		}
	if (eq >= 0) {
		snprintf(err, err_size, "nothing is selected by %.*s=: say sender=, recipient=, "
		    "domain=, transport= or state=", (int)eq, text);
		return false;
	}
	ids = json_array();
	while (view_next(&v, ",", &id))
		json_array_append_new(ids, json_stringn(id.p, id.len));
	json_object_set_new(args, "id", ids);
	return true;
}

/* One positional argument; how many of argv it took, 0 with err set. */
static int
parse_positional(const struct command_arg *a, json_t *args, int argc, char **argv,
    char *err, size_t err_size)
{
	uint64_t n;

	switch (a->kind) {
	case ARG_REST:
		set_value(args, a, joined(argc, argv));
		return argc;
	case ARG_SELECTOR:
	case ARG_SELECTOR_OPTIONAL:
		return set_selector(args, argv[0], err, err_size) ? 1 : 0;
	case ARG_INTEGER:
		if (num_parse_u64(view_str(argv[0]), 0, INT64_MAX, &n) != 0) {
			snprintf(err, err_size, "%s is a number, not \"%s\"", a->name, argv[0]);
			return 0;
		}
		set_value(args, a, json_integer((json_int_t)n));
		return 1;
	default:
		set_value(args, a, json_string(argv[0]));
		return 1;
	}
}

json_t *
command_parse(const struct command *cmd, int argc, char **argv, char *err, size_t err_size)
{
	static const struct command_arg none = { NULL, ARG_REQUIRED, NULL };
	const struct command_arg *next = cmd->args != NULL ? cmd->args : &none;
	json_t *args = json_object();
	int i = 0, n;

	err[0] = '\0';
	while (i < argc) {
		if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
			n = parse_option(cmd, args, argc - i, argv + i, err, err_size);
			if (n == 0)
				goto bad;
			i += n;
			continue;
		}
		if (next->name == NULL || next->kind >= ARG_VALUE) {
			snprintf(err, err_size, "unexpected argument \"%s\"", argv[i]);
			goto bad;
		}
		n = parse_positional(next, args, argc - i, argv + i, err, err_size);
		if (n == 0)
			goto bad;
		i += n;
		next++;
	}
	if (next->name != NULL && (next->kind == ARG_REQUIRED || next->kind == ARG_INTEGER ||
	    next->kind == ARG_SELECTOR)) {
		snprintf(err, err_size, "%s is missing", next->name);
		goto bad;
	}
	return args;
bad:
	json_decref(args);
	return NULL;
}

static bool
confirmed(const struct context *x, const struct command *cmd)
{
	char answer[16];

	if (cmd->danger == NULL || x->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr, "adminctl: %s Say --yes to do it without being asked.\n",
		    cmd->danger);
		return false;
	}
	fprintf(stderr, "%s Go on? [y/N] ", cmd->danger);
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		return false;
	return answer[0] == 'y' || answer[0] == 'Y';
}

struct rendering {
	const struct context *x;
	const struct command *cmd;
	struct render_table *table;
	json_t		*rest;		/* scalars of the last part */
	bool		 opened;	/* JSON: the list has begun */
	size_t		 rows;
};

static void
json_rows(struct rendering *r, const json_t *rows, const json_t *part)
{
	size_t i;
	json_t *row;

	if (!r->opened) {
		printf("{\"version\": %lld, \"%s\": [", (long long)
		    json_integer_value(json_object_get(part, "version")), r->cmd->list);
		r->opened = true;
	}
	json_array_foreach(rows, i, row) {
		printf("%s\n  ", r->rows++ > 0 ? "," : "");
		json_dumpf(row, stdout, 0);
	}
}

static void
note_progress(const json_t *part)
{
	const json_t *done = json_object_get(part, "done");

	if (done != NULL)
		render_progress(json_number_value(done),
		    json_number_value(json_object_get(part, "total")));
}

static bool
render_part(json_t *part, bool last, void *arg)
{
	struct rendering *r = arg;
	json_t *rows = r->cmd->list != NULL ? json_object_get(part, r->cmd->list) : NULL;
	const char *key;
	json_t *v;

	if (r->cmd->list != NULL) {
		if (r->x->json)
			json_rows(r, rows, part);
		else if (rows != NULL) {
			r->rows += json_array_size(rows);
			render_table_rows(r->table, rows);
		}
	}
	note_progress(part);
	if (last)
		json_object_foreach(part, key, v)
			if ((r->cmd->list == NULL || strcmp(key, r->cmd->list) != 0))
				json_object_set(r->rest, key, v);
	fflush(stdout);
	return !ferror(stdout);
}

static void
json_end(struct rendering *r)
{
	const char *key;
	json_t *v;

	if (r->cmd->list == NULL) {
		json_dumpf(r->rest, stdout, JSON_INDENT(2));
		putchar('\n');
		return;
	}
	printf("%s]", r->rows > 0 ? "\n" : "");
	json_object_foreach(r->rest, key, v) {
		if (strcmp(key, "version") == 0)
			continue;
		printf(", \"%s\": ", key);
		json_dumpf(v, stdout, JSON_ENCODE_ANY);
	}
	printf("}\n");
}

/* What a changing verb says when all went well: {"count": N} or {"text": ...}. */
static void
human_end(struct rendering *r)
{
	const json_t *count = json_object_get(r->rest, "count");
	const json_t *text = json_object_get(r->rest, "text");

	if (r->cmd->list != NULL) {
		if (r->rows == 0)
			printf("nothing there\n");
		return;
	}
	if (text != NULL)
		printf("%s\n", json_string_value(text));
	else if (count != NULL && json_object_size(r->rest) <= 2)
		printf("%s: %lld done\n", r->cmd->words, (long long)json_integer_value(count));
	else
		render_object(r->rest);
}

int
command_run(const struct context *x, const struct command *cmd, json_t *args)
{
	struct rendering r = { .x = x, .cmd = cmd };
	const json_t *count;
	int status;

	if (!confirmed(x, cmd))
		return EXIT_USAGE;
	if (cmd->run != NULL)
		return cmd->run(x, args);
	r.rest = json_object();
	if (cmd->columns != NULL)
		r.table = render_table_new(cmd->columns);
	status = client_ask(x, cmd->role, cmd->verb, args, render_part, &r);
	render_progress_end();
	if (status == EXIT_OK) {
		render_table_free(&r.table);
		if (x->json)
			json_end(&r);
		else
			human_end(&r);
		count = json_object_get(r.rest, "count");
		if (cmd->list == NULL && count != NULL && json_integer_value(count) == 0)
			status = EXIT_NOTHING;
	}
	render_table_free(&r.table);
	json_decref(r.rest);
	return status;
}

void
command_usage(const struct command *cmd, struct buf *b)
{
	const struct command_arg *a;

	buf_put_str(b, cmd->words);
	for (a = cmd->args; a != NULL && a->name != NULL; a++) {
		switch (a->kind) {
		case ARG_REQUIRED:
		case ARG_INTEGER:
		case ARG_SELECTOR:
			buf_printf(b, " %s", a->name);
			break;
		case ARG_OPTIONAL:
		case ARG_SELECTOR_OPTIONAL:
			buf_printf(b, " [%s]", a->name);
			break;
		case ARG_REST:
			buf_printf(b, " %s...", a->name);
			break;
		case ARG_FLAG:
			buf_printf(b, " [--%s]", a->name);
			break;
		case ARG_VALUE:
		case ARG_NUMBER:
			buf_printf(b, " [--%s %s]", a->name, a->kind == ARG_NUMBER ? "N" : "X");
			break;
		}
	}
}

void
command_help(const struct command *cmd)
{
	const struct command_arg *a;
	struct buf b;

	buf_init(&b, 1 << 16);
	command_usage(cmd, &b);
	printf("usage: adminctl %s\n\n%s.\n", buf_cstr(&b), cmd->text);
	if (cmd->args != NULL && cmd->args->name != NULL)
		printf("\n");
	for (a = cmd->args; a != NULL && a->name != NULL; a++)
		printf("  %s%-14s %s\n", a->kind >= ARG_VALUE ? "--" : "  ", a->name, a->text);
	if (cmd->danger != NULL)
		printf("\nAsks before it acts; --yes answers.\n");
	buf_fini(&b);
}
