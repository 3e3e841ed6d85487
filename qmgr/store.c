/* SPDX-License-Identifier: ISC */
/*
 * store.c: messages in memory, and what is said about them to the journal.
 *
 * Run by qmgr. A message lives here from intake until it is finished or idle
 * long enough to leave memory; the index then holds it (checkpoint.c), and
 * the record in its segment always does. Whatever is loaded comes from files
 * and is checked; a message that does not pass costs only itself.
 */
#include "qmgr/store.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "qmgr/checkpoint.h"
#include "qmgr/done.h"
#include "queue/record.h"
#include "sys/stats.h"

/* A record's ARRIVAL_MS is a writer's wall clock; one further off is not believed. */
#define ARRIVAL_TRUST_MS	3600000

uint64_t
store_now_ms(const struct store *s)
{
	return s->wall_anchor_ms + (clock_mono_ms() - s->mono_anchor_ms);
}

uint64_t
store_release_ms(const struct store *s, const struct message *m)
{
	int64_t release = (int64_t)m->until_s * 1000 - s->skew_ms;

	return m->until_s == 0 || release < 1 ? 0 : (uint64_t)release;
}

/* ---- totals ---- */

void
store_recount(struct store *s, struct message *m)
{
	unsigned now = (m->flags & MESSAGE_FINISHED) != 0 ? 0 : (unsigned)message_class(m) + 1;

	if (now == m->counted)
		return;
	if (m->counted != 0)
		s->counts[m->counted - 1]--;
	if (now != 0)
		s->counts[now - 1]++;
	m->counted = (uint8_t)now;
}

/* ---- finding ---- */

struct message *
store_peek(const struct store *s, uint64_t id)
{
	struct message *m = map_get_u64(s->messages, id);

	return m != NULL && (m->flags & MESSAGE_FINISHED) == 0 ? m : NULL;
}

struct load {
	struct store	*store;
	struct message	*m;
	char		 prefix[8];
	int		 error;
};

static bool
load_row(void *arg, struct view key, struct view value)
{
	struct load *l = arg;
	struct recipient *r;
	uint32_t index;

	if (key.len != 12 || memcmp(key.p, l->prefix, 8) != 0)
		return false;
	memcpy(&index, key.p + 8, sizeof(index));
	index = __builtin_bswap32(index);
	if (index >= l->m->nrcpts ||
	    recipient_row_get(value, index, l->store->routes, &r) != 0) {
		l->error = PK_EFORMAT;
		return false;
	}
	r->flags |= RCPT_INDEXED;
	l->m->rcpts[index] = r;
	return true;
}

static int
load_recipients(struct store *s, struct message *m)
{
	struct load l = { .store = s, .m = m };

	if (m->nrcpts > RECORD_ENVELOPE_MAX / 4)
		return PK_EFORMAT;
	m->rcpts = xcalloc(m->nrcpts, sizeof(*m->rcpts));
	index_be64(l.prefix, m->id);
	index_walk(s->index, INDEX_RECIPIENT, view_of(l.prefix, sizeof(l.prefix)), load_row, &l);
	return l.error;
}

static struct message *
load(struct store *s, uint64_t id)
{
	const struct segment *seg;
	struct message *m;
	struct view row;
	char key[8];
	int rc;

	index_be64(key, id);
	rc = index_get(s->index, INDEX_MESSAGE, view_of(key, sizeof(key)), &row);
	if (rc == 0)
		rc = message_row_get(row, id, s->senders, &m);
	if (rc != 0) {
		if (rc != PK_ENOENT)
			log_error("queue/index: message %010llX: %s", (unsigned long long)id,
			    pk_strerror(rc));
		index_rest(s->index);
		return NULL;
	}
	m->flags |= MESSAGE_INDEXED;
	/* A row of before this was kept. */
	if (m->origin == MESSAGE_ORIGIN_UNKNOWN &&
	    (seg = segments_get(&s->segments, m->segment)) != NULL)
		m->origin = (uint8_t)message_origin_of(seg->role);
	if ((m->flags & MESSAGE_EXPANDED) != 0) {
		m->flags |= MESSAGE_LOGGED;
		rc = load_recipients(s, m);
	}
	index_rest(s->index);
	if (rc != 0) {
		log_error("queue/index: recipients of %010llX are damaged; `queue rebuild` "
		    "makes the index anew", (unsigned long long)id);
		message_free(m, s->senders, s->routes);
		return NULL;
	}
	m->counted = (uint8_t)(message_class(m) + 1);
	map_put_u64(s->messages, id, m);
	return m;
}

