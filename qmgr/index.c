/* SPDX-License-Identifier: ISC */
/*
 * index.c: the LMDB environment of the queue.
 *
 * Run by qmgr: written in the checkpoint thread, read in the loop (MDB_NOTLS).
 * Every commit is synced: without that a power cut may leave a file that LMDB
 * itself cannot read. The index is derived, so a damaged one is no loss: the
 * caller moves it aside and builds another from segments and journal.
 */
#include "qmgr/index.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* Address space, not disk: the file is sparse and grows as needed. */
#define MAP_BYTES	(64ULL << 30)

struct index {
	MDB_env	*env;
	MDB_dbi	 dbi[INDEX_TABLES];
	MDB_txn	*reader;
	bool	 reading;
};

static const char *const names[] = { "message", "recipient", "due", "segment", "meta" };

enum op { OP_PUT, OP_DEL, OP_DEL_RECIPIENTS };

struct op_head {
	uint8_t		op, table;
	uint16_t	key_bytes;
	uint32_t	value_bytes;
};

static int
open_tables(struct index *ix)
{
	MDB_txn *txn;
	MDB_val key, value;
	uint32_t version = INDEX_VERSION;
	int i, rc;

	if ((rc = mdb_txn_begin(ix->env, NULL, 0, &txn)) != 0)
		return rc;
	for (i = 0; i < INDEX_TABLES; i++)
		if ((rc = mdb_dbi_open(txn, names[i], MDB_CREATE, &ix->dbi[i])) != 0)
			goto fail;
	key = (MDB_val){ 7, (void *)(uintptr_t)"version" };
	rc = mdb_get(txn, ix->dbi[INDEX_META], &key, &value);
	if (rc == MDB_NOTFOUND) {
		value = (MDB_val){ sizeof(version), &version };
		rc = mdb_put(txn, ix->dbi[INDEX_META], &key, &value, 0);
	} else if (rc == 0 && (value.mv_size != sizeof(version) ||
	    memcmp(value.mv_data, &version, sizeof(version)) != 0)) {
		rc = MDB_VERSION_MISMATCH;
	}
	if (rc != 0)
		goto fail;
	return mdb_txn_commit(txn);
fail:
	mdb_txn_abort(txn);
	return rc;
}

int
index_open(const char *path, struct index **ix_r)
{
	struct index *ix = XNEW(struct index);
	int rc;

	rc = mdb_env_create(&ix->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(ix->env, MAP_BYTES);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(ix->env, INDEX_TABLES);
	if (rc == 0)
		rc = mdb_env_open(ix->env, path, MDB_NOTLS, 0600);
	if (rc == 0)
		rc = open_tables(ix);
	if (rc == 0)
		rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &ix->reader);
	if (rc != 0) {
		log_warn("queue/index: %s", mdb_strerror(rc));
		if (ix->env != NULL)
			mdb_env_close(ix->env);
		xfree(ix);
		errno = rc > 0 ? rc : EINVAL;
		return rc > 0 && rc != EINVAL ? PK_ESYS : PK_EFORMAT;
	}
	mdb_txn_reset(ix->reader);
	*ix_r = ix;
	return 0;
}

void
index_close(struct index **ixp)
{
	struct index *ix = *ixp;

	if (ix == NULL)
		return;
	*ixp = NULL;
	mdb_txn_abort(ix->reader);
	mdb_env_close(ix->env);
	xfree(ix);
}

/* ---- a checkpoint ---- */

static void
add_op(struct buf *batch, enum op op, enum index_table t, struct view key, struct view value)
{
	struct op_head h = {
		.op = (uint8_t)op, .table = (uint8_t)t,
		.key_bytes = (uint16_t)key.len, .value_bytes = (uint32_t)value.len,
	};

	buf_put(batch, &h, sizeof(h));
	buf_put_view(batch, key);
	buf_put_view(batch, value);
}

void
index_put(struct buf *batch, enum index_table t, struct view key, struct view value)
{
	add_op(batch, OP_PUT, t, key, value);
}

void
index_del(struct buf *batch, enum index_table t, struct view key)
{
	add_op(batch, OP_DEL, t, key, VIEW_NONE);
}

void
index_del_recipients(struct buf *batch, uint64_t id)
{
	char key[8];

	index_be64(key, id);
	add_op(batch, OP_DEL_RECIPIENTS, INDEX_RECIPIENT, view_of(key, sizeof(key)), VIEW_NONE);
}

