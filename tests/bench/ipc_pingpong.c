/* SPDX-License-Identifier: ISC */
/*
 * ipc_pingpong.c: what a message between two processes costs.
 *
 * Two processes over one channel: one-way messages with a field or four,
 * calls with 1, 8 and 64 of them outstanding. Prints nanoseconds of wall time
 * and of CPU (both processes) each. Run by a developer; not part of the tests.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "ipc/ipc.h"

static struct loop *l;
static struct ipc_channel *ch;
static uint64_t total = 200000, asked, done, seen;

/* ---- the other end ---- */

static int
serve(struct ipc_channel *c, struct ipc_msg *m, void *arg)
{
	struct view recipient = VIEW_NONE, sender = VIEW_NONE;
	uint64_t flags = 0, n = 0;
	struct ipc_out o;
	struct ipc_in in;

	(void)arg;
	ipc_in_init(&in, m);
	if (m->type == IPC_SEGMENT_SEAL) {
		ipc_get_u64(&in, IPC_F_SEGMENT, &n);
		ipc_get_u64(&in, IPC_F_OFFSET, &n);
		seen++;
		return ipc_in_end(&in);
	}
	if (m->type == IPC_ROUTE_CHECK) {
		ipc_get_text(&in, IPC_F_RECIPIENT, 255, &recipient);
		ipc_get_text(&in, IPC_F_SENDER, 255, &sender);
		ipc_get_u64(&in, IPC_F_FLAGS, &flags);
		if (ipc_in_end(&in) != 0)
			return PK_EPROTO;
		ipc_out_init(&o, IPC_ROUTE_CHECK_ANSWER);
		ipc_put_u64(&o, IPC_F_CODE, 0);
		ipc_put_u64(&o, IPC_F_CLASS, 2);
		ipc_put_u64(&o, IPC_F_STATE, 0);
		ipc_put_str(&o, IPC_F_DSN, "2.1.5");
		ipc_put_str(&o, IPC_F_TEXT, "");
		return ipc_reply(c, m, &o);
	}
	/* SEGMENT_WANT ends a run of one-way messages. */
	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, seen);
	seen = 0;
	return ipc_reply(c, m, &o);
}

static void
gone(struct ipc_channel *c, int why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	ch = NULL;
	loop_stop(l);
}

static const struct ipc_channel_ops ops = { serve, gone };

static void
server(int fd, enum ipc_role self)
{
	struct rusage ru;

	l = loop_new();
	ch = ipc_channel_new(l, fd, self, IPC_ROLE_smtpd, 1, &ops, NULL);
	loop_run(l);
	getrusage(RUSAGE_SELF, &ru);
	_exit(0);
}

/* ---- this end ---- */

static void	ask(void);

static int
answered(struct ipc_msg *m, int error, void *arg)
{
	(void)arg;
	if (error != 0 || m == NULL)
		errx(1, "answer: %d", error);
	done++;
	if (asked < total)
		ask();
	return 0;
}

static void
ask(void)
{
	struct ipc_out o;

	asked++;
	ipc_out_init(&o, IPC_ROUTE_CHECK);
	ipc_put_str(&o, IPC_F_RECIPIENT, "somebody@example.test");
	ipc_put_str(&o, IPC_F_SENDER, "somebody.else@example.org");
	ipc_put_u64(&o, IPC_F_FLAGS, 1);
	ipc_call(ch, &o, 30000, answered, NULL);
}

static void
run_calls(unsigned outstanding)
{
	asked = done = 0;
	while (asked < outstanding)
		ask();
	while (done < total)
		loop_turn(l, -1);
}

static int
run_over(struct ipc_msg *m, int error, void *arg)
{
	struct ipc_in in;
	uint64_t n = 0;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_CODE, &n);
	if (error != 0 || ipc_in_end(&in) != 0 || n != total)
		errx(1, "%llu messages came through", (unsigned long long)n);
	*(bool *)arg = true;
	return 0;
}

/* `batch` messages a turn, as sessions would produce them. */
static void
run_one_way(unsigned batch)
{
	struct ipc_out o;
	bool over = false;
	uint64_t n;

	for (n = 0; n < total; n++) {
		ipc_out_init(&o, IPC_SEGMENT_SEAL);
		ipc_put_u64(&o, IPC_F_SEGMENT, 7);
		ipc_put_u64(&o, IPC_F_OFFSET, n);
		ipc_send(ch, &o);
		if (n % batch == batch - 1)
			loop_turn(l, 0);
		while (ipc_channel_backlog(ch) > 1000)
			loop_turn(l, -1);
	}
	ipc_out_init(&o, IPC_SEGMENT_WANT);
	ipc_put_u64(&o, IPC_F_KIND, 0);
	ipc_call(ch, &o, 0, run_over, &over);
	while (!over)
		loop_turn(l, -1);
}

static double
cpu_ns(int who)
{
	struct rusage ru;

	getrusage(who, &ru);
	return ((double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec) * 1e9 +
	    ((double)ru.ru_utime.tv_usec + (double)ru.ru_stime.tv_usec) * 1e3;
}

static void
measure(const char *name, void (*run)(unsigned), unsigned arg, enum ipc_role role)
{
	uint64_t wall;
	double own, all;
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) == -1)
		err(1, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		server(sv[1], role);
	}
	close(sv[1]);
	l = loop_new();
	ch = ipc_channel_new(l, sv[0], IPC_ROLE_smtpd, role, 1, &ops, NULL);
	loop_turn(l, 10);
	own = cpu_ns(RUSAGE_SELF);
	all = cpu_ns(RUSAGE_CHILDREN);
	wall = clock_mono_ns();
	run(arg);
	wall = clock_mono_ns() - wall;
	own = cpu_ns(RUSAGE_SELF) - own;
	ipc_channel_free(&ch);
	waitpid(pid, NULL, 0);
	all = cpu_ns(RUSAGE_CHILDREN) - all;
	loop_free(&l);
	printf("%-28s %7.0f ns wall  %7.0f ns CPU here  %7.0f ns CPU there\n",
	    name, (double)wall / (double)total, own / (double)total,
	    all / (double)total);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && num_parse_u64(view_str(argv[1]), 64, 100000000,
	    &total) != 0)
		errx(1, "usage: ipc_pingpong [messages]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	measure("one way, 1 a turn", run_one_way, 1, IPC_ROLE_qmgr);
	measure("one way, 8 a turn", run_one_way, 8, IPC_ROLE_qmgr);
	measure("one way, 32 a turn", run_one_way, 32, IPC_ROLE_qmgr);
	measure("call, 1 outstanding", run_calls, 1, IPC_ROLE_lookupd);
	measure("call, 8 outstanding", run_calls, 8, IPC_ROLE_lookupd);
	measure("call, 64 outstanding", run_calls, 64, IPC_ROLE_lookupd);
	return 0;
}
