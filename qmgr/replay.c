/* SPDX-License-Identifier: ISC */
/*
 * replay.c: the journal read back at the start.
 *
 * Run by qmgr from recover.c. An event says what is true of a message, not
 * what changed, so one that the index already holds does no harm. The files
 * are ours, but a disk may have changed them: what does not pass its check
 * ends its file, and lengths inside an event are held against its end.
 */
#include "qmgr/done.h"
#include "qmgr/recover.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

#define JOURNAL_FILE_MAX	((size_t)4 << 30)

struct cursor {
	struct view	rest;
	bool		bad;
};

static uint64_t
take_n(struct cursor *c, unsigned bytes)
{
	uint64_t n = 0;

	if (c->rest.len < bytes) {
		c->bad = true;
		return 0;
	}
	memcpy(&n, c->rest.p, bytes);
	c->rest = view_from(c->rest, bytes);
	return n;
}

static void
set_row(struct store *s, struct message *m, uint32_t index, struct view row)
{
	struct recipient *r, *old;
	uint32_t n;

	if (index >= RECORD_ENVELOPE_MAX / 4 ||
	    recipient_row_get(row, index, s->routes, &r) != 0)
		return;
	if (index >= m->nrcpts) {
		n = index + 1;
		m->rcpts = xreallocarray(m->rcpts, n, sizeof(*m->rcpts));
		while (m->nrcpts < n)
			m->rcpts[m->nrcpts++] = NULL;
	}
	old = m->rcpts[index];
	if (old != NULL)
		r->flags |= old->flags & RCPT_INDEXED;
	/* A row may have been left by an earlier index of the same message. */
	if ((m->flags & MESSAGE_INDEXED) != 0)
		r->flags |= RCPT_INDEXED;
	recipient_free(old, s->routes);
	r->flags |= RCPT_DIRTY;
	m->rcpts[index] = r;
}

static void
count_open(struct store *s, struct message *m)
{
	uint32_t i, open = 0;

	for (i = 0; i < m->nrcpts; i++) {
		if (m->rcpts[i] == NULL)
			continue;
		if (!recipient_done(m->rcpts[i])) {
			open++;
			continue;
		}
		/* The journal that says so goes with the next checkpoint. */
		if ((m->rcpts[i]->flags & RCPT_CLOSED) == 0)
			done_add(&s->done, m->segment, m->id,
			    done_recipient(recipient_address(m->rcpts[i])));
		m->rcpts[i]->flags |= RCPT_CLOSED;
	}
	s->open_recipients += open;
	s->open_recipients -= m->nopen;
	m->nopen = open;
}

/*
 * In a rebuild: results of an expansion that only the lost index had. The
 * rest of it is not known, so the message is expanded again; what is done
 * stays done.
 */
static void
rows_without_expansion(struct store *s, struct message *m, struct cursor *c, uint64_t n)
{
	struct recipient *r;
	size_t len;

	while (n-- > 0) {
		take_n(c, 4);
		len = (size_t)take_n(c, 4);
		if (c->bad || len > c->rest.len)
			return;
		if (recipient_row_get(view_head(c->rest, len), 0, s->routes, &r) == 0) {
			if (recipient_done(r)) {
				done_add(&s->done, m->segment, m->id,
				    done_recipient(recipient_address(r)));
				m->flags |= MESSAGE_PARTIAL;
			}
			recipient_free(r, s->routes);
		}
		c->rest = view_from(c->rest, len);
	}
	store_changed(s, m);
}

static void
replay_rows(struct store *s, struct cursor *c)
{
	struct message *m = store_message(s, take_n(c, 8));
	unsigned flags = (unsigned)take_n(c, 4), marks;
	uint64_t n = take_n(c, 4);
	uint32_t index, i;
	size_t len;

	if (m == NULL || c->bad)
		return;
	if ((m->flags & MESSAGE_EXPANDED) == 0 && (flags & JOURNAL_ROWS_WHOLE) == 0) {
		rows_without_expansion(s, m, c, n);
		return;
	}
	if (m->rcpts == NULL) {
		m->rcpts = xcalloc(m->nrcpts, sizeof(*m->rcpts));
	} else if ((m->flags & MESSAGE_EXPANDED) == 0) {
		for (i = 0; i < m->nrcpts; i++) {
			recipient_free(m->rcpts[i], s->routes);
			m->rcpts[i] = NULL;
		}
	}
	while (n-- > 0) {
		index = (uint32_t)take_n(c, 4);
		len = (size_t)take_n(c, 4);
		if (c->bad || len > c->rest.len)
			break;
		set_row(s, m, index, view_head(c->rest, len));
		c->rest = view_from(c->rest, len);
	}
	marks = flags >> JOURNAL_ROWS_MARKS_SHIFT & JOURNAL_ROWS_MARKS_MASK;
	if (marks != 0)
		message_set_marks(m, marks);
	m->flags = (uint16_t)((m->flags & ~(unsigned)MESSAGE_DISK_FLAGS) |
	    (flags & MESSAGE_DISK_FLAGS) | MESSAGE_EXPANDED | MESSAGE_LOGGED);
	count_open(s, m);
	store_changed(s, m);
}

