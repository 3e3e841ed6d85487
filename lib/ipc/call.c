/* SPDX-License-Identifier: ISC */
/*
 * call.c: questions and their answers.
 *
 * Runs in every process that asks. Calls live in a slab of chunks that are
 * never moved, the id on the wire is the place in it: an answer finds its
 * call without a search. Handles carry a serial number beside the place, so
 * that cancelling a call that is over does nothing. A place is given to
 * another question only after the peer has answered or died.
 */
#include "ipc/channel_internal.h"

#define CHUNK_CALLS	256
#define CHUNKS_MAX	4096		/* 1 Mi questions at once: a bug of ours */
#define INDEX_BITS	20
/* Answers owed by a peer beyond their time; more: it hangs. */
#define ABANDONED_MAX	8192U
/* A kept body that grew past this is not worth keeping for the next call. */
#define BODY_KEPT_MAX	4096

_Static_assert(CHUNK_CALLS * CHUNKS_MAX == 1 << INDEX_BITS, "the handle holds the index");

static struct {
	struct ipc_call	*chunks[CHUNKS_MAX];
	unsigned	 nchunks;
	struct ipc_call_list free;
	uint64_t	 serial;
} slab = { .free = TAILQ_HEAD_INITIALIZER(slab.free) };

static void	call_timed_out(void *arg);
static void	call_failing(void *arg);

static void
slab_grow(void)
{
	struct ipc_call *chunk;
	unsigned i;

	ASSERT(slab.nchunks < CHUNKS_MAX);
	chunk = xcalloc(CHUNK_CALLS, sizeof(*chunk));
	for (i = 0; i < CHUNK_CALLS; i++) {
		chunk[i].index = slab.nchunks * CHUNK_CALLS + i;
		loop_timer_init(&chunk[i].timer, call_timed_out, &chunk[i]);
		chunk[i].failing.fn = call_failing;
		chunk[i].failing.arg = &chunk[i];
		buf_init(&chunk[i].body, IPC_BODY_MAX);
		TAILQ_INSERT_TAIL(&slab.free, &chunk[i], link);
	}
	slab.chunks[slab.nchunks++] = chunk;
}

static struct ipc_call *
slab_at(uint64_t index)
{
	if (index >= (uint64_t)slab.nchunks * CHUNK_CALLS)
		return NULL;
	return &slab.chunks[index / CHUNK_CALLS][index % CHUNK_CALLS];
}

struct ipc_call *
ipc_call_new(struct loop *l, uint64_t timeout_ms, ipc_reply_fn reply, void *arg)
{
	struct ipc_call *c;

	if (TAILQ_EMPTY(&slab.free))
		slab_grow();
	c = TAILQ_FIRST(&slab.free);
	TAILQ_REMOVE(&slab.free, c, link);
	c->handle = ++slab.serial << INDEX_BITS | c->index;
	c->loop = l;
	c->ch = NULL;
	c->pool = NULL;
	c->reply = reply;
	c->arg = arg;
	c->timeout_ms = timeout_ms;
	c->error = 0;
	c->abandoned = false;
	c->waiting = false;
	c->tries = 0;
	if (timeout_ms > 0)
		loop_timer_set(l, &c->timer, timeout_ms);
	return c;
}

/* Takes it off whatever list it is on. */
static void
call_unlink(struct ipc_call *c)
{
	if (c->ch != NULL) {
		TAILQ_REMOVE(&c->ch->calls, c, link);
		c->ch->ncalls--;
		if (c->abandoned)
			c->ch->nabandoned--;
		c->ch = NULL;
	}
	if (c->waiting)
		ipc_pool_forget(c);
}

void
ipc_call_free(struct ipc_call *c)
{
	call_unlink(c);
	loop_timer_clear(c->loop, &c->timer);
	loop_defer_cancel(c->loop, &c->failing);
	if (c->body.cap > BODY_KEPT_MAX)
		buf_fini(&c->body);
	else
		buf_reset(&c->body);
	c->handle = 0;
	/* The last used first: it is in the cache. */
	TAILQ_INSERT_HEAD(&slab.free, c, link);
}

/* Frees it, then tells its owner, who may do anything. */
static void
call_report(struct ipc_call *c, int error)
{
	ipc_reply_fn reply = c->reply;
	bool tell = !c->abandoned;
	void *arg = c->arg;

	ipc_call_free(c);
	if (tell)
		(void)reply(NULL, error, arg);
}

static void
call_failing(void *arg)
{
	struct ipc_call *c = arg;

	call_report(c, c->error);
}

void
ipc_call_fail_later(struct ipc_call *c, int error)
{
	call_unlink(c);
	loop_timer_clear(c->loop, &c->timer);
	c->error = error;
	loop_defer(c->loop, &c->failing);
}

