/* SPDX-License-Identifier: ISC */
/*
 * rig.c: qmgr's end and servers for the tests of `deliver`.
 */
#include "tests/unit/deliver/rig.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		fail_msg("line %u: %s", n->line, n->text);
}

static int
on_result(struct rig *r, struct ipc_msg *m)
{
	static const char *const names[] = { "sent", "deferred", "bounced",
		"back" };
	uint64_t job = 0, index = 0, state = 0, flags = 0, delay = 0;
	struct view dsn = VIEW_NONE, reply = VIEW_NONE, relay = VIEW_NONE;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &job);
	while (ipc_has(&in, IPC_F_INDEX)) {
		ipc_get_u64(&in, IPC_F_INDEX, &index);
		ipc_get_range(&in, IPC_F_STATE, 0, JOB_RESULTS - 1, &state);
		ipc_get_range(
		    &in, IPC_F_FLAGS, 0, JOB_RESULT_FLAGS_ALL, &flags);
		ipc_get_text(&in, IPC_F_DSN, 32, &dsn);
		ipc_get_text(&in, IPC_F_REPLY, JOB_REPLY_MAX, &reply);
		ipc_get_text(&in, IPC_F_RELAY, JOB_RELAY_MAX, &relay);
		buf_printf(&r->log, "%llu/%llu %s%s %.*s %.*s [%.*s]\n",
		    (unsigned long long)job, (unsigned long long)index,
		    names[state],
		    flags == 2     ? "+final" :
			flags == 1 ? "+dsn" :
				     "",
		    VIEW_ARG(dsn), VIEW_ARG(reply), VIEW_ARG(relay));
		r->results++;
	}
	ipc_get_u64(&in, IPC_F_DELAY_MS, &delay);
	ipc_get_u64(&in, IPC_F_DELAY_MS, &delay);
	assert_int_equal(ipc_in_end(&in), 0);
	if ((m->flags & IPC_FLAG_MORE) == 0)
		r->finished++;
	return 0;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct rig *r = arg;
	struct ipc_in in;

	(void)ch;
	switch (m->type) {
	case IPC_DELIVER_READY:
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_COUNT, &r->ready);
		return ipc_in_end(&in);
	case IPC_JOB_RESULT:
		return on_result(r, m);
	default:
		return r->other != NULL ? r->other(r, m) : PK_EPROTO;
	}
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct rig *r = arg;

	(void)ch;
	r->qmgr = NULL;
	fail_msg("channel closed: %s", pk_strerror(why));
}

static const struct ipc_channel_ops ops = { on_message, on_closed };

/* A role lives as long as its process; here it stays reachable instead of being a leak. */
static void **kept;
static size_t nkept;

static void
keep(void *p)
{
	kept = xreallocarray(kept, nkept + 1, sizeof(*kept));
	kept[nkept++] = p;
}

void
rig_init(struct rig *r, const struct deliver_role *role, const char *conf)
{
	int sv[2];

	memset(r, 0, sizeof(*r));
	r->conf = conf_load("test", view_str(conf), note, NULL);
	assert_non_null(r->conf);
	buf_init(&r->log, 1 << 20);
	deliver_init(&r->d, role);
	r->d.loop = loop_new();
	r->d.conf = r->conf;
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
	if (role->prepare != NULL)
		role->prepare(&r->d);
	deliver_attach(&r->d, 1, sv[0]);
	r->qmgr = ipc_channel_new(
	    r->d.loop, sv[1], IPC_ROLE_qmgr, role->role, 7, &ops, r);
	if (role->start != NULL)
		role->start(&r->d);
}

void
rig_fini(struct rig *r)
{
	ipc_channel_free(&r->qmgr);
	if (r->d.role->stop != NULL)
		r->d.role->stop(&r->d);
	loop_turn(r->d.loop, 0);
	ipc_channel_free(&r->d.qmgr);
	deliver_fini(&r->d);
	keep(r->d.ctx);
	/* Servers of the test still have their events on it. */
	keep(r->d.loop);
	conf_free(&r->conf);
	buf_fini(&r->log);
}

