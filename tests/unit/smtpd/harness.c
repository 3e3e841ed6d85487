/* SPDX-License-Identifier: ISC */
#include "tests/unit/smtpd/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail/address.h"
#include "sys/fd.h"

#define KEY	42

/* Turns without a word from the server until we believe it is silent. */
#define QUIET_TURNS	12

static struct harness *harness;		/* the backend's; one at a time */

/* ---- qmgr ---- */

struct later {
	struct loop_deferred deferred;
	enum record_segment_kind kind;
};

static void
give(void *arg)
{
	struct later *l = arg;
	struct harness *h = harness;
	char path[] = "/tmp/smtpd-test.XXXXXX";
	struct segment_header head;
	unsigned n;
	int fd;

	assert_true(h->nsegments + 1 < HARNESS_SEGMENTS);
	n = ++h->nsegments;
	h->segments[n] = mkstemp(path);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(h->segments[n] >= 0 && fd >= 0);
	unlink(path);
	segment_header_init(&head, l->kind, n, KEY, 1, 1);
	assert_int_equal(fd_write_all(h->segments[n], &head, sizeof(head)), 0);
	segment_writer_give(h->writer, l->kind, n, KEY, h->segment_size, fd,
	    l->kind == SEGMENT_DEDICATED ? dup(h->segments[n]) : -1);
	xfree(l);
}

static void
want(void *arg, enum record_segment_kind kind, uint64_t hint)
{
	struct harness *h = arg;
	struct later *l;

	(void)hint;
	if (h->no_segments)
		return;
	l = XNEW(struct later);
	l->kind = kind;
	l->deferred = (struct loop_deferred){ .fn = give, .arg = l };
	loop_defer(h->loop, &l->deferred);
}

static void
durable(void *arg, uint64_t segment, uint64_t offset)
{
	((struct harness *)arg)->durable[segment] = offset;
}

static void
seal(void *arg, uint64_t segment, uint64_t offset)
{
	(void)arg;
	(void)segment;
	(void)offset;
}

static const struct segment_writer_ops writer_ops = { want, durable, seal };

/* ---- lookupd and dnsd ---- */

struct question {
	struct loop_deferred deferred;
	uint64_t	id;
	bool		cancelled;
	char		address[RECORD_ADDRESS_MAX];
	enum dns_type	type;
	backend_route_fn route;
	backend_access_fn access;
	dns_lookup_fn	dns;
	void		*arg;
	TAILQ_ENTRY(question) link;
};
static TAILQ_HEAD(, question) questions = TAILQ_HEAD_INITIALIZER(questions);
static uint64_t next_id;

static void
question_free(struct question *q)
{
	TAILQ_REMOVE(&questions, q, link);
	loop_defer_cancel(harness->loop, &q->deferred);
	xfree(q);
}

static void
judge(struct view address, struct route_answer *a)
{
	ptrdiff_t at = view_rfind(address, '@');
	struct view domain = view_from(address, (size_t)at + 1);
	struct view local = view_head(address, (size_t)at);

	*a = (struct route_answer){ .class = ROUTE_CLASS_DEFAULT, .verdict = ROUTE_KNOWN,
	    .dsn = VIEW(""), .text = VIEW("") };
	if (view_caseeq(domain, VIEW("relay.test")))
		a->class = ROUTE_CLASS_RELAY;
	if (!view_caseeq(domain, VIEW("example.test")))
		return;
	a->class = ROUTE_CLASS_VIRTUAL_MAILBOX;
	if (view_eq(local, VIEW("tempfail")))
		a->verdict = ROUTE_TEMPFAIL;
	else if (!view_eq(local, VIEW("alice")) && !view_eq(local, VIEW("bob")) &&
	    !view_caseeq(local, VIEW("postmaster")) && !view_starts(local, VIEW("user")))
		a->verdict = ROUTE_UNKNOWN;
}

static void
answer_dns(const struct question *q)
{
	struct domain_literal client = { DOMAIN_INET4, { 192, 0, 2, 1 } };
	const char *names[] = { "client.exists.test" };
	struct dns_mx mx = { 10, "mx.exists.test" };
	struct dns_answer a = { .error = PK_ENOENT, .type = (uint16_t)q->type };

	if (q->type == DNS_TYPE_PTR && strcmp(q->address, "1.2.0.192.in-addr.arpa") == 0)
		a.names = names;
	else if (q->type == DNS_TYPE_A && strcmp(q->address, "client.exists.test") == 0)
		a.addresses = &client;
	else if (q->type == DNS_TYPE_MX && strcmp(q->address, "exists.test") == 0)
		a.mx = &mx;
	else if (strcmp(q->address, "unsure.test") == 0)
		a.error = PK_ETEMP;
	if (a.names != NULL || a.addresses != NULL || a.mx != NULL) {
		a.error = 0;
		a.count = 1;
	}
	q->dns(&a, q->arg);
}

