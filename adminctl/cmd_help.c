/* SPDX-License-Identifier: ISC */
/*
 * cmd_help.c: help and shell completion, both from the command table.
 */
#include <stdio.h>
#include <string.h>

#include "adminctl/command.h"
#include "base/buf.h"

void
command_list(FILE *f, const char *word)
{
	struct view words, first;
	size_t i;

	for (i = 0; i < ncommands; i++) {
		words = view_str(commands[i].words);
		if (word == NULL || (view_next(&words, " ", &first) &&
		    view_eq(first, view_str(word))))
			fprintf(f, "  %-20s %s\n", commands[i].words, commands[i].text);
	}
}

int
run_help(const struct context *x, const json_t *args)
{
	const char *words = args != NULL ?
	    json_string_value(json_object_get(args, "command")) : NULL;
	size_t i, found = 0;

	(void)x;
	if (words != NULL) {
		for (i = 0; i < ncommands; i++) {
			if (!view_starts(view_str(commands[i].words), view_str(words)))
				continue;
			if (found++ > 0)
				putchar('\n');
			command_help(&commands[i]);
		}
		if (found > 0)
			return EXIT_OK;
		fprintf(stderr, "adminctl: no such command: %s\n", words);
		return EXIT_USAGE;
	}
	printf("usage: adminctl [-c config_directory] [--json] [--yes] command ...\n\n");
	command_list(stdout, NULL);
	printf("\nadminctl help COMMAND explains one; adminctl(8) has examples.\n");
	return EXIT_OK;
}

/* The n-th word of a row's words, or an empty view. */
static struct view
word_at(const char *words, unsigned n)
{
	struct view rest = view_str(words), word;

	while (view_next(&rest, " ", &word))
		if (n-- == 0)
			return word;
	return VIEW_NONE;
}

/* The words that may follow `prefix` (words joined with blanks, maybe empty). */
static void
put_next_words(struct buf *b, struct view prefix, unsigned depth)
{
	struct view last = VIEW_NONE, word;
	size_t i;

	for (i = 0; i < ncommands; i++) {
		struct view words = view_str(commands[i].words);

		if (!view_starts(words, prefix) ||
		    (prefix.len > 0 && (words.len <= prefix.len || words.p[prefix.len] != ' ')))
			continue;
		word = word_at(commands[i].words, depth);
		if (word.len == 0 || view_eq(word, last))
			continue;
		buf_printf(b, " %.*s", VIEW_ARG(word));
		last = word;
	}
}

static void
put_options(struct buf *b, const struct command *cmd)
{
	const struct command_arg *a;

	for (a = cmd->args; a != NULL && a->name != NULL; a++)
		if (a->kind >= ARG_VALUE)
			buf_printf(b, " --%s", a->name);
	buf_put_str(b, " --json");
	if (cmd->danger != NULL)
		buf_put_str(b, " --yes");
}

/* One `"words") WORDS` line for each prefix of each command. */
static void
put_cases(struct buf *b)
{
	struct view seen = VIEW_NONE, prefix;
	size_t i;
	ptrdiff_t blank;

	buf_put_str(b, "\t\"\") w=\"");
	put_next_words(b, VIEW_NONE, 0);
	buf_put_str(b, "\" ;;\n");
	for (i = 0; i < ncommands; i++) {
		struct view words = view_str(commands[i].words);
		size_t from = 0;
		unsigned depth = 1;

		while ((blank = view_find(view_from(words, from), ' ')) >= 0) {
			prefix = view_head(words, from + (size_t)blank);
			if (!view_eq(prefix, seen)) {
				buf_printf(b, "\t\"%.*s\") w=\"", VIEW_ARG(prefix));
				put_next_words(b, prefix, depth);
				buf_put_str(b, "\" ;;\n");
			}
			seen = prefix;
			from += (size_t)blank + 1;
			depth++;
		}
		buf_printf(b, "\t\"%s\"*) w=\"", commands[i].words);
		put_options(b, &commands[i]);
		buf_put_str(b, "\" ;;\n");
	}
}

static void
completion_bash(struct buf *b)
{
	buf_put_str(b,
	    "_adminctl() {\n"
	    "\tlocal i words= w= cur=${COMP_WORDS[COMP_CWORD]}\n"
	    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\tcase ${COMP_WORDS[i]} in\n"
	    "\t\t-c) ((i++)) ;;\n"
	    "\t\t-*) ;;\n"
	    "\t\t*) words=${words:+$words }${COMP_WORDS[i]} ;;\n"
	    "\t\tesac\n"
	    "\tdone\n"
	    "\tcase $words in\n");
	put_cases(b);
	buf_put_str(b,
	    "\tesac\n"
	    "\tCOMPREPLY=($(compgen -W \"$w\" -- \"$cur\"))\n"
	    "}\n"
	    "complete -F _adminctl adminctl\n");
}

static void
completion_fish(struct buf *b)
{
	size_t i;

	for (i = 0; i < ncommands; i++) {
		struct view words = view_str(commands[i].words);
		ptrdiff_t blank = view_rfind(words, ' ');

		if (blank < 0)
			buf_printf(b,
			    "complete -c adminctl -f -n __fish_use_subcommand -a %s -d '%s'\n",
			    commands[i].words, commands[i].text);
		else
			buf_printf(b,
			    "complete -c adminctl -f -n '__fish_seen_subcommand_from %.*s' "
			    "-a %s -d '%s'\n", (int)view_find(words, ' '), words.p,
			    words.p + blank + 1, commands[i].text);
	}
}

int
run_completion(const struct context *x, const json_t *args)
{
	const char *shell = json_string_value(json_object_get(args, "shell"));
	struct buf b;
	int status = EXIT_OK;

	(void)x;
	buf_init(&b, 1 << 20);
	if (strcmp(shell, "bash") == 0)
		completion_bash(&b);
	else if (strcmp(shell, "zsh") == 0) {
		buf_put_str(&b, "autoload -U +X bashcompinit && bashcompinit\n");
		completion_bash(&b);
	} else if (strcmp(shell, "fish") == 0)
		completion_fish(&b);
	else {
		fprintf(stderr, "adminctl: no completion for %s: bash, zsh or fish\n", shell);
		status = EXIT_USAGE;
	}
	fwrite(buf_data(&b), 1, b.len, stdout);
	buf_fini(&b);
	return status;
}
