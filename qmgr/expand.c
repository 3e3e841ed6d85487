/* SPDX-License-Identifier: ISC */
/*
 * expand.c: asks lookupd where recipients go.
 *
 * Run by qmgr at a message's activation: aliases, classes and routes are
 * decided then, so that a changed table applies to what is queued. An answer
 * is taken whole or not at all. The same address asked again within a second
 * has the same answer: one question serves a burst of mail to one mailbox.
 * lookupd is treated as taken over: lengths and numbers are bounded; what it
 * says can misroute mail, nothing else.
 */
#include "qmgr/qmgr.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/route.h"
#include "mail/dsn.h"
#include "qmgr/sched.h"
#include "queue/record.h"

#define CACHE_MS		1000
#define CACHE_ENTRIES_MAX	20000
#define INFLIGHT_MAX		1000
#define QUESTION_TIMEOUT_MS	60000
#define ROUTES_MAX		100000
#define TEXT_MAX_BYTES		1000
#define NEXTHOP_MAX_BYTES	1000

/* One address that the answer names. */
struct result {
	char		*address, *path;
	struct route	*route;
	uint64_t	quota;
};

struct expansion;

struct waiter {
	struct expansion *x;
	uint32_t	index;		/* of the recipient */
	TAILQ_ENTRY(waiter) link;
};

/* What is known, or being asked, of one recipient address. */
struct answer {
	char		*address;
	bool		known;
	int		code;
	char		*dsn, *text;
	struct result	*results;
	size_t		nresults;
	uint64_t	known_ms;
	uint64_t	generation;	/* of the tables it was asked with */
	uint64_t	call;
	TAILQ_HEAD(, waiter) waiters;
	TAILQ_ENTRY(answer) age;
	struct expander	*e;
};

/* A message whose recipients are being asked for. */
struct expansion {
	uint64_t	message;
	uint32_t	next;		/* recipient to ask for */
	uint32_t	asked;		/* without answer yet */
	bool		queued;
	TAILQ_ENTRY(expansion) link;
};

struct expander {
	struct qmgr	*q;
	struct map	*answers;
	TAILQ_HEAD(, answer) by_age;
	TAILQ_HEAD(, expansion) waiting;
	size_t		inflight;
	uint64_t	generation;
	bool		pumping;
};

static void	pump(struct expander *e);

static void
answer_free(struct answer *a)
{
	size_t i;

	for (i = 0; i < a->nresults; i++) {
		xfree(a->results[i].address);
		xfree(a->results[i].path);
		route_release(a->e->q->store.routes, a->results[i].route);
	}
	xfree(a->results);
	xfree(a->address);
	xfree(a->dsn);
	xfree(a->text);
	xfree(a);
}

static void
forget_old(struct expander *e)
{
	struct answer *a;
	uint64_t now = loop_now_ms(e->q->loop);

	while ((a = TAILQ_FIRST(&e->by_age)) != NULL &&
	    (now - a->known_ms > CACHE_MS || map_count(e->answers) > CACHE_ENTRIES_MAX)) {
		TAILQ_REMOVE(&e->by_age, a, age);
		map_del(e->answers, view_str(a->address));
		answer_free(a);
	}
}

/* ---- what an answer means for a recipient ---- */

static void
new_text(struct recipient *r, struct view address, struct view path)
{
	struct recipient *n;
	struct view orig = recipient_orig(r);

	if (orig.len == 0 && !view_eq(address, recipient_address(r)))
		orig = recipient_address(r);
	n = recipient_new(0, address, recipient_orcpt(r), orig, path, 0);
	xfree(r->text);
	r->text = n->text;
	r->address_len = n->address_len;
	r->orcpt_len = n->orcpt_len;
	r->orig_len = n->orig_len;
	r->path_len = n->path_len;
	n->text = NULL;
	recipient_free(n, NULL);
}

