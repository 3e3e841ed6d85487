/* SPDX-License-Identifier: ISC */
/*
 * outside.c: requests that run again when what they wanted is known.
 *
 * Runs in lookupd. Requests come from smtpd, keys are strangers' addresses,
 * answers a sibling's: each of them could try to make this grow. So there are
 * limits on requests that wait, on questions under way, on keys and runs of
 * one request and on what is remembered; whoever meets one gets PK_ETEMP, and
 * mail waits (451) instead of being refused.
 */
#include "lookupd/outside.h"

#include <bsd/sys/queue.h>

#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "table/table.h"

#define REQUESTS_MAX	10000
#define INFLIGHT_MAX	5000
/* Of one request: a list of a few thousand members, aliases nested a hundred deep. */
#define KEYS_MAX	20000
#define RUNS_MAX	200
/* Remembered for others, at most. */
#define CACHE_MAX	20000
#define KEY_BYTES_MAX	(TABLE_KEY_MAX + 100)

struct use {
	struct outside_question *question;
	struct request	*request;
	bool		 waiting;
	TAILQ_ENTRY(use) link;		/* waiting: of the question's users */
};

struct outside_question {
	struct outside	*o;
	char		*key;		/* spec NUL key */
	size_t		 key_len;
	bool		 known;
	bool		 shared;	/* in the map for others */
	int		 code;
	char		*value;
	size_t		 value_len;
	uint64_t	 known_ms;
	uint64_t	 call;
	unsigned	 nuses;
	TAILQ_HEAD(, use) users;	/* that wait */
	TAILQ_ENTRY(outside_question) link;	/* under way; known and shared: by age */
};

struct request {
	struct ipc_channel *ch;
	struct ipc_msg	 m;
	char		*body;
	outside_fn	 fn;
	void		*arg;
	struct map	*uses;		/* by key */
	unsigned	 waiting;	/* questions without an answer */
	unsigned	 runs;
	bool		 enough;	/* met a limit: nothing more is asked for it */
	bool		 ready;		/* in the list of those to run */
	TAILQ_ENTRY(request) link;
};
TAILQ_HEAD(request_list, request);

struct outside {
	struct loop	*loop;
	struct outside_ops ops;
	struct map	*questions;
	TAILQ_HEAD(, outside_question) asked, by_age;
	struct request_list requests, ready;
	size_t		 nrequests, ninflight;
	struct loop_deferred run_ready;
	bool		 running;
	struct request	*now;		/* whose run it is; made with its first key */
	const struct ipc_channel *now_ch;
	bool		 now_gone;	/* its channel went during the run */
};

/* ---- questions ---- */

static struct view
question_key(const struct outside_question *q)
{
	return view_of(q->key, q->key_len);
}

static void
question_free(struct outside_question *q)
{
	xfree(q->key);
	xfree(q->value);
	xfree(q);
}

/* Nobody else gets it any more. */
static void
question_hide(struct outside_question *q)
{
	if (!q->shared)
		return;
	map_del(q->o->questions, question_key(q));
	if (q->known)
		TAILQ_REMOVE(&q->o->by_age, q, link);
	q->shared = false;
	if (q->known && q->nuses == 0)
		question_free(q);
}

static void
forget_old(struct outside *o)
{
	struct outside_question *q;
	uint64_t now = loop_now_ms(o->loop);

	while ((q = TAILQ_FIRST(&o->by_age)) != NULL &&
	    (now - q->known_ms > OUTSIDE_CACHE_MS || map_count(o->questions) > CACHE_MAX))
		question_hide(q);
}

static struct outside_question *
question_new(struct outside *o, struct view spec, struct view key, struct view whole)
{
	struct outside_question *q = XNEW(struct outside_question);
	char *name = view_dup(spec);

	q->o = o;
	q->key = xmemdup(whole.p, whole.len);
	q->key_len = whole.len;
	q->shared = true;
	TAILQ_INIT(&q->users);
	map_put(o->questions, whole, q);
	TAILQ_INSERT_TAIL(&o->asked, q, link);
	o->ninflight++;
	o->ops.ask(o->ops.arg, name, key, q);
	xfree(name);
	return q;
}

/* ---- requests ---- */

static void
use_free(struct use *u)
{
	struct outside_question *q = u->question;

	if (u->waiting)
		TAILQ_REMOVE(&q->users, u, link);
	if (--q->nuses == 0 && q->known && !q->shared)
		question_free(q);
	xfree(u);
}

static void
request_free(struct outside *o, struct request *rq)
{
	struct view key;
	size_t at = 0;
	void *v;

	if (rq->body != NULL) {
		TAILQ_REMOVE(rq->ready ? &o->ready : &o->requests, rq, link);
		o->nrequests--;
	}
	while (map_next(rq->uses, &at, &key, &v))
		use_free(v);
	map_free(&rq->uses, NULL);
	xfree(rq->body);
	xfree(rq);
}

