/* SPDX-License-Identifier: ISC */
/*
 * supervise.c: keeps the table of processes as it should be.
 *
 * Whatever happens (a death, READY, a signal, time passing) ends in
 * supervise_turn(), which looks at every slot and process, does what is due
 * and sets one timer for what is due next: at rest master does not wake up.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "master/master.h"
#include "sys/fd.h"

/* ---- slots ---- */

/* Calls fn for every slot that is or was in use. */
#define SLOTS_FOREACH(m, role, i, s)						\
	for ((role) = 1; (role) < IPC_ROLES; (role)++)				\
		for ((i) = 0; (i) < MASTER_WORKERS_MAX &&			\
		    ((s) = &(m)->slots[role][i]) != NULL; (i)++)

void
supervise_counts(struct master *m)
{
	unsigned i, count;
	size_t k;
	enum ipc_role role;
	struct slot *s;

	for (k = 0; roles_start_order[k] != IPC_ROLE_none; k++) {
		role = roles_start_order[k];
		count = role_count(m->conf, role);
		for (i = 0; i < MASTER_WORKERS_MAX; i++) {
			s = &m->slots[role][i];
			s->role = role;
			s->index = i;
			if (i < count && !s->wanted) {
				s->wanted = true;
				s->deaths = 0;
				s->start_ms = clock_mono_ms();
			} else if (i >= count && s->wanted) {
				s->wanted = false;
				s->start_ms = 0;
				if (s->proc != NULL)
					proc_drain(m, s->proc, m->conf->drain_timeout);
			}
		}
	}
}

static void
start_failed(struct master *m, const struct slot *s)
{
	if (m->started || m->stopping || s->deaths < MASTER_START_DEATHS)
		return;
	log_error("start failed: %s does not come up", ipc_role_name(s->role));
	m->exit_status = 1;
	supervise_stop(m, 0);
}

/* A slot lost its process without being asked for it. */
static void
slot_backoff(struct master *m, struct slot *s, uint64_t lived_ms)
{
	uint64_t delay = MASTER_BACKOFF_MIN_MS;
	unsigned i;

	if (lived_ms >= MASTER_HEALTHY_MS)
		s->deaths = 0;
	s->deaths++;
	s->restarts++;
	for (i = 1; i < s->deaths && delay < MASTER_BACKOFF_MAX_MS; i++)
		delay *= 2;
	if (delay > MASTER_BACKOFF_MAX_MS)
		delay = MASTER_BACKOFF_MAX_MS;
	s->start_ms = clock_mono_ms() + delay;
	if (s->deaths >= MASTER_LOUD_DEATHS)
		log_error("%s has died %u times in a row; the next start is in %llu s: its last"
		    " lines above say why", ipc_role_name(s->role), s->deaths,
		    (unsigned long long)delay / 1000);
	start_failed(m, s);
}

static void
slot_start(struct master *m, struct slot *s)
{
	struct proc *p;

	s->start_ms = 0;
	s->respawn = false;
	p = proc_spawn(m, s);
	if (p == NULL) {
		slot_backoff(m, s, 0);
		return;
	}
	s->proc = p;
	log_debug("%s[%ld] started, instance %llu", ipc_role_name(s->role), (long)p->pid,
	    (unsigned long long)p->instance);
}

/* ---- deaths ---- */

/*
 * At work, and at an end in order by itself: it wants to begin anew (lookupd
 * with tables out of its reach, qmgr for a rebuild).
 */