struct message *
store_message(struct store *s, uint64_t id)
{
	struct message *m = map_get_u64(s->messages, id);

	if (m != NULL)
		return (m->flags & MESSAGE_FINISHED) == 0 ? m : NULL;
	return load(s, id);
}

/* ---- intake ---- */

static void
mark_dirty(struct store *s, struct message *m)
{
	if ((m->flags & MESSAGE_DIRTY) != 0)
		return;
	m->flags |= MESSAGE_DIRTY;
	TAILQ_INSERT_TAIL(&s->dirty, m, dirty);
	s->ndirty++;
}

static uint64_t
believed_arrival(const struct store *s, uint64_t arrival_ms)
{
	uint64_t now = store_now_ms(s);

	/* At recovery a message may be days old. */
	if (arrival_ms > now || (!s->recovering && now - arrival_ms > ARRIVAL_TRUST_MS))
		return now;
	return arrival_ms;
}

/* Not a moment early; rows have room for the year 2106. */
static uint32_t
until_seconds(uint64_t ms)
{
	uint64_t s = ms / 1000 + (ms % 1000 != 0);

	return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

static struct message *
message_from_record(struct store *s, const struct segment *seg, const struct segment_record *r,
    const struct record_envelope *e, bool from_bounce)
{
	struct message *m = XNEW(struct message);

	heap_node_init(&m->due);
	m->id = r->h.message;
	m->segment = seg->header.number;
	m->offset = r->offset;
	m->content_offset = r->h.content_offset;
	m->content_bytes = r->h.content_bytes;
	m->envelope_bytes = r->h.envelope_bytes;
	m->header_bytes = r->h.header_bytes;
	m->arrival_ms = believed_arrival(s, e->arrival_ms);
	m->origin = (uint8_t)message_origin_of(seg->role);
	m->login = e->login.len > 0 ? MESSAGE_LOGIN_UNCHECKED : MESSAGE_LOGIN_NONE;
	if (e->hold_until_ms > e->arrival_ms)
		m->until_s = until_seconds(e->hold_until_ms);
	m->due_ms = store_release_ms(s, m) > m->arrival_ms ? store_release_ms(s, m) : m->arrival_ms;
	m->nrcpts = m->nopen = e->nrecipients;
	m->priority = (uint8_t)e->priority;
	m->sender = sender_intern(s->senders, e->sender);
	if (e->has_hold) {
		m->flags |= MESSAGE_HELD;
		m->hold = view_dup(view_head(e->hold, 500));
	}
	if (from_bounce && e->dsn_of != 0) {
		m->flags |= MESSAGE_IS_DSN;
		m->dsn_of = e->dsn_of;
		m->dsn_kind = (uint8_t)e->dsn_kind;
	}
	return m;
}

int
store_take_in(struct store *s, struct segment *seg, const struct segment_record *r,
    bool from_bounce, struct message **m_r)
{
	struct record_envelope e;
	struct message *m;
	int rc;

	if ((rc = record_envelope_read(r->envelope, &e)) != 0)
		return rc;
	if (e.nrecipients > MESSAGE_RECIPIENTS_MAX)
		return PK_EFORMAT;
	if (map_get_u64(s->messages, r->h.message) != NULL)
		return PK_EEXIST;
	m = message_from_record(s, seg, r, &e, from_bounce);
	map_put_u64(s->messages, m->id, m);
	s->open_recipients += m->nopen;
	store_recount(s, m);
	seg->live++;
	seg->live_bytes += message_record_bytes(m);
	mark_dirty(s, m);
	stats_add(STATS_C_queue_received, 1);
	*m_r = m;
	return 0;
}

int
store_record(struct store *s, const struct message *m, struct segment_record *r_r)
{
	struct segment *seg = segments_get(&s->segments, m->segment);
	uint64_t end;
	int fd;

	if (seg == NULL)
		return PK_ENOENT;
	if ((fd = segments_fd(&s->segments, seg)) == -1)
		return errno == ENOENT ? PK_ENOENT : PK_EIO;
	/* No further than this record: deferred mail is read here and there. */
	end = m->offset + message_record_bytes(m);
	if (seg->header.kind == SEGMENT_DEDICATED)
		end = ((m->offset + sizeof(struct record_header) + m->envelope_bytes +
		    m->header_bytes + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1)) +
		    sizeof(struct record_trailer);
	return segment_reader_record(&s->segments.window, fd, &seg->header, m->offset, end, r_r);
}

int
store_recipients(struct store *s, struct message *m)
{
	struct segment_record rec;
	struct record_envelope e;
	struct record_recipient r;
	struct view rest;
	uint32_t n = 0;
	int rc;

	if (m->rcpts != NULL)
		return 0;
	if ((rc = store_record(s, m, &rec)) != 0 ||
	    (rc = record_envelope_read(rec.envelope, &e)) != 0)
		return rc;
	/* A checkpoint amid an expansion counted members that nobody knows any more. */
	if (e.nrecipients != m->nrcpts && (m->flags & MESSAGE_EXPANDED) != 0)
		return PK_EFORMAT;
	s->open_recipients += e.nrecipients - (uint64_t)m->nopen;
	m->nrcpts = m->nopen = e.nrecipients;
	m->rcpts = xcalloc(m->nrcpts, sizeof(*m->rcpts));
	rest = e.recipients;
	while (n < m->nrcpts && record_recipient_next(&rest, &r)) {
		m->rcpts[n] = recipient_new(n, r.address, r.orcpt, VIEW(""), VIEW(""), r.notify);
		m->rcpts[n]->flags = RCPT_DIRTY;
		n++;
	}
	return 0;
}

void
store_recipient_add(struct store *s, struct message *m, struct recipient *r)
{
	m->rcpts = xreallocarray(m->rcpts, (size_t)m->nrcpts + 1, sizeof(*m->rcpts));
	r->index = m->nrcpts;
	r->flags |= RCPT_DIRTY;
	m->rcpts[m->nrcpts++] = r;
	m->nopen++;
	s->open_recipients++;
}

/* ---- saying what happened ---- */

static void
close_done(struct store *s, struct message *m, struct recipient *r)
{
	if (!recipient_done(r) || (r->flags & RCPT_CLOSED) != 0)
		return;
	r->flags |= RCPT_CLOSED;
	m->nopen--;
	s->open_recipients--;
	/* The last one is said by the message's own end. */
	if (m->nopen > 0)
		done_add(&s->done, m->segment, m->id, done_recipient(recipient_address(r)));
}

void
store_touch(struct store *s, struct message *m, struct recipient *r)
{
	r->flags |= RCPT_DIRTY;
	close_done(s, m, r);
	store_recount(s, m);
	mark_dirty(s, m);
}

static void
put_row(struct buf *b, const struct recipient *r)
{
	uint32_t head[2] = { r->index, 0 };
	size_t at = b->len;

	buf_put(b, head, sizeof(head));
	recipient_row_put(b, r);
	head[1] = (uint32_t)(b->len - at - sizeof(head));
	if (buf_error(b) == 0)
		memcpy(buf_data(b) + at, head, sizeof(head));
}

static uint32_t
rows_flags(const struct message *m)
{
	return (m->flags & MESSAGE_DISK_FLAGS) | message_marks(m) << JOURNAL_ROWS_MARKS_SHIFT;
}

/* The whole list, if no file has it yet: an expansion is stored with its first result. */
static void
log_all_rows(struct store *s, struct message *m)
{
	uint32_t head[2] = { rows_flags(m) | JOURNAL_ROWS_WHOLE, 0 }, i;
	struct buf *b = journal_begin(s->journal, JOURNAL_ROWS);

	for (i = 0; i < m->nrcpts; i++)
		head[1] += m->rcpts[i] != NULL;
	buf_put(b, &m->id, sizeof(m->id));
	buf_put(b, head, sizeof(head));
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL)
			put_row(b, m->rcpts[i]);
	m->logged_lsn = journal_end(s->journal);
	m->flags |= MESSAGE_LOGGED;
	/* The next checkpoint drops this file: it has to take over what it says. */
	mark_dirty(s, m);
}

