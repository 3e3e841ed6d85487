/* SPDX-License-Identifier: ISC */
/*
 * mem.c: the only place that calls the allocator.
 *
 * Linked into every process. An allocation that fails ends the process:
 * nobody writes, or forgets, the thousand error paths, and master starts a
 * fresh process. That is safe only because whatever a peer sizes was held
 * against a limit before. log_fatal() allocates nothing.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *
checked(void *p, size_t size)
{
	if (__builtin_expect(p == NULL, 0))
		log_fatal("out of memory: %zu bytes asked for", size);
	return p;
}

static size_t
product(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		log_panic("allocation of %zu times %zu bytes", n, size);
	return bytes;
}

void *
xmalloc(size_t size)
{
	return checked(malloc(size > 0 ? size : 1), size);
}

void *
xcalloc(size_t n, size_t size)
{
	size_t bytes = product(n, size);

	return checked(calloc(1, bytes > 0 ? bytes : 1), bytes);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	size_t bytes = product(n, size);

	return checked(realloc(p, bytes > 0 ? bytes : 1), bytes);
}

char *
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

void *
xmemdup(const void *p, size_t size)
{
	void *copy = xmalloc(size);

	if (size > 0)
		memcpy(copy, p, size);
	return copy;
}

char *
xstrndup(const char *s, size_t size)
{
	char *copy;

	if (size == SIZE_MAX)
		log_panic("string of %zu bytes", size);
	copy = xmalloc(size + 1);
	if (size > 0)
		memcpy(copy, s, size);
	copy[size] = '\0';
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n == -1)
		log_fatal("out of memory in xasprintf");
	return s;
}

void
xfree(void *p)
{
	free(p);
}

void
xfree_secret(void *p, size_t size)
{
	if (p != NULL)
		explicit_bzero(p, size);
	free(p);
}
