/* SPDX-License-Identifier: ISC */
/*
 * source_pool.h: the connections of a source, and a switch that opens when its
 * server does not answer (F8).
 *
 * Called in threads, several at once. A call has one deadline for everything:
 * waiting for a connection, making it, the question. After FAILURES in a row
 * the switch is open: calls fail at once, and one of them tries again after a
 * while that grows, so that threads do not pile up at a dead server.
 */
#ifndef PK_AUTHD_SOURCE_POOL_H
#define PK_AUTHD_SOURCE_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct source_pool;

/* close_conn is called in whatever thread. name: for the log, borrowed. */
struct source_pool *source_pool_new(const char *name, unsigned connections,
	    void (*close_conn)(void *conn));
/* Nobody has a connection any more. */
void	source_pool_free(struct source_pool **p);
/*
 * 0 with a connection that is idle, or NULL in *conn_r: make one; either way
 * give it back. PK_ETEMP: the switch is open, or none came free in time.
 */
int	source_pool_take(struct source_pool *p, uint64_t deadline_ms, void **conn_r);
enum source_pool_result {
	SOURCE_POOL_GOOD,	/* conn answered: kept */
	SOURCE_POOL_BROKEN,	/* the server failed us: closed, and counted */
	SOURCE_POOL_DROP,	/* closed; says nothing of the server */
};
/* conn may be NULL (none was made). why: of BROKEN, logged once a while. */
void	source_pool_give(struct source_pool *p, void *conn, enum source_pool_result result,
	    const char *why);
/* Milliseconds until then, 0 if it is over. */
int	source_time_left(uint64_t deadline_ms);
/* Waits for events (POLLIN, POLLOUT) on fd: those that came, 0 at the deadline. */
short	source_wait(int fd, short events, uint64_t deadline_ms);

#endif
