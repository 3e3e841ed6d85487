/* SPDX-License-Identifier: ISC */
/*
 * cmd_account.c: accounts: lists in pages, passwords from a prompt, export and
 * import.
 *
 * Runs as the caller. A password is never an argument, where every user of the
 * machine could read it: it is asked for at the terminal without showing it,
 * or is the first line of standard input where that is no terminal.
 */
#include <bsd/readpassphrase.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/mem.h"

#define PASSWORD_BYTES	1026
#define LINE_BYTES	60000
#define BATCH_BYTES	40000
#define BATCH_RECORDS	200

/* ---- lists, page after page ---- */

struct list {
	const char	*verb, *key;
	const struct column *columns;
};

#define END_COLUMNS	{ NULL, NULL, COL_TEXT }

static const struct column domain_columns[] = {
	{ "name", "DOMAIN", COL_TEXT },
	{ "users", "USERS", COL_NUMBER },
	{ "aliases", "ALIASES", COL_NUMBER },
	{ "quota", "QUOTA", COL_SIZE },
	{ "description", "DESCRIPTION", COL_TEXT },
	END_COLUMNS
};
static const struct column user_columns[] = {
	{ "name", "USER", COL_TEXT },
	{ "has_password", "PASSWORD", COL_BOOL },
	{ "app_passwords", "APPS", COL_NUMBER },
	{ "disabled", "DISABLED", COL_BOOL },
	{ "quota", "QUOTA", COL_SIZE },
	{ "description", "DESCRIPTION", COL_TEXT },
	END_COLUMNS
};
static const struct column alias_columns[] = {
	{ "name", "ALIAS", COL_TEXT },
	{ "to", "TO", COL_LIST },
	{ "description", "DESCRIPTION", COL_TEXT },
	END_COLUMNS
};
static const struct column app_columns[] = {
	{ "name", "NAME", COL_TEXT },
	{ "services", "SERVICES", COL_LIST },
	{ "created_ms", "CREATED", COL_TIME },
	END_COLUMNS
};

static size_t
print_rows(const struct context *x, struct render_table *table, const json_t *rows, size_t before)
{
	json_t *row;
	size_t i;

	if (!x->json) {
		render_table_rows(table, rows);
		return json_array_size(rows);
	}
	json_array_foreach(rows, i, row) {
		printf("%s\n  ", before + i > 0 ? "," : "");
		json_dumpf(row, stdout, 0);
	}
	return json_array_size(rows);
}

static int
run_list(const struct context *x, const json_t *args, const struct list *l)
{
	json_t *ask = json_deep_copy(args), *part, *next;
	struct render_table *table = render_table_new(l->columns);
	bool more = true;
	size_t n = 0;
	int status = EXIT_OK;

	while (more) {
		part = client_ask_whole(x, IPC_ROLE_authd, l->verb, ask, &status);
		if (part == NULL)
			break;
		if (x->json && n == 0)
			printf("{\"version\": 1, \"%s\": [", l->key);
		n += print_rows(x, table, json_object_get(part, l->key), n);
		next = json_object_get(part, "next");
		more = next != NULL && !ferror(stdout);
		if (more)
			json_object_set(ask, "after", next);
		json_decref(part);
	}
	render_table_free(&table);
	json_decref(ask);
	if (status == EXIT_OK && x->json)
		printf("%s]}\n", n > 0 ? "\n" : "");
	else if (status == EXIT_OK && n == 0)
		printf("nothing there\n");
	return status;
}

int
run_domain_list(const struct context *x, const json_t *args)
{
	static const struct list l = { "domain list", "domains", domain_columns };

	return run_list(x, args, &l);
}

int
run_user_list(const struct context *x, const json_t *args)
{
	static const struct list l = { "user list", "users", user_columns };

	return run_list(x, args, &l);
}

int
run_alias_list(const struct context *x, const json_t *args)
{
	static const struct list l = { "alias list", "aliases", alias_columns };

	return run_list(x, args, &l);
}

int
run_app_password_list(const struct context *x, const json_t *args)
{
	static const struct list l = { "app-password list", "app_passwords", app_columns };

	return run_list(x, args, &l);
}

/* ---- passwords ---- */

