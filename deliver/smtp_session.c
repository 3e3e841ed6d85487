/* SPDX-License-Identifier: ISC */
/*
 * smtp_session.c: one connection from its greeting to QUIT.
 *
 * Runs in `deliver smtp` and `deliver lmtp`. The protocol is smtp_client.h's;
 * here its callbacks meet jobs, the stream and the clock. A connection takes
 * jobs of its destination one after the other, the next one's commands behind
 * the dot of the one before when jobs wait. A recipient that the server
 * deferred is held while there is a next host to ask; the job goes there when
 * nothing of it is left for this one.
 *
 * Callbacks never free a connection: smtp_conn_kill() closes it, its memory
 * goes at the end of the turn.
 */
#include "deliver/smtp.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/stats.h"

static void
work_free(struct smtp_work *w)
{
	mime_free(&w->mime);
	xfree(w->txn.rcpts);
	xfree(w->index);
	xfree(w->said);
	xfree(w);
}

static void
work_forget(struct smtp_conn *c, struct smtp_work *w)
{
	unsigned i;

	for (i = 0; i < c->nworks && c->works[i] != w; i++)
		;
	ASSERT(i < c->nworks);
	for (; i + 1 < c->nworks; i++)
		c->works[i] = c->works[i + 1];
	c->nworks--;
}

/* ---- time limits ---- */

static uint64_t
limit_ms(const struct smtp_conn *c, enum smtp_wait wait)
{
	const struct conf *conf = c->dest->conf;

	switch (wait) {
	case SMTP_WAIT_NOTHING:
		return conf->smtp_connection_cache_time_limit;
	case SMTP_WAIT_GREETING:
	case SMTP_WAIT_HELO:
		return conf->smtp_helo_timeout;
	case SMTP_WAIT_TLS:
		return conf->smtp_starttls_timeout;
	case SMTP_WAIT_MAIL:
		return conf->smtp_mail_timeout;
	case SMTP_WAIT_RCPT:
		return conf->smtp_rcpt_timeout;
	case SMTP_WAIT_DATA:
		return conf->smtp_data_init_timeout;
	case SMTP_WAIT_CONTENT:
		return conf->smtp_data_xfer_timeout;
	case SMTP_WAIT_END:
		return stream_pending(&c->stream) > 0 ?
		    conf->smtp_data_xfer_timeout :
		    conf->smtp_data_done_timeout;
	case SMTP_WAIT_RSET:
		return conf->smtp_rset_timeout;
	case SMTP_WAIT_QUIT:
		break;
	}
	return conf->smtp_quit_timeout;
}

/* A limit runs from the last whole reply: a byte a minute does not help. */
static void
timer_arm(struct smtp_conn *c, bool progress)
{
	enum smtp_wait wait;

	if (c->dest == NULL || c->state == SMTP_CONN_DEAD)
		return;
	wait = smtp_client_wait(&c->client);
	if (!progress && wait == c->wait && c->client.replies == c->replies &&
	    loop_timer_is_set(&c->timer))
		return;
	c->wait = wait;
	c->replies = c->client.replies;
	loop_timer_set(c->s->d->loop, &c->timer, limit_ms(c, wait));
}

/* ---- jobs ---- */

/* May it have another transaction? */
bool
smtp_session_may_take(const struct smtp_conn *c)
{
	const struct conf *conf = c->dest->conf;

	if (c->stale || !smtp_client_can_begin(&c->client))
		return false;
	if (conf->smtp_connection_reuse_count_limit > 0 &&
	    c->transactions >= conf->smtp_connection_reuse_count_limit)
		return false;
	if (c->client.caps.mail_max > 0 &&
	    (uint64_t)c->transactions >= c->client.caps.mail_max)
		return false;
	return c->transactions == 0 ||
	    clock_mono_ms() - c->since_ms <
	    conf->smtp_connection_reuse_time_limit;
}

