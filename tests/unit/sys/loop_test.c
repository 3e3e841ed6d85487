/* SPDX-License-Identifier: ISC */
/*
 * loop_test.c: turns, deferred calls, coarse timers.
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "base/clock.h"
#include "sys/loop.h"

struct item {
	struct loop_deferred d;
	struct loop_timer t;
	unsigned	 ran;
	unsigned	 again;		/* schedule itself that often */
	struct item	*victim;	/* cancel this one */
	uint64_t	 at_ms;
};

static struct loop *l;

static void
run_deferred_item(void *arg)
{
	struct item *i = arg;

	i->ran++;
	if (i->again > 0) {
		i->again--;
		loop_defer(l, &i->d);
	}
	if (i->victim != NULL) {
		loop_defer_cancel(l, &i->victim->d);
		loop_timer_clear(l, &i->victim->t);
	}
}

static void
run_timer_item(void *arg)
{
	struct item *i = arg;

	i->ran++;
	i->at_ms = clock_mono_ms();
	if (i->again > 0) {
		i->again--;
		loop_timer_set(l, &i->t, 1000);
	}
	if (i->victim != NULL)
		loop_timer_clear(l, &i->victim->t);
}

static void
item_init(struct item *i)
{
	*i = (struct item){ .d = { .fn = run_deferred_item, .arg = i } };
	loop_timer_init(&i->t, run_timer_item, i);
}

static void
test_deferred(void **state)
{
	struct item a, b;

	(void)state;
	l = loop_new();
	item_init(&a);
	item_init(&b);
	loop_defer(l, &a.d);
	loop_defer(l, &a.d);
	loop_defer(l, &b.d);
	/* Does not wait: there is something to do. */
	loop_turn(l, -1);
	assert_int_equal(a.ran, 1);
	assert_int_equal(b.ran, 1);
	/* One cancels the other, which is behind it. */
	a.victim = &b;
	loop_defer(l, &a.d);
	loop_defer(l, &b.d);
	loop_turn(l, 0);
	assert_int_equal(a.ran, 2);
	assert_int_equal(b.ran, 1);
	/* One that never ends leaves the turn all the same. */
	a.victim = NULL;
	a.again = 1000;
	loop_defer(l, &a.d);
	loop_turn(l, 0);
	assert_true(a.ran < 20);
	assert_true(a.d.queued);
	loop_defer_cancel(l, &a.d);
	loop_turn(l, 0);
	loop_free(&l);
	assert_null(l);
}

static void
test_turn_timeout(void **state)
{
	uint64_t before = clock_mono_ms();

	(void)state;
	l = loop_new();
	loop_turn(l, 30);
	/* The kernel's coarse clock may be a tick early. */
	assert_true(clock_mono_ms() - before >= 20);
	loop_free(&l);
}

static void
stop(evutil_socket_t fd, short what, void *arg)
{
	char c;

	(void)what;
	assert_int_equal(read((int)fd, &c, 1), 1);
	loop_stop(arg);
}

static void
test_run_and_stop(void **state)
{
	struct event *ev;
	int p[2];

	(void)state;
	l = loop_new();
	assert_int_equal(pipe(p), 0);
	ev = event_new(loop_base(l), p[0], EV_READ | EV_PERSIST, stop, l);
	event_add(ev, NULL);
	assert_int_equal(write(p[1], "x", 1), 1);
	loop_run(l);
	event_free(ev);
	close(p[0]);
	close(p[1]);
	loop_free(&l);
}

static void
test_timers(void **state)
{
	struct item soon, later, far, dropped, moved;
	uint64_t start;

	(void)state;
	l = loop_new();
	item_init(&soon);
	item_init(&later);
	item_init(&far);
	item_init(&dropped);
	item_init(&moved);
	start = clock_mono_ms();
	assert_false(loop_timer_is_set(&far.t));
	loop_timer_set(l, &far.t, 3600ULL * 1000 * 24);
	assert_true(loop_timer_is_set(&far.t));
	loop_timer_set(l, &later.t, 1500);
	loop_timer_set(l, &soon.t, 200);
	loop_timer_set(l, &dropped.t, 200);
	loop_timer_set(l, &moved.t, 200);
	loop_timer_set(l, &moved.t, 3600000);
	soon.victim = &dropped;
	soon.again = 1;
	while (later.ran == 0 && clock_mono_ms() - start < 6000)
		loop_turn(l, 1000);
	assert_true(soon.ran >= 1);
	assert_int_equal(dropped.ran, 0);
	assert_int_equal(moved.ran, 0);
	assert_int_equal(far.ran, 0);
	/* Never early, at most a second and a turn late. */
	assert_true(later.at_ms - start >= 1500);
	assert_true(later.at_ms - start < 3200);
	loop_timer_clear(l, &far.t);
	loop_timer_clear(l, &far.t);
	loop_timer_clear(l, &moved.t);
	loop_timer_clear(l, &soon.t);
	loop_turn(l, 0);
	loop_free(&l);
}

static void
test_timers_many(void **state)
{
	enum { MANY = 20000 };
	struct item *items = xcalloc(MANY, sizeof(*items));
	unsigned i, ran = 0;
	uint64_t start = clock_mono_ms();

	(void)state;
	l = loop_new();
	for (i = 0; i < MANY; i++) {
		item_init(&items[i]);
		loop_timer_set(l, &items[i].t, (i % 2) * 900000);
	}
	/* Free of order, each moved once. */
	for (i = 0; i < MANY; i++)
		loop_timer_set(l, &items[i].t, i % 2 == 0 ? 1 : 1800000);
	while (ran < MANY / 2 && clock_mono_ms() - start < 5000) {
		loop_turn(l, 500);
		for (ran = 0, i = 0; i < MANY; i++)
			ran += items[i].ran;
	}
	assert_int_equal(ran, MANY / 2);
	for (i = 0; i < MANY; i++)
		loop_timer_clear(l, &items[i].t);
	loop_free(&l);
	xfree(items);
}

UNIT_MAIN(cmocka_unit_test(test_deferred),
    cmocka_unit_test(test_turn_timeout),
    cmocka_unit_test(test_run_and_stop),
    cmocka_unit_test(test_timers),
    cmocka_unit_test(test_timers_many))
