/* SPDX-License-Identifier: ISC */
/*
 * get.c: a configuration back to text, whole, by name, and as a difference.
 *
 * What is written is what is in force: expanded, with the machine's own name
 * filled in, so that a process in an empty chroot reads back the same
 * without asking the system anything.
 */
#include "base/error.h"
#include "base/mem.h"
#include "conf/conf_private.h"

/* The value as a line of main.cf that expands to it: $ becomes $$. */
static void
put_value(struct buf *b, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '$')
			buf_put_char(b, '$');
		buf_put_char(b, *value);
	}
}

static void
put_line(struct buf *b, const char *scope, const char *name, const char *value)
{
	if (scope != NULL) {
		buf_put_str(b, scope);
		buf_put_char(b, '_');
	}
	buf_put_str(b, name);
	buf_put_str(b, " = ");
	put_value(b, value);
	buf_put_char(b, '\n');
}

/* True if the scope's value must be written. */
static bool
overrides(const struct conf_private *p, const struct conf_set *set, size_t row)
{
	if (conf_rows[row].scope == CONF_GLOBAL)
		return false;
	return set->slots[row].raw != NULL ||
	    strcmp(set->slots[row].value, p->global->slots[row].value) != 0;
}

int
conf_serialise(const struct conf *c, struct buf *b)
{
	const struct conf_private *p = c->priv;
	const struct conf_set *set;
	size_t i;

	for (i = 0; i < conf_nrows; i++)
		put_line(b, NULL, conf_rows[i].name, p->global->slots[i].value);
	TAILQ_FOREACH(set, &p->scopes, link)
		for (i = 0; i < conf_nrows; i++)
			if (overrides(p, set, i))
				put_line(b, set->name, conf_rows[i].name, set->slots[i].value);
	return buf_error(b);
}

/* The set and the row that a name means. */
static int
find(const struct conf_private *p, struct view name, const struct conf_set **set_r, size_t *row_r)
{
	const struct conf_set *set = p->global, *scoped;
	ptrdiff_t row = conf_row_find(name);
	struct view scope;
	unsigned kinds;

	if (row < 0 && conf_scope_split(p->global, name, &scope, &kinds, &row) && row >= 0) {
		if (conf_rows[row].scope == CONF_GLOBAL)
			return PK_ENOENT;
		scoped = conf_set_find(p, scope);
		set = scoped != NULL ? scoped : p->global;
	}
	if (row < 0)
		return PK_ENOENT;
	*set_r = set;
	*row_r = (size_t)row;
	return 0;
}

int
conf_get(const struct conf *c, struct view name, bool expanded, struct buf *b)
{
	const struct conf_set *set;
	size_t row;
	int error;

	error = find(c->priv, name, &set, &row);
	if (error != 0)
		return error;
	return buf_put_str(b, expanded ? set->slots[row].value : conf_raw(c->priv, set, row));
}

bool
conf_is_set(const struct conf *c, struct view name)
{
	const struct conf_set *set;
	size_t row;

	if (find(c->priv, name, &set, &row) != 0)
		return false;
	if (conf_row_find(name) < 0 && set == c->priv->global)
		return false;
	return set->slots[row].raw != NULL;
}

typedef void (*diff_fn)(const char *name, const char *old, const char *new,
    enum conf_apply apply, void *arg);

/* a or b is NULL when that side has no such scope: the global set counts. */
static void
diff_scope(const struct conf_private *pa, const struct conf_private *pb,
    const struct conf_set *a, const struct conf_set *b, diff_fn fn, void *arg)
{
	const char *scope = a != NULL ? a->name : b->name, *old, *new;
	char *name;
	size_t i;

	for (i = 0; i < conf_nrows; i++) {
		if (!((a != NULL && overrides(pa, a, i)) || (b != NULL && overrides(pb, b, i))))
			continue;
		old = (a != NULL ? a : pa->global)->slots[i].value;
		new = (b != NULL ? b : pb->global)->slots[i].value;
		if (strcmp(old, new) == 0)
			continue;
		name = xasprintf("%s_%s", scope, conf_rows[i].name);
		fn(name, old, new, conf_rows[i].apply, arg);
		xfree(name);
	}
}

void
conf_diff(const struct conf *a, const struct conf *b,
    void (*fn)(const char *name, const char *old, const char *new, enum conf_apply apply,
    void *arg), void *arg)
{
	const struct conf_private *pa = a->priv, *pb = b->priv;
	const struct conf_set *set;
	const char *old, *new;
	size_t i;

	for (i = 0; i < conf_nrows; i++) {
		old = pa->global->slots[i].value;
		new = pb->global->slots[i].value;
		if (strcmp(old, new) != 0)
			fn(conf_rows[i].name, old, new, conf_rows[i].apply, arg);
	}
	TAILQ_FOREACH(set, &pa->scopes, link)
		diff_scope(pa, pb, set, conf_set_find(pb, view_str(set->name)), fn, arg);
	TAILQ_FOREACH(set, &pb->scopes, link)
		if (conf_set_find(pa, view_str(set->name)) == NULL)
			diff_scope(pa, pb, NULL, set, fn, arg);
}
