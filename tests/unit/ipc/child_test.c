/* SPDX-License-Identifier: ISC */
/*
 * child_test.c: the test is master, a forked process is a dnsd: start,
 * confinement, questions, administrators, log lines, reload, end.
 */
#include "tests/unit/unit.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/child.h"
#include "sys/fd.h"
#include "sys/stats.h"

#define NOBODY	65534

/* ---- the role: it says on its log what happens to it ---- */

static void
role_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	(void)c;
	log_info("channel %s %llu", ipc_role_name(peer),
	    (unsigned long long)instance);
	close(fd);
}

static void
role_listener(struct child *c, const char *name, enum child_listener_class class,
    const char *address, int fd)
{
	(void)c;
	log_info("listener %s %d %s", name, (int)class, address);
	close(fd);
}

static void
role_listener_close(struct child *c, const char *name)
{
	(void)c;
	log_info("listener_close %s", name);
}

static void
role_reload(struct child *c, const struct conf *old)
{
	log_info("reload %s -> %s", old->myhostname, child_conf(c)->myhostname);
}

static void
role_drain(struct child *c, uint64_t grace_ms)
{
	log_info("drain %llu", (unsigned long long)grace_ms);
	child_exit(c, 0);
}

static int
role_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
    struct view verb, struct view args, uint32_t uid)
{
	struct ipc_out o;

	child_audit(c, uid, "%.*s", VIEW_ARG(verb));
	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, 0);
	ipc_put_bytes(&o, IPC_F_JSON, args);
	ipc_put_str(&o, IPC_F_CURSOR, "");
	return ipc_reply(ch, m, &o);
}

static const struct child_ops role_ops = {
	.channel = role_channel, .listener = role_listener,
	.listener_close = role_listener_close, .reload = role_reload,
	.drain = role_drain, .admin = role_admin,
};

static void
role_main(int control)
{
	const struct child_spec spec = { .role = IPC_ROLE_dnsd, .ops = &role_ops };
	struct sandbox_spec box = { .needs = SANDBOX_BASE };
	char *argv[] = { (char *)(uintptr_t)"dnsd", NULL };
	struct child *c;

	alarm(30);
	log_set_sink(NULL, NULL);
	/* Users of the roles need not exist where tests run. */
	if (geteuid() == 0 && (setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
		_exit(99);
	if (control != CHILD_CONTROL_FD)
		dup2(control, CHILD_CONTROL_FD);
	fd_close_rest(CHILD_CONTROL_FD, NULL, 0);
	c = child_begin(1, argv, &spec);
	stats_add(STATS_C_dns_queries, 5);
	child_confine(c, &box);
	_exit(child_run(c));
}

/* ---- the suite around it ---- */

struct suite {
	pid_t		 pid;
	struct ipc_channel *control, *log, *admin;
	struct buf	 lines;		/* everything logged, a line each */
	bool		 ready, control_closed;
	uint64_t	 flags;
	unsigned	 answers;
	uint64_t	 code;
	uint16_t	 answer_type;
	int		 answer_error;
};

static struct loop *l;

static void
take_lines(struct suite *s, struct ipc_msg *m)
{
	struct view all = VIEW_NONE;
	uint64_t pid = 0;
	struct ipc_in in;
	uint16_t n;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_PID, &pid);
	ipc_get_bytes(&in, IPC_F_LINES, IPC_BODY_MAX, &all);
	assert_int_equal(ipc_in_end(&in), 0);
	assert_int_equal(pid, s->pid);
	while (all.len > 0) {
		assert_true(all.len >= 3);
		memcpy(&n, all.p + 1, sizeof(n));
		assert_true(all.len >= (size_t)n + 3);
		(void)buf_put(&s->lines, all.p + 3, n);
		(void)buf_put_char(&s->lines, '\n');
		all = view_from(all, (size_t)n + 3);
	}
}

static int
suite_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct suite *s = arg;
	struct ipc_in in;

	(void)ch;
	if (m->type == IPC_LOG_LINES) {
		take_lines(s, m);
	} else {
		assert_int_equal(m->type, IPC_READY);
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_FLAGS, &s->flags);
		assert_int_equal(ipc_in_end(&in), 0);
		s->ready = true;
	}
	return 0;
}

static void
suite_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct suite *s = arg;

	(void)why;
	if (ch == s->control) {
		s->control = NULL;
		s->control_closed = true;
	}
	if (ch == s->log)
		s->log = NULL;
	if (ch == s->admin)
		s->admin = NULL;
}

static const struct ipc_channel_ops suite_ops = { suite_message, suite_closed };

