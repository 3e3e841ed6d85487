/* SPDX-License-Identifier: ISC */
/*
 * qmgr: the queue manager. It alone creates, reads and removes the files of
 * the queue; it decides what is delivered next and by whom, and answers for
 * every message until it is delivered or returned.
 *
 * Confined to the queue directory, as pk-qmgr, without network. It believes
 * of smtpd and bounce what their records say about their own messages, of
 * deliverers what became of their own jobs, of lookupd the routes, of authd
 * whether a login is what a record says.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/qmgr.h"
#include "qmgr/sched.h"

extern const struct store_ops qmgr_store_ops;
extern const struct sched_ops qmgr_sched_ops;

/* What came before the queue was open. */
struct early {
	enum ipc_role	role;
	uint64_t	instance;
	int		fd;
};

struct start {
	struct qmgr	q;
	struct early	*early;
	size_t		nearly;
	bool		open;
	struct event	*drain_timer;
	uint64_t	drain_until_ms;
};

static struct start self;

static bool
is_writer(enum ipc_role role)
{
	return ipc_role_accepts(role) || role == IPC_ROLE_bounce;
}

static bool
is_deliverer(enum ipc_role role)
{
	return role == IPC_ROLE_smtp || role == IPC_ROLE_lmtp || role == IPC_ROLE_mailbox ||
	    role == IPC_ROLE_bounce;
}

/* ---- channels ---- */

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct qmgr *q = arg;

	switch (m->type) {
	case IPC_SEGMENT_WANT:
	case IPC_SEGMENT_DURABLE:
	case IPC_SEGMENT_SEAL:
		return writers_message(q, ch, m);
	case IPC_JOB_RESULT:
	case IPC_DELIVER_READY:
		return jobs_message(q, ch, m);
	default:
		return PK_EPROTO;
	}
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct qmgr *q = arg;
	uint64_t instance = ipc_channel_instance(ch);

	(void)why;
	if (is_deliverer(ipc_channel_peer(ch)))
		jobs_deliverer_gone(q, instance);
	if (is_writer(ipc_channel_peer(ch)))
		writers_gone(q, instance);
}

static const struct ipc_channel_ops channel_ops = { on_message, on_closed };

static void
join(struct qmgr *q, enum ipc_role role, uint64_t instance, int fd)
{
	struct ipc_channel *ch;

	if (role == IPC_ROLE_lookupd || role == IPC_ROLE_authd) {
		ipc_pool_add(role == IPC_ROLE_lookupd ? q->lookupd : q->authd, fd, instance);
		return;
	}
	ch = ipc_channel_new(q->loop, fd, IPC_ROLE_qmgr, role, instance, &channel_ops, q);
	if (is_deliverer(role))
		jobs_add_deliverer(q, role, instance, ch);
	if (is_writer(role)) {
		writers_add(q, role, instance, ch);
		if (ipc_role_accepts(role) && q->pressure != NULL)
			pressure_tell(q);
	}
}

static void
channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	(void)c;
	if (self.open) {
		join(&self.q, peer, instance, fd);
		return;
	}
	self.early = xreallocarray(self.early, self.nearly + 1, sizeof(*self.early));
	self.early[self.nearly++] = (struct early){ peer, instance, fd };
}

static bool
alive(void *arg, uint64_t instance)
{
	size_t i;

	(void)arg;
	for (i = 0; i < self.nearly; i++)
		if (self.early[i].instance == instance && is_writer(self.early[i].role))
			return true;
	return false;
}

/* ---- reload, drain, admin ---- */

static void
reload(struct child *c, const struct conf *old)
{
	(void)old;
	self.q.conf = child_conf(c);
	if (self.open) {
		self.q.store.checkpoint_every_ms = self.q.conf->queue_checkpoint_time;
		sched_configure(self.q.sched, self.q.conf);
		expander_renew(&self.q);
		sched_kick(self.q.sched);
	}
}

