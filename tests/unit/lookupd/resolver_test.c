/* SPDX-License-Identifier: ISC */
/*
 * resolver_test.c: classes, verdicts, expansion, routes, access keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lookupd/resolver.h"

static char last_log[LOG_LINE_MAX + 1];

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)arg;
	if (len > LOG_LINE_MAX)
		len = LOG_LINE_MAX;
	memcpy(last_log, line, len);
	last_log[len] = '\0';
}

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		print_error("%s:%u: %s\n", n->file, n->line, n->text);
}

static const char main_cf[] =
"myhostname = mx.example.test\n"
"mydomain = example.test\n"
"myorigin = example.test\n"
"mydestination = $myhostname, localhost, example.test\n"
"recipient_delimiter = +\n"
"smtpd_sender_login_maps = inline:{me@far.test=one, @far.test=all, joe=local,"
"  {me+x@far.test=a b}}, inline:{you@far.test=two}\n"
"virtual_alias_domains = alias.test\n"
"virtual_alias_maps = inline:{ info@alias.test=alice@box.test,\n"
"  {both@alias.test = alice@box.test, bob@box.test, Alice@BOX.test},\n"
"  {keep@box.test = keep@box.test, copy@far.test}, @catch.test=@box.test,\n"
"  loop1@alias.test=loop2@alias.test, loop2@alias.test=loop1@alias.test,\n"
"  {deep@alias.test = both@alias.test info@x.test}, {bad@alias.test = <>},\n"
"  {far@alias.test = user@far.test}, dead@alias.test=gone@alias.test}\n"
"virtual_mailbox_domains = box.test, catch.test, full.test\n"
"virtual_mailbox_maps = inline:{ alice@box.test=box.test/alice/,\n"
"  bob@box.test=box.test/bob, keep@box.test=box.test/keep/,\n"
"  evil@box.test=../../etc, abs@box.test=/etc/passwd, tom@catch.test=c/tom/,\n"
"  root@example.test=local/root/, jim@full.test=full/jim/, joe@example.test=local/joe/}\n"
"virtual_mailbox_quota_maps = inline:{alice@box.test=10m}\n"
"virtual_mailbox_limit = 5m\n"
"alias_maps = inline:{ {postmaster: = root}, {list = root, joe, joe@example.test},\n"
"  {prog = \"|/bin/sh\", root}, {file = /tmp/x}, {inc = :include:/etc/x},\n"
"  {joe = \\joe, copy@far.test}, a1=a2, a2=a1}\n"
"relay_domains = relay.test\n"
"relay_recipient_maps = inline:{ok@relay.test=x}\n"
"transports = slow:smtp\n"
"transport_maps = inline:{ slow.test=slow:, .slow.test=slow:[gw.test]:26,\n"
"  {moved@far.test=error:5.1.6 moved away}, nowhere.test=nosuch:x, {plain.test = error:no},\n"
"  only.test=:hop.test, keep.test=:, {later.test = retry:4.4.7 come back}}\n"
"smtpd_client_restrictions = check_client_access inline:{ bad.test=REJECT, .sub.test=DUNNO,"
" 192.0.2=net, 2001:db8=six, me@far.test=full, far.test=dom, me@=user, <>=null }\n";

struct fixture {
	struct conf	*conf;
	struct tables	*tables;
	struct resolver	*r;
	struct domain_literal addr;
	struct resolver_own own;
};

static void
open_fixture(struct fixture *f, const char *text)
{
	f->conf = conf_load("main.cf", view_str(text), note, NULL);
	assert_non_null(f->conf);
	assert_int_equal(domain_parse_ip(VIEW("192.0.2.25"), &f->addr), 0);
	f->own.addresses = &f->addr;
	f->own.count = 1;
	f->tables = tables_new(f->conf);
	f->r = resolver_new(f->conf, f->tables, &f->own);
}

static void
close_fixture(struct fixture *f)
{
	resolver_free(&f->r);
	tables_free(&f->tables);
	conf_free(&f->conf);
}

/* Nothing to say about a configuration of defaults, and about tables what is wrong. */
static void
test_said_at_start(void **state)
{
	struct fixture f;

	(void)state;
	last_log[0] = '\0';
	open_fixture(&f, "");
	assert_string_equal(last_log, "");
	close_fixture(&f);
	open_fixture(&f, "transport_maps = mysql:/etc/x\n");
	assert_non_null(strstr(last_log, "not built in this version"));
	close_fixture(&f);
}

