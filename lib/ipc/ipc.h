/* SPDX-License-Identifier: ISC */
/*
 * ipc.h: how two processes of the suite speak.
 *
 * A channel is a SOCK_SEQPACKET Unix socket, non-blocking; a packet is one
 * message of at most IPC_PACKET_MAX bytes: {type u16, flags u16, length u32,
 * id u32, little endian as the machine: both ends are this machine} followed
 * by fields {tag u16, length u16, bytes}. messages.def lists every message
 * with its direction, greatest size and handles; fields.def every field with
 * its type. The first message each way is HELLO with IPC_VERSION.
 *
 * A receiver treats its peer as taken over: wrong direction, state, size,
 * tag, order, trailing bytes or handle count closes the channel and is
 * logged; nothing else is touched.
 */
#ifndef PK_IPC_IPC_H
#define PK_IPC_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/view.h"
#include "sys/loop.h"

#define IPC_VERSION		1
#define IPC_PACKET_MAX		65536		/* with header */
#define IPC_BODY_MAX		(IPC_PACKET_MAX - 12)
#define IPC_HANDLES_MAX		4
#define IPC_FLAG_REPLY		0x0001		/* id is that of the request */
#define IPC_FLAG_MORE		0x0002		/* further parts with this id follow */

enum ipc_role {
	IPC_ROLE_none,
#define ROLE(name, program, user, text) IPC_ROLE_##name,
#include "ipc/roles.def"
#undef ROLE
	IPC_ROLES
};
const char *ipc_role_name(enum ipc_role role);
/* As log lines have it behind syslog_name: "submission/smtpd", Postfix's habit. */
const char *ipc_role_log_name(enum ipc_role role);
/* smtpd, submission or localsmtp: the program smtpd, one role a class of listeners. */
bool	ipc_role_accepts(enum ipc_role role);
/* IPC_ROLE_none if there is no such name. */
enum ipc_role ipc_role_parse(struct view name);
const char *ipc_role_program(enum ipc_role role);
const char *ipc_role_user(enum ipc_role role);		/* NULL: the caller's */

enum ipc_type {
	IPC_none,
#define IPC_MESSAGE(name, number, from, to, again, size_max, handles, text) IPC_##name = number,
#include "ipc/messages.def"
#undef IPC_MESSAGE
};
const char *ipc_type_name(uint16_t type);		/* "?" for an unknown one */

enum ipc_field {
#define IPC_FIELD(name, number, type, text) IPC_F_##name = number,
#include "ipc/fields.def"
#undef IPC_FIELD
};

/* ---- composing ---- */

struct ipc_out {
	struct buf	 body;		/* fields so far, max IPC_BODY_MAX */
	uint16_t	 type;
	uint16_t	 flags;
	uint32_t	 id;		/* set by ipc_call / ipc_reply */
	int		 handles[IPC_HANDLES_MAX];	/* borrowed: ipc_send() copies */
	unsigned	 nhandles;
	bool		 close_handles;	/* they become the channel's instead: cheaper */
};

void	ipc_out_init(struct ipc_out *o, enum ipc_type type);
void	ipc_out_fini(struct ipc_out *o);
void	ipc_put_u64(struct ipc_out *o, enum ipc_field tag, uint64_t n);
/*
 * Into a text field only what a receiver takes: with NUL, CR or LF inside the
 * message is not sent (PK_ESYNTAX sticks). Make words of strangers one line first.
 */
void	ipc_put_bytes(struct ipc_out *o, enum ipc_field tag, struct view v);
void	ipc_put_str(struct ipc_out *o, enum ipc_field tag, const char *s);	/* NULL = "" */
void	ipc_put_handle(struct ipc_out *o, int fd);
/* Bytes that still fit; composers of long lists split on it (IPC_FLAG_MORE). */
size_t	ipc_out_left(const struct ipc_out *o);
/* 0, or PK_ELIMIT or PK_ESYNTAX when a field could not be put (then nothing is sent). */
int	ipc_out_error(const struct ipc_out *o);

/* ---- reading ---- */

struct ipc_msg {
	uint16_t	type;
	uint16_t	flags;
	uint32_t	id;
	struct view	body;		/* valid during the callback */
	int		handles[IPC_HANDLES_MAX];	/* ipc_take_handle(), else closed */
	unsigned	nhandles;
};

/*
 * Walks the fields in their fixed order. The first error sticks; getters
 * leave *_r untouched then. ipc_in_end() is 0 only if every getter succeeded
 * and the body is used up exactly.
 */
struct ipc_in {
	const uint8_t	*p, *end;
	int		 error;
};

void	ipc_in_init(struct ipc_in *in, const struct ipc_msg *m);
bool	ipc_has(const struct ipc_in *in, enum ipc_field tag);	/* next field is this one */
void	ipc_get_u64(struct ipc_in *in, enum ipc_field tag, uint64_t *n_r);
/* Value within [least, greatest], else PK_EPROTO sticks. */
void	ipc_get_range(struct ipc_in *in, enum ipc_field tag, uint64_t least, uint64_t greatest,
	    uint64_t *n_r);
/* A view into the packet; longer than max is an error. */
void	ipc_get_bytes(struct ipc_in *in, enum ipc_field tag, size_t max, struct view *v_r);
/* As bytes, and no NUL, CR or LF inside. */
void	ipc_get_text(struct ipc_in *in, enum ipc_field tag, size_t max, struct view *v_r);
int	ipc_in_end(const struct ipc_in *in);
/* The n-th handle, now the caller's to close; -1 if absent. */
int	ipc_take_handle(struct ipc_msg *m, unsigned n);

