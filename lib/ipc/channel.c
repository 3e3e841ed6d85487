/* SPDX-License-Identifier: ISC */
/*
 * channel.c: one packet socket to one sibling.
 *
 * Runs in every process with that role's rights. The peer is treated as
 * taken over: each packet's length, flags, direction, size and handles are
 * held against messages.def before anybody sees it, and what does not fit
 * closes this channel and nothing else. A turn reads up to 32 packets with
 * one recvmmsg into buffers that the whole process shares, and writes what it
 * produced with one sendmmsg at its end.
 *
 * Callbacks may free any channel, their own included: the memory stays until
 * the last callback of the channel has returned (`busy`).
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/channel_internal.h"
#include "sys/fd.h"

#define BATCH		32
/* Room for many packets of 64 KiB; net.core.wmem_max may grant less. */
#define SOCKET_BUFFER	(1024 * 1024)
/* A peer that leaves this much unread is as good as dead. */
#define QUEUE_BYTES_MAX	(64 * 1024 * 1024)
#define RETRY_MS	1000

union control {
	struct cmsghdr	 align;
	char		 bytes[CMSG_SPACE(sizeof(int) * IPC_HANDLES_MAX)];
};

/* The receiving end of the whole process; there is one loop in it. */
static struct {
	char		*bytes;		/* BATCH * IPC_PACKET_MAX, touched as needed */
	struct mmsghdr	 msgs[BATCH];
	struct iovec	 iov[BATCH];
	union control	 control[BATCH];
	unsigned	 used;		/* to be reset before the next use */
} rx;

static void	channel_read(evutil_socket_t fd, short what, void *arg);
static void	channel_writable(evutil_socket_t fd, short what, void *arg);
static void	channel_flush(void *arg);
static void	channel_failed(void *arg);
static void	channel_close(struct ipc_channel *ch, int why);

/* ---- life ---- */

static void
raise_buffers(int fd)
{
	int n = SOCKET_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
}

int
ipc_socketpair(int sv_r[2])
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, sv) == -1)
		return PK_ESYS;
	sv_r[0] = sv[0];
	sv_r[1] = sv[1];
	return 0;
}

static void
send_hello(struct ipc_channel *ch)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_HELLO);
	ipc_put_u64(&o, IPC_F_VERSION, IPC_VERSION);
	ipc_put_u64(&o, IPC_F_ROLE, ch->self);
	(void)ipc_send(ch, &o);
}

static struct ipc_channel *
channel_make(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer,
    uint64_t peer_instance, const struct ipc_channel_ops *ops, void *arg)
{
	struct ipc_channel *ch = XNEW(struct ipc_channel);
	int error;

	ch->loop = l;
	ch->fd = fd;
	ch->self = self;
	ch->peer = peer;
	ch->instance = peer_instance;
	ch->ops = ops;
	ch->arg = arg;
	ch->flush.fn = channel_flush;
	ch->flush.arg = ch;
	ch->fail.fn = channel_failed;
	ch->fail.arg = ch;
	loop_timer_init(&ch->retry, channel_flush, ch);
	TAILQ_INIT(&ch->calls);
	error = fd_set_nonblock(fd);
	raise_buffers(fd);
	ch->ev_read =
	    event_new(loop_base(l), fd, EV_READ | EV_PERSIST, channel_read, ch);
	ch->ev_write =
	    event_new(loop_base(l), fd, EV_WRITE, channel_writable, ch);
	if (ch->ev_read == NULL || ch->ev_write == NULL)
		log_fatal("ipc: %s: out of memory", ipc_role_name(peer));
	if (error != 0 || event_add(ch->ev_read, NULL) == -1) {
		log_error("ipc: %s: cannot watch the channel: %s",
		    ipc_role_name(peer), strerror(errno));
		ipc_channel_fail_later(ch, PK_ESYS);
	}
	return ch;
}