void
store_log_rows(struct store *s, struct message *m, struct recipient *const *rs, size_t n)
{
	uint32_t head[2] = { rows_flags(m), (uint32_t)n };
	struct buf *b;
	size_t i;

	for (i = 0; i < n; i++)
		store_touch(s, m, rs[i]);
	/* The last result of a message: store_settle() says it with one short event. */
	if (m->nopen == 0)
		return;
	if ((m->flags & MESSAGE_LOGGED) == 0) {
		log_all_rows(s, m);
		return;
	}
	b = journal_begin(s->journal, JOURNAL_ROWS);
	buf_put(b, &m->id, sizeof(m->id));
	buf_put(b, head, sizeof(head));
	for (i = 0; i < n; i++)
		put_row(b, rs[i]);
	m->logged_lsn = journal_end(s->journal);
}

bool
store_rows_durable(struct store *s, struct message *m)
{
	if ((m->flags & MESSAGE_LOGGED) == 0)
		log_all_rows(s, m);
	if (m->logged_lsn <= journal_synced(s->journal))
		return true;
	journal_hurry(s->journal);
	return false;
}

void
store_log_message(struct store *s, struct message *m)
{
	struct buf *b = journal_begin(s->journal, JOURNAL_MESSAGE);

	buf_put(b, &m->id, sizeof(m->id));
	message_row_put(b, m);
	journal_end(s->journal);
	if ((m->flags & MESSAGE_HELD) != 0 || m->counted == MESSAGE_CLASS_HOLD + 1)
		done_add(&s->done, m->segment, m->id,
		    (m->flags & MESSAGE_HELD) != 0 ? DONE_HELD : DONE_RELEASED);
	store_recount(s, m);
	mark_dirty(s, m);
}

