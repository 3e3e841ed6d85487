/* SPDX-License-Identifier: ISC */
/*
 * privileges.c: what master keeps of root's power once everything is open.
 *
 * master reads no mail and nothing from the network, but it has to start and
 * end processes of other users and hand out low ports. It has no seccomp
 * filter: its children would inherit it, and they need calls that it does
 * not; each of them installs its own.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/privileges.h"

/* Sessions of a worker, its files, and room. */
#define NOFILE_WANTED 131072

static const unsigned kept[] = {
	CAP_SETUID, CAP_SETGID,		/* children become their own users */
	CAP_SETPCAP,			/* and empty their bounding set */
	CAP_SYS_CHROOT,			/* in roots of their own */
	CAP_KILL,
	CAP_CHOWN, CAP_FOWNER,		/* directories that a reload names */
	CAP_DAC_OVERRIDE,		/* pid file, sockets */
	CAP_DAC_READ_SEARCH,		/* certd keeps it: keys of root, renewed as it runs */
	CAP_NET_BIND_SERVICE,		/* listeners that a reload opens */
	CAP_SYS_PTRACE,			/* /proc/PID/root of other users, for system confinement */
};

void
privileges_limits(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit r, more;

	/* certd locks its memory; nobody else has a call for it. */
	if (setrlimit(RLIMIT_MEMLOCK, &all) == -1)
		log_debug("memory cannot be locked without a limit: %s", strerror(errno));
	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		return;
	if (r.rlim_max < NOFILE_WANTED) {
		more.rlim_cur = more.rlim_max = NOFILE_WANTED;
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	/* Not allowed to pass the hard limit: as far as it goes. */
	r.rlim_cur = r.rlim_max < NOFILE_WANTED ? r.rlim_max : NOFILE_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &r);
	log_debug("at most %llu open files a process", (unsigned long long)r.rlim_cur);
}

void
privileges_reduce(void)
{
	bool have[CAP_LAST_CAP + 1] = { false };
	size_t i;

	if (geteuid() != 0) {
		log_info("development mode, not started by root; missing: a user of its own for"
		    " each process, chroot, ports below 1024");
		return;
	}
	if (capng_get_caps_process() != 0)
		log_fatal("cannot read own capabilities: %s", strerror(errno));
	for (i = 0; i < NELEMS(kept); i++)
		have[kept[i]] = capng_have_capability(CAPNG_PERMITTED, kept[i]) == 1;
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < NELEMS(kept); i++)
		if (have[kept[i]])
			(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
			    CAPNG_BOUNDING_SET, kept[i]);
		else
			log_warn("capability %s is missing here",
			    capng_capability_to_name(kept[i]));
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		log_fatal("cannot give up capabilities: %s", strerror(errno));
	/* Nothing that we execute is set-uid; it is never to matter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		log_fatal("no_new_privs: %s", strerror(errno));
}
