/* SPDX-License-Identifier: ISC */
/*
 * log.c: what a process says about itself.
 *
 * Linked into every process. Arguments come from peers and are not trusted:
 * the finished line is cleaned, so that nobody has to remember to do it for
 * an argument. Nothing is allocated: the line "out of memory" comes through
 * here. Safe from several threads as far as the sink is; set-up is for the
 * main thread before there are others.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/mem.h"

static const char *log_prog = "postkeep";
static log_sink_fn log_sink;
static void *log_sink_arg;
static void (*log_flush)(void);
static enum log_level log_least = LOG_LVL_INFO;

/* Postfix's words, as parsers of its logs expect them. */
static const char *const log_names[] = {
	"debug", "info", "warning", "error", "fatal", "panic",
};

void
log_init(const char *program)
{
	log_prog = program;
}

const char *
log_program(void)
{
	return log_prog;
}

void
log_set_sink(log_sink_fn sink, void *arg)
{
	log_sink = sink;
	log_sink_arg = arg;
}

void
log_set_flush(void (*flush)(void))
{
	log_flush = flush;
}

void
log_set_level(enum log_level least)
{
	log_least = least;
}

enum log_level
log_get_level(void)
{
	return log_least;
}

bool
log_level_parse(const char *name, enum log_level *level_r)
{
	size_t i;

	if (strcmp(name, "warn") == 0)
		name = "warning";
	for (i = 0; i < NELEMS(log_names); i++) {
		if (strcmp(name, log_names[i]) == 0) {
			*level_r = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	return (size_t)level < NELEMS(log_names) ? log_names[level] : "?";
}

/*
 * Control characters would forge lines or steer a terminal: those of ASCII,
 * and U+0080 to U+009F, which some terminals obey as well.
 */
static size_t
clean(char *line, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = utf8_sequence(line + i, len - i);
		if (n == 1 && line[i] >= ' ' && line[i] != 0x7f)
			continue;
		if (n > 2 || (n == 2 && ((unsigned char)line[i] != 0xc2 ||
		    (unsigned char)line[i + 1] >= 0xa0)))
			continue;
		line[i] = '?';
		n = 1;
	}
	return len;
}

static void
to_stderr(enum log_level level, const char *line, size_t len)
{
	char out[LOG_LINE_MAX + 256];
	ssize_t done;
	int n;

	n = snprintf(out, sizeof(out), "%s: %s: %.*s\n", log_prog,
	    log_level_name(level), (int)len, line);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(out))
		n = (int)sizeof(out) - 1;
	/* One call, so that lines of several processes do not mix. */
	done = write(STDERR_FILENO, out, (size_t)n);
	(void)done;
}

__attribute__((format(printf, 2, 0))) static void
emit(enum log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX + 1];
	int saved = errno, n;
	size_t len;

	n = vsnprintf(line, sizeof(line), fmt, ap);
	if (n < 0)
		n = 0;
	len = (size_t)n;
	if (len > LOG_LINE_MAX)
		len = clean(line, LOG_LINE_MAX - 3);
	else
		len = clean(line, len);
	if ((size_t)n > LOG_LINE_MAX) {
		memcpy(line + len, "...", 3);
		len += 3;
	}
	line[len] = '\0';
	if (log_sink != NULL)
		log_sink(level, line, len, log_sink_arg);
	else
		to_stderr(level, line, len);
	errno = saved;
}

static void
flush_once(void)
{
	void (*flush)(void) = log_flush;

	log_flush = NULL;
	if (flush != NULL)
		flush();
}

#define EMIT(level, fmt)						\
	do {								\
		va_list ap;						\
									\
		if ((level) < log_least)				\
			break;						\
		va_start(ap, fmt);					\
		emit(level, fmt, ap);					\
		va_end(ap);						\
	} while (0)

void
log_debug(const char *fmt, ...)
{
	EMIT(LOG_LVL_DEBUG, fmt);
}

void
log_info(const char *fmt, ...)
{
	EMIT(LOG_LVL_INFO, fmt);
}

void
log_warn(const char *fmt, ...)
{
	EMIT(LOG_LVL_WARN, fmt);
}

void
log_error(const char *fmt, ...)
{
	EMIT(LOG_LVL_ERROR, fmt);
}

void
log_fatal(const char *fmt, ...)
{
	static bool again;

	EMIT(LOG_LVL_FATAL, fmt);
	flush_once();
	/* A second one comes from an exit handler. */
	if (again)
		_exit(1);
	again = true;
	exit(1);
}

void
log_panic(const char *fmt, ...)
{
	EMIT(LOG_LVL_PANIC, fmt);
	flush_once();
	abort();
}
