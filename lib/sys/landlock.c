/* SPDX-License-Identifier: ISC */
/*
 * landlock.c: files, TCP, abstract sockets and signals out of reach.
 *
 * The structures are our own: headers of Debian 12 know ABI 3, the kernel may
 * have more, and each thing is asked of the kernel only from the ABI on that
 * has it. Runs once in each role's start, after chroot and identity. What
 * was opened before keeps its rights.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/fd.h"
#include "sys/sandbox_internal.h"

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset	444
#define __NR_landlock_add_rule		445
#define __NR_landlock_restrict_self	446
#endif

#define CREATE_VERSION		1U
#define RULE_PATH_BENEATH	1
#define RULE_NET_PORT		2

/* linux/landlock.h, LANDLOCK_ACCESS_FS_* */
#define FS_EXECUTE	(1ULL << 0)
#define FS_WRITE_FILE	(1ULL << 1)
#define FS_READ_FILE	(1ULL << 2)
#define FS_READ_DIR	(1ULL << 3)
#define FS_REMOVE_DIR	(1ULL << 4)
#define FS_REMOVE_FILE	(1ULL << 5)
#define FS_MAKE_CHAR	(1ULL << 6)
#define FS_MAKE_DIR	(1ULL << 7)
#define FS_MAKE_REG	(1ULL << 8)
#define FS_MAKE_SOCK	(1ULL << 9)
#define FS_MAKE_FIFO	(1ULL << 10)
#define FS_MAKE_BLOCK	(1ULL << 11)
#define FS_MAKE_SYM	(1ULL << 12)
#define FS_ABI_1	((1ULL << 13) - 1)
#define FS_REFER	(1ULL << 13)	/* ABI 2: rename between directories */
#define FS_TRUNCATE	(1ULL << 14)	/* ABI 3 */
#define FS_IOCTL_DEV	(1ULL << 15)	/* ABI 5 */

#define NET_BIND_TCP	(1ULL << 0)	/* ABI 4 */
#define NET_CONNECT_TCP	(1ULL << 1)

#define SCOPE_ABSTRACT	(1ULL << 0)	/* ABI 6 */
#define SCOPE_SIGNAL	(1ULL << 1)

struct ruleset_attr {
	uint64_t	 handled_access_fs;
	uint64_t	 handled_access_net;	/* ABI 4 */
	uint64_t	 scoped;		/* ABI 6 */
};

struct path_attr {
	uint64_t	 allowed_access;
	int32_t		 parent_fd;
} __attribute__((packed));

struct port_attr {
	uint64_t	 allowed_access;
	uint64_t	 port;
};

int
landlock_abi(void)
{
	long abi =
	    syscall(__NR_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return abi > 0 ? (int)abi : 0;
}

int
landlock_paths_open(struct landlock_paths *lp, const struct sandbox_spec *spec)
{
	unsigned i;

	lp->n = 0;
	for (i = 0; i < spec->npaths; i++) {
		lp->write[i] = spec->paths[i].write;
		lp->no_listing[i] = spec->paths[i].no_listing;
		lp->fds[i] = open(spec->paths[i].path, O_PATH | O_CLOEXEC);
		lp->n = i + 1;
		if (lp->fds[i] == -1 && errno != ENOENT && errno != ENOTDIR) {
			landlock_paths_close(lp);
			return PK_ESYS;
		}
	}
	return 0;
}

void
landlock_paths_close(struct landlock_paths *lp)
{
	unsigned i;

	for (i = 0; i < lp->n; i++)
		fd_close(&lp->fds[i]);
	lp->n = 0;
}

static uint64_t
fs_handled(int abi)
{
	return FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) |
	    (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static int
allow_path(int ruleset, const struct landlock_paths *lp, unsigned i, uint64_t handled)
{
	uint64_t access = FS_READ_FILE | (lp->no_listing[i] ? 0 : FS_READ_DIR);
	struct path_attr attr;
	struct stat st;

	/* Nobody makes devices or links here, and nobody executes. */
	if (lp->write[i])
		access |= FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE |
		    FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE;
	if (fstat(lp->fds[i], &st) == -1)
		return PK_ESYS;
	if (!S_ISDIR(st.st_mode))
		access &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
	attr.allowed_access = access & handled;
	attr.parent_fd = lp->fds[i];
	return syscall(__NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH,
		   &attr, 0) == -1 ?
	    PK_ESYS :
	    0;
}

/* Port 0 is any free one: the local end of an outgoing connection. */
static int
allow_any_local_port(int ruleset)
{
	struct port_attr attr = { NET_BIND_TCP, 0 };

	return syscall(__NR_landlock_add_rule, ruleset, RULE_NET_PORT, &attr,
		   0) == -1 ?
	    PK_ESYS :
	    0;
}

static int
fill_and_enter(int ruleset, const struct ruleset_attr *attr,
    const struct landlock_paths *lp)
{
	unsigned i;
	int error;

	for (i = 0; i < lp->n; i++) {
		if (lp->fds[i] == -1)
			continue;
		error = allow_path(ruleset, lp, i, attr->handled_access_fs);
		if (error != 0)
			return error;
	}
	if (attr->handled_access_net == NET_BIND_TCP) {
		error = allow_any_local_port(ruleset);
		if (error != 0)
			return error;
	}
	return syscall(__NR_landlock_restrict_self, ruleset, 0) == -1 ?
	    PK_ESYS :
	    0;
}

int
landlock_enter(int abi, const struct landlock_paths *lp, unsigned needs)
{
	struct ruleset_attr attr = { .handled_access_fs = fs_handled(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	int ruleset, error;

	if (abi >= 4) {
		attr.handled_access_net = NET_BIND_TCP;
		if ((needs & SANDBOX_CONNECT_INET) == 0)
			attr.handled_access_net |= NET_CONNECT_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	/*
	 * ABI 1 (Linux 5.13 to 5.18) refuses every rename from one directory
	 * to another: a Maildir's tmp/ to new/.
	 */
	if (abi < 2 && (needs & SANDBOX_FILES_WRITE) != 0)
		return PK_EUNSUPPORTED;
	ruleset = (int)syscall(__NR_landlock_create_ruleset, &attr, size, 0);
	if (ruleset == -1)
		return PK_ESYS;
	error = fill_and_enter(ruleset, &attr, lp);
	fd_close(&ruleset);
	return error;
}
