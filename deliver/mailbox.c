/* SPDX-License-Identifier: ISC */
/*
 * mailbox.c: the mailbox role: jobs of qmgr's into Maildirs.
 *
 * Runs as the mail store's own user, chrooted into virtual_mailbox_base, with
 * no network: it sees every mailbox and one message at a time. The loop only
 * passes jobs to the threads of mailbox_writer.c and their results to qmgr;
 * it never touches the disk.
 */
#include "deliver/mailbox.h"

#include <sys/eventfd.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/route.h"

/* Three descriptors a cached mailbox, and what a cycle holds evicted. */
#define NOFILE	8192

static struct mailbox *
self(struct deliver *d)
{
	return d->ctx;
}

static void
task_free(struct mailbox_task *t)
{
	size_t i;

	for (i = 0; i < t->nitems; i++)
		maildir_box_release(&t->items[i].delivery.box);
	xfree(t->items);
	xfree(t);
}

static struct enhanced
failure_status(const struct maildir_failure *f)
{
	switch (f->fault) {
	case MAILDIR_FAULT_FULL:
		return ENHANCED(5, 2, 2);
	case MAILDIR_FAULT_TOO_BIG:
		return ENHANCED(5, 2, 3);
	case MAILDIR_FAULT_PATH:
		return ENHANCED(4, 2, 0);
	case MAILDIR_FAULT_SYSTEM:
		break;
	}
	return f->error == ENOSPC || f->error == EDQUOT ? ENHANCED(4, 3, 1) :
							  ENHANCED(4, 3, 0);
}

static void
report_item(struct job *j, size_t i, const struct mailbox_item *item)
{
	struct enhanced dsn;
	struct buf text;

	if (!item->failed) {
		job_result(j, i, JOB_SENT, JOB_FLAG_FINAL, ENHANCED(2, 0, 0),
		    VIEW("delivered to maildir"), j->transport);
		return;
	}
	dsn = failure_status(&item->failure);
	buf_init(&text, 1024);
	buf_printf(&text, "maildir delivery failed: %s", item->failure.text);
	job_result(j, i, dsn.klass == 5 ? JOB_BOUNCED : JOB_DEFERRED, 0, dsn,
	    buf_view(&text), j->transport);
	buf_fini(&text);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *m = arg;
	struct mailbox_tasks done;
	struct mailbox_task *t;
	uint64_t n;
	size_t i;

	(void)what;
	if (read(fd, &n, sizeof(n)) == -1 && errno != EAGAIN)
		log_warn("eventfd: %s", strerror(errno));
	TAILQ_INIT(&done);
	pthread_mutex_lock(&m->lock);
	m->woken = false;
	TAILQ_CONCAT(&done, &m->done, link);
	pthread_mutex_unlock(&m->lock);
	while ((t = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, t, link);
		for (i = 0; i < t->nitems; i++)
			report_item(t->job, i, &t->items[i]);
		job_finish(&t->job);
		task_free(t);
	}
}

static void
mailbox_job(struct deliver *d, struct job *j)
{
	struct mailbox *m = self(d);
	struct mailbox_task *t = XNEW(struct mailbox_task);

	t->job = j;
	t->nitems = j->nrcpts;
	t->items = xcalloc(j->nrcpts, sizeof(*t->items));
	/* A message from before this qmgr or this process may be a repeat. */
	t->look_twice = j->attempt > 0 || j->arrival_ms < m->since_ms;
	j->role = t;
	j->connected_ms = clock_mono_ms();
	mailbox_put(m, t);
}

static void
mailbox_cancel(struct deliver *d, struct job *j)
{
	struct mailbox_task *t = j->role;

	if (!mailbox_take_back(self(d), t))
		return;
	job_put_back_rest(j);
	job_finish(&j);
	task_free(t);
}

/* ---- start ---- */

/* Made when missing, for the user that will work there. */
static void
make_base(const struct deliver *d, const char *base)
{
	struct passwd *pw;

	if (mkdir(base, 0710) == -1)
		log_fatal("create virtual_mailbox_base %s: %s", base,
		    strerror(errno));
	if (child_development(d->child))
		return;
	pw = getpwnam(ipc_role_user(IPC_ROLE_mailbox));
	if (pw == NULL)
		log_fatal("no user %s", ipc_role_user(IPC_ROLE_mailbox));
	if (chown(base, pw->pw_uid, pw->pw_gid) == -1)
		log_fatal("chown %s: %s", base, strerror(errno));
}

static struct mailbox *
context(struct deliver *d)
{
	struct mailbox *m = d->ctx;

	if (m == NULL) {
		m = d->ctx = XNEW(struct mailbox);
		m->d = d;
		m->base_fd = m->wake_fd = -1;
	}
	return m;
}

static void
mailbox_prepare(struct deliver *d)
{
	const char *base = deliver_conf(d)->virtual_mailbox_base;
	struct mailbox *m = context(d);

	/* What the store makes says who may read it, whatever master's shell had. */
	(void)umask(0);
	m->base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->base_fd == -1 && errno == ENOENT) {
		make_base(d, base);
		m->base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (m->base_fd == -1)
		log_fatal(
		    "open virtual_mailbox_base %s: %s", base, strerror(errno));
	m->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->wake_fd == -1)
		log_fatal("eventfd: %s", strerror(errno));
}

static void
mailbox_confine(struct deliver *d, struct sandbox_spec *spec)
{
	spec->chroot_dir = deliver_conf(d)->virtual_mailbox_base;
	spec->needs =
	    SANDBOX_FILES_READ | SANDBOX_FILES_WRITE | SANDBOX_THREADS;
	spec->paths[0].path = deliver_conf(d)->virtual_mailbox_base;
	spec->paths[0].write = true;
	spec->npaths = 1;
	spec->rlimit_nofile = NOFILE;
}

static void
mailbox_start(struct deliver *d)
{
	struct mailbox *m = self(d);
	int error;

	m->store = maildir_store_new(m->base_fd, deliver_conf(d)->myhostname);
	m->wake_event = event_new(
	    loop_base(d->loop), m->wake_fd, EV_READ | EV_PERSIST, on_wake, m);
	if (m->wake_event == NULL || event_add(m->wake_event, NULL) == -1)
		log_fatal("event of the writer thread: no memory");
	error = mailbox_threads_start(m);
	if (error != 0)
		log_fatal("thread: %s", strerror(error));
}

static void
mailbox_connected(struct deliver *d)
{
	context(d)->since_ms = clock_wall_ms();
}

const struct deliver_role deliver_role_mailbox = {
	.role = IPC_ROLE_mailbox,
	.prepare = mailbox_prepare,
	.confine = mailbox_confine,
	.start = mailbox_start,
	.job = mailbox_job,
	.cancel = mailbox_cancel,
	.connected = mailbox_connected,
};
