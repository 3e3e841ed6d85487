/* SPDX-License-Identifier: ISC */
/*
 * session.c: a client's bytes in and out, its timers, its end.
 *
 * Runs in smtpd: empty chroot, no files, no connect. Everything that comes
 * in is a stranger's. Bytes are received into one scratch buffer that all
 * sessions share and parsed there; only what must wait (half a line, commands
 * behind one that asks somebody) is copied into a buffer of the session's own.
 * Replies of a turn leave in one send(). So an idle session owns no buffer,
 * and a busy one costs one system call a packet each way.
 *
 * The read event stays registered while a command waits: most clients send
 * nothing then, and epoll_ctl would be two calls a command. Only one that
 * does send is taken off until its turn.
 */
#include "smtpd/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"
#include "smtpd/session_tls.h"
#include "smtpd/worker.h"
#include "sys/stats.h"

/* Commands waiting behind a slow one; content is read in larger pieces. */
#define COMMAND_READ	16384
#define STRANGER_READ	4096
/* Replies to pipelined commands go out early beyond this. */
#define OUT_HIGH	8192
#define OUT_MAX		(256U << 10)
/* A closing session waits so long for a client that does not read. */
#define LINGER_MS	10000

static void	session_run(struct session *s, struct view in);
static void	on_readable(evutil_socket_t fd, short what, void *arg);
static void	on_writable(evutil_socket_t fd, short what, void *arg);
static void	on_timer(void *arg);

/* ---- timers ---- */

static void
arm(struct session *s)
{
	uint64_t due = s->deadline_ms, now;

	if (s->wake_ms != 0 && (due == 0 || s->wake_ms < due))
		due = s->wake_ms;
	if (due == 0)
		return;
	now = loop_now_ms(s->w->loop);
	/* One that is set for earlier fires and looks again: no work a command. */
	if (loop_timer_is_set(&s->timer) && s->timer.due_s <= due / 1000 + 1)
		return;
	loop_timer_set(s->w->loop, &s->timer, due > now ? due - now : 0);
}

void
session_set_deadline(struct session *s, uint64_t ms)
{
	s->deadline_ms = ms != 0 ? loop_now_ms(s->w->loop) + ms : 0;
	arm(s);
}

void
session_extend_deadline(struct session *s, size_t bytes)
{
	uint64_t limit = loop_now_ms(s->w->loop) + s->policy->conf->smtpd_timeout;

	if (s->deadline_ms == 0)
		return;
	if (s->policy->conf->smtpd_per_request_deadline)
		s->deadline_ms += bytes * 1000 /
		    (uint64_t)s->policy->conf->smtpd_min_data_rate;
	else
		s->deadline_ms = limit;
	if (s->deadline_ms > limit)
		s->deadline_ms = limit;
}

void
session_delay(struct session *s, uint64_t ms)
{
	if (ms == 0)
		return;
	s->wake_ms = loop_now_ms(s->w->loop) + ms;
	arm(s);
}

/* ---- output ---- */

