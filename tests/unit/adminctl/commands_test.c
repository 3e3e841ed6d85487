/* SPDX-License-Identifier: ISC */
/*
 * The command table against the manual page, and the argument parser.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "adminctl/command.h"
#include "sys/fd.h"
#include "tests/unit/unit.h"

static void
load_page(struct buf *page)
{
	const char *src = getenv("srcdir");
	struct buf path;

	buf_init(&path, 4096);
	buf_printf(&path, "%s/man/adminctl.8", src != NULL ? src : ".");
	assert_int_equal(fd_read_file(AT_FDCWD, buf_cstr(&path), page), 0);
	buf_fini(&path);
}

static void
test_page_has_every_command(void **state)
{
	struct buf page, item;
	size_t i;

	(void)state;
	buf_init(&page, 1 << 20);
	buf_init(&item, 256);
	load_page(&page);
	for (i = 0; i < ncommands; i++) {
		buf_reset(&item);
		buf_printf(&item, ".It Cm %s\n", commands[i].words);
		CHECK(commands[i].words, strstr(buf_cstr(&page), buf_cstr(&item)) != NULL);
	}
	buf_fini(&page);
	buf_fini(&item);
}

static void
test_page_has_nothing_else(void **state)
{
	struct buf page;
	struct view rest, line;
	size_t i;

	(void)state;
	buf_init(&page, 1 << 20);
	load_page(&page);
	rest = buf_view(&page);
	while (view_next(&rest, "\n", &line)) {
		if (!view_starts(line, VIEW(".It Cm ")))
			continue;
		for (i = 0; i < ncommands; i++)
			if (view_eq(view_from(line, 7), view_str(commands[i].words)))
				break;
		if (i == ncommands)
			fail_msg("%.*s is no command", VIEW_ARG(line));
	}
	buf_fini(&page);
}

static void
test_rows_are_whole(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < ncommands; i++) {
		const struct command *c = &commands[i];

		CHECK(c->words, (c->run != NULL) != (c->verb != NULL));
		CHECK(c->words, c->text[0] >= 'A' && c->text[0] <= 'Z');
		CHECK(c->words, (c->list == NULL) == (c->columns == NULL));
		for (j = 0; j < i; j++)
			CHECK(c->words, strcmp(c->words, commands[j].words) != 0);
	}
}

static const struct {
	const char	*line;
	const char	*want;		/* JSON, or NULL: refused with words in it */
	const char	*words;
} cases[] = {
	{ "queue list", "{}", NULL },
	{ "queue list --state hold --limit 5", "{\"limit\":5,\"state\":\"hold\"}", NULL },
	{ "queue list --limit=x", NULL, "number" },
	{ "queue list --bogus", NULL, "unknown option --bogus" },
	{ "queue hold", NULL, "selector is missing" },
	{ "queue hold all", "{\"all\":true}", NULL },
	{ "queue hold sender=a@b", "{\"sender\":\"a@b\"}", NULL },
	{ "queue hold colour=red", NULL, "nothing is selected by colour=" },
	{ "queue hold 0001000008,0001000009", "{\"id\":[\"0001000008\",\"0001000009\"]}", NULL },
	{ "queue priority all 4", "{\"all\":true,\"priority\":4}", NULL },
	{ "queue priority all high", NULL, "priority is a number" },
	{ "queue freeze domain far.test", "{\"name\":\"far.test\",\"scope\":\"domain\"}", NULL },
	{ "queue rebuild now", NULL, "unexpected argument" },
	{ "config set a = b", "{\"assignment\":\"a = b\"}", NULL },
	{ "dns lookup far.test MX", "{\"name\":\"far.test\",\"type\":\"MX\"}", NULL },
};

static void
test_arguments(void **state)
{
	char *argv[16], err[256], *text;
	const struct command *cmd;
	struct view rest, word;
	json_t *args;
	size_t i;
	int argc, used, n;

	(void)state;
	json_set_alloc_funcs(xmalloc, xfree);
	for (i = 0; i < NELEMS(cases); i++) {
		argc = 0;
		rest = view_str(cases[i].line);
		while (view_next(&rest, " ", &word) && argc < 15)
			argv[argc++] = view_dup(word);
		cmd = command_find(argc, argv, &used);
		CHECK(cases[i].line, cmd != NULL);
		args = command_parse(cmd, argc - used, argv + used, err, sizeof(err));
		CHECK(cases[i].line, (args != NULL) == (cases[i].want != NULL));
		if (args != NULL) {
			text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
			CHECK_VIEW(cases[i].line, view_str(text), cases[i].want);
			xfree(text);
			json_decref(args);
		} else
			CHECK(err, strstr(err, cases[i].words) != NULL);
		for (n = 0; n < argc; n++)
			xfree(argv[n]);
	}
}

static void
test_terminal_is_safe(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	render_text(&b, VIEW("a\x1b[2Jb\r\n\x07\x7f" "caf\xc3\xa9"));
	CHECK_VIEW("controls", buf_view(&b), "a?[2Jb????caf\xc3\xa9");
	buf_reset(&b);
	render_text(&b, VIEW("\xff\xfe"));
	CHECK_VIEW("not UTF-8", buf_view(&b), "??");
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_page_has_every_command),
    cmocka_unit_test(test_page_has_nothing_else),
    cmocka_unit_test(test_rows_are_whole),
    cmocka_unit_test(test_arguments),
    cmocka_unit_test(test_terminal_is_safe))
