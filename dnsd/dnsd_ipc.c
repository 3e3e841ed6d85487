/* SPDX-License-Identifier: ISC */
/*
 * dnsd_ipc.c: DNS_LOOKUP of siblings (twin of lib/net/dns_client.c).
 *
 * Runs in dnsd. A channel that goes takes its unanswered questions along.
 */
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "dnsd/dnsd.h"

#define NAME_TEXT_MAX	1000

struct peer {
	struct dnsd	*d;
	struct ipc_channel *channel;
	TAILQ_HEAD(, request) requests;
};

struct request {
	struct peer	*peer;
	uint32_t	 id;
	struct dnsd_waiter *waiter;
	TAILQ_ENTRY(request) link;
};

static int
reply(struct ipc_channel *ch, uint32_t id, const struct answer *a)
{
	struct view rest = buf_view(&a->data), rdata;
	struct ipc_out o;

	ipc_out_init(&o, IPC_DNS_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-a->code);
	ipc_put_u64(&o, IPC_F_RCODE, a->rcode);
	ipc_put_u64(&o, IPC_F_SECURITY, a->security);
	ipc_put_u64(&o, IPC_F_TTL, a->ttl);
	ipc_put_str(&o, IPC_F_CANONICAL, a->canonical);
	/* What does not fit is cut off, as IPC_DNS_RECORDS_MAX says. */
	while (answer_next(&rest, &rdata) && ipc_out_left(&o) > rdata.len + 16)
		ipc_put_bytes(&o, IPC_F_RDATA, rdata);
	return ipc_reply_id(ch, id, &o);
}

static void
answered(const struct answer *a, enum dnsd_source source, void *arg)
{
	struct request *r = arg;

	(void)source;
	TAILQ_REMOVE(&r->peer->requests, r, link);
	(void)reply(r->peer->channel, r->id, a);
	xfree(r);
}

static int
reply_failure(struct ipc_channel *ch, uint32_t id, int code, unsigned rcode)
{
	struct answer a;
	int error;

	answer_init(&a);
	answer_fail(&a, "", rcode, DNS_INSECURE);
	a.code = code;
	error = reply(ch, id, &a);
	answer_fini(&a);
	return error;
}

static void
ask(struct peer *p, uint32_t id, const char *name, uint16_t type)
{
	struct request *r = XNEW(struct request);
	struct dnsd_waiter *w;

	r->peer = p;
	r->id = id;
	TAILQ_INSERT_TAIL(&p->requests, r, link);
	w = dnsd_ask(p->d, name, type, answered, r);
	/* NULL: answered and gone. */
	if (w != NULL)
		r->waiter = w;
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct view domain = VIEW_NONE;
	struct peer *p = arg;
	uint64_t type = 0;
	struct buf name;
	struct ipc_in in;
	int error = 0;

	if (m->type != IPC_DNS_LOOKUP)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_DOMAIN, NAME_TEXT_MAX, &domain);
	ipc_get_range(&in, IPC_F_RRTYPE, 1, UINT16_MAX, &type);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	buf_init(&name, NAME_TEXT_MAX + 100);
	if (dnsd_put_name(&name, domain) == 0)
		ask(p, m->id, buf_cstr(&name), (uint16_t)type);
	else
		error = reply_failure(ch, m->id, PK_ENOENT, DNS_RCODE_NXDOMAIN);
	buf_fini(&name);
	return error;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct peer *p = arg;
	struct request *r;

	(void)ch;
	(void)why;
	while ((r = TAILQ_FIRST(&p->requests)) != NULL) {
		TAILQ_REMOVE(&p->requests, r, link);
		dnsd_forget(&r->waiter);
		xfree(r);
	}
	xfree(p);
}

static const struct ipc_channel_ops channel_ops = {
	.message = on_message,
	.closed = on_closed,
};

static void
open_channel(void *arg, const struct early_channel *w)
{
	struct dnsd *d = arg;
	struct peer *p = XNEW(struct peer);

	p->d = d;
	TAILQ_INIT(&p->requests);
	p->channel = ipc_channel_new(d->loop, w->fd, IPC_ROLE_dnsd, w->peer, w->instance,
	    &channel_ops, p);
}

void
dnsd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct early_channel w = { peer, instance, fd };
	struct dnsd *d = child_arg(c);

	if (!early_keep(&d->early, peer, instance, fd))
		open_channel(d, &w);
}

void
dnsd_begin(struct dnsd *d)
{
	d->ready = true;
	early_open(&d->early, open_channel, d);
}