static void
on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = { 0, 20000 };
	struct qmgr *q = arg;

	(void)fd;
	(void)what;
	if (jobs_count(q) == 0 || clock_mono_ms() >= self.drain_until_ms) {
		child_exit(q->child, 0);
		return;
	}
	event_add(self.drain_timer, &tv);
}

static void
drain(struct child *c, uint64_t grace_ms)
{
	struct qmgr *q = &self.q;

	if (!self.open) {
		child_exit(c, 0);
		return;
	}
	q->draining = true;
	q->sched->stopped = true;
	self.drain_until_ms = clock_mono_ms() + grace_ms;
	if (self.drain_timer == NULL)
		self.drain_timer = evtimer_new(loop_base(q->loop), on_drain_timer, q);
	on_drain_timer(-1, 0, q);
}

void
qmgr_restart(struct qmgr *q)
{
	/* In the next turn, so that what has been answered is sent. */
	drain(q->child, 0);
}

static int
on_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	(void)c;
	return admin_request(&self.q, ch, m, verb, args, uid);
}

static void
on_admin_closed(struct child *c, struct ipc_channel *ch)
{
	(void)c;
	if (self.open)
		admin_closed(&self.q, ch);
}

static const struct child_ops ops = {
	.channel = channel,
	.reload = reload,
	.drain = drain,
	.admin = on_admin,
	.admin_closed = on_admin_closed,
};

/* ---- life ---- */

static void
confine(struct child *c, const struct conf *conf, bool *chrooted_r)
{
	struct sandbox_spec spec = {
		.needs = SANDBOX_FILES_READ | SANDBOX_FILES_WRITE | SANDBOX_MMAP_FILE |
		    SANDBOX_MEMFD | SANDBOX_THREADS,
		.rlimit_nofile = 16384,
	};

	spec.chroot_dir = conf->queue_directory;
	spec.paths[spec.npaths++] = (struct sandbox_path){
		.path = conf->queue_directory, .write = true
	};
	child_confine(c, &spec);
	*chrooted_r = !child_development(c);
}

static void
open_queue(struct qmgr *q, const char *path)
{
	size_t i;

	q->sched = sched_new(q->loop, NULL, &qmgr_sched_ops, q);
	sched_configure(q->sched, q->conf);
	jobs_init(q);
	store_init(&q->store, q->loop, path, &qmgr_store_ops, q);
	q->store.checkpoint_every_ms = q->conf->queue_checkpoint_time;
	q->sched->routes = q->store.routes;
	store_recover(&q->store, alive, q);
	q->lookupd = ipc_pool_new(q->loop, IPC_ROLE_qmgr, IPC_ROLE_lookupd);
	q->authd = ipc_pool_new(q->loop, IPC_ROLE_qmgr, IPC_ROLE_authd);
	tickets_init(q);
	writers_init(q);
	expander_init(q);
	pressure_init(q);
	compactor_init(q);
	admin_init(q);
	self.open = true;
	for (i = 0; i < self.nearly; i++)
		join(q, self.early[i].role, self.early[i].instance, self.early[i].fd);
	xfree(self.early);
	self.early = NULL;
	store_checkpoint(&q->store, true);
	future_init(q);
	feeder_init(q);
}

static void
close_queue(struct qmgr *q)
{
	worker_drain(q->store.disk_worker);
	admin_fini(q);
	compactor_fini(q);
	feeder_fini(q);
	future_fini(q);
	pressure_fini(q);
	expander_fini(q);
	tickets_fini(q);
	writers_fini(q);
	jobs_fini(q);
	store_fini(&q->store);
}

int
main(int argc, char **argv)
{
	static const struct child_spec spec = { .role = IPC_ROLE_qmgr, .ops = &ops };
	struct qmgr *q = &self.q;
	bool chrooted;
	int status;

	q->child = child_begin(argc, argv, &spec);
	q->loop = child_loop(q->child);
	q->conf = child_conf(q->child);
	confine(q->child, q->conf, &chrooted);
	open_queue(q, chrooted ? "." : q->conf->queue_directory);
	status = child_run(q->child);
	close_queue(q);
	return status;
}
