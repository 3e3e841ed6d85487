/* SPDX-License-Identifier: ISC */
/*
 * submission_test.c: what users may do and must not (RFC 6409, RFC 4865).
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/unit/smtpd/harness.h"

#define USERS	"listeners = smtp:inet:25 users:inet:587\nusers_listener_class = submission\n" \
		"smtpd_tls_auth_only = no\n"
#define ALICE	"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"
#define BOB	"AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"

static struct harness h;

#define SAYS(said, want)						\
	do {								\
		const char *said_ = (said);				\
									\
		if (strncmp(said_, (want), strlen(want)) != 0)		\
			fail_msg("line %d: said \"%s\", not \"%s\"",	\
			    __LINE__, said_, (want));			\
	} while (0)

static void
connect_users(const char *address)
{
	harness_listener(&h, "users", CHILD_LISTENER_SUBMISSION);
	harness_connect(&h, address);
	SAYS(harness_say(&h, "EHLO c.test\r\n"), "250-");
}

static void
begin(const char *conf, const char *address)
{
	char text[2000];

	log_set_level(LOG_LVL_FATAL);
	snprintf(text, sizeof(text), "%s%s", USERS, conf);
	harness_init(&h, text);
	connect_users(address);
}

static void
end(void)
{
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

/* ---- the class ---- */

static void
test_login_needed(void **state)
{
	(void)state;
	/* Lists for strangers are not for users. */
	begin("smtpd_client_restrictions = reject\nsmtpd_recipient_restrictions = reject\n",
	    HARNESS_STRANGER);
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "530 5.7.0 ");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "503 ");
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	end();
	begin("", HARNESS_FRIEND);
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	end();
	/* Even with AUTH switched off: nobody gets in. */
	begin("users_smtpd_sasl_auth_enable = no\n", HARNESS_STRANGER);
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "554 ");
	end();
}

/* ---- whose address is it? ---- */

static void
test_sender_login(void **state)
{
	static const struct {
		const char *word, *maps, *login, *sender, *reply;
	} rows[] = {
		{ "reject_sender_login_mismatch", "alice@example.test", ALICE, "x@y.test", "250" },
		{ "reject_sender_login_mismatch", "bob, ALICE@example.test", ALICE, "x@y.test",
		    "250" },
		{ "reject_sender_login_mismatch", "bob@example.test", ALICE, "x@y.test",
		    "553 5.7.1 <x@y.test>: Sender address rejected: not owned by user "
		    "alice@example.test" },
		{ "reject_sender_login_mismatch", NULL, ALICE, "x@y.test",
		    "553 5.7.1 <x@y.test>: Sender address rejected: not owned by user" },
		{ "reject_sender_login_mismatch", "bob@example.test", ALICE, "", "250" },
		{ "reject_sender_login_mismatch", "bob@example.test", NULL, "x@y.test",
		    "553 5.7.1 <x@y.test>: Sender address rejected: not logged in" },
		{ "reject_sender_login_mismatch", NULL, NULL, "x@y.test", "250" },
		{ "reject_sender_login_mismatch", "alice@example.testx", ALICE, "x@y.test",
		    "553" },
		{ "reject_sender_login_mismatch", "xalice@example.test", ALICE, "x@y.test",
		    "553" },
		/* A login without a domain is of auth_default_domain. */
		{ "reject_sender_login_mismatch", "alice", ALICE, "x@y.test", "250" },
		{ "reject_sender_login_mismatch", "alic", ALICE, "x@y.test", "553" },
		{ "reject_authenticated_sender_login_mismatch", "bob", ALICE, "x@y.test", "553" },
		{ "reject_authenticated_sender_login_mismatch", "bob", NULL, "x@y.test", "250" },
		{ "reject_unauthenticated_sender_login_mismatch", "bob", ALICE, "x@y.test",
		    "250" },
		{ "reject_unauthenticated_sender_login_mismatch", "bob", NULL, "x@y.test",
		    "553" },
		{ "reject_known_sender_login_mismatch", NULL, ALICE, "x@y.test", "250" },
		{ "reject_known_sender_login_mismatch", "bob", ALICE, "x@y.test", "553" },
		/* Who is not logged in is not its owner either. */
		{ "reject_known_sender_login_mismatch", "bob", NULL, "x@y.test",
		    "553 5.7.1 <x@y.test>: Sender address rejected: not logged in" },
		{ "reject_known_sender_login_mismatch", NULL, NULL, "x@y.test", "250" },
	};
	char conf[600], line[100];
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		snprintf(conf, sizeof(conf),
		    "smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no\n"
		    "auth_default_domain = example.test\nsmtpd_sender_restrictions = %s\n"
		    "smtpd_sender_login_maps = %s{%s}\n", rows[i].word,
		    rows[i].maps != NULL ? "inline:" : "texthash:",
		    rows[i].maps != NULL ? rows[i].maps : "nothing");
		log_set_level(LOG_LVL_FATAL);
		harness_init(&h, conf);
		harness_connect(&h, HARNESS_STRANGER);
		harness_say(&h, "EHLO c.test\r\n");
		if (rows[i].login != NULL)
			SAYS(harness_say(&h, rows[i].login), "235 ");
		snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", rows[i].sender);
		SAYS(harness_say(&h, line), "250 ");
		if (strncmp(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), rows[i].reply,
		    strlen(rows[i].reply)) != 0)
			fail_msg("row %zu: %s", i, buf_cstr(&h.replies));
		end();
	}
}

