/* SPDX-License-Identifier: ISC */
/*
 * clock.h: monotonic time inside, wall time on disk and in print (F6).
 */
#ifndef PK_BASE_CLOCK_H
#define PK_BASE_CLOCK_H

#include <stdint.h>

#include "base/buf.h"

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* Milliseconds since 1970. */
uint64_t clock_wall_ms(void);
/* RFC 5322: "Fri, 20 Nov 2026 15:17:29 +0000", in the zone loaded at start. */
void	 clock_put_rfc5322(struct buf *b, uint64_t wall_ms);
/* RFC 3339 with milliseconds: "2026-11-20T15:17:29.123+00:00". */
void	 clock_put_rfc3339(struct buf *b, uint64_t wall_ms);
/* Loads the time zone; call before chroot. */
void	 clock_init(void);

#endif
