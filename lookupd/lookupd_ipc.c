/* SPDX-License-Identifier: ISC */
/*
 * lookupd_ipc.c: answers to ROUTE_CHECK, ACCESS, EXPAND and TABLE_GET.
 *
 * Runs in lookupd. smtpd, which strangers reach first, is not believed: each
 * field has its limit, tables are only those of the configuration, and an
 * answer states facts, never permissions.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lookupd/lookupd.h"
#include "mail/address.h"
#include "sys/stats.h"
#include "table/table.h"

#define FIELD_MAX	2000
/* An EXPAND_ANSWER row: address, transport, next hop, path, texts. */
#define ROW_MAX		8000

static int
answer_route_check(struct lookupd *d, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct view recipient = VIEW_NONE, sender = VIEW_NONE;
	struct resolver_check c;
	uint64_t flags = 0;
	struct ipc_out o;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_RECIPIENT, FIELD_MAX, &recipient);
	ipc_get_text(&in, IPC_F_SENDER, FIELD_MAX, &sender);
	ipc_get_range(&in, IPC_F_FLAGS, 0, ROUTE_FLAG_VALIDATE | ROUTE_FLAG_SENDER, &flags);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	resolver_check_init(&c);
	resolver_check(d->resolver, recipient, (unsigned)flags, &c);
	if (outside_pending(d->outside)) {
		resolver_check_fini(&c);
		return 0;
	}
	ipc_out_init(&o, IPC_ROUTE_CHECK_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, 0);
	ipc_put_u64(&o, IPC_F_CLASS, c.class);
	ipc_put_u64(&o, IPC_F_STATE, c.verdict);
	ipc_put_str(&o, IPC_F_DSN, c.dsn);
	ipc_put_bytes(&o, IPC_F_TEXT, buf_view(&c.text));
	resolver_check_fini(&c);
	return ipc_reply(ch, m, &o);
}

static int
reply_table(struct ipc_channel *ch, struct ipc_msg *m, int code, struct view value,
    struct view key)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_TABLE_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	ipc_put_bytes(&o, IPC_F_ANSWER, code == 0 ? value : VIEW(""));
	ipc_put_bytes(&o, IPC_F_QUERY, code == 0 ? key : VIEW(""));
	return ipc_reply(ch, m, &o);
}

static int
answer_access(struct lookupd *d, struct ipc_channel *ch, struct ipc_msg *m, bool has_kind)
{
	struct view table = VIEW_NONE, query = VIEW_NONE;
	uint64_t kind = ACCESS_EXACT;
	struct buf value, key;
	struct ipc_in in;
	int error;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_TABLE, FIELD_MAX, &table);
	ipc_get_text(&in, IPC_F_QUERY, FIELD_MAX, &query);
	if (has_kind)
		ipc_get_range(&in, IPC_F_KIND, 0, ACCESS_KINDS - 1, &kind);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	buf_init(&value, TABLE_VALUE_MAX);
	buf_init(&key, FIELD_MAX);
	error = resolver_access(d->resolver, table, query, (enum access_kind)kind,
	    &value, &key);
	if (error == PK_EPERM)
		log_warn("%s asks for table \"%.*s\", which the configuration does not"
		    " name", ipc_role_name(ipc_channel_peer(ch)), VIEW_ARG(table));
	if (error != 0 && error != PK_ENOENT)
		error = PK_ETEMP;
	error = outside_pending(d->outside) ? 0 :
	    reply_table(ch, m, error, buf_view(&value), buf_view(&key));
	buf_fini(&key);
	buf_fini(&value);
	return error;
}

/* ---- EXPAND ---- */

static void
begin_part(struct ipc_out *o, const struct resolver_expansion *e)
{
	ipc_out_init(o, IPC_EXPAND_ANSWER);
	ipc_put_u64(o, IPC_F_CODE, (uint64_t)-e->code);
	if (e->code != 0) {
		ipc_put_str(o, IPC_F_DSN, e->dsn);
		ipc_put_str(o, IPC_F_TEXT, e->text);
	}
}

static void
put_row(struct ipc_out *o, const struct resolver_route *r)
{
	ipc_put_str(o, IPC_F_RECIPIENT, r->address);
	ipc_put_u64(o, IPC_F_CLASS, r->class);
	ipc_put_str(o, IPC_F_TRANSPORT, r->transport);
	ipc_put_str(o, IPC_F_NEXTHOP, r->nexthop);
	if (r->path != NULL) {
		ipc_put_str(o, IPC_F_PATH, r->path);
		ipc_put_u64(o, IPC_F_QUOTA, r->quota);
	}
	if (r->dsn != NULL) {
		ipc_put_str(o, IPC_F_DSN, r->dsn);
		ipc_put_str(o, IPC_F_TEXT, r->text);
	}
}