/* ---- RCPT ---- */

static const struct {
	const char	*address;
	enum route_class class;
	enum route_verdict verdict;
	const char	*dsn;
	const char	*text;		/* NULL: whatever */
} checks[] = {
	{ "alice@box.test", ROUTE_CLASS_VIRTUAL_MAILBOX, ROUTE_KNOWN, "2.1.5", NULL },
	{ "alice+x@BOX.test", ROUTE_CLASS_VIRTUAL_MAILBOX, ROUTE_KNOWN, "2.1.5", NULL },
	{ "nobody@box.test", ROUTE_CLASS_VIRTUAL_MAILBOX, ROUTE_UNKNOWN, "5.1.1",
	    "User unknown in virtual mailbox table" },
	{ "x@catch.test", ROUTE_CLASS_VIRTUAL_MAILBOX, ROUTE_KNOWN, "2.1.5", NULL },
	{ "info@alias.test", ROUTE_CLASS_VIRTUAL_ALIAS, ROUTE_KNOWN, "2.1.5", NULL },
	{ "none@alias.test", ROUTE_CLASS_VIRTUAL_ALIAS, ROUTE_UNKNOWN, "5.1.1",
	    "User unknown in virtual alias table" },
	{ "ok@relay.test", ROUTE_CLASS_RELAY, ROUTE_KNOWN, "2.1.5", NULL },
	{ "no@relay.test", ROUTE_CLASS_RELAY, ROUTE_UNKNOWN, "5.1.1",
	    "User unknown in relay recipient table" },
	{ "ok@sub.relay.test", ROUTE_CLASS_RELAY, ROUTE_UNKNOWN, "5.1.1", NULL },
	{ "root@example.test", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "root", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "root@[192.0.2.25]", ROUTE_CLASS_LOCAL, ROUTE_UNKNOWN, "5.1.1", NULL },
	{ "list@[192.0.2.25]", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "root@[192.0.2.26]", ROUTE_CLASS_DEFAULT, ROUTE_KNOWN, "2.1.5", NULL },
	{ "nobody@localhost", ROUTE_CLASS_LOCAL, ROUTE_UNKNOWN, "5.1.1",
	    "User unknown in local recipient table" },
	{ "Postmaster", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "MAILER-DAEMON@example.test", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "", ROUTE_CLASS_LOCAL, ROUTE_KNOWN, "2.1.5", NULL },
	{ "who@far.test", ROUTE_CLASS_DEFAULT, ROUTE_KNOWN, "2.1.5", NULL },
	{ "moved@far.test", ROUTE_CLASS_DEFAULT, ROUTE_REJECTED, "5.1.6", "moved away" },
	{ "x@plain.test", ROUTE_CLASS_DEFAULT, ROUTE_REJECTED, "5.0.0", "no" },
	{ "x@later.test", ROUTE_CLASS_DEFAULT, ROUTE_KNOWN, "2.1.5", NULL },
	{ "evil@box.test", ROUTE_CLASS_VIRTUAL_MAILBOX, ROUTE_KNOWN, "2.1.5", NULL },
	/* A16: no hack gets an address of another domain into our class. */
	{ "user%far.test@example.test", ROUTE_CLASS_LOCAL, ROUTE_UNKNOWN, "5.1.1", NULL },
	{ "far.test!user@example.test", ROUTE_CLASS_LOCAL, ROUTE_UNKNOWN, "5.1.1", NULL },
	{ "\"user@far.test\"@example.test", ROUTE_CLASS_LOCAL, ROUTE_UNKNOWN, "5.1.1", NULL },
	{ "a@b@c", ROUTE_CLASS_DEFAULT, ROUTE_REJECTED, "5.1.3", NULL },
};

