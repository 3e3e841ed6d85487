/* SPDX-License-Identifier: ISC */
/*
 * The accounts database, names, and tickets whose keys are in it.
 */
#include <sys/resource.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/accounts.h"
#include "authd/name.h"
#include "authd/ticket.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/accounts-test-XXXXXX";
static struct accounts *db;

static int
set_up(void **state)
{
	struct buf why;

	(void)state;
	json_set_alloc_funcs(xmalloc, xfree);
	if (mkdtemp(dir) == NULL)
		return -1;
	buf_init(&why, 1000);
	db = accounts_open(dir, &why);
	buf_fini(&why);
	return db != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };
	char path[200];
	size_t i;

	(void)state;
	accounts_close(&db);
	for (i = 0; i < NELEMS(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static int
set(enum accounts_kind kind, const char *name, const char *json, enum accounts_mode mode)
{
	json_t *record = json_loads(json, 0, NULL);
	struct accounts_txn *t;
	struct buf why;
	int error;

	assert_non_null(record);
	buf_init(&why, 1000);
	assert_int_equal(accounts_begin(db, &t), 0);
	error = accounts_txn_set(t, kind, view_str(name), record, mode, &why);
	if (error == 0)
		error = accounts_commit(&t);
	else
		accounts_abort(&t);
	buf_fini(&why);
	json_decref(record);
	return error;
}

static int
del(enum accounts_kind kind, const char *name, bool force, size_t *removed)
{
	struct accounts_txn *t;
	int error;

	assert_int_equal(accounts_begin(db, &t), 0);
	error = accounts_txn_delete(t, kind, view_str(name), force, removed);
	if (error == 0)
		return accounts_commit(&t);
	accounts_abort(&t);
	return error;
}

/* ---- names (A14) ---- */

static const struct {
	const char	*name, *want;	/* NULL: refused */
} names[] = {
	{ "alice@example.com", "alice@example.com" },
	{ "ALICE@EXAMPLE.COM", "alice@example.com" },
	{ "alice", "alice@default.test" },
	{ "alice+tag@example.com", "alice+tag@example.com" },
	{ "al.ice@example.com", "al.ice@example.com" },
	{ "alice%example.com", "alice%example.com@default.test" },
	{ "J\xc3\x9cRGEN@B\xc3\xbc" "cher.test", "j\xc3\xbcrgen@xn--bcher-kva.test" },
	{ "ju\xcc\x88rgen@example.com", "j\xc3\xbcrgen@example.com" },
	{ "\xe2\x84\xaa" "arl@example.com", "karl@example.com" },	/* KELVIN SIGN */
	{ "a\xef\xbd\x82@example.com", "a\xef\xbd\x82@example.com" },	/* full width: another */
	{ "", NULL },
	{ "@example.com", NULL },
	{ "alice@", NULL },
	{ "a b@example.com", NULL },
	{ "a\tb", NULL },
	{ "a\"b", NULL },
	{ "a,b", NULL },
	{ ".a", NULL },
	{ "a.", NULL },
	{ "a..b", NULL },
	{ "\xe2\x84\xaa..a", NULL },		/* in lower case it is ASCII */
	{ "a@b@example.com", NULL },
	{ "a\xe2\x80\x8b" "b", NULL },		/* ZERO WIDTH SPACE */
	{ "a\xe2\x80\xae" "b", NULL },		/* RIGHT-TO-LEFT OVERRIDE */
	{ "a\xc2\xa0" "b", NULL },		/* NO-BREAK SPACE */
	{ "a\xff" "b", NULL },
	{ "a@[127.0.0.1]", NULL },
	{ "a@exa mple.com", NULL },
};

static void
test_A14_names(void **state)
{
	struct buf b;
	size_t i;
	int error;

	(void)state;
	buf_init(&b, NAME_MAX_LEN);
	for (i = 0; i < NELEMS(names); i++) {
		buf_reset(&b);
		error = name_put(&b, view_str(names[i].name), VIEW("default.test"));
		CHECK(names[i].name, (error == 0) == (names[i].want != NULL));
		if (error != 0) {
			CHECK(names[i].name, b.len == 0);
			continue;
		}
		CHECK_VIEW(names[i].name, buf_view(&b), names[i].want);
		/* The form of the form is the form. */
		struct buf again;

		buf_init(&again, NAME_MAX_LEN);
		CHECK(names[i].name, name_put(&again, buf_view(&b), VIEW("")) == 0 &&
		    view_eq(buf_view(&again), buf_view(&b)));
		buf_fini(&again);
	}
	buf_fini(&b);
}

/* ---- records ---- */

static const struct {
	const char	*name;
	enum accounts_kind kind;
	const char	*json;
	int		 want;
} records[] = {
	{ "empty user", ACCOUNTS_USER, "{}", 0 },
	{ "hash", ACCOUNTS_USER, "{\"password\": \"{PLAIN}x\"}", 0 },
	{ "no hash", ACCOUNTS_USER, "{\"password\": \"x\"}", PK_ESYNTAX },
	{ "hash is a number", ACCOUNTS_USER, "{\"password\": 1}", PK_ESYNTAX },
	{ "misspelt", ACCOUNTS_USER, "{\"pasword\": \"{PLAIN}x\"}", PK_ESYNTAX },
	{ "SCRAM of the other", ACCOUNTS_USER, "{\"scram_sha1\": \"{SCRAM-SHA-256}1,,,\"}",
	    PK_ESYNTAX },
	{ "quota below zero", ACCOUNTS_USER, "{\"quota\": -1}", PK_ESYNTAX },
	{ "quota", ACCOUNTS_DOMAIN, "{\"quota\": 5}", 0 },
	{ "mailbox", ACCOUNTS_USER, "{\"mailbox\": \"a/b/\"}", 0 },
	{ "mailbox outside", ACCOUNTS_USER, "{\"mailbox\": \"../b/\"}", PK_ESYNTAX },
	{ "mailbox at the root", ACCOUNTS_USER, "{\"mailbox\": \"/b/\"}", PK_ESYNTAX },
	{ "services", ACCOUNTS_USER, "{\"services\": [\"smtp\"]}", 0 },
	{ "no such service", ACCOUNTS_USER, "{\"services\": [\"pop\"]}", PK_ESYNTAX },
	{ "app", ACCOUNTS_USER, "{\"app_passwords\": [{\"name\": \"a\", \"hash\": \"{PLAIN}x\"}]}", 0 },
	{ "two of a name", ACCOUNTS_USER, "{\"app_passwords\": [{\"name\": \"a\", \"hash\": \"{PLAIN}x"
	    "\"},{\"name\": \"a\", \"hash\": \"{PLAIN}y\"}]}", PK_ESYNTAX },
	{ "app without hash", ACCOUNTS_USER, "{\"app_passwords\": [{\"name\": \"a\"}]}", PK_ESYNTAX },
	{ "alias", ACCOUNTS_ALIAS, "{\"to\": [\"a@b.test\"]}", 0 },
	{ "alias to nobody", ACCOUNTS_ALIAS, "{\"to\": []}", PK_ESYNTAX },
	{ "two in one", ACCOUNTS_ALIAS, "{\"to\": [\"a@b.test,c@d.test\"]}", PK_ESYNTAX },
	{ "alias to a program", ACCOUNTS_ALIAS, "{\"to\": [\"|/bin/sh\"]}", PK_ESYNTAX },
	{ "alias with a line", ACCOUNTS_ALIAS, "{\"to\": [\"a@b.test\\nx\"]}", PK_ESYNTAX },
	{ "control", ACCOUNTS_DOMAIN, "{\"description\": \"a\\u0007\"}", PK_ESYNTAX },
	{ "nul", ACCOUNTS_DOMAIN, "{\"description\": \"a\\u0000b\"}", PK_ESYNTAX },
	{ "no object", ACCOUNTS_DOMAIN, "[]", PK_ESYNTAX },
};

static void
test_records(void **state)
{
	json_t *record;
	struct buf why;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(records); i++) {
		buf_reset(&why);
		record = json_loads(records[i].json, JSON_ALLOW_NUL, NULL);
		CHECK(records[i].name, record != NULL);
		CHECK(records[i].name,
		    accounts_record_check(records[i].kind, record, &why) == records[i].want);
		CHECK(records[i].name, (why.len > 0) == (records[i].want != 0));
		json_decref(record);
	}
	buf_fini(&why);
}

/* ---- the database ---- */

static bool
count(struct view name, struct view json, void *arg)
{
	(void)name, (void)json;
	++*(size_t *)arg;
	return true;
}

static void
test_changes(void **state)
{
	size_t removed = 0, n = 0;
	json_t *record;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(set(ACCOUNTS_USER, "a@x.test", "{}", ACCOUNTS_ADD), PK_ENOENT);
	assert_int_equal(set(ACCOUNTS_DOMAIN, "x.test", "{}", ACCOUNTS_ADD), 0);
	assert_int_equal(set(ACCOUNTS_DOMAIN, "x.test", "{}", ACCOUNTS_ADD), PK_EEXIST);
	/* Its name begins with the other's: neither is in the other. */
	assert_int_equal(set(ACCOUNTS_DOMAIN, "x.test2", "{}", ACCOUNTS_ADD), 0);
	assert_int_equal(set(ACCOUNTS_USER, "a@x.test",
	    "{\"senders\": [\"S@x.test\", \"@y.test\"]}", ACCOUNTS_ADD), 0);
	assert_int_equal(set(ACCOUNTS_USER, "b@x.test", "{\"senders\": [\"s@x.test\"]}",
	    ACCOUNTS_ADD), 0);
	assert_int_equal(set(ACCOUNTS_USER, "a@x.test2", "{}", ACCOUNTS_ADD), 0);
	assert_int_equal(accounts_count(db, ACCOUNTS_USER, VIEW("x.test")), 2);
	assert_int_equal(accounts_count(db, ACCOUNTS_USER, VIEW("")), 3);
	assert_int_equal(accounts_senders(db, VIEW("s@x.test"), &b), 0);
	CHECK_VIEW("senders", buf_view(&b), "a@x.test,b@x.test");
	buf_reset(&b);
	assert_int_equal(accounts_senders(db, VIEW("@y.test"), &b), 0);
	CHECK_VIEW("domain", buf_view(&b), "a@x.test");
	buf_reset(&b);
	assert_int_equal(set(ACCOUNTS_USER, "a@x.test", "{}", ACCOUNTS_REPLACE), 0);
	assert_int_equal(accounts_senders(db, VIEW("@y.test"), &b), PK_ENOENT);
	assert_int_equal(accounts_senders(db, VIEW("s@x.test"), &b), 0);
	CHECK_VIEW("the other stays", buf_view(&b), "b@x.test");

	assert_int_equal(set(ACCOUNTS_ALIAS, "a@x.test", "{\"to\": [\"z@far.test\"]}",
	    ACCOUNTS_ADD), PK_EEXIST);
	assert_int_equal(set(ACCOUNTS_ALIAS, "a@x.test", "{\"to\": [\"z@far.test\", \"a@x.test\"]}",
	    ACCOUNTS_ADD), 0);
	assert_int_equal(set(ACCOUNTS_ALIAS, "@x.test", "{\"to\": [\"a@x.test\"]}",
	    ACCOUNTS_ADD), 0);
	assert_int_equal(accounts_get(db, ACCOUNTS_ALIAS, VIEW("@x.test"), &record), 0);
	json_decref(record);

	assert_int_equal(accounts_each(db, ACCOUNTS_USER, VIEW("x.test"), VIEW("a@x.test"), 10,
	    count, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(del(ACCOUNTS_DOMAIN, "x.test", false, &removed), PK_EBUSY);
	assert_int_equal(accounts_count(db, ACCOUNTS_USER, VIEW("x.test")), 2);
	assert_int_equal(del(ACCOUNTS_DOMAIN, "x.test", true, &removed), 0);
	assert_int_equal(removed, 5);
	assert_int_equal(accounts_count(db, ACCOUNTS_USER, VIEW("")), 1);
	buf_reset(&b);
	assert_int_equal(accounts_senders(db, VIEW("s@x.test"), &b), PK_ENOENT);
	assert_int_equal(del(ACCOUNTS_USER, "a@x.test", false, &removed), PK_ENOENT);
	buf_fini(&b);
}

/* 100,000 users: added in transactions of 1,000, found, counted. */
static void
test_many(void **state)
{
	uint64_t start = clock_mono_ns(), add_ns, find_ns;
	struct accounts_txn *t;
	json_t *record;
	char name[64];
	struct buf why;
	int i;

	(void)state;
	unit_skip_under_valgrind("100,000 users");
	buf_init(&why, 1000);
	assert_int_equal(set(ACCOUNTS_DOMAIN, "many.test", "{}", ACCOUNTS_PUT), 0);
	record = json_pack("{s:s}", "password", "{CRYPT}$y$j9T$SALTsaltSALTsalt$i0Qo1zG2dJ51H");
	for (i = 0; i < 100000; i++) {
		if (i % 1000 == 0)
			assert_int_equal(accounts_begin(db, &t), 0);
		snprintf(name, sizeof(name), "user%06d@many.test", (i * 7919) % 100000);
		assert_int_equal(accounts_txn_set(t, ACCOUNTS_USER, view_str(name), record,
		    ACCOUNTS_ADD, &why), 0);
		if (i % 1000 == 999)
			assert_int_equal(accounts_commit(&t), 0);
	}
	json_decref(record);
	add_ns = clock_mono_ns() - start;
	start = clock_mono_ns();
	for (i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "user%06d@many.test", (i * 7919) % 100000);
		assert_int_equal(accounts_get(db, ACCOUNTS_USER, view_str(name), &record), 0);
		json_decref(record);
	}
	find_ns = clock_mono_ns() - start;
	print_message("# 100,000 users: %.1f us added each, %.1f us found each\n",
	    (double)add_ns / 1e8, (double)find_ns / 1e8);
	assert_int_equal(accounts_count(db, ACCOUNTS_USER, VIEW("many.test")), 100000);
	assert_true(find_ns / 100000 < 200000);
	buf_fini(&why);
}

/* ---- tickets ---- */

#define DAY	(86400 * 1000ULL)
#define NOW	(20000 * DAY)
#define KEEP	(5 * DAY)

static void
test_tickets(void **state)
{
	uint8_t ticket[AUTH_TICKET_SIZE], changed[AUTH_TICKET_SIZE];
	struct tickets *a, *b;
	struct buf why;
	struct view v = view_of((char *)ticket, sizeof(ticket));
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	a = tickets_new(db, KEEP, NOW, &why);
	b = tickets_new(db, KEEP, NOW, &why);
	assert_non_null(a);
	assert_non_null(b);
	ticket_make(a, 7, VIEW("a@x.test"), NOW, ticket);
	assert_int_equal(ticket_check(a, 7, VIEW("a@x.test"), v, NOW), 0);
	assert_int_equal(ticket_check(b, 7, VIEW("a@x.test"), v, NOW), 0);
	/* Another worker's, another user's, too late, one bit off, too short. */
	assert_int_equal(ticket_check(a, 8, VIEW("a@x.test"), v, NOW), PK_EPERM);
	assert_int_equal(ticket_check(a, 7, VIEW("b@x.test"), v, NOW), PK_EPERM);
	assert_int_equal(ticket_check(a, 7, VIEW("a@x.tes"), v, NOW), PK_EPERM);
	assert_int_equal(ticket_check(a, 7, VIEW(""), v, NOW), PK_EPERM);
	assert_int_equal(ticket_check(a, 7, VIEW("a@x.test"), v, NOW + 3 * DAY), PK_EPERM);
	for (i = 0; i < 8 * sizeof(ticket); i++) {
		memcpy(changed, ticket, sizeof(changed));
		changed[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(ticket_check(a, 7, VIEW("a@x.test"),
		    view_of((char *)changed, sizeof(changed)), NOW), PK_EPERM);
	}
	for (i = 0; i < sizeof(ticket); i++)
		assert_int_equal(ticket_check(a, 7, VIEW("a@x.test"), view_head(v, i), NOW),
		    PK_EPERM);
	/* A day later a has a new key; b finds it when it sees it. */
	tickets_turn(a, KEEP, NOW + DAY);
	ticket_make(a, 7, VIEW("a@x.test"), NOW + DAY, changed);
	assert_int_not_equal(changed[1], ticket[1]);
	assert_int_equal(ticket_check(b, 7, VIEW("a@x.test"),
	    view_of((char *)changed, sizeof(changed)), NOW + DAY), 0);
	assert_int_equal(ticket_check(b, 7, VIEW("a@x.test"), v, NOW), 0);
	tickets_free(&a);
	tickets_free(&b);
	buf_fini(&why);
}

/* The clock goes an hour off, a year ahead and back: nothing that is queued is lost. */
static void
test_F6_clock(void **state)
{
	uint8_t ticket[AUTH_TICKET_SIZE];
	struct tickets *t;
	struct buf why;
	struct view v = view_of((char *)ticket, sizeof(ticket));
	int i;

	(void)state;
	buf_init(&why, 1000);
	t = tickets_new(NULL, KEEP, NOW, &why);
	assert_non_null(t);
	ticket_make(t, 7, VIEW("a@x.test"), NOW, ticket);
	assert_int_equal(ticket_check(t, 7, VIEW("a@x.test"), v, NOW - 3600 * 1000), 0);
	assert_int_equal(ticket_check(t, 7, VIEW("a@x.test"), v, NOW + 3600 * 1000), 0);
	tickets_turn(t, KEEP, NOW + 365 * DAY);
	tickets_turn(t, KEEP, NOW);
	for (i = 0; i < 1000; i++)
		tickets_turn(t, KEEP, i % 2 == 0 ? NOW + 365 * DAY : NOW - 365 * DAY);
	assert_int_equal(ticket_check(t, 7, VIEW("a@x.test"), v, NOW), 0);
	/* And what is made under a wrong clock is good there. */
	ticket_make(t, 7, VIEW("a@x.test"), NOW - 365 * DAY, ticket);
	assert_int_equal(ticket_check(t, 7, VIEW("a@x.test"), v, NOW - 365 * DAY), 0);
	tickets_free(&t);
	buf_fini(&why);
}

/* A full disk at the hour of a new key: tickets go on with the old one, which all know. */
static void
test_F6_new_key_that_is_not_on_disk(void **state)
{
	struct rlimit none = { 0, RLIM_INFINITY }, before;
	uint8_t ticket[AUTH_TICKET_SIZE];
	struct view v = view_of((char *)ticket, sizeof(ticket));
	struct tickets *a, *b;
	struct buf why;

	(void)state;
	buf_init(&why, 1000);
	a = tickets_new(db, KEEP, NOW + 10 * DAY, &why);
	b = tickets_new(db, KEEP, NOW + 10 * DAY, &why);
	assert_non_null(a);
	assert_non_null(b);
	(void)signal(SIGXFSZ, SIG_IGN);
	log_set_level(LOG_LVL_FATAL);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	tickets_turn(a, KEEP, NOW + 12 * DAY);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	ticket_make(a, 7, VIEW("a@x.test"), NOW + 12 * DAY, ticket);
	assert_int_equal(ticket_check(b, 7, VIEW("a@x.test"), v, NOW + 12 * DAY), 0);
	/* There is room again. */
	tickets_turn(a, KEEP, NOW + 12 * DAY);
	ticket_make(a, 7, VIEW("a@x.test"), NOW + 12 * DAY, ticket);
	assert_int_equal(ticket_check(b, 7, VIEW("a@x.test"), v, NOW + 12 * DAY), 0);
	log_set_level(LOG_LVL_INFO);
	tickets_free(&a);
	tickets_free(&b);
	buf_fini(&why);
}

static void
test_opened_again(void **state)
{
	unsigned char one[32], two[32];
	struct buf why;

	(void)state;
	buf_init(&why, 1000);
	assert_int_equal(set(ACCOUNTS_DOMAIN, "again.test", "{}", ACCOUNTS_PUT), 0);
	assert_int_equal(accounts_secret(db, one, sizeof(one)), 0);
	accounts_close(&db);
	db = accounts_open(dir, &why);
	assert_non_null(db);
	assert_int_equal(accounts_count(db, ACCOUNTS_DOMAIN, VIEW("again.test")), 1);
	assert_int_equal(accounts_secret(db, two, sizeof(two)), 0);
	assert_memory_equal(one, two, sizeof(one));
	buf_fini(&why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A14_names),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_F6_clock),
		cmocka_unit_test(test_F6_new_key_that_is_not_on_disk),
		cmocka_unit_test(test_opened_again),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
