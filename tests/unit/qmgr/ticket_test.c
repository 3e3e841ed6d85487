/* SPDX-License-Identifier: ISC */
/*
 * Whose mail it is, and when it may go, in a queue manager with the test as
 * writer, authd and administrator: A16 and A24 (a login that a worker made
 * up), F6 (a clock that steps while mail waits for a time).
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/auth.h"
#include "qmgr/qmgr.h"
#include "qmgr/sched.h"
#include "sys/fd.h"
#include "tests/unit/unit.h"

extern const struct store_ops qmgr_store_ops;
extern const struct sched_ops qmgr_sched_ops;

#define WRITER	77

static char dir[] = "/tmp/pk-ticket-XXXXXX";
static struct qmgr q;
static struct conf *conf;
static struct ipc_channel *authd;
static int answer;		/* of authd: 0 or PK_E*; 1: none at all */
static unsigned asked;
static char asked_login[400];
static uint64_t asked_writer, asked_arrival;
static struct segment *seg;
static int seg_fd = -1;

static const char *wanted;	/* in a log line */
static unsigned seen;

static void
on_log(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level, (void)len, (void)arg;
	seen += wanted != NULL && strstr(line, wanted) != NULL;
}

static void
watch(const char *text)
{
	wanted = text;
	seen = 0;
}

/* ---- authd ---- */

static int
on_check(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct view login = VIEW_NONE, ticket = VIEW_NONE;
	struct ipc_in in;
	struct ipc_out o;

	(void)arg;
	assert_int_equal(m->type, IPC_TICKET_CHECK);
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_INSTANCE, &asked_writer);
	ipc_get_text(&in, IPC_F_LOGIN, AUTH_LOGIN_MAX, &login);
	ipc_get_bytes(&in, IPC_F_DATA, 1000, &ticket);
	ipc_get_u64(&in, IPC_F_TIME_MS, &asked_arrival);
	assert_int_equal(ipc_in_end(&in), 0);
	assert_int_equal(ticket.len, AUTH_TICKET_SIZE);
	snprintf(asked_login, sizeof(asked_login), "%.*s", VIEW_ARG(login));
	asked++;
	if (answer == 1)
		return 0;
	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-answer);
	return ipc_reply(ch, m, &o);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch, (void)why, (void)arg;
	authd = NULL;
}

static const struct ipc_channel_ops authd_ops = { on_check, on_closed };

static void
authd_start(void)
{
	int sv[2];

	assert_int_equal(ipc_socketpair(sv), 0);
	authd = ipc_channel_new(q.loop, sv[0], IPC_ROLE_authd, IPC_ROLE_qmgr, 1, &authd_ops, NULL);
	ipc_pool_add(q.authd, sv[1], 9);
}

/* ---- the queue manager ---- */

static void
no_note(const struct conf_note *note, void *arg)
{
	(void)arg;
	fail_msg("%s", note->text);
}

static bool
nobody_alive(void *arg, uint64_t instance)
{
	(void)arg, (void)instance;
	return false;
}

static void
begin(void)
{
	memset(&q, 0, sizeof(q));
	q.loop = loop_new();
	q.conf = conf;
	q.sched = sched_new(q.loop, NULL, &qmgr_sched_ops, &q);
	sched_configure(q.sched, conf);
	jobs_init(&q);
	store_init(&q.store, q.loop, dir, &qmgr_store_ops, &q);
	q.sched->routes = q.store.routes;
	store_recover(&q.store, nobody_alive, NULL);
	q.store.checkpoint_every_ms = 1;
	q.lookupd = ipc_pool_new(q.loop, IPC_ROLE_qmgr, IPC_ROLE_lookupd);
	q.authd = ipc_pool_new(q.loop, IPC_ROLE_qmgr, IPC_ROLE_authd);
	tickets_init(&q);
	expander_init(&q);
	future_init(&q);
	feeder_init(&q);
	answer = 0;
	asked = 0;
	authd_start();
}

static void
end(void)
{
	struct map *none = map_new();

	if (seg != NULL)
		segments_seal(&q.store.segments, seg, seg->durable);
	fd_close(&seg_fd);
	seg = NULL;
	feeder_fini(&q);
	future_fini(&q);
	expander_fini(&q);
	tickets_fini(&q);
	ipc_channel_free(&authd);
	ipc_pool_free(&q.authd);
	ipc_pool_free(&q.lookupd);
	jobs_fini(&q);
	store_fini(&q.store);
	/* Nothing was routed here: it has no destinations. */
	q.sched->routes = none;
	sched_free(&q.sched);
	map_free(&none, NULL);
	loop_free(&q.loop);
}

