/* SPDX-License-Identifier: ISC */
/*
 * Rows of messages and recipients through the index and back; damaged rows;
 * sizes; when the next attempt comes.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmgr/index.h"
#include "qmgr/message.h"
#include "qmgr/qmgr.h"
#include "tests/unit/unit.h"

static struct recipient *
sample(struct map *routes)
{
	struct recipient *r = recipient_new(3, VIEW("a@far.test"), VIEW("rfc822;a"),
	    VIEW("alias@near.test"), VIEW("far.test/a/"), 6);

	r->route = route_intern(routes, VIEW("smtp"), VIEW("[gw.test]:25"));
	r->flags = RCPT_ROUTED;
	r->state = RCPT_ACTIVE;
	r->attempts = 4;
	r->due_ms = 99;
	r->quota = 1 << 20;
	recipient_set_status(r, VIEW("4.2.1"), VIEW("gw[1.2.3.4]:25"), VIEW("450 later"));
	return r;
}

static void
test_recipient_row(void **state)
{
	struct map *routes = map_new();
	struct recipient *r = sample(routes), *back;
	struct buf b;
	size_t n;

	(void)state;
	buf_init(&b, 4096);
	recipient_row_put(&b, r);
	assert_int_equal(recipient_row_get(buf_view(&b), 3, routes, &back), 0);
	CHECK_VIEW("address", recipient_address(back), "a@far.test");
	CHECK_VIEW("orcpt", recipient_orcpt(back), "rfc822;a");
	CHECK_VIEW("orig", recipient_orig(back), "alias@near.test");
	CHECK_VIEW("path", recipient_path(back), "far.test/a/");
	CHECK_VIEW("dsn", recipient_dsn(back), "4.2.1");
	CHECK_VIEW("relay", recipient_relay(back), "gw[1.2.3.4]:25");
	CHECK_VIEW("reply", recipient_reply(back), "450 later");
	assert_ptr_equal(back->route, r->route);
	assert_int_equal(back->state, RCPT_WAIT);	/* what was under way is tried again */
	assert_int_equal(back->attempts, 4);
	assert_int_equal(back->due_ms, 99);
	recipient_free(back, routes);
	for (n = 0; n < b.len; n++)
		assert_int_equal(recipient_row_get(view_head(buf_view(&b), n), 3, routes, &back),
		    PK_EFORMAT);
	/* While it is asked for again its old route is not said. */
	r->flags &= (uint8_t)~RCPT_ROUTED;
	buf_reset(&b);
	recipient_row_put(&b, r);
	assert_int_equal(recipient_row_get(buf_view(&b), 3, routes, &back), 0);
	assert_null(back->route);
	recipient_free(back, routes);
	recipient_free(r, routes);
	assert_int_equal(map_count(routes), 0);
	map_free(&routes, NULL);
	buf_fini(&b);
}

static void
test_message_row(void **state)
{
	struct map *senders = map_new(), *routes = map_new();
	struct message *m = XNEW(struct message), *back;
	struct buf b;
	size_t n;

	(void)state;
	heap_node_init(&m->due);
	m->id = 42;
	m->segment = 7;
	m->offset = 64;
	m->nrcpts = m->nopen = 2;
	m->priority = 3;
	m->flags = MESSAGE_HELD | MESSAGE_DIRTY | MESSAGE_ACTIVE;
	m->hold = xstrdup("why");
	m->sender = sender_intern(senders, VIEW("s@src.test"));
	buf_init(&b, 4096);
	message_row_put(&b, m);
	assert_int_equal(message_row_get(buf_view(&b), 42, senders, &back), 0);
	assert_int_equal(back->flags, MESSAGE_HELD);	/* what memory alone knows is not stored */
	assert_int_equal(back->segment, 7);
	assert_string_equal(back->hold, "why");
	assert_ptr_equal(back->sender, m->sender);
	message_free(back, senders, routes);
	for (n = 0; n < b.len; n++)
		assert_int_equal(message_row_get(view_head(buf_view(&b), n), 42, senders, &back),
		    PK_EFORMAT);
	message_free(m, senders, routes);
	assert_int_equal(map_count(senders), 0);
	map_free(&senders, NULL);
	map_free(&routes, NULL);
	buf_fini(&b);
}

