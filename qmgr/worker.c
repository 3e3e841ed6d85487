/* SPDX-License-Identifier: ISC */
/*
 * worker.c: one thread that does what blocks on the disk, in order.
 *
 * Run by qmgr. The loop must never wait for a disk: an fdatasync may take
 * seconds on a busy one, and meanwhile results and new mail arrive. A thread
 * sees nothing but its job; all state of the queue belongs to the loop.
 */
#include "qmgr/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

TAILQ_HEAD(worker_jobs, worker_job);

struct worker {
	pthread_t	thread;
	pthread_mutex_t	lock;		/* over todo, finished, stop */
	pthread_cond_t	more;
	struct worker_jobs todo, finished;
	bool		stop;
	int		wake_fd;
	struct event	*wake;
	size_t		pending;	/* loop only */
};

static void *
thread_main(void *arg)
{
	struct worker *w = arg;
	struct worker_job *j;
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while ((j = TAILQ_FIRST(&w->todo)) == NULL && !w->stop)
			pthread_cond_wait(&w->more, &w->lock);
		if (j == NULL)
			break;
		TAILQ_REMOVE(&w->todo, j, link);
		pthread_mutex_unlock(&w->lock);
		j->run(j);
		pthread_mutex_lock(&w->lock);
		first = TAILQ_EMPTY(&w->finished);
		TAILQ_INSERT_TAIL(&w->finished, j, link);
		if (first && write(w->wake_fd, &one, sizeof(one)) == -1 && errno != EAGAIN)
			log_panic("worker: eventfd: %m");
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void
run_finished(struct worker *w)
{
	struct worker_jobs jobs = TAILQ_HEAD_INITIALIZER(jobs);
	struct worker_job *j;
	uint64_t n;

	/* The thread writes only when the list was empty: read before taking. */
	if (read(w->wake_fd, &n, sizeof(n)) == -1 && errno != EAGAIN)
		log_panic("worker: eventfd: %m");
	pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&jobs, &w->finished, link);
	pthread_mutex_unlock(&w->lock);
	while ((j = TAILQ_FIRST(&jobs)) != NULL) {
		TAILQ_REMOVE(&jobs, j, link);
		w->pending--;
		j->done(j);
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_finished(arg);
}

struct worker *
worker_new(struct loop *l, const char *name)
{
	struct worker *w = XNEW(struct worker);
	sigset_t all, before;

	TAILQ_INIT(&w->todo);
	TAILQ_INIT(&w->finished);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd == -1)
		log_fatal("eventfd: %m");
	if (l != NULL) {
		w->wake = event_new(loop_base(l), w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
		if (w->wake == NULL || event_add(w->wake, NULL) != 0)
			log_fatal("worker: no event");
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errno = pthread_create(&w->thread, NULL, thread_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errno != 0)
		log_fatal("worker %s: no thread: %m", name);
	pthread_setname_np(w->thread, name);
	return w;
}

void
worker_post(struct worker *w, struct worker_job *j)
{
	w->pending++;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->todo, j, link);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

size_t
worker_pending(const struct worker *w)
{
	return w->pending;
}

void
worker_drain(struct worker *w)
{
	struct pollfd p = { .fd = w->wake_fd, .events = POLLIN };

	while (w->pending > 0) {
		if (poll(&p, 1, -1) == -1 && errno != EINTR)
			log_panic("worker: poll: %m");
		run_finished(w);
	}
}

void
worker_free(struct worker **wp)
{
	struct worker *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	worker_drain(w);
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	if (w->wake != NULL)
		event_free(w->wake);
	close(w->wake_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->more);
	xfree(w);
}
