/* SPDX-License-Identifier: ISC */
/*
 * limits.c: failed logins a client, an account, and both.
 *
 * Runs in authd's loop. Keys are made from what clients send, by length and
 * hash; nothing here grows with them. See limits.h for what counts where.
 */
#include "authd/limits.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/domain.h"

struct auth_limits {
	struct fail_limits *table;
	const struct conf *conf;
	const struct limits_remote *ops;
	void		*remote;
};

struct limits_question {
	struct auth_limits *l;
	void		*handle;
	limits_fn	 fn;
	void		*arg;
	struct limits_counts local;
	char		*pair;
};

struct auth_limits *
auth_limits_new(const struct conf *conf, int fd)
{
	struct auth_limits *l = XNEW(struct auth_limits);

	l->conf = conf;
	l->table = fail_limits_map(fd);
	if (l->table == NULL && fd != -1)
		l->table = fail_limits_map(-1);
	if (l->table == NULL)
		log_fatal("no memory for the counters of failed logins");
	return l;
}

void
auth_limits_free(struct auth_limits **l)
{
	if (*l == NULL)
		return;
	auth_limits_set_remote(*l, NULL, NULL);
	fail_limits_unmap(&(*l)->table);
	xfree(*l);
	*l = NULL;
}

void
auth_limits_configure(struct auth_limits *l, const struct conf *conf)
{
	l->conf = conf;
}

void
auth_limits_share(struct auth_limits *l, int fd)
{
	struct fail_limits *fresh = fail_limits_map(fd);

	if (fresh == NULL)
		return;
	fail_limits_unmap(&l->table);
	l->table = fresh;
}

void
auth_limits_set_remote(struct auth_limits *l, const struct limits_remote *ops, void *remote)
{
	if (l->ops != NULL)
		l->ops->free(l->remote);
	l->ops = ops;
	l->remote = remote;
}

static void
mask(uint8_t *bytes, unsigned total, unsigned prefix)
{
	unsigned i;

	for (i = 0; i < total; i++) {
		if (prefix >= 8 * (i + 1))
			continue;
		bytes[i] &= prefix <= 8 * i ? 0 : (uint8_t)(0xff << (8 * (i + 1) - prefix));
	}
}

void
auth_limits_client(const struct auth_limits *l, const char *address, struct buf *b)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct domain_literal ip;
	unsigned prefix;

	if (domain_parse_ip(view_str(address), &ip) != 0) {
		buf_put_str(b, "local");
		return;
	}
	if (ip.family == DOMAIN_INET6 && memcmp(ip.bytes, mapped, sizeof(mapped)) == 0) {
		memmove(ip.bytes, ip.bytes + 12, 4);
		ip.family = DOMAIN_INET4;
	}
	prefix = (unsigned)(ip.family == DOMAIN_INET4 ? l->conf->smtpd_client_ipv4_prefix_length :
	    l->conf->smtpd_client_ipv6_prefix_length);
	mask(ip.bytes, ip.family == DOMAIN_INET4 ? 4 : 16, prefix);
	(void)domain_put_ip(b, &ip);
	buf_printf(b, "/%u", prefix);
}

struct keys {
	struct buf	client, pair;
	struct view	account;
};

static void
keys_init(struct keys *k, const struct auth_limits *l, const char *address, const char *login)
{
	buf_init(&k->client, 64);
	buf_init(&k->pair, LIMITS_KEY_MAX + 64);
	auth_limits_client(l, address, &k->client);
	buf_put_view(&k->pair, buf_view(&k->client));
	buf_put_char(&k->pair, ' ');
	buf_put_str(&k->pair, login);
	k->account = view_str(login);
}

static void
keys_fini(struct keys *k)
{
	buf_fini(&k->client);
	buf_fini(&k->pair);
}

static bool
over(uint64_t count, int64_t limit)
{
	return limit > 0 && count >= (uint64_t)limit;
}

