/* SPDX-License-Identifier: ISC */
/*
 * instance.c: numbers that no two processes ever share.
 *
 * The queue knows its writers by these numbers, also after a crash and a
 * reboot. data_directory/instances holds the first number that was never
 * reserved; a block is on disk, file and directory synced, before the first
 * of it is given out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/num.h"
#include "master/master.h"
#include "sys/fd.h"

#define FILE_NAME	"instances"
#define BLOCK		1000

static uint64_t
read_first(int dirfd)
{
	struct buf b;
	struct view v;
	uint64_t n = 1;
	int error;

	buf_init(&b, 64);
	error = fd_read_file(dirfd, FILE_NAME, &b);
	if (error == 0) {
		v = buf_view(&b);
		if (v.len > 0 && v.p[v.len - 1] == '\n')
			v.len--;
		error = num_parse_u64(v, 1, UINT64_MAX - 2 * BLOCK, &n);
	}
	buf_fini(&b);
	if (error != 0 && error != PK_ENOENT)
		log_fatal("data_directory has a damaged file " FILE_NAME " (%s): write a number"
		    " into it that is greater than any instance in the log", pk_strerror(error));
	return n;
}

static void
reserve(struct master *m)
{
	struct buf b;
	uint64_t first;
	int dirfd;

	dirfd = open(m->conf->data_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1)
		log_fatal("data_directory %s: %s", m->conf->data_directory, strerror(errno));
	first = read_first(dirfd);
	buf_init(&b, 64);
	buf_printf(&b, "%llu\n", (unsigned long long)(first + BLOCK));
	if (fd_replace_file(dirfd, FILE_NAME, buf_view(&b), 0644) != 0)
		log_fatal("cannot write %s/" FILE_NAME ": %s", m->conf->data_directory,
		    strerror(errno));
	buf_fini(&b);
	fd_close(&dirfd);
	m->next_instance = first;
	m->instance_limit = first + BLOCK;
}

uint64_t
instance_next(struct master *m)
{
	if (m->next_instance == m->instance_limit)
		reserve(m);
	return m->next_instance++;
}