static void
replay_message(struct store *s, struct cursor *c)
{
	uint64_t id = take_n(c, 8);
	struct message *m = store_message(s, id), *row;
	unsigned mask;

	if (m == NULL || message_row_get(c->rest, id, s->senders, &row) != 0)
		return;
	/* The expansion is what the rows say. */
	mask = MESSAGE_DISK_FLAGS & ~(unsigned)(MESSAGE_EXPANDED | MESSAGE_PARTIAL);
	m->flags = (uint16_t)((m->flags & ~mask) | (row->flags & mask));
	m->priority = row->priority;
	m->due_ms = row->due_ms;
	m->attempts = row->attempts;
	m->until_s = row->until_s;
	if (message_marks(row) != 0)
		message_set_marks(m, message_marks(row));
	xfree(m->hold);
	m->hold = row->hold;
	row->hold = NULL;
	row->nrcpts = 0;
	done_add(&s->done, m->segment, id,
	    (m->flags & MESSAGE_HELD) != 0 ? DONE_HELD : DONE_RELEASED);
	message_free(row, s->senders, s->routes);
	store_changed(s, m);
}

static void
replay_relocated(struct store *s, struct cursor *c)
{
	struct message *m = store_message(s, take_n(c, 8));
	uint64_t segment = take_n(c, 8), offset = take_n(c, 8), content = take_n(c, 8);

	if (m != NULL && !c->bad && m->segment != segment &&
	    segments_get(&s->segments, segment) != NULL)
		store_relocate(s, m, segment, offset, content);
}

static void
replay_event(void *arg, enum journal_event type, struct view payload)
{
	struct recovery *rec = arg;
	struct store *s = rec->store;
	struct cursor c = { payload, false };
	struct message *m;
	bool on;
	unsigned kind;

	rec->events++;
	switch (type) {
	case JOURNAL_ROWS:
		replay_rows(s, &c);
		break;
	case JOURNAL_MESSAGE:
		replay_message(s, &c);
		break;
	case JOURNAL_FINISHED:
		if ((m = store_message(s, take_n(&c, 8))) != NULL)
			store_finish(s, m);
		break;
	case JOURNAL_RELOCATED:
		replay_relocated(s, &c);
		break;
	case JOURNAL_SCOPE:
		on = take_n(&c, 1) != 0;
		kind = (unsigned)take_n(&c, 1);
		if (!c.bad)
			s->ops->scope(s->arg, on, kind, c.rest);
		break;
	case JOURNAL_DSN_TAKEN:
		map_put_u64(rec->taken, take_n(&c, 8), rec);
		break;
	}
}

static int
number_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t *
journal_files(struct store *s, size_t *n_r)
{
	int fd = dup(s->journal_dirfd);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	uint64_t *v = NULL, number;
	struct dirent *e;
	size_t n = 0;

	if (d == NULL)
		log_fatal("queue/journal: cannot be read: %m");
	while ((e = readdir(d)) != NULL) {
		if (strlen(e->d_name) != 16 ||
		    num_parse_u64(view_str(e->d_name), 1, UINT64_MAX, &number) != 0)
			continue;
		v = xreallocarray(v, n + 1, sizeof(*v));
		v[n++] = number;
	}
	closedir(d);
	if (n > 0)
		qsort(v, n, sizeof(*v), number_cmp);
	*n_r = n;
	return v;
}

static void
replay_file(struct recovery *rec, uint64_t number, bool last)
{
	char name[JOURNAL_NAME_MAX];
	struct buf b;
	uint64_t good = 0;
	int rc;

	journal_name(number, name);
	buf_init(&b, JOURNAL_FILE_MAX);
	rc = fd_read_file(rec->store->journal_dirfd, name, &b);
	if (rc != 0)
		log_fatal("queue/journal/%s: cannot be read: %m", name);
	rc = journal_walk(buf_view(&b), number, replay_event, rec, &good);
	if (rc == PK_EFORMAT && b.len > 0)
		log_error("queue/journal/%s: not a journal, passed over", name);
	else if (rc == PK_EEND && !last)
		log_error("queue/journal/%s: damaged at offset %" PRIu64, name, good);
	buf_fini(&b);
}

uint64_t
replay_journals(struct recovery *rec)
{
	struct store *s = rec->store;
	size_t n, i;
	uint64_t *v = journal_files(s, &n), next = rec->journal;

	s->oldest_journal = n > 0 ? v[0] : next;
	for (i = 0; i < n; i++) {
		if (v[i] >= rec->journal)
			replay_file(rec, v[i], i + 1 == n);
		if (v[i] >= next)
			next = v[i] + 1;
		if (s->ndirty >= RECOVER_BATCH)
			checkpoint_run(s, rec->journal);
	}
	xfree(v);
	return next > 0 ? next : 1;
}
