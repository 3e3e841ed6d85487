/* SPDX-License-Identifier: ISC */
/*
 * scan.h: finds the bytes that lines are made of; private to lib/mail.
 *
 * One pass looks for CR, LF and NUL and notes bytes over 127 on the way, 16
 * bytes at a time where the machine has SSE2 (every amd64).
 */
#ifndef PK_MAIL_SCAN_H
#define PK_MAIL_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* First CR, LF or NUL in [p, end), or end. *high_r set when a byte before it is over 127. */
static inline const char *
scan_line_bytes(const char *p, const char *end, bool *high_r)
{
	unsigned high = 0;

#ifdef __SSE2__
	const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
	const __m128i nul = _mm_setzero_si128();

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned hit = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_or_si128(_mm_cmpeq_epi8(v, cr), _mm_cmpeq_epi8(v, lf)),
		    _mm_cmpeq_epi8(v, nul)));
		unsigned top = (unsigned)_mm_movemask_epi8(v);

		if (hit != 0) {
			unsigned at = (unsigned)__builtin_ctz(hit);

			high |= top & ((1u << at) - 1);
			*high_r |= high != 0;
			return p + at;
		}
		high |= top;
	}
#endif
	for (; p < end; p++) {
		if (*p == '\r' || *p == '\n' || *p == '\0')
			break;
		high |= (unsigned char)*p & 0x80u;
	}
	*high_r |= high != 0;
	return p;
}

#endif
