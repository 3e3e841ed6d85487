/* SPDX-License-Identifier: ISC */
/*
 * set.c: the pairs that are in use, by name.
 *
 * Runs in certd. A load makes a whole new set beside the old one. Where files
 * are bad, their names keep the pairs that they had (F15): a slip of a renewal
 * stops no handshake. A pair that did not change stays the same object, so
 * that its number and its warnings do too.
 */
#include "certd/set.h"

#include <bsd/stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "certd/names.h"

#define SERVER_ENTRY	"server"
#define CLIENT_ENTRY	"client"
#define NAME_PREFIX	"name:"
#define ERRORS_SHOWN	1000
#define ENTRIES_MAX	TLS_CERTIFICATES_MAX
#define LIST_MAX	65536

/* What the files of one value gave: names share it. */
struct source {
	struct pair_load load;
};

struct loading {
	struct set	*s;
	const struct set *old;
	struct map	*sources;	/* list of files -> struct source */
	const char	*param;		/* for messages */
	bool		 full;
};

/* ---- messages ---- */

static void
remember_error(struct set *s, const char *text)
{
	if (s->nerrors == ERRORS_SHOWN)
		return;
	s->errors = xreallocarray(s->errors, s->nerrors + 1, sizeof(*s->errors));
	s->errors[s->nerrors++] = xstrdup(text);
}

static void
note(char level, const char *text, void *arg)
{
	struct loading *l = arg;
	char *line = xasprintf("%s: %s", l->param, text);

	if (level == 'w') {
		log_warn("%s", line);
	} else {
		log_error("%s", line);
		remember_error(l->s, line);
	}
	xfree(line);
}

static void
note_name(const char *text, void *arg)
{
	struct loading *l = arg;

	log_error("%s", text);
	remember_error(l->s, text);
}

/* ---- entries ---- */

static struct set_entry *
entry_of(struct set *s, const char *key)
{
	struct set_entry *e = map_get(s->entries, view_str(key));

	if (e == NULL) {
		e = XNEW(struct set_entry);
		map_put(s->entries, view_str(key), e);
	}
	return e;
}

static void
entry_free(void *p)
{
	struct set_entry *e = p;
	unsigned i;

	for (i = 0; i < TLS_KEY_KINDS; i++)
		pair_unref(&e->pairs[i]);
	xfree(e);
}

static const struct set_entry *
old_entry(const struct loading *l, const char *key)
{
	return l->old != NULL ? map_get(l->old->entries, view_str(key)) : NULL;
}

static bool
is_valid_now(const struct pair *p)
{
	int64_t now_s = (int64_t)(clock_wall_ms() / 1000);

	return p->not_before_s <= now_s && now_s < p->not_after_s;
}

static void
say_dates(struct loading *l, const struct pair *p, bool refused)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_printf(&b, "%s: the certificate %s ", p->files,
	    is_valid_now(p) ? "is valid" : clock_wall_ms() / 1000 < (uint64_t)p->not_before_s ?
	    "is not valid before" : "expired on");
	pair_put_date(&b, clock_wall_ms() / 1000 < (uint64_t)p->not_before_s ?
	    p->not_before_s : p->not_after_s);
	if (refused)
		buf_put_str(&b, "; the one loaded before stays in use");
	note(refused ? 'e' : 'w', buf_cstr(&b), l);
	buf_fini(&b);
}

/* Which of them? One whose time is over is used only when there is no better. */
static struct pair *
choose(struct loading *l, struct pair *fresh, struct pair *old, bool errors)
{
	if (fresh == NULL)
		return errors ? old : NULL;
	if (old != NULL && pair_same(fresh, old))
		return old;
	if (is_valid_now(fresh))
		return fresh;
	if (old != NULL && is_valid_now(old)) {
		say_dates(l, fresh, true);
		return old;
	}
	/* expiry.c has words for the other case. */
	if (clock_wall_ms() / 1000 < (uint64_t)fresh->not_before_s)
		say_dates(l, fresh, false);
	return fresh;
}

static void
say_kept(const struct loading *l, const char *key, const struct pair *p)
{
	if (view_starts(view_str(key), VIEW(NAME_PREFIX)))
		log_warn("%s: %s goes on with the certificate of %s that was loaded before",
		    l->param, key + strlen(NAME_PREFIX), p->files);
	else
		log_warn("%s: the certificate of %s that was loaded before stays in use",
		    l->param, p->files);
}

