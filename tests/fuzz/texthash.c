/* SPDX-License-Identifier: ISC */
/*
 * texthash.c: table files of "key value" lines; the reader of logical lines
 * that every text table shares.
 */
#include <stdlib.h>

#include "base/log.h"
#include "table/table.h"
#include "table/table_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of((const char *)data, size);
	struct buf why, value;
	void *table = NULL;
	size_t i;

	log_set_level(LOG_LVL_FATAL);
	buf_init(&why, 2000);
	buf_init(&value, TABLE_VALUE_MAX);
	if (table_type_texthash.load_text(text, "fuzz", &table, &why) == 0) {
		(void)table_type_texthash.get(table, view_head(text, 8), &value);
		table_type_texthash.close(table);
		/* No control character gets into a value (A11). */
		for (i = 0; i < value.len; i++)
			if (buf_data(&value)[i] == '\n' || buf_data(&value)[i] == '\0')
				abort();
	} else if (why.len == 0) {
		abort();
	}
	buf_fini(&value);
	buf_fini(&why);
	return 0;
}
