/* SPDX-License-Identifier: ISC */
/*
 * authd_ipc_test.c: conversations of an acceptor over a real channel.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "authd/authd.h"
#include "authd/limits.h"
#include "authd/sasl.h"
#include "authd/ticket.h"
#include "conf/conf.h"
#include "ipc/auth.h"
#include "ipc/channel_internal.h"
#include "tests/unit/authd/fake_verify.h"

static struct authd d;
static struct conf *conf;
static struct ipc_channel *worker;
static unsigned answers, last_state, mechanisms, closed;

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	(void)ch, (void)arg;
	mechanisms += m->type == IPC_AUTH_MECHANISMS;
	return 0;
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch, (void)why, (void)arg;
	closed++;
	worker = NULL;
}

static const struct ipc_channel_ops worker_ops = { on_message, on_closed };

static int
on_step(struct ipc_msg *m, int error, void *arg)
{
	uint64_t job = 0, state = AUTH_STATES;
	struct ipc_in in;

	(void)arg;
	answers++;
	if (m != NULL && error == 0) {
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_JOB, &job);
		ipc_get_u64(&in, IPC_F_STATE, &state);
	}
	last_state = (unsigned)state;
	return 0;
}

static void
turns(void)
{
	unsigned i;

	for (i = 0; i < 6; i++)
		loop_turn(d.loop, 1);
}

static int
set_up(void **state)
{
	struct buf why;
	int sv[2];

	(void)state;
	answers = mechanisms = closed = 0;
	conf = conf_load("main.cf", VIEW("auth_mechanisms = plain\nauth_failure_delay = 1\n"),
	    NULL, NULL);
	assert_non_null(conf);
	memset(&d, 0, sizeof(d));
	d.conf = conf;
	d.loop = loop_new();
	d.limits = auth_limits_new(conf, -1);
	buf_init(&why, 500);
	d.tickets = tickets_new(NULL, 1000, 1, &why);
	assert_int_equal(sasl_init(&d, &why), 0);
	buf_fini(&why);
	fake_reset();
	authd_ipc_init(&d);
	assert_int_equal(ipc_socketpair(sv), 0);
	assert_true(early_keep(&d.early, IPC_ROLE_submission, 7, sv[0]));
	authd_begin(&d);
	worker = ipc_channel_new(d.loop, sv[1], IPC_ROLE_submission, IPC_ROLE_authd, 1,
	    &worker_ops, NULL);
	turns();
	assert_int_equal(mechanisms, 1);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ipc_channel_free(&worker);
	authd_ipc_fini(&d);
	sasl_fini(&d);
	tickets_free(&d.tickets);
	auth_limits_free(&d.limits);
	loop_free(&d.loop);
	conf_free(&conf);
	return 0;
}

static uint64_t
begin(uint64_t job)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_AUTH_BEGIN);
	ipc_put_u64(&o, IPC_F_JOB, job);
	ipc_put_str(&o, IPC_F_MECHANISM, "PLAIN");
	ipc_put_str(&o, IPC_F_LISTENER, "submission");
	ipc_put_str(&o, IPC_F_ADDRESS, "192.0.2.1");
	ipc_put_u64(&o, IPC_F_FLAGS, AUTH_SESSION_TLS);
	ipc_put_bytes(&o, IPC_F_DATA, VIEW(""));
	ipc_put_str(&o, IPC_F_HOST, "");
	ipc_put_bytes(&o, IPC_F_DATA, view_of("\0alice\0wonderland", 17));
	return ipc_call(worker, &o, 0, on_step, NULL);
}

static void
cancel(uint64_t job)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_AUTH_CANCEL);
	ipc_put_u64(&o, IPC_F_JOB, job);
	(void)ipc_send(worker, &o);
}

static void
test_success(void **state)
{
	(void)state;
	(void)begin(1);
	turns();
	assert_int_equal(authd_open(&d), 1);
	assert_true(fake_pump());
	turns();
	assert_int_equal(answers, 1);
	assert_int_equal(last_state, AUTH_SUCCESS);
	assert_int_equal(authd_open(&d), 0);
}

/*
 * Clients that ask for a login and leave at once cost the worker nothing that
 * stays: a question whose place was never given back used to end the channel,
 * and with it everybody's login, after 8192 of them.
 */
static void
test_A15_cancelled_questions_are_answered(void **state)
{
	uint64_t call, job;

	(void)state;
	for (job = 1; job <= 300; job++) {
		call = begin(job);
		turns();
		ipc_call_cancel(call);
		cancel(job);
		turns();
		assert_int_equal(authd_open(&d), 0);
		assert_int_equal(worker->nabandoned, 0);
		assert_int_equal(worker->ncalls, 0);
	}
	assert_int_equal(answers, 0);
	/* Also one whose failure is being held back; a second cancel is no lie. */
	fake_result = VERIFY_WRONG;
	call = begin(job);
	turns();
	assert_true(fake_pump());
	ipc_call_cancel(call);
	cancel(job);
	cancel(job);
	turns();
	assert_int_equal(worker->nabandoned, 0);
	assert_int_equal(closed, 0);
}

/* As long as lookupd's keys may be: no lie, and nobody's name. */
static void
test_long_key(void **state)
{
	struct ipc_channel *ch;
	char key[2048];
	struct ipc_out o;
	int sv[2];

	(void)state;
	d.sources = XNEW(struct source_set);
	d.sources->refs = 1;
	assert_int_equal(ipc_socketpair(sv), 0);
	d.early.over = false;
	assert_true(early_keep(&d.early, IPC_ROLE_lookupd, 8, sv[0]));
	authd_begin(&d);
	ch = ipc_channel_new(d.loop, sv[1], IPC_ROLE_lookupd, IPC_ROLE_authd, 1, &worker_ops,
	    NULL);
	turns();
	memset(key, 'k', sizeof(key));
	ipc_out_init(&o, IPC_ACCOUNT_GET);
	ipc_put_str(&o, IPC_F_TABLE, "users");
	ipc_put_bytes(&o, IPC_F_QUERY, view_of(key, sizeof(key)));
	(void)ipc_call(ch, &o, 0, on_step, NULL);
	turns();
	assert_int_equal(answers, 1);
	assert_int_equal(closed, 0);
	ipc_channel_free(&ch);
	turns();
	source_set_unref(&d.sources);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_success, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_A15_cancelled_questions_are_answered, set_up,
		    tear_down),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
