/* SPDX-License-Identifier: ISC */
/*
 * oauth_keys.c of authd: tokens by the issuer's keys.
 *
 * Keys from a URL are fetched when the first token comes, anew when they are
 * an hour old, and when a token names a key that is not among them, at most
 * once a minute: nobody makes us a flood of requests with invented names.
 */
#include <string.h>

#include "authd/oauth_jwt.h"
#include "authd/oauth_private.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

static void
judge(struct oauth_check *c, const json_t *claims)
{
	struct oauth_claims found = { 0 };
	struct buf why;
	int rc;

	buf_init(&why, 500);
	rc = oauth_claims_check(
	    claims, &c->o->policy, clock_wall_ms() / 1000, &found, &why);
	oauth_answer(c,
	    rc == 0             ? OAUTH_OK :
		rc == PK_ENOENT ? OAUTH_SCOPE :
				  OAUTH_INVALID,
	    rc == 0 ? found.user : "", buf_cstr(&why));
	oauth_claims_fini(&found);
	buf_fini(&why);
}

/* False: no answer yet, newer keys might help. */
static bool
try_keys(struct oauth_check *c, bool last)
{
	json_t *claims = NULL;
	struct buf why;
	int rc;

	buf_init(&why, 500);
	rc = oauth_jwt_verify(
	    buf_view(&c->token), c->o->keys, c->o->algorithms, &claims, &why);
	if (rc == 0)
		judge(c, claims);
	else if (rc != PK_ENOENT || last)
		oauth_answer(c, OAUTH_INVALID, "", buf_cstr(&why));
	json_decref(claims);
	buf_fini(&why);
	return rc != PK_ENOENT || last;
}

static bool
keys_usable(const struct oauth *o)
{
	if (o->keys == NULL)
		return false;
	return o->keys_url == NULL ||
	    loop_now_ms(o->loop) - o->keys_got_ms < OAUTH_KEYS_STALE_MS;
}

static struct oauth_check *
first_waiting(struct oauth *o)
{
	struct oauth_check *c;

	TAILQ_FOREACH (c, &o->checks, link)
		if (c->waits_for_keys)
			return c;
	return NULL;
}

/* The keys are there, or they will not come. */
static void
wake_waiting(struct oauth *o, const char *why)
{
	struct oauth_check *c;

	while ((c = first_waiting(o)) != NULL) {
		c->waits_for_keys = false;
		if (keys_usable(o))
			(void)try_keys(c, true);
		else
			oauth_answer(c, OAUTH_TEMPORARY, "", why);
	}
}

static void
on_keys(long status, struct view answer, const char *error, void *arg)
{
	struct oauth *o = arg;
	struct jwks *keys = NULL;
	struct buf why;

	o->keys_request = NULL;
	buf_init(&why, 600);
	if (status == 0)
		buf_put_str(&why, error);
	else if (status != 200)
		buf_printf(&why, "status %ld", status);
	else if (jwks_parse(answer, &keys, &why) == 0) {
		jwks_free(&o->keys);
		o->keys = keys;
		o->keys_got_ms = loop_now_ms(o->loop);
		log_debug("%s: %zu keys, %zu of no use", o->keys_url,
		    keys->nkeys, keys->ignored);
	}
	if (keys == NULL)
		oauth_service_failed(o, o->keys_url, buf_cstr(&why));
	else
		oauth_service_worked(o, o->keys_url);
	wake_waiting(o, buf_cstr(&why));
	buf_fini(&why);
}

/* A request is under way when this returns true. */
static bool
fetch(struct oauth *o)
{
	const struct http_question q = {
		.url = o->keys_url,
		.size_max = JWKS_SIZE_MAX,
		.timeout_ms = o->timeout_ms,
	};
	uint64_t now = loop_now_ms(o->loop);

	if (o->keys_request != NULL)
		return true;
	if (o->keys_url == NULL)
		return false;
	/* Without any keys the breaker alone decides. */
	if (o->keys != NULL && now - o->keys_asked_ms < OAUTH_KEYS_LEAST_MS)
		return false;
	if (!http_breaker_permits(&o->breaker, now))
		return false;
	o->keys_asked_ms = now;
	o->keys_request = http_ask(o->http, &q, on_keys, o);
	return o->keys_request != NULL;
}

void
oauth_keys_check(struct oauth_check *c)
{
	struct oauth *o = c->o;
	bool fetching;

	if (!keys_usable(o)) {
		c->waits_for_keys = fetch(o);
		if (!c->waits_for_keys)
			oauth_answer(c, OAUTH_TEMPORARY, "",
			    "the issuer's keys are not there");
		return;
	}
	if (o->keys_url != NULL &&
	    loop_now_ms(o->loop) - o->keys_got_ms >= OAUTH_KEYS_FRESH_MS)
		(void)fetch(o);
	if (try_keys(c, o->keys_url == NULL))
		return;
	fetching = fetch(o);
	if (fetching)
		c->waits_for_keys = true;
	else
		(void)try_keys(c, true);
}