void
store_log_dsn(struct store *s, uint64_t id)
{
	struct buf *b = journal_begin(s->journal, JOURNAL_DSN_TAKEN);

	buf_put(b, &id, sizeof(id));
	journal_end(s->journal);
}

void
store_log_scope(struct store *s, bool on, unsigned kind, struct view name)
{
	struct buf *b = journal_begin(s->journal, JOURNAL_SCOPE);

	buf_put_char(b, on ? 1 : 0);
	buf_put_char(b, (char)kind);
	buf_put_view(b, name);
	journal_end(s->journal);
	journal_hurry(s->journal);
	s->checkpoint_ms = 0;
}

/* One message less in its segment. */
static void
leave_segment(struct store *s, const struct message *m)
{
	struct segment *seg = segments_get(&s->segments, m->segment);

	if (seg == NULL)
		return;
	if (seg->live > 0)
		seg->live--;
	seg->live_bytes -= message_record_bytes(m) < seg->live_bytes ?
	    message_record_bytes(m) : seg->live_bytes;
	segments_changed(&s->segments, seg);
}

void
store_relocate(struct store *s, struct message *m, uint64_t segment, uint64_t offset,
    uint64_t content_offset)
{
	uint64_t v[4] = { m->id, segment, offset, content_offset };
	struct segment *seg = segments_get(&s->segments, segment);
	uint32_t i;

	if (!s->recovering) {
		buf_put(journal_begin(s->journal, JOURNAL_RELOCATED), v, sizeof(v));
		journal_end(s->journal);
	}
	leave_segment(s, m);
	/* What is done of it must be known beside its new place, and who brought it. */
	if ((m->flags & MESSAGE_HELD) != 0)
		done_add(&s->done, segment, m->id, DONE_HELD);
	done_add(&s->done, segment, m->id, DONE_MARKS + message_marks(m));
	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL && (m->rcpts[i]->flags & RCPT_CLOSED) != 0)
			done_add(&s->done, segment, m->id,
			    done_recipient(recipient_address(m->rcpts[i])));
	m->segment = segment;
	m->offset = offset;
	m->content_offset = content_offset;
	if (seg != NULL) {
		seg->live++;
		seg->live_bytes += message_record_bytes(m);
		segments_changed(&s->segments, seg);
	}
	mark_dirty(s, m);
}

/* ---- after a rebuild ---- */

struct apply_done {
	struct store	*s;
	struct message	*m;
};

