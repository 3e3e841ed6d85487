/* SPDX-License-Identifier: ISC */
/*
 * loop.h: the one event loop of a process (libevent) and what hangs on it.
 *
 * A turn: wait, run what is ready, then run the deferred calls. Channels and
 * the log batch what a turn produced and hand it out in their deferred call:
 * one system call a turn and channel.
 */
#ifndef PK_SYS_LOOP_H
#define PK_SYS_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <bsd/sys/queue.h>

struct loop;

/* One a process; epoll. Dies when the kernel gives none. */
struct loop *loop_new(void);
void	 loop_free(struct loop **l);
struct event_base *loop_base(struct loop *l);
/* Turns until loop_stop(). */
void	 loop_run(struct loop *l);
/* One turn; waits at most timeout_ms (-1: until something happens). */
void	 loop_turn(struct loop *l, int timeout_ms);
void	 loop_stop(struct loop *l);
/* Monotonic milliseconds at the start of this turn. */
uint64_t loop_now_ms(const struct loop *l);

/*
 * Runs fn once at the end of this turn. The node is the caller's; scheduling
 * it twice in a turn is one run. loop_defer_cancel() before it is freed.
 */
struct loop_deferred {
	void	(*fn)(void *arg);
	void	*arg;
	bool	 queued;
	TAILQ_ENTRY(loop_deferred) link;
};
void	 loop_defer(struct loop *l, struct loop_deferred *d);
void	 loop_defer_cancel(struct loop *l, struct loop_deferred *d);

/*
 * Coarse timers for what exists ten thousand times (sessions): a wheel with
 * a resolution of one second, O(1) to set and to move, no allocation. Never
 * early, at most a second and a turn late.
 */
struct loop_timer {
	void	(*fn)(void *arg);
	void	*arg;
	uint64_t due_s;			/* 0: not set */
	TAILQ_ENTRY(loop_timer) link;
};
void	 loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg);
void	 loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void	 loop_timer_clear(struct loop *l, struct loop_timer *t);
bool	 loop_timer_is_set(const struct loop_timer *t);

#endif
