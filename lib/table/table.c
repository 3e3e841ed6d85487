/* SPDX-License-Identifier: ISC */
/*
 * table.c: a table by its name, and noticing that its file has changed.
 *
 * Runs in lookupd (confined: the files' directories, read only). Which types
 * there are stands in one array below. A reload happens inside a look-up, at
 * most once a second: the new version is loaded beside the old one, which goes
 * on when the new one is broken, so that a slip of an editor defers nothing.
 */
#include "table/table.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "sys/fd.h"
#include "table/table_impl.h"

#define CHECK_INTERVAL_MS	1000
/* A file written this recently may change again within its time stamp. */
#define SETTLE_MS		2000

struct stamp {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime;
};

struct table {
	const struct table_type *type;
	char		*spec;
	char		*path;		/* NULL: no file */
	void		*data;
	struct stamp	 stamp;		/* of the version last tried */
	bool		 settling;	/* look again although the stamp is equal */
	bool		 missing;	/* the file was gone at the last look */
	uint64_t	 next_check_ms;
};

static const struct table_type *const types[] = {
	&table_type_cidr, &table_type_fail, &table_type_hash,
	&table_type_inline, &table_type_lmdb, &table_type_pcre,
	&table_type_static, &table_type_texthash, &table_type_unionmap,
};

void
table_put_types(struct buf *b)
{
	size_t i;

	/* lookupd asks authd for these: there is nothing to open. */
	buf_put_str(b, "accounts");
	for (i = 0; i < NELEMS(types); i++)
		buf_printf(b, ", %s", types[i]->name);
}

static const struct table_type *
find_type(struct view type)
{
	size_t i;

	for (i = 0; i < NELEMS(types); i++)
		if (view_eq(type, view_str(types[i]->name)))
			return types[i];
	return NULL;
}

static void
stamp_set(struct stamp *s, const struct stat *st)
{
	memset(s, 0, sizeof(*s));
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	s->size = st->st_size;
	s->mtime = st->st_mtim;
}

static bool
is_recent(const struct stamp *s)
{
	uint64_t mtime = (uint64_t)s->mtime.tv_sec * 1000 +
	    (uint64_t)s->mtime.tv_nsec / 1000000;
	uint64_t now = clock_wall_ms();

	return mtime + SETTLE_MS > now && mtime < now + SETTLE_MS;
}

static int
load_text(const struct table *t, void **data_r, struct buf *why)
{
	struct buf text;
	int error;

	buf_init(&text, TABLE_FILE_MAX);
	error = fd_read_file(AT_FDCWD, t->path, &text);
	if (error == 0)
		error = t->type->load_text(buf_view(&text), t->path, data_r, why);
	else
		buf_printf(why, "%s: %s", t->path, error == PK_ESYS ?
		    strerror(errno) : pk_strerror(error));
	buf_fini(&text);
	return error;
}

/* The stamp is taken before the file is read: a change in between shows. */
static int
load(struct table *t, void **data_r, struct buf *why)
{
	struct stat st;

	if (stat(t->path, &st) == -1) {
		buf_printf(why, "%s: %s", t->path, strerror(errno));
		if (errno == ENOENT && t->type->suffix[0] != '\0')
			buf_printf(why, ": make it with: adminctl table build %.*s",
			    (int)(strlen(t->path) - strlen(t->type->suffix)), t->path);
		return errno == ENOENT ? PK_ENOENT : PK_ESYS;
	}
	stamp_set(&t->stamp, &st);
	t->settling = is_recent(&t->stamp);
	if (!S_ISREG(st.st_mode)) {
		buf_printf(why, "%s: not a regular file", t->path);
		return PK_EFORMAT;
	}
	if (t->type->load_text != NULL)
		return load_text(t, data_r, why);
	return t->type->load_file(t->path, data_r, why);
}

int
table_open(struct view spec, struct table **t_r, struct buf *why)
{
	const struct table_type *type;
	struct view word, name;
	struct table *t;
	int error;

	if (!table_split_spec(spec, &word, &name)) {
		buf_printf(why, "\"%.*s\" is no table: write type:name", VIEW_ARG(spec));
		return PK_ESYNTAX;
	}
	type = find_type(word);
	if (type == NULL) {
		buf_printf(why, "%.*s: tables of type \"%.*s\" are not built in this"
		    " version; there are: ", VIEW_ARG(spec), VIEW_ARG(word));
		table_put_types(why);
		return PK_EUNSUPPORTED;
	}
	if (type->suffix != NULL && (name.len == 0 || name.p[0] != '/')) {
		buf_printf(why, "%.*s: the file's name must begin with /", VIEW_ARG(spec));
		return PK_ESYNTAX;
	}
	t = XNEW(struct table);
	t->type = type;
	t->spec = view_dup(spec);
	if (type->suffix != NULL) {
		t->path = xasprintf("%.*s%s", VIEW_ARG(name), type->suffix);
		t->next_check_ms = clock_mono_ms() + CHECK_INTERVAL_MS;
		error = load(t, &t->data, why);
	} else {
		error = type->load_name(name, &t->data, why);
	}
	if (error != 0) {
		table_close(&t);
		return error;
	}
	if (type == &table_type_hash)
		log_warn("%s: there is no Berkeley DB here; %s is used, write"
		    " lmdb:%.*s", t->spec, t->path, VIEW_ARG(name));
	*t_r = t;
	return 0;
}

