/* SPDX-License-Identifier: ISC */
/*
 * auth_link_test.c: conversations with an authd that answers, lies (A24) or
 * is gone, over real channels.
 */
#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

#include "smtpd/auth_link.h"

#define AUTHDS	2

/* What the test's authd does with a question. */
enum play {
	PLAY_GOOD,		/* challenge, then success */
	PLAY_REFUSE,
	PLAY_SILENT,
	PLAY_WRONG_JOB,
	PLAY_SHORT_TICKET,
	PLAY_NO_LOGIN,
	PLAY_BAD_STATE,
	PLAY_TRAILING,
	PLAY_OTHER_TYPE,
};

static struct loop *loop;
static struct auth_link *link_;
static struct auth_mechanisms mechanisms;
static struct ipc_channel *authd[AUTHDS];
static enum play play;
static struct {
	unsigned begins[AUTHDS], mores[AUTHDS], cancels;
	bool	 has_initial;
	char	 data[100], mechanism[40], address[40];
} got;
static struct {
	unsigned calls;
	int	 error;
	enum auth_state state;
	char	 data[100], login[100], text[100];
} said;

/* ---- authd ---- */

static void
answer(struct ipc_channel *ch, const struct ipc_msg *m, uint64_t job, bool first)
{
	static const char ticket[AUTH_TICKET_SIZE] = "proof";
	uint64_t state = first && play != PLAY_REFUSE ? AUTH_CHALLENGE :
	    play == PLAY_REFUSE ? AUTH_FAILURE : AUTH_SUCCESS;
	struct ipc_out o;

	if (play == PLAY_SHORT_TICKET || play == PLAY_NO_LOGIN)
		state = AUTH_SUCCESS;
	ipc_out_init(&o, play == PLAY_OTHER_TYPE ? IPC_ACK : IPC_AUTH_STEP);
	ipc_put_u64(&o, IPC_F_JOB, play == PLAY_WRONG_JOB ? job + 1 : job);
	ipc_put_u64(&o, IPC_F_STATE, play == PLAY_BAD_STATE ? AUTH_STATES : state);
	if (state == AUTH_CHALLENGE) {
		ipc_put_str(&o, IPC_F_DATA, "who?");
	} else if (state == AUTH_SUCCESS) {
		ipc_put_str(&o, IPC_F_LOGIN, play == PLAY_NO_LOGIN ? "" : "a@b.test");
		ipc_put_bytes(&o, IPC_F_DATA, view_of(ticket,
		    play == PLAY_SHORT_TICKET ? 8 : sizeof(ticket)));
	} else {
		ipc_put_str(&o, IPC_F_DSN, "5.7.8");
		ipc_put_str(&o, IPC_F_TEXT, "no");
	}
	if (play == PLAY_TRAILING)
		ipc_put_u64(&o, IPC_F_STATE, 0);
	ipc_reply(ch, m, &o);
}

static int
on_question(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	unsigned which = (unsigned)(uintptr_t)arg;
	struct view data = VIEW_NONE, v = VIEW_NONE;
	uint64_t job = 0, flags = 0;
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, &job);
	if (m->type == IPC_AUTH_CANCEL) {
		got.cancels++;
		return ipc_in_end(&in);
	}
	if (m->type == IPC_AUTH_BEGIN) {
		got.begins[which]++;
		ipc_get_text(&in, IPC_F_MECHANISM, 20, &v);
		snprintf(got.mechanism, sizeof(got.mechanism), "%.*s", VIEW_ARG(v));
		ipc_get_text(&in, IPC_F_LISTENER, 64, &v);
		ipc_get_text(&in, IPC_F_ADDRESS, 64, &v);
		snprintf(got.address, sizeof(got.address), "%.*s", VIEW_ARG(v));
		ipc_get_u64(&in, IPC_F_FLAGS, &flags);
		ipc_get_bytes(&in, IPC_F_DATA, 64, &v);
		ipc_get_text(&in, IPC_F_HOST, 255, &v);
		got.has_initial = ipc_has(&in, IPC_F_DATA);
		if (got.has_initial)
			ipc_get_bytes(&in, IPC_F_DATA, AUTH_DATA_MAX, &data);
	} else {
		got.mores[which]++;
		ipc_get_bytes(&in, IPC_F_DATA, AUTH_DATA_MAX, &data);
	}
	snprintf(got.data, sizeof(got.data), "%.*s", VIEW_ARG(data));
	assert_int_equal(ipc_in_end(&in), 0);
	if (play != PLAY_SILENT)
		answer(ch, m, job, m->type == IPC_AUTH_BEGIN);
	return 0;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	authd[(unsigned)(uintptr_t)arg] = NULL;
}

