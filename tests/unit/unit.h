/* SPDX-License-Identifier: ISC */
/*
 * unit.h: what every unit test includes: cmocka, checks that name the row of
 * a case table, and expectations about log lines.
 *
 * A test program ends with
 *	UNIT_MAIN(cmocka_unit_test(first), cmocka_unit_test(second))
 */
#ifndef PK_TESTS_UNIT_H
#define PK_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/view.h"

/* name: the row of the table, printed when the check fails. */
#define CHECK(name, cond)						\
	do {								\
		if (!(cond))						\
			fail_msg("%s: %s", (name), #cond);		\
	} while (0)

#define CHECK_INT(name, got, want)					\
	do {								\
		long long got_ = (long long)(got);			\
		long long want_ = (long long)(want);			\
									\
		if (got_ != want_)					\
			fail_msg("%s: %s is %lld, not %lld", (name),	\
			    #got, got_, want_);				\
	} while (0)

/* got: a view; want: a string. */
#define CHECK_VIEW(name, got, want)					\
	do {								\
		struct view got_ = (got), want_ = view_str(want);	\
									\
		if (!view_eq(got_, want_))				\
			fail_msg("%s: %s is \"%.*s\", not \"%.*s\"",	\
			    (name), #got, VIEW_ARG(got_),		\
			    VIEW_ARG(want_));				\
	} while (0)

/*
 * From here to the end of the test a line of this level that contains text
 * must come, in the order declared; any line not declared fails the test.
 * text is kept by reference. At most 16.
 */
void	unit_expect_log(enum log_level level, const char *text);
/* Fails if a declared line has not come; forgets them. */
void	unit_check_log(void);
/* Back to standard error. */
void	unit_ignore_log(void);

/*
 * Runs fn(arg) in a child process; returns its wait status. For what ends
 * the process: fatal, panic. Its standard error is thrown away.
 */
int	unit_run_forked(void (*fn)(void *), void *arg);

/* Skips the running test, saying why, when scripts/test runs it under valgrind. */
#define unit_skip_under_valgrind(why)					\
	do {								\
		if (getenv("PK_VALGRIND") != NULL) {			\
			print_message("under valgrind: %s\n", (why));	\
			skip();						\
		}							\
	} while (0)

#define UNIT_MAIN(...)							\
int									\
main(void)								\
{									\
	const struct CMUnitTest tests[] = { __VA_ARGS__ };		\
									\
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;		\
}

#endif
