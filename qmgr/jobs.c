/* SPDX-License-Identifier: ISC */
/*
 * jobs.c: deliverers, the jobs they have, and what becomes of them.
 *
 * Run by qmgr. A deliverer gets one message at a time a job: inline, as a
 * sealed memfd, or (dedicated segment) a read handle; never a shared segment,
 * so it sees no other message. It is treated as taken over: a result counts
 * for jobs of its own only, texts are bounded, and a lie can lose or delay
 * only what it had been given anyway.
 */
#include "qmgr/qmgr.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/route.h"
#include "qmgr/sched.h"
#include "queue/record.h"
#include "sys/fd.h"

/* Header block and content up to this travel in the packet. */
#define INLINE_MAX		(48U << 10)
#define HEADER_INLINE_MAX	(32U << 10)
#define ENVELOPE_HEAD_MAX	(12U << 10)
/* Room that one recipient's fields may need. */
#define RECIPIENT_ROOM		5120
#define CAPACITY_MAX		10000
#define CACHE_SLOTS		64
#define PUT_BACK_MS		1000
/* With more recipients a message is looked at this often while others are under way. */
#define LOOK_LATER		1000
#define LOOK_MS			500

struct deliverer {
	enum ipc_role	role;
	uint64_t	instance;
	struct ipc_channel *ch;
	unsigned	capacity, inflight;
	TAILQ_HEAD(, job) jobs;
	TAILQ_ENTRY(deliverer) link;
};
TAILQ_HEAD(deliverer_list, deliverer);

struct job {
	uint64_t	number;
	struct message	*m;		/* NULL: gone meanwhile */
	struct destination *dest;	/* NULL: a report */
	struct deliverer *by;
	struct recipient **rcpts;	/* with a result: NULL */
	size_t		nrcpts, undone;
	uint64_t	queued_ms, sent_ms;
	unsigned	kind;		/* a report's */
	bool		worked, failed, put_back;
	char		*error;		/* of the next hop as such */
	char		dsn[16];
	TAILQ_ENTRY(job) link;
};

/* Content of messages that go to several destinations: read once. */
struct cached {
	uint64_t	message;
	char		*content;
	size_t		len;
	int		fd;		/* sealed memfd, or -1 */
};

struct jobs {
	struct qmgr	*q;
	struct deliverer_list deliverers[IPC_ROLES];
	unsigned	ndeliverers[IPC_ROLES];
	struct map	*by_instance;
	struct map	*by_number;
	uint64_t	next;
	struct cached	cache[CACHE_SLOTS];
};

enum ipc_role
jobs_role(unsigned type)
{
	switch (type) {
	case TRANSPORT_SMTP:	return IPC_ROLE_smtp;
	case TRANSPORT_LMTP:	return IPC_ROLE_lmtp;
	case TRANSPORT_MAILBOX:	return IPC_ROLE_mailbox;
	case TRANSPORT_BOUNCE:	return IPC_ROLE_bounce;
	default:		return IPC_ROLE_none;
	}
}

/* ---- choosing a worker ---- */

/*
 * The same destination goes to the same worker, where its connections are;
 * when that one is full, to the one with the least to do.
 */
static struct deliverer *
choose(struct jobs *js, enum ipc_role role, uint64_t hash)
{
	struct deliverer *d, *best = NULL;
	unsigned n = js->ndeliverers[role], i;

	if (n == 0)
		return NULL;
	i = (unsigned)(hash % n);
	TAILQ_FOREACH(d, &js->deliverers[role], link) {
		if (i-- == 0 && d->inflight < d->capacity)
			return d;
		if (d->inflight < d->capacity &&
		    (best == NULL || d->inflight < best->inflight))
			best = d;
	}
	return best;
}

bool
jobs_room(struct qmgr *q, struct destination *d)
{
	return choose(q->jobs, jobs_role(d->transport->type), d->route->hash) != NULL;
}

