/* SPDX-License-Identifier: ISC */
/*
 * source_pool.c: connections to a database, and when to leave it alone.
 *
 * Runs in authd's query threads. The server may be down, slow or hostile: no
 * wait here is without its deadline.
 */
#include "authd/source_pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define CONNECTIONS_MAX	64
#define FAILURES	3
#define OPEN_FIRST_MS	1000
#define OPEN_MAX_MS	30000
/* The same words are not said more often. */
#define SAY_MS		10000

struct source_pool {
	const char	*name;
	void		(*close_conn)(void *conn);
	pthread_mutex_t	 lock;
	pthread_cond_t	 freed;
	void		*idle[CONNECTIONS_MAX];
	unsigned	 nidle, nused, max;
	unsigned	 failures;
	uint64_t	 open_until_ms, open_ms;
	bool		 probing;	/* one call tries whether the server is back */
	uint64_t	 said_ms;
};

int
source_time_left(uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	return now >= deadline_ms ? 0 : deadline_ms - now > 600000 ? 600000 :
	    (int)(deadline_ms - now);
}

short
source_wait(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int left, n;

	do {
		if ((left = source_time_left(deadline_ms)) == 0)
			return 0;
		n = poll(&p, 1, left);
	} while (n == -1 && errno == EINTR);
	return n > 0 ? p.revents : 0;
}

struct source_pool *
source_pool_new(const char *name, unsigned connections, void (*close_conn)(void *conn))
{
	struct source_pool *p = XNEW(struct source_pool);
	pthread_condattr_t attr;

	p->name = name;
	p->max = connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX;
	p->close_conn = close_conn;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->freed, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

void
source_pool_free(struct source_pool **pp)
{
	struct source_pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	while (p->nidle > 0)
		p->close_conn(p->idle[--p->nidle]);
	pthread_cond_destroy(&p->freed);
	pthread_mutex_destroy(&p->lock);
	xfree(p);
}

/* Locked. */
static bool
is_open(struct source_pool *p)
{
	if (p->failures < FAILURES)
		return false;
	if (p->probing || clock_mono_ms() < p->open_until_ms)
		return true;
	p->probing = true;
	return false;
}

static int
wait_for_one(struct source_pool *p, uint64_t deadline_ms)
{
	struct timespec at = { (time_t)(deadline_ms / 1000),
	    (long)(deadline_ms % 1000) * 1000000 };

	while (p->nused >= p->max)
		if (pthread_cond_timedwait(&p->freed, &p->lock, &at) == ETIMEDOUT)
			return PK_ETEMP;
	return 0;
}

int
source_pool_take(struct source_pool *p, uint64_t deadline_ms, void **conn_r)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = is_open(p) ? PK_ETEMP : wait_for_one(p, deadline_ms);
	/* While it waited others may have found the server dead. */
	if (rc == 0 && p->failures >= FAILURES && !p->probing)
		rc = PK_ETEMP;
	if (rc == 0) {
		p->nused++;
		*conn_r = p->nidle > 0 ? p->idle[--p->nidle] : NULL;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* Locked. How long it is left alone, 0: it is still tried. */
static void
failed(struct source_pool *p)
{
	p->probing = false;
	if (++p->failures < FAILURES)
		return;
	p->open_ms = p->open_ms == 0 ? OPEN_FIRST_MS : p->open_ms * 2;
	if (p->open_ms > OPEN_MAX_MS)
		p->open_ms = OPEN_MAX_MS;
	p->open_until_ms = clock_mono_ms() + p->open_ms;
}

static bool
may_say(struct source_pool *p)
{
	uint64_t now = clock_mono_ms();

	if (p->said_ms != 0 && now - p->said_ms < SAY_MS)
		return false;
	p->said_ms = now;
	return true;
}

void
source_pool_give(struct source_pool *p, void *conn, enum source_pool_result result,
    const char *why)
{
	void *stale[CONNECTIONS_MAX];
	unsigned nstale = 0;
	bool say = false, back = false;

	pthread_mutex_lock(&p->lock);
	p->nused--;
	if (result == SOURCE_POOL_GOOD) {
		back = p->failures >= FAILURES;
		p->failures = 0;
		p->open_ms = 0;
		p->probing = false;
		p->idle[p->nidle++] = conn;
		conn = NULL;
	} else if (result == SOURCE_POOL_BROKEN) {
		failed(p);
		say = may_say(p);
		/* The others lead to the same server. */
		while (p->nidle > 0)
			stale[nstale++] = p->idle[--p->nidle];
	} else {
		p->probing = false;
	}
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->lock);
	if (conn != NULL)
		p->close_conn(conn);
	while (nstale > 0)
		p->close_conn(stale[--nstale]);
	if (say)
		log_warn("%s: %s; logins that need it are answered 454", p->name, why);
	if (back)
		log_info("%s: answers again", p->name);
}
