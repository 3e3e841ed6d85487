/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: a process gives up what it does not need.
 *
 * Order of a role's start (lib/ipc/child.h runs it): chroot, identity,
 * capabilities, no_new_privs, Landlock, seccomp, limits. Each step is
 * verified; a failed one is fatal when running as root and noted in the
 * report otherwise (development mode).
 */
#ifndef PK_SYS_SANDBOX_H
#define PK_SYS_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a role may ask of the kernel, by name; each is a set of system calls
 * in sandbox_profiles.c with its reason. BASE is always in: memory, clocks,
 * epoll, eventfd, futex, read/write/sendmsg/recvmsg on handles it has, exit.
 * Unknown calls answer ENOSYS; refused ones of known danger EPERM.
 */
enum sandbox_need {
	SANDBOX_BASE		= 0,
	SANDBOX_ACCEPT		= 1 << 0,	/* accept4 on listeners it was given */
	SANDBOX_CONNECT_INET	= 1 << 1,	/* socket, connect, bind for AF_INET/6 */
	SANDBOX_CONNECT_UNIX	= 1 << 2,	/* socket, connect for AF_UNIX stream */
	/*
	 * write, writev, fdatasync on append handles. Takes away, whatever else is
	 * needed, every call that changes bytes behind them: F_SETFL, pwrite,
	 * ftruncate, fallocate, ... (not for LMDB's processes).
	 */
	SANDBOX_APPEND		= 1 << 3,
	SANDBOX_FILES_READ	= 1 << 4,	/* openat(O_RDONLY), fstat, pread, getdents */
	SANDBOX_FILES_WRITE	= 1 << 5,	/* create, rename, unlink, mkdir, fsync, syncfs */
	SANDBOX_MMAP_FILE	= 1 << 6,	/* LMDB: shared mmap, msync, ftruncate, locks */
	SANDBOX_MEMFD		= 1 << 7,	/* memfd_create and seals */
	SANDBOX_THREADS		= 1 << 8,	/* clone of threads after confinement */
	SANDBOX_FORK_EXEC	= 1 << 9,	/* master alone */
};

struct sandbox_path {
	const char	*path;		/* as seen before chroot */
	bool		 write;		/* else read only */
	bool		 no_listing;	/* files whose names are known; not with write */
};

#define SANDBOX_PATHS_MAX 32

struct sandbox_spec {
	const char	*user;		/* NULL: keep identity (development mode) */
	const char	*chroot_dir;	/* NULL: none */
	unsigned	 needs;		/* enum sandbox_need */
	struct sandbox_path paths[SANDBOX_PATHS_MAX];	/* Landlock; none = no file at all */
	unsigned	 npaths;
	uint64_t	 rlimit_nofile;	/* 0: as inherited */
	uint64_t	 rlimit_fsize;	/* bytes; 0: as inherited */
	bool		 development;	/* not root: do what can be done, say the rest */
	/*
	 * Keeps CAP_DAC_READ_SEARCH alone, where the kernel has Landlock: files in
	 * `paths` are read whoever owns them (certd: keys are root's).
	 */
	bool		 read_any;
};

/* What came to be in force, bit by bit; for the log line at start. */
struct sandbox_report {
	bool	chrooted, user_changed, caps_dropped, no_new_privs;
	bool	landlock, seccomp;
	int	landlock_abi;		/* 0: kernel has none */
};

/*
 * Applies spec to the calling process. 0, or an error with *what_r naming the
 * step (static text). Threads must not exist yet. Late-loaded things (NSS,
 * iconv, time zone, libgcc_s) are loaded first by sandbox_preload().
 */
int	sandbox_enter(const struct sandbox_spec *spec, struct sandbox_report *report_r,
	    const char **what_r);
void	sandbox_preload(void);

#endif
