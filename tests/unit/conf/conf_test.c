/* SPDX-License-Identifier: ISC */
/* conf_test.c: main.cf, read well and read badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"

#define TEXT_MAX (1024 * 1024)

struct notes {
	struct buf	text;		/* "level line text\n" */
	unsigned	errors, warnings;
};

static void
note(const struct conf_note *n, void *arg)
{
	struct notes *ns = arg;

	ns->errors += n->level == 'e';
	ns->warnings += n->level == 'w';
	assert_string_equal(n->file, "main.cf");
	buf_printf(&ns->text, "%c %u %s\n", n->level, n->line, n->text);
}

static struct conf *
load(const char *text, struct notes *ns)
{
	memset(ns, 0, sizeof(*ns));
	buf_init(&ns->text, TEXT_MAX);
	return conf_load("main.cf", view_str(text), note, ns);
}

/* ---- good files ---- */

static const struct {
	const char	*text;
	const char	*name;
	const char	*value;
} good[] = {
	{ "", "smtpd_timeout", "300s" },
	{ "smtpd_timeout = 5m\n", "smtpd_timeout", "5m" },
	{ "smtpd_timeout=5m", "smtpd_timeout", "5m" },
	{ "# c\n\n  # c\nmynetworks = 10.0.0.0/8\n# between\n\t[::1]/128\n\n  192.0.2.1 \n",
	    "mynetworks", "10.0.0.0/8 [::1]/128 192.0.2.1" },
	{ "myhostname = mx.example.test\n", "mydomain", "example.test" },
	{ "myhostname = mx\n", "mydomain", "localdomain" },
	{ "myhostname = mx.example.test\n", "myorigin", "mx.example.test" },
	{ "myhostname = mx.example.test\n", "mydestination",
	    "mx.example.test, localhost.example.test, localhost" },
	{ "relayhost = ${mydomain}x\nmydomain = d\n", "relayhost", "dx" },
	{ "relayhost = $(mydomain)x\nmydomain = d\n", "relayhost", "dx" },
	{ "relayhost = a$$b\n", "relayhost", "a$b" },
	{ "relayhost = ${mydomain?yes}\nmydomain = d\n", "relayhost", "yes" },
	{ "relayhost = ${relay_domains?yes}\n", "relayhost", "" },
	{ "relayhost = ${relay_domains:no}\n", "relayhost", "no" },
	{ "relayhost = ${relay_domains?yes:no}\n", "relayhost", "no" },
	{ "relayhost = ${relay_domains?{yes}:{no:1}}\n", "relayhost", "no:1" },
	{ "relayhost = ${mydomain?${relay_domains:$mydomain}}\nmydomain = d\n", "relayhost", "d" },
	{ "relayhost = a\nrelayhost = b\n", "relayhost", "b" },
	{ "default_destination_concurrency_limit = 7\n", "destination_concurrency_limit", "7" },
	{ "default_destination_concurrency_limit = 7\n",
	    "default_destination_concurrency_limit", "7" },
	{ "smtp_destination_concurrency_limit = 7\n", "smtp_destination_concurrency_limit", "7" },
	{ "smtp_destination_concurrency_limit = 7\n", "destination_concurrency_limit", "20" },
	{ "lmtp_destination_recipient_limit = 7\n", "lmtp_destination_recipient_limit", "7" },
	{ "listeners = mx:inet:25 sub:inet:587\nsub_smtpd_timeout = 1m\n",
	    "sub_smtpd_timeout", "1m" },
	{ "listeners = mx:inet:25 sub:inet:587\nsub_smtpd_timeout = 1m\n",
	    "mx_smtpd_timeout", "300s" },
	{ "sub_smtpd_banner = $myhostname sub\nlisteners = sub:inet6:[::1]:587\n"
	    "myhostname = h.test\n", "sub_smtpd_banner", "h.test sub" },
	{ "transports = slow:smtp\nslow_destination_rate_delay = 1s\n",
	    "slow_destination_rate_delay", "1s" },
	{ "smtpd_tls_security_level = may\nrelayhost = $smtpd_tls_security_level\n",
	    "relayhost", "may" },
	{ "relayhost = x # y\n", "relayhost", "x # y" },
	{ "relayhost = a\r\nmynetworks = b\r\n", "relayhost", "a" },
};

