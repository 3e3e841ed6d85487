/* SPDX-License-Identifier: ISC */
/*
 * tls_keys.c: the certificates that certd states, and signatures by it.
 *
 * Runs in acceptors and deliverers with their rights: no private key ever
 * comes here. certd is treated as taken over: what it says is counted and
 * measured before it is kept, a set is taken whole or not at all, and what
 * it signs is for the peer of the handshake to check. A set that was
 * replaced lives on in the sessions that began with it.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_internal.h"

/* certd is on this machine; its queue may be long. */
#define SIGN_TIMEOUT_MS		10000
#define NAME_MAX_BYTES		255
/* All chains of a set; far above 10,000 usual ones. */
#define SET_BYTES_MAX		(256U << 20)

struct tls_keys {
	struct loop	*loop;
	enum ipc_role	 self;
	struct ipc_channel *channel;	/* NULL: certd is not there */
	struct tls_signer *signer;
	struct tls_set	*set;		/* NULL: none yet */
	struct tls_set	*next;		/* being said */
	size_t		 next_bytes;
	struct tls_ticket_secrets tickets;
	void		(*changed)(void *arg);
	void		*arg;
};

/* ---- certificates ---- */

static void
certificate_free(struct tls_certificate *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->nnames; i++)
		xfree(c->names[i]);
	xfree(c->names);
	buf_fini(&c->der);
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->pkey);
	xfree(c);
}

static X509 *
parse_der(const char **p, size_t len)
{
	const unsigned char *at = (const unsigned char *)*p, *end = at + len;
	X509 *x = X509_new_ex(tls_library()->ctx, NULL);

	if (x == NULL)
		return NULL;
	if (d2i_X509(&x, &at, (long)len) == NULL || at != end) {
		X509_free(x);
		return NULL;
	}
	*p += len;
	return x;
}

static bool
kind_fits(enum tls_key_kind kind, const EVP_PKEY *pub)
{
	int bits = EVP_PKEY_get_bits(pub);

	switch (kind) {
	case TLS_KEY_RSA:
		return EVP_PKEY_is_a(pub, "RSA") && bits >= 1024 &&
		    bits <= 8 * TLS_SIGNATURE_MAX;
	case TLS_KEY_EC:
		return EVP_PKEY_is_a(pub, "EC") && (bits == 256 || bits == 384);
	case TLS_KEY_ED25519:
		return EVP_PKEY_is_a(pub, "ED25519");
	case TLS_KEY_KINDS:
		break;
	}
	return false;
}

static bool
parse_chain(struct tls_certificate *c, struct tls_signer *signer)
{
	const char *p = buf_data(&c->der);
	EVP_PKEY *pub;
	unsigned i;
	X509 *x;

	c->chain = sk_X509_new_null();
	for (i = 0; i < c->nders; i++) {
		x = parse_der(&p, c->ders[i]);
		if (x == NULL)
			return false;
		if (i == 0)
			c->leaf = x;
		else if (sk_X509_push(c->chain, x) <= 0) {
			X509_free(x);
			return false;
		}
	}
	pub = X509_get0_pubkey(c->leaf);
	if (pub == NULL || !kind_fits(c->kind, pub))
		return false;
	c->pkey = tls_provider_pkey(signer, c->number, c->kind, pub);
	return c->pkey != NULL;
}

static bool
certificate_ready(struct tls_certificate *c, struct tls_signer *signer)
{
	if (c->bad)
		return false;
	if (c->pkey != NULL)
		return true;
	if (parse_chain(c, signer))
		return true;
	ERR_clear_error();
	c->bad = true;
	log_error("tls: certificate %llu (%s) of certd cannot be used",
	    (unsigned long long)c->number, c->nnames > 0 ? c->names[0] : "-");
	return false;
}

/* ---- sets ---- */

struct tls_set *
tls_set_ref(struct tls_set *s)
{
	s->refs++;
	return s;
}

void
tls_set_unref(struct tls_set **set)
{
	struct tls_set *s = *set;
	size_t i;

	*set = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	for (i = 0; i < s->ncerts; i++)
		certificate_free(s->certs[i]);
	xfree(s->certs);
	map_free(&s->names, xfree);
	tls_signer_unref(&s->signer);
	xfree(s);
}