static int
on_answer(struct ipc_msg *m, int error, void *arg)
{
	struct suite *s = arg;
	struct ipc_in in;

	s->answers++;
	s->answer_error = error;
	if (m != NULL) {
		s->answer_type = m->type;
		ipc_in_init(&in, m);
		ipc_get_u64(&in, IPC_F_CODE, &s->code);
		assert_int_equal(in.error, 0);
	}
	return 0;
}

/* Turns until *what or five seconds. */
static void
wait_for(const bool *what)
{
	int i;

	for (i = 0; i < 500 && !*what; i++)
		loop_turn(l, 10);
	assert_true(*what);
}

static void
wait_log(struct suite *s, const char *text)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (strstr(buf_cstr(&s->lines), text) != NULL)
			return;
		loop_turn(l, 10);
	}
	fail_msg("not logged: %s; but: %s", text, buf_cstr(&s->lines));
}

static int
pair_for(struct suite *s, enum ipc_role self, struct ipc_channel **ch_r)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, sv), 0);
	*ch_r = ipc_channel_new(l, sv[0], self, IPC_ROLE_dnsd, 7, &suite_ops, s);
	return sv[1];
}

static void
send_config(struct suite *s, const char *text, bool ask)
{
	struct ipc_out o;
	int fd = fd_sealed_memfd("conf", view_str(text));

	ipc_out_init(&o, IPC_CONFIG);
	ipc_put_handle(&o, fd);
	o.close_handles = true;
	if (ask)
		ipc_call(s->control, &o, 5000, on_answer, s);
	else
		assert_int_equal(ipc_send(s->control, &o), 0);
}

static void
send_channel(struct suite *s, enum ipc_role role, int fd)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_CHANNEL);
	ipc_put_u64(&o, IPC_F_ROLE, role);
	ipc_put_u64(&o, IPC_F_INSTANCE, 31);
	ipc_put_handle(&o, fd);
	o.close_handles = true;
	assert_int_equal(ipc_send(s->control, &o), 0);
}

static void
send_listener(struct suite *s, const char *name, enum child_listener_class class,
    int fd)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_LISTENER);
	ipc_put_str(&o, IPC_F_NAME, name);
	ipc_put_u64(&o, IPC_F_KIND, class);
	ipc_put_str(&o, IPC_F_ADDRESS, "unix:x");
	ipc_put_handle(&o, fd);
	o.close_handles = true;
	assert_int_equal(ipc_send(s->control, &o), 0);
}

static void
send_number(struct suite *s, enum ipc_type type, enum ipc_field tag, uint64_t n)
{
	struct ipc_out o;

	ipc_out_init(&o, type);
	ipc_put_u64(&o, tag, n);
	assert_int_equal(ipc_send(s->control, &o), 0);
}

static void
begin(struct suite *s)
{
	int sv[2];

	memset(s, 0, sizeof(*s));
	buf_init(&s->lines, 100000);
	l = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
	    sv), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
		role_main(sv[1]);
	close(sv[1]);
	s->control = ipc_channel_new(l, sv[0], IPC_ROLE_master, IPC_ROLE_dnsd, 7,
	    &suite_ops, s);
}

static void
start(struct suite *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int stats = stats_create();
	struct ipc_out o;

	send_config(s, "myhostname = one.example.test\n", false);
	send_channel(s, IPC_ROLE_logd, pair_for(s, IPC_ROLE_logd, &s->log));
	send_channel(s, IPC_ROLE_smtpd, dup(null));
	send_listener(s, "smtp", CHILD_LISTENER_MX, null);
	ipc_out_init(&o, IPC_STATS_PAGE);
	ipc_put_u64(&o, IPC_F_PAGE, 3);
	ipc_put_handle(&o, stats);
	assert_int_equal(ipc_send(s->control, &o), 0);
	close(stats);
	send_number(s, IPC_START, IPC_F_INSTANCE, 31);
	wait_for(&s->ready);
}

static int
end(struct suite *s)
{
	int status = -1, i;

	for (i = 0; i < 1000 && waitpid(s->pid, &status, WNOHANG) == 0; i++)
		loop_turn(l, 10);
	loop_turn(l, 10);
	loop_turn(l, 10);
	ipc_channel_free(&s->control);
	ipc_channel_free(&s->log);
	ipc_channel_free(&s->admin);
	loop_free(&l);
	return status;
}

