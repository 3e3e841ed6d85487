/* SPDX-License-Identifier: ISC */
/*
 * expiry.h: certificates that come to an end.
 */
#ifndef CERTD_EXPIRY_H
#define CERTD_EXPIRY_H

#include "certd/set.h"

#define EXPIRY_THRESHOLDS_MAX	16

/*
 * Thresholds of tls_expiry_warnings, the longest first; how many. What cannot
 * be read is logged and left out.
 */
size_t	expiry_parse(const char *list, uint64_t ms_r[EXPIRY_THRESHOLDS_MAX]);
/*
 * Logs what there is to say about p at wall_ms: once a threshold, and once in
 * 24 hours of now_ms (monotonic) when it is over. True if something was said.
 */
bool	expiry_check_pair(struct pair *p, const uint64_t *thresholds_ms, size_t n, uint64_t wall_ms,
	    uint64_t now_ms);
/* All pairs, and the gauge tls_certificate_days. */
void	expiry_check(const struct set *s, const char *list, uint64_t wall_ms, uint64_t now_ms);
/* Whole days until not_after, below zero when it is over. */
int64_t	expiry_days(const struct pair *p, uint64_t wall_ms);

#endif
