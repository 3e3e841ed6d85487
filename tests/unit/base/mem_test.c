/* SPDX-License-Identifier: ISC */
/*
 * mem_test.c: copies, empty sizes, products that overflow; the error texts.
 */
#include "tests/unit/unit.h"

#include <sys/wait.h>

#include <signal.h>
#include <string.h>

static void
copies(void **state)
{
	char *s;

	(void)state;
	s = xstrndup("abcdef", 3);
	assert_string_equal(s, "abc");
	xfree_secret(s, 3);
	s = xasprintf("%d-%s", 5, "x");
	assert_string_equal(s, "5-x");
	xfree(s);
	s = xmemdup(NULL, 0);
	s = xreallocarray(s, 0, 5);
	assert_non_null(s);
	xfree(s);
	xfree(NULL);
	xfree_secret(NULL, 5);
	s = xcalloc(3, 1);
	assert_memory_equal(s, "\0\0", 3);
	xfree(s);
}

static void
overflow(void *arg)
{
	size_t n = *(size_t *)arg;

	xfree(xcalloc(n, n));
}

static void
refuses_overflow(void **state)
{
	size_t n = SIZE_MAX / 2;
	int status;

	(void)state;
	status = unit_run_forked(overflow, &n);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
names_errors(void **state)
{
	(void)state;
	assert_string_equal(pk_strerror(0), "no error");
	assert_string_equal(pk_strerror(PK_ENOENT), "not found");
	assert_string_equal(pk_strerror(-999), "unknown error");
	assert_string_equal(pk_strerror(1), "unknown error");
}

UNIT_MAIN(
	cmocka_unit_test(copies),
	cmocka_unit_test(refuses_overflow),
	cmocka_unit_test(names_errors)
)
