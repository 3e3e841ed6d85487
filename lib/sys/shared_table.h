/* SPDX-License-Identifier: ISC */
/*
 * shared_table.h: memory that master makes and several workers write to.
 *
 * A sealed memfd whose size nobody can change: a worker that cut it off would
 * be the end of all (SIGBUS). It begins with {magic u64, seed u64}; the seed is
 * drawn at the creation, the rest is zero. What stands in it is as
 * trustworthy as the worst of those who map it.
 */
#ifndef PK_SYS_SHARED_TABLE_H
#define PK_SYS_SHARED_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor to hand to the workers; -1 with errno. name is for /proc only. */
int	shared_table_create(const char *name, size_t size, uint64_t magic);
/*
 * Maps fd (not kept), or with fd -1 a table of this process alone. NULL when
 * there is no memory or fd is not such a table.
 */
void	*shared_table_map(int fd, const char *name, size_t size, uint64_t magic);
void	shared_table_unmap(void *table, size_t size);

#endif
