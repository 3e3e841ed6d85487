/* SPDX-License-Identifier: ISC */
/*
 * Questions from beginning to end: a source of this file, real hashes, real
 * threads, real limits; and how long answers take (A15).
 */
#include <stdlib.h>
#include <string.h>

#include "authd/authd.h"
#include "authd/cache.h"
#include "authd/limits.h"
#include "authd/password.h"
#include "authd/source.h"
#include "authd/verify.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/unit.h"

static struct authd d;
static struct conf *conf;
static char *hash_of_secret;
static unsigned finds, rehashes, verifiers;
static int find_result;
static bool user_disabled;

/* ---- a source ---- */

static int
fake_find(struct source *s, struct view login, struct source_user *u)
{
	(void)s;
	__atomic_add_fetch(&finds, 1, __ATOMIC_RELAXED);
	if (find_result != 0)
		return find_result;
	/* A database that compares loosely: its own name for whoever it finds. */
	if (view_starts(login, VIEW("loose"))) {
		u->login = xstrdup(view_starts(login, VIEW("loose-bad")) ? "no name" :
		    "Al\xc3\x89x@X.test");
		source_user_add_hash(u, hash_of_secret, NULL);
		return 0;
	}
	if (!view_eq(login, VIEW("alice@x.test")) && !view_eq(login, VIEW("app@x.test")) &&
	    !view_eq(login, VIEW("broken@x.test")) && !view_eq(login, VIEW("old@x.test")))
		return PK_ENOENT;
	u->login = view_dup(login);
	u->disabled = user_disabled;
	if (view_eq(login, VIEW("broken@x.test"))) {
		source_user_add_hash(u, "$6$rounds=999999999$abcdefgh$x", NULL);
	} else if (view_eq(login, VIEW("old@x.test"))) {
		source_user_add_hash(u, "{PLAIN}secret", NULL);
	} else {
		source_user_add_hash(u, hash_of_secret, NULL);
		source_user_add_hash(u, "{PLAIN}for-smtp", "one");
		source_user_add_hash(u, "{PLAIN}for-imap", "two");
		source_user_limit_hash(u, SOURCE_IMAP);
	}
	return 0;
}

static int
fake_rehash(struct source *s, const char *login, const char *old_hash, const char *new_hash)
{
	(void)s;
	if (strcmp(login, "old@x.test") == 0 && strcmp(old_hash, "{PLAIN}secret") == 0 &&
	    password_verify(new_hash, VIEW("secret")) == 0)
		__atomic_add_fetch(strncmp(new_hash, "{SCRAM-", 7) == 0 ? &verifiers : &rehashes,
		    1, __ATOMIC_RELAXED);
	return 0;
}

static void
fake_close(struct source *s)
{
	(void)s;
}

static struct source_type fake_type = {
	.name = "fake", .find = fake_find, .close = fake_close, .rehash = fake_rehash,
};
static struct source fake_source = { .type = &fake_type };

/* ---- asking ---- */

struct answer {
	bool		 done;
	enum verify_result result;
	char		 login[400];
	uint64_t	 ns;
};

static void
answered(enum verify_result result, const char *login, void *arg)
{
	struct answer *a = arg;

	assert_false(a->done);
	a->done = true;
	a->result = result;
	snprintf(a->login, sizeof(a->login), "%s", login);
	a->ns = clock_mono_ns() - a->ns;
}

static const struct verify_client client = { "192.0.2.1", "submission", SOURCE_SMTP };

static enum verify_result
ask_as(const struct verify_client *c, const char *user, const char *password, struct answer *a)
{
	struct answer own;

	if (a == NULL)
		a = &own;
	memset(a, 0, sizeof(*a));
	a->ns = clock_mono_ns();
	(void)verify_password(&d, c, view_str(user), view_str(password), answered, a);
	assert_false(a->done);		/* never from inside */
	while (!a->done)
		loop_turn(d.loop, 1000);
	return a->result;
}

static enum verify_result
ask(const char *user, const char *password)
{
	return ask_as(&client, user, password, NULL);
}

static void
configure(const char *text)
{
	struct conf *fresh;
	struct buf b;

	buf_init(&b, 10000);
	buf_printf(&b, "auth_default_domain = x.test\nauth_client_failure_limit = 0\n"
	    "auth_account_failure_limit = 0\n%s", text);
	fresh = conf_load("main.cf", buf_view(&b), NULL, NULL);
	assert_non_null(fresh);
	buf_fini(&b);
	auth_limits_configure(d.limits, fresh);
	d.conf = fresh;
	conf_free(&conf);
	conf = fresh;
}