static void
use_add(struct request *rq, struct outside_question *q)
{
	struct use *u = XNEW(struct use);

	u->question = q;
	u->request = rq;
	q->nuses++;
	map_put(rq->uses, question_key(q), u);
	if (q->known)
		return;
	u->waiting = true;
	rq->waiting++;
	TAILQ_INSERT_TAIL(&q->users, u, link);
}

/* It has to wait: what it asked is kept. */
static void
request_keep(struct outside *o, struct request *rq, struct ipc_channel *ch, struct ipc_msg *m,
    outside_fn fn, void *arg)
{
	rq->ch = ch;
	rq->m = *m;
	rq->body = xmalloc(m->body.len + 1);
	memcpy(rq->body, m->body.p, m->body.len);
	rq->m.body = view_of(rq->body, m->body.len);
	rq->m.nhandles = 0;
	rq->fn = fn;
	rq->arg = arg;
	TAILQ_INSERT_TAIL(&o->requests, rq, link);
	o->nrequests++;
}

static int
run(struct outside *o, struct request **rq, struct ipc_channel *ch, struct ipc_msg *m,
    outside_fn fn, void *arg)
{
	int rc;

	ASSERT(!o->running);
	o->running = true;
	o->now = *rq;
	o->now_ch = ch;
	o->now_gone = false;
	rc = fn(arg, ch, m);
	*rq = o->now;
	o->now = NULL;
	o->running = false;
	return rc;
}

int
outside_run(struct outside *o, struct ipc_channel *ch, struct ipc_msg *m, outside_fn fn,
    void *arg)
{
	struct request *rq = NULL;
	int rc;

	rc = run(o, &rq, ch, m, fn, arg);
	if (rq == NULL)
		return rc;
	if (rq->waiting == 0 || o->now_gone) {
		request_free(o, rq);
		return rc;
	}
	request_keep(o, rq, ch, m, fn, arg);
	return 0;
}

static void
run_again(struct outside *o, struct request *rq)
{
	TAILQ_REMOVE(&o->ready, rq, link);
	TAILQ_INSERT_TAIL(&o->requests, rq, link);
	rq->ready = false;
	if (++rq->runs >= RUNS_MAX && !rq->enough) {
		log_error("a request wants more than %d rounds of look-ups: deferred", RUNS_MAX);
		rq->enough = true;
	}
	(void)run(o, &rq, rq->ch, &rq->m, rq->fn, rq->arg);
	if (rq->waiting == 0 || o->now_gone)
		request_free(o, rq);
}

static void
on_run_ready(void *arg)
{
	struct outside *o = arg;
	struct request *rq;

	while ((rq = TAILQ_FIRST(&o->ready)) != NULL)
		run_again(o, rq);
	forget_old(o);
}

bool
outside_pending(const struct outside *o)
{
	return o->now != NULL && o->now->waiting > 0;
}

void
outside_forget(struct outside *o, const struct ipc_channel *ch)
{
	struct request_list *lists[] = { &o->requests, &o->ready };
	struct request *rq, *next;
	size_t i;

	if (o->running && (ch == NULL || ch == o->now_ch))
		o->now_gone = true;
	for (i = 0; i < NELEMS(lists); i++)
		TAILQ_FOREACH_SAFE(rq, lists[i], link, next)
			if (rq != o->now && (ch == NULL || rq->ch == ch))
				request_free(o, rq);
}

size_t
outside_waiting(const struct outside *o)
{
	return o->nrequests;
}

/* ---- look-ups ---- */

/* Put together as the map wants it; PK_ENOENT: no table has such a key. */
static int
whole_key(struct view spec, struct view key, struct buf *b)
{
	size_t i;

	if (key.len == 0 || key.len > TABLE_KEY_MAX || view_find(key, '\0') >= 0 ||
	    view_find(key, '\r') >= 0 || view_find(key, '\n') >= 0)
		return PK_ENOENT;
	buf_put_view(b, spec);
	buf_put_char(b, '\0');
	for (i = 0; i < key.len; i++)
		buf_put_char(b, ascii_lower(key.p[i]));
	return buf_error(b) != 0 ? PK_ENOENT : 0;
}

static int
give(const struct outside_question *q, struct buf *value_r)
{
	size_t mark = value_r->len;

	if (q->code != 0)
		return q->code;
	if (buf_put(value_r, q->value, q->value_len) != 0) {
		buf_truncate(value_r, mark);
		return PK_ETEMP;
	}
	return 0;
}

static struct outside_question *
shared_question(struct outside *o, struct view whole)
{
	struct outside_question *q = map_get(o->questions, whole);

	if (q != NULL && q->known && loop_now_ms(o->loop) - q->known_ms > OUTSIDE_CACHE_MS) {
		question_hide(q);
		q = NULL;
	}
	return q;
}

