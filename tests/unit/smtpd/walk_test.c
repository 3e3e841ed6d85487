/* SPDX-License-Identifier: ISC */
/*
 * walk_test.c: A5, state desynchronisation: a random walk of commands against
 * a reference automaton. Each reply has the class that the automaton expects,
 * and what is in the queue at the end is exactly what it believes to have
 * sent: no message without its own MAIL and RCPT, and none changed. Each
 * recipient is asked about anew, and who may relay is who is logged in now:
 * a login lives over RSET and EHLO and ends with its connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/smtpd/harness.h"

#define STEPS		10000
#define SENT_MAX	STEPS

static struct harness h;

/* What RFC 5321 and RFC 3030 say, in as few words as possible. */
static struct {
	bool	 esmtp, mail, bdat, failed;
	bool	 greeted, login;
	unsigned asked;			/* AUTH LOGIN: responses still owed */
	unsigned rcpts;
	unsigned serial;		/* of this MAIL */
	unsigned chunks;
} a;

static struct expected {
	unsigned serial, rcpts, chunks;
	bool	 login;
} sent[SENT_MAX];
static unsigned nsent, nfound, nlogins;

static unsigned serial;

static void
reset(void)
{
	a.mail = a.bdat = a.failed = false;
	a.rcpts = a.chunks = 0;
}

static void
expect(const char *what, const char *said, int code)
{
	char text[8];

	snprintf(text, sizeof(text), "%d", code);
	if (strncmp(said, text, 3) != 0)
		fail_msg("%s: \"%s\", not %d (mail %d rcpts %u bdat %d failed %d)", what, said,
		    code, a.mail, a.rcpts, a.bdat, a.failed);
}

static void
message_sent(void)
{
	sent[nsent++] = (struct expected){ a.serial, a.rcpts, a.chunks, a.login };
	reset();
}

static void
do_greeting(bool esmtp)
{
	expect("greeting", harness_say(&h, esmtp ? "EHLO c.test\r\n" : "HELO c.test\r\n"), 250);
	a.esmtp = esmtp;
	a.greeted = true;
	reset();
}

static void
do_mail(void)
{
	char line[100];

	snprintf(line, sizeof(line), "MAIL FROM:<s%u@sender.test>\r\n", ++serial);
	if (a.failed || a.mail) {
		expect("MAIL", harness_say(&h, line), 503);
		return;
	}
	expect("MAIL", harness_say(&h, line), 250);
	a.mail = true;
	a.serial = serial;
}

enum whom { KNOWN, UNKNOWN, ELSEWHERE };

static void
do_rcpt(enum whom whom)
{
	static const char *const lines[] = { "RCPT TO:<alice@example.test>\r\n",
	    "RCPT TO:<nobody@example.test>\r\n", "RCPT TO:<x@far.test>\r\n" };
	unsigned before = h.lookups;
	const char *said = harness_say(&h, lines[whom]);
	bool good = whom == KNOWN || (whom == ELSEWHERE && a.login);

	if (a.failed || !a.mail || a.bdat) {
		expect("RCPT", said, 503);
		return;
	}
	expect("RCPT", said, good ? 250 : whom == ELSEWHERE ? 454 : 550);
	assert_true(h.lookups > before);
	a.rcpts += good;
}

/* ---- logins ---- */

static void
do_connect(void)
{
	harness_connect(&h, HARNESS_STRANGER);
	memset(&a, 0, sizeof(a));
}

static void
do_auth(bool right)
{
	const char *said = harness_say(&h, right ? "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" :
	    "AUTH PLAIN AGFsaWNlAHdyb25n\r\n");

	if (!a.greeted || !a.esmtp || a.mail || a.failed || a.login) {
		expect("AUTH", said, 503);
		return;
	}
	expect("AUTH", said, right ? 235 : 535);
	a.login = right;
}

static void
do_auth_login(void)
{
	const char *said = harness_say(&h, "AUTH LOGIN\r\n");

	if (!a.greeted || !a.esmtp || a.mail || a.failed || a.login) {
		expect("AUTH LOGIN", said, 503);
		return;
	}
	expect("AUTH LOGIN", said, 334);
	a.asked = 2;
}

/* While a response is owed nothing is a command. */
static void
do_response(unsigned dice)
{
	static const char *const lines[] = { "YWxpY2U=\r\n", "c2VjcmV0\r\n", "*\r\n",
	    "MAIL FROM:<x@evil.test>\r\n", "QUIT\r\n", "RSET\r\n", "\r\n" };
	static unsigned right;
	unsigned n = dice % 16 < 10 ? 2 - a.asked : dice / 16 % 7;
	const char *said = harness_say(&h, lines[n]);

	if (n == 2 || n == 3) {			/* cancelled, or no base64 */
		expect("response", said, 501);
		a.asked = 0;
		return;
	}
	right = a.asked == 2 ? n == 0 : right && n == 1;
	a.asked--;
	expect("response", said, a.asked == 1 ? 334 : right ? 235 : 535);
	if (a.asked == 0)
		a.login = right;
}

