/* SPDX-License-Identifier: ISC */
/*
 * qmgr.c: a message's way through the queue manager.
 *
 * Run by qmgr, alone in the queue directory, as its own user. Here intake,
 * expansion, schedule, outcome and report meet: what is done with a message
 * next, and what an outcome means for a recipient. It trusts none of its
 * peers with more than their own part (each file says how).
 */
#include "qmgr/qmgr.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/child_log.h"
#include "ipc/route.h"
#include "mail/dsn.h"
#include "qmgr/sched.h"
#include "queue/record.h"
#include "sys/stats.h"

/* A frozen recipient is looked at again after this; a thaw comes first. */
#define FROZEN_WAIT_MS	600000
/* A record that could not be read is tried again after this. */
#define UNREADABLE_WAIT_MS	10000

/* ---- the log ---- */

static void
put_delay(struct buf *b, uint64_t ms)
{
	if (ms >= 10000)
		buf_printf(b, "%" PRIu64, (ms + 500) / 1000);
	else if (ms >= 1000)
		buf_printf(b, "%" PRIu64 ".%" PRIu64, ms / 1000, ms % 1000 / 100);
	else if (ms >= 10)
		buf_printf(b, "0.%02" PRIu64, ms / 10);
	else if (ms > 0)
		buf_printf(b, "0.00%" PRIu64, ms);
	else
		buf_put_char(b, '0');
}

void
qmgr_log_outcome(struct qmgr *q, const struct message *m, const struct recipient *r,
    const char *program, const char *what, uint64_t queued_ms, uint64_t connect_ms,
    uint64_t send_ms)
{
	uint64_t now = store_now_ms(&q->store), mono = clock_mono_ms();
	uint64_t total = now > m->arrival_ms ? now - m->arrival_ms : 0;
	uint64_t since_queued = mono > queued_ms ? mono - queued_ms : 0;
	uint64_t moved = connect_ms + send_ms, b_ms;
	struct view orig = recipient_orig(r), relay = recipient_relay(r), dsn = recipient_dsn(r);
	char id[RECORD_ID_TEXT_MAX];
	struct buf b;

	b_ms = since_queued > moved ? since_queued - moved : 0;
	record_id_format(m->id, id);
	buf_init(&b, LOG_LINE_MAX * 2);
	buf_printf(&b, "%s: to=<%.*s>, ", id, VIEW_ARG(recipient_address(r)));
	if (orig.len > 0)
		buf_printf(&b, "orig_to=<%.*s>, ", VIEW_ARG(orig));
	buf_printf(&b, "relay=%.*s, delay=", VIEW_ARG(relay.len > 0 ? relay : VIEW("none")));
	put_delay(&b, total);
	buf_put_str(&b, ", delays=");
	put_delay(&b, total > since_queued ? total - since_queued : 0);
	buf_put_char(&b, '/');
	put_delay(&b, b_ms);
	buf_put_char(&b, '/');
	put_delay(&b, connect_ms);
	buf_put_char(&b, '/');
	put_delay(&b, send_ms);
	buf_printf(&b, ", dsn=%.*s, status=%s (%.*s)", VIEW_ARG(dsn), what,
	    VIEW_ARG(recipient_reply(r)));
	child_log_info_as(child_log_voice(program), "%s", buf_cstr(&b));
	buf_fini(&b);
	stats_observe(STATS_H_deliver_us, since_queued * 1000);
}

static void
announce(struct message *m)
{
	char id[RECORD_ID_TEXT_MAX];

	if ((m->flags & MESSAGE_ANNOUNCED) != 0)
		return;
	m->flags |= MESSAGE_ANNOUNCED;
	record_id_format(m->id, id);
	log_info("%s: from=<%s>, size=%" PRIu64 ", nrcpt=%" PRIu32 " (queue active)", id,
	    m->sender->text, m->header_bytes + m->content_bytes, m->nopen);
}

/* ---- outcomes ---- */

