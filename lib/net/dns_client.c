/* SPDX-License-Identifier: ISC */
/*
 * dns_client.c: one question to dnsd and its answer taken apart.
 *
 * Runs in smtpd and deliver. dnsd reads packets of strangers all day; should
 * one of them take it over, its answers must not be able to do more here than
 * to be wrong: every field has its limit, a record is used only if its data
 * has the shape of the type that was asked for.
 */
#include "net/dns_client.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

/* Behind dnsd's own limit (dns_timeout), so that its word comes first. */
#define DNS_CALL_TIMEOUT_MS	25000

struct dns_call {
	uint64_t	 handle;
	uint16_t	 type;
	bool		 done;
	dns_lookup_fn	 fn;
	void		*arg;
};

/* What an answer's pointers point into. */
struct decoded {
	struct dns_answer	 answer;
	struct view		 rdata[IPC_DNS_RECORDS_MAX];
	struct domain_literal	 addresses[IPC_DNS_RECORDS_MAX];
	struct dns_mx		 mx[IPC_DNS_RECORDS_MAX];
	const char		*names[IPC_DNS_RECORDS_MAX];
	size_t			 offsets[IPC_DNS_RECORDS_MAX];
	struct buf		 text;	/* names, each with its NUL */
};

static int
mx_cmp(const void *a, const void *b)
{
	const struct dns_mx *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	/* As they came: the names lie in the order of the answer. */
	return x->host < y->host ? -1 : x->host > y->host;
}

/* Takes one record in; one with wrong data is passed over. */
static void
take_record(struct decoded *d, struct view rdata)
{
	struct dns_answer *a = &d->answer;
	size_t n = a->count, mark = d->text.len;

	if (!dns_rdata_valid(a->type, rdata))
		return;
	d->offsets[n] = mark;
	switch (a->type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
		if (dns_rdata_address(a->type, rdata, &d->addresses[n]) != 0)
			return;
		break;
	case DNS_TYPE_MX:
		if (dns_rdata_mx(rdata, &d->mx[n].preference, &d->text) != 0)
			return;
		buf_put_char(&d->text, '\0');
		break;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		if (dns_rdata_name(rdata, &d->text) != 0)
			return;
		buf_put_char(&d->text, '\0');
		break;
	default:
		break;
	}
	d->rdata[n] = rdata;
	a->count++;
}

static void
point(struct decoded *d)
{
	struct dns_answer *a = &d->answer;
	size_t i;

	for (i = 0; i < a->count; i++) {
		d->names[i] = buf_view(&d->text).p + d->offsets[i];
		d->mx[i].host = d->names[i];
	}
	a->rdata = d->rdata;
	if (a->type == DNS_TYPE_A || a->type == DNS_TYPE_AAAA)
		a->addresses = d->addresses;
	else if (a->type == DNS_TYPE_MX)
		a->mx = d->mx;
	else if (a->type == DNS_TYPE_NS || a->type == DNS_TYPE_CNAME ||
	    a->type == DNS_TYPE_PTR)
		a->names = d->names;
	if (a->mx != NULL)
		qsort(d->mx, a->count, sizeof(d->mx[0]), mx_cmp);
}

static int
code_to_error(uint64_t code, size_t count)
{
	switch ((int)code) {
	case 0:
		return count > 0 ? 0 : PK_ENOENT;
	case -PK_ENOENT:
		return PK_ENOENT;
	default:
		return PK_ETEMP;
	}
}

int
dns_answer_decode(const struct ipc_msg *m, uint16_t type, dns_lookup_fn fn, void *arg)
{
	struct decoded *d = XNEW(struct decoded);
	uint64_t code = 0, rcode = 0, security = 0, ttl = 0;
	struct view rdata;
	struct ipc_in in;
	unsigned n;
	int error;

	d->answer.type = type;
	buf_init(&d->text, IPC_DNS_RECORDS_MAX * (4 * DNS_NAME_MAX + 8));
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 0, 255, &code);
	ipc_get_range(&in, IPC_F_RCODE, 0, 4095, &rcode);
	ipc_get_range(&in, IPC_F_SECURITY, 0, DNS_SECURITIES - 1, &security);
	ipc_get_range(&in, IPC_F_TTL, 0, UINT32_MAX, &ttl);
	ipc_get_text(&in, IPC_F_CANONICAL, 4 * DNS_NAME_MAX, &d->answer.canonical);
	for (n = 0; n < IPC_DNS_RECORDS_MAX && ipc_has(&in, IPC_F_RDATA); n++) {
		rdata = VIEW_NONE;
		ipc_get_bytes(&in, IPC_F_RDATA, DNS_RDATA_MAX, &rdata);
		if (in.error != 0)
			break;
		take_record(d, rdata);
	}
	error = ipc_in_end(&in);
	if (error == 0) {
		d->answer.rcode = (unsigned)rcode;
		d->answer.security = (enum dns_security)security;
		d->answer.ttl = (uint32_t)ttl;
		d->answer.error = code_to_error(code, d->answer.count);
		if (d->answer.error != 0)
			d->answer.count = 0;
		point(d);
		fn(&d->answer, arg);
	}
	buf_fini(&d->text);
	xfree(d);
	return error;
}

static void
fail(struct dns_call *c, int error)
{
	struct dns_answer a = { .error = error, .type = c->type,
	    .rcode = DNS_RCODE_SERVFAIL, .canonical = VIEW("") };

	c->fn(&a, c->arg);
}

static int
reply(struct ipc_msg *m, int error, void *arg)
{
	struct dns_call *c = arg;

	/* The call's owner may cancel from inside fn: it finds nothing then. */
	c->done = true;
	if (m != NULL) {
		error = dns_answer_decode(m, c->type, c->fn, c->arg);
		if (error != 0)
			fail(c, PK_ETEMP);
		if (m->flags & IPC_FLAG_MORE)
			error = PK_EPROTO;
	} else {
		if (error != PK_ECANCEL)
			fail(c, error);
		error = 0;
	}
	xfree(c);
	return error;
}

struct dns_call *
dns_lookup(struct ipc_pool *pool, struct view name, enum dns_type type,
    uint64_t timeout_ms, dns_lookup_fn fn, void *arg)
{
	struct dns_call *c;
	struct ipc_out o;

	if (!dns_name_valid(name) || !view_is_printable(name))
		return NULL;
	c = XNEW(struct dns_call);
	c->type = (uint16_t)type;
	c->fn = fn;
	c->arg = arg;
	ipc_out_init(&o, IPC_DNS_LOOKUP);
	ipc_put_bytes(&o, IPC_F_DOMAIN, name);
	ipc_put_u64(&o, IPC_F_RRTYPE, type);
	c->handle = ipc_pool_call(pool, &o,
	    timeout_ms != 0 ? timeout_ms : DNS_CALL_TIMEOUT_MS, reply, c);
	return c;
}

void
dns_lookup_cancel(struct dns_call **call)
{
	struct dns_call *c = *call;

	*call = NULL;
	if (c == NULL || c->done)
		return;
	ipc_call_cancel(c->handle);
	xfree(c);
}

socklen_t
dns_put_sockaddr(const struct domain_literal *addr, uint16_t port,
    struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ss;
	struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (addr->family == DOMAIN_INET4) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		memcpy(&in4->sin_addr, addr->bytes, 4);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->bytes, 16);
	return sizeof(*in6);
}
