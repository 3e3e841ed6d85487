/* SPDX-License-Identifier: ISC */
/*
 * command.h: one row a command of adminctl.
 *
 * The table in commands.c gives the dispatcher, the argument parser, the
 * help, the shell completion and (checked by a test) adminctl(8). Most rows
 * name a process and a verb: the arguments become a JSON object, the answer
 * is rendered as the row's columns say. Rows with `run` do their work here.
 */
#ifndef PK_ADMINCTL_COMMAND_H
#define PK_ADMINCTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "base/view.h"
#include "conf/conf.h"
#include "ipc/ipc.h"

/* Exit statuses; adminctl(8) lists them. */
enum exit_status {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,		/* the process asked said no, its words were printed */
	EXIT_USAGE	= 2,		/* the command line is not understood, or not confirmed */
	EXIT_NOTHING	= 3,		/* nothing matched */
	EXIT_DOWN	= 4,		/* the suite, or the process asked, does not answer */
	EXIT_DENIED	= 5,		/* neither root nor a member of admin_group */
};

enum arg_kind {
	ARG_REQUIRED,			/* positional */
	ARG_INTEGER,			/* positional, required, a number */
	ARG_OPTIONAL,			/* positional */
	ARG_SELECTOR,			/* positional: which messages (qmgr/ADMIN.md SELECTOR) */
	ARG_SELECTOR_OPTIONAL,
	ARG_REST,			/* the rest, joined with blanks */
	ARG_VALUE,			/* --name VALUE */
	ARG_NUMBER,			/* --name N */
	ARG_FLAG,			/* --name */
};

struct command_arg {
	const char	*name;		/* as shown; the JSON key is it with - as _ */
	enum arg_kind	 kind;
	const char	*text;
};

enum column_kind {
	COL_TEXT,
	COL_NUMBER,
	COL_SIZE,			/* bytes */
	COL_TIME,			/* wall milliseconds */
	COL_SPAN,			/* milliseconds */
	COL_MICRO,			/* microseconds */
	COL_BOOL,
	COL_LIST,			/* array of strings, joined */
};

struct column {
	const char	*key;		/* may be a path: "recipients.0.address" */
	const char	*heading;
	enum column_kind kind;
};

struct context {
	const struct conf *conf;
	const char	*conf_path;	/* of main.cf */
	bool		 json;
	bool		 yes;		/* --yes: no questions */
	bool		 watch;		/* queue stats --watch */
	bool		 quiet;		/* what was not found is no complaint */
};

struct command {
	const char	*words;		/* "queue list" */
	enum ipc_role	 role;		/* who is asked; IPC_ROLE_none: run */
	const char	*verb;
	const struct command_arg *args;	/* ends with a NULL name */
	const char	*list;		/* key of the array that columns describe, or NULL */
	const struct column *columns;	/* ends with a NULL key */
	const char	*danger;	/* question to confirm, or NULL */
	int	       (*run)(const struct context *x, const json_t *args);
	const char	*text;		/* one line of help */
};

extern const struct command commands[];
extern const size_t ncommands;

/* The row whose words begin argv; *used_r: how many of argv they are. */
const struct command *command_find(int argc, char **argv, int *used_r);
/*
 * Arguments behind the words as a JSON object (the caller's to decref), or
 * NULL with what is wrong in err (max 200 bytes).
 */
json_t	*command_parse(const struct command *cmd, int argc, char **argv,
	    char *err, size_t err_size);
/* Asks and renders; an exit status. */
int	command_run(const struct context *x, const struct command *cmd, json_t *args);
void	command_help(const struct command *cmd);
/* A line for each command that begins with this word; NULL: for all. */
void	command_list(FILE *f, const char *word);
/* "queue list [--state STATE] ..." */
void	command_usage(const struct command *cmd, struct buf *b);

/* ---- client.c ---- */

/* One part of an answer. `last` is true for the last one. Return false to stop. */
typedef bool (*client_part_fn)(json_t *part, bool last, void *arg);

/*
 * Sends verb and args to a role's admin socket and hands each part of the
 * answer to fn. EXIT_*; for errors the words are on standard error.
 */
int	client_ask(const struct context *x, enum ipc_role role, const char *verb,
	    const json_t *args, client_part_fn fn, void *arg);
/* The whole answer as one object; lists of several parts are joined. NULL with *status_r. */
json_t	*client_ask_whole(const struct context *x, enum ipc_role role, const char *verb,
	    const json_t *args, int *status_r);

/* ---- render.c ---- */

void	render_object(const json_t *object);
struct render_table;
struct render_table *render_table_new(const struct column *columns);
void	render_table_rows(struct render_table *t, const json_t *rows);
void	render_table_free(struct render_table **t);
/* The value at a path of keys and indexes parted by dots, or NULL. */
const json_t *render_find(const json_t *v, const char *path);
/* Text of one value as a column of that kind shows it. */
void	render_value(struct buf *b, const json_t *v, enum column_kind kind);
/* A line that rewrites itself on a terminal; nothing elsewhere. */
void	render_progress(double done, double total);
void	render_progress_end(void);
/* Bytes that could move a terminal's cursor become '?'. */
void	render_text(struct buf *b, struct view v);

/* ---- commands that work here ---- */

int	run_help(const struct context *x, const json_t *args);
int	run_completion(const struct context *x, const json_t *args);
int	run_config_show(const struct context *x, const json_t *args);
int	run_config_check(const struct context *x, const json_t *args);
int	run_config_set(const struct context *x, const json_t *args);
int	run_config_diff(const struct context *x, const json_t *args);
int	run_table_build(const struct context *x, const json_t *args);
int	run_queue_view(const struct context *x, const json_t *args);
int	run_trace(const struct context *x, const json_t *args);
int	run_queue_stats(const struct context *x, const json_t *args);
int	run_domain_list(const struct context *x, const json_t *args);
int	run_user_list(const struct context *x, const json_t *args);
int	run_alias_list(const struct context *x, const json_t *args);
int	run_app_password_list(const struct context *x, const json_t *args);
int	run_user_add(const struct context *x, const json_t *args);
int	run_user_password(const struct context *x, const json_t *args);
int	run_auth_test(const struct context *x, const json_t *args);
int	run_account_export(const struct context *x, const json_t *args);
int	run_account_import(const struct context *x, const json_t *args);
int	run_tls_probe(const struct context *x, const json_t *args);
int	run_stats(const struct context *x, const json_t *args);

#endif
