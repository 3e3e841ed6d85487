/* SPDX-License-Identifier: ISC */
/*
 * environment.c: users, programs and directories.
 *
 * Run by master before anything else, with root's rights, and by `postkeep
 * check` with the caller's. A directory that exists with another owner is
 * never taken over: somebody else's files may be in it.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "ipc/ipc.h"
#include "master/environment.h"
#include "sys/fd.h"
#include "table/table.h"

static void say(struct environment *e, char level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
say(struct environment *e, char level, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	if (level == 'e')
		e->errors++;
	buf_init(&b, 4096);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	e->say(level, buf_cstr(&b), e->arg);
	buf_fini(&b);
}

/* ---- users and programs ---- */

static void
check_users(struct environment *e)
{
	const char *user;
	int role;

	if (e->development)
		return;
	for (role = 1; role < IPC_ROLES; role++) {
		user = ipc_role_user((enum ipc_role)role);
		if (user != NULL && getpwnam(user) == NULL)
			say(e, 'e', "user %s (for %s) does not exist: run %s/create-users", user,
			    ipc_role_name((enum ipc_role)role), PK_LIBEXECDIR);
	}
	if (e->conf->admin_group[0] != '\0' && getgrnam(e->conf->admin_group) == NULL)
		say(e, 'w', "group %s (admin_group) does not exist: only root can use adminctl",
		    e->conf->admin_group);
}

/* lookupd reads maildirsize as a member of the mail store's group. */
static void
check_quota_group(struct environment *e)
{
	const char *user = ipc_role_user(IPC_ROLE_lookupd);
	struct passwd *pw;
	gid_t store;

	if (e->development || (e->conf->virtual_mailbox_limit == 0 &&
	    e->conf->virtual_mailbox_quota_maps[0] == '\0'))
		return;
	pw = getpwnam(ipc_role_user(IPC_ROLE_mailbox));
	if (pw == NULL)
		return;		/* said by check_users */
	store = pw->pw_gid;
	pw = getpwnam(user);
	if (pw != NULL && pw->pw_gid != store)
		say(e, 'w', "the group of user %s is not that of user %s: quotas are checked at"
		    " delivery, not at RCPT; run %s/create-users", user,
		    ipc_role_user(IPC_ROLE_mailbox), PK_LIBEXECDIR);
}

static void
check_programs(struct environment *e)
{
	const char *program;
	char *path;
	int role;

	for (role = 1; role < IPC_ROLES; role++) {
		program = ipc_role_program((enum ipc_role)role);
		if (role == IPC_ROLE_adminctl || program == NULL)
			continue;
		path = xasprintf("%s/%s", e->conf->program_directory, program);
		if (access(path, X_OK) == -1)
			say(e, 'e', "program %s: %s (program_directory = %s)", path,
			    strerror(errno), e->conf->program_directory);
		xfree(path);
	}
}

/* ---- directories ---- */

/* A new folder is there after a power cut once its parent was synced (F5). */
static int
make_synced(const char *path, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	int fd, rc;

	if (mkdir(path, mode) == -1)
		return PK_ESYS;
	parent = slash == path ? xstrdup("/") : slash == NULL ? xstrdup(".") :
	    view_dup(view_of(path, (size_t)(slash - path)));
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd == -1 ? PK_ESYS : fd_sync_dir(fd);
	fd_close(&fd);
	xfree(parent);
	return rc;
}

