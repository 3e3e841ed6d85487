/* SPDX-License-Identifier: ISC */
/*
 * channel_internal.h: what table.c, codec.c, channel.c, call.c and pool.c
 * share among themselves; nobody else includes it (tests may).
 */
#ifndef PK_IPC_CHANNEL_INTERNAL_H
#define PK_IPC_CHANNEL_INTERNAL_H

#include <bsd/sys/queue.h>

#include "base/log.h"
#include "base/mem.h"
#include "ipc/ipc.h"

/* ---- tables ---- */

struct ipc_row {
	const char	*name;
	uint32_t	 from, to;	/* sets of roles */
	bool		 again;
	uint8_t		 handles;
	uint32_t	 size_max;
};

/* NULL for an unknown type. */
const struct ipc_row *ipc_row(uint16_t type);
bool	ipc_row_allows(const struct ipc_row *row, enum ipc_role from, enum ipc_role to);
/* 'u' u64, 'b' bytes, 't' text, 0 unknown. */
char	ipc_field_kind(unsigned tag);
const char *ipc_field_name(unsigned tag);

/* ---- packets ---- */

struct ipc_header {
	uint16_t	type;
	uint16_t	flags;
	uint32_t	length;
	uint32_t	id;
};
_Static_assert(sizeof(struct ipc_header) == IPC_PACKET_MAX - IPC_BODY_MAX,
    "the header has no padding");

/* A packet that waits for its turn. */
struct ipc_queued {
	struct ipc_header header;
	struct buf	 body;
	int		 handles[IPC_HANDLES_MAX];	/* ours to close */
	unsigned	 nhandles;
};

/* Gives a body's bytes back to the stock that ipc_out_init() takes from. */
void	ipc_body_fini(struct buf *b);
/* Passwords, tickets, keys: such a body is wiped where it was written and where it came in. */
bool	ipc_type_is_secret(uint16_t type);

/* ---- calls ---- */

/*
 * A question on its way. It lives in a slab (call.c): the id on the wire is
 * its index there, so finding it is one array access. A call that timed out
 * or was cancelled keeps its place until the peer answers or dies
 * (`abandoned`), so that a late answer cannot reach somebody else's question.
 */
struct ipc_call {
	uint64_t	 handle;	/* 0: free */
	uint32_t	 index;
	struct loop	*loop;
	struct ipc_channel *ch;		/* NULL: not sent, or failing */
	struct ipc_pool	*pool;		/* asked through it, else NULL */
	ipc_reply_fn	 reply;
	void		*arg;
	uint64_t	 timeout_ms;
	struct loop_timer timer;
	struct loop_deferred failing;	/* reports `error` at the end of the turn */
	int		 error;
	bool		 abandoned;
	bool		 waiting;	/* in pool->waiting */
	uint8_t		 tries;
	uint16_t	 type;
	struct buf	 body;		/* kept to ask again */
	TAILQ_ENTRY(ipc_call) link;	/* of the channel, the pool or the free list */
};
TAILQ_HEAD(ipc_call_list, ipc_call);

/* The call that a reply on ch belongs to, or NULL. */
struct ipc_call *ipc_call_find(struct ipc_channel *ch, uint32_t id);
struct ipc_call *ipc_call_new(struct loop *l, uint64_t timeout_ms, ipc_reply_fn reply,
	    void *arg);
void	ipc_call_free(struct ipc_call *c);
/* Puts it on the channel's list and sends o with its id. */
void	ipc_call_submit(struct ipc_call *c, struct ipc_channel *ch, struct ipc_out *o);
/* Reports error at the end of this turn, not from inside ipc_call(). */
void	ipc_call_fail_later(struct ipc_call *c, int error);
/* Hands m to its call; an error is a violation. */
int	ipc_call_answered(struct ipc_channel *ch, struct ipc_msg *m);
/* The channel is no more: asks again through the pool or reports error. */
void	ipc_calls_lost(struct ipc_channel *ch, int error);

/* ---- channels ---- */

struct ipc_channel {
	struct loop	*loop;
	int		 fd;
	enum ipc_role	 self, peer;
	uint64_t	 instance;
	const struct ipc_channel_ops *ops;
	void		*arg;
	struct event	*ev_read;
	struct event	*ev_write;
	struct loop_deferred flush;
	struct loop_deferred fail;	/* closes at the end of the turn, with why */
	struct loop_timer retry;	/* the kernel had no memory for a packet */
	struct ipc_queued *ring;	/* send queue, size a power of two */
	unsigned	 head, count, size;
	size_t		 queued_bytes;
	struct ipc_call_list calls;
	unsigned	 ncalls;	/* in that list */
	unsigned	 nabandoned;	/* of these */
	struct ipc_pool	*pool;		/* a member of it, else NULL */
	TAILQ_ENTRY(ipc_channel) link;	/* of the pool */
	unsigned	 busy;		/* callbacks on the stack */
	int		 why;
	bool		 hello_seen;
	bool		 adopted;	/* from the binary before an upgrade */
	bool		 dead;		/* closed; memory waits for busy == 0 */
	bool		 freed;		/* by its owner: `closed` is not called */
	bool		 send_dead;	/* peer reads no more; what it sent is still read */
	bool		 leaving;	/* peer said that it ends in order */
	bool		 reset_seen;
	bool		 want_write;
};

/* Why a peer's packet is refused: logs and closes; the channel is dead then. */
void	ipc_channel_violation(struct ipc_channel *ch, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Closes at the end of the turn. */
void	ipc_channel_fail_later(struct ipc_channel *ch, int why);

/* ---- pools ---- */

void	ipc_pool_remove(struct ipc_pool *p, struct ipc_channel *ch);
/* Takes a call that waits for a member off that list. */
void	ipc_pool_forget(struct ipc_call *c);
/* A member died with c unanswered: true if it was asked of another one (or waits for one). */
bool	ipc_pool_again(struct ipc_call *c);

#endif