static void
test_sasl_access(void **state)
{
	(void)state;
	begin("users_smtpd_sender_restrictions = check_sasl_access inline:{REJECT not you}\n",
	    HARNESS_STRANGER);
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"),
	    "554 5.7.1 <alice@example.test>: SASL login name rejected: not you");
	end();
}

/* ---- rates ---- */

static void
test_user_rates(void **state)
{
	(void)state;
	begin("smtpd_user_message_rate_limit = 1\nsmtpd_user_recipient_rate_limit = 3\n",
	    HARNESS_STRANGER);
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<y@far.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<z@far.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<q@far.test>\r\n"), "450 4.7.1 ");
	/* From elsewhere, too; another user has a count of his own. */
	connect_users("198.51.100.9");
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "450 4.7.1 ");
	connect_users("198.51.100.9");
	SAYS(harness_say(&h, BOB), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	end();
}

/* ---- FUTURERELEASE ---- */

static uint64_t until_ms;

static void
check_until(const struct harness_message *m, void *arg)
{
	(void)arg;
	until_ms = m->envelope.hold_until_ms;
}

static void
send_message(const char *mail)
{
	SAYS(harness_say(&h, mail), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "DATA\r\n"), "354 ");
	SAYS(harness_say(&h, "Subject: x\r\n\r\nx\r\n.\r\n"), "250 ");
}

static void
test_future_release(void **state)
{
	time_t later = time(NULL) + 1800;
	char line[200], date[40];
	const char *said;
	struct tm tm;

	(void)state;
	gmtime_r(&later, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	begin("smtpd_futurerelease_limit = 1h\n", HARNESS_STRANGER);
	said = harness_say(&h, "EHLO c.test\r\n");
	assert_non_null(strstr(said, "FUTURERELEASE 3600 20"));
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDFOR=60\r\n"), "530 5.7.0 ");
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDFOR=3601\r\n"), "501 5.5.4 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDFOR=x\r\n"), "501 5.5.4 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDFOR=1 HOLDFOR=1\r\n"), "501 5.5.4 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDUNTIL=2100-01-01T00:00:00Z\r\n"),
	    "501 5.5.4 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDUNTIL=tomorrow\r\n"), "501 5.5.4 ");
	snprintf(line, sizeof(line), "MAIL FROM:<a@b.test> HOLDFOR=1 HOLDUNTIL=%s\r\n", date);
	SAYS(harness_say(&h, line), "501 5.5.4 ");
	send_message("MAIL FROM:<a@b.test> HOLDFOR=600\r\n");
	assert_int_equal(harness_messages(&h, check_until, NULL), 1);
	assert_in_range(until_ms, clock_wall_ms() + 590000, clock_wall_ms() + 600000);
	snprintf(line, sizeof(line), "MAIL FROM:<a@b.test> HOLDUNTIL=%s\r\n", date);
	send_message(line);
	assert_int_equal(harness_messages(&h, check_until, NULL), 2);
	assert_true(until_ms == (uint64_t)later * 1000);
	/* What is over waits no more; the next message does not wait either. */
	send_message("MAIL FROM:<a@b.test> HOLDUNTIL=2001-01-01T00:00:00Z\r\n");
	assert_int_equal(harness_messages(&h, check_until, NULL), 3);
	assert_true(until_ms == 0);
	send_message("MAIL FROM:<a@b.test>\r\n");
	assert_int_equal(harness_messages(&h, check_until, NULL), 4);
	assert_true(until_ms == 0);
	end();
	begin("smtpd_futurerelease_limit = 0\n", HARNESS_STRANGER);
	assert_null(strstr(harness_say(&h, "EHLO c.test\r\n"), "FUTURERELEASE"));
	SAYS(harness_say(&h, ALICE), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> HOLDFOR=60\r\n"), "555 5.5.4 ");
	end();
}