static void
route_to(struct qmgr *q, struct recipient *r, const struct result *res)
{
	route_release(q->store.routes, r->route);
	r->route = route_ref(res->route);
	r->quota = res->quota;
	r->flags |= RCPT_ROUTED | RCPT_DIRTY;
	r->due_ms = 0;
}

static void
add_result(struct qmgr *q, struct message *m, const struct recipient *from,
    const struct result *res, unsigned notify)
{
	struct view orig = recipient_orig(from).len > 0 ? recipient_orig(from) :
	    recipient_address(from);
	struct recipient *r;

	r = recipient_new(0, view_str(res->address), recipient_orcpt(from), orig,
	    view_str(res->path), notify);
	route_to(q, r, res);
	store_recipient_add(&q->store, m, r);
}

/*
 * A retry. An address that stands in its own list (`info: info, archive`)
 * leads to the others again, which have had theirs.
 */
static bool
apply_again(struct qmgr *q, struct recipient *r, const struct answer *a)
{
	const struct result *res;
	size_t i;

	if ((r->flags & RCPT_FINAL) == 0)
		return false;
	for (i = 0; i < a->nresults; i++) {
		res = &a->results[i];
		if (!view_caseeq(view_str(res->address), recipient_address(r)))
			continue;
		new_text(r, view_str(res->address), view_str(res->path));
		route_to(q, r, res);
		return true;
	}
	return false;
}

/*
 * RFC 3461 5.2.7: an alias to one address hands NOTIFY on; a list of several
 * is reported as expanded if success was asked for, and its members are not
 * asked to report success.
 */
static void
apply_results(struct qmgr *q, struct message *m, struct recipient *r, const struct answer *a)
{
	unsigned notify = r->notify;
	size_t i = 0;

	if (apply_again(q, r, a))
		return;
	if (a->nresults > 1 && (notify & RECORD_NOTIFY_SUCCESS) != 0) {
		notify &= ~(unsigned)RECORD_NOTIFY_SUCCESS;
		if (notify == 0)
			notify = RECORD_NOTIFY_NEVER;
		recipient_set_status(r, VIEW("2.0.0"), VIEW("none"), VIEW("expanded"));
		r->last_ms = store_now_ms(&q->store);
		r->state = RCPT_SENT;
		r->action = DSN_EXPANDED;
		if (m->sender->len > 0)
			r->report |= 1U << RECORD_DSN_SUCCESS;
		m->report_ms = 0;
		store_touch(&q->store, m, r);
	} else {
		new_text(r, view_str(a->results[0].address), view_str(a->results[0].path));
		route_to(q, r, &a->results[0]);
		i = 1;
	}
	for (; i < a->nresults; i++)
		add_result(q, m, r, &a->results[i], notify);
}

static void
apply(struct qmgr *q, struct message *m, struct recipient *r, const struct answer *a)
{
	bool permanent = a->code != 0 && a->dsn != NULL && a->dsn[0] == '5';
	const char *what = "bounced";

	r->flags &= (uint8_t)~RCPT_EXPANDING;
	m->nbusy--;
	/* Deleted meanwhile. */
	if (r->state != RCPT_WAIT)
		return;
	if (a->code == 0 && a->nresults > 0 &&
	    m->nrcpts + a->nresults <= MESSAGE_RECIPIENTS_MAX) {
		apply_results(q, m, r, a);
		return;
	}
	recipient_set_status(r, view_str(a->dsn != NULL ? a->dsn : "4.3.0"), VIEW("none"),
	    view_str(a->text != NULL ? a->text : a->nresults > 0 ?
	    "too many recipients with all lists" : "address lookup failed"));
	r->last_ms = store_now_ms(&q->store);
	r->attempts++;
	if (permanent)
		qmgr_recipient_failed(q, m, r);
	else if (!qmgr_recipient_deferred(q, m, r, q->conf))
		what = "expired";
	else
		what = "deferred";
	qmgr_log_outcome(q, m, r, "error", what, clock_mono_ms(), 0, 0);
	store_touch(&q->store, m, r);
}

