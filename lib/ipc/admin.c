/* SPDX-License-Identifier: ISC */
/*
 * admin.c: lets administrators in.
 *
 * Runs in every role that has an admin socket, with that role's rights. Who
 * the peer is comes from the kernel (SO_PEERCRED, SO_PEERGROUPS), never from
 * what it says; what it says afterwards goes through the same checks as a
 * sibling's messages.
 */
#include "ipc/admin.h"

#include <sys/socket.h>

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

/* Administrators at once; a forgotten `--watch` loop must not eat handles. */
#define CONNECTIONS_MAX	64
/* Strangers at once who wait for their refusal, and how long. */
#define REFUSED_MAX	16
#define REFUSED_MS	5000
/* Any user may connect: who does it in a loop shall not fill the log. */
#define REFUSED_PER_S	5
#define GROUPS_MAX	1024
#define VERB_MAX	64
#define ACCEPT_PAUSE_MS	1000

struct admin_connection {
	struct admin_listener *listener;
	struct ipc_channel *ch;
	bool		 refused;
	struct loop_timer timer;	/* of a refused one */
	TAILQ_ENTRY(admin_connection) link;
};

struct admin_listener {
	struct loop	*loop;
	int		 fd;
	enum ipc_role	 self;
	uid_t		 owner;
	gid_t		 gid;
	const struct admin_ops *ops;
	void		*arg;
	struct event	*ev;
	struct loop_timer pause;
	TAILQ_HEAD(, admin_connection) connections;
	unsigned	 nconnections;
	unsigned	 nrefused;
	uint64_t	 refused_s;	/* in this second of the loop's clock... */
	unsigned	 refused_in_s;	/* ... so many */
};

static bool
in_group(int fd, const struct ucred *cred, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	size_t i;

	if (gid == ADMIN_NO_GROUP)
		return false;
	if (cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return false;
	for (i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

static bool
is_allowed(const struct admin_listener *al, int fd, struct ucred *cred_r)
{
	socklen_t len = sizeof(*cred_r);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred_r, &len) == -1)
		return false;
	if (cred_r->uid == 0 || cred_r->uid == al->owner)
		return true;
	return in_group(fd, cred_r, al->gid);
}

static void
connection_gone(struct admin_connection *conn)
{
	struct admin_listener *al = conn->listener;

	if (!conn->refused && al->ops->closed != NULL)
		al->ops->closed(conn->ch, al->arg);
	loop_timer_clear(al->loop, &conn->timer);
	TAILQ_REMOVE(&al->connections, conn, link);
	if (conn->refused)
		al->nrefused--;
	else
		al->nconnections--;
	xfree(conn);
}

static void
connection_close(void *arg)
{
	struct admin_connection *conn = arg;
	struct ipc_channel *ch = conn->ch;

	connection_gone(conn);
	ipc_channel_free(&ch);
}

/* The first thing that a stranger asks is answered, so that adminctl can say why. */
static int
refuse(struct admin_connection *conn, struct ipc_msg *m)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-PK_EPERM);
	ipc_put_str(&o, IPC_F_TEXT,
	    "permission denied: neither root nor in admin_group");
	(void)ipc_reply(conn->ch, m, &o);
	connection_close(conn);
	return 0;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct admin_connection *conn = arg;
	struct admin_listener *al = conn->listener;
	struct view verb = VIEW_NONE, args = VIEW_NONE;
	struct ipc_in in;

	if (conn->refused)
		return refuse(conn, m);
	if (m->type != IPC_ADMIN) {
		if (al->ops->message == NULL)
			return PK_EPROTO;
		return al->ops->message(ch, m, al->arg);
	}
	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_NAME, VERB_MAX, &verb);
	ipc_get_bytes(&in, IPC_F_JSON, IPC_BODY_MAX, &args);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	return al->ops->request(ch, m, verb, args, admin_uid(ch), al->arg);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	connection_gone(arg);
}

static const struct ipc_channel_ops channel_ops = { on_message, on_closed };

/* False for one stranger too many: neither an answer nor a line in the log. */
static bool
may_refuse(struct admin_listener *al)
{
	uint64_t now_s = loop_now_ms(al->loop) / 1000;

	if (now_s != al->refused_s)
		al->refused_in_s = 0;
	al->refused_s = now_s;
	return al->nrefused < REFUSED_MAX && al->refused_in_s++ < REFUSED_PER_S;
}

static void
let_in(struct admin_listener *al, int fd)
{
	struct ucred cred = { 0, (uid_t)-1, (gid_t)-1 };
	bool refused = !is_allowed(al, fd, &cred);
	struct admin_connection *conn;

	if (refused ? !may_refuse(al) : al->nconnections >= CONNECTIONS_MAX) {
		fd_close(&fd);
		return;
	}
	if (refused)
		log_warn("admin: uid %u is neither root nor in admin_group",
		    (unsigned)cred.uid);
	conn = XNEW(struct admin_connection);
	conn->listener = al;
	conn->refused = refused;
	loop_timer_init(&conn->timer, connection_close, conn);
	TAILQ_INSERT_TAIL(&al->connections, conn, link);
	if (refused) {
		al->nrefused++;
		loop_timer_set(al->loop, &conn->timer, REFUSED_MS);
	} else {
		al->nconnections++;
	}
	conn->ch = ipc_channel_new(al->loop, fd, al->self, IPC_ROLE_adminctl,
	    cred.uid, &channel_ops, conn);
}

static void
accept_again(void *arg)
{
	struct admin_listener *al = arg;

	if (al->fd >= 0)
		event_add(al->ev, NULL);
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct admin_listener *al = arg;
	int fd;

	(void)what;
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		let_in(al, fd);
		return;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
	    errno == ENOBUFS) {
		/* It stays readable: do not spin until there is room. */
		event_del(al->ev);
		loop_timer_set(al->loop, &al->pause, ACCEPT_PAUSE_MS);
	}
}

struct admin_listener *
admin_listener_new(struct loop *l, int fd, enum ipc_role self, uid_t owner,
    gid_t gid, const struct admin_ops *ops, void *arg)
{
	struct admin_listener *al = XNEW(struct admin_listener);

	al->loop = l;
	al->fd = fd;
	al->self = self;
	al->owner = owner;
	al->gid = gid;
	al->ops = ops;
	al->arg = arg;
	TAILQ_INIT(&al->connections);
	loop_timer_init(&al->pause, accept_again, al);
	(void)fd_set_nonblock(fd);
	al->ev =
	    event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_accept, al);
	if (al->ev == NULL || event_add(al->ev, NULL) == -1)
		log_error(
		    "admin: cannot watch the socket: %s", strerror(errno));
	return al;
}

void
admin_listener_stop(struct admin_listener *al)
{
	if (al->ev != NULL)
		event_free(al->ev);
	al->ev = NULL;
	loop_timer_clear(al->loop, &al->pause);
	fd_close(&al->fd);
}

void
admin_listener_free(struct admin_listener **alp)
{
	struct admin_listener *al = *alp;
	struct admin_connection *conn;

	if (al == NULL)
		return;
	admin_listener_stop(al);
	while ((conn = TAILQ_FIRST(&al->connections)) != NULL)
		connection_close(conn);
	xfree(al);
	*alp = NULL;
}

uint32_t
admin_uid(const struct ipc_channel *ch)
{
	return (uint32_t)ipc_channel_instance(ch);
}

gid_t
admin_group_id(const char *name)
{
	struct group *gr = name[0] != '\0' ? getgrnam(name) : NULL;

	return gr != NULL ? gr->gr_gid : ADMIN_NO_GROUP;
}