static const struct ipc_channel_ops authd_ops = { on_question, on_closed };

/* ---- smtpd ---- */

static void
on_step(const struct auth_step *step, void *arg)
{
	struct auth_conversation **c = arg;

	said.calls++;
	said.error = step->error;
	said.state = step->state;
	snprintf(said.data, sizeof(said.data), "%.*s", VIEW_ARG(step->data));
	snprintf(said.login, sizeof(said.login), "%.*s", VIEW_ARG(step->login));
	snprintf(said.text, sizeof(said.text), "%.*s", VIEW_ARG(step->text));
	if (step->error != 0 || step->state != AUTH_CHALLENGE)
		*c = NULL;
}

static void
turns(void)
{
	unsigned i;

	for (i = 0; i < 20; i++)
		loop_turn(loop, 1);
}

static void
add_authd(unsigned which)
{
	int sv[2];

	assert_int_equal(ipc_socketpair(sv), 0);
	authd[which] = ipc_channel_new(loop, sv[0], IPC_ROLE_authd, IPC_ROLE_submission, 1,
	    &authd_ops, (void *)(uintptr_t)which);
	auth_link_channel(link_, sv[1], 10 + which);
	turns();
}

static void
begin(void)
{
	log_set_level(LOG_LVL_FATAL);
	memset(&got, 0, sizeof(got));
	memset(&said, 0, sizeof(said));
	memset(&mechanisms, 0, sizeof(mechanisms));
	play = PLAY_GOOD;
	loop = loop_new();
	link_ = auth_link_new(loop, IPC_ROLE_submission, &mechanisms);
}

static void
end(void)
{
	unsigned i;

	for (i = 0; i < AUTHDS; i++)
		ipc_channel_free(&authd[i]);
	auth_link_free(&link_);
	loop_free(&loop);
	log_set_level(LOG_LVL_INFO);
}

static struct auth_conversation *
ask(const char *initial, struct auth_conversation **arg)
{
	struct auth_question q = { .mechanism = VIEW("PLAIN"), .listener = VIEW("users"),
	    .address = VIEW("192.0.2.7"), .has_initial = initial != NULL };

	if (initial != NULL)
		q.initial = view_str(initial);
	return *arg = auth_link_begin(link_, &q, on_step, arg);
}

static void
test_conversation(void **state)
{
	struct auth_conversation *c;

	(void)state;
	begin();
	assert_null(ask(NULL, &c));
	add_authd(0);
	assert_non_null(ask(NULL, &c));
	assert_int_equal(said.calls, 0);
	turns();
	assert_int_equal(said.calls, 1);
	assert_int_equal(said.state, AUTH_CHALLENGE);
	assert_string_equal(said.data, "who?");
	assert_false(got.has_initial);
	assert_string_equal(got.address, "192.0.2.7");
	auth_link_more(link_, c, VIEW("me"));
	turns();
	assert_string_equal(got.data, "me");
	assert_int_equal(said.state, AUTH_SUCCESS);
	assert_string_equal(said.login, "a@b.test");
	assert_string_equal(said.data, "proof");
	assert_null(c);
	/* An empty initial response is not none. */
	play = PLAY_REFUSE;
	ask("", &c);
	turns();
	assert_true(got.has_initial);
	assert_int_equal(said.state, AUTH_FAILURE);
	assert_string_equal(said.text, "no");
	end();
}

/* Several authd share the work; a conversation stays where it began. */
static void
test_stays_with_its_authd(void **state)
{
	struct auth_conversation *c[2];

	(void)state;
	begin();
	add_authd(0);
	add_authd(1);
	ask(NULL, &c[0]);
	ask(NULL, &c[1]);
	turns();
	assert_int_equal(got.begins[0], 1);
	assert_int_equal(got.begins[1], 1);
	auth_link_more(link_, c[1], VIEW("x"));
	turns();
	assert_int_equal(got.mores[0], 0);
	assert_int_equal(got.mores[1], 1);
	auth_link_cancel(link_, &c[0]);
	assert_null(c[0]);
	turns();
	assert_int_equal(got.cancels, 1);
	end();
}

