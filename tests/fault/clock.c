/* SPDX-License-Identifier: ISC */
/*
 * clock.c: F6, the wall clock steps under a running queue.
 *
 * Linked with clock_wall_ms() in our hands. What store_now_ms() says, and with
 * it every retry and lifetime, goes on with the monotonic clock; a message
 * whose writer had another idea of the time is not believed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/store.h"

#define HOUR_MS	3600000LL

uint64_t	__real_clock_wall_ms(void);
uint64_t	__wrap_clock_wall_ms(void);

static int64_t step_ms;

uint64_t
__wrap_clock_wall_ms(void)
{
	return (uint64_t)((int64_t)__real_clock_wall_ms() + step_ms);
}

int
main(void)
{
	static const int64_t steps[] = { HOUR_MS, -HOUR_MS, 24 * 365 * HOUR_MS, 0 };
	struct store s;
	uint64_t before, after;
	size_t i;

	log_init("clock");
	memset(&s, 0, sizeof(s));
	s.wall_anchor_ms = clock_wall_ms();
	s.mono_anchor_ms = clock_mono_ms();
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		before = store_now_ms(&s);
		step_ms = steps[i];
		after = store_now_ms(&s);
		if (after < before || after - before > 5000) {
			printf("a step of %" PRId64 " ms moved the queue's time by %" PRId64
			    " ms\n", steps[i], (int64_t)(after - before));
			return 1;
		}
	}
	printf("steady\n");
	return 0;
}
