/* SPDX-License-Identifier: ISC */
/*
 * auth_link.c: SASL conversations with authd.
 *
 * Runs in smtpd. Not a pool of ipc.h: a conversation's state is in one authd,
 * so each of its messages goes there, and a login attempt is never asked of a
 * second one (it would count twice, and SCRAM would not fit). When its authd
 * dies the conversation ends with an error: the client gets 454. authd may
 * have been taken over: a message that does not fit closes its channel.
 */
#include "smtpd/auth_link.h"

#include <bsd/sys/queue.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* Longer than auth_source_timeout and a full queue of hashes, shorter than a client's patience. */
#define STEP_TIMEOUT_MS	90000
#define DSN_MAX		16
#define TEXT_MAX	400

struct peer {
	TAILQ_ENTRY(peer)	 link;
	struct auth_link	*owner;
	struct ipc_channel	*ch;
	size_t			 open;		/* conversations */
};

struct auth_conversation {
	TAILQ_ENTRY(auth_conversation) link;
	struct auth_link	*owner;
	struct peer		*peer;		/* NULL: its authd is gone */
	uint64_t		 number;
	uint64_t		 call;		/* 0: the client's turn */
	auth_step_fn		 fn;
	void			*arg;
	struct loop_deferred	 lost;
};

struct auth_link {
	struct loop		*loop;
	enum ipc_role		 self;
	struct auth_mechanisms	*mechanisms;
	uint64_t		 last_number;
	TAILQ_HEAD(, peer)	 peers;
	TAILQ_HEAD(, auth_conversation) conversations;
};

/* ---- channels ---- */

static int
on_mechanisms(struct auth_link *l, struct ipc_msg *m)
{
	struct auth_mechanisms all = { .count = 0 };
	struct view name = VIEW_NONE;
	uint64_t flags = 0;
	struct ipc_in in;

	ipc_in_init(&in, m);
	while (ipc_has(&in, IPC_F_NAME)) {
		ipc_get_text(&in, IPC_F_NAME, AUTH_MECHANISM_MAX, &name);
		ipc_get_range(&in, IPC_F_FLAGS, 0, 7, &flags);
		if (in.error != 0 || auth_mechanisms_add(&all, name, (unsigned)flags) != 0)
			return PK_EPROTO;
	}
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	*l->mechanisms = all;
	return 0;
}

static int
peer_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct peer *p = arg;

	(void)ch;
	return m->type == IPC_AUTH_MECHANISMS ? on_mechanisms(p->owner, m) : PK_EPROTO;
}

static void
peer_free(struct peer *p)
{
	struct auth_conversation *c;

	/* What waits for an answer is told by its call. */
	TAILQ_FOREACH (c, &p->owner->conversations, link)
		if (c->peer == p)
			c->peer = NULL;
	TAILQ_REMOVE(&p->owner->peers, p, link);
	xfree(p);
}

static void
peer_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	peer_free(arg);
}

static const struct ipc_channel_ops peer_ops = { peer_message, peer_closed };

struct auth_link *
auth_link_new(struct loop *loop, enum ipc_role self, struct auth_mechanisms *mechanisms)
{
	struct auth_link *l = XNEW(struct auth_link);

	l->loop = loop;
	l->self = self;
	l->mechanisms = mechanisms;
	TAILQ_INIT(&l->peers);
	TAILQ_INIT(&l->conversations);
	return l;
}

void
auth_link_free(struct auth_link **lp)
{
	struct auth_link *l = *lp;
	struct peer *p;

	if (l == NULL)
		return;
	*lp = NULL;
	while ((p = TAILQ_FIRST(&l->peers)) != NULL) {
		ipc_channel_free(&p->ch);
		peer_free(p);
	}
	ASSERT(TAILQ_EMPTY(&l->conversations));
	xfree(l);
}

void
auth_link_channel(struct auth_link *l, int fd, uint64_t instance)
{
	struct peer *p = XNEW(struct peer);

	p->owner = l;
	TAILQ_INSERT_TAIL(&l->peers, p, link);
	p->ch = ipc_channel_new(l->loop, fd, l->self, IPC_ROLE_authd, instance, &peer_ops, p);
}

static struct peer *
least_busy(struct auth_link *l)
{
	struct peer *p, *best = NULL;

	TAILQ_FOREACH (p, &l->peers, link)
		if (best == NULL || p->open < best->open)
			best = p;
	return best;
}

/* ---- conversations ---- */

static void
conversation_free(struct auth_conversation *c)
{
	if (c->peer != NULL)
		c->peer->open--;
	loop_defer_cancel(c->owner->loop, &c->lost);
	TAILQ_REMOVE(&c->owner->conversations, c, link);
	xfree(c);
}

