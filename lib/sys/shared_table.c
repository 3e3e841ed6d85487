/* SPDX-License-Identifier: ISC */
/*
 * shared_table.c: see the header. Used by master, which makes the tables, and
 * by acceptors and authd, which count in them.
 */
#include "sys/shared_table.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

static int
init(int fd, size_t size, uint64_t magic)
{
	uint64_t head[2] = { magic, 0 };

	if (ftruncate(fd, (off_t)size) == -1 || getentropy(&head[1], sizeof(head[1])) == -1 ||
	    pwrite(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return -1;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

int
shared_table_create(const char *name, size_t size, uint64_t magic)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && init(fd, size, magic) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *
map(int fd, size_t size, uint64_t magic)
{
	struct stat st;
	uint64_t *table;

	if (fstat(fd, &st) == -1 || (size_t)st.st_size != size)
		return NULL;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		return NULL;
	if (table[0] == magic)
		return table;
	munmap(table, size);
	return NULL;
}

void *
shared_table_map(int fd, const char *name, size_t size, uint64_t magic)
{
	void *table;
	int own;

	if (fd != -1)
		return map(fd, size, magic);
	own = shared_table_create(name, size, magic);
	if (own == -1)
		return NULL;
	table = map(own, size, magic);
	close(own);
	return table;
}

void
shared_table_unmap(void *table, size_t size)
{
	munmap(table, size);
}
