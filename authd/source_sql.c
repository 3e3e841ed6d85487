/* SPDX-License-Identifier: ISC */
/*
 * source_sql.c: users in an SQL database, without the database.
 *
 * find and map run in authd's query threads, several at once, each with a
 * connection of its own. Names come from clients and reach the database as
 * parameters alone; its answers are checked as a stranger's.
 */
#include "authd/source_sql.h"

#include <stdatomic.h>
#include <string.h>

#include "authd/source_row.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

static const char *const query_names[SQL_KINDS] = {
	"password_query", "user_query", "domain_query", "alias_query", "quota_query",
	"logins_query",
};

/* A query that fails is the administrator's matter, not to be said at each login. */
#define SAY_MS	10000
static _Atomic uint64_t said_ms;

/* ---- opening ---- */

static int
read_queries(struct source_sql *s, struct buf *why)
{
	const char *text;
	struct buf words;
	int k, rc = 0;

	buf_init(&words, 500);
	for (k = 0; k < SQL_KINDS && rc == 0; k++) {
		text = source_file_get(s->file, query_names[k]);
		s->queries[k].kind = (enum sql_query_kind)k;
		if (text[0] == '\0')
			continue;
		rc = sql_query_parse(s->driver, view_str(text), &s->queries[k], &words);
		if (rc != 0)
			buf_printf(why, "%s: %s: %s", source_file_path(s->file), query_names[k],
			    buf_cstr(&words));
	}
	buf_fini(&words);
	return rc;
}

struct source *
sql_open(const struct sql_driver *d, const struct conf *conf, const char *arg, struct buf *why)
{
	struct source_sql *s;
	struct source_file *f = source_file_read(arg, d->names, why);

	if (f == NULL)
		return NULL;
	s = XNEW(struct source_sql);
	s->driver = d;
	s->file = f;
	s->name = xasprintf("%s:%s", d->name, arg);
	s->timeout_ms = (uint64_t)conf->auth_source_timeout;
	s->default_scheme = source_file_get(f, "default_password_scheme");
	s->pool = source_pool_new(s->name, (unsigned)conf->auth_source_connections, d->disconnect);
	if (read_queries(s, why) != 0) {
		sql_close(&s->base);
		return NULL;
	}
	return &s->base;
}

void
sql_close(struct source *base)
{
	struct source_sql *s = (struct source_sql *)base;
	int k;

	source_pool_free(&s->pool);
	for (k = 0; k < SQL_KINDS; k++)
		sql_query_fini(&s->queries[k]);
	source_file_free(&s->file);
	xfree(s->name);
	xfree(s);
}

/* ---- asking ---- */

static void
say(const struct source_sql *s, const char *query, const char *why)
{
	uint64_t now = clock_mono_ms(), last = atomic_load(&said_ms);

	if (last == 0 || now - last >= SAY_MS) {
		atomic_store(&said_ms, now);
		log_error("%s: %s: %s", s->name, query, why);
	}
}

/* One try: PK_EPEER if it was an idle connection that had gone meanwhile. */
static int
try_once(struct source_sql *s, const struct sql_query *q, const char *const *params,
    uint64_t deadline_ms, sql_row_fn row, void *arg)
{
	void *conn = NULL;
	bool idle;
	struct buf why;
	int rc;

	if (source_pool_take(s->pool, deadline_ms, &conn) != 0)
		return PK_ETEMP;
	buf_init(&why, 1000);
	idle = conn != NULL;
	if (!idle)
		conn = s->driver->connect(s, deadline_ms, &why);
	if (conn == NULL) {
		source_pool_give(s->pool, NULL, SOURCE_POOL_BROKEN, buf_cstr(&why));
		rc = PK_ETEMP;
	} else {
		rc = s->driver->run(conn, q, params, deadline_ms, row, arg, &why);
		if (rc == PK_ETEMP)
			say(s, query_names[q->kind], buf_cstr(&why));
		if (rc == PK_EPEER && idle && source_time_left(deadline_ms) > 0) {
			source_pool_give(s->pool, conn, SOURCE_POOL_DROP, NULL);
		} else {
			source_pool_give(s->pool, conn, rc == PK_EPEER ? SOURCE_POOL_BROKEN :
			    SOURCE_POOL_GOOD, buf_cstr(&why));
			rc = rc == 0 ? 0 : PK_ETEMP;
		}
	}
	buf_fini(&why);
	return rc;
}