static void
test_good(void **state)
{
	struct conf *c, *again;
	struct notes ns;
	struct buf v, text;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(good); i++) {
		c = load(good[i].text, &ns);
		if (c == NULL)
			fail_msg("%s: %s", good[i].text, buf_cstr(&ns.text));
		buf_init(&v, TEXT_MAX);
		assert_int_equal(conf_get(c, view_str(good[i].name), true, &v), 0);
		assert_string_equal(buf_cstr(&v), good[i].value);
		buf_fini(&ns.text);
		/* What is written reads back to the same. */
		buf_init(&text, TEXT_MAX);
		assert_int_equal(conf_serialise(c, &text), 0);
		again = load(buf_cstr(&text), &ns);
		if (again == NULL)
			fail_msg("%s: %s", good[i].text, buf_cstr(&ns.text));
		assert_int_equal(ns.warnings, 0);
		buf_reset(&v);
		assert_int_equal(conf_get(again, view_str(good[i].name), true, &v), 0);
		assert_string_equal(buf_cstr(&v), good[i].value);
		buf_fini(&v);
		buf_fini(&text);
		buf_fini(&ns.text);
		conf_free(&again);
		conf_free(&c);
	}
}

/* ---- bad files: the line and a piece of the complaint ---- */

static const struct {
	const char	*text;
	const char	*complaint;
} bad[] = {
	{ "\nsmtpd_timeuot = 5m\n", "e 2 unknown parameter smtpd_timeuot; did you mean smtpd_timeout?" },
	{ "qqqqqqqqqqqqqqqqqqqqqqq = 1\n", "e 1 unknown parameter" },
	{ "smtpd_timeout = soon\n", "e 1 smtpd_timeout: bad value \"soon\": write a time" },
	{ "smtpd_timeout = 1w9\n", "e 1 smtpd_timeout: bad value" },
	{ "smtpd_timeout = 0\n", "it must be between" },
	{ "smtpd_recipient_limit = -1\n", "write a number" },
	{ "smtpd_recipient_limit = 99999999999999999999999\n", "e 1 smtpd_recipient_limit" },
	{ "message_size_limit = 1x\n", "write bytes" },
	{ "smtpd_helo_required = maybe\n", "write yes or no" },
	{ "inet_protocols = ipv5\n", "it must be one of all|ipv4|ipv6" },
	{ "relayhost = $nosuch\n", "e 1 relayhost: there is no parameter \"nosuch\"" },
	{ "relayhost = $relayhost\n", "e 1 relayhost: the value goes in a circle" },
	{ "relayhost = $myorigin\nmyorigin = $relayhost\n", "goes in a circle" },
	{ "mydomain = $myhostname\nmyhostname = h.$mydomain\n", "goes in a circle" },
	{ "relayhost = ${mydomain\n", "a brace is not closed" },
	{ "relayhost = 5$ a\n", "write $$ for a dollar sign" },
	{ "relayhost = ${?a}\n", "cannot understand" },
	{ "relayhost = ${mydomain!a}\n", "cannot understand" },
	{ "just words\n", "e 1 no \"=\"" },
	{ " relayhost = x\n", "e 1 the line begins with a blank" },
	{ "relay host = x\n", "is no parameter name" },
	{ "relayhost = a\001b\n", "control character" },
	{ "listeners = smtp:25\n", "e 1 listeners: \"smtp:25\" is not NAME:FAMILY:ADDRESS" },
	{ "listeners = smtp:inet:0\n", "listeners:" },
	{ "listeners = smtp:inet6:::1:25\n", "listeners:" },
	{ "transports = slow\n", "e 1 transports:" },
	{ "transports = slow:pigeon\n", "e 1 transports:" },
	{ "submission_smtpd_timeout = 1m\n",
	    "neither listeners nor transports declare \"submission\"" },
	{ "smtp_mynetworks = x\n", "mynetworks has one value for everything" },
	{ "lmtp_smtpd_timeout = 1m\n", "smtpd_timeout belongs to a listener, but \"lmtp\" is a transport" },
	{ "listeners = s:inet:25\ns_smtpd_timeout = x\n", "e 2 s_smtpd_timeout: bad value" },
	{ "relayhost = ${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?"
	    "${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?"
	    "${mydomain?${mydomain?${mydomain?${mydomain?${mydomain?x}}}}}}}}}}}}}}}}}}\n",
	    "nested too deep" },
};

