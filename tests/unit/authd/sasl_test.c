/* SPDX-License-Identifier: ISC */
#include <bsd/string.h>
#include <gsasl.h>

#include "authd/sasl.h"
#include "authd/sasl_prep.h"
#include "authd/sasl_scram.h"
#include "conf/conf.h"
#include "tests/unit/authd/fake_verify.h"
#include "tests/unit/unit.h"

#define ALL "plain login scram-sha-256 scram-sha-256-plus scram-sha-1 " \
    "scram-sha-1-plus external cram-md5"
#define BINDING "0123456789abcdef0123456789abcdef"

/* ---- one authd, one conversation ---- */

static struct authd authd;
static struct conf *conf;

static struct got {
	unsigned	 calls;
	enum auth_state	 state;
	char		 data[8192];
	size_t		 len;
	char		 login[400];
	char		 text[200];
} got;

static void
on_next(const struct sasl_result *r, void *arg)
{
	(void)arg;
	got.calls++;
	got.state = r->state;
	ASSERT(r->data.len < sizeof(got.data));
	memcpy(got.data, r->data.p, r->data.len);
	got.data[r->data.len] = '\0';
	got.len = r->data.len;
	strlcpy(got.login, r->login, sizeof(got.login));
	strlcpy(got.text, r->text, sizeof(got.text));
}

static void
on_conf_note(const struct conf_note *n, void *arg)
{
	(void)n;
	(void)arg;
}

static int
begin(const char *names, struct buf *why)
{
	struct buf text;
	int rc;

	buf_init(&text, 1000);
	buf_printf(&text, "auth_mechanisms = %s\n", names);
	conf = conf_load("main.cf", buf_view(&text), on_conf_note, NULL);
	assert_non_null(conf);
	buf_fini(&text);
	memset(&authd, 0, sizeof(authd));
	authd.conf = conf;
	authd.loop = loop_new();
	rc = sasl_init(&authd, why);
	fake_reset();
	return rc;
}

static void
end(void)
{
	sasl_fini(&authd);
	loop_free(&authd.loop);
	conf_free(&conf);
}

static int
set_up(void **state)
{
	struct buf why;

	(void)state;
	buf_init(&why, 500);
	assert_int_equal(begin(ALL, &why), 0);
	buf_fini(&why);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	end();
	unit_ignore_log();
	return 0;
}

static struct sasl *
start_at(const char *mechanism, unsigned flags, const char *certificate)
{
	const struct sasl_client c = {
		.who = { "192.0.2.1", "submission", SOURCE_SMTP },
		.flags = flags,
		.binding = flags & AUTH_SESSION_TLS13 ? view_str(BINDING) :
		    VIEW(""),
		.certificate = certificate,
	};

	memset(&got, 0, sizeof(got));
	return sasl_new(&authd, view_str(mechanism), &c, on_next, NULL);
}

static struct sasl *
start(const char *mechanism)
{
	struct sasl *s = start_at(mechanism,
	    AUTH_SESSION_TLS | AUTH_SESSION_TLS13, "alice@example.test");

	assert_non_null(s);
	return s;
}

static void
give(struct sasl *s, struct view input)
{
	unsigned before = got.calls;

	sasl_step(s, true, input);
	while (fake_pump())
		;
	assert_int_equal(got.calls, before + 1);
	assert_false(sasl_waiting(s));
}

/* One message that decides. */
static void
only(const char *mechanism, struct view input)
{
	struct sasl *s = start(mechanism);

	give(s, input);
	sasl_free(&s);
}

/* ---- a client, by the same library ---- */

struct client {
	const char	*user, *password, *authzid;
	const char	*binding;	/* base64, or NULL */
};

static int
client_callback(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
	const struct client *c = gsasl_callback_hook_get(g);
	const char *v = NULL;

	if (p == GSASL_AUTHID)
		v = c->user;
	else if (p == GSASL_PASSWORD)
		v = c->password;
	else if (p == GSASL_AUTHZID)
		v = c->authzid;
	else if (p == GSASL_CB_TLS_EXPORTER)
		v = c->binding;
	if (v == NULL)
		return GSASL_NO_CALLBACK;
	gsasl_property_set(session, p, v);
	return GSASL_OK;
}

