/* SPDX-License-Identifier: ISC */
/*
 * format.c: the shapes of a log line.
 *
 * Postfix's shape is what pflogsumm, fail2ban and every admin's grep know.
 * The text was escaped by the process that wrote it; here it is cleaned once
 * more, because that process may have been taken over.
 */
#include <time.h>

#include "base/clock.h"
#include "base/codec.h"
#include "logd/logd.h"

#define TEXT_MAX (LOG_LINE_MAX + 64)

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

void
format_clean(struct buf *b, struct view text)
{
	bool utf8 = utf8_valid(text), cut = text.len > TEXT_MAX;
	size_t i;

	text = view_head(text, TEXT_MAX);
	for (i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		/* U+0080 to U+009F are control characters too. */
		if (is_control(c) || (c >= 0x80 && !utf8) ||
		    (c == 0xc2 && i + 1 < text.len && (unsigned char)text.p[i + 1] < 0xa0)) {
			buf_put_char(b, '?');
			i += c == 0xc2 && utf8;
		} else
			buf_put_char(b, (char)c);
	}
	if (cut)
		buf_put_str(b, "...");
}

static const char *
level_prefix(enum log_level level)
{
	switch (level) {
	case LOG_LVL_WARN:
		return "warning: ";
	case LOG_LVL_ERROR:
		return "error: ";
	case LOG_LVL_FATAL:
		return "fatal: ";
	case LOG_LVL_PANIC:
		return "panic: ";
	default:
		return "";
	}
}

/* "Nov 20 15:17:29"; made once a second. */
static const char *
stamp(uint64_t time_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static char text[32];
	static uint64_t made;
	time_t t = (time_t)(time_ms / 1000);
	struct buf b;
	struct tm tm;

	if (made == time_ms / 1000)
		return text;
	if (localtime_r(&t, &tm) == NULL)
		return "Jan  1 00:00:00";
	buf_init(&b, sizeof(text) - 1);
	buf_printf(&b, "%.3s %2d %02d:%02d:%02d", months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	memcpy(text, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
	made = time_ms / 1000;
	return text;
}

void
format_postfix(struct buf *b, const struct format_line *l)
{
	buf_put_str(b, stamp(l->time_ms));
	buf_put_char(b, ' ');
	buf_put_str(b, l->host);
	buf_put_char(b, ' ');
	buf_put_str(b, l->program);
	buf_put_char(b, '[');
	buf_put_u64(b, (uint64_t)l->pid);
	buf_put_str(b, "]: ");
	buf_put_str(b, level_prefix(l->level));
	buf_put_view(b, l->text);
	buf_put_char(b, '\n');
}

void
format_json(struct buf *b, const struct format_line *l)
{
	buf_put_str(b, "{\"time\":\"");
	clock_put_rfc3339(b, l->time_ms);
	buf_put_str(b, "\",\"host\":");
	json_put_string(b, view_str(l->host));
	buf_put_str(b, ",\"program\":");
	json_put_string(b, view_str(l->program));
	buf_put_str(b, ",\"pid\":");
	buf_put_u64(b, (uint64_t)l->pid);
	buf_put_str(b, ",\"level\":");
	json_put_string(b, view_str(log_level_name(l->level)));
	buf_put_str(b, ",\"text\":");
	json_put_string(b, l->text);
	buf_put_str(b, "}\n");
}

void
format_syslog(struct buf *b, const struct format_line *l)
{
	/* Severities of RFC 3164 for our levels; facility mail is 2. */
	static const unsigned severity[] = { 7, 6, 4, 3, 2, 2 };

	buf_printf(b, "<%u>%s %s[%ld]: %s", 2 * 8 + severity[l->level], stamp(l->time_ms),
	    l->program, (long)l->pid, level_prefix(l->level));
	buf_put_view(b, l->text);
}
