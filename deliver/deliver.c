/* SPDX-License-Identifier: ISC */
/*
 * deliver.c: what the roles of `deliver` share: jobs in, results out, drain.
 *
 * Runs in each of them with that role's privileges. qmgr's packets are
 * checked like anybody's; a job that does not parse closes the channel and
 * touches nothing else.
 *
 * When qmgr dies its job numbers mean nothing any more: what has not begun is
 * dropped, what has is finished and its result forgotten. The next qmgr tries
 * these recipients again: a duplicate is possible then (QUEUE.md Q8).
 */
#include "deliver/deliver.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/stats.h"

/* Results and seals that qmgr has not read yet; beyond it they are lost. */
#define LAST_WORDS_MS	5000

const struct conf *
deliver_conf(const struct deliver *d)
{
	return d->conf;
}

const struct conf *
deliver_transport_conf(const struct deliver *d, struct view transport)
{
	char *name = view_dup(transport);
	const struct conf *c = conf_scope(d->conf, name);

	xfree(name);
	return c;
}

void
deliver_send(struct deliver *d, struct ipc_out *o)
{
	if (d->qmgr == NULL)
		ipc_out_fini(o);
	else
		ipc_send(d->qmgr, o);
}

void
deliver_count(struct deliver *d, enum job_result what)
{
	(void)d;
	if (what == JOB_SENT)
		stats_add(STATS_C_deliver_sent, 1);
	else if (what == JOB_DEFERRED)
		stats_add(STATS_C_deliver_deferred, 1);
	else if (what == JOB_BOUNCED)
		stats_add(STATS_C_deliver_bounced, 1);
}

void
deliver_forget(struct deliver *d, struct job *j)
{
	if (!j->orphan)
		map_del_u64(d->jobs, j->number);
	TAILQ_REMOVE(&d->all, j, all);
	d->njobs--;
	stats_observe(
	    STATS_H_deliver_us, (clock_mono_ms() - j->begun_ms) * 1000);
	if (d->draining && d->njobs == 0)
		loop_defer(d->loop, &d->check_end);
}

void
deliver_leave(struct deliver *d)
{
	if (d->qmgr != NULL)
		ipc_flush_wait(d->qmgr, LAST_WORDS_MS);
	child_exit(d->child, 0);
}

static void
check_end(void *arg)
{
	struct deliver *d = arg;

	if (!d->draining || d->njobs > 0 || d->leaving)
		return;
	d->leaving = true;
	loop_timer_clear(d->loop, &d->grace);
	if (d->role->finish != NULL)
		d->role->finish(d);
	else
		deliver_leave(d);
}

/* ---- messages of qmgr ---- */

static int
on_job(struct deliver *d, struct ipc_msg *m)
{
	struct job *first, *j;
	uint64_t number;

	if (job_peek(m, &number) != 0)
		return PK_EPROTO;
	first = map_get_u64(d->jobs, number);
	if (first != NULL && first->complete)
		return PK_EPROTO;
	if (job_decode(m, first, &j) != 0)
		return PK_EPROTO;
	if (first == NULL) {
		j->d = d;
		TAILQ_INSERT_TAIL(&d->all, j, all);
		d->njobs++;
		map_put_u64(d->jobs, number, j);
	}
	if (!j->complete)
		return 0;
	if (d->draining) {
		job_put_back_rest(j);
		job_finish(&j);
		return 0;
	}
	d->role->job(d, j);
	return 0;
}

static int
on_cancel(struct deliver *d, struct ipc_msg *m)
{
	struct ipc_in in;
	struct job *j;
	uint64_t number = 0;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &number);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	j = map_get_u64(d->jobs, number);
	/* It may have crossed our result. */
	if (j != NULL && j->complete)
		d->role->cancel(d, j);
	return 0;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct deliver *d = arg;

	(void)ch;
	switch (m->type) {
	case IPC_JOB:
		return on_job(d, m);
	case IPC_JOB_CANCEL:
		return on_cancel(d, m);
	default:
		return d->role->message != NULL ? d->role->message(d, m) :
						  PK_EPROTO;
	}
}

