/* SPDX-License-Identifier: ISC */
/*
 * sched.c: transports and destinations that take turns.
 *
 * Run by qmgr. See sched.h for what is fair to whom. Nothing here depends on
 * what a remote host says but the window, and that is bounded by the
 * configuration.
 */
#include "qmgr/sched.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/destination.h"

/* Turns of the classes: the lowest gets one of 31, never none. */
static const uint8_t weights[SCHED_CLASSES] = { 1, 2, 4, 8, 16 };
/* Jobs handed out before the loop looks at its channels again. */
#define PUMP_JOBS	500

static const struct {
	const char	*name;
	enum transport_type type;
} built_in[] = {
	{ "smtp", TRANSPORT_SMTP }, { "lmtp", TRANSPORT_LMTP },
	{ "mailbox", TRANSPORT_MAILBOX }, { "bounce", TRANSPORT_BOUNCE },
	{ "discard", TRANSPORT_DISCARD }, { "error", TRANSPORT_ERROR },
};

/* ---- transports ---- */

struct transport *
sched_transport(struct sched *s, struct view name)
{
	struct transport *t;

	TAILQ_FOREACH(t, &s->transports, link)
		if (view_eq(view_str(t->name), name))
			return t;
	return NULL;
}

static void
add_transport(struct sched *s, const struct conf *conf, struct view name, enum transport_type type)
{
	struct transport *t = sched_transport(s, name);
	int i;

	if (t == NULL) {
		t = XNEW(struct transport);
		t->name = view_dup(name);
		for (i = 0; i < SCHED_CLASSES; i++)
			TAILQ_INIT(&t->ready[i]);
		TAILQ_INSERT_TAIL(&s->transports, t, link);
	}
	t->type = type;
	t->conf = conf_scope(conf, t->name);
}

static bool
type_of(struct view word, enum transport_type *type_r)
{
	size_t i;

	for (i = 0; i < NELEMS(built_in); i++) {
		if (view_eq(view_str(built_in[i].name), word) &&
		    built_in[i].type != TRANSPORT_BOUNCE) {
			*type_r = built_in[i].type;
			return true;
		}
	}
	return false;
}

static bool
names(const char *list, const char *name)
{
	struct view rest = view_str(list), item;

	while (conf_list_next(&rest, &item))
		if (view_eq(item, view_str(name)))
			return true;
	return false;
}

void
sched_configure(struct sched *s, const struct conf *conf)
{
	struct view list = view_str(conf->transports), item, name;
	enum transport_type type;
	struct transport *t;
	ptrdiff_t colon;
	size_t i;

	/* A transport that left the configuration stays with the new defaults. */
	TAILQ_FOREACH(t, &s->transports, link)
		t->conf = conf_scope(conf, t->name);
	for (i = 0; i < NELEMS(built_in); i++)
		add_transport(s, conf, view_str(built_in[i].name), built_in[i].type);
	while (conf_list_next(&list, &item)) {
		colon = view_find(item, ':');
		name = view_head(item, colon > 0 ? (size_t)colon : 0);
		if (name.len == 0 || !type_of(view_from(item, (size_t)colon + 1), &type)) {
			log_warn("transports: \"%.*s\" is not name:type (smtp, lmtp, mailbox, "
			    "discard or error)", VIEW_ARG(item));
			continue;
		}
		add_transport(s, conf, name, type);
	}
	TAILQ_FOREACH(t, &s->transports, link)
		t->put_off = names(conf->defer_transports, t->name);
}

/* ---- readiness ---- */

/* The highest class with work. */
static unsigned
top_class(const struct destination *d)
{
	unsigned c = SCHED_CLASSES;

	while (c-- > 0)
		if (!TAILQ_EMPTY(&d->classes[c]))
			return c;
	return 0;
}

void
destination_unready(struct destination *d)
{
	if (!d->ready)
		return;
	TAILQ_REMOVE(&d->transport->ready[d->ready_class], d, link);
	d->ready = false;
}

