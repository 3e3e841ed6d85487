/* SPDX-License-Identifier: ISC */
/*
 * proc.c: one child process: its birth, what it is handed, its end.
 *
 * master forks and executes the role's program as root (or as itself, in
 * development mode); the child confines itself before it listens to anybody
 * and says so with READY. It gets nothing of master's but descriptor 3: the
 * control channel, over which everything else comes, and 4: a shared lock
 * that says it lives (environment.h). Its words are read as
 * if it had been taken over.
 */
#include <sys/file.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/environment.h"
#include "master/master.h"
#include "sys/client_limits.h"
#include "sys/fail_limits.h"
#include "sys/fd.h"

/* Reading tables anew may take a while; then the admin is told all the same. */
#define CONFIG_MS 10000

/* ---- descriptors and environment of the child ---- */

/*
 * A clean environment. What goes through: the time zone, and what the fault
 * tests and the sanitizers need; who sets master's environment is root
 * already, and no user's program inherits it.
 */
static char **
child_environment(void)
{
	static const char *const pass[] = {
		"TZ", "LD_PRELOAD", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
		"LSAN_OPTIONS",
	};
	char **env = xcalloc(NELEMS(pass) + 3, sizeof(*env));
	size_t i, n = 0;
	const char *value;

	env[n++] = xstrdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	env[n++] = xstrdup("LC_ALL=C");
	for (i = 0; i < NELEMS(pass); i++)
		if ((value = getenv(pass[i])) != NULL)
			env[n++] = xasprintf("%s=%s", pass[i], value);
	return env;
}

static void
reset_signals(void)
{
	sigset_t none;
	int n;

	for (n = 1; n < NSIG; n++)
		(void)signal(n, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn))
child_exec(const struct master *m, enum ipc_role role, int control)
{
	char *path = xasprintf("%s/%s", m->conf->program_directory, ipc_role_program(role));
	char *name = xstrdup(ipc_role_name(role));
	char *argv[] = { path, name, NULL };
	int null, lock;

	/* A terminal's Ctrl-C is for master, which then ends the others in order. */
	(void)setpgid(0, 0);
	reset_signals();
	control = fcntl(control, F_DUPFD, 10);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	lock = environment_queue_handle(m->conf);
	if (control == -1 || null == -1 || lock == -1 || flock(lock, LOCK_SH | LOCK_NB) == -1 ||
	    (lock = fcntl(lock, F_DUPFD, 10)) == -1)
		_exit(126);
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	/* Until everybody is READY a word on standard error reaches somebody. */
	if (m->started && !m->foreground)
		(void)dup2(null, 2);
	(void)dup2(control, CHILD_CONTROL_FD);
	(void)dup2(lock, CHILD_LOCK_FD);
	fd_close_rest(CHILD_LOCK_FD + 1, NULL, 0);
	if (chdir("/") == 0)
		execve(path, argv, child_environment());
	fprintf(stderr, "postkeep/master: error: cannot execute %s: %s\n", path, strerror(errno));
	_exit(127);
}

/* ---- what it is told ---- */

void
proc_send_simple(struct proc *p, enum ipc_type type)
{
	struct ipc_out o;

	if (p->control == NULL)
		return;
	ipc_out_init(&o, type);
	(void)ipc_send(p->control, &o);
}

void
proc_send_u64(struct proc *p, enum ipc_type type, enum ipc_field field, uint64_t n)
{
	struct ipc_out o;

	if (p->control == NULL)
		return;
	ipc_out_init(&o, type);
	ipc_put_u64(&o, field, n);
	(void)ipc_send(p->control, &o);
}

/* A process has taken the new configuration, or not. */
static int
config_answered(struct ipc_msg *msg, int error, void *arg)
{
	struct view text = VIEW_NONE;
	struct master *m = arg;
	uint64_t code = 0;
	struct ipc_in in;

	if (msg != NULL) {
		ipc_in_init(&in, msg);
		ipc_get_u64(&in, IPC_F_CODE, &code);
		if (ipc_has(&in, IPC_F_TEXT))
			ipc_get_text(&in, IPC_F_TEXT, 4096, &text);
		error = ipc_in_end(&in);
	}
	if (error == PK_ETIMEOUT || code != 0)
		log_warn("a process has not taken the new configuration");
	if (--m->configs_open == 0)
		admin_reload_done(m);
	return msg != NULL ? error : 0;
}

