/* SPDX-License-Identifier: ISC */
/*
 * sasl_bearer.c: fuzzes the messages of OAUTHBEARER and XOAUTH2. A token that
 * is taken has only a token's characters and lies inside the message.
 */
#include <stdint.h>

#include "authd/sasl_bearer.h"
#include "base/log.h"
#include "ipc/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct view message, struct view token, const struct buf *user)
{
	ASSERT(token.len > 0 && token.p >= message.p &&
	    token.p + token.len <= message.p + message.len);
	for (size_t i = 0; i < token.len; i++)
		ASSERT(token.p[i] > ' ' && token.p[i] < 0x7f);
	ASSERT(user->len <= AUTH_LOGIN_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view message = view_of((const char *)data, size);
	struct view token = VIEW_NONE;
	struct buf user;

	buf_init(&user, AUTH_LOGIN_MAX);
	if (bearer_oauth_parse(message, &user, &token) == 0)
		check(message, token, &user);
	buf_reset(&user);
	if (bearer_xoauth2_parse(message, &user, &token) == 0)
		check(message, token, &user);
	buf_fini(&user);
	return 0;
}
