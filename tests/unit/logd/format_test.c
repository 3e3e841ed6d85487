/* SPDX-License-Identifier: ISC */
/* format_test.c: log lines, and that nobody forges one (A11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "logd/logd.h"

static const struct {
	const char	*in;
	const char	*out;
} clean[] = {
	{ "plain text", "plain text" },
	{ "", "" },
	{ "two\nlines", "two?lines" },
	{ "cr\r", "cr?" },
	{ "esc\x1b[2J", "esc?[2J" },
	{ "del\x7f", "del?" },
	{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
	{ "bad\xff\xc3", "bad??" },
	{ "c1\xc2\x9bx", "c1?x" },
	{ "nbsp\xc2\xa0x", "nbsp\xc2\xa0x" },
};

static void
test_clean(void **state)
{
	struct buf b;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(clean); i++) {
		buf_init(&b, 10000);
		format_clean(&b, view_str(clean[i].in));
		assert_string_equal(buf_cstr(&b), clean[i].out);
		buf_fini(&b);
	}
}

static void
test_clean_cuts(void **state)
{
	char *big = xmalloc(70000);
	struct buf b;

	(void)state;
	memset(big, 'x', 70000);
	buf_init(&b, 10000);
	format_clean(&b, view_of(big, 70000));
	assert_true(b.len < LOG_LINE_MAX + 100);
	assert_int_equal(buf_error(&b), 0);
	assert_string_equal(buf_cstr(&b) + b.len - 4, "x...");
	buf_fini(&b);
	xfree(big);
}

static const struct format_line line = {
	.time_ms = 1793978249123ULL, .host = "mx.example.test", .program = "postkeep/smtpd",
	.pid = 12, .level = LOG_LVL_INFO, .text = { "connect from x", 14 },
};

static void
test_shapes(void **state)
{
	struct format_line warn = line;
	struct buf b;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	warn.level = LOG_LVL_WARN;
	buf_init(&b, 10000);
	format_postfix(&b, &line);
	assert_string_equal(buf_cstr(&b),
	    "Nov  6 15:17:29 mx.example.test postkeep/smtpd[12]: connect from x\n");
	buf_reset(&b);
	format_postfix(&b, &warn);
	assert_non_null(strstr(buf_cstr(&b), "]: warning: connect"));
	buf_reset(&b);
	format_syslog(&b, &warn);
	assert_string_equal(buf_cstr(&b),
	    "<20>Nov  6 15:17:29 postkeep/smtpd[12]: warning: connect from x");
	buf_reset(&b);
	format_json(&b, &line);
	assert_non_null(strstr(buf_cstr(&b), "\"program\":\"postkeep/smtpd\",\"pid\":12,"
	    "\"level\":\"info\",\"text\":\"connect from x\"}\n"));
	assert_non_null(strstr(buf_cstr(&b), "{\"time\":\"2026-11-06T15:17:29.123"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_cuts),
		cmocka_unit_test(test_shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
