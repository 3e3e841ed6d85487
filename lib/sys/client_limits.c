/* SPDX-License-Identifier: ISC */
/*
 * client_limits.c: counters a client in memory that all smtpd share.
 *
 * Mapped by smtpd; the memfd is made by master, which never reads it. A row
 * is found by the hash of the address with a seed that no client knows, in
 * a bucket of a few rows; a bucket that is full gives up the row that was
 * quiet longest and has no open session. Everything is a relaxed atomic: a
 * race between workers costs a count that is off by one, never more.
 */
#include "sys/client_limits.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "sys/shared_table.h"

#define MAGIC		0x324d494c4b50ULL	/* "PKLIM2" */
#define NAME		"client-limits"	/* in /proc */
#define BUCKETS		8192u
#define WAYS		4u

struct row {
	_Atomic uint64_t key;			/* hash of the address; 0: free */
	_Atomic uint64_t seen_ms;
	_Atomic uint64_t window[CLIENT_EVENTS];	/* number of the time unit */
	_Atomic uint32_t count[CLIENT_EVENTS];
	_Atomic uint16_t open[CLIENT_LIMITS_WORKERS];
};

struct table {
	uint64_t	magic;
	uint64_t	seed;
	struct row	rows[BUCKETS * WAYS];
};

struct client_limits {
	struct table	*table;
	unsigned	 worker;
	unsigned	 v4_bits, v6_bits;
};

#define GET(x)		atomic_load_explicit(&(x), memory_order_relaxed)
#define PUT(x, n)	atomic_store_explicit(&(x), (n), memory_order_relaxed)

int
client_limits_create(void)
{
	return shared_table_create(NAME, sizeof(struct table), MAGIC);
}

struct client_limits *
client_limits_map(int fd, unsigned worker)
{
	struct client_limits *c;
	struct table *table;
	size_t i;

	if (worker >= CLIENT_LIMITS_WORKERS)
		return NULL;
	table = shared_table_map(fd, NAME, sizeof(*table), MAGIC);
	if (table == NULL)
		return NULL;
	c = XNEW(struct client_limits);
	c->table = table;
	c->worker = worker;
	c->v4_bits = 32;
	c->v6_bits = 64;
	/* Only rows in use, or every page of the table would come to exist. */
	for (i = 0; fd != -1 && i < BUCKETS * WAYS; i++)
		if (GET(table->rows[i].key) != 0)
			PUT(table->rows[i].open[worker], 0);
	return c;
}

void
client_limits_unmap(struct client_limits **c)
{
	if (*c == NULL)
		return;
	shared_table_unmap((*c)->table, sizeof(struct table));
	xfree(*c);
	*c = NULL;
}

static uint32_t
open_count(const struct row *r)
{
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < CLIENT_LIMITS_WORKERS; i++)
		n += GET(r->open[i]);
	return n;
}

static void
clear(struct row *r)
{
	unsigned i;

	for (i = 0; i < CLIENT_EVENTS; i++) {
		PUT(r->window[i], 0);
		PUT(r->count[i], 0);
	}
	for (i = 0; i < CLIENT_LIMITS_WORKERS; i++)
		PUT(r->open[i], 0);
}

void
client_limits_set_prefix(struct client_limits *c, unsigned v4, unsigned v6)
{
	c->v4_bits = v4 < 32 ? v4 : 32;
	c->v6_bits = v6 < 128 ? v6 : 128;
}

/* Of an IPv6 client the network counts: it has all of its addresses at will. */
static uint64_t
key_of(const struct client_limits *c, const uint8_t *address, unsigned len)
{
	unsigned bits = len == 16 ? c->v6_bits : len == 4 ? c->v4_bits : 128;
	uint8_t first[16] = { 0 };
	uint64_t key;
	size_t n = len <= sizeof(first) ? len : sizeof(first), i;

	memcpy(first, address, n);
	for (i = bits; i < sizeof(first) * 8; i++)
		first[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	key = XXH3_64bits_withSeed(first, sizeof(first), c->table->seed + len);

	return key != 0 ? key : 1;
}

static struct row *
find(struct client_limits *c, const uint8_t *address, unsigned len, uint64_t now_ms, bool make)
{
	uint64_t key = key_of(c, address, len), quiet = UINT64_MAX;
	struct row *bucket = &c->table->rows[key % BUCKETS * WAYS], *r, *oldest = NULL;
	unsigned i;

	for (i = 0; i < WAYS; i++) {
		r = &bucket[i];
		if (GET(r->key) == key) {
			PUT(r->seen_ms, now_ms);
			return r;
		}
		if (GET(r->key) == 0) {
			oldest = r;
			quiet = 0;
		} else if (quiet > 0 && GET(r->seen_ms) < quiet && open_count(r) == 0) {
			quiet = GET(r->seen_ms);
			oldest = r;
		}
	}
	if (!make || oldest == NULL)
		return NULL;
	clear(oldest);
	PUT(oldest->key, key);
	PUT(oldest->seen_ms, now_ms);
	return oldest;
}

uint32_t
client_limits_enter(struct client_limits *c, const uint8_t *address, unsigned len,
    uint64_t now_ms)
{
	struct row *r = find(c, address, len, now_ms, true);

	if (r == NULL)
		return 1;
	atomic_fetch_add_explicit(&r->open[c->worker], 1, memory_order_relaxed);
	return open_count(r);
}

void
client_limits_leave(struct client_limits *c, const uint8_t *address, unsigned len,
    uint64_t now_ms)
{
	struct row *r = find(c, address, len, now_ms, false);

	if (r != NULL && GET(r->open[c->worker]) > 0)
		atomic_fetch_sub_explicit(&r->open[c->worker], 1, memory_order_relaxed);
}

uint32_t
client_limits_count(struct client_limits *c, const uint8_t *address, unsigned len,
    enum client_event event, uint64_t unit_ms, uint64_t now_ms)
{
	struct row *r = find(c, address, len, now_ms, true);
	uint64_t window = now_ms / (unit_ms > 0 ? unit_ms : 1);

	if (r == NULL)
		return 1;
	if (GET(r->window[event]) != window) {
		PUT(r->window[event], window);
		PUT(r->count[event], 0);
	}
	return atomic_fetch_add_explicit(&r->count[event], 1, memory_order_relaxed) + 1;
}

uint32_t
client_limits_rate(struct client_limits *c, const uint8_t *address, unsigned len,
    enum client_event event, uint64_t unit_ms, uint64_t now_ms)
{
	const struct row *r = find(c, address, len, now_ms, false);

	if (r == NULL || GET(r->window[event]) != now_ms / (unit_ms > 0 ? unit_ms : 1))
		return 0;
	return GET(r->count[event]);
}
