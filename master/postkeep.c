/* SPDX-License-Identifier: ISC */
/*
 * postkeep: start, stop, reload, status, check, upgrade.
 *
 * The administrator's switch: it starts master and waits until that reports
 * READY or says why not, and sends it signals. Runs with the caller's rights;
 * what it learns of a running suite comes from the lock on the pid file.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/environment.h"
#include "master/master.h"
#include "sys/fd.h"

/* Exit statuses as of LSB init scripts where they fit. */
enum {
	STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_NOT_RUNNING = 3,
};

struct command {
	const char	*config_dir;
	bool		 foreground;
	struct conf	*conf;
	unsigned	 errors, warnings;
};

static void
usage(FILE *f)
{
	fputs("usage: postkeep [-c config_dir] start [-f] | stop | reload | status | check |"
	    " upgrade\n"
	    "       -f, --foreground   start: stay in the foreground\n", f);
}

static void
config_note(const struct conf_note *n, void *arg)
{
	struct command *c = arg;

	if (n->level == 'e')
		c->errors++;
	else
		c->warnings++;
	fprintf(stderr, "postkeep: %s: ", n->level == 'e' ? "error" : "warning");
	if (n->line > 0)
		fprintf(stderr, "%s:%u: %s\n", n->file, n->line, n->text);
	else
		fprintf(stderr, "%s: %s\n", n->file, n->text);
}

static void
environment_note(char level, const char *text, void *arg)
{
	struct command *c = arg;

	if (level == 'e')
		c->errors++;
	else
		c->warnings++;
	fprintf(stderr, "postkeep: %s: %s\n", level == 'e' ? "error" : "warning", text);
}

static bool
load(struct command *c)
{
	char *path = xasprintf("%s/main.cf", c->config_dir);

	c->conf = conf_load(path, VIEW_NONE, config_note, c);
	xfree(path);
	return c->conf != NULL;
}

static void
sleep_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* pid of the running master; 0 after saying that there is none. */
static pid_t
must_run(const struct command *c)
{
	pid_t pid = environment_running(c->conf);

	if (pid > 0)
		return pid;
	if (pid == 0)
		fprintf(stderr, "postkeep: not running (runtime_directory %s)\n",
		    c->conf->runtime_directory);
	else
		fprintf(stderr, "postkeep: %s/master.pid: %s\n", c->conf->runtime_directory,
		    strerror(errno));
	return 0;
}

static bool
send_signal(pid_t pid, int number)
{
	if (kill(pid, number) == 0)
		return true;
	fprintf(stderr, "postkeep: cannot signal master (pid %ld): %s\n", (long)pid,
	    strerror(errno));
	return false;
}

/* ---- check ---- */

/* Opens and closes every listener; what is wrong is said as master says it. */
static bool
ports_free(const struct command *c)
{
	struct master *m = XNEW(struct master);
	struct listener_list fresh;
	bool ok;

	TAILQ_INIT(&m->listeners);
	TAILQ_INIT(&m->procs);
	ok = listeners_prepare(m, c->conf, &fresh);
	TAILQ_CONCAT(&m->listeners, &fresh, link);
	listeners_close(m);
	xfree(m);
	return ok;
}

static int
run_check(struct command *c)
{
	struct environment e = { .conf = c->conf, .development = geteuid() != 0,
	    .say = environment_note, .arg = c };

	/* A running suite holds its own ports. */
	if (environment_check(&e) && environment_running(c->conf) == 0 && !ports_free(c))
		c->errors++;
	if (c->errors > 0) {
		fprintf(stderr, "postkeep: %u errors, %u warnings\n", c->errors, c->warnings);
		return STATUS_FAILED;
	}
	printf("configuration and environment are fine, %u warnings\n", c->warnings);
	return STATUS_OK;
}

/* ---- start ---- */

