/* SPDX-License-Identifier: ISC */
/*
 * xtext.h: the encodings of DSN parameters: xtext (RFC 3461 section 4) and
 * utf-8-addr-xtext / utf-8-addr-unitext (RFC 6533 section 3).
 */
#ifndef PK_MAIL_XTEXT_H
#define PK_MAIL_XTEXT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/view.h"

/* RFC 3461 4.4: ENVID as sent; 4.2: ORCPT as sent. */
#define XTEXT_ENVID_MAX	100
#define XTEXT_ORCPT_MAX	500

/* Printable ASCII without '+' and '=', and "+XX" in upper-case hex (lower taken too). */
bool	xtext_valid(struct view v);
/* Appends the decoded bytes; PK_ESYNTAX. They may hold controls: sanitise. */
int	xtext_decode(struct buf *b, struct view v);
int	xtext_put(struct buf *b, struct view raw);

/*
 * utf-8-addr-xtext: "\x{HEX}" for what is not plain ASCII; unitext (raw UTF-8)
 * is taken as well when utf8 is true (the session has SMTPUTF8).
 */
bool	xtext_utf8_valid(struct view v, bool utf8);
int	xtext_utf8_decode(struct buf *b, struct view v);
/* As utf-8-addr-xtext: only ASCII comes out. PK_ESYNTAX if raw is not UTF-8. */
int	xtext_utf8_put(struct buf *b, struct view raw);

/*
 * "rfc822;user+40x" -> type and encoded value (views into v). PK_ESYNTAX,
 * PK_ELIMIT. Known types are rfc822 (xtext) and utf-8; the value of others is
 * checked as xtext.
 */
int	xtext_orcpt_parse(struct view v, bool utf8, struct view *type_r, struct view *value_r);

#endif
