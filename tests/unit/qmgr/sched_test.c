/* SPDX-License-Identifier: ISC */
/*
 * The scheduler with the test as deliverer: nobody waits for another's
 * mailing, priorities are weights, windows follow success and failure, a dead
 * destination lets go of its mail, limits hold.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmgr/message.h"
#include "qmgr/sched.h"
#include "tests/unit/unit.h"

#define JOBS_MAX	200000

struct given {
	struct destination *dest;
	struct message	*m;
	struct recipient **rcpts;
	size_t		 nrcpts;
	bool		 done;
};

static struct map *senders, *routes;
static struct sched *sched;
static struct conf *conf;
static struct given *given;
static size_t ngiven, nsuspended;
static unsigned room;
static uint64_t now = 1000;

static uint64_t
test_now(void)
{
	return now;
}

static bool
on_room(void *arg, struct destination *d)
{
	(void)arg, (void)d;
	return room > 0;
}

static void
on_deliver(void *arg, struct sched_job *j)
{
	(void)arg;
	assert_true(ngiven < JOBS_MAX);
	given[ngiven++] = (struct given){ j->dest, j->m, j->rcpts, j->nrcpts, false };
	room--;
	xfree(j);
}

static void
on_suspend(void *arg, struct message *m, struct recipient *r, struct destination *d)
{
	(void)arg, (void)m, (void)r, (void)d;
	nsuspended++;
}

static void
on_suspended(void *arg, struct message *m)
{
	(void)arg, (void)m;
}

static const struct sched_ops ops = { on_room, on_deliver, on_suspend, on_suspended };

static void
no_note(const struct conf_note *note, void *arg)
{
	(void)arg;
	fail_msg("%s", note->text);
}

/* What lives to the end of the process stays reachable, so that it is no leak. */
static void **kept;
static size_t nkept;

static void
keep(void *p)
{
	kept = xreallocarray(kept, nkept + 1, sizeof(*kept));
	kept[nkept++] = p;
}

static void
begin(const char *text)
{
	senders = map_new();
	routes = map_new();
	conf = conf_load("main.cf", view_str(text), no_note, NULL);
	assert_non_null(conf);
	sched = sched_new(NULL, routes, &ops, NULL);
	sched->now_ms = test_now;
	sched_configure(sched, conf);
	keep(senders);
	keep(routes);
	keep(conf);
	keep(sched);
	given = xcalloc(JOBS_MAX, sizeof(*given));
	ngiven = nsuspended = 0;
	room = UINT32_MAX;
}

/* A message of n recipients to this next hop, queued. */
static struct message *
add(const char *sender, unsigned priority, const char *nexthop, unsigned n)
{
	struct message *m = XNEW(struct message);
	struct recipient *r;
	unsigned i;

	keep(m);
	heap_node_init(&m->due);
	m->sender = sender_intern(senders, view_str(sender));
	m->priority = (uint8_t)priority;
	m->nrcpts = n;
	m->rcpts = xcalloc(n, sizeof(*m->rcpts));
	for (i = 0; i < n; i++) {
		r = recipient_new(i, VIEW("r@dst.test"), VIEW(""), VIEW(""), VIEW(""), 0);
		r->route = route_intern(routes, VIEW("smtp"), view_str(nexthop));
		m->rcpts[i] = r;
		sched_add(sched, sched_destination(sched, r->route), m, r);
	}
	return m;
}

static void
finish(size_t i, enum sched_feedback f)
{
	assert_false(given[i].done);
	given[i].done = true;
	given[i].m->nbusy -= (uint32_t)given[i].nrcpts;
	sched_job_done(sched, given[i].dest, f, VIEW("4.4.1"), VIEW("no route"));
	room++;
}

static void
finish_all(enum sched_feedback f)
{
	size_t i;

	for (i = 0; i < ngiven; i++)
		if (!given[i].done)
			finish(i, f);
}

/* Everything is left to the end of the process: these tests look at order only. */
static void
end(void)
{
	size_t i;

	finish_all(SCHED_NEUTRAL);
	for (i = 0; i < ngiven; i++)
		xfree(given[i].rcpts);
	xfree(given);
}

