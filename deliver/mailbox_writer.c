/* SPDX-License-Identifier: ISC */
/*
 * mailbox_writer.c: the two threads in which mailbox deliveries may block.
 *
 * The writer puts messages into tmp/. The syncer turns in cycles: it takes
 * all that was written since, syncs the file system once, renames these into
 * new/ and reports those whose rename the sync has just made durable. So a
 * message is reported behind two syncs, one for its bytes and one for its
 * name, and each sync serves everything that came meanwhile.
 *
 * A failed sync fails everything it was for, and what was in new/ is taken
 * out: a repeat must write anew (F4).
 */
#include <sys/eventfd.h>

#include <bsd/string.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/mailbox.h"
#include "mail/trace.h"
#include "mail/xtext.h"

/* Content in a file is read in pieces of this size. */
#define READ_SIZE	(128 * 1024)
#define PREFIX_MAX	8192
/* File systems below one store; more are synced a message each. */
#define DEVICES_MAX	16

static int
read_job(void *arg, uint64_t offset, struct view *v_r)
{
	static _Thread_local char room[READ_SIZE];

	return job_read(arg, offset, room, sizeof(room), v_r);
}

/*
 * The address that the sender wrote, when it is another one: before our own
 * aliases, or as the sender's side said (RFC 3461 ORCPT).
 */
static void
put_original_to(struct buf *b, const struct job_rcpt *r)
{
	struct view type, value;
	struct buf raw;

	if (r->original.len > 0) {
		if (!view_eq(r->original, r->address))
			trace_put_original_to(b, r->original);
		return;
	}
	if (r->orcpt.len == 0 ||
	    xtext_orcpt_parse(r->orcpt, true, &type, &value) != 0 ||
	    !view_caseeq(type, VIEW("rfc822")))
		return;
	buf_init(&raw, 2048);
	if (xtext_decode(&raw, value) == 0 &&
	    !view_eq(buf_view(&raw), r->address))
		trace_put_original_to(b, buf_view(&raw));
	buf_fini(&raw);
}

static void
write_item(struct mailbox *m, struct mailbox_task *t, size_t i)
{
	const struct job_rcpt *r = &t->job->rcpts[i];
	struct mailbox_item *item = &t->items[i];
	struct maildir_delivery *d = &item->delivery;
	struct buf prefix;

	d->box = maildir_box_open(m->store, r->path, &item->failure);
	if (d->box == NULL) {
		item->failed = true;
		return;
	}
	buf_init(&prefix, PREFIX_MAX);
	trace_put_return_path(&prefix, t->job->env.sender);
	put_original_to(&prefix, r);
	trace_put_delivered_to(&prefix, r->address);
	d->queue_id = t->job->queue_id;
	d->rcpt_index = r->index;
	d->arrival_ms = t->job->arrival_ms;
	d->quota = r->quota;
	d->size_hint = prefix.len + job_size(t->job);
	d->look_twice = t->look_twice;
	d->prefix = buf_view(&prefix);
	d->source = read_job;
	d->source_arg = t->job;
	if (maildir_write(d, &item->failure) == 0)
		item->written = true;
	else
		item->failed = true;
	d->prefix = VIEW_NONE;
	buf_fini(&prefix);
}

static void
wake_loop(struct mailbox *m)
{
	uint64_t one = 1;

	/* Lock held. */
	if (m->woken)
		return;
	m->woken = true;
	while (write(m->wake_fd, &one, sizeof(one)) == -1 && errno == EINTR)
		;
}

