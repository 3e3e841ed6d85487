/* SPDX-License-Identifier: ISC */
/*
 * map.h: hash map from bytes (or a 64-bit number) to a pointer.
 *
 * Keys are copied; values belong to the caller. The hash is seeded at random
 * per process, so that nobody outside can choose collisions (A8).
 */
#ifndef PK_BASE_MAP_H
#define PK_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct map;

struct map *map_new(void);
/* free_value may be NULL. Sets *m to NULL. */
void	 map_free(struct map **m, void (*free_value)(void *));
size_t	 map_count(const struct map *m);
void	*map_get(const struct map *m, struct view key);
/* Returns the value that was there before, or NULL. value is not NULL. */
void	*map_put(struct map *m, struct view key, void *value);
/* Returns what was removed, or NULL. */
void	*map_del(struct map *m, struct view key);
/*
 * Walks: start with *cursor = 0; false at the end. The map may lose the entry
 * just returned during a walk, nothing else.
 */
bool	 map_next(const struct map *m, size_t *cursor, struct view *key_r, void **value_r);

static inline void *
map_get_u64(const struct map *m, uint64_t key)
{
	return map_get(m, view_of((const char *)&key, sizeof(key)));
}

static inline void *
map_put_u64(struct map *m, uint64_t key, void *value)
{
	return map_put(m, view_of((const char *)&key, sizeof(key)), value);
}

static inline void *
map_del_u64(struct map *m, uint64_t key)
{
	return map_del(m, view_of((const char *)&key, sizeof(key)));
}

/* The seeded 64-bit hash that the map uses. */
uint64_t map_hash(struct view key);

#endif
