/* SPDX-License-Identifier: ISC */
/*
 * rig.h: a role of `deliver` in the test's own process: the test is its qmgr
 * over a real channel; servers are sockets on the same loop.
 */
#ifndef PK_TESTS_DELIVER_RIG_H
#define PK_TESTS_DELIVER_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "deliver/deliver.h"

struct rig {
	struct deliver	d;
	struct conf	*conf;
	struct ipc_channel *qmgr;	/* our end */
	struct buf	log;		/* "1/0 sent 2.0.0 text relay\n" sorted by arrival */
	unsigned	results;	/* recipients */
	unsigned	finished;	/* jobs */
	uint64_t	jobs;
	uint64_t	ready;		/* DELIVER_READY */
	int		(*other)(struct rig *r, struct ipc_msg *m);
	struct buf	durable;	/* bounce */
	int		segment_fd;
};

void	rig_init(struct rig *r, const struct deliver_role *role, const char *conf);
void	rig_fini(struct rig *r);
/* Turns until n jobs are finished; fails the test after ten seconds. */
void	rig_wait(struct rig *r, unsigned n);

struct rig_job {
	const char	*nexthop;
	const char	*sender;
	const char	*rcpts[4];	/* NULL-ended */
	const char	*path;		/* mailbox */
	uint64_t	quota;
	const char	*header;
	struct view	content;
	unsigned	body;		/* enum record_body */
	bool		utf8;
	bool		requiretls;
	bool		memfd;
	uint64_t	message;	/* 0: one is made */
	uint64_t	arrival_ms;	/* 0: now */
	struct view	data;		/* bounce */
	const char	*orcpt;
	unsigned	notify;
};
void	rig_send(struct rig *r, const struct rig_job *j);

/* A server of lines: `line` answers each; data_end when "." came. */
struct rig_server {
	struct loop	*loop;
	int		fd;
	uint16_t	port;
	char		path[108];	/* Unix socket */
	struct event	*event;
	const char	*greeting;
	const char	*ehlo;		/* reply to EHLO and LHLO */
	const char	*queued;	/* reply to content; NULL: it closes */
	/* Replies to what begins with a prefix, before the usual ones. */
	const char	*special[8][2];
	bool		lmtp;
	bool		close_after;	/* behind each message */
	unsigned	connections, open, messages;
	size_t		rcpts;
	struct buf	data;		/* all messages, as they came */
	struct buf	commands;
};
void	rig_server_init(struct rig_server *s, struct loop *l, bool is_unix);
void	rig_server_fini(struct rig_server *s);

#endif
