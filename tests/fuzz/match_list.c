/* SPDX-License-Identifier: ISC */
/*
 * match_list.c: lists of names and networks. The name or address that is
 * looked for is the input's first line, the list the rest.
 */
#include <stdlib.h>

#include "base/error.h"
#include "table/match_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
match(enum match_kind kind, unsigned flags, struct view text, struct view key)
{
	struct match_list *l = NULL;
	struct domain_literal addr;
	bool found = false;
	struct buf why;

	buf_init(&why, 70000);
	if (match_list_parse(kind, flags, text, NULL, &l, &why) != 0) {
		if (l != NULL || why.len == 0)
			abort();
	} else {
		(void)match_list_name(l, key, &found);
		if (domain_parse_ip(key, &addr) == 0)
			(void)match_list_client(l, VIEW("unknown"), &addr, &found);
		if (found && match_list_empty(l))
			abort();
		match_list_free(&l);
	}
	buf_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of((const char *)data, size), key = VIEW_NONE;
	ptrdiff_t end = view_find(text, '\n');

	if (end >= 0) {
		key = view_head(text, (size_t)end);
		text = view_from(text, (size_t)end + 1);
	}
	match(MATCH_STRING, 0, text, key);
	match(MATCH_DOMAIN, MATCH_PARENT, text, key);
	match(MATCH_CLIENT, 0, text, key);
	return 0;
}
