/* SPDX-License-Identifier: ISC */
/*
 * walk_test.c: A5, state desynchronisation: a random walk of commands against
 * a reference automaton. Each reply has the class that the automaton expects,
 * and what is in the queue at the end is exactly what it believes to have
 * sent: no message without its own MAIL and RCPT, and none changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/smtpd/harness.h"

#define STEPS		6000
#define SENT_MAX	STEPS

static struct harness h;

/* What RFC 5321 and RFC 3030 say, in as few words as possible. */
static struct {
	bool	 esmtp, mail, bdat, failed;
	unsigned rcpts;
	unsigned serial;		/* of this MAIL */
	unsigned chunks;
} a;

static struct expected {
	unsigned serial, rcpts, chunks;
} sent[SENT_MAX];
static unsigned nsent, nfound;

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
	sent[nsent++] = (struct expected){ a.serial, a.rcpts, a.chunks };
	reset();
}

static void
do_greeting(bool esmtp)
{
	expect("greeting", harness_say(&h, esmtp ? "EHLO c.test\r\n" : "HELO c.test\r\n"), 250);
	a.esmtp = esmtp;
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

static void
do_rcpt(bool good)
{
	const char *said = harness_say(&h, good ? "RCPT TO:<alice@example.test>\r\n" :
	    "RCPT TO:<nobody@example.test>\r\n");

	if (a.failed || !a.mail || a.bdat) {
		expect("RCPT", said, 503);
		return;
	}
	expect("RCPT", said, good ? 250 : 550);
	a.rcpts += good;
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
		do_rcpt(true);
	else if (a.bdat || (dice & 64) != 0)
		do_bdat((dice & 128) != 0, true);
	else
		do_data(true);
}

static void
step(unsigned dice)
{
	if ((dice & 0x300) != 0) {
		sensible_step(dice);
		return;
	}
	switch (dice % 16) {
	case 0:
		do_greeting(dice & 16 || dice & 32);
		break;
	case 1: case 2: case 3:
		do_mail();
		break;
	case 4: case 5: case 6:
		do_rcpt(true);
		break;
	case 7:
		do_rcpt(false);
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
}

static void
test_walk(void **state)
{
	unsigned i;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, "smtpd_hard_error_limit = 1000000\nsmtpd_junk_command_limit = 1000000\n"
	    "smtpd_forbid_unauth_pipelining = no\nsmtpd_soft_error_limit = 1000000\n"
	    "smtpd_forbid_bare_newline = reject\n");
	harness_connect(&h, HARNESS_STRANGER);
	/* The same walk each time: a failure can be looked at again. */
	srandom(20261120);
	do_greeting(true);
	for (i = 0; i < STEPS; i++)
		step((unsigned)random() >> 8);
	assert_true(nsent > 500);
	assert_int_equal(harness_messages(&h, check_message, NULL), nsent);
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

UNIT_MAIN(cmocka_unit_test(test_walk))