static void
fill(struct loading *l, const char *key, const struct pair_load *load)
{
	const struct set_entry *old = old_entry(l, key);
	struct set_entry *e = entry_of(l->s, key);
	struct pair *p;
	unsigned i;

	for (i = 0; i < TLS_KEY_KINDS; i++) {
		p = choose(l, load->pairs[i], old != NULL ? old->pairs[i] : NULL,
		    load->errors > 0);
		if (p == NULL)
			continue;
		e->pairs[i] = pair_ref(p);
		if (load->pairs[i] == NULL)
			say_kept(l, key, p);
	}
}

/* ---- sources ---- */

static void
source_free(void *p)
{
	struct source *src = p;

	pair_load_fini(&src->load);
	xfree(src);
}

struct print_key {
	uint8_t		 flags;
	uint8_t		 fingerprint[PAIR_FINGERPRINT_SIZE];
};

static struct print_key
print_key(const struct pair *p)
{
	struct print_key k = { .flags = (uint8_t)p->flags };

	memcpy(k.fingerprint, p->fingerprint, sizeof(k.fingerprint));
	return k;
}

/* Moved to another name or file it is still the same pair: one key, one number. */
static void
share_with_old(struct loading *l, struct pair_load *load)
{
	struct print_key k;
	struct pair *p;
	unsigned i;

	for (i = 0; l->old != NULL && i < TLS_KEY_KINDS; i++) {
		if (load->pairs[i] == NULL)
			continue;
		k = print_key(load->pairs[i]);
		p = map_get(l->old->by_print, view_of((const char *)&k, sizeof(k)));
		if (p == NULL || !pair_same(p, load->pairs[i]))
			continue;
		pair_unref(&load->pairs[i]);
		load->pairs[i] = pair_ref(p);
	}
}

static const struct pair_load *
source_load(struct loading *l, const char *files, unsigned flags)
{
	char *key = xasprintf("%u %s", flags, files);
	struct source *src = map_get(l->sources, view_str(key));

	if (src == NULL) {
		src = XNEW(struct source);
		pair_load_files(view_str(files), flags, &src->load, note, l);
		share_with_old(l, &src->load);
		map_put(l->sources, view_str(key), src);
	}
	xfree(key);
	return &src->load;
}

static void
load_use(struct loading *l, const char *key, const char *param, const char *files,
    unsigned flags)
{
	if (view_trim(view_str(files)).len == 0)
		return;
	l->param = param;
	fill(l, key, source_load(l, files, flags));
}

static void
load_name(const char *name, const char *files, void *arg)
{
	struct loading *l = arg;
	const struct pair_load *load;
	char *key;
	unsigned i;

	if (map_count(l->s->entries) >= ENTRIES_MAX) {
		if (!l->full)
			note('e', "more names than there is room for: the rest is left out", l);
		l->full = true;
		return;
	}
	load = source_load(l, files, CERT_SERVER);
	for (i = 0; i < TLS_KEY_KINDS; i++)
		if (load->pairs[i] != NULL && !pair_covers(load->pairs[i], name))
			log_warn("%s: the certificate of %s is not for %s: clients that look"
			    " will refuse it", l->param, load->pairs[i]->files, name);
	key = xasprintf(NAME_PREFIX "%s", name);
	fill(l, key, load);
	xfree(key);
}

/* The table could not be read: what it said before still holds. */
static void
keep_old_names(struct loading *l)
{
	struct pair_load none = { .errors = 1 };
	size_t cursor = 0;
	struct view key;
	void *value;
	char *name;

	while (l->old != NULL && map_next(l->old->entries, &cursor, &key, &value)) {
		if (!view_starts(key, VIEW(NAME_PREFIX)) ||
		    map_get(l->s->entries, key) != NULL)
			continue;
		name = view_dup(key);
		fill(l, name, &none);
		xfree(name);
	}
}

/* ---- rows ---- */

static struct set_row *
row_of(struct set *s, struct map *by_pair, struct pair *p)
{
	struct set_row *r = map_get_u64(by_pair, (uint64_t)(uintptr_t)p);

	/* nrows + 1 as a value: the array moves. */
	if (r != NULL)
		return &s->rows[(size_t)(uintptr_t)r - 1];
	s->rows = xreallocarray(s->rows, s->nrows + 1, sizeof(*s->rows));
	s->rows[s->nrows++] = (struct set_row){ .pair = p, .flags = p->flags };
	map_put_u64(by_pair, (uint64_t)(uintptr_t)p, (void *)(uintptr_t)s->nrows);
	return &s->rows[s->nrows - 1];
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct set_row *x = a, *y = b;

	/* The defaults first, then by name: the same list after each load. */
	if (x->flags != y->flags)
		return x->flags > y->flags ? -1 : 1;
	if (x->nnames > 0 && y->nnames > 0 && strcmp(x->names[0], y->names[0]) != 0)
		return strcmp(x->names[0], y->names[0]);
	return (int)x->pair->kind - (int)y->pair->kind;
}