static struct view
braces_off(struct view v)
{
	return v.len > 1 && v.p[0] == '{' ? view_of(v.p + 1, v.len - 2) : v;
}

static void
answer(void *arg)
{
	struct question q = *(struct question *)arg;
	struct route_answer a;

	question_free(arg);
	if (q.route != NULL) {
		judge(view_str(q.address), &a);
		q.route(&a, q.arg);
	} else if (q.access != NULL) {
		if (strncmp(q.address, "inline:", 7) == 0)
			q.access(0, braces_off(view_str(q.address + 7)), q.arg);
		else
			q.access(PK_ENOENT, VIEW(""), q.arg);
	} else {
		answer_dns(&q);
	}
}

static struct question *
ask(struct view v, void *arg)
{
	struct question *q = XNEW(struct question);

	harness->lookups++;
	v = view_head(v, sizeof(q->address) - 1);
	memcpy(q->address, v.p, v.len);
	q->id = ++next_id;
	q->arg = arg;
	q->deferred = (struct loop_deferred){ .fn = answer, .arg = q };
	loop_defer(harness->loop, &q->deferred);
	TAILQ_INSERT_TAIL(&questions, q, link);
	return q;
}

static uint64_t
fake_route(struct worker *w, struct view address, struct view sender, unsigned flags,
    backend_route_fn fn, void *arg)
{
	struct question *q = ask(address, arg);

	(void)w;
	(void)sender;
	(void)flags;
	q->route = fn;
	return q->id;
}

/* The table's name is the answer: inline:REJECT, inline:{REJECT text}. */
static uint64_t
fake_access(struct worker *w, struct view table, struct view query, enum access_kind kind,
    backend_access_fn fn, void *arg)
{
	struct question *q = ask(table, arg);

	(void)w;
	(void)query;
	(void)kind;
	q->access = fn;
	return q->id;
}

static void
fake_cancel(struct worker *w, uint64_t id)
{
	struct question *q;

	(void)w;
	TAILQ_FOREACH(q, &questions, link) {
		if (q->id == id) {
			question_free(q);
			return;
		}
	}
}

static struct dns_call *
fake_dns(struct worker *w, struct view name, enum dns_type type, dns_lookup_fn fn, void *arg)
{
	struct question *q = ask(name, arg);

	(void)w;
	q->type = type;
	q->dns = fn;
	return (struct dns_call *)(void *)q;
}

static void
fake_dns_cancel(struct worker *w, struct dns_call **call)
{
	(void)w;
	question_free((struct question *)(void *)*call);
	*call = NULL;
}

/* ---- authd ---- */

struct auth_conversation {
	struct loop_deferred deferred;
	char		mechanism[AUTH_MECHANISM_MAX + 1];
	unsigned	turns;
	bool		has_initial;
	char		said[2][200];
	auth_step_fn	fn;
	void		*arg;
};

static void
auth_say(struct auth_conversation *c, enum auth_state state, const char *data)
{
	static const char ticket[AUTH_TICKET_SIZE] = "ticket";
	struct auth_step step = { .state = state };
	struct auth_conversation own = *c;

	if (state == AUTH_CHALLENGE) {
		step.data = view_str(data);
	} else {
		step.login = view_str(data);
		step.data = view_of(ticket, sizeof(ticket));
		step.dsn = state == AUTH_TEMPORARY ? VIEW("4.7.0") : VIEW("5.7.8");
		step.text = state == AUTH_TEMPORARY ? VIEW("Temporary authentication failure") :
		    VIEW("Error: authentication failed: authentication failure");
		harness->conversations--;
		xfree(c);
	}
	own.fn(&step, own.arg);
}

static void
auth_judge(struct auth_conversation *c, const char *user, const char *password)
{
	if (strcmp(user, "later") == 0)
		auth_say(c, AUTH_TEMPORARY, "");
	else if (strcmp(user, "alice") == 0 && strcmp(password, "secret") == 0)
		auth_say(c, AUTH_SUCCESS, "alice@example.test");
	else if (strcmp(user, "bob") == 0 && strcmp(password, "secret") == 0)
		auth_say(c, AUTH_SUCCESS, "bob@example.test");
	else
		auth_say(c, AUTH_FAILURE, "");
}

/* authzid NUL user NUL password, here as strings one behind the other. */
static void
auth_plain(struct auth_conversation *c)
{
	const char *user = c->said[0] + strlen(c->said[0]) + 1;

	auth_judge(c, user, user + strlen(user) + 1);
}