/* ---- channels ---- */

struct ipc_channel;

/*
 * Both ends of a channel: non-blocking (a child with append handles cannot
 * make them so), close-on-exec. 0 or PK_ESYS.
 */
int	ipc_socketpair(int sv_r[2]);

struct ipc_channel_ops {
	/*
	 * A message that is no reply to an outstanding call. Return 0, or an
	 * error to close the channel as violated (logged by the channel).
	 */
	int	(*message)(struct ipc_channel *ch, struct ipc_msg *m, void *arg);
	/* Peer gone or violation; the channel is freed after this returns. */
	void	(*closed)(struct ipc_channel *ch, int why, void *arg);
};

/*
 * fd becomes the channel's. self and peer select the rows of messages.def
 * that may arrive. Sends HELLO at once.
 */
struct ipc_channel *ipc_channel_new(struct loop *l, int fd, enum ipc_role self,
	    enum ipc_role peer, uint64_t peer_instance,
	    const struct ipc_channel_ops *ops, void *arg);
/* The same for a socket on which both HELLOs were said: by the binary before us (upgrade). */
struct ipc_channel *ipc_channel_adopt(struct loop *l, int fd, enum ipc_role self,
	    enum ipc_role peer, uint64_t peer_instance,
	    const struct ipc_channel_ops *ops, void *arg);
/* Closes; outstanding calls get PK_ECANCEL; `closed` is not called. Safe inside callbacks. */
void	ipc_channel_free(struct ipc_channel **ch);
/*
 * A process with a master: told of each channel to a sibling that ended though
 * the sibling may live on (a violation, a peer that does not read). NULL: nobody.
 */
void	ipc_channel_on_loss(void (*fn)(enum ipc_role peer, uint64_t instance, void *arg),
	    void *arg);
enum ipc_role ipc_channel_peer(const struct ipc_channel *ch);
uint64_t ipc_channel_instance(const struct ipc_channel *ch);
void	ipc_channel_set_arg(struct ipc_channel *ch, void *arg);
void	*ipc_channel_arg(const struct ipc_channel *ch);
/* Messages waiting in our send queue (the kernel's buffer is full). */
size_t	ipc_channel_backlog(const struct ipc_channel *ch);

/*
 * One-way message. Queued (in order, without a limit but for a peer that reads
 * nothing: its channel closes at 64 MiB), handed to the kernel in a batch (sendmmsg) at the
 * end of the turn. Consumes o (fini) in every case. Composing errors are our
 * own bug: PK_ELIMIT is returned and logged.
 */
int	ipc_send(struct ipc_channel *ch, struct ipc_out *o);
/*
 * We end in order, soon: the peer's pool asks others from now on, and does not
 * hold our end against the questions that we leave unanswered.
 */
void	ipc_leave(struct ipc_channel *ch);
/* Hands out what is queued now. */
void	ipc_flush(struct ipc_channel *ch);
/*
 * The same for who is about to leave: blocks up to timeout_ms while the kernel
 * has no room. What is queued behind that is lost with the process.
 */
void	ipc_flush_wait(struct ipc_channel *ch, unsigned timeout_ms);
/* Answer to m. Consumes o. */
int	ipc_reply(struct ipc_channel *ch, const struct ipc_msg *m, struct ipc_out *o);
/* Answer later: remember m->id and give it here. */
int	ipc_reply_id(struct ipc_channel *ch, uint32_t id, struct ipc_out *o);

/*
 * reply: m is NULL with error PK_EPEER, PK_ETIMEOUT or PK_ECANCEL; otherwise
 * error is 0. With IPC_FLAG_MORE set in m->flags it is called again for the
 * next part (of EXPAND, TABLE_GET and ADMIN alone; elsewhere a peer that says
 * it is cut off). Return 0, or an error to close the channel as violated:
 * reply is not called again then.
 */
typedef int (*ipc_reply_fn)(struct ipc_msg *m, int error, void *arg);

/*
 * Asks on this channel. Consumes o. Returns a handle for ipc_call_cancel.
 * timeout_ms 0: no limit; each part with IPC_FLAG_MORE starts it anew. reply
 * is never called from inside ipc_call() itself, whatever fails.
 */
uint64_t ipc_call(struct ipc_channel *ch, struct ipc_out *o, uint64_t timeout_ms,
	    ipc_reply_fn reply, void *arg);

/*
 * A pool: all live channels to the workers of one role. Calls go to the
 * member with the fewest outstanding ones. When a member dies, calls whose
 * row says `again` are asked of another one (waiting for it if there is none
 * until their time is over); the others fail with PK_EPEER.
 */
struct ipc_pool;
struct ipc_pool *ipc_pool_new(struct loop *l, enum ipc_role self, enum ipc_role peer);
/* Closes its channels; open calls get PK_ECANCEL (those that wait: at the end of the turn). */
void	ipc_pool_free(struct ipc_pool **p);
void	ipc_pool_add(struct ipc_pool *p, int fd, uint64_t instance);
size_t	ipc_pool_count(const struct ipc_pool *p);
uint64_t ipc_pool_call(struct ipc_pool *p, struct ipc_out *o, uint64_t timeout_ms,
	    ipc_reply_fn reply, void *arg);
/* The reply function will not be called any more. Handles are never reused. */
void	ipc_call_cancel(uint64_t call);

#endif
