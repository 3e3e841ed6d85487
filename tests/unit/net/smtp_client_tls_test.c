/* SPDX-License-Identifier: ISC */
/*
 * smtp_client_tls_test.c: STARTTLS in the client engine. A script is what the
 * server says in clear and what it says inside; each is run whole, by bytes
 * and split at random, and must end the same way. The server is hostile in
 * half of them (A3, A18).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <bsd/stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/smtp_client.h"

struct rig {
	struct smtp_client c;
	struct smtp_client_conf conf;
	struct buf	out;
	struct smtp_txn	txn;
	struct smtp_txn_rcpt rcpt;
	unsigned	starttls, ready;
	enum smtp_outcome_what what;
	bool		result;
};

static void
on_ready(struct smtp_client *c, void *arg)
{
	struct rig *r = arg;

	r->ready++;
	smtp_client_begin(c, &r->txn);
}

static void
on_content(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	struct rig *r = arg;

	buf_put_str(&r->out, "x\r\n.\r\n");
	smtp_client_content_sent(c, t);
}

static void
on_result(struct smtp_client *c, struct smtp_txn *t, size_t i,
    const struct smtp_outcome *o, void *arg)
{
	struct rig *r = arg;

	(void)c;
	(void)t;
	(void)i;
	assert_false(r->result);
	r->result = true;
	r->what = o->what;
}

static void
on_done(struct smtp_client *c, struct smtp_txn *t, void *arg)
{
	(void)c;
	(void)t;
	(void)arg;
}

static void
on_starttls(struct smtp_client *c, void *arg)
{
	struct rig *r = arg;

	(void)c;
	r->starttls++;
	buf_put_str(&r->out, "[TLS]");
}

static const struct smtp_client_ops ops = {
	on_ready, on_content, on_result, on_done, on_starttls,
};

static void
rig_init(struct rig *r, enum smtp_starttls want, bool requiretls, bool lmtp)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->out, 1 << 20);
	r->conf.helo_name = "me.test";
	r->conf.lmtp = lmtp;
	r->conf.always_ehlo = true;
	r->txn.sender = VIEW("s@me.test");
	r->txn.rcpts = &r->rcpt;
	r->txn.nrcpts = 1;
	r->txn.requiretls = requiretls;
	r->rcpt.address = VIEW("a@x.test");
	smtp_client_init(&r->c, &r->conf, &ops, r, &r->out, "mx[192.0.2.1]");
	smtp_client_want_tls(&r->c, want, requiretls);
}

static void
rig_fini(struct rig *r)
{
	smtp_client_fini(&r->c);
	buf_fini(&r->out);
}

/* mode 0: at once, 1: by bytes, 2 and more: at random. */
static int
feed(struct rig *r, const char *text, unsigned mode)
{
	struct view in = view_str(text);
	size_t n;
	int rc = 0;

	while (rc == 0 && in.len > 0) {
		n = mode == 0 ? in.len : mode == 1 ? 1 :
		    1 + arc4random_uniform((uint32_t)in.len);
		rc = smtp_client_feed(&r->c, view_head(in, n));
		in = view_from(in, n);
	}
	return rc;
}

#define EHLO(x)		"220 mx ESMTP\r\n250-mx hi\r\n250 " x "\r\n"
#define GO		"220 2.0.0 go ahead\r\n"
#define SEND		"MAIL FROM:<s@me.test>\r\nRCPT TO:<a@x.test>\r\nDATA\r\nx\r\n.\r\n"
#define OKS		"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"
#define NEVER		SMTP_STARTTLS_NEVER
#define MAY		SMTP_STARTTLS_MAY
#define MUST		SMTP_STARTTLS_MUST

