/* SPDX-License-Identifier: ISC */
/*
 * auth_test.c: AUTH (RFC 4954) as the session engine speaks it, with authd
 * played by the harness.
 */
#include <stdio.h>
#include <string.h>

#include "smtpd/auth.h"
#include "tests/unit/smtpd/harness.h"

#define ON	"smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no\n"
/* NUL alice NUL secret, NUL alice NUL wrong, NUL later NUL secret */
#define GOOD	"AGFsaWNlAHNlY3JldA=="
#define WRONG	"AGFsaWNlAHdyb25n"
#define LATER	"AGxhdGVyAHNlY3JldA=="

static struct harness h;

#define SAYS(said, want)						\
	do {								\
		const char *said_ = (said);				\
									\
		if (strncmp(said_, (want), strlen(want)) != 0)		\
			fail_msg("line %d: said \"%s\", not \"%s\"",	\
			    __LINE__, said_, (want));			\
	} while (0)

static const char *
begin(const char *conf, const char *address)
{
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, conf);
	harness_connect(&h, address);
	return harness_say(&h, "EHLO c.test\r\n");
}

static void
end(void)
{
	harness_fini(&h);
	log_set_level(LOG_LVL_INFO);
}

static const struct session *
session(void)
{
	return TAILQ_FIRST(&h.worker->sessions);
}

/* ---- what is offered ---- */

static void
test_offered(void **state)
{
	static const struct {
		const char *name, *conf, *address, *line;
	} rows[] = {
		{ "off by default", "", HARNESS_STRANGER, NULL },
		{ "needs TLS", "smtpd_sasl_auth_enable = yes\n", HARNESS_STRANGER, NULL },
		{ "a Unix socket is as good", "smtpd_sasl_auth_enable = yes\n", HARNESS_LOCAL,
		    "250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n" },
		{ "in clear when told so", ON, HARNESS_STRANGER,
		    "250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n" },
		{ "old clients", ON "broken_sasl_auth_clients = yes\n", HARNESS_STRANGER,
		    "250-AUTH=PLAIN LOGIN SCRAM-SHA-256\r\n" },
		{ "one alone", ON "smtpd_sasl_mechanism_filter = plain\n", HARNESS_STRANGER,
		    "250-AUTH PLAIN\r\n" },
		{ "all but one", ON "smtpd_sasl_mechanism_filter = !login, static:all\n",
		    HARNESS_STRANGER, "250-AUTH PLAIN SCRAM-SHA-256\r\n" },
		{ "filtered to nothing", ON "smtpd_sasl_mechanism_filter = gssapi\n",
		    HARNESS_STRANGER, NULL },
		{ "excepted", ON "smtpd_sasl_exceptions_networks = 203.0.113.0/24\n",
		    HARNESS_STRANGER, NULL },
		{ "not excepted", ON "smtpd_sasl_exceptions_networks = !203.0.113.7, 203.0.113.0/24\n",
		    HARNESS_STRANGER, "250-AUTH PLAIN" },
		{ "withdrawn", ON "smtpd_discard_ehlo_keywords = auth\n", HARNESS_STRANGER, NULL },
	};
	const char *said;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		said = begin(rows[i].conf, rows[i].address);
		if (rows[i].line == NULL ? strstr(said, "AUTH") != NULL :
		    strstr(said, rows[i].line) == NULL)
			fail_msg("%s: %s", rows[i].name, said);
		end();
	}
}

