/* SPDX-License-Identifier: ISC */
/*
 * params_test.c: the table of parameters against itself, the sample main.cf
 * and postkeep.conf(5), in both directions.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "sys/fd.h"

#define TEXT_MAX (1024 * 1024)

static void
read_source(const char *path, struct buf *b)
{
	const char *dir = getenv("srcdir");
	char *full = xasprintf("%s/%s", dir != NULL ? dir : ".", path);

	buf_init(b, TEXT_MAX);
	if (fd_read_file(AT_FDCWD, full, b) != 0)
		fail_msg("cannot read %s", full);
	xfree(full);
}

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	fail_msg("%s:%u: %c %s", n->file, n->line, n->level, n->text);
}

static void
test_defaults(void **state)
{
	struct conf *c;

	(void)state;
	c = conf_load("defaults", VIEW(""), note, NULL);
	assert_non_null(c);
	conf_free(&c);
}

static void
test_rows(void **state)
{
	const struct conf_row *r;
	size_t i, k;

	(void)state;
	for (i = 0; i < conf_nrows; i++) {
		r = &conf_rows[i];
		assert_true(strlen(r->text) > 0);
		assert_null(strchr(r->text, '\n'));
		if (r->type == CONF_TIME)
			assert_non_null(strchr("smhdw", r->unit));
		assert_true(r->least <= r->greatest);
		for (k = 0; k < i; k++)
			assert_string_not_equal(r->name, conf_rows[k].name);
	}
}

/* The sample is a configuration; each line that is commented out would be one too. */
static void
test_sample(void **state)
{
	struct buf text, plain;
	struct view rest, line;
	struct conf *c;

	(void)state;
	read_source("conf/main.cf", &text);
	c = conf_load("conf/main.cf", buf_view(&text), note, NULL);
	assert_non_null(c);
	conf_free(&c);
	buf_init(&plain, TEXT_MAX);
	rest = buf_view(&text);
	while (view_next(&rest, "\n", &line)) {
		if (line.len > 1 && line.p[0] == '#' && ascii_isalpha(line.p[1]) &&
		    view_find(line, '=') > 0)
			line = view_from(line, 1);
		buf_put_view(&plain, line);
		buf_put_char(&plain, '\n');
	}
	c = conf_load("conf/main.cf", buf_view(&plain), NULL, NULL);
	if (c == NULL)
		conf_load("conf/main.cf without #", buf_view(&plain), note, NULL);
	conf_free(&c);
	buf_fini(&plain);
	buf_fini(&text);
}

/* ".It Cm name" for every row, in the section and nothing else. */
static void
test_manual(void **state)
{
	struct view rest, line, name;
	struct buf page;
	bool inside = false;
	size_t i = 0;

	(void)state;
	read_source("man/postkeep.conf.5", &page);
	rest = buf_view(&page);
	while (view_next(&rest, "\n", &line)) {
		inside |= view_eq(line, VIEW(".Sh PARAMETERS"));
		if (!inside || !view_starts(line, VIEW(".It Cm ")))
			continue;
		line = view_from(line, 7);
		assert_true(view_next(&line, " ", &name));
		if (i == conf_nrows || !view_eq(name, view_str(conf_rows[i].name)))
			fail_msg("postkeep.conf.5 has \"%.*s\" where params.def has \"%s\":"
			    " run scripts/gen-params-man", VIEW_ARG(name),
			    i < conf_nrows ? conf_rows[i].name : "nothing");
		i++;
	}
	if (i < conf_nrows)
		fail_msg("postkeep.conf.5 lacks %s: run scripts/gen-params-man",
		    conf_rows[i].name);
	buf_fini(&page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
