/* SPDX-License-Identifier: ISC */
/*
 * main.c of lookupd: tables, addresses and routes.
 *
 * Started by master as root, works as pk-lookup: no network; reads the
 * configuration's folder, the folders of the tables that main.cf names, and in
 * the mail store files whose names it knows (maildirsize, by its group; modes
 * keep messages away), and writes nothing. What it may read is fixed by then:
 * a table that a reload puts elsewhere is the next process's. Tables of type
 * accounts are asked of authd, which tells it no password. It believes none
 * of its askers; they believe it what the administrator's tables say, so what
 * its loss costs is wrong routes for mail that passes while it is taken over.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "lookupd/lookupd.h"
#include "sys/fd.h"

static int
get_outside(void *arg, struct view spec, struct view key, struct buf *value_r)
{
	return outside_get(arg, spec, key, value_r);
}

static bool
is_pending(const void *arg)
{
	return outside_pending(arg);
}

void
lookupd_load(struct lookupd *d)
{
	const struct conf *conf = child_conf(d->child);

	resolver_free(&d->resolver);
	tables_free(&d->tables);
	d->tables = tables_new(conf);
	tables_set_outside(d->tables, get_outside, is_pending, d->outside);
	outside_renew(d->outside);
	d->resolver = resolver_new(conf, d->tables, &d->own);
}

/*
 * Modes and owners allow it, and the kernel does not: Landlock's refusal, which
 * is of no concern to access(). Asked like this it is also true of a folder
 * that was removed and made again.
 */
static bool
is_confined_away(const char *path, int type)
{
	int fd;

	if (access(path, type == O_DIRECTORY ? R_OK | X_OK : R_OK) == -1)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | type);
	if (fd == -1)
		return errno == EACCES;
	fd_close(&fd);
	return false;
}

/* A table that is not there yet: its folder tells. */
static void
find_confined_away(const char *path, void *arg)
{
	const char *slash = strrchr(path, '/');
	char **found = arg, *dir;

	if (*found != NULL || slash == NULL || slash == path)
		return;
	dir = xstrndup(path, (size_t)(slash - path));
	if (is_confined_away(path, 0) ||
	    (access(path, F_OK) == -1 && is_confined_away(dir, O_DIRECTORY)))
		*found = xstrdup(path);
	xfree(dir);
}

/*
 * Confinement is for good, so what the new configuration names elsewhere needs
 * a new process. Whoever asks meanwhile waits for that one (lib/ipc/pool.c):
 * better than answers from half of the tables.
 */
static void
on_reload(struct child *c, const struct conf *old)
{
	struct lookupd *d = child_arg(c);
	char *path = NULL;

	(void)old;
	if (!d->ready)
		return;
	tables_scan_files(child_conf(c), find_confined_away, &path);
	if (path == NULL) {
		lookupd_load(d);
		return;
	}
	/* The tables at hand are those of a configuration that is no more. */
	lookupd_leave(d);
	log_info("%s is not in what this process was confined to: it ends, and the next one"
	    " may read it", path);
	xfree(path);
	child_exit(c, 0);
}

/* Who waits for authd's answer here asks another worker. */
static void
on_drain(struct child *c, uint64_t grace_ms)
{
	(void)grace_ms;
	child_exit(c, 0);
}

static const struct child_ops ops = {
	.channel = lookupd_channel,
	.reload = on_reload,
	.drain = on_drain,
	.admin = lookupd_admin,
	.message = lookupd_admin_message,
	.admin_closed = lookupd_admin_closed,
};

/* ---- confinement ---- */

static bool
is_listed(const struct sandbox_spec *s, const char *path)
{
	unsigned i;

	for (i = 0; i < s->npaths; i++)
		if (!s->paths[i].no_listing &&
		    view_eq(view_str(s->paths[i].path), view_str(path)))
			return true;
	return false;
}

/* A folder and not the file: a table is replaced by a new file. */
static void
add_folder(const char *path, void *arg)
{
	struct sandbox_spec *s = arg;
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *dir;

	if (slash == NULL || slash == path)
		return;
	dir = xstrndup(path, (size_t)(slash - path));
	if (is_listed(s, dir) || stat(dir, &st) == -1) {
		xfree(dir);
		return;
	}
	if (s->npaths == SANDBOX_PATHS_MAX) {
		log_error("tables are in more than %d folders: %s cannot be read",
		    SANDBOX_PATHS_MAX, dir);
		xfree(dir);
		return;
	}
	/* Lives as long as the process. */
	s->paths[s->npaths].path = dir;
	s->paths[s->npaths++].write = false;
}

static void
confine(struct child *c)
{
	struct sandbox_spec s = {
		.user = ipc_role_user(IPC_ROLE_lookupd),
		.needs = SANDBOX_ACCEPT | SANDBOX_FILES_READ | SANDBOX_MMAP_FILE,
	};

	s.paths[s.npaths++].path = PK_SYSCONFDIR;
	s.paths[s.npaths].no_listing = true;
	s.paths[s.npaths++].path = child_conf(c)->virtual_mailbox_base;
	tables_scan_files(child_conf(c), add_folder, &s);
	child_confine(c, &s);
}

int
main(int argc, char **argv)
{
	struct lookupd d = { 0 };
	struct child_spec spec = { .role = IPC_ROLE_lookupd, .ops = &ops, .arg = &d };

	d.child = child_begin(argc, argv, &spec);
	d.authd = ipc_pool_new(child_loop(d.child), IPC_ROLE_lookupd, IPC_ROLE_authd);
	d.outside = lookupd_accounts(&d);
	lookupd_own_load(&d.own, child_conf(d.child)->inet_interfaces);
	confine(d.child);
	/* As the confined user: what cannot be read then is said at once. */
	lookupd_load(&d);
	lookupd_begin(&d);
	return child_run(d.child);
}