struct ipc_channel *
ipc_channel_new(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer,
    uint64_t peer_instance, const struct ipc_channel_ops *ops, void *arg)
{
	struct ipc_channel *ch;

	ch = channel_make(l, fd, self, peer, peer_instance, ops, arg);
	send_hello(ch);
	return ch;
}

struct ipc_channel *
ipc_channel_adopt(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer,
    uint64_t peer_instance, const struct ipc_channel_ops *ops, void *arg)
{
	struct ipc_channel *ch;

	ch = channel_make(l, fd, self, peer, peer_instance, ops, arg);
	ch->hello_seen = true;
	ch->adopted = true;
	return ch;
}

static void
drop_queued(struct ipc_queued *q)
{
	unsigned i;

	if (ipc_type_is_secret(q->header.type) && q->body.data != NULL)
		explicit_bzero(q->body.data, q->body.cap);
	ipc_body_fini(&q->body);
	for (i = 0; i < q->nhandles; i++)
		close(q->handles[i]);
	q->nhandles = 0;
}

static struct ipc_queued *
queue_at(struct ipc_channel *ch, unsigned i)
{
	return &ch->ring[(ch->head + i) & (ch->size - 1)];
}

/* What a packet occupies: most of a small one is not its bytes. */
static size_t
queued_cost(const struct ipc_queued *q)
{
	return sizeof(*q) + q->body.cap;
}

static void
queue_drop_head(struct ipc_channel *ch)
{
	struct ipc_queued *q = queue_at(ch, 0);

	ch->queued_bytes -= queued_cost(q);
	drop_queued(q);
	ch->head = (ch->head + 1) & (ch->size - 1);
	ch->count--;
}

static void
stop_sending(struct ipc_channel *ch)
{
	ch->send_dead = true;
	while (ch->count > 0)
		queue_drop_head(ch);
	loop_timer_clear(ch->loop, &ch->retry);
	if (ch->want_write)
		event_del(ch->ev_write);
	ch->want_write = false;
}

static void
channel_release(struct ipc_channel *ch)
{
	if (--ch->busy > 0 || !ch->dead)
		return;
	xfree(ch->ring);
	xfree(ch);
}

/* No callback of the loop comes any more; the descriptor is closed. */
static void
channel_stop(struct ipc_channel *ch)
{
	ch->dead = true;
	stop_sending(ch);
	loop_defer_cancel(ch->loop, &ch->flush);
	loop_defer_cancel(ch->loop, &ch->fail);
	event_free(ch->ev_read);
	event_free(ch->ev_write);
	fd_close(&ch->fd);
	if (ch->pool != NULL)
		ipc_pool_remove(ch->pool, ch);
}

static void (*loss_fn)(enum ipc_role peer, uint64_t instance, void *arg);
static void *loss_arg;

void
ipc_channel_on_loss(void (*fn)(enum ipc_role peer, uint64_t instance, void *arg), void *arg)
{
	loss_fn = fn;
	loss_arg = arg;
}

static void
channel_close(struct ipc_channel *ch, int why)
{
	if (ch->dead)
		return;
	ch->busy++;
	if (why != PK_EPEER && loss_fn != NULL)
		loss_fn(ch->peer, ch->instance, loss_arg);
	channel_stop(ch);
	ipc_calls_lost(ch, PK_EPEER);
	/* A call's owner may have freed us: then ours may be gone as well. */
	if (ch->ops->closed != NULL && !ch->freed)
		ch->ops->closed(ch, why, ch->arg);
	channel_release(ch);
}

void
ipc_channel_free(struct ipc_channel **chp)
{
	struct ipc_channel *ch = *chp;

	*chp = NULL;
	if (ch == NULL)
		return;
	ch->freed = true;
	if (ch->dead)
		return;
	ch->busy++;
	/* What was said in this turn is still sent, as far as it goes. */
	channel_flush(ch);
	channel_stop(ch);
	ipc_calls_lost(ch, PK_ECANCEL);
	channel_release(ch);
}