size_t
jobs_count(const struct qmgr *q)
{
	return map_count(q->jobs->by_number);
}

size_t
jobs_workers(const struct qmgr *q, enum ipc_role role)
{
	return q->jobs->ndeliverers[role];
}

/* ---- content ---- */

static void
cache_clear(struct cached *c)
{
	xfree(c->content);
	fd_close(&c->fd);
	c->content = NULL;
	c->message = 0;
}

/* Content of m, checked; a view until the window's next use. */
static int
read_content(struct qmgr *q, const struct message *m, const struct record_header *h,
    struct view *v_r)
{
	struct segments *s = &q->store.segments;
	struct segment *seg = segments_get(s, m->segment);
	int fd, rc;

	if (seg == NULL || (fd = segments_fd(s, seg)) == -1)
		return PK_EIO;
	rc = segment_reader_bytes(&s->window, fd, m->segment, m->content_offset,
	    m->content_bytes, m->content_offset + m->content_bytes, v_r);
	if (rc == 0 && record_check(seg->header.key, *v_r) != h->content_check)
		rc = PK_EFORMAT;
	return rc;
}

/* In the cache if more jobs of m will follow this one. */
static int
inline_content(struct qmgr *q, const struct message *m, const struct record_header *h,
    size_t nrcpts, struct view *v_r)
{
	struct cached *c = &q->jobs->cache[(m->id ^ m->id >> 20) % CACHE_SLOTS];
	int rc;

	if (c->message == m->id && c->content != NULL) {
		*v_r = view_of(c->content, c->len);
		return 0;
	}
	if ((rc = read_content(q, m, h, v_r)) != 0 || m->nbusy <= nrcpts)
		return rc;
	cache_clear(c);
	c->message = m->id;
	c->content = xmemdup(v_r->len > 0 ? v_r->p : "", v_r->len > 0 ? v_r->len : 1);
	c->len = v_r->len;
	return 0;
}

/* A sealed copy, header block in front if it is given. */
static int
memfd_content(struct qmgr *q, const struct message *m, const struct record_header *h,
    struct view header, int *fd_r)
{
	struct cached *c = &q->jobs->cache[(m->id ^ m->id >> 20) % CACHE_SLOTS];
	struct view v;
	struct buf b;
	int rc;

	if (c->message == m->id && c->fd != -1 && header.len == 0) {
		*fd_r = c->fd;
		return 0;
	}
	buf_init(&b, RECORD_HEADER_MAX + (256U << 20));
	buf_put_view(&b, header);
	if ((rc = read_content(q, m, h, &v)) == 0 && header.len > 0) {
		buf_put_view(&b, v);
		v = buf_view(&b);
		rc = buf_error(&b);
	}
	if (rc == 0) {
		cache_clear(c);
		c->fd = fd_sealed_memfd("message", v);
		if (c->fd == -1)
			rc = PK_EIO;
		else if (header.len == 0)
			c->message = m->id;
		*fd_r = c->fd;
	}
	buf_fini(&b);
	return rc;
}

/* ---- the JOB packet ---- */

static void
put_recipients(struct ipc_out *o, const struct job *j, size_t *at, size_t reserve)
{
	const struct recipient *r;

	while (*at < j->nrcpts && ipc_out_left(o) > reserve + RECIPIENT_ROOM) {
		r = j->rcpts[(*at)++];
		ipc_put_u64(o, IPC_F_INDEX, r->index);
		ipc_put_bytes(o, IPC_F_RECIPIENT, recipient_address(r));
		ipc_put_bytes(o, IPC_F_ORCPT, recipient_orcpt(r));
		ipc_put_u64(o, IPC_F_NOTIFY, r->notify);
		if (recipient_orig(r).len > 0)
			ipc_put_bytes(o, IPC_F_ORIGINAL, recipient_orig(r));
		if (r->path_len > 0) {
			ipc_put_bytes(o, IPC_F_PATH, recipient_path(r));
			ipc_put_u64(o, IPC_F_QUOTA, r->quota);
		}
	}
}

