/* SPDX-License-Identifier: ISC */
/*
 * authd_ipc.c: what siblings ask: conversations of acceptors, tickets of
 * qmgr, accounts of lookupd.
 *
 * Runs in authd. An acceptor may be taken over: it numbers its conversations
 * itself, and whatever does not fit their state closes its channel and
 * nothing else. How many there are at once is bounded for each worker and for
 * each client's network.
 *
 * A failure, of whatever mechanism and for whatever reason, is answered
 * auth_failure_delay after the client's message came in, not after we knew:
 * what we did meanwhile shows in no time that anybody can measure (A15). The
 * timers are coarse, so that the answers of many failures leave together.
 */
#include <bsd/sys/queue.h>
#include <string.h>

#include "authd/authd.h"
#include "authd/limits.h"
#include "authd/sasl.h"
#include "authd/ticket.h"
#include "authd/verify.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ipc/auth.h"
#include "sys/stats.h"
#include "table/table.h"

#define MECHANISM_MAX		32
#define LISTENER_MAX		64
#define ADDRESS_MAX_LEN		64
#define HOST_MAX		255
#define BINDING_MAX		255
#define QUERY_MAX		TABLE_KEY_MAX
#define TEXT_MAX		300
/* At once: a worker has at most some ten thousand sessions, few of them log in. */
#define WORKER_MAX		5000
#define CLIENT_MAX		100
/* A question of lookupd or qmgr that a source does not answer. */
#define QUESTIONS_MAX		10000

struct peer;

struct conversation {
	TAILQ_ENTRY(conversation) link;
	struct peer	*peer;
	uint64_t	 job;
	uint32_t	 id;		/* of the request that waits for a step */
	bool		 waiting;
	struct sasl	*sasl;
	uint64_t	 asked_ms;
	struct loop_timer timer;	/* holds a failure back */
	enum auth_state	 state;		/* the outcome that is held back */
	char		*text;
	char		*client;	/* network, counted */
};

struct question {
	TAILQ_ENTRY(question) link;
	struct peer	*peer;		/* NULL: gone */
	uint32_t	 id;
	struct source_set *set;
	unsigned	 at;
	enum source_map	 map;
	char		*key;
	struct buf	 value;
	int		 error;
	struct work_job	 job;
	struct authd	*d;
};

struct peer {
	TAILQ_ENTRY(peer) link;
	struct authd	*d;
	struct ipc_channel *ch;
	struct map	*jobs;		/* number -> conversation */
	TAILQ_HEAD(, conversation) conversations;
};

struct counter {
	unsigned	 n;
};

struct authd_conversations {
	TAILQ_HEAD(, peer) peers;
	TAILQ_HEAD(, question) questions;
	size_t		 nquestions;
	size_t		 nconversations;
	struct map	*clients;	/* network -> struct counter */
};

/* ---- conversations ---- */

static void
client_leave(struct authd *d, struct conversation *c)
{
	struct counter *n;

	if (c->client == NULL)
		return;
	n = map_get(d->conversations->clients, view_str(c->client));
	if (n != NULL && --n->n == 0) {
		(void)map_del(d->conversations->clients, view_str(c->client));
		xfree(n);
	}
	xfree(c->client);
	c->client = NULL;
}

/* False: this network has as many as it may. */
static bool
client_enter(struct authd *d, struct conversation *c, const char *address)
{
	struct map *clients = d->conversations->clients;
	struct counter *n;
	struct buf network;

	buf_init(&network, 64);
	auth_limits_client(d->limits, address, &network);
	n = map_get(clients, buf_view(&network));
	if (n == NULL) {
		n = XNEW(struct counter);
		(void)map_put(clients, buf_view(&network), n);
	}
	if (n->n >= CLIENT_MAX) {
		buf_fini(&network);
		return false;
	}
	n->n++;
	c->client = view_dup(buf_view(&network));
	buf_fini(&network);
	return true;
}

static void
conversation_free(struct conversation *c)
{
	struct authd *d = c->peer->d;

	sasl_free(&c->sasl);
	loop_timer_clear(d->loop, &c->timer);
	client_leave(d, c);
	(void)map_del_u64(c->peer->jobs, c->job);
	TAILQ_REMOVE(&c->peer->conversations, c, link);
	d->conversations->nconversations--;
	xfree(c->text);
	xfree(c);
}