static void
test_check(void **state)
{
	struct resolver_check c;
	struct fixture f;
	size_t i;

	(void)state;
	open_fixture(&f, main_cf);
	for (i = 0; i < NELEMS(checks); i++) {
		resolver_check_init(&c);
		resolver_check(f.r, view_str(checks[i].address), ROUTE_FLAG_VALIDATE, &c);
		if (c.class != checks[i].class || c.verdict != checks[i].verdict ||
		    strcmp(c.dsn, checks[i].dsn) != 0 || (checks[i].text != NULL &&
		    strcmp(buf_cstr(&c.text), checks[i].text) != 0))
			fail_msg("<%s>: class %d verdict %d %s %s", checks[i].address,
			    c.class, c.verdict, c.dsn, buf_cstr(&c.text));
		resolver_check_fini(&c);
	}
	resolver_check_init(&c);
	resolver_check(f.r, VIEW("nobody@box.test"), ROUTE_FLAG_VALIDATE | ROUTE_FLAG_SENDER, &c);
	assert_int_equal(c.verdict, ROUTE_UNKNOWN);
	assert_string_equal(c.dsn, "5.1.0");
	resolver_check(f.r, VIEW(""), ROUTE_FLAG_VALIDATE | ROUTE_FLAG_SENDER, &c);
	assert_int_equal(c.verdict, ROUTE_KNOWN);
	resolver_check(f.r, VIEW("nobody@box.test"), 0, &c);
	assert_int_equal(c.verdict, ROUTE_KNOWN);
	assert_int_equal(c.class, ROUTE_CLASS_VIRTUAL_MAILBOX);
	resolver_check_fini(&c);
	close_fixture(&f);
}

