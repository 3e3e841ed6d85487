/* SPDX-License-Identifier: ISC */
/*
 * admin_why.c: queue why DOMAIN: where mail for a domain is, and the reason
 * in words. Walks the queue for the routes that recipients of the domain
 * have, and adds what the schedule knows of each.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/admin_request.h"

#define ROUTES_MAX	64

struct way {
	struct route	*route;		/* a reference; NULL: not routed yet */
	uint64_t	 waiting;	/* recipients queued or active */
	uint64_t	 deferred, held;
	uint64_t	 next_due_ms;
	uint64_t	 last_ms;	/* of the last attempt */
	char		*last_reply;
};

struct why {
	struct qmgr	*q;
	struct way	 ways[ROUTES_MAX];
	size_t		 n;
};

static void
why_free(void *state)
{
	struct why *w = state;
	size_t i;

	for (i = 0; i < w->n; i++) {
		route_release(w->q->store.routes, w->ways[i].route);
		xfree(w->ways[i].last_reply);
	}
	xfree(w);
}

const char *
why_begin(struct request *rq)
{
	struct why *w;
	char *domain = request_take_text(rq, "domain");

	if (domain == NULL)
		return "which domain?";
	rq->sel.domain = view_dup_lower(view_str(domain));
	xfree(domain);
	w = XNEW(struct why);
	w->q = rq->q;
	rq->state = w;
	rq->free_state = why_free;
	walk_init(&rq->walk, rq->q, &rq->sel, 0);
	rq->walking = true;
	return NULL;
}

static struct way *
find_way(struct why *w, struct route *route)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (w->ways[i].route == route)
			return &w->ways[i];
	if (w->n == ROUTES_MAX)
		return NULL;
	w->ways[w->n].route = route != NULL ? route_ref(route) : NULL;
	return &w->ways[w->n++];
}

static void
count_recipient(struct why *w, const struct message *m, const struct recipient *r)
{
	struct way *way = find_way(w, r->route);

	if (way == NULL)
		return;
	if ((m->flags & MESSAGE_HELD) != 0)
		way->held++;
	else if (r->state == RCPT_QUEUED || r->state == RCPT_ACTIVE)
		way->waiting++;
	else {
		way->deferred++;
		if (r->due_ms != 0 && (way->next_due_ms == 0 || r->due_ms < way->next_due_ms))
			way->next_due_ms = r->due_ms;
	}
	if (r->last_ms >= way->last_ms && recipient_reply(r).len > 0) {
		way->last_ms = r->last_ms;
		xfree(way->last_reply);
		way->last_reply = view_dup(view_head(recipient_reply(r), 1000));
	}
}

/* Monotonic to wall, for printing. */
static uint64_t
wall_of(const struct qmgr *q, uint64_t mono_ms)
{
	return mono_ms == 0 ? 0 : mono_ms - q->store.mono_anchor_ms + q->store.wall_anchor_ms;
}

static void
put_span(struct buf *b, uint64_t from_ms, uint64_t to_ms)
{
	num_put_duration(b, to_ms > from_ms ? (to_ms - from_ms) / 1000 * 1000 : 0);
}

/* The answer to "why", as one would say it. */
static void
put_words(struct buf *out, const struct qmgr *q, const struct way *way,
    const struct destination *d, bool frozen)
{
	uint64_t now = store_now_ms(&q->store);
	uint64_t dead = d != NULL ? wall_of(q, d->dead_until_ms) : 0;
	const char *error = d != NULL && d->last_error != NULL ? d->last_error : way->last_reply;
	struct buf b;

	buf_init(&b, 8192);
	if (frozen)
		buf_put_str(&b, "frozen by the administrator until thawed");
	else if (way->route == NULL)
		buf_put_str(&b, "not routed yet: lookupd has not answered, or a table fails");
	else if (way->waiting == 0 && way->deferred == 0 && way->held > 0)
		buf_put_str(&b, "on hold until released");
	else if (dead > now) {
		buf_put_str(&b, "the destination does not work and is left alone for ");
		put_span(&b, now, dead);
	} else if (way->waiting > 0 && d != NULL && d->active > 0)
		buf_printf(&b, "being delivered: %u at a time", d->active);
	else if (way->waiting > 0)
		buf_put_str(&b, "about to be delivered");
	else if (way->next_due_ms > now) {
		buf_put_str(&b, "deferred, the next attempt is in ");
		put_span(&b, now, way->next_due_ms);
	} else
		buf_put_str(&b, "due now");
	if (error != NULL && error[0] != '\0')
		buf_printf(&b, "; last: %s", error);
	put_member_text(out, "text", buf_view(&b));
	buf_fini(&b);
}