static uint64_t
greatest_attempt(const struct job *j)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < j->nrcpts; i++)
		if (j->rcpts[i]->attempts > n)
			n = j->rcpts[i]->attempts;
	return n;
}

static int
put_content(struct qmgr *q, struct ipc_out *o, const struct job *j,
    const struct segment_record *rec, bool in_line)
{
	const struct message *m = j->m;
	struct segment *seg = segments_get(&q->store.segments, m->segment);
	struct view content;
	int fd = -1, rc = 0;

	if (in_line) {
		ipc_put_bytes(o, IPC_F_HEADER, rec->header);
		if ((rc = inline_content(q, m, &rec->h, j->nrcpts, &content)) == 0)
			ipc_put_bytes(o, IPC_F_CONTENT, content);
		return rc;
	}
	if (seg->header.kind == SEGMENT_DEDICATED) {
		fd = segments_open(&q->store.segments, seg);
		if (fd == -1)
			return PK_EIO;
		ipc_put_u64(o, IPC_F_OFFSET, m->content_offset);
		ipc_put_bytes(o, IPC_F_HEADER, rec->header);
		ipc_put_handle(o, fd);
		o->close_handles = true;
		return 0;
	}
	ipc_put_bytes(o, IPC_F_HEADER, rec->header);
	if ((rc = memfd_content(q, m, &rec->h, VIEW_NONE, &fd)) == 0)
		ipc_put_handle(o, fd);
	return rc;
}

/* 0, or what is wrong with the record. */
static int
compose(struct qmgr *q, struct job *j, struct ipc_out *o, struct view transport,
    struct view nexthop, struct view data, size_t *at_r)
{
	struct message *m = j->m;
	struct segment_record rec;
	struct record_envelope e;
	struct view head;
	size_t tail;
	bool in_line;
	int rc;

	if ((rc = store_record(&q->store, m, &rec)) != 0 ||
	    (rc = record_envelope_read(rec.envelope, &e)) != 0)
		return rc;
	head = view_head(rec.envelope, (size_t)(e.recipients.p - rec.envelope.p));
	if (head.len > ENVELOPE_HEAD_MAX || rec.header.len > HEADER_INLINE_MAX)
		return PK_ELIMIT;
	in_line = rec.header.len + m->content_bytes + head.len + data.len <= INLINE_MAX;
	ipc_put_u64(o, IPC_F_JOB, j->number);
	ipc_put_u64(o, IPC_F_MESSAGE, m->id);
	ipc_put_bytes(o, IPC_F_TRANSPORT, transport);
	ipc_put_bytes(o, IPC_F_NEXTHOP, nexthop);
	ipc_put_u64(o, IPC_F_ATTEMPT, greatest_attempt(j));
	ipc_put_u64(o, IPC_F_TIME_MS, m->arrival_ms);
	ipc_put_u64(o, IPC_F_SIZE, m->content_bytes);
	ipc_put_bytes(o, IPC_F_ENVELOPE, head);
	tail = rec.header.len + data.len + (in_line ? m->content_bytes : 0) + 64;
	put_recipients(o, j, at_r, tail);
	if (data.len > 0)
		ipc_put_bytes(o, IPC_F_DATA, data);
	return put_content(q, o, j, &rec, in_line);
}

static int
send_job(struct qmgr *q, struct job *j, struct view transport, struct view nexthop,
    struct view data)
{
	struct ipc_out o;
	size_t at = 0;
	int rc;

