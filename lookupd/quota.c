/* SPDX-License-Identifier: ISC */
/*
 * quota.c: is a mailbox full already?
 *
 * Runs in lookupd, which may read the mail store's maildirsize files and
 * nothing else there: its user is of the store's group (scripts/create-users). The file is
 * written by deliver and by other programs that know Maildir++: lines "bytes
 * messages" to be added up behind a first line with the quota. What cannot be
 * read says nothing: deliver checks again before it writes.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "lookupd/resolver_impl.h"
#include "sys/fd.h"

/* Maildir++: a file over 5120 bytes is made anew. */
#define MAILDIRSIZE_MAX	8192

static int64_t
signed_number(struct view v)
{
	bool negative = v.len > 0 && v.p[0] == '-';
	uint64_t n = 0;

	if (negative)
		v = view_from(v, 1);
	if (num_parse_u64(v, 0, (uint64_t)1 << 50, &n) != 0)
		return 0;
	return negative ? -(int64_t)n : (int64_t)n;
}

static int64_t
sum(struct view text)
{
	struct view line, word;
	int64_t total = 0;

	(void)view_next(&text, "\n", &line);
	while (view_next(&text, "\n", &line))
		if (view_next(&line, " \t\r", &word))
			total += signed_number(word);
	return total;
}

/* The store belongs to others: no link is followed, nothing but a file read. */
static ssize_t
read_small(const char *path, char *p, size_t size)
{
	struct stat st;
	ssize_t n = -1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, p, size);
	fd_close(&fd);
	return n;
}

bool
resolver_over_quota(const struct conf *conf, const char *path, uint64_t quota)
{
	char text[MAILDIRSIZE_MAX];
	int64_t used = 0;
	ssize_t n;
	char *file;

	file = xasprintf("%s/%s/maildirsize", conf->virtual_mailbox_base, path);
	n = read_small(file, text, sizeof(text));
	xfree(file);
	if (n > 0)
		used = sum(view_of(text, (size_t)n));
	return used > 0 && (uint64_t)used >= quota;
}
