/* SPDX-License-Identifier: ISC */
/*
 * fail_limits.h: failed logins, counted over all authd workers.
 *
 * The sibling of client_limits.h for keys of any bytes: a client's network, an
 * account, both together. A row is found by a hash whose seed is drawn at
 * creation; beside its counter it keeps the beginning of a name for the
 * administrator's list, and a mark ("got in before") with its time. Counts
 * slide: what was counted in the time unit before weighs as much as is left of
 * it. Times are monotonic: the wall clock may jump. A full table forgets what
 * was quiet longest nearby. A worker that was taken over can spoil the
 * counters, and nothing else.
 */
#ifndef PK_SYS_FAIL_LIMITS_H
#define PK_SYS_FAIL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

#define FAIL_LIMITS_NAME_MAX	80

struct fail_limits;

/* master: a memfd to hand to the workers; -1 on failure. */
int	fail_limits_create(void);
/* Maps fd (not kept). -1: a table of this process alone. NULL: no such table. */
struct fail_limits *fail_limits_map(int fd);
void	fail_limits_unmap(struct fail_limits **f);

/* kind parts the keys of different sorts; 1 to 255. */
uint32_t fail_limits_count(struct fail_limits *f, uint8_t kind, struct view key,
	    uint64_t unit_ms, uint64_t now_ms);
/* One more. name is shown in lists. */
void	fail_limits_add(struct fail_limits *f, uint8_t kind, struct view key, struct view name,
	    uint64_t unit_ms, uint64_t now_ms);
void	fail_limits_mark(struct fail_limits *f, uint8_t kind, struct view key, uint64_t now_ms);
bool	fail_limits_marked(struct fail_limits *f, uint8_t kind, struct view key,
	    uint64_t age_ms, uint64_t now_ms);
/* Forgets a counter (not a mark); false: there was none. */
bool	fail_limits_clear(struct fail_limits *f, uint8_t kind, struct view key);

/* Rows of `kind` with a count, in no order. Returns how many. */
typedef void (*fail_limits_fn)(struct view name, uint32_t count, uint64_t seen_ms, void *arg);
unsigned fail_limits_each(struct fail_limits *f, uint8_t kind, uint64_t unit_ms,
	    uint64_t now_ms, fail_limits_fn fn, void *arg);

#endif
