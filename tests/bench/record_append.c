/* SPDX-License-Identifier: ISC */
/*
 * record_append.c: nanoseconds for one record appended to a shared segment,
 * without the sync: envelope, header, content, checks, the group's writev and
 * the completion. The budget: under 2 us for 4 KiB.
 *
 * A tool for the developer; the file is in /tmp and gone at the end. CPU time
 * of loop and sync thread together is what counts: they run side by side.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/segment_lane.h"
#include "queue/segment_writer.h"
#include "sys/loop.h"

#define CONTENT		4096
#define GROUP		50
#define ROUNDS		4000

static struct segment_writer *writer;
static char content[CONTENT], header[200];
static unsigned segments, done_count, failed;

static int
no_sync(int fd)
{
	(void)fd;
	return 0;
}

static const struct segment_io io = { writev, no_sync };

static void
want(void *arg, enum record_segment_kind kind, uint64_t hint)
{
	char path[] = "/tmp/record-append.XXXXXX";
	int fd = mkstemp(path);

	(void)arg;
	(void)hint;
	if (fd == -1)
		log_fatal("%s: %m", path);
	unlink(path);
	if (lseek(fd, sizeof(struct segment_header), SEEK_SET) == -1)
		log_fatal("lseek: %m");
	segment_writer_give(writer, kind, ++segments, 42, 64 << 20, fd, -1);
}

static void
nothing(void *arg, uint64_t segment, uint64_t offset)
{
	(void)arg;
	(void)segment;
	(void)offset;
}

static struct view
compose(void *arg, uint64_t message)
{
	(void)arg;
	memcpy(header, &message, sizeof(message));
	return view_of(header, sizeof(header));
}

static void
done(void *arg, int error, uint64_t message)
{
	(void)arg;
	(void)message;
	failed += error != 0;
	done_count++;
}

static uint64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void
round_of(struct loop *l)
{
	struct segment_message m = { view_of(content, 150), view_of(content, CONTENT), compose,
	    done, NULL };
	unsigned i;

	done_count = 0;
	for (i = 0; i < GROUP; i++)
		segment_writer_put(writer, &m);
	while (done_count < GROUP)
		loop_turn(l, 1000);
}

int
main(void)
{
	static const struct segment_writer_ops ops = { want, nothing, nothing };
	struct loop *l = loop_new();
	uint64_t start;
	unsigned i;

	memset(content, 'x', sizeof(content));
	writer = segment_writer_new_io(l, &ops, NULL, &io);
	round_of(l);
	start = cpu_ns();
	for (i = 0; i < ROUNDS; i++)
		round_of(l);
	printf("record_append: %.0f ns a record of %d bytes (groups of %d, %u failed)\n",
	    (double)(cpu_ns() - start) / (ROUNDS * GROUP), CONTENT, GROUP, failed);
	segment_writer_free(&writer);
	loop_free(&l);
	return failed > 0;
}