	ipc_out_init(&o, IPC_JOB);
	rc = compose(q, j, &o, transport, nexthop, data, &at);
	if (rc == 0)
		rc = ipc_out_error(&o);
	if (rc != 0) {
		ipc_out_fini(&o);
		return rc;
	}
	if (at < j->nrcpts)
		o.flags |= IPC_FLAG_MORE;
	ipc_send(j->by->ch, &o);
	while (at < j->nrcpts) {
		ipc_out_init(&o, IPC_JOB);
		ipc_put_u64(&o, IPC_F_JOB, j->number);
		put_recipients(&o, j, &at, 0);
		if (at < j->nrcpts)
			o.flags |= IPC_FLAG_MORE;
		ipc_send(j->by->ch, &o);
	}
	return 0;
}

/* ---- the life of a job ---- */

static struct job *
job_new(struct jobs *js, struct deliverer *by, struct message *m)
{
	struct job *j = XNEW(struct job);

	j->number = ++js->next;
	j->m = m;
	j->by = by;
	j->sent_ms = clock_mono_ms();
	by->inflight++;
	TAILQ_INSERT_TAIL(&by->jobs, j, link);
	map_put_u64(js->by_number, j->number, j);
	return j;
}

static void
job_free(struct jobs *js, struct job *j)
{
	TAILQ_REMOVE(&j->by->jobs, j, link);
	j->by->inflight--;
	map_del_u64(js->by_number, j->number);
	xfree(j->rcpts);
	xfree(j->error);
	xfree(j);
}

/* Recipients without a result wait again; no attempt was made. */
static void
put_rest_back(struct qmgr *q, struct job *j, uint64_t wait_ms)
{
	struct recipient *r;
	size_t i;

	for (i = 0; i < j->nrcpts && j->m != NULL; i++) {
		if ((r = j->rcpts[i]) == NULL)
			continue;
		j->rcpts[i] = NULL;
		j->put_back = true;
		if (j->dest == NULL) {
			r->flags &= (uint8_t)~RCPT_REPORTING;
			j->m->report_ms = store_now_ms(&q->store) + wait_ms;
			continue;
		}
		r->state = RCPT_WAIT;
		r->due_ms = store_now_ms(&q->store) + wait_ms;
		j->m->nbusy--;
	}
	j->undone = 0;
}

/* A look walks all recipients: of a long list not after each of its jobs. */
static void
look_at(struct qmgr *q, struct message *m)
{
	uint64_t when = store_now_ms(&q->store) + LOOK_MS;

	if (m->nbusy == 0 || m->nrcpts < LOOK_LATER)
		qmgr_run(q, m);
	else if (!heap_node_queued(&m->due) || m->due.key > when)
		store_wake(&q->store, m, when);
}

static void
job_end(struct qmgr *q, struct job *j)
{
	struct destination *dest = j->dest;
	struct message *m = j->m;
	enum sched_feedback f = SCHED_NEUTRAL;
	char *error = j->error, dsn[sizeof(j->dsn)];

	memcpy(dsn, j->dsn, sizeof(dsn));
	if (j->worked)
		f = SCHED_OK;
	else if (j->failed && !j->put_back)
		f = SCHED_FAILED;
	j->error = NULL;
	job_free(q->jobs, j);
	if (m != NULL) {
		m->njobs--;
		look_at(q, m);
	}
	if (dest != NULL)
		sched_job_done(q->sched, dest, f, view_str(dsn), view_str(error));
	else
		sched_kick(q->sched);
	xfree(error);
}

void
jobs_deliver(struct qmgr *q, struct sched_job *sj)
{
	struct destination *d = sj->dest;
	struct deliverer *by = choose(q->jobs, jobs_role(d->transport->type), d->route->hash);
	struct job *j;
	int rc;

	ASSERT(by != NULL);
	j = job_new(q->jobs, by, sj->m);
	j->dest = d;
	j->rcpts = sj->rcpts;
	j->nrcpts = j->undone = sj->nrcpts;
	j->queued_ms = sj->queued_ms;
	j->m->njobs++;
	xfree(sj);
	rc = send_job(q, j, route_transport(d->route), route_nexthop(d->route), VIEW_NONE);
	if (rc == 0)
		return;
	put_rest_back(q, j, PUT_BACK_MS);
	qmgr_damaged(q, j->m, rc);
	job_end(q, j);
}