void
ipc_channel_fail_later(struct ipc_channel *ch, int why)
{
	if (ch->dead)
		return;
	ch->why = why;
	loop_defer(ch->loop, &ch->fail);
}

static void
channel_failed(void *arg)
{
	struct ipc_channel *ch = arg;

	channel_close(ch, ch->why);
}

void
ipc_channel_violation(struct ipc_channel *ch, const char *fmt, ...)
{
	struct buf why;
	va_list ap;

	if (ch->dead)
		return;
	buf_init(&why, LOG_LINE_MAX);
	va_start(ap, fmt);
	(void)buf_vprintf(&why, fmt, ap);
	va_end(ap);
	log_error("ipc: %s[%llu]: %s; channel closed", ipc_role_name(ch->peer),
	    (unsigned long long)ch->instance, buf_cstr(&why));
	buf_fini(&why);
	channel_close(ch, PK_EPROTO);
}

enum ipc_role
ipc_channel_peer(const struct ipc_channel *ch)
{
	return ch->peer;
}

uint64_t
ipc_channel_instance(const struct ipc_channel *ch)
{
	return ch->instance;
}

void
ipc_channel_set_arg(struct ipc_channel *ch, void *arg)
{
	ch->arg = arg;
}

void *
ipc_channel_arg(const struct ipc_channel *ch)
{
	return ch->arg;
}

size_t
ipc_channel_backlog(const struct ipc_channel *ch)
{
	return ch->count;
}

/* ---- sending ---- */

static void
queue_grow(struct ipc_channel *ch)
{
	unsigned i, size = ch->size == 0 ? 8 : ch->size * 2;
	struct ipc_queued *ring = xreallocarray(NULL, size, sizeof(*ring));

	for (i = 0; i < ch->count; i++)
		ring[i] = *queue_at(ch, i);
	xfree(ch->ring);
	ch->ring = ring;
	ch->head = 0;
	ch->size = size;
}

/* Own copies: the caller may close its descriptors before the turn ends. */
static int
own_handles(struct ipc_out *o)
{
	int owned[IPC_HANDLES_MAX];
	unsigned i;

	if (o->close_handles || o->nhandles == 0)
		return 0;
	for (i = 0; i < o->nhandles; i++) {
		owned[i] = fcntl(o->handles[i], F_DUPFD_CLOEXEC, 0);
		if (owned[i] == -1) {
			while (i-- > 0)
				close(owned[i]);
			return PK_ESYS;
		}
	}
	memcpy(o->handles, owned, sizeof(owned[0]) * o->nhandles);
	o->close_handles = true;
	return 0;
}

/* What we are about to say must be what the table allows us. */
static int
check_own(const struct ipc_channel *ch, const struct ipc_out *o)
{
	const struct ipc_row *row = ipc_row(o->type);

	if (row == NULL || !ipc_row_allows(row, ch->self, ch->peer))
		return PK_EPERM;
	if (ipc_out_error(o) != 0)
		return ipc_out_error(o);
	if (o->body.len > row->size_max || o->nhandles > row->handles)
		return PK_ELIMIT;
	return 0;
}

