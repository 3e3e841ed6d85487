/* SPDX-License-Identifier: ISC */
/*
 * signers.c: threads for the signatures that take long.
 *
 * Run in certd, made after its confinement. An RSA signature takes as long as
 * fifteen of ECDSA: in the loop these would wait for it, and all of them for
 * one core. Threads see a job between signers_put() and done alone; references
 * to pairs are counted in the loop.
 */
#include "certd/signers.h"

#include <sys/eventfd.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/fd.h"

TAILQ_HEAD(jobs, sign_job);

struct signers {
	pthread_mutex_t	 lock;
	pthread_cond_t	 work;
	struct jobs	 todo, ready;	/* under lock */
	bool		 ending;	/* under lock */
	size_t		 pending;
	pthread_t	*threads;
	unsigned	 count;
	int		 wake_fd;
	struct event	*wake;
	void		(*done)(struct sign_job *j);
};

static void *
signer(void *arg)
{
	const uint64_t one = 1;
	struct signers *s = arg;
	struct sign_job *j;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while ((j = TAILQ_FIRST(&s->todo)) == NULL && !s->ending)
			pthread_cond_wait(&s->work, &s->lock);
		if (j == NULL)
			break;
		TAILQ_REMOVE(&s->todo, j, link);
		pthread_mutex_unlock(&s->lock);
		j->error = sign_do(j->pair, j->scheme, buf_view(&j->tbs), j->signature, &j->len);
		pthread_mutex_lock(&s->lock);
		TAILQ_INSERT_TAIL(&s->ready, j, link);
		/* A full counter wakes as well. */
		(void)!write(s->wake_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct jobs ready = TAILQ_HEAD_INITIALIZER(ready);
	struct signers *s = arg;
	struct sign_job *j;
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n));
	pthread_mutex_lock(&s->lock);
	TAILQ_CONCAT(&ready, &s->ready, link);
	pthread_mutex_unlock(&s->lock);
	while ((j = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, j, link);
		s->pending--;
		s->done(j);
	}
}

struct signers *
signers_new(struct loop *l, unsigned threads, void (*done)(struct sign_job *j))
{
	struct signers *s = XNEW(struct signers);
	int error;

	s->done = done;
	TAILQ_INIT(&s->todo);
	TAILQ_INIT(&s->ready);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wake_fd == -1)
		log_fatal("eventfd: %s", strerror(errno));
	s->wake = event_new(loop_base(l), s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
	if (s->wake == NULL || event_add(s->wake, NULL) == -1)
		log_fatal("cannot wait for signatures");
	s->threads = xcalloc(threads, sizeof(*s->threads));
	for (; s->count < threads; s->count++) {
		error = pthread_create(&s->threads[s->count], NULL, signer, s);
		if (error != 0)
			log_fatal("cannot make a thread: %s", strerror(error));
	}
	return s;
}

void
signers_free(struct signers **sp)
{
	struct signers *s = *sp;
	unsigned i;

	*sp = NULL;
	if (s == NULL)
		return;
	ASSERT(s->pending == 0);
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (i = 0; i < s->count; i++)
		pthread_join(s->threads[i], NULL);
	event_free(s->wake);
	fd_close(&s->wake_fd);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	xfree(s->threads);
	xfree(s);
}

void
signers_put(struct signers *s, struct sign_job *j)
{
	s->pending++;
	pthread_mutex_lock(&s->lock);
	TAILQ_INSERT_TAIL(&s->todo, j, link);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

size_t
signers_pending(const struct signers *s)
{
	return s->pending;
}