static bool
wants(const struct message *m, const struct recipient *r, unsigned notify_bit)
{
	/* Never a report on a report: RFC 3464 2, RFC 5321 6.1. */
	if (m->sender->len == 0 || (r->notify & RECORD_NOTIFY_NEVER) != 0)
		return false;
	if (r->notify == RECORD_NOTIFY_DEFAULT)
		return notify_bit != RECORD_NOTIFY_SUCCESS;
	return (r->notify & notify_bit) != 0;
}

static void
want_report(struct message *m, struct recipient *r, unsigned kind)
{
	uint8_t bit = (uint8_t)(1U << kind);

	if (((r->report | r->reported) & bit) != 0)
		return;
	r->report |= bit;
	if (m->nbusy == 0)
		m->report_ms = 0;
}

void
qmgr_recipient_sent(struct qmgr *q, struct message *m, struct recipient *r, unsigned flags)
{
	q->sent++;
	r->state = RCPT_SENT;
	r->report = 0;
	if ((flags & JOB_FLAG_DSN_PASSED) == 0 && wants(m, r, RECORD_NOTIFY_SUCCESS)) {
		r->action = (flags & JOB_FLAG_FINAL) != 0 ? DSN_DELIVERED : DSN_RELAYED;
		want_report(m, r, RECORD_DSN_SUCCESS);
	}
}

void
qmgr_recipient_failed(struct qmgr *q, struct message *m, struct recipient *r)
{
	char id[RECORD_ID_TEXT_MAX];

	q->bounced++;
	r->state = RCPT_FAILED;
	r->report = 0;
	if (wants(m, r, RECORD_NOTIFY_FAILURE)) {
		want_report(m, r, RECORD_DSN_FAILED);
		return;
	}
	if (m->sender->len == 0) {
		record_id_format(m->id, id);
		log_info("%s: undeliverable report to <%.*s> dropped", id,
		    VIEW_ARG(recipient_address(r)));
	}
}

bool
qmgr_recipient_deferred(struct qmgr *q, struct message *m, struct recipient *r,
    const struct conf *transport)
{
	uint64_t now = store_now_ms(&q->store), begin, age, life;

	q->deferred++;
	begin = message_life_begin_ms(m);
	age = now > begin ? now - begin : 0;
	life = retry_lifetime_ms(q->conf, transport, m->sender->len == 0);
	if (age >= life) {
		qmgr_recipient_failed(q, m, r);
		return false;
	}
	r->state = RCPT_WAIT;
	r->due_ms = now + retry_wait_ms(transport, r->attempts, m->id);
	/* The last attempt is at the end of the lifetime, not an hour after it. */
	if (r->due_ms > begin + life)
		r->due_ms = begin + life > now + 1000 ? begin + life : now + 1000;
	if (q->conf->delay_warning_time > 0 && age >= q->conf->delay_warning_time &&
	    wants(m, r, RECORD_NOTIFY_DELAY))
		want_report(m, r, RECORD_DSN_DELAYED);
	return true;
}

void
qmgr_damaged(struct qmgr *q, struct message *m, int error)
{
	char id[RECORD_ID_TEXT_MAX];

	record_id_format(m->id, id);
	if (error == PK_EIO || error == PK_ESYS) {
		/* A disk that fails to answer, no descriptor free: it may be whole (F3). */
		log_error("%s: record in segment %" PRIu64 " cannot be read now (%s)", id,
		    m->segment, pk_strerror(error));
		m->due_ms = store_now_ms(&q->store) + UNREADABLE_WAIT_MS;
		return;
	}
	log_error("%s: record in segment %" PRIu64 " at %" PRIu64 " cannot be used (%s): held", id,
	    m->segment, m->offset, pk_strerror(error));
	m->flags |= MESSAGE_HELD | MESSAGE_DAMAGED;
	xfree(m->hold);
	m->hold = xasprintf("damaged: %s", pk_strerror(error));
	store_log_message(&q->store, m);
}

/* ---- the schedule ---- */

