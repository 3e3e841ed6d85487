/* SPDX-License-Identifier: ISC */
/*
 * table_test.c: every type of table, reloading, building.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "table/table.h"

static char dir[] = "/tmp/pk-table-XXXXXX";
static char last_log[LOG_LINE_MAX + 1];

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)arg;
	if (len > LOG_LINE_MAX)
		len = LOG_LINE_MAX;
	memcpy(last_log, line, len);
	last_log[len] = '\0';
}

static char *
write_file(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static struct table *
open_ok(const char *spec)
{
	struct table *t = NULL;
	struct buf why;

	buf_init(&why, 2000);
	if (table_open(view_str(spec), &t, &why) != 0)
		fail_msg("%s: %s", spec, buf_cstr(&why));
	buf_fini(&why);
	return t;
}

static void
open_fails(const char *spec, int error, const char *words)
{
	struct table *t = NULL;
	struct buf why;

	buf_init(&why, 2000);
	assert_int_equal(table_open(view_str(spec), &t, &why), error);
	assert_null(t);
	if (strstr(buf_cstr(&why), words) == NULL)
		fail_msg("%s: no \"%s\" in: %s", spec, words, buf_cstr(&why));
	buf_fini(&why);
}

/* want NULL: PK_ENOENT. */
static void
check_get(struct table *t, const char *key, const char *want)
{
	struct buf value;
	int error;

	buf_init(&value, TABLE_VALUE_MAX);
	error = table_get(t, view_str(key), &value);
	if (want == NULL) {
		if (error != PK_ENOENT)
			fail_msg("%s: %s: %d", table_spec(t), key, error);
	} else {
		if (error != 0)
			fail_msg("%s: %s: error %d", table_spec(t), key, error);
		assert_string_equal(buf_cstr(&value), want);
	}
	buf_fini(&value);
}

static void
get_fails(struct table *t, const char *key, int error)
{
	struct buf value;

	buf_init(&value, TABLE_VALUE_MAX);
	assert_int_equal(table_get(t, view_str(key), &value), error);
	assert_int_equal(value.len, 0);
	buf_fini(&value);
}

static void
test_simple(void **state)
{
	struct table *t;

	(void)state;
	t = open_ok("inline:{ a=b, {c = d e}, F=g }");
	check_get(t, "a", "b");
	check_get(t, "C", "d e");
	check_get(t, "f", "g");
	check_get(t, "x", NULL);
	check_get(t, "", NULL);
	assert_int_equal(table_count(t), 3);
	table_close(&t);
	t = open_ok("static:OK");
	check_get(t, "anything", "OK");
	assert_true(table_is_pattern(t));
	table_close(&t);
	t = open_ok("static:{two words}");
	check_get(t, "x", "two words");
	table_close(&t);
	t = open_ok("fail:out of order");
	get_fails(t, "x", PK_ETEMP);
	table_close(&t);
	t = open_ok("unionmap:{inline:{a=1, b=2}, inline:{a=3}}");
	check_get(t, "a", "1,3");
	check_get(t, "B", "2");
	check_get(t, "c", NULL);
	table_close(&t);
	t = open_ok("proxy:inline:{a=b}");
	check_get(t, "a", "b");
	table_close(&t);
}

static void
test_refused(void **state)
{
	(void)state;
	open_fails("mysql:/etc/x.cf", PK_EUNSUPPORTED, "not built in this version");
	open_fails("mysql:/etc/x.cf", PK_EUNSUPPORTED, "texthash");
	open_fails("nothing", PK_ESYNTAX, "type:name");
	open_fails("inline:a=b", PK_ESYNTAX, "inline:{");
	open_fails("inline:{ab}", PK_ESYNTAX, "key=value");
	open_fails("static:", PK_ESYNTAX, "value");
	open_fails("texthash:relative", PK_ESYNTAX, "/");
	open_fails("texthash:/nonexistent/x", PK_ENOENT, "/nonexistent/x");
	open_fails("lmdb:/nonexistent/x", PK_ENOENT, "adminctl table build /nonexistent/x");
	open_fails("texthash:/", PK_EFORMAT, "regular");
	open_fails("unionmap:{}", PK_ESYNTAX, "unionmap");
	open_fails("unionmap:{unionmap:{unionmap:{unionmap:{unionmap:{static:x}}}}}",
	    PK_ELIMIT, "deep");
}

