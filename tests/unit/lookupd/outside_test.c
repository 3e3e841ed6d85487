/* SPDX-License-Identifier: ISC */
/*
 * Tables that another process answers: the resolver comes to the same results
 * as with tables of its own, in few rounds; what cannot be told is deferred
 * and never refused; limits, the cache, requests whose asker is gone.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "lookupd/outside.h"
#include "lookupd/resolver.h"
#include "lookupd/tables.h"
#include "sys/loop.h"
#include "table/table.h"
#include "tests/unit/unit.h"

#define ASKED_MAX	30000

static const char common[] =
"myhostname = mx.example.test\nmyorigin = example.test\nmydestination = local.test\n"
"recipient_delimiter = +\nvirtual_mailbox_limit = 7m\n"
"virtual_alias_expansion_limit = 5000\n";

/* The same words inside and outside. */
static const char *const content[5][2] = {
	{ "domains", "one.test=OK two.test=OK catch.test=OK" },
	{ "users", "a@one.test=one/a/ b@one.test=one/b/ c@two.test=two/c/ @catch.test=catch/all/" },
	{ "aliases", "{all@one.test = a@one.test, b@one.test, c@two.test}"
	    " {nest@one.test = all@one.test, far@away.test, n2@two.test}"
	    " {n2@two.test = n3@two.test}"
	    " {n3@two.test = c@two.test, gone@one.test} {l1@one.test=l2@one.test}"
	    " {l2@one.test=l1@one.test} {self@one.test=self@one.test, a@one.test}"
	    " {abuse@two.test=a@one.test}"
	    " {empty@one.test={}} {bad@one.test=\"@\"@}" },
	{ "quotas", "a@one.test=1m c@two.test=nonsense" },
	{ "logins", "a@one.test=a@one.test" },
};

static struct loop *loop;
static struct outside *outside;
static struct conf *conf_in, *conf_out;
static struct tables *tables_in, *tables_out;
static struct resolver *in, *out;
static struct resolver_own own;
static struct ipc_channel *const someone = (struct ipc_channel *)(void *)&own;
static char last_log[2000];

/* ---- the other process ---- */

static struct outside_question *asked[ASKED_MAX];
static char *asked_key[ASKED_MAX];
static size_t nasked, nanswered, ntotal;
static bool silent, failing, hostile;
static unsigned generated;		/* aliases without end: N@gen.test leads to N+1 */

static void
ask(void *arg, const char *spec, struct view key, struct outside_question *q)
{
	(void)arg;
	assert_true(nasked < ASKED_MAX);
	asked_key[nasked] = xasprintf("%s %.*s", spec, VIEW_ARG(key));
	asked[nasked++] = q;
	ntotal++;
}

static void
drop(void *arg, struct outside_question *q)
{
	(void)arg, (void)q;
}

static int
generated_answer(const char *spec, const char *key, struct buf *value)
{
	unsigned n;
	char end;

	if (generated == 0 || strcmp(spec, "accounts:aliases") != 0 || key[0] != 'n')
		return PK_ENOENT;
	for (n = 0, key++; *key >= '0' && *key <= '9'; key++)
		n = n * 10 + (unsigned)(*key - '0');
	end = *key;
	if (end != '@')
		return PK_ENOENT;
	if (n >= generated)
		return PK_ENOENT;
	buf_printf(value, "n%u@one.test", n + 1);
	return 0;
}

static int
find(const char *spec, const char *key, struct buf *value)
{
	struct table *t;
	struct buf why, name;
	size_t i;
	int rc = PK_ENOENT;

	buf_init(&why, 1000);
	buf_init(&name, 4000);
	for (i = 0; i < NELEMS(content); i++) {
		if (strcmp(spec + 9, content[i][0]) != 0)
			continue;
		buf_printf(&name, "inline:{%s}", content[i][1]);
		assert_int_equal(table_open(buf_view(&name), &t, &why), 0);
		rc = table_get(t, view_str(key), value);
		table_close(&t);
	}
	buf_fini(&name);
	buf_fini(&why);
	return rc == PK_ENOENT ? generated_answer(spec, key, value) : rc;
}

