/* SPDX-License-Identifier: ISC */
/*
 * stream_test.c: what is put leaves in its order, whatever the kernel takes
 * at once, and one connection does not keep the loop to itself.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"

static struct {
	struct loop	*l;
	struct stream	 s;
	int		 peer;
	unsigned	 drained, failed, to_put;
	size_t		 taken, take_max;
	bool		 close_when_drained;
	char		 got[4096];
	size_t		 got_len;
} t;

static const char piece[1000];

static void
on_data(struct stream *s, struct view bytes, void *arg)
{
	(void)s, (void)bytes, (void)arg;
}

static void
on_drained(struct stream *s, void *arg)
{
	(void)arg;
	t.drained++;
	if (t.close_when_drained) {
		stream_close(s);
		return;
	}
	if (t.to_put == 0)
		return;
	t.to_put--;
	buf_put(stream_out(s), piece, sizeof(piece));
}

static void
on_failed(struct stream *s, int error, void *arg)
{
	(void)s, (void)error, (void)arg;
	t.failed++;
}

static const struct stream_ops ops = { on_data, on_drained, on_failed };

static ssize_t
io_read(void *ctx, int fd, void *p, size_t n)
{
	(void)ctx;
	return read(fd, p, n);
}

/* Takes what the test allows; its start is kept. */
static ssize_t
io_writev(void *ctx, int fd, const struct iovec *iov, int niov)
{
	size_t done = 0, n, keep;
	int i;

	(void)ctx, (void)fd;
	for (i = 0; i < niov && done < t.take_max; i++) {
		n = iov[i].iov_len < t.take_max - done ? iov[i].iov_len :
		    t.take_max - done;
		keep = n < sizeof(t.got) - t.got_len ? n : sizeof(t.got) - t.got_len;
		memcpy(t.got + t.got_len, iov[i].iov_base, keep);
		t.got_len += keep;
		done += n;
	}
	t.taken += done;
	return (ssize_t)done;
}

static const struct stream_io io = { io_read, io_writev, NULL, NULL };

static int
set_up(void **state)
{
	int sv[2];

	(void)state;
	memset(&t, 0, sizeof(t));
	t.take_max = SIZE_MAX;
	t.l = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	t.peer = sv[1];
	stream_init(&t.s, t.l, sv[0], &io, NULL, &ops, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	stream_close(&t.s);
	close(t.peer);
	loop_free(&t.l);
	return 0;
}

static void
test_order(void **state)
{
	static const char want[] = "one,two,three,four,five";
	size_t step;

	(void)state;
	for (step = 1; step < sizeof(want); step++) {
		t.take_max = step;
		t.got_len = 0;
		buf_put_str(stream_out(&t.s), "one,");
		stream_put_borrowed(&t.s, VIEW("two,"));
		stream_put_borrowed(&t.s, VIEW("three,"));
		buf_put_str(stream_out(&t.s), "four,");
		stream_put_borrowed(&t.s, VIEW("fi"));
		buf_put_str(stream_out(&t.s), "ve");
		assert_int_equal(stream_pending(&t.s), sizeof(want) - 1);
		stream_flush(&t.s);
		assert_int_equal(t.got_len, sizeof(want) - 1);
		assert_memory_equal(t.got, want, sizeof(want) - 1);
		assert_int_equal(stream_pending(&t.s), 0);
	}
}

/* A peer that takes everything gets its share of a turn, and all in the end. */
static void
test_refills_take_turns(void **state)
{
	int i;

	(void)state;
	t.to_put = 100;
	stream_flush(&t.s);
	assert_true(t.taken > 0);
	assert_true(t.to_put > 0);
	for (i = 0; i < 50; i++)
		loop_turn(t.l, 0);
	assert_int_equal(t.to_put, 0);
	assert_int_equal(t.taken, 100 * sizeof(piece));
	assert_int_equal(stream_pending(&t.s), 0);
	/* Nothing waits: no turn is spent on it. */
	i = (int)t.drained;
	loop_turn(t.l, 0);
	loop_turn(t.l, 0);
	assert_int_equal(t.drained, i);
}

static void
test_close_when_drained(void **state)
{
	(void)state;
	t.close_when_drained = true;
	buf_put_str(stream_out(&t.s), "bye");
	stream_flush(&t.s);
	assert_int_equal(t.drained, 1);
	assert_false(stream_is_open(&t.s));
	assert_int_equal(t.failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(test_order), T(test_refills_take_turns),
		T(test_close_when_drained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
