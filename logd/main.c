/* SPDX-License-Identifier: ISC */
/*
 * logd: writes the log.
 *
 * Runs as a user of its own, in the folder of the log file and nowhere else.
 * Every process of the suite sends it the lines of a turn in one packet; it
 * puts what came in a turn into one write to maillog_file, and as datagrams
 * to syslog where wanted. Which process a line is from is told by the channel
 * that master made, never by the line. Losing lines is better than stopping
 * mail; they are counted and the count is logged.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "ipc/child.h"
#include "ipc/child_log.h"
#include "logd/logd.h"
#include "sys/fd.h"
#include "sys/stats.h"

/* A turn's lines; a packet a process is 64 KiB at most. */
#define BATCH_MAX	(8 * 1024 * 1024)
#define BATCH_WRITE	(256 * 1024)
/* What still lies in the channels at the end is read within this. */
#define DRAIN_US	50000
/* A syslog that went away is looked for again by a new process. */
#define SYSLOG_RETRY_MS	60000

struct source {
	struct ipc_channel *ch;
	bool		 has_voices;	/* child_log.h */
	char		*program, *syslog_name;
	pid_t		 pid;
};

static struct logd {
	struct child	*child;
	struct logfile	 file;
	bool		 has_file;
	int		 syslog_fd;
	bool		 to_stderr;
	bool		 json;
	struct buf	 batch;
	struct buf	 clean;
	uint64_t	 lines;
	uint64_t	 started_ms;
	struct loop_deferred flush;
} logd = { .file = { .dirfd = -1, .fd = -1 }, .syslog_fd = -1 };

/* ---- writing ---- */

static void
say_lost(uint64_t lost)
{
	log_warn("%llu log lines were lost: %s", (unsigned long long)lost,
	    strerror(logd.file.lost_errno));
}

static void
rotate_if_due(void)
{
	if (logd.file.rotate_size == 0 || logd.file.size < logd.file.rotate_size)
		return;
	if (logfile_rotate(&logd.file) == 0)
		return;
	log_warn("the log file cannot be rotated: %s", strerror(errno));
	/* Not with every line again: after as much as one more file. */
	logd.file.rotate_size += logd.file.size;
}

static void
write_batch(void *arg)
{
	uint64_t lost = 0, before = logd.file.lost_total;
	struct view lines;
	struct buf out;

	(void)arg;
	if (logd.batch.len == 0)
		return;
	/* What is said below goes into the next one. */
	out = logd.batch;
	buf_init(&logd.batch, BATCH_MAX);
	lines = buf_view(&out);
	if (logd.to_stderr)
		(void)!write(STDERR_FILENO, lines.p, lines.len);
	if (logd.has_file) {
		if (logfile_write(&logd.file, lines, &lost) != 0)
			stats_add(STATS_C_log_lost,
			    (int64_t)(logd.file.lost_total - before));
		rotate_if_due();
	}
	if (lost > 0)
		say_lost(lost);
	if (logd.batch.data == NULL) {
		buf_reset(&out);
		logd.batch = out;
	} else
		buf_fini(&out);
}