static void
test_filter(void **state)
{
	static const struct {
		const char *filter, *name;
		bool allowed;
	} rows[] = {
		{ "!external, static:rest", "PLAIN", true },
		{ "!external, static:rest", "EXTERNAL", false },
		{ "plain login", "LOGIN", true },
		{ "plain login", "SCRAM-SHA-256", false },
		{ "", "PLAIN", false },
		{ "!plain", "LOGIN", false },
		{ "static:rest, !plain", "PLAIN", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++)
		if (auth_filter_allows(rows[i].filter, view_str(rows[i].name)) != rows[i].allowed)
			fail_msg("%s: %s", rows[i].filter, rows[i].name);
}

static void
test_mechanism_names(void **state)
{
	struct auth_mechanisms m = { .count = 0 };
	unsigned i;

	(void)state;
	assert_int_equal(auth_mechanisms_add(&m, VIEW(""), 0), PK_ESYNTAX);
	assert_int_equal(auth_mechanisms_add(&m, VIEW("plain"), 0), PK_ESYNTAX);
	assert_int_equal(auth_mechanisms_add(&m, VIEW("X Y"), 0), PK_ESYNTAX);
	assert_int_equal(auth_mechanisms_add(&m, VIEW("A\r\n250 X"), 0), PK_ESYNTAX);
	assert_int_equal(auth_mechanisms_add(&m, VIEW("TWENTY-ONE-LETTERS-ABC"), 0), PK_ESYNTAX);
	for (i = 0; i < AUTH_MECHANISMS_MAX; i++)
		assert_int_equal(auth_mechanisms_add(&m, VIEW("X_509-1"), 0), 0);
	assert_int_equal(auth_mechanisms_add(&m, VIEW("PLAIN"), 0), PK_ELIMIT);
}

/* ---- dialogues ---- */

static void
test_dialogues(void **state)
{
	/* Each row begins behind EHLO; parts are parted by '|', replies too. */
	static const struct {
		const char *name, *say, *hear;
	} rows[] = {
		{ "initial response", "AUTH PLAIN " GOOD "\r\n", "235 2.7.0 " },
		{ "small letters", "auth plain " GOOD "\r\n", "235 2.7.0 " },
		{ "without it", "AUTH PLAIN\r\n|" GOOD "\r\n", "334 \r\n|235 2.7.0 " },
		{ "login", "AUTH LOGIN\r\n|YWxpY2U=\r\n|c2VjcmV0\r\n",
		    "334 VXNlcm5hbWU6\r\n|334 UGFzc3dvcmQ6\r\n|235 2.7.0 " },
		{ "login, name at once", "AUTH LOGIN YWxpY2U=\r\n|c2VjcmV0\r\n",
		    "334 UGFzc3dvcmQ6\r\n|235 2.7.0 " },
		{ "wrong password", "AUTH PLAIN " WRONG "\r\n|NOOP\r\n",
		    "535 5.7.8 Error: authentication failed: |250 " },
		{ "nobody can tell", "AUTH PLAIN " LATER "\r\n|NOOP\r\n", "454 4.7.0 |250 " },
		{ "empty initial response", "AUTH LOGIN =\r\n|c2VjcmV0\r\n",
		    "334 UGFzc3dvcmQ6\r\n|535 5.7.8 " },
		{ "cancel", "AUTH LOGIN\r\n|*\r\n|NOOP\r\n", "334 |501 5.7.0 |250 " },
		{ "cancel later", "AUTH LOGIN\r\n|YWxpY2U=\r\n|*\r\n|AUTH PLAIN " GOOD "\r\n",
		    "334 |334 |501 5.7.0 |235 " },
		{ "a response is no command", "AUTH LOGIN\r\n|QUIT\r\n|SEVMTyB4\r\n|NOOP\r\n",
		    "334 |334 |535 |250 " },
		{ "no base64", "AUTH PLAIN !!!\r\n|NOOP\r\n", "501 5.5.2 |250 " },
		{ "no base64 later", "AUTH LOGIN\r\n|a b\r\n|NOOP\r\n", "334 |501 5.5.2 |250 " },
		{ "padding in the middle", "AUTH PLAIN YQ==YQ==\r\n", "501 5.5.2 " },
		{ "unknown mechanism", "AUTH KERBEROS_V4\r\n", "504 5.5.4 " },
		{ "hidden mechanism", "AUTH EXTERNAL =\r\n", "504 5.5.4 " },
		{ "binding without a channel", "AUTH SCRAM-SHA-256-PLUS\r\n", "504 5.5.4 " },
		{ "no mechanism", "AUTH\r\n", "501 5.5.4 " },
		{ "too many words", "AUTH PLAIN " GOOD " x\r\n", "501 5.5.4 " },
		{ "twice", "AUTH PLAIN " GOOD "\r\n|AUTH PLAIN " GOOD "\r\n", "235 |503 5.5.1 " },
		{ "in a transaction", "MAIL FROM:<a@b.test>\r\n|AUTH PLAIN " GOOD "\r\n|RSET\r\n"
		    "|AUTH PLAIN " GOOD "\r\n", "250 |503 5.5.1 |250 |235 " },
		{ "behind HELO", "HELO c.test\r\n|AUTH PLAIN " GOOD "\r\n", "250 |503 5.5.1 " },
		{ "AUTH= of MAIL", "AUTH PLAIN " GOOD "\r\n|MAIL FROM:<a@b.test> AUTH=<>\r\n|RSET\r\n|"
		    "MAIL FROM:<a@b.test> AUTH=e+3Dmc2@b.test\r\n|RSET\r\n|MAIL FROM:<a@b.test> "
		    "AUTH=e+3\r\n", "235 |250 |250 |250 |250 |501 5.5.4 " },
		{ "answers at once", "AUTH LOGIN\r\n|YWxpY2U=\r\nc2VjcmV0\r\n", "334 |334 UGFz" },
		{ "a bare newline in a response", "AUTH LOGIN\r\n|YWxpY2U=\n", "334 |550 5.5.2 " },
	};
	char say[1000], hear[1000], *s, *r, *next_s, *next_r;
	const char *said;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		begin(ON, HARNESS_STRANGER);
		snprintf(say, sizeof(say), "%s", rows[i].say);
		snprintf(hear, sizeof(hear), "%s", rows[i].hear);
		for (s = say, r = hear; s != NULL; s = next_s, r = next_r) {
			next_s = strchr(s, '|');
			next_r = strchr(r, '|');
			if (next_s != NULL)
				*next_s++ = '\0';
			if (next_r != NULL)
				*next_r++ = '\0';
			said = harness_say(&h, s);
			if (strncmp(said, r, strlen(r)) != 0)
				fail_msg("%s: to %s said \"%s\", not \"%s\"", rows[i].name, s,
				    said, r);
			assert_true((next_s == NULL) == (next_r == NULL));
		}
		end();
	}
}