static void __attribute__((noreturn))
execute_master(const struct command *c, int ready_fd)
{
	char *path = xasprintf("%s/master", c->conf->program_directory);
	char *fd = xasprintf("%d", ready_fd);
	char *config = xstrdup(c->config_dir);
	char *argv[8] = { path, xstrdup("-c"), config };
	int n = 3;

	if (c->foreground)
		argv[n++] = xstrdup("-f");
	if (ready_fd != -1) {
		argv[n++] = xstrdup("--ready-fd");
		argv[n++] = fd;
	}
	execv(path, argv);
	fprintf(stderr, "postkeep: cannot execute %s: %s\n", path, strerror(errno));
	_exit(STATUS_FAILED);
}

/* master writes a byte when all processes are READY and closes on failure. */
static int
wait_ready(int fd, pid_t pid)
{
	int status;
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n == -1 && errno == EINTR);
	if (n == 1) {
		printf("postkeep is running, pid %ld\n", (long)pid);
		return STATUS_OK;
	}
	(void)waitpid(pid, &status, 0);
	fputs("postkeep: not started, see above\n", stderr);
	return STATUS_FAILED;
}

static int
run_start(struct command *c)
{
	pid_t pid = environment_running(c->conf);
	int pipes[2];

	if (pid > 0) {
		fprintf(stderr, "postkeep: running already, pid %ld\n", (long)pid);
		return STATUS_FAILED;
	}
	if (c->foreground)
		execute_master(c, -1);
	if (pipe(pipes) == -1) {
		fprintf(stderr, "postkeep: %s\n", strerror(errno));
		return STATUS_FAILED;
	}
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		(void)setsid();
		execute_master(c, pipes[1]);
	}
	close(pipes[1]);
	if (pid == -1) {
		fprintf(stderr, "postkeep: %s\n", strerror(errno));
		return STATUS_FAILED;
	}
	return wait_ready(pipes[0], pid);
}

/* ---- stop, reload, status, upgrade ---- */

static int
run_stop(struct command *c)
{
	pid_t pid = must_run(c);
	uint64_t until;

	if (pid == 0)
		return STATUS_NOT_RUNNING;
	if (!send_signal(pid, SIGTERM))
		return STATUS_FAILED;
	/* Three stages have this grace each, and a little to say good-bye. */
	until = clock_mono_ms() + 4 * (c->conf->drain_timeout + 10000);
	while (environment_running(c->conf) == pid) {
		if (clock_mono_ms() > until) {
			fprintf(stderr, "postkeep: pid %ld has not come to an end\n", (long)pid);
			return STATUS_FAILED;
		}
		sleep_ms(50);
	}
	puts("postkeep has stopped");
	return STATUS_OK;
}

static int
run_reload(struct command *c)
{
	pid_t pid = must_run(c);

	/* The new main.cf is sound, or we would not be here; master looks again. */
	if (pid == 0)
		return STATUS_NOT_RUNNING;
	return send_signal(pid, SIGHUP) ? STATUS_OK : STATUS_FAILED;
}

static int
run_status(struct command *c)
{
	pid_t pid = must_run(c);

	if (pid == 0)
		return STATUS_NOT_RUNNING;
	printf("postkeep is running, pid %ld\n", (long)pid);
	return STATUS_OK;
}

static int
run_upgrade(struct command *c)
{
	pid_t pid = must_run(c);

	if (pid == 0)
		return STATUS_NOT_RUNNING;
	return send_signal(pid, SIGUSR2) ? STATUS_OK : STATUS_FAILED;
}

static const struct {
	const char	*name;
	int		(*run)(struct command *c);
} commands[] = {
	{ "start",	run_start },
	{ "stop",	run_stop },
	{ "reload",	run_reload },
	{ "status",	run_status },
	{ "check",	run_check },
	{ "upgrade",	run_upgrade },
};

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config-dir", required_argument, NULL, 'c' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct command c = { .config_dir = PK_SYSCONFDIR };
	int opt, status = STATUS_USAGE;
	size_t i;

	log_init("postkeep");
	while ((opt = getopt_long(argc, argv, "c:fhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			c.config_dir = optarg;
			break;
		case 'f':
			c.foreground = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		case 'V':
			puts(PACKAGE_STRING);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	for (i = 0; optind == argc - 1 && i < NELEMS(commands); i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		status = load(&c) ? commands[i].run(&c) : STATUS_FAILED;
		conf_free(&c.conf);
		return status;
	}
	usage(stderr);
	return status;
}
