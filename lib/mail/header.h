/* SPDX-License-Identifier: ISC */
/*
 * header.h: fields of a message header, read in place (RFC 5322 2.2, 3.6).
 *
 * Reads CRLF wire form; a bare LF as line end is taken too (Maildir files).
 * A header ends at an empty line, at a line that is no field, or with the view.
 * What is written goes through header_put_value(): CR, LF, NUL and other
 * controls never come out (A11).
 */
#ifndef PK_MAIL_HEADER_H
#define PK_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/view.h"

struct header_field {
	struct view	name;		/* without the colon */
	struct view	value;		/* behind the colon, folds inside, no final line end */
	struct view	whole;		/* the field with its line end */
};

struct header_iter {
	struct view	message;
	size_t		pos;
};

void	header_iter_init(struct header_iter *it, struct view message);
/* False at the end of the header. */
bool	header_next(struct header_iter *it, struct header_field *f_r);
/* First field of that name (case-insensitive). Linear in the header. */
bool	header_find(struct view message, struct view name, struct header_field *f_r);
/* Bytes of the header with the empty line: where the body begins. */
size_t	header_length(struct view message);
/* A valid field name: 1 to 255 printable ASCII bytes without ':' and blank. */
bool	header_name_valid(struct view name);

/* value without folds: each line end and the blanks behind it become one blank; trimmed. */
int	header_put_unfolded(struct buf *b, struct view value);
/* value with every control byte but HT replaced by a blank. */
int	header_put_value(struct buf *b, struct view value);
/* "Name: value" CRLF, sanitised; PK_ESYNTAX for a bad name. */
int	header_put_field(struct buf *b, struct view name, struct view value);
/* A phrase for a display name: atoms as they are, else quoted; UTF-8 as encoded word. */
int	header_put_phrase(struct buf *b, struct view phrase);

#endif