void
rig_wait(struct rig *r, unsigned n)
{
	uint64_t until = clock_mono_ms() + 10000;

	while (r->finished < n) {
		loop_turn(r->d.loop, 100);
		if (clock_mono_ms() > until)
			fail_msg("%u of %u jobs finished:\n%s", r->finished, n,
			    buf_cstr(&r->log));
	}
	/* What else this turn had to do. */
	loop_turn(r->d.loop, 0);
}

void
rig_send(struct rig *r, const struct rig_job *j)
{
	struct ipc_out o;
	struct buf env;
	unsigned i;

	buf_init(&env, 4096);
	envelope_put_text(&env, ENVELOPE_SENDER, view_str(j->sender));
	envelope_put_u64(&env, ENVELOPE_ARRIVAL_MS, 1700000000000);
	envelope_put_u64(&env, ENVELOPE_BODY, j->body);
	if (j->utf8)
		envelope_put_u64(&env, ENVELOPE_UTF8, 1);
	if (j->requiretls)
		envelope_put_u64(&env, ENVELOPE_REQUIRETLS, 1);
	ipc_out_init(&o, IPC_JOB);
	ipc_put_u64(&o, IPC_F_JOB, ++r->jobs);
	ipc_put_u64(&o, IPC_F_MESSAGE, j->message != 0 ? j->message : r->jobs);
	ipc_put_str(&o, IPC_F_TRANSPORT, ipc_role_name(r->d.role->role));
	ipc_put_str(&o, IPC_F_NEXTHOP, j->nexthop);
	ipc_put_u64(&o, IPC_F_ATTEMPT, 0);
	ipc_put_u64(&o, IPC_F_TIME_MS,
	    j->arrival_ms != 0 ? j->arrival_ms : clock_wall_ms() + 1000);
	ipc_put_u64(&o, IPC_F_SIZE, j->content.len);
	ipc_put_bytes(&o, IPC_F_ENVELOPE, buf_view(&env));
	buf_fini(&env);
	for (i = 0; i < NELEMS(j->rcpts) && j->rcpts[i] != NULL; i++) {
		ipc_put_u64(&o, IPC_F_INDEX, i);
		ipc_put_str(&o, IPC_F_RECIPIENT, j->rcpts[i]);
		ipc_put_str(&o, IPC_F_ORCPT, j->orcpt);
		ipc_put_u64(&o, IPC_F_NOTIFY, j->notify);
		if (j->path != NULL) {
			ipc_put_str(&o, IPC_F_PATH, j->path);
			ipc_put_u64(&o, IPC_F_QUOTA, j->quota);
		}
	}
	if (j->data.p != NULL)
		ipc_put_bytes(&o, IPC_F_DATA, j->data);
	ipc_put_str(&o, IPC_F_HEADER, j->header);
	if (j->memfd) {
		ipc_put_handle(&o, fd_sealed_memfd("content", j->content));
		o.close_handles = true;
	} else {
		ipc_put_bytes(&o, IPC_F_CONTENT, j->content);
	}
	assert_int_equal(ipc_send(r->qmgr, &o), 0);
}

/* ---- servers ---- */

struct peer {
	struct rig_server *s;
	int		fd;
	struct event	*event;
	struct buf	in;
	bool		data;
	size_t		rcpts;
	size_t		chunk;		/* bytes of a BDAT to come */
};

static void
peer_free(struct peer *p)
{
	event_free(p->event);
	close(p->fd);
	buf_fini(&p->in);
	p->s->open--;
	xfree(p);
}

static void
say(struct peer *p, const char *text)
{
	ssize_t n = send(p->fd, text, strlen(text), MSG_NOSIGNAL);

	(void)n;
}

/* false: the peer is gone */
static bool
message_end(struct peer *p)
{
	size_t i;

	if (p->s->queued == NULL) {
		p->s->messages++;
		return false;
	}
	if (p->s->queued[0] == '2')
		p->s->messages++;
	for (i = 0; i < (p->s->lmtp ? p->rcpts : 1); i++)
		say(p, p->s->queued);
	p->rcpts = 0;
	return !p->s->close_after;
}

