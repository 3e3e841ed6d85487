/* SPDX-License-Identifier: ISC */
/*
 * oauth_jwt.c: fuzzes signed tokens. The private half of this key was thrown
 * away: no token is right. The same bytes are also tried as claims.
 */
#include <stdint.h>

#include "authd/oauth_json.h"
#include "authd/oauth_jwt.h"
#include "base/error.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_set[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
    "\"kid\":\"ec\",\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\","
    "\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static void
try_claims(struct view text)
{
	const struct oauth_policy p = {
		"https://id.example.test", "mail", "mail.send", "email", true,
	};
	struct oauth_claims c = { 0 };
	json_t *claims = NULL;
	struct buf why;
	int rc;

	buf_init(&why, 1000);
	if (oauth_json_parse(text, JWT_SIZE_MAX, &claims, NULL) == 0) {
		rc = oauth_claims_check(claims, &p, 1800000000, &c, &why);
		ASSERT((rc == 0) == (c.user != NULL));
		oauth_claims_fini(&c);
		json_decref(claims);
	}
	buf_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of((const char *)data, size);
	static struct jwks *keys;
	json_t *claims = NULL;
	struct buf why;

	buf_init(&why, 1000);
	if (keys == NULL)
		ASSERT(jwks_parse(view_str(key_set), &keys, &why) == 0);
	ASSERT(oauth_jwt_verify(text, keys, (1U << JWKS_ALGORITHMS) - 1,
	    &claims, &why) != 0);
	ASSERT(why.len > 0 && claims == NULL);
	buf_fini(&why);
	try_claims(text);
	return 0;
}
