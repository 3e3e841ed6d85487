/* SPDX-License-Identifier: ISC */
/*
 * table_lmdb.c: indexed tables (lmdb:, hash:), and how they are built.
 *
 * Reading runs in lookupd, read only and without a lock file: a built table
 * is never written in place. Building runs in adminctl: a new file beside the
 * old one, synced, renamed over it; whoever has the old one open goes on with
 * it until it notices. A table that Postfix's postmap(1) built can be read
 * too: its keys and values may end in a NUL.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"
#include "table/table.h"
#include "table/table_impl.h"

#define LMDB_KEY_MAX	511	/* LMDB's own limit as Debian builds it */

struct lmdb {
	MDB_env	*env;
	MDB_dbi	 dbi;
	char	*path;
};

/* ---- reading ---- */

static void
lmdb_close(void *data)
{
	struct lmdb *d = data;

	if (d->env != NULL)
		mdb_env_close(d->env);
	xfree(d->path);
	xfree(d);
}

static int
open_dbi(struct lmdb *d)
{
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &d->dbi);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return rc;
}

static int
lmdb_load(const char *path, void **data_r, struct buf *why)
{
	struct lmdb *d = XNEW(struct lmdb);
	int rc;

	d->path = xstrdup(path);
	rc = mdb_env_create(&d->env);
	if (rc == 0)
		rc = mdb_env_open(d->env, path,
		    MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0);
	if (rc == 0)
		rc = open_dbi(d);
	if (rc != 0) {
		buf_printf(why, "%s: %s", path, mdb_strerror(rc));
		lmdb_close(d);
		return rc == MDB_INVALID || rc == MDB_CORRUPTED ||
		    rc == MDB_VERSION_MISMATCH ? PK_EFORMAT : PK_ESYS;
	}
	*data_r = d;
	return 0;
}

static int
get_in(struct lmdb *d, MDB_txn *txn, struct view key, struct buf *value_r)
{
	char with_nul[LMDB_KEY_MAX + 1];
	MDB_val k, v;
	int rc;

	k.mv_data = (void *)(uintptr_t)key.p;
	k.mv_size = key.len;
	rc = mdb_get(txn, d->dbi, &k, &v);
	if (rc == MDB_NOTFOUND && key.len < LMDB_KEY_MAX) {
		memcpy(with_nul, key.p, key.len);
		with_nul[key.len] = '\0';
		k.mv_data = with_nul;
		k.mv_size = key.len + 1;
		rc = mdb_get(txn, d->dbi, &k, &v);
	}
	if (rc != 0)
		return rc;
	if (v.mv_size > 0 && ((const char *)v.mv_data)[v.mv_size - 1] == '\0')
		v.mv_size--;
	if (memchr(v.mv_data, '\0', v.mv_size) != NULL)
		return MDB_CORRUPTED;
	buf_put(value_r, v.mv_data, v.mv_size);
	return 0;
}

static int
lmdb_get(void *data, struct view key, struct buf *value_r)
{
	struct lmdb *d = data;
	MDB_txn *txn;
	int rc;

	if (key.len > LMDB_KEY_MAX)
		return PK_ENOENT;
	rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0) {
		rc = get_in(d, txn, key, value_r);
		mdb_txn_abort(txn);
	}
	if (rc == MDB_NOTFOUND)
		return PK_ENOENT;
	if (rc != 0) {
		log_error("%s: %s", d->path, mdb_strerror(rc));
		return PK_ETEMP;
	}
	return 0;
}

static size_t
lmdb_count(const void *data)
{
	MDB_stat st;

	if (mdb_env_stat(((const struct lmdb *)data)->env, &st) != 0)
		return 0;
	return st.ms_entries;
}

const struct table_type table_type_lmdb = {
	.name = "lmdb",
	.suffix = ".lmdb",
	.fold = true,
	.load_file = lmdb_load,
	.get = lmdb_get,
	.count = lmdb_count,
	.close = lmdb_close,
};

/* Postfix's usual type; its file format is not ours, see the warning in table.c. */
const struct table_type table_type_hash = {
	.name = "hash",
	.suffix = ".lmdb",
	.fold = true,
	.load_file = lmdb_load,
	.get = lmdb_get,
	.count = lmdb_count,
	.close = lmdb_close,
};

/* ---- building ---- */

struct build {
	const char	*path;		/* source */
	struct view	 text;
	MDB_env		*env;
	MDB_txn		*txn;
	MDB_dbi		 dbi;
	size_t		 count;
	struct buf	*why;
};

