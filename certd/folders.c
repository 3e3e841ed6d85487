/* SPDX-License-Identifier: ISC */
/*
 * folders.c: what the confinement lets certd read.
 *
 * Runs in certd. The folder of each file that is named, and the folder in
 * which it really lies (Let's Encrypt's live/ has links into archive/), so that
 * files can be replaced. A file that a new configuration names elsewhere is the
 * next process's.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "certd/certd.h"

struct allowing {
	struct certd	*d;
	struct sandbox_spec *s;
};

static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL || slash == path ? NULL : xstrndup(path, (size_t)(slash - path));
}

/* Folder, or one above it. */
static bool
is_reachable(const struct certd *d, const char *folder)
{
	struct view v = view_str(folder);
	ptrdiff_t slash;

	while (v.len > 0) {
		if (map_get(d->reachable, v) != NULL)
			return true;
		slash = view_rfind(v, '/');
		v = view_head(v, slash > 0 ? (size_t)slash : 0);
	}
	return false;
}

static void
allow_folder(struct allowing *a, const char *path)
{
	char *dir = folder_of(path);

	if (dir == NULL || is_reachable(a->d, dir) || access(dir, F_OK) == -1) {
		xfree(dir);
		return;
	}
	if (a->s->npaths == SANDBOX_PATHS_MAX) {
		log_error("certificates are in more than %d folders: those in %s are read at"
		    " the start only; put them below one folder", SANDBOX_PATHS_MAX, dir);
		xfree(dir);
		return;
	}
	if (strrchr(dir, '/') == dir)
		log_warn("keys and certificates lie in %s itself, all of which certd may read"
		    " now: give them a folder of their own", dir);
	/* Lives as long as the process. */
	a->s->paths[a->s->npaths].path = dir;
	a->s->paths[a->s->npaths++].write = false;
	map_put(a->d->reachable, view_str(dir), dir);
}

static void
allow_file(const char *path, void *arg)
{
	struct allowing *a = arg;
	char real[4096];

	allow_folder(a, path);
	if (realpath(path, real) != NULL)
		allow_folder(a, real);
}

void
certd_folders_allow(struct certd *d, struct sandbox_spec *s)
{
	struct allowing a = { d, s };

	d->reachable = map_new();
	set_each_file(d->conf, allow_file, &a);
	s->read_any = s->npaths > 0;
	/* One that holds nothing, so that files are seen by their own paths in any case. */
	if (s->npaths == 0)
		s->paths[s->npaths++].path = xasprintf("%s/empty", d->conf->runtime_directory);
}

struct searching {
	const struct certd *d;
	char		*found;
};

static void
find_beyond(const char *path, void *arg)
{
	struct searching *s = arg;
	char *dir = folder_of(path);

	if (s->found == NULL && dir != NULL && !is_reachable(s->d, dir))
		s->found = xstrdup(path);
	xfree(dir);
}

char *
certd_folders_beyond(const struct certd *d)
{
	struct searching s = { d, NULL };

	set_each_file(d->conf, find_beyond, &s);
	return s.found;
}