static void
test_before_ehlo(void **state)
{
	(void)state;
	log_set_level(LOG_LVL_FATAL);
	harness_init(&h, ON);
	harness_connect(&h, HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "503 5.5.1 ");
	end();
}

static void
test_off_and_in_clear(void **state)
{
	(void)state;
	begin("", HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "503 5.5.1 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test> AUTH=<>\r\n"), "555 5.5.4 ");
	end();
	begin("smtpd_sasl_auth_enable = yes\n", HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "538 5.7.11 ");
	assert_null(auth_login(session()));
	end();
}

static void
test_kept_and_lost(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	assert_null(auth_login(session()));
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "235 ");
	assert_string_equal(auth_login(session()), "alice@example.test");
	SAYS(harness_say(&h, "RSET\r\n"), "250 ");
	SAYS(harness_say(&h, "EHLO d.test\r\n"), "250-");
	SAYS(harness_say(&h, "HELO d.test\r\n"), "250 ");
	assert_string_equal(auth_login(session()), "alice@example.test");
	/* The next client on this worker is somebody else. */
	harness_connect(&h, HARNESS_STRANGER);
	SAYS(harness_say(&h, "EHLO d.test\r\n"), "250-");
	assert_null(auth_login(session()));
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "454 4.7.1 ");
	end();
}

static void
test_relay_by_login(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " WRONG "\r\n"), "535 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "454 4.7.1 ");
	SAYS(harness_say(&h, "RSET\r\n"), "250 ");
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	end();
}

static void
check_message(const struct harness_message *m, void *arg)
{
	const char *from = arg;

	assert_true(view_eq(m->envelope.login, VIEW("alice@example.test")));
	assert_int_equal(m->envelope.ticket.len, AUTH_TICKET_SIZE);
	assert_true(view_starts(m->envelope.ticket, VIEW("ticket")));
	assert_true(view_eq(m->envelope.protocol, VIEW("ESMTPA")));
	assert_true(view_starts(m->header, view_str(from)));
	assert_true(memmem(m->header.p, m->header.len, " with ESMTPA id ", 16) != NULL);
}

