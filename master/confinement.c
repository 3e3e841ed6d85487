/* SPDX-License-Identifier: ISC */
/*
 * confinement.c: what the kernel says about a process.
 *
 * Read from /proc, not from what the code meant to do. Landlock alone leaves
 * no trace there; for it the process's own word at its start counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/num.h"
#include "master/master.h"

#define STATUS_MAX 16384

/* "Name:\tvalue" of /proc/PID/status; empty if there is none. */
static struct view
status_field(struct view text, const char *name)
{
	struct view line, v;

	while (view_next(&text, "\n", &line)) {
		if (!view_starts(line, view_str(name)))
			continue;
		v = view_from(line, strlen(name));
		if (v.len > 0 && v.p[0] == ':')
			return view_trim(view_from(v, 1));
	}
	return VIEW_NONE;
}

static json_t *
json_view(struct view v)
{
	return json_stringn(v.p != NULL ? v.p : "", v.len);
}

static void
read_proc_file(pid_t pid, const char *name, struct buf *b)
{
	char *path = xasprintf("/proc/%ld/%s", (long)pid, name), *p;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	xfree(path);
	if (fd == -1)
		return;
	while ((p = buf_room(b, 4096)) != NULL && (n = read(fd, p, 4096)) > 0)
		buf_added(b, (size_t)n);
	close(fd);
}

/* The root directory; "?" where the kernel does not tell us. */
static json_t *
root_of(pid_t pid)
{
	char *path = xasprintf("/proc/%ld/root", (long)pid);
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));

	xfree(path);
	if (n < 0)
		return json_string("?");
	return json_stringn_nocheck(target, (size_t)n);
}

static json_t *
user_name(struct view uids)
{
	struct passwd *pw;
	struct view uid;
	uint64_t n;

	if (!view_next(&uids, "\t ", &uid) || num_parse_u64(uid, 0, UINT32_MAX, &n) != 0)
		return json_string("?");
	pw = getpwuid((uid_t)n);
	return pw != NULL ? json_string(pw->pw_name) : json_integer((json_int_t)n);
}

static bool
all_zero(struct view hex)
{
	size_t i;

	for (i = 0; i < hex.len; i++)
		if (hex.p[i] != '0')
			return false;
	return hex.len > 0;
}

json_t *
confinement_describe(pid_t pid, uint64_t report)
{
	json_t *o = json_object();
	struct view text, caps, bound;
	struct buf b;

	buf_init(&b, STATUS_MAX);
	read_proc_file(pid, "status", &b);
	text = buf_view(&b);
	caps = status_field(text, "CapEff");
	bound = status_field(text, "CapBnd");
	json_object_set_new(o, "pid", json_integer(pid));
	json_object_set_new(o, "user", user_name(status_field(text, "Uid")));
	json_object_set_new(o, "uid", json_view(status_field(text, "Uid")));
	json_object_set_new(o, "gid", json_view(status_field(text, "Gid")));
	json_object_set_new(o, "groups", json_view(status_field(text, "Groups")));
	json_object_set_new(o, "root", root_of(pid));
	json_object_set_new(o, "caps", all_zero(caps) ? json_string("none") : json_view(caps));
	json_object_set_new(o, "caps_bounding",
	    all_zero(bound) ? json_string("none") : json_view(bound));
	json_object_set_new(o, "no_new_privs",
	    json_boolean(view_eq(status_field(text, "NoNewPrivs"), VIEW("1"))));
	json_object_set_new(o, "seccomp",
	    json_boolean(view_eq(status_field(text, "Seccomp"), VIEW("2"))));
	json_object_set_new(o, "landlock",
	    json_boolean((report & CHILD_CONFINED_LANDLOCK) != 0));
	buf_fini(&b);
	return o;
}
