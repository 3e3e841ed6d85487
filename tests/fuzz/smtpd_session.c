/* SPDX-License-Identifier: ISC */
/*
 * smtpd_session.c: whole SMTP dialogues from the client's side.
 *
 * The first byte says in how large pieces the rest is sent. lookupd and dnsd
 * answer something after a turn; qmgr never gives a segment, so the end of
 * every message is the error path of the queue writer.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/worker.h"

struct question {
	struct loop_deferred deferred;
	uint64_t	id;
	backend_route_fn route;
	backend_access_fn access;
	dns_lookup_fn	dns;
	void		*arg;
	TAILQ_ENTRY(question) link;
};
static TAILQ_HEAD(, question) questions = TAILQ_HEAD_INITIALIZER(questions);

static struct loop *loop;
static struct segment_writer *writer;
static struct worker *worker;
static struct policy *policy;
static uint64_t ids;

static void
forget(struct question *q)
{
	TAILQ_REMOVE(&questions, q, link);
	loop_defer_cancel(loop, &q->deferred);
	xfree(q);
}

static void
answer(void *arg)
{
	struct question q = *(struct question *)arg;
	struct route_answer route = { 0, (enum route_class)(q.id % ROUTE_CLASSES),
	    (enum route_verdict)(q.id % ROUTE_VERDICTS), VIEW("5.1.1"), VIEW("text") };
	struct dns_answer dns = { .error = q.id % 2 ? PK_ENOENT : PK_ETEMP };

	forget(arg);
	if (q.route != NULL)
		q.route(&route, q.arg);
	else if (q.access != NULL)
		q.access(q.id % 3 ? PK_ENOENT : 0, VIEW("DEFER_IF_PERMIT"), q.arg);
	else
		q.dns(&dns, q.arg);
}

static struct question *
ask(void *arg)
{
	struct question *q = XNEW(struct question);

	q->id = ++ids;
	q->arg = arg;
	q->deferred = (struct loop_deferred){ .fn = answer, .arg = q };
	loop_defer(loop, &q->deferred);
	TAILQ_INSERT_TAIL(&questions, q, link);
	return q;
}

static uint64_t
ask_route(struct worker *w, struct view a, struct view s, unsigned flags, backend_route_fn fn,
    void *arg)
{
	struct question *q = ask(arg);

	(void)w;
	(void)a;
	(void)s;
	(void)flags;
	q->route = fn;
	return q->id;
}

static uint64_t
ask_access(struct worker *w, struct view t, struct view k, enum access_kind kind,
    backend_access_fn fn, void *arg)
{
	struct question *q = ask(arg);

	(void)w;
	(void)t;
	(void)k;
	(void)kind;
	q->access = fn;
	return q->id;
}

static void
cancel(struct worker *w, uint64_t id)
{
	struct question *q;

	(void)w;
	TAILQ_FOREACH(q, &questions, link) {
		if (q->id == id) {
			forget(q);
			return;
		}
	}
}

static struct dns_call *
ask_dns(struct worker *w, struct view name, enum dns_type type, dns_lookup_fn fn, void *arg)
{
	struct question *q = ask(arg);

	(void)w;
	(void)name;
	(void)type;
	q->dns = fn;
	return (struct dns_call *)(void *)q;
}

static void
cancel_dns(struct worker *w, struct dns_call **call)
{
	(void)w;
	forget((struct question *)(void *)*call);
	*call = NULL;
}

/* authd: a challenge, a success or a failure, as the number of the question says. */
struct auth_conversation {
	struct loop_deferred deferred;
	auth_step_fn	fn;
	void		*arg;
};
static unsigned conversations;

static void
auth_answer(void *arg)
{
	static const char ticket[AUTH_TICKET_SIZE];
	struct auth_conversation *c = arg, own = *c;
	struct auth_step step = { .state = (enum auth_state)(++ids % AUTH_STATES),
	    .data = VIEW("challenge"), .login = VIEW("a@example.test"), .dsn = VIEW("5.7.8"),
	    .text = VIEW("no") };

	if (step.state == AUTH_SUCCESS)
		step.data = view_of(ticket, sizeof(ticket));
	if (ids % 11 == 0)
		step.error = PK_EPEER;
	if (step.error != 0 || step.state != AUTH_CHALLENGE) {
		conversations--;
		xfree(c);
	}
	own.fn(&step, own.arg);
}

