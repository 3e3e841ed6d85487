/* SPDX-License-Identifier: ISC */
/*
 * relay_test.c: A16, the relay matrix: as a decision and as a dialogue. The
 * stranger may reach our own recipients in every honest form of their
 * address, and nobody else in any form.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/smtpd/harness.h"
#include "smtpd/relay.h"

enum { REFUSED, TAKEN };

static const struct {
	const char	*rcpt;		/* as the client writes it */
	int		 stranger;
	int		 friend;	/* in mynetworks */
} matrix[] = {
	{ "<alice@example.test>", TAKEN, TAKEN },
	{ "<alice@EXAMPLE.TEST>", TAKEN, TAKEN },
	{ "<\"alice\"@example.test>", TAKEN, TAKEN },
	{ "<@other.test:alice@example.test>", TAKEN, TAKEN },
	{ "<anybody@relay.test>", TAKEN, TAKEN },
	{ "<nobody@example.test>", REFUSED, REFUSED },
	{ "<x@elsewhere.test>", REFUSED, TAKEN },
	{ "<x@sub.example.test>", REFUSED, TAKEN },
	{ "<x@sub.relay.test>", REFUSED, TAKEN },
	{ "<x@notexample.test>", REFUSED, TAKEN },
	{ "<x@example.test.elsewhere.test>", REFUSED, TAKEN },
	{ "<@example.test:x@elsewhere.test>", REFUSED, TAKEN },
	{ "<@example.test,@relay.test:x@elsewhere.test>", REFUSED, TAKEN },
	{ "<x%elsewhere.test@relay.test>", REFUSED, TAKEN },
	{ "<x%elsewhere.test@example.test>", REFUSED, REFUSED },
	{ "<x%elsewhere.test%third.test@relay.test>", REFUSED, TAKEN },
	{ "<\"x%elsewhere.test\"@relay.test>", REFUSED, TAKEN },
	{ "<\"x@elsewhere.test\"@relay.test>", REFUSED, TAKEN },
	{ "<\"x\\@elsewhere.test\"@relay.test>", REFUSED, TAKEN },
	{ "<\"x@elsewhere.test\"@example.test>", REFUSED, REFUSED },
	{ "<elsewhere.test!x@relay.test>", REFUSED, TAKEN },
	{ "<elsewhere.test!x@example.test>", REFUSED, REFUSED },
	{ "<elsewhere.test!relay.test!x@relay.test>", REFUSED, TAKEN },
	{ "<x@[198.51.100.9]>", REFUSED, TAKEN },
	{ "<x@[IPv6:2001:db8::9]>", REFUSED, TAKEN },
	{ "<x@elsewhere.test@example.test>", REFUSED, REFUSED },
	{ "<x@example.test@elsewhere.test>", REFUSED, REFUSED },
	{ "<x%elsewhere.test>", REFUSED, REFUSED },
	{ "<elsewhere.test!x>", REFUSED, REFUSED },
	{ "<>", REFUSED, REFUSED },
	{ "<x@elsewhere.test.>", REFUSED, REFUSED },
	{ "<\"\"@elsewhere.test>", REFUSED, TAKEN },
	{ "<alice@example.test> <x@elsewhere.test>", REFUSED, REFUSED },
	{ "<postmaster>", TAKEN, TAKEN },
	{ "x@elsewhere.test", REFUSED, TAKEN },
	{ "<x@elsewhere.test\t>", REFUSED, REFUSED },
};

/* With each of them nothing more gets through, whatever the list looks like. */
static const char *const configurations[] = {
	"",
	"smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n",
	("smtpd_relay_restrictions =\n"
	    "smtpd_recipient_restrictions = permit_mynetworks reject_unauth_destination\n"),
	"smtpd_relay_restrictions = permit_mynetworks permit_auth_destination reject\n",
	("smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination permit\n"
	    "smtpd_recipient_restrictions = permit\n"),
	"allow_percent_hack = yes\nswap_bangpath = yes\n",
	"smtpd_delay_reject = no\n",
};

