/* SPDX-License-Identifier: ISC */
/*
 * harness.h: the session engine with a real queue writer (into temporary
 * files) and with lookupd and dnsd played by the test.
 *
 * Known to the fake lookupd: alice, bob and postmaster @example.test (virtual
 * mailbox), anything @relay.test (relay), tempfail@example.test; everything
 * else @example.test is unknown, every other domain is not ours.
 * Known to the fake authd (PLAIN, LOGIN): alice and bob, password secret;
 * later can never be told.
 * Known to the fake dnsd: exists.test, and 192.0.2.1 is client.exists.test.
 */
#ifndef PK_TESTS_SMTPD_HARNESS_H
#define PK_TESTS_SMTPD_HARNESS_H

#include "tests/unit/unit.h"
#include "smtpd/worker.h"

#define HARNESS_STRANGER	"203.0.113.7"
#define HARNESS_FRIEND		"127.0.0.1"
#define HARNESS_LOCAL		"local"		/* a Unix socket */
#define HARNESS_SEGMENTS	512

struct harness {
	struct loop	*loop;
	struct segment_writer *writer;
	struct worker	*worker;
	struct policy_set *set;
	struct policy	*policy;
	int		 fd;		/* the client's end */
	int		 segments[HARNESS_SEGMENTS];
	uint64_t	 durable[HARNESS_SEGMENTS];
	unsigned	 nsegments;
	uint64_t	 segment_size;
	bool		 no_segments;
	bool		 no_authd;	/* none is there */
	bool		 authd_silent;	/* it never answers */
	bool		 authd_dies;	/* instead of answering */
	unsigned	 conversations;	/* under way with authd */
	unsigned	 lookups;	/* questions that lookupd got */
	struct buf	 replies;	/* read from the server */
};

/* conf: lines of main.cf behind a small default. */
void	harness_init(struct harness *h, const char *conf);
void	harness_fini(struct harness *h);
/* Clients that come from now on meet this listener. */
void	harness_listener(struct harness *h, const char *name, enum child_listener_class class);
/* A client from that address; what was read before is forgotten. */
void	harness_connect(struct harness *h, const char *address);
/* Sends and turns until the server has nothing more to say. Returns what it said. */
const char *harness_say(struct harness *h, const char *text);
const char *harness_send(struct harness *h, struct view bytes);
/* Sends without waiting, in one piece. */
void	harness_push(struct harness *h, struct view bytes);
const char *harness_drain(struct harness *h);
void	harness_hang_up(struct harness *h);
/* The server has closed the connection. */
bool	harness_closed(struct harness *h);

/* Messages in the queue: fn for each whole record of the durable parts. */
struct harness_message {
	struct record_envelope envelope;
	struct view	header, content;
	uint64_t	id;
};
unsigned harness_messages(struct harness *h, void (*fn)(const struct harness_message *m, void *arg),
	    void *arg);

#endif
