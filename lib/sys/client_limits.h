/* SPDX-License-Identifier: ISC */
/*
 * client_limits.h: how much each client does, counted over all smtpd workers
 * (Postfix's anvil).
 *
 * A table in shared memory that master creates and every smtpd maps: a row a
 * client. That is an address, or all with the same first bits (a /32 and a /64
 * unless told otherwise); it is found by a hash whose seed is drawn at
 * creation. Sessions at once are counted in a column a worker, so that a
 * worker that died takes its count with it (it clears its column when it
 * maps). A full table forgets the client that was quiet longest nearby. A
 * worker that was taken over can spoil the counters, and nothing else.
 */
#ifndef PK_SYS_CLIENT_LIMITS_H
#define PK_SYS_CLIENT_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_LIMITS_WORKERS	64

enum client_event {
	CLIENT_CONNECTION,
	CLIENT_MESSAGE,
	CLIENT_RECIPIENT,
	CLIENT_NEW_TLS,		/* full handshakes */
	CLIENT_AUTH,		/* AUTH commands */
	CLIENT_EVENTS
};

struct client_limits;

/* master: a memfd to hand to the workers; -1 on failure. */
int	client_limits_create(void);
/*
 * Maps fd (not kept) and clears the column `worker`, 0 to
 * CLIENT_LIMITS_WORKERS - 1. fd -1: a table of this process alone. NULL when
 * it is not such a table.
 */
struct client_limits *client_limits_map(int fd, unsigned worker);
void	client_limits_unmap(struct client_limits **c);

/* Addresses with the same first v4 or v6 bits are one client. All workers say the same. */
void	client_limits_set_prefix(struct client_limits *c, unsigned v4, unsigned v6);

/*
 * address: 4 or 16 bytes; 8 bytes are something else that is counted (the hash
 * of a login) and taken whole. Counts a session; returns how many there are now.
 */
uint32_t client_limits_enter(struct client_limits *c, const uint8_t *address, unsigned len,
	    uint64_t now_ms);
void	client_limits_leave(struct client_limits *c, const uint8_t *address, unsigned len,
	    uint64_t now_ms);
/* Counts an event; returns how many there were in this time unit, with it. */
uint32_t client_limits_count(struct client_limits *c, const uint8_t *address, unsigned len,
	    enum client_event event, uint64_t unit_ms, uint64_t now_ms);
/* How many there were in this time unit, without one more. */
uint32_t client_limits_rate(struct client_limits *c, const uint8_t *address, unsigned len,
	    enum client_event event, uint64_t unit_ms, uint64_t now_ms);

#endif