static void
test_one_mailing_delays_nobody(void **state)
{
	struct message *other;
	unsigned i;

	(void)state;
	begin("");
	for (i = 0; i < 10000; i++)
		add("mailing@src.test", 2, "dst.test", 1);
	other = add("person@src.test", 2, "dst.test", 1);
	sched_pump(sched);
	for (i = 0; i < ngiven && given[i].m != other; i++)
		;
	assert_true(i < 3);
	end();
}

static void
test_priorities_are_weights(void **state)
{
	unsigned counts[SCHED_CLASSES] = { 0 }, i, c;

	(void)state;
	begin("destination_concurrency_limit = 1\n");
	for (i = 0; i < 2000; i++)
		for (c = 0; c < SCHED_CLASSES; c++)
			add("s@src.test", c, "dst.test", 1);
	for (i = 0; i < 310; i++) {
		sched_pump(sched);
		finish_all(SCHED_OK);
	}
	assert_int_equal(ngiven, 310);
	for (i = 0; i < ngiven; i++)
		counts[given[i].m->priority]++;
	CHECK_INT("lowest", counts[0], 10);
	CHECK_INT("normal", counts[2], 40);
	CHECK_INT("highest", counts[4], 160);
	end();
}

static void
test_window_grows_and_shrinks(void **state)
{
	struct destination *d;
	unsigned i, window;

	(void)state;
	begin("destination_concurrency_limit = 12\n"
	    "destination_concurrency_failed_cohort_limit = 0\n");
	for (i = 0; i < 1000; i++)
		add("s@src.test", 2, "dst.test", 1);
	sched_pump(sched);
	d = given[0].dest;
	assert_int_equal(sched_window(d), 5);
	assert_int_equal(ngiven, 10);		/* one more each waits in the worker */
	finish(0, SCHED_OK);
	assert_int_equal(sched_window(d), 6);
	for (i = 0; i < 20; i++) {
		finish_all(SCHED_OK);
		sched_pump(sched);
	}
	assert_int_equal(sched_window(d), 12);
	window = sched_window(d);
	for (i = 0; i < ngiven && given[i].done; i++)
		;
	finish(i, SCHED_FAILED);
	assert_int_equal(sched_window(d), window - 1);
	for (i = 0; i < 30; i++) {
		finish_all(SCHED_FAILED);
		sched_pump(sched);
	}
	assert_int_equal(sched_window(d), 1);
	assert_int_equal(d->active, 1);
	end();
}

static void
test_dead_destination(void **state)
{
	struct destination *d;
	unsigned i;

	(void)state;
	begin("minimal_backoff_time = 10s\n");
	for (i = 0; i < 100; i++)
		add("s@src.test", 2, "dead.test", 1);
	add("s@src.test", 2, "well.test", 1);
	sched_pump(sched);
	d = given[0].dest;
	for (i = 0; i < 10 && !sched_dead(sched, d); i++)
		if (given[i].dest == d)
			finish(i, SCHED_FAILED);
	assert_true(sched_dead(sched, d));
	assert_int_equal(d->waiting, 0);
	assert_true(nsuspended >= 90);
	/* It is alive again after its time, with a new window. */
	now += 10000;
	assert_false(sched_dead(sched, d));
	sched_revive(sched, d);
	assert_int_equal(sched_window(d), 5);
	end();
}

static void
test_recipients_are_grouped(void **state)
{
	(void)state;
	begin("destination_recipient_limit = 50\n");
	add("s@src.test", 2, "dst.test", 120);
	sched_pump(sched);
	assert_int_equal(ngiven, 3);
	assert_int_equal(given[0].nrcpts, 50);
	assert_int_equal(given[1].nrcpts, 50);
	assert_int_equal(given[2].nrcpts, 20);
	end();
}

static void
test_rate_delay(void **state)
{
	(void)state;
	begin("destination_rate_delay = 1s\n");
	add("s@src.test", 2, "slow.test", 1);
	add("s@src.test", 2, "slow.test", 1);
	sched_pump(sched);
	assert_int_equal(ngiven, 1);
	finish(0, SCHED_OK);
	sched_pump(sched);
	assert_int_equal(ngiven, 1);
	now += 1001;
	add("s@src.test", 2, "slow.test", 1);
	sched_pump(sched);
	assert_int_equal(ngiven, 2);
	end();
}