static unsigned
notify_bits(unsigned n)
{
	return (n & RECORD_NOTIFY_NEVER ? SMTP_NOTIFY_NEVER : 0U) |
	    (n & RECORD_NOTIFY_SUCCESS ? SMTP_NOTIFY_SUCCESS : 0U) |
	    (n & RECORD_NOTIFY_FAILURE ? SMTP_NOTIFY_FAILURE : 0U) |
	    (n & RECORD_NOTIFY_DELAY ? SMTP_NOTIFY_DELAY : 0U);
}

/* The job's open recipients, as many as the server takes at once. */
static void
work_recipients(struct smtp_work *w)
{
	const struct smtp_conn *c = w->conn;
	struct job *j = w->job;
	size_t max = j->undone, i, n = 0;

	if (c->client.caps.rcpt_max > 0 && c->client.caps.rcpt_max < max)
		max = (size_t)c->client.caps.rcpt_max;
	w->txn.rcpts = xcalloc(max, sizeof(*w->txn.rcpts));
	w->index = xcalloc(max, sizeof(*w->index));
	for (i = 0; i < j->nrcpts && n < max; i++) {
		if (j->rcpts[i].done || j->rcpts[i].held)
			continue;
		if (!smtp_client_address_ok(j->rcpts[i].address)) {
			job_result(j, i, JOB_BOUNCED, 0, ENHANCED(5, 1, 3),
			    VIEW("bad recipient address syntax"), VIEW("none"));
			continue;
		}
		w->txn.rcpts[n].address = j->rcpts[i].address;
		w->txn.rcpts[n].orcpt = j->rcpts[i].orcpt;
		w->txn.rcpts[n].notify = notify_bits(j->rcpts[i].notify);
		w->index[n++] = i;
	}
	w->txn.nrcpts = n;
}

/* The five classes of ours on RFC 6710's scale; the usual one is not said. */
static int
priority_said(unsigned priority)
{
	static const int said[] = { -4, -2, 0, 2, 4 };

	return priority < NELEMS(said) ? said[priority] : 0;
}

/*
 * A transaction of j is over here. A host that broke off gets no more of its
 * recipients when there is another one.
 */
static void
leave_job(struct smtp_conn *c, struct job *j)
{
	bool lost = c->client.dead || c->client.closing;

	if (j->undone == 0) {
		job_finish(&j);
		return;
	}
	if (j->nheld > 0 && (lost || j->nheld == j->undone))
		smtp_tour_advance(c, j);
	smtp_dest_requeue(c->dest, j);
}

/* For `adminctl trace`: how this message goes to where it goes. */
static void
log_tls(const struct smtp_conn *c, const struct job *j)
{
	if (c->tls == NULL || c->dest->conf->smtp_tls_loglevel < 1)
		return;
	log_info("%s: tls=%s, protocol=%s, cipher=%s, relay=%s", j->queue_id,
	    smtp_tls_word(c), tls_conn_protocol(c->tls),
	    tls_conn_cipher(c->tls), c->target->relay);
}

static void
begin_job(struct smtp_conn *c, struct job *j)
{
	struct smtp_work *w = XNEW(struct smtp_work);

	w->conn = c;
	w->job = j;
	if (!smtp_client_address_ok(j->env.sender))
		job_result_rest(j, JOB_BOUNCED, 0, ENHANCED(5, 1, 7),
		    VIEW("bad sender address syntax"), VIEW("none"));
	else
		work_recipients(w);
	if (w->txn.nrcpts == 0 || !smtp_content_prepare(w)) {
		work_free(w);
		leave_job(c, j);
		return;
	}
	w->txn.sender = j->env.sender;
	w->txn.envid = j->env.envid;
	w->txn.ret = j->env.ret == RECORD_RET_FULL ? SMTP_RET_FULL :
	    j->env.ret == RECORD_RET_HDRS          ? SMTP_RET_HDRS :
						     SMTP_RET_UNSET;
	w->txn.requiretls = c->client.requiretls;
	w->txn.mt_priority = priority_said(j->env.priority);
	w->txn.arg = w;
	if (j->connected_ms == 0)
		j->connected_ms = clock_mono_ms();
	if (c->transactions++ > 0)
		stats_add(STATS_C_deliver_reused, 1);
	log_tls(c, j);
	c->works[c->nworks++] = w;
	smtp_client_begin(&c->client, &w->txn);
}

