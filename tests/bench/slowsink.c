/* SPDX-License-Identifier: ISC */
/*
 * slowsink: an SMTP server that answers late.
 *
 *	slowsink PORT DELAY_MS MESSAGES GIVE_UP_S
 *
 * Every reply leaves DELAY_MS after the command (or final dot) came in, as
 * from a host far away that thinks. Offers PIPELINING and 8BITMIME. Ends
 * after MESSAGES and prints one line: messages, seconds from the first
 * connection to the last reply, rate, greatest number of connections.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bsd/sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

struct late {
	uint64_t	 due_ms;
	struct conn	*conn;
	const char	*text;
	TAILQ_ENTRY(late) link;
};

struct conn {
	int		 fd;
	struct buf	 in;
	bool		 data, closed;
	unsigned	 waiting;		/* replies not sent yet */
};

static TAILQ_HEAD(, late) queue = TAILQ_HEAD_INITIALIZER(queue);
static uint64_t delay_ms, wanted, taken, begin_ms, end_ms;
static unsigned now_open, most_open;
static int ep;

static void
conn_free(struct conn *c)
{
	if (!c->closed || c->waiting > 0)
		return;
	buf_fini(&c->in);
	xfree(c);
}

static void
conn_close(struct conn *c)
{
	close(c->fd);
	c->closed = true;
	now_open--;
	conn_free(c);
}

static void
answer(struct conn *c, const char *text)
{
	struct late *l = XNEW(struct late);

	l->due_ms = clock_mono_ms() + delay_ms;
	l->conn = c;
	l->text = text;
	c->waiting++;
	TAILQ_INSERT_TAIL(&queue, l, link);
}

static void
send_late(void)
{
	uint64_t now = clock_mono_ms();
	struct late *l;

	while ((l = TAILQ_FIRST(&queue)) != NULL && l->due_ms <= now) {
		TAILQ_REMOVE(&queue, l, link);
		l->conn->waiting--;
		if (!l->conn->closed)
			(void)send(l->conn->fd, l->text, strlen(l->text), MSG_NOSIGNAL);
		if (strncmp(l->text, "250 2.0.0", 9) == 0) {
			taken++;
			end_ms = now;
		}
		conn_free(l->conn);
		xfree(l);
	}
}

static void
command(struct conn *c, struct view line)
{
	if (view_casestarts(line, VIEW("EHLO")))
		answer(c, "250-slow.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	else if (view_casestarts(line, VIEW("DATA"))) {
		c->data = true;
		answer(c, "354 go\r\n");
	} else if (view_casestarts(line, VIEW("QUIT")))
		answer(c, "221 2.0.0 bye\r\n");
	else
		answer(c, "250 2.1.0 ok\r\n");
}

static void
consume(struct conn *c)
{
	struct view v;
	const char *p;

	for (;;) {
		v = buf_view(&c->in);
		if (c->data && v.len >= 3 && memcmp(v.p, ".\r\n", 3) == 0)
			p = v.p - 2;
		else if (c->data)
			p = memmem(v.p, v.len, "\r\n.\r\n", 5);
		else
			p = memmem(v.p, v.len, "\r\n", 2);
		if (p == NULL)
			return;
		if (c->data) {
			c->data = false;
			answer(c, "250 2.0.0 taken\r\n");
			buf_consume(&c->in, (size_t)(p + 5 - v.p));
		} else {
			command(c, view_head(v, (size_t)(p - v.p)));
			buf_consume(&c->in, (size_t)(p + 2 - v.p));
		}
	}
}

static void
accept_all(int listener)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct conn *c;
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		c = XNEW(struct conn);
		c->fd = fd;
		buf_init(&c->in, 64 << 20);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		e.data.ptr = c;
		(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
		if (begin_ms == 0)
			begin_ms = clock_mono_ms();
		if (++now_open > most_open)
			most_open = now_open;
		answer(c, "220 slow.test ESMTP\r\n");
	}
}

static void
readable(struct conn *c)
{
	char *room = buf_room(&c->in, 65536);
	ssize_t n = room != NULL ? recv(c->fd, room, 65536, 0) : 0;

	if (n <= 0) {
		conn_close(c);
		return;
	}
	buf_added(&c->in, (size_t)n);
	consume(c);
}

static uint64_t
number(const char *text, uint64_t greatest)
{
	uint64_t n = 0;

	if (num_parse_u64(view_str(text), 0, greatest, &n) != 0)
		log_fatal("%s is no number up to %llu", text, (unsigned long long)greatest);
	return n;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN }, got[256];
	uint64_t give_up_ms;
	int listener, one = 1, i, n;

	log_init("slowsink");
	if (argc != 5)
		log_fatal("usage: slowsink PORT DELAY_MS MESSAGES GIVE_UP_S");
	sin.sin_port = htons((uint16_t)number(argv[1], 65535));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	delay_ms = number(argv[2], 60000);
	wanted = number(argv[3], UINT32_MAX);
	give_up_ms = clock_mono_ms() + 1000 * number(argv[4], 3600);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, 4096) == -1)
		log_fatal("port %s: %m", argv[1]);
	ep = epoll_create1(0);
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	while (taken < wanted && clock_mono_ms() < give_up_ms) {
		n = epoll_wait(ep, got, 256, 1);
		for (i = 0; i < n; i++) {
			if (got[i].data.ptr == NULL)
				accept_all(listener);
			else
				readable(got[i].data.ptr);
		}
		send_late();
	}
	printf("messages=%llu secs=%.3f rate=%.1f most_open=%u\n", (unsigned long long)taken,
	    (double)(end_ms - begin_ms) / 1000,
	    (double)taken * 1000 / (double)(end_ms > begin_ms ? end_ms - begin_ms : 1), most_open);
	return taken == wanted ? 0 : 1;
}
