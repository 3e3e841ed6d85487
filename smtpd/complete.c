/* SPDX-License-Identifier: ISC */
/*
 * complete.c: Date: and Message-ID: for users' messages that lack them.
 *
 * Runs in smtpd, behind the end of data: what a header lacks is known then,
 * and the header block in front is not written yet. Mail of strangers is left
 * as it is unless always_add_missing_headers (a signature would not survive
 * it). Resent-* fields are not our business.
 */
#include "smtpd/complete.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "smtpd/worker.h"

static bool
is_wanted(const struct session *s)
{
	return s->policy->class == CHILD_LISTENER_SUBMISSION ||
	    s->policy->class == CHILD_LISTENER_LOCAL || auth_login(s) != NULL ||
	    s->policy->conf->always_add_missing_headers;
}

void
complete_prepare(struct session *s)
{
	struct data_scanner *c = &s->tx->scanner;
	time_t now = (time_t)(s->tx->arrival_ms / 1000);
	uint64_t random;
	char day[32];
	struct tm tm;

	if (!is_wanted(s) || (c->seen & DATA_SEEN_MESSAGE_ID) != 0 ||
	    gmtime_r(&now, &tm) == NULL || strftime(day, sizeof(day), "%Y%m%d%H%M%S", &tm) == 0)
		return;
	arc4random_buf(&random, sizeof(random));
	snprintf(c->message_id, sizeof(c->message_id), "<%s.%016llX@%.200s>", day,
	    (unsigned long long)random, s->policy->conf->myhostname);
	s->tx->own_message_id = true;
}

void
complete_put(const struct session *s, struct buf *b)
{
	const struct transaction *tx = s->tx;

	if (is_wanted(s) && (tx->scanner.seen & DATA_SEEN_DATE) == 0) {
		buf_put_str(b, "Date: ");
		clock_put_rfc5322(b, tx->arrival_ms);
		buf_put_str(b, "\r\n");
	}
	if (tx->own_message_id)
		buf_printf(b, "Message-ID: %s\r\n", tx->scanner.message_id);
}