static bool
asks_for_next(const struct proc *p, int status)
{
	return p->state == PROC_READY && !p->killed && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

/* At once, but a process that does so all the time must not keep us busy. */
static void
slot_renew(struct slot *s)
{
	uint64_t now = clock_mono_ms(), next = s->renewed_ms + MASTER_RENEW_MS;

	s->start_ms = s->renewed_ms != 0 && next > now ? next : now;
	s->renewed_ms = s->start_ms;
}

static void
say_death(const struct proc *p, int status)
{
	const char *name = ipc_role_name(p->slot->role);

	if (p->state == PROC_DRAINING && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_debug("%s[%ld] has ended", name, (long)p->pid);
	else if (asks_for_next(p, status))
		log_info("%s[%ld] has ended in order, the next one is started", name, (long)p->pid);
	else if (WIFSIGNALED(status) && p->killed)
		log_warn("%s[%ld] was killed: it did not come to an end", name, (long)p->pid);
	else if (WIFSIGNALED(status))
		log_error("%s[%ld] was ended by signal %d (%s)%s", name, (long)p->pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS ?
		    ": a system call that its confinement does not allow" : "");
	else
		log_error("%s[%ld] exited with status %d%s", name, (long)p->pid,
		    WEXITSTATUS(status), WEXITSTATUS(status) == 127 ?
		    ": its program cannot be executed" : "");
}

/* The new one died before it was READY: the old one goes on. */
static void
replacement_failed(struct slot *s)
{
	log_error("%s could not be replaced: the old process goes on",
	    ipc_role_name(s->role));
	s->proc = s->old;
	s->old = NULL;
}

static void
reap(struct master *m, struct proc *p, int status)
{
	struct slot *s = p->slot;
	uint64_t lived = clock_mono_ms() - p->started_ms;
	bool current = s->proc == p;
	bool asked = p->state == PROC_DRAINING, renew = asks_for_next(p, status);

	say_death(p, status);
	proc_free(m, p);
	if (!current || m->stopping)
		return;
	if (s->old != NULL) {
		replacement_failed(s);
		return;
	}
	if (!s->wanted)
		return;
	if (renew)
		slot_renew(s);
	else if (asked || s->respawn)
		s->start_ms = clock_mono_ms();
	else
		slot_backoff(m, s, lived);
}

void
supervise_children(struct master *m)
{
	struct proc *p;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == m->upgrade_check) {
			upgrade_checked(m, status);
			continue;
		}
		p = proc_by_pid(m, pid);
		if (p != NULL)
			reap(m, p, status);
	}
}

/* ---- replacing, one role after the other ---- */

static void
slot_replace(struct master *m, struct slot *s)
{
	struct proc *old = s->proc, *fresh;

	if (!s->wanted || old == NULL || old->state == PROC_DRAINING)
		return;
	if (role_exclusive(s->role)) {
		s->respawn = true;
		proc_drain(m, old, m->conf->drain_timeout);
		return;
	}
	/* proc_spawn must see it as leaving: peers are joined to the new one. */
	s->old = old;
	fresh = proc_spawn(m, s);
	if (fresh == NULL)
		s->old = NULL;
	else
		s->proc = fresh;
}

static bool
role_settled(const struct master *m, enum ipc_role role)
{
	const struct slot *s;
	unsigned i;

	for (i = 0; i < MASTER_WORKERS_MAX; i++) {
		s = &m->slots[role][i];
		if (s->wanted && (s->old != NULL || s->respawn ||
		    (s->proc != NULL && s->proc->state != PROC_READY)))
			return false;
	}
	return true;
}

static void
replace_step(struct master *m)
{
	enum ipc_role role;
	unsigned i;
	size_t k;

	if (m->replace_now != 0) {
		if (!role_settled(m, (enum ipc_role)m->replace_now))
			return;
		m->replace_now = 0;
		if (m->replace_mask == 0)
			log_info("all processes concerned are replaced");
	}
	for (k = 0; m->replace_now == 0 && roles_start_order[k] != IPC_ROLE_none; k++) {
		role = roles_start_order[k];
		if ((m->replace_mask & (1U << role)) == 0)
			continue;
		m->replace_mask &= ~(1U << role);
		m->replace_now = role;
		for (i = 0; i < MASTER_WORKERS_MAX; i++)
			slot_replace(m, &m->slots[role][i]);
	}
}

void
supervise_replace(struct master *m, unsigned mask)
{
	m->replace_mask |= mask;
}

/* ---- the end ---- */

static const unsigned stop_phases[] = {
	1U << IPC_ROLE_smtpd | 1U << IPC_ROLE_submission | 1U << IPC_ROLE_localsmtp,
	1U << IPC_ROLE_smtp | 1U << IPC_ROLE_lmtp | 1U << IPC_ROLE_mailbox |
	    1U << IPC_ROLE_bounce,
	1U << IPC_ROLE_qmgr,
	1U << IPC_ROLE_dnsd | 1U << IPC_ROLE_lookupd | 1U << IPC_ROLE_certd,
	1U << IPC_ROLE_authd,
	1U << IPC_ROLE_logd,
};

static bool
phase_alive(const struct master *m, unsigned mask)
{
	const struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if ((mask & (1U << p->slot->role)) != 0)
			return true;
	return false;
}

static void
phase_drain(struct master *m, unsigned mask, uint64_t grace_ms)
{
	struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if ((mask & (1U << p->slot->role)) != 0)
			proc_drain(m, p, grace_ms);
}