/* mkdir -p of everything above the last part. */
static int
make_parents(const char *path)
{
	char *copy = xstrdup(path), *p;
	int error = 0;

	for (p = copy + 1; error == 0 && (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (make_synced(copy, 0755) != 0 && errno != EEXIST)
			error = PK_ESYS;
		*p = '/';
	}
	xfree(copy);
	return error;
}

static bool
make_directory(struct environment *e, const char *param, const char *path, uid_t uid, gid_t gid,
    mode_t mode)
{
	if (make_parents(path) != 0 || make_synced(path, mode) != 0 ||
	    chown(path, uid, gid) == -1 || chmod(path, mode) == -1) {
		say(e, 'e', "cannot create %s %s: %s", param, path, strerror(errno));
		return false;
	}
	return true;
}

static void
check_directory(struct environment *e, const char *param, const char *path, const char *user,
    const char *group, mode_t mode)
{
	struct group *gr = NULL;
	struct passwd *pw;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	struct stat st;

	if (!e->development) {
		pw = getpwnam(user);
		if (pw == NULL)
			return;		/* said by check_users */
		gr = group != NULL ? getgrnam(group) : NULL;
		uid = pw->pw_uid;
		gid = gr != NULL ? gr->gr_gid : pw->pw_gid;
	}
	if (path[0] != '/') {
		say(e, 'e', "%s = %s: write a path that begins with /", param, path);
		return;
	}
	if (stat(path, &st) == -1) {
		if (errno != ENOENT)
			say(e, 'e', "%s %s: %s", param, path, strerror(errno));
		else if (e->create)
			(void)make_directory(e, param, path, uid, gid, mode);
		return;
	}
	if (!S_ISDIR(st.st_mode))
		say(e, 'e', "%s %s is not a directory", param, path);
	else if (st.st_uid != uid)
		say(e, 'e', "%s %s has the wrong owner, uid %u: it must belong to %s (uid %u);"
		    " if its content is ours, run chown -R %s %s", param, path, (unsigned)st.st_uid,
		    e->development ? "you" : user, (unsigned)uid,
		    e->development ? "$USER" : user, path);
	else if ((st.st_mode & 022) != 0)
		say(e, 'e', "%s %s can be written by others (mode %04o): run chmod %04o %s",
		    param, path, (unsigned)st.st_mode & 07777, (unsigned)mode, path);
	else if (e->create && access(path, W_OK) == -1 && errno == EROFS)
		say(e, 'e', "%s %s is on a file system that is read only", param, path);
}

static void
check_directories(struct environment *e)
{
	const struct conf *c = e->conf;
	char *path;
	const char *slash;

	check_directory(e, "runtime_directory", c->runtime_directory, "root", NULL, 0755);
	path = xasprintf("%s/admin", c->runtime_directory);
	check_directory(e, "the folder of admin sockets,", path, "root", NULL, 0755);
	xfree(path);
	/* The root directory of who needs no file (lib/ipc/child.c). */
	path = xasprintf("%s/empty", c->runtime_directory);
	check_directory(e, "the empty folder", path, "root", NULL, 0755);
	xfree(path);
	check_directory(e, "data_directory", c->data_directory, "root", NULL, 0755);
	path = xasprintf("%s/accounts", c->data_directory);
	check_directory(e, "the folder of accounts,", path, ipc_role_user(IPC_ROLE_authd), NULL,
	    0700);
	xfree(path);
	check_directory(e, "queue_directory", c->queue_directory,
	    ipc_role_user(IPC_ROLE_qmgr), NULL, 0700);
	check_directory(e, "virtual_mailbox_base", c->virtual_mailbox_base,
	    ipc_role_user(IPC_ROLE_mailbox), NULL, 0710);
	slash = strrchr(c->maillog_file, '/');
	if (slash != NULL && slash > c->maillog_file) {
		/* Administrators may read what is written there: set-gid gives them the files. */
		path = xstrndup(c->maillog_file, (size_t)(slash - c->maillog_file));
		check_directory(e, "the folder of maillog_file,", path,
		    ipc_role_user(IPC_ROLE_logd), c->admin_group, 02750);
		xfree(path);
	} else if (c->maillog_file[0] != '\0') {
		say(e, 'e', "maillog_file = %s: write a path that begins with /",
		    c->maillog_file);
	}
}

/* ---- tables ---- */

struct table_check {
	struct environment *e;
	const char *param;
};

/* No error: the file may be written later, and until then its mail waits. */
static void
check_table_file(const char *path, void *arg)
{
	const struct table_check *t = arg;

	if (access(path, R_OK) == -1)
		say(t->e, 'w', "%s: %s: %s%s; look-ups in it are deferred", t->param, path,
		    strerror(errno), view_caseends(view_str(path), VIEW(".lmdb")) ?
		    " (adminctl table build makes it)" : "");
}

/* One item of a list of tables; lookupd opens them and says what is wrong inside. */
static void
check_table(struct environment *e, const char *param, struct view item, struct view types)
{
	ptrdiff_t colon = view_find(item, ':');
	struct table_check t = { e, param };
	struct view type, all = types;

	while (colon > 0 && view_next(&all, ", ", &type))
		if (view_eq(type, view_head(item, (size_t)colon))) {
			table_spec_files(item, check_table_file, &t);
			return;
		}
	say(e, 'e', "%s: \"%.*s\" is not TYPE:NAME with one of the types %.*s", param,
	    VIEW_ARG(view_head(item, 100)), VIEW_ARG(types));
}

static void
check_tables(struct environment *e)
{
	struct view list, item;
	struct buf types;
	size_t i;

	buf_init(&types, 1024);
	table_put_types(&types);
	for (i = 0; i < conf_nrows; i++) {
		if (conf_rows[i].type != CONF_LIST ||
		    !view_caseends(view_str(conf_rows[i].name), VIEW("_maps")))
			continue;
		list = view_str(*(const char *const *)
		    ((const char *)e->conf + conf_rows[i].offset));
		while (conf_list_next(&list, &item))
			check_table(e, conf_rows[i].name, item, buf_view(&types));
	}
	buf_fini(&types);
}

/* ---- sources of accounts ---- */

static const struct {
	const char	*name;
	bool		 file;		/* what stands behind the colon */
	bool		 built;
} sources[] = {
	{ "accounts",	 false,	true },
	{ "passwd-file", true,	true },
	{ "system",	 false,	true },
#ifdef HAVE_SOURCE_SQLITE
	{ "sqlite",	 true,	true },
#else
	{ "sqlite",	 true,	false },
#endif
#ifdef HAVE_SOURCE_PGSQL
	{ "pgsql",	 true,	true },
#else
	{ "pgsql",	 true,	false },
#endif
#ifdef HAVE_SOURCE_MYSQL
	{ "mysql",	 true,	true },
#else
	{ "mysql",	 true,	false },
#endif
#ifdef HAVE_SOURCE_LDAP
	{ "ldap",	 true,	true },
#else
	{ "ldap",	 true,	false },
#endif
};

static void
check_source(struct environment *e, struct view item)
{
	ptrdiff_t colon = view_find(item, ':');
	struct view type = colon >= 0 ? view_head(item, (size_t)colon) : item;
	char *path = view_dup(colon >= 0 ? view_from(item, (size_t)colon + 1) : VIEW(""));
	size_t i;

	for (i = 0; i < NELEMS(sources); i++)
		if (view_eq(type, view_str(sources[i].name)))
			break;
	if (i == NELEMS(sources))
		say(e, 'e', "auth_sources: \"%.*s\" is none of accounts, passwd-file:PATH, system,"
		    " sqlite:FILE, pgsql:FILE, mysql:FILE, ldap:FILE",
		    VIEW_ARG(view_head(item, 100)));
	else if (!sources[i].built)
		say(e, 'e', "auth_sources: %s: this program was built without it", sources[i].name);
	else if (sources[i].file != (path[0] != '\0'))
		say(e, 'e', "auth_sources: %s %s", sources[i].name, sources[i].file ?
		    "needs a file: TYPE:/PATH" : "has no argument");
	else if (sources[i].file && (path[0] != '/' || access(path, R_OK) == -1))
		say(e, 'e', "auth_sources: %s: %s", path, path[0] != '/' ?
		    "write a path that begins with /" : strerror(errno));
	xfree(path);
}

static void
check_sources(struct environment *e)
{
	struct view list = view_str(e->conf->auth_sources), item;

	while (conf_list_next(&list, &item))
		check_source(e, item);
}

bool
environment_check(struct environment *e)
{
	check_sources(e);
	check_tables(e);
	check_users(e);
	check_quota_group(e);
	check_programs(e);
	check_directories(e);
	return e->errors == 0;
}

/* ---- one master a runtime directory ---- */

static char *
pid_path(const struct conf *c)
{
	return xasprintf("%s/master.pid", c->runtime_directory);
}

static pid_t
pid_read(int fd)
{
	char text[32];
	uint64_t pid = 0;
	struct view v;
	ssize_t n;

	n = pread(fd, text, sizeof(text), 0);
	if (n <= 0)
		return 0;
	v = view_trim(view_of(text, (size_t)n));
	while (v.len > 0 && v.p[v.len - 1] == '\n')
		v.len--;
	return num_parse_u64(v, 1, INT32_MAX, &pid) == 0 ? (pid_t)pid : 0;
}

int
environment_lock(const struct conf *c, pid_t *pid_r)
{
	char *path = pid_path(c);
	struct buf b;
	int fd;

	*pid_r = 0;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	xfree(path);
	if (fd == -1)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EWOULDBLOCK)
			*pid_r = pid_read(fd);
		fd_close(&fd);
		return -1;
	}
	buf_init(&b, 32);
	buf_printf(&b, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) == -1 || pwrite(fd, buf_data(&b), b.len, 0) != (ssize_t)b.len)
		fd_close(&fd);
	buf_fini(&b);
	return fd;
}

pid_t
environment_running(const struct conf *c)
{
	char *path = pid_path(c);
	pid_t pid = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	xfree(path);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	if (flock(fd, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK)
		pid = pid_read(fd);
	fd_close(&fd);
	return pid;
}

/* ---- the queue has one owner ---- */

int
environment_queue_handle(const struct conf *c)
{
	char *path = xasprintf("%s/lock", c->queue_directory);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	xfree(path);
	return fd;
}

int
environment_queue_wait(const struct conf *c, uint64_t timeout_ms, void (*waits)(void))
{
	uint64_t end_ms = clock_mono_ms() + timeout_ms;
	struct timespec pause = { 0, 50000000 };
	int fd = environment_queue_handle(c), rc;
	bool said = false;

	if (fd == -1)
		return PK_ESYS;
	while ((rc = flock(fd, LOCK_EX | LOCK_NB)) == -1 && errno == EWOULDBLOCK &&
	    clock_mono_ms() < end_ms) {
		if (!said)
			waits();
		said = true;
		nanosleep(&pause, NULL);
	}
	rc = rc == 0 ? 0 : errno == EWOULDBLOCK ? PK_ETIMEOUT : PK_ESYS;
	fd_close(&fd);
	return rc;
}