/* Messages of the client, in order, for replays. */
static struct recorded {
	char	text[8][2048];
	size_t	len[8];
	size_t	n;
} recorded;

/* Runs it to its end; got has the outcome. */
static void
talk(const char *mechanism, const struct client *c, unsigned flags)
{
	struct sasl *s = start_at(mechanism, flags, "alice@example.test");
	Gsasl_session *session;
	Gsasl *g;
	char *out;
	size_t len;
	int rc;

	assert_non_null(s);
	recorded.n = 0;
	assert_int_equal(gsasl_init(&g), GSASL_OK);
	gsasl_callback_set(g, client_callback);
	gsasl_callback_hook_set(g, (void *)(uintptr_t)c);
	assert_int_equal(gsasl_client_start(g, mechanism, &session), GSASL_OK);
	sasl_step(s, false, VIEW(""));
	while (got.state == AUTH_CHALLENGE) {
		out = NULL;
		len = 0;
		rc = gsasl_step(session, got.data, got.len, &out, &len);
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
			fail_msg("%s: client: %s", mechanism, gsasl_strerror(rc));
		ASSERT(recorded.n < 8 && len < sizeof(recorded.text[0]));
		if (len > 0)
			memcpy(recorded.text[recorded.n], out, len);
		recorded.len[recorded.n++] = len;
		give(s, view_of(len > 0 ? out : "", len));
		gsasl_free(out);
	}
	gsasl_finish(session);
	gsasl_done(g);
	sasl_free(&s);
}

static const struct client alice = {
	"alice@example.test", "wonderland", NULL,
	"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
};
#define TLS13 (AUTH_SESSION_TLS | AUTH_SESSION_TLS13)

static void
test_every_mechanism_lets_in(void **state)
{
	static const char *const names[] = {
		"PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "SCRAM-SHA-1",
		"SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS",
	};
	struct client c = alice;

	(void)state;
	for (size_t i = 0; i < NELEMS(names); i++) {
		fake_reset();
		/* A client that can bind says so, which is for -PLUS alone. */
		c.binding = strstr(names[i], "-PLUS") != NULL ? alice.binding : NULL;
		talk(names[i], &c, TLS13);
		CHECK_INT(names[i], got.state, AUTH_SUCCESS);
		CHECK_VIEW(names[i], view_str(got.login), "alice@example.test");
		CHECK_INT(names[i], got.len, 0);
		CHECK_INT(names[i], fake_seen.failures, 0);
		if (fake_seen.finds > 0)
			CHECK_INT(names[i], fake_seen.successes, 1);
	}
}

/* A15: wrong, unknown, disabled and without a verifier look the same. */
static void
test_A15_failures_look_the_same(void **state)
{
	static const char *const names[] = {
		"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
		"SCRAM-SHA-256-PLUS",
	};
	static const struct client clients[] = {
		{ "alice@example.test", "wrong", NULL, NULL },
		{ "nobody@example.test", "wonderland", NULL, NULL },
		{ "gone@example.test", "disabled", NULL, NULL },
		{ "hash@example.test", "wrong", NULL, NULL },
	};
	size_t steps, first;

	(void)state;
	unit_ignore_log();
	log_set_level(LOG_LVL_WARN);
	for (size_t i = 0; i < NELEMS(names); i++) {
		first = 0;
		for (size_t j = 0; j < NELEMS(clients); j++) {
			struct client c = clients[j];

			if (strstr(names[i], "-PLUS") != NULL)
				c.binding = alice.binding;
			fake_reset();
			talk(names[i], &c, TLS13);
			CHECK_INT(names[i], got.state, AUTH_FAILURE);
			CHECK_VIEW(names[i], view_str(got.text),
			    "authentication failed");
			CHECK_VIEW(names[i], view_str(got.login), "");
			CHECK_INT(names[i], fake_seen.successes, 0);
			CHECK_INT(names[i], fake_seen.failures +
			    fake_seen.passwords, 1);
			steps = recorded.n;
			if (j == 0)
				first = steps;
			CHECK_INT(names[i], steps, first);
		}
	}
	log_set_level(LOG_LVL_INFO);
}

