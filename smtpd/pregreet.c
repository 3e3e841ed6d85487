/* SPDX-License-Identifier: ISC */
/*
 * pregreet.c: clients that speak before they are greeted (postscreen's check).
 *
 * Runs in smtpd on listeners of class mx. The greeting of a stranger is held
 * back for a while; a program that blindly sends its commands betrays itself.
 * The wait costs a timer, the session owns nothing else meanwhile. What was
 * sent is only looked at: the kernel keeps it until it is its turn, and then
 * gets refusals for an answer.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "smtpd/worker.h"

#define SHOWN_MAX	100

/* To everything that such a client says afterwards (but QUIT). */
const char session_pregreet_reply[] = "550 5.5.1 Protocol error";

bool
session_pregreet_wanted(const struct session *s)
{
	const struct policy *p = s->policy;

	return p->class == CHILD_LISTENER_MX && !s->trusted && s->tls == NULL &&
	    p->conf->postscreen_greet_wait > 0 &&
	    strcmp(p->conf->postscreen_greet_action, "ignore") != 0;
}

void
session_pregreet_begin(struct session *s)
{
	s->mode = SESSION_PREGREET;
	s->waiting = false;
	session_set_deadline(s, 0);
	session_delay(s, s->policy->conf->postscreen_greet_wait);
	session_want(s, true, false);
}

/* As postscreen shows it: \r\n and the like written out. */
static void
show(const char *bytes, size_t n, char *text)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (bytes[i] == '\r' || bytes[i] == '\n') {
			*text++ = '\\';
			*text++ = bytes[i] == '\r' ? 'r' : 'n';
		} else {
			*text++ = bytes[i] < ' ' || bytes[i] > '~' ? '?' : bytes[i];
		}
	}
	*text = '\0';
}

static void
spoke(struct session *s, const char *bytes, size_t n)
{
	char text[2 * SHOWN_MAX + 1];
	uint64_t wait = s->policy->conf->postscreen_greet_wait;
	uint64_t after = loop_now_ms(s->w->loop) + wait - s->wake_ms;

	show(bytes, n, text);
	log_info("PREGREET %zu after %llu.%02llu from [%s]:%u: %s", n,
	    (unsigned long long)(after / 1000), (unsigned long long)(after % 1000 / 10), s->addr,
	    s->port, text);
	s->pregreeted = true;
	session_want(s, false, false);
	if (strcmp(s->policy->conf->postscreen_greet_action, "drop") != 0)
		return;
	s->wake_ms = 0;
	session_reply(s, "521 5.5.1 Protocol error");
	session_close_after(s);
	session_resume(s);
}

void
session_pregreet_input(struct session *s)
{
	char bytes[SHOWN_MAX];
	ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (n == -1 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n > 0) {
		spoke(s, bytes, (size_t)n);
		return;
	}
	log_info("HANGUP before the greeting from [%s]:%u", s->addr, s->port);
	session_free(s);
}
