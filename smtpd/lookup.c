/* SPDX-License-Identifier: ISC */
/*
 * lookup.c: questions to lookupd, and what it said a moment ago.
 *
 * Runs in smtpd. The memory is a direct-mapped table: a slot an address hash,
 * the newer one wins. It only spares repeated questions within seconds; what
 * lookupd could not tell is never kept.
 */
#include "smtpd/lookup.h"

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "smtpd/worker.h"

#define SLOTS		4096
/* Two of the longest addresses do not belong here. */
#define KEY_MAX		200

struct slot {
	uint64_t	until_ms;
	unsigned	flags;
	uint16_t	len;
	uint8_t		class, verdict;
	char		dsn[16];
	char		text[96];
	char		key[KEY_MAX];
};

struct lookup_cache {
	struct slot	*slots[SLOTS];
};

struct lookup_cache *
lookup_cache_new(void)
{
	return XNEW(struct lookup_cache);
}

void
lookup_cache_clear(struct lookup_cache *cache)
{
	size_t i;

	for (i = 0; i < SLOTS; i++) {
		xfree(cache->slots[i]);
		cache->slots[i] = NULL;
	}
}

void
lookup_cache_free(struct lookup_cache **cache)
{
	if (*cache == NULL)
		return;
	lookup_cache_clear(*cache);
	xfree(*cache);
	*cache = NULL;
}

static struct slot **
slot_of(struct lookup_cache *cache, struct view key, unsigned flags)
{
	return &cache->slots[(map_hash(key) + flags) % SLOTS];
}

static struct slot *
cached(struct worker *w, struct view key, unsigned flags)
{
	struct slot *slot = *slot_of(w->cache, key, flags);

	if (slot == NULL || slot->flags != flags ||
	    !view_eq(view_of(slot->key, slot->len), key) ||
	    loop_now_ms(w->loop) >= slot->until_ms)
		return NULL;
	return slot;
}

static void
text_copy(char *to, size_t size, struct view v)
{
	v = view_head(v, size - 1);
	if (v.len > 0)
		memcpy(to, v.p, v.len);
	to[v.len] = '\0';
}

static void
keep(struct check *c, struct view key, unsigned flags, const struct route_answer *a)
{
	struct worker *w = c->s->w;
	uint64_t keep_ms = c->s->policy->conf->smtpd_lookup_cache_time;
	struct slot **place = slot_of(w->cache, key, flags), *slot = *place;

	if (keep_ms == 0 || key.len > KEY_MAX || a->error != 0 ||
	    a->verdict == ROUTE_TEMPFAIL || a->text.len >= sizeof(slot->text))
		return;
	if (slot == NULL)
		slot = *place = XNEW(struct slot);
	slot->until_ms = loop_now_ms(w->loop) + keep_ms;
	slot->flags = flags;
	slot->len = (uint16_t)key.len;
	slot->class = (uint8_t)a->class;
	slot->verdict = (uint8_t)a->verdict;
	memcpy(slot->key, key.p, key.len);
	text_copy(slot->dsn, sizeof(slot->dsn), a->dsn);
	text_copy(slot->text, sizeof(slot->text), a->text);
}

#define SET_ROUTE(to, a)						\
	do {								\
		(to).error = (a)->error;				\
		(to).class = (a)->class;				\
		(to).verdict = (a)->verdict;				\
		text_copy((to).dsn, sizeof((to).dsn), (a)->dsn);	\
		text_copy((to).text, sizeof((to).text), (a)->text);	\
	} while (0)

static bool
from_cache(struct worker *w, struct view key, unsigned flags, struct route_answer *a)
{
	const struct slot *slot = cached(w, key, flags);

	if (slot == NULL)
		return false;
	*a = (struct route_answer){ 0, slot->class, slot->verdict, view_str(slot->dsn),
	    view_str(slot->text) };
	return true;
}

static void
recipient_answered(const struct route_answer *a, void *arg)
{
	struct check *c = arg;

	c->call = 0;
	keep(c, buf_view(&c->address), ROUTE_FLAG_VALIDATE, a);
	SET_ROUTE(c->route, a);
	c->have_route = true;
	check_again(c);
}

static void
sender_answered(const struct route_answer *a, void *arg)
{
	struct check *c = arg;
	struct transaction *tx = c->s->tx;

	c->call = 0;
	keep(c, view_of(tx->sender_text, tx->sender_len),
	    ROUTE_FLAG_VALIDATE | ROUTE_FLAG_SENDER, a);
	SET_ROUTE(c->sender_route, a);
	c->have_sender_route = true;
	check_again(c);
}

enum check_result
lookup_recipient(struct check *c)
{
	struct worker *w = c->s->w;
	struct view address = buf_view(&c->address), sender = VIEW_NONE;
	struct route_answer a;

	if (c->have_route)
		return CHECK_DUNNO;
	if (from_cache(w, address, ROUTE_FLAG_VALIDATE, &a)) {
		SET_ROUTE(c->route, &a);
		c->have_route = true;
		return CHECK_DUNNO;
	}
	if (c->s->tx != NULL)
		sender = view_of(c->s->tx->sender_text, c->s->tx->sender_len);
	c->call = w->backend->route(w, address, sender, ROUTE_FLAG_VALIDATE,
	    recipient_answered, c);
	return CHECK_PENDING;
}

enum check_result
lookup_sender(struct check *c)
{
	unsigned flags = ROUTE_FLAG_VALIDATE | ROUTE_FLAG_SENDER;
	struct worker *w = c->s->w;
	struct transaction *tx = c->s->tx;
	struct route_answer a;
	struct view sender;

	if (c->have_sender_route)
		return CHECK_DUNNO;
	sender = view_of(tx->sender_text, tx->sender_len);
	if (from_cache(w, sender, flags, &a)) {
		SET_ROUTE(c->sender_route, &a);
		c->have_sender_route = true;
		return CHECK_DUNNO;
	}
	c->call = w->backend->route(w, sender, VIEW_NONE, flags, sender_answered, c);
	return CHECK_PENDING;
}

static void
access_answered(int error, struct view answer, void *arg)
{
	struct check *c = arg;

	c->call = 0;
	c->answered = true;
	c->answer_error = error;
	buf_reset(&c->answer);
	if (buf_put_view(&c->answer, answer) != 0)
		c->answer_error = PK_ETEMP;
	check_again(c);
}

enum check_result
lookup_access(struct check *c, struct view table, struct view key, enum access_kind kind)
{
	struct worker *w = c->s->w;

	c->call = w->backend->access(w, table, key, kind, access_answered, c);
	return CHECK_PENDING;
}
