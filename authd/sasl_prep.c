/* SPDX-License-Identifier: ISC */
/*
 * sasl_prep.c of authd: the prepared form of a password, by libgsasl.
 *
 * Printable ASCII is its own prepared form and does not go through the
 * library: it leaves copies in memory that it frees without wiping.
 */
#include <gsasl.h>
#include <string.h>

#include "authd/password.h"
#include "authd/sasl_prep.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

int
sasl_prep(struct view text, struct buf *out)
{
	char *in, *prepared = NULL;
	size_t n;
	int rc;

	if (text.len == 0 || text.len > PASSWORD_MAX)
		return text.len == 0 ? PK_ESYNTAX : PK_ELIMIT;
	if (view_is_printable(text) && ascii_only(text))
		return buf_put_view(out, text);
	if (!utf8_valid(text) || memchr(text.p, '\0', text.len) != NULL)
		return PK_ESYNTAX;
	in = view_dup(text);
	rc = gsasl_saslprep(in, GSASL_ALLOW_UNASSIGNED, &prepared, NULL);
	xfree_secret(in, text.len);
	if (rc != GSASL_OK)
		return PK_ESYNTAX;
	n = strlen(prepared);
	rc = n == 0 ? PK_ESYNTAX : buf_put(out, prepared, n);
	explicit_bzero(prepared, n);
	gsasl_free(prepared);
	return rc;
}