void
proc_send_config(struct master *m, struct proc *p)
{
	struct ipc_out o;
	struct buf text;
	int fd;

	if (p->control == NULL)
		return;
	buf_init(&text, 16 << 20);
	if (conf_serialise(m->conf, &text) != 0)
		log_fatal("the configuration is too large");
	fd = fd_sealed_memfd("config", buf_view(&text));
	buf_fini(&text);
	if (fd == -1) {
		log_error("cannot hand out the configuration: %s", strerror(errno));
		return;
	}
	ipc_out_init(&o, IPC_CONFIG);
	ipc_put_handle(&o, fd);
	o.close_handles = true;
	if (p->state == PROC_STARTING) {
		(void)ipc_send(p->control, &o);
		return;
	}
	m->configs_open++;
	(void)ipc_call(p->control, &o, CONFIG_MS, config_answered, m);
}

static void
send_channel(struct proc *to, enum ipc_role peer, uint64_t instance, pid_t pid, int fd)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_CHANNEL);
	ipc_put_u64(&o, IPC_F_ROLE, peer);
	ipc_put_u64(&o, IPC_F_INSTANCE, instance);
	ipc_put_u64(&o, IPC_F_PID, (uint64_t)pid);
	ipc_put_handle(&o, fd);
	o.close_handles = true;
	(void)ipc_send(to->control, &o);
}

/* Brings two processes together. */
static void
connect_pair(struct proc *a, struct proc *b)
{
	int sv[2];

	if (ipc_socketpair(sv) != 0) {
		log_error("no channel between %s and %s: %s", ipc_role_name(a->slot->role),
		    ipc_role_name(b->slot->role), strerror(errno));
		return;
	}
	send_channel(a, b->slot->role, b->instance, b->pid, sv[0]);
	send_channel(b, a->slot->role, a->instance, a->pid, sv[1]);
}

/* master's own lines go to logd like everybody's. */
void
proc_join_log(struct proc *logd)
{
	int sv[2];

	if (ipc_socketpair(sv) != 0)
		return;
	send_channel(logd, IPC_ROLE_master, 0, getpid(), sv[0]);
	masterlog_channel(sv[1], logd->instance);
}

/*
 * Who leaves gets nobody new, but for a qmgr: a writer without a channel to it
 * counts as dead, and what it still answers 250 would be behind the end of a
 * sealed segment. And acceptors: their sessions go on for minutes, and those
 * they ask (certd for a STARTTLS to come) are replaced in the same upgrade.
 */
static bool
may_join(const struct proc *p, const struct proc *q)
{
	bool leaves = q->state == PROC_DRAINING || q == q->slot->old;
	bool writes = role_writes(q->slot->role);

	if (q == p || q->control == NULL || q->killed)
		return false;
	return !leaves || (writes && p->slot->role == IPC_ROLE_qmgr) ||
	    ipc_role_accepts(q->slot->role);
}

static void
connect_all(struct master *m, struct proc *p)
{
	struct proc *q;

	TAILQ_FOREACH(q, &m->procs, link)
		if (may_join(p, q) && role_talks(p->slot->role, q->slot->role))
			connect_pair(p, q);
	if (p->slot->role == IPC_ROLE_logd)
		proc_join_log(p);
}

static void
send_stats_page(struct master *m, struct proc *p)
{
	struct ipc_out o;

	if (p->page == 0)
		return;
	ipc_out_init(&o, IPC_STATS_PAGE);
	ipc_put_u64(&o, IPC_F_PAGE, p->page);
	ipc_put_handle(&o, m->stats_fd);
	(void)ipc_send(p->control, &o);
}

/* Made when the first smtpd starts; a column, as a page, is one process's alone. */
static void
send_client_limits(struct master *m, struct proc *p)
{
	struct ipc_out o;

	if (!ipc_role_accepts(p->slot->role))
		return;
	if (m->limits_fd == -1)
		m->limits_fd = client_limits_create();
	if (m->limits_fd == -1) {
		log_warn("no memory to count clients in: each smtpd counts for itself");
		return;
	}
	ipc_out_init(&o, IPC_CLIENT_LIMITS);
	ipc_put_u64(&o, IPC_F_PAGE, p->page % CLIENT_LIMITS_WORKERS);
	ipc_put_handle(&o, m->limits_fd);
	(void)ipc_send(p->control, &o);
}

