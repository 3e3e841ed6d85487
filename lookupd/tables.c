/* SPDX-License-Identifier: ISC */
/*
 * tables.c: which tables there are.
 *
 * Runs in lookupd. Only what main.cf names is ever opened: smtpd may send the
 * name of a table with its question, and smtpd is the process that strangers
 * reach first.
 */
#include "lookupd/tables.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/fd.h"
#include "table/table.h"

#define RETRY_MS	1000
#define NESTING_MAX	4
#define CONF_TEXT_MAX	(16u << 20)

struct entry {
	struct table	*table;		/* NULL: could not be opened */
	char		*error;
	uint64_t	 retry_ms;
	uint64_t	 lookups;
	bool		 outside;	/* another process has it: no table of ours */
};

struct tables {
	struct map	*entries;	/* by spec */
	tables_outside_fn outside_get;
	bool		(*outside_pending)(const void *arg);
	void		*outside_arg;
};

/* ---- what the configuration names ---- */

struct scan {
	void	(*spec)(struct view spec, void *arg);
	/* If set: called in place of spec where a value can be nothing but a table. */
	void	(*table)(struct view spec, void *arg);
	void	(*file)(const char *path, void *arg);
	void	*arg;
};

static void
scan_value(const struct scan *s, struct view value, unsigned depth)
{
	struct view item;
	char *path;

	while (conf_list_next(&value, &item)) {
		while (item.len > 0 && item.p[0] == '!')
			item = view_from(item, 1);
		if (item.len > 1 && item.p[0] == '{' && depth < NESTING_MAX) {
			scan_value(s, view_of(item.p + 1, item.len - 2), depth + 1);
		} else if (table_is_spec(item)) {
			if (s->spec != NULL)
				s->spec(item, s->arg);
			else
				table_spec_files(item, s->file, s->arg);
		} else if (item.len > 1 && item.p[0] == '/' && s->file != NULL) {
			path = view_dup(item);
			s->file(path, s->arg);
			xfree(path);
		}
	}
}

/* Parameters whose paths and patterns are others': lookupd has no business there. */
static bool
is_foreign(struct view name)
{
	return view_caseends(name, VIEW("_directory")) ||
	    view_caseends(name, VIEW("_file")) ||
	    view_caseends(name, VIEW("_base")) ||
	    view_caseends(name, VIEW("_tls_CAfile")) ||
	    view_caseends(name, VIEW("_tls_CApath")) ||
	    view_caseends(name, VIEW("_tls_chain_files")) ||
	    view_eq(name, VIEW("tls_server_sni_maps")) ||
	    view_caseends(name, VIEW("_forbidden_commands")) ||
	    view_caseends(name, VIEW("_mechanism_filter")) ||
	    view_eq(name, VIEW("listeners")) ||
	    view_eq(name, VIEW("transports")) ||
	    view_starts(name, VIEW("dns_")) ||
	    view_starts(name, VIEW("auth_")) ||
	    view_starts(name, VIEW("oauth2_"));
}

/* Parameters whose "word:word" is always a table. */
static bool
is_list(struct view name)
{
	return view_caseends(name, VIEW("_maps")) || view_caseends(name, VIEW("_restrictions")) ||
	    view_caseends(name, VIEW("_domains")) || view_eq(name, VIEW("mydestination")) ||
	    view_eq(name, VIEW("mynetworks"));
}

static void
scan_conf(const struct conf *conf, const struct scan *s)
{
	struct scan sure = *s;
	struct view text, line, name;
	struct buf b;
	ptrdiff_t eq;

	if (s->table != NULL)
		sure.spec = s->table;
	buf_init(&b, CONF_TEXT_MAX);
	if (conf_serialise(conf, &b) == 0) {
		text = buf_view(&b);
		while (view_next(&text, "\n", &line)) {
			eq = view_find(line, '=');
			if (eq < 0)
				continue;
			name = view_trim(view_head(line, (size_t)eq));
			if (!is_foreign(name))
				scan_value(is_list(name) ? &sure : s,
				    view_from(line, (size_t)eq + 1), 0);
		}
	}
	buf_fini(&b);
}

void
tables_scan(const struct conf *conf, void (*fn)(struct view spec, void *arg), void *arg)
{
	struct scan s = { .spec = fn, .arg = arg };

	scan_conf(conf, &s);
}

void
tables_scan_files(const struct conf *conf, void (*fn)(const char *path, void *arg), void *arg)
{
	struct scan s = { .file = fn, .arg = arg };

	scan_conf(conf, &s);
}

/* ---- opening ---- */

/* Postfix's others: said at once and not only when they are asked. */
static const char postfix_types[] = ", btree, cdb, dbm, environ, ldap, memcache, mongodb,"
    " mysql, nis, nisplus, pgsql, pipemap, randmap, regexp, sdbm, socketmap, sqlite, tcp";

static bool
is_known_type(struct view spec)
{
	struct buf types;
	struct view list, type, word;
	bool known = false;

	buf_init(&types, 1000);
	table_put_types(&types);
	buf_put_str(&types, postfix_types);
	list = buf_view(&types);
	type = view_head(spec, (size_t)view_find(spec, ':'));
	while (!known && view_next(&list, ", ", &word))
		known = view_eq(word, type);
	buf_fini(&types);
	return known;
}

static int
open_table(struct view spec, struct table **t_r, struct buf *why)
{
	if (!view_starts(spec, VIEW("accounts:")))
		return table_open(spec, t_r, why);
	buf_printf(why, "%.*s: there are accounts:domains, users, aliases, quotas and logins",
	    VIEW_ARG(spec));
	return PK_EUNSUPPORTED;
}

