/* SPDX-License-Identifier: ISC */
/*
 * mime_field.h: Content-Type and Content-Transfer-Encoding (RFC 2045 5, 6),
 * as much of them as structure needs.
 */
#ifndef PK_MAIL_MIME_FIELD_H
#define PK_MAIL_MIME_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"

/* RFC 2046 5.1.1 */
#define MIME_BOUNDARY_MAX	70

enum mime_kind {
	MIME_KIND_TEXT,
	MIME_KIND_MULTIPART,	/* with a boundary */
	MIME_KIND_MESSAGE,	/* message/rfc822, whose header can be walked */
	MIME_KIND_OTHER,
};

struct mime_type {
	enum mime_kind	kind;
	bool		digest;		/* multipart/digest */
	char		boundary[MIME_BOUNDARY_MAX];
	size_t		boundary_len;
};

enum mime_cte {
	MIME_CTE_NONE,
	MIME_CTE_7BIT,
	MIME_CTE_8BIT,
	MIME_CTE_BINARY,
	MIME_CTE_QP,
	MIME_CTE_OTHER,		/* base64, and what we do not know */
};

/* text/plain, or message/rfc822 in a digest. */
void	mime_type_default(struct mime_type *t_r, bool in_digest);
/*
 * value: behind the colon, unfolded. What cannot be read is text/plain; a
 * multipart without a usable boundary is text, because nothing delimits it.
 */
void	mime_type_parse(struct view value, struct mime_type *t_r);
enum mime_cte mime_cte_parse(struct view value);

#endif