void
destination_check_ready(struct sched *s, struct destination *d)
{
	uint64_t now = s->now_ms();
	bool may = d->entries > 0 && d->active < destination_allowance(d);

	if (may && d->next_ms > now) {
		heap_update(&s->timers, &d->timer, d->next_ms);
		destination_arm(s);
		may = false;
	}
	if (!may) {
		destination_unready(d);
		return;
	}
	if (d->ready && d->ready_class == top_class(d))
		return;
	destination_unready(d);
	d->ready = true;
	d->ready_class = top_class(d);
	TAILQ_INSERT_TAIL(&d->transport->ready[d->ready_class], d, link);
}

/* ---- entries and groups ---- */

static uint64_t
group_key(const struct destination *d, const struct sender *sender, unsigned class)
{
	uint64_t v[3] = { (uint64_t)(uintptr_t)d, (uint64_t)(uintptr_t)sender, class };

	return XXH3_64bits(v, sizeof(v));
}

static struct sched_group *
group_for(struct sched *s, struct destination *d, struct sender *sender, unsigned class)
{
	uint64_t key = group_key(d, sender, class);
	struct sched_group *g;

	/* Two that share a hash share a turn only if all else is equal too. */
	while ((g = map_get_u64(s->groups, key)) != NULL &&
	    (g->dest != d || g->sender != sender || g->class != class))
		key++;
	if (g != NULL)
		return g;
	g = XNEW(struct sched_group);
	g->dest = d;
	g->sender = sender;
	g->class = class;
	g->key = key;
	TAILQ_INIT(&g->entries);
	map_put_u64(s->groups, key, g);
	TAILQ_INSERT_TAIL(&d->classes[class], g, link);
	return g;
}

static void
group_drop(struct sched *s, struct sched_group *g)
{
	TAILQ_REMOVE(&g->dest->classes[g->class], g, link);
	map_del_u64(s->groups, g->key);
	xfree(g);
}

/* Its recipients have been taken. */
static void
entry_drop(struct sched *s, struct sched_entry *e)
{
	struct destination *d = e->dest;

	TAILQ_REMOVE(&e->group->entries, e, link);
	if (TAILQ_EMPTY(&e->group->entries))
		group_drop(s, e->group);
	if (d->last == e)
		d->last = NULL;
	if (--d->entries == 0)
		s->nwaiting_destinations--;
	xfree(e);
}

void
sched_add(struct sched *s, struct destination *d, struct message *m, struct recipient *r)
{
	struct sched_entry *e = d->last;

	if (e == NULL || e->m != m) {
		e = XNEW(struct sched_entry);
		e->m = m;
		e->dest = d;
		e->queued_ms = s->now_ms();
		TAILQ_INIT(&e->rcpts);
		e->group = group_for(s, d, m->sender,
		    m->priority < SCHED_CLASSES ? m->priority : SCHED_CLASSES - 1);
		TAILQ_INSERT_TAIL(&e->group->entries, e, link);
		d->last = e;
		if (d->entries++ == 0)
			s->nwaiting_destinations++;
	}
	TAILQ_INSERT_TAIL(&e->rcpts, r, link);
	e->nrcpts++;
	r->entry = e;
	r->state = RCPT_QUEUED;
	m->nbusy++;
	d->waiting++;
	d->transport->waiting++;
	s->waiting++;
	destination_busy(s, d);
	destination_check_ready(s, d);
	sched_kick(s);
}

static void
unqueue(struct sched *s, struct sched_entry *e, struct recipient *r)
{
	TAILQ_REMOVE(&e->rcpts, r, link);
	e->nrcpts--;
	e->dest->waiting--;
	e->dest->transport->waiting--;
	s->waiting--;
	r->entry = NULL;
}

void
sched_remove(struct sched *s, struct recipient *r)
{
	struct sched_entry *e = r->entry;
	struct destination *d = e->dest;

	unqueue(s, e, r);
	e->m->nbusy--;
	r->state = RCPT_WAIT;
	if (e->nrcpts == 0)
		entry_drop(s, e);
	destination_check_ready(s, d);
	destination_maybe_idle(s, d);
}

