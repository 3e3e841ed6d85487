/* SPDX-License-Identifier: ISC */
/*
 * check_list.c: restriction lists as text and as items.
 *
 * Runs in smtpd when the configuration is compiled, and on lists that access
 * tables name. A list with a word nobody knows is not half obeyed: whoever
 * uses it gets 451 and the log says which word it was.
 */
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "conf/conf.h"
#include "smtpd/check.h"

/* More words than that in one list is a mistake. */
#define ITEMS_MAX	1000

const struct check_word *
check_word_find(struct view name)
{
	size_t i;

	for (i = 0; i < check_nwords; i++)
		if (view_caseeq(name, view_str(check_words[i].name)))
			return &check_words[i];
	return NULL;
}

/* Postfix: a table alone is looked up for what its stage is about. */
static const char *
word_of_stage(enum check_stage stage)
{
	switch (stage) {
	case CHECK_CLIENT:
		return "check_client_access";
	case CHECK_HELO:
		return "check_helo_access";
	case CHECK_SENDER:
		return "check_sender_access";
	default:
		return "check_recipient_access";
	}
}

static bool
is_table(struct view v)
{
	ptrdiff_t colon = view_find(v, ':');
	ptrdiff_t i;

	for (i = 0; i < colon; i++)
		if (!ascii_isalnum(v.p[i]))
			return false;
	return colon > 0;
}

static bool
argument_ok(enum check_argument kind, struct view v)
{
	uint64_t n;

	if (kind == CHECK_ARG_number)
		return num_parse_u64(v, 0, 3600, &n) == 0;
	return is_table(v);
}

static void
bad(struct check_list *list, const char *what, struct view v)
{
	if (list->bad == NULL)
		list->bad = xasprintf("%s \"%.*s\" in a restriction list", what,
		    VIEW_ARG(view_head(v, 100)));
}

static void
add(struct check_list *list, const struct check_word *word, struct view arg)
{
	if (list->count == ITEMS_MAX) {
		bad(list, "too many words, the first too much is", arg);
		return;
	}
	list->items = xreallocarray(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = (struct check_item){ word, arg };
}

void
check_list_parse(struct check_list *list, struct view text, enum check_stage stage)
{
	const struct check_word *word;
	struct view rest, item, arg;

	memset(list, 0, sizeof(*list));
	list->text = view_dup(text);
	rest = view_str(list->text);
	while (conf_list_next(&rest, &item)) {
		word = check_word_find(item);
		if (word == NULL && is_table(item)) {
			add(list, check_word_find(view_str(word_of_stage(stage))), item);
			continue;
		}
		if (word == NULL) {
			bad(list, "unknown word", item);
			continue;
		}
		arg = VIEW_NONE;
		if (word->argument != CHECK_ARG_none &&
		    (!conf_list_next(&rest, &arg) || !argument_ok(word->argument, arg)))
			bad(list, "missing argument of", item);
		else
			add(list, word, arg);
	}
}

void
check_list_fini(struct check_list *list)
{
	xfree(list->items);
	xfree(list->text);
	xfree(list->bad);
	memset(list, 0, sizeof(*list));
}

bool
check_list_guards(const struct check_list *list)
{
	static const char *const guards[] = { "reject_unauth_destination",
	    "defer_unauth_destination", "reject", "defer" };
	bool warned = false;
	size_t i, k;

	for (i = 0; i < list->count; i++) {
		const char *name = list->items[i].word->name;

		if (strcmp(name, "permit") == 0)
			return false;
		for (k = 0; k < NELEMS(guards); k++)
			if (strcmp(name, guards[k]) == 0 && !warned)
				return true;
		warned = strcmp(name, "warn_if_reject") == 0;
	}
	return false;
}

bool
check_list_permits_all(const struct check_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (strcmp(list->items[i].word->name, "permit") == 0)
			return true;
	return false;
}
