/* SPDX-License-Identifier: ISC */
/*
 * listener.c: accepts clients.
 *
 * Runs in smtpd, on sockets that master bound and all workers share. A worker
 * takes a few connections a turn and then serves who is there, so that a
 * burst spreads over the workers and nobody inside waits for it. At
 * smtpd_connection_limit, or without descriptors, it leaves the queue of the
 * kernel to the others.
 */
#include "smtpd/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define ACCEPT_BATCH	4
/* After EMFILE and its like. */
#define PAUSE_MS	1000

struct listener {
	TAILQ_ENTRY(listener) link;
	struct listeners *all;
	char		*name;
	enum child_listener_class class;
	int		 fd;
	struct event	*ev;
	struct policy	*policy;
	bool		 accepting;
	struct loop_timer pause;
};

struct listeners {
	struct worker	*w;
	struct policy_set *set;
	TAILQ_HEAD(, listener) list;
	bool		 stopped, full;
};

static void
accepting(struct listener *l, bool on)
{
	if (on == l->accepting)
		return;
	l->accepting = on;
	if ((on ? event_add(l->ev, NULL) : event_del(l->ev)) == -1)
		log_fatal("listener %s: no event", l->name);
}

static bool
is_full(const struct listeners *all)
{
	return all->w->nsessions >= (size_t)all->set->conf->smtpd_connection_limit;
}

static void
pause_over(void *arg)
{
	struct listener *l = arg;

	if (!l->all->stopped && !is_full(l->all))
		accepting(l, true);
}

static void
accept_failed(struct listener *l)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)
		return;
	log_warn("listener %s: accept: %s", l->name, strerror(errno));
	accepting(l, false);
	loop_timer_set(l->all->w->loop, &l->pause, PAUSE_MS);
}

static void
full(struct listeners *all)
{
	struct listener *l;

	if (!all->full)
		log_warn("%zu sessions: smtpd_connection_limit is reached", all->w->nsessions);
	all->full = true;
	TAILQ_FOREACH(l, &all->list, link)
		accepting(l, false);
}

static void
on_client(evutil_socket_t listen_fd, short what, void *arg)
{
	struct listener *l = arg;
	struct sockaddr_storage peer;
	socklen_t len;
	int i, fd;

	(void)what;
	for (i = 0; i < ACCEPT_BATCH; i++) {
		if (is_full(l->all)) {
			full(l->all);
			return;
		}
		len = sizeof(peer);
		memset(&peer, 0, sizeof(peer));
		fd = accept4(listen_fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			accept_failed(l);
			return;
		}
		session_new(l->all->w, l->policy, fd, (struct sockaddr *)&peer);
	}
}

struct listeners *
listeners_new(struct worker *w)
{
	struct listeners *all = XNEW(struct listeners);

	all->w = w;
	TAILQ_INIT(&all->list);
	return all;
}

static void
start(struct listener *l)
{
	struct policy *p = policy_new(l->all->set, l->name, l->class, l->all->w->keys);

	if (p->tls_bad != NULL)
		log_error("listener %s: %s%s", l->name, p->tls_bad,
		    l->policy != NULL ? "; what was configured before stays in use" : "");
	if (p->tls_bad != NULL && l->policy != NULL) {
		policy_unref(&p);
	} else {
		policy_unref(&l->policy);
		l->policy = p;
	}
	if (!l->all->stopped && !is_full(l->all))
		accepting(l, true);
}

static void
remove_one(struct listener *l)
{
	accepting(l, false);
	event_free(l->ev);
	loop_timer_clear(l->all->w->loop, &l->pause);
	close(l->fd);
	policy_unref(&l->policy);
	TAILQ_REMOVE(&l->all->list, l, link);
	xfree(l->name);
	xfree(l);
}

void
listeners_free(struct listeners **allp)
{
	struct listeners *all = *allp;

	if (all == NULL)
		return;
	*allp = NULL;
	while (!TAILQ_EMPTY(&all->list))
		remove_one(TAILQ_FIRST(&all->list));
	policy_set_unref(&all->set);
	xfree(all);
}

void
listeners_add(struct listeners *all, const char *name, enum child_listener_class class, int fd)
{
	struct listener *l = XNEW(struct listener);
	int one = 1;

	l->all = all;
	l->name = xstrdup(name);
	l->class = class;
	l->fd = fd;
	/*
	 * Accepted sockets inherit it. Fails on a Unix socket, and behind the
	 * sandbox after a reload: replies are single writes, it matters little.
	 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->ev = event_new(loop_base(all->w->loop), fd, EV_READ | EV_PERSIST, on_client, l);
	if (l->ev == NULL)
		log_fatal("listener %s: no event", name);
	loop_timer_init(&l->pause, pause_over, l);
	TAILQ_INSERT_TAIL(&all->list, l, link);
	if (all->set != NULL)
		start(l);
}

void
listeners_remove(struct listeners *all, const char *name)
{
	struct listener *l, *next;

	for (l = TAILQ_FIRST(&all->list); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		if (strcmp(l->name, name) == 0)
			remove_one(l);
	}
}

void
listeners_configure(struct listeners *all, const struct conf *conf)
{
	bool first = all->set == NULL;
	struct listener *l;

	policy_set_unref(&all->set);
	all->set = policy_set_new(conf);
	if (first && all->w->keys != NULL)
		policy_read_files(all->set, all->w->keys);
	TAILQ_FOREACH(l, &all->list, link)
		start(l);
}

void
listeners_stop(struct listeners *all)
{
	all->stopped = true;
	while (!TAILQ_EMPTY(&all->list))
		remove_one(TAILQ_FIRST(&all->list));
}

void
listeners_room(struct listeners *all)
{
	struct listener *l;

	if (!all->full || all->stopped || is_full(all))
		return;
	all->full = false;
	TAILQ_FOREACH(l, &all->list, link)
		accepting(l, true);
}