static bool
judge(const struct auth_limits *l, const struct limits_counts *c)
{
	/* Its own failures are all that counts where it got in before. */
	if (c->known)
		return over(c->count[LIMITS_PAIR], l->conf->auth_client_failure_limit);
	return over(c->count[LIMITS_CLIENT], l->conf->auth_client_failure_limit) ||
	    over(c->count[LIMITS_ACCOUNT], l->conf->auth_account_failure_limit);
}

static void
count_local(struct auth_limits *l, const struct keys *k, struct limits_counts *c)
{
	uint64_t unit = (uint64_t)l->conf->auth_failure_time, now = clock_mono_ms();

	c->count[LIMITS_CLIENT] = fail_limits_count(l->table, LIMITS_CLIENT,
	    buf_view(&k->client), unit, now);
	c->count[LIMITS_ACCOUNT] = fail_limits_count(l->table, LIMITS_ACCOUNT, k->account, unit,
	    now);
	c->count[LIMITS_PAIR] = fail_limits_count(l->table, LIMITS_PAIR, buf_view(&k->pair), unit,
	    now);
	c->known = fail_limits_marked(l->table, LIMITS_KNOWN, buf_view(&k->pair), LIMITS_KNOWN_MS,
	    now);
}

/* The remote counts what this node counted too: the greater one is right. */
static void
answered(const struct limits_counts *theirs, void *arg)
{
	struct limits_question *q = arg;
	struct limits_counts c = q->local;
	int i;

	for (i = 1; i < LIMITS_KINDS; i++)
		if (theirs->count[i] > c.count[i])
			c.count[i] = theirs->count[i];
	/*
	 * Known from another machine: marked here too, or its failures would be
	 * counted as a stranger's and judged as a friend's, without an end.
	 */
	if (theirs->known && !c.known)
		fail_limits_mark(q->l->table, LIMITS_KNOWN, view_str(q->pair), clock_mono_ms());
	c.known |= theirs->known;
	q->fn(judge(q->l, &c), q->arg);
	xfree(q->pair);
	xfree(q);
}

struct limits_question *
auth_limits_ask(struct auth_limits *l, const char *address, const char *login, bool *limited_r,
    limits_fn fn, void *arg)
{
	struct limits_question *q = NULL;
	struct limits_counts c = { 0 };
	struct keys k;

	keys_init(&k, l, address, login);
	count_local(l, &k, &c);
	/* Of a stranger here another machine may know better. */
	if (l->ops == NULL || (c.known && judge(l, &c))) {
		*limited_r = judge(l, &c);
	} else {
		q = XNEW(struct limits_question);
		q->l = l;
		q->fn = fn;
		q->arg = arg;
		q->local = c;
		q->pair = view_dup(buf_view(&k.pair));
		q->handle = l->ops->ask(l->remote, buf_cstr(&k.client), login, buf_cstr(&k.pair),
		    answered, q);
	}
	keys_fini(&k);
	return q;
}

void
auth_limits_forget(struct limits_question **q)
{
	if (*q == NULL)
		return;
	(*q)->l->ops->cancel((*q)->l->remote, (*q)->handle);
	xfree((*q)->pair);
	xfree(*q);
	*q = NULL;
}

static void
add(struct auth_limits *l, enum limits_kind kind, struct view key)
{
	uint64_t unit = (uint64_t)l->conf->auth_failure_time;
	char *text;

	fail_limits_add(l->table, (uint8_t)kind, key, key, unit, clock_mono_ms());
	if (l->ops == NULL)
		return;
	text = view_dup(key);
	l->ops->add(l->remote, kind, text, unit);
	xfree(text);
}