void
table_close(struct table **t)
{
	if (*t == NULL)
		return;
	if ((*t)->data != NULL)
		(*t)->type->close((*t)->data);
	xfree((*t)->path);
	xfree((*t)->spec);
	xfree(*t);
	*t = NULL;
}

const char *
table_spec(const struct table *t)
{
	return t->spec;
}

bool
table_is_pattern(const struct table *t)
{
	return t->type->pattern;
}

size_t
table_count(const struct table *t)
{
	return t->type->count != NULL ? t->type->count(t->data) : 0;
}

const char *
table_file(const struct table *t)
{
	return t->path;
}

int
table_each(const struct table *t, void (*fn)(struct view key, struct view value, void *arg),
    void *arg)
{
	size_t cursor = 0;
	struct view key;
	void *value;

	if (t->type->get != table_map_get)
		return PK_EUNSUPPORTED;
	while (map_next(t->data, &cursor, &key, &value))
		fn(key, view_str(value), arg);
	return 0;
}

static bool
has_changed(struct table *t)
{
	struct stamp now;
	struct stat st;

	if (stat(t->path, &st) == -1) {
		if (!t->missing)
			log_error("%s: %s: %s; the version read before stays in use",
			    t->spec, t->path, strerror(errno));
		t->missing = true;
		return false;
	}
	t->missing = false;
	stamp_set(&now, &st);
	return t->settling || memcmp(&now, &t->stamp, sizeof(now)) != 0;
}

static void
reload_if_changed(struct table *t)
{
	uint64_t now = clock_mono_ms();
	void *data = NULL;
	struct buf why;

	if (t->path == NULL || now < t->next_check_ms)
		return;
	t->next_check_ms = now + CHECK_INTERVAL_MS;
	if (!has_changed(t))
		return;
	buf_init(&why, 2000);
	if (load(t, &data, &why) == 0) {
		t->type->close(t->data);
		t->data = data;
		log_debug("%s: read again", t->spec);
	} else {
		/* Said once: the stamp of the broken version is remembered. */
		t->settling = false;
		log_error("%s; the version read before stays in use", buf_cstr(&why));
	}
	buf_fini(&why);
}

/* A built table may hold anything; in a reply or an IPC field a line is a line (A11). */
static bool
is_one_line(struct view v)
{
	return view_find(v, '\n') < 0 && view_find(v, '\r') < 0 && view_find(v, '\0') < 0;
}

int
table_get(struct table *t, struct view key, struct buf *value_r)
{
	char folded[TABLE_KEY_MAX];
	size_t mark = value_r->len, i;
	int error;

	reload_if_changed(t);
	if (key.len == 0 || key.len > sizeof(folded))
		return PK_ENOENT;
	if (t->type->fold) {
		for (i = 0; i < key.len; i++)
			folded[i] = ascii_lower(key.p[i]);
		key = view_of(folded, key.len);
	}
	error = t->type->get(t->data, key, value_r);
	if (error == 0 && buf_error(value_r) != 0) {
		log_error("%s: the value of \"%.*s\" is too long", t->spec, VIEW_ARG(key));
		error = PK_ETEMP;
	} else if (error == 0 && !is_one_line(view_from(buf_view(value_r), mark))) {
		log_error("%s: the value of \"%.*s\" is more than one line", t->spec,
		    VIEW_ARG(key));
		error = PK_ETEMP;
	}
	if (error != 0)
		buf_truncate(value_r, mark);
	return error;
}

static void
spec_files(struct view spec, unsigned depth, void (*fn)(const char *path, void *arg),
    void *arg)
{
	const struct table_type *type;
	struct view word, name, item;
	char *path;

	if (!table_split_spec(spec, &word, &name))
		return;
	type = find_type(word);
	if (type == &table_type_unionmap && depth < TABLE_NESTING_MAX) {
		name = table_unbrace(name);
		while (conf_list_next(&name, &item))
			spec_files(item, depth + 1, fn, arg);
	} else if (type != NULL && type->suffix != NULL) {
		path = xasprintf("%.*s%s", VIEW_ARG(name), type->suffix);
		fn(path, arg);
		xfree(path);
	}
}

void
table_spec_files(struct view spec, void (*fn)(const char *path, void *arg), void *arg)
{
	spec_files(spec, 0, fn, arg);
}