static int
get(struct outside *o, struct view spec, struct view whole, struct buf *value_r)
{
	struct view key = view_from(whole, spec.len + 1);
	struct outside_question *q;
	struct request *rq;
	struct use *u;

	if (o->now == NULL && o->running) {
		o->now = XNEW(struct request);
		o->now->uses = map_new();
		o->now->enough = o->nrequests >= REQUESTS_MAX;
	}
	rq = o->now;
	u = rq != NULL ? map_get(rq->uses, whole) : NULL;
	q = u != NULL ? u->question : shared_question(o, whole);
	if (q == NULL && rq != NULL && !rq->enough && o->ninflight < INFLIGHT_MAX &&
	    map_count(rq->uses) < KEYS_MAX)
		q = question_new(o, spec, key, whole);
	if (q == NULL || rq == NULL)
		return q != NULL && q->known ? give(q, value_r) : PK_ETEMP;
	if (u == NULL)
		use_add(rq, q);
	/* Not known: on as if there were nothing, for what comes next. */
	return q->known ? give(q, value_r) : PK_ENOENT;
}

int
outside_get(struct outside *o, struct view spec, struct view key, struct buf *value_r)
{
	struct buf whole;
	int rc;

	buf_init(&whole, KEY_BYTES_MAX);
	rc = whole_key(spec, key, &whole);
	if (rc == 0)
		rc = get(o, spec, buf_view(&whole), value_r);
	buf_fini(&whole);
	return rc;
}

/* ---- answers ---- */

static void
wake(struct outside *o, struct outside_question *q)
{
	struct request *rq;
	struct use *u;

	while ((u = TAILQ_FIRST(&q->users)) != NULL) {
		TAILQ_REMOVE(&q->users, u, link);
		u->waiting = false;
		rq = u->request;
		if (--rq->waiting > 0 || rq->body == NULL)
			continue;
		TAILQ_REMOVE(&o->requests, rq, link);
		TAILQ_INSERT_TAIL(&o->ready, rq, link);
		rq->ready = true;
	}
	if (!TAILQ_EMPTY(&o->ready))
		loop_defer(o->loop, &o->run_ready);
}

static bool
is_one_line(struct view v)
{
	return v.len <= TABLE_VALUE_MAX && view_find(v, '\n') < 0 && view_find(v, '\r') < 0 &&
	    view_find(v, '\0') < 0;
}

void
outside_answered(struct outside *o, struct outside_question *q, int code, struct view value)
{
	TAILQ_REMOVE(&o->asked, q, link);
	o->ninflight--;
	/* What a database holds is data again: one line, as of any table (A11). */
	q->code = code == 0 && is_one_line(value) ? 0 : code == PK_ENOENT ? PK_ENOENT : PK_ETEMP;
	if (q->code == 0) {
		q->value = xmemdup(value.len > 0 ? value.p : "", value.len > 0 ? value.len : 1);
		q->value_len = value.len;
	}
	q->known = true;
	q->known_ms = loop_now_ms(o->loop);
	if (q->shared && q->code != PK_ETEMP) {
		TAILQ_INSERT_TAIL(&o->by_age, q, link);
	} else if (q->shared) {
		/* A failure is these requests' alone: the next one asks again. */
		map_del(o->questions, question_key(q));
		q->shared = false;
	}
	wake(o, q);
	if (q->nuses == 0 && !q->shared)
		question_free(q);
}

void
outside_set_call(struct outside_question *q, uint64_t call)
{
	q->call = call;
}

uint64_t
outside_call(const struct outside_question *q)
{
	return q->call;
}

struct outside *
outside_of(const struct outside_question *q)
{
	return q->o;
}

void *
outside_arg(const struct outside *o)
{
	return o->ops.arg;
}

/* ---- life ---- */

void
outside_renew(struct outside *o)
{
	struct view key;
	size_t at = 0;
	void *v;

	/* Those under way are answered to who waits, and told to nobody else. */
	while (map_next(o->questions, &at, &key, &v))
		question_hide(v);
}

struct outside *
outside_new(struct loop *l, const struct outside_ops *ops)
{
	struct outside *o = XNEW(struct outside);

	o->loop = l;
	o->ops = *ops;
	o->questions = map_new();
	TAILQ_INIT(&o->asked);
	TAILQ_INIT(&o->by_age);
	TAILQ_INIT(&o->requests);
	TAILQ_INIT(&o->ready);
	o->run_ready.fn = on_run_ready;
	o->run_ready.arg = o;
	return o;
}

void
outside_free(struct outside **op)
{
	struct outside_question *q;
	struct outside *o = *op;

	if (o == NULL)
		return;
	*op = NULL;
	outside_forget(o, NULL);
	loop_defer_cancel(o->loop, &o->run_ready);
	outside_renew(o);
	while ((q = TAILQ_FIRST(&o->asked)) != NULL) {
		TAILQ_REMOVE(&o->asked, q, link);
		o->ops.drop(o->ops.arg, q);
		question_free(q);
	}
	map_free(&o->questions, NULL);
	xfree(o);
}