static void
auth_answer(void *arg)
{
	struct auth_conversation *c = arg;
	unsigned given = c->turns;

	if (harness->authd_dies) {
		struct auth_step step = { .error = PK_EPEER };
		struct auth_conversation own = *c;

		harness->conversations--;
		xfree(c);
		own.fn(&step, own.arg);
	} else if (strcmp(c->mechanism, "PLAIN") == 0) {
		if (given == 0)
			auth_say(c, AUTH_CHALLENGE, "");
		else
			auth_plain(c);
	} else if (given < 2) {
		auth_say(c, AUTH_CHALLENGE, given == 0 ? "Username:" : "Password:");
	} else {
		auth_judge(c, c->said[0], c->said[1]);
	}
}

static void
auth_take(struct auth_conversation *c, struct view v)
{
	v = view_head(v, sizeof(c->said[0]) - 3);
	if (c->turns < 2 && v.len > 0)
		memcpy(c->said[c->turns], v.p, v.len);
	c->turns++;
}

static struct auth_conversation *
fake_auth_begin(struct worker *w, const struct auth_question *q, auth_step_fn fn, void *arg)
{
	struct auth_conversation *c;

	(void)w;
	if (harness->no_authd)
		return NULL;
	c = XNEW(struct auth_conversation);
	harness->conversations++;
	memcpy(c->mechanism, q->mechanism.p, q->mechanism.len);
	c->fn = fn;
	c->arg = arg;
	if (q->has_initial)
		auth_take(c, q->initial);
	c->deferred = (struct loop_deferred){ .fn = auth_answer, .arg = c };
	if (!harness->authd_silent)
		loop_defer(harness->loop, &c->deferred);
	return c;
}

static void
fake_auth_more(struct worker *w, struct auth_conversation *c, struct view response)
{
	(void)w;
	auth_take(c, response);
	if (!harness->authd_silent)
		loop_defer(harness->loop, &c->deferred);
}

static void
fake_auth_cancel(struct worker *w, struct auth_conversation **c)
{
	(void)w;
	loop_defer_cancel(harness->loop, &(*c)->deferred);
	harness->conversations--;
	xfree(*c);
	*c = NULL;
}

static const struct backend fake = {
	fake_route, fake_access, fake_cancel, fake_dns, fake_dns_cancel, fake_auth_begin,
	fake_auth_more, fake_auth_cancel,
};

/* ---- the server ---- */

static const char base_conf[] =
    "myhostname = mx.example.test\n"
    "mynetworks = 127.0.0.0/8\n"
    "smtpd_error_sleep_time = 0\n"
    "smtpd_lookup_cache_time = 0\n";

static void
complain(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		fail_msg("configuration: %s", n->text);
}

void
harness_listener(struct harness *h, const char *name, enum child_listener_class class)
{
	policy_unref(&h->policy);
	h->policy = policy_new(h->set, name, class, NULL);
}

void
harness_init(struct harness *h, const char *conf)
{
	struct conf *c;
	struct buf text;

	memset(h, 0, sizeof(*h));
	harness = h;
	h->fd = -1;
	h->segment_size = 4 << 20;
	buf_init(&h->replies, 4 << 20);
	buf_init(&text, 65536);
	buf_put_str(&text, base_conf);
	buf_put_str(&text, conf);
	c = conf_load("test", buf_view(&text), complain, NULL);
	assert_non_null(c);
	buf_fini(&text);
	h->loop = loop_new();
	h->writer = segment_writer_new(h->loop, &writer_ops, h);
	h->worker = worker_new(h->loop, h->writer);
	h->worker->backend = &fake;
	h->worker->limits = client_limits_map(-1, 0);
	assert_non_null(h->worker->limits);
	h->set = policy_set_new(c);
	harness_listener(h, "smtp", CHILD_LISTENER_MX);
	auth_mechanisms_add(&h->worker->mechanisms, VIEW("PLAIN"), AUTH_MECHANISM_PLAINTEXT);
	auth_mechanisms_add(&h->worker->mechanisms, VIEW("LOGIN"), AUTH_MECHANISM_PLAINTEXT);
	auth_mechanisms_add(&h->worker->mechanisms, VIEW("SCRAM-SHA-256"), 0);
	auth_mechanisms_add(&h->worker->mechanisms, VIEW("SCRAM-SHA-256-PLUS"),
	    AUTH_MECHANISM_BINDING);
	auth_mechanisms_add(&h->worker->mechanisms, VIEW("EXTERNAL"), AUTH_MECHANISM_EXTERNAL);
	conf_free(&c);
	segment_writer_reconnected(h->writer);
}