bool
jobs_report(struct qmgr *q, struct message *m, unsigned kind, struct recipient **rcpts,
    size_t n, struct view data)
{
	struct deliverer *by = choose(q->jobs, IPC_ROLE_bounce, m->id);
	struct job *j;
	size_t i;
	int rc;

	if (by == NULL)
		return false;
	j = job_new(q->jobs, by, m);
	j->kind = kind;
	j->rcpts = xmemdup(rcpts, n * sizeof(*rcpts));
	j->nrcpts = j->undone = n;
	for (i = 0; i < n; i++)
		rcpts[i]->flags |= RCPT_REPORTING;
	m->njobs++;
	rc = send_job(q, j, VIEW("bounce"), VIEW(""), data);
	if (rc == 0)
		return true;
	put_rest_back(q, j, 60000);
	qmgr_damaged(q, m, rc);
	m->njobs--;
	job_free(q->jobs, j);
	return false;
}

void
jobs_forget(struct qmgr *q, struct message *m)
{
	struct deliverer *d;
	struct job *j;
	int role;

	if (m->njobs == 0 || q->jobs == NULL)
		return;
	for (role = 0; role < IPC_ROLES; role++)
		TAILQ_FOREACH(d, &q->jobs->deliverers[role], link)
			TAILQ_FOREACH(j, &d->jobs, link)
				if (j->m == m)
					j->m = NULL;
}

/* ---- results ---- */

struct result {
	uint64_t	index, state, flags;
	struct view	dsn, reply, relay;
};

static void
get_result(struct ipc_in *in, struct result *res)
{
	res->dsn = res->reply = res->relay = VIEW_NONE;
	ipc_get_u64(in, IPC_F_INDEX, &res->index);
	ipc_get_range(in, IPC_F_STATE, 0, JOB_RESULTS - 1, &res->state);
	ipc_get_range(in, IPC_F_FLAGS, 0, JOB_RESULT_FLAGS_ALL, &res->flags);
	ipc_get_text(in, IPC_F_DSN, 32, &res->dsn);
	ipc_get_text(in, IPC_F_REPLY, 4000, &res->reply);
	ipc_get_text(in, IPC_F_RELAY, 1000, &res->relay);
}

/* Results come in the order of the job, mostly. */
static struct recipient *
find(struct job *j, uint64_t index, size_t *hint)
{
	struct recipient *r;
	size_t i, at;

	for (i = 0; i < j->nrcpts; i++) {
		at = (*hint + i) % j->nrcpts;
		r = j->rcpts[at];
		if (r != NULL && r->index == index) {
			*hint = at + 1;
			j->rcpts[at] = NULL;
			j->undone--;
			return r;
		}
	}
	return NULL;
}

/* The next hop itself did not work, as opposed to not liking this message. */
static bool
is_site_failure(const struct result *res)
{
	return res->relay.len == 0 || view_eq(res->relay, VIEW("none")) ||
	    view_starts(res->dsn, VIEW("4.4.")) || view_eq(res->dsn, VIEW("4.3.2"));
}

static void
note_feedback(struct job *j, const struct result *res)
{
	if (res->state == JOB_SENT || res->state == JOB_BOUNCED) {
		j->worked = true;
	} else if (res->state == JOB_PUT_BACK) {
		j->put_back = true;
	} else if (is_site_failure(res)) {
		j->failed = true;
		if (j->error == NULL) {
			j->error = view_dup(res->reply);
			memset(j->dsn, 0, sizeof(j->dsn));
			memcpy(j->dsn, res->dsn.p, res->dsn.len < sizeof(j->dsn) - 1 ?
			    res->dsn.len : sizeof(j->dsn) - 1);
		}
	}
}