static void
open_entry(struct entry *e, struct view spec)
{
	struct buf why;

	buf_init(&why, 2000);
	if (tables_is_outside(spec)) {
		e->outside = true;
		buf_fini(&why);
		return;
	}
	if (open_table(spec, &e->table, &why) == 0) {
		xfree(e->error);
		e->error = NULL;
	} else if (e->error == NULL || !view_eq(buf_view(&why), view_str(e->error))) {
		/* Said once for each reason, not at every question. */
		xfree(e->error);
		e->error = view_dup(buf_view(&why));
		log_error("table %s; look-ups in it are deferred", e->error);
	}
	e->retry_ms = clock_mono_ms() + RETRY_MS;
	buf_fini(&why);
}

static void
add_table(struct view spec, void *arg)
{
	struct tables *t = arg;
	struct entry *e = map_get(t->entries, spec);

	if (e == NULL) {
		e = XNEW(struct entry);
		map_put(t->entries, spec, e);
	}
	if (e->table == NULL && e->error == NULL && !e->outside)
		open_entry(e, spec);
}

/*
 * A value may look like a table and be none ("smtp:[host]"), so a type that
 * does not exist is said when it is asked, in the error of that look-up.
 */
static void
add_named(struct view spec, void *arg)
{
	struct tables *t = arg;

	if (view_starts(spec, VIEW("proxy:")) || is_known_type(spec))
		add_table(spec, t);
	else if (map_get(t->entries, spec) == NULL)
		map_put(t->entries, spec, XNEW(struct entry));
}

struct tables *
tables_new(const struct conf *conf)
{
	struct tables *t = XNEW(struct tables);
	struct scan s = { .spec = add_named, .table = add_table, .arg = t };

	t->entries = map_new();
	scan_conf(conf, &s);
	return t;
}

static void
entry_free(void *value)
{
	struct entry *e = value;

	table_close(&e->table);
	xfree(e->error);
	xfree(e);
}

void
tables_free(struct tables **t)
{
	if (*t == NULL)
		return;
	map_free(&(*t)->entries, entry_free);
	xfree(*t);
	*t = NULL;
}

/* NULL: another process has it, or it cannot be opened now. */
static struct table *
ready_table(struct entry *e, struct view spec)
{
	if (e == NULL || e->outside)
		return NULL;
	if (e->table == NULL && clock_mono_ms() >= e->retry_ms)
		open_entry(e, spec);
	return e->table;
}

bool
tables_named(const struct tables *t, struct view spec)
{
	return map_get(t->entries, spec) != NULL;
}

int
tables_get(struct tables *t, struct view spec, struct view key, struct buf *value_r)
{
	struct entry *e = map_get(t->entries, spec);
	struct table *table = ready_table(e, spec);

	if (table == NULL && (e == NULL || !e->outside))
		return PK_ETEMP;
	e->lookups++;
	return table != NULL ? table_get(table, key, value_r) :
	    tables_get_outside(t, spec, key, value_r);
}

/* ---- those of other processes ---- */

bool
tables_is_outside(struct view spec)
{
	static const char *const names[] = { "accounts:domains", "accounts:users",
	    "accounts:aliases", "accounts:quotas", "accounts:logins" };
	size_t i;

	if (view_starts(spec, VIEW("proxy:")))
		spec = view_from(spec, sizeof("proxy:") - 1);
	for (i = 0; i < NELEMS(names); i++)
		if (view_eq(spec, view_str(names[i])))
			return true;
	return false;
}

int
tables_get_outside(struct tables *t, struct view spec, struct view key, struct buf *value_r)
{
	if (view_starts(spec, VIEW("proxy:")))
		spec = view_from(spec, sizeof("proxy:") - 1);
	if (t->outside_get == NULL)
		return PK_ETEMP;
	return t->outside_get(t->outside_arg, spec, key, value_r);
}

void
tables_set_outside(struct tables *t, tables_outside_fn get, bool (*pending)(const void *arg),
    void *arg)
{
	t->outside_get = get;
	t->outside_pending = pending;
	t->outside_arg = arg;
}

bool
tables_pending(const struct tables *t)
{
	return t->outside_pending != NULL && t->outside_pending(t->outside_arg);
}

bool
tables_is_pattern(struct tables *t, struct view spec)
{
	const struct table *table = ready_table(map_get(t->entries, spec), spec);

	return table != NULL && table_is_pattern(table);
}

void
tables_each(struct tables *t, void (*fn)(const char *spec, size_t entries,
    const char *error, uint64_t lookups, void *arg), void *arg)
{
	size_t cursor = 0;
	struct view key;
	struct entry *e;
	void *value;
	char *spec;

	while (map_next(t->entries, &cursor, &key, &value)) {
		e = value;
		if (e->table == NULL && e->error == NULL && !e->outside)
			continue;
		spec = view_dup(key);
		fn(spec, e->table != NULL ? table_count(e->table) : 0, e->error,
		    e->lookups, arg);
		xfree(spec);
	}
}

/* ---- for match lists ---- */

static int
source_read(void *arg, const char *path, struct buf *b)
{
	(void)arg;
	return fd_read_file(AT_FDCWD, path, b);
}

static int
source_lookup(void *arg, const char *table, struct view key)
{
	struct buf value;
	int error;

	buf_init(&value, TABLE_VALUE_MAX);
	error = tables_get(arg, view_str(table), key, &value);
	buf_fini(&value);
	return error;
}

static bool
source_partial(void *arg, const char *table)
{
	return !tables_is_pattern(arg, view_str(table));
}

struct match_source
tables_match_source(struct tables *t)
{
	return (struct match_source){ .read_file = source_read,
	    .lookup = source_lookup, .partial = source_partial, .arg = t };
}
