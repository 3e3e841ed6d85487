/* SPDX-License-Identifier: ISC */
/*
 * certd_pem.c: a chain file that can hold anything.
 *
 * Input: text of a file. Each block must lie within its limits and end the
 * reader or move it on; what there is goes on as far as keys and certificates
 * are taken apart and checked.
 */
#include <sys/mman.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "certd/pair.h"
#include "certd/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
note(char level, const char *text, void *arg)
{
	(void)arg;
	if ((level != 'e' && level != 'w') || text[0] == '\0')
		abort();
}

static void
read_blocks(struct view text)
{
	struct pem_reader r;
	struct pem_block b;
	struct buf why;
	size_t left;
	int error;

	buf_init(&why, 10000);
	pem_reader_init(&r, text);
	for (;;) {
		left = r.rest.len;
		error = pem_next(&r, &b, &why);
		if (error != 0)
			break;
		if (r.rest.len >= left || b.len == 0 || b.len > PEM_DER_MAX ||
		    b.line == 0 || b.line > r.line)
			abort();
		pem_block_fini(&b);
	}
	if ((error != PK_EEND) != (why.len > 0))
		abort();
	buf_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	struct pair_load load;
	unsigned i, pairs = 0;

	if (fd == -1) {
		fd = memfd_create("pem", 0);
		if (fd == -1)
			abort();
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	read_blocks(view_of((const char *)data, size));
	if (ftruncate(fd, 0) == -1 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	pair_load_files(view_str(path), CERT_SERVER, &load, note, NULL);
	for (i = 0; i < TLS_KEY_KINDS; i++)
		pairs += load.pairs[i] != NULL;
	/* Neither a pair nor a word about it: nobody would know. */
	if (pairs == 0 && load.errors == 0)
		abort();
	pair_load_fini(&load);
	return 0;
}
