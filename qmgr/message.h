/* SPDX-License-Identifier: ISC */
/*
 * message.h: a message and its recipients in qmgr's memory, and their rows in
 * the index and the journal.
 *
 * Only what is being worked on is in memory. Sizes matter: the active limit
 * times these structures is qmgr's footprint (test: qmgr/message_test).
 */
#ifndef PK_QMGR_MESSAGE_H
#define PK_QMGR_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <bsd/sys/queue.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/view.h"
#include "ipc/ipc.h"

struct route;

/*
 * Of one message, with all its lists: their rows have to fit into one journal
 * event. smtpd_recipient_limit (params.def) may not be greater.
 */
#define MESSAGE_RECIPIENTS_MAX	250000

/* A reverse-path, shared by the messages that have it. */
struct sender {
	uint32_t	refs;
	uint32_t	len;
	char		text[];		/* with NUL */
};

/* A transport and next hop, shared. `dest` is the scheduler's, which holds a reference. */
struct route {
	uint32_t	refs;
	uint16_t	transport_len, nexthop_len;
	uint64_t	hash;
	void		*dest;
	char		text[];		/* transport NUL nexthop NUL */
};

enum rcpt_state {		/* on disk: queued and active are waiting */
	RCPT_WAIT,
	RCPT_QUEUED,
	RCPT_ACTIVE,
	RCPT_SENT,
	RCPT_FAILED,
	RCPT_STATES
};

enum rcpt_flag {
	RCPT_ROUTED	= 1,	/* expanded: route is known */
	RCPT_DIRTY	= 2,	/* differs from the index */
	RCPT_INDEXED	= 4,	/* has a row there */
	RCPT_EXPANDING	= 8,	/* lookupd was asked */
	RCPT_REPORTING	= 16,	/* in a job at bounce */
	RCPT_CLOSED	= 32,	/* not counted as open any more */
	RCPT_FROZEN	= 64,	/* waits for a thaw */
	RCPT_FINAL	= 128,	/* routed once: what else its address stands for has its own */
	RCPT_DISK_FLAGS	= RCPT_ROUTED | RCPT_FROZEN | RCPT_FINAL
};

struct sched_entry;

struct recipient {
	TAILQ_ENTRY(recipient) link;	/* in its scheduler entry */
	struct sched_entry *entry;	/* RCPT_QUEUED: where */
	struct route	*route;		/* NULL until ROUTED */
	char		*text;		/* address NUL orcpt NUL orig NUL path NUL */
	char		*status;	/* dsn NUL relay NUL reply NUL; NULL: none */
	uint64_t	due_ms;		/* RCPT_WAIT: not before */
	uint64_t	last_ms;	/* last attempt, 0: none */
	uint64_t	quota;
	uint32_t	index;
	uint16_t	address_len, orcpt_len, orig_len, path_len;
	uint16_t	dsn_len, relay_len, reply_len;
	uint16_t	attempts;
	uint8_t		state;		/* enum rcpt_state */
	uint8_t		notify;		/* enum record_notify */
	uint8_t		flags;
	uint8_t		report;		/* kinds still to be reported, 1 << enum record_dsn_kind */
	uint8_t		reported;	/* kinds that have been */
	uint8_t		action;		/* enum dsn_action of the success report */
};

enum message_flag {
	MESSAGE_EXPANDED	= 1,	/* every recipient was expanded once */
	MESSAGE_HELD		= 2,
	MESSAGE_KEPT		= 4,	/* failed, kept for inspection */
	MESSAGE_DAMAGED		= 8,	/* content does not pass its check */
	MESSAGE_WARNED		= 16,	/* delay was reported */
	MESSAGE_IS_DSN		= 32,
	MESSAGE_LOGGING		= 16384,	/* LOGGED once it is committed */
	MESSAGE_PARTIAL		= 8192,	/* from a rebuild: some recipients were done (done.h) */
	MESSAGE_DISK_FLAGS	= 63 | MESSAGE_PARTIAL,

	MESSAGE_LOGGED		= 64,	/* the journal or index has its recipients */
	MESSAGE_DIRTY		= 128,	/* in store's dirty list */
	MESSAGE_INDEXED		= 256,	/* has a row */
	MESSAGE_COMMITTING	= 512,	/* in the checkpoint under way */
	MESSAGE_FINISHED	= 1024,	/* only waits for its row to go */
	MESSAGE_ACTIVE		= 2048,	/* counts against the active limit */
	MESSAGE_ANNOUNCED	= 4096,	/* "queue active" was logged */
};

/*
 * Who brought it: the role of its segment's writer says so, never its
 * envelope. Three bits of a row.
 */
enum message_origin {
	MESSAGE_ORIGIN_UNKNOWN,		/* an index of before this was kept */
	MESSAGE_ORIGIN_MX,		/* strangers */
	MESSAGE_ORIGIN_SUBMISSION,	/* users */
	MESSAGE_ORIGIN_LOCAL,		/* this machine */
	MESSAGE_ORIGIN_OWN,		/* we: a report */
	MESSAGE_ORIGINS
};