/* A host that only those come to whom a better one has failed. */
static bool
is_second_choice(const struct smtp_conn *c)
{
	return c->bound && c->target->rank != c->order.route->targets[0].rank;
}

/* The one that it was made for, which may not be wanted any more. */
static struct job *
bound_job(struct smtp_conn *c)
{
	struct job *j = c->job;

	c->job = NULL;
	if (j->orphan || c->s->d->draining) {
		smtp_dest_requeue(c->dest, j);
		return NULL;
	}
	smtp_tour_arrive(c, j);
	return j;
}

static struct job *
next_job(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;
	struct job *j;

	if (c->job != NULL)
		return smtp_client_can_begin(&c->client) ? bound_job(c) : NULL;
	j = TAILQ_FIRST(&dest->again);
	if (j != NULL && c->nworks == 0 && smtp_session_may_take(c) &&
	    strcmp(smtp_tour_target(j)->relay, c->target->relay) == 0)
		return smtp_dest_take_again(dest);
	if (dest->nwaiting == 0 || is_second_choice(c) ||
	    smtp_dest_is_crowded(dest) || !smtp_session_may_take(c))
		return NULL;
	/* An idle one gives the answer sooner than a busy one. */
	if (c->nworks > 0 && !TAILQ_EMPTY(&dest->idle))
		return NULL;
	return smtp_dest_take(dest);
}

static void
become_idle(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;

	if (!smtp_session_may_take(c) || is_second_choice(c) ||
	    smtp_dest_is_crowded(dest) || c->s->d->draining ||
	    dest->conf->smtp_connection_cache_time_limit == 0) {
		smtp_session_quit(c);
		return;
	}
	c->state = SMTP_CONN_IDLE;
	TAILQ_INSERT_HEAD(&dest->idle, c, idle_link);
}

/* Behind whatever happened: more jobs, output, the clock. */
static void
go_on(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;
	struct job *j;

	while ((j = next_job(c)) != NULL)
		begin_job(c, j);
	if (c->state == SMTP_CONN_BUSY && c->nworks == 0)
		become_idle(c);
	if (c->state == SMTP_CONN_DEAD || c->dest == NULL)
		return;
	stream_flush(&c->stream);
	if (c->state == SMTP_CONN_BUSY || c->state == SMTP_CONN_IDLE ||
	    c->state == SMTP_CONN_HELLO)
		timer_arm(c, false);
	if (!TAILQ_EMPTY(&dest->again))
		smtp_dest_schedule(dest);
}

void
smtp_session_take(struct smtp_conn *c, struct job *j)
{
	TAILQ_REMOVE(&c->dest->idle, c, idle_link);
	c->state = SMTP_CONN_BUSY;
	begin_job(c, j);
	go_on(c);
}

void
smtp_session_work(struct smtp_conn *c)
{
	if (c->state == SMTP_CONN_IDLE) {
		TAILQ_REMOVE(&c->dest->idle, c, idle_link);
		c->state = SMTP_CONN_BUSY;
	}
	go_on(c);
}

void
smtp_session_quit(struct smtp_conn *c)
{
	struct smtp_dest *dest = c->dest;

	if (c->state == SMTP_CONN_IDLE)
		TAILQ_REMOVE(&dest->idle, c, idle_link);
	TAILQ_REMOVE(&dest->conns, c, link);
	dest->nconns--;
	c->dest = NULL;
	TAILQ_INSERT_TAIL(&c->s->quitting, c, link);
	c->state = SMTP_CONN_QUIT;
	smtp_client_quit(&c->client);
	loop_timer_set(c->s->d->loop, &c->timer, dest->conf->smtp_quit_timeout);
	stream_flush(&c->stream);
	smtp_dest_schedule(dest);
}

