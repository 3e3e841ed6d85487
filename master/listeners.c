/* SPDX-License-Identifier: ISC */
/*
 * listeners.c: the sockets at which the suite is reached.
 *
 * master alone opens them, with root's rights, and hands them to the workers;
 * they stay open in master, so that no connection is refused while workers
 * are replaced. master never accepts on one, but on its own admin socket.
 * What a reload does not change is not touched.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/master.h"
#include "sys/fd.h"

#define BACKLOG 4096

union address {
	struct sockaddr		sa;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
	struct sockaddr_un	un;
};

static bool
inet_address(const struct conf_listener *l, union address *a, socklen_t *len_r)
{
	char *host = view_dup(l->host);
	bool any = l->host.len == 0 || view_eq(l->host, VIEW("*")), ok;

	memset(a, 0, sizeof(*a));
	if (view_eq(l->family, VIEW("inet"))) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((uint16_t)l->port);
		*len_r = sizeof(a->in);
		ok = any || inet_pton(AF_INET, view_caseeq(l->host, VIEW("localhost")) ?
		    "127.0.0.1" : host, &a->in.sin_addr) == 1;
	} else {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons((uint16_t)l->port);
		*len_r = sizeof(a->in6);
		ok = any || inet_pton(AF_INET6, view_caseeq(l->host, VIEW("localhost")) ?
		    "::1" : host, &a->in6.sin6_addr) == 1;
	}
	xfree(host);
	return ok;
}

/* A socket file without anybody behind it is a leftover. */
static bool
remove_stale(const char *path)
{
	union address a = { .un = { .sun_family = AF_UNIX } };
	struct stat st;
	int fd, error;

	if (lstat(path, &st) == -1)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	memcpy(a.un.sun_path, path, strlen(path) + 1);
	error = connect(fd, &a.sa, sizeof(a.un)) == 0 ? EADDRINUSE : errno;
	close(fd);
	if (error != ECONNREFUSED && error != EPROTOTYPE) {
		errno = error;
		return false;
	}
	return unlink(path) == 0;
}

static int
open_unix(const char *path, int type, bool stale_for_sure)
{
	union address a = { .un = { .sun_family = AF_UNIX } };
	int fd;

	if (strlen(path) >= sizeof(a.un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (stale_for_sure ? unlink(path) == -1 && errno != ENOENT : !remove_stale(path))
		return -1;
	memcpy(a.un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	/* Who may do what is decided by the peer's credentials. */
	if (bind(fd, &a.sa, sizeof(a.un)) == -1 || chmod(path, 0666) == -1 ||
	    listen(fd, BACKLOG) == -1)
		fd_close(&fd);
	return fd;
}

static int
open_inet(const struct conf_listener *l)
{
	union address a;
	socklen_t len;
	int fd, on = 1;

	if (!inet_address(l, &a, &len)) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    (a.sa.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1) ||
	    bind(fd, &a.sa, len) == -1 || listen(fd, BACKLOG) == -1)
		fd_close(&fd);
	return fd;
}

static void
complain(const struct conf_listener *l)
{
	const char *way = "";

	if (errno == EADDRINUSE)
		way = view_eq(l->family, VIEW("unix")) ? ": another process listens there" :
		    ": another mail server? (ss -ltnp shows who)";
	else if (errno == EACCES)
		way = ": ports below 1024 are for root";
	else if (errno == EADDRNOTAVAIL)
		way = ": this machine does not have the address";
	else if (errno == EINVAL)
		way = ": write an address in numbers";
	log_error("listener %.*s cannot listen on %.*s %.*s: %s%s", VIEW_ARG(l->name),
	    VIEW_ARG(l->family), VIEW_ARG(l->address), strerror(errno), way);
}

struct listener *
listener_add(struct listener_list *list, struct view name, struct view family,
    struct view address, enum child_listener_class class, int fd)
{
	struct listener *l = XNEW(struct listener);

	l->name = view_dup(name);
	l->family = view_dup(family);
	l->address = view_dup(address);
	l->class = class;
	l->fd = fd;
	TAILQ_INSERT_TAIL(list, l, link);
	return l;
}

static void
listener_free(struct listener_list *list, struct listener *l)
{
	TAILQ_REMOVE(list, l, link);
	fd_close(&l->fd);
	xfree(l->name);
	xfree(l->family);
	xfree(l->address);
	xfree(l);
}

/* The same socket under the same name and class. */
static struct listener *
same(struct listener_list *list, const struct conf_listener *cl,
    const enum child_listener_class *class)
{
	struct listener *l;

	TAILQ_FOREACH(l, list, link)
		if (view_eq(view_str(l->family), cl->family) &&
		    view_eq(view_str(l->address), cl->address) &&
		    (class == NULL || (*class == l->class &&
		    view_eq(view_str(l->name), cl->name))))
			return l;
	return NULL;
}

static bool
prepare_one(struct master *m, const struct conf *c, const struct conf_listener *cl,
    struct listener_list *fresh)
{
	enum child_listener_class class = role_listener_class(c, cl);
	struct listener *l = same(&m->listeners, cl, &class);
	char *path;
	int fd;

	if (l != NULL) {
		l->keep = true;
		return true;
	}
	l = same(&m->listeners, cl, NULL);
	if (l != NULL) {
		/* Another name for the same socket. */
		fd = dup(l->fd);
		(void)fd_set_cloexec(fd, true);
	} else if (view_eq(cl->family, VIEW("unix"))) {
		path = view_dup(cl->address);
		fd = open_unix(path, SOCK_STREAM, false);
		xfree(path);
	} else {
		fd = open_inet(cl);
		if (fd == -1 && errno == EAFNOSUPPORT) {
			log_warn("listener %.*s is left out: this machine has no IPv6",
			    VIEW_ARG(cl->name));
			return true;
		}
	}
	if (fd == -1) {
		complain(cl);
		return false;
	}
	listener_add(fresh, cl->name, cl->family, cl->address, class, fd);
	return true;
}

bool
listeners_prepare(struct master *m, const struct conf *c, struct listener_list *fresh)
{
	struct view list = view_str(c->listeners), item;
	struct conf_listener cl;
	struct listener *l;
	bool ok = true;

	TAILQ_INIT(fresh);
	TAILQ_FOREACH(l, &m->listeners, link)
		l->keep = false;
	while (conf_list_next(&list, &item))
		if (conf_listener_parse(item, &cl) && !prepare_one(m, c, &cl, fresh))
			ok = false;
	while (!ok && (l = TAILQ_FIRST(fresh)) != NULL)
		listener_free(fresh, l);
	return ok;
}

/* ---- telling the children ---- */

static void
send_listener(struct proc *p, const char *name, enum child_listener_class class,
    const char *family, const char *address, int fd)
{
	struct ipc_out o;
	char *text = xasprintf("%s:%s", family, address);

	ipc_out_init(&o, IPC_LISTENER);
	ipc_put_str(&o, IPC_F_NAME, name);
	ipc_put_u64(&o, IPC_F_KIND, class);
	ipc_put_str(&o, IPC_F_ADDRESS, text);
	ipc_put_handle(&o, fd);
	(void)ipc_send(p->control, &o);
	xfree(text);
}

static void
send_close(struct proc *p, const char *name)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_LISTENER_CLOSE);
	ipc_put_str(&o, IPC_F_NAME, name);
	(void)ipc_send(p->control, &o);
}

