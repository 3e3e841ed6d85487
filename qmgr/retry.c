/* SPDX-License-Identifier: ISC */
/*
 * retry.c: when a deferred recipient is tried again, and when it is given up.
 *
 * Run by qmgr. retry_schedule lists the waits; minimal_ and
 * maximal_backoff_time bound them where they are set. Jitter of a tenth
 * spreads what failed together, derived from the message so that all its
 * recipients wake it once.
 */
#include "qmgr/qmgr.h"

#include "base/num.h"

/* When the configuration gives nothing usable. */
#define WAIT_DEFAULT_MS	1800000

static uint64_t
scheduled_wait(const char *schedule, unsigned attempts)
{
	struct view list = view_str(schedule), item;
	uint64_t wait = WAIT_DEFAULT_MS, ms;
	unsigned n = 0;

	while (conf_list_next(&list, &item)) {
		if (num_parse_time_ms(item, 's', &ms) != 0)
			continue;
		wait = ms;
		if (++n >= attempts)
			break;
	}
	return wait;
}

uint64_t
retry_wait_ms(const struct conf *c, unsigned attempts, uint64_t seed)
{
	uint64_t wait = scheduled_wait(c->retry_schedule, attempts > 0 ? attempts : 1);
	uint64_t spread;

	if (wait < c->minimal_backoff_time && conf_is_set(c, VIEW("minimal_backoff_time")))
		wait = c->minimal_backoff_time;
	if (wait > c->maximal_backoff_time)
		wait = c->maximal_backoff_time;
	spread = wait / 10;
	seed = (seed + attempts) * 0x9e3779b97f4a7c15ULL;
	return spread > 0 ? wait + (seed >> 32) % spread : wait;
}

uint64_t
retry_lifetime_ms(const struct conf *global, const struct conf *transport, bool bounce)
{
	return bounce ? global->bounce_queue_lifetime : transport->maximal_queue_lifetime;
}
