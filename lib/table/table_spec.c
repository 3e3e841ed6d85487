/* SPDX-License-Identifier: ISC */
/*
 * table_spec.c: "type:name" taken apart.
 *
 * On its own, so that smtpd, which knows match lists but no tables, links
 * neither LMDB nor PCRE2.
 */
#include "table/table.h"
#include "table/table_impl.h"

bool
table_split_spec(struct view spec, struct view *type_r, struct view *name_r)
{
	ptrdiff_t colon, i;

	/* Postfix's proxymap is what lookupd is: the prefix changes nothing. */
	if (view_starts(spec, VIEW("proxy:")))
		spec = view_from(spec, sizeof("proxy:") - 1);
	colon = view_find(spec, ':');
	if (colon <= 0)
		return false;
	for (i = 0; i < colon; i++)
		if (!ascii_isalpha(spec.p[i]))
			return false;
	*type_r = view_head(spec, (size_t)colon);
	*name_r = view_from(spec, (size_t)colon + 1);
	return true;
}

bool
table_is_spec(struct view v)
{
	struct view type, name;

	return table_split_spec(v, &type, &name);
}
