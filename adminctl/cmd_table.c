/* SPDX-License-Identifier: ISC */
/*
 * cmd_table.c: adminctl table build: an lmdb table from its text source.
 */
#include <stdio.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/error.h"
#include "table/table.h"

int
run_table_build(const struct context *x, const json_t *args)
{
	const char *file = json_string_value(json_object_get(args, "file"));
	struct buf why;
	size_t count = 0;
	int error;

	buf_init(&why, 4096);
	error = table_build_lmdb(file, &count, &why);
	if (error != 0)
		fprintf(stderr, "adminctl: %s: %s\n", file,
		    why.len > 0 ? buf_cstr(&why) : pk_strerror(error));
	else if (x->json)
		printf("{\"version\": 1, \"entries\": %zu}\n", count);
	else
		printf("%s.lmdb: %zu entries\n", file, count);
	buf_fini(&why);
	return error == 0 ? EXIT_OK : EXIT_FAILED;
}
