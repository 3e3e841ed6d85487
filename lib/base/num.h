/* SPDX-License-Identifier: ISC */
/*
 * num.h: numbers from text, with a range, and text from numbers.
 * The whole view must be the number; no sign, no blank, no locale.
 */
#ifndef PK_BASE_NUM_H
#define PK_BASE_NUM_H

#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* PK_ESYNTAX or PK_ERANGE; *n_r untouched then. */
int	num_parse_u64(struct view v, uint64_t least, uint64_t greatest, uint64_t *n_r);
int	num_parse_hex(struct view v, uint64_t *n_r);
/*
 * Postfix's time values: number and an optional unit s m h d w (ms as our
 * addition); without one, `unit` ('s', 'm', 'h', 'd', 'w') applies. Result in
 * milliseconds.
 */
int	num_parse_time_ms(struct view v, char unit, uint64_t *ms_r);
/* Bytes with an optional k, m, g (powers of 1024). */
int	num_parse_size(struct view v, uint64_t *bytes_r);
/* "3d 4h", "5m 2s", "0s": the two greatest units. */
void	num_put_duration(struct buf *b, uint64_t ms);
/* "1.2 MB", "812 B". */
void	num_put_size(struct buf *b, uint64_t bytes);

#endif
