/* SPDX-License-Identifier: ISC */
/*
 * account_record.c: what an import file may hold, and a line of a passwd-file.
 * The first byte: domain, user, alias or line. A record that is taken is taken
 * again in the form it got; a name that has a form is its own form.
 */
#include <stdint.h>

#include "authd/accounts.h"
#include "authd/name.h"
#include "authd/passwd_line.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(struct view v)
{
	struct buf once, twice;

	buf_init(&once, NAME_MAX_LEN);
	buf_init(&twice, NAME_MAX_LEN);
	if (name_put(&once, v, VIEW("x.test")) == 0) {
		ASSERT(name_put(&twice, buf_view(&once), VIEW("")) == 0);
		ASSERT(view_eq(buf_view(&once), buf_view(&twice)));
	}
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_line(struct view v)
{
	struct passwd_line l;

	if (passwd_line_parse(v, &l) != 0)
		return;
	ASSERT(l.name.p >= v.p && l.name.p + l.name.len <= v.p + v.len && l.name.len > 0);
	check_name(l.name);
}

static void
check_record(enum accounts_kind kind, struct view v)
{
	json_t *record = json_loadb(v.p, v.len, JSON_ALLOW_NUL, NULL), *copy;
	struct buf why;

	buf_init(&why, 1000);
	if (record != NULL && accounts_record_check(kind, record, &why) == 0) {
		copy = json_deep_copy(record);
		ASSERT(accounts_record_check(kind, record, &why) == 0);
		ASSERT(json_equal(copy, record));
		json_decref(copy);
	}
	json_decref(record);
	buf_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view v = view_of((const char *)data, size);

	if (size == 0)
		return 0;
	v = view_from(v, 1);
	if (data[0] % 4 == ACCOUNTS_KINDS)
		check_line(v);
	else
		check_record((enum accounts_kind)(data[0] % 4), v);
	check_name(v);
	return 0;
}