static void
put_step(struct ipc_out *o, uint64_t job, enum auth_state state)
{
	ipc_out_init(o, IPC_AUTH_STEP);
	ipc_put_u64(o, IPC_F_JOB, job);
	ipc_put_u64(o, IPC_F_STATE, state);
}

static void
put_refusal(struct ipc_out *o, uint64_t job, enum auth_state state, const char *text)
{
	put_step(o, job, state);
	ipc_put_str(o, IPC_F_DSN, state == AUTH_FAILURE ? "5.7.8" : "4.7.0");
	ipc_put_str(o, IPC_F_TEXT, text);
}

/* The outcome that was held back; the conversation ends. */
static void
tell_outcome(void *arg)
{
	struct conversation *c = arg;
	struct ipc_out o;

	put_refusal(&o, c->job, c->state, c->text != NULL ? c->text : "authentication failed");
	(void)ipc_reply_id(c->peer->ch, c->id, &o);
	conversation_free(c);
}

static void
hold_back(struct conversation *c, enum auth_state state, const char *text)
{
	struct authd *d = c->peer->d;
	uint64_t delay = (uint64_t)d->conf->auth_failure_delay;
	uint64_t passed = clock_mono_ms() - c->asked_ms;

	c->state = state;
	c->text = xstrndup(text, strnlen(text, TEXT_MAX));
	/* Who took longer waits for the next beat: there too the end says nothing. */
	while (delay > 0 && delay < passed)
		delay *= 2;
	if (delay == 0)
		tell_outcome(c);
	else
		loop_timer_set(d->loop, &c->timer, delay - passed);
}

static void
tell_success(struct conversation *c, const char *login)
{
	struct authd *d = c->peer->d;
	uint8_t ticket[AUTH_TICKET_SIZE];
	struct ipc_out o;

	ticket_make(d->tickets, ipc_channel_instance(c->peer->ch), view_str(login),
	    clock_wall_ms(), ticket);
	put_step(&o, c->job, AUTH_SUCCESS);
	ipc_put_str(&o, IPC_F_LOGIN, login);
	ipc_put_bytes(&o, IPC_F_DATA, view_of((char *)ticket, sizeof(ticket)));
	(void)ipc_reply_id(c->peer->ch, c->id, &o);
	conversation_free(c);
}

static void
on_step(const struct sasl_result *r, void *arg)
{
	struct conversation *c = arg;
	struct ipc_out o;

	switch (r->state) {
	case AUTH_CHALLENGE:
		c->waiting = false;
		put_step(&o, c->job, AUTH_CHALLENGE);
		ipc_put_bytes(&o, IPC_F_DATA, r->data);
		(void)ipc_reply_id(c->peer->ch, c->id, &o);
		break;
	case AUTH_SUCCESS:
		tell_success(c, r->login);
		break;
	default:
		hold_back(c, r->state, r->text);
		break;
	}
}

struct begin {
	uint64_t	job, flags;
	struct view	mechanism, listener, address, binding, host, initial;
	bool		has_initial;
};

static int
decode_begin(struct ipc_msg *m, struct begin *b)
{
	struct ipc_in in;

	memset(b, 0, sizeof(*b));
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &b->job);
	ipc_get_text(&in, IPC_F_MECHANISM, MECHANISM_MAX, &b->mechanism);
	ipc_get_text(&in, IPC_F_LISTENER, LISTENER_MAX, &b->listener);
	ipc_get_text(&in, IPC_F_ADDRESS, ADDRESS_MAX_LEN, &b->address);
	ipc_get_range(&in, IPC_F_FLAGS, 0, AUTH_SESSION_TLS | AUTH_SESSION_TLS13 |
	    AUTH_SESSION_LOCAL, &b->flags);
	ipc_get_bytes(&in, IPC_F_DATA, BINDING_MAX, &b->binding);
	ipc_get_text(&in, IPC_F_HOST, HOST_MAX, &b->host);
	b->has_initial = ipc_has(&in, IPC_F_DATA);
	if (b->has_initial)
		ipc_get_bytes(&in, IPC_F_DATA, AUTH_DATA_MAX, &b->initial);
	return ipc_in_end(&in);
}

/* Passwords in clear are permitted by our reading of the configuration, not by the worker's. */
static unsigned
flags_of(const struct authd *d, const struct begin *b, const char *listener)
{
	unsigned flags = (unsigned)b->flags;

	if (!conf_scope(d->conf, listener)->smtpd_tls_auth_only)
		flags |= AUTH_SESSION_LOCAL;
	return flags;
}

