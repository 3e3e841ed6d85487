/* SPDX-License-Identifier: ISC */
/*
 * source_mysql.c: users in MySQL or MariaDB, by MariaDB's client library.
 *
 * Runs in authd's query threads. The library's calls without blocking, so that
 * one deadline holds over a server that sends a byte a second. Statements are
 * prepared, parameters bound. LOCAL INFILE is off: a hostile server may ask
 * for no file (A18). With `tls = verify` chain and name of the server's
 * certificate are checked before the password is sent (A20).
 */
#include <mysql.h>
#include <poll.h>
#include <string.h>

#include "authd/source_impl.h"
#include "authd/source_sql.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

#define CA_FILE_DEFAULT	"/etc/ssl/certs/ca-certificates.crt"
#define SOCKET_DEFAULT	"/run/mysqld/mysqld.sock"
/* A server may claim what it likes. */
#define PACKET_MAX	(1UL << 20)
#define VALUE_MAX	4096

static const char *const names[] = { SQL_NAMES, "tls", "tls_ca_file", NULL };

struct mysql_conn {
	MYSQL		*m;
	MYSQL_STMT	*prepared[SQL_KINDS];
};

/* Until the library is done; past the deadline it is told of a timeout, which is an error. */
#define AWAIT(conn, deadline, start, cont)				\
	do {								\
		int want_ = (start);					\
									\
		while (want_ != 0) {					\
			int came_ = wait_for((conn), want_, (deadline)); \
									\
			want_ = (cont);					\
		}							\
	} while (0)