/* A15: salt and iterations of a user who does not exist are always the same. */
static void
test_A15_made_up_salt_is_stable(void **state)
{
	static const char *const users[] = { "nobody", "hash@example.test" };
	char salt[2][100];
	struct buf b;

	(void)state;
	unit_ignore_log();
	log_set_level(LOG_LVL_WARN);
	buf_init(&b, 200);
	for (size_t i = 0; i < NELEMS(users); i++) {
		for (size_t j = 0; j < 2; j++) {
			buf_reset(&b);
			buf_printf(&b, "n,,n=%s,r=abcdefgh%zu", users[i], j);
			only("SCRAM-SHA-256", buf_view(&b));
			assert_int_equal(got.state, AUTH_CHALLENGE);
			assert_non_null(strstr(got.data, ",s="));
			strlcpy(salt[j], strstr(got.data, ",s="), sizeof(salt[j]));
		}
		assert_string_equal(salt[0], salt[1]);
		assert_non_null(strstr(salt[0], ",i=10000"));
		/* As long as that of a user who exists. */
		only("SCRAM-SHA-256", VIEW("n,,n=alice,r=abcdefgh"));
		assert_int_equal(strlen(strstr(got.data, ",s=")), strlen(salt[0]));
	}
	buf_fini(&b);
	log_set_level(LOG_LVL_INFO);
}

static void
test_missing_verifier_is_told_once(void **state)
{
	const struct client c = { "hash@example.test", "onlyhash", NULL, NULL };

	(void)state;
	unit_expect_log(LOG_LVL_INFO, "login hash@example.test: SCRAM-SHA-256 "
	    "cannot work: the SCRAM-SHA-256 verifier is missing");
	talk("SCRAM-SHA-256", &c, AUTH_SESSION_TLS);
	assert_int_equal(got.state, AUTH_FAILURE);
	talk("SCRAM-SHA-256", &c, AUTH_SESSION_TLS);
	unit_check_log();
}

/* A15: a recorded exchange is of no use a second time. */
static void
test_A15_replay_fails(void **state)
{
	static const char *const names[] = {
		"CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
	};
	struct client c = alice;
	struct recorded r;
	struct sasl *s;

	(void)state;
	c.binding = NULL;
	for (size_t i = 0; i < NELEMS(names); i++) {
		talk(names[i], &c, AUTH_SESSION_TLS);
		CHECK_INT(names[i], got.state, AUTH_SUCCESS);
		r = recorded;
		s = start(names[i]);
		sasl_step(s, false, VIEW(""));
		for (size_t j = 0; j < r.n && got.state == AUTH_CHALLENGE; j++)
			give(s, view_of(r.text[j], r.len[j]));
		CHECK_INT(names[i], got.state, AUTH_FAILURE);
		sasl_free(&s);
	}
}

/* A15: every way to get from -PLUS to less, or to bind to another channel. */
static void
test_A15_downgrade_fails(void **state)
{
	static const struct {
		const char	*name, *mechanism, *message;
		unsigned	 flags;
		enum auth_state	 want;
	} rows[] = {
		{ "n where -PLUS is offered", "SCRAM-SHA-256",
		    "n,,n=alice,r=abc", TLS13, AUTH_CHALLENGE },
		{ "y where -PLUS is offered", "SCRAM-SHA-256",
		    "y,,n=alice,r=abc", TLS13, AUTH_FAILURE },
		{ "y where it is not", "SCRAM-SHA-256",
		    "y,,n=alice,r=abc", AUTH_SESSION_TLS, AUTH_CHALLENGE },
		{ "p outside of -PLUS", "SCRAM-SHA-256",
		    "p=tls-exporter,,n=alice,r=abc", TLS13, AUTH_FAILURE },
		{ "n with -PLUS", "SCRAM-SHA-256-PLUS",
		    "n,,n=alice,r=abc", TLS13, AUTH_FAILURE },
		{ "y with -PLUS", "SCRAM-SHA-256-PLUS",
		    "y,,n=alice,r=abc", TLS13, AUTH_FAILURE },
		{ "p with -PLUS", "SCRAM-SHA-256-PLUS",
		    "p=tls-exporter,,n=alice,r=abc", TLS13, AUTH_CHALLENGE },
		{ "another binding", "SCRAM-SHA-256-PLUS",
		    "p=tls-unique,,n=alice,r=abc", TLS13, AUTH_FAILURE },
		{ "no binding named", "SCRAM-SHA-256-PLUS",
		    "p=,,n=alice,r=abc", TLS13, AUTH_FAILURE },
	};
	struct client other = alice;

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct sasl *s = start_at(rows[i].mechanism, rows[i].flags, "");

		assert_non_null(s);
		give(s, view_str(rows[i].message));
		CHECK_INT(rows[i].name, got.state, rows[i].want);
		sasl_free(&s);
	}
	/* A man in the middle has two channels. */
	other.binding = "YW5vdGhlciBjaGFubmVsLCBhbm90aGVyIGNoYW5uZWw=";
	talk("SCRAM-SHA-256-PLUS", &other, TLS13);
	assert_int_equal(got.state, AUTH_FAILURE);
}