static const struct script {
	const char	*name;
	enum smtp_starttls want;
	bool		 requiretls, lmtp;
	const char	*clear;		/* in pieces of any size */
	const char	*inside;	/* NULL: no handshake is to come */
	int		 rc;
	enum smtp_refusal refusal;
	const char	*refused;
	const char	*out;
} scripts[] = {
	{ "never", NEVER, false, false, EHLO("STARTTLS") OKS, NULL, 0,
	    SMTP_REFUSAL_NONE, NULL, "EHLO me.test\r\n" SEND },
	{ "may, offered", MAY, false, false, EHLO("STARTTLS") GO,
	    "250-mx\r\n250 SIZE 9\r\n" OKS, 0, SMTP_REFUSAL_NONE, NULL,
	    "EHLO me.test\r\nSTARTTLS\r\n[TLS]EHLO me.test\r\n" SEND },
	{ "may, not offered", MAY, false, false, EHLO("SIZE") OKS, NULL, 0,
	    SMTP_REFUSAL_NONE, NULL, "EHLO me.test\r\n" SEND },
	{ "may, refused", MAY, false, false,
	    EHLO("STARTTLS") "454 4.7.0 not now\r\n" OKS, NULL, 0,
	    SMTP_REFUSAL_NONE, NULL, "EHLO me.test\r\nSTARTTLS\r\n" SEND },
	{ "may, 421", MAY, false, false, EHLO("STARTTLS") "421 bye\r\n", NULL,
	    PK_EPROTO, SMTP_REFUSAL_GREETING,
	    "host mx[192.0.2.1] refused to talk to me: 421 bye",
	    "EHLO me.test\r\nSTARTTLS\r\n" },
	{ "must, not offered", MUST, false, false, EHLO("SIZE") OKS, NULL,
	    PK_EPROTO, SMTP_REFUSAL_TLS,
	    "TLS is required, but was not offered by host mx[192.0.2.1]",
	    "EHLO me.test\r\n" },
	{ "must, HELO only", MUST, false, false,
	    "220 mx\r\n502 what\r\n250 mx\r\n", NULL, PK_EPROTO,
	    SMTP_REFUSAL_TLS,
	    "TLS is required, but was not offered by host mx[192.0.2.1]",
	    "EHLO me.test\r\nHELO me.test\r\n" },
	{ "must, refused for good", MUST, false, false,
	    EHLO("STARTTLS") "554 5.7.3 no\r\n", NULL, PK_EPROTO,
	    SMTP_REFUSAL_TLS, "TLS is required, but host mx[192.0.2.1] refused "
	    "to start TLS: 554 5.7.3 no", "EHLO me.test\r\nSTARTTLS\r\n" },
	{ "3xx to STARTTLS", MAY, false, false, EHLO("STARTTLS") "354 go\r\n",
	    NULL, PK_EPROTO, SMTP_REFUSAL_PROTOCOL,
	    "protocol error: host mx[192.0.2.1] sent no valid reply while "
	    "sending STARTTLS", "EHLO me.test\r\nSTARTTLS\r\n" },
	{ "what was said before is forgotten", MUST, false, false,
	    "220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 9\r\n"
	    "250 STARTTLS\r\n" GO, "250 mx\r\n" OKS, 0, SMTP_REFUSAL_NONE,
	    NULL, "EHLO me.test\r\nSTARTTLS\r\n[TLS]EHLO me.test\r\n" SEND },
	{ "no second STARTTLS", MUST, false, false, EHLO("STARTTLS") GO,
	    "250-mx\r\n250 STARTTLS\r\n" OKS, 0, SMTP_REFUSAL_NONE, NULL,
	    "EHLO me.test\r\nSTARTTLS\r\n[TLS]EHLO me.test\r\n" SEND },
	{ "LMTP", MUST, false, true, EHLO("STARTTLS") GO,
	    "250-mx\r\n250 SIZE\r\n" OKS, 0, SMTP_REFUSAL_NONE, NULL,
	    "LHLO me.test\r\nSTARTTLS\r\n[TLS]LHLO me.test\r\n" SEND },
	{ "REQUIRETLS", MUST, true, false, EHLO("STARTTLS") GO,
	    "250-mx\r\n250 REQUIRETLS\r\n" OKS, 0, SMTP_REFUSAL_NONE, NULL,
	    "EHLO me.test\r\nSTARTTLS\r\n[TLS]EHLO me.test\r\n"
	    "MAIL FROM:<s@me.test> REQUIRETLS\r\nRCPT TO:<a@x.test>\r\n"
	    "DATA\r\nx\r\n.\r\n" },
	{ "REQUIRETLS offered in clear only", MUST, true, false,
	    "220 mx\r\n250-mx\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n" GO,
	    "250 mx\r\n", PK_EPROTO, SMTP_REFUSAL_REQUIRETLS,
	    "REQUIRETLS support required, but was not offered by host "
	    "mx[192.0.2.1]", "EHLO me.test\r\nSTARTTLS\r\n[TLS]EHLO me.test\r\n" },
	{ "REQUIRETLS, TLS not offered", MUST, true, false, EHLO("REQUIRETLS"),
	    NULL, PK_EPROTO, SMTP_REFUSAL_REQUIRETLS,
	    "REQUIRETLS support required, but was not offered by host "
	    "mx[192.0.2.1]", "EHLO me.test\r\n" },
	{ "REQUIRETLS without TLS", MAY, true, false, EHLO("REQUIRETLS"), NULL,
	    PK_EPROTO, SMTP_REFUSAL_REQUIRETLS,
	    "REQUIRETLS support required, but was not offered by host "
	    "mx[192.0.2.1]", "EHLO me.test\r\n" },
};

