/* SPDX-License-Identifier: ISC */
/*
 * cache.c: passwords that were right a while ago.
 *
 * Runs in authd's loop. A table of fixed size, addressed by the MAC itself: a
 * stranger cannot choose where he falls, and a full place forgets its oldest.
 */
#include "authd/cache.h"

#include <bsd/stdlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/mem.h"

#define BUCKETS	16384u		/* times WAYS entries of 72 bytes: 4.5 MiB when all are used */
#define WAYS	4u

struct entry {
	uint8_t		mac[32];
	uint8_t		hash[32];
	uint64_t	put_ms;		/* 0: free */
};

struct auth_cache {
	uint8_t		key[32];
	struct entry	entries[BUCKETS * WAYS];
};

struct auth_cache *
auth_cache_new(void)
{
	struct auth_cache *c = XNEW(struct auth_cache);

	arc4random_buf(c->key, sizeof(c->key));
	return c;
}

void
auth_cache_free(struct auth_cache **c)
{
	if (*c != NULL)
		explicit_bzero((*c)->key, sizeof((*c)->key));
	xfree(*c);
	*c = NULL;
}

static void
mac(const struct auth_cache *c, const char *what, struct view v, uint8_t out[32])
{
	uint8_t key[33];

	memcpy(key, c->key, 32);
	key[32] = (uint8_t)what[0];
	(void)HMAC(EVP_sha256(), key, sizeof(key), (const uint8_t *)v.p, v.len, out, NULL);
	explicit_bzero(key, sizeof(key));
}

void
auth_cache_key(const struct auth_cache *c, struct view login, struct view password,
    struct auth_cache_key *key_r)
{
	uint8_t both[64];

	mac(c, "login", login, both);
	mac(c, "password", password, both + 32);
	mac(c, "key", view_of((char *)both, sizeof(both)), key_r->mac);
	explicit_bzero(both, sizeof(both));
}

static struct entry *
bucket_of(struct auth_cache *c, const struct auth_cache_key *k)
{
	uint32_t n;

	memcpy(&n, k->mac, sizeof(n));
	return &c->entries[n % BUCKETS * WAYS];
}

bool
auth_cache_has(struct auth_cache *c, const struct auth_cache_key *k, struct view hash,
    uint64_t ttl_ms, uint64_t now_ms)
{
	struct entry *e = bucket_of(c, k);
	uint8_t want[32];
	unsigned i;

	for (i = 0; i < WAYS; i++, e++) {
		if (e->put_ms == 0 || now_ms - e->put_ms >= ttl_ms ||
		    CRYPTO_memcmp(e->mac, k->mac, 32) != 0)
			continue;
		mac(c, "hash", hash, want);
		return CRYPTO_memcmp(e->hash, want, 32) == 0;
	}
	return false;
}

void
auth_cache_put(struct auth_cache *c, const struct auth_cache_key *k, struct view hash,
    uint64_t now_ms)
{
	struct entry *bucket = bucket_of(c, k), *e = bucket;
	unsigned i;

	for (i = 0; i < WAYS; i++) {
		if (bucket[i].put_ms != 0 && memcmp(bucket[i].mac, k->mac, 32) == 0) {
			e = &bucket[i];
			break;
		}
		if (bucket[i].put_ms < e->put_ms)
			e = &bucket[i];
	}
	memcpy(e->mac, k->mac, 32);
	mac(c, "hash", hash, e->hash);
	e->put_ms = now_ms > 0 ? now_ms : 1;
}