static int
set_up(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(password_hash("yescrypt", VIEW("secret"), &b), 0);
	hash_of_secret = buf_steal(&b, NULL);
	conf = conf_load("main.cf", VIEW("auth_default_domain = x.test\n"), NULL, NULL);
	if (conf == NULL)
		return -1;
	d.conf = conf;
	d.loop = loop_new();
	d.limits = auth_limits_new(conf, -1);
	d.cache = auth_cache_new();
	d.hashes = work_pool_new(d.loop, "hashes", 2, 200);
	d.queries = work_pool_new(d.loop, "queries", 1, 200);
	d.sources = XNEW(struct source_set);
	d.sources->refs = 1;
	d.sources->sources[0] = &fake_source;
	d.sources->n = 1;
	verify_init(&d);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	work_pool_free(&d.hashes);
	work_pool_free(&d.queries);
	verify_fini(&d);
	source_set_unref(&d.sources);
	auth_cache_free(&d.cache);
	auth_limits_free(&d.limits);
	loop_free(&d.loop);
	conf_free(&conf);
	xfree(hash_of_secret);
	return 0;
}

static void
each_answer(bool blocks)
{
	struct answer a;

	fake_type.blocks = blocks;
	configure("");
	assert_int_equal(ask_as(&client, "ALICE", "secret", &a), VERIFY_OK);
	assert_string_equal(a.login, "alice@x.test");
	assert_int_equal(ask_as(&client, "alice", "wrong", &a), VERIFY_WRONG);
	assert_string_equal(a.login, "");
	assert_int_equal(ask("nobody", "secret"), VERIFY_WRONG);
	assert_int_equal(ask("", "secret"), VERIFY_WRONG);
	assert_int_equal(ask("alice", ""), VERIFY_WRONG);
	assert_int_equal(ask("broken", "secret"), VERIFY_WRONG);
	assert_int_equal(ask("alice", "for-smtp"), VERIFY_OK);
	assert_int_equal(ask("alice", "for-imap"), VERIFY_WRONG);
	user_disabled = true;
	assert_int_equal(ask("alice", "secret"), VERIFY_WRONG);
	user_disabled = false;
	find_result = PK_ETEMP;
	assert_int_equal(ask("alice", "secret"), VERIFY_TEMPORARY);
	find_result = 0;
	fake_type.blocks = false;
}

static void
test_answers(void **state)
{
	(void)state;
	each_answer(false);
}

static void
test_answers_of_a_source_that_blocks(void **state)
{
	(void)state;
	each_answer(true);
}

static void
test_cache(void **state)
{
	char *other;
	struct answer a;
	struct buf b;

	(void)state;
	configure("");
	assert_int_equal(ask("alice", "secret"), VERIFY_OK);
	assert_int_equal(ask_as(&client, "alice", "secret", &a), VERIFY_OK);
	/* Not hashed: a yescrypt takes 10 ms and more. */
	assert_true(a.ns < 5000000);
	assert_int_equal(ask("alice", "wrong"), VERIFY_WRONG);
	assert_int_equal(ask("app", "secre"), VERIFY_WRONG);
	/* Another hash: what was right is not any more, at once. */
	buf_init(&b, 1000);
	assert_int_equal(password_hash("yescrypt", VIEW("another"), &b), 0);
	other = hash_of_secret;
	hash_of_secret = buf_steal(&b, NULL);
	assert_int_equal(ask("alice", "secret"), VERIFY_WRONG);
	assert_int_equal(ask("alice", "another"), VERIFY_OK);
	xfree(hash_of_secret);
	hash_of_secret = other;
	configure("auth_cache_ttl = 0\n");
	assert_int_equal(ask("alice", "secret"), VERIFY_OK);
	assert_int_equal(ask_as(&client, "alice", "secret", &a), VERIFY_OK);
	assert_true(a.ns > 5000000);
}