static void
send_syslog(const struct format_line *l)
{
	struct buf b;
	uint64_t age;

	if (logd.syslog_fd == -1)
		return;
	buf_init(&b, 4096);
	format_syslog(&b, l);
	if (send(logd.syslog_fd, buf_data(&b), b.len, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 &&
	    errno != EAGAIN && errno != ENOBUFS) {
		fd_close(&logd.syslog_fd);
		age = clock_mono_ms() - logd.started_ms;
		log_warn("syslog does not listen any more: %s", strerror(errno));
		if (age > SYSLOG_RETRY_MS)
			child_exit(logd.child, 1);
	}
	buf_fini(&b);
}

static void
add_line(const char *program, pid_t pid, enum log_level level, struct view text)
{
	struct format_line l = { .time_ms = clock_wall_ms(), .program = program, .pid = pid,
	    .level = level, .host = child_conf(logd.child)->myhostname };

	buf_reset(&logd.clean);
	format_clean(&logd.clean, text);
	l.text = buf_view(&logd.clean);
	if (logd.json)
		format_json(&logd.batch, &l);
	else
		format_postfix(&logd.batch, &l);
	logd.lines++;
	stats_add(STATS_C_log_lines, 1);
	if (logd.batch.len > BATCH_WRITE)
		write_batch(NULL);
	else
		loop_defer(child_loop(logd.child), &logd.flush);
	send_syslog(&l);
}

static void
own_line(enum log_level level, const char *line, size_t len, void *arg)
{
	static int depth;

	(void)arg;
	if (depth > 0)
		return;
	depth++;
	add_line(log_program(), getpid(), level, view_of(line, len));
	depth--;
}

static void
flush_now(void)
{
	write_batch(NULL);
	write_batch(NULL);
}

/* ---- what the others say ---- */

static int
take_lines(const struct source *s, struct view all)
{
	char name[64];
	uint16_t len;
	unsigned level, voice;
	const char *other;

	while (all.len > 0) {
		if (all.len < 3)
			return PK_EPROTO;
		level = (unsigned char)all.p[0];
		voice = level >> CHILD_LOG_LEVEL_BITS;
		level &= (1U << CHILD_LOG_LEVEL_BITS) - 1;
		other = child_log_voice_name(voice);
		memcpy(&len, all.p + 1, sizeof(len));
		if (level > LOG_LVL_PANIC || all.len - 3 < len ||
		    (voice != CHILD_LOG_OWN && (other == NULL || !s->has_voices)))
			return PK_EPROTO;
		if (other != NULL)
			(void)snprintf(name, sizeof(name), "%s/%s", s->syslog_name, other);
		add_line(other != NULL ? name : s->program, s->pid, (enum log_level)level,
		    view_of(all.p + 3, len));
		all = view_from(all, 3 + (size_t)len);
	}
	return 0;
}

static int
source_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct view lines = VIEW_NONE;
	uint64_t claimed;
	struct ipc_in in;

	(void)ch;
	if (m->type != IPC_LOG_LINES)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_PID, &claimed);	/* master's word counts */
	ipc_get_bytes(&in, IPC_F_LINES, IPC_BODY_MAX, &lines);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	return take_lines(arg, lines);
}

static void
source_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct source *s = arg;

	(void)ch;
	(void)why;
	xfree(s->program);
	xfree(s->syslog_name);
	xfree(s);
}

static const struct ipc_channel_ops source_ops = { source_message, source_closed };

static void
on_channel(struct child *c, enum ipc_role peer, uint64_t instance, int fd)
{
	struct source *s = XNEW(struct source);

	s->pid = child_channel_pid(c);
	s->has_voices = peer == IPC_ROLE_qmgr;
	s->syslog_name = xstrdup(child_conf(c)->syslog_name);
	s->program = xasprintf("%s/%s", child_conf(c)->syslog_name, ipc_role_log_name(peer));
	s->ch = ipc_channel_new(child_loop(c), fd, IPC_ROLE_logd, peer, instance, &source_ops, s);
}

/* ---- master and administrators ---- */

static void
take_settings(struct child *c)
{
	const struct conf *conf = child_conf(c);

	logd.json = strcmp(conf->maillog_format, "json") == 0;
	logd.to_stderr = conf->maillog_stderr;
	logd.file.rotate_size = conf->maillog_rotate_size;
	logd.file.rotate_count = (unsigned)conf->maillog_rotate_count;
}

static void
on_reload(struct child *c, const struct conf *old)
{
	(void)old;
	write_batch(NULL);
	take_settings(c);
}

static void
drained(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush_now();
	child_exit(arg, 0);
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	struct timeval soon = { 0, DRAIN_US };

	(void)grace_ms;
	if (event_base_once(loop_base(child_loop(c)), -1, EV_TIMEOUT, drained, c, &soon) != 0)
		drained(-1, 0, c);
}

static int
on_message(struct child *c, struct ipc_channel *ch, struct ipc_msg *m)
{
	(void)c;
	(void)ch;
	if (m->type != IPC_LOG_REOPEN)
		return PK_EPROTO;
	write_batch(NULL);
	if (logd.has_file && logfile_reopen(&logd.file) != 0)
		log_error("the log file cannot be reopened: %s", strerror(errno));
	return 0;
}

static int
put_json(const char *p, size_t n, void *arg)
{
	return buf_put(arg, p, n);
}

