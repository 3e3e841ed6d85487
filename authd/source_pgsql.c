/* SPDX-License-Identifier: ISC */
/*
 * source_pgsql.c: users in PostgreSQL, by libpq.
 *
 * Runs in authd's query threads. libpq is used without blocking, so that one
 * deadline holds over a server that sends a byte a second. Parameters travel
 * beside the query (PQsendQueryParams). With `tls = verify` the server's
 * certificate is checked before the password is sent (A20).
 */
#include <libpq-fe.h>
#include <poll.h>
#include <string.h>

#include "authd/source_impl.h"
#include "authd/source_sql.h"
#include "base/error.h"
#include "base/mem.h"

#define CA_FILE_DEFAULT	"/etc/ssl/certs/ca-certificates.crt"

static const char *const names[] = { SQL_NAMES, "tls", "tls_ca_file", NULL };

/* libpq's words have several lines. */
static void
put_words(struct buf *why, const char *words)
{
	struct view v = view_str(words), line;
	bool first = true;

	while (view_next(&v, "\r\n", &line)) {
		buf_printf(why, "%s%.*s", first ? "" : " ", VIEW_ARG(view_trim(line)));
		first = false;
	}
}

static int
establish(PGconn *conn, uint64_t deadline_ms)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (state != PGRES_POLLING_OK) {
		if (state == PGRES_POLLING_FAILED || PQsocket(conn) < 0)
			return PK_EPEER;
		if (source_wait(PQsocket(conn), state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
		    deadline_ms) == 0)
			return PK_ETIMEOUT;
		state = PQconnectPoll(conn);
	}
	return 0;
}

static PGconn *
start(struct source_sql *s, const char *host, const char *port, enum source_tls tls)
{
	static const char *const modes[] = { "disable", "require", "verify-full" };
	const char *ca = source_file_get(s->file, "tls_ca_file");
	const struct {
		const char *name, *value;
	} pairs[] = {
		{ "host", host }, { "port", port },
		{ "user", source_file_get(s->file, "user") },
		{ "password", source_file_get(s->file, "password") },
		{ "dbname", source_file_get(s->file, "dbname") },
		{ "sslmode", modes[tls] },
		/* With it `require` would verify too; and its default is in a home. */
		{ "sslrootcert", tls != SOURCE_TLS_VERIFY ? "/nonexistent" :
		    ca[0] != '\0' ? ca : CA_FILE_DEFAULT },
		{ "sslcert", "/nonexistent" }, { "sslkey", "/nonexistent" },
		{ "sslcrl", "/nonexistent" }, { "sslcrldir", "" },
		{ "gssencmode", "disable" }, { "passfile", "/nonexistent" },
		{ "client_encoding", "UTF8" }, { "application_name", "postkeep" },
	};
	const char *keys[NELEMS(pairs) + 1], *values[NELEMS(pairs) + 1];
	size_t i;

	for (i = 0; i < NELEMS(pairs); i++) {
		keys[i] = pairs[i].name;
		values[i] = pairs[i].value;
	}
	keys[i] = values[i] = NULL;
	return PQconnectStartParams(keys, values, 0);
}

static PGconn *
connect_host(struct source_sql *s, struct view item, uint64_t deadline_ms, struct buf *why)
{
	enum source_tls tls;
	PGconn *conn = NULL;
	char *host, *port;
	int rc;

	source_host_split(item, &host, &port);
	if (source_file_tls(s->file, host, &tls, why) == 0) {
		conn = start(s, host, port, tls);
		rc = conn == NULL || PQstatus(conn) == CONNECTION_BAD ? PK_EPEER :
		    establish(conn, deadline_ms);
		if (rc != 0) {
			if (rc == PK_ETIMEOUT)
				buf_printf(why, "%s does not answer in time", host);
			else
				put_words(why, conn != NULL ? PQerrorMessage(conn) : "no memory");
			PQfinish(conn);
			conn = NULL;
		} else {
			PQsetnonblocking(conn, 1);
		}
	}
	xfree(host);
	xfree(port);
	return conn;
}

static void *
pgsql_connect(struct source_sql *s, uint64_t deadline_ms, struct buf *why)
{
	struct view list = view_str(source_file_get(s->file, "hosts")), item;
	PGconn *conn = NULL;

	if (list.len == 0)
		list = VIEW("/var/run/postgresql");
	while (conn == NULL && source_time_left(deadline_ms) > 0 && conf_list_next(&list, &item)) {
		buf_reset(why);
		conn = connect_host(s, item, deadline_ms, why);
	}
	return conn;
}

