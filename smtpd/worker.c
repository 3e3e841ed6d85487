/* SPDX-License-Identifier: ISC */
/*
 * worker.c: the stores of one smtpd process.
 *
 * Buffers and structs of sessions that are busy right now; an idle session
 * has given its own back. What is kept is bounded by WORKER_SPARES of each.
 */
#include "smtpd/worker.h"

#include "base/mem.h"
#include "ipc/tls_key.h"
#include "net/tls.h"
#include "smtpd/lookup.h"

/* A spare buffer that once held much is given to the allocator instead. */
#define SPARE_BUF_MAX	16384

struct worker *
worker_new(struct loop *l, struct segment_writer *writer)
{
	struct worker *w = XNEW(struct worker);

	w->loop = l;
	w->writer = writer;
	w->cache = lookup_cache_new();
	TAILQ_INIT(&w->sessions);
	TAILQ_INIT(&w->spare_sessions);
	TAILQ_INIT(&w->spare_transactions);
	TAILQ_INIT(&w->spare_checks);
	return w;
}

void
worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	struct session *s, *next;

	if (w == NULL)
		return;
	*wp = NULL;
	for (s = TAILQ_FIRST(&w->sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		s->committing = false;
		session_free(s);
	}
	while ((s = TAILQ_FIRST(&w->spare_sessions)) != NULL) {
		TAILQ_REMOVE(&w->spare_sessions, s, link);
		xfree(s);
	}
	transaction_free_all(w);
	check_free_all(w);
	while (w->nspare_bufs > 0)
		buf_fini(&w->spare_bufs[--w->nspare_bufs]);
	lookup_cache_free(&w->cache);
	client_limits_unmap(&w->limits);
	tls_keys_free(&w->keys);
	xfree(w);
}

static void
drain(struct worker *w, bool now)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&w->sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		session_drain(s, now);
	}
}

void
worker_drain(struct worker *w)
{
	w->draining = true;
	drain(w, false);
}

void
worker_drain_now(struct worker *w)
{
	w->draining = true;
	drain(w, true);
}

bool
worker_has_tls(const struct worker *w, const struct policy *p)
{
	return p->tls != NULL && w->keys != NULL && tls_keys_have(w->keys, CERT_SERVER);
}

void
worker_buf_get(struct worker *w, struct buf *b, size_t max)
{
	if (w->nspare_bufs == 0) {
		buf_init(b, max);
		return;
	}
	*b = w->spare_bufs[--w->nspare_bufs];
	b->max = max;
}

void
worker_buf_put(struct worker *w, struct buf *b)
{
	size_t max = b->max;

	if (b->data != NULL && b->cap <= SPARE_BUF_MAX && w->nspare_bufs < WORKER_SPARES) {
		buf_reset(b);
		w->spare_bufs[w->nspare_bufs++] = *b;
		b->data = NULL;
	}
	buf_fini(b);
	b->max = max;
}
