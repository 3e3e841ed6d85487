/* SPDX-License-Identifier: ISC */
/*
 * clock.c: monotonic time inside, wall time on disk and in print.
 *
 * Linked into every process. Names of days and months are our own: those of
 * strftime() follow the locale, RFC 5322 does not.
 */
#include "base/clock.h"

#include <time.h>

#include "base/log.h"

static uint64_t
now_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) == -1)
		log_panic("clock_gettime: %m");
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t
clock_wall_ms(void)
{
	return now_ns(CLOCK_REALTIME) / 1000000;
}

void
clock_init(void)
{
	tzset();
}

/* Local time and its offset from UTC in minutes. */
static void
split(uint64_t wall_ms, struct tm *tm_r, char *sign_r, unsigned *offset_r)
{
	time_t t = (time_t)(wall_ms / 1000);
	long east;

	/* Fails only for years that do not fit an int. */
	if (localtime_r(&t, tm_r) == NULL) {
		t = 0;
		gmtime_r(&t, tm_r);
	}
	east = tm_r->tm_gmtoff / 60;
	*sign_r = east < 0 ? '-' : '+';
	*offset_r = (unsigned)(east < 0 ? -east : east);
}

void
clock_put_rfc5322(struct buf *b, uint64_t wall_ms)
{
	static const char days[][4] = {
		"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat",
	};
	static const char months[][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
	};
	unsigned offset;
	struct tm tm;
	char sign;

	split(wall_ms, &tm, &sign, &offset);
	buf_printf(b, "%s, %d %s %d %02d:%02d:%02d %c%02u%02u",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    sign, offset / 60, offset % 60);
}

void
clock_put_rfc3339(struct buf *b, uint64_t wall_ms)
{
	unsigned offset;
	struct tm tm;
	char sign;

	split(wall_ms, &tm, &sign, &offset);
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03u%c%02u:%02u",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ms % 1000),
	    sign, offset / 60, offset % 60);
}
