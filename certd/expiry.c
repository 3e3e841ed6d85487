/* SPDX-License-Identifier: ISC */
/*
 * expiry.c: certificates that come to an end.
 *
 * Runs in certd, hourly and after each load. A warning that was given is not
 * given again when the clock goes back and forth (F6): the count of thresholds
 * that were said only grows, and "expired" is repeated by the monotonic clock.
 */
#include "certd/expiry.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/stats.h"

#define DAY_MS		86400000LL
#define NO_CERTIFICATE	36500	/* tls_certificate_days when there is none: no alarm */

size_t
expiry_parse(const char *list, uint64_t ms_r[EXPIRY_THRESHOLDS_MAX])
{
	struct view rest = view_str(list), item;
	size_t n = 0, i;
	uint64_t ms;

	while (conf_list_next(&rest, &item)) {
		if (n == EXPIRY_THRESHOLDS_MAX || num_parse_time_ms(item, 'd', &ms) != 0) {
			log_error("tls_expiry_warnings: \"%.*s\" is left out: write at most %d"
			    " times like 30d", VIEW_ARG(item), EXPIRY_THRESHOLDS_MAX);
			continue;
		}
		for (i = n; i > 0 && ms_r[i - 1] < ms; i--)
			ms_r[i] = ms_r[i - 1];
		ms_r[i] = ms;
		n++;
	}
	return n;
}

static int64_t
left_ms(const struct pair *p, uint64_t wall_ms)
{
	return p->not_after_s * 1000 - (int64_t)wall_ms;
}

int64_t
expiry_days(const struct pair *p, uint64_t wall_ms)
{
	int64_t left = left_ms(p, wall_ms);

	return left >= 0 ? left / DAY_MS : -((-left + DAY_MS - 1) / DAY_MS);
}

static void
put_what(struct buf *b, const struct pair *p)
{
	char name[256];

	if (X509_NAME_get_text_by_NID(X509_get_subject_name(p->leaf), NID_commonName, name,
	    sizeof(name)) <= 0)
		name[0] = '\0';
	buf_printf(b, "certificate of %s (%s%s%s)", p->files, pair_key_text(p),
	    name[0] != '\0' ? ", " : "", name);
}

static bool
say_expired(struct pair *p, const char *what, const char *date, uint64_t now_ms)
{
	if (p->expired_said_ms != 0 && now_ms - p->expired_said_ms < (uint64_t)DAY_MS)
		return false;
	p->expired_said_ms = now_ms > 0 ? now_ms : 1;
	log_error("%s expired on %s: clients that look refuse it; put a new one in its place",
	    what, date);
	return true;
}

bool
expiry_check_pair(struct pair *p, const uint64_t *thresholds_ms, size_t n, uint64_t wall_ms,
    uint64_t now_ms)
{
	int64_t left = left_ms(p, wall_ms);
	unsigned passed = 0;
	struct buf b, date;
	bool said = false;

	buf_init(&b, 9000);
	buf_init(&date, 64);
	put_what(&b, p);
	pair_put_date(&date, p->not_after_s);
	while (passed < n && (int64_t)thresholds_ms[passed] >= left)
		passed++;
	if (left <= 0) {
		said = say_expired(p, buf_cstr(&b), buf_cstr(&date), now_ms);
	} else if (passed > p->warned) {
		log_warn("%s ends on %s, in %lld days: renew it", buf_cstr(&b), buf_cstr(&date),
		    (long long)(left / DAY_MS));
		said = true;
	}
	if (passed > p->warned)
		p->warned = passed;
	buf_fini(&b);
	buf_fini(&date);
	return said;
}

void
expiry_check(const struct set *s, const char *list, uint64_t wall_ms, uint64_t now_ms)
{
	uint64_t thresholds[EXPIRY_THRESHOLDS_MAX];
	int64_t soonest = NO_CERTIFICATE, days;
	size_t n = expiry_parse(list, thresholds), i;

	for (i = 0; i < s->nrows; i++) {
		(void)expiry_check_pair(s->rows[i].pair, thresholds, n, wall_ms, now_ms);
		days = expiry_days(s->rows[i].pair, wall_ms);
		soonest = days < soonest ? days : soonest;
	}
	stats_set(STATS_C_tls_certificate_days, soonest);
}
