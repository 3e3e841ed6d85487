/* SPDX-License-Identifier: ISC */
/*
 * replay.c: runs a fuzz harness over files.
 *
 * Linked into each harness when libFuzzer is not there, so that every build
 * replays the seed corpora and every input that once broke something. Each
 * argument is a file or a folder of files; without one the harness gets the
 * empty input only. Runs as the developer, trusts its own arguments.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

/* Seeds are small; a greater file is a mistake. */
#define REPLAY_FILE_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_file(const char *path)
{
	struct buf b;
	FILE *f;
	char *p;
	size_t n;

	buf_init(&b, REPLAY_FILE_MAX);
	f = fopen(path, "rb");
	if (f == NULL)
		err(1, "%s", path);
	do {
		p = buf_room(&b, 65536);
		if (p == NULL)
			errx(1, "%s: larger than %d bytes", path,
			    REPLAY_FILE_MAX);
		n = fread(p, 1, 65536, f);
		buf_added(&b, n);
	} while (n > 0);
	if (ferror(f))
		err(1, "%s", path);
	fclose(f);
	/* An exact copy: reading one byte too far is then seen. */
	p = xmemdup(buf_view(&b).p, b.len);
	LLVMFuzzerTestOneInput((const uint8_t *)p, b.len);
	xfree(p);
	buf_fini(&b);
}

static unsigned
replay_dir(const char *path)
{
	struct dirent *e;
	unsigned n = 0;
	char *name;
	DIR *d;

	d = opendir(path);
	if (d == NULL)
		err(1, "%s", path);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		name = xasprintf("%s/%s", path, e->d_name);
		replay_file(name);
		xfree(name);
		n++;
	}
	closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	struct stat st;
	unsigned n = 0;
	int i;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == -1)
			err(1, "%s", argv[i]);
		if (S_ISDIR(st.st_mode)) {
			n += replay_dir(argv[i]);
		} else {
			replay_file(argv[i]);
			n++;
		}
	}
	printf("%u inputs\n", n);
	return 0;
}