int
ipc_send(struct ipc_channel *ch, struct ipc_out *o)
{
	struct ipc_queued *q;
	int error;

	error = check_own(ch, o);
	if (error == 0)
		error = own_handles(o);
	if (error != 0) {
		log_error("ipc: %s[%llu]: %s not sent: %s",
		    ipc_role_name(ch->peer), (unsigned long long)ch->instance,
		    ipc_type_name(o->type), pk_strerror(error));
		ipc_out_fini(o);
		return error;
	}
	if (ch->dead || ch->send_dead) {
		ipc_out_fini(o);
		return PK_EPEER;
	}
	if (ch->count == ch->size)
		queue_grow(ch);
	q = queue_at(ch, ch->count++);
	q->header = (struct ipc_header){ o->type, o->flags,
		(uint32_t)o->body.len, o->id };
	q->body = o->body;
	q->nhandles = o->nhandles;
	memcpy(q->handles, o->handles, sizeof(o->handles[0]) * o->nhandles);
	ch->queued_bytes += queued_cost(q);
	if (ch->queued_bytes > QUEUE_BYTES_MAX) {
		log_error("ipc: %s[%llu]: does not read, %u messages wait; "
			  "channel closed",
		    ipc_role_name(ch->peer), (unsigned long long)ch->instance,
		    ch->count);
		stop_sending(ch);
		ipc_channel_fail_later(ch, PK_ETIMEOUT);
		return PK_EPEER;
	}
	if (!ch->want_write && !loop_timer_is_set(&ch->retry))
		loop_defer(ch->loop, &ch->flush);
	return 0;
}

/* Hands up to BATCH packets to the kernel: how many it took, or -1. */
static int
send_batch(struct ipc_channel *ch)
{
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH][2];
	union control control[BATCH];
	unsigned i, n = ch->count < BATCH ? ch->count : BATCH;

	for (i = 0; i < n; i++) {
		struct ipc_queued *q = queue_at(ch, i);
		struct msghdr *h = &msgs[i].msg_hdr;
		struct view body = buf_view(&q->body);

		iov[i][0] = (struct iovec){ &q->header, sizeof(q->header) };
		iov[i][1] =
		    (struct iovec){ (void *)(uintptr_t)body.p, body.len };
		*h = (struct msghdr){ .msg_iov = iov[i],
			.msg_iovlen = body.len > 0 ? 2 : 1 };
		if (q->nhandles > 0) {
			size_t size = sizeof(int) * q->nhandles;
			struct cmsghdr *c = &control[i].align;

			memset(&control[i], 0, sizeof(control[i]));
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(size);
			memcpy(CMSG_DATA(c), q->handles, size);
			h->msg_control = &control[i];
			h->msg_controllen = CMSG_SPACE(size);
		}
	}
	return sendmmsg(ch->fd, msgs, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
send_failed(struct ipc_channel *ch)
{
	switch (errno) {
	case EAGAIN:
		ch->want_write = true;
		if (event_add(ch->ev_write, NULL) == 0)
			return;
		break;
	case ENOMEM:
	case ENOBUFS:
	case ETOOMANYREFS:
		loop_timer_set(ch->loop, &ch->retry, RETRY_MS);
		return;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		/* What the peer said before it died is read first. */
		stop_sending(ch);
		return;
	}
	log_error("ipc: %s[%llu]: cannot send: %s; channel closed",
	    ipc_role_name(ch->peer), (unsigned long long)ch->instance,
	    strerror(errno));
	stop_sending(ch);
	ipc_channel_fail_later(ch, PK_ESYS);
}

static void
channel_flush(void *arg)
{
	struct ipc_channel *ch = arg;
	int n;

	loop_defer_cancel(ch->loop, &ch->flush);
	while (ch->count > 0 && !ch->want_write &&
	    !loop_timer_is_set(&ch->retry)) {
		n = send_batch(ch);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			send_failed(ch);
			return;
		}
		while (n-- > 0)
			queue_drop_head(ch);
	}
}

static void
channel_writable(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_channel *ch = arg;

	(void)fd;
	(void)what;
	ch->want_write = false;
	channel_flush(ch);
}

void
ipc_flush(struct ipc_channel *ch)
{
	if (!ch->dead)
		channel_flush(ch);
}

void
ipc_flush_wait(struct ipc_channel *ch, unsigned timeout_ms)
{
	uint64_t now_ms = clock_mono_ms(), until_ms = now_ms + timeout_ms;
	struct pollfd p = { .fd = ch->fd, .events = POLLOUT };

	ipc_flush(ch);
	while (!ch->dead && ch->count > 0 && now_ms < until_ms) {
		/* With ENOBUFS there is room: it is memory that was short. */
		(void)poll(&p, 1, ch->want_write ? (int)(until_ms - now_ms) : 10);
		if (ch->want_write)
			event_del(ch->ev_write);
		ch->want_write = false;
		loop_timer_clear(ch->loop, &ch->retry);
		channel_flush(ch);
		now_ms = clock_mono_ms();
	}
}