static void
turns(unsigned ms)
{
	uint64_t until = clock_mono_ms() + ms;

	while (clock_mono_ms() < until)
		loop_turn(q.loop, 5);
}

/* ---- a writer ---- */

static void
made(void *arg, struct segment *s, int fd, int error)
{
	(void)arg;
	assert_int_equal(error, 0);
	seg = s;
	seg_fd = fd;
}

static uint64_t
write_message(enum ipc_role role, const char *login, size_t ticket_bytes, uint64_t until_ms)
{
	static const char zeros[8], ticket[100];
	struct view content = VIEW("Subject: x\r\n\r\nhello\r\n"), head = VIEW("Received: y\r\n");
	struct record_header h;
	struct segment_record r;
	struct message *m = NULL;
	struct buf env;

	if (seg != NULL && seg->role != role) {
		segments_seal(&q.store.segments, seg, seg->durable);
		fd_close(&seg_fd);
		seg = NULL;
	}
	if (seg == NULL)
		segments_create(&q.store.segments, SEGMENT_SHARED, WRITER, role, 1 << 20, 1 << 16,
		    made, NULL);
	worker_drain(q.store.disk_worker);
	buf_init(&env, 65536);
	envelope_put_text(&env, ENVELOPE_SENDER, VIEW("a@src.test"));
	envelope_put_u64(&env, ENVELOPE_ARRIVAL_MS, store_now_ms(&q.store));
	/* What a worker writes of its class is nobody's concern. */
	envelope_put_u64(&env, ENVELOPE_CLASS, CHILD_LISTENER_SUBMISSION);
	if (login != NULL)
		envelope_put_text(&env, ENVELOPE_LOGIN, view_str(login));
	if (ticket_bytes > 0)
		envelope_put_text(&env, ENVELOPE_TICKET, view_of(ticket, ticket_bytes));
	if (until_ms != 0)
		envelope_put_u64(&env, ENVELOPE_HOLD_UNTIL_MS, until_ms);
	envelope_put_text(&env, ENVELOPE_RECIPIENT, VIEW("b@dst.test"));
	record_header_shared(&h, seg->header.key, seg->header.number, seg->durable,
	    buf_view(&env), head, content);
	fd_write_all(seg_fd, &h, sizeof(h));
	fd_write_all(seg_fd, buf_data(&env), env.len);
	fd_write_all(seg_fd, head.p, head.len);
	fd_write_all(seg_fd, content.p, content.len);
	fd_write_all(seg_fd, zeros, h.total_bytes - sizeof(h) - env.len - head.len - content.len);
	buf_fini(&env);
	seg->durable += h.total_bytes;
	while (store_scan(&q.store, seg, seg->durable, false, &r) == 0) {
		assert_int_equal(store_take_in(&q.store, seg, &r, false, &m), 0);
		qmgr_activate(&q, m);
	}
	return h.message;
}

static struct message *
find(uint64_t id)
{
	struct message *m = store_message(&q.store, id);

	assert_non_null(m);
	return m;
}

/* ---- who brought it ---- */

static void
test_class_is_the_writers_role(void **state)
{
	static const struct {
		const char	*name;
		enum ipc_role	 role;
		const char	*class;
	} rows[] = {
		{ "port 25", IPC_ROLE_smtpd, "mx" },
		{ "port 587", IPC_ROLE_submission, "submission" },
		{ "this machine", IPC_ROLE_localsmtp, "local" },
		{ "a report", IPC_ROLE_bounce, "own" },
	};
	uint64_t ids[NELEMS(rows)];
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < NELEMS(rows); i++)
		ids[i] = write_message(rows[i].role, NULL, 0, 0);
	turns(30);
	for (i = 0; i < NELEMS(rows); i++)
		CHECK_VIEW(rows[i].name, view_str(message_origin_name(find(ids[i]))),
		    rows[i].class);
	end();
	/* From the index. */
	begin();
	for (i = 0; i < NELEMS(rows); i++)
		CHECK_VIEW(rows[i].name, view_str(message_origin_name(find(ids[i]))),
		    rows[i].class);
	for (i = 0; i < NELEMS(rows); i++)
		store_finish(&q.store, find(ids[i]));
	end();
}

