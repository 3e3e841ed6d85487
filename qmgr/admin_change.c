/* SPDX-License-Identifier: ISC */
/*
 * admin_change.c: what an administrator does to messages, one at a time
 * along a walk, in steps; and freezes.
 *
 * Each change is journaled by the store before it is said to be done, and
 * said to the audit trail with the uid that the kernel named.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "qmgr/admin_request.h"
#include "queue/record.h"

/* Between two progress parts. */
#define PROGRESS_MS	300
/* Changed messages in memory at which the walk waits for a checkpoint. */
#define DIRTY_MAX	20000

/* ---- the walk ---- */

static void
say_progress(struct request *rq)
{
	uint64_t now = clock_mono_ms(), total;

	if (rq->said_ms == 0)
		rq->said_ms = now;
	if (now - rq->said_ms < PROGRESS_MS)
		return;
	rq->said_ms = now;
	total = walk_total(&rq->walk);
	buf_put_str(&rq->out, "{\"version\":1");
	put_member_u64(&rq->out, "done", rq->seen < total ? rq->seen : total);
	put_member_u64(&rq->out, "seen", rq->changed);
	put_member_u64(&rq->out, "total", total);
	buf_put_char(&rq->out, '}');
	request_part(rq, true, NULL);
}

static void
put_selection(struct buf *b, const struct selection *sel)
{
	size_t i;
	char id[RECORD_ID_TEXT_MAX];

	if (sel->all)
		buf_put_str(b, " all");
	if (sel->state >= 0)
		buf_printf(b, " state=%s", selection_state_names[sel->state]);
	if (sel->sender != NULL)
		buf_printf(b, " sender=%s", sel->sender);
	if (sel->recipient != NULL)
		buf_printf(b, " recipient=%s", sel->recipient);
	if (sel->domain != NULL)
		buf_printf(b, " domain=%s", sel->domain);
	if (sel->transport != NULL)
		buf_printf(b, " transport=%s", sel->transport);
	for (i = 0; i < sel->nids && i < 20; i++) {
		record_id_format(sel->ids[i], id);
		buf_printf(b, " %s", id);
	}
}

static bool
change_end(struct request *rq)
{
	struct buf what;

	journal_hurry(rq->q->store.journal);
	buf_init(&what, 8192);
	put_selection(&what, &rq->sel);
	child_audit(rq->q->child, rq->uid, "%s%s: %llu messages", rq->verb->name, buf_cstr(&what),
	    (unsigned long long)rq->changed);
	buf_fini(&what);
	buf_put_str(&rq->out, "{\"version\":1");
	put_member_u64(&rq->out, rq->verb->change == change_thaw ? "due" : "count", rq->changed);
	if (rq->verb->change == change_thaw)
		put_scopes(&rq->out, rq->q);
	buf_put_char(&rq->out, '}');
	request_part(rq, false, NULL);
	feeder_restart(rq->q);
	sched_kick(rq->q->sched);
	return false;
}

/*
 * A look first, so that a selection that matches little does not pull the
 * whole queue into memory.
 */
static bool
matches(struct request *rq, uint64_t id)
{
	struct message *m;
	bool own, match;

	m = peek_begin(rq->q, id, &own);
	if (m == NULL)
		return false;
	match = selection_match(&rq->sel, m);
	peek_end(rq->q, m, own);
	return match;
}

bool
change_step(struct request *rq)
{
	uint64_t end = clock_mono_ms() + REQUEST_STEP_MS, id;
	struct message *m;

	if (!rq->walking) {
		walk_init(&rq->walk, rq->q, &rq->sel, 0);
		rq->walking = true;
	}
	if (rq->q->store.ndirty > DIRTY_MAX) {
		store_checkpoint(&rq->q->store, true);
		say_progress(rq);
		return true;
	}
	while (walk_next(&rq->walk, &id)) {
		rq->seen++;
		if (matches(rq, id) && (m = store_message(&rq->q->store, id)) != NULL &&
		    rq->verb->change(rq, m))
			rq->changed++;
		if (clock_mono_ms() >= end) {
			say_progress(rq);
			return true;
		}
	}
	return change_end(rq);
}

/* ---- parts of changes ---- */