static void
answer_all(void)
{
	struct buf value;
	char *space;
	size_t i;
	int rc;

	for (i = nanswered; i < nasked; i++) {
		buf_init(&value, TABLE_VALUE_MAX);
		space = strchr(asked_key[i], ' ');
		*space = '\0';
		rc = failing ? PK_ETEMP : find(asked_key[i], space + 1, &value);
		*space = ' ';
		if (hostile && rc == 0)
			buf_put_str(&value, "\nforged line");
		outside_answered(outside, asked[i], rc, buf_view(&value));
		buf_fini(&value);
	}
	nanswered = nasked;
}

static void
forget_asked(void)
{
	while (nasked > 0)
		xfree(asked_key[--nasked]);
	nanswered = 0;
}

/* ---- requests ---- */

struct result {
	const char	*address;
	unsigned	 runs;
	bool		 done;
	char		 text[200000];
};

static void
put_results(struct resolver *r, struct result *res)
{
	struct resolver_expansion e;
	struct resolver_check c;
	size_t i, n = 0;

	resolver_check_init(&c);
	resolver_check(r, view_str(res->address), ROUTE_FLAG_VALIDATE, &c);
	resolver_expand(r, view_str(res->address), &e);
	n += (size_t)snprintf(res->text, sizeof(res->text), "%d %d %s %.*s; %d %s\n", c.class,
	    c.verdict, c.dsn, VIEW_ARG(buf_view(&c.text)), e.code, e.text != NULL ? e.text : "");
	for (i = 0; i < e.count && n < sizeof(res->text) - 4000; i++)
		n += (size_t)snprintf(res->text + n, sizeof(res->text) - n,
		    "%s %s %s %s %llu %s\n", e.routes[i].address, e.routes[i].transport,
		    e.routes[i].nexthop, e.routes[i].path != NULL ? e.routes[i].path : "-",
		    (unsigned long long)e.routes[i].quota,
		    e.routes[i].text != NULL ? e.routes[i].text : "");
	resolver_expansion_fini(&e);
	resolver_check_fini(&c);
}

static int
run(void *arg, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct result *res;

	(void)arg, (void)ch;
	memcpy(&res, m->body.p, sizeof(res));
	res->runs++;
	put_results(out, res);
	if (!outside_pending(outside))
		res->done = true;
	return 0;
}

static void
begin(struct result *res, const char *address)
{
	struct ipc_msg m = { .type = IPC_EXPAND, .id = 7 };

	memset(res, 0, sizeof(*res));
	res->address = address;
	m.body = view_of((char *)&res, sizeof(res));
	assert_int_equal(outside_run(outside, someone, &m, run, NULL), 0);
}

static void
settle(struct result *res)
{
	unsigned n;

	for (n = 0; n < 1000 && !res->done && !silent; n++) {
		answer_all();
		loop_turn(loop, 0);
	}
}

/* ---- the same as inside ---- */

static const char *const addresses[] = {
	"a@one.test", "a+ext@one.test", "A@ONE.test", "nobody@one.test", "c@two.test",
	"x@catch.test", "all@one.test", "nest@one.test", "l1@one.test", "self@one.test",
	"empty@one.test", "bad@one.test", "x@elsewhere.test", "root", "user@local.test",
	"abuse+1@two.test", "\"quoted one\"@one.test", "@", "a@[192.0.2.1]",
};

static void
test_same_results(void **state)
{
	struct result *res = XNEW(struct result), *want = XNEW(struct result);
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(addresses); i++) {
		outside_renew(outside);
		want->address = addresses[i];
		put_results(in, want);
		begin(res, addresses[i]);
		settle(res);
		CHECK(addresses[i], res->done);
		if (strcmp(res->text, want->text) != 0)
			fail_msg("%s:\n%swant:\n%s", addresses[i], res->text, want->text);
		/* domains and aliases at once, users, quotas; each level of aliases one more */
		CHECK(addresses[i], res->runs <= 6);
		CHECK_INT(addresses[i], outside_waiting(outside), 0);
		/* Known by now. */
		begin(res, addresses[i]);
		CHECK_INT(addresses[i], res->runs, 1);
		CHECK(addresses[i], res->done);
	}
	forget_asked();
	xfree(res);
	xfree(want);
}

