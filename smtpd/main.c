/* SPDX-License-Identifier: ISC */
/*
 * main.c of smtpd: SMTP sessions with strangers.
 *
 * Started by master as root, works as pk-smtpd in an empty chroot: no files,
 * no connect; it accepts on listeners it was given, appends to queue segments
 * it was given, and asks lookupd and dnsd. What its loss costs: the mail that
 * passes through it meanwhile, and whatever it chooses to append to its own
 * segments. The sync threads are started before confinement.
 */
#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/child.h"
#include "net/tls.h"
#include "queue/segment_link.h"
#include "smtpd/backend_ipc.h"
#include "smtpd/listener.h"
#include "smtpd/lookup.h"

/* Results and seals that qmgr has not read yet; beyond it they are lost. */
#define LAST_WORDS_MS	5000

struct smtpd {
	struct child		*child;
	struct worker		*worker;
	struct listeners	*listeners;
	struct segment_link	*link;
	struct ipc_channel	*qmgr;
	struct backend_pools	 pools;
	struct loop_deferred	 leave;
	struct loop_timer	 tick;
	uint64_t		 grace_idle_ms, grace_end_ms;
	bool			 ready, draining;
};

static void	session_ended(struct worker *w);
static void	leave(void *arg);

/* ---- qmgr ---- */

static int
on_pressure(struct smtpd *d, struct ipc_msg *m)
{
	uint64_t level = d->worker->pressure;
	struct view text = VIEW_NONE;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_LEVEL, 0, 2, &level);
	ipc_get_text(&in, IPC_F_TEXT, 1000, &text);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	if (level != d->worker->pressure)
		log_info("queue pressure %u: %.*s", (unsigned)level, VIEW_ARG(text));
	d->worker->pressure = (unsigned)level;
	return 0;
}

static int
qmgr_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	(void)ch;
	return m->type == IPC_QUEUE_PRESSURE ? on_pressure(arg, m) : PK_EPROTO;
}

static void
qmgr_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct smtpd *d = arg;

	(void)why;
	if (d->qmgr != ch)
		return;
	d->qmgr = NULL;
	segment_link_down(d->link);
}

static const struct ipc_channel_ops qmgr_ops = { qmgr_message, qmgr_closed };

static void
set_up(struct smtpd *d, struct child *c)
{
	struct loop *l = child_loop(c);

	if (d->worker != NULL)
		return;
	d->child = c;
	d->link = segment_link_new(l);
	d->worker = worker_new(l, segment_link_writer(d->link));
	d->worker->backend = &backend_ipc;
	d->worker->keys = tls_keys_new(l, child_role(c));
	d->worker->backend_arg = &d->pools;
	d->pools.lookup = ipc_pool_new(l, child_role(c), IPC_ROLE_lookupd);
	d->pools.dns = ipc_pool_new(l, child_role(c), IPC_ROLE_dnsd);
	d->pools.auth = auth_link_new(l, child_role(c), &d->worker->mechanisms);
	d->listeners = listeners_new(d->worker);
	d->worker->owner = d;
	d->worker->session_ended = session_ended;
	d->leave = (struct loop_deferred){ .fn = leave, .arg = d };
}

static void
on_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct smtpd *d = child_arg(c);

	set_up(d, c);
	switch (peer) {
	case IPC_ROLE_qmgr:
		segment_link_down(d->link);
		ipc_channel_free(&d->qmgr);
		d->qmgr = ipc_channel_new(child_loop(c), fd, child_role(c), peer,
		    instance, &qmgr_ops, d);
		segment_link_up(d->link, d->qmgr);
		break;
	case IPC_ROLE_lookupd:
		ipc_pool_add(d->pools.lookup, fd, instance);
		break;
	case IPC_ROLE_dnsd:
		ipc_pool_add(d->pools.dns, fd, instance);
		break;
	case IPC_ROLE_authd:
		auth_link_channel(d->pools.auth, fd, instance);
		break;
	case IPC_ROLE_certd:
		tls_keys_channel(d->worker->keys, fd, instance);
		break;
	default:
		log_warn("channel to %s is of no use here", ipc_role_name(peer));
		close(fd);
	}
}

/* ---- master ---- */

static void
on_listener(struct child *c, const char *name, enum child_listener_class class,
    const char *address, int fd)
{
	struct smtpd *d = child_arg(c);

	(void)address;
	set_up(d, c);
	listeners_add(d->listeners, name, class, fd);
}

static void
on_listener_close(struct child *c, const char *name)
{
	struct smtpd *d = child_arg(c);

	if (d->listeners != NULL)
		listeners_remove(d->listeners, name);
}

static void
on_reload(struct child *c, const struct conf *old)
{
	struct smtpd *d = child_arg(c);

	(void)old;
	if (!d->ready)
		return;
	lookup_cache_clear(d->worker->cache);
	listeners_configure(d->listeners, child_conf(c));
}

static void
set_prefixes(struct smtpd *d, const struct child *c)
{
	client_limits_set_prefix(d->worker->limits,
	    (unsigned)child_conf(c)->smtpd_client_ipv4_prefix_length,
	    (unsigned)child_conf(c)->smtpd_client_ipv6_prefix_length);
}