/* Recipients have to be in memory to be changed. */
static bool
loaded(struct request *rq, struct message *m)
{
	return m->rcpts != NULL || store_recipients(&rq->q->store, m) == 0;
}

/* Takes what is queued out of the schedule; jobs under way go on. */
static void
withdraw(struct request *rq, struct message *m)
{
	uint32_t i;

	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL && m->rcpts[i]->state == RCPT_QUEUED)
			sched_remove(rq->q->sched, m->rcpts[i]);
}

/* On with it: by the schedule if it is in work, else when there is room. */
static void
go_on(struct request *rq, struct message *m)
{
	if ((m->flags & MESSAGE_ACTIVE) != 0)
		qmgr_run(rq->q, m);
	else
		qmgr_activate(rq->q, m);
}

static bool
waits_for_time(struct request *rq, const struct message *m)
{
	return (m->flags & MESSAGE_EXPANDED) == 0 &&
	    store_release_ms(&rq->q->store, m) > store_now_ms(&rq->q->store);
}

/* ---- retry, flush ---- */

/* A retry that was asked for goes through defer_transports too; so long after it. */
#define FORCED_MS	10000

bool
change_retry(struct request *rq, struct message *m)
{
	struct qmgr *q = rq->q;
	uint64_t now = store_now_ms(&q->store);
	bool changed = false;
	struct recipient *r;
	uint32_t i;

	/* What waits for a time that its user named is let go by release alone. */
	if ((m->flags & (MESSAGE_HELD | MESSAGE_KEPT)) != 0 || waits_for_time(rq, m)) {
		store_settle(&q->store, m);
		return false;
	}
	q->forced_until_ms = clock_mono_ms() + FORCED_MS;
	if ((m->flags & MESSAGE_EXPANDED) == 0) {
		m->due_ms = now;
		store_log_message(&q->store, m);
		go_on(rq, m);
		return true;
	}
	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || !selection_match_recipient(&rq->sel, r))
			continue;
		r->due_ms = now;
		if (r->route != NULL && r->route->dest != NULL)
			sched_revive(q->sched, r->route->dest);
		store_touch(&q->store, m, r);
		changed = true;
	}
	go_on(rq, m);
	return changed;
}

const char *
flush_begin(struct request *rq)
{
	rq->sel.domain = request_take_text(rq, "domain");
	rq->sel.all = rq->sel.domain == NULL;
	return NULL;
}

/* ---- delete ---- */

bool
change_delete(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;
	struct recipient **gone;
	size_t n = 0;
	uint32_t i;

	withdraw(rq, m);
	if (m->njobs == 0 && m->nbusy == 0) {
		store_finish(s, m);
		return true;
	}
	/* What is under way may still arrive; nothing else of it will. */
	if (!loaded(rq, m))
		return false;
	gone = xreallocarray(NULL, (size_t)m->nrcpts + 1, sizeof(*gone));
	for (i = 0; i < m->nrcpts; i++) {
		/* One that is being asked for too: its answer comes to nothing. */
		if (m->rcpts[i] == NULL || m->rcpts[i]->state != RCPT_WAIT)
			continue;
		m->rcpts[i]->state = RCPT_FAILED;
		m->rcpts[i]->report = 0;
		gone[n++] = m->rcpts[i];
	}
	if (n > 0)
		store_log_rows(s, m, gone, n);
	xfree(gone);
	store_settle(s, m);
	return true;
}

/* ---- hold, release ---- */

const char *
hold_begin(struct request *rq)
{
	rq->text = request_take_text(rq, "reason");
	return NULL;
}

bool
change_hold(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;

	if ((m->flags & (MESSAGE_HELD | MESSAGE_KEPT)) != 0) {
		store_settle(s, m);
		return false;
	}
	withdraw(rq, m);
	m->flags |= MESSAGE_HELD;
	xfree(m->hold);
	m->hold = xstrdup(rq->text != NULL ? rq->text : "by the administrator");
	store_log_message(s, m);
	store_settle(s, m);
	return true;
}