void
auth_limits_failure(struct auth_limits *l, const char *address, const char *login)
{
	struct keys k;

	keys_init(&k, l, address, login);
	/*
	 * A forgotten program with last year's password must not lock out the rest of
	 * its office, nor its account: its failures stay between the two.
	 */
	if (fail_limits_marked(l->table, LIMITS_KNOWN, buf_view(&k.pair), LIMITS_KNOWN_MS,
	    clock_mono_ms())) {
		add(l, LIMITS_PAIR, buf_view(&k.pair));
	} else {
		/* A Unix socket is a webmail's or a proxy's: many people, not one client. */
		if (!view_eq(buf_view(&k.client), VIEW("local")))
			add(l, LIMITS_CLIENT, buf_view(&k.client));
		if (k.account.len > 0)
			add(l, LIMITS_ACCOUNT, k.account);
	}
	keys_fini(&k);
}

void
auth_limits_success(struct auth_limits *l, const char *address, const char *login)
{
	uint64_t now = clock_mono_ms();
	struct keys k;
	bool known;

	keys_init(&k, l, address, login);
	known = fail_limits_marked(l->table, LIMITS_KNOWN, buf_view(&k.pair), 3600 * 1000, now);
	fail_limits_mark(l->table, LIMITS_KNOWN, buf_view(&k.pair), now);
	/* Told once an hour: not a round trip a login. */
	if (l->ops != NULL && !known)
		l->ops->mark(l->remote, buf_cstr(&k.pair), LIMITS_KNOWN_MS);
	keys_fini(&k);
}

unsigned
auth_limits_each(struct auth_limits *l, enum limits_kind kind, fail_limits_fn fn, void *arg)
{
	return fail_limits_each(l->table, (uint8_t)kind, (uint64_t)l->conf->auth_failure_time,
	    clock_mono_ms(), fn, arg);
}

static bool
clear(struct auth_limits *l, enum limits_kind kind, struct view key)
{
	char *text = view_dup(key);
	bool found = fail_limits_clear(l->table, (uint8_t)kind, key);

	if (l->ops != NULL)
		l->ops->clear(l->remote, kind, text);
	xfree(text);
	return found;
}

struct pairs {
	struct view	 name;		/* a network or a login */
	struct buf	 found;		/* keys, each with a NUL behind it */
};

static void
pairs_add(struct view key, uint32_t count, uint64_t seen_ms, void *arg)
{
	struct pairs *p = arg;
	ptrdiff_t blank = view_find(key, ' ');

	(void)count, (void)seen_ms;
	if (blank < 0 || memchr(key.p, '\0', key.len) != NULL)
		return;
	if (view_eq(view_head(key, (size_t)blank), p->name) ||
	    view_eq(view_from(key, (size_t)blank + 1), p->name)) {
		(void)buf_put_view(&p->found, key);
		(void)buf_put_char(&p->found, '\0');
	}
}

/* Who forgives a client or an account forgives what lies between it and others. */
static bool
clear_pairs(struct auth_limits *l, struct view name)
{
	struct pairs p = { .name = name };
	bool found = clear(l, LIMITS_PAIR, name);
	struct view rest;
	ptrdiff_t nul;

	buf_init(&p.found, 16 << 20);
	(void)auth_limits_each(l, LIMITS_PAIR, pairs_add, &p);
	rest = buf_view(&p.found);
	while ((nul = view_find(rest, '\0')) >= 0) {
		found |= clear(l, LIMITS_PAIR, view_head(rest, (size_t)nul));
		rest = view_from(rest, (size_t)nul + 1);
	}
	buf_fini(&p.found);
	return found;
}

bool
auth_limits_clear(struct auth_limits *l, struct view name)
{
	char *text = view_dup(name);
	struct domain_literal ip;
	struct buf b;
	bool found;

	buf_init(&b, 64);
	if (domain_parse_ip(name, &ip) == 0) {
		auth_limits_client(l, text, &b);
		name = buf_view(&b);
	}
	found = clear(l, LIMITS_CLIENT, name);
	found |= clear(l, LIMITS_ACCOUNT, name);
	found |= clear_pairs(l, name);
	buf_fini(&b);
	xfree(text);
	return found;
}