/* Its numbers mean nothing any more. */
static void
orphan_jobs(struct deliver *d)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&d->all); j != NULL; j = next) {
		next = TAILQ_NEXT(j, all);
		if (j->orphan)
			continue;
		map_del_u64(d->jobs, j->number);
		j->orphan = true;
		if (!j->complete) {
			job_put_back_rest(j);
			job_finish(&j);
		}
	}
	for (j = TAILQ_FIRST(&d->all); j != NULL; j = next) {
		next = TAILQ_NEXT(j, all);
		d->role->cancel(d, j);
	}
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct deliver *d = arg;

	if (d->qmgr != ch)
		return;
	log_debug("qmgr is gone: %s", pk_strerror(why));
	d->qmgr = NULL;
	if (d->role->disconnected != NULL)
		d->role->disconnected(d);
	orphan_jobs(d);
}

static const struct ipc_channel_ops channel_ops = { on_message, on_closed };

static void
state_capacity(struct deliver *d)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_DELIVER_READY);
	ipc_put_u64(&o, IPC_F_COUNT, d->draining ? 0 :
	    (uint64_t)deliver_conf(d)->transport_process_limit);
	deliver_send(d, &o);
}

/* ---- child_ops ---- */

static void
on_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct deliver *d = child_arg(c);

	if (d->child == NULL) {
		d->child = c;
		d->loop = child_loop(c);
		d->conf = child_conf(c);
	}
	if (peer != IPC_ROLE_qmgr) {
		if (d->role->channel != NULL)
			d->role->channel(d, peer, instance, fd);
		else
			close(fd);
		return;
	}
	deliver_attach(d, instance, fd);
}

void
deliver_attach(struct deliver *d, uint64_t instance, int fd)
{
	if (d->qmgr != NULL) {
		if (d->role->disconnected != NULL)
			d->role->disconnected(d);
		ipc_channel_free(&d->qmgr);
		orphan_jobs(d);
	}
	d->qmgr = ipc_channel_new(d->loop, fd, d->role->role, IPC_ROLE_qmgr,
	    instance, &channel_ops, d);
	if (!d->draining)
		state_capacity(d);
	if (d->role->connected != NULL)
		d->role->connected(d);
}

static void
on_reload(struct child *c, const struct conf *old)
{
	struct deliver *d = child_arg(c);

	(void)old;
	d->conf = child_conf(c);
	if (d->role->reload != NULL)
		d->role->reload(d);
}

static void
grace_over(void *arg)
{
	struct deliver *d = arg;
	struct job *j, *next;

	for (j = TAILQ_FIRST(&d->all); j != NULL; j = next) {
		next = TAILQ_NEXT(j, all);
		if (!j->complete) {
			job_put_back_rest(j);
			job_finish(&j);
		}
	}
	if (d->role->stop != NULL)
		d->role->stop(d);
	/* What is left now is not ours to wait for. */
	if (!d->leaving) {
		d->leaving = true;
		deliver_leave(d);
	}
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	struct deliver *d = child_arg(c);
	struct job *j, *next;

	if (d->draining)
		return;
	d->draining = true;
	/* What came now would only be put back, and come again. */
	state_capacity(d);
	for (j = TAILQ_FIRST(&d->all); j != NULL; j = next) {
		next = TAILQ_NEXT(j, all);
		if (j->complete)
			d->role->cancel(d, j);
	}
	loop_timer_set(d->loop, &d->grace, grace_ms);
	loop_defer(d->loop, &d->check_end);
}

static const struct child_ops child_ops = {
	.channel = on_channel,
	.reload = on_reload,
	.drain = on_drain,
};

void
deliver_init(struct deliver *d, const struct deliver_role *role)
{
	memset(d, 0, sizeof(*d));
	d->role = role;
	TAILQ_INIT(&d->all);
	d->jobs = map_new();
	loop_timer_init(&d->grace, grace_over, d);
	d->check_end.fn = check_end;
	d->check_end.arg = d;
}

void
deliver_fini(struct deliver *d)
{
	loop_timer_clear(d->loop, &d->grace);
	loop_defer_cancel(d->loop, &d->check_end);
	map_free(&d->jobs, NULL);
}

int
deliver_main(const struct deliver_role *role, int argc, char **argv)
{
	static struct deliver d;
	struct child_spec spec = {
		.role = role->role, .ops = &child_ops, .arg = &d,
	};
	struct sandbox_spec sandbox;

	deliver_init(&d, role);
	d.child = child_begin(argc, argv, &spec);
	d.loop = child_loop(d.child);
	d.conf = child_conf(d.child);
	if (role->prepare != NULL)
		role->prepare(&d);
	memset(&sandbox, 0, sizeof(sandbox));
	role->confine(&d, &sandbox);
	child_confine(d.child, &sandbox);
	if (role->start != NULL)
		role->start(&d);
	return child_run(d.child);
}
