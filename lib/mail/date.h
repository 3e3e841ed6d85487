/* SPDX-License-Identifier: ISC */
/*
 * date.h: dates from text. (clock.h writes them.)
 */
#ifndef PK_MAIL_DATE_H
#define PK_MAIL_DATE_H

#include <stdint.h>

#include "base/view.h"

/* RFC 3339, "2026-11-20T15:17:29Z", offsets and fractions too. PK_ESYNTAX, PK_ERANGE. */
int	date_parse_rfc3339(struct view v, uint64_t *wall_ms_r);
/*
 * RFC 5322 3.3 with what the field sends: day name optional, seconds optional,
 * two-digit years, zones by name (4.3), comments behind. Before 1970: PK_ERANGE.
 */
int	date_parse_rfc5322(struct view v, uint64_t *wall_ms_r);

#endif
