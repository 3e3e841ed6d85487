/* SPDX-License-Identifier: ISC */
/*
 * journal.c: fuzzes what qmgr reads of its own: journal files, and the rows
 * of recipients and messages, which are written again as they were.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/journal.h"
#include "qmgr/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_event(void *arg, enum journal_event type, struct view payload)
{
	uint64_t *bytes = arg;

	(void)type;
	*bytes += payload.len;
}

static void
read_recipient(struct view v)
{
	struct map *routes = map_new();
	struct recipient *r;
	struct buf b;

	if (recipient_row_get(v, 1, routes, &r) == 0) {
		buf_init(&b, 1 << 20);
		recipient_row_put(&b, r);
		ASSERT(b.len <= v.len);	/* a long reply is cut */
		buf_fini(&b);
		recipient_free(r, routes);
	}
	ASSERT(map_count(routes) == 0);
	map_free(&routes, NULL);
}

static void
read_message(struct view v)
{
	struct map *senders = map_new(), *routes = map_new();
	struct message *m;
	struct buf b;

	if (message_row_get(v, 1, senders, &m) == 0) {
		buf_init(&b, 1 << 20);
		message_row_put(&b, m);
		ASSERT(b.len <= v.len);
		buf_fini(&b);
		message_free(m, senders, routes);
	}
	ASSERT(map_count(senders) == 0);
	map_free(&senders, NULL);
	map_free(&routes, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t good, bytes = 0;
	struct view v;

	if (size < 1)
		return 0;
	v = view_of((const char *)data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		if (journal_walk(v, 0, on_event, &bytes, &good) != PK_EFORMAT)
			ASSERT(good <= v.len && bytes <= good);
		break;
	case 1:
		read_recipient(v);
		break;
	default:
		read_message(v);
		break;
	}
	return 0;
}
