/* SPDX-License-Identifier: ISC */
/*
 * table_simple.c: tables that need no file: inline, static, fail, unionmap.
 *
 * Runs in lookupd. Their text is the configuration's.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "table/table.h"
#include "table/table_impl.h"

/* ---- static ---- */

static int
static_load(struct view name, void **data_r, struct buf *why)
{
	name = table_unbrace(name);
	if (name.len == 0) {
		buf_put_str(why, "static: has no value: write static:value");
		return PK_ESYNTAX;
	}
	*data_r = view_dup(name);
	return 0;
}

static int
static_get(void *data, struct view key, struct buf *value_r)
{
	(void)key;
	buf_put_str(value_r, data);
	return 0;
}

const struct table_type table_type_static = {
	.name = "static",
	.pattern = true,
	.fold = true,
	.load_name = static_load,
	.get = static_get,
	.close = xfree,
};

/* ---- fail ---- */

static int
fail_load(struct view name, void **data_r, struct buf *why)
{
	(void)why;
	*data_r = view_dup(name);
	return 0;
}

static int
fail_get(void *data, struct view key, struct buf *value_r)
{
	(void)value_r;
	log_warn("fail:%s: look-up of \"%.*s\" fails, as configured",
	    (const char *)data, VIEW_ARG(key));
	return PK_ETEMP;
}

const struct table_type table_type_fail = {
	.name = "fail",
	.pattern = true,
	.fold = true,
	.load_name = fail_load,
	.get = fail_get,
	.close = xfree,
};

/* ---- inline ---- */

static int
inline_add(struct map *m, struct view item, struct buf *why)
{
	struct view entry = table_unbrace(item);
	ptrdiff_t eq = view_find(entry, '=');
	struct view key, value;
	char *folded;
	void *old;

	key = view_trim(view_head(entry, eq < 0 ? 0 : (size_t)eq));
	value = view_trim(view_from(entry, eq < 0 ? entry.len : (size_t)eq + 1));
	if (key.len == 0 || value.len == 0) {
		buf_printf(why, "inline: \"%.*s\": write key=value, or"
		    " { key = value with blanks }", VIEW_ARG(item));
		return PK_ESYNTAX;
	}
	folded = view_dup_lower(key);
	old = map_put(m, view_str(folded), view_dup(value));
	if (old != NULL)
		log_warn("inline: \"%s\" stands there twice, the last one counts", folded);
	xfree(old);
	xfree(folded);
	return 0;
}

static int
inline_load(struct view name, void **data_r, struct buf *why)
{
	struct map *m;
	struct view item;
	int error = 0;

	name = view_trim(name);
	if (name.len < 2 || name.p[0] != '{' || name.p[name.len - 1] != '}') {
		buf_put_str(why, "inline: write inline:{key=value, ...}");
		return PK_ESYNTAX;
	}
	name = table_unbrace(name);
	m = map_new();
	while (error == 0 && conf_list_next(&name, &item))
		error = inline_add(m, item, why);
	if (error != 0) {
		map_free(&m, xfree);
		return error;
	}
	*data_r = m;
	return 0;
}

const struct table_type table_type_inline = {
	.name = "inline",
	.fold = true,
	.load_name = inline_load,
	.get = table_map_get,
	.count = table_map_count,
	.close = table_map_free,
};

/* ---- unionmap ---- */

#define UNION_MAX	32

struct unionmap {
	struct table	*tables[UNION_MAX];
	size_t		 count;
};

static unsigned union_nesting;

static void
union_free(void *data)
{
	struct unionmap *u = data;
	size_t i;

	for (i = 0; i < u->count; i++)
		table_close(&u->tables[i]);
	xfree(u);
}

static int
union_load(struct view name, void **data_r, struct buf *why)
{
	struct unionmap *u = XNEW(struct unionmap);
	struct view item;
	int error = 0;

	name = table_unbrace(name);
	if (++union_nesting > TABLE_NESTING_MAX)
		error = PK_ELIMIT;
	while (error == 0 && conf_list_next(&name, &item)) {
		if (u->count == UNION_MAX) {
			error = PK_ELIMIT;
			break;
		}
		error = table_open(item, &u->tables[u->count], why);
		if (error == 0)
			u->count++;
	}
	union_nesting--;
	if (error == PK_ELIMIT)
		buf_put_str(why, "unionmap: too many tables, or too deep");
	if (error == 0 && u->count == 0) {
		buf_put_str(why, "unionmap: write unionmap:{type:name, ...}");
		error = PK_ESYNTAX;
	}
	if (error != 0) {
		union_free(u);
		return error;
	}
	*data_r = u;
	return 0;
}

static int
union_get(void *data, struct view key, struct buf *value_r)
{
	struct unionmap *u = data;
	bool found = false;
	size_t i, mark;
	int error;

	for (i = 0; i < u->count; i++) {
		mark = value_r->len;
		if (found)
			buf_put_char(value_r, ',');
		error = table_get(u->tables[i], key, value_r);
		if (error == PK_ENOENT)
			buf_truncate(value_r, mark);
		else if (error != 0)
			return error;
		else
			found = true;
	}
	return found ? 0 : PK_ENOENT;
}

const struct table_type table_type_unionmap = {
	.name = "unionmap",
	/* Its tables fold for themselves: one may be a pattern. */
	.fold = false,
	.load_name = union_load,
	.get = union_get,
	.close = union_free,
};
