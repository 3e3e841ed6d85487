/* SPDX-License-Identifier: ISC */
/*
 * watch.c: have the files changed?
 *
 * Runs in certd. Polled, since what is replaced may be a link or a folder
 * above (Let's Encrypt's live/, mounted secrets), or lie on a network file
 * system. What the clock says does not matter: a stamp that differs is a
 * change, whichever way (F6).
 */
#include "certd/watch.h"

#include <sys/stat.h>

#include "base/mem.h"

struct stamp {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	mode_t		 mode;
	uid_t		 uid;
	gid_t		 gid;
	struct timespec	 mtime, ctime;
};

struct file {
	char		*path;
	struct stamp	 loaded, seen;
};

struct watch {
	struct file	*files;
	size_t		 count;
	bool		 changing;	/* differed at the last look */
};

/* One that is not there, or cannot be seen, is all zero. */
static void
look(const char *path, struct stamp *s)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	if (stat(path, &st) == -1)
		return;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->size = st.st_size;
	s->mode = st.st_mode;
	s->uid = st.st_uid;
	s->gid = st.st_gid;
	s->mtime = st.st_mtim;
	s->ctime = st.st_ctim;
}

struct watch *
watch_new(const struct map *files)
{
	struct watch *w = XNEW(struct watch);
	size_t cursor = 0;
	struct view path;
	void *value;

	w->files = xcalloc(map_count(files) + 1, sizeof(*w->files));
	while (map_next(files, &cursor, &path, &value)) {
		w->files[w->count].path = view_dup(path);
		look(w->files[w->count].path, &w->files[w->count].loaded);
		w->files[w->count].seen = w->files[w->count].loaded;
		w->count++;
	}
	return w;
}

void
watch_free(struct watch **wp)
{
	struct watch *w = *wp;
	size_t i;

	*wp = NULL;
	if (w == NULL)
		return;
	for (i = 0; i < w->count; i++)
		xfree(w->files[i].path);
	xfree(w->files);
	xfree(w);
}

bool
watch_settled(struct watch *w)
{
	bool differs = false, moved = false, settled;
	struct stamp now;
	size_t i;

	for (i = 0; i < w->count; i++) {
		look(w->files[i].path, &now);
		differs |= memcmp(&now, &w->files[i].loaded, sizeof(now)) != 0;
		moved |= memcmp(&now, &w->files[i].seen, sizeof(now)) != 0;
		w->files[i].seen = now;
	}
	settled = differs && w->changing && !moved;
	w->changing = differs;
	return settled;
}
