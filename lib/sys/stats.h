/* SPDX-License-Identifier: ISC */
/*
 * stats.h: counters, gauges and latency histograms in shared memory.
 *
 * One page a process in one memfd made by master; a process maps its own page
 * writable and nothing else; readers (adminctl via master, later httpd) map
 * all of it read only and sum. Plain relaxed atomic adds. The rows stand in
 * stats.def: STAT_COUNTER(name, text), STAT_GAUGE(name, text),
 * STAT_HISTOGRAM(name, unit, text). Histograms have 32 buckets, powers of two
 * of microseconds (or bytes).
 */
#ifndef PK_SYS_STATS_H
#define PK_SYS_STATS_H

#include <stddef.h>
#include <stdint.h>

#define STATS_PAGE_SIZE		8192
#define STATS_PAGES_MAX		256
#define STATS_BUCKETS		32

enum stats_counter {
#define STAT_COUNTER(name, text) STATS_C_##name,
#define STAT_GAUGE(name, text) STATS_C_##name,
#define STAT_HISTOGRAM(name, unit, text)
#include "sys/stats.def"
#undef STAT_COUNTER
#undef STAT_GAUGE
#undef STAT_HISTOGRAM
	STATS_COUNTERS
};

enum stats_histogram {
#define STAT_COUNTER(name, text)
#define STAT_GAUGE(name, text)
#define STAT_HISTOGRAM(name, unit, text) STATS_H_##name,
#include "sys/stats.def"
#undef STAT_COUNTER
#undef STAT_GAUGE
#undef STAT_HISTOGRAM
	STATS_HISTOGRAMS
};

struct stats_row {
	const char	*name;
	const char	*text;
	char		 kind;		/* 'c', 'g', 'h' */
};
extern const struct stats_row stats_counter_rows[STATS_COUNTERS];
extern const struct stats_row stats_histogram_rows[STATS_HISTOGRAMS];

/* Until this succeeds, counting goes to a private page. fd is not kept. */
int	stats_map_own(int fd, unsigned page);
void	stats_add(enum stats_counter c, int64_t n);
void	stats_set(enum stats_counter gauge, int64_t n);
void	stats_observe(enum stats_histogram h, uint64_t value);

/* The reading side. Creates the memfd with STATS_PAGES_MAX pages. */
int	stats_create(void);
struct stats_sum {
	int64_t		counters[STATS_COUNTERS];
	uint64_t	buckets[STATS_HISTOGRAMS][STATS_BUCKETS];
	uint64_t	sum[STATS_HISTOGRAMS];
};
int	stats_read(int fd, struct stats_sum *sum_r);
/* A dead process's page is folded into page 0 and cleared for the next one. */
int	stats_retire_page(int fd, unsigned page);

#endif