static void
do_data(bool good)
{
	const char *said = harness_say(&h, "DATA\r\n");

	if (a.failed || a.rcpts == 0 || a.bdat) {
		expect("DATA", said, 503);
		return;
	}
	expect("DATA", said, 354);
	if (good) {
		a.chunks = 1;
		expect("end of data", harness_say(&h, "A: b\r\n\r\nMAIL FROM:<x@evil.test>\r\n"
		    ".\r\n"), 250);
		message_sent();
	} else {
		expect("end of data", harness_say(&h, "A: b\r\n\r\nx\n.\n"
		    "MAIL FROM:<x@evil.test>\r\n.\r\n"), 550);
		reset();
	}
}

static void
do_rset(void)
{
	expect("RSET", harness_say(&h, "RSET\r\n"), 250);
	reset();
}

/* The chunk looks like commands: it must never be one. */
static void
do_bdat(bool last, bool good)
{
	const char *body = good ? "MAIL FROM:<x@evil.test>\r\n" : "MAIL FROM:<x@evil.tes>\n\r\n";
	char text[100];
	const char *said;

	snprintf(text, sizeof(text), "BDAT %zu%s\r\n%s", strlen(body), last ? " LAST" : "", body);
	said = harness_say(&h, text);
	if (!a.esmtp || a.failed || a.rcpts == 0) {
		expect("BDAT", said, !a.esmtp ? 502 : 503);
		a.failed |= a.mail;
		return;
	}
	a.bdat = true;
	a.chunks++;
	expect("BDAT", said, good ? 250 : 550);
	if (last && good)
		message_sent();
	else if (last)
		reset();
	else if (!good)
		a.failed = true;
}

/* What a client would do that wants to get on. */
static void
sensible_step(unsigned dice)
{
	if (a.failed)
		do_rset();
	else if (!a.mail)
		do_mail();
	else if (a.rcpts == 0)
		do_rcpt(a.login && dice & 32 ? ELSEWHERE : KNOWN);
	else if (a.bdat || (dice & 64) != 0)
		do_bdat((dice & 128) != 0, true);
	else
		do_data(true);
}

static void
step(unsigned dice)
{
	if (a.asked > 0) {
		do_response(dice);
		return;
	}
	if ((dice & 0x300) != 0) {
		sensible_step(dice);
		return;
	}
	switch (dice % 21) {
	case 0:
		do_greeting(dice & 16 || dice & 32);
		break;
	case 1: case 2: case 3:
		do_mail();
		break;
	case 4: case 5:
		do_rcpt(KNOWN);
		break;
	case 6:
		do_rcpt(ELSEWHERE);
		break;
	case 7:
		do_rcpt(UNKNOWN);
		break;
	case 15: case 16:
		do_auth((dice & 64) != 0);
		break;
	case 17:
		do_auth_login();
		break;
	case 18:
		do_connect();
		break;
	case 8: case 9:
		do_data((dice & 48) != 0);
		break;
	case 10: case 11:
		do_bdat(true, (dice & 48) != 0);
		break;
	case 12:
		do_bdat(false, (dice & 48) != 0);
		break;
	case 13:
		do_rset();
		break;
	case 14:
		expect("VRFY", harness_say(&h, "VRFY x\r\n"), 252);
		break;
	default:
		expect("nonsense", harness_say(&h, "XYZZY\r\n"), 500);
		break;
	}
}

static void
check_message(const struct harness_message *m, void *arg)
{
	const struct expected *e = &sent[nfound++];
	char sender[40];

	(void)arg;
	assert_true(nfound <= nsent);
	snprintf(sender, sizeof(sender), "s%u@sender.test", e->serial);
	assert_true(view_eq(m->envelope.sender, view_str(sender)));
	assert_int_equal(m->envelope.nrecipients, e->rcpts);
	assert_true(view_eq(m->envelope.login, e->login ? VIEW("alice@example.test") : VIEW("")));
	nlogins += e->login;
}

static void
test_walk(void **state)
{
	unsigned i;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, "smtpd_hard_error_limit = 1000000\nsmtpd_junk_command_limit = 1000000\n"
	    "smtpd_forbid_unauth_pipelining = no\nsmtpd_soft_error_limit = 1000000\n"
	    "smtpd_forbid_bare_newline = reject\nsmtpd_sasl_auth_enable = yes\n"
	    "smtpd_tls_auth_only = no\n");
	do_connect();
	/* The same walk each time: a failure can be looked at again. */
	srandom(20261120);
	do_greeting(true);
	for (i = 0; i < STEPS; i++)
		step((unsigned)random() >> 8);
	assert_true(nsent > 500);
	assert_int_equal(harness_messages(&h, check_message, NULL), nsent);
	assert_in_range(nlogins, 100, nsent - 100);
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

UNIT_MAIN(cmocka_unit_test(test_walk))