/* Failed logins, counted by all authd together. */
static void
send_auth_limits(struct master *m, struct proc *p)
{
	struct ipc_out o;

	if (p->slot->role != IPC_ROLE_authd)
		return;
	if (m->auth_limits_fd == -1)
		m->auth_limits_fd = fail_limits_create();
	if (m->auth_limits_fd == -1) {
		log_warn("no memory to count failed logins in: each authd counts for itself");
		return;
	}
	ipc_out_init(&o, IPC_AUTH_LIMITS);
	ipc_put_u64(&o, IPC_F_PAGE, 0);
	ipc_put_handle(&o, m->auth_limits_fd);
	(void)ipc_send(p->control, &o);
}

/* Page 0 holds what the dead have counted; without a free page it counts for itself. */
static unsigned
take_page(struct master *m)
{
	unsigned i;

	for (i = 1; i < STATS_PAGES_MAX; i++) {
		if (!m->pages[i]) {
			m->pages[i] = true;
			return i;
		}
	}
	log_warn("no statistics page is free: a process is not counted");
	return 0;
}

/* ---- what it says ---- */

static struct proc *
proc_by_instance(struct master *m, enum ipc_role role, uint64_t instance)
{
	struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if (p->slot->role == role && p->instance == instance)
			return p;
	return NULL;
}

/*
 * A writer that qmgr has cut off counts as dead: its segments are sealed, and
 * what it would still answer 250 is behind their end. It ends, and is replaced.
 */
static bool
end_writer(struct proc *a, struct proc *b)
{
	struct proc *writer = a->slot->role == IPC_ROLE_qmgr ? b : a;
	struct proc *other = writer == a ? b : a;

	if (other->slot->role != IPC_ROLE_qmgr || !role_writes(writer->slot->role))
		return false;
	log_error("%s[%ld] lost the queue: it is replaced", ipc_role_name(writer->slot->role),
	    (long)writer->pid);
	proc_kill(writer);
	return true;
}

static void
rejoin(void *arg)
{
	struct proc *p = arg, *q;
	unsigned i;

	for (i = 0; i < p->nlost && p->control != NULL; i++) {
		q = proc_by_instance(p->master, p->lost[i].role, p->lost[i].instance);
		if (q != NULL && may_join(p, q) && role_talks(p->slot->role, q->slot->role))
			connect_pair(p, q);
	}
	p->nlost = 0;
}

/*
 * Once a second and no more: who lies, or is lied about, does not turn the
 * others from their work. Nobody is ended for what a sibling says of it, but
 * for a writer that qmgr does not know any more.
 */
static int
on_channel_lost(struct proc *p, struct ipc_msg *msg)
{
	uint64_t role = 0, instance = 0;
	struct ipc_in in;
	struct proc *q;
	unsigned i;

	ipc_in_init(&in, msg);
	ipc_get_range(&in, IPC_F_ROLE, 1, IPC_ROLES - 1, &role);
	ipc_get_u64(&in, IPC_F_INSTANCE, &instance);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	q = proc_by_instance(p->master, (enum ipc_role)role, instance);
	if (q == NULL || end_writer(p, q))
		return 0;
	for (i = 0; i < p->nlost; i++)
		if (p->lost[i].role == role && p->lost[i].instance == instance)
			return 0;
	if (p->nlost == PROC_LOST_MAX)
		return 0;
	p->lost[p->nlost].role = (enum ipc_role)role;
	p->lost[p->nlost++].instance = instance;
#ifdef PK_ATTACK
	/* tests/attack has thousands of lies to tell. */
	rejoin(p);
#else
	if (p->nlost == 1) {
		loop_timer_init(&p->rejoin, rejoin, p);
		loop_timer_set(p->master->loop, &p->rejoin, 1000);
	}
#endif
	return 0;
}

static int
control_message(struct ipc_channel *ch, struct ipc_msg *msg, void *arg)
{
	struct proc *p = arg;
	uint64_t flags = 0;
	struct ipc_in in;

	(void)ch;
	if (msg->type == IPC_CHANNEL_LOST)
		return on_channel_lost(p, msg);
	if (msg->type != IPC_READY || p->state != PROC_STARTING)
		return msg->type == IPC_READY ? 0 : PK_EPROTO;
	ipc_in_init(&in, msg);
	ipc_get_u64(&in, IPC_F_FLAGS, &flags);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	p->report = flags;
	p->state = PROC_READY;
	p->deadline_ms = 0;
	supervise_turn(p->master);
	return 0;
}