static void
test_bad(void **state)
{
	struct notes ns;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(bad); i++) {
		if (load(bad[i].text, &ns) != NULL)
			fail_msg("taken: %s", bad[i].text);
		if (strstr(buf_cstr(&ns.text), bad[i].complaint) == NULL)
			fail_msg("%s -> %s instead of %s", bad[i].text, buf_cstr(&ns.text),
			    bad[i].complaint);
		buf_fini(&ns.text);
	}
}

static void
test_all_complaints_in_one_run(void **state)
{
	struct notes ns;

	(void)state;
	assert_null(load("a = 1\nsmtpd_timeout = x\nnonsense\n", &ns));
	assert_int_equal(ns.errors, 3);
	buf_fini(&ns.text);
}

static void
test_warnings(void **state)
{
	struct notes ns;
	struct conf *c;

	(void)state;
	c = load("milter_protocol = 6\nrelayhost = a\nrelayhost = b\n", &ns);
	assert_non_null(c);
	assert_int_equal(ns.warnings, 2);
	assert_non_null(strstr(buf_cstr(&ns.text),
	    "w 1 milter_protocol is a Postfix parameter that has no effect here"));
	assert_non_null(strstr(buf_cstr(&ns.text), "w 3 relayhost is set a second time; this"
	    " value replaces that of line 2"));
	buf_fini(&ns.text);
	conf_free(&c);
}

static void
test_huge_expansion(void **state)
{
	struct notes ns;
	struct buf b;
	int i;

	(void)state;
	/* 3000 times 27,000 bytes: must end as an error, at once. */
	buf_init(&b, TEXT_MAX);
	buf_put_str(&b, "relayhost = ");
	for (i = 0; i < 3000; i++)
		buf_put_str(&b, "$mynetworks");
	buf_put_str(&b, "\nmynetworks = ");
	for (i = 0; i < 3000; i++)
		buf_put_str(&b, "abcdefgh ");
	buf_put_str(&b, "\n");
	assert_null(load(buf_cstr(&b), &ns));
	assert_non_null(strstr(buf_cstr(&ns.text), "too long when expanded"));
	buf_fini(&ns.text);
	buf_fini(&b);
}

static void
test_types(void **state)
{
	struct notes ns;
	struct conf *c;

	(void)state;
	c = load("smtpd_timeout = 2m\nmessage_size_limit = 3k\nsmtpd_helo_required = Yes\n"
	    "hopcount_limit = 7\ninet_protocols = ipv6\n", &ns);
	assert_non_null(c);
	assert_int_equal(c->smtpd_timeout, 120000);
	assert_int_equal(c->message_size_limit, 3072);
	assert_true(c->smtpd_helo_required);
	assert_int_equal(c->hopcount_limit, 7);
	assert_string_equal(c->inet_protocols, "ipv6");
	assert_true(conf_is_set(c, VIEW("smtpd_timeout")));
	assert_false(conf_is_set(c, VIEW("smtpd_banner")));
	assert_false(conf_is_set(c, VIEW("nosuch")));
	buf_fini(&ns.text);
	conf_free(&c);
}