static void
test_life(void **state)
{
	struct suite s;
	struct ipc_out o;

	(void)state;
	begin(&s);
	start(&s);
	assert_true((s.flags & CHILD_CONFINED_NNP) != 0);
	assert_true((s.flags & CHILD_CONFINED_SECCOMP) != 0);
	assert_false((s.flags & CHILD_CONFINED_USER) != 0);
	wait_log(&s, "channel smtpd 31\nlistener smtp 0 unix:x\n");
	ipc_out_init(&o, IPC_PING);
	ipc_call(s.control, &o, 5000, on_answer, &s);
	while (s.answers < 1)
		loop_turn(l, 100);
	assert_int_equal(s.code, 0);
	assert_int_equal(s.answer_type, IPC_ACK);
	/* A good configuration, then a bad one: the good one stays. */
	send_config(&s, "myhostname = two.example.test\n", true);
	wait_log(&s, "reload one.example.test -> two.example.test");
	send_config(&s, "myhostname\n", true);
	wait_log(&s, "refused; the old one stays");
	while (s.answers < 3)
		loop_turn(l, 100);
	assert_int_equal(s.code, -PK_EFORMAT);
	ipc_out_init(&o, IPC_LISTENER_CLOSE);
	ipc_put_str(&o, IPC_F_NAME, "smtp");
	assert_int_equal(ipc_send(s.control, &o), 0);
	wait_log(&s, "listener_close smtp");
	send_number(&s, IPC_DRAIN, IPC_F_DELAY_MS, 1234);
	wait_log(&s, "drain 1234");
	assert_int_equal(end(&s), 0);
	buf_fini(&s.lines);
}

static void
test_logd_comes_back(void **state)
{
	struct suite s;

	(void)state;
	begin(&s);
	start(&s);
	ipc_channel_free(&s.log);
	send_config(&s, "myhostname = two.example.test\n", true);
	while (s.answers < 1)
		loop_turn(l, 100);
	send_channel(&s, IPC_ROLE_logd, pair_for(&s, IPC_ROLE_logd, &s.log));
	/* What was said in between waited. */
	wait_log(&s, "reload one.example.test -> two.example.test");
	send_number(&s, IPC_DRAIN, IPC_F_DELAY_MS, 0);
	assert_int_equal(end(&s), 0);
	buf_fini(&s.lines);
}

static void
test_master_is_lost(void **state)
{
	struct suite s;
	int status;

	(void)state;
	begin(&s);
	start(&s);
	ipc_channel_free(&s.control);
	wait_log(&s, "master is gone");
	wait_log(&s, "drain 5000");
	status = end(&s);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 0);
	buf_fini(&s.lines);
	/* Lost before START. */
	begin(&s);
	ipc_channel_free(&s.control);
	status = end(&s);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 0);
	buf_fini(&s.lines);
}

/* Asks over the admin socket, as whoever we are. */
static void
ask_admin(struct suite *s, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	unsigned before = s->answers;
	struct ipc_out o;
	int fd;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (void *)&un, sizeof(un)), 0);
	s->admin = ipc_channel_new(l, fd, IPC_ROLE_adminctl, IPC_ROLE_dnsd, 0,
	    &suite_ops, s);
	ipc_out_init(&o, IPC_ADMIN);
	ipc_put_str(&o, IPC_F_NAME, "dns flush");
	ipc_put_str(&o, IPC_F_JSON, "{}");
	ipc_call(s->admin, &o, 5000, on_answer, s);
	while (s->answers == before)
		loop_turn(l, 100);
	ipc_channel_free(&s->admin);
}

static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (void *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void
test_admin(void **state)
{
	char dir[] = "/tmp/pk_child_XXXXXX", path[100];
	struct suite s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/dnsd", dir);
	begin(&s);
	start(&s);
	/* A listener that comes later, too. */
	send_listener(&s, "admin", CHILD_LISTENER_ADMIN, listen_at(path));
	ask_admin(&s, path);
	assert_int_equal(s.answer_error, 0);
	assert_int_equal(s.answer_type, IPC_ADMIN_ANSWER);
	assert_int_equal(s.code, 0);
	wait_log(&s, "dns flush");
	wait_log(&s, "audit: uid=");
	/* Somebody else is told no. Only root can be somebody else. */
	if (geteuid() == 0) {
		assert_int_equal(chmod(dir, 0755), 0);
		assert_int_equal(chmod(path, 0777), 0);
		assert_int_equal(seteuid(12345), 0);
		ask_admin(&s, path);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(s.answer_type, IPC_ACK);
		assert_int_equal(s.code, -PK_EPERM);
		wait_log(&s, "admin: uid 12345 is neither");
	}
	send_number(&s, IPC_DRAIN, IPC_F_DELAY_MS, 0);
	assert_int_equal(end(&s), 0);
	buf_fini(&s.lines);
	unlink(path);
	rmdir(dir);
}

static int
quiet(void **state)
{
	(void)state;
	log_init("child_test");
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_logd_comes_back),
		cmocka_unit_test(test_master_is_lost),
		cmocka_unit_test(test_admin),
	};

	return cmocka_run_group_tests(tests, quiet, NULL) != 0;
}
