/* SPDX-License-Identifier: ISC */
/*
 * map_test.c: the map against a plain array, walks that delete, shrinking.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/map.h"

#define MODEL 600

static int freed;

static void
count_free(void *value)
{
	(void)value;
	freed++;
}

static void
answers(void **state)
{
	struct map *m = map_new();
	int a, b;

	(void)state;
	assert_null(map_get(m, VIEW("x")));
	assert_null(map_del(m, VIEW("x")));
	assert_null(map_put(m, VIEW(""), &a));
	assert_null(map_put(m, VIEW("longer than eight"), &b));
	assert_ptr_equal(map_get(m, VIEW_NONE), &a);
	assert_ptr_equal(map_get(m, VIEW("longer than eight")), &b);
	assert_null(map_get(m, VIEW("longer than eighT")));
	assert_ptr_equal(map_put(m, VIEW(""), &b), &a);
	assert_int_equal(map_count(m), 2);
	assert_ptr_equal(map_del(m, VIEW("")), &b);
	assert_null(map_get(m, VIEW("")));
	freed = 0;
	map_free(&m, count_free);
	assert_int_equal(freed, 1);
	assert_null(m);
	map_free(&m, NULL);
}

/* Keys of every length around what is kept in the entry. */
static struct view
model_key(size_t i, char *space)
{
	size_t len = 4 + i % 9;

	memset(space, 'k', len);
	memcpy(space, &(uint32_t){ (uint32_t)i }, 4);
	return view_of(space, len);
}

static void
agrees_with_model(void **state)
{
	static char model[MODEL];
	struct map *m = map_new();
	size_t round, i, count = 0;
	uint32_t r = 12345;
	char space[16];
	struct view key;

	(void)state;
	for (round = 0; round < 60000; round++) {
		r = r * 1664525 + 1013904223;
		i = (r >> 8) % MODEL;
		key = model_key(i, space);
		/* First more puts than removals, then the other way round. */
		if ((r >> 24) % 4 < (round / 10000 % 2 == 0 ? 3u : 1u)) {
			assert_ptr_equal(map_put(m, key, &model[i]),
			    model[i] ? &model[i] : NULL);
			count += !model[i];
			model[i] = 1;
		} else {
			assert_ptr_equal(map_del(m, key),
			    model[i] ? &model[i] : NULL);
			count -= model[i] != 0;
			model[i] = 0;
		}
		assert_int_equal(map_count(m), count);
	}
	for (i = 0; i < MODEL; i++)
		assert_ptr_equal(map_get(m, model_key(i, space)),
		    model[i] ? &model[i] : NULL);
	map_free(&m, NULL);
}

static void
walks_while_deleting(void **state)
{
	static int seen[1000];
	struct map *m = map_new();
	size_t cursor = 0, n = 0;
	struct view key;
	uint64_t i;
	void *value;

	(void)state;
	assert_false(map_next(m, &cursor, &key, &value));
	for (i = 0; i < NELEMS(seen); i++)
		map_put_u64(m, i, &seen[i]);
	cursor = 0;
	while (map_next(m, &cursor, &key, &value)) {
		n++;
		++*(int *)value;
		memcpy(&i, key.p, sizeof(i));
		assert_ptr_equal(value, &seen[i]);
		if (n % 5 != 0)
			assert_ptr_equal(map_del(m, key), value);
	}
	assert_int_equal(n, NELEMS(seen));
	assert_int_equal(map_count(m), NELEMS(seen) / 5);
	for (i = 0; i < NELEMS(seen); i++)
		assert_int_equal(seen[i], 1);
	cursor = 0;
	for (n = 0; map_next(m, &cursor, NULL, NULL); n++)
		continue;
	assert_int_equal(n, NELEMS(seen) / 5);
	map_free(&m, NULL);
}

UNIT_MAIN(
	cmocka_unit_test(answers),
	cmocka_unit_test(agrees_with_model),
	cmocka_unit_test(walks_while_deleting)
)