/* Next hop of the error transport: "5.1.1 words" or words. */
static const char *
do_error(struct qmgr *q, struct message *m, struct recipient *r, const struct conf *c)
{
	struct view text = route_nexthop(r->route), dsn = VIEW("5.0.0");
	ptrdiff_t blank = view_find(text, ' ');

	if (text.len > 4 && ascii_isdigit(text.p[0]) && text.p[1] == '.' && blank > 0) {
		dsn = view_head(text, (size_t)blank);
		text = view_trim(view_from(text, (size_t)blank));
	}
	if (text.len == 0)
		text = VIEW("address is not deliverable");
	r->last_ms = store_now_ms(&q->store);
	r->attempts++;
	recipient_set_status(r, dsn, VIEW("none"), text);
	if (dsn.p[0] == '4')
		return qmgr_recipient_deferred(q, m, r, c) ? "deferred" : "expired";
	qmgr_recipient_failed(q, m, r);
	stats_add(STATS_C_deliver_bounced, 1);
	return "bounced";
}

static const char *
do_discard(struct qmgr *q, struct message *m, struct recipient *r)
{
	struct view why = route_nexthop(r->route);

	r->last_ms = store_now_ms(&q->store);
	r->attempts++;
	recipient_set_status(r, VIEW("2.0.0"), VIEW("none"), why.len > 0 ? why : VIEW("discarded"));
	qmgr_recipient_sent(q, m, r, JOB_FLAG_FINAL);
	stats_add(STATS_C_deliver_sent, 1);
	return "sent";
}

static const char *
suspend(struct qmgr *q, struct message *m, struct recipient *r, const struct destination *d)
{
	struct buf b;

	buf_init(&b, 1000);
	buf_printf(&b, "delivery temporarily suspended: %s",
	    d->last_error != NULL ? d->last_error : "next hop is not reachable");
	recipient_set_status(r, view_str(d->last_dsn != NULL ? d->last_dsn : "4.4.1"),
	    VIEW("none"), buf_view(&b));
	buf_fini(&b);
	/* Not tried; but the wait grows all the same, as a dead host's does. */
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	return qmgr_recipient_deferred(q, m, r, d->transport->conf) ? "deferred" : "expired";
}

void
qmgr_set_aside(struct qmgr *q, struct recipient *r)
{
	r->flags |= RCPT_FROZEN;
	r->due_ms = store_now_ms(&q->store) + FROZEN_WAIT_MS;
}

/* Queues r, or has its outcome at once: then its word for the log, else NULL. */
static const char *
place(struct qmgr *q, struct message *m, struct recipient *r, bool *changed)
{
	struct destination *d;

	*changed = true;
	if (sched_frozen(q->sched, r)) {
		qmgr_set_aside(q, r);
		return NULL;
	}
	r->flags &= (uint8_t)~RCPT_FROZEN;
	d = sched_destination(q->sched, r->route);
	if (d == NULL) {
		recipient_set_status(r, VIEW("4.3.5"), VIEW("none"),
		    VIEW("transport is not in the configuration"));
		r->attempts++;
		return qmgr_recipient_deferred(q, m, r, q->conf) ? "deferred" : "expired";
	}
	if (d->transport->put_off && clock_mono_ms() >= q->forced_until_ms) {
		recipient_set_status(r, VIEW("4.3.2"), VIEW("none"), VIEW("deferred transport"));
		r->attempts++;
		return qmgr_recipient_deferred(q, m, r, d->transport->conf) ? "deferred" :
		    "expired";
	}
	if (d->transport->type == TRANSPORT_ERROR)
		return do_error(q, m, r, d->transport->conf);
	if (d->transport->type == TRANSPORT_DISCARD)
		return do_discard(q, m, r);
	if (sched_dead(q->sched, d))
		return suspend(q, m, r, d);
	sched_add(q->sched, d, m, r);
	*changed = false;
	return NULL;
}

static bool
is_discarded(struct qmgr *q, const struct recipient *r)
{
	const struct transport *t = sched_transport(q->sched, route_transport(r->route));

	return t != NULL && t->type == TRANSPORT_DISCARD;
}