static void
test_scope(void **state)
{
	struct notes ns;
	const struct conf *s;
	struct conf *c;

	(void)state;
	c = load("listeners = mx:inet:25, submission:inet:587\nsmtpd_timeout = 2m\n"
	    "submission_smtpd_timeout = 1m\nsubmission_listener_class = submission\n", &ns);
	assert_non_null(c);
	assert_ptr_equal(conf_scope(c, "mx"), c);
	s = conf_scope(c, "submission");
	assert_int_equal(s->smtpd_timeout, 60000);
	assert_string_equal(s->listener_class, "submission");
	assert_int_equal(s->smtpd_recipient_limit, c->smtpd_recipient_limit);
	assert_true(conf_is_set(c, VIEW("submission_smtpd_timeout")));
	assert_false(conf_is_set(c, VIEW("mx_smtpd_timeout")));
	buf_fini(&ns.text);
	conf_free(&c);
}

/* A listener for users does not begin with what main.cf says of strangers. */
static void
test_class_defaults(void **state)
{
	const struct conf *s;
	struct conf *c, *again;
	struct notes ns;
	struct buf text;
	unsigned i;

	(void)state;
	c = load("listeners = mx:inet:25, users:inet:587, own:inet:588, door:unix:/run/x\n"
	    "users_listener_class = submission\nown_listener_class = submission\n"
	    "door_listener_class = submission\nsmtpd_tls_security_level = may\n"
	    "own_smtpd_tls_security_level = may\nown_smtpd_sasl_auth_enable = no\n"
	    "own_smtpd_client_restrictions = permit\nsmtpd_tls_chain_files = /x.pem\n"
	    "smtpd_client_restrictions = reject_unknown_client_hostname\n", &ns);
	buf_fini(&ns.text);
	assert_non_null(c);
	/* Every process reads the same out of what master writes. */
	buf_init(&text, 1 << 20);
	assert_int_equal(conf_serialise(c, &text), 0);
	again = load(buf_cstr(&text), &ns);
	buf_fini(&ns.text);
	assert_non_null(again);
	for (i = 0; i < 2; i++) {
		const struct conf *one = i == 0 ? c : again;

		s = conf_scope(one, "users");
		assert_true(s->smtpd_sasl_auth_enable);
		assert_string_equal(s->smtpd_tls_security_level, "encrypt");
		assert_string_equal(s->smtpd_client_restrictions, "");
		assert_string_equal(s->smtpd_sender_restrictions, "reject_sender_login_mismatch");
		assert_string_equal(s->smtpd_relay_restrictions,
		    "permit_mynetworks, permit_sasl_authenticated, reject");
		s = conf_scope(one, "own");
		assert_false(s->smtpd_sasl_auth_enable);
		assert_string_equal(s->smtpd_tls_security_level, "may");
		assert_string_equal(s->smtpd_client_restrictions, "permit");
		assert_string_equal(conf_scope(one, "door")->smtpd_tls_security_level, "may");
		assert_true(conf_scope(one, "door")->smtpd_sasl_auth_enable);
		assert_false(conf_scope(one, "mx")->smtpd_sasl_auth_enable);
		assert_string_equal(conf_scope(one, "mx")->smtpd_client_restrictions,
		    "reject_unknown_client_hostname");
	}
	buf_fini(&text);
	conf_free(&again);
	conf_free(&c);
	c = load("listeners = users:inet:587\nusers_listener_class = submission\n", &ns);
	buf_fini(&ns.text);
	assert_string_equal(conf_scope(c, "users")->smtpd_tls_security_level, "none");
	conf_free(&c);
}

static void
diff(const char *name, const char *old, const char *new, enum conf_apply apply, void *arg)
{
	buf_printf(arg, "%s: %s -> %s %d\n", name, old, new, apply);
}

