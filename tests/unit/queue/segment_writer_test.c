/* SPDX-License-Identifier: ISC */
/*
 * segment_writer_test.c: what was said to be durable is in the file and can
 * be read back; what failed is never acknowledged (F3, F4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"
#include "queue/segment_lane.h"
#include "queue/segment_writer.h"
#include "sys/fd.h"
#include "sys/loop.h"

#define KEY	0x1234567890abcdefULL
#define FILES	16
#define SENDS	64

static struct {
	struct loop	*loop;
	struct segment_writer *w;
	int		 fd[FILES];		/* ours, for reading back */
	uint64_t	 durable[FILES], sealed[FILES];
	unsigned	 next, wanted[SEGMENT_KINDS];
	bool		 answer_wants;
	uint64_t	 size;
	unsigned	 done, writable;
} t;

struct sent {
	char		 content[20000], header[64];
	struct view	 envelope;
	uint64_t	 cookie, id;
	int		 error;
	bool		 done;
	unsigned	 composed;
	struct segment_message m;
};
static struct sent sent[SENDS];

/* The n-th call fails (1: the first); 0: none does. */
static atomic_int fail_write, short_write, fail_sync;
static int fail_errno;

static ssize_t
io_writev(int fd, const struct iovec *iov, int niov)
{
	if (atomic_load(&fail_write) > 0 && atomic_fetch_sub(&fail_write, 1) == 1) {
		errno = fail_errno;
		return -1;
	}
	if (atomic_load(&short_write) > 0 && atomic_fetch_sub(&short_write, 1) == 1)
		return writev(fd, iov, 1);
	return writev(fd, iov, niov);
}