static bool
read_line(char *p, size_t size)
{
	size_t len;

	if (fgets(p, (int)size, stdin) == NULL) {
		fprintf(stderr, "adminctl: no password on standard input\n");
		return false;
	}
	len = strcspn(p, "\r\n");
	if (p[len] == '\0' && len == size - 1) {
		fprintf(stderr, "adminctl: the password is too long\n");
		return false;
	}
	p[len] = '\0';
	return true;
}

/* twice: a new one, which must be typed the same twice. */
static bool
read_password(char *p, size_t size, bool twice)
{
	char again[PASSWORD_BYTES];
	bool same;

	if (!isatty(STDIN_FILENO))
		return read_line(p, size);
	if (readpassphrase(twice ? "New password: " : "Password: ", p, size,
	    RPP_REQUIRE_TTY) == NULL) {
		fprintf(stderr, "adminctl: %s\n", strerror(errno));
		return false;
	}
	if (!twice)
		return true;
	same = readpassphrase("The same again: ", again, sizeof(again), RPP_REQUIRE_TTY) != NULL &&
	    strcmp(p, again) == 0;
	explicit_bzero(again, sizeof(again));
	if (!same)
		fprintf(stderr, "adminctl: these were not the same\n");
	return same;
}

static bool
print_text(json_t *part, bool last, void *arg)
{
	const struct context *x = arg;

	(void)last;
	if (x->json) {
		json_dumpf(part, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		json_object_del(part, "version");
		render_object(part);
	}
	return true;
}

static int
ask_with_password(const struct context *x, const json_t *args, const char *verb, bool twice,
    client_part_fn fn, void *arg)
{
	char password[PASSWORD_BYTES];
	json_t *ask = json_deep_copy(args), *text;
	int status = EXIT_FAILED;

	if (read_password(password, sizeof(password), twice)) {
		text = json_string(password);
		if (text == NULL || password[0] == '\0') {
			fprintf(stderr, "adminctl: the password is empty, or no UTF-8\n");
			json_decref(text);
		} else {
			json_object_set_new(ask, "password", text);
			status = client_ask(x, IPC_ROLE_authd, verb, ask, fn, arg);
			explicit_bzero((void *)(uintptr_t)json_string_value(text),
			    json_string_length(text));
		}
	}
	explicit_bzero(password, sizeof(password));
	json_decref(ask);
	return status;
}

int
run_user_add(const struct context *x, const json_t *args)
{
	json_t *ask;
	int status;

	if (!json_is_true(json_object_get(args, "no_password")))
		return ask_with_password(x, args, "user add", true, print_text,
		    (void *)(uintptr_t)x);
	ask = json_deep_copy(args);
	json_object_del(ask, "no_password");
	status = client_ask(x, IPC_ROLE_authd, "user add", ask, print_text,
	    (void *)(uintptr_t)x);
	json_decref(ask);
	return status;
}

int
run_user_password(const struct context *x, const json_t *args)
{
	return ask_with_password(x, args, "user password", true, print_text,
	    (void *)(uintptr_t)x);
}

static bool
keep_result(json_t *part, bool last, void *arg)
{
	(void)last;
	json_object_update(arg, part);
	return true;
}

int
run_auth_test(const struct context *x, const json_t *args)
{
	json_t *answer = json_object();
	int status = ask_with_password(x, args, "auth test", false, keep_result, answer);
	const char *result = json_string_value(json_object_get(answer, "result"));

	if (status == EXIT_OK) {
		(void)print_text(answer, true, (void *)(uintptr_t)x);
		status = result != NULL && strcmp(result, "right") == 0 ? EXIT_OK : EXIT_FAILED;
	}
	json_decref(answer);
	return status;
}

/* ---- export and import: a JSON object a line ---- */

int
run_account_export(const struct context *x, const json_t *args)
{
	json_t *ask = json_deep_copy(args), *part, *row, *next;
	bool more = true;
	size_t i;
	int status = EXIT_OK;

	while (more) {
		part = client_ask_whole(x, IPC_ROLE_authd, "account export", ask, &status);
		if (part == NULL)
			break;
		json_array_foreach(json_object_get(part, "records"), i, row) {
			json_dumpf(row, stdout, JSON_COMPACT);
			putchar('\n');
		}
		next = json_object_get(part, "next");
		more = next != NULL && !ferror(stdout);
		if (more)
			json_object_set(ask, "after", next);
		json_decref(part);
	}
	json_decref(ask);
	return status;
}

struct import {
	const struct context *x;
	const char	*file;
	json_t		*batch;
	size_t		 bytes;
	uint64_t	 line, first;	/* the batch begins at line `first` */
	json_int_t	 added, changed, same;
};

static int
import_send(struct import *m)
{
	json_t *ask, *answer;
	int status = EXIT_OK;

	if (json_array_size(m->batch) == 0)
		return EXIT_OK;
	ask = json_pack("{s:o}", "records", m->batch);
	m->batch = json_array();
	m->bytes = 0;
	answer = client_ask_whole(m->x, IPC_ROLE_authd, "account import", ask, &status);
	json_decref(ask);
	if (answer == NULL) {
		fprintf(stderr, "adminctl: %s: lines from %llu on were not taken (record 1 is that"
		    " line); those before were\n", m->file, (unsigned long long)m->first);
		return status;
	}
	m->added += json_integer_value(json_object_get(answer, "added"));
	m->changed += json_integer_value(json_object_get(answer, "changed"));
	m->same += json_integer_value(json_object_get(answer, "same"));
	json_decref(answer);
	return EXIT_OK;
}

static int
import_line(struct import *m, const char *text, size_t len)
{
	json_error_t why;
	json_t *record;

	if (len > BATCH_BYTES) {
		fprintf(stderr, "adminctl: %s:%llu: the line is too long\n", m->file,
		    (unsigned long long)m->line);
		return EXIT_USAGE;
	}
	record = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(record)) {
		fprintf(stderr, "adminctl: %s:%llu: no JSON object: %s\n", m->file,
		    (unsigned long long)m->line, why.text);
		json_decref(record);
		return EXIT_USAGE;
	}
	if (json_array_size(m->batch) == BATCH_RECORDS || m->bytes + len > BATCH_BYTES) {
		int status = import_send(m);

		if (status != EXIT_OK) {
			json_decref(record);
			return status;
		}
	}
	if (json_array_size(m->batch) == 0)
		m->first = m->line;
	json_array_append_new(m->batch, record);
	m->bytes += len;
	return EXIT_OK;
}