/* Nobody wants the answer any more; its place waits for it. */
static void
call_abandon(struct ipc_call *c)
{
	loop_timer_clear(c->loop, &c->timer);
	c->abandoned = true;
	buf_reset(&c->body);
	if (++c->ch->nabandoned != ABANDONED_MAX)
		return;
	log_error("ipc: %s[%llu]: hangs, %u questions without an answer; "
	    "channel closed", ipc_role_name(c->ch->peer),
	    (unsigned long long)c->ch->instance, ABANDONED_MAX);
	ipc_channel_fail_later(c->ch, PK_ETIMEOUT);
}

static void
call_timed_out(void *arg)
{
	struct ipc_call *c = arg;
	ipc_reply_fn reply = c->reply;
	void *reply_arg = c->arg;

	if (c->ch == NULL) {
		call_report(c, PK_ETIMEOUT);
		return;
	}
	call_abandon(c);
	(void)reply(NULL, PK_ETIMEOUT, reply_arg);
}

void
ipc_call_submit(struct ipc_call *c, struct ipc_channel *ch, struct ipc_out *o)
{
	int error;

	o->id = c->index + 1;
	c->type = o->type;
	c->ch = ch;
	TAILQ_INSERT_TAIL(&ch->calls, c, link);
	ch->ncalls++;
	error = ipc_send(ch, o);
	/*
	 * A channel whose peer does not read any more is about to close, and
	 * the call with it: asked again then, if it may be.
	 */
	if (error != 0 && (error != PK_EPEER || ch->dead))
		ipc_call_fail_later(c, error);
}

uint64_t
ipc_call(struct ipc_channel *ch, struct ipc_out *o, uint64_t timeout_ms,
    ipc_reply_fn reply, void *arg)
{
	struct ipc_call *c = ipc_call_new(ch->loop, timeout_ms, reply, arg);
	uint64_t handle = c->handle;

	if (ch->dead) {
		ipc_out_fini(o);
		ipc_call_fail_later(c, PK_EPEER);
	} else {
		ipc_call_submit(c, ch, o);
	}
	return handle;
}

void
ipc_call_cancel(uint64_t handle)
{
	struct ipc_call *c;

	c = slab_at(handle & ((1U << INDEX_BITS) - 1));
	if (handle == 0 || c == NULL || c->handle != handle || c->abandoned)
		return;
	if (c->ch != NULL)
		call_abandon(c);
	else
		ipc_call_free(c);
}

struct ipc_call *
ipc_call_find(struct ipc_channel *ch, uint32_t id)
{
	struct ipc_call *c = id > 0 ? slab_at(id - 1) : NULL;

	if (c == NULL || c->handle == 0 || c->ch != ch)
		return NULL;
	return c;
}

/*
 * Who asks anything else lets go of its state at the first answer: a second
 * part would reach freed memory.
 */
static bool
answer_has_parts(uint16_t question)
{
	return question == IPC_EXPAND || question == IPC_TABLE_GET ||
	    question == IPC_ADMIN;
}

int
ipc_call_answered(struct ipc_channel *ch, struct ipc_msg *m)
{
	struct ipc_call *c = ipc_call_find(ch, m->id);
	bool last = (m->flags & IPC_FLAG_MORE) == 0;
	ipc_reply_fn reply;
	uint64_t handle;
	void *arg;
	int error;

	/*
	 * An answer to what was not asked of this peer, or a second one. Only
	 * behind an upgrade it may be to a question of the binary before us.
	 */
	if (c == NULL)
		return ch->adopted ? 0 : PK_EPROTO;
	if (!last && !answer_has_parts(c->type))
		return PK_EPROTO;
	reply = c->reply;
	arg = c->arg;
	handle = c->handle;
	if (c->abandoned) {
		if (last)
			ipc_call_free(c);
		return 0;
	}
	if (last) {
		ipc_call_free(c);
	} else {
		/* From the first part on it cannot be asked of another one. */
		c->tries = UINT8_MAX;
		if (c->timeout_ms > 0)
			loop_timer_set(c->loop, &c->timer, c->timeout_ms);
	}
	error = reply(m, 0, arg);
	/* Who refused a part has had its last word about this call. */
	if (error != 0 && !last)
		ipc_call_cancel(handle);
	return error;
}

void
ipc_calls_lost(struct ipc_channel *ch, int error)
{
	struct ipc_call *c;

	while ((c = TAILQ_FIRST(&ch->calls)) != NULL) {
		call_unlink(c);
		if (ch->leaving && c->tries > 0 && c->tries < UINT8_MAX)
			c->tries--;
		if (c->abandoned)
			ipc_call_free(c);
		else if (error == PK_ECANCEL || !ipc_pool_again(c))
			call_report(c, error);
	}
}