/* CLIENT_LIMITS: PAGE (our column), the table. */
static int
on_message(struct child *c, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct smtpd *d = child_arg(c);
	struct client_limits *limits;
	uint64_t column = 0;
	struct ipc_in in;
	int fd;

	if (ipc_channel_peer(ch) != IPC_ROLE_master || m->type != IPC_CLIENT_LIMITS)
		return PK_EPROTO;
	set_up(d, c);
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_PAGE, 0, CLIENT_LIMITS_WORKERS - 1, &column);
	fd = ipc_take_handle(m, 0);
	if (ipc_in_end(&in) != 0 || fd == -1)
		return PK_EPROTO;
	limits = client_limits_map(fd, (unsigned)column);
	close(fd);
	if (limits == NULL)
		return PK_EPROTO;
	/* Sessions counted in the old table are forgotten by it and never leave this one. */
	client_limits_unmap(&d->worker->limits);
	d->worker->limits = limits;
	set_prefixes(d, c);
	return 0;
}

/* ---- the end ---- */

static void
leave(void *arg)
{
	struct smtpd *d = arg;

	/* What the writer sealed leaves before us. */
	if (d->qmgr != NULL)
		ipc_flush_wait(d->qmgr, LAST_WORDS_MS);
	child_exit(d->child, 0);
}

static void
leave_if_done(struct smtpd *d)
{
	struct segment_writer *writer = segment_link_writer(d->link);

	if (!d->draining || d->worker->nsessions > 0 || !segment_writer_idle(writer))
		return;
	segment_writer_close(writer);
	/* Behind the writer's own end of the turn. */
	loop_defer(child_loop(d->child), &d->leave);
}

static void
session_ended(struct worker *w)
{
	struct smtpd *d = w->owner;

	listeners_room(d->listeners);
	leave_if_done(d);
}

/*
 * Once a second while draining. Sessions go on for two thirds of the grace,
 * so that a replacement is not noticed by most; then those without a
 * transaction are told 421, and at its end everybody.
 */
static void
tick(void *arg)
{
	struct smtpd *d = arg;
	struct loop *l = child_loop(d->child);

	if (loop_now_ms(l) >= d->grace_end_ms)
		worker_drain_now(d->worker);
	else if (!d->worker->draining && loop_now_ms(l) >= d->grace_idle_ms)
		worker_drain(d->worker);
	leave_if_done(d);
	loop_timer_set(l, &d->tick, 1000);
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	struct smtpd *d = child_arg(c);
	struct loop *l = child_loop(c);

	if (d->draining)
		return;
	set_up(d, c);
	d->draining = true;
	d->grace_end_ms = loop_now_ms(l) + grace_ms;
	d->grace_idle_ms = loop_now_ms(l) + grace_ms / 3 * 2;
	listeners_stop(d->listeners);
	loop_timer_init(&d->tick, tick, d);
	loop_timer_set(l, &d->tick, 1000);
	if (grace_ms == 0)
		worker_drain_now(d->worker);
	leave_if_done(d);
}

static const struct child_ops ops = {
	.channel = on_channel,
	.listener = on_listener,
	.listener_close = on_listener_close,
	.reload = on_reload,
	.drain = on_drain,
	.message = on_message,
};

/* ---- the start ---- */

/* A folder in which nothing is, and nothing can come to be for our user. */
static const char *
empty_root(const struct child *c)
{
	char *path = xasprintf("%s/empty", child_conf(c)->runtime_directory);

	if (!child_development(c) && mkdir(path, 0755) == -1 && errno != EEXIST)
		log_fatal("%s: %s", path, strerror(errno));
	return path;
}

/* Listeners open behind the confinement: what their contexts read is read now. */
static void
preload(const struct conf *conf)
{
	struct view list = view_str(conf->listeners), item;
	struct conf_listener l;
	char *name;

	while (conf_list_next(&list, &item)) {
		if (!conf_listener_parse(item, &l))
			continue;
		name = view_dup(l.name);
		tls_server_preload(conf_scope(conf, name));
		xfree(name);
	}
}

int
main(int argc, char **argv)
{
	struct smtpd d = { 0 };
	struct child_spec spec = { .role = IPC_ROLE_none, .ops = &ops, .arg = &d };
	struct sandbox_spec s = {
		.needs = SANDBOX_ACCEPT | SANDBOX_APPEND,
	};
	struct child *c = child_begin(argc, argv, &spec);

	set_up(&d, c);
	if (d.worker->limits == NULL)
		d.worker->limits = client_limits_map(-1, 0);
	if (d.worker->limits == NULL)
		log_fatal("no memory for client limits: %s", strerror(errno));
	set_prefixes(&d, c);
	preload(child_conf(c));
	listeners_configure(d.listeners, child_conf(c));
	s.user = ipc_role_user(child_role(c));
	s.chroot_dir = empty_root(c);
	s.rlimit_nofile = (uint64_t)child_conf(c)->smtpd_connection_limit + 256;
	child_confine(c, &s);
	d.ready = true;
	return child_run(c);
}
