/* SPDX-License-Identifier: ISC */
/*
 * certd_ipc.c: what certd says to acceptors and deliverers, and KEY_SIGN.
 *
 * Runs in certd. Each of them may have been taken over: a request is decoded
 * as hostile, a role gets signatures of its own kind only, and as many a second
 * as tls_key_rate_limit allows. A refused request is answered; one that this
 * role can never make ends the channel.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "certd/certd.h"
#include "certd/signers.h"
#include "sys/stats.h"

/* One complaint in this time a channel: a loop of requests must not fill the log. */
#define COMPLAINT_MS	10000
/* Signatures under way a channel: more would be too late for their handshakes. */
#define JOBS_MAX	2000

struct peer {
	struct certd	*d;
	struct ipc_channel *channel;
	unsigned	 flags;		/* CERT_SERVER or CERT_CLIENT */
	/* Token bucket in thousandths; full is one second's, and so a new one is. */
	uint64_t	 tokens_milli, filled_ms;
	uint64_t	 complained_ms;
	size_t		 jobs;		/* with the signers */
	bool		 closed;	/* freed with its last job */
	TAILQ_ENTRY(peer) link;
};

/* ---- saying ---- */

static void
say_row(struct peer *p, const struct set_row *r, size_t from, size_t to)
{
	struct ipc_out o;
	size_t i;

	ipc_out_init(&o, IPC_CERTIFICATE);
	ipc_put_u64(&o, IPC_F_KEY, r->pair->number);
	ipc_put_u64(&o, IPC_F_KIND, r->pair->kind);
	ipc_put_u64(&o, IPC_F_FLAGS, r->flags);
	for (i = from; i < to; i++)
		ipc_put_str(&o, IPC_F_NAME, r->names[i]);
	for (i = 0; i < r->pair->nchain; i++)
		ipc_put_bytes(&o, IPC_F_RDATA, r->pair->chain[i]);
	(void)ipc_send(p->channel, &o);
}

static void
say_set(struct peer *p)
{
	const struct set *s = p->d->set;
	struct ipc_out o;
	uint64_t count = 0;
	size_t i, from;

	for (i = 0; i < s->nrows && count < TLS_CERTIFICATES_MAX; i++) {
		if ((s->rows[i].flags & p->flags) == 0)
			continue;
		from = 0;
		do {
			size_t left = s->rows[i].nnames - from;
			size_t n = left < TLS_NAMES_MAX ? left : TLS_NAMES_MAX;

			say_row(p, &s->rows[i], from, from + n);
			from += n;
			count++;
		} while (from < s->rows[i].nnames && count < TLS_CERTIFICATES_MAX);
	}
	ipc_out_init(&o, IPC_CERTIFICATES_READY);
	ipc_put_u64(&o, IPC_F_COUNT, count);
	(void)ipc_send(p->channel, &o);
}

static void
say_tickets(struct peer *p)
{
	const struct tickets *t = &p->d->tickets;
	struct ipc_out o;
	unsigned i;

	if (!ipc_role_accepts(ipc_channel_peer(p->channel)))
		return;
	ipc_out_init(&o, IPC_TICKET_KEYS);
	for (i = 0; i < t->count; i++)
		ipc_put_bytes(&o, IPC_F_DATA,
		    view_of((const char *)t->secrets[i].bytes, TICKET_SECRET_SIZE));
	(void)ipc_send(p->channel, &o);
}

void
certd_say_set(struct certd *d)
{
	struct peer *p;

	TAILQ_FOREACH(p, &d->peers, link)
		say_set(p);
}

void
certd_say_tickets(struct certd *d)
{
	struct peer *p;

	TAILQ_FOREACH(p, &d->peers, link)
		say_tickets(p);
}

void
certd_each_user(const struct certd *d, unsigned flags, void (*fn)(const char *role, void *arg),
    void *arg)
{
	bool told[IPC_ROLES] = { false };
	struct peer *p;
	enum ipc_role role;

	TAILQ_FOREACH(p, &d->peers, link) {
		role = ipc_channel_peer(p->channel);
		if ((p->flags & flags) != 0 && !told[role])
			fn(ipc_role_name(role), arg);
		told[role] = true;
	}
}

/* ---- signing ---- */

static bool
take_token(struct peer *p)
{
	uint64_t rate = (uint64_t)p->d->conf->tls_key_rate_limit, now = clock_mono_ms();
	uint64_t full = rate * 1000, passed = now - p->filled_ms;

	if (rate == 0)
		return true;
	p->filled_ms = now;
	/* A second fills it: more would only overflow. */
	p->tokens_milli += passed >= 1000 ? full : rate * passed;
	p->tokens_milli = p->tokens_milli > full ? full : p->tokens_milli;
	if (p->tokens_milli < 1000)
		return false;
	p->tokens_milli -= 1000;
	return true;
}

static int
answer(struct peer *p, uint32_t id, int code, struct view signature)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_KEY_SIGNED);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	ipc_put_bytes(&o, IPC_F_DATA, signature);
	return ipc_reply_id(p->channel, id, &o);
}

