/* SPDX-License-Identifier: ISC */
/*
 * cache.h: passwords that were right a while ago.
 *
 * No password and no hash is kept: an entry is found by a MAC of login and
 * password and holds a MAC of the hash that they matched, both under a key of
 * this process. The user is looked up at each login all the same, so that a
 * hash that was changed, anywhere, by anybody, matches no entry.
 */
#ifndef PK_AUTHD_CACHE_H
#define PK_AUTHD_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct auth_cache;

struct auth_cache *auth_cache_new(void);
void	auth_cache_free(struct auth_cache **c);
/* Found by auth_cache_key(). */
struct auth_cache_key {
	uint8_t		mac[32];
};
void	auth_cache_key(const struct auth_cache *c, struct view login, struct view password,
	    struct auth_cache_key *key_r);
bool	auth_cache_has(struct auth_cache *c, const struct auth_cache_key *k, struct view hash,
	    uint64_t ttl_ms, uint64_t now_ms);
void	auth_cache_put(struct auth_cache *c, const struct auth_cache_key *k, struct view hash,
	    uint64_t now_ms);

#endif