static struct auth_conversation *
auth_begin(struct worker *w, const struct auth_question *q, auth_step_fn fn, void *arg)
{
	struct auth_conversation *c;

	(void)w;
	(void)q;
	if (++ids % 13 == 0)
		return NULL;
	c = XNEW(struct auth_conversation);
	conversations++;
	c->fn = fn;
	c->arg = arg;
	c->deferred = (struct loop_deferred){ .fn = auth_answer, .arg = c };
	loop_defer(loop, &c->deferred);
	return c;
}

static void
auth_more(struct worker *w, struct auth_conversation *c, struct view response)
{
	(void)w;
	(void)response;
	loop_defer(loop, &c->deferred);
}

static void
auth_end(struct worker *w, struct auth_conversation **c)
{
	(void)w;
	loop_defer_cancel(loop, &(*c)->deferred);
	conversations--;
	xfree(*c);
	*c = NULL;
}

static const struct backend backend = { ask_route, ask_access, cancel, ask_dns, cancel_dns,
    auth_begin, auth_more, auth_end };

static void
want(void *arg, enum record_segment_kind kind, uint64_t hint)
{
	(void)arg;
	(void)kind;
	(void)hint;
}

static void
nothing(void *arg, uint64_t segment, uint64_t offset)
{
	(void)arg;
	(void)segment;
	(void)offset;
}

static const struct segment_writer_ops ops = { want, nothing, nothing };

static void
set_up(void)
{
	static const char text[] = "mynetworks = 127.0.0.1\nsmtpd_error_sleep_time = 0\n"
	    "smtpd_hard_error_limit = 1000\nmessage_size_limit = 200000\n"
	    "smtpd_client_connection_count_limit = 0\n"
	    "smtpd_helo_restrictions = reject_invalid_helo_hostname\n"
	    "smtpd_sender_restrictions = reject_unknown_sender_domain,"
	    " check_sender_access inline:{a=b}\n"
	    "smtpd_data_restrictions = reject_unauth_pipelining\n"
	    "smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no\n"
	    "smtpd_sasl_response_limit = 600\nsmtpd_sasl_authenticated_header = yes\n"
	    "smtpd_forbid_unauth_pipelining = no\nsmtpd_binarymime = yes\n";
	struct policy_set *set;
	struct conf *conf;

	log_set_level(LOG_LVL_FATAL);
	conf = conf_load("fuzz", view_str(text), NULL, NULL);
	if (conf == NULL)
		abort();
	loop = loop_new();
	writer = segment_writer_new(loop, &ops, NULL);
	worker = worker_new(loop, writer);
	worker->backend = &backend;
	worker->limits = client_limits_map(-1, 0);
	set = policy_set_new(conf);
	policy = policy_new(set, "smtp", CHILD_LISTENER_MX, NULL);
	policy_set_unref(&set);
	auth_mechanisms_add(&worker->mechanisms, VIEW("PLAIN"), AUTH_MECHANISM_PLAINTEXT);
	auth_mechanisms_add(&worker->mechanisms, VIEW("LOGIN"), AUTH_MECHANISM_PLAINTEXT);
	conf_free(&conf);
}

static void
refuse(void)
{
	segment_writer_refused(writer, SEGMENT_SHARED, PK_ENOSPC);
	segment_writer_refused(writer, SEGMENT_DEDICATED, PK_ENOSPC);
}

static void
turns(int fd)
{
	char bin[4096];
	int i;

	for (i = 0; i < 4; i++) {
		loop_turn(loop, 0);
		refuse();
		while (fd != -1 && recv(fd, bin, sizeof(bin), MSG_DONTWAIT) > 0)
			;
	}
}

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };
	size_t piece, n, i;
	int sv[2];

	if (loop == NULL)
		set_up();
	if (size < 2 || size > 100000)
		return 0;
	piece = data[0] < 128 ? (size_t)data[0] + 1 : 16384;
	peer.sin_addr.s_addr = htonl(data[1] & 1 ? 0x7f000001 : 0xc0000201);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == -1)
		abort();
	session_new(worker, policy, sv[0], (struct sockaddr *)&peer);
	turns(sv[1]);
	for (i = 2; i < size; i += n) {
		n = size - i < piece ? size - i : piece;
		if (send(sv[1], data + i, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
			break;
		turns(sv[1]);
	}
	close(sv[1]);
	for (i = 0; i < 1000 && worker->nsessions > 0; i++)
		turns(-1);
	/* Every session ends, and gives back what it had. */
	if (worker->nsessions > 0 || worker->content_bytes > 0 || !TAILQ_EMPTY(&questions) ||
	    conversations > 0)
		abort();
	return 0;
}