static void
test_no_table_of_this_kind_costs_nothing(void **state)
{
	struct result *want = XNEW(struct result);
	size_t before = ntotal;

	(void)state;
	want->address = "nest@one.test";
	put_results(in, want);
	assert_int_equal(ntotal, before);
	assert_int_equal(outside_waiting(outside), 0);
	xfree(want);
}

/* ---- when it cannot tell ---- */

static void
test_failure_defers(void **state)
{
	struct result *res = XNEW(struct result);
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		outside_renew(outside);
		failing = true;
		begin(res, addresses[i]);
		settle(res);
		CHECK(addresses[i], res->done);
		CHECK(addresses[i], strstr(res->text, "Temporary lookup failure") != NULL);
		CHECK(addresses[i], strstr(res->text, "User unknown") == NULL);
		/* Not remembered. */
		failing = false;
		begin(res, addresses[i]);
		settle(res);
		CHECK(addresses[i], strstr(res->text, "Temporary lookup failure") == NULL);
	}
	forget_asked();
	xfree(res);
}

static void
test_A11_value_is_one_line(void **state)
{
	struct result *res = XNEW(struct result);

	(void)state;
	outside_renew(outside);
	hostile = true;
	begin(res, "a@one.test");
	settle(res);
	hostile = false;
	assert_true(res->done);
	assert_non_null(strstr(res->text, "Temporary lookup failure"));
	assert_null(strstr(res->text, "forged"));
	forget_asked();
	xfree(res);
}

/* ---- one question for many, its life ---- */

static void
test_one_question_serves_many(void **state)
{
	static struct result many[50];
	size_t i, before;

	(void)state;
	outside_renew(outside);
	before = ntotal;
	for (i = 0; i < NELEMS(many); i++)
		begin(&many[i], "a@one.test");
	assert_int_equal(outside_waiting(outside), NELEMS(many));
	settle(&many[NELEMS(many) - 1]);
	for (i = 0; i < NELEMS(many); i++) {
		assert_true(many[i].done);
		assert_string_equal(many[i].text, many[0].text);
	}
	assert_true(ntotal - before <= 8);
	forget_asked();
}

static void
test_cache_ends(void **state)
{
	struct result *res = XNEW(struct result);
	size_t before;

	(void)state;
	outside_renew(outside);
	begin(res, "nobody@one.test");
	settle(res);
	before = ntotal;
	begin(res, "nobody@one.test");
	assert_true(res->done);
	assert_int_equal(ntotal, before);
	usleep((OUTSIDE_CACHE_MS + 100) * 1000);
	loop_turn(loop, 0);
	begin(res, "nobody@one.test");
	assert_false(res->done);
	assert_true(ntotal > before);
	settle(res);
	assert_true(res->done);
	before = ntotal;
	outside_renew(outside);
	begin(res, "nobody@one.test");
	assert_true(ntotal > before);
	settle(res);
	forget_asked();
	xfree(res);
}

/* Who asked has gone; a reload comes while it waits; both before the answers. */
static void
test_forgotten_and_renewed(void **state)
{
	struct result *a = XNEW(struct result), *b = XNEW(struct result);

	(void)state;
	outside_renew(outside);
	begin(a, "a@one.test");
	outside_forget(outside, someone);
	assert_int_equal(outside_waiting(outside), 0);
	begin(b, "a@one.test");
	outside_renew(outside);
	settle(b);
	assert_false(a->done);
	assert_true(b->done);
	assert_non_null(strstr(b->text, "one/a/"));
	forget_asked();
	xfree(a);
	xfree(b);
}

/* ---- limits ---- */