struct answer {
	struct source_sql *s;
	unsigned	 rows;
	int		 error;
	struct source_user *user;	/* of a password query */
	struct buf	*value;		/* of the others */
};

static int
ask(struct source_sql *s, enum sql_query_kind kind, struct view key, sql_row_fn row,
    struct answer *a)
{
	const struct sql_query *q = &s->queries[kind];
	uint64_t deadline = clock_mono_ms() + s->timeout_ms;
	const char *params[SQL_PARAMS_MAX];
	char *user, *domain, *whole;
	unsigned i;
	int rc;

	if (q->text == NULL || !source_key_is_fit(key))
		return PK_ENOENT;
	source_key_split(key, &user, &domain);
	whole = view_dup(key);
	for (i = 0; i < q->nparams; i++)
		params[i] = q->params[i] == 'u' ? whole : q->params[i] == 'n' ? user : domain;
	a->s = s;
	rc = try_once(s, q, params, deadline, row, a);
	/* The server was restarted: all idle ones are like that, at most. */
	for (i = 0; rc == PK_EPEER && i < 65 && a->rows == 0; i++)
		rc = try_once(s, q, params, deadline, row, a);
	xfree(user);
	xfree(domain);
	xfree(whole);
	if (rc == 0 && a->error != 0)
		say(s, query_names[kind], "a value has not the form it should have");
	return rc != 0 ? PK_ETEMP : a->error != 0 ? PK_ETEMP : a->rows == 0 ? PK_ENOENT : 0;
}

static bool
user_row(void *arg, unsigned n, const char *const *names, const struct view *values)
{
	struct answer *a = arg;
	unsigned i;

	if (a->rows++ > 0)
		return false;
	for (i = 0; i < n && a->error == 0; i++)
		if (values[i].p != NULL)
			a->error = source_row_set(a->user, view_str(names[i]), values[i],
			    a->s->default_scheme);
	return true;
}

int
sql_find(struct source *base, struct view login, struct source_user *u)
{
	struct source_sql *s = (struct source_sql *)base;
	struct answer a = { .user = u };
	int rc;

	rc = ask(s, SQL_PASSWORD, login, user_row, &a);
	if (rc == 0 && a.rows > 1) {
		/* Which of them it is cannot be told: nobody gets in. */
		say(s, "password_query", "more than one row for a login");
		source_user_fini(u);
		source_user_init(u);
		return PK_ENOENT;
	}
	if (rc == 0)
		source_row_end(u, login);
	return rc;
}

static bool
value_row(void *arg, unsigned n, const char *const *names, const struct view *values)
{
	struct answer *a = arg;

	(void)names;
	a->rows++;
	if (n > 0 && values[0].p != NULL)
		source_put_value(a->value, values[0]);
	return buf_error(a->value) == 0;
}

int
sql_map(struct source *base, enum source_map map, struct view key, struct buf *value_r)
{
	static const enum sql_query_kind kinds[SOURCE_MAPS] = {
		[SOURCE_MAP_DOMAINS] = SQL_DOMAIN, [SOURCE_MAP_USERS] = SQL_USER,
		[SOURCE_MAP_ALIASES] = SQL_ALIAS, [SOURCE_MAP_QUOTAS] = SQL_QUOTA,
		[SOURCE_MAP_LOGINS] = SQL_LOGINS,
	};
	struct source_sql *s = (struct source_sql *)base;
	struct answer a = { 0 };
	struct buf value;
	int rc;

	/* Only domains are asked for without an @. */
	if (map != SOURCE_MAP_DOMAINS && view_find(key, '@') < 0)
		return PK_ENOENT;
	buf_init(&value, SQL_VALUE_MAX);
	a.value = &value;
	rc = ask(s, kinds[map], key, value_row, &a);
	if (rc == 0 && buf_error(&value) != 0)
		rc = PK_ETEMP;
	if (rc == 0 && map == SOURCE_MAP_DOMAINS)
		buf_put_str(value_r, "OK");
	else if (rc == 0 && map == SOURCE_MAP_USERS && value.len == 0)
		source_put_mailbox(value_r, key);
	else if (rc == 0 && value.len == 0)
		rc = PK_ENOENT;
	else if (rc == 0)
		rc = buf_put_view(value_r, buf_view(&value)) == 0 ? 0 : PK_ETEMP;
	buf_fini(&value);
	return rc;
}