/* ---- the end of a connection ---- */

/* Greeting or EHLO did not end well: the next host. */
static void
hello_failed(struct smtp_conn *c)
{
	const struct smtp_outcome *o = &c->client.refused;
	struct smtp_failure f = { .text = NULL };
	enum job_result what = JOB_DEFERRED;
	struct enhanced dsn = o->dsn;
	struct buf text;

	/* What broke inside TLS may work without (a refused client certificate). */
	if (c->tls != NULL && c->client.refusal == SMTP_REFUSAL_PROTOCOL &&
	    smtp_tls_may_do_without(c)) {
		log_info("%.*s: once more without TLS", VIEW_ARG(o->text));
		smtp_conn_retry_in_clear(c);
		return;
	}
	buf_init(&text, 4096);
	if (c->client.refusal == SMTP_REFUSAL_LOOP) {
		/* A better host has not refused it for good: not our end. */
		what = c->bound ? JOB_DEFERRED : JOB_BOUNCED;
		dsn = ENHANCED(c->bound ? 4 : 5, 4, 6);
		c->next_target = c->order.n;
		buf_printf(&text, "mail for %s loops back to myself",
		    c->dest->nexthop);
	} else if (c->client.refusal == SMTP_REFUSAL_NONE) {
		dsn = ENHANCED(4, 4, 2);
		buf_printf(&text,
		    "lost connection with %s while performing "
		    "the EHLO handshake",
		    c->target->peer);
	} else if (c->client.refusal == SMTP_REFUSAL_REQUIRETLS) {
		/* A better host may have it later: not our end. */
		what = c->bound ? JOB_DEFERRED : JOB_BOUNCED;
		dsn = enhanced_with_class(dsn, c->bound ? 4 : 5);
		buf_put_view(&text, o->text);
	} else {
		buf_put_view(&text, view_head(o->text, 2000));
		if (o->what == SMTP_OUTCOME_BOUNCED &&
		    !c->dest->conf->smtp_skip_5xx_greeting)
			what = JOB_BOUNCED;
		else if (dsn.klass == 5)
			dsn = enhanced_with_class(dsn, 4);
	}
	smtp_failure_set(&f, what, dsn, c->target->relay, buf_view(&text));
	buf_fini(&text);
	smtp_conn_host_failed(c, &f);
}

static void
broken(struct smtp_conn *c, int why)
{
	struct smtp_dest *dest = c->dest;
	struct smtp_work *w;
	unsigned i;

	if (c->state == SMTP_CONN_DEAD)
		return;
	if (c->state == SMTP_CONN_QUIT) {
		smtp_conn_kill(c);
		return;
	}
	/* It broke off in the packet that should have begun the session. */
	if (c->state == SMTP_CONN_BUSY && c->transactions == 0) {
		c->state = SMTP_CONN_HELLO;
		if (!c->bound)
			dest->nconnecting++;
	}
	if (c->state == SMTP_CONN_HELLO && c->tls_fd != -1) {
		smtp_tls_timeout(c);
		return;
	}
	if (c->state == SMTP_CONN_HELLO) {
		if (c->client.refusal == SMTP_REFUSAL_NONE)
			smtp_client_lost(&c->client, why);
		hello_failed(c);
		return;
	}
	/* The server was tired of a connection that had served before. */
	for (i = c->nworks; i-- > 0;) {
		w = c->works[i];
		if (c->transactions < 2 ||
		    !smtp_client_untouched(&c->client, &w->txn))
			continue;
		smtp_client_take_back(&c->client, &w->txn);
		work_forget(c, w);
		smtp_dest_requeue(dest, w->job);
		work_free(w);
	}
	smtp_client_lost(&c->client, why);
	/* Not even one message came through: the next attempt goes elsewhere. */
	if (c->transactions == 1 && !c->bound && why != PK_EIO)
		smtp_dest_avoid(dest, c->target);
	smtp_conn_kill(c);
	smtp_dest_schedule(dest);
}

