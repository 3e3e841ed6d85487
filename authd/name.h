/* SPDX-License-Identifier: ISC */
/*
 * name.h: one form of a name, whoever writes it (A14).
 *
 * user@domain: the local part in lower case (Unicode) and NFC, the domain in
 * lower-case A-labels. Nothing else is the same: no extension is cut off, a
 * '%' or '!' is a letter like others, no blank is trimmed. What has no such
 * form (control, format and blank characters, quotes, an empty part, a byte
 * that is not UTF-8) is PK_ESYNTAX; over its length PK_ELIMIT.
 */
#ifndef PK_AUTHD_NAME_H
#define PK_AUTHD_NAME_H

#include "base/buf.h"
#include "base/view.h"

#define NAME_LOCAL_MAX	64	/* bytes, RFC 5321 4.5.3.1.1; also after NFC */
#define NAME_MAX_LEN	320

int	name_put_local(struct buf *b, struct view local);
int	name_put_domain(struct buf *b, struct view domain);
/* A login or address. domain: of one without; "" refuses these. On failure b is as it was. */
int	name_put(struct buf *b, struct view name, struct view domain);
/* name as name_put() made it. */
void	name_split(struct view name, struct view *local_r, struct view *domain_r);

#endif