/* Never asked again elsewhere: an error, at once or at the next response. */
static void
test_authd_dies(void **state)
{
	struct auth_conversation *c;

	(void)state;
	begin();
	add_authd(0);
	play = PLAY_SILENT;
	ask("x", &c);
	turns();
	add_authd(1);
	ipc_channel_free(&authd[0]);
	turns();
	assert_int_equal(said.calls, 1);
	assert_int_not_equal(said.error, 0);
	assert_int_equal(got.begins[1], 0);
	play = PLAY_GOOD;
	ask("x", &c);
	turns();
	assert_int_equal(said.state, AUTH_CHALLENGE);
	ipc_channel_free(&authd[1]);
	turns();
	assert_int_equal(said.calls, 2);
	auth_link_more(link_, c, VIEW("y"));
	assert_int_equal(said.calls, 2);
	turns();
	assert_int_equal(said.calls, 3);
	assert_int_not_equal(said.error, 0);
	assert_null(c);
	/* Cancelled while that is still to be said. */
	add_authd(0);
	ask("x", &c);
	turns();
	ipc_channel_free(&authd[0]);
	turns();
	auth_link_more(link_, c, VIEW("y"));
	auth_link_cancel(link_, &c);
	turns();
	assert_int_equal(said.calls, 4);
	end();
}

static void
test_A24_authd_lies(void **state)
{
	static const enum play lies[] = { PLAY_WRONG_JOB, PLAY_SHORT_TICKET, PLAY_NO_LOGIN,
	    PLAY_BAD_STATE, PLAY_TRAILING, PLAY_OTHER_TYPE };
	struct auth_conversation *c, *other;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(lies); i++) {
		begin();
		add_authd(0);
		ask("x", &other);
		turns();
		assert_int_equal(said.state, AUTH_CHALLENGE);
		play = lies[i];
		ask("x", &c);
		turns();
		/* No login came of it, and the channel is closed. */
		if (said.error == 0 || c != NULL)
			fail_msg("lie %zu is believed", i);
		assert_null(authd[0]);
		auth_link_cancel(link_, &other);
		end();
	}
}

/* ---- AUTH_MECHANISMS ---- */

static void
say_mechanisms(const char *const *names, uint64_t flags)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_AUTH_MECHANISMS);
	for (; *names != NULL; names++) {
		ipc_put_str(&o, IPC_F_NAME, *names);
		ipc_put_u64(&o, IPC_F_FLAGS, flags);
	}
	ipc_send(authd[0], &o);
	turns();
}

static void
test_mechanisms(void **state)
{
	static const char *const good[] = { "PLAIN", "SCRAM-SHA-256", NULL },
	    *const fewer[] = { "LOGIN", NULL }, *const bad[] = { "LOGIN", "X\"Y", NULL },
	    *const none[] = { NULL };

	(void)state;
	begin();
	add_authd(0);
	say_mechanisms(good, AUTH_MECHANISM_PLAINTEXT);
	assert_int_equal(mechanisms.count, 2);
	assert_string_equal(mechanisms.list[1].name, "SCRAM-SHA-256");
	say_mechanisms(fewer, 0);
	assert_int_equal(mechanisms.count, 1);
	assert_string_equal(mechanisms.list[0].name, "LOGIN");
	say_mechanisms(bad, 0);
	assert_int_equal(mechanisms.count, 1);
	assert_null(authd[0]);
	add_authd(0);
	say_mechanisms(none, 0);
	assert_int_equal(mechanisms.count, 0);
	say_mechanisms(fewer, 8);
	assert_null(authd[0]);
	end();
}

UNIT_MAIN(cmocka_unit_test(test_conversation), cmocka_unit_test(test_stays_with_its_authd),
    cmocka_unit_test(test_authd_dies), cmocka_unit_test(test_A24_authd_lies),
    cmocka_unit_test(test_mechanisms))
