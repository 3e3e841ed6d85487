/* SPDX-License-Identifier: ISC */
/*
 * agent.c: somebody else's will inside a process of the suite.
 *
 * Built in by `configure --enable-attack` alone, which `make install` refuses
 * to install on a system: the tests take a role over after its confinement
 * and make system calls with its rights. A role that finds the socket
 * RUNTIME/attack/ROLE at its start connects to it; what comes over it later
 * is done word for word. The agent has no judgement: what it cannot do, the
 * kernel and the siblings refused.
 *
 * A request is {op u8, 3 bytes nothing, len u32, off u64, nr i64, args 6 x u64};
 *	'W'	len bytes follow: into the arena at off
 *	'R'	len bytes of the arena from off are the answer
 *	'C'	system call nr with args; answer: i64, result or -errno
 *	'N'	number of the system call whose name is in the arena at off; answer: i64
 *	'G'	back to work: the role's own loop goes on; answer: i64 0
 *	'M'	whole memory: the mapped range at off, len bytes, as 'R'
 * The first thing said is {pid u64, address of the arena u64}.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <errno.h>
#include <event2/event.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sys/loop.h"

#define ARENA_SIZE	(4U << 20)

void	child_attack(struct loop *l, const char *runtime_directory, const char *role);

struct request {
	uint8_t		op, nothing[3];
	uint32_t	len;
	uint64_t	off;
	int64_t		nr;
	uint64_t	args[6];
};

static _Alignas(4096) uint8_t arena[ARENA_SIZE];

static int
read_all(int fd, void *p, size_t n)
{
	uint8_t *at = p;
	ssize_t r;

	while (n > 0) {
		r = read(fd, at, n);
		if (r <= 0)
			return -1;
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

static int
write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;
	ssize_t r;

	while (n > 0) {
		r = send(fd, at, n, MSG_NOSIGNAL);
		if (r <= 0)
			return -1;
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

/* 1: the role goes on; -1: the attacker is gone. */
static int
serve_one(int fd)
{
	struct request q;
	int64_t r = 0;

	if (read_all(fd, &q, sizeof(q)) != 0)
		return -1;
	switch (q.op) {
	case 'W':
		if (q.off > ARENA_SIZE || q.len > ARENA_SIZE - q.off)
			return -1;
		return read_all(fd, arena + q.off, q.len);
	case 'R':
		if (q.off > ARENA_SIZE || q.len > ARENA_SIZE - q.off)
			return -1;
		return write_all(fd, arena + q.off, q.len);
	case 'M':
		return write_all(fd, (const void *)(uintptr_t)q.off, q.len);
	case 'C':
		r = syscall(q.nr, q.args[0], q.args[1], q.args[2], q.args[3], q.args[4],
		    q.args[5]);
		if (r == -1)
			r = -errno;
		return write_all(fd, &r, sizeof(r));
	case 'N':
		arena[ARENA_SIZE - 1] = '\0';
		r = q.off < ARENA_SIZE ?
		    seccomp_syscall_resolve_name((const char *)arena + q.off) : -1;
		return write_all(fd, &r, sizeof(r));
	case 'G':
		return write_all(fd, &r, sizeof(r)) != 0 ? -1 : 1;
	default:
		return -1;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	int r;

	(void)what;
	do {
		r = serve_one(fd);
	} while (r == 0);
	if (r == -1) {
		event_del(arg);
		close(fd);
	}
}

void
child_attack(struct loop *l, const char *runtime_directory, const char *role)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	uint64_t hello[2] = { (uint64_t)getpid(), (uint64_t)(uintptr_t)arena };
	struct event *ev;
	int fd;

	if (snprintf(un.sun_path, sizeof(un.sun_path), "%s/attack/%s", runtime_directory,
	    role) >= (int)sizeof(un.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1 ||
	    write_all(fd, hello, sizeof(hello)) == -1) {
		close(fd);
		return;
	}
	log_warn("an attacker holds this process: build with --enable-attack");
	ev = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_readable,
	    event_self_cbarg());
	event_add(ev, NULL);
}
