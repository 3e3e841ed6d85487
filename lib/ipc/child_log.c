/* SPDX-License-Identifier: ISC */
/*
 * child_log.c: log lines to logd.
 *
 * Runs in every role but logd. Lines of a turn are put together and sent as
 * one packet at its end. While logd is away (or does not read) they wait up
 * to a bound; what does not fit is counted (log_lost) and said once logd is
 * back: a process never stops working because of its log.
 *
 * All that belongs to the loop's thread. A line of another one (a disk that
 * fails under qmgr's worker) goes past it: a packet of its own, straight into
 * the socket, or to standard error.
 */
#include "ipc/child_log.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/channel_internal.h"
#include "sys/fd.h"
#include "sys/stats.h"

#define WAITING_BYTES_MAX	(1024 * 1024)
/* Packets in the channel before lines wait here instead. */
#define BACKLOG_MAX		64
#define ENTRY_HEADER		3
/* LINES of one packet: the body without PID and the field headers. */
#define PACKET_LINES_MAX	(IPC_BODY_MAX - 12 - 4)

static struct {
	struct loop	*loop;
	enum ipc_role	 self;
	struct ipc_channel *ch;
	struct buf	 lines;		/* {level and voice u8, length u16, bytes}... */
	enum child_log_voice voice;	/* of the line being said */
	uint64_t	 lost;		/* since the last line that went through */
	struct loop_deferred flush;
	struct loop_timer retry;
	pthread_t	 thread;	/* the loop's */
} out;

/* The channel's socket once more, for the other threads. */
static struct {
	pthread_mutex_t	 lock;
	int		 fd;
} direct = { PTHREAD_MUTEX_INITIALIZER, -1 };

static void
append(enum log_level level, const char *line, size_t len)
{
	uint16_t n = (uint16_t)(len < UINT16_MAX ? len : UINT16_MAX);
	char *p;

	p = buf_room(&out.lines, ENTRY_HEADER + (size_t)n);
	if (p == NULL) {
		/* Only this line is lost, not the buffer. */
		out.lines.error = 0;
		out.lost++;
		stats_add(STATS_C_log_lost, 1);
		return;
	}
	p[0] = (char)(level | (unsigned)out.voice << CHILD_LOG_LEVEL_BITS);
	memcpy(p + 1, &n, sizeof(n));
	memcpy(p + ENTRY_HEADER, line, n);
	buf_added(&out.lines, ENTRY_HEADER + (size_t)n);
}

static bool
in_other_thread(void)
{
	return !pthread_equal(pthread_self(), out.thread);
}

static void
direct_set(int fd)
{
	pthread_mutex_lock(&direct.lock);
	fd_close(&direct.fd);
	direct.fd = fd;
	pthread_mutex_unlock(&direct.lock);
}

static void
put_head(struct buf *b, enum ipc_field tag, size_t len)
{
	uint16_t head[2] = { (uint16_t)tag, (uint16_t)len };

	(void)buf_put(b, head, sizeof(head));
}

/* LOG_LINES with one line; ipc_out's stock of buffers is the loop's as well. */
static void
compose(struct buf *b, enum log_level level, const char *line, uint16_t n)
{
	struct ipc_header h = { .type = IPC_LOG_LINES };
	uint64_t pid = (uint64_t)getpid();

	h.length = (uint32_t)(4 + sizeof(pid) + 4 + ENTRY_HEADER) + n;
	(void)buf_put(b, &h, sizeof(h));
	put_head(b, IPC_F_PID, sizeof(pid));
	(void)buf_put(b, &pid, sizeof(pid));
	put_head(b, IPC_F_LINES, (size_t)ENTRY_HEADER + n);
	(void)buf_put_char(b, (char)level);
	(void)buf_put(b, &n, sizeof(n));
	(void)buf_put(b, line, n);
}

static void
sink_direct(enum log_level level, const char *line, size_t len)
{
	size_t n = len < LOG_LINE_MAX ? len : LOG_LINE_MAX;
	struct buf b;
	ssize_t sent = -1;

	buf_init(&b, LOG_LINE_MAX + 64);
	compose(&b, level, line, (uint16_t)n);
	pthread_mutex_lock(&direct.lock);
	if (direct.fd != -1)
		sent = send(direct.fd, buf_data(&b), b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	pthread_mutex_unlock(&direct.lock);
	if (sent == -1) {
		stats_add(STATS_C_log_lost, 1);
		buf_reset(&b);
		(void)buf_printf(&b, "%.*s\n", (int)n, line);
		(void)fd_write_all(STDERR_FILENO, buf_data(&b), b.len);
	}
	buf_fini(&b);
}

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)arg;
	if (in_other_thread()) {
		sink_direct(level, line, len);
		return;
	}
	append(level, line, len);
	loop_defer(out.loop, &out.flush);
}

/* Whole lines from the front that fit into one packet. */
static size_t
packet_share(struct view all)
{
	size_t at = 0, next;
	uint16_t n;

	if (all.len <= PACKET_LINES_MAX)
		return all.len;
	for (;;) {
		memcpy(&n, all.p + at + 1, sizeof(n));
		next = at + ENTRY_HEADER + n;
		if (next > PACKET_LINES_MAX)
			return at;
		at = next;
	}
}

