/* SPDX-License-Identifier: ISC */
/*
 * sasl_bearer_parse.c of authd: the grammar of bearer messages.
 *
 *	OAUTHBEARER	gs2-header %x01 *( key "=" value %x01 ) %x01
 *	XOAUTH2		"user=" name %x01 "auth=Bearer " token %x01 %x01
 *
 * Exactly these: a message that could be read in two ways is refused.
 */
#include "authd/sasl_bearer.h"

#include "authd/sasl_scram.h"
#include "base/error.h"

#define SEPARATOR	'\001'
/* host, port, auth and what a client adds. */
#define PAIRS_MAX	16

static bool
take_until(struct view *rest, char end, struct view *part_r)
{
	ptrdiff_t n = view_find(*rest, end);

	if (n < 0)
		return false;
	*part_r = view_head(*rest, (size_t)n);
	*rest = view_from(*rest, (size_t)n + 1);
	return true;
}

/* RFC 6750: "Bearer" SP b64token. */
static int
parse_credentials(struct view v, struct view *token_r)
{
	struct view token;
	size_t i = 0;

	if (!view_casestarts(v, VIEW("Bearer ")))
		return PK_ESYNTAX;
	token = view_from(v, 7);
	while (i < token.len &&
	    (ascii_isalnum(token.p[i]) ||
		view_find(VIEW("-._~+/"), token.p[i]) >= 0))
		i++;
	if (i == 0)
		return PK_ESYNTAX;
	while (i < token.len && token.p[i] == '=')
		i++;
	if (i < token.len)
		return PK_ESYNTAX;
	*token_r = token;
	return 0;
}

static bool
key_ok(struct view key)
{
	for (size_t i = 0; i < key.len; i++)
		if (!ascii_isalpha(key.p[i]))
			return false;
	return key.len > 0;
}

/* VCHAR, blanks and line ends. */
static bool
value_ok(struct view value)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];

		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') ||
		    c == 0x7f)
			return false;
	}
	return true;
}

static int
parse_pairs(struct view rest, struct view *token_r)
{
	struct view pair, key, value = VIEW_NONE, token = VIEW_NONE;
	unsigned n = 0;

	while (take_until(&rest, SEPARATOR, &pair)) {
		if (pair.len == 0) {
			if (rest.len > 0 || token.len == 0)
				return PK_ESYNTAX;
			*token_r = token;
			return 0;
		}
		value = pair;
		if (++n > PAIRS_MAX || !take_until(&value, '=', &key) ||
		    !key_ok(key) || !value_ok(value))
			return PK_ESYNTAX;
		if (!view_eq(key, VIEW("auth")))
			continue;
		if (token.len > 0 || parse_credentials(value, &token) != 0)
			return PK_ESYNTAX;
	}
	return PK_ESYNTAX;
}

int
bearer_oauth_parse(struct view message, struct buf *user, struct view *token_r)
{
	struct view rest = message, flag, authzid;

	/* No channel binding: "p=" is for mechanisms that have one. */
	if (!take_until(&rest, ',', &flag) ||
	    !take_until(&rest, ',', &authzid) ||
	    (!view_eq(flag, VIEW("n")) && !view_eq(flag, VIEW("y"))))
		return PK_ESYNTAX;
	if (authzid.len > 0) {
		if (!view_starts(authzid, VIEW("a=")))
			return PK_ESYNTAX;
		if (scram_name_put(view_from(authzid, 2), user) != 0)
			return PK_ESYNTAX;
	}
	if (rest.len == 0 || rest.p[0] != SEPARATOR)
		return PK_ESYNTAX;
	return parse_pairs(view_from(rest, 1), token_r);
}

int
bearer_xoauth2_parse(struct view message, struct buf *user,
    struct view *token_r)
{
	struct view rest = message, name, auth;

	if (!take_until(&rest, SEPARATOR, &name) ||
	    !take_until(&rest, SEPARATOR, &auth) ||
	    !view_eq(rest, VIEW("\001")) || !view_starts(name, VIEW("user=")) ||
	    name.len == 5 || !view_starts(auth, VIEW("auth=")))
		return PK_ESYNTAX;
	if (buf_put_view(user, view_from(name, 5)) != 0)
		return PK_ELIMIT;
	return parse_credentials(view_from(auth, 5), token_r);
}
