/* SPDX-License-Identifier: ISC */
/*
 * stats.c: counting in shared memory.
 *
 * Every process maps its own page of the memfd; adding is one relaxed atomic
 * add, without a system call. Readers sum all pages; a figure read while it
 * is written is old or new, never torn. A process that was taken over can
 * lie about its own figures and about nobody else's, but the file behind the
 * map is the whole memfd: master gives each child a descriptor of its own
 * and the child closes it after mapping (its sandbox then has no way back).
 */
#include "sys/stats.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

/* The layout has a version: a new master may read an old child's page. */
#define STATS_VERSION	1

struct stats_page {
	_Atomic uint64_t version;
	_Atomic int64_t	 counters[STATS_COUNTERS];
	_Atomic uint64_t sum[STATS_HISTOGRAMS];
	_Atomic uint64_t buckets[STATS_HISTOGRAMS][STATS_BUCKETS];
};
_Static_assert(sizeof(struct stats_page) <= STATS_PAGE_SIZE,
    "a page holds every row of stats.def");

const struct stats_row stats_counter_rows[STATS_COUNTERS] = {
#define STAT_COUNTER(name, text) { #name, text, 'c' },
#define STAT_GAUGE(name, text) { #name, text, 'g' },
#define STAT_HISTOGRAM(name, unit, text)
#include "sys/stats.def"
#undef STAT_COUNTER
#undef STAT_GAUGE
#undef STAT_HISTOGRAM
};

const struct stats_row stats_histogram_rows[STATS_HISTOGRAMS] = {
#define STAT_COUNTER(name, text)
#define STAT_GAUGE(name, text)
#define STAT_HISTOGRAM(name, unit, text) { #name, text, 'h' },
#include "sys/stats.def"
#undef STAT_COUNTER
#undef STAT_GAUGE
#undef STAT_HISTOGRAM
};

static struct stats_page private_page;
static struct stats_page *own = &private_page;

/* Adds what from has to to; gauges too, as each page counts its own part. */
static void
page_fold(struct stats_page *to, const struct stats_page *from, bool gauges)
{
	size_t i, k;

	for (i = 0; i < STATS_COUNTERS; i++) {
		if (!gauges && stats_counter_rows[i].kind == 'g')
			continue;
		atomic_fetch_add_explicit(&to->counters[i],
		    atomic_load_explicit(
			&from->counters[i], memory_order_relaxed),
		    memory_order_relaxed);
	}
	for (i = 0; i < STATS_HISTOGRAMS; i++) {
		atomic_fetch_add_explicit(&to->sum[i],
		    atomic_load_explicit(&from->sum[i], memory_order_relaxed),
		    memory_order_relaxed);
		for (k = 0; k < STATS_BUCKETS; k++)
			atomic_fetch_add_explicit(&to->buckets[i][k],
			    atomic_load_explicit(
				&from->buckets[i][k], memory_order_relaxed),
			    memory_order_relaxed);
	}
}

int
stats_map_own(int fd, unsigned page)
{
	void *p;

	if (page == 0 || page >= STATS_PAGES_MAX)
		return PK_ERANGE;
	p = mmap(NULL, STATS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    (off_t)page * STATS_PAGE_SIZE);
	if (p == MAP_FAILED)
		return PK_ESYS;
	own = p;
	atomic_store_explicit(
	    &own->version, STATS_VERSION, memory_order_relaxed);
	page_fold(own, &private_page, true);
	memset(&private_page, 0, sizeof(private_page));
	return 0;
}

void
stats_add(enum stats_counter c, int64_t n)
{
	atomic_fetch_add_explicit(&own->counters[c], n, memory_order_relaxed);
}

void
stats_set(enum stats_counter gauge, int64_t n)
{
	atomic_store_explicit(&own->counters[gauge], n, memory_order_relaxed);
}

/* Bucket k holds values below 2^k that are in no lower one. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned bits = value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);

	return bits < STATS_BUCKETS ? bits : STATS_BUCKETS - 1;
}

void
stats_observe(enum stats_histogram h, uint64_t value)
{
	atomic_fetch_add_explicit(
	    &own->buckets[h][bucket_of(value)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&own->sum[h], value, memory_order_relaxed);
}

/* ---- the reading side ---- */

int
stats_create(void)
{
	int fd =
	    memfd_create("postkeep-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (ftruncate(fd, (off_t)STATS_PAGES_MAX * STATS_PAGE_SIZE) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		-1)
		fd_close(&fd);
	return fd;
}

static int
map_all(int fd, int prot, char **p_r)
{
	struct stat st;
	void *p;

	/* A shorter file would be a SIGBUS for whoever reads it. */
	if (fstat(fd, &st) == -1)
		return PK_ESYS;
	if (st.st_size != (off_t)STATS_PAGES_MAX * STATS_PAGE_SIZE)
		return PK_EFORMAT;
	p = mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return PK_ESYS;
	*p_r = p;
	return 0;
}

int
stats_read(int fd, struct stats_sum *sum_r)
{
	static struct stats_page total;
	char *all;
	size_t i, k;
	int error;

	error = map_all(fd, PROT_READ, &all);
	if (error != 0)
		return error;
	memset(&total, 0, sizeof(total));
	for (i = 0; i < STATS_PAGES_MAX; i++) {
		const struct stats_page *page =
		    (const void *)(all + i * STATS_PAGE_SIZE);

		if (atomic_load_explicit(
			&page->version, memory_order_relaxed) == STATS_VERSION)
			page_fold(&total, page, true);
	}
	munmap(all, (size_t)STATS_PAGES_MAX * STATS_PAGE_SIZE);
	for (i = 0; i < STATS_COUNTERS; i++)
		sum_r->counters[i] = total.counters[i];
	for (i = 0; i < STATS_HISTOGRAMS; i++) {
		sum_r->sum[i] = total.sum[i];
		for (k = 0; k < STATS_BUCKETS; k++)
			sum_r->buckets[i][k] = total.buckets[i][k];
	}
	return 0;
}

int
stats_retire_page(int fd, unsigned page)
{
	struct stats_page *zero, *dead;
	char *all;
	int error;

	if (page == 0 || page >= STATS_PAGES_MAX)
		return PK_ERANGE;
	error = map_all(fd, PROT_READ | PROT_WRITE, &all);
	if (error != 0)
		return error;
	zero = (void *)all;
	dead = (void *)(all + (size_t)page * STATS_PAGE_SIZE);
	if (atomic_load_explicit(&dead->version, memory_order_relaxed) ==
	    STATS_VERSION) {
		/* What a dead process had open is open no more. */
		page_fold(zero, dead, false);
		atomic_store_explicit(
		    &zero->version, STATS_VERSION, memory_order_relaxed);
	}
	memset(dead, 0, STATS_PAGE_SIZE);
	munmap(all, (size_t)STATS_PAGES_MAX * STATS_PAGE_SIZE);
	return 0;
}
