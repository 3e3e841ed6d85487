/* SPDX-License-Identifier: ISC */
/*
 * sasl_scram_parse.c of authd: who a SCRAM message is about, and verifiers.
 *
 * libgsasl reads the message too, but asks for the verifier while it does: we
 * have to know the name before. Both must come to the same name; sasl_scram.c
 * compares.
 */
#include <string.h>

#include "authd/sasl_scram.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/num.h"

/* Takes what stands before the next comma. */
static int
next_part(struct view *rest, struct view *part_r)
{
	ptrdiff_t comma = view_find(*rest, ',');

	if (comma < 0)
		return PK_ESYNTAX;
	*part_r = view_head(*rest, (size_t)comma);
	*rest = view_from(*rest, (size_t)comma + 1);
	return 0;
}

int
scram_name_put(struct view name, struct buf *out)
{
	if (name.len == 0 || !utf8_valid(name))
		return PK_ESYNTAX;
	for (size_t i = 0; i < name.len; i++) {
		struct view code = view_head(view_from(name, i), 3);

		if (name.p[i] != '=') {
			buf_put_char(out, name.p[i]);
			continue;
		}
		if (!view_eq(code, VIEW("=2C")) && !view_eq(code, VIEW("=3D")))
			return PK_ESYNTAX;
		buf_put_char(out, code.p[2] == 'C' ? ',' : '=');
		i += 2;
	}
	return buf_error(out);
}

static int
parse_flag(struct view part, struct scram_first *f)
{
	f->binding = VIEW("");
	if (part.len == 1 && (part.p[0] == 'n' || part.p[0] == 'y')) {
		f->flag = part.p[0];
		return 0;
	}
	if (!view_starts(part, VIEW("p=")) || part.len == 2)
		return PK_ESYNTAX;
	f->flag = 'p';
	f->binding = view_from(part, 2);
	return 0;
}

static bool
nonce_ok(struct view nonce)
{
	if (nonce.len == 0 || nonce.len > SCRAM_NONCE_MAX)
		return false;
	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.p[i] <= ' ' || nonce.p[i] > '~')
			return false;
	return true;
}

int
scram_first_parse(struct view message, struct scram_first *first_r,
    struct buf *user, struct buf *authzid)
{
	struct view rest = message, part;
	struct scram_first f;
	int rc;

	if (memchr(message.p != NULL ? message.p : "", '\0', message.len) !=
	    NULL)
		return PK_ESYNTAX;
	if (next_part(&rest, &part) != 0 || parse_flag(part, &f) != 0 ||
	    next_part(&rest, &part) != 0)
		return PK_ESYNTAX;
	if (part.len > 0) {
		if (!view_starts(part, VIEW("a=")))
			return PK_ESYNTAX;
		rc = scram_name_put(view_from(part, 2), authzid);
		if (rc != 0)
			return rc;
	}
	if (next_part(&rest, &part) != 0 || !view_starts(part, VIEW("n=")))
		return PK_ESYNTAX;
	rc = scram_name_put(view_from(part, 2), user);
	if (rc != 0)
		return rc;
	/* Extensions may follow the nonce; none is known. */
	if (next_part(&rest, &part) != 0)
		part = rest;
	if (!view_starts(part, VIEW("r=")) || !nonce_ok(view_from(part, 2)))
		return PK_ESYNTAX;
	f.nonce = view_from(part, 2);
	*first_r = f;
	return 0;
}

/* size: decoded bytes that there must be, 0: any number up to 64. */
static bool
is_base64(struct view text, size_t size)
{
	struct buf b;
	bool ok;

	buf_init(&b, 64);
	ok = base64_decode(&b, text) == 0 && b.len > 0 &&
	    (size == 0 || b.len == size);
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	return ok;
}

int
scram_verifier_parse(struct view text, struct view scheme, size_t key_size,
    struct scram_verifier *v_r)
{
	struct scram_verifier v;
	struct view rest = text;
	uint64_t n;

	if (rest.len < scheme.len + 2 || rest.p[0] != '{' ||
	    !view_caseeq(view_head(view_from(rest, 1), scheme.len), scheme) ||
	    rest.p[scheme.len + 1] != '}')
		return PK_EFORMAT;
	rest = view_from(rest, scheme.len + 2);
	if (next_part(&rest, &v.iterations) != 0 ||
	    next_part(&rest, &v.salt) != 0 ||
	    next_part(&rest, &v.stored_key) != 0)
		return PK_EFORMAT;
	v.server_key = rest;
	if (num_parse_u64(v.iterations, 1, SCRAM_ITERATIONS_MAX, &n) != 0 ||
	    !is_base64(v.salt, 0) || !is_base64(v.stored_key, key_size) ||
	    !is_base64(v.server_key, key_size))
		return PK_EFORMAT;
	*v_r = v;
	return 0;
}
