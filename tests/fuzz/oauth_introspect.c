/* SPDX-License-Identifier: ISC */
/*
 * oauth_introspect.c: fuzzes answers of a token service. There is a user when
 * and only when the token is right.
 */
#include <stdint.h>

#include "authd/oauth_private.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct oauth_policy p = {
		"https://id.example.test", "mail", "mail.send", "email", false,
	};
	struct oauth_claims c = { 0 };
	enum oauth_result result;
	struct buf why;

	buf_init(&why, 1000);
	result = oauth_introspect_judge(view_of((const char *)data, size), &p,
	    1800000000, &c, &why);
	ASSERT((result == OAUTH_OK) == (c.user != NULL));
	ASSERT(result == OAUTH_OK || why.len > 0);
	oauth_claims_fini(&c);
	buf_fini(&why);
	return 0;
}
