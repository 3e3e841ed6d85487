/* SPDX-License-Identifier: ISC */
/*
 * upgrade.c: master becomes the new binary, in place.
 *
 * First the new binary is asked, in a process of its own, whether it can read
 * our state; a file that does not even start can so do no harm. Then master
 * executes it with every descriptor open and the state in a memfd: same pid,
 * same children, listening sockets never closed. The new master replaces the
 * children one role after the other.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/master.h"
#include "sys/fd.h"

static char *
program(const struct master *m)
{
	return xasprintf("%s/master", m->conf->program_directory);
}

static int
refuse(struct buf *why, int code, const char *text)
{
	buf_put_str(why, text);
	log_error("upgrade refused: %s", text);
	return code;
}

static bool
anyone_starting(const struct master *m)
{
	const struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		if (p->state == PROC_STARTING || p->slot->old != NULL ||
		    (p->control != NULL && ipc_channel_backlog(p->control) > 0))
			return true;
	return false;
}

static bool
busy(const struct master *m)
{
	return !m->started || m->stopping || m->replace_mask != 0 || m->replace_now != 0 ||
	    anyone_starting(m) || admin_pings_open() > 0;
}

/* Executes the new binary with the state at descriptor fd. Returns on failure. */
static void
execute(const struct master *m, const char *option, int fd)
{
	char *path = program(m);
	char number[16];
	char *argv[] = { path, xstrdup(option), number, NULL };
	struct buf b;

	buf_init(&b, sizeof(number));
	buf_printf(&b, "%d", fd);
	memcpy(number, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
	(void)fd_set_cloexec(fd, false);
	execv(path, argv);
	(void)fd_set_cloexec(fd, true);
	xfree(argv[1]);
	xfree(path);
}

int
upgrade_begin(struct master *m, struct buf *why)
{
	int fd;

	if (m->upgrade_check != 0)
		return refuse(why, PK_EBUSY, "an upgrade is under way");
	if (busy(m))
		return refuse(why, PK_EBUSY,
		    "processes are being started or replaced: try again in a moment");
	fd = state_write(m);
	if (fd == -1)
		return refuse(why, PK_ESYS, "the state cannot be written");
	m->upgrade_check = fork();
	if (m->upgrade_check == 0) {
		(void)setpgid(0, 0);
		state_keep_handles(m, true);
		execute(m, "--upgrade-check", fd);
		_exit(127);
	}
	fd_close(&fd);
	if (m->upgrade_check == -1) {
		m->upgrade_check = 0;
		return refuse(why, PK_ESYS, "no process for it");
	}
	log_info("upgrade: asking the new binary");
	return 0;
}

static void
become_new(struct master *m)
{
	struct proc *p;
	sigset_t all, old;
	int fd;

	fd = state_write(m);
	if (fd == -1) {
		log_error("upgrade failed: the state cannot be written; going on as before");
		return;
	}
	log_info("upgrade: executing %s/master", m->conf->program_directory);
	TAILQ_FOREACH(p, &m->procs, link)
		if (p->control != NULL)
			ipc_flush(p->control);
	masterlog_channel(-1, 0);
	/* A signal between the two has to wait, not to kill. */
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	state_keep_handles(m, true);
	execute(m, "--resume", fd);
	state_keep_handles(m, false);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	log_error("upgrade failed: cannot execute %s/master: %s; going on as before",
	    m->conf->program_directory, strerror(errno));
	fd_close(&fd);
}

void
upgrade_checked(struct master *m, int status)
{
	m->upgrade_check = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		log_error("upgrade refused: the new binary does not start or cannot read the"
		    " state; going on as before");
		return;
	}
	if (busy(m)) {
		log_error("upgrade refused: processes are being started or replaced; going on as"
		    " before");
		return;
	}
	become_new(m);
}
