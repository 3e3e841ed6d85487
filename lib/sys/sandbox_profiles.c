/* SPDX-License-Identifier: ISC */
/*
 * sandbox_profiles.c: which system calls each need stands for.
 *
 * Data, to be read as a table: CALL(needs, name) allows a call whatever its
 * arguments, WHEN and WHEN2 under conditions on one or two of them. `0` as
 * needs is BASE: every role. A call that is in no row for a role answers
 * ENOSYS, or EPERM if it is in the list of dangerous ones at the end.
 * Paths are not judged here (a filter cannot read them): that is chroot's and
 * Landlock's part.
 */
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>

#include "base/mem.h"
#include "sys/sandbox_internal.h"

#define ACCEPT		SANDBOX_ACCEPT
#define INET		SANDBOX_CONNECT_INET
#define UNIX		SANDBOX_CONNECT_UNIX
#define APPEND		SANDBOX_APPEND
#define FREAD		SANDBOX_FILES_READ
#define FWRITE		SANDBOX_FILES_WRITE
#define MMAPF		SANDBOX_MMAP_FILE
#define MEMFD		SANDBOX_MEMFD
#define THREADS		SANDBOX_THREADS

#define NO_CONDITION	{ 0, SANDBOX_ANY, 0, 0 }
#define IS(arg, value)	{ arg, SANDBOX_EQ, (uint64_t)(value), 0 }
#define BITS(arg, mask, value)	{ arg, SANDBOX_MASK, (uint64_t)(value), (uint64_t)(mask) }
#define OWN_PID(arg)	{ arg, SANDBOX_OWN_PID, 0, 0 }

#define CALL(needs, name)						\
	{ SCMP_SYS(name), needs, 0, { NO_CONDITION, NO_CONDITION } }
#define WHEN(needs, name, a)						\
	{ SCMP_SYS(name), needs, 0, { a, NO_CONDITION } }
#define WHEN2(needs, name, a, b)					\
	{ SCMP_SYS(name), needs, 0, { a, b } }
/* Not for a role that has append handles, whatever else it needs. */
#define UNLESS(unless, needs, name)					\
	{ SCMP_SYS(name), needs, unless, { NO_CONDITION, NO_CONDITION } }
#define UNLESS_WHEN(unless, needs, name, a)				\
	{ SCMP_SYS(name), needs, unless, { a, NO_CONDITION } }

/* The type argument of socket() without its two flags; ints are 32 bits. */
#define SOCKET_TYPE(type)						\
	BITS(1, 0xffffffffU & ~(unsigned)(SOCK_CLOEXEC | SOCK_NONBLOCK), type)
#define NOT_EXECUTABLE(arg)	BITS(arg, PROT_EXEC, 0)
/* O_PATH is not Landlock's business: it would name what may not be read. */
#define OPEN_READ_ONLY(arg)						\
	BITS(arg, O_ACCMODE | O_CREAT | O_TRUNC | O_PATH |		\
	    (O_TMPFILE & ~O_DIRECTORY), O_RDONLY)
/* Neither set-uid nor set-gid. */
#define PLAIN_MODE(arg)		BITS(arg, 06000, 0)
/* A thread: shares memory, files and signals; no name space of its own. */
#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define IS_THREAD							\
	BITS(0, THREAD_FLAGS | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | \
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | \
	    CLONE_PTRACE | CLONE_VFORK, THREAD_FLAGS)