static void
test_cancel(void **state)
{
	struct answer a = { .done = false };
	struct verify *v[20];
	size_t i;

	(void)state;
	configure("auth_cache_ttl = 0\n");
	for (i = 0; i < NELEMS(v); i++)
		v[i] = verify_password(&d, &client, VIEW("alice"), VIEW("secret"), answered, &a);
	for (i = 0; i < NELEMS(v); i++) {
		if (i == 5)
			loop_turn(d.loop, 0);
		verify_cancel(&v[i]);
		assert_null(v[i]);
	}
	for (i = 0; i < 10; i++)
		loop_turn(d.loop, 30);
	assert_false(a.done);
	/* And nothing is left behind. */
	assert_int_equal(ask("alice", "secret"), VERIFY_OK);
}

static void
test_one_client_cannot_fill_the_queue(void **state)
{
	struct verify_client other = { "198.51.100.9", "submission", SOURCE_SMTP };
	struct answer answers[60] = { 0 }, a;
	unsigned limited = 0;
	size_t i;

	(void)state;
	configure("auth_cache_ttl = 0\nauth_hash_queue_limit = 80\n");
	work_pool_set_max(d.hashes, 80);
	for (i = 0; i < NELEMS(answers); i++)
		(void)verify_password(&d, &client, VIEW("alice"), VIEW("wrong"), answered,
		    &answers[i]);
	loop_turn(d.loop, 0);
	assert_int_equal(ask_as(&other, "alice", "secret", &a), VERIFY_OK);
	for (i = 0; i < NELEMS(answers); i++) {
		while (!answers[i].done)
			loop_turn(d.loop, 1000);
		limited += answers[i].result == VERIFY_TEMPORARY;
		assert_true(answers[i].result == VERIFY_TEMPORARY ||
		    answers[i].result == VERIFY_WRONG);
	}
	/* An eighth of 80 is 10. */
	assert_int_equal(limited, 50);
	work_pool_set_max(d.hashes, 200);
}

static void
test_limits(void **state)
{
	struct verify_client owner = { "203.0.113.5", "submission", SOURCE_SMTP };
	struct verify_client v6 = { "2001:db8::1", "submission", SOURCE_SMTP };
	struct verify_client v6_near = { "2001:db8::ffff", "submission", SOURCE_SMTP };
	struct verify_client v6_far = { "2001:db8:1::1", "submission", SOURCE_SMTP };
	struct verify_client c = { NULL, "submission", SOURCE_SMTP };
	char address[32];
	unsigned i, before;

	(void)state;
	(void)auth_limits_clear(d.limits, VIEW("alice@x.test"));
	configure("auth_client_failure_limit = 4\nauth_account_failure_limit = 6\n");
	assert_int_equal(ask_as(&owner, "alice", "secret", NULL), VERIFY_OK);
	for (i = 0; i < 4; i++)
		assert_int_equal(ask_as(&v6, "nobody", "wrong", NULL), VERIFY_WRONG);
	before = finds;
	assert_int_equal(ask_as(&v6, "nobody", "wrong", NULL), VERIFY_LIMITED);
	/* Nothing was looked up and nothing hashed. */
	assert_int_equal(finds, before);
	/* A /64 is one client, another one is not. */
	assert_int_equal(ask_as(&v6_near, "alice", "secret", NULL), VERIFY_LIMITED);
	assert_int_equal(ask_as(&v6_far, "alice", "wrong", NULL), VERIFY_WRONG);
	/* Strangers, each from an address of his own, shut the account for strangers. */
	for (i = 0; i < 6; i++) {
		snprintf(address, sizeof(address), "198.51.100.%u", i + 100);
		c.address = address;
		(void)ask_as(&c, "alice", "wrong", NULL);
	}
	c.address = "198.51.100.200";
	assert_int_equal(ask_as(&c, "alice", "secret", NULL), VERIFY_LIMITED);
	/* Its owner gets in as before, and his own mistakes have their own count. */
	assert_int_equal(ask_as(&owner, "alice", "secret", NULL), VERIFY_OK);
	for (i = 0; i < 4; i++)
		assert_int_equal(ask_as(&owner, "alice", "wrong", NULL), VERIFY_WRONG);
	assert_int_equal(ask_as(&owner, "alice", "secret", NULL), VERIFY_LIMITED);
	/* They do not count against the rest of his office. */
	assert_int_equal(ask_as(&owner, "app", "secret", NULL), VERIFY_OK);
	assert_true(auth_limits_clear(d.limits, VIEW("2001:db8::1")));
	assert_true(auth_limits_clear(d.limits, VIEW("alice@x.test")));
	assert_int_equal(ask_as(&v6_near, "alice", "secret", NULL), VERIFY_OK);
}

