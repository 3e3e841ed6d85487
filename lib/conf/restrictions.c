/* SPDX-License-Identifier: ISC */
/*
 * restrictions.c: the words of smtpd_*_restrictions, checked when main.cf is
 * read: a list with a misspelt word must not come into force.
 */
#include "conf/conf_private.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

enum argument { ARGUMENT_none, ARGUMENT_table, ARGUMENT_number };

static const struct {
	const char	*name;
	enum argument	 argument;
} words[] = {
#define RESTRICTION(name, argument, text) { #name, ARGUMENT_##argument },
#include "conf/restrictions.def"
#undef RESTRICTION
};

/* type:name, with a type of letters and digits */
static bool
is_table(struct view v)
{
	ptrdiff_t colon = view_find(v, ':'), i;

	for (i = 0; i < colon; i++)
		if (!ascii_isalnum(v.p[i]))
			return false;
	return colon > 0;
}

static bool
argument_fits(enum argument kind, struct view v)
{
	uint64_t n;

	return kind == ARGUMENT_table ? is_table(v) : num_parse_u64(v, 0, 3600, &n) == 0;
}

static int
check_word(struct view word, struct view *rest, struct buf *why)
{
	struct view arg;
	size_t i;

	for (i = 0; i < NELEMS(words); i++)
		if (view_caseeq(word, view_str(words[i].name)))
			break;
	if (i == NELEMS(words)) {
		if (is_table(word))
			return 0;
		buf_printf(why, "there is no restriction \"%.*s\"", VIEW_ARG(view_head(word, 100)));
		return PK_ESYNTAX;
	}
	if (words[i].argument == ARGUMENT_none ||
	    (conf_list_next(rest, &arg) && argument_fits(words[i].argument, arg)))
		return 0;
	buf_printf(why, "%s needs %s behind it", words[i].name,
	    words[i].argument == ARGUMENT_table ? "a table (type:name)" : "a number of seconds");
	return PK_ESYNTAX;
}

int
conf_restrictions_check(struct view value, struct buf *why)
{
	struct view word;

	while (conf_list_next(&value, &word))
		if (check_word(word, &value, why) != 0)
			return PK_ESYNTAX;
	return 0;
}