static int
reply_expansion(struct ipc_channel *ch, struct ipc_msg *m, const struct resolver_expansion *e)
{
	struct ipc_out o;
	size_t i;
	int error;

	begin_part(&o, e);
	for (i = 0; i < e->count; i++) {
		if (ipc_out_left(&o) < ROW_MAX) {
			o.flags |= IPC_FLAG_MORE;
			error = ipc_reply(ch, m, &o);
			if (error != 0)
				return error;
			begin_part(&o, e);
		}
		put_row(&o, &e->routes[i]);
	}
	return ipc_reply(ch, m, &o);
}

static int
answer_expand(struct lookupd *d, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct view recipient = VIEW_NONE, sender = VIEW_NONE;
	struct resolver_expansion e;
	uint64_t message = 0;
	struct ipc_in in;
	int error;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_RECIPIENT, FIELD_MAX, &recipient);
	ipc_get_text(&in, IPC_F_SENDER, FIELD_MAX, &sender);
	ipc_get_u64(&in, IPC_F_MESSAGE, &message);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	resolver_expand(d->resolver, recipient, &e);
	error = outside_pending(d->outside) ? 0 : reply_expansion(ch, m, &e);
	resolver_expansion_fini(&e);
	return error;
}

/* Runs again for requests whose tables are in other processes (outside.h). */
static int
answer(void *arg, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct lookupd *d = arg;

	switch (m->type) {
	case IPC_ROUTE_CHECK:
		return answer_route_check(d, ch, m);
	case IPC_ACCESS:
		return answer_access(d, ch, m, true);
	case IPC_EXPAND:
		return answer_expand(d, ch, m);
	case IPC_TABLE_GET:
		return answer_access(d, ch, m, false);
	default:
		return PK_EPROTO;
	}
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct lookupd *d = arg;

	/* About to end: what is not answered is asked of the next one. */
	if (!d->ready)
		return 0;
	d->requests++;
	stats_add(STATS_C_lookup_requests, 1);
	return outside_run(d->outside, ch, m, answer, d);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct lookupd *d = arg;
	size_t i;

	outside_forget(d->outside, ch);
	for (i = 0; i < d->nchannels; i++)
		if (d->channels[i] == ch)
			d->channels[i] = d->channels[--d->nchannels];
	log_debug("channel to %s closed: %s", ipc_role_name(ipc_channel_peer(ch)),
	    pk_strerror(why));
}

static const struct ipc_channel_ops channel_ops = {
	.message = on_message,
	.closed = on_closed,
};

static void
open_channel(void *arg, const struct early_channel *w)
{
	struct lookupd *d = arg;

	if (w->peer == IPC_ROLE_authd) {
		ipc_pool_add(d->authd, w->fd, w->instance);
		return;
	}
	d->channels = xreallocarray(d->channels, d->nchannels + 1, sizeof(*d->channels));
	d->channels[d->nchannels++] = ipc_channel_new(child_loop(d->child), w->fd,
	    IPC_ROLE_lookupd, w->peer, w->instance, &channel_ops, d);
}

/* The first channels come before START; nobody is answered without tables. */
void
lookupd_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct early_channel w = { peer, instance, fd };
	struct lookupd *d = child_arg(c);

	if (!early_keep(&d->early, peer, instance, fd))
		open_channel(d, &w);
}

void
lookupd_begin(struct lookupd *d)
{
	d->ready = true;
	early_open(&d->early, open_channel, d);
}

void
lookupd_leave(struct lookupd *d)
{
	size_t i;

	d->ready = false;
	outside_forget(d->outside, NULL);
	for (i = 0; i < d->nchannels; i++)
		ipc_leave(d->channels[i]);
}

int
lookupd_admin_message(struct child *c, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct lookupd *d = child_arg(c);

	if (m->type != IPC_TABLE_GET)
		return PK_EPROTO;
	return d->ready ? outside_run(d->outside, ch, m, answer, d) :
	    reply_table(ch, m, PK_ETEMP, VIEW(""), VIEW(""));
}

void
lookupd_admin_closed(struct child *c, struct ipc_channel *ch)
{
	struct lookupd *d = child_arg(c);

	outside_forget(d->outside, ch);
}