static void
content_unreadable(struct smtp_conn *c)
{
	struct smtp_outcome o = {
		.what = SMTP_OUTCOME_DEFERRED, .dsn = ENHANCED(4, 3, 0),
		.text = VIEW("cannot read the message content"),
	};

	smtp_client_abort(&c->client, &o);
	broken(c, PK_EIO);
}

void
smtp_session_stop(struct smtp_conn *c)
{
	unsigned i;

	if (c->has_client && c->nworks > 0) {
		for (i = 0; i < c->nworks; i++)
			if (i > 0 ||
			    smtp_client_wait(&c->client) != SMTP_WAIT_END)
				job_put_back_rest(c->works[i]->job);
		smtp_client_lost(&c->client, PK_EPEER);
	}
	if (c->job != NULL) {
		job_put_back_rest(c->job);
		job_finish(&c->job);
	}
	smtp_conn_kill(c);
}

void
smtp_session_timeout(struct smtp_conn *c)
{
	switch (c->state) {
	case SMTP_CONN_IDLE:
		smtp_session_quit(c);
		break;
	case SMTP_CONN_QUIT:
		smtp_conn_kill(c);
		break;
	default:
		broken(c, PK_ETIMEOUT);
		break;
	}
}

/* ---- callbacks of the engine ---- */

static void
on_ready(struct smtp_client *client, void *arg)
{
	struct smtp_conn *c = arg;

	if (c->dest->conf->smtp_tls_note_starttls_offer && !client->tls &&
	    (client->caps.flags & SMTP_CAP_STARTTLS))
		log_info("Host offered STARTTLS: [%s]", c->target->host);
	c->state = SMTP_CONN_BUSY;
	if (!c->bound)
		c->dest->nconnecting--;
}

static void
on_content(struct smtp_client *client, struct smtp_txn *t, void *arg)
{
	struct smtp_work *w = t->arg;

	(void)client;
	(void)arg;
	/* A failure is seen by on_data(): nothing is left to read with. */
	if (smtp_content_pump(w) != 0)
		w->offset = UINT64_MAX;
}

/* The next host is asked; what this one said is in the log, once. */
static void
hold(struct smtp_work *w, size_t i, const struct smtp_outcome *o)
{
	job_hold(w->job, i);
	if (w->said != NULL && view_eq(o->text, view_str(w->said)))
		return;
	xfree(w->said);
	w->said = view_dup(o->text);
	log_info("%s: %s", w->job->queue_id, w->said);
}

static void
on_result(struct smtp_client *client, struct smtp_txn *t, size_t i,
    const struct smtp_outcome *o, void *arg)
{
	static const enum job_result what[] = {
		[SMTP_OUTCOME_SENT] = JOB_SENT,
		[SMTP_OUTCOME_DEFERRED] = JOB_DEFERRED,
		[SMTP_OUTCOME_BOUNCED] = JOB_BOUNCED,
	};
	struct smtp_work *w = t->arg;
	struct smtp_conn *c = arg;
	unsigned flags = 0;

	if (o->elsewhere && smtp_tour_goes_on(c, w->job)) {
		hold(w, w->index[i], o);
		return;
	}
	if (client->caps.flags & SMTP_CAP_DSN)
		flags = JOB_FLAG_DSN_PASSED;
	else if (c->s->lmtp)
		flags = JOB_FLAG_FINAL;
	job_result(w->job, w->index[i], what[o->what], flags, o->dsn, o->text,
	    view_str(c->target->relay));
}

static void
on_done(struct smtp_client *client, struct smtp_txn *t, void *arg)
{
	struct smtp_work *w = t->arg;
	struct smtp_conn *c = arg;
	struct job *j = w->job;

	(void)client;
	/* Answered before we had sent all of it: those bytes go with the job. */
	if (c->stream.npieces > 0)
		stream_close(&c->stream);
	work_forget(c, w);
	work_free(w);
	leave_job(c, j);
}

