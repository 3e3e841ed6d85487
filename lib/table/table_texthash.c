/* SPDX-License-Identifier: ISC */
/*
 * table_texthash.c: "key blanks value", the whole file in memory.
 *
 * Runs in lookupd. For small tables that change by hand: no build step.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "table/table.h"
#include "table/table_impl.h"

static int
add(struct map *m, struct view key, struct view value, const char *path, unsigned line)
{
	char *folded;

	if (key.len > TABLE_KEY_MAX || value.len > TABLE_VALUE_MAX)
		return PK_ELIMIT;
	folded = view_dup_lower(key);
	key = view_of(folded, key.len);
	if (map_get(m, key) != NULL)
		log_warn("%s, line %u: \"%s\" stands there twice, the first one counts",
		    path, line, folded);
	else
		map_put(m, key, view_dup(value));
	xfree(folded);
	return 0;
}

static int
parse(struct map *m, struct table_lines *l, const char *path, struct buf *why)
{
	struct view key, value;
	struct buf scratch;
	int error;

	buf_init(&scratch, TABLE_KEY_MAX);
	while ((error = table_lines_next(l)) == 0) {
		l->error = "expected: key, blanks, value";
		error = table_split_entry(buf_view(&l->text), &scratch, &key, &value);
		if (error != 0)
			break;
		l->error = "key or value is too long";
		error = add(m, key, value, path, l->line);
		if (error != 0)
			break;
	}
	buf_fini(&scratch);
	if (error == PK_EEND)
		return 0;
	table_put_where(why, path, l->line);
	buf_put_str(why, l->error);
	return error;
}

static int
texthash_load(struct view text, const char *path, void **data_r, struct buf *why)
{
	struct map *m = map_new();
	struct table_lines l;
	int error;

	table_lines_init(&l, text);
	error = parse(m, &l, path, why);
	table_lines_fini(&l);
	if (error != 0) {
		map_free(&m, xfree);
		return error;
	}
	*data_r = m;
	return 0;
}

const struct table_type table_type_texthash = {
	.name = "texthash",
	.suffix = "",
	.fold = true,
	.load_text = texthash_load,
	.get = table_map_get,
	.count = table_map_count,
	.close = table_map_free,
};
