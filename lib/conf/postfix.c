/* SPDX-License-Identifier: ISC */
/*
 * postfix.c: knows Postfix's parameters that have no counterpart here.
 *
 * An administrator who brings a main.cf along is told for each of them what
 * to use instead, as a warning: the mail still flows, and nobody believes
 * that a setting is in force which is not.
 */
#include "base/mem.h"
#include "conf/conf_private.h"

static const struct {
	const char	*name;
	const char	*hint;
} gone[] = {
#define GONE(name, hint) { #name, hint },
#include "conf/postfix.def"
#undef GONE
};

const char *
conf_postfix_hint(struct view name)
{
	struct view row;
	size_t i;

	for (i = 0; i < NELEMS(gone); i++) {
		row = view_str(gone[i].name);
		if (row.p[row.len - 1] == '*' ?
		    view_starts(name, view_head(row, row.len - 1)) : view_eq(name, row))
			return gone[i].hint;
	}
	return NULL;
}