static int
refuse(struct peer *p, uint32_t id, int code, const char *why)
{
	uint64_t now = clock_mono_ms();

	stats_add(STATS_C_certd_refused, 1);
	if (p->complained_ms == 0 || now - p->complained_ms >= COMPLAINT_MS) {
		p->complained_ms = now > 0 ? now : 1;
		log_warn("%s %llu asked for %s: refused",
		    ipc_role_name(ipc_channel_peer(p->channel)),
		    (unsigned long long)ipc_channel_instance(p->channel), why);
	}
	return answer(p, id, code, VIEW(""));
}

struct request {
	uint64_t	key, kind, scheme;
	struct view	data;
};

static int
decode(const struct ipc_msg *m, struct request *r)
{
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_KEY, &r->key);
	ipc_get_range(&in, IPC_F_KIND, 0, TLS_SIGN_KINDS - 1, &r->kind);
	ipc_get_range(&in, IPC_F_SCHEME, 0, UINT16_MAX, &r->scheme);
	ipc_get_bytes(&in, IPC_F_DATA, IPC_BODY_MAX, &r->data);
	return ipc_in_end(&in);
}

static int
answer_job(struct peer *p, const struct sign_job *j)
{
	if (j->error != 0)
		return refuse(p, j->id, PK_EIO, "a signature that OpenSSL cannot make");
	stats_add(STATS_C_certd_signatures, 1);
	stats_observe(STATS_H_certd_sign_us, (clock_mono_ns() - j->start_ns) / 1000);
	return answer(p, j->id, 0, view_of((const char *)j->signature, j->len));
}

static void
job_free(struct sign_job *j)
{
	pair_unref(&j->pair);
	buf_fini(&j->tbs);
	xfree(j);
}

void
certd_job_done(struct sign_job *j)
{
	struct peer *p = j->arg;
	struct certd *d = p->d;

	p->jobs--;
	if (!p->closed)
		(void)answer_job(p, j);
	else if (p->jobs == 0)
		xfree(p);
	job_free(j);
	if (d->leaving && signers_pending(d->signers) == 0)
		child_exit(d->child, 0);
}

static int
sign(struct peer *p, uint32_t id, const struct request *r, struct pair *pair)
{
	struct sign_job *j = XNEW(struct sign_job);
	const char *why = "";
	int error;

	j->arg = p;
	j->id = id;
	j->start_ns = clock_mono_ns();
	j->scheme = (unsigned)r->scheme;
	j->pair = pair_ref(pair);
	buf_init(&j->tbs, IPC_BODY_MAX);
	error = sign_prepare(pair, (enum tls_sign_kind)r->kind, j->scheme, r->data, &j->tbs, &why);
	if (error != 0) {
		error = refuse(p, id, PK_EPERM, why);
	} else if (p->d->signers != NULL && pair->kind == TLS_KEY_RSA) {
		p->jobs++;
		signers_put(p->d->signers, j);
		return 0;
	} else {
		j->error = sign_do(pair, j->scheme, buf_view(&j->tbs), j->signature, &j->len);
		error = answer_job(p, j);
	}
	job_free(j);
	return error;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct request r = { 0 };
	struct peer *p = arg;
	struct pair *pair;

	(void)ch;
	if (m->type != IPC_KEY_SIGN || decode(m, &r) != 0)
		return PK_EPROTO;
	/* A server's signature for a deliverer, or the other way round: no such handshake. */
	if ((sign_kind_flag((enum tls_sign_kind)r.kind) & p->flags) == 0)
		return PK_EPROTO;
	pair = certd_pair(p->d, r.key);
	if (pair == NULL || (pair->flags & p->flags) == 0)
		return refuse(p, m->id, PK_ENOENT, "a key that there is not");
	if (p->jobs >= JOBS_MAX || !take_token(p))
		return refuse(p, m->id, PK_EBUSY, "more signatures than tls_key_rate_limit allows");
	return sign(p, m->id, &r, pair);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct peer *p = arg;

	(void)ch;
	(void)why;
	TAILQ_REMOVE(&p->d->peers, p, link);
	p->closed = true;
	if (p->jobs == 0)
		xfree(p);
}

static const struct ipc_channel_ops channel_ops = {
	.message = on_message,
	.closed = on_closed,
};

/* ---- channels ---- */

static void
open_channel(void *arg, const struct early_channel *w)
{
	struct certd *d = arg;
	struct peer *p = XNEW(struct peer);

	p->d = d;
	p->flags = ipc_role_accepts(w->peer) ? CERT_SERVER : CERT_CLIENT;
	p->channel = ipc_channel_new(d->loop, w->fd, IPC_ROLE_certd, w->peer, w->instance,
	    &channel_ops, p);
	TAILQ_INSERT_TAIL(&d->peers, p, link);
	say_tickets(p);
	say_set(p);
}

void
certd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct early_channel w = { peer, instance, fd };
	struct certd *d = child_arg(c);

	if (!early_keep(&d->early, peer, instance, fd))
		open_channel(d, &w);
}

void
certd_open_early(struct certd *d)
{
	early_open(&d->early, open_channel, d);
}