int
ipc_reply_id(struct ipc_channel *ch, uint32_t id, struct ipc_out *o)
{
	o->id = id;
	o->flags |= IPC_FLAG_REPLY;
	return ipc_send(ch, o);
}

int
ipc_reply(struct ipc_channel *ch, const struct ipc_msg *m, struct ipc_out *o)
{
	return ipc_reply_id(ch, m->id, o);
}

/* ---- receiving ---- */

static void
rx_prepare(void)
{
	unsigned i;

	if (rx.bytes == NULL) {
		rx.bytes = xmalloc((size_t)BATCH * IPC_PACKET_MAX);
		for (i = 0; i < BATCH; i++) {
			rx.iov[i].iov_base =
			    rx.bytes + (size_t)i * IPC_PACKET_MAX;
			rx.iov[i].iov_len = IPC_PACKET_MAX;
			rx.msgs[i].msg_hdr.msg_iov = &rx.iov[i];
			rx.msgs[i].msg_hdr.msg_iovlen = 1;
			rx.msgs[i].msg_hdr.msg_control = &rx.control[i];
		}
		rx.used = BATCH;
	}
	for (i = 0; i < rx.used; i++) {
		rx.msgs[i].msg_hdr.msg_controllen = sizeof(rx.control[i]);
		rx.msgs[i].msg_hdr.msg_flags = 0;
	}
	rx.used = 0;
}

/* Every descriptor that came must be found here, or it leaks. */
static void
collect_handles(struct msghdr *h, struct ipc_msg *m)
{
	struct cmsghdr *c;
	size_t i, n;
	int fd;

	m->nhandles = 0;
	if (h->msg_controllen == 0)
		return;
	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->nhandles < IPC_HANDLES_MAX)
				m->handles[m->nhandles++] = fd;
			else
				close(fd);
		}
	}
}

static void
close_handles(struct ipc_msg *m)
{
	unsigned i;

	for (i = 0; i < m->nhandles; i++)
		fd_close(&m->handles[i]);
}

static int
check_hello(struct ipc_channel *ch, const struct ipc_msg *m)
{
	uint64_t version = 0, role = 0;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_VERSION, &version);
	ipc_get_u64(&in, IPC_F_ROLE, &role);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	/* Its own and the previous one, so that an upgrade goes role by role. */
	if (version != IPC_VERSION && version + 1 != IPC_VERSION)
		return PK_EUNSUPPORTED;
	return role == ch->peer ? 0 : PK_EPERM;
}

static int
take_leaving(struct ipc_channel *ch, const struct ipc_msg *m)
{
	struct ipc_in in;

	ipc_in_init(&in, m);
	ch->leaving = true;
	return ipc_in_end(&in);
}

void
ipc_leave(struct ipc_channel *ch)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_LEAVING);
	(void)ipc_send(ch, &o);
}

static void
deliver(struct ipc_channel *ch, struct ipc_msg *m)
{
	int error;

	if (!ch->hello_seen || m->type == IPC_HELLO) {
		if (ch->hello_seen || m->type != IPC_HELLO) {
			ipc_channel_violation(ch, "%s where %s expected",
			    ipc_type_name(m->type),
			    ch->hello_seen ? "no HELLO" : "HELLO");
			return;
		}
		error = check_hello(ch, m);
		if (error != 0)
			ipc_channel_violation(
			    ch, "HELLO: %s", pk_strerror(error));
		ch->hello_seen = true;
		return;
	}
	if ((m->flags & IPC_FLAG_REPLY) != 0)
		error = ipc_call_answered(ch, m);
	else if (m->type == IPC_LEAVING)
		error = take_leaving(ch, m);
	else if (ch->ops->message == NULL)
		error = PK_EPROTO;
	else
		error = ch->ops->message(ch, m, ch->arg);
	if (error != 0)
		ipc_channel_violation(
		    ch, "%s: %s", ipc_type_name(m->type), pk_strerror(error));
}