static int
reply_code(const char *line)
{
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

static void
count_reply(struct session *s, int code, bool is_error)
{
	if (is_error) {
		s->errors++;
		stats_add(STATS_C_smtpd_errors, 1);
		if (s->errors > s->policy->conf->smtpd_soft_error_limit)
			session_delay(s, s->policy->conf->smtpd_error_sleep_time);
	}
	if (s->verb_counted || code == 354 || code == 334)
		return;
	s->verb_counted = true;
	if (code < 400)
		s->fine[s->verb]++;
}

static void
put_line(struct session *s, const char *line)
{
	if (s->out.data == NULL)
		worker_buf_get(s->w, &s->out, OUT_MAX);
	buf_put_str(&s->out, line);
	buf_put(&s->out, "\r\n", 2);
}

void
session_reply_plain(struct session *s, const char *line)
{
	count_reply(s, reply_code(line), false);
	put_line(s, line);
}

void
session_reply(struct session *s, const char *line)
{
	int code = reply_code(line);

	count_reply(s, code, code >= 400);
	put_line(s, line);
}

void
session_replyf(struct session *s, const char *fmt, ...)
{
	char line[1200];
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A reply is one line, whatever somebody put into an address or a table. */
	for (i = 0; line[i] != '\0'; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	session_reply(s, line);
}

void
session_close_after(struct session *s)
{
	if (s->mode == SESSION_DEAD)
		return;
	s->mode = SESSION_CLOSING;
	session_set_deadline(s, LINGER_MS);
}

static void
write_wait(struct session *s, bool wait)
{
	if (wait == (s->write_ev != NULL))
		return;
	if (!wait) {
		event_free(s->write_ev);
		s->write_ev = NULL;
		return;
	}
	s->write_ev = event_new(loop_base(s->w->loop), s->fd, EV_WRITE | EV_PERSIST,
	    on_writable, s);
	if (s->write_ev == NULL || event_add(s->write_ev, NULL) == -1)
		log_fatal("session: no event");
}

static ssize_t
put_bytes(struct session *s, struct view v)
{
	struct iovec iov = { (void *)(uintptr_t)v.p, v.len };

	if (s->tls != NULL)
		return tls_conn_writev(s->tls, &iov, 1);
	return send(s->fd, v.p, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* False when the client cannot be reached any more. */
static bool
flush(struct session *s)
{
	ssize_t n;

	while (s->out.len > 0 && s->wake_ms == 0) {
		n = put_bytes(s, buf_view(&s->out));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			write_wait(s, true);
			return true;
		}
		if (n <= 0)
			return false;
		buf_consume(&s->out, (size_t)n);
	}
	if (s->out.len == 0 && s->out.data != NULL)
		worker_buf_put(s->w, &s->out);
	write_wait(s, false);
	return true;
}

/* ---- input ---- */

static ssize_t
take_bytes(struct session *s, void *to, size_t size)
{
	if (s->tls != NULL)
		return tls_conn_read(s->tls, to, size);
	return recv(s->fd, to, size, MSG_DONTWAIT);
}

static void
set_reading(struct session *s, bool on)
{
	if (s->fd == -1)
		return;
	/* What TLS has decrypted already, the socket does not announce. */
	if (on && s->tls != NULL && tls_conn_pending(s->tls))
		loop_defer(s->w->loop, &s->again);
	if (on == s->reading)
		return;
	s->reading = on;
	if ((on ? event_add(&s->ev, NULL) : event_del(&s->ev)) == -1)
		log_fatal("session: no event");
}

void
session_want(struct session *s, bool read, bool write)
{
	set_reading(s, read);
	write_wait(s, write);
}

void
session_pause(struct session *s, bool pause)
{
	set_reading(s, !pause);
}

void
session_wait(struct session *s)
{
	s->waiting = true;
	s->deadline_ms = 0;
}

void
session_resume(struct session *s)
{
	s->waiting = false;
	if (s->mode != SESSION_CLOSING && s->mode != SESSION_DEAD)
		session_set_deadline(s, s->policy->conf->smtpd_timeout);
	if (!s->running)
		session_run(s, VIEW_NONE);
}

static void
line_too_long(struct session *s)
{
	s->verb = SMTP_VERB_UNKNOWN;
	s->verb_counted = false;
	s->seen[SMTP_VERB_UNKNOWN]++;
	session_reply(s, smtp_command_error_text(SMTP_COMMAND_E_LINE_TOO_LONG));
}

/*
 * How long the line at the start of in may be. Tokens do not fit into a usual
 * one (RFC 4954 4); who could not log in now, or holds a transaction, gets no
 * more room for them.
 */
static size_t
line_limit(const struct session *s, struct view in)
{
	size_t usual = (size_t)s->policy->conf->line_length_limit;
	size_t response = (size_t)s->policy->conf->smtpd_sasl_response_limit;

	if (response <= usual || !view_casestarts(in, VIEW("AUTH ")) || !s->esmtp ||
	    s->tx != NULL || auth_login(s) != NULL || !auth_offered(s))
		return usual;
	return response;
}

/* A command line at the start of in; how much it takes, 0 if it is not whole. */
static size_t
take_line(struct session *s, struct view in)
{
	const char *lf = memchr(in.p, '\n', in.len);
	size_t most = line_limit(s, in);
	struct view line;

	if (lf == NULL) {
		if (!s->skipping && in.len <= most)
			return 0;
		if (!s->skipping)
			line_too_long(s);
		s->skipping = true;
		return in.len;
	}
	line = view_head(in, (size_t)(lf - in.p));
	if (s->skipping) {
		s->skipping = false;
		return line.len + 1;
	}
	if (line.len > most + 1) {
		line_too_long(s);
		return line.len + 1;
	}
	s->more = in.len > line.len + 1;
	session_dispatch(s, line);
	return line.len + 1;
}

static void
too_many_errors(struct session *s)
{
	char client[SESSION_CLIENT_MAX];

	session_client(s, client, sizeof(client));
	log_info("too many errors after %s from %s", s->last_verb, client);
	session_replyf(s, "421 4.7.0 %s Error: too many errors",
	    s->policy->conf->myhostname);
	session_close_after(s);
}

/* Takes what it can of in; how much that was. */
static size_t
consume(struct session *s, struct view in)
{
	size_t used = 0, n;

	while (!s->waiting && s->wake_ms == 0 && used < in.len) {
		switch (s->mode) {
		case SESSION_COMMAND:
			if (s->errors >= s->policy->conf->smtpd_hard_error_limit) {
				too_many_errors(s);
				continue;
			}
			n = take_line(s, view_from(in, used));
			break;
		case SESSION_DATA:
			n = session_data_input(s, view_from(in, used));
			break;
		case SESSION_CHUNK:
			n = session_chunk_input(s, view_from(in, used));
			break;
		case SESSION_AUTH:
			n = session_auth_input(s, view_from(in, used));
			break;
		case SESSION_CONNECT:
		case SESSION_PREGREET:
			return used;
		case SESSION_STARTTLS:
			session_tls_discard(s, view_from(in, used));
			return in.len;
		default:
			return in.len;		/* nobody wants it any more */
		}
		if (n == 0)
			break;
		used += n;
		if (s->out.len > OUT_HIGH && !flush(s))
			s->freed = true;
		if (s->freed || s->write_ev != NULL)
			break;
	}
	return used;
}

static void
lost_connection(struct session *s)
{
	char client[SESSION_CLIENT_MAX];

	if (s->mode != SESSION_CLOSING) {
		session_client(s, client, sizeof(client));
		log_info("lost connection after %s from %s", s->last_verb, client);
	}
	s->freed = true;
}

static void
say_shutdown(struct session *s, bool now)
{
	bool between = s->mode == SESSION_COMMAND && s->tx == NULL && !s->waiting;

	if (s->committing || s->mode == SESSION_CLOSING || s->mode == SESSION_DEAD ||
	    !(now || between) || s->freed)
		return;
	check_cancel(s);
	auth_cancel(s);
	session_connect_cancel(s);
	s->waiting = false;
	s->wake_ms = 0;
	/* In the midst of a handshake there is no way to say it. */
	if (s->mode == SESSION_HANDSHAKE || (s->policy->tls_wrapper && s->tls == NULL)) {
		s->freed = true;
		return;
	}
	session_replyf(s, "421 4.3.2 %s Service shutting down", s->policy->conf->myhostname);
	session_close_after(s);
}

/* After input: replies leave, and what cannot go on now is arranged. */
static void
settle(struct session *s)
{
	if (!s->waiting && s->wake_ms == 0 && s->mode == SESSION_COMMAND &&
	    s->errors >= s->policy->conf->smtpd_hard_error_limit)
		too_many_errors(s);
	if (s->w->draining)
		say_shutdown(s, false);
	/* What a handshake waits for is tls_conn's matter. */
	if (!s->freed && s->mode != SESSION_HANDSHAKE && !flush(s))
		lost_connection(s);
	if (!s->freed && s->mode == SESSION_CLOSING && s->out.len == 0)
		s->freed = true;
	if (!s->freed && s->quiet && !s->waiting && s->wake_ms == 0 && s->write_ev == NULL)
		lost_connection(s);
	if (s->freed) {
		session_free(s);
		return;
	}
	if (s->mode == SESSION_HANDSHAKE)
		return;
	if (s->mode == SESSION_STARTTLS && s->out.len == 0)
		session_tls_begin(s);
	else if (s->write_ev != NULL || s->quiet)
		set_reading(s, false);
	else if (!s->waiting && s->wake_ms == 0 && (s->tx == NULL || !s->tx->stalled))
		set_reading(s, true);
}

static bool
may_be_secret(const struct session *s)
{
	return s->policy->conf->smtpd_sasl_auth_enable;
}

void
session_drop_input(struct session *s)
{
	if (s->in.data != NULL && may_be_secret(s))
		explicit_bzero(s->in.data, s->in.cap);
	worker_buf_put(s->w, &s->in);
}

/* in: new bytes, when nothing is left over from before; else they are in s->in. */
static void
session_run(struct session *s, struct view in)
{
	bool own = in.len == 0;
	size_t used;

	if (s->mode == SESSION_DEAD)
		return;
	s->running = true;
	if (own)
		in = buf_view(&s->in);
	used = consume(s, in);
	if (own) {
		buf_consume(&s->in, used);
		if (s->in.len == 0 && s->in.data != NULL)
			session_drop_input(s);
	} else if (used < in.len && !s->freed) {
		worker_buf_get(s->w, &s->in, WORKER_SCRATCH + COMMAND_READ);
		/* Not to be moved about while it may hold half a password. */
		if (may_be_secret(s))
			buf_room(&s->in, in.len - used + COMMAND_READ);
		buf_put_view(&s->in, view_from(in, used));
	}
	s->running = false;
	settle(s);
}

/*
 * What is read and not its turn yet has to be kept: of a stranger little at a
 * time while it holds something else (A7); the kernel has the rest.
 */
static size_t
read_size(const struct session *s)
{
	bool content = s->mode == SESSION_DATA || s->mode == SESSION_CHUNK;

	if (s->trusted)
		return content ? WORKER_SCRATCH : COMMAND_READ;
	if (!content)
		return STRANGER_READ;
	return s->tx != NULL && s->tx->stream != NULL ? COMMAND_READ : STRANGER_READ;
}

/* Commands and responses may be passwords; content is not. */
static bool
is_secret(const struct session *s)
{
	return may_be_secret(s) && s->mode != SESSION_DATA && s->mode != SESSION_CHUNK;
}

/* A client that asked for a login and left: authd need not go on. */
static bool
left_while_authenticating(const struct session *s)
{
	char byte;

	return s->waiting && s->auth != NULL && s->auth->talk != NULL &&
	    recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	char *to = s->w->scratch;
	bool secret;
	ssize_t n;

	(void)fd;
	(void)what;
	if (s->mode == SESSION_HANDSHAKE) {
		session_tls_step(s);
		return;
	}
	if (s->mode == SESSION_PREGREET) {
		session_pregreet_input(s);
		return;
	}
	if (left_while_authenticating(s)) {
		lost_connection(s);
		session_free(s);
		return;
	}
	/* Not its turn: what it sends waits in the kernel. */
	if (s->waiting || s->wake_ms != 0 || s->write_ev != NULL) {
		set_reading(s, false);
		return;
	}
	if (s->in.len > 0)
		to = buf_room(&s->in, read_size(s));
	if (to == NULL) {
		set_reading(s, false);
		return;
	}
	n = take_bytes(s, to, read_size(s));
	if (n == -1 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		s->quiet = true;
		settle(s);
		return;
	}
	if (s->mode == SESSION_COMMAND && !s->policy->conf->smtpd_per_request_deadline)
		session_extend_deadline(s, (size_t)n);
	if (to == s->w->scratch) {
		secret = is_secret(s);
		session_run(s, view_of(to, (size_t)n));
		if (secret)
			explicit_bzero(to, (size_t)n);
		return;
	}
	buf_added(&s->in, (size_t)n);
	session_run(s, VIEW_NONE);
}

static void
on_again(void *arg)
{
	struct session *s = arg;

	if (s->reading)
		on_readable(s->fd, EV_READ, s);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (s->mode == SESSION_HANDSHAKE) {
		session_tls_step(s);
		return;
	}
	if (!flush(s)) {
		lost_connection(s);
		session_free(s);
		return;
	}
	if (s->write_ev == NULL)
		session_run(s, VIEW_NONE);
}

static void
timed_out(struct session *s)
{
	char client[SESSION_CLIENT_MAX];

	if (s->mode == SESSION_CLOSING) {
		session_free(s);
		return;
	}
	if (s->mode == SESSION_HANDSHAKE) {
		session_tls_timed_out(s);
		return;
	}
	session_client(s, client, sizeof(client));
	if (s->mode == SESSION_DATA || s->mode == SESSION_CHUNK)
		log_info("timeout after %s (%llu bytes) from %s", s->last_verb,
		    s->tx != NULL ? (unsigned long long)s->tx->scanner.wire_bytes : 0ULL, client);
	else
		log_info("timeout after %s from %s", s->last_verb, client);
	session_replyf(s, "421 4.4.2 %s Error: timeout exceeded",
	    s->policy->conf->myhostname);
	session_close_after(s);
	settle(s);
}

static void
on_timer(void *arg)
{
	struct session *s = arg;
	uint64_t now = loop_now_ms(s->w->loop);

	if (s->wake_ms != 0 && now >= s->wake_ms) {
		s->wake_ms = 0;
		if (s->mode == SESSION_PREGREET) {
			session_pregreet_over(s);
			return;
		}
		if (s->deadline_ms != 0 && s->mode != SESSION_CLOSING)
			session_set_deadline(s, s->policy->conf->smtpd_timeout);
		arm(s);
		session_run(s, VIEW_NONE);
		return;
	}
	if (s->deadline_ms != 0 && now >= s->deadline_ms) {
		timed_out(s);
		return;
	}
	arm(s);
}

/* ---- begin and end ---- */

void
session_new(struct worker *w, struct policy *p, int fd, const struct sockaddr *peer)
{
	struct session *s = TAILQ_FIRST(&w->spare_sessions);

	if (s != NULL) {
		TAILQ_REMOVE(&w->spare_sessions, s, link);
		w->nspare_sessions--;
		memset(s, 0, sizeof(*s));
	} else {
		s = XNEW(struct session);
	}
	s->w = w;
	s->policy = policy_ref(p);
	s->fd = fd;
	s->mode = SESSION_CONNECT;
	s->state = STATE_START;
	s->last_verb = "CONNECT";
	buf_init(&s->in, WORKER_SCRATCH + COMMAND_READ);
	buf_init(&s->out, OUT_MAX);
	loop_timer_init(&s->timer, on_timer, s);
	s->again = (struct loop_deferred){ .fn = on_again, .arg = s };
	event_assign(&s->ev, loop_base(w->loop), fd, EV_READ | EV_PERSIST, on_readable, s);
	session_set_peer(s, peer);
	TAILQ_INSERT_TAIL(&w->sessions, s, link);
	w->nsessions++;
	stats_add(STATS_C_smtpd_connections, 1);
	stats_set(STATS_C_smtpd_sessions, (int64_t)w->nsessions);
	s->running = true;
	session_connect(s);
	s->running = false;
	settle(s);
}

static void
release(struct session *s)
{
	struct worker *w = s->w;

	auth_forget(s);
	xfree(s->helo);
	xfree(s->name);
	policy_unref(&s->policy);
	TAILQ_REMOVE(&w->sessions, s, link);
	w->nsessions--;
	stats_set(STATS_C_smtpd_sessions, (int64_t)w->nsessions);
	if (w->nspare_sessions < WORKER_SPARES) {
		TAILQ_INSERT_HEAD(&w->spare_sessions, s, link);
		w->nspare_sessions++;
	} else {
		xfree(s);
	}
	if (w->session_ended != NULL)
		w->session_ended(w);
}

void
session_free(struct session *s)
{
	struct worker *w = s->w;

	if (s->running) {
		s->freed = true;
		return;
	}
	if (s->mode != SESSION_DEAD) {
		session_log_disconnect(s);
		session_connect_cancel(s);
		check_cancel(s);
		auth_cancel(s);
		session_uncount(s);
		set_reading(s, false);
		write_wait(s, false);
		loop_timer_clear(w->loop, &s->timer);
		loop_defer_cancel(w->loop, &s->again);
		if (s->tls != NULL)
			tls_conn_shutdown(s->tls);
		tls_conn_free(&s->tls);
		close(s->fd);
		s->fd = -1;
		session_drop_input(s);
		worker_buf_put(w, &s->out);
		s->mode = SESSION_DEAD;
	}
	/* The writer reads our bytes until it says done. */
	if (s->committing)
		return;
	transaction_free(w, &s->tx);
	release(s);
}

void
session_drain(struct session *s, bool now)
{
	say_shutdown(s, now);
	settle(s);
}