/* ---- logins ---- */

static void
test_ticket_is_checked_once(void **state)
{
	uint64_t id;

	(void)state;
	begin();
	id = write_message(IPC_ROLE_submission, "u@example.test", AUTH_TICKET_SIZE, 0);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_UNCHECKED);
	assert_false(find(id)->flags & MESSAGE_ACTIVE);		/* nothing before the answer */
	turns(50);
	assert_int_equal(asked, 1);
	assert_string_equal(asked_login, "u@example.test");
	assert_int_equal(asked_writer, WRITER);
	assert_int_equal(asked_arrival, find(id)->arrival_ms);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_VERIFIED);
	assert_true(find(id)->flags & MESSAGE_ACTIVE);
	end();
	begin();
	turns(400);
	assert_int_equal(asked, 0);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_VERIFIED);
	store_finish(&q.store, find(id));
	end();
}

/* AUTH on port 25, as many a main.cf has it: mail that was taken is not held. */
static void
test_login_on_an_mx_listener(void **state)
{
	uint64_t id;

	(void)state;
	begin();
	id = write_message(IPC_ROLE_smtpd, "u@example.test", AUTH_TICKET_SIZE, 0);
	turns(50);
	assert_int_equal(asked, 1);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_VERIFIED);
	assert_int_equal(find(id)->flags & (MESSAGE_HELD | MESSAGE_ACTIVE), MESSAGE_ACTIVE);
	store_finish(&q.store, find(id));
	end();
}

static void
test_A16_A24_forged_login_is_held(void **state)
{
	static const struct {
		const char	*name;
		enum ipc_role	 role;
		const char	*login;
		size_t		 ticket;
		unsigned	 asked;
	} rows[] = {
		{ "authd says no", IPC_ROLE_submission, "u@example.test", AUTH_TICKET_SIZE, 1 },
		{ "no ticket", IPC_ROLE_submission, "u@example.test", 0, 0 },
		{ "half a ticket", IPC_ROLE_submission, "u@example.test", AUTH_TICKET_SIZE / 2, 0 },
		{ "too long a ticket", IPC_ROLE_localsmtp, "u@example.test",
		    AUTH_TICKET_SIZE + 1, 0 },
		{ "a worker of strangers", IPC_ROLE_smtpd, "u@example.test", AUTH_TICKET_SIZE, 1 },
		{ "a worker of strangers, no ticket", IPC_ROLE_smtpd, "u@example.test", 0, 0 },
		{ "bounce", IPC_ROLE_bounce, "u@example.test", AUTH_TICKET_SIZE, 0 },
	};
	uint64_t id;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		watch("held: the login's ticket does not verify");
		begin();
		answer = PK_EPERM;
		id = write_message(rows[i].role, rows[i].login, rows[i].ticket, 0);
		turns(50);
		CHECK_INT(rows[i].name, seen, 1);
		CHECK_INT(rows[i].name, asked, rows[i].asked);
		CHECK_INT(rows[i].name, find(id)->login, MESSAGE_LOGIN_DENIED);
		CHECK_INT(rows[i].name, find(id)->flags & (MESSAGE_HELD | MESSAGE_ACTIVE),
		    MESSAGE_HELD);
		CHECK_VIEW(rows[i].name, view_str(find(id)->hold),
		    "the login's ticket does not verify");
		/* As after a crash: the journal has it. */
		journal_flush(q.store.journal);
		end();
		begin();
		CHECK_INT(rows[i].name, find(id)->login, MESSAGE_LOGIN_DENIED);
		CHECK_INT(rows[i].name, find(id)->flags & MESSAGE_HELD, MESSAGE_HELD);
		store_finish(&q.store, find(id));
		end();
	}
}