/* ---- the end of an expansion ---- */

/* The same final address twice: delivered once. */
static void
drop_duplicates(struct qmgr *q, struct message *m)
{
	struct map *seen = map_new();
	struct recipient *r;
	struct buf key;
	uint32_t i;
	size_t k;

	buf_init(&key, 8192);
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || r->route == NULL)
			continue;
		buf_reset(&key);
		buf_put_view(&key, recipient_address(r));
		for (k = 0; k < key.len; k++)
			buf_data(&key)[k] = ascii_lower(buf_data(&key)[k]);
		buf_put(&key, &r->route, sizeof(r->route));
		if (map_put(seen, buf_view(&key), r) == NULL)
			continue;
		/* The one seen first stays; a note in the status tells why. */
		recipient_set_status(r, VIEW("2.0.0"), VIEW("none"),
		    VIEW("the same address is a recipient already"));
		r->state = RCPT_SENT;
		store_touch(&q->store, m, r);
	}
	buf_fini(&key);
	map_free(&seen, NULL);
}

static void
finish(struct expander *e, struct expansion *x)
{
	struct qmgr *q = e->q;
	struct message *m = store_peek(&q->store, x->message);
	uint32_t i;

	if (x->queued)
		TAILQ_REMOVE(&e->waiting, x, link);
	xfree(x);
	if (m == NULL)
		return;
	if (m->nrcpts > 1)
		drop_duplicates(q, m);
	if ((m->flags & MESSAGE_PARTIAL) != 0)
		store_apply_done(&q->store, m);
	if ((m->flags & MESSAGE_EXPANDED) == 0) {
		m->flags |= MESSAGE_EXPANDED;
		for (i = 0; i < m->nrcpts; i++)
			if (m->rcpts[i] != NULL)
				m->rcpts[i]->flags |= RCPT_DIRTY;
	}
	/* A change to an expansion that is on disk already goes there too. */
	if ((m->flags & (MESSAGE_LOGGED | MESSAGE_LOGGING)) != 0) {
		m->flags &= (uint16_t)~(MESSAGE_LOGGED | MESSAGE_LOGGING);
		store_log_rows(&q->store, m, NULL, 0);
	}
	m->njobs--;
	qmgr_run(q, m);
}

static void
answered(struct expander *e, struct answer *a)
{
	struct waiter *w;
	struct expansion *x;
	struct message *m;

	while ((w = TAILQ_FIRST(&a->waiters)) != NULL) {
		TAILQ_REMOVE(&a->waiters, w, link);
		x = w->x;
		m = store_peek(&e->q->store, x->message);
		if (m != NULL && m->rcpts != NULL && w->index < m->nrcpts)
			apply(e->q, m, m->rcpts[w->index], a);
		xfree(w);
		x->asked--;
		if (x->asked == 0 && (m == NULL || !x->queued))
			finish(e, x);
	}
}

/* ---- the question ---- */

static char *
dup_text(struct view v)
{
	return v.len > 0 ? view_dup(v) : NULL;
}

