/* SPDX-License-Identifier: ISC */
/*
 * certd.c: loading, and what goes by the clock.
 *
 * Runs in certd. All timers are monotonic; wall time only tells how long a
 * certificate is still good.
 */
#include "certd/certd.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "certd/expiry.h"
#include "certd/signers.h"

/* Twice this passes at most until a change is seen and has settled. */
#define WATCH_MS	4000
#define HOUR_MS		3600000
/* Longer than any handshake that began with the old certificate (smtpd_starttls_timeout). */
#define RETIRED_MS	600000

/* More would only take turns with those who shake hands. */
#define SIGNERS_MAX	4

struct retired {
	struct pair	*pair;
	uint64_t	 since_ms;
	TAILQ_ENTRY(retired) link;
};

struct pair *
certd_pair(const struct certd *d, uint64_t number)
{
	return map_get_u64(d->by_number, number);
}

/* ---- loading ---- */

static void
add_file(const char *path, void *arg)
{
	struct map *files = arg;

	map_put(files, view_str(path), files);
}

static void
watch_anew(struct certd *d)
{
	struct map *files = map_new();

	set_each_file(d->conf, add_file, files);
	watch_free(&d->watch);
	d->watch = watch_new(files);
	map_free(&files, NULL);
}

static bool
is_in(const struct set *s, const struct pair *p)
{
	size_t i;

	for (i = 0; i < s->nrows; i++)
		if (s->rows[i].pair == p)
			return true;
	return false;
}

static void
retire(struct certd *d, const struct set *old)
{
	struct retired *r;
	struct map *now = map_new();
	size_t i;

	for (i = 0; i < d->set->nrows; i++)
		map_put_u64(now, d->set->rows[i].pair->number, d->set);
	for (i = 0; old != NULL && i < old->nrows; i++) {
		if (map_get_u64(now, old->rows[i].pair->number) != NULL)
			continue;
		r = XNEW(struct retired);
		r->pair = pair_ref(old->rows[i].pair);
		r->since_ms = clock_mono_ms();
		TAILQ_INSERT_TAIL(&d->retired, r, link);
	}
	map_free(&now, NULL);
	if (!TAILQ_EMPTY(&d->retired))
		loop_timer_set(d->loop, &d->retired_timer, RETIRED_MS);
}

static void
on_retired(void *arg)
{
	struct certd *d = arg;
	struct retired *r;

	while ((r = TAILQ_FIRST(&d->retired)) != NULL &&
	    clock_mono_ms() - r->since_ms >= RETIRED_MS) {
		TAILQ_REMOVE(&d->retired, r, link);
		/* It may have come back into use meanwhile. */
		if (!is_in(d->set, r->pair))
			map_del_u64(d->by_number, r->pair->number);
		pair_unref(&r->pair);
		xfree(r);
	}
	if (!TAILQ_EMPTY(&d->retired))
		loop_timer_set(d->loop, &d->retired_timer, RETIRED_MS);
}

void
certd_load(struct certd *d)
{
	struct set *old = d->set;
	size_t i;

	/* Stamps first: what changes while it is read shows. */
	watch_anew(d);
	d->set = set_load(d->conf, old);
	for (i = 0; i < d->set->nrows; i++)
		map_put_u64(d->by_number, d->set->rows[i].pair->number, d->set->rows[i].pair);
	retire(d, old);
	if (d->set->fresh > 0 || old == NULL)
		log_info("%zu certificates in use, %zu of them new", d->set->nrows,
		    d->set->fresh);
	expiry_check(d->set, d->conf->tls_expiry_warnings, clock_wall_ms(), clock_mono_ms());
	set_free(&old);
}

/* Names may have moved without a new pair: everybody is told, a set is small. */
void
certd_load_again(struct certd *d)
{
	certd_load(d);
	certd_say_set(d);
}

static void
on_watch(void *arg)
{
	struct certd *d = arg;

	if (watch_settled(d->watch))
		certd_load_again(d);
	loop_timer_set(d->loop, &d->watch_timer, WATCH_MS);
}

static void
on_hour(void *arg)
{
	struct certd *d = arg;

	expiry_check(d->set, d->conf->tls_expiry_warnings, clock_wall_ms(), clock_mono_ms());
	loop_timer_set(d->loop, &d->hour_timer, HOUR_MS);
}

/* ---- tickets ---- */

/* The longest time that a listener's tickets are good for. */
static uint64_t
ticket_life_ms(const struct conf *conf)
{
	uint64_t longest = conf->smtpd_tls_session_cache_timeout, ms;
	struct view list = view_str(conf->listeners), item;
	struct conf_listener l;
	char *name;

	while (conf_list_next(&list, &item)) {
		if (!conf_listener_parse(item, &l))
			continue;
		name = view_dup(l.name);
		ms = conf_scope(conf, name)->smtpd_tls_session_cache_timeout;
		longest = ms > longest ? ms : longest;
		xfree(name);
	}
	return longest;
}

static void
tickets_keep(struct certd *d)
{
	uint64_t now = clock_mono_ms();

	if (tickets_save(&d->tickets, now, clock_wall_ms()) != 0)
		log_warn("session ticket secrets cannot be kept: sessions are not resumed"
		    " after the next start");
	loop_timer_set(d->loop, &d->ticket_timer, tickets_due_ms(&d->tickets, now,
	    d->conf->tls_ticket_key_time, ticket_life_ms(d->conf)));
}

void
certd_tickets_init(struct certd *d, int fd)
{
	tickets_init(&d->tickets, fd, clock_mono_ms(), clock_wall_ms(),
	    d->conf->tls_ticket_key_time, ticket_life_ms(d->conf));
}

static void
on_tickets(void *arg)
{
	struct certd *d = arg;

	if (tickets_turn(&d->tickets, clock_mono_ms(), d->conf->tls_ticket_key_time,
	    ticket_life_ms(d->conf)))
		certd_say_tickets(d);
	tickets_keep(d);
}

void
certd_tickets_rotate(struct certd *d)
{
	tickets_rotate(&d->tickets, clock_mono_ms());
	certd_say_tickets(d);
	tickets_keep(d);
}

void
certd_leave(struct certd *d)
{
	d->leaving = true;
	if (d->signers == NULL || signers_pending(d->signers) == 0)
		child_exit(d->child, 0);
}

void
certd_begin(struct certd *d)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores > 1)
		d->signers = signers_new(d->loop,
		    cores < SIGNERS_MAX ? (unsigned)cores : SIGNERS_MAX, certd_job_done);
	loop_timer_init(&d->watch_timer, on_watch, d);
	loop_timer_init(&d->hour_timer, on_hour, d);
	loop_timer_init(&d->ticket_timer, on_tickets, d);
	loop_timer_init(&d->retired_timer, on_retired, d);
	loop_timer_set(d->loop, &d->watch_timer, WATCH_MS);
	loop_timer_set(d->loop, &d->hour_timer, HOUR_MS);
	tickets_keep(d);
	d->ready = true;
	certd_open_early(d);
}