/* What the log shows once the delays of the packet are known. */
struct outcome {
	struct recipient *r;
	const char	*what;
};

static const char *
apply_result(struct qmgr *q, struct job *j, struct recipient *r, const struct result *res)
{
	struct message *m = j->m;
	uint64_t now = store_now_ms(&q->store);

	m->nbusy--;
	if (res->state == JOB_PUT_BACK) {
		r->state = RCPT_WAIT;
		r->due_ms = now + PUT_BACK_MS;
		return NULL;
	}
	r->last_ms = now;
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	recipient_set_status(r, res->dsn, res->relay, res->reply);
	switch (res->state) {
	case JOB_SENT:
		qmgr_recipient_sent(q, m, r, (unsigned)res->flags);
		return "sent";
	case JOB_BOUNCED:
		qmgr_recipient_failed(q, m, r);
		return "bounced";
	default:
		j->dest->deferred++;
		return qmgr_recipient_deferred(q, m, r, j->dest->transport->conf) ?
		    "deferred" : "expired";
	}
}

static void
apply_report(struct qmgr *q, struct job *j, struct recipient *r, const struct result *res)
{
	uint8_t bit = (uint8_t)(1U << j->kind);
	char id[RECORD_ID_TEXT_MAX];

	r->flags &= (uint8_t)~RCPT_REPORTING;
	if ((r->report & bit) == 0)
		return;		/* taken in: QUEUE.md Q12 */
	if (res->state == JOB_BOUNCED) {
		record_id_format(j->m->id, id);
		log_warn("%s: no report for <%.*s>: %.*s", id, VIEW_ARG(recipient_address(r)),
		    VIEW_ARG(res->reply));
		r->report &= (uint8_t)~bit;
		r->reported |= bit;
		store_log_rows(&q->store, j->m, &r, 1);
		return;
	}
	j->m->report_ms = store_now_ms(&q->store) + (res->state == JOB_PUT_BACK ? 1000 : 10000);
}

static void
say_outcomes(struct qmgr *q, struct job *j, const struct outcome *v, size_t n,
    uint64_t connect_ms, uint64_t send_ms)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (v[i].what != NULL)
			qmgr_log_outcome(q, j->m, v[i].r, ipc_role_name(j->by->role), v[i].what,
			    j->queued_ms, connect_ms, send_ms);
}

static int
read_results(struct qmgr *q, struct job *j, struct ipc_in *in)
{
	struct outcome *v = xreallocarray(NULL, j->undone + 1, sizeof(*v));
	struct recipient **changed = xreallocarray(NULL, j->undone + 1, sizeof(*changed)), *r;
	uint64_t connect_ms = 0, send_ms = 0;
	struct result res;
	size_t n = 0, i, hint = 0;
	int rc;

	while (in->error == 0 && ipc_has(in, IPC_F_INDEX)) {
		get_result(in, &res);
		if (in->error != 0 || (r = find(j, res.index, &hint)) == NULL) {
			in->error = PK_EPROTO;
			break;
		}
		if (j->m == NULL)
			continue;
		if (j->dest == NULL) {
			apply_report(q, j, r, &res);
			continue;
		}
		note_feedback(j, &res);
		v[n].r = r;
		v[n++].what = apply_result(q, j, r, &res);
	}
	ipc_get_u64(in, IPC_F_DELAY_MS, &connect_ms);
	ipc_get_u64(in, IPC_F_DELAY_MS, &send_ms);
	rc = ipc_in_end(in);
	/* What was read before an error happened all the same. */
	for (i = 0; i < n; i++)
		changed[i] = v[i].r;
	if (n > 0) {
		say_outcomes(q, j, v, n, connect_ms, send_ms);
		store_log_rows(&q->store, j->m, changed, n);
	}
	xfree(changed);
	xfree(v);
	return rc;
}

