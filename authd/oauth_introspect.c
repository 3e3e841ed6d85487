/* SPDX-License-Identifier: ISC */
/*
 * oauth_introspect.c of authd: tokens by asking the issuer (RFC 7662).
 *
 * An answer that says "active" is remembered for a minute, not beyond the
 * token's end, under a MAC of the token: a client that opens ten connections
 * makes one question.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "authd/oauth_private.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

struct remembered {
	char		*user;
	uint64_t	 until_ms;	/* of the loop's clock */
};

struct token_mac {
	unsigned char	bytes[32];
};

enum oauth_result
oauth_introspect_judge(struct view answer, const struct oauth_policy *p,
    uint64_t now_s, struct oauth_claims *c_r, struct buf *why)
{
	const json_t *active;
	json_t *o = NULL;
	int rc;

	if (oauth_json_parse(answer, OAUTH_ANSWER_MAX, &o, why) != 0)
		return OAUTH_TEMPORARY;
	active = json_object_get(o, "active");
	if (!json_is_boolean(active)) {
		buf_put_str(why, "does not say whether it is active");
		rc = PK_EFORMAT;
	} else if (!json_is_true(active)) {
		buf_put_str(why, "it is not active");
		rc = PK_EPERM;
	} else {
		rc = oauth_claims_check(o, p, now_s, c_r, why);
	}
	json_decref(o);
	if (rc == PK_EFORMAT)
		return OAUTH_TEMPORARY;
	return rc == 0      ? OAUTH_OK :
	    rc == PK_ENOENT ? OAUTH_SCOPE :
			      OAUTH_INVALID;
}

/* ---- what was active a moment ago ---- */

static void
remembered_free(void *p)
{
	struct remembered *r = p;

	xfree(r->user);
	xfree(r);
}

static struct token_mac
mac_of(struct oauth_check *c)
{
	struct token_mac m;
	unsigned len = 0;

	if (HMAC(EVP_sha256(), c->o->remember_key, sizeof(c->o->remember_key),
		(const unsigned char *)buf_data(&c->token), c->token.len,
		m.bytes, &len) == NULL)
		log_fatal("HMAC-SHA-256 failed");
	return m;
}

static struct view
mac_view(const struct token_mac *m)
{
	return view_of((const char *)m->bytes, sizeof(m->bytes));
}

static void
forget_old(struct oauth *o)
{
	struct remembered *r;
	size_t cursor = 0;
	struct view key;
	void *value;

	while (map_next(o->remembered, &cursor, &key, &value)) {
		r = value;
		if (r->until_ms > loop_now_ms(o->loop))
			continue;
		(void)map_del(o->remembered, key);
		remembered_free(r);
	}
}

static void
remember(struct oauth_check *c, const struct oauth_claims *found)
{
	struct oauth *o = c->o;
	struct token_mac m = mac_of(c);
	uint64_t now_s = clock_wall_ms() / 1000, keep = OAUTH_REMEMBER_MS;
	struct remembered *r, *before;

	if (found->expires_s <= now_s)
		return;
	if ((found->expires_s - now_s) < keep / 1000)
		keep = (found->expires_s - now_s) * 1000;
	if (map_count(o->remembered) >= OAUTH_REMEMBER_MAX)
		forget_old(o);
	if (map_count(o->remembered) >= OAUTH_REMEMBER_MAX)
		return;
	r = XNEW(struct remembered);
	r->user = xstrdup(found->user);
	r->until_ms = loop_now_ms(o->loop) + keep;
	before = map_put(o->remembered, mac_view(&m), r);
	if (before != NULL)
		remembered_free(before);
}

static bool
answer_remembered(struct oauth_check *c)
{
	struct token_mac m = mac_of(c);
	const struct remembered *r = map_get(c->o->remembered, mac_view(&m));

	if (r == NULL || r->until_ms <= loop_now_ms(c->o->loop))
		return false;
	oauth_answer(c, OAUTH_OK, r->user, "");
	return true;
}

void
oauth_introspect_forget(struct oauth *o)
{
	map_free(&o->remembered, remembered_free);
}

/* ---- asking ---- */

static void
on_answer(long status, struct view answer, const char *error, void *arg)
{
	struct oauth_check *c = arg;
	struct oauth *o = c->o;
	enum oauth_result result = OAUTH_TEMPORARY;
	struct oauth_claims found = { 0 };
	struct buf why;

	c->request = NULL;
	buf_init(&why, 600);
	if (status == 0)
		buf_put_str(&why, error);
	else if (status != 200)
		buf_printf(&why, "status %ld%s", status,
		    status == 401 ?
			": oauth2_client_id or the secret is wrong" :
			"");
	else
		result = oauth_introspect_judge(
		    answer, &o->policy, clock_wall_ms() / 1000, &found, &why);
	if (result == OAUTH_TEMPORARY)
		oauth_service_failed(o, o->introspection_url, buf_cstr(&why));
	else
		oauth_service_worked(o, o->introspection_url);
	if (result == OAUTH_OK)
		remember(c, &found);
	oauth_answer(
	    c, result, result == OAUTH_OK ? found.user : "", buf_cstr(&why));
	oauth_claims_fini(&found);
	buf_fini(&why);
}

/* application/x-www-form-urlencoded */
static void
put_encoded(struct buf *b, struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (ascii_isalnum(v.p[i]) || strchr("-._~", v.p[i]) != NULL)
			buf_put_char(b, v.p[i]);
		else
			buf_printf(b, "%%%02X", (unsigned char)v.p[i]);
}

void
oauth_introspect_check(struct oauth_check *c)
{
	struct oauth *o = c->o;
	struct http_question q = {
		.url = o->introspection_url,
		.credentials = o->credentials,
		.size_max = OAUTH_ANSWER_MAX,
		.timeout_ms = o->timeout_ms,
	};
	struct buf body;

	if (answer_remembered(c))
		return;
	if (!http_breaker_permits(&o->breaker, loop_now_ms(o->loop))) {
		oauth_answer(c, OAUTH_TEMPORARY, "", "the token service failed lately");
		return;
	}
	buf_init(&body, 3 * OAUTH_TOKEN_MAX + 100);
	(void)buf_room(&body, 3 * c->token.len + 100);
	buf_put_str(&body, "token_type_hint=access_token&token=");
	put_encoded(&body, buf_view(&c->token));
	q.body = buf_view(&body);
	c->request = http_ask(o->http, &q, on_answer, c);
	explicit_bzero(body.data, body.cap);
	buf_fini(&body);
	if (c->request == NULL)
		oauth_answer(c, OAUTH_TEMPORARY, "", "too many questions wait");
}
