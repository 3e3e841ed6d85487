/* SPDX-License-Identifier: ISC */
/*
 * cache.c: what was asked before.
 *
 * Runs in dnsd. Names in it were chosen by whoever sends mail here, so the
 * bound is on bytes and the hash is seeded (A8).
 */
#include "dnsd/cache.h"

#include <stdlib.h>
#include <bsd/sys/queue.h>

#include "base/map.h"
#include "base/mem.h"

/* What an entry costs beside its bytes: structs, map slot, allocation heads. */
#define ENTRY_OVERHEAD	400

struct entry {
	char		*name;
	uint16_t	 type;
	struct answer	 answer;
	uint64_t	 expires_ms;
	size_t		 bytes;
	TAILQ_ENTRY(entry) link;	/* most recently used first */
};

struct cache {
	struct map	*entries;
	TAILQ_HEAD(entry_list, entry) used;
	size_t		 bytes_max;
	struct cache_stats stats;
	struct answer	 shown;		/* what cache_get() gave last */
};

struct cache *
cache_new(size_t bytes_max)
{
	struct cache *c = XNEW(struct cache);

	c->entries = map_new();
	TAILQ_INIT(&c->used);
	c->bytes_max = bytes_max;
	answer_init(&c->shown);
	return c;
}

void
cache_put_key(struct buf *b, const char *name, uint16_t type)
{
	buf_put_str(b, name);
	buf_put_char(b, '/');
	buf_put_u64(b, type);
}

static void
remove_entry(struct cache *c, struct entry *e)
{
	struct buf key;

	buf_init(&key, 2000);
	cache_put_key(&key, e->name, e->type);
	map_del(c->entries, buf_view(&key));
	buf_fini(&key);
	TAILQ_REMOVE(&c->used, e, link);
	c->stats.bytes -= e->bytes;
	c->stats.entries--;
	answer_fini(&e->answer);
	xfree(e->name);
	xfree(e);
}

void
cache_free(struct cache **c)
{
	if (*c == NULL)
		return;
	cache_clear(*c, NULL, NULL, NULL);
	map_free(&(*c)->entries, NULL);
	answer_fini(&(*c)->shown);
	xfree(*c);
	*c = NULL;
}

static void
shrink(struct cache *c)
{
	while (c->stats.bytes > c->bytes_max && !TAILQ_EMPTY(&c->used)) {
		remove_entry(c, TAILQ_LAST(&c->used, entry_list));
		c->stats.evicted++;
	}
}

void
cache_set_max(struct cache *c, size_t bytes_max)
{
	c->bytes_max = bytes_max;
	shrink(c);
}

static struct entry *
find(struct cache *c, const char *name, uint16_t type)
{
	struct entry *e;
	struct buf key;

	buf_init(&key, 2000);
	cache_put_key(&key, name, type);
	e = map_get(c->entries, buf_view(&key));
	buf_fini(&key);
	return e;
}

const struct answer *
cache_get(struct cache *c, const char *name, uint16_t type, uint64_t now_ms)
{
	struct entry *e = find(c, name, type);

	if (e != NULL && e->expires_ms <= now_ms) {
		remove_entry(c, e);
		c->stats.expired++;
		e = NULL;
	}
	if (e == NULL) {
		c->stats.misses++;
		return NULL;
	}
	c->stats.hits++;
	TAILQ_REMOVE(&c->used, e, link);
	TAILQ_INSERT_HEAD(&c->used, e, link);
	answer_copy(&c->shown, &e->answer);
	c->shown.ttl = (uint32_t)((e->expires_ms - now_ms + 999) / 1000);
	return &c->shown;
}

void
cache_put(struct cache *c, const char *name, uint16_t type, const struct answer *a,
    uint64_t ttl_ms, uint64_t now_ms)
{
	struct entry *e = find(c, name, type);
	struct buf key;

	if (e != NULL)
		remove_entry(c, e);
	if (ttl_ms == 0)
		return;
	e = XNEW(struct entry);
	e->name = xstrdup(name);
	e->type = type;
	answer_init(&e->answer);
	answer_copy(&e->answer, a);
	e->expires_ms = now_ms + ttl_ms;
	e->bytes = ENTRY_OVERHEAD + 2 * strlen(name) + strlen(a->canonical) + a->data.len;
	buf_init(&key, 2000);
	cache_put_key(&key, name, type);
	map_put(c->entries, buf_view(&key), e);
	buf_fini(&key);
	TAILQ_INSERT_HEAD(&c->used, e, link);
	c->stats.bytes += e->bytes;
	c->stats.entries++;
	c->stats.inserted++;
	shrink(c);
}

size_t
cache_clear(struct cache *c, const char *domain,
    void (*fn)(const char *name, uint16_t type, void *arg), void *arg)
{
	struct entry *e, *next;
	size_t n = 0;

	for (e = TAILQ_FIRST(&c->used); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (domain != NULL && !domain_is_under(view_str(e->name), view_str(domain)))
			continue;
		if (fn != NULL)
			fn(e->name, e->type, arg);
		remove_entry(c, e);
		n++;
	}
	return n;
}

void
cache_stats(const struct cache *c, struct cache_stats *s_r)
{
	*s_r = c->stats;
}

/* ---- listing ---- */

struct row {
	char		*key;
	struct entry	*entry;
};

static int
row_cmp(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static size_t
collect(struct cache *c, struct view prefix, struct view after, uint64_t now_ms,
    struct row **rows_r)
{
	struct row *rows = xcalloc(c->stats.entries + 1, sizeof(*rows));
	struct entry *e;
	struct buf key;
	size_t n = 0;

	buf_init(&key, 2000);
	TAILQ_FOREACH(e, &c->used, link) {
		if (e->expires_ms <= now_ms || !view_casestarts(view_str(e->name), prefix))
			continue;
		buf_reset(&key);
		cache_put_key(&key, e->name, e->type);
		if (after.len > 0 && view_cmp(buf_view(&key), after) <= 0)
			continue;
		rows[n].key = xstrdup(buf_cstr(&key));
		rows[n++].entry = e;
	}
	buf_fini(&key);
	*rows_r = rows;
	return n;
}

bool
cache_list(struct cache *c, struct view prefix, struct view after, size_t limit,
    uint64_t now_ms, void (*fn)(const char *name, uint16_t type, const struct answer *a,
    void *arg), void *arg)
{
	struct answer shown;
	struct row *rows;
	struct entry *e;
	size_t n, i;

	n = collect(c, prefix, after, now_ms, &rows);
	if (n > 0)
		qsort(rows, n, sizeof(*rows), row_cmp);
	for (i = 0; i < n && i < limit; i++) {
		e = rows[i].entry;
		shown = e->answer;
		shown.ttl = (uint32_t)((e->expires_ms - now_ms + 999) / 1000);
		fn(e->name, e->type, &shown, arg);
	}
	for (i = 0; i < n; i++)
		xfree(rows[i].key);
	xfree(rows);
	return n > limit;
}
