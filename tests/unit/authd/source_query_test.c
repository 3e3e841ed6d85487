/* SPDX-License-Identifier: ISC */
/*
 * A12: an administrator's query becomes one with bound parameters, whatever
 * quotes he wrote; what cannot be made one is refused at the start.
 */
#include <string.h>

#include "authd/source_row.h"
#include "authd/source_sql.h"
#include "tests/unit/unit.h"

static const struct sql_driver numbered = { .numbered = true };
static const struct sql_driver question = { .concat = false };
static const struct sql_driver concat = { .concat = true };

static const struct {
	const char	*name;
	const struct sql_driver *d;
	const char	*text;
	const char	*want;		/* NULL: refused */
	const char	*params;
} rows[] = {
	{ "bare", &numbered, "SELECT p FROM u WHERE n = %u", "SELECT p FROM u WHERE n = $1", "u" },
	{ "quoted", &numbered, "SELECT p FROM u WHERE n = '%u'", "SELECT p FROM u WHERE n = $1",
	    "u" },
	{ "each its own", &numbered, "a = %n AND b = '%d' AND c = %n",
	    "a = $1 AND b = $2 AND c = $3", "ndn" },
	{ "question marks", &question, "a = '%n' AND b = %d", "a = ? AND b = ?", "nd" },
	{ "part of a literal", &numbered, "a = '%n@example.com'", "a = ($1 || '@example.com')",
	    "n" },
	{ "two in a literal", &numbered, "a = '<%n@%d>'", "a = ('<' || $1 || '@' || $2 || '>')",
	    "nd" },
	{ "CONCAT", &concat, "a = '%n@x.test'", "a = CONCAT(?, '@x.test')", "n" },
	{ "MySQL's other quotes", &concat, "a = \"%u\"", "a = ?", "u" },
	{ "quote in a literal", &numbered, "a = 'it''s %n'", "a = ('it''s ' || $1)", "n" },
	{ "backslash in a literal", &concat, "a = 'it\\'s' AND b = '%u'",
	    "a = 'it\\'s' AND b = ?", "u" },
	{ "percent", &numbered, "a LIKE 'x%%' AND b = %u", "a LIKE 'x%' AND b = $1", "u" },
	{ "percent outside", &numbered, "a %% 2 = 0", "a % 2 = 0", "" },
	{ "percent beside", &numbered, "a LIKE '%n%%'", "a LIKE ($1 || '%')", "n" },
	{ "literal alone", &numbered, "SELECT 'x' FROM \"Users\" WHERE a = %u",
	    "SELECT 'x' FROM \"Users\" WHERE a = $1", "u" },
	{ "unknown", &numbered, "a = %x", NULL, NULL },
	{ "unknown in a literal", &numbered, "a = '%x'", NULL, NULL },
	{ "at the end", &numbered, "a = %", NULL, NULL },
	{ "open quote", &numbered, "a = '%u", NULL, NULL },
	{ "a column's name", &numbered, "SELECT \"%u\" FROM t", NULL, NULL },
	{ "a column's name for MySQL", &concat, "SELECT `%u` FROM t", NULL, NULL },
	{ "two statements", &numbered, "SELECT 1; SELECT 2", NULL, NULL },
	{ "too many", &numbered, "%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", NULL, NULL },
};

static void
test_A12_queries(void **state)
{
	struct sql_query q;
	struct buf why;
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		memset(&q, 0, sizeof(q));
		buf_init(&why, 1000);
		rc = sql_query_parse(rows[i].d, view_str(rows[i].text), &q, &why);
		if (rows[i].want == NULL) {
			CHECK_INT(rows[i].name, rc, PK_ESYNTAX);
			CHECK(rows[i].name, why.len > 0 && q.text == NULL);
		} else {
			CHECK_INT(rows[i].name, rc, 0);
			CHECK_VIEW(rows[i].name, view_str(q.text), rows[i].want);
			CHECK_VIEW(rows[i].name, view_of(q.params, q.nparams), rows[i].params);
		}
		sql_query_fini(&q);
		buf_fini(&why);
	}
}

static void
test_keys(void **state)
{
	static const char *const fit[] = { "u@d", "o'hara@d", "u", "\xc3\xa4@d", "a b@d" };
	static const char *const unfit[] = { "", "a\nb", "\x7f", "\xc0\xa7", "\xe0\x80\xa7",
		"\xff", "\xed\xa0\x80", "a\rb" };
	char *user, *domain, longest[400];
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(fit); i++)
		CHECK(fit[i], source_key_is_fit(view_str(fit[i])));
	for (i = 0; i < NELEMS(unfit); i++)
		CHECK("unfit", !source_key_is_fit(view_str(unfit[i])));
	memset(longest, 'a', sizeof(longest));
	assert_false(source_key_is_fit(view_of(longest, 321)));
	assert_false(source_key_is_fit(view_of("a\0b", 3)));
	source_key_split(VIEW("a@b@c"), &user, &domain);
	assert_string_equal(user, "a@b");
	assert_string_equal(domain, "c");
	xfree(user);
	xfree(domain);
}

/* Second order: what a database holds was somebody's input. */
static void
test_A12_rows(void **state)
{
	struct source_user u;
	struct buf b;

	(void)state;
	source_user_init(&u);
	assert_int_equal(source_row_set(&u, VIEW("password"), VIEW("abc"), "PLAIN"), 0);
	assert_string_equal(u.hashes[0], "{PLAIN}abc");
	assert_int_equal(source_row_set(&u, VIEW("USERNAME"), VIEW("Bob"), ""), 0);
	assert_int_equal(source_row_set(&u, VIEW("quota_rule"), VIEW("*:storage=1G"), ""), 0);
	assert_int_equal(u.quota_bytes, 1 << 30);
	assert_int_equal(source_row_set(&u, VIEW("whatever"), VIEW("x"), ""), 0);
	assert_int_equal(source_row_set(&u, VIEW("user"), VIEW("a\nb"), ""), PK_ESYNTAX);
	assert_int_equal(source_row_set(&u, VIEW("user"), VIEW("\xc0\xa7"), ""), PK_ESYNTAX);
	assert_int_equal(source_row_set(&u, VIEW("quota"), VIEW("lots"), ""), PK_ESYNTAX);
	assert_int_equal(source_row_set(&u, VIEW("disabled"), VIEW("f"), ""), 0);
	assert_false(u.disabled);
	assert_int_equal(source_row_set(&u, VIEW("disabled"), VIEW("t"), ""), 0);
	assert_true(u.disabled);
	source_row_end(&u, VIEW("bob@example.test"));
	assert_string_equal(u.login, "bob@example.test");
	source_user_fini(&u);
	buf_init(&b, 100);
	source_put_value(&b, VIEW(" a@b "));
	source_put_value(&b, VIEW("x\r\ny"));
	source_put_value(&b, VIEW("c@d"));
	CHECK_VIEW("joined", buf_view(&b), "a@b, c@d");
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test(test_A12_queries), cmocka_unit_test(test_keys),
    cmocka_unit_test(test_A12_rows))
