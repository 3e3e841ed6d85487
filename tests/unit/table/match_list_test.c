/* SPDX-License-Identifier: ISC */
/*
 * match_list_test.c: lists of names and networks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "table/match_list.h"

static int
read_file(void *arg, const char *path, struct buf *b)
{
	(void)arg;
	if (strcmp(path, "/list") != 0)
		return PK_ENOENT;
	return buf_put_str(b, "# domains\nfile.test\n  !not.file.test other.test\n");
}

static int
lookup(void *arg, const char *table, struct view key)
{
	(void)arg;
	if (strcmp(table, "fail:x") == 0)
		return PK_ETEMP;
	return view_eq(key, VIEW("table.test")) || view_eq(key, VIEW(".dot.test")) ||
	    view_eq(key, VIEW("192.0.2.9")) ? 0 : PK_ENOENT;
}

static const struct match_source source = { .read_file = read_file, .lookup = lookup };

struct name_case {
	const char	*name;		/* of the case */
	enum match_kind	 kind;
	unsigned	 flags;
	const char	*list;
	const char	*key;
	int		 want;		/* 1, 0 or an error */
};

static const struct name_case names[] = {
	{ "equal", MATCH_STRING, 0, "a.test, b.test", "B.Test", 1 },
	{ "other", MATCH_STRING, 0, "a.test b.test", "c.test", 0 },
	{ "no parents for strings", MATCH_STRING, MATCH_PARENT, "a.test", "x.a.test", 0 },
	{ "dot", MATCH_DOMAIN, 0, ".a.test", "x.a.test", 1 },
	{ "dot is not itself", MATCH_DOMAIN, 0, ".a.test", "a.test", 0 },
	{ "parent", MATCH_DOMAIN, MATCH_PARENT, "a.test", "x.a.test", 1 },
	{ "parent needs a dot", MATCH_DOMAIN, MATCH_PARENT, "a.test", "xa.test", 0 },
	{ "no parent without flag", MATCH_DOMAIN, 0, "a.test", "x.a.test", 0 },
	{ "negation first", MATCH_DOMAIN, 0, "!x.a.test .a.test", "x.a.test", 0 },
	{ "negation last", MATCH_DOMAIN, 0, ".a.test !x.a.test", "x.a.test", 1 },
	{ "file", MATCH_STRING, 0, "a.test /list", "file.test", 1 },
	{ "negated in file", MATCH_STRING, 0, "/list", "not.file.test", 0 },
	{ "negated file", MATCH_STRING, 0, "!/list file.test", "file.test", 0 },
	{ "table", MATCH_STRING, 0, "texthash:/x", "table.test", 1 },
	{ "table, below, strings", MATCH_STRING, 0, "texthash:/x", "a.table.test", 0 },
	{ "table, below", MATCH_DOMAIN, MATCH_PARENT, "texthash:/x", "a.table.test", 1 },
	{ "table, dot", MATCH_DOMAIN, 0, "texthash:/x", "a.dot.test", 1 },
	{ "table fails", MATCH_STRING, 0, "fail:x a.test", "a.test", PK_ETEMP },
	{ "before it fails", MATCH_STRING, 0, "a.test fail:x", "a.test", 1 },
	{ "empty name", MATCH_STRING, 0, "a.test", "", 0 },
	{ "empty list", MATCH_STRING, 0, "", "a.test", 0 },
};

static void
test_names(void **state)
{
	struct match_list *l;
	struct buf why;
	bool found;
	size_t i;
	int error;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(names); i++) {
		l = NULL;
		error = match_list_parse(names[i].kind, names[i].flags,
		    view_str(names[i].list), &source, &l, &why);
		assert_int_equal(error, 0);
		found = false;
		error = match_list_name(l, view_str(names[i].key), &found);
		if ((error != 0 ? error : (int)found) != names[i].want)
			fail_msg("%s: %d %d", names[i].name, error, found);
		match_list_free(&l);
	}
	buf_fini(&why);
}

static const struct {
	const char	*list;
	const char	*name;
	const char	*addr;
	int		 want;
} clients[] = {
	{ "127.0.0.0/8 [::1]/128", "", "127.9.9.9", 1 },
	{ "127.0.0.0/8 [::1]/128", "", "::1", 1 },
	{ "127.0.0.0/8 [::1]/128", "", "::2", 0 },
	{ "127.0.0.0/8", "", "::ffff:127.0.0.1", 1 },
	{ "10.0.0.0/9", "", "10.128.0.0", 0 },
	{ "10.0.0.0/9", "", "10.127.255.255", 1 },
	{ "!10.1.0.0/16 10.0.0.0/8", "", "10.1.2.3", 0 },
	{ "!10.1.0.0/16 10.0.0.0/8", "", "10.2.2.3", 1 },
	{ "0.0.0.0/0", "", "::1", 0 },
	{ ".a.test", "mail.a.test", "192.0.2.1", 1 },
	{ "texthash:/x", "unknown", "192.0.2.9", 1 },
	{ "", "unknown", "192.0.2.9", 0 },
};

static void
test_clients(void **state)
{
	struct domain_literal addr;
	struct match_list *l;
	struct buf why;
	bool found;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(clients); i++) {
		l = NULL;
		assert_int_equal(match_list_parse(MATCH_CLIENT, 0,
		    view_str(clients[i].list), &source, &l, &why), 0);
		assert_int_equal(domain_parse_ip(view_str(clients[i].addr), &addr), 0);
		assert_int_equal(match_list_client(l, view_str(clients[i].name), &addr,
		    &found), 0);
		if (found != clients[i].want)
			fail_msg("case %zu: %s in %s", i, clients[i].addr, clients[i].list);
		match_list_free(&l);
	}
	buf_fini(&why);
}

static void
test_without_source(void **state)
{
	struct match_list *l = NULL;
	struct buf why;
	bool found = false;

	(void)state;
	buf_init(&why, 1000);
	assert_int_equal(match_list_parse(MATCH_DOMAIN, 0, VIEW("a.test texthash:/x"),
	    NULL, &l, &why), 0);
	assert_true(match_list_external(l));
	assert_int_equal(match_list_name(l, VIEW("a.test"), &found), 0);
	assert_true(found);
	assert_int_equal(match_list_name(l, VIEW("b.test"), &found), PK_EUNSUPPORTED);
	match_list_free(&l);
	buf_fini(&why);
}

static void
test_refused(void **state)
{
	static const char *const lists[] = { "10.0.0.1/8", "10.0.0.0/99", "!",
	    "[10.0.0.300]", "/nowhere", "[::1]/129" };
	struct match_list *l = NULL;
	struct buf why;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(lists); i++) {
		buf_reset(&why);
		assert_int_not_equal(match_list_parse(MATCH_CLIENT, 0,
		    view_str(lists[i]), &source, &l, &why), 0);
		assert_null(l);
		assert_true(why.len > 0);
	}
	buf_fini(&why);
	assert_true(match_parent_style("b", "a, b c"));
	assert_false(match_parent_style("d", "a, b c"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_without_source),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("match_list", tests, NULL, NULL);
}
