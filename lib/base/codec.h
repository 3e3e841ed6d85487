/* SPDX-License-Identifier: ISC */
/*
 * codec.h: hex, base64, JSON strings, UTF-8 checks.
 */
#ifndef PK_BASE_CODEC_H
#define PK_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

int	hex_put(struct buf *b, struct view bytes);
/* PK_ESYNTAX for odd length or a foreign byte. */
int	hex_decode(struct buf *b, struct view text);
int	base64_put(struct buf *b, struct view bytes);
/* Strict RFC 4648: padding required, no blanks, zero trailing bits. */
int	base64_decode(struct buf *b, struct view text);
/* "text" with JSON's escapes; bytes that are not UTF-8 become U+FFFD. */
int	json_put_string(struct buf *b, struct view text);
/* Shortest form only, no surrogates, up to U+10FFFF. */
bool	utf8_valid(struct view v);
/*
 * Length (1 to 4) of the well-formed sequence at p, of which n bytes are
 * there; 0 if there is none.
 */
size_t	utf8_sequence(const char *p, size_t n);
bool	ascii_only(struct view v);

#endif