static void
schedule(struct qmgr *q, struct message *m)
{
	uint64_t now = store_now_ms(&q->store);
	struct recipient *small[16], **changed = small, *r;
	const char *what;
	uint32_t i;
	size_t n = 0;
	bool differs;

	if (m->nrcpts > NELEMS(small))
		changed = xreallocarray(NULL, m->nrcpts, sizeof(*changed));
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || r->due_ms > now || r->route == NULL)
			continue;
		what = place(q, m, r, &differs);
		if (what != NULL)
			qmgr_log_outcome(q, m, r, is_discarded(q, r) ? "discard" : "error", what,
			    clock_mono_ms(), 0, 0);
		if (differs)
			changed[n++] = r;
	}
	if (n > 0)
		store_log_rows(&q->store, m, changed, n);
	if (changed != small)
		xfree(changed);
}

/*
 * A retry goes where the tables lead by now, not where they led when it was
 * deferred. route_to() sets due_ms to 0: what was just asked is not asked
 * again.
 */
static void
forget_old_routes(struct qmgr *q, struct message *m, uint64_t now)
{
	struct recipient *r;
	uint32_t i;

	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT || r->attempts == 0 || r->due_ms == 0 ||
		    r->due_ms > now || (r->flags & (RCPT_ROUTED | RCPT_EXPANDING)) != RCPT_ROUTED)
			continue;
		r->flags = (uint8_t)((r->flags & ~(unsigned)RCPT_ROUTED) | RCPT_FINAL);
		route_release(q->store.routes, r->route);
		r->route = NULL;
	}
}

static bool
needs_expansion(const struct message *m, uint64_t now)
{
	const struct recipient *r;
	uint32_t i;

	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r != NULL && r->state == RCPT_WAIT && r->due_ms <= now &&
		    (r->flags & (RCPT_ROUTED | RCPT_EXPANDING)) == 0)
			return true;
	}
	return false;
}

static bool
is_expanding(const struct message *m)
{
	uint32_t i;

	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL && (m->rcpts[i]->flags & RCPT_EXPANDING) != 0)
			return true;
	return false;
}

static bool
is_still(const struct message *m)
{
	return (m->flags & (MESSAGE_HELD | MESSAGE_DAMAGED | MESSAGE_FINISHED)) != 0;
}

void
qmgr_run(struct qmgr *q, struct message *m)
{
	uint64_t now = store_now_ms(&q->store);
	int rc;

	if ((m->flags & MESSAGE_KEPT) != 0 && !is_still(m) && m->due_ms <= now) {
		store_finish(&q->store, m);
		return;
	}
	if (is_still(m) || (m->flags & (MESSAGE_KEPT | MESSAGE_ACTIVE)) != MESSAGE_ACTIVE ||
	    q->draining) {
		store_settle(&q->store, m);
		return;
	}
	if ((rc = store_recipients(&q->store, m)) != 0) {
		qmgr_damaged(q, m, rc);
		store_settle(&q->store, m);
		return;
	}
	announce(m);
	if ((m->flags & MESSAGE_EXPANDED) == 0 && m->njobs > 0 && is_expanding(m))
		return;
	forget_old_routes(q, m, now);
	if (needs_expansion(m, now)) {
		/* Comes back here when all is known; m may be gone by then. */
		expander_start(q, m);
		return;
	}
	schedule(q, m);
	reporter_run(q, m);
	store_settle(&q->store, m);
}

static bool
has_room(const struct qmgr *q, const struct message *m)
{
	return q->nactive < QMGR_ACTIVE_MAX && (m->nopen <= QMGR_FEW_RECIPIENTS ||
	    recipient_count() < QMGR_RECIPIENTS_MAX);
}

/* Until then nothing is asked of lookupd either: routes of that day count. */
static bool
waits_for_time(struct qmgr *q, struct message *m)
{
	uint64_t release = store_release_ms(&q->store, m);

	if (release <= store_now_ms(&q->store) || (m->flags & MESSAGE_EXPANDED) != 0)
		return false;
	if (m->due_ms != release) {
		m->due_ms = release;
		store_changed(&q->store, m);
	}
	return true;
}

