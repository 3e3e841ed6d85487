/* SPDX-License-Identifier: ISC */
/*
 * log_test.c: no argument forges a line (A11), levels, the ways to end.
 */
#include "tests/unit/unit.h"

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

static char last[LOG_LINE_MAX + 1];
static enum log_level last_level;
static int lines;

static void
keep(enum log_level level, const char *line, size_t len, void *arg)
{
	assert_ptr_equal(arg, last);
	assert_int_equal(strlen(line), len);
	assert_true(len <= LOG_LINE_MAX);
	memcpy(last, line, len + 1);
	last_level = level;
	lines++;
	errno = 0;
}

static void
cleans(void **state)
{
	static const struct {
		const char	*name;
		const char	*said;
		const char	*line;
	} rows[] = {
		{ "plain", "from=<a@b>", "from=<a@b>" },
		{ "new line", "a\nb\r\n", "a?b??" },
		{ "escape", "\x1b[2J\x7f", "?[2J?" },
		{ "utf-8", "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac" },
		{ "C1", "\xc2\x9b""2J", "??2J" },
		{ "first after C1", "\xc2\xa0", "\xc2\xa0" },
		{ "not utf-8", "\xff\xc3(", "?\?(" },
	};
	size_t i;

	(void)state;
	log_set_sink(keep, last);
	for (i = 0; i < NELEMS(rows); i++) {
		errno = EINTR;
		log_warn("%s", rows[i].said);
		CHECK_INT(rows[i].name, errno, EINTR);
		CHECK_VIEW(rows[i].name, view_str(last), rows[i].line);
		CHECK_INT(rows[i].name, last_level, LOG_LVL_WARN);
	}
}

static void
shortens(void **state)
{
	char text[LOG_LINE_MAX + 2];

	(void)state;
	memset(text, 'x', sizeof(text));
	log_set_sink(keep, last);
	text[LOG_LINE_MAX] = '\0';
	log_info("%s", text);
	assert_string_equal(last, text);
	text[LOG_LINE_MAX] = 'x';
	text[LOG_LINE_MAX + 1] = '\0';
	log_info("%s", text);
	assert_int_equal(strlen(last), LOG_LINE_MAX);
	assert_string_equal(last + LOG_LINE_MAX - 4, "x...");
}

static void
keeps_levels(void **state)
{
	enum log_level level = LOG_LVL_PANIC;

	(void)state;
	log_set_sink(keep, last);
	lines = 0;
	log_debug("no");
	assert_int_equal(lines, 0);
	assert_true(log_level_parse("debug", &level));
	log_set_level(level);
	log_debug("yes");
	assert_int_equal(lines, 1);
	assert_true(log_level_parse("warn", &level));
	assert_string_equal(log_level_name(level), "warning");
	assert_false(log_level_parse("loud", &level));
	assert_int_equal(level, LOG_LVL_WARN);
	log_set_level(LOG_LVL_INFO);
}

static void
expects_lines(void **state)
{
	(void)state;
	unit_expect_log(LOG_LVL_ERROR, "disk");
	log_error("the disk is full");
	unit_check_log();
	unit_ignore_log();
}

static void
flushed(void)
{
	raise(SIGUSR1);
}

static void
end(void *how)
{
	unit_ignore_log();
	if (strcmp(how, "flush") == 0) {
		log_set_flush(flushed);
		log_fatal("over");
	}
	if (strcmp(how, "fatal") == 0)
		log_fatal("over");
	if (strcmp(how, "assert") == 0)
		ASSERT(how == NULL);
}

static void
ends(void **state)
{
	char fatal[] = "fatal", flush[] = "flush", assert[] = "assert";
	int status;

	(void)state;
	status = unit_run_forked(end, fatal);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	status = unit_run_forked(end, flush);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	status = unit_run_forked(end, assert);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

UNIT_MAIN(
	cmocka_unit_test(cleans),
	cmocka_unit_test(shortens),
	cmocka_unit_test(keeps_levels),
	cmocka_unit_test(expects_lines),
	cmocka_unit_test(ends)
)