bool
change_release(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;

	/*
	 * Before the time that its user named only if this message is meant:
	 * `release all` is about what is on hold.
	 */
	if ((m->flags & MESSAGE_HELD) == 0 && rq->sel.ids != NULL && waits_for_time(rq, m)) {
		m->until_s = 0;
	} else if ((m->flags & MESSAGE_HELD) == 0) {
		store_settle(s, m);
		return false;
	}
	/* What could not be read may be readable again. */
	m->flags &= (uint16_t)~(MESSAGE_HELD | MESSAGE_DAMAGED);
	xfree(m->hold);
	m->hold = NULL;
	if ((m->flags & MESSAGE_EXPANDED) == 0)
		m->due_ms = store_now_ms(s);
	store_log_message(s, m);
	go_on(rq, m);
	return true;
}

/* ---- requeue ---- */

/*
 * Addresses are expanded and routed once more; what is delivered or failed
 * stays so, and an address that came out of an alias is not put back.
 */
bool
change_requeue(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;
	struct recipient **again, *r;
	size_t n = 0;
	uint32_t i;

	if ((m->flags & (MESSAGE_HELD | MESSAGE_KEPT)) != 0 || !loaded(rq, m)) {
		store_settle(s, m);
		return false;
	}
	withdraw(rq, m);
	expander_renew(rq->q);
	m->due_ms = store_now_ms(s);
	again = xreallocarray(NULL, (size_t)m->nrcpts + 1, sizeof(*again));
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || (r->flags & RCPT_EXPANDING) != 0)
			continue;
		if ((r->flags & RCPT_ROUTED) != 0)
			r->flags = (uint8_t)((r->flags & ~(unsigned)RCPT_ROUTED) | RCPT_FINAL);
		route_release(s->routes, r->route);
		r->route = NULL;
		r->due_ms = m->due_ms;
		again[n++] = r;
	}
	if (n > 0 && (m->flags & MESSAGE_EXPANDED) != 0)
		store_log_rows(s, m, again, n);
	xfree(again);
	go_on(rq, m);
	return n > 0;
}

/* ---- expire ---- */

static void
expire_recipient(struct request *rq, struct message *m, struct recipient *r)
{
	struct view last = recipient_reply(r);
	struct buf words;

	buf_init(&words, 8192);
	buf_put_str(&words, "message expired by the administrator");
	if (last.len > 0)
		buf_printf(&words, "; the last answer was: %.*s", VIEW_ARG(view_head(last, 4000)));
	recipient_set_status(r, VIEW("5.4.7"), recipient_relay(r).len > 0 ? recipient_relay(r) :
	    VIEW("none"), buf_view(&words));
	buf_fini(&words);
	r->state = RCPT_FAILED;
	qmgr_recipient_failed(rq->q, m, r);
	qmgr_log_outcome(rq->q, m, r, "qmgr", "expired", 0, 0, 0);
}

bool
change_expire(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;
	struct recipient **gone, *r;
	size_t n = 0;
	uint32_t i;

	if ((m->flags & MESSAGE_KEPT) != 0 || !loaded(rq, m)) {
		store_settle(s, m);
		return false;
	}
	withdraw(rq, m);
	m->flags |= MESSAGE_EXPANDED;
	m->flags &= (uint16_t)~MESSAGE_HELD;
	gone = xreallocarray(NULL, (size_t)m->nrcpts + 1, sizeof(*gone));
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || (r->flags & RCPT_EXPANDING) != 0)
			continue;
		expire_recipient(rq, m, r);
		gone[n++] = r;
	}
	if (n > 0)
		store_log_rows(s, m, gone, n);
	xfree(gone);
	go_on(rq, m);
	return n > 0;
}

/* ---- priority ---- */

const char *
priority_begin(struct request *rq)
{
	uint64_t n;

	if (request_take_u64(rq, "priority", SCHED_CLASSES - 1, &n) != 0)
		return "priority is a number from 0 (last) to 4 (first)";
	rq->number = (unsigned)n;
	return NULL;
}

bool
change_priority(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;
	bool waits = m->nbusy > 0;

	if (m->priority == rq->number) {
		store_settle(s, m);
		return false;
	}
	withdraw(rq, m);
	m->priority = (uint8_t)rq->number;
	store_log_message(s, m);
	if (waits)
		go_on(rq, m);
	else
		store_settle(s, m);
	return true;
}

/* ---- freeze, thaw ---- */

static const char *const scope_names[SCHED_SCOPES] = { "all", "domain", "transport" };