/* Everything that waits there goes back: the next hop is dead. */
void
destination_suspend(struct sched *s, struct destination *d)
{
	struct sched_group *g;
	struct sched_entry *e;
	struct recipient *r;
	struct message *m;
	unsigned c;

	for (c = 0; c < SCHED_CLASSES; c++) {
		while ((g = TAILQ_FIRST(&d->classes[c])) != NULL) {
			e = TAILQ_FIRST(&g->entries);
			m = e->m;
			while ((r = TAILQ_FIRST(&e->rcpts)) != NULL) {
				unqueue(s, e, r);
				m->nbusy--;
				r->state = RCPT_WAIT;
				s->ops->suspend(s->arg, m, r, d);
			}
			entry_drop(s, e);
			s->ops->suspended(s->arg, m);
		}
	}
	destination_unready(d);
}

/* ---- picking ---- */

/* Index of the class whose turn it is among those for which has() holds; -1: none. */
static int
pick_class(uint8_t *credit, bool (*has)(const void *, unsigned), const void *arg)
{
	int round;
	unsigned c;

	for (round = 0; round < 2; round++) {
		for (c = SCHED_CLASSES; c-- > 0;) {
			if (credit[c] > 0 && has(arg, c)) {
				credit[c]--;
				return (int)c;
			}
		}
		memcpy(credit, weights, sizeof(weights));
	}
	return -1;
}

static bool
destination_has(const void *arg, unsigned c)
{
	const struct destination *d = arg;

	return !TAILQ_EMPTY(&d->classes[c]);
}

static bool
transport_has(const void *arg, unsigned c)
{
	const struct transport *t = arg;

	return !TAILQ_EMPTY(&t->ready[c]);
}

/* Takes up to the recipient limit of the entry whose turn it is. */
static struct sched_job *
take_job(struct sched *s, struct destination *d)
{
	int c = pick_class(d->credit, destination_has, d);
	size_t limit = (size_t)d->transport->conf->destination_recipient_limit;
	struct sched_job *j;
	struct sched_group *g;
	struct sched_entry *e;
	struct recipient *r;

	if (c < 0)
		return NULL;
	g = TAILQ_FIRST(&d->classes[c]);
	e = TAILQ_FIRST(&g->entries);
	j = XNEW(struct sched_job);
	j->m = e->m;
	j->dest = d;
	j->queued_ms = e->queued_ms;
	j->rcpts = xreallocarray(NULL, e->nrcpts < limit ? e->nrcpts : limit, sizeof(*j->rcpts));
	while (j->nrcpts < limit && (r = TAILQ_FIRST(&e->rcpts)) != NULL) {
		unqueue(s, e, r);
		r->state = RCPT_ACTIVE;
		j->rcpts[j->nrcpts++] = r;
	}
	/* The sender goes to the end of its class. */
	TAILQ_REMOVE(&d->classes[c], g, link);
	TAILQ_INSERT_TAIL(&d->classes[c], g, link);
	if (e->nrcpts == 0)
		entry_drop(s, e);
	return j;
}

/* False when this transport can do no more now. */
static bool
pump_one(struct sched *s, struct transport *t)
{
	struct destination *d;
	struct sched_job *j;
	uint64_t delay = t->conf->destination_rate_delay;
	int c;

	if (t->frozen || t->active >= (unsigned)t->conf->transport_process_limit)
		return false;
	c = pick_class(t->credit, transport_has, t);
	if (c < 0)
		return false;
	d = TAILQ_FIRST(&t->ready[c]);
	if (!s->ops->room(s->arg, d))
		return false;
	destination_unready(d);
	j = take_job(s, d);
	if (j == NULL)
		return true;
	d->active++;
	t->active++;
	d->last_used_ms = s->now_ms();
	if (delay > 0)
		d->next_ms = d->last_used_ms + delay;
	destination_check_ready(s, d);
	s->ops->deliver(s->arg, j);
	return true;
}

void
sched_pump(struct sched *s)
{
	struct timeval now = { 0, 0 };
	struct transport *t;
	unsigned budget = PUMP_JOBS;
	bool more = true;

	/* Transports take turns too: a full one does not stop the others. */
	while (more && budget > 0 && !s->frozen_all && !s->stopped) {
		more = false;
		TAILQ_FOREACH(t, &s->transports, link) {
			if (budget == 0 || !pump_one(s, t))
				continue;
			more = true;
			budget--;
		}
	}
	if (budget == 0 && s->again != NULL)
		event_add(s->again, &now);
}