static void
test_diff(void **state)
{
	struct conf *a, *b;
	struct notes ns;
	struct buf out;

	(void)state;
	a = load("listeners = l:inet:25\nl_smtpd_timeout = 1m\n", &ns);
	buf_fini(&ns.text);
	b = load("listeners = l:inet:25 m:inet:26\nm_smtpd_timeout = 2m\nsmtp_workers = 3\n", &ns);
	buf_fini(&ns.text);
	assert_non_null(a);
	assert_non_null(b);
	buf_init(&out, TEXT_MAX);
	conf_diff(a, b, diff, &out);
	assert_string_equal(buf_cstr(&out),
	    "listeners: l:inet:25 -> l:inet:25 m:inet:26 0\n"
	    "smtp_workers: 0 -> 3 1\n"
	    "l_smtpd_timeout: 1m -> 300s 0\n"
	    "m_smtpd_timeout: 300s -> 2m 0\n");
	buf_reset(&out);
	conf_diff(a, a, diff, &out);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
	conf_free(&a);
	conf_free(&b);
}

static void
test_list(void **state)
{
	static const char *const items[] = { "a", "b", "inline:{ {c = d}, e }", "{ f g }", "h" };
	struct view list = VIEW(" a, b\tinline:{ {c = d}, e },,{ f g } h "), item;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(items); i++) {
		assert_true(conf_list_next(&list, &item));
		assert_true(view_eq(item, view_str(items[i])));
	}
	assert_false(conf_list_next(&list, &item));
	list = VIEW("a{ b");
	assert_true(conf_list_next(&list, &item));
	assert_true(view_eq(item, VIEW("a{ b")));
}

static void
test_listener_parse(void **state)
{
	struct conf_listener l;

	(void)state;
	assert_true(conf_listener_parse(VIEW("a:inet:192.0.2.1:25"), &l));
	assert_true(view_eq(l.host, VIEW("192.0.2.1")));
	assert_int_equal(l.port, 25);
	assert_true(conf_listener_parse(VIEW("a:inet6:[::1]:25"), &l));
	assert_true(view_eq(l.host, VIEW("::1")));
	assert_true(conf_listener_parse(VIEW("a:inet:25"), &l));
	assert_int_equal(l.host.len, 0);
	assert_true(conf_listener_parse(VIEW("a:unix:/run/x"), &l));
	assert_true(view_eq(l.address, VIEW("/run/x")));
	assert_false(conf_listener_parse(VIEW("a:unix:"), &l));
	assert_false(conf_listener_parse(VIEW("a:ipx:1"), &l));
	assert_false(conf_listener_parse(VIEW(":inet:1"), &l));
	assert_false(conf_listener_parse(VIEW("a:inet::25"), &l));
	assert_false(conf_listener_parse(VIEW("a:inet:65536"), &l));
}

static void
test_transport_type(void **state)
{
	struct notes ns;
	struct conf *c;

	(void)state;
	c = load("transports = slow:smtp cyrus:lmtp\n", &ns);
	assert_non_null(c);
	assert_true(view_eq(conf_transport_type(c, VIEW("slow")), VIEW("smtp")));
	assert_true(view_eq(conf_transport_type(c, VIEW("cyrus")), VIEW("lmtp")));
	assert_true(view_eq(conf_transport_type(c, VIEW("discard")), VIEW("discard")));
	assert_int_equal(conf_transport_type(c, VIEW("fast")).len, 0);
	buf_fini(&ns.text);
	conf_free(&c);
}

static void
test_missing_file(void **state)
{
	struct notes ns = { 0 };

	(void)state;
	buf_init(&ns.text, TEXT_MAX);
	assert_null(conf_load("main.cf", VIEW_NONE, note, &ns));
	assert_string_equal(buf_cstr(&ns.text), "e 0 cannot read it: no such file\n");
	buf_fini(&ns.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_all_complaints_in_one_run),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_huge_expansion),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_scope), cmocka_unit_test(test_class_defaults),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_listener_parse),
		cmocka_unit_test(test_transport_type),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