static const char *
scope_begin(struct request *rq)
{
	char *scope = request_take_text(rq, "scope"), *name = request_take_text(rq, "name");
	unsigned kind = SCHED_SCOPES;

	for (kind = 0; kind < SCHED_SCOPES; kind++)
		if (scope != NULL && strcmp(scope, scope_names[kind]) == 0)
			break;
	xfree(scope);
	rq->text = name != NULL ? view_dup_lower(view_str(name)) : NULL;
	xfree(name);
	rq->number = kind;
	if (kind == SCHED_SCOPES)
		return "scope is all, domain or transport";
	if ((kind == SCHED_SCOPE_ALL) != (rq->text == NULL))
		return kind == SCHED_SCOPE_ALL ? "all has no name" : "which one? a name is wanted";
	if (kind == SCHED_SCOPE_TRANSPORT &&
	    sched_transport(rq->q->sched, view_str(rq->text)) == NULL)
		return "no such transport";
	return NULL;
}

const char *
freeze_begin(struct request *rq)
{
	return scope_begin(rq);
}

const char *
thaw_begin(struct request *rq)
{
	return scope_begin(rq);
}

/* What is queued already waits with the rest; jobs under way go on. */
static void
set_aside(struct request *rq, struct message *m)
{
	struct store *s = &rq->q->store;
	struct recipient **frozen, *r;
	size_t n = 0;
	uint32_t i;

	if (m->rcpts == NULL || m->nbusy == 0)
		return;
	frozen = xreallocarray(NULL, (size_t)m->nrcpts + 1, sizeof(*frozen));
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_QUEUED || !sched_frozen(rq->q->sched, r))
			continue;
		sched_remove(rq->q->sched, r);
		qmgr_set_aside(rq->q, r);
		frozen[n++] = r;
	}
	if (n > 0) {
		store_log_rows(s, m, frozen, n);
		store_settle(s, m);
	}
	xfree(frozen);
}

bool
freeze_step(struct request *rq)
{
	struct view name = view_str(rq->text);
	struct message *m;
	size_t i;

	store_log_scope(&rq->q->store, true, rq->number, name);
	sched_freeze(rq->q->sched, true, (enum sched_scope)rq->number, name);
	child_audit(rq->q->child, rq->uid, "%s %s %s", rq->verb->name, scope_names[rq->number],
	    rq->text != NULL ? rq->text : "");
	walk_init(&rq->walk, rq->q, &rq->sel, 0);
	rq->walking = true;
	/* Only what is in memory can be queued. */
	for (i = 0; i < rq->walk.nmem; i++)
		if ((m = store_peek(&rq->q->store, rq->walk.mem[i])) != NULL)
			set_aside(rq, m);
	buf_put_str(&rq->out, "{\"version\":1");
	put_scopes(&rq->out, rq->q);
	buf_put_char(&rq->out, '}');
	request_part(rq, false, NULL);
	return false;
}

bool
change_thaw(struct request *rq, struct message *m)
{
	uint64_t now = store_now_ms(&rq->q->store);
	bool changed = false;
	struct recipient *r;
	uint32_t i;

	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || (r->flags & RCPT_FROZEN) == 0 || r->state != RCPT_WAIT ||
		    sched_frozen(rq->q->sched, r))
			continue;
		r->flags &= (uint8_t)~RCPT_FROZEN;
		r->due_ms = now;
		store_touch(&rq->q->store, m, r);
		changed = true;
	}
	if (changed)
		go_on(rq, m);
	else
		store_settle(&rq->q->store, m);
	return changed;
}

/* The scope is open at once; then what waited for it is called. */
bool
thaw_step(struct request *rq)
{
	struct view name = view_str(rq->text);

	if (!rq->walking) {
		store_log_scope(&rq->q->store, false, rq->number, name);
		sched_freeze(rq->q->sched, false, (enum sched_scope)rq->number, name);
		rq->sel.all = rq->number == SCHED_SCOPE_ALL;
		if (rq->number == SCHED_SCOPE_DOMAIN)
			rq->sel.domain = xstrdup(rq->text);
		if (rq->number == SCHED_SCOPE_TRANSPORT)
			rq->sel.transport = xstrdup(rq->text);
	}
	return change_step(rq);
}