void
harness_fini(struct harness *h)
{
	unsigned i;

	harness_hang_up(h);
	for (i = 0; i < 3000 && (h->worker->nsessions > 0 || !segment_writer_idle(h->writer)); i++)
		loop_turn(h->loop, 1);
	assert_int_equal(h->worker->nsessions, 0);
	assert_int_equal(h->worker->content_bytes, 0);
	assert_int_equal(h->conversations, 0);
	worker_free(&h->worker);
	policy_unref(&h->policy);
	policy_set_unref(&h->set);
	segment_writer_free(&h->writer);
	loop_free(&h->loop);
	for (i = 1; i <= h->nsegments; i++)
		close(h->segments[i]);
	buf_fini(&h->replies);
}

void
harness_connect(struct harness *h, const char *address)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr *sa = (struct sockaddr *)&sin;
	struct sockaddr local = { .sa_family = AF_UNIX };
	int sv[2];

	harness_hang_up(h);
	if (strcmp(address, HARNESS_LOCAL) == 0) {
		sa = &local;
	} else if (inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
		assert_int_equal(inet_pton(AF_INET6, address, &sin6.sin6_addr), 1);
		sa = (struct sockaddr *)&sin6;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	h->fd = sv[1];
	session_new(h->worker, h->policy, sv[0], sa);
	harness_drain(h);
}

const char *
harness_drain(struct harness *h)
{
	unsigned quiet = 0, waits = 0;
	char *to;
	ssize_t n;

	buf_reset(&h->replies);
	while (quiet < QUIET_TURNS) {
		/* An open stream is never idle: it gets some turns more. */
		bool busy = !segment_writer_idle(h->writer) && ++waits < 100;

		loop_turn(h->loop, busy ? 5 : 0);
		to = buf_room(&h->replies, 65536);
		assert_non_null(to);
		n = h->fd != -1 ? recv(h->fd, to, 65536, MSG_DONTWAIT) : 0;
		if (n > 0) {
			buf_added(&h->replies, (size_t)n);
			waits = 0;
		}
		quiet = n > 0 || busy ? 0 : quiet + 1;
	}
	return buf_cstr(&h->replies);
}

void
harness_push(struct harness *h, struct view bytes)
{
	ssize_t n;

	while (bytes.len > 0) {
		n = send(h->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN) {
			loop_turn(h->loop, 1);
			continue;
		}
		if (n <= 0)
			return;
		bytes = view_from(bytes, (size_t)n);
	}
}

const char *
harness_send(struct harness *h, struct view bytes)
{
	harness_push(h, bytes);
	return harness_drain(h);
}

const char *
harness_say(struct harness *h, const char *text)
{
	return harness_send(h, view_str(text));
}

void
harness_hang_up(struct harness *h)
{
	if (h->fd == -1)
		return;
	close(h->fd);
	h->fd = -1;
	harness_drain(h);
}

bool
harness_closed(struct harness *h)
{
	char byte;

	return recv(h->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* ---- the queue ---- */

static unsigned
walk(const char *bytes, size_t len, unsigned segment,
    void (*fn)(const struct harness_message *m, void *arg), void *arg)
{
	const struct segment_header *sh = (const void *)bytes;
	struct harness_message m;
	struct record_trailer tail;
	struct record_header h;
	uint64_t offset = sizeof(*sh);
	unsigned n = 0;

	assert_int_equal(segment_header_check(sh, segment), 0);
	if (sh->kind == SEGMENT_DEDICATED) {
		if (len < sizeof(*sh) + sizeof(h) + sizeof(tail))
			return 0;
		memcpy(&tail, bytes + len - sizeof(tail), sizeof(tail));
		offset = tail.record_offset;
	}
	while (offset < len) {
		memcpy(&h, bytes + offset, sizeof(h));
		assert_int_equal(record_header_check(&h, KEY, sh->kind, offset, len), 0);
		assert_int_equal(record_envelope_read(view_of(bytes + offset + sizeof(h),
		    h.envelope_bytes), &m.envelope), 0);
		m.header = view_of(bytes + offset + sizeof(h) + h.envelope_bytes, h.header_bytes);
		m.content = view_of(bytes + h.content_offset, h.content_bytes);
		assert_true(record_check(KEY, m.content) == h.content_check);
		m.id = h.message;
		if (fn != NULL)
			fn(&m, arg);
		n++;
		offset += h.total_bytes;
	}
	return n;
}

unsigned
harness_messages(struct harness *h, void (*fn)(const struct harness_message *m, void *arg),
    void *arg)
{
	unsigned i, n = 0;
	char *bytes;

	for (i = 1; i <= h->nsegments; i++) {
		if (h->durable[i] == 0)
			continue;
		bytes = xmalloc(h->durable[i]);
		assert_int_equal(fd_pread_all(h->segments[i], bytes, h->durable[i], 0), 0);
		n += walk(bytes, h->durable[i], i, fn, arg);
		xfree(bytes);
	}
	return n;
}