static void
test_texthash(void **state)
{
	struct table *t;
	char *path, *spec;

	(void)state;
	path = write_file("texthash", "# a comment\n\nA@Example.test  b@x,\n"
	    "# in between\n\tc@x\n  \n\"two words\"@x\tyes\r\nroot:  admin\na@example.test dup\n");
	spec = xasprintf("texthash:%s", path);
	t = open_ok(spec);
	check_get(t, "a@example.TEST", "b@x,\tc@x");
	check_get(t, "two words@x", "yes");
	check_get(t, "root:", "admin");
	assert_non_null(strstr(last_log, "twice"));
	assert_non_null(strstr(last_log, "line 9"));
	table_close(&t);
	xfree(path);
	path = write_file("texthash", "a b\nlonely\n");
	open_fails(spec, PK_ESYNTAX, "line 2: expected");
	xfree(path);
	path = write_file("texthash", " a b\n");
	open_fails(spec, PK_ESYNTAX, "line 1: ");
	xfree(path);
	path = write_file("texthash", "a b\nc d\re\n");
	open_fails(spec, PK_ESYNTAX, "line 2: control");
	xfree(path);
	xfree(spec);
}

/* As if the second between two looks were over. */
static void
wait_check(void)
{
	struct timespec ts = { 1, 50000000 };

	nanosleep(&ts, NULL);
}

static void
test_reload(void **state)
{
	struct table *t;
	char *path, *spec;

	(void)state;
	path = write_file("reload", "a 1\n");
	spec = xasprintf("texthash:%s", path);
	t = open_ok(spec);
	check_get(t, "a", "1");
	xfree(write_file("reload", "a 2\n"));
	check_get(t, "a", "1");
	wait_check();
	check_get(t, "a", "2");
	xfree(write_file("reload", "a 3\nbroken\n"));
	wait_check();
	last_log[0] = '\0';
	check_get(t, "a", "2");
	assert_non_null(strstr(last_log, "line 2"));
	assert_non_null(strstr(last_log, "stays in use"));
	unlink(path);
	wait_check();
	last_log[0] = '\0';
	check_get(t, "a", "2");
	assert_non_null(strstr(last_log, "No such file"));
	table_close(&t);
	xfree(path);
	xfree(spec);
}