static void
test_circumstances(void **state)
{
	static const struct {
		const char	*mechanism;
		unsigned	 flags;
		const char	*certificate;
		bool		 want;
	} rows[] = {
		{ "PLAIN", 0, "", false },
		{ "PLAIN", AUTH_SESSION_TLS, "", true },
		{ "plain", AUTH_SESSION_LOCAL, "", true },
		{ "LOGIN", 0, "", false },
		{ "SCRAM-SHA-256", 0, "", true },
		{ "SCRAM-SHA-256-PLUS", AUTH_SESSION_TLS, "", false },
		{ "SCRAM-SHA-256-PLUS", TLS13, "", true },
		{ "EXTERNAL", AUTH_SESSION_TLS, "", false },
		{ "EXTERNAL", AUTH_SESSION_TLS, "x", true },
		{ "DIGEST-MD5", TLS13, "", false },
		{ "ANONYMOUS", TLS13, "", false },
		{ "", TLS13, "", false },
		{ "PLAIN ", TLS13, "", false },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct sasl *s = start_at(rows[i].mechanism, rows[i].flags,
		    rows[i].certificate);

		CHECK_INT(rows[i].mechanism, s != NULL, rows[i].want);
		sasl_free(&s);
	}
}

static void
put_name(const char *name, unsigned flags, void *arg)
{
	buf_printf(arg, "%s/%u ", name, flags);
}

static void
test_configuration(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(begin("login, Plain scram-sha-256-plus", &b), 0);
	sasl_mechanisms(&authd, put_name, &b);
	CHECK_VIEW("names", buf_view(&b),
	    "SCRAM-SHA-256-PLUS/2 PLAIN/1 LOGIN/1 ");
	assert_null(start_at("SCRAM-SHA-256", TLS13, ""));
	end();
	buf_reset(&b);
	assert_int_equal(begin("plain digest-md5", &b), PK_ESYNTAX);
	assert_non_null(strstr(buf_cstr(&b), "there is no \"digest-md5\""));
	end();
	buf_fini(&b);
}

/* ---- messages that are not right ---- */