static void
check_packet(struct ipc_channel *ch, struct ipc_msg *m, const struct ipc_header *h,
    int msg_flags)
{
	const struct ipc_row *row = ipc_row(h->type);

	if ((msg_flags & MSG_TRUNC) != 0 || h->length != m->body.len)
		ipc_channel_violation(
		    ch, "%s: wrong length", ipc_type_name(h->type));
	else if (row == NULL)
		ipc_channel_violation(ch, "unknown message %u", h->type);
	else if (!ipc_row_allows(row, ch->peer, ch->self))
		ipc_channel_violation(ch, "%s is not its to say", row->name);
	else if (m->body.len > row->size_max)
		ipc_channel_violation(ch, "%s: %zu bytes, greatest is %u",
		    row->name, m->body.len, row->size_max);
	else if ((msg_flags & MSG_CTRUNC) != 0)
		/* Too many, or we have no descriptor left ourselves. */
		ipc_channel_violation(ch, "%s: handles lost", row->name);
	else if (m->nhandles > row->handles)
		ipc_channel_violation(ch, "%s: %u handles, greatest is %u",
		    row->name, m->nhandles, row->handles);
	else if ((h->flags & ~(IPC_FLAG_REPLY | IPC_FLAG_MORE)) != 0)
		ipc_channel_violation(ch, "%s: unknown flags", row->name);
	else
		deliver(ch, m);
}

static void
take_packet(struct ipc_channel *ch, unsigned i)
{
	struct mmsghdr *mm = &rx.msgs[i];
	const char *p = rx.iov[i].iov_base;
	struct ipc_header h;
	struct ipc_msg m;

	collect_handles(&mm->msg_hdr, &m);
	if (ch->dead) {
		close_handles(&m);
		return;
	}
	if (mm->msg_len < sizeof(h)) {
		if (mm->msg_len == 0)
			channel_close(ch, PK_EPEER);
		else
			ipc_channel_violation(
			    ch, "packet of %u bytes", mm->msg_len);
	} else {
		memcpy(&h, p, sizeof(h));
		m.type = h.type;
		m.flags = h.flags;
		m.id = h.id;
		m.body = view_of(p + sizeof(h), mm->msg_len - sizeof(h));
		check_packet(ch, &m, &h, mm->msg_hdr.msg_flags);
	}
	close_handles(&m);
}

/* The buffers serve all channels of the process: a password does not stay in one. */
static void
wipe_packet(unsigned i)
{
	size_t len = rx.msgs[i].msg_len;
	struct ipc_header h;

	if (len < sizeof(h))
		return;
	memcpy(&h, rx.iov[i].iov_base, sizeof(h));
	if (ipc_type_is_secret(h.type))
		explicit_bzero((char *)rx.iov[i].iov_base + sizeof(h), len - sizeof(h));
}

static void
channel_read(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_channel *ch = arg;
	unsigned i, n;
	int got;

	(void)fd;
	(void)what;
	rx_prepare();
	got = recvmmsg(
	    ch->fd, rx.msgs, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	ch->busy++;
	if (got == -1 && errno == ECONNRESET && !ch->reset_seen) {
		/* It died with words of ours unread; its own still wait. */
		ch->reset_seen = true;
	} else if (got == -1 && errno != EAGAIN && errno != EINTR) {
		channel_close(ch, PK_EPEER);
	}
	n = got > 0 ? (unsigned)got : 0;
	rx.used = n;
	for (i = 0; i < n; i++) {
		take_packet(ch, i);
		wipe_packet(i);
	}
	channel_release(ch);
}