/* And these do not say in words who may relay: nobody gets anything through. */
static const char *const open_relays[] = {
	"smtpd_relay_restrictions =\n",
	"smtpd_relay_restrictions = permit_mynetworks\n",
	"smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit\n",
	("smtpd_relay_restrictions =\n"
	    "smtpd_recipient_restrictions = permit, reject_unauth_destination\n"),
	"smtpd_relay_restrictions = warn_if_reject reject_unauth_destination\n",
	"smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = reject_unlisted_recipient\n",
	"smtpd_relay_restrictions =\nsmtpd_sender_restrictions = reject_unauth_destination\n",
};

static void
one_case(struct harness *h, const char *rcpt, int want)
{
	char line[400];
	const char *said;

	harness_say(h, "RSET\r\nMAIL FROM:<s@sender.test>\r\n");
	snprintf(line, sizeof(line), "RCPT TO:%s\r\n", rcpt);
	said = harness_say(h, line);
	if ((said[0] == '2') != (want == TAKEN))
		fail_msg("%s: %s", rcpt, said);
}

static void
test_matrix(void **state)
{
	struct harness h;
	size_t i, k;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	for (k = 0; k < NELEMS(configurations); k++) {
		char conf[1000];

		snprintf(conf, sizeof(conf), "%ssmtpd_hard_error_limit = 1000\n"
		    "myorigin = example.test\n", configurations[k]);
		harness_init(&h, conf);
		harness_connect(&h, HARNESS_STRANGER);
		harness_say(&h, "EHLO c.test\r\n");
		for (i = 0; i < NELEMS(matrix); i++)
			one_case(&h, matrix[i].rcpt, matrix[i].stranger);
		harness_connect(&h, HARNESS_FRIEND);
		harness_say(&h, "EHLO c.test\r\n");
		for (i = 0; i < NELEMS(matrix); i++)
			one_case(&h, matrix[i].rcpt, matrix[i].friend);
		harness_fini(&h);
	}
	log_set_level(LOG_LVL_INFO);
}

static void
test_open_relays(void **state)
{
	struct harness h;
	size_t k;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	for (k = 0; k < NELEMS(open_relays); k++) {
		harness_init(&h, open_relays[k]);
		harness_connect(&h, HARNESS_FRIEND);
		harness_say(&h, "EHLO c.test\r\n");
		harness_say(&h, "MAIL FROM:<s@sender.test>\r\n");
		CHECK(open_relays[k], strncmp(harness_say(&h, "RCPT TO:<x@elsewhere.test>\r\n"),
		    "451 4.3.5", 9) == 0);
		harness_fini(&h);
	}
	log_set_level(LOG_LVL_INFO);
}

static void
test_decision(void **state)
{
	static const char *const routed[] = { "a%b@c.test", "a!b@c.test", "\"a@b\"@c.test",
	    "\"a\\@b\"@c.test", "\"a%b\"@c.test", "%@c.test" };
	struct mail_address a;
	size_t i;
	int class;

	(void)state;
	for (i = 0; i < NELEMS(routed); i++) {
		assert_int_equal(address_parse(view_str(routed[i]), 0, &a), 0);
		CHECK(routed[i], relay_is_routed(&a));
		for (class = 0; class < ROUTE_CLASSES; class++)
			CHECK(routed[i], !relay_is_authorised(&a, class));
	}
	assert_int_equal(address_parse(VIEW("a@c.test"), 0, &a), 0);
	for (class = 0; class < ROUTE_CLASSES; class++)
		assert_int_equal(relay_is_authorised(&a, class), class != ROUTE_CLASS_DEFAULT);
	/* What is no class at all is not ours. */
	assert_false(relay_is_authorised(&a, ROUTE_CLASSES));
}

UNIT_MAIN(cmocka_unit_test(test_decision), cmocka_unit_test(test_matrix),
    cmocka_unit_test(test_open_relays))