/* Not from inside the engine: see on_data(). */
static void
on_starttls(struct smtp_client *client, void *arg)
{
	struct smtp_conn *c = arg;

	(void)client;
	c->tls_due = true;
}

static const struct smtp_client_ops client_ops = {
	on_ready, on_content, on_result, on_done, on_starttls,
};

/* ---- callbacks of the stream ---- */

static bool
unreadable(const struct smtp_conn *c)
{
	return c->nworks > 0 && c->works[0]->offset == UINT64_MAX;
}

static void
begin_tls(struct smtp_conn *c)
{
	int fd;

	c->tls_due = false;
	/* It agreed before it was asked: STARTTLS is still with us (A3). */
	if (stream_pending(&c->stream) > 0) {
		broken(c, PK_EPEER);
		return;
	}
	fd = stream_detach(&c->stream);
	c->has_stream = false;
	smtp_tls_begin(c, fd);
}

static void
on_data(struct stream *s, struct view bytes, void *arg)
{
	struct smtp_conn *c = arg;
	int rc;

	if (bytes.len == 0) {
		broken(c, PK_EPEER);
		return;
	}
	rc = smtp_client_feed(&c->client, bytes);
	if (c->state == SMTP_CONN_DEAD)
		return;
	if (c->state == SMTP_CONN_QUIT) {
		if (rc != 0)
			smtp_conn_kill(c);
		return;
	}
	if (rc != 0 || !stream_is_open(s))
		broken(c, PK_EPEER);
	else if (c->tls_due)
		begin_tls(c);
	else if (unreadable(c))
		content_unreadable(c);
	else
		go_on(c);
}

static void
on_drained(struct stream *s, void *arg)
{
	struct smtp_conn *c = arg;
	struct smtp_work *w;

	(void)s;
	if (c->state != SMTP_CONN_BUSY || c->nworks == 0)
		return;
	w = c->works[c->nworks - 1];
	if (w->pumping && smtp_content_pump(w) != 0) {
		content_unreadable(c);
		return;
	}
	timer_arm(c, true);
}

static void
on_failed(struct stream *s, int error, void *arg)
{
	(void)s;
	(void)error;
	broken(arg, PK_EPEER);
}

static const struct stream_ops stream_ops = { on_data, on_drained, on_failed };

static void
stream_begin(struct smtp_conn *c, int fd)
{
	stream_init(&c->stream, c->s->d->loop, fd,
	    c->tls != NULL ? &tls_stream_io : NULL, c->tls, &stream_ops, c);
	c->has_stream = true;
}

void
smtp_session_secured(struct smtp_conn *c, int fd)
{
	stream_begin(c, fd);
	smtp_client_tls_begun(&c->client);
	stream_flush(&c->stream);
	timer_arm(c, true);
}

void
smtp_session_begin(struct smtp_conn *c, int fd, const struct smtp_target *t)
{
	bool wrapped = c->dest->conf->smtp_tls_wrappermode;

	stats_add(STATS_C_deliver_connections, 1);
	if (c->has_client)
		smtp_client_fini(&c->client);
	c->target = t;
	c->state = SMTP_CONN_HELLO;
	c->since_ms = clock_mono_ms();
	/* Our own name there, at a port of ours: ourselves. */
	smtp_client_init(&c->client,
	    smtp_port_is_ours(c->s, t->port) ? &c->dest->loop_conf :
					       &c->dest->client_conf,
	    &client_ops, c, stream_out(&c->stream), t->peer);
	smtp_client_want_tls(
	    &c->client, smtp_tls_wanted(c), t->plan->requiretls);
	c->has_client = true;
	if (wrapped) {
		smtp_tls_begin(c, fd);
		return;
	}
	stream_begin(c, fd);
	timer_arm(c, true);
}