static struct sasl *
sasl_of(struct authd *d, const struct begin *b, struct conversation *c)
{
	char *address = view_dup(b->address), *listener = view_dup(b->listener);
	char *host = view_dup(b->host);
	struct sasl_client client = {
		.who = { address, listener, SOURCE_SMTP },
		.flags = flags_of(d, b, listener),
		.binding = b->binding,
		.certificate = host,
	};
	struct sasl *s = sasl_new(d, b->mechanism, &client, on_step, c);

	xfree(address);
	xfree(listener);
	xfree(host);
	return s;
}

static int
refuse(struct peer *p, const struct ipc_msg *m, uint64_t job, enum auth_state state,
    const char *text)
{
	struct ipc_out o;

	put_refusal(&o, job, state, text);
	return ipc_reply(p->ch, m, &o);
}

static struct conversation *
conversation_new(struct peer *p, const struct begin *b)
{
	struct conversation *c = XNEW(struct conversation);
	struct authd *d = p->d;
	char *address = view_dup(b->address);
	bool entered;

	entered = client_enter(d, c, address);
	xfree(address);
	if (!entered) {
		xfree(c);
		return NULL;
	}
	c->peer = p;
	c->job = b->job;
	loop_timer_init(&c->timer, tell_outcome, c);
	TAILQ_INSERT_TAIL(&p->conversations, c, link);
	(void)map_put_u64(p->jobs, b->job, c);
	d->conversations->nconversations++;
	return c;
}

static void
step(struct conversation *c, const struct ipc_msg *m, bool has_input, struct view input)
{
	c->id = m->id;
	c->waiting = true;
	c->asked_ms = clock_mono_ms();
	sasl_step(c->sasl, has_input, input);
}

static int
on_begin(struct peer *p, struct ipc_msg *m)
{
	struct conversation *c;
	struct begin b;

	if (decode_begin(m, &b) != 0 || m->id == 0 || map_get_u64(p->jobs, b.job) != NULL)
		return PK_EPROTO;
	if (!p->d->ready)
		return refuse(p, m, b.job, AUTH_TEMPORARY, "temporary authentication failure");
	if (map_count(p->jobs) >= WORKER_MAX || (c = conversation_new(p, &b)) == NULL) {
		stats_add(STATS_C_auth_temporary, 1);
		return refuse(p, m, b.job, AUTH_TEMPORARY, "too many logins at once");
	}
	c->sasl = sasl_of(p->d, &b, c);
	if (c->sasl == NULL) {
		conversation_free(c);
		return refuse(p, m, b.job, AUTH_FAILURE, "mechanism not available");
	}
	step(c, m, b.has_initial, b.initial);
	return 0;
}

static int
on_more(struct peer *p, struct ipc_msg *m)
{
	struct conversation *c;
	struct view data = VIEW_NONE;
	struct ipc_in in;
	uint64_t job = 0;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &job);
	ipc_get_bytes(&in, IPC_F_DATA, AUTH_DATA_MAX, &data);
	if (ipc_in_end(&in) != 0 || m->id == 0)
		return PK_EPROTO;
	c = map_get_u64(p->jobs, job);
	/* Whoever speaks out of turn, or of a conversation that is not there, lies. */
	if (c == NULL || c->waiting)
		return PK_EPROTO;
	step(c, m, true, data);
	return 0;
}

static int
tell_gone(const struct conversation *c)
{
	struct ipc_out o;

	put_refusal(&o, c->job, AUTH_TEMPORARY, "cancelled");
	return ipc_reply_id(c->peer->ch, c->id, &o);
}

static int
on_cancel(struct peer *p, struct ipc_msg *m)
{
	struct conversation *c;
	struct ipc_in in;
	uint64_t job = 0;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &job);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	c = map_get_u64(p->jobs, job);
	/* It may have ended while this was under way. */
	if (c == NULL)
		return 0;
	/*
	 * The worker keeps a place for each question until it is answered: clients
	 * that leave by the thousand would use them up, and the channel with them.
	 */
	if (c->waiting)
		(void)tell_gone(c);
	conversation_free(c);
	return 0;
}

/* ---- tickets ---- */