void
qmgr_activate(struct qmgr *q, struct message *m)
{
	if (tickets_wait(q, m) || waits_for_time(q, m)) {
		store_settle(&q->store, m);
		return;
	}
	if ((m->flags & MESSAGE_ACTIVE) == 0 && !is_still(m) && !q->draining &&
	    has_room(q, m) && !q->sched->frozen_all) {
		m->flags |= MESSAGE_ACTIVE;
		m->activated_ms = clock_mono_ms();
		q->nactive++;
		stats_set(STATS_C_queue_active, (int64_t)q->nactive);
	}
	qmgr_run(q, m);
}

/* ---- what the store and the schedule call ---- */

static void
store_due(void *arg, struct message *m)
{
	struct qmgr *q = arg;

	/* Nothing is begun any more; it is due for the next qmgr. */
	if (!q->draining)
		qmgr_activate(q, m);
}

static bool
store_keep(void *arg, struct message *m)
{
	struct qmgr *q = arg;
	bool failed = false;
	uint32_t i;

	if (q->conf->failed_keep_time == 0 || m->rcpts == NULL)
		return false;
	for (i = 0; i < m->nrcpts && !failed; i++)
		failed = m->rcpts[i] != NULL && m->rcpts[i]->state == RCPT_FAILED;
	m->due_ms = store_now_ms(&q->store) + q->conf->failed_keep_time;
	return failed;
}

static void
store_gone(void *arg, struct message *m)
{
	struct qmgr *q = arg;
	uint32_t i;

	if (m->rcpts != NULL && m->nbusy > 0)
		for (i = 0; i < m->nrcpts; i++)
			if (m->rcpts[i] != NULL && m->rcpts[i]->state == RCPT_QUEUED)
				sched_remove(q->sched, m->rcpts[i]);
	jobs_forget(q, m);
	if (m->nopen == 0)
		q->finished++;
	if ((m->flags & MESSAGE_ACTIVE) == 0)
		return;
	m->flags &= (uint16_t)~MESSAGE_ACTIVE;
	q->nactive--;
	feeder_kick(q);
}

static void
store_scope(void *arg, bool on, unsigned kind, struct view name)
{
	struct qmgr *q = arg;

	if (kind < SCHED_SCOPES)
		sched_freeze(q->sched, on, (enum sched_scope)kind, name);
}

static void
put_scope(void *arg, enum sched_scope kind, struct view name)
{
	uint16_t len = (uint16_t)name.len;
	struct buf *b = arg;

	buf_put_char(b, (char)kind);
	buf_put(b, &len, sizeof(len));
	buf_put_view(b, name);
}

static void
store_scopes(void *arg, struct buf *b)
{
	struct qmgr *q = arg;

	sched_scopes(q->sched, put_scope, b);
}

const struct store_ops qmgr_store_ops = {
	.due = store_due,
	.keep = store_keep,
	.gone = store_gone,
	.scope = store_scope,
	.scopes = store_scopes,
};

static bool
sched_room(void *arg, struct destination *d)
{
	return jobs_room(arg, d);
}

static void
sched_deliver(void *arg, struct sched_job *j)
{
	jobs_deliver(arg, j);
}

static void
sched_suspend(void *arg, struct message *m, struct recipient *r, struct destination *d)
{
	const char *what = suspend(arg, m, r, d);
	struct qmgr *q = arg;

	qmgr_log_outcome(q, m, r, "error", what, clock_mono_ms(), 0, 0);
	store_log_rows(&q->store, m, &r, 1);
}

static void
sched_suspended(void *arg, struct message *m)
{
	qmgr_run(arg, m);
}

const struct sched_ops qmgr_sched_ops = {
	.room = sched_room,
	.deliver = sched_deliver,
	.suspend = sched_suspend,
	.suspended = sched_suspended,
};