/* The active limit times these is qmgr's memory. */
static void
test_sizes(void **state)
{
	(void)state;
	assert_true(sizeof(struct message) <= 256);
	assert_true(sizeof(struct recipient) <= 128);
}

/* ---- the index ---- */

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static bool
count_row(void *arg, struct view key, struct view value)
{
	(void)key, (void)value;
	++*(int *)arg;
	return true;
}

static void
put_recipient(struct buf *batch, uint64_t id, uint32_t i)
{
	uint32_t be = __builtin_bswap32(i);
	char key[12];

	index_be64(key, id);
	memcpy(key + 8, &be, sizeof(be));
	index_put(batch, INDEX_RECIPIENT, view_of(key, sizeof(key)), VIEW("row"));
}

static void
test_index_round_trip(void **state)
{
	char dir[] = "/tmp/pk-index-XXXXXX", key[8];
	struct index *ix;
	struct buf batch;
	struct view v;
	uint32_t i;
	int n = 0;

	(void)state;
	unit_skip_under_valgrind("it cannot map 64 GB");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(index_open(dir, &ix), 0);
	buf_init(&batch, 1 << 20);
	index_be64(key, 5);
	index_put(&batch, INDEX_MESSAGE, view_of(key, 8), VIEW("message"));
	for (i = 0; i < 1000; i++) {
		put_recipient(&batch, 5, i);
		put_recipient(&batch, 6, i);
	}
	assert_int_equal(index_apply(ix, buf_view(&batch)), 0);
	index_close(&ix);
	assert_int_equal(index_open(dir, &ix), 0);
	assert_int_equal(index_get(ix, INDEX_MESSAGE, view_of(key, 8), &v), 0);
	CHECK_VIEW("row", v, "message");
	index_rest(ix);
	buf_reset(&batch);
	index_del_recipients(&batch, 5);
	index_del(&batch, INDEX_MESSAGE, view_of(key, 8));
	assert_int_equal(index_apply(ix, buf_view(&batch)), 0);
	assert_int_equal(index_get(ix, INDEX_MESSAGE, view_of(key, 8), &v), PK_ENOENT);
	assert_false(index_walk(ix, INDEX_RECIPIENT, VIEW_NONE, count_row, &n));
	assert_int_equal(n, 1000);
	index_close(&ix);
	buf_fini(&batch);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- retry ---- */

static void
no_note(const struct conf_note *note, void *arg)
{
	(void)arg;
	fail_msg("%s", note->text);
}

static void
test_retry_schedule(void **state)
{
	static const struct {
		const char	*name, *conf;
		unsigned	 attempts;
		uint64_t	 least, most;
	} rows[] = {
		{ "first", "", 1, 30000, 33000 },
		{ "second", "", 2, 120000, 132000 },
		{ "fifth", "", 5, 3600000, 3960000 },
		{ "the last repeats", "", 100, 3600000, 3960000 },
		{ "none counted yet", "", 0, 30000, 33000 },
		{ "bounded above", "maximal_backoff_time = 60s\n", 3, 60000, 66000 },
		{ "bounded below", "minimal_backoff_time = 100s\n", 1, 100000, 110000 },
		{ "own list", "retry_schedule = 1s 5s\n", 2, 5000, 5500 },
	};
	struct conf *c;
	uint64_t seed, ms;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		c = conf_load("main.cf", view_str(rows[i].conf), no_note, NULL);
		assert_non_null(c);
		for (seed = 0; seed < 100; seed++) {
			ms = retry_wait_ms(c, rows[i].attempts, seed);
			CHECK(rows[i].name, ms >= rows[i].least && ms <= rows[i].most);
		}
		conf_free(&c);
	}
}

UNIT_MAIN(cmocka_unit_test(test_recipient_row), cmocka_unit_test(test_message_row),
    cmocka_unit_test(test_sizes), cmocka_unit_test(test_index_round_trip),
    cmocka_unit_test(test_retry_schedule))