static int
on_ticket_check(struct peer *p, struct ipc_msg *m)
{
	struct view login = VIEW_NONE, ticket = VIEW_NONE;
	uint64_t instance = 0, arrival_ms = 0;
	struct ipc_out o;
	struct ipc_in in;
	int error;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_INSTANCE, &instance);
	ipc_get_text(&in, IPC_F_LOGIN, AUTH_LOGIN_MAX, &login);
	ipc_get_bytes(&in, IPC_F_DATA, 255, &ticket);
	ipc_get_u64(&in, IPC_F_TIME_MS, &arrival_ms);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	error = p->d->tickets == NULL ? PK_ETEMP :
	    ticket_check(p->d->tickets, instance, login, ticket, arrival_ms);
	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-error);
	return ipc_reply(p->ch, m, &o);
}

/* ---- accounts ---- */

static void question_ask(struct question *q);

static void
question_free(struct question *q)
{
	struct authd *d = q->d;

	TAILQ_REMOVE(&d->conversations->questions, q, link);
	d->conversations->nquestions--;
	source_set_unref(&q->set);
	buf_fini(&q->value);
	xfree(q->key);
	xfree(q);
}

static void
question_answer(struct question *q)
{
	struct ipc_out o;

	if (q->error != 0 && q->error != PK_ENOENT)
		q->error = PK_ETEMP;
	if (q->error != 0)
		buf_reset(&q->value);
	if (q->peer != NULL) {
		ipc_out_init(&o, IPC_ACCOUNT_ANSWER);
		ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-q->error);
		ipc_put_bytes(&o, IPC_F_ANSWER, buf_view(&q->value));
		/* A database's text may be none of ours. */
		if (ipc_out_error(&o) != 0) {
			log_error("what a source says of %s cannot be passed on", q->key);
			ipc_out_fini(&o);
			ipc_out_init(&o, IPC_ACCOUNT_ANSWER);
			ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-PK_ETEMP);
			ipc_put_str(&o, IPC_F_ANSWER, "");
		}
		(void)ipc_reply_id(q->peer->ch, q->id, &o);
	}
	question_free(q);
}

static void
question_run(struct work_job *j)
{
	struct question *q = (struct question *)(void *)((char *)j -
	    offsetof(struct question, job));
	struct source *s = q->set->sources[q->at];

	q->error = s->type->map(s, q->map, view_str(q->key), &q->value);
}

static void
question_done(struct work_job *j, bool cancelled)
{
	struct question *q = (struct question *)(void *)((char *)j -
	    offsetof(struct question, job));

	if (cancelled)
		q->error = PK_ETEMP;
	if (q->error == PK_ENOENT && q->peer != NULL) {
		q->at++;
		question_ask(q);
	} else {
		question_answer(q);
	}
}

static void
question_ask(struct question *q)
{
	struct source *s;

	for (q->error = PK_ENOENT; q->at < q->set->n && q->error == PK_ENOENT; q->at++) {
		s = q->set->sources[q->at];
		if (s->type->map == NULL)
			continue;
		if (s->type->blocks) {
			q->job.run = question_run;
			q->job.done = question_done;
			if (work_submit(q->d->queries, &q->job))
				return;
			q->error = PK_ETEMP;
		} else {
			q->error = s->type->map(s, q->map, view_str(q->key), &q->value);
		}
	}
	question_answer(q);
}

static bool
map_parse(struct view name, enum source_map *map_r)
{
	static const char *const names[SOURCE_MAPS] = {
		[SOURCE_MAP_DOMAINS] = "domains", [SOURCE_MAP_USERS] = "users",
		[SOURCE_MAP_ALIASES] = "aliases", [SOURCE_MAP_QUOTAS] = "quotas",
		[SOURCE_MAP_LOGINS] = "logins",
	};
	int i;

	for (i = 0; i < SOURCE_MAPS; i++)
		if (view_eq(name, view_str(names[i]))) {
			*map_r = (enum source_map)i;
			return true;
		}
	return false;
}

static int
on_account_get(struct peer *p, struct ipc_msg *m)
{
	struct view table = VIEW_NONE, query = VIEW_NONE;
	struct authd_conversations *all = p->d->conversations;
	struct question *q;
	enum source_map map;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_TABLE, 32, &table);
	ipc_get_text(&in, IPC_F_QUERY, QUERY_MAX, &query);
	if (ipc_in_end(&in) != 0 || !map_parse(table, &map))
		return PK_EPROTO;
	q = XNEW(struct question);
	q->d = p->d;
	q->peer = p;
	q->id = m->id;
	q->map = map;
	q->key = view_dup(query);
	/* More than lookupd takes would end the channel. */
	buf_init(&q->value, TABLE_VALUE_MAX);
	q->set = source_set_ref(p->d->sources);
	TAILQ_INSERT_TAIL(&all->questions, q, link);
	if (++all->nquestions > QUESTIONS_MAX) {
		q->error = PK_ETEMP;
		question_answer(q);
	} else {
		question_ask(q);
	}
	return 0;
}