static void
row_add(struct set_row *r, struct view key)
{
	if (view_eq(key, VIEW(SERVER_ENTRY))) {
		r->flags |= CERT_DEFAULT;
	} else if (view_starts(key, VIEW(NAME_PREFIX))) {
		r->names = xreallocarray(r->names, r->nnames + 1, sizeof(*r->names));
		r->names[r->nnames++] = view_dup(view_from(key, strlen(NAME_PREFIX)));
	}
}

static void
make_rows(struct set *s)
{
	struct map *by_pair = map_new();
	size_t cursor = 0, i;
	struct print_key print;
	struct view key;
	void *value;
	unsigned k;

	while (map_next(s->entries, &cursor, &key, &value)) {
		struct set_entry *e = value;

		for (k = 0; k < TLS_KEY_KINDS; k++)
			if (e->pairs[k] != NULL)
				row_add(row_of(s, by_pair, e->pairs[k]), key);
	}
	map_free(&by_pair, NULL);
	for (i = 0; i < s->nrows; i++) {
		print = print_key(s->rows[i].pair);
		map_put(s->by_print, view_of((const char *)&print, sizeof(print)),
		    s->rows[i].pair);
		if (s->rows[i].nnames > 1)
			qsort(s->rows[i].names, s->rows[i].nnames, sizeof(char *), compare_names);
	}
	if (s->nrows > 1)
		qsort(s->rows, s->nrows, sizeof(*s->rows), compare_rows);
}

static void
number_rows(struct set *s)
{
	static uint64_t next;
	size_t i;

	/* A number of an earlier certd must mean nothing to this one. */
	if (next == 0)
		next = (uint64_t)arc4random() << 20;
	for (i = 0; i < s->nrows; i++) {
		s->kept += s->rows[i].pair->number != 0;
		s->fresh += s->rows[i].pair->number == 0;
		if (s->rows[i].pair->number == 0)
			s->rows[i].pair->number = ++next;
	}
}

/* ---- the whole ---- */

struct set *
set_load(const struct conf *conf, const struct set *old)
{
	struct loading l = { .s = XNEW(struct set), .old = old, .sources = map_new() };
	struct buf files;

	l.s->entries = map_new();
	l.s->by_print = map_new();
	buf_init(&files, LIST_MAX);
	names_put_server_files(conf, &files);
	load_use(&l, SERVER_ENTRY, names_server_param(conf), buf_cstr(&files), CERT_SERVER);
	load_use(&l, CLIENT_ENTRY, "smtp_tls_chain_files", conf->smtp_tls_chain_files,
	    CERT_CLIENT);
	buf_fini(&files);
	l.param = "tls_server_sni_maps";
	if (!names_each(conf, load_name, note_name, &l))
		keep_old_names(&l);
	make_rows(l.s);
	number_rows(l.s);
	map_free(&l.sources, source_free);
	return l.s;
}

void
set_free(struct set **sp)
{
	struct set *s = *sp;
	size_t i, k;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->nrows; i++) {
		for (k = 0; k < s->rows[i].nnames; k++)
			xfree(s->rows[i].names[k]);
		xfree(s->rows[i].names);
	}
	xfree(s->rows);
	map_free(&s->by_print, NULL);
	for (i = 0; i < s->nerrors; i++)
		xfree(s->errors[i]);
	xfree(s->errors);
	map_free(&s->entries, entry_free);
	xfree(s);
}

/* ---- files ---- */

struct each_file {
	void	(*fn)(const char *path, void *arg);
	void	*arg;
};

static void
each_of_list(struct each_file *e, struct view files)
{
	struct view item;
	char *path;

	while (conf_list_next(&files, &item)) {
		path = view_dup(item);
		if (path[0] == '/')
			e->fn(path, e->arg);
		xfree(path);
	}
}

static void
each_of_name(const char *name, const char *files, void *arg)
{
	(void)name;
	each_of_list(arg, view_str(files));
}

static void
no_note(const char *text, void *arg)
{
	(void)text;
	(void)arg;
}

void
set_each_file(const struct conf *conf, void (*fn)(const char *path, void *arg), void *arg)
{
	struct each_file e = { fn, arg };
	struct buf files;

	buf_init(&files, LIST_MAX);
	names_put_server_files(conf, &files);
	each_of_list(&e, buf_view(&files));
	buf_fini(&files);
	each_of_list(&e, view_str(conf->smtp_tls_chain_files));
	names_each_table_file(conf, fn, arg);
	(void)names_each(conf, each_of_name, no_note, &e);
}
