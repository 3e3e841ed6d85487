/* SPDX-License-Identifier: ISC */
/* state_test.c: what one master writes the next one reads, or refuses. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "master/master.h"
#include "sys/fd.h"

static struct master *
new_master(void)
{
	struct master *m = XNEW(struct master);

	m->stats_fd = m->pid_fd = m->ready_fd = -1;
	TAILQ_INIT(&m->procs);
	TAILQ_INIT(&m->listeners);
	TAILQ_INIT(&m->admin);
	return m;
}

static void
free_listeners(struct listener_list *list)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, l, link);
		xfree(l->name);
		xfree(l->family);
		xfree(l->address);
		xfree(l);
	}
}

static void
free_master(struct master *m)
{
	struct proc *p;

	while ((p = TAILQ_FIRST(&m->procs)) != NULL) {
		TAILQ_REMOVE(&m->procs, p, link);
		xfree(p);
	}
	free_listeners(&m->listeners);
	free_listeners(&m->admin);
	conf_free(&m->conf);
	xfree(m->conf_path);
	xfree(m);
}

static void
test_round_trip(void **state)
{
	struct master *a = new_master(), *b = new_master();
	struct slot *s = &a->slots[IPC_ROLE_smtpd][3];
	struct proc *p = XNEW(struct proc);
	struct listener *l;
	int fd;

	(void)state;
	a->conf_path = xstrdup("/etc/x y/main.cf");
	a->conf = conf_load("main.cf", VIEW("myhostname = h.test\n"), NULL, NULL);
	a->stats_fd = STDERR_FILENO;
	a->pid_fd = STDERR_FILENO;
	a->next_instance = 12;
	a->instance_limit = 1001;
	a->started_ms = 77;
	listener_add(&a->listeners, VIEW("smtp"), VIEW("unix"), VIEW("/run/a b"),
	    CHILD_LISTENER_LOCAL, STDERR_FILENO);
	*s = (struct slot){ .role = IPC_ROLE_smtpd, .index = 3, .wanted = true, .deaths = 2,
	    .restarts = 5, .proc = p };
	*p = (struct proc){ .slot = s, .instance = 9, .pid = 4711, .state = PROC_READY,
	    .fd = STDERR_FILENO, .page = 4, .started_ms = 78, .report = 63 };
	TAILQ_INSERT_TAIL(&a->procs, p, link);

	fd = state_write(a);
	assert_int_not_equal(fd, -1);
	assert_int_equal(state_read(b, fd), 0);
	assert_string_equal(b->conf_path, a->conf_path);
	assert_string_equal(b->conf->myhostname, "h.test");
	assert_int_equal(b->next_instance, 12);
	assert_int_equal(b->instance_limit, 1001);
	assert_int_equal(b->started_ms, 77);
	l = TAILQ_FIRST(&b->listeners);
	assert_string_equal(l->address, "/run/a b");
	assert_int_equal(l->class, CHILD_LISTENER_LOCAL);
	s = &b->slots[IPC_ROLE_smtpd][3];
	assert_true(s->wanted);
	assert_int_equal(s->deaths, 2);
	assert_int_equal(s->proc->instance, 9);
	assert_int_equal(s->proc->pid, 4711);
	assert_int_equal(s->proc->report, 63);
	assert_true(b->pages[4]);
	fd_close(&fd);
	free_master(a);
	free_master(b);
}

#define HEAD "postkeep-master-state 1\n"
#define MASTER "master 0 1 2 3 2 2 1\npath /x\n"
#define CONFIG "config\nmyhostname = h\n"

static void
test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"postkeep-master-state 2\n" MASTER CONFIG,
		HEAD,
		HEAD MASTER,
		HEAD MASTER "config\n",
		HEAD CONFIG,
		HEAD "master 0 1 9 3 2 2 1\npath /x\n" CONFIG,
		HEAD "master 0 1 2 3 2 9999 1\npath /x\n" CONFIG,
		HEAD MASTER "what\n" CONFIG,
		HEAD MASTER "slot smtpd 64 0 0 0\n" CONFIG,
		HEAD MASTER "slot nobody 0 0 0 0\n" CONFIG,
		HEAD MASTER "proc smtpd 0 1 9 4711 7 2 4 1 0 0\n" CONFIG,
		HEAD MASTER "proc smtpd 0 1 9 4711 1 2 256 1 0 0\n" CONFIG,
		HEAD MASTER "proc smtpd 0 1 9 4711 1 9999 4 1 0 0\n" CONFIG,
		HEAD MASTER "listener 9 2 a inet 25\n" CONFIG,
		HEAD MASTER "listener 0 2 a inet\n" CONFIG,
		HEAD MASTER "config\nnonsense = 1\n",
	};
	struct master *m;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < NELEMS(bad); i++) {
		m = new_master();
		fd = fd_sealed_memfd("test", view_str(bad[i]));
		assert_int_not_equal(fd, -1);
		if (state_read(m, fd) == 0)
			fail_msg("taken: %s", bad[i]);
		fd_close(&fd);
		free_master(m);
	}
	m = new_master();
	fd = fd_sealed_memfd("test", VIEW(HEAD MASTER CONFIG));
	assert_int_equal(state_read(m, fd), 0);
	fd_close(&fd);
	free_master(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