static void
control_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct proc *p = arg;

	(void)ch;
	p->control = NULL;
	/* Whoever spoke out of turn is not trusted to end by itself. */
	if (why == PK_EPROTO)
		proc_kill(p);
	else if (p->deadline_ms == 0)
		p->deadline_ms = clock_mono_ms() + 1000;
	supervise_turn(p->master);
}

static const struct ipc_channel_ops control_ops = { control_message, control_closed };

void
proc_watch(struct master *m, struct proc *p, bool adopted)
{
	int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);

	if (fd == -1)
		log_fatal("no descriptor left: raise the limit of open files");
	if (adopted)
		p->control = ipc_channel_adopt(m->loop, fd, IPC_ROLE_master, p->slot->role,
		    p->instance, &control_ops, p);
	else
		p->control = ipc_channel_new(m->loop, fd, IPC_ROLE_master, p->slot->role,
		    p->instance, &control_ops, p);
}

/* ---- life ---- */

struct proc *
proc_spawn(struct master *m, struct slot *s)
{
	struct proc *p;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1) {
		log_error("cannot start %s: %s", ipc_role_name(s->role), strerror(errno));
		return NULL;
	}
	p = XNEW(struct proc);
	p->master = m;
	p->slot = s;
	p->instance = instance_next(m);
	p->pid = fork();
	if (p->pid == 0)
		child_exec(m, s->role, sv[1]);
	close(sv[1]);
	if (p->pid == -1) {
		log_error("cannot start %s: %s", ipc_role_name(s->role), strerror(errno));
		close(sv[0]);
		xfree(p);
		return NULL;
	}
	p->fd = sv[0];
	p->page = take_page(m);
	p->started_ms = clock_mono_ms();
	p->deadline_ms = p->started_ms + MASTER_READY_MS;
	proc_watch(m, p, false);
	TAILQ_INSERT_TAIL(&m->procs, p, link);
	proc_send_config(m, p);
	send_stats_page(m, p);
	send_client_limits(m, p);
	send_auth_limits(m, p);
	connect_all(m, p);
	listeners_send(m, p);
	proc_send_u64(p, IPC_START, IPC_F_INSTANCE, p->instance);
	return p;
}

void
proc_drain(struct master *m, struct proc *p, uint64_t grace_ms)
{
	uint64_t deadline = clock_mono_ms() + grace_ms + MASTER_DRAIN_EXTRA_MS;

	(void)m;
	if (p->state == PROC_DRAINING && (p->killed || p->deadline_ms <= deadline))
		return;
	p->state = PROC_DRAINING;
	p->deadline_ms = deadline;
	proc_send_u64(p, IPC_DRAIN, IPC_F_DELAY_MS, grace_ms);
}

void
proc_kill(struct proc *p)
{
	if (!p->killed && p->pid > 0 && kill(p->pid, SIGKILL) == -1)
		log_error("cannot kill %s[%ld]: %s", ipc_role_name(p->slot->role), (long)p->pid,
		    strerror(errno));
	p->killed = true;
	p->deadline_ms = 0;
}

void
proc_free(struct master *m, struct proc *p)
{
	if (p->slot->role == IPC_ROLE_logd && p == p->slot->proc)
		masterlog_channel(-1, 0);
	loop_timer_clear(m->loop, &p->rejoin);
	ipc_channel_free(&p->control);
	fd_close(&p->fd);
	if (p->page != 0 && stats_retire_page(m->stats_fd, p->page) == 0)
		m->pages[p->page] = false;
	TAILQ_REMOVE(&m->procs, p, link);
	if (p->slot->proc == p)
		p->slot->proc = NULL;
	if (p->slot->old == p)
		p->slot->old = NULL;
	xfree(p);
}

struct proc *
proc_by_pid(struct master *m, pid_t pid)
{
	struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if (p->pid == pid)
			return p;
	return NULL;
}

const char *
proc_state_name(const struct proc *p)
{
	if (p->state == PROC_STARTING)
		return "starting";
	return p->state == PROC_READY ? "ready" : "draining";
}
