/* SPDX-License-Identifier: ISC */
/*
 * work.c: threads for what blocks.
 *
 * Runs in authd. Threads begin after the confinement, because an identity, a
 * Landlock domain and a filter are a thread's own: who exists before them
 * would keep root's. They touch nothing but the job they hold; jobs and lists
 * change hands under one mutex, and an eventfd wakes the loop.
 */
#include "authd/work.h"

#include <sys/eventfd.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* argon2 takes its memory from the heap; resolvers and SQL clients want some stack. */
#define THREAD_STACK	(512 * 1024)

TAILQ_HEAD(work_list, work_job);

struct work_pool {
	struct loop	*loop;
	struct event	*event;
	int		 wake;
	pthread_mutex_t	 mutex;
	pthread_cond_t	 more;
	struct work_list waiting;
	struct work_list done;		/* run, or cancelled before */
	unsigned	 nwaiting;
	unsigned	 waiting_max;
	bool		 stop;
	pthread_t	*threads;
	unsigned	 nthreads;
};

static void
hand_back(struct work_pool *p, struct work_job *j)
{
	uint64_t one = 1;

	TAILQ_INSERT_TAIL(&p->done, j, link);
	/* A full counter is readable all the same. */
	(void)!write(p->wake, &one, sizeof(one));
}

static void *
thread_main(void *arg)
{
	struct work_pool *p = arg;
	struct work_job *j;

	pthread_mutex_lock(&p->mutex);
	while (!p->stop) {
		j = TAILQ_FIRST(&p->waiting);
		if (j == NULL) {
			pthread_cond_wait(&p->more, &p->mutex);
			continue;
		}
		TAILQ_REMOVE(&p->waiting, j, link);
		p->nwaiting--;
		j->state = WORK_RUNNING;
		pthread_mutex_unlock(&p->mutex);
		j->run(j);
		pthread_mutex_lock(&p->mutex);
		j->state = WORK_DONE;
		hand_back(p, j);
	}
	pthread_mutex_unlock(&p->mutex);
	return NULL;
}

static void
finish(struct work_pool *p, struct work_list *list)
{
	struct work_job *j;

	for (;;) {
		pthread_mutex_lock(&p->mutex);
		j = TAILQ_FIRST(list);
		if (j != NULL)
			TAILQ_REMOVE(list, j, link);
		pthread_mutex_unlock(&p->mutex);
		if (j == NULL)
			return;
		j->state = WORK_IDLE;
		j->done(j, j->cancelled);
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct work_pool *p = arg;
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n));
	finish(p, &p->done);
}

static void
start_threads(struct work_pool *p, const char *name, unsigned threads)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int error = 0;

	p->threads = xcalloc(threads, sizeof(*p->threads));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->nthreads < threads) {
		error = pthread_create(&p->threads[p->nthreads], &attr, thread_main, p);
		if (error != 0)
			break;
		p->nthreads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (p->nthreads == 0)
		log_fatal("no thread for %s: %s", name, strerror(error));
}

struct work_pool *
work_pool_new(struct loop *l, const char *name, unsigned threads, unsigned waiting_max)
{
	struct work_pool *p = XNEW(struct work_pool);

	p->loop = l;
	p->waiting_max = waiting_max;
	TAILQ_INIT(&p->waiting);
	TAILQ_INIT(&p->done);
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->more, NULL);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake == -1)
		log_fatal("no eventfd for %s: %s", name, strerror(errno));
	p->event = event_new(loop_base(l), p->wake, EV_READ | EV_PERSIST, on_wake, p);
	ASSERT(p->event != NULL);
	event_add(p->event, NULL);
	start_threads(p, name, threads > 0 ? threads : 1);
	return p;
}

void
work_pool_free(struct work_pool **pp)
{
	struct work_pool *p = *pp;
	struct work_job *j;
	unsigned i;

	if (p == NULL)
		return;
	*pp = NULL;
	pthread_mutex_lock(&p->mutex);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->mutex);
	for (i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	TAILQ_FOREACH(j, &p->waiting, link)
		j->cancelled = true;
	TAILQ_FOREACH(j, &p->done, link)
		j->cancelled = true;
	finish(p, &p->waiting);
	finish(p, &p->done);
	event_free(p->event);
	close(p->wake);
	pthread_mutex_destroy(&p->mutex);
	pthread_cond_destroy(&p->more);
	xfree(p->threads);
	xfree(p);
}

void
work_pool_set_max(struct work_pool *p, unsigned waiting_max)
{
	p->waiting_max = waiting_max;
}

bool
work_submit(struct work_pool *p, struct work_job *j)
{
	bool taken;

	ASSERT(j->state == WORK_IDLE);
	pthread_mutex_lock(&p->mutex);
	taken = p->nwaiting < p->waiting_max;
	if (taken) {
		j->cancelled = false;
		j->state = WORK_WAITING;
		TAILQ_INSERT_TAIL(&p->waiting, j, link);
		p->nwaiting++;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->mutex);
	return taken;
}

void
work_cancel(struct work_pool *p, struct work_job *j)
{
	pthread_mutex_lock(&p->mutex);
	j->cancelled = true;
	if (j->state == WORK_WAITING) {
		TAILQ_REMOVE(&p->waiting, j, link);
		p->nwaiting--;
		j->state = WORK_DONE;
		hand_back(p, j);
	}
	pthread_mutex_unlock(&p->mutex);
}

unsigned
work_waiting(const struct work_pool *p)
{
	return __atomic_load_n(&p->nwaiting, __ATOMIC_RELAXED);
}
