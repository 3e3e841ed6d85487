/* SPDX-License-Identifier: ISC */
/*
 * lookup.h: what checks ask lookupd, with a small memory for addresses.
 */
#ifndef PK_SMTPD_LOOKUP_H
#define PK_SMTPD_LOOKUP_H

#include "smtpd/check.h"

/*
 * Class and existence of the recipient (c->route) or the sender
 * (c->sender_route): CHECK_DUNNO when known (now), else CHECK_PENDING.
 */
enum check_result lookup_recipient(struct check *c);
enum check_result lookup_sender(struct check *c);
/* Result in c->answer_error and c->answer; CHECK_PENDING first. */
enum check_result lookup_access(struct check *c, struct view table, struct view key,
	    enum access_kind kind);

struct lookup_cache *lookup_cache_new(void);
void	lookup_cache_free(struct lookup_cache **cache);
/* After a reload nothing old is believed. */
void	lookup_cache_clear(struct lookup_cache *cache);

#endif