static int
io_fdatasync(int fd)
{
	if (atomic_load(&fail_sync) > 0 && atomic_fetch_sub(&fail_sync, 1) == 1) {
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

static const struct segment_io io = { io_writev, io_fdatasync };

static void
give(enum record_segment_kind kind)
{
	char path[] = "/tmp/segment-test.XXXXXX";
	struct segment_header h;
	unsigned n = ++t.next;
	int fd;

	assert_true(n < FILES);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	segment_header_init(&h, kind, n, KEY, 7, 1);
	assert_int_equal(fd_write_all(fd, &h, sizeof(h)), 0);
	t.fd[n] = fd;
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	segment_writer_give(t.w, kind, n, KEY, t.size, fd,
	    kind == SEGMENT_DEDICATED ? dup(t.fd[n]) : -1);
}

static void
want(void *arg, enum record_segment_kind kind, uint64_t size_hint)
{
	(void)arg;
	(void)size_hint;
	t.wanted[kind]++;
}

static void
durable(void *arg, uint64_t segment, uint64_t offset)
{
	(void)arg;
	assert_true(segment < FILES && t.sealed[segment] == 0);
	assert_true(offset >= t.durable[segment]);
	t.durable[segment] = offset;
}

static void
seal(void *arg, uint64_t segment, uint64_t offset)
{
	(void)arg;
	assert_true(segment < FILES && t.sealed[segment] == 0);
	t.sealed[segment] = offset;
}

static const struct segment_writer_ops ops = { want, durable, seal };

static struct view
compose(void *arg, uint64_t id)
{
	struct sent *s = arg;
	char text[RECORD_ID_TEXT_MAX];

	s->composed++;
	record_id_format(id, text);
	snprintf(s->header, sizeof(s->header), "X-Id: %s\r\n", text);
	return view_str(s->header);
}

static void
done(void *arg, int error, uint64_t id)
{
	struct sent *s = arg;

	assert_false(s->done);
	s->done = true;
	s->error = error;
	s->id = id;
	t.done++;
	if (error == 0)
		assert_true(t.durable[id >> RECORD_ID_OFFSET_BITS] >
		    (id & 0xffffff) * RECORD_ALIGN);
}

static void
put(unsigned n, size_t len)
{
	struct sent *s = &sent[n];

	memset(s, 0, sizeof(*s));
	memset(s->content, 'a' + (int)(n % 26), len);
	s->envelope = VIEW("not looked at");
	s->m = (struct segment_message){ s->envelope, view_of(s->content, len), compose, done, s };
	s->cookie = segment_writer_put(t.w, &s->m);
}

/* Turns until `n` messages are done, giving segments when asked. */
static void
turn_until(unsigned n)
{
	unsigned i;

	for (i = 0; i < 5000 && t.done < n; i++) {
		while (t.answer_wants && t.wanted[SEGMENT_SHARED] > 0) {
			t.wanted[SEGMENT_SHARED]--;
			give(SEGMENT_SHARED);
		}
		while (t.answer_wants && t.wanted[SEGMENT_DEDICATED] > 0) {
			t.wanted[SEGMENT_DEDICATED]--;
			give(SEGMENT_DEDICATED);
		}
		loop_turn(t.loop, 10);
	}
	assert_int_equal(t.done, n);
}

/* The record of message s is whole, inside the durable part, and its content is there. */
static void
check_record(const struct sent *s, size_t len, enum record_segment_kind kind)
{
	unsigned seg = (unsigned)(s->id >> RECORD_ID_OFFSET_BITS);
	uint64_t offset = (s->id & 0xffffff) * RECORD_ALIGN;
	struct record_trailer tail;
	struct record_header h;
	char *content = xmalloc(len + 1);

	assert_int_equal(s->error, 0);
	if (kind == SEGMENT_DEDICATED) {
		assert_int_equal(fd_pread_all(t.fd[seg], &tail, sizeof(tail),
		    (off_t)(t.durable[seg] - sizeof(tail))), 0);
		offset = tail.record_offset;
	}
	assert_int_equal(fd_pread_all(t.fd[seg], &h, sizeof(h), (off_t)offset), 0);
	assert_int_equal(record_header_check(&h, KEY, kind, offset, t.durable[seg]), 0);
	assert_int_equal(h.message, s->id);
	assert_int_equal(h.content_bytes, len);
	assert_int_equal(fd_pread_all(t.fd[seg], content, len, (off_t)h.content_offset), 0);
	assert_true(h.content_check == record_check(KEY, view_of(content, len)));
	if (kind == SEGMENT_SHARED)
		assert_memory_equal(content, s->content, len);
	xfree(content);
}

static int
setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.answer_wants = true;
	t.size = 1 << 20;
	fail_write = short_write = fail_sync = 0;
	t.loop = loop_new();
	t.w = segment_writer_new_io(t.loop, &ops, NULL, &io);
	segment_writer_reconnected(t.w);
	return 0;
}

static int
teardown(void **state)
{
	unsigned i;

	(void)state;
	segment_writer_free(&t.w);
	loop_free(&t.loop);
	for (i = 1; i <= t.next; i++)
		close(t.fd[i]);
	return 0;
}

static void
test_group(void **state)
{
	unsigned i;

	(void)state;
	assert_int_equal(t.wanted[SEGMENT_SHARED], 1);
	for (i = 0; i < 50; i++)
		put(i, 100 + i);
	assert_false(segment_writer_idle(t.w));
	turn_until(50);
	assert_true(segment_writer_idle(t.w));
	for (i = 0; i < 50; i++)
		check_record(&sent[i], 100 + i, SEGMENT_SHARED);
	assert_int_equal(t.next, 1);
}

static void
test_next_segment(void **state)
{
	unsigned i;

	(void)state;
	t.size = 50000;
	for (i = 0; i < 12; i++) {
		put(i, 15000);
		turn_until(i + 1);
	}
	for (i = 0; i < 12; i++)
		check_record(&sent[i], 15000, SEGMENT_SHARED);
	assert_int_equal(t.sealed[1], t.durable[1]);
	assert_true(t.next >= 4);
}

/* What does not fit any more waits while the last group of a segment is synced. */
static void
test_next_segment_while_others_wait(void **state)
{
	unsigned i;

	(void)state;
	t.size = 50000;
	for (i = 0; i < 12; i++)
		put(i, 15000);
	turn_until(12);
	for (i = 0; i < 12; i++)
		check_record(&sent[i], 15000, SEGMENT_SHARED);
	assert_int_equal(t.sealed[1], t.durable[1]);
}

static void
test_too_large(void **state)
{
	(void)state;
	t.size = 10000;
	put(0, 15000);
	put(1, 100);
	turn_until(2);
	assert_int_equal(sent[0].error, PK_ELIMIT);
	check_record(&sent[1], 100, SEGMENT_SHARED);
}

static void
fault(atomic_int *which, int count, int want_error)
{
	unsigned i, n = 5;

	put(0, 100);
	turn_until(1);
	unit_expect_log(LOG_LVL_ERROR, "commit failed");
	if (want_error != 0)
		unit_expect_log(LOG_LVL_ERROR, "commit failed");
	atomic_store(which, count);
	for (i = 1; i <= n; i++)
		put(i, 200 + i);
	turn_until(n + 1);
	unit_check_log();
	check_record(&sent[0], 100, SEGMENT_SHARED);
	/* Sealed at the last good byte: nothing of the failed group. */
	assert_int_equal(t.sealed[1], t.durable[1]);
	assert_int_equal(t.durable[1] % RECORD_ALIGN, 0);
	for (i = 1; i <= n; i++) {
		assert_int_equal(sent[i].error, want_error);
		if (want_error == 0) {
			assert_int_equal(sent[i].composed, 2);
			check_record(&sent[i], 200 + i, SEGMENT_SHARED);
			assert_true(sent[i].id >> RECORD_ID_OFFSET_BITS == 2);
		}
	}
}

static void
test_write_fails(void **state)
{
	(void)state;
	fail_errno = EIO;
	fault(&fail_write, 1, 0);
}

static void
test_short_write(void **state)
{
	(void)state;
	fault(&short_write, 1, 0);
}

static void
test_sync_fails(void **state)
{
	(void)state;
	fault(&fail_sync, 1, 0);
}

static ssize_t
full_writev(int fd, const struct iovec *iov, int niov)
{
	(void)fd;
	(void)iov;
	(void)niov;
	errno = ENOSPC;
	return -1;
}

static void
test_disk_full(void **state)
{
	static const struct segment_io full = { full_writev, io_fdatasync };
	unsigned i;

	(void)state;
	segment_writer_free(&t.w);
	t.w = segment_writer_new_io(t.loop, &ops, NULL, &full);
	unit_ignore_log();
	log_set_level(LOG_LVL_FATAL);
	for (i = 0; i < 3; i++)
		put(i, 100);
	turn_until(3);
	log_set_level(LOG_LVL_INFO);
	for (i = 0; i < 3; i++)
		assert_int_equal(sent[i].error, PK_ENOSPC);
	assert_int_equal(t.sealed[1], sizeof(struct segment_header));
	assert_int_equal(t.sealed[2], sizeof(struct segment_header));
}

static void
test_abandon(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		put(i, 100);
	segment_writer_abandon(t.w, sent[1].cookie);
	turn_until(2);
	assert_false(sent[1].done);
	put(3, 100);
	put(4, 100);
	loop_turn(t.loop, 0);		/* flying now */
	segment_writer_abandon(t.w, sent[3].cookie);
	memset(sent[3].content, 'X', 100);
	turn_until(3);
	assert_true(sent[4].done && !sent[3].done);
	check_record(&sent[4], 100, SEGMENT_SHARED);
}

static void
test_refused(void **state)
{
	(void)state;
	t.answer_wants = false;
	put(0, 10);
	loop_turn(t.loop, 0);
	segment_writer_refused(t.w, SEGMENT_SHARED, PK_ENOSPC);
	assert_true(sent[0].done);
	assert_int_equal(sent[0].error, PK_ENOSPC);
	assert_false(segment_writer_ready(t.w));
}

/* As done(); also gives up the message behind it and puts another one. */
static void
done_and_abandon(void *arg, int error, uint64_t id)
{
	done(arg, error, id);
	segment_writer_abandon(t.w, sent[1].cookie);
	put(2, 30);
}

static void
test_refused_one_abandons_another(void **state)
{
	(void)state;
	t.answer_wants = false;
	put(0, 10);
	segment_writer_abandon(t.w, sent[0].cookie);
	sent[0].m.done = done_and_abandon;
	sent[0].cookie = segment_writer_put(t.w, &sent[0].m);
	put(1, 20);
	segment_writer_refused(t.w, SEGMENT_SHARED, PK_ENOSPC);
	assert_true(sent[0].done);
	assert_false(sent[1].done);
	assert_false(sent[2].done);
	put(3, 40);
	give(SEGMENT_SHARED);
	turn_until(3);
	assert_false(sent[1].done);
	check_record(&sent[2], 30, SEGMENT_SHARED);
	check_record(&sent[3], 40, SEGMENT_SHARED);
}

static void
test_reconnect(void **state)
{
	uint64_t before;

	(void)state;
	put(0, 100);
	turn_until(1);
	before = t.durable[1];
	t.durable[1] = 0;
	segment_writer_reconnected(t.w);
	assert_int_equal(t.durable[1], before);
	segment_writer_close(t.w);
	loop_turn(t.loop, 0);
	assert_int_equal(t.sealed[1], before);
}

static void
writable(void *arg)
{
	(void)arg;
	t.writable++;
}

static size_t
stream(struct segment_stream *s, size_t chunks)
{
	char chunk[5000];
	size_t i;

	for (i = 0; i < chunks; i++) {
		memset(chunk, (int)('a' + i % 26), sizeof(chunk));
		assert_int_equal(segment_stream_add(s, view_of(chunk, sizeof(chunk))), 0);
		while (segment_stream_backlog(s) > SEGMENT_STREAM_BACKLOG)
			turn_until(t.done), loop_turn(t.loop, 10);
	}
	return chunks * sizeof(chunk);
}

static void
commit(struct segment_stream *s, unsigned n)
{
	memset(&sent[n], 0, sizeof(sent[n]));
	sent[n].m = (struct segment_message){ VIEW("envelope"),
	    VIEW_NONE, compose, done, &sent[n] };
	segment_stream_commit(s, &sent[n].m);
}

static void
test_stream(void **state)
{
	struct segment_stream *a, *b;
	size_t len_a, len_b;

	(void)state;
	t.size = 8 << 20;
	a = segment_stream_begin(t.w, writable, NULL);
	b = segment_stream_begin(t.w, writable, NULL);
	assert_int_equal(t.wanted[SEGMENT_DEDICATED], 2);
	t.wanted[SEGMENT_SHARED] = 0;
	t.wanted[SEGMENT_DEDICATED] = 0;
	give(SEGMENT_DEDICATED);
	give(SEGMENT_DEDICATED);
	len_a = stream(a, 301);
	len_b = stream(b, 1);
	commit(b, 1);
	commit(a, 0);
	turn_until(2);
	check_record(&sent[0], len_a, SEGMENT_DEDICATED);
	check_record(&sent[1], len_b, SEGMENT_DEDICATED);
	assert_true(t.writable > 0);
	assert_int_equal(t.sealed[1], t.durable[1]);
	assert_true(segment_writer_idle(t.w));
}

/* What a message may be is the segment's size, not that less what is under way. */
static void
test_stream_fills_segment(void **state)
{
	struct segment_stream *s;
	size_t len;

	(void)state;
	t.size = sizeof(struct segment_header) + 40 * 5000;
	s = segment_stream_begin(t.w, writable, NULL);
	t.wanted[SEGMENT_SHARED] = t.wanted[SEGMENT_DEDICATED] = 0;
	give(SEGMENT_DEDICATED);
	len = stream(s, 30);
	/* Into the lane. */
	loop_turn(t.loop, 0);
	len += stream(s, 10);
	assert_int_equal(segment_stream_add(s, VIEW("x")), PK_ENOSPC);
	commit(s, 0);
	turn_until(1);
	check_record(&sent[0], len, SEGMENT_DEDICATED);
}

static void
test_stream_abort(void **state)
{
	struct segment_stream *s;

	(void)state;
	s = segment_stream_begin(t.w, writable, NULL);
	t.wanted[SEGMENT_DEDICATED] = 0;
	stream(s, 3);
	segment_stream_abort(s);
	give(SEGMENT_DEDICATED);
	assert_int_equal(t.sealed[1], sizeof(struct segment_header));
	s = segment_stream_begin(t.w, writable, NULL);
	give(SEGMENT_DEDICATED);
	stream(s, 20);
	loop_turn(t.loop, 0);
	segment_stream_abort(s);
	while (t.sealed[2] == 0)
		loop_turn(t.loop, 10);
	assert_int_equal(t.sealed[2], sizeof(struct segment_header));
	assert_true(segment_writer_idle(t.w));
}

static void
test_stream_fails(void **state)
{
	struct segment_stream *s;

	(void)state;
	s = segment_stream_begin(t.w, writable, NULL);
	t.wanted[SEGMENT_DEDICATED] = 0;
	t.answer_wants = false;
	give(SEGMENT_DEDICATED);
	fail_errno = ENOSPC;
	atomic_store(&fail_write, 1);
	unit_expect_log(LOG_LVL_ERROR, "large message failed");
	stream(s, 10);
	while (t.writable == 0)
		loop_turn(t.loop, 10);
	assert_int_equal(segment_stream_add(s, VIEW("x")), PK_ENOSPC);
	commit(s, 0);
	turn_until(1);
	unit_check_log();
	assert_int_equal(sent[0].error, PK_ENOSPC);
	assert_int_equal(t.sealed[1], sizeof(struct segment_header));
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

UNIT_MAIN(T(test_group), T(test_next_segment),
    T(test_next_segment_while_others_wait), T(test_too_large), T(test_write_fails),
    T(test_short_write), T(test_sync_fails), T(test_disk_full), T(test_abandon),
    T(test_refused), T(test_refused_one_abandons_another), T(test_reconnect),
    T(test_stream), T(test_stream_fills_segment), T(test_stream_abort),
    T(test_stream_fails))