static void
get_row(struct answer *a, struct ipc_in *in)
{
	struct view address = VIEW_NONE, transport = VIEW_NONE, nexthop = VIEW_NONE;
	struct view path = VIEW_NONE, dsn = VIEW_NONE, text = VIEW_NONE;
	uint64_t class, quota = 0;
	struct result *res;
	struct buf error;

	ipc_get_text(in, IPC_F_RECIPIENT, RECORD_ADDRESS_MAX, &address);
	ipc_get_range(in, IPC_F_CLASS, 0, ROUTE_CLASSES - 1, &class);
	ipc_get_text(in, IPC_F_TRANSPORT, 100, &transport);
	ipc_get_text(in, IPC_F_NEXTHOP, NEXTHOP_MAX_BYTES, &nexthop);
	if (ipc_has(in, IPC_F_PATH)) {
		ipc_get_text(in, IPC_F_PATH, 1024, &path);
		ipc_get_u64(in, IPC_F_QUOTA, &quota);
	}
	if (ipc_has(in, IPC_F_DSN)) {
		ipc_get_text(in, IPC_F_DSN, 32, &dsn);
		ipc_get_text(in, IPC_F_TEXT, TEXT_MAX_BYTES, &text);
	}
	if (in->error == 0 && (address.len == 0 || transport.len == 0 ||
	    a->nresults >= ROUTES_MAX))
		in->error = PK_EPROTO;
	if (in->error != 0)
		return;
	/* The error transport's next hop is what it says. */
	buf_init(&error, 2000);
	if (dsn.len > 0 && view_eq(transport, VIEW("error"))) {
		buf_put_view(&error, dsn);
		buf_put_char(&error, ' ');
		buf_put_view(&error, view_head(text, 900));
		nexthop = buf_view(&error);
	}
	a->results = xreallocarray(a->results, a->nresults + 1, sizeof(*a->results));
	res = &a->results[a->nresults++];
	res->address = view_dup(address);
	res->path = dup_text(path);
	res->quota = quota;
	res->route = route_intern(a->e->q->store.routes, transport, nexthop);
	buf_fini(&error);
}

static int
read_answer(struct answer *a, struct ipc_msg *m)
{
	struct view dsn = VIEW_NONE, text = VIEW_NONE;
	struct ipc_in in;
	uint64_t code = 0;

	if (m->type != IPC_EXPAND_ANSWER)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 0, 1000, &code);
	if (code != 0 && ipc_has(&in, IPC_F_DSN)) {
		ipc_get_text(&in, IPC_F_DSN, 32, &dsn);
		ipc_get_text(&in, IPC_F_TEXT, TEXT_MAX_BYTES, &text);
	}
	while (in.error == 0 && ipc_has(&in, IPC_F_RECIPIENT))
		get_row(a, &in);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	if (code != 0) {
		a->code = -(int)code;
		xfree(a->dsn);
		xfree(a->text);
		a->dsn = dup_text(dsn);
		a->text = dup_text(text);
	}
	return 0;
}

static void
set_known(struct expander *e, struct answer *a)
{
	e->inflight--;
	a->known = true;
	a->known_ms = loop_now_ms(e->q->loop);
	TAILQ_INSERT_TAIL(&e->by_age, a, age);
	/* A question that follows from this answer waits for the pump: a stays whole. */
	e->pumping = true;
	answered(e, a);
	e->pumping = false;
	/* A failure is not remembered: the next message asks again. */
	if (a->code != 0)
		a->known_ms = 0;
	forget_old(e);
	pump(e);
}

static int
on_answer(struct ipc_msg *m, int error, void *arg)
{
	struct answer *a = arg;
	int rc = 0;

	if (m != NULL)
		rc = read_answer(a, m);
	if (m == NULL || rc != 0) {
		a->code = error != 0 ? error : rc;
		a->dsn = xstrdup("4.3.0");
		a->text = xstrdup("address lookup is not available");
	} else if ((m->flags & IPC_FLAG_MORE) != 0) {
		return 0;
	}
	set_known(a->e, a);
	return rc;
}

static struct answer *
ask(struct expander *e, struct message *m, struct view address)
{
	struct answer *a = XNEW(struct answer);
	struct ipc_out o;

	a->e = e;
	a->address = view_dup(address);
	a->generation = e->generation;
	TAILQ_INIT(&a->waiters);
	map_put(e->answers, address, a);
	e->inflight++;
	ipc_out_init(&o, IPC_EXPAND);
	ipc_put_bytes(&o, IPC_F_RECIPIENT, address);
	ipc_put_str(&o, IPC_F_SENDER, m->sender->text);
	ipc_put_u64(&o, IPC_F_MESSAGE, m->id);
	a->call = ipc_pool_call(e->q->lookupd, &o, QUESTION_TIMEOUT_MS, on_answer, a);
	return a;
}

