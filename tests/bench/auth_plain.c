/* SPDX-License-Identifier: ISC */
/*
 * auth_plain.c: logins a second: connect, EHLO, AUTH PLAIN, close, by so many
 * connections at once, in clear text (a listener with smtpd_tls_auth_only =
 * no, or a Unix socket).
 *
 *	auth_plain PORT|PATH USER PASSWORD [CONNECTIONS [SECONDS]]
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

#define CONNECTIONS_MAX	1000

struct talk {
	int		 fd;
	unsigned	 step;		/* replies so far */
	uint64_t	 began_ns, asked_ns;
	char		 in[2000];
	size_t		 len;
};

static struct talk talks[CONNECTIONS_MAX];
static struct sockaddr_storage where;
static socklen_t where_len;
static int poller;
static struct buf auth;
static uint64_t successes, others, auth_ns;

static uint64_t
number(const char *text, uint64_t greatest)
{
	uint64_t n;

	if (num_parse_u64(view_str(text), 1, greatest, &n) != 0)
		log_fatal("%s: not a number up to %llu", text,
		    (unsigned long long)greatest);
	return n;
}

static void
set_where(const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&where;
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&where;

	if (*text == '/') {
		un->sun_family = AF_UNIX;
		if (strlen(text) >= sizeof(un->sun_path))
			log_fatal("%s: too long", text);
		memcpy(un->sun_path, text, strlen(text) + 1);
		where_len = sizeof(*un);
		return;
	}
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons((uint16_t)number(text, 65535));
	where_len = sizeof(*in);
}

static void
open_one(struct talk *t)
{
	struct epoll_event e = { .events = EPOLLIN, .data = { .ptr = t } };

	t->fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->fd == -1 || connect(t->fd, (struct sockaddr *)&where, where_len) == -1 ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, t->fd, &e) == -1)
		log_fatal("connect: %s", strerror(errno));
	t->step = 0;
	t->len = 0;
	t->began_ns = clock_mono_ns();
}

static void
say(struct talk *t, struct view text)
{
	if (send(t->fd, text.p, text.len, MSG_NOSIGNAL) != (ssize_t)text.len)
		log_fatal("send: %s", strerror(errno));
}

/* A whole reply has come. */
static void
on_reply(struct talk *t)
{
	switch (++t->step) {
	case 1:
		say(t, VIEW("EHLO client.example.test\r\n"));
		return;
	case 2:
		t->asked_ns = clock_mono_ns();
		say(t, buf_view(&auth));
		return;
	default:
		auth_ns += clock_mono_ns() - t->asked_ns;
		if (memcmp(t->in, "235", 3) == 0)
			successes++;
		else if (others++ == 0)
			fprintf(stderr, "%.*s", (int)t->len, t->in);
		close(t->fd);
		open_one(t);
	}
}

static bool
is_whole(const struct talk *t)
{
	size_t last = t->len;

	if (t->len < 6 || t->in[t->len - 1] != '\n')
		return false;
	for (last = t->len - 1; last > 0 && t->in[last - 1] != '\n'; last--)
		;
	return t->len - last > 4 && t->in[last + 3] == ' ';
}

static void
on_bytes(struct talk *t)
{
	ssize_t n = recv(t->fd, t->in + t->len, sizeof(t->in) - t->len, 0);

	if (n <= 0) {
		others++;
		close(t->fd);
		open_one(t);
		return;
	}
	t->len += (size_t)n;
	if (is_whole(t)) {
		on_reply(t);
		t->len = 0;
	}
}

static void
make_auth(const char *user, const char *password)
{
	struct buf plain;

	buf_init(&plain, 2000);
	buf_put_char(&plain, '\0');
	buf_put_str(&plain, user);
	buf_put_char(&plain, '\0');
	buf_put_str(&plain, password);
	buf_init(&auth, 4000);
	buf_put_str(&auth, "AUTH PLAIN ");
	base64_put(&auth, buf_view(&plain));
	buf_put_str(&auth, "\r\n");
	buf_fini(&plain);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[64];
	uint64_t connections, seconds, start, end, took;
	int n;

	log_init("auth_plain");
	if (argc < 4)
		log_fatal("usage: auth_plain port|path user password [connections [seconds]]");
	set_where(argv[1]);
	make_auth(argv[2], argv[3]);
	connections = argc > 4 ? number(argv[4], CONNECTIONS_MAX) : 32;
	seconds = argc > 5 ? number(argv[5], 3600) : 5;
	poller = epoll_create1(EPOLL_CLOEXEC);
	for (uint64_t i = 0; i < connections; i++)
		open_one(&talks[i]);
	start = clock_mono_ns();
	end = start + seconds * 1000000000;
	while (clock_mono_ns() < end) {
		n = epoll_wait(poller, events, (int)NELEMS(events), 100);
		for (int i = 0; i < n; i++)
			on_bytes(events[i].data.ptr);
	}
	took = clock_mono_ns() - start;
	printf("%llu logins, %llu others, %.0f a second, AUTH answered in %.0f us\n",
	    (unsigned long long)successes, (unsigned long long)others,
	    (double)successes * 1e9 / (double)took,
	    successes > 0 ? (double)auth_ns / 1e3 / (double)(successes + others) : 0.0);
	return others == 0 && successes > 0 ? 0 : 1;
}
