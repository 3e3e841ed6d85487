/* SPDX-License-Identifier: ISC */
/*
 * backend_ipc.c: questions to lookupd and dnsd.
 *
 * Runs in smtpd. Both are siblings that may have been taken over: answers are
 * taken apart field by field, and one that does not fit closes the channel
 * and counts as none.
 */
#include "smtpd/backend_ipc.h"

#include "base/error.h"
#include "base/mem.h"
#include "sys/stats.h"

/* Longer than a slow table, shorter than a client's patience. */
#define LOOKUP_TIMEOUT_MS	20000
#define TEXT_MAX		4000

struct question {
	uint64_t	 call;
	union {
		backend_route_fn route;
		backend_access_fn access;
	} fn;
	void		*arg;
	TAILQ_ENTRY(question) link;
};
static TAILQ_HEAD(, question) open_questions = TAILQ_HEAD_INITIALIZER(open_questions);

static struct question *
question_new(void *arg)
{
	struct question *q = XNEW(struct question);

	q->arg = arg;
	TAILQ_INSERT_TAIL(&open_questions, q, link);
	stats_add(STATS_C_lookup_requests, 1);
	return q;
}

static void
question_free(struct question *q)
{
	TAILQ_REMOVE(&open_questions, q, link);
	xfree(q);
}

static int
decode_route(struct ipc_msg *m, struct route_answer *a)
{
	uint64_t code = 0, class = 0, state = 0;
	struct ipc_in in;

	if (m->type != IPC_ROUTE_CHECK_ANSWER)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 0, 1000, &code);
	ipc_get_range(&in, IPC_F_CLASS, 0, ROUTE_CLASSES - 1, &class);
	ipc_get_range(&in, IPC_F_STATE, 0, ROUTE_VERDICTS - 1, &state);
	ipc_get_text(&in, IPC_F_DSN, 16, &a->dsn);
	ipc_get_text(&in, IPC_F_TEXT, TEXT_MAX, &a->text);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	a->error = -(int)code;
	a->class = class;
	a->verdict = state;
	return 0;
}

static int
route_replied(struct ipc_msg *m, int error, void *arg)
{
	struct question *q = arg;
	struct route_answer a = { .error = error };
	backend_route_fn fn = q->fn.route;
	int bad = 0;
	void *fn_arg = q->arg;

	if (m != NULL) {
		bad = decode_route(m, &a);
		if (bad != 0)
			a.error = PK_EPROTO;
	}
	question_free(q);
	fn(&a, fn_arg);
	return bad;
}

static int
access_replied(struct ipc_msg *m, int error, void *arg)
{
	struct question *q = arg;
	backend_access_fn fn = q->fn.access;
	struct view answer = VIEW_NONE, key = VIEW_NONE;
	void *fn_arg = q->arg;
	uint64_t code = 0;
	struct ipc_in in;
	int bad = 0;

	if (m != NULL) {
		ipc_in_init(&in, m);
		ipc_get_range(&in, IPC_F_CODE, 0, 1000, &code);
		ipc_get_text(&in, IPC_F_ANSWER, IPC_BODY_MAX, &answer);
		ipc_get_bytes(&in, IPC_F_QUERY, IPC_BODY_MAX, &key);
		bad = m->type != IPC_TABLE_ANSWER ? PK_EPROTO : ipc_in_end(&in);
		error = bad != 0 ? PK_EPROTO : -(int)code;
	}
	question_free(q);
	fn(error, answer, fn_arg);
	return bad;
}

static uint64_t
ask_route(struct worker *w, struct view address, struct view sender, unsigned flags,
    backend_route_fn fn, void *arg)
{
	struct backend_pools *pools = w->backend_arg;
	struct question *q = question_new(arg);
	struct ipc_out o;

	q->fn.route = fn;
	ipc_out_init(&o, IPC_ROUTE_CHECK);
	ipc_put_bytes(&o, IPC_F_RECIPIENT, address);
	ipc_put_bytes(&o, IPC_F_SENDER, sender);
	ipc_put_u64(&o, IPC_F_FLAGS, flags);
	return q->call = ipc_pool_call(pools->lookup, &o, LOOKUP_TIMEOUT_MS, route_replied, q);
}

static uint64_t
ask_access(struct worker *w, struct view table, struct view query, enum access_kind kind,
    backend_access_fn fn, void *arg)
{
	struct backend_pools *pools = w->backend_arg;
	struct question *q = question_new(arg);
	struct ipc_out o;

	q->fn.access = fn;
	ipc_out_init(&o, IPC_ACCESS);
	ipc_put_bytes(&o, IPC_F_TABLE, table);
	ipc_put_bytes(&o, IPC_F_QUERY, query);
	ipc_put_u64(&o, IPC_F_KIND, kind);
	return q->call = ipc_pool_call(pools->lookup, &o, LOOKUP_TIMEOUT_MS, access_replied, q);
}

static void
cancel(struct worker *w, uint64_t id)
{
	struct question *q;

	(void)w;
	TAILQ_FOREACH(q, &open_questions, link) {
		if (q->call != id)
			continue;
		ipc_call_cancel(id);
		question_free(q);
		return;
	}
}

static struct dns_call *
ask_dns(struct worker *w, struct view name, enum dns_type type, dns_lookup_fn fn, void *arg)
{
	struct backend_pools *pools = w->backend_arg;

	return dns_lookup(pools->dns, name, type, 0, fn, arg);
}

static void
cancel_dns(struct worker *w, struct dns_call **call)
{
	(void)w;
	dns_lookup_cancel(call);
}

static struct auth_conversation *
auth_begin(struct worker *w, const struct auth_question *q, auth_step_fn fn, void *arg)
{
	struct backend_pools *pools = w->backend_arg;

	return auth_link_begin(pools->auth, q, fn, arg);
}

static void
auth_more(struct worker *w, struct auth_conversation *c, struct view response)
{
	struct backend_pools *pools = w->backend_arg;

	auth_link_more(pools->auth, c, response);
}

static void
auth_end(struct worker *w, struct auth_conversation **c)
{
	struct backend_pools *pools = w->backend_arg;

	auth_link_cancel(pools->auth, c);
}

const struct backend backend_ipc = {
	ask_route, ask_access, cancel, ask_dns, cancel_dns, auth_begin, auth_more, auth_end,
};
