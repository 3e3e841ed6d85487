/* SPDX-License-Identifier: ISC */
/*
 * admin_request.h: between the admin_*.c files of qmgr only.
 *
 * A request lives until its last part is sent or its client is gone. What
 * takes longer than a moment works in steps of a few milliseconds from a
 * timer, so that a listing of a million messages delays no delivery.
 */
#ifndef PK_QMGR_ADMIN_REQUEST_H
#define PK_QMGR_ADMIN_REQUEST_H

#include <jansson.h>

#include "qmgr/qmgr.h"
#include "qmgr/sched.h"

/* A part is sent when it has grown to this; a message or recipient more still fits. */
#define REQUEST_PART_BYTES	24000
/* Work of one step. */
#define REQUEST_STEP_MS		8
/* Parts that may wait in the channel before a request pauses. */
#define REQUEST_BACKLOG_MAX	8
/* Recipients of a message that a listing shows. */
#define REQUEST_LIST_RECIPIENTS	20

/* ---- which messages (admin_select.c) ---- */

struct selection {
	bool		 all;
	int		 state;		/* enum selection_state, -1: any */
	char		*sender, *recipient, *domain, *transport;	/* NULL: any */
	uint64_t	*ids;		/* NULL: any */
	size_t		 nids;
};

enum selection_state {
	SELECTION_INCOMING,
	SELECTION_ACTIVE,
	SELECTION_DEFERRED,
	SELECTION_HOLD,
	SELECTION_FAILED,
	SELECTION_STATES
};

extern const char *const selection_state_names[SELECTION_STATES];

/*
 * Takes the selector members out of args. `must`: one of them has to be
 * there. NULL, or words for the client.
 */
const char *selection_read(struct selection *sel, json_t *args, bool must);
void	selection_fini(struct selection *sel);
enum selection_state selection_state(const struct message *m);
bool	selection_match(const struct selection *sel, const struct message *m);
/* True if r is one of those meant (a recipient, domain or transport was said). */
bool	selection_match_recipient(const struct selection *sel, const struct recipient *r);

/* Every message id, rising: those in memory and those of the index. */
struct walk {
	struct qmgr	*q;
	uint64_t	*mem;		/* ids in memory at the begin, rising */
	size_t		 nmem, mem_at;
	uint64_t	 batch[512];	/* ids of the index */
	size_t		 nbatch, batch_at;
	uint64_t	 next;		/* the index goes on here */
	bool		 index_end;
	const struct selection *sel;	/* ids: only these */
	size_t		 ids_at;
};

void	walk_init(struct walk *w, struct qmgr *q, const struct selection *sel, uint64_t from);
void	walk_fini(struct walk *w);
/* False at the end. */
bool	walk_next(struct walk *w, uint64_t *id_r);
/* How many there are about. */
uint64_t walk_total(const struct walk *w);
/*
 * A message to look at, with its recipients: from memory, or read for the
 * moment. peek_end() gives it back. NULL: gone meanwhile.
 */
struct message *peek_begin(struct qmgr *q, uint64_t id, bool *own_r);
void	peek_end(struct qmgr *q, struct message *m, bool own);

/* ---- JSON (admin_json.c) ---- */

/* "name":"text", with a comma in front unless it is the first member. */
void	put_member_text(struct buf *b, const char *name, struct view text);
void	put_member_u64(struct buf *b, const char *name, uint64_t n);
/* Wall milliseconds; left out when 0. */
void	put_member_time(struct buf *b, const char *name, uint64_t ms);
void	put_recipient(struct buf *b, const struct recipient *r);
/* MESSAGE of ADMIN.md with recipients [0, most). Returns how many entries were passed. */
uint32_t put_message(struct buf *b, struct qmgr *q, const struct message *m, uint32_t most);

/* "frozen":[...]: every freeze in words. */
void	put_scopes(struct buf *b, const struct qmgr *q);

/* ---- requests (admin.c) ---- */

struct request;
typedef bool (*request_step_fn)(struct request *rq);	/* false: done */

struct request_verb {
	const char	*name;
	bool		 selects;	/* takes a selector, and must have one */
	bool		 filters;	/* takes one, may have none */
	/*
	 * Reads the verb's own members of rq->args (removing them) and
	 * prepares; NULL, or words for the client.
	 */
	const char	*(*begin)(struct request *rq);
	request_step_fn	 step;
	/* For verbs that change: one message, loaded; true if it was changed. m may be gone. */
	bool		(*change)(struct request *rq, struct message *m);
};

struct request {
	struct qmgr	*q;
	struct ipc_channel *ch;
	uint32_t	 id;
	uint32_t	 uid;
	const struct request_verb *verb;
	json_t		*args;
	struct selection sel;
	struct walk	 walk;
	bool		 walking;
	struct buf	 out;		/* the part being made */
	bool		 opened;	/* its list has begun */
	uint64_t	 seen, changed, limit;
	uint64_t	 said_ms;	/* last progress part */
	uint64_t	 message;	/* view: which */
	uint32_t	 index;		/* view: next recipient */
	uint64_t	 offset;	/* view: next byte of the content */
	uint64_t	 end;		/* view: behind its last byte */
	unsigned	 phase;
	unsigned	 number;	/* priority */
	char		*text;		/* hold's reason, why's domain, freeze's name */
	void		*state;		/* of a verb; free_state frees it */
	void		(*free_state)(void *state);
	TAILQ_ENTRY(request) link;
};

/* Sends rq->out as a part (cursor: text for CURSOR, or NULL) and empties it. */
void	request_part(struct request *rq, bool more, const char *cursor);
void	request_error(struct request *rq, int code, const char *text);
/* Takes a string member out of the arguments; xstrdup'ed or NULL. */
char	*request_take_text(struct request *rq, const char *name);
/* PK_ENOENT if it is not there, PK_ESYNTAX if it is no number in range. */
int	request_take_u64(struct request *rq, const char *name, uint64_t greatest, uint64_t *n_r);

/* ---- the verbs ---- */

/* admin_list.c */
const char *list_begin(struct request *rq);
bool	list_step(struct request *rq);
const char *view_begin(struct request *rq);
bool	view_step(struct request *rq);
const char *trace_begin(struct request *rq);
bool	trace_step(struct request *rq);
bool	stats_step(struct request *rq);
/* admin_change.c */
bool	change_step(struct request *rq);
const char *hold_begin(struct request *rq);
const char *priority_begin(struct request *rq);
const char *flush_begin(struct request *rq);
bool	change_retry(struct request *rq, struct message *m);
bool	change_delete(struct request *rq, struct message *m);
bool	change_hold(struct request *rq, struct message *m);
bool	change_release(struct request *rq, struct message *m);
bool	change_requeue(struct request *rq, struct message *m);
bool	change_expire(struct request *rq, struct message *m);
bool	change_priority(struct request *rq, struct message *m);
const char *freeze_begin(struct request *rq);
const char *thaw_begin(struct request *rq);
bool	freeze_step(struct request *rq);
bool	thaw_step(struct request *rq);
bool	change_thaw(struct request *rq, struct message *m);
/* admin_why.c */
const char *why_begin(struct request *rq);
bool	why_step(struct request *rq);
/* admin_check.c */
const char *check_begin(struct request *rq);
bool	check_step(struct request *rq);
bool	rebuild_step(struct request *rq);

#endif