static void
test_percent_hack(void **state)
{
	struct resolver_check c;
	struct fixture f;
	char *text;

	(void)state;
	text = xasprintf("%sallow_percent_hack = yes\nswap_bangpath = yes\n", main_cf);
	open_fixture(&f, text);
	resolver_check_init(&c);
	/* Rewritten, and then it is what it is: not ours. */
	resolver_check(f.r, VIEW("user%far.test@example.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.class, ROUTE_CLASS_DEFAULT);
	resolver_check(f.r, VIEW("far.test!user@example.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.class, ROUTE_CLASS_DEFAULT);
	resolver_check(f.r, VIEW("user%a@far.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.class, ROUTE_CLASS_DEFAULT);
	resolver_check_fini(&c);
	close_fixture(&f);
	xfree(text);
}

/* ---- expansion ---- */

/* "address transport nexthop path dsn; ..." in the order of the answer. */
static char *
describe(const struct resolver_expansion *e)
{
	struct buf b;
	size_t i;
	char *s;

	buf_init(&b, 100000);
	if (e->code != 0)
		buf_printf(&b, "%s %s", e->dsn, e->text);
	for (i = 0; i < e->count; i++) {
		buf_printf(&b, "%s%s %s %s", i > 0 ? "; " : "", e->routes[i].address,
		    e->routes[i].transport, e->routes[i].nexthop);
		if (e->routes[i].path != NULL)
			buf_printf(&b, " %s %llu", e->routes[i].path,
			    (unsigned long long)e->routes[i].quota);
		if (e->routes[i].dsn != NULL)
			buf_printf(&b, "%s %s", e->routes[i].dsn, e->routes[i].text);
	}
	buf_put_str(&b, "");
	s = b.len > 0 ? buf_steal(&b, NULL) : xstrdup("");
	return s;
}

static const struct {
	const char	*address;
	const char	*want;
} expansions[] = {
	{ "alice@box.test", "alice@box.test mailbox box.test box.test/alice/ 10485760" },
	{ "Alice+X@Box.Test", "Alice+X@box.test mailbox box.test box.test/alice/ 10485760" },
	{ "info@alias.test", "alice@box.test mailbox box.test box.test/alice/ 10485760" },
	{ "info+ext@alias.test", "alice+ext@box.test mailbox box.test box.test/alice/ 10485760" },
	{ "both@alias.test", "alice@box.test mailbox box.test box.test/alice/ 10485760; "
	    "bob@box.test mailbox box.test box.test/bob 5242880" },
	{ "keep@box.test", "keep@box.test mailbox box.test box.test/keep/ 5242880; "
	    "copy@far.test smtp far.test" },
	{ "bob@catch.test", "bob@box.test mailbox box.test box.test/bob 5242880" },
	{ "loop1@alias.test", "4.6.0 mail forwarding loop for loop1@alias.test" },
	{ "far@alias.test", "user@far.test smtp far.test" },
	{ "dead@alias.test", "gone@alias.test error 5.1.1 User unknown in virtual alias table" },
	{ "none@alias.test", "none@alias.test error 5.1.1 User unknown in virtual alias table" },
	{ "nobody@box.test", "nobody@box.test error 5.1.1 unknown user: \"nobody@box.test\"" },
	{ "evil@box.test", "evil@box.test error 4.3.5 mail system configuration error (mailbox path)" },
	{ "abs@box.test", "abs@box.test error 4.3.5 mail system configuration error (mailbox path)" },
	{ "list@example.test", "root@example.test mailbox example.test local/root/ 5242880; "
	    "joe@example.test mailbox example.test local/joe/ 5242880; "
	    "copy@far.test smtp far.test" },
	{ "prog", "prog@example.test error 5.7.1 an alias may lead to addresses only, not to: "
	    "\"\"|/bin/sh\"\"; root@example.test mailbox example.test local/root/ 5242880" },
	{ "file", "file@example.test error 5.7.1 an alias may lead to addresses only, not to: \"/tmp/x\"" },
	{ "inc", "inc@example.test error 5.7.1 an alias may lead to addresses only, not to: "
	    "\":include:/etc/x\"" },
	{ "a1", "5.4.6 mail forwarding loop for a1@example.test" },
	{ "postmaster", "root@example.test mailbox example.test local/root/ 5242880" },
	{ "", "MAILER-DAEMON@example.test error 5.1.1 unknown user: \"MAILER-DAEMON@example.test\"" },
	{ "double-bounce@example.test", "double-bounce@example.test discard " },
	{ "a@slow.test", "a@slow.test slow slow.test" },
	{ "a@x.y.slow.test", "a@x.y.slow.test slow [gw.test]:26" },
	{ "a@nowhere.test", "a@nowhere.test error 4.3.5 mail transport \"nosuch\" is not configured" },
	{ "a@only.test", "a@only.test smtp hop.test" },
	{ "a@keep.test", "a@keep.test smtp keep.test" },
	{ "moved@far.test", "moved@far.test error 5.1.6 moved away" },
	{ "a@later.test", "a@later.test error 4.4.7 come back" },
	{ "a@[192.0.2.26]", "a@[192.0.2.26] smtp [192.0.2.26]" },
	{ "\"a b\"@far.test", "\"a b\"@far.test smtp far.test" },
	{ "a@b@c", "5.1.3 bad address syntax" },
};

static void
test_expand(void **state)
{
	struct resolver_expansion e;
	struct fixture f;
	char *got;
	size_t i;

	(void)state;
	open_fixture(&f, main_cf);
	for (i = 0; i < NELEMS(expansions); i++) {
		resolver_expand(f.r, view_str(expansions[i].address), &e);
		got = describe(&e);
		if (strcmp(got, expansions[i].want) != 0)
			fail_msg("<%s>:\n got %s\nwant %s", expansions[i].address, got,
			    expansions[i].want);
		xfree(got);
		resolver_expansion_fini(&e);
	}
	close_fixture(&f);
}

static void
test_limits(void **state)
{
	struct resolver_expansion e;
	struct fixture f;
	struct buf text;
	int i;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_put_str(&text, "mydestination =\nvirtual_alias_expansion_limit = 50\n"
	    "virtual_alias_recursion_limit = 20\nvirtual_alias_maps = inline:{ {many@a.test = ");
	for (i = 0; i < 100; i++)
		buf_printf(&text, "u%d@b.test,", i);
	buf_put_str(&text, "}");
	for (i = 0; i < 100; i++)
		buf_printf(&text, ", d%d@a.test=d%d@a.test", i, i + 1);
	buf_put_str(&text, "}\n");
	open_fixture(&f, buf_cstr(&text));
	resolver_expand(f.r, VIEW("many@a.test"), &e);
	assert_int_equal(e.code, PK_ELIMIT);
	assert_string_equal(e.dsn, "4.6.0");
	assert_int_equal(e.count, 0);
	resolver_expansion_fini(&e);
	resolver_expand(f.r, VIEW("d0@a.test"), &e);
	assert_int_equal(e.code, PK_ELIMIT);
	assert_non_null(strstr(e.text, "recursion"));
	resolver_expansion_fini(&e);
	resolver_expand(f.r, VIEW("d90@a.test"), &e);
	assert_int_equal(e.code, 0);
	assert_int_equal(e.count, 1);
	assert_string_equal(e.routes[0].address, "d100@a.test");
	resolver_expansion_fini(&e);
	close_fixture(&f);
	buf_fini(&text);
}

static void
test_relayhost(void **state)
{
	struct resolver_expansion e;
	struct fixture f;

	(void)state;
	open_fixture(&f, "mydestination = here.test\nlocal_recipient_maps =\n"
	    "local_transport = lmtp:unix:/run/lmtp\nrelay_domains = r.test\n"
	    "relayhost = [hub.test]:587\n");
	resolver_expand(f.r, VIEW("a@far.test"), &e);
	assert_string_equal(e.routes[0].nexthop, "[hub.test]:587");
	resolver_expansion_fini(&e);
	resolver_expand(f.r, VIEW("a@r.test"), &e);
	assert_string_equal(e.routes[0].nexthop, "[hub.test]:587");
	resolver_expansion_fini(&e);
	resolver_expand(f.r, VIEW("a@here.test"), &e);
	assert_string_equal(e.routes[0].transport, "lmtp");
	assert_string_equal(e.routes[0].nexthop, "unix:/run/lmtp");
	resolver_expansion_fini(&e);
	close_fixture(&f);
}

/* F8: a table that does not answer defers everything that depends on it. */
static void
test_tempfail(void **state)
{
	struct resolver_expansion e;
	struct resolver_check c;
	struct fixture f;

	(void)state;
	open_fixture(&f, "mydestination = here.test\nvirtual_alias_maps = fail:down\n"
	    "virtual_mailbox_domains = texthash:/nonexistent/domains\n");
	resolver_check_init(&c);
	resolver_check(f.r, VIEW("a@here.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.verdict, ROUTE_TEMPFAIL);
	assert_string_equal(c.dsn, "4.3.0");
	resolver_check(f.r, VIEW("a@far.test"), 0, &c);
	assert_int_equal(c.verdict, ROUTE_TEMPFAIL);
	resolver_check_fini(&c);
	resolver_expand(f.r, VIEW("a@here.test"), &e);
	assert_int_equal(e.code, PK_ETEMP);
	assert_string_equal(e.dsn, "4.3.0");
	assert_int_equal(e.count, 0);
	resolver_expansion_fini(&e);
	close_fixture(&f);
	/* A list that cannot be read defers, it does not open a relay or refuse. */
	open_fixture(&f, "mydestination = /nonexistent/list\n");
	resolver_check_init(&c);
	resolver_check(f.r, VIEW("a@far.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.verdict, ROUTE_TEMPFAIL);
	resolver_check_fini(&c);
	close_fixture(&f);
}

static void
test_two_classes(void **state)
{
	struct resolver_check c;
	struct fixture f;

	(void)state;
	open_fixture(&f, "mydestination = twice.test\nvirtual_mailbox_domains = twice.test\n"
	    "local_recipient_maps =\n");
	resolver_check_init(&c);
	last_log[0] = '\0';
	resolver_check(f.r, VIEW("a@twice.test"), 0, &c);
	assert_int_equal(c.class, ROUTE_CLASS_LOCAL);
	assert_string_equal(last_log, "do not list domain twice.test in BOTH mydestination"
	    " and virtual_mailbox_domains");
	last_log[0] = '\0';
	resolver_check(f.r, VIEW("a@twice.test"), 0, &c);
	assert_string_equal(last_log, "");
	resolver_check_fini(&c);
	close_fixture(&f);
}

/* ---- access(5) ---- */

static const struct {
	enum access_kind kind;
	const char	*query;
	const char	*value;		/* NULL: not found */
	const char	*key;
} accesses[] = {
	{ ACCESS_CLIENT, "bad.test[10.0.0.1]", "REJECT", "bad.test" },
	{ ACCESS_CLIENT, "x.bad.test[10.0.0.1]", "REJECT", "bad.test" },
	{ ACCESS_CLIENT, "unknown[192.0.2.7]", "net", "192.0.2" },
	{ ACCESS_CLIENT, "unknown[2001:db8::7]", "six", "2001:db8" },
	{ ACCESS_CLIENT, "unknown[192.0.3.7]", NULL, NULL },
	{ ACCESS_HELO, "mail.bad.test", "REJECT", "bad.test" },
	{ ACCESS_ADDRESS, "me@far.test", "full", "me@far.test" },
	{ ACCESS_ADDRESS, "me+x@far.test", "full", "me@far.test" },
	{ ACCESS_ADDRESS, "you@sub.far.test", "dom", "far.test" },
	{ ACCESS_ADDRESS, "me@else.test", "user", "me@" },
	{ ACCESS_ADDRESS, "me+x@else.test", "user", "me@" },
	{ ACCESS_ADDRESS, "", "null", "<>" },
	{ ACCESS_EXACT, "me@", "user", "me@" },
	{ ACCESS_EXACT, "sub.far.test", NULL, NULL },
};

static void
test_access(void **state)
{
	struct buf value, key;
	struct fixture f;
	size_t i;
	int error;

	(void)state;
	buf_init(&value, 1000);
	buf_init(&key, 1000);
	open_fixture(&f, main_cf);
	for (i = 0; i < NELEMS(accesses); i++) {
		buf_reset(&value);
		buf_reset(&key);
		error = resolver_access(f.r, VIEW("inline:{ bad.test=REJECT, .sub.test=DUNNO,"
		    " 192.0.2=net, 2001:db8=six, me@far.test=full, far.test=dom, me@=user,"
		    " <>=null }"), view_str(accesses[i].query), accesses[i].kind, &value, &key);
		if (accesses[i].value == NULL) {
			assert_int_equal(error, PK_ENOENT);
			continue;
		}
		if (error != 0)
			fail_msg("%s: %d", accesses[i].query, error);
		assert_string_equal(buf_cstr(&value), accesses[i].value);
		assert_string_equal(buf_cstr(&key), accesses[i].key);
	}
	/* A24: only tables of the configuration; smtpd may be anybody's. */
	assert_int_equal(resolver_access(f.r, VIEW("texthash:/etc/passwd"), VIEW("root"),
	    ACCESS_EXACT, &value, &key), PK_EPERM);
	assert_int_equal(resolver_access(f.r, VIEW("list:queue_directory"), VIEW("x"),
	    ACCESS_EXACT, &value, &key), PK_EPERM);
	assert_int_equal(resolver_access(f.r, VIEW("list:mynetworks"), VIEW("x[127.0.0.1]"),
	    ACCESS_CLIENT, &value, &key), 0);
	assert_int_equal(resolver_access(f.r, VIEW("list:mynetworks"), VIEW("x[10.0.0.1]"),
	    ACCESS_CLIENT, &value, &key), PK_ENOENT);
	assert_int_equal(resolver_access(f.r, VIEW("list:relay_domains"), VIEW("a.relay.test"),
	    ACCESS_EXACT, &value, &key), 0);
	close_fixture(&f);
	buf_fini(&value);
	buf_fini(&key);
}

#define LOGIN_MAPS	"inline:{me@far.test=one, @far.test=all, joe=local,"	\
			"  {me+x@far.test=a b}}, inline:{you@far.test=two}"

/* smtpd_sender_login_maps: every table for a key before the next key. */
static void
test_logins(void **state)
{
	static const struct { const char *query, *value; } rows[] = {
		{ "me@far.test", "one" }, { "Me@FAR.test", "one" }, { "me+y@far.test", "one" },
		{ "me+x@far.test", "a b" }, { "you@far.test", "two" }, { "him@far.test", "all" },
		{ "joe@example.test", "local" }, { "joe@else.test", NULL },
		{ "me@sub.far.test", NULL }, { "me", NULL },
	};
	struct buf value, key;
	struct fixture f;
	size_t i;
	int error;

	(void)state;
	buf_init(&value, 1000);
	buf_init(&key, 1000);
	open_fixture(&f, main_cf);
	for (i = 0; i < NELEMS(rows); i++) {
		buf_reset(&value);
		buf_reset(&key);
		error = resolver_access(f.r, VIEW(LOGIN_MAPS), view_str(rows[i].query),
		    ACCESS_LOGIN, &value, &key);
		if (error != (rows[i].value != NULL ? 0 : PK_ENOENT) ||
		    (error == 0 && strcmp(buf_cstr(&value), rows[i].value) != 0))
			fail_msg("%s: %d %s", rows[i].query, error, buf_cstr(&value));
	}
	assert_int_equal(resolver_access(f.r, VIEW(LOGIN_MAPS ", texthash:/etc/passwd"),
	    VIEW("root"), ACCESS_LOGIN, &value, &key), PK_EPERM);
	close_fixture(&f);
	buf_fini(&value);
	buf_fini(&key);
}

/* Maildir++: what maildirsize adds up to decides; without the file nobody can tell. */
static void
test_quota(void **state)
{
	static const struct {
		const char	*text;		/* NULL: no file */
		enum route_verdict verdict;
	} cases[] = {
		{ NULL, ROUTE_KNOWN },
		{ "1000S\n400 2\n500 1\n", ROUTE_KNOWN },
		{ "1000S\n400 2\n600 1\n", ROUTE_FULL },
		{ "1000S\n400 2\n900 1\n-600 -1\n", ROUTE_KNOWN },
		{ "garbage\nx y\n99999999999999999999999 1\n", ROUTE_KNOWN },
	};
	char base[] = "/tmp/pk-quota-XXXXXX";
	struct resolver_check c;
	char *text, *box, *file;
	struct fixture f;
	size_t i;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(base));
	box = xasprintf("%s/box", base);
	file = xasprintf("%s/maildirsize", box);
	assert_int_equal(mkdir(box, 0700), 0);
	text = xasprintf("mydestination =\nvirtual_mailbox_domains = q.test\n"
	    "virtual_mailbox_maps = inline:{u@q.test=box/}\nvirtual_mailbox_limit = 1000\n"
	    "virtual_mailbox_base = %s\n", base);
	open_fixture(&f, text);
	for (i = 0; i < NELEMS(cases); i++) {
		if (cases[i].text != NULL) {
			fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
			assert_true(fd >= 0);
			assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)),
			    strlen(cases[i].text));
			close(fd);
		}
		resolver_check_init(&c);
		resolver_check(f.r, VIEW("u@q.test"), ROUTE_FLAG_VALIDATE, &c);
		if (c.verdict != cases[i].verdict)
			fail_msg("case %zu: verdict %d", i, c.verdict);
		resolver_check_fini(&c);
	}
	unlink(file);
	/* A fifo in the way holds nobody up. */
	assert_int_equal(mkfifo(file, 0600), 0);
	resolver_check_init(&c);
	resolver_check(f.r, VIEW("u@q.test"), ROUTE_FLAG_VALIDATE, &c);
	assert_int_equal(c.verdict, ROUTE_KNOWN);
	resolver_check_fini(&c);
	close_fixture(&f);
	unlink(file);
	rmdir(box);
	rmdir(base);
	xfree(text);
	xfree(file);
	xfree(box);
}

static int
setup(void **state)
{
	(void)state;
	log_init("resolver_test");
	log_set_sink(sink, NULL);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_said_at_start),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_percent_hack),
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_relayhost),
		cmocka_unit_test(test_tempfail),
		cmocka_unit_test(test_two_classes),
		cmocka_unit_test(test_access), cmocka_unit_test(test_logins),
		cmocka_unit_test(test_quota),
	};

	return cmocka_run_group_tests_name("resolver", tests, setup, NULL);
}
