/* SPDX-License-Identifier: ISC */
/*
 * heap.h: intrusive binary min-heap by a 64-bit key (times, priorities).
 * The node lives in the caller's struct; index is SIZE_MAX when it is in no
 * heap (heap_node_init).
 */
#ifndef PK_BASE_HEAP_H
#define PK_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t	key;
	size_t		index;
};

struct heap {
	struct heap_node **nodes;
	size_t		 count;
	size_t		 cap;
};

void	heap_init(struct heap *h);
void	heap_fini(struct heap *h);
void	heap_node_init(struct heap_node *n);
bool	heap_node_queued(const struct heap_node *n);
void	heap_insert(struct heap *h, struct heap_node *n, uint64_t key);
void	heap_remove(struct heap *h, struct heap_node *n);	/* fine if not queued */
void	heap_update(struct heap *h, struct heap_node *n, uint64_t key);	/* inserts if not queued */
struct heap_node *heap_min(const struct heap *h);	/* NULL when empty */

#define HEAP_OWNER(node, type, member)	\
	((type *)(void *)((char *)(node) - offsetof(type, member)))

#endif
