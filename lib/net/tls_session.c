/* SPDX-License-Identifier: ISC */
/*
 * tls_session.c: sessions that a transport may resume.
 *
 * Runs in deliverers. A session is kept under the key that the caller made
 * of everything the trust in the peer depends on, with the trust that its
 * full handshake gave. A server decides how many sessions it gives, so their
 * number is bounded, a key and in all. TLS 1.3 tickets are used once.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/tls_internal.h"

/* One holds the peer's chain, up to some 10 KiB. */
#define SESSIONS_MAX	1000
#define A_KEY_MAX	4

struct kept {
	SSL_SESSION	*session;
	enum tls_trust	 trust;
	uint64_t	 until_ms;
};

struct entry {
	char		*key;
	struct kept	 kept[A_KEY_MAX];	/* the oldest first */
	unsigned	 n;
	TAILQ_ENTRY(entry) link;
};

struct tls_sessions {
	struct map	*by_key;
	TAILQ_HEAD(entries, entry) lru;	/* the last used first */
	size_t		 count;		/* sessions */
	uint64_t	 lifetime_ms;
};

struct tls_sessions *
tls_sessions_new(uint64_t lifetime_ms)
{
	struct tls_sessions *s = XNEW(struct tls_sessions);

	s->by_key = map_new();
	TAILQ_INIT(&s->lru);
	s->lifetime_ms = lifetime_ms;
	return s;
}

/* Takes number i out of e; the session is the caller's. */
static struct kept
take_kept(struct tls_sessions *s, struct entry *e, unsigned i)
{
	struct kept k = e->kept[i];

	e->n--;
	memmove(&e->kept[i], &e->kept[i + 1], (e->n - i) * sizeof(k));
	s->count--;
	return k;
}

static void
entry_free(struct tls_sessions *s, struct entry *e)
{
	while (e->n > 0)
		SSL_SESSION_free(take_kept(s, e, 0).session);
	TAILQ_REMOVE(&s->lru, e, link);
	map_del(s->by_key, view_str(e->key));
	xfree(e->key);
	xfree(e);
}

void
tls_sessions_free(struct tls_sessions **sessions)
{
	struct tls_sessions *s = *sessions;

	*sessions = NULL;
	if (s == NULL)
		return;
	while (!TAILQ_EMPTY(&s->lru))
		entry_free(s, TAILQ_FIRST(&s->lru));
	map_free(&s->by_key, NULL);
	xfree(s);
}

static struct entry *
touch(struct tls_sessions *s, const char *key, bool make)
{
	struct entry *e = map_get(s->by_key, view_str(key));

	if (e != NULL) {
		TAILQ_REMOVE(&s->lru, e, link);
	} else if (make) {
		e = XNEW(struct entry);
		e->key = xstrdup(key);
		map_put(s->by_key, view_str(key), e);
	}
	if (e != NULL)
		TAILQ_INSERT_HEAD(&s->lru, e, link);
	return e;
}

/* The lesser of what we grant and what the server does. */
static uint64_t
good_until(const struct tls_sessions *s, const SSL_SESSION *session)
{
	uint64_t ms = s->lifetime_ms, hint;

	hint = (uint64_t)SSL_SESSION_get_ticket_lifetime_hint(session) * 1000;
	if (hint > 0 && hint < ms)
		ms = hint;
	return clock_mono_ms() + ms;
}

static bool
has(const struct entry *e, const SSL_SESSION *session)
{
	unsigned i;

	for (i = 0; i < e->n; i++)
		if (e->kept[i].session == session)
			return true;
	return false;
}

void
tls_sessions_put(struct tls_sessions *s, const char *key, SSL_SESSION *session,
    enum tls_trust trust)
{
	struct entry *e = touch(s, key, s->lifetime_ms > 0);

	if (e == NULL || !SSL_SESSION_is_resumable(session) ||
	    has(e, session)) {
		SSL_SESSION_free(session);
		return;
	}
	if (e->n == A_KEY_MAX)
		SSL_SESSION_free(take_kept(s, e, 0).session);
	e->kept[e->n].session = session;
	e->kept[e->n].trust = trust;
	e->kept[e->n++].until_ms = good_until(s, session);
	s->count++;
	while (s->count > SESSIONS_MAX)
		entry_free(s, TAILQ_LAST(&s->lru, entries));
}

SSL_SESSION *
tls_sessions_take(struct tls_sessions *s, const char *key,
    enum tls_trust *trust_r)
{
	struct entry *e = touch(s, key, false);
	struct kept *k;
	SSL_SESSION *session = NULL;

	while (e != NULL && e->n > 0 && session == NULL) {
		k = &e->kept[e->n - 1];
		if (k->until_ms <= clock_mono_ms()) {
			SSL_SESSION_free(take_kept(s, e, e->n - 1).session);
			continue;
		}
		*trust_r = k->trust;
		if (SSL_SESSION_get_protocol_version(k->session) >=
		    TLS1_3_VERSION)
			session = take_kept(s, e, e->n - 1).session;
		else if (SSL_SESSION_up_ref(k->session) == 1)
			session = k->session;
		else
			break;
	}
	if (e != NULL && e->n == 0)
		entry_free(s, e);
	return session;
}

size_t
tls_sessions_count(const struct tls_sessions *s)
{
	return s->count;
}
