/* SPDX-License-Identifier: ISC */
/*
 * name.c: the canonical form of logins, addresses and domains.
 *
 * Runs in authd, in its loop and in threads: nothing here has a state. What
 * comes in is a stranger's.
 */
#include "authd/name.h"

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/domain.h"

/* RFC 5322 atext without letters and digits. */
static bool
is_atext(char c)
{
	return ascii_isalnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static int
put_ascii(struct buf *b, struct view local)
{
	size_t i;

	if (local.p[0] == '.' || local.p[local.len - 1] == '.')
		return PK_ESYNTAX;
	for (i = 0; i < local.len; i++) {
		if (local.p[i] == '.' ? local.p[i - 1] == '.' : !is_atext(local.p[i]))
			return PK_ESYNTAX;
	}
	for (i = 0; i < local.len; i++)
		buf_put_char(b, ascii_lower(local.p[i]));
	return buf_error(b);
}

/* Nothing that cannot be seen, or that has no meaning yet; as put_ascii() otherwise. */
static bool
has_only_visible(const uint8_t *p, size_t len)
{
	ucs4_t uc, before = 0;
	size_t i = 0;
	int n;

	while (i < len) {
		n = u8_mbtouc(&uc, p + i, len - i);
		if (n <= 0 || uc_is_general_category_withtable(uc,
		    UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Z))
			return false;
		if (uc == '.' ? before == '.' : uc < 0x80 && !is_atext((char)uc))
			return false;
		before = uc;
		i += (size_t)n;
	}
	return true;
}

static int
put_unicode(struct buf *b, struct view local)
{
	uint8_t *once, *twice = NULL;
	size_t len = 0, again = 0;
	int error = PK_ESYNTAX;

	once = u8_tolower((const uint8_t *)local.p, local.len, "", UNINORM_NFC, NULL, &len);
	if (once != NULL)
		twice = u8_tolower(once, len, "", UNINORM_NFC, NULL, &again);
	/* A form that changes again when it is made again would be two names. */
	if (twice != NULL && view_eq(view_of((char *)once, len), view_of((char *)twice, again)) &&
	    has_only_visible(once, len) && len > 0 && once[0] != '.' && once[len - 1] != '.')
		error = len <= NAME_LOCAL_MAX ? buf_put(b, once, len) : PK_ELIMIT;
	xfree(once);
	xfree(twice);
	return error;
}

int
name_put_local(struct buf *b, struct view local)
{
	if (local.len == 0)
		return PK_ESYNTAX;
	if (local.len > NAME_LOCAL_MAX)
		return PK_ELIMIT;
	if (ascii_only(local))
		return put_ascii(b, local);
	return utf8_valid(local) ? put_unicode(b, local) : PK_ESYNTAX;
}

int
name_put_domain(struct buf *b, struct view domain)
{
	if (domain.len == 0 || domain.p[0] == '[')
		return PK_ESYNTAX;
	return domain_put_ascii(b, domain);
}

int
name_put(struct buf *b, struct view name, struct view domain)
{
	struct view local = name;
	size_t before = b->len;
	ptrdiff_t at;
	int error;

	if (name.len > NAME_MAX_LEN)
		return PK_ELIMIT;
	at = view_rfind(name, '@');
	if (at >= 0) {
		local = view_head(name, (size_t)at);
		domain = view_from(name, (size_t)at + 1);
	}
	error = name_put_local(b, local);
	if (error == 0)
		error = buf_put_char(b, '@');
	if (error == 0)
		error = name_put_domain(b, domain);
	if (error != 0)
		buf_truncate(b, before);
	return error;
}

void
name_split(struct view name, struct view *local_r, struct view *domain_r)
{
	ptrdiff_t at = view_rfind(name, '@');

	*local_r = view_head(name, at >= 0 ? (size_t)at : name.len);
	*domain_r = at >= 0 ? view_from(name, (size_t)at + 1) : VIEW_NONE;
}
