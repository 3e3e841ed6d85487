/* SPDX-License-Identifier: ISC */
/*
 * masterlog.c: master's own lines.
 *
 * They go to logd as everybody's do, batched by turn; while logd is not there
 * they wait, up to a bound. At the start, in the foreground and when the end
 * is near they also go to standard error: somebody may be looking.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "master/master.h"

#define ENTRY_HEADER 3

static struct {
	struct master	*m;
	struct ipc_channel *ch;
	struct buf	 lines;
	uint64_t	 lost;
	bool		 to_stderr;
	struct loop_deferred flush;
} out;

static void
send_lines(void *arg)
{
	struct ipc_out o;

	(void)arg;
	if (out.ch == NULL || out.lines.len == 0)
		return;
	ipc_out_init(&o, IPC_LOG_LINES);
	ipc_put_u64(&o, IPC_F_PID, (uint64_t)getpid());
	ipc_put_bytes(&o, IPC_F_LINES, buf_view(&out.lines));
	if (ipc_send(out.ch, &o) == 0)
		buf_reset(&out.lines);
}

static void
sink(enum log_level level, const char *line, size_t len, void *arg)
{
	uint16_t n = (uint16_t)(len < LOG_LINE_MAX + 64 ? len : LOG_LINE_MAX + 64);
	char *p;

	(void)arg;
	if (out.to_stderr && (out.m->foreground || level >= LOG_LVL_WARN))
		fprintf(stderr, "%s: %s%s%.*s\n", log_program(),
		    level >= LOG_LVL_WARN ? log_level_name(level) : "",
		    level >= LOG_LVL_WARN ? ": " : "", (int)len, line);
	if (out.lines.len + n + ENTRY_HEADER > IPC_BODY_MAX - 64)
		send_lines(NULL);
	p = buf_room(&out.lines, ENTRY_HEADER + (size_t)n);
	if (p == NULL) {
		out.lines.error = 0;
		out.lost++;
		return;
	}
	p[0] = (char)level;
	memcpy(p + 1, &n, sizeof(n));
	memcpy(p + ENTRY_HEADER, line, n);
	buf_added(&out.lines, ENTRY_HEADER + (size_t)n);
	loop_defer(out.m->loop, &out.flush);
}

static void
flush_now(void)
{
	send_lines(NULL);
	if (out.ch != NULL)
		ipc_flush(out.ch);
}

static void
closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	(void)arg;
	out.ch = NULL;
}

static const struct ipc_channel_ops ops = { NULL, closed };

void
masterlog_init(struct master *m)
{
	out.m = m;
	out.to_stderr = true;
	out.flush.fn = send_lines;
	buf_init(&out.lines, IPC_BODY_MAX - 64);
	log_set_sink(sink, NULL);
	log_set_flush(flush_now);
}

void
masterlog_stderr(bool on)
{
	out.to_stderr = on;
}

void
masterlog_channel(int fd, uint64_t instance)
{
	ipc_channel_free(&out.ch);
	if (fd == -1)
		return;
	out.ch = ipc_channel_new(out.m->loop, fd, IPC_ROLE_master, IPC_ROLE_logd, instance,
	    &ops, NULL);
	if (out.lost > 0) {
		log_warn("%llu log lines were lost", (unsigned long long)out.lost);
		out.lost = 0;
	}
	loop_defer(out.m->loop, &out.flush);
}