static void
apply_one(void *arg, uint64_t message, uint64_t what)
{
	struct apply_done *a = arg;
	struct recipient *r;
	uint32_t i;

	if (message != a->m->id || what < DONE_RECIPIENT_LEAST)
		return;
	for (i = 0; i < a->m->nrcpts; i++) {
		r = a->m->rcpts[i];
		if (r == NULL || r->state != RCPT_WAIT ||
		    done_recipient(recipient_address(r)) != what)
			continue;
		r->state = RCPT_SENT;
		recipient_set_status(r, VIEW("2.0.0"), VIEW("none"),
		    VIEW("was done before the index was rebuilt"));
		store_touch(a->s, a->m, r);
	}
}

void
store_apply_done(struct store *s, struct message *m)
{
	struct apply_done a = { s, m };

	m->flags &= (uint16_t)~MESSAGE_PARTIAL;
	if (m->rcpts != NULL)
		done_read(s->segments.dirfd, m->segment, apply_one, &a);
}

/* ---- the end ---- */

static void
forget(struct store *s, struct message *m)
{
	heap_remove(&s->due, &m->due);
	if ((m->flags & MESSAGE_DIRTY) != 0) {
		TAILQ_REMOVE(&s->dirty, m, dirty);
		s->ndirty--;
	}
	map_del_u64(s->messages, m->id);
	message_free(m, s->senders, s->routes);
}

void
store_forget(struct store *s, struct message *m)
{
	forget(s, m);
}

void
store_changed(struct store *s, struct message *m)
{
	store_recount(s, m);
	mark_dirty(s, m);
}

static void
say_removed(void *arg, uint64_t id)
{
	char text[RECORD_ID_TEXT_MAX];

	(void)arg;
	record_id_format(id, text);
	log_info("%s: removed", text);
}

void
store_finish(struct store *s, struct message *m)
{
	uint32_t i;

	if (!s->recovering) {
		buf_put(journal_begin(s->journal, JOURNAL_FINISHED), &m->id, sizeof(m->id));
		journal_end(s->journal);
		store_when_durable(s, say_removed, NULL, m->id);
		stats_add(STATS_C_queue_removed, 1);
	}
	s->ops->gone(s->arg, m);
	done_add(&s->done, m->segment, m->id, DONE_FINISHED);
	leave_segment(s, m);
	s->open_recipients -= m->nopen;
	m->nopen = 0;
	m->flags |= MESSAGE_FINISHED;
	store_recount(s, m);
	if ((m->flags & (MESSAGE_INDEXED | MESSAGE_COMMITTING)) == 0) {
		forget(s, m);
		return;
	}
	/* Stays as a mark until its rows are gone; nothing else is needed of it. */
	heap_remove(&s->due, &m->due);
	if (m->rcpts != NULL)
		for (i = 0; i < m->nrcpts; i++)
			recipient_free(m->rcpts[i], s->routes);
	xfree(m->rcpts);
	m->rcpts = NULL;
	mark_dirty(s, m);
}

uint64_t
store_message_due(const struct store *s, const struct message *m)
{
	uint64_t due = UINT64_MAX, t;
	const struct recipient *r;
	uint32_t i;

	(void)s;
	if ((m->flags & (MESSAGE_HELD | MESSAGE_DAMAGED | MESSAGE_FINISHED)) != 0)
		return 0;
	if ((m->flags & MESSAGE_KEPT) != 0 || (m->flags & MESSAGE_EXPANDED) == 0 ||
	    m->rcpts == NULL)
		return m->due_ms > 0 ? m->due_ms : 1;
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || recipient_done(r))
			continue;
		t = r->state >= RCPT_SENT ? m->report_ms : r->due_ms;
		if (r->report != 0 && m->report_ms < t)
			t = m->report_ms;
		if (t < due)
			due = t;
	}
	return due == UINT64_MAX || due == 0 ? 1 : due;
}

uint64_t
store_message_route(const struct message *m)
{
	const struct route *route = NULL;
	const struct recipient *r;
	uint32_t i;

	if ((m->flags & MESSAGE_EXPANDED) == 0 || m->rcpts == NULL)
		return 0;
	for (i = 0; i < m->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || recipient_done(r))
			continue;
		if (r->route == NULL || r->state >= RCPT_SENT ||
		    (route != NULL && route != r->route))
			return 0;
		route = r->route;
	}
	return route != NULL ? route->hash : 0;
}