static void
test_A15_hostile_messages(void **state)
{
#define M(mechanism, text) { mechanism, text, sizeof(text) - 1 }
	static const struct { const char *mechanism, *text; size_t len; } rows[] = {
		M("PLAIN", ""),
		M("PLAIN", "\0"),
		M("PLAIN", "\0\0"),
		M("PLAIN", "alice wonderland"),
		M("PLAIN", "\0alice@example.test"),
		M("PLAIN", "\0alice@example.test\0"),
		M("PLAIN", "\0alice@example.test\0wonderland\0"),
		M("PLAIN", "\0alice@example.test\0wonderland\0x"),
		M("PLAIN", "\0\0wonderland"),
		M("PLAIN", "\0alice\xff\0wonderland"),
		M("PLAIN", "\0alice\r\n@example.test\0wonderland"),
		M("PLAIN", "\0alice\xc0\xae\0wonderland"),
		/* Another user's authorization identity. */
		M("PLAIN", "gone@example.test\0alice@example.test\0wonderland"),
		M("PLAIN", "root\0alice@example.test\0wonderland"),
		M("PLAIN", "\xff\0alice@example.test\0wonderland"),
		M("LOGIN", ""),
		M("LOGIN", "alice\0"),
		M("LOGIN", "\n"),
		M("CRAM-MD5", "alice 00000000000000000000000000000000"),
		M("EXTERNAL", "gone@example.test"),
		M("EXTERNAL", "alice\0"),
		M("EXTERNAL", "\xff"),
		M("SCRAM-SHA-256", ""),
		M("SCRAM-SHA-256", "n"),
		M("SCRAM-SHA-256", "n,,"),
		M("SCRAM-SHA-256", "n,,n=alice"),
		M("SCRAM-SHA-256", "n,,n=alice,"),
		M("SCRAM-SHA-256", "n,,n=alice,r="),
		M("SCRAM-SHA-256", "n,,n=,r=abc"),
		M("SCRAM-SHA-256", "n,,n=al=2Dice,r=abc"),
		M("SCRAM-SHA-256", "n,,n=al=2,r=abc"),
		M("SCRAM-SHA-256", "n,,n=al=2cice,r=abc"),
		M("SCRAM-SHA-256", "n,,m=x,n=alice,r=abc"),
		M("SCRAM-SHA-256", "n,,n=alice\0,r=abc"),
		M("SCRAM-SHA-256", "n,,n=alice,r=a\0bc"),
		M("SCRAM-SHA-256", "n,,n=alice,r=a\x01""bc"),
		M("SCRAM-SHA-256", "n,,n=\xff,r=abc"),
		M("SCRAM-SHA-256", "n,a=gone,n=alice,r=abc"),
		M("SCRAM-SHA-256", "n,gone,n=alice,r=abc"),
		M("SCRAM-SHA-256", "f,,n=alice,r=abc"),
		M("SCRAM-SHA-256", "nn,,n=alice,r=abc"),
	};
#undef M

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		fake_reset();
		only(rows[i].mechanism, view_of(rows[i].text, rows[i].len));
		if (got.state != AUTH_FAILURE || fake_seen.failures != 1)
			fail_msg("row %zu of %s: state %d, %u failures", i,
			    rows[i].mechanism, got.state, fake_seen.failures);
	}
}

static void
test_A15_garbage_at_the_second_message(void **state)
{
	static const char *const texts[] = {
		"", "c", "c=biws", "c=biws,r=", "c=biws,r=%s", "c=biws,r=%s,p=",
		"c=biws,r=%s,p=AAAA", "c=biws,r=%s,p=!!!!",
		"c=eSws,r=%s,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"c=biws,r=%s,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"c=biws,r=%sx,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"\xff\xff\xff\xff",
	};
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (size_t i = 0; i < NELEMS(texts); i++) {
		struct sasl *s = start("SCRAM-SHA-256");
		const char *hole = strstr(texts[i], "%s");
		char *nonce;

		give(s, VIEW("n,,n=alice,r=abcdef"));
		assert_int_equal(got.state, AUTH_CHALLENGE);
		nonce = got.data + 2;
		*strchr(nonce, ',') = '\0';
		buf_reset(&b);
		buf_put(&b, texts[i], hole != NULL ? (size_t)(hole - texts[i]) :
		    strlen(texts[i]));
		if (hole != NULL) {
			buf_put_str(&b, nonce);
			buf_put_str(&b, hole + 2);
		}
		give(s, buf_view(&b));
		CHECK_INT(texts[i], got.state, AUTH_FAILURE);
		sasl_free(&s);
	}
	buf_fini(&b);
}

static void
test_oversized(void **state)
{
	char *big = xmalloc(AUTH_DATA_MAX + 1);
	static const char *const names[] = {
		"PLAIN", "LOGIN", "EXTERNAL", "SCRAM-SHA-256", "CRAM-MD5",
	};

	(void)state;
	memset(big, 'a', AUTH_DATA_MAX + 1);
	for (size_t i = 0; i < NELEMS(names); i++) {
		only(names[i], view_of(big, AUTH_DATA_MAX + 1));
		CHECK_INT(names[i], got.state, AUTH_FAILURE);
		only(names[i], view_of(big, AUTH_DATA_MAX));
		CHECK_INT(names[i], got.state, AUTH_FAILURE);
	}
	/* A password beyond PASSWORD_MAX; a login beyond AUTH_LOGIN_MAX. */
	memcpy(big, "\0alice\0", 7);
	only("PLAIN", view_of(big, 7 + 1025));
	assert_int_equal(got.state, AUTH_FAILURE);
	memset(big, 'a', 1000);
	memcpy(big + AUTH_LOGIN_MAX + 2, "\0x", 2);
	big[0] = '\0';
	only("PLAIN", view_of(big, AUTH_LOGIN_MAX + 4));
	assert_int_equal(got.state, AUTH_FAILURE);
	assert_int_equal(fake_seen.passwords, 0);
	xfree(big);
}

