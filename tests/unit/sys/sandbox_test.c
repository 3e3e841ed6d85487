/* SPDX-License-Identifier: ISC */
/*
 * sandbox_test.c: a process enters the sandbox and then tries what an
 * attacker inside it would try (A24); each attempt must be refused by the
 * kernel. Run by root, identity and chroot are part of it.
 */
#include "tests/unit/unit.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/num.h"
#include "sys/fd.h"
#include "sys/sandbox.h"
#include "sys/sandbox_internal.h"

#ifdef PK_SANITIZERS
#define SKIP_WITH_SANITIZERS()						\
	do {								\
		print_message("# the sanitizers' runtime needs what is refused\n"); \
		skip();							\
	} while (0)
#else
#define SKIP_WITH_SANITIZERS() do { } while (0)
#endif

static char dir[] = "/tmp/pk_sandbox_XXXXXX";
static int append_fd = -1;	/* O_WRONLY | O_APPEND, 6 bytes in it */
static int read_fd = -1;

static void
die(const char *name, const char *why)
{
	struct buf b;

	buf_init(&b, 1000);
	(void)buf_printf(&b, "# %s: %s\n", name, why);
	(void)fd_write_all(STDERR_FILENO, buf_view(&b).p, b.len);
	_exit(1);
}

/* The attempt failed with errno EPERM, EACCES or ENOSYS. */
#define REFUSED(attempt)						\
	do {								\
		errno = 0;						\
		if ((long)(attempt) != -1)				\
			die(#attempt, "was allowed");			\
		if (errno != EPERM && errno != EACCES && errno != ENOSYS) \
			die(#attempt, strerror(errno));			\
	} while (0)

#define ALLOWED(attempt)						\
	do {								\
		if ((long)(attempt) == -1)				\
			die(#attempt, strerror(errno));			\
	} while (0)

static void
enter(unsigned needs, struct sandbox_spec *spec, struct sandbox_report *report)
{
	const char *what = "";
	int error;

	spec->needs = needs;
	if (geteuid() == 0) {
		spec->user = "nobody";
	} else {
		spec->development = true;
	}
	sandbox_preload();
	error = sandbox_enter(spec, report, &what);
	if (error != 0)
		die(what, pk_strerror(error));
	if (!report->no_new_privs || !report->seccomp)
		die("report", "something is missing");
	if (geteuid() == 0)
		die("identity", "still root");
}

static void
run(void (*fn)(void))
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the process inside ended with status %#x", status);
}

/* ---- the narrowest: an SMTP session's process ---- */

static void
narrow(void)
{
	struct sandbox_spec spec = { .chroot_dir = dir, .rlimit_nofile = 100 };
	struct sandbox_report report;
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct rlimit limit = { 1000, 1000 };
	char *const argv[] = { (char *)(uintptr_t)"/bin/true", NULL };
	struct iovec iov = { (void *)(uintptr_t)"x", 1 };
	off_t zero = 0;
	bool root = geteuid() == 0;
	pid_t parent = getppid();
	int udp = socket(AF_INET, SOCK_STREAM, 0);

	enter(SANDBOX_ACCEPT | SANDBOX_APPEND, &spec, &report);
	if (root && (!report.chrooted || !report.user_changed ||
	    !report.caps_dropped))
		die("report", "root's part is missing");

	/* Still at work. */
	ALLOWED(write(append_fd, "more", 4));
	ALLOWED(fdatasync(append_fd));
	ALLOWED(fcntl(append_fd, F_GETFL));
	xfree(xmalloc(10000000));
	if (clock_wall_ms() == 0)
		die("clock", "stands");

	/* What was appended stays (design, section 4). */
	REFUSED(fcntl(append_fd, F_SETFL, 0));
	REFUSED(pwrite(append_fd, "x", 1, 0));
	REFUSED(pwritev(append_fd, &iov, 1, 0));
	REFUSED(syscall(SYS_pwritev2, append_fd, &iov, 1, 0, 0, 0x20));
	REFUSED(ftruncate(append_fd, 0));
	REFUSED(fallocate(append_fd, 0, 0, 100));
	REFUSED(splice(read_fd, &zero, append_fd, &zero, 1, 0));
	REFUSED(copy_file_range(read_fd, &zero, append_fd, &zero, 1, 0));
	REFUSED(syscall(SYS_sendfile, append_fd, read_fd, &zero, 1));
	REFUSED(syscall(SYS_io_setup, 1, &zero));
	REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, append_fd, 0) !=
	    MAP_FAILED)
		die("mmap", "of an append handle was allowed");

	/* Files. */
	REFUSED(open("/etc/passwd", O_RDONLY));
	REFUSED(open(".", O_RDONLY));
	REFUSED(openat(AT_FDCWD, "new", O_WRONLY | O_CREAT, 0600));
	REFUSED(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0));
	REFUSED(mkdir("d", 0700));
	REFUSED(unlink("file"));
	REFUSED(rename("file", "other"));
	REFUSED(symlink("/etc/passwd", "link"));
	REFUSED(chmod("file", 0777));
	REFUSED(fchmod(append_fd, 0777));
	REFUSED(syscall(SYS_memfd_create, "m", 0));

	/* The network, siblings. */
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
	REFUSED(connect(udp, (void *)&in, sizeof(in)));
	REFUSED(bind(udp, (void *)&in, sizeof(in)));
	REFUSED(listen(udp, 1));

	/* Other processes, other programs, rights. */
	REFUSED(execve("/bin/true", argv, NULL));
	REFUSED(fork());
	REFUSED(syscall(SYS_vfork));
	REFUSED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	REFUSED(kill(parent, 0));
	REFUSED(kill(getpid(), 0));
	REFUSED(syscall(SYS_tgkill, parent, parent, 0));
	REFUSED(ptrace(PTRACE_ATTACH, parent, NULL, NULL));
	REFUSED(process_vm_readv(parent, &iov, 1, &iov, 1, 0));
	REFUSED(setuid(0));
	REFUSED(syscall(SYS_setresuid, 0, 0, 0));
	REFUSED(syscall(SYS_setgroups, 0, NULL));
	REFUSED(chroot("/"));
	REFUSED(unshare(CLONE_NEWUSER));
	REFUSED(syscall(SYS_mount, "a", "b", "c", 0, NULL));
	REFUSED(syscall(SYS_bpf, 0, NULL, 0));
	REFUSED(syscall(SYS_prctl, 38 /* NO_NEW_PRIVS */, 0, 0, 0, 0));
	REFUSED(setrlimit(RLIMIT_NOFILE, &limit));

	/* Memory that can be run. */
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0) != MAP_FAILED)
		die("mmap", "of executable memory was allowed");
	REFUSED(mprotect((void *)((uintptr_t)&spec & ~4095UL), 4096,
	    PROT_READ | PROT_WRITE | PROT_EXEC));
}

