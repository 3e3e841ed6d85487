/* SPDX-License-Identifier: ISC */
/*
 * mem.h: allocation that cannot fail.
 *
 * When memory is gone the process logs it and exits (master starts another);
 * anything whose size a peer decides passes a limit before it comes here.
 * Sizes are bytes; products are checked for overflow. xfree(NULL) is fine.
 */
#ifndef PK_BASE_MEM_H
#define PK_BASE_MEM_H

#include <stddef.h>

void	*xmalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void	*xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void	*xreallocarray(void *p, size_t n, size_t size)
	    __attribute__((alloc_size(2, 3), returns_nonnull));
char	*xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
void	*xmemdup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
/* size bytes and a terminating NUL. */
char	*xstrndup(const char *s, size_t size) __attribute__((malloc, returns_nonnull));
char	*xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
void	 xfree(void *p);
/* Wipes size bytes, then frees. */
void	 xfree_secret(void *p, size_t size);

#define XNEW(type)	((type *)xcalloc(1, sizeof(type)))
#define NELEMS(a)	(sizeof(a) / sizeof((a)[0]))

#endif