static int
decode_step(struct ipc_msg *m, uint64_t number, struct auth_step *step)
{
	uint64_t state = 0;
	struct ipc_in in;

	if (m->type != IPC_AUTH_STEP)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_JOB, number, number, &state);
	ipc_get_range(&in, IPC_F_STATE, 0, AUTH_STATES - 1, &state);
	if (in.error != 0)
		return PK_EPROTO;
	step->state = (enum auth_state)state;
	switch (step->state) {
	case AUTH_CHALLENGE:
		ipc_get_bytes(&in, IPC_F_DATA, AUTH_DATA_MAX, &step->data);
		break;
	case AUTH_SUCCESS:
		ipc_get_text(&in, IPC_F_LOGIN, AUTH_LOGIN_MAX, &step->login);
		ipc_get_bytes(&in, IPC_F_DATA, AUTH_TICKET_SIZE, &step->data);
		if (step->login.len == 0 || step->data.len != AUTH_TICKET_SIZE)
			return PK_EPROTO;
		break;
	default:
		ipc_get_text(&in, IPC_F_DSN, DSN_MAX, &step->dsn);
		ipc_get_text(&in, IPC_F_TEXT, TEXT_MAX, &step->text);
		break;
	}
	return ipc_in_end(&in) != 0 ? PK_EPROTO : 0;
}

static void
tell(struct auth_conversation *c, const struct auth_step *step)
{
	auth_step_fn fn = c->fn;
	void *arg = c->arg;

	if (step->error != 0 || step->state != AUTH_CHALLENGE)
		conversation_free(c);
	fn(step, arg);
}

/* Its authd need not go on with it. */
static void
say_cancel(const struct auth_conversation *c)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_AUTH_CANCEL);
	ipc_put_u64(&o, IPC_F_JOB, c->number);
	(void)ipc_send(c->peer->ch, &o);
}

static int
step_replied(struct ipc_msg *m, int error, void *arg)
{
	struct auth_conversation *c = arg;
	struct auth_step step = { .error = error };
	int bad = 0;

	c->call = 0;
	/* Too late: nobody would end the conversation there. */
	if (error == PK_ETIMEOUT && c->peer != NULL)
		say_cancel(c);
	if (m != NULL) {
		bad = decode_step(m, c->number, &step);
		if (bad != 0)
			step = (struct auth_step){ .error = PK_EPROTO };
	}
	tell(c, &step);
	return bad;
}

static void
lost(void *arg)
{
	struct auth_step step = { .error = PK_EPEER };

	tell(arg, &step);
}

static void
ask(struct auth_conversation *c, struct ipc_out *o)
{
	c->call = ipc_call(c->peer->ch, o, STEP_TIMEOUT_MS, step_replied, c);
}

struct auth_conversation *
auth_link_begin(struct auth_link *l, const struct auth_question *q, auth_step_fn fn, void *arg)
{
	struct peer *p = least_busy(l);
	struct auth_conversation *c;
	struct ipc_out o;

	if (p == NULL)
		return NULL;
	c = XNEW(struct auth_conversation);
	c->owner = l;
	c->peer = p;
	c->number = ++l->last_number;
	c->fn = fn;
	c->arg = arg;
	c->lost = (struct loop_deferred){ .fn = lost, .arg = c };
	p->open++;
	TAILQ_INSERT_TAIL(&l->conversations, c, link);
	ipc_out_init(&o, IPC_AUTH_BEGIN);
	ipc_put_u64(&o, IPC_F_JOB, c->number);
	ipc_put_bytes(&o, IPC_F_MECHANISM, q->mechanism);
	ipc_put_bytes(&o, IPC_F_LISTENER, q->listener);
	ipc_put_bytes(&o, IPC_F_ADDRESS, q->address);
	ipc_put_u64(&o, IPC_F_FLAGS, q->flags);
	ipc_put_bytes(&o, IPC_F_DATA, q->binding);
	ipc_put_bytes(&o, IPC_F_HOST, q->certificate);
	if (q->has_initial)
		ipc_put_bytes(&o, IPC_F_DATA, q->initial);
	ask(c, &o);
	return c;
}

void
auth_link_more(struct auth_link *l, struct auth_conversation *c, struct view response)
{
	struct ipc_out o;

	if (c->peer == NULL) {
		loop_defer(l->loop, &c->lost);
		return;
	}
	ipc_out_init(&o, IPC_AUTH_MORE);
	ipc_put_u64(&o, IPC_F_JOB, c->number);
	ipc_put_bytes(&o, IPC_F_DATA, response);
	ask(c, &o);
}

void
auth_link_cancel(struct auth_link *l, struct auth_conversation **cp)
{
	struct auth_conversation *c = *cp;

	(void)l;
	*cp = NULL;
	if (c->call != 0)
		ipc_call_cancel(c->call);
	if (c->peer != NULL)
		say_cancel(c);
	conversation_free(c);
}
