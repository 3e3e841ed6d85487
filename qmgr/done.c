/* SPDX-License-Identifier: ISC */
/*
 * done.c: the finished messages and recipients of a segment, for a rebuild.
 *
 * Run by qmgr: notes gather in the loop, the checkpoint's thread writes them.
 * What is read back may be damaged; an entry that does not pass its check
 * costs at most a duplicate of that message.
 */
#include "qmgr/done.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

#define FILE_MAX	((size_t)1 << 30)

struct note {
	uint64_t	segment, message, what;
};

struct entry {
	uint64_t	message, what, check;
};

void
done_name(uint64_t segment, char *name)
{
	snprintf(name, DONE_NAME_MAX, "%016" PRIu64 ".done", segment);
}

uint64_t
done_recipient(struct view address)
{
	char *lower = view_dup_lower(address);
	uint64_t h = XXH3_64bits(lower, address.len);

	xfree(lower);
	return h >= DONE_RECIPIENT_LEAST ? h : DONE_RECIPIENT_LEAST;
}

void
done_add(struct buf *b, uint64_t segment, uint64_t message, uint64_t what)
{
	struct note n = { segment, message, what };

	buf_put(b, &n, sizeof(n));
}

static int
note_cmp(const void *a, const void *b)
{
	const struct note *x = a, *y = b;

	return (x->segment > y->segment) - (x->segment < y->segment);
}

static int
write_file(int dirfd, const struct note *v, size_t n)
{
	char name[DONE_NAME_MAX];
	struct entry *e = xreallocarray(NULL, n, sizeof(*e));
	struct stat st;
	size_t i;
	int fd, rc = PK_EIO;

	for (i = 0; i < n; i++) {
		e[i] = (struct entry){ v[i].message, v[i].what, 0 };
		e[i].check = XXH3_64bits(&e[i], offsetof(struct entry, check));
	}
	done_name(v[0].segment, name);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* A cut may have left a part of an entry: those behind it would not be found. */
	if (fd != -1 && fstat(fd, &st) == 0 && st.st_size % (off_t)sizeof(*e) != 0 &&
	    ftruncate(fd, st.st_size - st.st_size % (off_t)sizeof(*e)) == -1)
		log_warn("queue/seg/%s: %m", name);
	if (fd != -1 && (rc = fd_write_all(fd, e, n * sizeof(*e))) == 0 && fdatasync(fd) == -1)
		rc = PK_EIO;
	if (rc != 0)
		log_error("queue/seg/%s: %m", name);
	fd_close(&fd);
	xfree(e);
	return rc;
}

int
done_write(int dirfd, struct view notes)
{
	size_t n = notes.len / sizeof(struct note), i = 0, end;
	struct note *v;
	int rc = 0;

	if (n == 0)
		return 0;
	v = xmemdup(notes.p, n * sizeof(*v));
	qsort(v, n, sizeof(*v), note_cmp);
	while (i < n && rc == 0) {
		for (end = i; end < n && v[end].segment == v[i].segment; end++)
			;
		rc = write_file(dirfd, &v[i], end - i);
		i = end;
	}
	xfree(v);
	/* New names need the directory too; an entry lost is a duplicate at a rebuild, no more. */
	if (rc == 0)
		rc = fd_sync_dir(dirfd) == 0 ? 0 : PK_EIO;
	return rc;
}

int
done_read(int dirfd, uint64_t segment, void (*fn)(void *arg, uint64_t message, uint64_t what),
    void *arg)
{
	char name[DONE_NAME_MAX];
	struct entry e;
	struct buf b;
	struct view v;
	int rc;

	done_name(segment, name);
	buf_init(&b, FILE_MAX);
	rc = fd_read_file(dirfd, name, &b);
	for (v = buf_view(&b); rc == 0 && v.len >= sizeof(e); v = view_from(v, sizeof(e))) {
		memcpy(&e, v.p, sizeof(e));
		if (e.check == XXH3_64bits(&e, offsetof(struct entry, check)))
			fn(arg, e.message, e.what);
	}
	buf_fini(&b);
	return rc == 0 || rc == PK_ENOENT ? 0 : PK_EIO;
}