static void
pgsql_disconnect(void *conn)
{
	PQfinish(conn);
}

/* ---- a query ---- */

static int
send_all(PGconn *conn, uint64_t deadline_ms)
{
	int rc;

	while ((rc = PQflush(conn)) > 0)
		if (source_wait(PQsocket(conn), POLLIN | POLLOUT, deadline_ms) == 0 ||
		    PQconsumeInput(conn) == 0)
			return PK_EPEER;
	return rc == 0 ? 0 : PK_EPEER;
}

/* NULL in *result_r: that was the last. */
static int
next_result(PGconn *conn, uint64_t deadline_ms, PGresult **result_r)
{
	while (PQisBusy(conn))
		if (source_wait(PQsocket(conn), POLLIN, deadline_ms) == 0 ||
		    PQconsumeInput(conn) == 0)
			return PK_EPEER;
	*result_r = PQgetResult(conn);
	return 0;
}

static bool
give_row(PGresult *r, sql_row_fn row, void *arg)
{
	const char *column[SQL_COLUMNS_MAX];
	struct view values[SQL_COLUMNS_MAX];
	int i, n = PQnfields(r);

	if (n > SQL_COLUMNS_MAX)
		n = SQL_COLUMNS_MAX;
	for (i = 0; i < n; i++) {
		column[i] = PQfname(r, i);
		values[i] = PQgetisnull(r, 0, i) ? VIEW_NONE :
		    view_of(PQgetvalue(r, 0, i), (size_t)PQgetlength(r, 0, i));
	}
	return row(arg, (unsigned)n, column, values);
}

static int
read_rows(PGconn *conn, uint64_t deadline_ms, sql_row_fn row, void *arg, struct buf *why)
{
	unsigned rows = 0;
	PGresult *r;
	int rc = 0;

	while (rc != PK_EPEER) {
		if (next_result(conn, deadline_ms, &r) != 0)
			return PK_EPEER;
		if (r == NULL)
			return rc;
		switch (PQresultStatus(r)) {
		case PGRES_SINGLE_TUPLE:
			/* The rest would have to be read through: a new connection is cheaper. */
			if (++rows > SQL_ROWS_MAX)
				rc = PK_EPEER;
			else
				(void)give_row(r, row, arg);
			break;
		case PGRES_TUPLES_OK:
			break;
		default:
			rc = PQstatus(conn) == CONNECTION_BAD ? PK_EPEER : PK_ETEMP;
			put_words(why, PQresultErrorMessage(r));
			break;
		}
		PQclear(r);
	}
	if (rows > SQL_ROWS_MAX)
		buf_put_str(why, "an answer of more rows than a user has");
	return rc;
}

static int
pgsql_run(void *arg_conn, const struct sql_query *q, const char *const *params,
    uint64_t deadline_ms, sql_row_fn row, void *arg, struct buf *why)
{
	PGconn *conn = arg_conn;
	int rc = PK_EPEER;

	/* An idle one that the server closed meanwhile says so only when it is read. */
	if (PQsendQueryParams(conn, q->text, (int)q->nparams, NULL, params, NULL, NULL, 0) == 1 &&
	    PQsetSingleRowMode(conn) == 1 && send_all(conn, deadline_ms) == 0)
		rc = read_rows(conn, deadline_ms, row, arg, why);
	if (rc == PK_EPEER && why->len == 0) {
		if (source_time_left(deadline_ms) == 0)
			buf_put_str(why, "no answer in time");
		else
			put_words(why, PQerrorMessage(conn));
	}
	return rc;
}

/* ---- the source ---- */

static const struct sql_driver driver = {
	.name = "pgsql",
	.names = names,
	.numbered = true,
	.connect = pgsql_connect,
	.disconnect = pgsql_disconnect,
	.run = pgsql_run,
};

static struct source *
pgsql_open(const struct conf *conf, const char *arg, struct buf *why)
{
	return sql_open(&driver, conf, arg, why);
}

static void
pgsql_needs(const struct conf *conf, const char *arg, struct sandbox_spec *spec)
{
	(void)conf;
	source_file_needs(arg, names, spec);
}

const struct source_type source_type_pgsql = {
	.name = "pgsql",
	.blocks = true,
	.open = pgsql_open,
	.close = sql_close,
	.find = sql_find,
	.map = sql_map,
	.needs = pgsql_needs,
};