void
sched_kick(struct sched *s)
{
	if (s->loop != NULL)
		loop_defer(s->loop, &s->pump);
}

bool
sched_route_crowded(struct sched *s, struct route *r, size_t limit)
{
	struct destination *d = r->dest;
	struct transport *t = sched_transport(s, route_transport(r));

	if (t != NULL && t->frozen)
		return true;
	return d != NULL && d->waiting + d->active >= limit;
}

/* ---- freezes ---- */

void
sched_freeze(struct sched *s, bool on, enum sched_scope kind, struct view name)
{
	struct transport *t;

	switch (kind) {
	case SCHED_SCOPE_ALL:
		s->frozen_all = on;
		break;
	case SCHED_SCOPE_DOMAIN:
		if (on)
			map_put(s->frozen_domains, name, s);
		else
			map_del(s->frozen_domains, name);
		break;
	case SCHED_SCOPE_TRANSPORT:
		if ((t = sched_transport(s, name)) != NULL)
			t->frozen = on;
		break;
	case SCHED_SCOPES:
		break;
	}
	if (!on)
		sched_kick(s);
}

bool
sched_frozen(struct sched *s, const struct recipient *r)
{
	struct view domain;
	char lower[256];
	size_t i;

	struct transport *t;

	t = r->route != NULL ? sched_transport(s, route_transport(r->route)) : NULL;
	if (t != NULL && t->frozen)
		return true;
	if (map_count(s->frozen_domains) == 0)
		return false;
	domain = view_head(address_domain(recipient_address(r)), sizeof(lower));
	for (i = 0; i < domain.len; i++)
		lower[i] = ascii_lower(domain.p[i]);
	return map_get(s->frozen_domains, view_of(lower, domain.len)) != NULL;
}

void
sched_scopes(struct sched *s, void (*fn)(void *arg, enum sched_scope kind, struct view name),
    void *arg)
{
	struct transport *t;
	struct view key;
	size_t at = 0;
	void *v;

	if (s->frozen_all)
		fn(arg, SCHED_SCOPE_ALL, VIEW(""));
	while (map_next(s->frozen_domains, &at, &key, &v))
		fn(arg, SCHED_SCOPE_DOMAIN, key);
	TAILQ_FOREACH(t, &s->transports, link)
		if (t->frozen)
			fn(arg, SCHED_SCOPE_TRANSPORT, view_str(t->name));
}

/* ---- life ---- */

static void
on_pump(void *arg)
{
	sched_pump(arg);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sched_pump(arg);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	destination_timers(arg);
	sched_pump(arg);
}

struct sched *
sched_new(struct loop *l, struct map *routes, const struct sched_ops *ops, void *arg)
{
	struct sched *s = XNEW(struct sched);

	s->loop = l;
	s->routes = routes;
	s->ops = ops;
	s->arg = arg;
	s->now_ms = clock_mono_ms;
	s->groups = map_new();
	s->frozen_domains = map_new();
	TAILQ_INIT(&s->transports);
	TAILQ_INIT(&s->idle);
	heap_init(&s->timers);
	s->pump.fn = on_pump;
	s->pump.arg = s;
	if (l != NULL) {
		s->timer = evtimer_new(loop_base(l), on_timer, s);
		s->again = evtimer_new(loop_base(l), on_again, s);
	}
	return s;
}

void
sched_free(struct sched **sp)
{
	struct sched *s = *sp;
	struct transport *t;
	struct view key;
	size_t at = 0;
	void *v;

	if (s == NULL)
		return;
	*sp = NULL;
	while (map_next(s->routes, &at, &key, &v))
		destination_free(s, ((struct route *)v)->dest);
	while ((t = TAILQ_FIRST(&s->transports)) != NULL) {
		TAILQ_REMOVE(&s->transports, t, link);
		xfree(t->name);
		xfree(t);
	}
	if (s->loop != NULL) {
		loop_defer_cancel(s->loop, &s->pump);
		event_free(s->timer);
		event_free(s->again);
	}
	map_free(&s->groups, NULL);
	map_free(&s->frozen_domains, NULL);
	heap_fini(&s->timers);
	xfree(s);
}