static void
test_too_many_steps(void **state)
{
	struct sasl *s = start("LOGIN");

	(void)state;
	sasl_step(s, false, VIEW(""));
	assert_int_equal(got.state, AUTH_CHALLENGE);
	sasl_step(s, false, VIEW(""));
	assert_int_equal(got.state, AUTH_FAILURE);
	sasl_step(s, true, VIEW("alice"));
	assert_int_equal(got.state, AUTH_FAILURE);
	assert_string_equal(got.text, "the conversation is over");
	sasl_free(&s);
}

static void
test_login_with_initial_response(void **state)
{
	struct sasl *s = start("LOGIN");

	(void)state;
	give(s, VIEW("alice"));
	assert_string_equal(got.data, "Password:");
	give(s, VIEW("wonderland"));
	assert_int_equal(got.state, AUTH_SUCCESS);
	assert_string_equal(got.login, "alice@example.test");
	sasl_free(&s);
}

/* Prepared and as typed, as one question: a login is one failure at most. */
static void
test_password_forms(void **state)
{
	static const struct {
		const char	*name, *message;
		size_t		 len;
		enum auth_state	 want;
		unsigned	 tries;
	} rows[] = {
#define R(name, text, want, tries) { name, text, sizeof(text) - 1, want, tries }
		R("plain ASCII", "\0alice\0wonderland", AUTH_SUCCESS, 1),
		R("soft hyphen goes", "\0alice\0wonder\xc2\xadland", AUTH_SUCCESS, 1),
		R("hash of what was typed", "\0typed\0\xc2\xb2", AUTH_SUCCESS, 1),
		R("wrong both ways", "\0typed\0\xc2\xb3", AUTH_FAILURE, 1),
		R("control character", "\0alice\0wonder\x01land", AUTH_FAILURE, 1),
		R("not UTF-8", "\0alice\0\xff", AUTH_FAILURE, 1),
#undef R
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		fake_reset();
		only("PLAIN", view_of(rows[i].message, rows[i].len));
		CHECK_INT(rows[i].name, got.state, rows[i].want);
		CHECK_INT(rows[i].name, fake_seen.passwords, rows[i].tries);
		/* verify_password() counts by itself. */
		CHECK_INT(rows[i].name, fake_seen.failures, 0);
	}
}

static void
test_authzid_of_oneself(void **state)
{
	static const char *const forms[] = { "alice@example.test", "alice",
		"ALICE@Example.Test" };
	struct client c = alice;

	(void)state;
	c.binding = NULL;
	for (size_t i = 0; i < NELEMS(forms); i++) {
		c.authzid = forms[i];
		talk("PLAIN", &c, AUTH_SESSION_TLS);
		CHECK_INT(forms[i], got.state, AUTH_SUCCESS);
		talk("SCRAM-SHA-256", &c, AUTH_SESSION_TLS);
		CHECK_INT(forms[i], got.state, AUTH_SUCCESS);
		CHECK_VIEW(forms[i], view_str(got.login), "alice@example.test");
	}
	c = (struct client){ "o,ne=two", "comma", "o,ne=two", NULL };
	talk("SCRAM-SHA-256", &c, AUTH_SESSION_TLS);
	assert_int_equal(got.state, AUTH_SUCCESS);
	assert_string_equal(got.login, "o,ne=two@example.test");
}

