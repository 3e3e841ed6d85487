/* SPDX-License-Identifier: ISC */
/*
 * source_sql.h: users in an SQL database: what pgsql, mysql and sqlite share.
 *
 * A query of the administrator has %u (user@domain), %n (user) and %d
 * (domain). Each becomes a bound parameter, also within quotes that he wrote
 * around it ('%u'), and as a part of a literal ('%n@example.com'): what a
 * client sends never is a part of the query's text (A12).
 */
#ifndef PK_AUTHD_SOURCE_SQL_H
#define PK_AUTHD_SOURCE_SQL_H

#include "authd/source.h"
#include "authd/source_file.h"
#include "authd/source_pool.h"

#define SQL_PARAMS_MAX	16
#define SQL_COLUMNS_MAX	32
/* Rows of an answer; more is a query that forgot its WHERE. */
#define SQL_ROWS_MAX	1000
#define SQL_VALUE_MAX	10000

enum sql_query_kind {
	SQL_PASSWORD, SQL_USER, SQL_DOMAIN, SQL_ALIAS, SQL_QUOTA, SQL_LOGINS, SQL_KINDS
};

struct sql_query {
	char		*text;			/* with $1 or ?; NULL: not configured */
	char		 params[SQL_PARAMS_MAX];	/* 'u', 'n', 'd' */
	unsigned	 nparams;
	enum sql_query_kind kind;
};

struct source_sql {
	struct source	 base;
	const struct sql_driver *driver;
	struct source_file *file;
	struct source_pool *pool;
	char		*name;			/* "pgsql:/path", for the log */
	struct sql_query queries[SQL_KINDS];
	uint64_t	 timeout_ms;
	const char	*default_scheme;
};

/* One row; a value may be NULL. False: no more of them are wanted. */
typedef bool (*sql_row_fn)(void *arg, unsigned n, const char *const *names,
	    const struct view *values);

struct sql_driver {
	const char	*name;
	const char	*const *names;		/* parameters of its file */
	bool		 numbered;		/* $1, $2; else ? */
	bool		 concat;		/* CONCAT(a, b); else a || b */
	/* A connection, or NULL with why: within the deadline. */
	void		*(*connect)(struct source_sql *s, uint64_t deadline_ms, struct buf *why);
	void		(*disconnect)(void *conn);
	/*
	 * 0; PK_ETEMP: the query is at fault, or its data; PK_EPEER: the connection
	 * is of no more use. why: for the log.
	 */
	int		(*run)(void *conn, const struct sql_query *q, const char *const *params,
			    uint64_t deadline_ms, sql_row_fn row, void *arg, struct buf *why);
};

/* What every file has: for `names`. */
#define SQL_NAMES							\
	"hosts", "user", "password", "dbname", "default_password_scheme",	\
	"password_query", "user_query", "domain_query", "alias_query",	\
	"quota_query", "logins_query"

struct source *sql_open(const struct sql_driver *d, const struct conf *conf, const char *arg,
	    struct buf *why);
void	sql_close(struct source *s);
int	sql_find(struct source *s, struct view login, struct source_user *u);
int	sql_map(struct source *s, enum source_map map, struct view key, struct buf *value_r);

/* Text of a query to that with parameters. PK_ESYNTAX with why. For tests too. */
int	sql_query_parse(const struct sql_driver *d, struct view text, struct sql_query *q,
	    struct buf *why);
void	sql_query_fini(struct sql_query *q);

#endif