static void
test_waits_while_authd_is_away(void **state)
{
	struct message *m;
	uint64_t id;

	(void)state;
	begin();
	answer = PK_ETEMP;
	id = write_message(IPC_ROLE_submission, "u@example.test", AUTH_TICKET_SIZE, 0);
	turns(50);
	m = find(id);
	assert_int_equal(asked, 1);
	assert_int_equal(m->login, MESSAGE_LOGIN_UNCHECKED);
	assert_int_equal(m->flags & (MESSAGE_HELD | MESSAGE_ACTIVE), 0);
	assert_true(m->due_ms > store_now_ms(&q.store) + 3000);
	answer = 0;
	m->due_ms = store_now_ms(&q.store);
	store_changed(&q.store, m);
	turns(600);		/* by the index and the feeder */
	assert_int_equal(asked, 2);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_VERIFIED);
	end();
	/* Killed before the answer: asked again. */
	begin();
	answer = 1;
	id = write_message(IPC_ROLE_submission, "v@example.test", AUTH_TICKET_SIZE, 0);
	turns(50);
	assert_int_equal(asked, 1);
	end();
	begin();
	turns(600);
	assert_int_equal(asked, 1);
	assert_int_equal(find(id)->login, MESSAGE_LOGIN_VERIFIED);
	end();
}

/* ---- FUTURERELEASE ---- */

static void
test_not_before_its_time(void **state)
{
	uint64_t until, id, now;
	struct message *m;

	(void)state;
	begin();
	now = store_now_ms(&q.store);
	until = now + 3600500;
	id = write_message(IPC_ROLE_submission, NULL, 0, until);
	turns(300);
	m = find(id);
	assert_false(m->flags & MESSAGE_ACTIVE);
	assert_int_equal(m->until_s, until / 1000 + 1);
	assert_int_equal(store_message_due(&q.store, m), (until / 1000 + 1) * 1000);
	/* RFC 4865 4.2: its lifetime begins then. */
	assert_int_equal(message_life_begin_ms(m), (until / 1000 + 1) * 1000);
	end();
	begin();
	turns(600);
	m = find(id);
	assert_false(m->flags & MESSAGE_ACTIVE);
	assert_int_equal(store_message_due(&q.store, m), (until / 1000 + 1) * 1000);
	store_finish(&q.store, m);
	/* A moment ahead. */
	id = write_message(IPC_ROLE_submission, NULL, 0, store_now_ms(&q.store) + 1500);
	turns(500);
	m = find(id);
	assert_false(m->flags & MESSAGE_ACTIVE);
	store_settle(&q.store, m);
	turns(2600);
	assert_true(find(id)->flags & MESSAGE_ACTIVE);
	end();
}

static void
test_F6_clock_steps_while_mail_waits(void **state)
{
	uint64_t until, id, now;
	struct message *m;

	(void)state;
	begin();
	now = store_now_ms(&q.store);
	until = (now / 1000 + 7200) * 1000;
	id = write_message(IPC_ROLE_submission, NULL, 0, until);
	turns(300);
	assert_null(store_peek(&q.store, id));		/* the index has it */
	/* An hour ahead by a step: it is due an hour earlier than it seemed. */
	watch("the clock was set by");
	future_look(&q, store_now_ms(&q.store) + 3600500);
	turns(300);
	m = find(id);
	assert_in_range(store_message_due(&q.store, m), until - 3600000 - 2000,
	    until - 3600000 + 2000);
	store_settle(&q.store, m);
	assert_int_equal(find(id)->until_s, until / 1000);
	/* Drift is no step. */
	future_look(&q, store_now_ms(&q.store) + 3600900);
	assert_int_equal(seen, 1);
	/* The next process takes the wall clock as it is; rows are set right. */
	turns(100);
	end();
	begin();
	turns(300);
	m = find(id);
	assert_int_equal(store_message_due(&q.store, m), until);
	store_settle(&q.store, m);
	/* Past its time at once. */
	future_look(&q, store_now_ms(&q.store) + 10000500);
	turns(800);
	assert_true(find(id)->flags & MESSAGE_ACTIVE);
	end();
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static int
setup(void **state)
{
	(void)state;
	log_set_sink(on_log, NULL);
	conf = conf_load("main.cf", VIEW(""), no_note, NULL);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free(&conf);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class_is_the_writers_role),
		cmocka_unit_test(test_ticket_is_checked_once),
		cmocka_unit_test(test_login_on_an_mx_listener),
		cmocka_unit_test(test_A16_A24_forged_login_is_held),
		cmocka_unit_test(test_waits_while_authd_is_away),
		cmocka_unit_test(test_not_before_its_time),
		cmocka_unit_test(test_F6_clock_steps_while_mail_waits),
	};

	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}