static void
test_narrow(void **state)
{
	struct stat st;

	(void)state;
	SKIP_WITH_SANITIZERS();
	run(narrow);
	assert_int_equal(fstat(append_fd, &st), 0);
	assert_int_equal(st.st_size, 10);
}

/* ---- roles with files ---- */

static void
reader(void)
{
	struct sandbox_spec spec = { .paths = { { .path = dir } }, .npaths = 1 };
	struct sandbox_report report;
	int fd;

	if (chdir(dir) == -1)
		die("chdir", strerror(errno));
	enter(SANDBOX_FILES_READ, &spec, &report);
	ALLOWED(fd = open("file", O_RDONLY));
	REFUSED(open("file", O_WRONLY));
	REFUSED(open("file", O_RDONLY | O_TRUNC));
	REFUSED(open("new", O_RDONLY | O_CREAT, 0600));
	REFUSED(unlink("file"));
	if (report.landlock) {
		REFUSED(open("/etc/passwd", O_RDONLY));
		REFUSED(open("/", O_RDONLY | O_DIRECTORY));
	}
}

/* What has a known name, and no look around (lookupd in the mail store). */
static void
name_reader(void)
{
	struct sandbox_spec spec = { .paths = { { dir, .no_listing = true } }, .npaths = 1 };
	struct sandbox_report report;
	char name[100];

	(void)snprintf(name, sizeof(name), "%s/file", dir);
	enter(SANDBOX_FILES_READ, &spec, &report);
	ALLOWED(open(name, O_RDONLY));
	REFUSED(open(name, O_WRONLY));
	if (report.landlock) {
		REFUSED(open(dir, O_RDONLY | O_DIRECTORY));
		REFUSED(open("/etc/passwd", O_RDONLY));
	}
}

