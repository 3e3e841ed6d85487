/* SPDX-License-Identifier: ISC */
/*
 * log.h: what a process says about itself.
 *
 * Levels mean one thing each: debug (developer), info (the mail's own story,
 * Postfix's line shapes), warn (an admin should look), error (something was
 * refused or lost its way because of us or the configuration), fatal (the
 * environment does not let us run: exit 1), panic (our own bug: abort).
 * Arguments from outside are escaped before the line is written: bytes
 * outside printable ASCII become '?', so that no line can be forged (A11);
 * valid UTF-8 is let through.
 *
 * A line goes to the sink that log_set_sink() installed (child.c batches to
 * logd); before that, to standard error as "program: level: text".
 */
#ifndef PK_BASE_LOG_H
#define PK_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LVL_DEBUG,
	LOG_LVL_INFO,
	LOG_LVL_WARN,
	LOG_LVL_ERROR,
	LOG_LVL_FATAL,
	LOG_LVL_PANIC,
};

/* Longest line, without time stamp and tag; longer ones end in "...". */
#define LOG_LINE_MAX 2000

typedef void (*log_sink_fn)(enum log_level level, const char *line, size_t len, void *arg);

/* program: what stands before the pid, "postkeep/smtpd"; kept by reference. */
void	log_init(const char *program);
const char *log_program(void);
void	log_set_sink(log_sink_fn sink, void *arg);
/* Called once before fatal exits and panic aborts, to hand out what is batched. */
void	log_set_flush(void (*flush)(void));
void	log_set_level(enum log_level least);
enum log_level log_get_level(void);
bool	log_level_parse(const char *name, enum log_level *level_r);
const char *log_level_name(enum log_level level);

void	log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void	log_panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Stays on in releases; about our own state only. */
#define ASSERT(cond)							\
	do {								\
		if (__builtin_expect(!(cond), 0))			\
			log_panic("%s:%d: assertion failed: %s",	\
			    __FILE__, __LINE__, #cond);			\
	} while (0)

#endif