/* ---- what other machines know ---- */

struct remote_question {
	struct loop_deferred deferred;
	void		(*fn)(const struct limits_counts *c, void *arg);
	void		*arg;
};

static void
remote_answer(void *arg)
{
	static const struct limits_counts known = { .known = true };
	struct remote_question *q = arg;

	q->fn(&known, q->arg);
	xfree(q);
}

static void *
remote_ask(void *remote, const char *client_, const char *account, const char *pair,
    void (*fn)(const struct limits_counts *c, void *arg), void *arg)
{
	struct remote_question *q = XNEW(struct remote_question);

	(void)remote, (void)client_, (void)account, (void)pair;
	q->fn = fn;
	q->arg = arg;
	q->deferred.fn = remote_answer;
	q->deferred.arg = q;
	loop_defer(d.loop, &q->deferred);
	return q;
}

static void
remote_cancel(void *remote, void *question)
{
	struct remote_question *q = question;

	(void)remote;
	loop_defer_cancel(d.loop, &q->deferred);
	xfree(q);
}

static void
remote_add(void *remote, enum limits_kind kind, const char *key, uint64_t unit_ms)
{
	(void)remote, (void)kind, (void)key, (void)unit_ms;
}

static void
remote_mark(void *remote, const char *pair, uint64_t keep_ms)
{
	(void)remote, (void)pair, (void)keep_ms;
}

static void
remote_clear(void *remote, enum limits_kind kind, const char *key)
{
	(void)remote, (void)kind, (void)key;
}

static void
remote_free(void *remote)
{
	(void)remote;
}

static const struct limits_remote remote_ops = { remote_ask, remote_cancel, remote_add,
	remote_mark, remote_clear, remote_free };

/* Who got in at another machine is no stranger here; his own count here has an end too. */
static void
test_A15_known_elsewhere_is_counted_here(void **state)
{
	struct verify_client c = { "203.0.113.77", "submission", SOURCE_SMTP };
	struct verify_client stranger = { NULL, "submission", SOURCE_SMTP };
	char address[32];
	unsigned i;

	(void)state;
	(void)auth_limits_clear(d.limits, VIEW("alice@x.test"));
	configure("auth_client_failure_limit = 4\nauth_account_failure_limit = 6\n");
	/* Strangers shut the account here; he is no stranger. */
	for (i = 0; i < 6; i++) {
		snprintf(address, sizeof(address), "198.51.100.%u", i + 1);
		stranger.address = address;
		assert_int_equal(ask_as(&stranger, "alice", "wrong", NULL), VERIFY_WRONG);
	}
	assert_int_equal(ask_as(&c, "alice", "secret", NULL), VERIFY_LIMITED);
	auth_limits_set_remote(d.limits, &remote_ops, NULL);
	for (i = 0; i < 4; i++)
		assert_int_equal(ask_as(&c, "alice", "wrong", NULL), VERIFY_WRONG);
	assert_int_equal(ask_as(&c, "alice", "wrong", NULL), VERIFY_LIMITED);
	auth_limits_set_remote(d.limits, NULL, NULL);
}

/* Whoever fails through a webmail's socket does not lock out the others behind it. */
static void
test_A15_local_clients_are_many(void **state)
{
	struct verify_client c = { "local", "webmail", SOURCE_SMTP };
	unsigned i;

	(void)state;
	(void)auth_limits_clear(d.limits, VIEW("alice@x.test"));
	configure("auth_client_failure_limit = 4\nauth_account_failure_limit = 6\n");
	for (i = 0; i < 6; i++)
		assert_int_equal(ask_as(&c, "victim", "wrong", NULL), VERIFY_WRONG);
	assert_int_equal(ask_as(&c, "victim", "wrong", NULL), VERIFY_LIMITED);
	assert_int_equal(ask_as(&c, "alice", "secret", NULL), VERIFY_OK);
}

/* Many spellings of one user: one login, and one count of failures. */
static void
test_A14_the_source_names_the_user(void **state)
{
	struct verify_client c = { NULL, "submission", SOURCE_SMTP };
	char address[32], user[32];
	struct answer a;
	unsigned i;

	(void)state;
	configure("auth_account_failure_limit = 5\n");
	c.address = "203.0.113.90";
	assert_int_equal(ask_as(&c, "loose0", "secret", &a), VERIFY_OK);
	assert_string_equal(a.login, "al\xc3\xa9x@x.test");
	assert_int_equal(ask_as(&c, "loose-bad", "secret", &a), VERIFY_TEMPORARY);
	c.address = address;
	for (i = 0; i < 6; i++) {
		snprintf(address, sizeof(address), "203.0.113.%u", 100 + i);
		snprintf(user, sizeof(user), "loose%u", i);
		assert_int_equal(ask_as(&c, user, i < 5 ? "wrong" : "secret", &a),
		    i < 5 ? VERIFY_WRONG : VERIFY_LIMITED);
	}
}