static void
test_destinations_take_turns(void **state)
{
	unsigned i, j, seen = 0;
	char hop[32];

	(void)state;
	begin("");
	for (i = 0; i < 100; i++)
		for (j = 0; j < 20; j++) {
			snprintf(hop, sizeof(hop), "d%u.test", i);
			add("s@src.test", 2, hop, 1);
		}
	room = 100;
	sched_pump(sched);
	assert_int_equal(ngiven, 100);
	for (i = 0; i < ngiven; i++)
		for (j = 0; j < i; j++)
			seen += given[i].dest == given[j].dest;
	assert_int_equal(seen, 0);
	end();
}

static void
test_remove_and_freeze(void **state)
{
	struct message *a, *b;

	(void)state;
	begin("");
	room = 0;
	a = add("s@src.test", 2, "dst.test", 3);
	b = add("s@src.test", 2, "dst.test", 1);
	sched_remove(sched, a->rcpts[1]);
	assert_int_equal(a->rcpts[1]->state, RCPT_WAIT);
	sched_remove(sched, a->rcpts[0]);
	sched_remove(sched, a->rcpts[2]);
	assert_int_equal(a->nbusy, 0);
	assert_int_equal(sched->waiting, 1);
	room = 100;
	sched_freeze(sched, true, SCHED_SCOPE_ALL, VIEW(""));
	sched_pump(sched);
	assert_int_equal(ngiven, 0);
	sched_freeze(sched, false, SCHED_SCOPE_ALL, VIEW(""));
	sched_freeze(sched, true, SCHED_SCOPE_TRANSPORT, VIEW("smtp"));
	sched_pump(sched);
	assert_int_equal(ngiven, 0);
	sched_freeze(sched, false, SCHED_SCOPE_TRANSPORT, VIEW("smtp"));
	sched_freeze(sched, true, SCHED_SCOPE_DOMAIN, VIEW("dst.test"));
	assert_true(sched_frozen(sched, b->rcpts[0]));
	sched_freeze(sched, false, SCHED_SCOPE_DOMAIN, VIEW("dst.test"));
	assert_false(sched_frozen(sched, b->rcpts[0]));
	sched_pump(sched);
	assert_int_equal(ngiven, 1);
	assert_ptr_equal(given[0].m, b);
	end();
}

/* Fifty thousand each way take the time of a loop, not of a square. */
static void
test_F10_many(void **state)
{
	unsigned i;
	char hop[32];

	(void)state;
	begin("");
	for (i = 0; i < 50000; i++) {
		snprintf(hop, sizeof(hop), "d%u.test", i);
		add("s@src.test", 2, hop, 1);
		snprintf(hop, sizeof(hop), "s%u@src.test", i);
		add(hop, 2, "one.test", 1);
	}
	for (i = 0; i < 100000 && ngiven < 100000; i++) {
		sched_pump(sched);
		finish_all(SCHED_OK);
		if (ngiven > 90000)
			break;
		if (i % 10 == 9 && ngiven > 0) {
			/* Ended ones need not be looked at again. */
			for (; ngiven > 0 && given[ngiven - 1].done; ngiven--)
				xfree(given[ngiven - 1].rcpts);
		}
		if (sched->waiting == 0)
			break;
	}
	assert_int_equal(sched->waiting, 0);
	end();
}

UNIT_MAIN(cmocka_unit_test(test_one_mailing_delays_nobody),
    cmocka_unit_test(test_priorities_are_weights),
    cmocka_unit_test(test_window_grows_and_shrinks), cmocka_unit_test(test_dead_destination),
    cmocka_unit_test(test_recipients_are_grouped), cmocka_unit_test(test_rate_delay),
    cmocka_unit_test(test_destinations_take_turns), cmocka_unit_test(test_remove_and_freeze),
    cmocka_unit_test(test_F10_many))
