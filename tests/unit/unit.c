/* SPDX-License-Identifier: ISC */
/*
 * unit.c: what unit tests share: expected log lines, children that die.
 *
 * Linked into every unit test; runs as the developer.
 */
#include "tests/unit/unit.h"

#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT_MAX 16

static struct {
	enum log_level	 level;
	const char	*text;
} expected[EXPECT_MAX];
static size_t expected_count, expected_seen;

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	size_t i = expected_seen;

	(void)len;
	(void)arg;
	if (i == expected_count)
		fail_msg("not declared: %s: %s", log_level_name(level), line);
	if (level != expected[i].level || strstr(line, expected[i].text) == NULL)
		fail_msg("expected %s: ...%s..., got %s: %s",
		    log_level_name(expected[i].level), expected[i].text,
		    log_level_name(level), line);
	expected_seen++;
}

void
unit_expect_log(enum log_level level, const char *text)
{
	ASSERT(expected_count < EXPECT_MAX);
	expected[expected_count].level = level;
	expected[expected_count++].text = text;
	log_set_sink(sink, NULL);
}

void
unit_check_log(void)
{
	size_t seen = expected_seen, count = expected_count;

	expected_seen = expected_count = 0;
	if (seen != count)
		fail_msg("log line did not come: %s", expected[seen].text);
}

void
unit_ignore_log(void)
{
	expected_seen = expected_count = 0;
	log_set_sink(NULL, NULL);
}

int
unit_run_forked(void (*fn)(void *), void *arg)
{
	int fd, status;
	pid_t pid;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		fd = open("/dev/null", O_WRONLY);
		dup2(fd, STDERR_FILENO);
		dup2(fd, STDOUT_FILENO);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}