static void
test_a_chain_without_end(void **state)
{
	struct result *res = XNEW(struct result);

	(void)state;
	outside_renew(outside);
	generated = 50;
	begin(res, "n0@one.test");
	settle(res);
	assert_true(res->done);
	assert_non_null(strstr(res->text, "n50@one.test"));
	outside_renew(outside);
	generated = 100000;
	begin(res, "n0@one.test");
	settle(res);
	assert_true(res->done);
	assert_true(res->runs <= 210);
	assert_non_null(strstr(res->text, "Temporary lookup failure"));
	generated = 0;
	outside_renew(outside);
	forget_asked();
	xfree(res);
}

static void
test_too_many_wait(void **state)
{
	static struct result res;
	static char address[64];
	size_t i;

	(void)state;
	outside_renew(outside);
	silent = true;
	for (i = 0; i < 20000; i++) {
		snprintf(address, sizeof(address), "u%zu@d%zu.test", i, i);
		begin(&res, address);
	}
	/* Refused for now without waiting. */
	assert_true(res.done);
	assert_non_null(strstr(res.text, "Temporary lookup failure"));
	assert_true(outside_waiting(outside) <= 10000);
	assert_true(nasked - nanswered <= 5000);
	outside_forget(outside, NULL);
	assert_int_equal(outside_waiting(outside), 0);
	answer_all();
	silent = false;
	begin(&res, "a@one.test");
	settle(&res);
	assert_non_null(strstr(res.text, "one/a/"));
	forget_asked();
}

/* ---- life ---- */

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level, (void)len, (void)arg;
	snprintf(last_log, sizeof(last_log), "%s", line);
}

static void
no_note(const struct conf_note *note, void *arg)
{
	(void)arg;
	fail_msg("%s", note->text);
}

static int
get_outside(void *arg, struct view spec, struct view key, struct buf *value_r)
{
	return outside_get(arg, spec, key, value_r);
}

static bool
is_pending(const void *arg)
{
	return outside_pending(arg);
}

static struct conf *
load(bool inside)
{
	static const char *const params[] = { "virtual_mailbox_domains", "virtual_mailbox_maps",
		"virtual_alias_maps", "virtual_mailbox_quota_maps", "smtpd_sender_login_maps" };
	struct conf *c;
	struct buf b;
	size_t i;

	buf_init(&b, 8192);
	buf_put_str(&b, common);
	for (i = 0; i < NELEMS(params); i++)
		if (inside)
			buf_printf(&b, "%s = inline:{%s}\n", params[i], content[i][1]);
		else
			buf_printf(&b, "%s = accounts:%s\n", params[i], content[i][0]);
	c = conf_load("main.cf", buf_view(&b), no_note, NULL);
	assert_non_null(c);
	buf_fini(&b);
	return c;
}

static int
setup(void **state)
{
	struct outside_ops ops = { .ask = ask, .drop = drop };

	(void)state;
	log_set_sink(sink, NULL);
	loop = loop_new();
	outside = outside_new(loop, &ops);
	conf_in = load(true);
	conf_out = load(false);
	tables_in = tables_new(conf_in);
	tables_out = tables_new(conf_out);
	tables_set_outside(tables_out, get_outside, is_pending, outside);
	in = resolver_new(conf_in, tables_in, &own);
	out = resolver_new(conf_out, tables_out, &own);
	return 0;
}

static int
teardown(void **state)
{
	struct result *res = XNEW(struct result);

	(void)state;
	/* With requests that wait, and a question that nobody wants any more. */
	outside_renew(outside);
	begin(res, "a@one.test");
	outside_renew(outside);
	resolver_free(&in);
	resolver_free(&out);
	tables_free(&tables_in);
	tables_free(&tables_out);
	outside_free(&outside);
	conf_free(&conf_in);
	conf_free(&conf_out);
	loop_free(&loop);
	forget_asked();
	xfree(res);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_results),
		cmocka_unit_test(test_no_table_of_this_kind_costs_nothing),
		cmocka_unit_test(test_failure_defers),
		cmocka_unit_test(test_A11_value_is_one_line),
		cmocka_unit_test(test_one_question_serves_many),
		cmocka_unit_test(test_cache_ends),
		cmocka_unit_test(test_forgotten_and_renewed),
		cmocka_unit_test(test_a_chain_without_end),
		cmocka_unit_test(test_too_many_wait),
	};

	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}