void
listeners_send(struct master *m, struct proc *p)
{
	struct listener *l;

	/* At the start strangers wait until everybody is READY: listeners_announce(). */
	if (m->started)
		TAILQ_FOREACH(l, &m->listeners, link)
			if (role_of_class(l->class) == p->slot->role)
				send_listener(p, l->name, l->class, l->family, l->address,
				    l->fd);
	TAILQ_FOREACH(l, &m->admin, link)
		if (strcmp(l->name, ipc_role_name(p->slot->role)) == 0)
			send_listener(p, "admin", CHILD_LISTENER_ADMIN, l->family, l->address,
			    l->fd);
}

/* Every worker of its class hears of it, and nobody else. */
static void
tell_all(struct master *m, struct listener *l, bool opened)
{
	struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link) {
		if (p->slot->role != role_of_class(l->class) || p->control == NULL ||
		    p->state == PROC_DRAINING)
			continue;
		if (opened)
			send_listener(p, l->name, l->class, l->family, l->address, l->fd);
		else
			send_close(p, l->name);
	}
}

void
listeners_announce(struct master *m)
{
	struct listener *l;

	TAILQ_FOREACH(l, &m->listeners, link)
		tell_all(m, l, true);
}

void
listeners_commit(struct master *m, struct listener_list *fresh)
{
	struct listener *l, *next;
	struct conf_listener still;

	TAILQ_FOREACH_SAFE(l, &m->listeners, link, next) {
		if (l->keep)
			continue;
		log_info("listener %s closed: %s %s", l->name, l->family, l->address);
		if (m->started)
			tell_all(m, l, false);
		still.family = view_str(l->family);
		still.address = view_str(l->address);
		if (strcmp(l->family, "unix") == 0 && same(fresh, &still, NULL) == NULL)
			(void)unlink(l->address);
		listener_free(&m->listeners, l);
	}
	while ((l = TAILQ_FIRST(fresh)) != NULL) {
		TAILQ_REMOVE(fresh, l, link);
		l->keep = true;
		TAILQ_INSERT_TAIL(&m->listeners, l, link);
		log_info("listener %s open: %s %s", l->name, l->family, l->address);
		if (m->started)
			tell_all(m, l, true);
	}
}

/* ---- admin sockets ---- */

bool
listeners_open_admin(struct master *m)
{
	char *path;
	int fd, role;

	for (role = 1; role < IPC_ROLES; role++) {
		if (!role_has_admin((enum ipc_role)role))
			continue;
		path = xasprintf("%s/admin/%s", m->conf->runtime_directory,
		    ipc_role_name((enum ipc_role)role));
		/* The pid file's lock says that nobody else is behind it. */
		fd = open_unix(path, SOCK_SEQPACKET, true);
		if (fd == -1) {
			log_error("admin socket %s: %s", path, strerror(errno));
			xfree(path);
			return false;
		}
		listener_add(&m->admin, view_str(ipc_role_name((enum ipc_role)role)),
		    VIEW("unix"), view_str(path), CHILD_LISTENER_ADMIN, fd);
		xfree(path);
	}
	return true;
}

void
listeners_close(struct master *m)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&m->listeners)) != NULL) {
		if (strcmp(l->family, "unix") == 0)
			(void)unlink(l->address);
		listener_free(&m->listeners, l);
	}
}

void
listeners_remove_files(struct master *m)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&m->admin)) != NULL) {
		(void)unlink(l->address);
		listener_free(&m->admin, l);
	}
}