static int
import_file(struct import *m, FILE *f)
{
	char *line = xmalloc(LINE_BYTES);
	int status = EXIT_OK;
	size_t len;

	while (status == EXIT_OK && fgets(line, LINE_BYTES, f) != NULL) {
		m->line++;
		len = strlen(line);
		if (len == strspn(line, " \t\r\n"))
			continue;
		status = import_line(m, line, len);
	}
	explicit_bzero(line, LINE_BYTES);
	xfree(line);
	if (status == EXIT_OK && ferror(f)) {
		fprintf(stderr, "adminctl: %s: %s\n", m->file, strerror(errno));
		status = EXIT_FAILED;
	}
	return status == EXIT_OK ? import_send(m) : status;
}

int
run_account_import(const struct context *x, const json_t *args)
{
	const char *path = json_string_value(json_object_get(args, "file"));
	struct import m = { .x = x, .batch = json_array() };
	bool from_stdin = path == NULL || strcmp(path, "-") == 0;
	FILE *f = from_stdin ? stdin : fopen(path, "r");
	int status;

	m.file = from_stdin ? "standard input" : path;
	if (f == NULL) {
		fprintf(stderr, "adminctl: %s: %s\n", path, strerror(errno));
		json_decref(m.batch);
		return EXIT_FAILED;
	}
	status = import_file(&m, f);
	json_decref(m.batch);
	if (!from_stdin)
		fclose(f);
	if (x->json)
		printf("{\"version\": 1, \"added\": %lld, \"changed\": %lld, \"same\": %lld}\n",
		    (long long)m.added, (long long)m.changed, (long long)m.same);
	else
		printf("%lld added, %lld changed, %lld the same\n", (long long)m.added,
		    (long long)m.changed, (long long)m.same);
	return status;
}
