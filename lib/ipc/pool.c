/* SPDX-License-Identifier: ISC */
/*
 * pool.c: all workers of one role as one to ask.
 *
 * Runs in every process that asks lookupd or dnsd. A question goes to the
 * worker with the fewest open ones. When a worker dies, what may be asked
 * again (messages.def) is asked of another one or waits for one; a question
 * that was there at each of three deaths is taken for their cause and given
 * up. An end that was announced (LEAVING) is none of these.
 */
#include "ipc/channel_internal.h"

#define TRIES_MAX	3
/* Kept questions while no worker is there; sessions wait behind each. */
#define WAITING_MAX	100000

TAILQ_HEAD(member_list, ipc_channel);

struct ipc_pool {
	struct loop	*loop;
	enum ipc_role	 self, peer;
	struct member_list members;
	size_t		 nmembers;
	struct ipc_call_list waiting;
	size_t		 nwaiting;
};

static const struct ipc_channel_ops pool_ops = { NULL, NULL };

struct ipc_pool *
ipc_pool_new(struct loop *l, enum ipc_role self, enum ipc_role peer)
{
	struct ipc_pool *p = XNEW(struct ipc_pool);

	p->loop = l;
	p->self = self;
	p->peer = peer;
	TAILQ_INIT(&p->members);
	TAILQ_INIT(&p->waiting);
	return p;
}

void
ipc_pool_free(struct ipc_pool **pp)
{
	struct ipc_pool *p = *pp;
	struct ipc_channel *ch;
	struct ipc_call *c;

	if (p == NULL)
		return;
	while ((ch = TAILQ_FIRST(&p->members)) != NULL)
		ipc_channel_free(&ch);
	while ((c = TAILQ_FIRST(&p->waiting)) != NULL)
		ipc_call_fail_later(c, PK_ECANCEL);
	xfree(p);
	*pp = NULL;
}

size_t
ipc_pool_count(const struct ipc_pool *p)
{
	return p->nmembers;
}

static struct ipc_channel *
least_busy(struct ipc_pool *p)
{
	struct ipc_channel *ch, *best = NULL;

	TAILQ_FOREACH (ch, &p->members, link) {
		if (ch->send_dead || ch->leaving)
			continue;
		if (best == NULL || ch->ncalls < best->ncalls)
			best = ch;
	}
	return best;
}

/* Asks with the body that was kept. */
static void
ask_kept(struct ipc_call *c, struct ipc_channel *ch)
{
	struct ipc_out o;

	ipc_out_init(&o, (enum ipc_type)c->type);
	(void)buf_put_view(&o.body, buf_view(&c->body));
	c->tries++;
	ipc_call_submit(c, ch, &o);
}

static bool
wait_for_member(struct ipc_pool *p, struct ipc_call *c)
{
	if (p->nwaiting >= WAITING_MAX)
		return false;
	c->waiting = true;
	p->nwaiting++;
	TAILQ_INSERT_TAIL(&p->waiting, c, link);
	return true;
}

void
ipc_pool_forget(struct ipc_call *c)
{
	TAILQ_REMOVE(&c->pool->waiting, c, link);
	c->pool->nwaiting--;
	c->waiting = false;
}

void
ipc_pool_add(struct ipc_pool *p, int fd, uint64_t instance)
{
	struct ipc_channel *ch;
	struct ipc_call *c;

	ch = ipc_channel_new(
	    p->loop, fd, p->self, p->peer, instance, &pool_ops, p);
	ch->pool = p;
	TAILQ_INSERT_TAIL(&p->members, ch, link);
	p->nmembers++;
	while ((c = TAILQ_FIRST(&p->waiting)) != NULL) {
		ipc_pool_forget(c);
		ask_kept(c, ch);
	}
}

void
ipc_pool_remove(struct ipc_pool *p, struct ipc_channel *ch)
{
	TAILQ_REMOVE(&p->members, ch, link);
	p->nmembers--;
	ch->pool = NULL;
}

uint64_t
ipc_pool_call(struct ipc_pool *p, struct ipc_out *o, uint64_t timeout_ms,
    ipc_reply_fn reply, void *arg)
{
	struct ipc_call *c = ipc_call_new(p->loop, timeout_ms, reply, arg);
	const struct ipc_row *row = ipc_row(o->type);
	struct ipc_channel *ch = least_busy(p);
	uint64_t handle = c->handle;

	ASSERT(row != NULL && o->nhandles == 0);
	c->pool = p;
	c->type = o->type;
	if (ipc_out_error(o) == 0 && (row->again || ch == NULL))
		(void)buf_put_view(&c->body, buf_view(&o->body));
	if (ch != NULL) {
		c->tries = 1;
		ipc_call_submit(c, ch, o);
		return handle;
	}
	if (ipc_out_error(o) != 0)
		ipc_call_fail_later(c, ipc_out_error(o));
	else if (!wait_for_member(p, c))
		ipc_call_fail_later(c, PK_EPEER);
	ipc_out_fini(o);
	return handle;
}

bool
ipc_pool_again(struct ipc_call *c)
{
	struct ipc_channel *ch;

	if (c->pool == NULL || !ipc_row(c->type)->again ||
	    c->tries >= TRIES_MAX)
		return false;
	ch = least_busy(c->pool);
	if (ch == NULL)
		return wait_for_member(c->pool, c);
	ask_kept(c, ch);
	return true;
}
