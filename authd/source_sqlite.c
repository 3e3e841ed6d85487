/* SPDX-License-Identifier: ISC */
/*
 * source_sqlite.c: users in an SQLite file, read only.
 *
 * Runs in authd's query threads, a connection each. A query is broken off at
 * its deadline (a progress handler): a statement over a million rows keeps
 * nobody else out. Parameters are bound.
 */
#include <sqlite3.h>
#include <string.h>

#include "authd/source_impl.h"
#include "authd/source_sql.h"
#include "base/error.h"
#include "base/mem.h"

/* Steps of SQLite's machine between two looks at the clock. */
#define STEPS	1000

static const char *const names[] = { SQL_NAMES, NULL };

struct sqlite_conn {
	sqlite3		*db;
	sqlite3_stmt	*prepared[SQL_KINDS];
	uint64_t	 deadline_ms;
};

static void
sqlite_disconnect(void *arg)
{
	struct sqlite_conn *c = arg;
	int k;

	for (k = 0; k < SQL_KINDS; k++)
		sqlite3_finalize(c->prepared[k]);
	sqlite3_close(c->db);
	xfree(c);
}

static int
on_progress(void *arg)
{
	const struct sqlite_conn *c = arg;

	return source_time_left(c->deadline_ms) == 0;
}

static void *
sqlite_connect(struct source_sql *s, uint64_t deadline_ms, struct buf *why)
{
	struct sqlite_conn *c = XNEW(struct sqlite_conn);
	const char *path = source_file_get(s->file, "dbname");

	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK) {
		buf_printf(why, "%s: %s", path,
		    c->db != NULL ? sqlite3_errmsg(c->db) : "no memory");
		sqlite_disconnect(c);
		return NULL;
	}
	sqlite3_busy_timeout(c->db, source_time_left(deadline_ms));
	sqlite3_progress_handler(c->db, STEPS, on_progress, c);
	/* A file may be anybody's: no loaded code, no functions with effects in its schema. */
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, 1 << 20);
	return c;
}

static int
trouble(struct sqlite_conn *c, struct buf *why)
{
	int code = sqlite3_extended_errcode(c->db) & 0xff;

	buf_put_str(why, sqlite3_errmsg(c->db));
	/* The file is gone or damaged: opened anew. */
	return code == SQLITE_CANTOPEN || code == SQLITE_IOERR || code == SQLITE_NOTADB ||
	    code == SQLITE_CORRUPT || code == SQLITE_INTERRUPT || code == SQLITE_READONLY ?
	    PK_EPEER : PK_ETEMP;
}

static int
bind_all(struct sqlite_conn *c, sqlite3_stmt *st, const struct sql_query *q,
    const char *const *params, struct buf *why)
{
	unsigned i;

	if (sqlite3_bind_parameter_count(st) != (int)q->nparams) {
		buf_put_str(why, "the query has parameters of its own");
		return PK_ETEMP;
	}
	for (i = 0; i < q->nparams; i++)
		if (sqlite3_bind_text(st, (int)i + 1, params[i], -1, SQLITE_STATIC) != SQLITE_OK)
			return trouble(c, why);
	return 0;
}

static bool
give_row(sqlite3_stmt *st, sql_row_fn row, void *arg)
{
	const char *column[SQL_COLUMNS_MAX];
	struct view values[SQL_COLUMNS_MAX];
	int i, n = sqlite3_column_count(st);

	if (n > SQL_COLUMNS_MAX)
		n = SQL_COLUMNS_MAX;
	for (i = 0; i < n; i++) {
		column[i] = sqlite3_column_name(st, i);
		values[i] = sqlite3_column_type(st, i) == SQLITE_NULL ? VIEW_NONE :
		    view_of((const char *)sqlite3_column_text(st, i),
		    (size_t)sqlite3_column_bytes(st, i));
	}
	return row(arg, (unsigned)n, column, values);
}

static int
sqlite_run(void *arg_conn, const struct sql_query *q, const char *const *params,
    uint64_t deadline_ms, sql_row_fn row, void *arg, struct buf *why)
{
	struct sqlite_conn *c = arg_conn;
	sqlite3_stmt **st = &c->prepared[q->kind];
	unsigned rows = 0;
	int rc, step;

	c->deadline_ms = deadline_ms;
	if (*st == NULL && sqlite3_prepare_v2(c->db, q->text, -1, st, NULL) != SQLITE_OK)
		return trouble(c, why);
	if (*st == NULL || !sqlite3_stmt_readonly(*st)) {
		buf_put_str(why, "that is no query");
		return PK_ETEMP;
	}
	rc = bind_all(c, *st, q, params, why);
	while (rc == 0 && (step = sqlite3_step(*st)) != SQLITE_DONE) {
		if (step != SQLITE_ROW)
			rc = trouble(c, why);
		else if (!give_row(*st, row, arg) || ++rows >= SQL_ROWS_MAX)
			break;
	}
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
	return rc;
}

static const struct sql_driver driver = {
	.name = "sqlite",
	.names = names,
	.connect = sqlite_connect,
	.disconnect = sqlite_disconnect,
	.run = sqlite_run,
};

static struct source *
sqlite_open(const struct conf *conf, const char *arg, struct buf *why)
{
	return sql_open(&driver, conf, arg, why);
}

/* The folder: beside the file there may be its journal. */
static void
sqlite_needs(const struct conf *conf, const char *arg, struct sandbox_spec *spec)
{
	struct source_file *f;
	const char *path, *slash;
	struct buf why;
	char *dir;

	(void)conf;
	spec->needs |= SANDBOX_FILES_READ | SANDBOX_MMAP_FILE;
	source_need_path(spec, arg);
	buf_init(&why, 2000);
	f = source_file_read(arg, names, &why);
	buf_fini(&why);
	if (f == NULL)
		return;
	path = source_file_get(f, "dbname");
	slash = strrchr(path, '/');
	dir = xstrndup(path, slash != NULL ? (size_t)(slash - path) : 0);
	if (dir[0] != '\0')
		source_need_path(spec, dir);
	xfree(dir);
	source_file_free(&f);
}

const struct source_type source_type_sqlite = {
	.name = "sqlite",
	.blocks = true,
	.open = sqlite_open,
	.close = sql_close,
	.find = sql_find,
	.map = sql_map,
	.needs = sqlite_needs,
};
