/* SPDX-License-Identifier: ISC */
/*
 * smtp_tour.c: the order in which a delivery goes through its route's hosts,
 * and where a job goes when a host has failed it.
 *
 * Runs in `deliver smtp` and `deliver lmtp`; touches no socket. A recipient
 * that a host deferred without having taken the message is held and tried at
 * the next one in the same delivery; smtp_mx_address_limit bounds the
 * addresses of a next hop, smtp_mx_session_limit the sessions in which a
 * transaction was begun there. Behind them stand the next hops that follow,
 * smtp_fallback_relay last.
 */
#include "deliver/smtp.h"

#include <bsd/stdlib.h>

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static unsigned
hop_of(const struct smtp_target *t)
{
	return t->rank >> SMTP_RANK_HOP_SHIFT;
}

const struct smtp_target *
smtp_order_target(const struct smtp_order *o, size_t i)
{
	return i < o->n ? &o->route->targets[o->at[i]] : NULL;
}

/* The first one behind the hop that i belongs to. */
static size_t
hop_end(const struct smtp_order *o, size_t i)
{
	unsigned hop = hop_of(smtp_order_target(o, i));

	while (i < o->n && hop_of(smtp_order_target(o, i)) == hop)
		i++;
	return i;
}

/* The end of the run of one rank (by_host: and one host) that begins at from. */
static size_t
run_end(const struct smtp_route *r, size_t from, size_t end, bool by_host)
{
	const struct smtp_target *a = &r->targets[from], *b;
	size_t i;

	for (i = from + 1; i < end; i++) {
		b = &r->targets[i];
		if (b->rank != a->rank ||
		    (by_host && strcmp(b->host, a->host) != 0))
			break;
	}
	return i;
}

/*
 * RFC 5321 5.1: the load is spread over hosts of equal preference. The route
 * is shuffled when it is looked up; connections begin at different hosts.
 */
static void
put_targets(struct smtp_order *o, bool randomize)
{
	const struct smtp_route *r = o->route;
	size_t from, end, at, hosts, skip, i;

	for (from = 0; from < r->ntargets; from = end) {
		end = run_end(r, from, r->ntargets, false);
		for (hosts = 0, at = from; at < end; hosts++)
			at = run_end(r, at, end, true);
		skip = hosts > 1 && randomize ?
		    arc4random_uniform((uint32_t)hosts) :
		    0;
		for (at = from; skip > 0; skip--)
			at = run_end(r, at, end, true);
		for (i = at; i < end; i++)
			o->at[o->n++] = (uint8_t)i;
		for (i = from; i < at; i++)
			o->at[o->n++] = (uint8_t)i;
	}
}

/* A host that broke off lately comes last of its next hop. */
static void
put_last(struct smtp_order *o, const char *relay)
{
	size_t i, end;
	uint8_t bad;

	for (i = 0; i < o->n; i++)
		if (strcmp(smtp_order_target(o, i)->relay, relay) == 0)
			break;
	if (i == o->n)
		return;
	end = hop_end(o, i);
	bad = o->at[i];
	memmove(&o->at[i], &o->at[i + 1], end - i - 1);
	o->at[end - 1] = bad;
}

static void
cut_hops(struct smtp_order *o, size_t most)
{
	size_t from, end, n = 0, len;

	for (from = 0; from < o->n; from = end) {
		end = hop_end(o, from);
		len = end - from < most ? end - from : most;
		memmove(&o->at[n], &o->at[from], len);
		/* What is behind `from` has not been moved. */
		n += len;
	}
	o->n = n;
}

void
smtp_order_init(struct smtp_order *o, const struct smtp_dest *dest)
{
	int64_t most = dest->conf->smtp_mx_address_limit;

	o->route = smtp_route_ref(dest->route);
	o->n = 0;
	put_targets(o, dest->conf->smtp_randomize_addresses);
	if (dest->avoid != NULL)
		put_last(o, dest->avoid);
	if (most > 0)
		cut_hops(o, (size_t)most);
}

void
smtp_order_copy(struct smtp_order *o, const struct smtp_order *from)
{
	*o = *from;
	o->route = smtp_route_ref(from->route);
}

void
smtp_order_fini(struct smtp_order *o)
{
	smtp_route_unref(&o->route);
	o->n = 0;
}

static size_t
order_find(const struct smtp_order *o, const struct smtp_target *t)
{
	size_t i = 0;

	while (i < o->n && smtp_order_target(o, i) != t)
		i++;
	return i;
}

/* ---- tours ---- */

/* Where a job is, and in how many sessions it was at this next hop. */
struct place {
	const struct smtp_order *order;
	size_t	at;
	int64_t	sessions;
};

static struct place
place_of(const struct smtp_conn *c, const struct job *j)
{
	const struct smtp_tour *t = j->tour;

	if (t != NULL)
		return (struct place){ &t->order, t->at, t->sessions };
	return (struct place){ &c->order, order_find(&c->order, c->target), 0 };
}

/* The place behind p when a session there is over; order->n: none. */
static size_t
place_next(const struct smtp_conn *c, const struct place *p)
{
	int64_t most = c->dest->conf->smtp_mx_session_limit;

	if (p->at >= p->order->n)
		return p->order->n;
	return most > 0 && p->sessions + 1 >= most ? hop_end(p->order, p->at) :
						     p->at + 1;
}

static bool
same_hop(const struct smtp_order *o, size_t a, size_t b)
{
	const struct smtp_target *ta = smtp_order_target(o, a),
	    *tb = smtp_order_target(o, b);

	return ta != NULL && tb != NULL && hop_of(ta) == hop_of(tb);
}

bool
smtp_tour_goes_on(const struct smtp_conn *c, const struct job *j)
{
	struct place p;

	/* It is tried again soon; nobody waits for another host now. */
	if (j->orphan || c->s->d->draining)
		return false;
	p = place_of(c, j);
	return place_next(c, &p) < p.order->n;
}

static void
tour_free(void *arg)
{
	struct smtp_tour *t = arg;

	smtp_order_fini(&t->order);
	xfree(t);
}

void
smtp_tour_advance(const struct smtp_conn *c, struct job *j)
{
	struct place p = place_of(c, j);
	size_t next = place_next(c, &p);
	struct smtp_tour *t = j->tour;
	int64_t sessions;

	/* The limit was lowered meanwhile: this host says the last word. */
	if (next == p.order->n)
		next = p.at;
	sessions = same_hop(p.order, p.at, next) ? p.sessions + 1 : 0;
	if (t == NULL) {
		t = XNEW(struct smtp_tour);
		smtp_order_copy(&t->order, p.order);
		j->tour = t;
		j->tour_free = tour_free;
	}
	t->at = next;
	t->sessions = sessions;
	job_release(j);
}

void
smtp_tour_arrive(const struct smtp_conn *c, struct job *j)
{
	struct smtp_tour *t = j->tour;
	size_t at = order_find(&t->order, c->target);

	if (at == t->order.n)
		return;
	if (!same_hop(&t->order, t->at, at))
		t->sessions = 0;
	t->at = at;
}

const struct smtp_target *
smtp_tour_target(const struct job *j)
{
	const struct smtp_tour *t = j->tour;

	return smtp_order_target(&t->order, t->at);
}