/* false: the peer is gone */
static bool
command(struct peer *p, struct view line)
{
	struct rig_server *s = p->s;
	size_t i;

	buf_put_view(&s->commands, line);
	for (i = 0; i < NELEMS(s->special) && s->special[i][0] != NULL; i++) {
		if (!view_starts(line, view_str(s->special[i][0])))
			continue;
		if (s->special[i][1] == NULL)
			return false;
		say(p, s->special[i][1]);
		return view_starts(view_str(s->special[i][1]), VIEW("421")) ?
		    false :
		    true;
	}
	if (view_starts(line, VIEW("EHLO")) ||
	    view_starts(line, VIEW("LHLO"))) {
		say(p, s->ehlo);
	} else if (view_starts(line, VIEW("DATA"))) {
		p->data = true;
		say(p, "354 go\r\n");
	} else if (view_starts(line, VIEW("BDAT "))) {
		struct view size = view_from(line, 5), digits = VIEW_NONE;
		uint64_t n = 0;

		view_next(&size, " \r\n", &digits);
		assert_int_equal(num_parse_u64(digits, 1, 1 << 24, &n), 0);
		p->chunk = (size_t)n;
	} else if (view_starts(line, VIEW("QUIT"))) {
		say(p, "221 bye\r\n");
		return false;
	} else {
		if (view_starts(line, VIEW("RCPT"))) {
			p->rcpts++;
			s->rcpts++;
		} else if (view_starts(line, VIEW("MAIL"))) {
			p->rcpts = 0;
		}
		say(p, "250 ok\r\n");
	}
	return true;
}

static bool
lines(struct peer *p)
{
	struct view v, line;
	ptrdiff_t nl;
	size_t n;

	for (;;) {
		v = buf_view(&p->in);
		if (p->chunk > 0) {
			n = v.len < p->chunk ? v.len : p->chunk;
			buf_put_view(&p->s->data, view_head(v, n));
			buf_consume(&p->in, n);
			p->chunk -= n;
			if (p->chunk > 0)
				return true;
			if (!message_end(p))
				return false;
			continue;
		}
		nl = view_find(v, '\n');
		if (nl < 0)
			return true;
		line = view_head(v, (size_t)nl + 1);
		if (!p->data) {
			if (!command(p, line))
				return false;
		} else if (view_eq(line, VIEW(".\r\n"))) {
			p->data = false;
			if (!message_end(p))
				return false;
		} else {
			buf_put_view(&p->s->data, line);
		}
		buf_consume(&p->in, (size_t)nl + 1);
	}
}

static void
on_peer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	char *room = buf_room(&p->in, 65536);
	ssize_t n = read(fd, room, 65536);

	(void)what;
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		peer_free(p);
		return;
	}
	buf_added(&p->in, (size_t)n);
	if (!lines(p))
		peer_free(p);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct rig_server *s = arg;
	struct peer *p;
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (c == -1)
		return;
	p = XNEW(struct peer);
	keep(p);
	p->s = s;
	p->fd = c;
	buf_init(&p->in, 1 << 24);
	p->event =
	    event_new(loop_base(s->loop), c, EV_READ | EV_PERSIST, on_peer, p);
	event_add(p->event, NULL);
	s->connections++;
	s->open++;
	say(p, s->greeting);
}

void
rig_server_init(struct rig_server *s, struct loop *l, bool is_unix)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sin);

	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->greeting = "220 server.test ESMTP\r\n";
	s->queued = "250 2.0.0 queued\r\n";
	s->ehlo = "250-server.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
	buf_init(&s->data, 1 << 26);
	buf_init(&s->commands, 1 << 24);
	s->fd = socket(is_unix ? AF_UNIX : AF_INET,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (is_unix) {
		snprintf(s->path, sizeof(s->path), "/tmp/pk-rig-%ld.sock",
		    (long)getpid());
		unlink(s->path);
		memcpy(sun.sun_path, s->path, strlen(s->path) + 1);
		assert_int_equal(
		    bind(s->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	} else {
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(
		    bind(s->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
		getsockname(s->fd, (struct sockaddr *)&sin, &len);
		s->port = ntohs(sin.sin_port);
	}
	assert_int_equal(listen(s->fd, 1000), 0);
	s->event =
	    event_new(loop_base(l), s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->event, NULL);
}

void
rig_server_fini(struct rig_server *s)
{
	event_free(s->event);
	close(s->fd);
	if (s->path[0] != '\0')
		unlink(s->path);
	buf_fini(&s->data);
	buf_fini(&s->commands);
}
