/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwks.c: fuzzes key sets. What is taken has a key and an algorithm.
 */
#include <stdint.h>

#include "authd/oauth_jwks.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwks *k = NULL;
	struct buf why;
	int rc;

	buf_init(&why, 1000);
	rc = jwks_parse(view_of((const char *)data, size), &k, &why);
	ASSERT((rc == 0) == (k != NULL) && (rc == 0 || why.len > 0));
	for (size_t i = 0; rc == 0 && i < k->nkeys; i++)
		ASSERT(k->keys[i].key != NULL && k->keys[i].algorithms != 0);
	jwks_free(&k);
	buf_fini(&why);
	return 0;
}