const struct sandbox_call sandbox_calls[] = {
	/* ---- BASE: handles that are there ---- */
	CALL(0, read),
	CALL(0, readv),
	CALL(0, pread64),	/* reading at an offset: content of dedicated segments */
	CALL(0, preadv),
	CALL(0, write),
	CALL(0, writev),
	CALL(0, close),
	CALL(0, close_range),
	CALL(0, fstat),
	CALL(0, lseek),
	CALL(0, dup),
	/* By name: the rest of fcntl locks, seals and hands signals to others. */
	WHEN(0, fcntl, IS(1, F_GETFD)),
	WHEN(0, fcntl, IS(1, F_SETFD)),
	WHEN(0, fcntl, IS(1, F_GETFL)),
	WHEN(0, fcntl, IS(1, F_DUPFD_CLOEXEC)),
	/* F_SETFL could take O_APPEND off a segment's handle. */
	UNLESS_WHEN(APPEND, 0, fcntl, IS(1, F_SETFL)),
	/* fstat() of newer libcs; the kernel sees an empty path. */
	WHEN(0, newfstatat, BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	WHEN(0, ioctl, IS(1, FIONREAD)),	/* bytes that wait */
	WHEN(0, ioctl, IS(1, TIOCOUTQ)),	/* bytes not yet acknowledged */
	WHEN(0, ioctl, IS(1, TCGETS)),		/* stdio asks whether it is a terminal */

	/* ---- BASE: sockets that are there ---- */
	CALL(0, recvfrom),
	CALL(0, recvmsg),
	CALL(0, recvmmsg),
	CALL(0, sendto),
	CALL(0, sendmsg),
	CALL(0, sendmmsg),
	CALL(0, shutdown),
	CALL(0, getsockopt),
	CALL(0, getsockname),
	CALL(0, getpeername),
	/* By name: SOL_SOCKET also has filters and marks. */
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVBUF)),
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_KEEPALIVE)),
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_REUSEADDR)),
	WHEN2(0, setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVLOWAT)),
	WHEN(0, setsockopt, IS(1, IPPROTO_TCP)),	/* TCP_NODELAY, quick acknowledgements */
	WHEN(INET, setsockopt, IS(1, IPPROTO_IP)),
	WHEN(INET, setsockopt, IS(1, IPPROTO_IPV6)),

	/* ---- BASE: waiting ---- */
	CALL(0, epoll_create1),
	CALL(0, epoll_ctl),
	CALL(0, epoll_wait),
	CALL(0, epoll_pwait),
	CALL(0, epoll_pwait2),
	CALL(0, poll),
	CALL(0, ppoll),
	CALL(0, select),
	CALL(0, pselect6),
	CALL(0, eventfd2),
	CALL(0, pipe2),		/* libevent's and libunbound's wake-ups */
	CALL(0, timerfd_create),
	CALL(0, timerfd_settime),
	CALL(0, futex),
	CALL(0, nanosleep),
	CALL(0, clock_nanosleep),
	CALL(0, restart_syscall),
	CALL(0, sched_yield),

	/* ---- BASE: memory; never executable ---- */
	WHEN(0, mmap, NOT_EXECUTABLE(2)),	/* no new code */
	WHEN(0, mprotect, NOT_EXECUTABLE(2)),	/* nor from data */
	CALL(0, munmap),
	CALL(0, mremap),
	CALL(0, madvise),
	CALL(0, brk),

	/* ---- BASE: time, identity, randomness ---- */
	CALL(0, clock_gettime),
	CALL(0, clock_getres),
	CALL(0, gettimeofday),
	CALL(0, time),
	CALL(0, getrandom),
	CALL(0, getpid),
	CALL(0, getppid),
	CALL(0, gettid),
	CALL(0, getuid),
	CALL(0, geteuid),
	CALL(0, getgid),
	CALL(0, getegid),
	CALL(0, getresuid),
	CALL(0, getresgid),
	CALL(0, getgroups),
	CALL(0, getrusage),
	CALL(0, times),
	CALL(0, getcpu),
	CALL(0, uname),
	CALL(0, sysinfo),		/* qsort() asks for the memory's size */
	CALL(0, sched_getaffinity),	/* malloc asks for the number of cores */
	CALL(0, getrlimit),
	/* Reading limits only: the new value is NULL, the process is this one. */
	WHEN2(0, prlimit64, IS(0, 0), IS(2, 0)),
	WHEN(0, prctl, IS(0, PR_SET_NAME)),	/* setproctitle */
	WHEN(0, prctl, IS(0, PR_GET_NAME)),	/* the sanitizers and libbsd ask */

	/* ---- BASE: signals to itself, and the end ---- */
	CALL(0, rt_sigaction),
	CALL(0, rt_sigprocmask),
	CALL(0, rt_sigreturn),
	CALL(0, sigaltstack),
	WHEN(0, tgkill, OWN_PID(0)),	/* abort() */
	CALL(0, exit),
	CALL(0, exit_group),
	CALL(0, set_robust_list),
	CALL(0, rseq),

	/* ---- ACCEPT ---- */
	CALL(ACCEPT, accept4),
	CALL(ACCEPT, accept),

	/* ---- CONNECT_INET: TCP, and UDP for DNS; nothing raw ---- */
	WHEN2(INET, socket, IS(0, AF_INET), SOCKET_TYPE(SOCK_STREAM)),
	WHEN2(INET, socket, IS(0, AF_INET6), SOCKET_TYPE(SOCK_STREAM)),
	WHEN2(INET, socket, IS(0, AF_INET), SOCKET_TYPE(SOCK_DGRAM)),
	WHEN2(INET, socket, IS(0, AF_INET6), SOCKET_TYPE(SOCK_DGRAM)),
	CALL(INET | UNIX, connect),
	CALL(INET, bind),	/* the local address of what goes out */

	/* ---- CONNECT_UNIX ---- */
	WHEN2(UNIX, socket, IS(0, AF_UNIX), SOCKET_TYPE(SOCK_STREAM)),
	WHEN2(UNIX, socket, IS(0, AF_UNIX), SOCKET_TYPE(SOCK_DGRAM)),	/* /dev/log */

	/* ---- APPEND ---- */
	CALL(APPEND | FWRITE | MMAPF, fdatasync),
	CALL(APPEND | FWRITE | MMAPF, fsync),

	/* ---- FILES_READ ---- */
	/* Which paths is for Landlock to say. */
	WHEN(FREAD, openat, OPEN_READ_ONLY(2)),
	WHEN(FREAD, open, OPEN_READ_ONLY(1)),
	CALL(FREAD | FWRITE, newfstatat),
	CALL(FREAD | FWRITE, stat),
	CALL(FREAD | FWRITE, lstat),
	CALL(FREAD | FWRITE, statx),
	CALL(FREAD | FWRITE, access),
	CALL(FREAD | FWRITE, faccessat),
	CALL(FREAD | FWRITE, faccessat2),
	CALL(FREAD | FWRITE, readlink),
	CALL(FREAD | FWRITE, readlinkat),
	CALL(FREAD | FWRITE, getdents64),
	CALL(FREAD | FWRITE, getcwd),
	CALL(FREAD | FWRITE, statfs),
	CALL(FREAD | FWRITE | MMAPF, fstatfs),
	CALL(FREAD | FWRITE, fadvise64),

	/* ---- FILES_WRITE ---- */
	/* A set-uid file would be somebody's way to become us. */
	WHEN(FWRITE, openat, PLAIN_MODE(3)),
	WHEN(FWRITE, open, PLAIN_MODE(2)),
	/* Its flags are in memory: RESOLVE_BENEATH for paths made of addresses. */
	CALL(FWRITE, openat2),
	CALL(FWRITE, mkdir),
	CALL(FWRITE, mkdirat),
	CALL(FWRITE, rename),
	CALL(FWRITE, renameat),
	CALL(FWRITE, renameat2),
	CALL(FWRITE, link),
	CALL(FWRITE, linkat),	/* a Maildir file gets its name when it is whole */
	CALL(FWRITE, unlink),
	CALL(FWRITE, unlinkat),
	CALL(FWRITE, rmdir),
	WHEN(FWRITE, fchmod, PLAIN_MODE(1)),
	CALL(FWRITE, umask),
	CALL(FWRITE, utimensat),
	CALL(FWRITE | MMAPF, flock),
	CALL(FWRITE, syncfs),
	/* These change bytes that stand: not for who also appends to the queue. */
	UNLESS(APPEND, FWRITE, sync_file_range),
	UNLESS(APPEND, FWRITE | MMAPF, ftruncate),
	UNLESS(APPEND, FWRITE, fallocate),
	UNLESS(APPEND, FWRITE | MMAPF, pwrite64),
	UNLESS(APPEND, FWRITE | MMAPF, pwritev),	/* LMDB's page writes */
	UNLESS(APPEND, FWRITE, copy_file_range),
	UNLESS(APPEND, FWRITE, sendfile),

	/* ---- MMAP_FILE: LMDB ---- */
	CALL(MMAPF, msync),
	/* LMDB's lock of writers and its table of readers. */
	WHEN(MMAPF, fcntl, IS(1, F_SETLK)),
	WHEN(MMAPF, fcntl, IS(1, F_SETLKW)),
	WHEN(MMAPF, fcntl, IS(1, F_GETLK)),

	/* ---- MEMFD: content for deliverers, sealed ---- */
	CALL(MEMFD, memfd_create),
	/* A deliverer reads what cannot change any more. */
	WHEN(MEMFD, fcntl, IS(1, F_ADD_SEALS)),
	WHEN(MEMFD, fcntl, IS(1, F_GET_SEALS)),

	/* ---- THREADS ---- */
	/* A process of its own, or another name space, is not a thread. */
	WHEN(THREADS, clone, IS_THREAD),
	CALL(THREADS, membarrier),	/* glibc, when threads come and go */
	CALL(THREADS, sched_getparam),
	CALL(THREADS, sched_getscheduler),

