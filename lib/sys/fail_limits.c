/* SPDX-License-Identifier: ISC */
/*
 * fail_limits.c: failed logins in memory that all authd workers share.
 *
 * Mapped by authd; the memfd is made by master, which never reads it. As in
 * client_limits.c, everything is a relaxed atomic: a race costs a count that
 * is off by one. Names are read as a stranger's bytes: a sibling writes them.
 */
#include "sys/fail_limits.h"

#include <stdatomic.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "sys/shared_table.h"

#define MAGIC		0x314c49414650ULL	/* "PFAIL1" */
#define NAME		"fail-limits"	/* in /proc */
#define BUCKETS		8192u
#define WAYS		8u

struct row {
	_Atomic uint64_t key;		/* hash with the kind in its low byte; 0: free */
	_Atomic uint64_t seen_ms;
	_Atomic uint64_t marked_ms;
	_Atomic uint64_t window;	/* number of the time unit */
	_Atomic uint32_t count, before;	/* in it, and in the one before */
	_Atomic uint8_t	 name_len;
	char		 name[FAIL_LIMITS_NAME_MAX];
};

struct table {
	uint64_t	magic;
	uint64_t	seed;
	struct row	rows[BUCKETS * WAYS];
};

struct fail_limits {
	struct table	*table;
};

#define GET(x)		atomic_load_explicit(&(x), memory_order_relaxed)
#define PUT(x, n)	atomic_store_explicit(&(x), (n), memory_order_relaxed)

int
fail_limits_create(void)
{
	return shared_table_create(NAME, sizeof(struct table), MAGIC);
}

struct fail_limits *
fail_limits_map(int fd)
{
	struct table *table = shared_table_map(fd, NAME, sizeof(*table), MAGIC);
	struct fail_limits *f;

	if (table == NULL)
		return NULL;
	f = XNEW(struct fail_limits);
	f->table = table;
	return f;
}

void
fail_limits_unmap(struct fail_limits **f)
{
	if (*f == NULL)
		return;
	shared_table_unmap((*f)->table, sizeof(struct table));
	xfree(*f);
	*f = NULL;
}

static uint64_t
key_of(const struct fail_limits *f, uint8_t kind, struct view key)
{
	uint64_t h = XXH3_64bits_withSeed(key.p, key.len, f->table->seed + kind);

	return (h & ~0xffULL) | kind;
}

/*
 * Marks have half of the table for themselves: who makes up names by the
 * thousand pushes out counters, and nobody's good name.
 */
static struct row *
bucket_of(struct fail_limits *f, uint64_t key, bool mark)
{
	return &f->table->rows[((key >> 8) % (BUCKETS / 2) + (mark ? BUCKETS / 2 : 0)) * WAYS];
}

static struct row *
find(struct fail_limits *f, uint64_t key, bool mark)
{
	struct row *bucket = bucket_of(f, key, mark);
	unsigned i;

	for (i = 0; i < WAYS; i++)
		if (GET(bucket[i].key) == key)
			return &bucket[i];
	return NULL;
}

static void
clear(struct row *r)
{
	PUT(r->key, 0);
	PUT(r->marked_ms, 0);
	PUT(r->window, 0);
	PUT(r->count, 0);
	PUT(r->before, 0);
	PUT(r->name_len, 0);
}

static struct row *
make(struct fail_limits *f, uint64_t key, bool mark, uint64_t now_ms)
{
	struct row *r = find(f, key, mark), *bucket = bucket_of(f, key, mark);
	uint64_t quiet = UINT64_MAX;
	unsigned i;

	if (r != NULL) {
		PUT(r->seen_ms, now_ms);
		return r;
	}
	r = bucket;
	for (i = 0; i < WAYS && quiet > 0; i++) {
		uint64_t seen = GET(bucket[i].key) == 0 ? 0 : GET(bucket[i].seen_ms);

		if (seen < quiet) {
			quiet = seen;
			r = &bucket[i];
		}
	}
	clear(r);
	PUT(r->seen_ms, now_ms);
	PUT(r->key, key);
	return r;
}

/* Brings a row to the time unit of now. */
static uint64_t
turn(struct row *r, uint64_t unit_ms, uint64_t now_ms)
{
	uint64_t window = now_ms / unit_ms + 2, was = GET(r->window);

	if (was == window)
		return window;
	PUT(r->before, was + 1 == window ? GET(r->count) : 0);
	PUT(r->count, 0);
	PUT(r->window, window);
	return window;
}

static uint32_t
count_of(struct row *r, uint64_t unit_ms, uint64_t now_ms)
{
	uint64_t left;

	turn(r, unit_ms, now_ms);
	left = unit_ms - now_ms % unit_ms;
	return GET(r->count) + (uint32_t)(GET(r->before) * left / unit_ms);
}

uint32_t
fail_limits_count(struct fail_limits *f, uint8_t kind, struct view key, uint64_t unit_ms,
    uint64_t now_ms)
{
	struct row *r = find(f, key_of(f, kind, key), false);

	return r != NULL ? count_of(r, unit_ms, now_ms) : 0;
}

void
fail_limits_add(struct fail_limits *f, uint8_t kind, struct view key, struct view name,
    uint64_t unit_ms, uint64_t now_ms)
{
	struct row *r = make(f, key_of(f, kind, key), false, now_ms);

	turn(r, unit_ms, now_ms);
	if (GET(r->name_len) == 0 && name.len > 0) {
		name = view_head(name, FAIL_LIMITS_NAME_MAX);
		memcpy(r->name, name.p, name.len);
		PUT(r->name_len, (uint8_t)name.len);
	}
	/* Nobody counts so far; an overflow would begin anew. */
	if (GET(r->count) < UINT32_MAX / 4)
		atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
}

void
fail_limits_mark(struct fail_limits *f, uint8_t kind, struct view key, uint64_t now_ms)
{
	struct row *r = make(f, key_of(f, kind, key), true, now_ms);

	PUT(r->marked_ms, now_ms + 1);
}

bool
fail_limits_marked(struct fail_limits *f, uint8_t kind, struct view key, uint64_t age_ms,
    uint64_t now_ms)
{
	struct row *r = find(f, key_of(f, kind, key), true);
	uint64_t marked = r != NULL ? GET(r->marked_ms) : 0;

	return marked != 0 && now_ms + 1 - marked <= age_ms;
}

bool
fail_limits_clear(struct fail_limits *f, uint8_t kind, struct view key)
{
	struct row *r = find(f, key_of(f, kind, key), false);

	if (r == NULL)
		return false;
	clear(r);
	return true;
}

unsigned
fail_limits_each(struct fail_limits *f, uint8_t kind, uint64_t unit_ms, uint64_t now_ms,
    fail_limits_fn fn, void *arg)
{
	char name[FAIL_LIMITS_NAME_MAX];
	unsigned n = 0;
	uint32_t count;
	struct row *r;
	size_t i, len;

	for (i = 0; i < BUCKETS / 2 * WAYS; i++) {
		r = &f->table->rows[i];
		if ((GET(r->key) & 0xff) != kind || (count = count_of(r, unit_ms, now_ms)) == 0)
			continue;
		len = GET(r->name_len);
		if (len > sizeof(name))
			len = sizeof(name);
		memcpy(name, r->name, len);
		fn(view_of(name, len), count, GET(r->seen_ms), arg);
		n++;
	}
	return n;
}