static struct tls_set *
set_new(struct tls_signer *signer)
{
	struct tls_set *s = XNEW(struct tls_set);

	s->refs = 1;
	s->signer = tls_signer_ref(signer);
	s->names = map_new();
	return s;
}

/* The first of a kind stays. */
static void
group_add(struct tls_group *g, struct tls_certificate *c)
{
	if (g->cert[c->kind] == NULL)
		g->cert[c->kind] = c;
}

static void
set_add(struct tls_set *s, struct tls_certificate *c)
{
	struct tls_group *g;
	size_t i;

	if (s->ncerts == s->cap) {
		s->cap = s->cap == 0 ? 8 : 2 * s->cap;
		s->certs = xreallocarray(
		    s->certs, s->cap, sizeof(struct tls_certificate *));
	}
	s->certs[s->ncerts++] = c;
	s->flags |= c->flags;
	if ((c->flags & CERT_CLIENT) != 0)
		group_add(&s->client, c);
	if ((c->flags & CERT_SERVER) == 0)
		return;
	if ((c->flags & CERT_DEFAULT) != 0)
		group_add(&s->server, c);
	for (i = 0; i < c->nnames; i++) {
		g = map_get(s->names, view_str(c->names[i]));
		if (g == NULL) {
			g = XNEW(struct tls_group);
			map_put(s->names, view_str(c->names[i]), g);
		}
		group_add(g, c);
	}
}

struct tls_group *
tls_set_find(const struct tls_set *s, struct view name)
{
	char lower[NAME_MAX_BYTES + 1];
	struct tls_group *g;
	ptrdiff_t dot;
	size_t i;

	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > NAME_MAX_BYTES || name.p[0] == '*')
		return NULL;
	for (i = 0; i < name.len; i++)
		lower[i] = ascii_lower(name.p[i]);
	g = map_get(s->names, view_of(lower, name.len));
	if (g != NULL)
		return g;
	dot = view_find(view_of(lower, name.len), '.');
	if (dot < 1)
		return NULL;
	lower[--dot] = '*';
	return map_get(s->names, view_of(lower + dot, name.len - (size_t)dot));
}

