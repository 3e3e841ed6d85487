/* SPDX-License-Identifier: ISC */
/*
 * master: starts, restarts and replaces the processes of the suite.
 *
 * Runs as root (in development as anybody), reads main.cf and nothing else:
 * no network data, no mail. Started by postkeep(8) or systemd; it stays in
 * the process it was started in. Opens listeners, makes directories and the
 * statistics memory, then gives up what it does not need of root's power and
 * brings up the roles. SIGHUP reloads, SIGTERM and SIGINT stop, SIGUSR1 has
 * the log files reopened, SIGUSR2 replaces the binary in place.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "master/master.h"
#include "master/privileges.h"
#include "sys/fd.h"

#define STATUS_FAILED	1
#define STATUS_USAGE	2

struct options {
	const char	*config_dir;
	bool		 foreground;
	int		 ready_fd;
	int		 resume_fd;
	int		 check_fd;
};

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: master [-f] [-c config_dir]\n"
	    "postkeep(8) starts it; see master(8)\n");
	_exit(STATUS_USAGE);
}

static int
fd_option(const char *text)
{
	uint64_t n;

	if (num_parse_u64(view_str(text), 3, 1 << 20, &n) != 0)
		usage();
	return (int)n;
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "config-dir", required_argument, NULL, 'c' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "resume", required_argument, NULL, 'R' },
		{ "upgrade-check", required_argument, NULL, 'U' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	*o = (struct options){ PK_SYSCONFDIR, false, -1, -1, -1 };
	while ((opt = getopt_long(argc, argv, "c:fV", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'r':
			o->ready_fd = fd_option(optarg);
			break;
		case 'R':
			o->resume_fd = fd_option(optarg);
			break;
		case 'U':
			o->check_fd = fd_option(optarg);
			break;
		case 'V':
			puts(PACKAGE_STRING);
			_exit(fflush(stdout) != 0);
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

/* ---- a first start ---- */

static void
config_note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		log_error("%s:%u: %s", n->file, n->line, n->text);
	else
		log_warn("%s:%u: %s", n->file, n->line, n->text);
}

static void
environment_note(char level, const char *text, void *arg)
{
	(void)arg;
	if (level == 'e')
		log_error("%s", text);
	else
		log_warn("%s", text);
}

static void
load_config(struct master *m, const char *dir)
{
	enum log_level level;
	char absolute[PATH_MAX];

	m->conf_path = xasprintf("%s/main.cf", realpath(dir, absolute) != NULL ? absolute : dir);
	m->conf = conf_load(m->conf_path, VIEW_NONE, config_note, NULL);
	if (m->conf == NULL)
		log_fatal("not started: correct the configuration first");
	if (log_level_parse(m->conf->log_level, &level))
		log_set_level(level);
}

static void
say_waits(void)
{
	log_warn("processes of a master that died still finish their work: waiting for them");
}

static void
wait_alone(struct master *m)
{
	int rc = environment_queue_wait(m->conf, (uint64_t)m->conf->drain_timeout +
	    MASTER_ALONE_GRACE_MS, say_waits);

	if (rc == PK_ETIMEOUT)
		log_fatal("not started: processes of an earlier start still use %s",
		    m->conf->queue_directory);
	if (rc != 0)
		log_fatal("not started: %s/lock: %s", m->conf->queue_directory, strerror(errno));
}

static void
take_lock(struct master *m)
{
	pid_t other;

	m->pid_fd = environment_lock(m->conf, &other);
	if (m->pid_fd != -1) {
		wait_alone(m);
		return;
	}
	if (other > 0)
		log_fatal("not started: a master with runtime_directory %s is running, pid %ld",
		    m->conf->runtime_directory, (long)other);
	log_fatal("%s/master.pid: %s", m->conf->runtime_directory, strerror(errno));
}

