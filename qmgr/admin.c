/* SPDX-License-Identifier: ISC */
/*
 * admin.c: requests of administrators to qmgr (ADMIN.md): the table of
 * verbs, the life of a request, its parts.
 *
 * Who may ask has been decided by lib/ipc/admin.c. What is asked is checked
 * like anybody's input: unknown members are refused, so that a misspelt
 * filter never means "all".
 */
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/admin_request.h"

#define REQUESTS_MAX	64

struct admin {
	TAILQ_HEAD(, request) requests;
	unsigned	 nrequests;
	struct event	*timer;
};

static const struct request_verb verbs[] = {
	{ "queue list", false, true, list_begin, list_step, NULL },
	{ "queue view", false, false, view_begin, view_step, NULL },
	{ "queue trace", false, false, trace_begin, trace_step, NULL },
	{ "queue stats", false, false, NULL, stats_step, NULL },
	{ "queue retry", true, false, NULL, change_step, change_retry },
	{ "queue delete", true, false, NULL, change_step, change_delete },
	{ "queue hold", true, false, hold_begin, change_step, change_hold },
	{ "queue release", true, false, NULL, change_step, change_release },
	{ "queue requeue", true, false, NULL, change_step, change_requeue },
	{ "queue expire", true, false, NULL, change_step, change_expire },
	{ "queue priority", true, false, priority_begin, change_step, change_priority },
	{ "queue flush", false, false, flush_begin, change_step, change_retry },
	{ "queue freeze", false, false, freeze_begin, freeze_step, NULL },
	{ "queue thaw", false, false, thaw_begin, thaw_step, change_thaw },
	{ "queue why", false, false, why_begin, why_step, NULL },
	{ "queue check", false, false, check_begin, check_step, NULL },
	{ "queue rebuild", false, false, NULL, rebuild_step, NULL },
};

/* ---- parts ---- */

void
request_part(struct request *rq, bool more, const char *cursor)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	if (more)
		o.flags |= IPC_FLAG_MORE;
	ipc_put_u64(&o, IPC_F_CODE, 0);
	ipc_put_bytes(&o, IPC_F_JSON, buf_view(&rq->out));
	ipc_put_str(&o, IPC_F_CURSOR, cursor != NULL ? cursor : "");
	ipc_reply_id(rq->ch, rq->id, &o);
	buf_reset(&rq->out);
	rq->opened = false;
}

void
request_error(struct request *rq, int code, const char *text)
{
	struct ipc_out o;
	struct buf b;

	buf_init(&b, 8192);
	buf_put_str(&b, "{\"version\":1,\"error\":");
	json_put_string(&b, view_str(text));
	buf_put_char(&b, '}');
	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	ipc_put_str(&o, IPC_F_TEXT, text);
	ipc_put_bytes(&o, IPC_F_JSON, buf_view(&b));
	ipc_put_str(&o, IPC_F_CURSOR, "");
	ipc_reply_id(rq->ch, rq->id, &o);
	buf_fini(&b);
}

char *
request_take_text(struct request *rq, const char *name)
{
	const json_t *v = json_object_get(rq->args, name);
	char *text;

	if (!json_is_string(v))
		return NULL;
	text = xstrndup(json_string_value(v), json_string_length(v));
	json_object_del(rq->args, name);
	return text;
}

int
request_take_u64(struct request *rq, const char *name, uint64_t greatest, uint64_t *n_r)
{
	const json_t *v = json_object_get(rq->args, name);
	json_int_t n;

	if (v == NULL)
		return PK_ENOENT;
	n = json_integer_value(v);
	if (!json_is_integer(v) || n < 0 || (uint64_t)n > greatest)
		return PK_ESYNTAX;
	json_object_del(rq->args, name);
	*n_r = (uint64_t)n;
	return 0;
}

/* ---- life ---- */

static void
request_free(struct admin *a, struct request *rq)
{
	TAILQ_REMOVE(&a->requests, rq, link);
	a->nrequests--;
	if (rq->walking)
		walk_fini(&rq->walk);
	if (rq->free_state != NULL)
		rq->free_state(rq->state);
	selection_fini(&rq->sel);
	json_decref(rq->args);
	buf_fini(&rq->out);
	xfree(rq->text);
	xfree(rq);
}

