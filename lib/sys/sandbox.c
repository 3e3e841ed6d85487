/* SPDX-License-Identifier: ISC */
/*
 * sandbox.c: a process gives up what it does not need.
 *
 * Runs once in each role, as root (or as the user of a development instance),
 * after the role has opened what it needs and before it reads a byte from a
 * stranger. Each step is verified by asking the kernel, not by trusting the
 * return value: regaining root is tried and must fail. A failed step ends the
 * start; only development mode goes on with less.
 */
#include "sys/sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <bsd/stdlib.h>
#include <cap-ng.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "sys/sandbox_internal.h"

struct identity {
	uid_t	 uid;
	gid_t	 gid;
	bool	 change;
	bool	 read_any;	/* CAP_DAC_READ_SEARCH stays */
};

void
sandbox_preload(void)
{
	char seed[4];

	/* The generator asks the kernel at its first use; the time zone is a file. */
	arc4random_buf(seed, sizeof(seed));
	clock_init();
	/* pthread_exit() and backtraces load it, and dlopen is over then. */
	(void)dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_GLOBAL);
	/* The first look-up loads the NSS modules. */
	(void)getpwuid(0);
	(void)getgrgid(0);
}

static int
find_user(const struct sandbox_spec *spec, struct identity *id_r)
{
	struct passwd *pw;

	id_r->uid = (uid_t)-1;
	id_r->gid = (gid_t)-1;
	id_r->change = false;
	id_r->read_any = spec->read_any && landlock_abi() > 0 &&
	    capng_get_caps_process() == 0 &&
	    capng_have_capability(CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
	if (spec->user == NULL || spec->development)
		return 0;
	errno = 0;
	pw = getpwnam(spec->user);
	if (pw == NULL)
		return errno != 0 ? PK_ESYS : PK_ENOENT;
	id_r->uid = pw->pw_uid;
	id_r->gid = pw->pw_gid;
	/* master stays what it is. */
	id_r->change = pw->pw_uid != 0;
	return 0;
}

static int
limit(__rlimit_resource_t what, uint64_t value)
{
	struct rlimit old, want = { value, value };

	if (setrlimit(what, &want) == 0)
		return 0;
	/* Without root a limit can only go down. */
	if (getrlimit(what, &old) == -1 || value < old.rlim_max)
		return PK_ESYS;
	want.rlim_cur = want.rlim_max = old.rlim_max;
	return setrlimit(what, &want) == -1 ? PK_ESYS : 0;
}

static int
set_limits(const struct sandbox_spec *spec)
{
	int error;

	/* A core would hold mail, and keys in other roles. */
	error = limit(RLIMIT_CORE, 0);
	if (error == 0 && spec->rlimit_nofile != 0)
		error = limit(RLIMIT_NOFILE, spec->rlimit_nofile);
	if (error == 0 && spec->rlimit_fsize != 0) {
		/* The write that goes too far fails with EFBIG; nobody dies. */
		(void)signal(SIGXFSZ, SIG_IGN);
		error = limit(RLIMIT_FSIZE, spec->rlimit_fsize);
	}
#ifndef PK_SANITIZERS
	/* Processes and threads of this user: none from this one. */
	if (error == 0 &&
	    (spec->needs & (SANDBOX_THREADS | SANDBOX_FORK_EXEC)) == 0)
		error = limit(RLIMIT_NPROC, 0);
#endif
	return error;
}

static int
change_root(const char *dir)
{
	if (chroot(dir) == -1 || chdir("/") == -1)
		return PK_ESYS;
	return 0;
}

/* Root can be had again by none of these ways. */
static bool
is_for_good(const struct identity *id)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) == -1 ||
	    getresgid(&rgid, &egid, &sgid) == -1)
		return false;
	if (ruid != id->uid || euid != id->uid || suid != id->uid ||
	    rgid != id->gid || egid != id->gid || sgid != id->gid)
		return false;
	if (getgroups(0, NULL) > 0)
		return false;
	return setuid(0) == -1 && seteuid(0) == -1 &&
	    setresuid(0, 0, 0) == -1 && setgid(0) == -1 &&
	    setgroups(0, NULL) == -1;
}

