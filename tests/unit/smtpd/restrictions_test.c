/* SPDX-License-Identifier: ISC */
/*
 * restrictions_test.c: the words of the smtpd_*_restrictions lists.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/smtpd/harness.h"

#define RCPT "smtpd_recipient_restrictions = "
#define MAIL "smtpd_sender_restrictions = "
#define HELO "smtpd_helo_restrictions = "
#define CLIENT "smtpd_client_restrictions = "
#define OURS "alice@example.test"
#define OK "250 2.1.5"

static const struct {
	const char	*name, *conf, *client, *helo, *sender, *rcpt, *reply;
} cases[] = {
	{ "reject", RCPT "reject", HARNESS_STRANGER, "h.test", "a@b.test", OURS,
	    "554 5.7.1 <alice@example.test>: Recipient address rejected: Access denied" },
	{ "defer", RCPT "defer", HARNESS_STRANGER, "h.test", "a@b.test", OURS, "450 4.7.1" },
	{ "permit ends its list", RCPT "permit, reject", HARNESS_STRANGER, "h.test", "a@b.test",
	    OURS, OK },
	{ "permit of one list is not that of the next", MAIL "permit\n" RCPT "reject",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, "554" },
	{ "warn_if_reject", RCPT "warn_if_reject reject", HARNESS_STRANGER, "h.test", "a@b.test",
	    OURS, OK },
	{ "warn_if_reject is for one word", RCPT "warn_if_reject reject, reject",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, "554" },
	{ "defer_if_permit", RCPT "defer_if_permit", HARNESS_STRANGER, "h.test", "a@b.test",
	    OURS, "450 4.7.1" },
	{ "defer_if_permit loses to reject", RCPT "defer_if_permit reject", HARNESS_STRANGER,
	    "h.test", "a@b.test", OURS, "554" },
	{ "defer_if_reject", RCPT "defer_if_reject reject", HARNESS_STRANGER, "h.test",
	    "a@b.test", OURS, "450 4.7.1" },
	{ "defer_if_reject, permitted", RCPT "defer_if_reject", HARNESS_STRANGER, "h.test",
	    "a@b.test", OURS, OK },
	{ "sasl permits nobody", RCPT "permit_sasl_authenticated reject", HARNESS_FRIEND,
	    "h.test", "a@b.test", OURS, "554" },
	{ "mynetworks", CLIENT "permit_mynetworks reject", HARNESS_FRIEND, "h.test", "a@b.test",
	    OURS, OK },
	{ "not mynetworks", CLIENT "permit_mynetworks reject", HARNESS_STRANGER, "h.test",
	    "a@b.test", OURS, "554 5.7.1 <unknown[203.0.113.7]>: Client host rejected" },
	{ "default relay policy defers", "", HARNESS_STRANGER, "h.test", "a@b.test", "x@y.test",
	    "454 4.7.1 <x@y.test>: Relay access denied" },
	{ "relay reject", "smtpd_relay_restrictions = reject_unauth_destination",
	    HARNESS_STRANGER, "h.test", "a@b.test", "x@y.test",
	    "554 5.7.1 <x@y.test>: Relay access denied" },
	{ "relay code", "smtpd_relay_restrictions = reject_unauth_destination\n"
	    "relay_domains_reject_code = 550", HARNESS_STRANGER, "h.test", "a@b.test", "x@y.test",
	    "550 5.7.1" },
	{ "unlisted for friends too", "", HARNESS_FRIEND, "h.test", "a@b.test",
	    "nobody@example.test", "550 5.1.1" },
	{ "unlisted off", "smtpd_reject_unlisted_recipient = no", HARNESS_FRIEND, "h.test",
	    "a@b.test", "nobody@example.test", OK },
	{ "lookup fails", "", HARNESS_FRIEND, "h.test", "a@b.test", "tempfail@example.test",
	    "451 4.3.0" },
	{ "unlisted sender", "smtpd_reject_unlisted_sender = yes", HARNESS_STRANGER, "h.test",
	    "nobody@example.test", OURS, "550 5.1.0" },
	{ "listed sender", "smtpd_reject_unlisted_sender = yes", HARNESS_STRANGER, "h.test",
	    "bob@example.test", OURS, OK },
	{ "null sender is never unlisted", "smtpd_reject_unlisted_sender = yes",
	    HARNESS_STRANGER, "h.test", "", OURS, OK },
	{ "non fqdn sender", MAIL "reject_non_fqdn_sender", HARNESS_STRANGER, "h.test", "a@b",
	    OURS, "504 5.5.2 <a@b>: Sender address rejected: need fully-qualified" },
	{ "null sender is fine", MAIL "reject_non_fqdn_sender reject_unknown_sender_domain",
	    HARNESS_STRANGER, "h.test", "", OURS, OK },
	{ "non fqdn helo", HELO "reject_non_fqdn_helo_hostname", HARNESS_STRANGER, "h",
	    "a@b.test", OURS, "504 5.5.2 <h>: Helo command rejected" },
	{ "literal helo", HELO "reject_non_fqdn_helo_hostname, reject_invalid_helo_hostname",
	    HARNESS_STRANGER, "[203.0.113.7]", "a@b.test", OURS, OK },
	{ "invalid helo", HELO "reject_invalid_helo_hostname", HARNESS_STRANGER, "h..x",
	    "a@b.test", OURS, "501 5.5.2 <h..x>: Helo command rejected: Invalid name" },
	{ "non fqdn recipient", RCPT "reject_non_fqdn_recipient", HARNESS_FRIEND, "h.test",
	    "a@b.test", "x@y", "504 5.5.2" },
	{ "unknown sender domain", MAIL "reject_unknown_sender_domain", HARNESS_STRANGER,
	    "h.test", "a@nowhere.test", OURS, "450 4.1.8 <a@nowhere.test>: Sender address "
	    "rejected: Domain not found" },
	{ "known sender domain", MAIL "reject_unknown_sender_domain", HARNESS_STRANGER,
	    "h.test", "a@exists.test", OURS, OK },
	{ "unsure sender domain", MAIL "reject_unknown_sender_domain", HARNESS_STRANGER,
	    "h.test", "a@unsure.test", OURS, "450 4.1.8" },
	{ "unsure, and rejected anyway", MAIL "reject_unknown_sender_domain\n" RCPT "reject",
	    HARNESS_STRANGER, "h.test", "a@unsure.test", OURS, "554" },
	{ "unknown recipient domain", RCPT "reject_unknown_recipient_domain", HARNESS_FRIEND,
	    "h.test", "a@b.test", "x@nowhere.test", "450 4.1.2" },
	{ "access: reject", CLIENT "check_client_access inline:REJECT", HARNESS_STRANGER,
	    "h.test", "a@b.test", OURS, "554 5.7.1 <unknown[203.0.113.7]>: Client host rejected: "
	    "Access denied" },
	{ "access: text", MAIL "check_sender_access inline:{REJECT go away}", HARNESS_STRANGER,
	    "h.test", "a@b.test", OURS,
	    "554 5.7.1 <a@b.test>: Sender address rejected: go away" },
	{ "access: code", MAIL "check_sender_access inline:{451 4.7.9 later}", HARNESS_STRANGER,
	    "h.test", "a@b.test", OURS, "451 4.7.9 <a@b.test>: Sender address rejected: later" },
	{ "access: ok ends its list", RCPT "check_recipient_access inline:OK reject",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, OK },
	{ "access: dunno", RCPT "check_recipient_access inline:DUNNO reject",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, "554" },
	{ "access: digits are OK", RCPT "check_recipient_access inline:1234567 reject",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, OK },
	{ "access: other words", RCPT "check_recipient_access inline:{reject_unauth_pipelining,"
	    " reject}", HARNESS_STRANGER, "h.test", "a@b.test", OURS, "554" },
	{ "access: defer_if_permit", HELO "check_helo_access inline:DEFER_IF_PERMIT",
	    HARNESS_STRANGER, "h.test", "a@b.test", OURS, "450 4.7.1 <h.test>: Helo command" },
	{ "access: relaying needs more than sender's OK", MAIL "check_sender_access inline:OK",
	    HARNESS_STRANGER, "h.test", "a@b.test", "x@y.test", "454 4.7.1" },
	{ "access: nonsense", RCPT "check_recipient_access inline:nonsense", HARNESS_STRANGER,
	    "h.test", "a@b.test", OURS, "451 4.3.5" },
	{ "static", RCPT "check_recipient_access static:REJECT", HARNESS_STRANGER, "h.test",
	    "a@b.test", OURS, "554" },
	{ "table alone", CLIENT "inline:REJECT", HARNESS_STRANGER, "h.test", "a@b.test", OURS,
	    "554 5.7.1 <unknown[203.0.113.7]>: Client host rejected" },
	{ "sleep", RCPT "sleep 0, reject", HARNESS_STRANGER, "h.test", "a@b.test", OURS, "" },
};

static void
test_words(void **state)
{
	struct harness h;
	char line[400];
	const char *said;
	size_t i;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	for (i = 0; i < NELEMS(cases); i++) {
		snprintf(line, sizeof(line), "%s\n", cases[i].conf);
		harness_init(&h, line);
		harness_connect(&h, cases[i].client);
		snprintf(line, sizeof(line), "EHLO %s\r\n", cases[i].helo);
		harness_say(&h, line);
		snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", cases[i].sender);
		harness_say(&h, line);
		snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", cases[i].rcpt);
		said = harness_say(&h, line);
		if (strncmp(said, cases[i].reply, strlen(cases[i].reply)) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].name, said, cases[i].reply);
		harness_fini(&h);
	}
	log_set_level(LOG_LVL_INFO);
}

static void
check_hold(const struct harness_message *m, void *arg)
{
	(void)arg;
	assert_true(m->envelope.has_hold);
	assert_true(view_eq(m->envelope.hold, VIEW("suspicious")));
}

static void
test_hold_discard(void **state)
{
	struct harness h;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, RCPT "check_recipient_access inline:{HOLD suspicious}\n");
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO h.test\r\n");
	harness_say(&h, "MAIL FROM:<a@b.test>\r\nRCPT TO:<" OURS ">\r\nDATA\r\n");
	CHECK("hold", strncmp(harness_say(&h, "a: b\r\n\r\nx\r\n.\r\n"), "250", 3) == 0);
	assert_int_equal(harness_messages(&h, check_hold, NULL), 1);
	harness_fini(&h);
	harness_init(&h, MAIL "check_sender_access inline:DISCARD\n");
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO h.test\r\n");
	harness_say(&h, "MAIL FROM:<a@b.test>\r\nRCPT TO:<" OURS ">\r\nDATA\r\n");
	CHECK("discard", strncmp(harness_say(&h, "a: b\r\n\r\nx\r\n.\r\n"), "250", 3) == 0);
	assert_int_equal(harness_messages(&h, NULL, NULL), 0);
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

static void
test_without_delay(void **state)
{
	struct harness h;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, "smtpd_delay_reject = no\n" CLIENT "reject\n");
	harness_connect(&h, HARNESS_STRANGER);
	CHECK("connect", strncmp(buf_cstr(&h.replies), "554 5.7.1", 9) == 0);
	assert_true(harness_closed(&h));
	harness_fini(&h);
	harness_init(&h, "smtpd_delay_reject = no\n" HELO "reject\n");
	harness_connect(&h, HARNESS_STRANGER);
	CHECK("helo", strncmp(harness_say(&h, "EHLO h.test\r\n"), "554 5.7.1", 9) == 0);
	harness_fini(&h);
	harness_init(&h, "smtpd_delay_reject = no\n" MAIL "reject\n");
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO h.test\r\n");
	CHECK("mail", strncmp(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "554 5.7.1", 9) == 0);
	CHECK("rcpt", strncmp(harness_say(&h, "RCPT TO:<" OURS ">\r\n"), "503", 3) == 0);
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

static void
test_cache(void **state)
{
	struct harness h;
	unsigned i;

	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, "smtpd_lookup_cache_time = 60s\n");
	harness_connect(&h, HARNESS_FRIEND);
	harness_say(&h, "EHLO h.test\r\n");
	harness_say(&h, "MAIL FROM:<a@b.test>\r\n");
	for (i = 0; i < 10; i++)
		CHECK("rcpt", harness_say(&h, "RCPT TO:<" OURS ">\r\n")[0] == '2');
	assert_int_equal(h.lookups, 1);
	for (i = 0; i < 2; i++)
		CHECK("tempfail", harness_say(&h, "RCPT TO:<tempfail@example.test>\r\n")[0] == '4');
	assert_int_equal(h.lookups, 3);
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

static void
count(const struct conf_note *n, void *arg)
{
	*(unsigned *)arg += n->level == 'e' && n->line == 2;
}

/* They do not come into force: conf_load() names file and line. */
static void
test_bad_lists(void **state)
{
	static const char *const bad[] = { "reject_everything", "check_sender_access",
	    "check_sender_access reject", "permit_mynetworks, reject_unauth_destinatoin",
	    "sleep soon", "sleep 99999" };
	struct buf text;
	struct conf *c;
	unsigned errors;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(bad); i++) {
		buf_init(&text, 1000);
		buf_printf(&text, "# a comment\nsmtpd_helo_restrictions = %s\n", bad[i]);
		errors = 0;
		c = conf_load("main.cf", buf_view(&text), count, &errors);
		buf_fini(&text);
		CHECK(bad[i], c == NULL);
		CHECK_INT(bad[i], errors, 1);
	}
}

UNIT_MAIN(cmocka_unit_test(test_bad_lists), cmocka_unit_test(test_words),
    cmocka_unit_test(test_hold_discard),
    cmocka_unit_test(test_without_delay), cmocka_unit_test(test_cache))
