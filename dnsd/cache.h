/* SPDX-License-Identifier: ISC */
/*
 * cache.h: answers by question, with a bound on memory.
 *
 * Times are monotonic milliseconds, given by the caller. The least recently
 * used answer goes when memory is short; one whose time is over goes when it
 * is met.
 */
#ifndef DNSD_CACHE_H
#define DNSD_CACHE_H

#include "dnsd/answer.h"

struct cache;

struct cache_stats {
	uint64_t	hits, misses, inserted, expired, evicted;
	size_t		entries, bytes;
};

struct cache *cache_new(size_t bytes_max);
void	cache_free(struct cache **c);
void	cache_set_max(struct cache *c, size_t bytes_max);
/* The answer with its remaining TTL, or NULL. Valid until the next call. */
const struct answer *cache_get(struct cache *c, const char *name, uint16_t type, uint64_t now_ms);
/* Keeps a copy for ttl_ms; nothing when 0. */
void	cache_put(struct cache *c, const char *name, uint16_t type, const struct answer *a,
	    uint64_t ttl_ms, uint64_t now_ms);
/* Forgets a domain and everything below it (NULL: all); fn, if not NULL, hears of each. */
size_t	cache_clear(struct cache *c, const char *domain,
	    void (*fn)(const char *name, uint16_t type, void *arg), void *arg);
void	cache_stats(const struct cache *c, struct cache_stats *s_r);

/*
 * Lists up to `limit` questions whose name begins with prefix, in the order of
 * "name/type", behind `after` (empty: from the start). True if there are more.
 */
bool	cache_list(struct cache *c, struct view prefix, struct view after, size_t limit,
	    uint64_t now_ms, void (*fn)(const char *name, uint16_t type,
	    const struct answer *a, void *arg), void *arg);
/* "name/type" as cache_list() orders by it. */
void	cache_put_key(struct buf *b, const char *name, uint16_t type);

#endif