static void
test_limits_and_failures_of_sources(void **state)
{
	static const struct { const char *mechanism, *text; size_t len; } rows[] = {
		{ "PLAIN", "\0alice\0wonderland", 17 },
		{ "SCRAM-SHA-256", "n,,n=alice,r=abcdef", 19 },
		{ "EXTERNAL", "", 0 },
	};
	static const enum verify_result results[] = {
		VERIFY_LIMITED, VERIFY_TEMPORARY,
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++)
		for (size_t j = 0; j < NELEMS(results); j++) {
			fake_reset();
			fake_result = results[j];
			only(rows[i].mechanism, view_of(rows[i].text, rows[i].len));
			CHECK_INT(rows[i].mechanism, got.state, AUTH_TEMPORARY);
			CHECK_INT(rows[i].mechanism, fake_seen.failures, 0);
		}
}

/* The client goes while a thread has its question. */
static void
test_freed_while_waiting(void **state)
{
	struct sasl *s = start("PLAIN");

	(void)state;
	sasl_step(s, true, view_of("\0alice\0wonderland", 17));
	assert_true(sasl_waiting(s));
	sasl_free(&s);
	assert_null(s);
	assert_int_equal(fake_seen.cancels, 1);
	assert_false(fake_pump());
	assert_int_equal(got.calls, 0);
}

static void
test_prep(void **state)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "plain", "plain" },
		{ "two words", "two words" },
		{ "I\xc2\xadX", "IX" },		/* RFC 4013's examples */
		{ "user", "user" },
		{ "USER", "USER" },
		{ "\xc2\xaa", "a" },
		{ "\xe2\x85\xa8", "IX" },
		{ "\x07", NULL },
		{ "\xd8\xa7\x31", NULL },
		{ "", NULL },
		{ "\xff", NULL },
		{ "\xc2\xad", NULL },		/* nothing is left */
	};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < NELEMS(rows); i++) {
		buf_reset(&b);
		CHECK_INT(rows[i].in, sasl_prep(view_str(rows[i].in), &b) == 0,
		    rows[i].want != NULL);
		if (rows[i].want != NULL)
			CHECK_VIEW(rows[i].in, buf_view(&b), rows[i].want);
	}
	buf_fini(&b);
}

static void
test_verifier_of_no_use(void **state)
{
#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	static const struct { const char *text; bool ok; } rows[] = {
		{ "{SCRAM-SHA-256}4096,c2FsdA==," KEY "," KEY, true },
		{ "{scram-sha-256}4096,c2FsdA==," KEY "," KEY, true },
		{ "{SCRAM-SHA-1}4096,c2FsdA==," KEY "," KEY, false },
		{ "SCRAM-SHA-256 4096,c2FsdA==," KEY "," KEY, false },
		{ "{SCRAM-SHA-256}0,c2FsdA==," KEY "," KEY, false },
		{ "{SCRAM-SHA-256}99999999999,c2FsdA==," KEY "," KEY, false },
		{ "{SCRAM-SHA-256}4096,," KEY "," KEY, false },
		{ "{SCRAM-SHA-256}4096,c2FsdA==," KEY ",AAAA", false },
		{ "{SCRAM-SHA-256}4096,c2FsdA==," KEY, false },
		{ "{SCRAM-SHA-256}4096,c2FsdA==," KEY "," KEY ",x", false },
		{ "{SCRAM-SHA-256}", false },
		{ "", false },
	};
#undef KEY
	struct scram_verifier v;

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++)
		CHECK_INT(rows[i].text, scram_verifier_parse(
		    view_str(rows[i].text), VIEW("SCRAM-SHA-256"), 32, &v) == 0,
		    rows[i].ok);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

UNIT_MAIN(CASE(test_every_mechanism_lets_in),
    CASE(test_A15_failures_look_the_same), CASE(test_A15_made_up_salt_is_stable),
    CASE(test_missing_verifier_is_told_once), CASE(test_A15_replay_fails),
    CASE(test_A15_downgrade_fails), CASE(test_circumstances),
    cmocka_unit_test(test_configuration), CASE(test_A15_hostile_messages),
    CASE(test_A15_garbage_at_the_second_message), CASE(test_oversized),
    CASE(test_too_many_steps), CASE(test_login_with_initial_response),
    CASE(test_password_forms), CASE(test_authzid_of_oneself),
    CASE(test_limits_and_failures_of_sources), CASE(test_freed_while_waiting),
    cmocka_unit_test(test_prep), cmocka_unit_test(test_verifier_of_no_use))