/* Asks for, or answers at once, the recipient x->next. */
static void
step(struct expander *e, struct expansion *x, struct message *m)
{
	struct recipient *r = m->rcpts[x->next++];
	struct answer *a;
	struct waiter *w;

	if (r == NULL || (r->flags & RCPT_EXPANDING) == 0)
		return;
	a = map_get(e->answers, recipient_address(r));
	if (a != NULL && a->known) {
		if (a->generation == e->generation &&
		    loop_now_ms(e->q->loop) - a->known_ms <= CACHE_MS) {
			apply(e->q, m, r, a);
			return;
		}
		TAILQ_REMOVE(&e->by_age, a, age);
		map_del(e->answers, view_str(a->address));
		answer_free(a);
		a = NULL;
	}
	if (a == NULL)
		a = ask(e, m, recipient_address(r));
	w = XNEW(struct waiter);
	w->x = x;
	w->index = r->index;
	x->asked++;
	TAILQ_INSERT_TAIL(&a->waiters, w, link);
}

/* Members that an expansion appends are final: only those there at the start are asked. */
static void
pump(struct expander *e)
{
	struct expansion *x;
	struct message *m;

	if (e->pumping)
		return;
	e->pumping = true;
	while (e->inflight < INFLIGHT_MAX && (x = TAILQ_FIRST(&e->waiting)) != NULL) {
		m = store_peek(&e->q->store, x->message);
		while (m != NULL && m->rcpts != NULL && x->next < m->nrcpts &&
		    e->inflight < INFLIGHT_MAX)
			step(e, x, m);
		if (m != NULL && m->rcpts != NULL && x->next < m->nrcpts)
			break;
		TAILQ_REMOVE(&e->waiting, x, link);
		x->queued = false;
		if (x->asked == 0)
			finish(e, x);
	}
	e->pumping = false;
}

void
expander_start(struct qmgr *q, struct message *m)
{
	struct expander *e = q->expander;
	struct expansion *x;
	uint64_t now = store_now_ms(&q->store);
	struct recipient *r;
	uint32_t i, n = 0;

	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || r->due_ms > now ||
		    (r->flags & (RCPT_ROUTED | RCPT_EXPANDING)) != 0)
			continue;
		r->flags |= RCPT_EXPANDING;
		m->nbusy++;
		n++;
	}
	if (n == 0)
		return;
	x = XNEW(struct expansion);
	x->message = m->id;
	x->queued = true;
	/* Held until finish(), so that nothing is scheduled or evicted before. */
	m->njobs++;
	TAILQ_INSERT_TAIL(&e->waiting, x, link);
	pump(e);
}

void
expander_renew(struct qmgr *q)
{
	q->expander->generation++;
}

void
expander_init(struct qmgr *q)
{
	struct expander *e = XNEW(struct expander);

	e->q = q;
	e->answers = map_new();
	TAILQ_INIT(&e->by_age);
	TAILQ_INIT(&e->waiting);
	q->expander = e;
}

void
expander_fini(struct qmgr *q)
{
	struct expander *e = q->expander;
	struct expansion *x;
	struct answer *a;
	struct waiter *w;
	struct view key;
	size_t at = 0;
	void *v;

	while (map_next(e->answers, &at, &key, &v)) {
		a = v;
		if (!a->known)
			ipc_call_cancel(a->call);
		while ((w = TAILQ_FIRST(&a->waiters)) != NULL) {
			TAILQ_REMOVE(&a->waiters, w, link);
			if (--w->x->asked == 0 && !w->x->queued)
				xfree(w->x);
			xfree(w);
		}
		answer_free(a);
	}
	while ((x = TAILQ_FIRST(&e->waiting)) != NULL) {
		TAILQ_REMOVE(&e->waiting, x, link);
		xfree(x);
	}
	map_free(&e->answers, NULL);
	xfree(e);
	q->expander = NULL;
}
