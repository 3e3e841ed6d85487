/* SPDX-License-Identifier: ISC */
/* conf.c: main.cf; what is taken must be written and read back to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c, *again;
	struct buf one, two;

	if (size == 0)
		return 0;
	c = conf_load("main.cf", view_of((const char *)data, size), NULL, NULL);
	if (c == NULL)
		return 0;
	buf_init(&one, 8 << 20);
	buf_init(&two, 8 << 20);
	if (conf_serialise(c, &one) == 0 && one.len < 1 << 20) {
		again = conf_load("main.cf", buf_view(&one), NULL, NULL);
		ASSERT(again != NULL);
		ASSERT(conf_serialise(again, &two) == 0);
		ASSERT(view_eq(buf_view(&one), buf_view(&two)));
		conf_free(&again);
	}
	buf_fini(&one);
	buf_fini(&two);
	conf_free(&c);
	return 0;
}
