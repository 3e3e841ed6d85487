/* SPDX-License-Identifier: ISC */
/*
 * maildir_quota.c: Maildir++ quota: the file maildirsize, one line a change,
 * its first line the limit ("1000000S"). Other programs append to it too; it
 * is counted anew when it is missing, long, of another limit, or says "full".
 *
 * Runs in `deliver mailbox`. The group may read the file: lookupd refuses mail
 * for a full mailbox at RCPT. It may hold anything: sums saturate and a line
 * that is not one makes it counted anew.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/num.h"
#include "store/maildir_private.h"
#include "sys/fd.h"

/* Maildir++: longer ones are counted anew. */
#define FILE_MAX	5120
/* A "full" that is younger is believed. */
#define FULL_AGE_S	900
/* Folders and files looked at in one count; more is somebody's attack. */
#define FOLDERS_MAX	10000

struct quota_sum {
	int64_t		bytes;
	unsigned	lines;
	time_t		mtime;
};

/* "-123 -1": a change; *bytes gets it added. */
static bool
add_line(struct view line, int64_t *bytes)
{
	struct view number;
	bool minus;
	uint64_t n;

	line = view_trim(line);
	minus = line.len > 0 && line.p[0] == '-';
	if (minus)
		line = view_from(line, 1);
	if (!view_next(&line, " ", &number) ||
	    num_parse_u64(number, 0, 1ULL << 50, &n) != 0)
		return false;
	*bytes += minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* The first line is a list of limits: "1000000S,1000C". */
static bool
limit_is(struct view line, uint64_t quota)
{
	struct view item;
	uint64_t n;

	while (view_next(&line, ",", &item)) {
		if (item.len < 2 || item.p[item.len - 1] != 'S')
			continue;
		return num_parse_u64(view_head(item, item.len - 1), 0,
			   UINT64_MAX, &n) == 0 &&
		    n == quota;
	}
	return false;
}

static int
read_sum(struct maildir_box *b, uint64_t quota, struct quota_sum *sum)
{
	char text[FILE_MAX + 1];
	struct view v, line;
	struct stat st;
	ssize_t n;
	int fd;

	fd = openat(b->dir_fd, "maildirsize",
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return PK_ENOENT;
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ?
	    pread(fd, text, sizeof(text), 0) :
	    -1;
	close(fd);
	if (n <= 0 || n > FILE_MAX)
		return PK_EFORMAT;
	v = view_of(text, (size_t)n);
	if (!view_next(&v, "\n", &line) || !limit_is(line, quota))
		return PK_EFORMAT;
	memset(sum, 0, sizeof(*sum));
	sum->mtime = st.st_mtime;
	while (view_next(&v, "\n", &line)) {
		if (!add_line(line, &sum->bytes))
			return PK_EFORMAT;
		sum->lines++;
	}
	return sum->bytes >= 0 ? 0 : PK_EFORMAT;
}

static int64_t
count_files(int parent, const char *folder)
{
	int64_t bytes = 0;
	struct dirent *e;
	struct stat st;
	uint64_t size;
	DIR *dir;
	int fd;

	fd = openat(
	    parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return 0;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return 0;
	}
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' ||
		    strcmp(e->d_name, "maildirsize") == 0)
			continue;
		if (!maildir_name_size(e->d_name, &size)) {
			if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			    -1)
				continue;
			size = (uint64_t)st.st_size;
		}
		if (size < 1ULL << 50)
			bytes += (int64_t)size;
	}
	closedir(dir);
	return bytes;
}

static int64_t
count_folder(int parent, const char *folder)
{
	int64_t bytes;
	int fd;

	fd = openat(
	    parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return 0;
	bytes = count_files(fd, "new") + count_files(fd, "cur");
	close(fd);
	return bytes;
}

/* The mailbox and its folders (".Sent" ...), which Maildir++ keeps flat. */
static int64_t
count_all(struct maildir_box *b)
{
	/* In tmp/ are deliveries that wait for their sync. */
	int64_t bytes = count_files(b->dir_fd, "new") +
	    count_files(b->dir_fd, "cur") + count_files(b->dir_fd, "tmp");
	unsigned folders = 0;
	struct dirent *e;
	DIR *dir;
	int fd;

	fd = openat(b->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return bytes;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return bytes;
	}
	while ((e = readdir(dir)) != NULL && folders < FOLDERS_MAX) {
		if (e->d_name[0] != '.' || e->d_name[1] == '\0' ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		/* Maildir++: Trash does not count. */
		if (strcmp(e->d_name, ".Trash") == 0)
			continue;
		bytes += count_folder(b->dir_fd, e->d_name);
		folders++;
	}
	closedir(dir);
	return bytes;
}

static void
write_sum(struct maildir_box *b, uint64_t quota, int64_t bytes)
{
	struct buf text;
	int fd, rc = PK_ESYS;

	buf_init(&text, 256);
	buf_printf(&text, "%lluS\n%lld 0\n", (unsigned long long)quota,
	    (long long)bytes);
	unlinkat(b->tmp_fd, "maildirsize", 0);
	fd = openat(b->tmp_fd, "maildirsize",
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd != -1) {
		rc = fd_write_all(fd, buf_data(&text), text.len);
		close(fd);
	}
	if (rc == 0)
		renameat(b->tmp_fd, "maildirsize", b->dir_fd, "maildirsize");
	buf_fini(&text);
}

int
maildir_quota_check(struct maildir_box *b, uint64_t quota, uint64_t size,
    struct maildir_failure *f_r)
{
	struct quota_sum sum;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	int rc;

	if (size > quota) {
		maildir_fail(f_r, MAILDIR_FAULT_TOO_BIG, 0,
		    "message of %llu "
		    "bytes is bigger than the mailbox's quota of %llu bytes",
		    (unsigned long long)size, (unsigned long long)quota);
		return PK_ELIMIT;
	}
	rc = read_sum(b, quota, &sum);
	if (rc == 0 && (uint64_t)sum.bytes + size > quota &&
	    (sum.lines > 1 || sum.mtime < now - FULL_AGE_S))
		rc = PK_EFORMAT;
	if (rc != 0) {
		sum.bytes = count_all(b);
		write_sum(b, quota, sum.bytes);
	}
	if ((uint64_t)sum.bytes + size <= quota)
		return 0;
	maildir_fail(f_r, MAILDIR_FAULT_FULL, 0,
	    "mailbox is full: %lld of %llu "
	    "bytes are used",
	    (long long)sum.bytes, (unsigned long long)quota);
	return PK_ELIMIT;
}

void
maildir_quota_note(struct maildir_box *b, uint64_t size, int sign)
{
	struct buf line;
	int fd;

	fd = openat(b->dir_fd, "maildirsize",
	    O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return;
	buf_init(&line, 64);
	buf_printf(&line, "%s%llu %s1\n", sign < 0 ? "-" : "",
	    (unsigned long long)size, sign < 0 ? "-" : "");
	/* A sum that misses a line is found wrong and counted anew. */
	(void)fd_write_all(fd, buf_data(&line), line.len);
	buf_fini(&line);
	close(fd);
}