static void
writer(void)
{
	struct sandbox_spec spec = {
		.chroot_dir = dir,
		.paths = {
			{ .path = dir, .write = true },
			{ .path = "/nonexistent/path", .write = true },
		},
		.npaths = 2,
		.rlimit_fsize = 100000,
	};
	struct sandbox_report report;
	bool root = geteuid() == 0;
	char name[100];
	int fd;

	enter(SANDBOX_FILES_READ | SANDBOX_FILES_WRITE, &spec, &report);
	(void)snprintf(name, sizeof(name), "%s/new", root ? "" : dir);
	ALLOWED(fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
	ALLOWED(pwrite(fd, "x", 1, 10));
	ALLOWED(ftruncate(fd, 5));
	if (pwrite(fd, "x", 1, 100000) != -1 || errno != EFBIG)
		die("RLIMIT_FSIZE", strerror(errno));
	ALLOWED(fsync(fd));
	ALLOWED(unlink(name));
	REFUSED(symlink("/etc/passwd", name));
	if (report.landlock && !root)
		REFUSED(open("/etc/passwd", O_RDONLY));
}

static void
connector(void)
{
	struct sandbox_spec spec = { 0 };
	struct sandbox_report report;
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9) };
	int fd;

	enter(SANDBOX_CONNECT_INET, &spec, &report);
	ALLOWED(fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	/* Nobody listens there; the point is who says no. */
	if (connect(fd, (void *)&in, sizeof(in)) == 0 || errno == EPERM ||
	    errno == EACCES || errno == ENOSYS)
		die("connect", strerror(errno));
	in.sin_port = 0;
	close(fd);
	ALLOWED(fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	ALLOWED(bind(fd, (void *)&in, sizeof(in)));
	ALLOWED(socket(AF_INET6, SOCK_DGRAM, 0));
	REFUSED(listen(fd, 1));
	REFUSED(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(socket(AF_PACKET, SOCK_DGRAM, 0));
	REFUSED(open("/etc/passwd", O_RDONLY));
}

static void *
thread(void *arg)
{
	*(int *)arg = open("/etc/passwd", O_RDONLY);
	return arg;
}

static void
threader(void)
{
	struct sandbox_spec spec = { 0 };
	struct sandbox_report report;
	pthread_t t;
	int fd = 0;

	enter(SANDBOX_THREADS | SANDBOX_MEMFD, &spec, &report);
	if (pthread_create(&t, NULL, thread, &fd) != 0)
		die("pthread_create", "was refused");
	pthread_join(t, NULL);
	/* Threads are inside, too. */
	if (fd != -1)
		die("thread", "opened a file");
	ALLOWED(fd_sealed_memfd("m", VIEW("content")));
	REFUSED(fork());
}

/* Append handles take rights away, whatever else the role has (logd). */
static void
appender(void)
{
	struct sandbox_spec spec = { .paths = { { .path = dir, .write = true } }, .npaths = 1 };
	struct sandbox_report report;

	enter(SANDBOX_APPEND | SANDBOX_FILES_READ | SANDBOX_FILES_WRITE |
	    SANDBOX_MMAP_FILE, &spec, &report);
	ALLOWED(write(append_fd, "", 0));
	REFUSED(fcntl(append_fd, F_SETFL, 0));
	REFUSED(pwrite(append_fd, "x", 1, 0));
	REFUSED(ftruncate(append_fd, 0));
	REFUSED(fallocate(append_fd, 0, 0, 100));
	REFUSED(syscall(SYS_sendfile, append_fd, read_fd, NULL, 1));
}

static void
test_appender(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(appender);
}

static void
test_reader(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(reader);
}

static void
test_name_reader(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(name_reader);
}

static void
test_writer(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(writer);
}

static void
test_connector(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(connector);
}

static void
test_threader(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(threader);
}

/* ---- master: may start others, who confine themselves further ---- */

static void
starter(void)
{
	struct sandbox_spec spec = { .user = "root", .needs = SANDBOX_FORK_EXEC,
	    .development = geteuid() != 0 };
	struct sandbox_report report;
	const char *what;
	int status = 0;
	pid_t pid;

	if (sandbox_enter(&spec, &report, &what) != 0)
		die(what, "failed");
	REFUSED(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
	REFUSED(unshare(CLONE_NEWUSER));
	ALLOWED(pid = fork());
	if (pid == 0) {
		narrow();
		_exit(0);
	}
	ALLOWED(waitpid(pid, &status, 0));
	if (status != 0)
		die("the child's confinement", "failed");
}

static void
test_starter(void **state)
{
	(void)state;
	SKIP_WITH_SANITIZERS();
	run(starter);
}

static void
unknown_user(void)
{
	struct sandbox_spec spec = { .user = "no-such-user-here" };
	struct sandbox_report report;
	const char *what = "";

	if (sandbox_enter(&spec, &report, &what) == 0)
		die("unknown user", "was accepted");
	if (strcmp(what, "looking the user up") != 0)
		die("what", what);
}

static void
test_unknown_user(void **state)
{
	(void)state;
	run(unknown_user);
}

/* The first Landlock would take tmp/ to new/ away: it is left out. */
static void
old_landlock(void)
{
	struct landlock_paths lp = { .n = 0 };
	struct sandbox_spec spec = { .paths = { { .path = dir, .write = true } }, .npaths = 1 };

	ALLOWED(chdir(dir));
	ALLOWED(mkdir("tmp", 0700));
	ALLOWED(mkdir("new", 0700));
	ALLOWED(close(open("tmp/x", O_WRONLY | O_CREAT, 0600)));
	if (landlock_paths_open(&lp, &spec) != 0)
		die("paths", "cannot be opened");
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)landlock_enter(1, &lp, SANDBOX_FILES_READ | SANDBOX_FILES_WRITE);
	ALLOWED(rename("tmp/x", "new/x"));
	ALLOWED(unlink("new/x"));
	ALLOWED(rmdir("tmp"));
	ALLOWED(rmdir("new"));
}

static void
test_old_landlock(void **state)
{
	(void)state;
	run(old_landlock);
}

/* Every row is a call that this libseccomp knows by number. */
static void
test_tables(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sandbox_ncalls; i++)
		assert_true(sandbox_calls[i].needs < SANDBOX_FORK_EXEC);
	assert_true(sandbox_ndangerous > sandbox_nnever);
}

static int
set_up(void **state)
{
	char path[100];

	(void)state;
	if (mkdtemp(dir) == NULL || chmod(dir, 0777) == -1)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	append_fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0666);
	read_fd = open(path, O_RDONLY);
	return append_fd == -1 || write(append_fd, "append", 6) != 6 ? -1 : 0;
}

static int
tear_down(void **state)
{
	char path[100];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	(void)unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_appender),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_name_reader),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_connector),
		cmocka_unit_test(test_threader),
		cmocka_unit_test(test_starter),
		cmocka_unit_test(test_unknown_user),
		cmocka_unit_test(test_old_landlock),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