static void
test_lmdb(void **state)
{
	struct table *t;
	char *path, *spec, *hash;
	size_t count = 0;
	struct buf why;
	struct stat st;

	(void)state;
	buf_init(&why, 2000);
	path = write_file("indexed", "Key one\nother  two, three\n");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(table_build_lmdb(path, &count, &why), 0);
	assert_int_equal(count, 2);
	spec = xasprintf("lmdb:%s", path);
	t = open_ok(spec);
	assert_int_equal(stat(table_file(t), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	check_get(t, "KEY", "one");
	check_get(t, "other", "two, three");
	check_get(t, "none", NULL);
	assert_int_equal(table_count(t), 2);
	/* Built anew while it is open. */
	xfree(write_file("indexed", "key new\n"));
	assert_int_equal(table_build_lmdb(path, &count, &why), 0);
	check_get(t, "key", "one");
	wait_check();
	check_get(t, "key", "new");
	/* A broken source leaves the built one alone. */
	xfree(write_file("indexed", "key newer\nbroken\n"));
	assert_int_equal(table_build_lmdb(path, &count, &why), PK_ESYNTAX);
	assert_non_null(strstr(buf_cstr(&why), "line 2"));
	check_get(t, "key", "new");
	table_close(&t);
	hash = xasprintf("hash:%s", path);
	t = open_ok(hash);
	assert_non_null(strstr(last_log, "lmdb:"));
	check_get(t, "key", "new");
	table_close(&t);
	/* A file that is no LMDB. */
	xfree(path);
	path = write_file("indexed.lmdb", "this is not a database, whatever its name says");
	open_fails(spec, PK_EFORMAT, path);
	xfree(path);
	xfree(spec);
	xfree(hash);
	buf_fini(&why);
}

static void
test_cidr(void **state)
{
	struct table *t;
	char *path, *spec;

	(void)state;
	path = write_file("cidr", "10.1.2.3 host\n10.0.0.0/8 ten\nif 192.168.0.0/16\n"
	    "192.168.5.0/24 five\nif !192.168.6.0/24\n192.168.0.0/16 not six\nendif\n"
	    "0.0.0.0/0 six\nendif\n[2001:db8::]/32 six\n2001:dead::/32 bare\n"
	    "!127.0.0.0/8 other\n");
	spec = xasprintf("cidr:%s", path);
	t = open_ok(spec);
	check_get(t, "10.1.2.3", "host");
	check_get(t, "10.1.2.4", "ten");
	check_get(t, "192.168.5.9", "five");
	check_get(t, "192.168.7.9", "not six");
	check_get(t, "192.168.6.9", "six");
	check_get(t, "2001:db8:1::1", "six");
	check_get(t, "2001:dead::1", "bare");
	check_get(t, "8.8.8.8", "other");
	check_get(t, "127.0.0.1", NULL);
	check_get(t, "not an address", NULL);
	table_close(&t);
	xfree(path);
	path = write_file("cidr", "10.0.0.1/8 x\n");
	open_fails(spec, PK_ESYNTAX, "line 1: \"10.0.0.1/8\"");
	xfree(path);
	path = write_file("cidr", "10.0.0.0/8 x\nendif\n");
	open_fails(spec, PK_ESYNTAX, "line 2: endif");
	xfree(path);
	path = write_file("cidr", "if 10.0.0.0/8\n");
	open_fails(spec, PK_ESYNTAX, "no endif");
	xfree(path);
	path = write_file("cidr", "10.0.0.0/33 x\n");
	open_fails(spec, PK_ESYNTAX, "0 to 32");
	xfree(path);
	xfree(spec);
}

static void
test_pcre(void **state)
{
	struct table *t;
	char *path, *spec;

	(void)state;
	path = write_file("pcre", "/^(.*)@Old\\.test$/ ${1}@new.test$$\n"
	    "if /^list-/\n/-request@/ req\n!/-owner@/ list\nendif\n"
	    "/^CASE$/i sensitive\n~a/b~ slash\n/(a+)+$/ slow\n");
	spec = xasprintf("pcre:%s", path);
	t = open_ok(spec);
	check_get(t, "bob@OLD.test", "bob@new.test$");
	check_get(t, "list-x-request@y", "req");
	check_get(t, "list-x@y", "list");
	check_get(t, "list-x-owner@y", NULL);
	check_get(t, "CASE", "sensitive");
	check_get(t, "case", NULL);
	check_get(t, "a/b", "slash");
	/* A8: a key that makes a careless pattern explode defers, at once. */
	get_fails(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", PK_ETEMP);
	assert_non_null(strstr(last_log, "line 8"));
	table_close(&t);
	xfree(path);
	path = write_file("pcre", "/a(/ x\n");
	open_fails(spec, PK_ESYNTAX, "line 1: pattern, character");
	xfree(path);
	path = write_file("pcre", "/a/ $1\n");
	open_fails(spec, PK_ESYNTAX, "0 groups");
	xfree(path);
	path = write_file("pcre", "/a/q x\n");
	open_fails(spec, PK_ESYNTAX, "unknown flag");
	xfree(path);
	path = write_file("pcre", "/a x\n");
	open_fails(spec, PK_ESYNTAX, "no closing");
	xfree(path);
	path = write_file("pcre", "/a/\n");
	open_fails(spec, PK_ESYNTAX, "no result");
	xfree(path);
	xfree(spec);
}

static void
count_file(const char *path, void *arg)
{
	(void)path;
	++*(int *)arg;
}

static void
test_files(void **state)
{
	int n = 0;

	(void)state;
	table_spec_files(VIEW("unionmap:{texthash:/a, lmdb:/b, static:c}"), count_file, &n);
	assert_int_equal(n, 2);
	table_spec_files(VIEW("mysql:/a"), count_file, &n);
	assert_int_equal(n, 2);
	assert_true(table_is_spec(VIEW("texthash:/x")));
	assert_false(table_is_spec(VIEW("example.test")));
	assert_false(table_is_spec(VIEW("[::1]")));
	assert_false(table_is_spec(VIEW("2001:db8::1")));
}

static int
setup(void **state)
{
	(void)state;
	log_init("table_test");
	log_set_sink(sink, NULL);
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const files[] = { "texthash", "reload", "indexed",
	    "indexed.lmdb", "cidr", "pcre" };
	char *path;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(files); i++) {
		path = xasprintf("%s/%s", dir, files[i]);
		(void)unlink(path);
		xfree(path);
	}
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_texthash),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_lmdb),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_pcre),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("table", tests, setup, teardown);
}
