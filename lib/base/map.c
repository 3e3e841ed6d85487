/* SPDX-License-Identifier: ISC */
/*
 * map.c: hash map from bytes to a pointer.
 *
 * Linked into every process; keys come from peers, so the hash is keyed with
 * random bytes drawn before main().
 *
 * Entries lie densely in one array; a table of {position, part of the hash}
 * with linear probing finds them. So a probe touches one cache line, a walk
 * is a walk over an array, keys up to 8 bytes need no allocation, and removal
 * leaves no tombstones: the table closes the gap, and the last entry moves
 * into the hole. Walks go from the end to the start, which is why losing the
 * entry just returned disturbs nothing.
 */
#include "base/map.h"

#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"

#define MAP_LEAST	8u		/* slots, a power of two */
#define MAP_NONE	UINT32_MAX	/* a slot without an entry */
#define MAP_INLINE	8u		/* key bytes kept in the entry */

struct map_entry {
	uint64_t	 hash;
	size_t		 len;
	union {
		char	*ptr;
		char	 bytes[MAP_INLINE];
	} key;
	void		*value;
};

struct map_slot {
	uint32_t	 pos;
	uint32_t	 tag;
};

struct map {
	struct map_entry *entries;
	struct map_slot	*slots;
	size_t		 count;
	size_t		 cap;		/* entries allocated: 3/4 of nslots */
	size_t		 nslots;	/* a power of two */
};

static unsigned char map_secret[XXH3_SECRET_SIZE_MIN > 192 ?
    XXH3_SECRET_SIZE_MIN : 192];

__attribute__((constructor)) static void
map_seed(void)
{
	if (getentropy(map_secret, sizeof(map_secret)) == -1)
		log_fatal("no randomness from the kernel: %m");
}

uint64_t
map_hash(struct view key)
{
	return XXH3_64bits_withSecret(key.len > 0 ? key.p : "", key.len,
	    map_secret, sizeof(map_secret));
}

static const char *
entry_key(const struct map_entry *e)
{
	return e->len <= MAP_INLINE ? e->key.bytes : e->key.ptr;
}

static uint32_t
tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

/* Slot of the entry with this key, or of the hole where it would go. */
static size_t
find_slot(const struct map *m, struct view key, uint64_t hash)
{
	size_t mask = m->nslots - 1, i = hash & mask;
	const struct map_entry *e;

	for (; m->slots[i].pos != MAP_NONE; i = (i + 1) & mask) {
		if (m->slots[i].tag != tag_of(hash))
			continue;
		e = &m->entries[m->slots[i].pos];
		if (e->hash == hash && e->len == key.len &&
		    (key.len == 0 || memcmp(entry_key(e), key.p, key.len) == 0))
			break;
	}
	return i;
}

/* Slot that holds entry number pos, which exists. */
static size_t
slot_of_pos(const struct map *m, size_t pos)
{
	size_t mask = m->nslots - 1, i = m->entries[pos].hash & mask;

	while (m->slots[i].pos != pos)
		i = (i + 1) & mask;
	return i;
}

static void
resize(struct map *m, size_t nslots)
{
	size_t mask = nslots - 1, i, pos;

	ASSERT(nslots <= UINT32_MAX);
	m->nslots = nslots;
	m->cap = nslots / 4 * 3;
	m->entries = xreallocarray(m->entries, m->cap, sizeof(*m->entries));
	xfree(m->slots);
	m->slots = xreallocarray(NULL, nslots, sizeof(*m->slots));
	memset(m->slots, 0xff, nslots * sizeof(*m->slots));
	for (pos = 0; pos < m->count; pos++) {
		i = m->entries[pos].hash & mask;
		while (m->slots[i].pos != MAP_NONE)
			i = (i + 1) & mask;
		m->slots[i].pos = (uint32_t)pos;
		m->slots[i].tag = tag_of(m->entries[pos].hash);
	}
}

struct map *
map_new(void)
{
	return XNEW(struct map);
}

void
map_free(struct map **mp, void (*free_value)(void *))
{
	struct map *m = *mp;
	size_t i;

	if (m == NULL)
		return;
	*mp = NULL;
	for (i = 0; i < m->count; i++) {
		if (m->entries[i].len > MAP_INLINE)
			xfree(m->entries[i].key.ptr);
		if (free_value != NULL)
			free_value(m->entries[i].value);
	}
	xfree(m->entries);
	xfree(m->slots);
	xfree(m);
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

void *
map_get(const struct map *m, struct view key)
{
	size_t i;

	if (m->count == 0)
		return NULL;
	i = find_slot(m, key, map_hash(key));
	return m->slots[i].pos != MAP_NONE ?
	    m->entries[m->slots[i].pos].value : NULL;
}

void *
map_put(struct map *m, struct view key, void *value)
{
	uint64_t hash = map_hash(key);
	struct map_entry *e;
	void *old;
	size_t i;

	ASSERT(value != NULL);
	if (m->count == m->cap)
		resize(m, m->nslots > 0 ? m->nslots * 2 : MAP_LEAST);
	i = find_slot(m, key, hash);
	if (m->slots[i].pos != MAP_NONE) {
		e = &m->entries[m->slots[i].pos];
		old = e->value;
		e->value = value;
		return old;
	}
	m->slots[i].pos = (uint32_t)m->count;
	m->slots[i].tag = tag_of(hash);
	e = &m->entries[m->count++];
	e->hash = hash;
	e->len = key.len;
	e->value = value;
	if (key.len > MAP_INLINE)
		e->key.ptr = xmemdup(key.p, key.len);
	else if (key.len > 0)
		memcpy(e->key.bytes, key.p, key.len);
	return NULL;
}

/*
 * Empties slot i and moves back what had been pushed past it, so that every
 * probe still meets no hole before its entry.
 */
static void
close_gap(struct map *m, size_t i)
{
	size_t mask = m->nslots - 1, j = i, home;

	for (;;) {
		j = (j + 1) & mask;
		if (m->slots[j].pos == MAP_NONE)
			break;
		home = m->entries[m->slots[j].pos].hash & mask;
		if (((j - home) & mask) >= ((j - i) & mask)) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i].pos = MAP_NONE;
}

void *
map_del(struct map *m, struct view key)
{
	size_t i, pos, last;
	void *value;

	if (m->count == 0)
		return NULL;
	i = find_slot(m, key, map_hash(key));
	pos = m->slots[i].pos;
	if (pos == MAP_NONE)
		return NULL;
	value = m->entries[pos].value;
	close_gap(m, i);
	if (m->entries[pos].len > MAP_INLINE)
		xfree(m->entries[pos].key.ptr);
	last = m->count - 1;
	if (pos != last) {
		m->slots[slot_of_pos(m, last)].pos = (uint32_t)pos;
		m->entries[pos] = m->entries[last];
	}
	m->count--;
	/* An eighth, so that growing and shrinking do not alternate. */
	if (m->nslots > MAP_LEAST && m->count < m->nslots / 8)
		resize(m, m->nslots / 2);
	return value;
}

bool
map_next(const struct map *m, size_t *cursor, struct view *key_r, void **value_r)
{
	/* The cursor is one more than the entries that are left. */
	size_t left = *cursor > 0 ? *cursor - 1 : m->count;
	const struct map_entry *e;

	if (left == 0 || left > m->count)
		return false;
	e = &m->entries[left - 1];
	*cursor = left;
	if (key_r != NULL)
		*key_r = view_of(entry_key(e), e->len);
	if (value_r != NULL)
		*value_r = e->value;
	return true;
}
