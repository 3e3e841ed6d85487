/* SPDX-License-Identifier: ISC */
/*
 * smtp_command_test.c: one line of a client, taken apart.
 */
#include "tests/unit/unit.h"

#include "mail/smtp_command.h"

#define ALL	(SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_BINARYMIME | \
	SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN | SMTP_EXT_AUTH |		  \
	SMTP_EXT_REQUIRETLS | SMTP_EXT_MT_PRIORITY | SMTP_EXT_FUTURERELEASE)
#define STRICT	(ALL | SMTP_EXT_STRICT)
#define NOW	(ALL | SMTP_EXT_UTF8_NOW)

#define V(verb) SMTP_VERB_##verb
#define OK	SMTP_COMMAND_OK
#define E(name)	SMTP_COMMAND_E_##name

static const struct {
	const char	*line;
	unsigned	 enabled;
	enum smtp_command_error error;
	enum smtp_verb	 verb;
	const char	*arg;
} lines[] = {
	{ "HELO a", ALL, OK, V(HELO), "a" },
	{ "ehlo  mx.example.test  ", ALL, OK, V(EHLO), "mx.example.test" },
	{ "EHLO", ALL, E(HELO_SYNTAX), V(EHLO), "" },
	{ "LHLO a", ALL, OK, V(LHLO), "a" },
	{ "HELOX a", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "HEL", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "", ALL, E(EMPTY), V(UNKNOWN), "" },
	{ "  ", ALL, E(EMPTY), V(UNKNOWN), "" },
	{ "GET / HTTP/1.1", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	/* Bytes that differ from a letter by the folded bit only. */
	{ "H%LO a", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "\x88\x85\x8c\x8f a", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "RSET", ALL, OK, V(RSET), "" },
	{ "rSeT ", ALL, OK, V(RSET), "" },
	{ "RSET x", ALL, E(ARGUMENT), V(RSET), "x" },
	{ "DATA", ALL, OK, V(DATA), "" },
	{ "DATA x", ALL, E(ARGUMENT), V(DATA), "x" },
	{ "QUIT", ALL, OK, V(QUIT), "" },
	{ "NOOP", ALL, OK, V(NOOP), "" },
	{ "NOOP any thing", ALL, OK, V(NOOP), "any thing" },
	{ "NOOP \xc3\xb6", ALL, OK, V(NOOP), "\xc3\xb6" },
	{ "NOOP \xc3", ALL, E(BAD_UTF8), V(NOOP), NULL },
	{ "HELP", ALL, OK, V(HELP), "" },
	{ "VRFY", ALL, E(NO_ARGUMENT), V(VRFY), "" },
	{ "VRFY alice", ALL, OK, V(VRFY), "alice" },
	{ "VRFY alice SMTPUTF8", ALL, OK, V(VRFY), "alice" },
	{ "EXPN list", ALL, OK, V(EXPN), "list" },
	{ "ETRN x", ALL, OK, V(ETRN), "x" },
	{ "STARTTLS", ALL, OK, V(STARTTLS), "" },
	{ "STARTTLS x", ALL, E(ARGUMENT), V(STARTTLS), "x" },
	{ "STARTLES", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "STAR", ALL, E(UNKNOWN_VERB), V(UNKNOWN), NULL },
	{ "AUTH PLAIN", ALL, OK, V(AUTH), "PLAIN" },
	{ "XCLIENT ADDR=1.2.3.4", ALL, OK, V(XCLIENT), "ADDR=1.2.3.4" },
	{ "XFORWARD A=b", ALL, OK, V(XFORWARD), "A=b" },
	{ "BDAT 10", ALL, OK, V(BDAT), "10" },
	{ "BDAT 0 LAST", ALL, OK, V(BDAT), "0 LAST" },
	{ "BDAT 0 last", ALL, OK, V(BDAT), "0 last" },
	{ "BDAT", ALL, E(BDAT_SYNTAX), V(BDAT), "" },
	{ "BDAT x", ALL, E(BDAT_SYNTAX), V(BDAT), NULL },
	{ "BDAT -1", ALL, E(BDAT_SYNTAX), V(BDAT), NULL },
	{ "BDAT 1 LASTX", ALL, E(BDAT_SYNTAX), V(BDAT), NULL },
	{ "BDAT 99999999999999999999999", ALL, E(BDAT_SYNTAX), V(BDAT), NULL },
	{ "BDAT 18446744073709551615", ALL, E(BDAT_SYNTAX), V(BDAT), NULL },

	{ "MAIL FROM:<>", ALL, OK, V(MAIL), NULL },
	{ "mail from:<a@b>", ALL, OK, V(MAIL), NULL },
	{ "MAIL", ALL, E(MAIL_SYNTAX), V(MAIL), "" },
	{ "MAIL FROM", ALL, E(MAIL_SYNTAX), V(MAIL), NULL },
	{ "MAIL FROM:", ALL, E(MAIL_SYNTAX), V(MAIL), NULL },
	{ "MAIL TO:<a@b>", ALL, E(MAIL_SYNTAX), V(MAIL), NULL },
	{ "MAIL FROM: <a@b>", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM: <a@b>", STRICT, E(SENDER), V(MAIL), NULL },
	{ "MAIL FROM:a@b SIZE=1", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM:a@b", STRICT, E(SENDER), V(MAIL), NULL },
	{ "MAIL FROM:<a>", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM:<a>", STRICT, E(SENDER), V(MAIL), NULL },
	{ "MAIL FROM:<a@b>SIZE=1", ALL, E(SENDER), V(MAIL), NULL },
	{ "MAIL FROM:<a@b", ALL, E(SENDER), V(MAIL), NULL },
	{ "MAIL FROM:<\xc3\xb6@b>", ALL, E(NEEDS_SMTPUTF8), V(MAIL), NULL },
	{ "MAIL FROM:<\xc3\xb6@b> SMTPUTF8", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM:<\xc3\xb6@b> SMTPUTF8", 0, E(NEEDS_SMTPUTF8), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SMTPUTF8=1", ALL, E(OPTION_SYNTAX), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SMTPUTF8", 0, E(OPTION), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE=1", 0, E(OPTION), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE", ALL, E(OPTION_SYNTAX), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE=", ALL, E(OPTION_SYNTAX), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE=x", ALL, E(SIZE), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE=99999999999999999999", ALL, E(SIZE), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> SIZE=1 size=2", ALL, E(OPTION_TWICE), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> BODY=9BIT", ALL, E(BODY), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> BODY=BINARYMIME", SMTP_EXT_8BITMIME, E(BODY), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> RET=X", ALL, E(RET), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> ENVID=a=b", ALL, E(ENVID), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> ENVID=+0", ALL, E(ENVID), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> AUTH=<>", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM:<a@b> MT-PRIORITY=10", ALL, E(PRIORITY), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> MT-PRIORITY=-", ALL, E(PRIORITY), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> REQUIRETLS", ALL, OK, V(MAIL), NULL },
	{ "MAIL FROM:<a@b> HOLDFOR=60 HOLDUNTIL=2026-11-20T15:17:29Z", ALL,
	    E(HOLD), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> HOLDUNTIL=soon", ALL, E(HOLD), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> NOTIFY=NEVER", ALL, E(OPTION), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> X", ALL, E(OPTION), V(MAIL), NULL },
	{ "MAIL FROM:<a@b> =1", ALL, E(OPTION), V(MAIL), NULL },

	{ "RCPT TO:<a@b>", ALL, OK, V(RCPT), NULL },
	{ "RCPT TO:<postmaster>", STRICT, OK, V(RCPT), NULL },
	{ "RCPT TO:<root>", STRICT, E(RECIPIENT), V(RCPT), NULL },
	{ "RCPT TO:<>", ALL, E(RECIPIENT), V(RCPT), NULL },
	{ "RCPT FROM:<a@b>", ALL, E(RCPT_SYNTAX), V(RCPT), NULL },
	{ "RCPT TO:<a@b> NOTIFY=FAILURE", ALL, OK, V(RCPT), NULL },
	{ "RCPT TO:<a@b> NOTIFY=NEVER,DELAY", ALL, E(NOTIFY), V(RCPT), NULL },
	{ "RCPT TO:<a@b> NOTIFY=FAILURE,", ALL, E(NOTIFY), V(RCPT), NULL },
	{ "RCPT TO:<a@b> NOTIFY=X", ALL, E(NOTIFY), V(RCPT), NULL },
	{ "RCPT TO:<a@b> ORCPT=rfc822", ALL, E(ORCPT), V(RCPT), NULL },
	{ "RCPT TO:<a@b> SIZE=1", ALL, E(OPTION), V(RCPT), NULL },
	{ "RCPT TO:<\xc3\xb6@b>", ALL, E(NEEDS_SMTPUTF8), V(RCPT), NULL },
	{ "RCPT TO:<\xc3\xb6@b>", NOW, OK, V(RCPT), NULL },
	{ "RCPT TO:<\xc3@b>", NOW, E(RECIPIENT), V(RCPT), NULL },
	{ "RCPT TO:<a@b> ORCPT=utf-8;\xc3\xb6@b", NOW, OK, V(RCPT), NULL },
	{ "RCPT TO:<a@b> ORCPT=utf-8;\xc3\xb6@b", ALL, E(ORCPT), V(RCPT), NULL },
};

static void
test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(lines); i++) {
		struct smtp_command c;
		const char *name = lines[i].line;

		CHECK_INT(name, smtp_command_parse(view_str(name),
		    lines[i].enabled, &c), lines[i].error);
		CHECK_INT(name, c.verb, lines[i].verb);
		if (lines[i].arg != NULL)
			CHECK_VIEW(name, c.arg, lines[i].arg);
	}
}

static void
test_mail_parameters(void **state)
{
	struct smtp_command c;

	(void)state;
	assert_int_equal(smtp_command_parse(VIEW("MAIL FROM:<a@b> SIZE=4096 "
	    "BODY=8BITMIME  SMTPUTF8 RET=HDRS ENVID=QQ+2B1 AUTH=u+40c "
	    "MT-PRIORITY=-3 HOLDFOR=60 REQUIRETLS"), ALL, &c), OK);
	assert_int_equal(c.params, SMTP_PARAM_SIZE | SMTP_PARAM_BODY |
	    SMTP_PARAM_SMTPUTF8 | SMTP_PARAM_RET | SMTP_PARAM_ENVID |
	    SMTP_PARAM_AUTH | SMTP_PARAM_MT_PRIORITY | SMTP_PARAM_HOLDFOR |
	    SMTP_PARAM_REQUIRETLS);
	assert_int_equal(c.size, 4096);
	assert_int_equal(c.body, SMTP_BODY_8BITMIME);
	assert_int_equal(c.ret, SMTP_RET_HDRS);
	CHECK_VIEW("envid", c.envid, "QQ+2B1");
	CHECK_VIEW("auth", c.auth, "u+40c");
	assert_int_equal(c.mt_priority, -3);
	assert_int_equal(c.hold_for_s, 60);
	assert_int_equal(smtp_command_parse(
	    VIEW("MAIL FROM:<> HOLDUNTIL=1970-01-01T00:00:01Z MT-PRIORITY=9"),
	    ALL, &c), OK);
	assert_int_equal(c.hold_until_ms, 1000);
	assert_int_equal(c.mt_priority, 9);
	assert_int_equal(c.address.flags, ADDRESS_NULL);
}

static void
test_rcpt_parameters(void **state)
{
	struct smtp_command c;

	(void)state;
	assert_int_equal(smtp_command_parse(VIEW("RCPT TO:<\"a b\"@C> "
	    "NOTIFY=success,DELAY ORCPT=rfc822;a+20b@C"), ALL, &c), OK);
	assert_int_equal(c.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	CHECK_VIEW("type", c.orcpt_type, "rfc822");
	CHECK_VIEW("orcpt", c.orcpt, "a+20b@C");
	CHECK_VIEW("local", c.address.local, "\"a b\"");
}

static void
test_bdat(void **state)
{
	struct smtp_command c;

	(void)state;
	assert_int_equal(smtp_command_parse(VIEW("BDAT 86 LAST"), ALL, &c), OK);
	assert_int_equal(c.chunk_size, 86);
	assert_true(c.chunk_last);
	assert_int_equal(smtp_command_parse(VIEW("BDAT 86"), ALL, &c), OK);
	assert_false(c.chunk_last);
}

static void
test_hostile_bytes(void **state)
{
	char line[SMTP_COMMAND_LINE_MAX + 1];
	struct smtp_command c;

	(void)state;
	assert_int_equal(smtp_command_parse(VIEW("NOOP a\0b"), ALL, &c),
	    E(BAD_BYTE));
	assert_int_equal(smtp_command_parse(VIEW("EHLO a\rb"), ALL, &c),
	    E(BAD_BYTE));
	assert_int_equal(smtp_command_parse(VIEW("MAIL FROM:<a@b> ENVID=a\rb"),
	    ALL, &c), E(ENVID));
	assert_int_equal(smtp_command_parse(
	    VIEW("RCPT TO:<a@b> ORCPT=rfc822;a\nb"), ALL, &c), E(ORCPT));
	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	assert_int_equal(smtp_command_parse(view_of(line, sizeof(line)), ALL,
	    &c), E(LINE_TOO_LONG));
	assert_int_equal(smtp_command_parse(view_of(line, sizeof(line) - 1),
	    ALL, &c), OK);
}

static void
test_tables(void **state)
{
	(void)state;
	assert_null(smtp_command_error_text(OK));
	for (int i = 1; i <= E(ORCPT); i++) {
		const char *text = smtp_command_error_text(
		    (enum smtp_command_error)i);

		assert_non_null(text);
		assert_true(text[0] == '5' && text[3] == ' ' && text[4] == '5');
	}
	for (int i = 1; i < SMTP_VERB_COUNT; i++) {
		struct smtp_command c;
		const char *name = smtp_verb_name((enum smtp_verb)i);

		(void)smtp_command_parse(view_str(name), ALL, &c);
		CHECK_INT(name, c.verb, i);
	}
}

UNIT_MAIN(cmocka_unit_test(test_lines), cmocka_unit_test(test_mail_parameters),
    cmocka_unit_test(test_rcpt_parameters), cmocka_unit_test(test_bdat),
    cmocka_unit_test(test_hostile_bytes), cmocka_unit_test(test_tables))