/* ---- channels ---- */

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct peer *p = arg;

	(void)ch;
	switch (m->type) {
	case IPC_AUTH_BEGIN:
		return on_begin(p, m);
	case IPC_AUTH_MORE:
		return on_more(p, m);
	case IPC_AUTH_CANCEL:
		return on_cancel(p, m);
	case IPC_TICKET_CHECK:
		return on_ticket_check(p, m);
	case IPC_ACCOUNT_GET:
		return on_account_get(p, m);
	default:
		return PK_EPROTO;
	}
}

static void
peer_free(struct peer *p)
{
	struct conversation *c;
	struct question *q;

	while ((c = TAILQ_FIRST(&p->conversations)) != NULL)
		conversation_free(c);
	/* Those are in a thread: it ends without an answer. */
	TAILQ_FOREACH(q, &p->d->conversations->questions, link)
		if (q->peer == p)
			q->peer = NULL;
	map_free(&p->jobs, NULL);
	TAILQ_REMOVE(&p->d->conversations->peers, p, link);
	xfree(p);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch, (void)why;
	peer_free(arg);
}

static const struct ipc_channel_ops channel_ops = { on_message, on_closed };

static void
put_mechanism(const char *name, unsigned flags, void *arg)
{
	struct ipc_out *o = arg;

	ipc_put_str(o, IPC_F_NAME, name);
	ipc_put_u64(o, IPC_F_FLAGS, flags);
}

static void
say_mechanisms(struct peer *p)
{
	struct ipc_out o;

	if (!ipc_role_accepts(ipc_channel_peer(p->ch)))
		return;
	ipc_out_init(&o, IPC_AUTH_MECHANISMS);
	sasl_mechanisms(p->d, put_mechanism, &o);
	(void)ipc_send(p->ch, &o);
}

void
authd_say_mechanisms(struct authd *d)
{
	struct peer *p;

	TAILQ_FOREACH(p, &d->conversations->peers, link)
		say_mechanisms(p);
}

static void
open_channel(void *arg, const struct early_channel *w)
{
	struct authd *d = arg;
	struct peer *p = XNEW(struct peer);

	p->d = d;
	p->jobs = map_new();
	TAILQ_INIT(&p->conversations);
	TAILQ_INSERT_TAIL(&d->conversations->peers, p, link);
	p->ch = ipc_channel_new(d->loop, w->fd, IPC_ROLE_authd, w->peer, w->instance,
	    &channel_ops, p);
	say_mechanisms(p);
	if (!d->ready)
		ipc_leave(p->ch);
}

void
authd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct early_channel w = { peer, instance, fd };
	struct authd *d = child_arg(c);

	if (!early_keep(&d->early, peer, instance, fd))
		open_channel(d, &w);
}

void
authd_begin(struct authd *d)
{
	d->ready = true;
	early_open(&d->early, open_channel, d);
}

void
authd_leave_channels(struct authd *d)
{
	struct peer *p;

	TAILQ_FOREACH(p, &d->conversations->peers, link)
		ipc_leave(p->ch);
}

size_t
authd_open(const struct authd *d)
{
	return d->conversations->nconversations + d->conversations->nquestions;
}

void
authd_ipc_init(struct authd *d)
{
	d->conversations = XNEW(struct authd_conversations);
	TAILQ_INIT(&d->conversations->peers);
	TAILQ_INIT(&d->conversations->questions);
	d->conversations->clients = map_new();
}

void
authd_ipc_fini(struct authd *d)
{
	struct authd_conversations *all = d->conversations;
	struct peer *p;

	if (all == NULL)
		return;
	while ((p = TAILQ_FIRST(&all->peers)) != NULL) {
		ipc_channel_free(&p->ch);
		peer_free(p);
	}
	/* The pools are gone by now, and with them the questions. */
	map_free(&all->clients, xfree);
	xfree(all);
	d->conversations = NULL;
}
