/* SPDX-License-Identifier: ISC */
/*
 * table_pcre.c: pattern tables: delimiters, flags, $ in results, and the time
 * that a key may cost. The key is the input's first line, the table the rest.
 */
#include <stdlib.h>

#include "base/log.h"
#include "table/table.h"
#include "table/table_impl.h"

/* PCRE2's own compiler is not what is looked for here. */
#define INPUT_MAX	2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of((const char *)data, size), key = VIEW_NONE;
	struct buf why, value;
	void *table = NULL;
	ptrdiff_t end = view_find(text, '\n');

	if (size > INPUT_MAX)
		return 0;
	log_set_level(LOG_LVL_FATAL);
	if (end >= 0) {
		key = view_head(text, (size_t)end);
		text = view_from(text, (size_t)end + 1);
	}
	buf_init(&why, 4000);
	buf_init(&value, TABLE_VALUE_MAX);
	if (table_type_pcre.load_text(text, "fuzz", &table, &why) == 0) {
		if (key.len > 0)
			(void)table_type_pcre.get(table, key, &value);
		table_type_pcre.close(table);
	} else if (why.len == 0) {
		abort();
	}
	buf_fini(&value);
	buf_fini(&why);
	return 0;
}