static void
one_message(void)
{
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "235 ");
	SAYS(harness_say(&h, "MAIL FROM:<alice@example.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "RCPT TO:<x@far.test>\r\n"), "250 ");
	SAYS(harness_say(&h, "DATA\r\n"), "354 ");
	SAYS(harness_say(&h, "Subject: x\r\n\r\nx\r\n.\r\n"), "250 2.0.0 Ok: queued as ");
}

static void
test_envelope_and_trace(void **state)
{
	static char plain[] = "Received: from c.test (unknown [203.0.113.7])\r\n\tby ",
	    named[] = "Received: from c.test (unknown [203.0.113.7])\r\n"
	    "\t(Authenticated sender: alice@example.test)\r\n\tby ",
	    hidden[] = "Received: (Authenticated sender: alice@example.test)\r\n"
	    "\tby mx.example.test ", nobody[] = "Received: by mx.example.test ";

	(void)state;
	begin(ON, HARNESS_STRANGER);
	one_message();
	assert_int_equal(harness_messages(&h, check_message, plain), 1);
	end();
	begin(ON "smtpd_sasl_authenticated_header = yes\n", HARNESS_STRANGER);
	one_message();
	assert_int_equal(harness_messages(&h, check_message, named), 1);
	end();
	begin(ON "smtpd_sasl_authenticated_header = yes\nsmtpd_hide_client = yes\n",
	    HARNESS_STRANGER);
	one_message();
	assert_int_equal(harness_messages(&h, check_message, hidden), 1);
	end();
	begin(ON "smtpd_hide_client = yes\n", HARNESS_STRANGER);
	one_message();
	assert_int_equal(harness_messages(&h, check_message, nobody), 1);
	end();
}

/* ---- limits ---- */

static void
test_long_lines(void **state)
{
	char line[3000];

	(void)state;
	begin(ON "smtpd_sasl_response_limit = 1000\n", HARNESS_STRANGER);
	memset(line, 'A', sizeof(line));
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	/* As long as allowed, also in pieces. */
	assert_string_equal(harness_send(&h, view_of(line, 500)), "");
	assert_string_equal(harness_send(&h, view_of(line, 500)), "");
	SAYS(harness_say(&h, "\r\n"), "334 ");
	SAYS(harness_say(&h, "*\r\n"), "501 ");
	/* Too long: what is behind the limit is no command, nor a response. */
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	memcpy(line + 1200, "\r\n", 2);
	SAYS(harness_send(&h, view_of(line, 1202)), "500 5.5.6 ");
	SAYS(harness_say(&h, "NOOP\r\n"), "250 ");
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	SAYS(harness_send(&h, view_of(line, 1100)), "500 5.5.6 ");
	assert_string_equal(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "");
	SAYS(harness_say(&h, "NOOP\r\n"), "250 ");
	assert_int_equal(h.conversations, 0);
	end();
}

/* RFC 4954 4: AUTH's own line has room for a token, and no other has. */
static void
test_long_initial_response(void **state)
{
	char line[13000];
	struct buf b;

	(void)state;
	memset(line, 'A', sizeof(line));
	buf_init(&b, 20000);
	buf_put_str(&b, "AUTH LOGIN ");
	buf_put(&b, line, 12000);
	buf_put_str(&b, "\r\n");
	begin(ON, HARNESS_STRANGER);
	/* Whole, and in pieces. */
	SAYS(harness_send(&h, buf_view(&b)), "334 ");
	SAYS(harness_say(&h, "*\r\n"), "501 5.7.0 ");
	assert_string_equal(harness_send(&h, view_head(buf_view(&b), 5000)), "");
	assert_string_equal(harness_send(&h, view_of(buf_data(&b) + 5000, 7000)), "");
	SAYS(harness_send(&h, view_from(buf_view(&b), 12000)), "334 ");
	SAYS(harness_say(&h, "*\r\n"), "501 5.7.0 ");
	buf_reset(&b);
	buf_put_str(&b, "AUTH LOGIN ");
	buf_put(&b, line, 12500);
	buf_put_str(&b, "\r\n");
	SAYS(harness_send(&h, buf_view(&b)), "500 5.5.2 ");
	SAYS(harness_say(&h, "NOOP\r\n"), "250 ");
	memcpy(buf_data(&b), "NOOP", 4);
	SAYS(harness_send(&h, view_from(buf_view(&b), 8000)), "500 5.5.2 ");
	/* In a transaction there is no login, and no room for one. */
	memcpy(buf_data(&b), "AUTH", 4);
	SAYS(harness_say(&h, "MAIL FROM:<a@b.test>\r\n"), "250 ");
	SAYS(harness_send(&h, view_head(buf_view(&b), 5000)), "500 5.5.2 ");
	SAYS(harness_say(&h, "\r\n"), "");
	SAYS(harness_say(&h, "RSET\r\n"), "250 ");
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "235 ");
	SAYS(harness_send(&h, view_head(buf_view(&b), 5000)), "500 5.5.2 ");
	buf_fini(&b);
	end();
}

