/* SPDX-License-Identifier: ISC */
/*
 * recover.c: what qmgr makes of a queue directory after a crash.
 *
 *	recover DIR [checkpoint]
 *
 * Runs qmgr's own recovery on DIR, without the suite around it, and prints
 * each message that is left: a line {MSG id state recipients open bytes} and
 * its content. A record or content that does not pass its check is said as
 * {BAD id why}. Ends as after a crash; with `checkpoint` it writes the index
 * and ends in order, so that a second run shows what the first one wrote.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/store.h"
#include "queue/record.h"
#include "sys/fd.h"

struct ids {
	uint64_t	*v;
	size_t		 n;
};

static void
on_message(void *arg, struct message *m)
{
	(void)arg;
	(void)m;
}

static bool
on_keep(void *arg, struct message *m)
{
	(void)arg;
	(void)m;
	return false;
}

static void
on_scope(void *arg, bool on, unsigned kind, struct view name)
{
	(void)arg;
	(void)on;
	(void)kind;
	(void)name;
}

static void
on_scopes(void *arg, struct buf *b)
{
	(void)arg;
	(void)b;
}

static bool
nobody_alive(void *arg, uint64_t instance)
{
	(void)arg;
	(void)instance;
	return false;
}

static void
add_id(struct ids *ids, uint64_t id)
{
	ids->v = xreallocarray(ids->v, ids->n + 1, sizeof(*ids->v));
	ids->v[ids->n++] = id;
}

static bool
indexed(void *arg, struct view key, struct view value)
{
	(void)value;
	add_id(arg, index_get64(key.p));
	return true;
}

/* What is in memory and what is in the index alone. */
static void
gather(struct store *s, struct ids *ids)
{
	size_t at = 0, i, known;
	struct view key;
	struct ids rows = { NULL, 0 };
	void *m;

	while (map_next(s->messages, &at, &key, &m))
		add_id(ids, ((struct message *)m)->id);
	known = ids->n;
	index_walk(s->index, INDEX_MESSAGE, VIEW_NONE, indexed, &rows);
	index_rest(s->index);
	for (i = 0; i < rows.n; i++)
		if (store_peek(s, rows.v[i]) == NULL)
			add_id(ids, rows.v[i]);
	(void)known;
	xfree(rows.v);
}

static void
bad(uint64_t id, const char *what, int error)
{
	printf("BAD %010" PRIX64 " %s: %s\n", id, what, pk_strerror(error));
}

static void
show(struct store *s, uint64_t id)
{
	struct message *m = store_message(s, id);
	struct segment_record r;
	struct segment *seg;
	char *content;
	int rc;

	if (m == NULL) {
		/* Finished ones are a mark in memory until their rows go. */
		if (map_get_u64(s->messages, id) == NULL)
			bad(id, "index rows", PK_EFORMAT);
		return;
	}
	if ((rc = store_recipients(s, m)) != 0) {
		bad(id, "recipients", rc);
		return;
	}
	if ((rc = store_record(s, m, &r)) != 0) {
		bad(id, "record", rc);
		return;
	}
	seg = segments_get(&s->segments, m->segment);
	content = xmalloc((size_t)m->content_bytes + 1);
	rc = fd_pread_all(segments_fd(&s->segments, seg), content, (size_t)m->content_bytes,
	    (off_t)m->content_offset);
	if (rc == 0 && record_check(seg->header.key, view_of(content,
	    (size_t)m->content_bytes)) != r.h.content_check)
		rc = PK_EFORMAT;
	if (rc != 0)
		bad(id, "content", rc);
	else {
		printf("MSG %010" PRIX64 " %u %u %u %" PRIu64 "\n", id, m->flags, m->nrcpts,
		    m->nopen, m->content_bytes);
		fwrite(content, 1, (size_t)m->content_bytes, stdout);
	}
	xfree(content);
}

int
main(int argc, char **argv)
{
	static const struct store_ops ops = {
		.due = on_message, .keep = on_keep, .gone = on_message,
		.scope = on_scope, .scopes = on_scopes,
	};
	struct ids ids = { NULL, 0 };
	struct store s;
	size_t i;

	if (argc < 2) {
		fprintf(stderr, "usage: recover DIR [checkpoint]\n");
		return 2;
	}
	log_init("recover");
	store_init(&s, NULL, argv[1], &ops, NULL);
	store_recover(&s, nobody_alive, NULL);
	gather(&s, &ids);
	for (i = 0; i < ids.n; i++)
		show(&s, ids.v[i]);
	printf("END %zu\n", ids.n);
	fflush(stdout);
	xfree(ids.v);
	if (argc > 2 && strcmp(argv[2], "checkpoint") == 0)
		store_fini(&s);
	return 0;
}