static int
on_result(struct qmgr *q, struct deliverer *d, struct ipc_msg *m)
{
	uint64_t number = 0;
	struct ipc_in in;
	struct job *j;
	int rc;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &number);
	j = in.error == 0 ? map_get_u64(q->jobs->by_number, number) : NULL;
	if (j == NULL || j->by != d)
		return PK_EPROTO;
	/* A report counts when it has been read back out of its segment. */
	if (j->dest == NULL)
		writers_scan_now(q);
	if ((rc = read_results(q, j, &in)) != 0)
		return rc;
	if ((m->flags & IPC_FLAG_MORE) != 0)
		return 0;
	if (j->undone > 0)
		put_rest_back(q, j, PUT_BACK_MS);
	job_end(q, j);
	return 0;
}

static int
on_ready(struct qmgr *q, struct deliverer *d, struct ipc_msg *m)
{
	uint64_t count = 0;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_COUNT, 0, UINT64_MAX, &count);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	d->capacity = count < CAPACITY_MAX ? (unsigned)count : CAPACITY_MAX;
	sched_kick(q->sched);
	return 0;
}

int
jobs_message(struct qmgr *q, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct deliverer *d = map_get_u64(q->jobs->by_instance, ipc_channel_instance(ch));

	if (d == NULL)
		return PK_EPROTO;
	return m->type == IPC_JOB_RESULT ? on_result(q, d, m) : on_ready(q, d, m);
}

/* ---- coming and going ---- */

void
jobs_add_deliverer(struct qmgr *q, enum ipc_role role, uint64_t instance, struct ipc_channel *ch)
{
	struct deliverer *d = XNEW(struct deliverer);

	jobs_deliverer_gone(q, instance);
	d->role = role;
	d->instance = instance;
	d->ch = ch;
	TAILQ_INIT(&d->jobs);
	TAILQ_INSERT_TAIL(&q->jobs->deliverers[role], d, link);
	q->jobs->ndeliverers[role]++;
	map_put_u64(q->jobs->by_instance, instance, d);
}

void
jobs_deliverer_gone(struct qmgr *q, uint64_t instance)
{
	struct deliverer *d = map_del_u64(q->jobs->by_instance, instance);
	struct job *j;
	size_t n = 0;

	if (d == NULL)
		return;
	TAILQ_REMOVE(&q->jobs->deliverers[d->role], d, link);
	q->jobs->ndeliverers[d->role]--;
	d->capacity = 0;
	while ((j = TAILQ_FIRST(&d->jobs)) != NULL) {
		n++;
		put_rest_back(q, j, 0);
		job_end(q, j);
	}
	if (n > 0)
		log_warn("%s worker %" PRIu64 " is gone: %zu deliveries put back",
		    ipc_role_name(d->role), instance, n);
	xfree(d);
}

void
jobs_init(struct qmgr *q)
{
	struct jobs *js = XNEW(struct jobs);
	int i;

	js->q = q;
	for (i = 0; i < IPC_ROLES; i++)
		TAILQ_INIT(&js->deliverers[i]);
	for (i = 0; i < CACHE_SLOTS; i++)
		js->cache[i].fd = -1;
	js->by_instance = map_new();
	js->by_number = map_new();
	q->jobs = js;
}

void
jobs_fini(struct qmgr *q)
{
	struct jobs *js = q->jobs;
	struct deliverer *d;
	struct job *j;
	int i;

	for (i = 0; i < IPC_ROLES; i++) {
		while ((d = TAILQ_FIRST(&js->deliverers[i])) != NULL) {
			TAILQ_REMOVE(&js->deliverers[i], d, link);
			while ((j = TAILQ_FIRST(&d->jobs)) != NULL)
				job_free(js, j);
			xfree(d);
		}
	}
	for (i = 0; i < CACHE_SLOTS; i++)
		cache_clear(&js->cache[i]);
	map_free(&js->by_instance, NULL);
	map_free(&js->by_number, NULL);
	xfree(js);
	q->jobs = NULL;
}