#ifdef PK_SANITIZERS
	/* Their runtime reads /proc, symbolises, and looks for leaks at exit. */
	CALL(0, open),
	CALL(0, openat),
	CALL(0, readlink),
	CALL(0, readlinkat),
	CALL(0, getdents64),
	CALL(0, newfstatat),
	CALL(0, stat),
	CALL(0, prctl),
	CALL(0, prlimit64),
	CALL(0, clone),
	CALL(0, wait4),
	CALL(0, ptrace),
	CALL(0, process_vm_readv),
	CALL(0, mincore),
	CALL(0, sched_getparam),
	CALL(0, sched_getscheduler),
#endif
};
const size_t sandbox_ncalls = NELEMS(sandbox_calls);

const int sandbox_dangerous[] = {
	/* Other programs, other processes. */
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),
	SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(process_madvise), SCMP_SYS(kcmp),
	/* Files and sockets that were not given. */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(creat),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at),
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect),
	SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(chmod),
	SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown),
	SCMP_SYS(fchown), SCMP_SYS(lchown), SCMP_SYS(fchownat),
	SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr),
	SCMP_SYS(memfd_create), SCMP_SYS(memfd_secret),
	/* Ways to change what was appended. */
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2),
	SCMP_SYS(truncate), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(splice), SCMP_SYS(tee), SCMP_SYS(vmsplice),
	SCMP_SYS(copy_file_range), SCMP_SYS(sendfile), SCMP_SYS(io_submit),
	SCMP_SYS(io_setup),
	/* Rights. */
	SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid),
	SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
	SCMP_SYS(capset), SCMP_SYS(chroot), SCMP_SYS(pivot_root),
	SCMP_SYS(setrlimit), SCMP_SYS(personality), SCMP_SYS(seccomp),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(mount), SCMP_SYS(umount2),
	SCMP_SYS(pkey_mprotect),
	/* The kernel. */
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime), SCMP_SYS(sethostname), SCMP_SYS(iopl),
	SCMP_SYS(ioperm), SCMP_SYS(syslog), SCMP_SYS(acct), SCMP_SYS(quotactl),
};
const size_t sandbox_ndangerous = NELEMS(sandbox_dangerous);

const int sandbox_never[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise), SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(open_by_handle_at), SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime), SCMP_SYS(iopl), SCMP_SYS(ioperm),
	SCMP_SYS(syslog), SCMP_SYS(acct), SCMP_SYS(quotactl),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(personality),
};
const size_t sandbox_nnever = NELEMS(sandbox_never);
