/* SPDX-License-Identifier: ISC */
/*
 * maildir.c: writes a message into tmp/, publishes it in new/.
 *
 * Runs in a thread of `deliver mailbox`, where it may block on the disk. The
 * content is a stranger's and only copied, CRLF to LF. Names hold nothing of
 * the message but its size.
 */
#include "store/maildir.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/num.h"
#include "mail/data_writer.h"
#include "store/maildir_private.h"
#include "sys/fd.h"

/* What is gathered before a write(2). */
#define WRITE_SIZE	(256 * 1024)
#define WRITE_MAX	(WRITE_SIZE + DATA_WRITER_GROWTH(WRITE_SIZE))

bool
maildir_name_size(const char *name, uint64_t *size_r)
{
	struct view v = view_str(name), field;

	while (view_next(&v, ",:", &field))
		if (view_starts(field, VIEW("S=")))
			return num_parse_u64(view_from(field, 2), 0, INT64_MAX,
				   size_r) == 0;
	return false;
}

/* "1700000000.PA1B2C3R0.host" */
static struct view
base_name(const struct maildir_delivery *d, char *room)
{
	struct buf b;
	struct view v;

	buf_init(&b, MAILDIR_NAME_MAX - 60);
	buf_printf(&b, "%llu.P%sR%llu.%s",
	    (unsigned long long)(d->arrival_ms / 1000), d->queue_id,
	    (unsigned long long)d->rcpt_index, d->box->store->hostname);
	v = buf_view(&b);
	memcpy(room, v.p, v.len);
	room[v.len] = '\0';
	v = view_of(room, v.len);
	buf_fini(&b);
	return v;
}