static void
stop_step(struct master *m)
{
	while (m->stop_phase < NELEMS(stop_phases)) {
		if (phase_alive(m, stop_phases[m->stop_phase]))
			return;
		m->stop_phase++;
		if (m->stop_phase < NELEMS(stop_phases)) {
			if (stop_phases[m->stop_phase] == 1U << IPC_ROLE_logd)
				log_info("stopped");
			phase_drain(m, stop_phases[m->stop_phase], m->exit_status != 0 ? 0 :
			    m->conf->drain_timeout);
		}
	}
	loop_stop(m->loop);
}

void
supervise_stop(struct master *m, uint64_t grace_ms)
{
	unsigned role, i;
	struct slot *s;

	if (m->stopping) {
		/* Asked again: somebody is in a hurry. */
		for (i = m->stop_phase; i < NELEMS(stop_phases); i++)
			phase_drain(m, stop_phases[i], 0);
		return;
	}
	log_info("stopping");
	m->stopping = true;
	m->replace_mask = 0;
	SLOTS_FOREACH(m, role, i, s)
		s->start_ms = 0;
	listeners_close(m);
	phase_drain(m, stop_phases[0], grace_ms);
	supervise_turn(m);
}

/* ---- what is due ---- */

/* READY was said: the old one of the slot may go. */
static void
look_at_slot(struct master *m, struct slot *s)
{
	struct proc *old = s->old;

	if (old != NULL && s->proc != NULL && s->proc->state == PROC_READY) {
		s->old = NULL;
		proc_drain(m, old, m->conf->drain_timeout);
	}
	if (s->start_ms != 0 && s->start_ms <= clock_mono_ms() && s->proc == NULL)
		slot_start(m, s);
}

static void
look_at_deadline(struct proc *p)
{
	if (p->deadline_ms == 0 || p->deadline_ms > clock_mono_ms())
		return;
	if (p->state == PROC_STARTING)
		log_error("%s[%ld] is not ready after %d s", ipc_role_name(p->slot->role),
		    (long)p->pid, MASTER_READY_MS / 1000);
	proc_kill(p);
}

static bool
all_ready(const struct master *m)
{
	const struct slot *s;
	unsigned role, i;

	SLOTS_FOREACH(m, role, i, s)
		if (s->wanted && (s->proc == NULL || s->proc->state != PROC_READY))
			return false;
	return true;
}

/* Everybody is READY for the first time: tell who waits, let go of the terminal. */
static void
now_started(struct master *m)
{
	int null;

	m->started = true;
	listeners_announce(m);
	log_info("ready, %s", m->conf_path);
	if (m->foreground)
		return;
	masterlog_stderr(false);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null != -1) {
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		fd_close(&null);
	}
	if (m->ready_fd != -1 && write(m->ready_fd, "1", 1) != 1)
		log_debug("nobody waits for the start");
	fd_close(&m->ready_fd);
}

static void
set_timer(struct master *m)
{
	uint64_t now = clock_mono_ms(), next = UINT64_MAX, wait;
	struct timeval tv;
	unsigned role, i;
	struct proc *p;
	struct slot *s;

	SLOTS_FOREACH(m, role, i, s)
		if (s->start_ms != 0 && s->proc == NULL && s->start_ms < next)
			next = s->start_ms;
	TAILQ_FOREACH(p, &m->procs, link)
		if (p->deadline_ms != 0 && p->deadline_ms < next)
			next = p->deadline_ms;
	evtimer_del(m->timer);
	if (next == UINT64_MAX)
		return;
	wait = next > now ? next - now : 1;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000) * 1000;
	evtimer_add(m->timer, &tv);
}

void
supervise_turn(struct master *m)
{
	struct proc *p;
	size_t k;
	unsigned i;

	TAILQ_FOREACH(p, &m->procs, link)
		look_at_deadline(p);
	for (k = 0; !m->stopping && roles_start_order[k] != IPC_ROLE_none; k++)
		for (i = 0; i < MASTER_WORKERS_MAX; i++)
			look_at_slot(m, &m->slots[roles_start_order[k]][i]);
	if (m->stopping) {
		stop_step(m);
	} else {
		replace_step(m);
		if (!m->started && all_ready(m))
			now_started(m);
	}
	set_timer(m);
}

static void
timer_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervise_turn(arg);
}

void
supervise_begin(struct master *m)
{
	m->timer = evtimer_new(loop_base(m->loop), timer_due, m);
	if (m->timer == NULL)
		log_fatal("no timer");
	supervise_counts(m);
	supervise_turn(m);
}