static void	arm_due_timer(struct store *s);

/* True if m may leave memory: the index has it as it is. */
static bool
evictable(const struct store *s, const struct message *m, uint64_t due)
{
	if ((m->flags & (MESSAGE_DIRTY | MESSAGE_COMMITTING)) != 0 ||
	    (m->flags & MESSAGE_INDEXED) == 0)
		return false;
	return due == 0 || (m->flags & MESSAGE_ACTIVE) == 0 ||
	    due > store_now_ms(s) + s->evict_after_ms;
}

void
store_settle(struct store *s, struct message *m)
{
	uint64_t due;

	if ((m->flags & MESSAGE_FINISHED) != 0) {
		if ((m->flags & (MESSAGE_INDEXED | MESSAGE_COMMITTING | MESSAGE_DIRTY)) == 0)
			forget(s, m);
		return;
	}
	if (m->nbusy > 0 || m->njobs > 0)
		return;
	if (s->recovering) {
		if (evictable(s, m, 0))
			forget(s, m);
		return;
	}
	if (m->nopen == 0 && (m->flags & MESSAGE_KEPT) == 0) {
		if (!s->ops->keep(s->arg, m)) {
			store_finish(s, m);
			return;
		}
		m->flags |= MESSAGE_KEPT;
		log_all_rows(s, m);
		store_log_message(s, m);
	}
	due = store_message_due(s, m);
	if (evictable(s, m, due)) {
		s->ops->gone(s->arg, m);
		forget(s, m);
		return;
	}
	/* Not active and in the index soon: the feeder finds it there. */
	if (due != 0 && (m->flags & MESSAGE_ACTIVE) != 0) {
		heap_update(&s->due, &m->due, due);
		if (heap_min(&s->due) == &m->due)
			arm_due_timer(s);
	} else {
		heap_remove(&s->due, &m->due);
	}
}

/* ---- time ---- */

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct store *s = arg;
	struct heap_node *n;
	struct message *m;
	uint64_t now = store_now_ms(s);
	unsigned budget = 2000;

	(void)fd;
	(void)what;
	while (budget-- > 0 && (n = heap_min(&s->due)) != NULL && n->key <= now) {
		heap_remove(&s->due, n);
		m = HEAP_OWNER(n, struct message, due);
		s->ops->due(s->arg, m);
	}
	arm_due_timer(s);
}

static void
arm_due_timer(struct store *s)
{
	struct heap_node *n = heap_min(&s->due);
	uint64_t now = store_now_ms(s), wait;
	struct timeval tv;

	if (n == NULL || s->loop == NULL)
		return;
	if (s->due_timer == NULL)
		s->due_timer = evtimer_new(loop_base(s->loop), on_due, s);
	wait = n->key > now ? n->key - now : 0;
	if (wait > 60000)
		wait = 60000;
	tv = (struct timeval){ (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };
	event_add(s->due_timer, &tv);
}

void
store_wake(struct store *s, struct message *m, uint64_t when_ms)
{
	heap_update(&s->due, &m->due, when_ms);
	arm_due_timer(s);
}

/* ---- what waits for the disk ---- */

void
store_when_durable(struct store *s, void (*fn)(void *arg, uint64_t id), void *arg, uint64_t id)
{
	struct store_action *v;
	size_t i, cap;

	if (s->nactions == s->actions_cap) {
		cap = s->actions_cap > 0 ? s->actions_cap * 2 : 1024;
		v = xreallocarray(NULL, cap, sizeof(*v));
		for (i = 0; i < s->nactions; i++)
			v[i] = s->actions[(s->actions_head + i) % s->actions_cap];
		xfree(s->actions);
		s->actions = v;
		s->actions_cap = cap;
		s->actions_head = 0;
	}
	s->actions[(s->actions_head + s->nactions++) % s->actions_cap] =
	    (struct store_action){ journal_lsn(s->journal), fn, arg, id };
}

void
store_synced(void *arg, uint64_t lsn)
{
	struct store *s = arg;
	struct store_action a;

	while (s->nactions > 0 && s->actions[s->actions_head].lsn <= lsn) {
		a = s->actions[s->actions_head];
		s->actions_head = (s->actions_head + 1) % s->actions_cap;
		s->nactions--;
		a.fn(a.arg, a.id);
	}
}