static void
set_up(struct master *m, const struct options *o)
{
	struct environment e = { .development = m->development, .create = true,
	    .say = environment_note };
	struct listener_list fresh;

	load_config(m, o->config_dir);
	e.conf = m->conf;
	if (!environment_check(&e))
		log_fatal("not started: %u errors above", e.errors);
	take_lock(m);
	privileges_limits();
	m->stats_fd = stats_create();
	if (m->stats_fd == -1)
		log_fatal("no memory for statistics: %s", strerror(errno));
	if (!listeners_prepare(m, m->conf, &fresh) || !listeners_open_admin(m))
		log_fatal("not started: see above");
	listeners_commit(m, &fresh);
	m->started_ms = clock_mono_ms();
}

/* ---- going on after an upgrade ---- */

static void
take_over(struct master *m, int fd)
{
	unsigned mask = 0;
	struct proc *p;
	size_t k;

	if (state_read(m, fd) != 0)
		log_fatal("upgrade: the state cannot be read");
	fd_close(&fd);
	state_keep_handles(m, false);
	if (!m->foreground)
		masterlog_stderr(false);
	m->started = true;
	TAILQ_FOREACH(p, &m->procs, link)
		proc_watch(m, p, true);
	TAILQ_FOREACH(p, &m->procs, link)
		if (p->slot->role == IPC_ROLE_logd && p == p->slot->proc)
			proc_join_log(p);
	for (k = 0; roles_start_order[k] != IPC_ROLE_none; k++)
		mask |= 1U << roles_start_order[k];
	supervise_replace(m, mask);
	log_info("upgrade: " PACKAGE_STRING " has taken over, pid %ld", (long)getpid());
}

/* ---- signals ---- */

static void
reopen_log(struct master *m)
{
	struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if (p->slot->role == IPC_ROLE_logd && p->state != PROC_DRAINING)
			proc_send_simple(p, IPC_LOG_REOPEN);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;
	struct buf why;

	(void)what;
	buf_init(&why, 8192);
	switch ((int)number) {
	case SIGCHLD:
		supervise_children(m);
		supervise_turn(m);
		break;
	case SIGHUP:
		(void)reload_config(m, &why);
		break;
	case SIGUSR1:
		reopen_log(m);
		break;
	case SIGUSR2:
		(void)upgrade_begin(m, &why);
		break;
	default:
		supervise_stop(m, m->conf->drain_timeout);
		break;
	}
	buf_fini(&why);
}

static void
watch_signals(struct master *m)
{
	static const int numbers[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT };
	struct event *ev;
	sigset_t none;
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < NELEMS(numbers); i++) {
		ev = evsignal_new(loop_base(m->loop), numbers[i], on_signal, m);
		if (ev == NULL || event_add(ev, NULL) == -1)
			log_fatal("cannot watch signals");
	}
	/* The master before us blocked them for the moment of the change. */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	supervise_children(m);
}

static void
clean_up(struct master *m)
{
	char *path = xasprintf("%s/master.pid", m->conf->runtime_directory);

	listeners_remove_files(m);
	masterlog_channel(-1, 0);
	(void)unlink(path);
	xfree(path);
	fd_close(&m->ready_fd);
}

int
main(int argc, char **argv)
{
	static struct master m = { .ready_fd = -1, .pid_fd = -1, .stats_fd = -1,
	    .limits_fd = -1, .auth_limits_fd = -1 };
	struct options o;

	log_init("postkeep/master");
	parse_options(argc, argv, &o);
	TAILQ_INIT(&m.procs);
	TAILQ_INIT(&m.listeners);
	TAILQ_INIT(&m.admin);
	m.development = geteuid() != 0;
	if (o.check_fd != -1)
		return state_read(&m, o.check_fd) == 0 ? 0 : STATUS_FAILED;
	clock_init();
	m.loop = loop_new();
	masterlog_init(&m);
	m.foreground = o.foreground;
	m.ready_fd = o.ready_fd;
	if (o.ready_fd != -1)
		(void)fd_set_cloexec(o.ready_fd, true);
	if (o.resume_fd != -1)
		take_over(&m, o.resume_fd);
	else
		set_up(&m, &o);
	privileges_reduce();
	admin_begin(&m);
	watch_signals(&m);
	supervise_begin(&m);
	loop_run(m.loop);
	clean_up(&m);
	return m.exit_status;
}