static int
wait_for(MYSQL *m, int want, uint64_t deadline_ms)
{
	short events = (short)(((want & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
	    ((want & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0)), came;
	int result = 0;

	came = source_wait((int)mysql_get_socket(m), events, deadline_ms);
	if (came == 0)
		return MYSQL_WAIT_TIMEOUT;
	if ((came & (POLLIN | POLLHUP | POLLERR)) != 0)
		result |= want & MYSQL_WAIT_READ;
	if ((came & (POLLOUT | POLLHUP | POLLERR)) != 0)
		result |= want & MYSQL_WAIT_WRITE;
	return result;
}

static void
mysql_disconnect(void *arg)
{
	struct mysql_conn *c = arg;
	int k;

	for (k = 0; k < SQL_KINDS; k++)
		if (c->prepared[k] != NULL)
			mysql_stmt_close(c->prepared[k]);
	mysql_close(c->m);
	xfree(c);
}

static void
set_options(MYSQL *m, struct source_sql *s, enum source_tls tls)
{
	const char *ca = source_file_get(s->file, "tls_ca_file");
	unsigned long packet = PACKET_MAX;
	my_bool yes = 1, no = 0;
	unsigned zero = 0;

	mysql_options(m, MYSQL_OPT_NONBLOCK, NULL);
	mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &zero);
	mysql_options(m, MYSQL_OPT_RECONNECT, &no);
	mysql_options(m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options(m, MYSQL_OPT_SSL_ENFORCE, tls != SOURCE_TLS_NONE ? &yes : &no);
	mysql_options(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
	    tls == SOURCE_TLS_VERIFY ? &yes : &no);
	if (tls == SOURCE_TLS_VERIFY)
		mysql_options(m, MYSQL_OPT_SSL_CA, ca[0] != '\0' ? ca : CA_FILE_DEFAULT);
}

static int
connect_host(struct source_sql *s, MYSQL *m, struct view item, uint64_t deadline_ms,
    struct buf *why)
{
	uint64_t port_number = 0;
	enum source_tls tls;
	char *host, *port;
	MYSQL *done = NULL;
	bool path;
	int rc;

	source_host_split(item, &host, &port);
	path = host[0] == '/';
	rc = source_file_tls(s->file, host, &tls, why);
	if (rc == 0 && port[0] != '\0' &&
	    num_parse_u64(view_str(port), 1, 65535, &port_number) != 0) {
		buf_printf(why, "\"%s\" is no port", port);
		rc = PK_ESYNTAX;
	}
	if (rc == 0) {
		set_options(m, s, tls);
		AWAIT(m, deadline_ms, mysql_real_connect_start(&done, m, path ? NULL : host,
		    source_file_get(s->file, "user"), source_file_get(s->file, "password"),
		    source_file_get(s->file, "dbname"), (unsigned)port_number,
		    path ? host : NULL, 0), mysql_real_connect_cont(&done, m, came_));
		if (done == NULL)
			buf_put_str(why, mysql_error(m));
	}
	xfree(host);
	xfree(port);
	return done != NULL ? 0 : PK_EPEER;
}

static void *
mysql_connect_any(struct source_sql *s, uint64_t deadline_ms, struct buf *why)
{
	struct view list = view_str(source_file_get(s->file, "hosts")), item;
	struct mysql_conn *c;
	MYSQL *m;

	if (list.len == 0)
		list = VIEW(SOCKET_DEFAULT);
	while (source_time_left(deadline_ms) > 0 && conf_list_next(&list, &item)) {
		buf_reset(why);
		m = mysql_init(NULL);
		if (m == NULL)
			return NULL;
		if (connect_host(s, m, item, deadline_ms, why) == 0) {
			c = XNEW(struct mysql_conn);
			c->m = m;
			return c;
		}
		mysql_close(m);
	}
	return NULL;
}

/* ---- a query ---- */

/* Of the statement, or of the connection? Client errors (2000 on) are the latter's. */
static int
trouble(MYSQL_STMT *st, uint64_t deadline_ms, struct buf *why)
{
	unsigned code = mysql_stmt_errno(st);

	if (source_time_left(deadline_ms) == 0)
		buf_put_str(why, "no answer in time");
	else
		buf_put_str(why, mysql_stmt_error(st));
	return code >= 2000 || code == 0 || source_time_left(deadline_ms) == 0 ?
	    PK_EPEER : PK_ETEMP;
}

static int
prepare(struct mysql_conn *c, const struct sql_query *q, uint64_t deadline_ms, struct buf *why)
{
	MYSQL_STMT *st = mysql_stmt_init(c->m);
	int failed = 1;

	if (st == NULL)
		return PK_EPEER;
	c->prepared[q->kind] = st;
	AWAIT(c->m, deadline_ms, mysql_stmt_prepare_start(&failed, st, q->text, strlen(q->text)),
	    mysql_stmt_prepare_cont(&failed, st, came_));
	if (failed != 0)
		return trouble(st, deadline_ms, why);
	if (mysql_stmt_param_count(st) != q->nparams) {
		buf_put_str(why, "the query has parameters of its own");
		return PK_ETEMP;
	}
	return 0;
}

static int
execute(struct mysql_conn *c, MYSQL_STMT *st, const struct sql_query *q,
    const char *const *params, uint64_t deadline_ms, struct buf *why)
{
	unsigned long lengths[SQL_PARAMS_MAX];
	MYSQL_BIND binds[SQL_PARAMS_MAX];
	int failed = 1;
	unsigned i;

	memset(binds, 0, sizeof(binds));
	for (i = 0; i < q->nparams; i++) {
		lengths[i] = strlen(params[i]);
		binds[i].buffer_type = MYSQL_TYPE_STRING;
		binds[i].buffer = (void *)(uintptr_t)params[i];
		binds[i].buffer_length = lengths[i];
		binds[i].length = &lengths[i];
	}
	if (q->nparams > 0 && mysql_stmt_bind_param(st, binds) != 0)
		return trouble(st, deadline_ms, why);
	AWAIT(c->m, deadline_ms, mysql_stmt_execute_start(&failed, st),
	    mysql_stmt_execute_cont(&failed, st, came_));
	return failed != 0 ? trouble(st, deadline_ms, why) : 0;
}

struct columns {
	unsigned	 n;
	const char	*names[SQL_COLUMNS_MAX];
	char		 bytes[SQL_COLUMNS_MAX][VALUE_MAX];
	unsigned long	 lengths[SQL_COLUMNS_MAX];
	my_bool		 nulls[SQL_COLUMNS_MAX];
	MYSQL_BIND	 binds[SQL_COLUMNS_MAX];
};

static void
bind_columns(struct columns *k, MYSQL_RES *meta)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(meta);
	unsigned i;

	k->n = mysql_num_fields(meta);
	for (i = 0; i < k->n; i++) {
		k->names[i] = fields[i].name;
		k->binds[i].buffer_type = MYSQL_TYPE_STRING;
		k->binds[i].buffer = k->bytes[i];
		k->binds[i].buffer_length = VALUE_MAX;
		k->binds[i].length = &k->lengths[i];
		k->binds[i].is_null = &k->nulls[i];
	}
}

static bool
give_row(const struct columns *k, sql_row_fn row, void *arg)
{
	struct view values[SQL_COLUMNS_MAX];
	unsigned i;

	for (i = 0; i < k->n; i++)
		values[i] = k->nulls[i] ? VIEW_NONE : view_of(k->bytes[i],
		    k->lengths[i] < VALUE_MAX ? k->lengths[i] : VALUE_MAX);
	return row(arg, k->n, k->names, values);
}

static int
read_rows(struct mysql_conn *c, MYSQL_STMT *st, struct columns *k, uint64_t deadline_ms,
    sql_row_fn row, void *arg, struct buf *why)
{
	unsigned rows = 0;
	int state = 1;

	if (mysql_stmt_bind_result(st, k->binds) != 0)
		return trouble(st, deadline_ms, why);
	for (;;) {
		AWAIT(c->m, deadline_ms, mysql_stmt_fetch_start(&state, st),
		    mysql_stmt_fetch_cont(&state, st, came_));
		if (state == MYSQL_NO_DATA)
			return 0;
		if (state != 0 && state != MYSQL_DATA_TRUNCATED)
			return trouble(st, deadline_ms, why);
		if (state == MYSQL_DATA_TRUNCATED || rows++ >= SQL_ROWS_MAX) {
			buf_put_str(why, "an answer larger than a user's");
			return PK_EPEER;
		}
		/* Read through: what is left would stand before the next answer. */
		(void)give_row(k, row, arg);
	}
}

static int
mysql_run(void *arg_conn, const struct sql_query *q, const char *const *params,
    uint64_t deadline_ms, sql_row_fn row, void *arg, struct buf *why)
{
	struct mysql_conn *c = arg_conn;
	struct columns *k;
	MYSQL_RES *meta;
	MYSQL_STMT *st;
	my_bool failed = 0;
	int rc = 0;

	if (c->prepared[q->kind] == NULL)
		rc = prepare(c, q, deadline_ms, why);
	st = c->prepared[q->kind];
	if (rc == 0)
		rc = execute(c, st, q, params, deadline_ms, why);
	if (rc == 0) {
		meta = mysql_stmt_result_metadata(st);
		if (meta == NULL || mysql_num_fields(meta) > SQL_COLUMNS_MAX) {
			buf_put_str(why, "the query has no columns, or too many");
			rc = PK_EPEER;
		} else {
			k = XNEW(struct columns);
			bind_columns(k, meta);
			rc = read_rows(c, st, k, deadline_ms, row, arg, why);
			xfree_secret(k, sizeof(*k));
		}
		if (meta != NULL)
			mysql_free_result(meta);
		if (rc == 0)
			AWAIT(c->m, deadline_ms, mysql_stmt_free_result_start(&failed, st),
			    mysql_stmt_free_result_cont(&failed, st, came_));
	}
	if (rc == PK_ETEMP && st != NULL) {
		/* The table may be another by then: prepared anew. */
		mysql_stmt_close(st);
		c->prepared[q->kind] = NULL;
	}
	return rc != 0 ? rc : failed ? PK_EPEER : 0;
}

/* ---- the source ---- */

static const struct sql_driver driver = {
	.name = "mysql",
	.names = names,
	.concat = true,
	.connect = mysql_connect_any,
	.disconnect = mysql_disconnect,
	.run = mysql_run,
};

static struct source *
mysql_source_open(const struct conf *conf, const char *arg, struct buf *why)
{
	static bool begun;

	/* Before there are threads. */
	if (!begun && mysql_library_init(0, NULL, NULL) != 0) {
		buf_put_str(why, "the MySQL library cannot be used");
		return NULL;
	}
	begun = true;
	return sql_open(&driver, conf, arg, why);
}

static void
mysql_needs(const struct conf *conf, const char *arg, struct sandbox_spec *spec)
{
	(void)conf;
	source_file_needs(arg, names, spec);
}

const struct source_type source_type_mysql = {
	.name = "mysql",
	.blocks = true,
	.open = mysql_source_open,
	.close = sql_close,
	.find = sql_find,
	.map = sql_map,
	.needs = mysql_needs,
};
