/* SPDX-License-Identifier: ISC */
/*
 * The outcome journal: what is written is read back in order; a file cut or
 * damaged at any byte gives exactly the events before it.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qmgr/journal.h"
#include "sys/fd.h"
#include "tests/unit/unit.h"

#define EVENTS	9

static char dir[32];
static int dirfd_;
static struct worker *worker;
static uint64_t synced;

static void
on_synced(void *arg, uint64_t lsn)
{
	(void)arg;
	synced = lsn;
}

static int
setup(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/pk-journal-XXXXXX", 23);
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	worker = worker_new(NULL, "test");
	synced = 0;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	worker_free(&worker);
	close(dirfd_);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* Event i has i * 5 bytes of the letter 'a' + i. */
static void
add_events(struct journal *j, int from, int to)
{
	char bytes[64];
	int i;

	for (i = from; i < to; i++) {
		memset(bytes, 'a' + i, sizeof(bytes));
		buf_put(journal_begin(j, JOURNAL_FINISHED), bytes, (size_t)i * 5);
		journal_end(j);
	}
}

static void
read_file(uint64_t number, struct buf *b)
{
	char name[JOURNAL_NAME_MAX];

	journal_name(number, name);
	buf_init(b, 1 << 20);
	assert_int_equal(fd_read_file(dirfd_, name, b), 0);
}

struct seen {
	int	n;
	int	first;
};

static void
see(void *arg, enum journal_event type, struct view payload)
{
	struct seen *s = arg;
	size_t i;

	assert_int_equal(type, JOURNAL_FINISHED);
	assert_int_equal(payload.len, (size_t)(s->first + s->n) * 5);
	for (i = 0; i < payload.len; i++)
		assert_int_equal(payload.p[i], 'a' + s->first + s->n);
	s->n++;
}

static void
test_round_trip_and_rotation(void **state)
{
	struct journal *j;
	struct seen s = { 0, 0 };
	struct buf b;
	uint64_t good;

	(void)state;
	j = journal_new(NULL, worker, dirfd_, 7, on_synced, NULL);
	add_events(j, 0, 4);
	assert_int_equal(synced, 0);
	journal_flush(j);
	assert_int_equal(synced, 4);
	assert_true(journal_ready(j));
	assert_int_equal(journal_rotate(j), 8);
	add_events(j, 4, EVENTS);
	journal_flush(j);
	assert_int_equal(synced, EVENTS);
	journal_free(&j);
	read_file(7, &b);
	assert_int_equal(journal_walk(buf_view(&b), 7, see, &s, &good), 0);
	assert_int_equal(s.n, 4);
	assert_int_equal(journal_walk(buf_view(&b), 8, see, &s, &good), PK_EFORMAT);
	buf_fini(&b);
	s = (struct seen){ 0, 4 };
	read_file(8, &b);
	assert_int_equal(journal_walk(buf_view(&b), 8, see, &s, &good), 0);
	assert_int_equal(s.n, EVENTS - 4);
	buf_fini(&b);
}

/* Where each event ends, by walking ever shorter files. */
static void
test_torn_at_every_byte(void **state)
{
	struct journal *j;
	struct buf b;
	size_t cut, whole;
	uint64_t good, before = 0;
	int rc, last = -1;

	(void)state;
	j = journal_new(NULL, worker, dirfd_, 1, on_synced, NULL);
	add_events(j, 0, EVENTS);
	journal_free(&j);
	read_file(1, &b);
	whole = b.len;
	for (cut = 0; cut <= whole; cut++) {
		struct seen s = { 0, 0 };

		rc = journal_walk(view_head(buf_view(&b), cut), 1, see, &s, &good);
		if (cut < sizeof(struct journal_header)) {
			assert_int_equal(rc, PK_EFORMAT);
			continue;
		}
		assert_true(good <= cut);
		assert_true(good >= before);
		assert_true(s.n >= last);
		assert_int_equal(rc, good == cut ? 0 : PK_EEND);
		before = good;
		last = s.n;
	}
	assert_int_equal(last, EVENTS);
	buf_fini(&b);
}

static void
test_damaged_at_every_byte(void **state)
{
	struct journal *j;
	struct buf b;
	size_t at;
	uint64_t good;
	char *copy;
	int rc;

	(void)state;
	j = journal_new(NULL, worker, dirfd_, 1, on_synced, NULL);
	add_events(j, 0, EVENTS);
	journal_free(&j);
	read_file(1, &b);
	for (at = 0; at < b.len; at++) {
		struct seen s = { 0, 0 };

		good = 0;
		/* A heap copy of its own, so that a read past it shows. */
		copy = xmemdup(buf_data(&b), b.len);
		copy[at] ^= 0x40;
		rc = journal_walk(view_of(copy, b.len), 1, see, &s, &good);
		if (at < sizeof(struct journal_header) && at != 12)
			assert_true(rc == PK_EFORMAT || s.n == EVENTS);
		else
			assert_true(s.n <= EVENTS && good <= b.len);
		xfree(copy);
	}
	buf_fini(&b);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_round_trip_and_rotation, setup, teardown),
    cmocka_unit_test_setup_teardown(test_torn_at_every_byte, setup, teardown),
    cmocka_unit_test_setup_teardown(test_damaged_at_every_byte, setup, teardown))
