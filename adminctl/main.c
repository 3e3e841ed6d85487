/* SPDX-License-Identifier: ISC */
/*
 * main.c: adminctl, the administrator's command.
 *
 * Runs with the caller's rights. What changes the suite is asked of the
 * process that holds the matter, which decides by the caller's credentials.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

static void
print_note(const struct conf_note *n, void *arg)
{
	bool *only_errors = arg;

	if (n->level != 'e' && *only_errors)
		return;
	if (n->line > 0)
		fprintf(stderr, "adminctl: %s:%u: %s\n", n->file, n->line, n->text);
	else
		fprintf(stderr, "adminctl: %s: %s\n", n->file, n->text);
}

static int
usage(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "adminctl: %s\n", why);
	fprintf(stderr, "usage: adminctl [-c config_directory] [--json] [--yes] command ...\n"
	    "       adminctl help lists the commands\n");
	return EXIT_USAGE;
}

struct options {
	const char	*directory;
	bool		 json, yes, help;
	int		 argc;		/* what is not an option of ours */
	char		*argv[256];
};

/* Our own options may stand anywhere; the rest is the command's. */
static const char *
options_read(struct options *o, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0) {
			if (++i == argc)
				return "-c needs the configuration directory";
			o->directory = argv[i];
		} else if (strcmp(argv[i], "--json") == 0)
			o->json = true;
		else if (strcmp(argv[i], "--yes") == 0 || strcmp(argv[i], "-y") == 0)
			o->yes = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			o->help = true;
		else if (o->argc < 255)
			o->argv[o->argc++] = argv[i];
		else
			return "too many arguments";
	}
	return NULL;
}

/* help and config check work without a configuration that loads. */
static bool
needs_conf(const struct command *cmd)
{
	return cmd->run != run_help && cmd->run != run_completion &&
	    cmd->run != run_config_check && cmd->run != run_table_build;
}

int
main(int argc, char **argv)
{
	struct options o = { .directory = PK_SYSCONFDIR };
	const struct command *cmd;
	struct context x = { 0 };
	struct conf *conf = NULL;
	struct buf path;
	char err[256];
	const char *why;
	bool only_errors = true;
	json_t *args;
	int used, status;

	setlocale(LC_CTYPE, "C.UTF-8");
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("adminctl");
	json_set_alloc_funcs(xmalloc, xfree);
	why = options_read(&o, argc, argv);
	if (why != NULL)
		return usage(why);
	if (o.argc == 0)
		return o.help ? run_help(&x, NULL) : usage("which command?");
	cmd = command_find(o.argc, o.argv, &used);
	if (cmd == NULL) {
		snprintf(err, sizeof(err), "no such command: %s%s%s", o.argv[0],
		    o.argc > 1 ? " " : "", o.argc > 1 ? o.argv[1] : "");
		(void)usage(err);
		command_list(stderr, o.argv[0]);
		return EXIT_USAGE;
	}
	if (o.help) {
		command_help(cmd);
		return EXIT_OK;
	}
	args = command_parse(cmd, o.argc - used, o.argv + used, err, sizeof(err));
	if (args == NULL) {
		fprintf(stderr, "adminctl: %s\n", err);
		command_help(cmd);
		return EXIT_USAGE;
	}
	buf_init(&path, 4096);
	buf_printf(&path, "%s/main.cf", o.directory);
	x.conf_path = buf_cstr(&path);
	x.json = o.json;
	x.yes = o.yes;
	if (needs_conf(cmd)) {
		conf = conf_load(x.conf_path, VIEW_NONE, print_note, &only_errors);
		if (conf == NULL) {
			fprintf(stderr, "adminctl: %s cannot be used; -c names another directory\n",
			    x.conf_path);
			return EXIT_FAILED;
		}
		x.conf = conf;
	}
	status = command_run(&x, cmd, args);
	json_decref(args);
	conf_free(&conf);
	buf_fini(&path);
	if (fflush(stdout) != 0 && status == EXIT_OK)
		status = EXIT_FAILED;
	return status;
}
