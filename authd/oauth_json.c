/* SPDX-License-Identifier: ISC */
/*
 * oauth_json.c of authd: JSON of strangers, and judging claims.
 *
 * jansson parses; before it a scan of our own bounds depth, because its bound
 * (2048) is one of recursion.
 */
#include "authd/oauth_json.h"

#include <string.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/auth.h"

int
base64url_decode(struct buf *b, struct view text)
{
	struct buf plain;
	int rc;

	if (text.len % 4 == 1 || text.len > 1 << 20)
		return PK_ESYNTAX;
	buf_init(&plain, text.len + 3);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (!ascii_isalnum(c) && c != '-' && c != '_') {
			buf_fini(&plain);
			return PK_ESYNTAX;
		}
		buf_put_char(&plain, c == '-' ? '+' : c == '_' ? '/' : c);
	}
	while (plain.len % 4 != 0)
		buf_put_char(&plain, '=');
	rc = base64_decode(b, buf_view(&plain));
	buf_fini(&plain);
	return rc;
}

/* Brackets outside of strings. */
static bool
is_deep(struct view text)
{
	unsigned depth = 0;
	bool inside = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (inside && c == '\\')
			i++;
		else if (c == '"')
			inside = !inside;
		else if (!inside && (c == '{' || c == '['))
			depth++;
		else if (!inside && (c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > OAUTH_DEPTH_MAX)
			return true;
	}
	return false;
}

int
oauth_json_parse(struct view text, size_t max, json_t **o_r, struct buf *why)
{
	json_error_t error;
	json_t *o;

	if (text.len > max || is_deep(text)) {
		if (why != NULL)
			buf_put_str(
			    why, text.len > max ? "too large" : "too deep");
		return PK_ELIMIT;
	}
	o = json_loadb(text.len > 0 ? text.p : "", text.len,
	    JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(o)) {
		if (why != NULL && o == NULL)
			buf_printf(why, "no JSON: %s", error.text);
		else if (why != NULL)
			buf_put_str(why, "no JSON object");
		json_decref(o);
		return PK_ESYNTAX;
	}
	*o_r = o;
	return 0;
}

/* ---- claims ---- */

static bool
string_is(const json_t *v, const char *want)
{
	return json_is_string(v) && strcmp(json_string_value(v), want) == 0;
}

static bool
audience_ok(const json_t *aud, const char *want)
{
	const json_t *v;
	size_t i;

	if (string_is(aud, want))
		return true;
	json_array_foreach(aud, i, v) if (string_is(v, want)) return true;
	return false;
}

/* A NumericDate; whole seconds are enough. False: there, but no such thing. */
static bool
get_time(const json_t *claims, const char *name, uint64_t missing, uint64_t *s_r)
{
	const json_t *v = json_object_get(claims, name);
	double d;

	if (v == NULL) {
		*s_r = missing;
		return true;
	}
	d = json_number_value(v);
	if (!json_is_number(v) || !(d >= 0) || d > 1e15)
		return false;
	*s_r = (uint64_t)d;
	return true;
}

static const char *
times_wrong(const json_t *claims, bool strict, uint64_t now_s, uint64_t *expires_r)
{
	uint64_t exp, nbf, iat;

	if (!get_time(claims, "exp", UINT64_MAX, &exp) ||
	    !get_time(claims, "nbf", 0, &nbf) ||
	    !get_time(claims, "iat", 0, &iat))
		return "a time is no number";
	if (strict && exp == UINT64_MAX)
		return "it does not say when it expires";
	if (exp != UINT64_MAX && now_s >= exp + OAUTH_LEEWAY_S)
		return "it is expired";
	if (nbf > now_s + OAUTH_LEEWAY_S)
		return "it is not valid yet";
	if (iat > now_s + OAUTH_LEEWAY_S)
		return "it was issued in the future";
	*expires_r = exp;
	return NULL;
}

/* "scope": words (RFC 8693, RFC 7662); some services write "scp", also as a list. */
static bool
has_scope(const json_t *claims, struct view want)
{
	static const char *const fields[] = { "scope", "scp" };
	struct view rest, word;
	const json_t *v, *each;
	size_t n;

	for (size_t i = 0; i < NELEMS(fields); i++) {
		v = json_object_get(claims, fields[i]);
		rest = view_str(json_string_value(v));
		while (view_next(&rest, " ", &word))
			if (view_eq(word, want))
				return true;
		json_array_foreach(
		    v, n, each) if (view_eq(view_str(json_string_value(each)),
					want)) return true;
	}
	return false;
}

static const char *
user_of(const json_t *claims, const struct oauth_policy *p)
{
	const json_t *v = json_object_get(claims, p->claim);
	const char *user = json_string_value(v);

	if (user == NULL || *user == '\0' ||
	    json_string_length(v) > AUTH_LOGIN_MAX)
		return NULL;
	/* Whoever signs up may write any address there. */
	if (strcmp(p->claim, "email") == 0 &&
	    json_is_false(json_object_get(claims, "email_verified")))
		return NULL;
	return user;
}

static int
refuse(struct buf *why, const char *text)
{
	buf_put_str(why, text);
	return PK_EPERM;
}

int
oauth_claims_check(const json_t *claims, const struct oauth_policy *p,
    uint64_t now_s, struct oauth_claims *c_r, struct buf *why)
{
	const json_t *iss = json_object_get(claims, "iss");
	const json_t *aud = json_object_get(claims, "aud");
	struct view scopes = view_str(p->scopes), scope;
	const char *user, *wrong;
	uint64_t expires = 0;

	/* Who introspects need not say which issuer it is. */
	if (*p->issuer != '\0' && (iss != NULL || p->strict) &&
	    !string_is(iss, p->issuer))
		return refuse(why, "it is of another issuer");
	if (*p->audience != '\0' && !audience_ok(aud, p->audience))
		return refuse(why, "it is for another audience");
	wrong = times_wrong(claims, p->strict, now_s, &expires);
	if (wrong != NULL)
		return refuse(why, wrong);
	user = user_of(claims, p);
	if (user == NULL)
		return refuse(why, "it names no user that is verified");
	while (conf_list_next(&scopes, &scope))
		if (!has_scope(claims, scope)) {
			buf_printf(
			    why, "it lacks the scope %.*s", VIEW_ARG(scope));
			return PK_ENOENT;
		}
	c_r->user = xstrdup(user);
	c_r->expires_s = expires;
	return 0;
}

void
oauth_claims_fini(struct oauth_claims *c)
{
	xfree(c->user);
	c->user = NULL;
}