/* ---- Date and Message-ID ---- */

static struct {
	bool date, id;
	char message_id[300];
} added;

static bool
has(struct view v, const char *what)
{
	return memmem(v.p, v.len, what, strlen(what)) != NULL;
}

static void
check_added(const struct harness_message *m, void *arg)
{
	(void)arg;
	assert_true(view_starts(m->header, VIEW("Received: ")));
	added.date = has(m->header, "\r\nDate: ");
	added.id = has(m->header, "\r\nMessage-ID: <");
	snprintf(added.message_id, sizeof(added.message_id), "%.*s",
	    VIEW_ARG(m->envelope.message_id));
	if (added.id)
		assert_true(has(m->header, added.message_id));
}

static void
complete_one(const char *content, bool date, bool id)
{
	static unsigned n;
	unsigned before = harness_messages(&h, NULL, NULL);

	n++;
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<alice@example.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "DATA\r\n"), "354 ");
	SAYS(harness_say(&h, content), "250 ");
	assert_int_equal(harness_messages(&h, check_added, NULL), before + 1);
	if (added.date != date || added.id != id)
		fail_msg("message %u: date %d id %d", n, added.date, added.id);
}

static void
test_completed(void **state)
{
	char first[300];

	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(harness_say(&h, ALICE), "235 ");
	complete_one("Subject: x\r\n\r\nDate: in the body\r\n.\r\n", true, true);
	memcpy(first, added.message_id, sizeof(first));
	assert_non_null(strstr(first, "@mx.example.test>"));
	complete_one("Subject: x\r\n\r\nx\r\n.\r\n", true, true);
	assert_string_not_equal(first, added.message_id);
	complete_one("date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\nx\r\n.\r\n", false, true);
	complete_one("MESSAGE-ID: <x@y>\r\n\r\nx\r\n.\r\n", true, false);
	assert_string_equal(added.message_id, "<x@y>");
	complete_one("Date: x\r\nMessage-Id: <x@y>\r\n\r\nx\r\n.\r\n", false, false);
	end();
	/* A stranger's message stays as it is. */
	begin("", HARNESS_STRANGER);
	harness_listener(&h, "smtp", CHILD_LISTENER_MX);
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	complete_one("Subject: x\r\n\r\nx\r\n.\r\n", false, false);
	end();
	begin("always_add_missing_headers = yes\n", HARNESS_STRANGER);
	harness_listener(&h, "smtp", CHILD_LISTENER_MX);
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	complete_one("Subject: x\r\n\r\nx\r\n.\r\n", true, true);
	end();
}

UNIT_MAIN(cmocka_unit_test(test_login_needed), cmocka_unit_test(test_sender_login),
    cmocka_unit_test(test_sasl_access), cmocka_unit_test(test_user_rates),
    cmocka_unit_test(test_future_release), cmocka_unit_test(test_completed))
