/* SPDX-License-Identifier: ISC */
/*
 * pressure.c: tells smtpd when disk or memory get short.
 *
 * Run by qmgr once a second. MAIL is refused with 452 before the reserve is
 * touched, so that what was accepted always has room for its outcome. There
 * is a gap between the limits for refusing and for taking again, so that the
 * answer does not flap.
 */
#include "qmgr/qmgr.h"

#include <string.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/mem.h"
#include "sys/stats.h"

#define TICK_MS		1000

struct pressure {
	struct qmgr	*q;
	struct event	*timer;
	unsigned	level;
	const char	*text;
};

/* An estimate: what the messages in memory cost, each with one recipient. */
static uint64_t
memory_bytes(const struct qmgr *q)
{
	return map_count(q->store.messages) * 800;
}

/* What lists cost beyond that. It slows new mail down; one long list refuses nobody's. */
static uint64_t
list_bytes(const struct qmgr *q)
{
	size_t n = recipient_count(), messages = map_count(q->store.messages);

	return n > messages ? (n - messages) * 600 : 0;
}

static unsigned
disk_level(const struct qmgr *q, unsigned before)
{
	uint64_t least = q->conf->queue_minfree, free_bytes;
	struct statvfs st;

	if (q->store.checkpoint_failed)
		return 2;
	if (fstatvfs(q->store.segments.dirfd, &st) == -1)
		return before;
	free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	if (free_bytes < least)
		return 2;
	/* A tenth more before mail is taken again. */
	return before == 2 && free_bytes < least + least / 10 ? 2 : 0;
}

static unsigned
memory_level(const struct qmgr *q, unsigned before)
{
	uint64_t limit = q->conf->queue_memory_limit, bytes = memory_bytes(q);

	if (bytes > limit)
		return 2;
	bytes += list_bytes(q);
	if (bytes > limit / 4 * 3 || (before > 0 && bytes > limit / 2))
		return 1;
	return 0;
}

unsigned
pressure_level(const struct qmgr *q)
{
	return q->pressure->level;
}

void
pressure_tell(struct qmgr *q)
{
	writers_pressure(q, q->pressure->level, q->pressure->text);
}

static void
gauges(struct qmgr *q)
{
	struct store *s = &q->store;
	uint64_t messages = 0;
	int i;

	for (i = 0; i < MESSAGE_CLASSES; i++)
		messages += s->counts[i];
	stats_set(STATS_C_queue_messages, (int64_t)messages);
	stats_set(STATS_C_queue_recipients, (int64_t)s->open_recipients);
	stats_set(STATS_C_queue_active, (int64_t)q->nactive);
	stats_set(STATS_C_queue_segments, (int64_t)map_count(s->segments.by_number));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pressure *p = arg;
	unsigned disk = disk_level(p->q, p->level), memory = memory_level(p->q, p->level);
	unsigned level = disk > memory ? disk : memory;
	struct timeval tv = { TICK_MS / 1000, 0 };

	(void)fd;
	(void)what;
	gauges(p->q);
	event_add(p->timer, &tv);
	if (level == p->level)
		return;
	p->level = level;
	p->text = level == 0 ? "" : disk >= memory ? "Insufficient system storage" :
	    "Queue is busy";
	if (level > 0)
		log_warn("queue: %s: new mail is %s", disk >= memory ?
		    "free disk space is below queue_minfree" : "memory is at queue_memory_limit",
		    level == 1 ? "slowed down" : "answered 452");
	else
		log_info("queue: new mail is taken again");
	pressure_tell(p->q);
}

void
pressure_init(struct qmgr *q)
{
	struct pressure *p = XNEW(struct pressure);

	p->q = q;
	p->text = "";
	p->timer = evtimer_new(loop_base(q->loop), on_timer, p);
	q->pressure = p;
	on_timer(-1, 0, p);
}

void
pressure_fini(struct qmgr *q)
{
	event_free(q->pressure->timer);
	xfree(q->pressure);
	q->pressure = NULL;
}