static void
arm(struct admin *a)
{
	/* Behind the deliveries of this turn, then again; paused ones cost a look a millisecond. */
	struct timeval soon = { 0, 1000 };

	if (a->nrequests > 0)
		event_add(a->timer, &soon);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct qmgr *q = arg;
	struct request *rq, *next;

	(void)fd, (void)what;
	TAILQ_FOREACH_SAFE(rq, &q->admin->requests, link, next) {
		if (ipc_channel_backlog(rq->ch) > REQUEST_BACKLOG_MAX)
			continue;
		if (!rq->verb->step(rq))
			request_free(q->admin, rq);
		index_rest(q->store.index);
	}
	arm(q->admin);
}

void
admin_init(struct qmgr *q)
{
	struct admin *a = XNEW(struct admin);

	json_set_alloc_funcs(xmalloc, xfree);
	TAILQ_INIT(&a->requests);
	a->timer = evtimer_new(loop_base(q->loop), on_timer, q);
	if (a->timer == NULL)
		log_fatal("admin: no timer");
	q->admin = a;
}

void
admin_fini(struct qmgr *q)
{
	struct request *rq;

	if (q->admin == NULL)
		return;
	while ((rq = TAILQ_FIRST(&q->admin->requests)) != NULL)
		request_free(q->admin, rq);
	event_free(q->admin->timer);
	xfree(q->admin);
	q->admin = NULL;
}

void
admin_closed(struct qmgr *q, struct ipc_channel *ch)
{
	struct request *rq, *next;

	TAILQ_FOREACH_SAFE(rq, &q->admin->requests, link, next)
		if (rq->ch == ch)
			request_free(q->admin, rq);
}

static const struct request_verb *
find_verb(struct view name)
{
	size_t i;

	for (i = 0; i < NELEMS(verbs); i++)
		if (view_eq(name, view_str(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

/* What is left of the arguments is something that nobody asked for. */
static const char *
leftover(struct request *rq, struct buf *words)
{
	void *it = json_object_iter(rq->args);

	if (it == NULL)
		return NULL;
	buf_printf(words, "unknown or unfit argument \"%s\"", json_object_iter_key(it));
	return buf_cstr(words);
}

static const char *
request_begin(struct request *rq, struct view args, struct buf *words)
{
	const struct request_verb *v = rq->verb;
	const char *why;
	json_error_t at;

	rq->args = args.len > 0 ? json_loadb(args.p, args.len, JSON_REJECT_DUPLICATES, &at) :
	    json_object();
	if (!json_is_object(rq->args))
		return "the arguments are no JSON object";
	rq->sel.state = -1;
	if ((v->selects || v->filters) &&
	    (why = selection_read(&rq->sel, rq->args, v->selects)) != NULL)
		return why;
	if (v->begin != NULL && (why = v->begin(rq)) != NULL)
		return why;
	return leftover(rq, words);
}

int
admin_request(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	struct request *rq = XNEW(struct request);
	struct buf words;
	const char *why;

	rq->q = q;
	rq->ch = ch;
	rq->id = m->id;
	rq->uid = uid;
	buf_init(&rq->out, IPC_BODY_MAX - 512);
	buf_init(&words, 512);
	TAILQ_INSERT_TAIL(&q->admin->requests, rq, link);
	q->admin->nrequests++;
	rq->verb = find_verb(verb);
	if (rq->verb == NULL)
		request_error(rq, PK_EUNSUPPORTED, "qmgr has no such verb");
	else if (q->admin->nrequests > REQUESTS_MAX)
		request_error(rq, PK_EBUSY, "too many requests at once, try again");
	else if ((why = request_begin(rq, args, &words)) != NULL)
		request_error(rq, PK_ESYNTAX, why);
	else {
		if (rq->verb->step(rq))
			arm(q->admin);
		else
			request_free(q->admin, rq);
		index_rest(q->store.index);
		buf_fini(&words);
		return 0;
	}
	buf_fini(&words);
	request_free(q->admin, rq);
	return 0;
}