static bool
way_frozen(const struct qmgr *q, const struct way *way, const char *domain)
{
	struct recipient r;
	struct buf address;
	bool frozen;

	if (way->route == NULL)
		return q->sched->frozen_all;
	/* sched_frozen() judges a recipient: any of the domain by this route will do. */
	memset(&r, 0, sizeof(r));
	buf_init(&address, 2048);
	buf_printf(&address, "x@%s", domain);
	r.route = way->route;
	r.address_len = (uint16_t)address.len;
	buf_put(&address, "\0\0\0\0", 4);
	r.text = buf_data(&address);
	frozen = q->sched->frozen_all || sched_frozen(q->sched, &r);
	buf_fini(&address);
	return frozen;
}

static void
put_way(struct request *rq, const struct way *way)
{
	const struct qmgr *q = rq->q;
	struct buf *b = &rq->out;
	struct destination *d = way->route != NULL ? way->route->dest : NULL;
	bool frozen = way_frozen(q, way, rq->sel.domain);

	buf_put_char(b, '{');
	if (way->route != NULL) {
		put_member_text(b, "transport", route_transport(way->route));
		put_member_text(b, "nexthop", route_nexthop(way->route));
	}
	put_words(b, q, way, d, frozen);
	if (d != NULL) {
		put_member_u64(b, "window", sched_window(d));
		put_member_u64(b, "active", d->active);
		put_member_time(b, "dead_until_ms", wall_of(q, d->dead_until_ms));
		put_member_time(b, "last_error_ms", d->last_error_ms);
	}
	put_member_u64(b, "waiting", way->waiting);
	put_member_u64(b, "deferred", way->deferred);
	put_member_u64(b, "hold", way->held);
	put_member_time(b, "next_due_ms", way->next_due_ms);
	if (d != NULL && d->last_error != NULL)
		put_member_text(b, "last_error", view_head(view_str(d->last_error), 1000));
	else if (way->last_reply != NULL)
		put_member_text(b, "last_error", view_str(way->last_reply));
	buf_put_str(b, frozen ? ",\"frozen\":true}" : ",\"frozen\":false}");
}

static bool
why_end(struct request *rq)
{
	struct why *w = rq->state;
	size_t i;

	buf_put_str(&rq->out, "{\"version\":1");
	put_member_text(&rq->out, "domain", view_str(rq->sel.domain));
	if (w->n == 0)
		put_member_text(&rq->out, "text",
		    VIEW("nothing in the queue is for this domain"));
	buf_put_str(&rq->out, ",\"destinations\":[");
	for (i = 0; i < w->n && rq->out.len < 2 * REQUEST_PART_BYTES; i++) {
		if (i > 0)
			buf_put_char(&rq->out, ',');
		put_way(rq, &w->ways[i]);
	}
	buf_put_str(&rq->out, "]}");
	request_part(rq, false, NULL);
	return false;
}

bool
why_step(struct request *rq)
{
	uint64_t end = clock_mono_ms() + REQUEST_STEP_MS, id;
	struct message *m;
	uint32_t i;
	bool own;

	while (walk_next(&rq->walk, &id)) {
		m = peek_begin(rq->q, id, &own);
		if (m == NULL)
			continue;
		for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++)
			if (m->rcpts[i] != NULL && selection_match_recipient(&rq->sel, m->rcpts[i]))
				count_recipient(rq->state, m, m->rcpts[i]);
		peek_end(rq->q, m, own);
		if (clock_mono_ms() >= end)
			return true;
	}
	return why_end(rq);
}