/* Both forms of a password are one login: one failure, or none. */
static void
test_forms_of_a_password(void **state)
{
	struct verify_client c = { "203.0.113.78", "submission", SOURCE_SMTP };
	struct answer a;
	unsigned i;

	(void)state;
	configure("auth_client_failure_limit = 4\n");
	for (i = 0; i < 10; i++) {
		memset(&a, 0, sizeof(a));
		(void)verify_password_forms(&d, &c, VIEW("alice"), VIEW("prepared"),
		    VIEW("secret"), answered, &a);
		while (!a.done)
			loop_turn(d.loop, 1000);
		assert_int_equal(a.result, VERIFY_OK);
	}
	c.address = "203.0.113.79";
	for (i = 0; i < 5; i++) {
		memset(&a, 0, sizeof(a));
		(void)verify_password_forms(&d, &c, VIEW("alice"), VIEW("prepared"),
		    VIEW("typed"), answered, &a);
		while (!a.done)
			loop_turn(d.loop, 1000);
		assert_int_equal(a.result, i < 4 ? VERIFY_WRONG : VERIFY_LIMITED);
	}
}

static void
test_upgrade(void **state)
{
	int i;

	(void)state;
	configure("");
	rehashes = verifiers = 0;
	assert_int_equal(ask("old", "secret"), VERIFY_OK);
	for (i = 0; i < 100 && __atomic_load_n(&rehashes, __ATOMIC_RELAXED) == 0; i++)
		loop_turn(d.loop, 20);
	assert_int_equal(rehashes, 1);
	/* Made first, while the hash is the one that the source is asked to replace. */
	assert_int_equal(verifiers, 2);
}

/* ---- A15: time tells nothing ---- */

#define ROUNDS	60

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
measure(const char *user, const char *password, uint64_t *ns)
{
	struct answer a;

	assert_int_equal(ask_as(&client, user, password, &a), VERIFY_WRONG);
	*ns = a.ns;
}

/*
 * Alternating, so that what else the machine does falls on both; medians and
 * quartiles may not be further apart than half of the time itself. Without the
 * hash for nobody they are apart by a factor of a hundred.
 */
static void
compare(const char *one, const char *two)
{
	uint64_t x[ROUNDS], y[ROUNDS];
	unsigned i, q;

	for (i = 0; i < ROUNDS; i++) {
		measure(one, "wrong", &x[i]);
		measure(two, "wrong", &y[i]);
	}
	qsort(x, ROUNDS, sizeof(*x), compare_u64);
	qsort(y, ROUNDS, sizeof(*y), compare_u64);
	print_message("# %s: median %.2f ms; %s: median %.2f ms\n", one,
	    (double)x[ROUNDS / 2] / 1e6, two, (double)y[ROUNDS / 2] / 1e6);
	for (q = 1; q <= 2; q++) {
		uint64_t a = x[q * ROUNDS / 4], b = y[q * ROUNDS / 4];

		assert_true(a < b + b / 2 && b < a + a / 2);
	}
}

static void
test_A15_unknown_and_wrong_take_the_same_time(void **state)
{
	(void)state;
	unit_skip_under_valgrind("times");
	configure("");
	/* The one who was found last gives the settings. */
	assert_int_equal(ask("alice", "wrong"), VERIFY_WRONG);
	compare("alice", "nobody");
	/* A name that has no form, a hash of no use, a disabled user. */
	compare("alice", "no body");
	user_disabled = true;
	compare("alice", "nobody");
	user_disabled = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answers_of_a_source_that_blocks),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_one_client_cannot_fill_the_queue),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_A15_known_elsewhere_is_counted_here),
		cmocka_unit_test(test_forms_of_a_password),
		cmocka_unit_test(test_A14_the_source_names_the_user),
		cmocka_unit_test(test_A15_local_clients_are_many),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_A15_unknown_and_wrong_take_the_same_time),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
