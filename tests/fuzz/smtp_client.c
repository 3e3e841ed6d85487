/* SPDX-License-Identifier: ISC */
/*
 * smtp_client.c: a hostile server against the client engine (A18). The first
 * byte chooses the session (LMTP, BDAT, number of transactions and
 * recipients, size of packets), the second one what TLS is wanted for, the
 * rest is what the server says. A handshake always succeeds.
 *
 * Whatever it says: each recipient gets exactly one result, none is sent
 * without its content having been asked for, and where TLS is a must not one
 * MAIL goes out before it.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "net/smtp_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TXNS	4
#define RCPTS	3

struct run {
	struct buf	out;
	struct smtp_txn	txns[TXNS];
	struct smtp_txn_rcpt rcpts[TXNS][RCPTS];
	unsigned	results[TXNS][RCPTS];
	bool		content[TXNS];
	bool		done[TXNS];
	unsigned	begun, ntxns;
	bool		must, secured, shake;
};

static void
begin_more(struct smtp_client *c, struct run *r)
{
	while (r->begun < r->ntxns && smtp_client_can_begin(c)) {
		r->begun++;
		smtp_client_begin(c, &r->txns[r->begun - 1]);
	}
}

static void
on_ready(struct smtp_client *c, void *arg)
{
	struct run *r = arg;

	ASSERT(!r->must || r->secured);
	ASSERT(!c->requiretls || (c->caps.flags & SMTP_CAP_REQUIRETLS));
	begin_more(c, r);
}

static void
on_starttls(struct smtp_client *c, void *arg)
{
	struct run *r = arg;

	ASSERT(!r->secured && c->starttls != SMTP_STARTTLS_NEVER);
	r->shake = true;
}

static void
on_content(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	struct run *r = arg;

	r->content[t - r->txns] = true;
	buf_put_str(&r->out, t->bdat ? "x\r\n" : "x\r\n.\r\n");
	smtp_client_content_sent(c, t);
	begin_more(c, r);
}

static void
on_result(struct smtp_client *c, struct smtp_txn *t, size_t i,
    const struct smtp_outcome *o, void *arg)
{
	struct run *r = arg;

	(void)c;
	ASSERT(++r->results[t - r->txns][i] == 1);
	ASSERT(o->what != SMTP_OUTCOME_SENT || r->content[t - r->txns]);
	ASSERT(enhanced_is_set(o->dsn));
}

static void
on_done(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	struct run *r = arg;

	ASSERT(!r->done[t - r->txns]);
	r->done[t - r->txns] = true;
	begin_more(c, r);
}

static const struct smtp_client_ops ops = {
	on_ready, on_content, on_result, on_done, on_starttls,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_client_conf conf = {
		.helo_name = "me.test", .myhostname = "me.test",
		.always_ehlo = true,
	};
	struct smtp_client c;
	struct run r;
	struct view in;
	unsigned i, k, mode = size > 0 ? data[0] : 0;
	unsigned tls = size > 1 ? data[1] : 0;
	size_t step;

	memset(&r, 0, sizeof(r));
	buf_init(&r.out, 1 << 20);
	conf.lmtp = mode & 1;
	r.ntxns = 1 + (mode >> 2) % TXNS;
	for (i = 0; i < r.ntxns; i++) {
		r.txns[i].sender = VIEW("s@me.test");
		r.txns[i].size = 3;
		r.txns[i].bdat = (mode & 2) != 0;
		r.txns[i].rcpts = r.rcpts[i];
		r.txns[i].nrcpts = 1 + (mode >> 4) % RCPTS;
		for (k = 0; k < RCPTS; k++)
			r.rcpts[i][k].address = VIEW("a@x.test");
	}
	smtp_client_init(&c, &conf, &ops, &r, &r.out, "mx[192.0.2.1]");
	r.must = tls % 3 == 2;
	smtp_client_want_tls(&c, (enum smtp_starttls)(tls % 3), (tls & 0x80) != 0);
	in = view_from(view_of((const char *)data, size), 2);
	step = mode & 0x80 ? 1 : mode & 0x40 ? 7 : in.len;
	while (in.len > 0 && smtp_client_feed(&c, view_head(in, step)) == 0) {
		in = view_from(in, step);
		if (!r.shake)
			continue;
		r.shake = false;
		r.secured = true;
		smtp_client_tls_begun(&c);
		ASSERT(c.caps.flags == 0 && !c.ehlo_ok);
	}
	smtp_client_lost(&c, PK_EPEER);
	ASSERT(c.ntxns == 0);
	for (i = 0; i < r.begun; i++)
		for (k = 0; k < r.txns[i].nrcpts; k++)
			ASSERT(r.results[i][k] == 1 && r.done[i]);
	smtp_client_fini(&c);
	buf_fini(&r.out);
	return 0;
}