/* What became of the login that its envelope states (ticket.c). Two bits. */
enum message_login {
	MESSAGE_LOGIN_NONE,		/* it states none */
	MESSAGE_LOGIN_UNCHECKED,
	MESSAGE_LOGIN_VERIFIED,
	MESSAGE_LOGIN_DENIED,
	MESSAGE_LOGINS
};

enum message_class {
	MESSAGE_CLASS_INCOMING,
	MESSAGE_CLASS_DEFERRED,		/* or active */
	MESSAGE_CLASS_HOLD,
	MESSAGE_CLASS_FAILED,
	MESSAGE_CLASSES
};

struct message {
	uint64_t	id;
	uint64_t	segment, offset;	/* where its record is */
	uint64_t	content_offset, content_bytes;
	uint64_t	arrival_ms;
	uint64_t	dsn_of;
	uint64_t	due_ms;		/* not expanded: not before; KEPT: removed then */
	uint64_t	activated_ms;	/* monotonic */
	uint64_t	report_ms;	/* next try of reports */
	uint64_t	logged_lsn;	/* its last ROWS event */
	uint64_t	indexed_due;	/* key of its due row, 0: none */
	struct sender	*sender;
	/* NULL: read from the record when needed. An entry: NULL when done and forgotten. */
	struct recipient **rcpts;
	char		*hold;		/* reason */
	TAILQ_ENTRY(message) dirty;
	struct heap_node due;		/* when in memory and idle */
	uint32_t	envelope_bytes, header_bytes;
	uint32_t	nrcpts, nopen;
	uint32_t	nbusy;		/* recipients queued, active or expanding */
	uint32_t	njobs;		/* jobs and reports under way */
	uint32_t	until_s;	/* wall seconds: not before (RFC 4865); 0: at once */
	uint16_t	attempts;	/* of the expansion */
	uint16_t	flags;
	uint8_t		priority;
	uint8_t		dsn_kind;
	uint8_t		origin;		/* enum message_origin */
	uint8_t		login;		/* enum message_login */
	uint8_t		counted;	/* enum message_class + 1 in the totals, 0: not */
};

/* ---- shared strings ---- */

/* Each returns a reference; _release gives one back (NULL is fine). */
struct sender *sender_intern(struct map *senders, struct view text);
void	sender_release(struct map *senders, struct sender *s);
struct route *route_intern(struct map *routes, struct view transport, struct view nexthop);
struct route *route_ref(struct route *r);
void	route_release(struct map *routes, struct route *r);
uint64_t route_hash(struct view transport, struct view nexthop);
static inline struct view
route_transport(const struct route *r)
{
	return view_of(r->text, r->transport_len);
}
static inline struct view
route_nexthop(const struct route *r)
{
	return view_of(r->text + r->transport_len + 1, r->nexthop_len);
}

/* ---- recipients ---- */

struct recipient *recipient_new(uint32_t index, struct view address, struct view orcpt,
	    struct view orig, struct view path, unsigned notify);
void	recipient_free(struct recipient *r, struct map *routes);
/* How many there are in this process's memory, of all messages. */
size_t	recipient_count(void);
void	recipient_set_status(struct recipient *r, struct view dsn, struct view relay,
	    struct view reply);
struct view recipient_address(const struct recipient *r);
struct view recipient_orcpt(const struct recipient *r);
struct view recipient_orig(const struct recipient *r);	/* empty if the same */
struct view recipient_path(const struct recipient *r);
struct view recipient_dsn(const struct recipient *r);
struct view recipient_relay(const struct recipient *r);
struct view recipient_reply(const struct recipient *r);
/* The part behind the last @, or empty. */
struct view address_domain(struct view address);
/* True when nothing is left to do for it. */
static inline bool
recipient_done(const struct recipient *r)
{
	return r->state >= RCPT_SENT && r->report == 0;
}

/* ---- rows (little endian, this machine's) ---- */

void	recipient_row_put(struct buf *b, const struct recipient *r);
/* PK_EFORMAT. */
int	recipient_row_get(struct view row, uint32_t index, struct map *routes,
	    struct recipient **r_r);
/* The hash of the first open recipient's route, or 0 when there are several. */
void	message_row_put(struct buf *b, const struct message *m);
/* Not expanded, and waits for a wall time. */
bool	message_row_waits(struct view row);
int	message_row_get(struct view row, uint64_t id, struct map *senders, struct message **m_r);
/* Frees m with its recipients. It must be in no list. */
void	message_free(struct message *m, struct map *senders, struct map *routes);

enum message_class message_class(const struct message *m);
enum message_origin message_origin_of(enum ipc_role writer);
/* "mx", "submission", "local", "own"; NULL for an unknown one. */
const char *message_origin_name(const struct message *m);
/* Origin and login in a byte, as rows and events have them. */
unsigned message_marks(const struct message *m);
void	message_set_marks(struct message *m, unsigned marks);
/* From when its lifetime counts: its arrival, or the end of its wait (RFC 4865 4.2). */
uint64_t message_life_begin_ms(const struct message *m);
/* Bytes of its record in the segment. */
uint64_t message_record_bytes(const struct message *m);

#endif