bool
tls_set_use(struct tls_set *s, struct tls_group *g, SSL_CTX *ctx)
{
	struct tls_certificate *c;
	bool any = false;
	unsigned kind;

	for (kind = 0; kind < TLS_KEY_KINDS; kind++) {
		c = g->cert[kind];
		if (c == NULL || !certificate_ready(c, s->signer))
			continue;
		if (SSL_CTX_use_cert_and_key(
			ctx, c->leaf, c->pkey, c->chain, 1) == 1) {
			any = true;
			continue;
		}
		log_error("tls: certificate %llu (%s): %s",
		    (unsigned long long)c->number,
		    c->nnames > 0 ? c->names[0] : "-",
		    ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		c->bad = true;
	}
	return any;
}

/* ---- what certd says ---- */

static bool
name_ok(struct view n)
{
	size_t i;

	if (n.len > 2 && n.p[0] == '*' && n.p[1] == '.')
		n = view_from(n, 2);
	if (n.len == 0 || n.len > NAME_MAX_BYTES || n.p[0] == '.')
		return false;
	for (i = 0; i < n.len; i++)
		if (!(n.p[i] >= 'a' && n.p[i] <= 'z') &&
		    !ascii_isdigit(n.p[i]) && n.p[i] != '-' && n.p[i] != '.' &&
		    n.p[i] != '_')
			return false;
	return true;
}

static int
get_names(struct ipc_in *in, struct tls_certificate *c)
{
	struct view n = VIEW_NONE;

	while (in->error == 0 && ipc_has(in, IPC_F_NAME)) {
		ipc_get_text(in, IPC_F_NAME, NAME_MAX_BYTES + 2, &n);
		if (in->error != 0)
			break;
		if (c->nnames == TLS_NAMES_MAX || !name_ok(n))
			return PK_EPROTO;
		if (c->names == NULL)
			c->names = xcalloc(TLS_NAMES_MAX, sizeof(char *));
		c->names[c->nnames++] = view_dup(n);
	}
	if (c->nnames > 0)
		c->names = xreallocarray(c->names, c->nnames, sizeof(char *));
	return in->error;
}

static int
get_chain(struct ipc_in *in, struct tls_certificate *c)
{
	struct view der = VIEW_NONE;

	while (in->error == 0 && ipc_has(in, IPC_F_RDATA)) {
		ipc_get_bytes(in, IPC_F_RDATA, IPC_BODY_MAX, &der);
		if (in->error != 0)
			break;
		if (c->nders == TLS_CHAIN_MAX || der.len == 0)
			return PK_EPROTO;
		if (buf_put_view(&c->der, der) != 0)
			return PK_EPROTO;
		c->ders[c->nders++] = der.len;
	}
	if (in->error == 0 && c->nders == 0)
		return PK_EPROTO;
	return in->error;
}

static int
get_certificate(struct ipc_in *in, struct tls_certificate *c)
{
	uint64_t kind = 0, flags = 0;
	int error;

	ipc_get_u64(in, IPC_F_KEY, &c->number);
	ipc_get_range(in, IPC_F_KIND, 0, TLS_KEY_KINDS - 1, &kind);
	ipc_get_range(in, IPC_F_FLAGS, 0,
	    CERT_SERVER | CERT_CLIENT | CERT_DEFAULT, &flags);
	error = get_names(in, c);
	if (error == 0)
		error = get_chain(in, c);
	if (error == 0)
		error = ipc_in_end(in);
	c->kind = (enum tls_key_kind)kind;
	c->flags = (unsigned)flags;
	return error;
}

static int
on_certificate(struct tls_keys *k, struct ipc_in *in)
{
	struct tls_certificate *c = XNEW(struct tls_certificate);
	int error;

	buf_init(&c->der, IPC_BODY_MAX);
	error = get_certificate(in, c);
	if (error == 0 && k->next != NULL &&
	    (k->next->ncerts == TLS_CERTIFICATES_MAX ||
		k->next_bytes + c->der.len > SET_BYTES_MAX))
		error = PK_EPROTO;
	if (error != 0) {
		certificate_free(c);
		return error;
	}
	if (k->next == NULL)
		k->next = set_new(k->signer);
	k->next_bytes += c->der.len;
	set_add(k->next, c);
	return 0;
}

static int
on_ready(struct tls_keys *k, struct ipc_in *in)
{
	uint64_t count = 0;

	ipc_get_range(in, IPC_F_COUNT, 0, TLS_CERTIFICATES_MAX, &count);
	if (ipc_in_end(in) != 0 ||
	    count != (k->next != NULL ? k->next->ncerts : 0))
		return PK_EPROTO;
	tls_set_unref(&k->set);
	k->set = k->next != NULL ? k->next : set_new(k->signer);
	k->next = NULL;
	k->next_bytes = 0;
	if (k->changed != NULL)
		k->changed(k->arg);
	return 0;
}

static int
on_tickets(struct tls_keys *k, struct ipc_in *in)
{
	struct tls_ticket_secrets t;
	struct view v = VIEW_NONE;

	memset(&t, 0, sizeof(t));
	while (in->error == 0 && ipc_has(in, IPC_F_DATA)) {
		ipc_get_bytes(in, IPC_F_DATA, TICKET_SECRET_SIZE, &v);
		if (in->error != 0 || v.len != TICKET_SECRET_SIZE ||
		    t.n == TICKET_SECRETS_MAX)
			return PK_EPROTO;
		memcpy(t.secret[t.n++], v.p, TICKET_SECRET_SIZE);
	}
	if (ipc_in_end(in) != 0)
		return PK_EPROTO;
	t.generation = k->tickets.generation + 1;
	k->tickets = t;
	explicit_bzero(&t, sizeof(t));
	return 0;
}

int
tls_keys_message(struct tls_keys *k, struct ipc_msg *m)
{
	struct ipc_in in;

	ipc_in_init(&in, m);
	switch (m->type) {
	case IPC_CERTIFICATE:
		return on_certificate(k, &in);
	case IPC_CERTIFICATES_READY:
		return on_ready(k, &in);
	case IPC_TICKET_KEYS:
		return on_tickets(k, &in);
	}
	return PK_EPROTO;
}

/* ---- the channel ---- */

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	(void)ch;
	return tls_keys_message(arg, m);
}

/* What was said halfway is forgotten; a new certd begins anew. */
static void
forget_next(struct tls_keys *k)
{
	tls_set_unref(&k->next);
	k->next_bytes = 0;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct tls_keys *k = arg;

	(void)why;
	if (k->channel != ch)
		return;
	k->channel = NULL;
	forget_next(k);
}