static int
put(struct build *b, struct view key, struct view value, unsigned line)
{
	char *folded;
	MDB_val k, v;
	int rc;

	table_put_where(b->why, b->path, line);
	if (key.len > LMDB_KEY_MAX || value.len > TABLE_VALUE_MAX) {
		buf_printf(b->why, "key over %d or value over %d bytes",
		    LMDB_KEY_MAX, TABLE_VALUE_MAX);
		return PK_ELIMIT;
	}
	folded = view_dup_lower(key);
	k.mv_data = folded;
	k.mv_size = key.len;
	v.mv_data = (void *)(uintptr_t)value.p;
	v.mv_size = value.len;
	rc = mdb_put(b->txn, b->dbi, &k, &v, MDB_NOOVERWRITE);
	if (rc == MDB_KEYEXIST)
		log_warn("%s, line %u: \"%s\" stands there twice, the first one counts",
		    b->path, line, folded);
	else if (rc == 0)
		b->count++;
	else
		buf_put_str(b->why, mdb_strerror(rc));
	xfree(folded);
	return rc == 0 || rc == MDB_KEYEXIST ? 0 : PK_ESYS;
}

static int
put_all(struct build *b)
{
	struct view key, value;
	size_t mark = b->why->len;
	struct table_lines l;
	struct buf scratch;
	int error;

	buf_init(&scratch, TABLE_KEY_MAX);
	table_lines_init(&l, b->text);
	while ((error = table_lines_next(&l)) == 0) {
		error = table_split_entry(buf_view(&l.text), &scratch, &key, &value);
		if (error != 0) {
			l.error = "expected: key, blanks, value";
			break;
		}
		error = put(b, key, value, l.line);
		if (error != 0)
			break;
		buf_truncate(b->why, mark);
	}
	if (error == PK_EEND) {
		error = 0;
	} else if (b->why->len == mark) {
		table_put_where(b->why, b->path, l.line);
		buf_put_str(b->why, l.error);
	}
	table_lines_fini(&l);
	buf_fini(&scratch);
	return error;
}

static int
fill(struct build *b, const char *target)
{
	int error, rc;

	rc = mdb_env_create(&b->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(b->env, (64u << 20) + 16 * b->text.len);
	if (rc == 0)
		rc = mdb_env_open(b->env, target, MDB_NOSUBDIR | MDB_NOLOCK |
		    MDB_NOSYNC, 0600);
	if (rc == 0)
		rc = mdb_txn_begin(b->env, NULL, 0, &b->txn);
	if (rc == 0) {
		rc = mdb_dbi_open(b->txn, NULL, 0, &b->dbi);
		error = rc == 0 ? put_all(b) : 0;
		if (rc != 0 || error != 0)
			mdb_txn_abort(b->txn);
		else
			rc = mdb_txn_commit(b->txn);
		if (error != 0)
			return error;
	}
	if (rc == 0)
		rc = mdb_env_sync(b->env, 1);
	if (rc == 0)
		return 0;
	buf_printf(b->why, "%s: %s", target, mdb_strerror(rc));
	return rc == ENOSPC ? PK_ENOSPC : PK_ESYS;
}

/* As readable as its source, and its owner's: postmap does the same. */
static int
copy_owner(const char *target, const struct stat *source)
{
	int fd, error = 0;

	fd = open(target, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return PK_ESYS;
	if (fchmod(fd, source->st_mode & 0666) == -1 || (geteuid() == 0 &&
	    fchown(fd, source->st_uid, source->st_gid) == -1) ||
	    fsync(fd) == -1)
		error = PK_ESYS;
	fd_close(&fd);
	return error;
}

static int
sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int fd, error;

	dir = slash == NULL ? xstrdup(".") :
	    xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	xfree(dir);
	if (fd == -1)
		return PK_ESYS;
	error = fd_sync_dir(fd);
	fd_close(&fd);
	return error;
}

static int
build(struct build *b, const char *tmp, const char *final, const struct stat *source)
{
	int error;

	/* What an interrupted build left. */
	if (unlink(tmp) == -1 && errno != ENOENT)
		error = PK_ESYS;
	else
		error = fill(b, tmp);
	if (b->env != NULL)
		mdb_env_close(b->env);
	if (error == 0) {
		error = copy_owner(tmp, source);
		if (error == 0 && rename(tmp, final) == -1)
			error = PK_ESYS;
		if (error == 0)
			error = sync_parent(final);
		if (error != 0)
			buf_printf(b->why, "%s: %s", final, strerror(errno));
	}
	if (error != 0)
		(void)unlink(tmp);
	return error;
}

int
table_build_lmdb(const char *path, size_t *count_r, struct buf *why)
{
	struct build b = { .path = path, .why = why };
	char *tmp, *final;
	struct stat st;
	struct buf text;
	int error;

	buf_init(&text, TABLE_FILE_MAX);
	error = stat(path, &st) == -1 ? PK_ESYS : fd_read_file(AT_FDCWD, path, &text);
	if (error != 0) {
		buf_printf(why, "%s: %s", path, error == PK_ESYS ?
		    strerror(errno) : pk_strerror(error));
		buf_fini(&text);
		return error;
	}
	b.text = buf_view(&text);
	final = xasprintf("%s.lmdb", path);
	tmp = xasprintf("%s.lmdb.new", path);
	error = build(&b, tmp, final, &st);
	if (error != 0 && why->len == 0)
		buf_printf(why, "%s: %s", tmp, strerror(errno));
	xfree(tmp);
	xfree(final);
	buf_fini(&text);
	if (error == 0)
		*count_r = b.count;
	return error;
}