static int
admin_answer(struct ipc_channel *ch, struct ipc_msg *m, int code, const char *text, json_t *doc)
{
	struct ipc_out o;
	struct buf json;

	buf_init(&json, 8192);
	(void)json_dump_callback(doc, put_json, &json, JSON_COMPACT);
	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	if (text != NULL)
		ipc_put_str(&o, IPC_F_TEXT, text);
	ipc_put_bytes(&o, IPC_F_JSON, buf_view(&json));
	ipc_put_str(&o, IPC_F_CURSOR, "");
	buf_fini(&json);
	json_decref(doc);
	return ipc_reply(ch, m, &o);
}

static int
on_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	json_t *doc = json_object();

	(void)args;
	json_object_set_new(doc, "version", json_integer(1));
	if (view_eq(verb, VIEW("log rotate"))) {
		child_audit(c, uid, "log rotate");
		write_batch(NULL);
		if (!logd.has_file || logfile_rotate(&logd.file) != 0)
			return admin_answer(ch, m, PK_ESYS, "the log file cannot be rotated", doc);
	} else if (!view_eq(verb, VIEW("log status"))) {
		return admin_answer(ch, m, PK_EUNSUPPORTED, "logd does not know this verb", doc);
	}
	json_object_set_new(doc, "file", json_string(child_conf(c)->maillog_file));
	json_object_set_new(doc, "size", json_integer((json_int_t)logd.file.size));
	json_object_set_new(doc, "lines", json_integer((json_int_t)logd.lines));
	json_object_set_new(doc, "lost", json_integer((json_int_t)logd.file.lost_total));
	return admin_answer(ch, m, 0, NULL, doc);
}

/* ---- the start ---- */

static void
open_syslog(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

	logd.syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (logd.syslog_fd != -1 && connect(logd.syslog_fd, (struct sockaddr *)&sun,
	    sizeof(sun)) == 0)
		return;
	log_warn("maillog_syslog: cannot reach /dev/log: %s", strerror(errno));
	fd_close(&logd.syslog_fd);
}

/*
 * As logd's own user, not as root: the folder is that user's, and whoever
 * took it over must not have root open or create what a link points to.
 */
static void
open_file(const struct conf *conf)
{
	const struct passwd *pw = NULL;

	logd.has_file = conf->maillog_file[0] != '\0';
	if (!logd.has_file)
		return;
	if (geteuid() == 0) {
		pw = getpwnam(ipc_role_user(IPC_ROLE_logd));
		if (pw == NULL || seteuid(pw->pw_uid) == -1)
			log_fatal("no user %s", ipc_role_user(IPC_ROLE_logd));
	}
	if (logfile_open(&logd.file, conf->maillog_file) != 0)
		log_fatal("maillog_file %s: %s", conf->maillog_file, strerror(errno));
	if (pw != NULL && seteuid(0) == -1)
		log_fatal("cannot go back to root: %s", strerror(errno));
}

static char *
folder_of(const struct conf *conf)
{
	const char *slash = strrchr(conf->maillog_file, '/');

	if (slash == NULL || slash == conf->maillog_file)
		return NULL;
	return xstrndup(conf->maillog_file, (size_t)(slash - conf->maillog_file));
}

int
main(int argc, char **argv)
{
	static const struct child_ops ops = { .channel = on_channel, .reload = on_reload,
	    .drain = on_drain, .admin = on_admin, .message = on_message };
	static const struct child_spec spec = { .role = IPC_ROLE_logd, .ops = &ops };
	struct sandbox_spec box = { .needs = SANDBOX_FILES_READ | SANDBOX_FILES_WRITE |
	    SANDBOX_APPEND };
	struct child *c;
	char *folder, *empty;

	buf_init(&logd.batch, BATCH_MAX);
	buf_init(&logd.clean, 4 * LOG_LINE_MAX);
	logd.flush.fn = write_batch;
	c = child_begin(argc, argv, &spec);
	logd.child = c;
	logd.started_ms = clock_mono_ms();
	take_settings(c);
	if (child_conf(c)->maillog_syslog)
		open_syslog();
	open_file(child_conf(c));
	folder = folder_of(child_conf(c));
	if (folder != NULL)
		box.paths[box.npaths++] = (struct sandbox_path){ .path = folder, .write = true };
	/* The file is reached by the folder's handle alone. */
	empty = xasprintf("%s/empty", child_conf(c)->runtime_directory);
	box.chroot_dir = empty;
	log_set_sink(own_line, NULL);
	log_set_flush(flush_now);
	child_confine(c, &box);
	return child_run(c);
}