static const struct ipc_channel_ops channel_ops = { on_message, on_closed };

void
tls_keys_channel(struct tls_keys *k, int fd, uint64_t instance)
{
	if (k->channel != NULL)
		ipc_channel_free(&k->channel);
	forget_next(k);
	k->channel = ipc_channel_new(
	    k->loop, fd, k->self, IPC_ROLE_certd, instance, &channel_ops, k);
}

/* ---- signatures ---- */

int
tls_keys_signed(struct ipc_msg *m, struct tls_sign *op)
{
	uint64_t code = 0;
	struct view v = VIEW_NONE;
	struct ipc_in in;

	op->error = PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 0, 255, &code);
	ipc_get_bytes(&in, IPC_F_DATA, TLS_SIGNATURE_MAX, &v);
	if (m->type != IPC_KEY_SIGNED || ipc_in_end(&in) != 0 ||
	    (code == 0) != (v.len > 0))
		return PK_EPROTO;
	op->error = -(int)code;
	if (code != 0)
		return 0;
	op->signature = xmemdup(v.p, v.len);
	op->len = v.len;
	return 0;
}

static int
on_signed(struct ipc_msg *m, int error, void *arg)
{
	struct tls_sign *op = arg;

	op->call = 0;
	op->done = true;
	op->error = error;
	op->took_ns += clock_mono_ns() - op->began_ns;
	if (m != NULL)
		error = tls_keys_signed(m, op);
	op->ready(op->arg);
	return m != NULL ? error : 0;
}

int
tls_keys_sign(struct tls_keys *k, struct tls_sign *op, uint64_t number,
    enum tls_sign_kind kind, unsigned scheme, struct view data)
{
	struct ipc_out o;

	if (k->channel == NULL)
		return PK_EPEER;
	ipc_out_init(&o, IPC_KEY_SIGN);
	ipc_put_u64(&o, IPC_F_KEY, number);
	ipc_put_u64(&o, IPC_F_KIND, kind);
	ipc_put_u64(&o, IPC_F_SCHEME, scheme);
	ipc_put_bytes(&o, IPC_F_DATA, data);
	if (ipc_out_error(&o) != 0) {
		ipc_out_fini(&o);
		return PK_ELIMIT;
	}
	op->pending = true;
	op->done = false;
	op->began_ns = clock_mono_ns();
	op->count++;
	op->call = ipc_call(k->channel, &o, SIGN_TIMEOUT_MS, on_signed, op);
	return 0;
}

void
tls_sign_fini(struct tls_sign *op)
{
	if (op->call != 0)
		ipc_call_cancel(op->call);
	op->call = 0;
	xfree(op->signature);
	op->signature = NULL;
	op->pending = op->done = false;
}

/* ---- life and questions ---- */

struct tls_keys *
tls_keys_new(struct loop *l, enum ipc_role self)
{
	struct tls_keys *k = XNEW(struct tls_keys);

	(void)tls_library();
	k->loop = l;
	k->self = self;
	k->signer = XNEW(struct tls_signer);
	k->signer->refs = 1;
	k->signer->keys = k;
	return k;
}

void
tls_keys_free(struct tls_keys **keys)
{
	struct tls_keys *k = *keys;

	*keys = NULL;
	if (k == NULL)
		return;
	k->signer->keys = NULL;
	if (k->channel != NULL)
		ipc_channel_free(&k->channel);
	forget_next(k);
	tls_set_unref(&k->set);
	tls_signer_unref(&k->signer);
	explicit_bzero(&k->tickets, sizeof(k->tickets));
	xfree(k);
}

bool
tls_keys_have(const struct tls_keys *k, unsigned flags)
{
	return k->set != NULL && (k->set->flags & flags) == flags;
}

void
tls_keys_observe(struct tls_keys *k, void (*changed)(void *arg), void *arg)
{
	k->changed = changed;
	k->arg = arg;
}

struct tls_set *
tls_keys_set(const struct tls_keys *k)
{
	return k->set;
}

struct loop *
tls_keys_loop(const struct tls_keys *k)
{
	return k->loop;
}

const struct tls_ticket_secrets *
tls_keys_tickets(const struct tls_keys *k)
{
	return &k->tickets;
}
