/* SPDX-License-Identifier: ISC */
/*
 * heap.c: intrusive binary min-heap, for timers and schedules.
 *
 * Linked into every process. Nodes live in their owners, so that nothing is
 * allocated for one but its slot, and each knows its slot, so that taking one
 * out of the middle costs O(log n).
 */
#include "base/heap.h"

#include "base/log.h"
#include "base/mem.h"

#define HEAP_LEAST 16

void
heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void
heap_fini(struct heap *h)
{
	size_t i;

	for (i = 0; i < h->count; i++)
		h->nodes[i]->index = SIZE_MAX;
	xfree(h->nodes);
	heap_init(h);
}

void
heap_node_init(struct heap_node *n)
{
	n->key = 0;
	n->index = SIZE_MAX;
}

bool
heap_node_queued(const struct heap_node *n)
{
	return n->index != SIZE_MAX;
}

static void
set(struct heap *h, size_t i, struct heap_node *n)
{
	h->nodes[i] = n;
	n->index = i;
}

static void
sift_up(struct heap *h, size_t i, struct heap_node *n)
{
	size_t parent;

	while (i > 0) {
		parent = (i - 1) / 2;
		if (h->nodes[parent]->key <= n->key)
			break;
		set(h, i, h->nodes[parent]);
		i = parent;
	}
	set(h, i, n);
}

static void
sift_down(struct heap *h, size_t i, struct heap_node *n)
{
	size_t child;

	while ((child = 2 * i + 1) < h->count) {
		if (child + 1 < h->count &&
		    h->nodes[child + 1]->key < h->nodes[child]->key)
			child++;
		if (n->key <= h->nodes[child]->key)
			break;
		set(h, i, h->nodes[child]);
		i = child;
	}
	set(h, i, n);
}

/* Puts n where its key belongs, starting from the free slot i. */
static void
settle(struct heap *h, size_t i, struct heap_node *n)
{
	if (i > 0 && n->key < h->nodes[(i - 1) / 2]->key)
		sift_up(h, i, n);
	else
		sift_down(h, i, n);
}

void
heap_insert(struct heap *h, struct heap_node *n, uint64_t key)
{
	ASSERT(!heap_node_queued(n));
	if (h->count == h->cap) {
		h->cap = h->cap > 0 ? h->cap * 2 : HEAP_LEAST;
		h->nodes = xreallocarray(h->nodes, h->cap,
		    sizeof(*h->nodes));
	}
	n->key = key;
	sift_up(h, h->count++, n);
}

/* Gives memory back after a peak; a quarter, so that it does not swing. */
static void
shrink(struct heap *h)
{
	if (h->cap <= HEAP_LEAST || h->count > h->cap / 4)
		return;
	h->cap /= 2;
	h->nodes = xreallocarray(h->nodes, h->cap, sizeof(*h->nodes));
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	size_t i = n->index;
	struct heap_node *last;

	if (!heap_node_queued(n))
		return;
	ASSERT(i < h->count && h->nodes[i] == n);
	last = h->nodes[--h->count];
	n->index = SIZE_MAX;
	if (last != n)
		settle(h, i, last);
	shrink(h);
}

void
heap_update(struct heap *h, struct heap_node *n, uint64_t key)
{
	if (!heap_node_queued(n)) {
		heap_insert(h, n, key);
		return;
	}
	ASSERT(n->index < h->count && h->nodes[n->index] == n);
	n->key = key;
	settle(h, n->index, n);
}

struct heap_node *
heap_min(const struct heap *h)
{
	return h->count > 0 ? h->nodes[0] : NULL;
}