static void
run_script(const struct script *s, unsigned mode)
{
	struct rig r;
	int rc;

	rig_init(&r, s->want, s->requiretls, s->lmtp);
	rc = feed(&r, s->clear, mode);
	if (s->inside != NULL) {
		assert_int_equal(rc, 0);
		assert_int_equal(r.starttls, 1);
		assert_int_equal(smtp_client_wait(&r.c), SMTP_WAIT_TLS);
		smtp_client_tls_begun(&r.c);
		assert_int_equal(r.c.caps.flags, 0);
		rc = feed(&r, s->inside, mode);
	} else {
		assert_int_equal(r.starttls, 0);
	}
	if (rc != s->rc || r.c.refusal != s->refusal ||
	    strcmp(buf_cstr(&r.out), s->out) != 0)
		fail_msg("%s, mode %u: rc %d refusal %u\n%s", s->name, mode,
		    rc, (unsigned)r.c.refusal, buf_cstr(&r.out));
	if (s->refused != NULL) {
		assert_true(view_eq(r.c.refused.text, view_str(s->refused)));
		assert_int_equal(r.ready, 0);
	} else {
		assert_true(r.result);
		assert_int_equal(r.what, SMTP_OUTCOME_SENT);
	}
	rig_fini(&r);
}

static void
test_scripts(void **state)
{
	unsigned mode;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(scripts); i++)
		for (mode = 0; mode < 30; mode++)
			run_script(&scripts[i], mode);
}

/* Replies behind the go-ahead, in the same packet: nobody takes them for real. */
static void
test_A3_response_injection(void **state)
{
	static const char *const behind[] = {
		"2", "\r\n", "250-mx\r\n250 AUTH PLAIN\r\n", ("250 mx\r\n" OKS),
		"\x16\x03\x01",
	};
	struct rig r;
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(behind); i++) {
		rig_init(&r, i & 1 ? MAY : MUST, false, false);
		text = xasprintf("%s%s", GO, behind[i]);
		assert_int_equal(feed(&r, EHLO("STARTTLS"), 0), 0);
		assert_int_equal(
		    smtp_client_feed(&r.c, view_str(text)), PK_EPROTO);
		xfree(text);
		assert_int_equal(r.starttls, 0);
		assert_int_equal(r.ready, 0);
		assert_int_equal(r.c.refusal, SMTP_REFUSAL_PROTOCOL);
		assert_string_equal(
		    buf_cstr(&r.out), "EHLO me.test\r\nSTARTTLS\r\n");
		rig_fini(&r);
	}
}

/* The owner gives the engine nothing before the handshake; if it did: no use. */
static void
test_A3_nothing_is_read_in_the_handshake(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, MUST, false, false);
	assert_int_equal(feed(&r, EHLO("STARTTLS") GO, 1), 0);
	assert_int_equal(feed(&r, "250 mx\r\n" OKS, 1), PK_EPROTO);
	assert_int_equal(r.ready, 0);
	rig_fini(&r);
}

static void
test_wrapper(void **state)
{
	struct rig r;
	unsigned mode;

	(void)state;
	for (mode = 0; mode < 10; mode++) {
		rig_init(&r, MUST, false, false);
		smtp_client_tls_begun(&r.c);
		assert_int_equal(r.out.len, 0);
		assert_int_equal(feed(&r, EHLO("STARTTLS") OKS, mode), 0);
		assert_true(r.result);
		assert_string_equal(
		    buf_cstr(&r.out), "EHLO me.test\r\n" SEND);
		rig_fini(&r);
	}
}

static void
test_lost_in_the_handshake(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, MUST, false, false);
	assert_int_equal(feed(&r, EHLO("STARTTLS") GO, 0), 0);
	smtp_client_lost(&r.c, PK_EPEER);
	assert_int_equal(r.c.refusal, SMTP_REFUSAL_PROTOCOL);
	assert_true(view_eq(r.c.refused.text, VIEW("lost connection with "
	    "mx[192.0.2.1] while performing the TLS handshake")));
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_A3_response_injection),
		cmocka_unit_test(test_A3_nothing_is_read_in_the_handshake),
		cmocka_unit_test(test_wrapper),
		cmocka_unit_test(test_lost_in_the_handshake),
	};

	return cmocka_run_group_tests_name("smtp_client_tls", tests, NULL, NULL);
}