static void
test_rate_limit(void **state)
{
	(void)state;
	begin(ON "smtpd_client_auth_rate_limit = 2\n", HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " WRONG "\r\n"), "535 ");
	SAYS(harness_say(&h, "AUTH PLAIN " WRONG "\r\n"), "535 ");
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "450 4.7.1 ");
	/* Over connections, too. */
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "450 4.7.1 ");
	end();
}

static void
test_error_limit(void **state)
{
	(void)state;
	begin(ON "smtpd_hard_error_limit = 2\n", HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " WRONG "\r\n"), "535 ");
	SAYS(harness_say(&h, "AUTH PLAIN " WRONG "\r\n"), "535 ");
	assert_true(harness_closed(&h));
	end();
}

static void
test_pipelined(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\nMAIL FROM:<a@b.test>\r\n"), "554 5.5.0 ");
	assert_true(harness_closed(&h));
	end();
	begin(ON "smtpd_forbid_unauth_pipelining = no\n", HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<x@far.test>"
	    "\r\n"), "235 2.7.0 Authentication successful\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	end();
}

/* ---- authd ---- */

static void
test_authd_away(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	h.no_authd = true;
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "454 4.7.0 ");
	h.no_authd = false;
	h.authd_dies = true;
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "454 4.7.0 ");
	assert_null(auth_login(session()));
	h.authd_dies = false;
	SAYS(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "235 ");
	end();
}

static void
test_client_leaves(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	assert_int_equal(h.conversations, 1);
	harness_hang_up(&h);
	assert_int_equal(h.conversations, 0);
	/* Also while authd thinks. */
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	h.authd_silent = true;
	assert_string_equal(harness_say(&h, "AUTH PLAIN " GOOD "\r\n"), "");
	assert_int_equal(h.conversations, 1);
	harness_hang_up(&h);
	assert_int_equal(h.conversations, 0);
	end();
}

static void
test_drain(void **state)
{
	(void)state;
	begin(ON, HARNESS_STRANGER);
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	worker_drain_now(h.worker);
	SAYS(harness_drain(&h), "421 4.3.2 ");
	assert_int_equal(h.conversations, 0);
	end();
}

/* ---- secrets ---- */

static bool
holds(const void *p, size_t n, const char *what)
{
	return memmem(p, n, what, strlen(what)) != NULL;
}

/* No buffer of ours has the password when it is judged, whole or in pieces. */
static void
test_secrets_are_wiped(void **state)
{
	unsigned i;

	(void)state;
	begin(ON, HARNESS_STRANGER);
	assert_string_equal(harness_say(&h, "AUTH PLAIN AGFsaWNlAH"), "");
	assert_false(holds(h.worker->scratch, sizeof(h.worker->scratch), "AGFsaWNl"));
	SAYS(harness_say(&h, "NlY3JldA==\r\n"), "235 ");
	harness_connect(&h, HARNESS_STRANGER);
	harness_say(&h, "EHLO c.test\r\n");
	SAYS(harness_say(&h, "AUTH LOGIN\r\n"), "334 ");
	SAYS(harness_say(&h, "YWxpY2U=\r\n"), "334 ");
	SAYS(harness_say(&h, "c2VjcmV0\r\n"), "235 ");
	assert_false(holds(h.worker->scratch, sizeof(h.worker->scratch), "c2VjcmV0"));
	for (i = 0; i < h.worker->nspare_bufs; i++) {
		assert_false(holds(h.worker->spare_bufs[i].data, h.worker->spare_bufs[i].cap,
		    "secret"));
		assert_false(holds(h.worker->spare_bufs[i].data, h.worker->spare_bufs[i].cap,
		    "NlY3JldA"));
	}
	end();
}

UNIT_MAIN(cmocka_unit_test(test_offered), cmocka_unit_test(test_filter),
    cmocka_unit_test(test_mechanism_names), cmocka_unit_test(test_dialogues),
    cmocka_unit_test(test_before_ehlo), cmocka_unit_test(test_off_and_in_clear),
    cmocka_unit_test(test_kept_and_lost), cmocka_unit_test(test_relay_by_login),
    cmocka_unit_test(test_envelope_and_trace), cmocka_unit_test(test_long_lines),
    cmocka_unit_test(test_long_initial_response),
    cmocka_unit_test(test_rate_limit), cmocka_unit_test(test_error_limit),
    cmocka_unit_test(test_pipelined), cmocka_unit_test(test_authd_away),
    cmocka_unit_test(test_client_leaves), cmocka_unit_test(test_drain),
    cmocka_unit_test(test_secrets_are_wiped))