static void
say_lost(void)
{
	struct buf b;

	if (out.lost == 0)
		return;
	buf_init(&b, LOG_LINE_MAX);
	(void)buf_printf(
	    &b, "%llu log lines were lost", (unsigned long long)out.lost);
	out.lost = 0;
	append(LOG_LVL_WARN, buf_view(&b).p, b.len);
	buf_fini(&b);
}

static void
send_lines(void *arg)
{
	struct ipc_out o;
	size_t n;

	(void)arg;
	if (out.ch == NULL)
		return;
	while (out.lines.len > 0) {
		if (ipc_channel_backlog(out.ch) > BACKLOG_MAX) {
			loop_timer_set(out.loop, &out.retry, 1000);
			return;
		}
		n = packet_share(buf_view(&out.lines));
		ipc_out_init(&o, IPC_LOG_LINES);
		ipc_put_u64(&o, IPC_F_PID, (uint64_t)getpid());
		ipc_put_bytes(
		    &o, IPC_F_LINES, view_of(buf_view(&out.lines).p, n));
		if (ipc_send(out.ch, &o) != 0)
			return;
		buf_consume(&out.lines, n);
		if (out.lines.len == 0)
			say_lost();
	}
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	(void)arg;
	out.ch = NULL;
	direct_set(-1);
}

static const struct ipc_channel_ops ops = { NULL, on_closed };

static void
lines_to_stderr(void)
{
	struct view all = buf_view(&out.lines);
	struct iovec iov[4];
	const char *program = log_program();
	uint16_t n;

	while (all.len >= ENTRY_HEADER) {
		memcpy(&n, all.p + 1, sizeof(n));
		iov[0] = (struct iovec){ (void *)(uintptr_t)program,
			strlen(program) };
		iov[1] = (struct iovec){ (void *)(uintptr_t) ": ", 2 };
		iov[2] =
		    (struct iovec){ (void *)(uintptr_t)(all.p + ENTRY_HEADER),
			    n };
		iov[3] = (struct iovec){ (void *)(uintptr_t) "\n", 1 };
		(void)fd_writev_all(STDERR_FILENO, iov, 4);
		all = view_from(all, ENTRY_HEADER + (size_t)n);
	}
	buf_reset(&out.lines);
}

void
child_log_flush(void)
{
	/* Of another thread that gives up: its line is out. */
	if (out.loop == NULL || in_other_thread())
		return;
	send_lines(NULL);
	if (out.ch != NULL)
		ipc_flush(out.ch);
	if (out.lines.len > 0)
		lines_to_stderr();
}

static const char *const voices[CHILD_LOG_VOICES] = {
	[CHILD_LOG_SMTP] = "smtp", [CHILD_LOG_LMTP] = "lmtp", [CHILD_LOG_MAILBOX] = "mailbox",
	[CHILD_LOG_BOUNCE] = "bounce", [CHILD_LOG_ERROR] = "error",
	[CHILD_LOG_DISCARD] = "discard",
};

const char *
child_log_voice_name(unsigned voice)
{
	return voice < NELEMS(voices) ? voices[voice] : NULL;
}

enum child_log_voice
child_log_voice(const char *name)
{
	unsigned i;

	for (i = 1; i < NELEMS(voices); i++)
		if (strcmp(voices[i], name) == 0)
			return (enum child_log_voice)i;
	return CHILD_LOG_OWN;
}

void
child_log_info_as(enum child_log_voice voice, const char *fmt, ...)
{
	char line[LOG_LINE_MAX + 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	out.voice = voice;
	log_info("%s", line);
	out.voice = CHILD_LOG_OWN;
}

void
child_log_init(struct loop *l, enum ipc_role self)
{
	out.loop = l;
	out.thread = pthread_self();
	out.self = self;
	out.flush.fn = send_lines;
	buf_init(&out.lines, WAITING_BYTES_MAX);
	loop_timer_init(&out.retry, send_lines, NULL);
	log_set_sink(sink, NULL);
	log_set_flush(child_log_flush);
}

void
child_log_channel(int fd, uint64_t instance)
{
	ipc_channel_free(&out.ch);
	out.ch = ipc_channel_new(
	    out.loop, fd, out.self, IPC_ROLE_logd, instance, &ops, NULL);
	/* HELLO is first, whoever speaks. */
	ipc_flush(out.ch);
	direct_set(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	loop_defer(out.loop, &out.flush);
}

void
child_log_fini(void)
{
	if (out.loop == NULL)
		return;
	child_log_flush();
	log_set_sink(NULL, NULL);
	log_set_flush(NULL);
	ipc_channel_free(&out.ch);
	direct_set(-1);
	loop_timer_clear(out.loop, &out.retry);
	loop_defer_cancel(out.loop, &out.flush);
	buf_fini(&out.lines);
	out.loop = NULL;
}
