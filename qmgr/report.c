/* SPDX-License-Identifier: ISC */
/*
 * report.c: has bounce compose what senders are told (RFC 3461, 3464).
 *
 * Run by qmgr. Recipients that failed, were delayed or succeeded together are
 * reported together: at once when nothing else of the message is under way,
 * else within REPORT_GATHER_MS. A report is marked as made when its own
 * record is taken in (QUEUE.md Q11, Q12), never by a worker's word.
 */
#include "qmgr/qmgr.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/dsn.h"
#include "qmgr/sched.h"
#include "queue/bounce.h"
#include "queue/record.h"

#define REPORT_GATHER_MS	2000
#define REPORT_AGAIN_MS		1000
/* The account shares a packet with recipients and header. */
#define ACCOUNT_MAX		(24U << 10)
#define ROWS_MAX		100

static enum bounce_kind
bounce_kind(unsigned kind)
{
	return kind == RECORD_DSN_FAILED ? BOUNCE_FAILED :
	    kind == RECORD_DSN_DELAYED ? BOUNCE_DELAYED : BOUNCE_SUCCESS;
}

static void
put_row(struct qmgr *q, struct buf *b, const struct message *m, const struct recipient *r,
    unsigned kind)
{
	struct bounce_row row = {
		.index = r->index,
		.action = kind == RECORD_DSN_FAILED ? DSN_FAILED :
		    kind == RECORD_DSN_DELAYED ? DSN_DELAYED : r->action,
		.last_attempt_ms = r->last_ms,
		.dsn = recipient_dsn(r),
		.reply = recipient_reply(r),
		.relay = recipient_relay(r),
	};

	if (kind == RECORD_DSN_DELAYED)
		row.retry_until_ms = message_life_begin_ms(m) + q->conf->maximal_queue_lifetime;
	bounce_encode_row(b, &row);
}

/* One job with as many recipients as fit. False if no worker has room. */
static bool
send_some(struct qmgr *q, struct message *m, unsigned kind)
{
	struct recipient *rs[ROWS_MAX], *r;
	struct buf b;
	size_t n = 0;
	uint32_t i;
	bool sent = true;

	buf_init(&b, IPC_BODY_MAX);
	bounce_encode_begin(&b, bounce_kind(kind));
	for (i = 0; i < m->nrcpts && n < ROWS_MAX && b.len < ACCOUNT_MAX - BOUNCE_ROW_MAX; i++) {
		r = m->rcpts[i];
		if (r == NULL || (r->report & 1U << kind) == 0 ||
		    (r->flags & RCPT_REPORTING) != 0)
			continue;
		put_row(q, &b, m, r, kind);
		rs[n++] = r;
	}
	if (n > 0 && bounce_encode_end(&b) == 0)
		sent = jobs_report(q, m, kind, rs, n, buf_view(&b));
	buf_fini(&b);
	return sent;
}

static bool
any_left(const struct message *m, unsigned kind)
{
	const struct recipient *r;
	uint32_t i;

	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r != NULL && (r->report & 1U << kind) != 0 &&
		    (r->flags & RCPT_REPORTING) == 0)
			return true;
	}
	return false;
}

static void
on_durable(void *arg, uint64_t id)
{
	struct qmgr *q = arg;
	struct message *m = store_peek(&q->store, id);

	if (m == NULL)
		return;
	m->report_ms = 0;
	qmgr_run(q, m);
}

/*
 * QUEUE.md Q11: the failure is on disk before its report is made, so that
 * after a crash the report that is found says what is known, once.
 */
static bool
may_report(struct qmgr *q, struct message *m)
{
	if (store_rows_durable(&q->store, m))
		return true;
	/* Not due again before the disk has answered. */
	m->report_ms = store_now_ms(&q->store) + REPORT_AGAIN_MS;
	store_when_durable(&q->store, on_durable, q, m->id);
	return false;
}

void
reporter_run(struct qmgr *q, struct message *m)
{
	uint64_t now = store_now_ms(&q->store);
	unsigned kind;

	if (m->rcpts == NULL || (m->flags & (MESSAGE_HELD | MESSAGE_DAMAGED)) != 0)
		return;
	for (kind = 0; kind < RECORD_DSN_KINDS; kind++) {
		if (!any_left(m, kind))
			continue;
		if (m->report_ms == 0 && m->nbusy > 0)
			m->report_ms = now + REPORT_GATHER_MS;
		if (m->report_ms > now || q->draining) {
			store_wake(&q->store, m, m->report_ms > now ? m->report_ms : now + 1000);
			continue;
		}
		if (!may_report(q, m))
			return;
		while (any_left(m, kind)) {
			if (send_some(q, m, kind))
				continue;
			m->report_ms = now + REPORT_AGAIN_MS;
			store_wake(&q->store, m, m->report_ms);
			return;
		}
	}
}
