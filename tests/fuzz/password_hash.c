/* SPDX-License-Identifier: ISC */
/*
 * password_hash.c: stored hashes as anybody's database may have them. Costs
 * are read by every input; computed only where no number in it is large, so
 * that a run has thousands of them.
 */
#include <stdint.h>
#include <string.h>

#include "authd/password.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_cheap(struct view v)
{
	size_t i, run = 0;

	for (i = 0; i < v.len; i++) {
		run = ascii_isdigit(v.p[i]) ? run + 1 : 0;
		if (run > 2)
			return false;
	}
	return view_find(v, 'y') < 0 && view_find(v, '2') < 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *hash = view_dup(view_of((const char *)data, size));
	bool known = password_is_known(hash);
	int error;

	(void)password_is_weak(hash, "yescrypt");
	if (is_cheap(view_str(hash))) {
		error = password_verify(hash, VIEW("password"));
		ASSERT(known || (error != 0 && error != PK_EPERM));
	}
	xfree(hash);
	return 0;
}