static bool
has_no_capability(const struct identity *id)
{
	int cap;

	/* No file is asked: /proc is out of sight by now. */
	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		if (prctl(PR_CAPBSET_READ, cap) != 0)
			return false;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) ==
		    1)
			return false;
	}
	if (capng_get_caps_process() != 0)
		return false;
	if (id->read_any) {
		if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH))
			return false;
		capng_updatev(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
		    CAP_DAC_READ_SEARCH, -1);
	}
	return capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE;
}

static int
drop_bounding_set(void)
{
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap) == -1)
			return PK_ESYS;
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

static int
change_identity(const struct identity *id, struct sandbox_report *report,
    const char **what_r)
{
	*what_r = "supplementary groups";
	if (setgroups(0, NULL) == -1)
		return PK_ESYS;
	/* Needs CAP_SETPCAP, which goes with the uid. */
	*what_r = "capability bounding set";
	if (drop_bounding_set() != 0)
		return PK_ESYS;
	*what_r = "group id";
	if (setresgid(id->gid, id->gid, id->gid) == -1)
		return PK_ESYS;
	*what_r = "user id";
	if (id->read_any && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
		return PK_ESYS;
	if (setresuid(id->uid, id->uid, id->uid) == -1)
		return PK_ESYS;
	*what_r = "capabilities";
	capng_clear(CAPNG_SELECT_CAPS);
	if (id->read_any)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
		    CAP_DAC_READ_SEARCH, -1);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return PK_EPERM;
	*what_r = "user id: root can be regained";
	if (!is_for_good(id))
		return PK_EPERM;
	*what_r = "capabilities are left";
	if (!has_no_capability(id))
		return PK_EPERM;
	report->user_changed = report->caps_dropped = true;
	return 0;
}

static int
set_no_new_privs(struct sandbox_report *report)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return PK_ESYS;
	report->no_new_privs = true;
	/* Other processes of the same user may not look into this one. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

/* What also works without root. */
static int
close_the_kernel(const struct sandbox_spec *spec, const struct landlock_paths *lp,
    struct sandbox_report *report, const char **what_r)
{
	int error;

	*what_r = "no_new_privs";
	error = set_no_new_privs(report);
	if (error != 0)
		return error;
	*what_r = "Landlock";
	report->landlock_abi = landlock_abi();
	/* What master starts would inherit it and could set nothing up. */
	if (report->landlock_abi > 0 &&
	    (spec->needs & SANDBOX_FORK_EXEC) == 0) {
		error = landlock_enter(report->landlock_abi, lp, spec->needs);
		if (error != 0 && error != PK_EUNSUPPORTED && !spec->development)
			return error;
		report->landlock = error == 0;
	}
	*what_r = "seccomp";
	error = sandbox_seccomp(spec->needs);
	if (error != 0 && !spec->development)
		return error;
	report->seccomp = error == 0;
	return 0;
}

int
sandbox_enter(const struct sandbox_spec *spec, struct sandbox_report *report_r,
    const char **what_r)
{
	struct sandbox_report report = { 0 };
	struct landlock_paths lp;
	struct identity id;
	int error;

	*what_r = "looking the user up";
	error = find_user(spec, &id);
	if (error != 0)
		return error;
	*what_r = "opening paths";
	error = landlock_paths_open(&lp, spec);
	if (error != 0)
		return error;
	*what_r = "limits";
	error = set_limits(spec);
	if (error == 0 && spec->chroot_dir != NULL && !spec->development) {
		*what_r = "chroot";
		error = change_root(spec->chroot_dir);
		report.chrooted = error == 0;
	}
	if (error == 0 && id.change)
		error = change_identity(&id, &report, what_r);
	if (error == 0)
		error = close_the_kernel(spec, &lp, &report, what_r);
	landlock_paths_close(&lp);
	if (error == 0 && id.read_any && !report.landlock && !spec->development) {
		*what_r = "a capability that Landlock does not limit";
		error = PK_EPERM;
	}
	if (error != 0)
		return error;
	*report_r = report;
	*what_r = "";
	return 0;
}