static void *
writer_main(void *arg)
{
	struct mailbox *m = arg;
	struct mailbox_task *t;
	bool any;
	size_t i;

	pthread_mutex_lock(&m->lock);
	for (;;) {
		while ((t = TAILQ_FIRST(&m->to_write)) == NULL && !m->stop)
			pthread_cond_wait(&m->to_write_cond, &m->lock);
		if (t == NULL)
			break;
		TAILQ_REMOVE(&m->to_write, t, link);
		t->begun = true;
		pthread_mutex_unlock(&m->lock);
		any = false;
		for (i = 0; i < t->nitems; i++) {
			write_item(m, t, i);
			any = any || t->items[i].written;
		}
		pthread_mutex_lock(&m->lock);
		if (any) {
			TAILQ_INSERT_TAIL(&m->to_sync, t, link);
			pthread_cond_signal(&m->to_sync_cond);
		} else {
			TAILQ_INSERT_TAIL(&m->done, t, link);
			wake_loop(m);
		}
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- the syncer ---- */

struct devices {
	dev_t		seen[DEVICES_MAX];
	unsigned	count;
	int		error;		/* errno of the first failure */
};

static void
sync_item(struct devices *dv, const struct mailbox_item *item)
{
	unsigned i;
	dev_t dev;
	int fd;

	if (!item->written)
		return;
	dev = maildir_box_device(item->delivery.box, &fd);
	for (i = 0; i < dv->count; i++)
		if (dv->seen[i] == dev)
			return;
	if (dv->count < DEVICES_MAX)
		dv->seen[dv->count++] = dev;
	if (syncfs(fd) == -1 && dv->error == 0)
		dv->error = errno;
}

static int
sync_tasks(const struct mailbox_tasks *a, const struct mailbox_tasks *b)
{
	struct devices dv = { .count = 0 };
	const struct mailbox_task *t;
	size_t i;

	TAILQ_FOREACH (t, a, link)
		for (i = 0; i < t->nitems; i++)
			sync_item(&dv, &t->items[i]);
	TAILQ_FOREACH (t, b, link)
		for (i = 0; i < t->nitems; i++)
			sync_item(&dv, &t->items[i]);
	return dv.error;
}

static void
fail_item(struct mailbox_item *item, int error, const char *what)
{
	struct maildir_failure *f = &item->failure;

	f->fault = MAILDIR_FAULT_SYSTEM;
	f->error = error;
	strlcpy(f->text, what, sizeof(f->text));
	strlcat(f->text, ": ", sizeof(f->text));
	strlcat(f->text, strerror(error), sizeof(f->text));
	item->written = false;
	item->failed = true;
}

static void
publish_task(struct mailbox_task *t)
{
	struct mailbox_item *item;
	size_t i;
	int error;

	for (i = 0; i < t->nitems; i++) {
		item = &t->items[i];
		if (!item->written)
			continue;
		if (maildir_publish(&item->delivery) == 0) {
			item->published = true;
			continue;
		}
		error = errno;
		maildir_discard(&item->delivery);
		fail_item(item, error, "rename maildir file to new/");
	}
}

static void
fail_task(struct mailbox_task *t, int error)
{
	struct mailbox_item *item;
	size_t i;

	for (i = 0; i < t->nitems; i++) {
		item = &t->items[i];
		if (!item->written)
			continue;
		if (item->published)
			maildir_revoke(&item->delivery);
		else
			maildir_discard(&item->delivery);
		fail_item(item, error, "sync of the mail store failed");
	}
}

/* One cycle: *renamed was published by the one before. */
static void
cycle(struct mailbox *m, struct mailbox_tasks *written,
    struct mailbox_tasks *renamed)
{
	int error = sync_tasks(written, renamed);
	struct mailbox_task *t;

	TAILQ_FOREACH (t, renamed, link)
		if (error != 0)
			fail_task(t, error);
	TAILQ_FOREACH (t, written, link) {
		if (error != 0)
			fail_task(t, error);
		else
			publish_task(t);
	}
	pthread_mutex_lock(&m->lock);
	if (!TAILQ_EMPTY(renamed)) {
		TAILQ_CONCAT(&m->done, renamed, link);
		wake_loop(m);
	}
	if (error != 0 && !TAILQ_EMPTY(written)) {
		TAILQ_CONCAT(&m->done, written, link);
		wake_loop(m);
	} else {
		TAILQ_CONCAT(renamed, written, link);
	}
}

static void *
syncer_main(void *arg)
{
	struct mailbox_tasks written, renamed;
	struct mailbox *m = arg;

	TAILQ_INIT(&written);
	TAILQ_INIT(&renamed);
	pthread_mutex_lock(&m->lock);
	for (;;) {
		while (TAILQ_EMPTY(&m->to_sync) && TAILQ_EMPTY(&renamed) &&
		    !m->stop)
			pthread_cond_wait(&m->to_sync_cond, &m->lock);
		if (TAILQ_EMPTY(&m->to_sync) && TAILQ_EMPTY(&renamed))
			break;
		TAILQ_CONCAT(&written, &m->to_sync, link);
		pthread_mutex_unlock(&m->lock);
		cycle(m, &written, &renamed); /* comes back with the lock */
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- the loop's side ---- */

int
mailbox_threads_start(struct mailbox *m)
{
	sigset_t all, old;
	int error;

	TAILQ_INIT(&m->to_write);
	TAILQ_INIT(&m->to_sync);
	TAILQ_INIT(&m->done);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->to_write_cond, NULL);
	pthread_cond_init(&m->to_sync_cond, NULL);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&m->writer, NULL, writer_main, m);
	if (error == 0)
		error = pthread_create(&m->syncer, NULL, syncer_main, m);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	m->threads = error == 0;
	return error;
}

void
mailbox_threads_stop(struct mailbox *m)
{
	if (!m->threads)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->to_write_cond);
	pthread_mutex_unlock(&m->lock);
	/* The writer first: what it has written is still to be synced. */
	pthread_join(m->writer, NULL);
	pthread_mutex_lock(&m->lock);
	pthread_cond_signal(&m->to_sync_cond);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->syncer, NULL);
	m->threads = false;
}

void
mailbox_put(struct mailbox *m, struct mailbox_task *t)
{
	pthread_mutex_lock(&m->lock);
	if (TAILQ_EMPTY(&m->to_write))
		pthread_cond_signal(&m->to_write_cond);
	TAILQ_INSERT_TAIL(&m->to_write, t, link);
	pthread_mutex_unlock(&m->lock);
}

bool
mailbox_take_back(struct mailbox *m, struct mailbox_task *t)
{
	bool mine;

	pthread_mutex_lock(&m->lock);
	mine = !t->begun;
	if (mine)
		TAILQ_REMOVE(&m->to_write, t, link);
	pthread_mutex_unlock(&m->lock);
	return mine;
}