static int
del_prefix(MDB_txn *txn, MDB_dbi dbi, struct view prefix)
{
	MDB_cursor *c;
	MDB_val key = { prefix.len, (void *)(uintptr_t)prefix.p }, value;
	int rc;

	if ((rc = mdb_cursor_open(txn, dbi, &c)) != 0)
		return rc;
	rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && key.mv_size >= prefix.len &&
	    memcmp(key.mv_data, prefix.p, prefix.len) == 0) {
		if ((rc = mdb_cursor_del(c, 0)) != 0)
			break;
		rc = mdb_cursor_get(c, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
apply_op(struct index *ix, MDB_txn *txn, const struct op_head *h, struct view k, struct view v)
{
	MDB_val key = { k.len, (void *)(uintptr_t)k.p }, value = { v.len, (void *)(uintptr_t)v.p };
	int rc;

	switch (h->op) {
	case OP_PUT:
		return mdb_put(txn, ix->dbi[h->table], &key, &value, 0);
	case OP_DEL:
		rc = mdb_del(txn, ix->dbi[h->table], &key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	default:
		return del_prefix(txn, ix->dbi[h->table], k);
	}
}

int
index_apply(struct index *ix, struct view batch)
{
	struct op_head h;
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(ix->env, NULL, 0, &txn);
	if (rc != 0)
		goto out;
	while (rc == 0 && batch.len > 0) {
		memcpy(&h, batch.p, sizeof(h));
		batch = view_from(batch, sizeof(h));
		rc = apply_op(ix, txn, &h, view_head(batch, h.key_bytes),
		    view_head(view_from(batch, h.key_bytes), h.value_bytes));
		batch = view_from(batch, (size_t)h.key_bytes + h.value_bytes);
	}
	if (rc != 0)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
out:
	if (rc == 0)
		return 0;
	log_error("queue/index: checkpoint: %s", mdb_strerror(rc));
	if (rc == MDB_PANIC)
		return PK_EFORMAT;
	return rc == ENOSPC || rc == MDB_MAP_FULL ? PK_ENOSPC : PK_EIO;
}

/* ---- reading ---- */

/*
 * After MDB_PANIC (a write to its first pages failed) LMDB lets nobody use
 * the environment but a new process. The journal has everything.
 */
static void
read_failed(int rc)
{
	if (rc == MDB_PANIC)
		log_fatal("queue/index cannot be used by this process any more");
	log_error("queue/index: read: %s", mdb_strerror(rc));
}

static bool
reading(struct index *ix)
{
	int rc;

	if (ix->reading)
		return true;
	if ((rc = mdb_txn_renew(ix->reader)) != 0) {
		read_failed(rc);
		return false;
	}
	ix->reading = true;
	return true;
}

void
index_rest(struct index *ix)
{
	if (ix->reading)
		mdb_txn_reset(ix->reader);
	ix->reading = false;
}

int
index_get(struct index *ix, enum index_table t, struct view k, struct view *value_r)
{
	MDB_val key = { k.len, (void *)(uintptr_t)k.p }, value;
	int rc;

	if (!reading(ix))
		return PK_EFORMAT;
	rc = mdb_get(ix->reader, ix->dbi[t], &key, &value);
	if (rc == MDB_NOTFOUND)
		return PK_ENOENT;
	if (rc != 0) {
		read_failed(rc);
		return PK_EFORMAT;
	}
	*value_r = view_of(value.mv_data, value.mv_size);
	return 0;
}

bool
index_walk(struct index *ix, enum index_table t, struct view from,
    bool (*fn)(void *arg, struct view key, struct view value), void *arg)
{
	MDB_cursor *c;
	MDB_val key = { from.len, (void *)(uintptr_t)from.p }, value;
	bool stopped = false;
	int rc;

	if (!reading(ix) || mdb_cursor_open(ix->reader, ix->dbi[t], &c) != 0)
		return false;
	rc = mdb_cursor_get(c, &key, &value, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (rc == 0 && !stopped) {
		stopped = !fn(arg, view_of(key.mv_data, key.mv_size),
		    view_of(value.mv_data, value.mv_size));
		if (!stopped)
			rc = mdb_cursor_get(c, &key, &value, MDB_NEXT);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		read_failed(rc);
	mdb_cursor_close(c);
	return stopped;
}

uint64_t
index_rows(struct index *ix, enum index_table t)
{
	MDB_stat st;

	if (!reading(ix) || mdb_stat(ix->reader, ix->dbi[t], &st) != 0)
		return 0;
	return st.ms_entries;
}