/* Writes base plus a tail into name[MAILDIR_NAME_MAX]. */
static void
put_name(char *name, struct view base, uint64_t size, uint64_t vsize)
{
	struct buf b;

	buf_init(&b, MAILDIR_NAME_MAX - 1);
	buf_put_view(&b, base);
	buf_printf(&b, ",S=%llu,W=%llu", (unsigned long long)size,
	    (unsigned long long)vsize);
	memcpy(name, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
}

static bool
entry_is(const char *name, struct view base)
{
	size_t len = strlen(name);

	return len >= base.len && memcmp(name, base.p, base.len) == 0 &&
	    (name[base.len] == '\0' || name[base.len] == ',' ||
		name[base.len] == ':');
}

/*
 * Is an earlier delivery of the same in this folder? One whose size is not
 * what its name says is a torn one: it is removed.
 */
static bool
find_in(int dir_fd, const char *folder, struct view base)
{
	struct dirent *e;
	struct stat st;
	uint64_t size;
	bool found = false;
	DIR *dir;
	int fd;

	fd = openat(
	    dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return false;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return false;
	}
	while (!found && (e = readdir(dir)) != NULL) {
		if (!entry_is(e->d_name, base))
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (!maildir_name_size(e->d_name, &size) ||
		    size == (uint64_t)st.st_size)
			found = true;
		else
			unlinkat(fd, e->d_name, 0);
	}
	closedir(dir);
	return found;
}

static bool
delivered_before(const struct maildir_delivery *d, struct view base)
{
	return find_in(d->box->dir_fd, "new", base) ||
	    find_in(d->box->dir_fd, "cur", base);
}

struct copier {
	struct data_writer w;
	struct buf	out;
	int		fd;
	uint64_t	size, vsize;
};

static int
copier_put(struct copier *c, struct view v)
{
	int rc = data_writer_feed(&c->w, v, &c->out);

	c->vsize += v.len;
	if (rc != 0 || c->out.len < WRITE_SIZE)
		return rc;
	c->size += c->out.len;
	rc = fd_write_all(c->fd, buf_data(&c->out), c->out.len);
	buf_reset(&c->out);
	return rc;
}

static int
copy(struct copier *c, const struct maildir_delivery *d)
{
	uint64_t offset = 0;
	struct view v, piece;
	int rc;

	rc = copier_put(c, d->prefix);
	while (rc == 0) {
		rc = d->source(d->source_arg, offset, &v);
		if (rc == PK_EEND)
			break;
		for (; rc == 0 && v.len > 0; v = view_from(v, piece.len)) {
			piece = view_head(v, WRITE_SIZE / 2);
			offset += piece.len;
			rc = copier_put(c, piece);
		}
	}
	if (rc != PK_EEND)
		return rc;
	rc = data_writer_end(&c->w, &c->out);
	if (rc != 0)
		return rc;
	c->size += c->out.len;
	return fd_write_all(c->fd, buf_data(&c->out), c->out.len);
}

static int
open_tmp(struct maildir_delivery *d)
{
	int fd, flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	fd = openat(d->box->tmp_fd, d->tmp_name, flags, 0600);
	if (fd == -1 && errno == EEXIST) {
		/* Of an earlier try that died. */
		unlinkat(d->box->tmp_fd, d->tmp_name, 0);
		fd = openat(d->box->tmp_fd, d->tmp_name, flags, 0600);
	}
	return fd;
}

static int
write_tmp(struct maildir_delivery *d, struct view base,
    struct maildir_failure *f)
{
	struct copier c;
	int rc, saved;

	memcpy(d->tmp_name, base.p, base.len + 1);
	memset(&c, 0, sizeof(c));
	c.fd = open_tmp(d);
	if (c.fd == -1) {
		maildir_fail(f, MAILDIR_FAULT_SYSTEM, errno,
		    "create maildir file tmp/%s", d->tmp_name);
		return PK_EIO;
	}
	data_writer_init(&c.w, DATA_WRITER_LF, 0);
	buf_init(&c.out, WRITE_MAX);
	errno = 0;
	rc = copy(&c, d);
	saved = errno != 0 ? errno : EIO;
	buf_fini(&c.out);
	if (close(c.fd) == -1 && rc == 0) {
		saved = errno;
		rc = PK_EIO;
	}
	if (rc != 0) {
		unlinkat(d->box->tmp_fd, d->tmp_name, 0);
		maildir_fail(f, MAILDIR_FAULT_SYSTEM, saved,
		    "write maildir file tmp/%s", d->tmp_name);
		return PK_EIO;
	}
	d->size = c.size;
	put_name(d->new_name, base, c.size, c.vsize);
	return 0;
}

int
maildir_write(struct maildir_delivery *d, struct maildir_failure *f_r)
{
	char room[MAILDIR_NAME_MAX];
	struct view base = base_name(d, room);
	int rc;

	d->found = d->look_twice && delivered_before(d, base);
	if (d->found)
		return 0;
	if (d->quota > 0) {
		rc = maildir_quota_check(d->box, d->quota, d->size_hint, f_r);
		if (rc != 0)
			return PK_EIO;
	}
	rc = write_tmp(d, base, f_r);
	if (rc == 0 && d->quota > 0)
		maildir_quota_note(d->box, d->size, 1);
	return rc;
}

int
maildir_publish(struct maildir_delivery *d)
{
	if (d->found)
		return 0;
	/* Over an earlier one of the same name: the same bytes. */
	if (renameat(
		d->box->tmp_fd, d->tmp_name, d->box->new_fd, d->new_name) == -1)
		return PK_ESYS;
	return 0;
}

void
maildir_discard(struct maildir_delivery *d)
{
	if (d->found)
		return;
	unlinkat(d->box->tmp_fd, d->tmp_name, 0);
	if (d->quota > 0)
		maildir_quota_note(d->box, d->size, -1);
}

void
maildir_revoke(struct maildir_delivery *d)
{
	if (d->found)
		return;
	unlinkat(d->box->new_fd, d->new_name, 0);
	if (d->quota > 0)
		maildir_quota_note(d->box, d->size, -1);
}
