/* SPDX-License-Identifier: ISC */
/*
 * heap_test.c: order, removal from the middle, changed keys.
 */
#include "tests/unit/unit.h"

#include "base/heap.h"

struct item {
	int			id;
	struct heap_node	node;
};

static void
check_order(struct heap *h)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		assert_int_equal(h->nodes[i]->index, i);
		assert_true(i == 0 ||
		    h->nodes[(i - 1) / 2]->key <= h->nodes[i]->key);
	}
}

static void
sorts(void **state)
{
	struct item items[500];
	uint64_t last = 0;
	struct heap_node *n;
	uint32_t r = 1;
	struct heap h;
	size_t i;

	(void)state;
	heap_init(&h);
	assert_null(heap_min(&h));
	for (i = 0; i < NELEMS(items); i++) {
		r = r * 1664525 + 1013904223;
		heap_node_init(&items[i].node);
		assert_false(heap_node_queued(&items[i].node));
		heap_update(&h, &items[i].node, r % 100);
	}
	for (i = 0; i < NELEMS(items); i += 3) {
		r = r * 1664525 + 1013904223;
		heap_update(&h, &items[i].node, r % 100);
		check_order(&h);
	}
	for (i = 0; i < NELEMS(items); i += 7) {
		heap_remove(&h, &items[i].node);
		heap_remove(&h, &items[i].node);
		assert_false(heap_node_queued(&items[i].node));
		check_order(&h);
	}
	for (i = 0; (n = heap_min(&h)) != NULL; i++) {
		assert_true(n->key >= last);
		last = n->key;
		heap_remove(&h, n);
	}
	assert_int_equal(i, NELEMS(items) - (NELEMS(items) + 6) / 7);
	heap_fini(&h);
}

static void
finds_owner(void **state)
{
	struct item item = { .id = 7 };
	struct heap h;

	(void)state;
	heap_init(&h);
	heap_node_init(&item.node);
	heap_insert(&h, &item.node, UINT64_MAX);
	assert_int_equal(HEAP_OWNER(heap_min(&h), struct item, node)->id, 7);
	heap_fini(&h);
	assert_false(heap_node_queued(&item.node));
}

UNIT_MAIN(
	cmocka_unit_test(sorts),
	cmocka_unit_test(finds_owner)
)
