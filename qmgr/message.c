/* SPDX-License-Identifier: ISC */
/*
 * message.c: messages and recipients in memory and as rows.
 *
 * Run by qmgr. Rows come back from files that a disk may have damaged: every
 * length is checked, and a bad row is an error of that message alone.
 */
#include "qmgr/message.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "base/mem.h"
#include "queue/record.h"

#define ROW_VERSION	1

struct recipient_row {
	uint64_t	due_ms, last_ms, quota;
	uint16_t	address_len, orcpt_len, orig_len, path_len;
	uint16_t	dsn_len, relay_len, reply_len, transport_len, nexthop_len;
	uint16_t	attempts;
	uint8_t		version, state, notify, flags, report, reported, action, zero[5];
};
_Static_assert(sizeof(struct recipient_row) == 56, "no padding in a row");

struct message_row {
	uint64_t	segment, offset, content_offset, content_bytes;
	uint64_t	arrival_ms, dsn_of, due_ms, indexed_due;
	uint32_t	envelope_bytes, header_bytes, nrcpts, nopen;
	uint16_t	attempts, flags, sender_len, hold_len;
	uint8_t		version, priority, dsn_kind, marks;
	uint32_t	until_s;	/* with marks: 0 in rows of before they were kept */
};
_Static_assert(sizeof(struct message_row) == 96, "no padding in a row");

/* ---- shared strings ---- */

struct sender *
sender_intern(struct map *senders, struct view text)
{
	struct sender *s = map_get(senders, text);

	if (s == NULL) {
		s = xmalloc(sizeof(*s) + text.len + 1);
		s->refs = 0;
		s->len = (uint32_t)text.len;
		if (text.len > 0)
			memcpy(s->text, text.p, text.len);
		s->text[text.len] = '\0';
		map_put(senders, text, s);
	}
	s->refs++;
	return s;
}

void
sender_release(struct map *senders, struct sender *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	map_del(senders, view_of(s->text, s->len));
	xfree(s);
}

uint64_t
route_hash(struct view transport, struct view nexthop)
{
	uint64_t h = XXH3_64bits(transport.p, transport.len);

	h = XXH3_64bits_withSeed(nexthop.p, nexthop.len, h);
	return h != 0 ? h : 1;	/* 0 says: several */
}

struct route *
route_intern(struct map *routes, struct view transport, struct view nexthop)
{
	char key[2 * (RECORD_ADDRESS_MAX + 1)];
	struct route *r;
	size_t len = transport.len + 1 + nexthop.len;

	if (transport.len > RECORD_ADDRESS_MAX || nexthop.len > RECORD_ADDRESS_MAX)
		return NULL;
	memcpy(key, transport.p, transport.len);
	key[transport.len] = '\0';
	if (nexthop.len > 0)
		memcpy(key + transport.len + 1, nexthop.p, nexthop.len);
	r = map_get(routes, view_of(key, len));
	if (r == NULL) {
		r = xcalloc(1, sizeof(*r) + len + 1);
		r->transport_len = (uint16_t)transport.len;
		r->nexthop_len = (uint16_t)nexthop.len;
		r->hash = route_hash(transport, nexthop);
		memcpy(r->text, key, len);
		map_put(routes, view_of(key, len), r);
	}
	r->refs++;
	return r;
}

struct route *
route_ref(struct route *r)
{
	if (r != NULL)
		r->refs++;
	return r;
}

void
route_release(struct map *routes, struct route *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	map_del(routes, view_of(r->text, (size_t)r->transport_len + 1 + r->nexthop_len));
	xfree(r);
}

/* ---- recipients ---- */

static char *
put_text(char *p, struct view v)
{
	if (v.len > 0)
		memcpy(p, v.p, v.len);
	p[v.len] = '\0';
	return p + v.len + 1;
}

/* What a list costs is in its recipients: see recipient_count(). */
static size_t nrecipients;

struct recipient *
recipient_new(uint32_t index, struct view address, struct view orcpt, struct view orig,
    struct view path, unsigned notify)
{
	struct recipient *r = XNEW(struct recipient);
	char *p;

	nrecipients++;
	r->index = index;
	r->notify = (uint8_t)notify;
	r->address_len = (uint16_t)address.len;
	r->orcpt_len = (uint16_t)orcpt.len;
	r->orig_len = (uint16_t)orig.len;
	r->path_len = (uint16_t)path.len;
	r->text = xmalloc(address.len + orcpt.len + orig.len + path.len + 4);
	p = put_text(r->text, address);
	p = put_text(p, orcpt);
	p = put_text(p, orig);
	put_text(p, path);
	return r;
}

void
recipient_free(struct recipient *r, struct map *routes)
{
	if (r == NULL)
		return;
	nrecipients--;
	route_release(routes, r->route);
	xfree(r->text);
	xfree(r->status);
	xfree(r);
}

size_t
recipient_count(void)
{
	return nrecipients;
}

/* Remote replies are kept up to this; they go into rows, logs and reports. */
#define REPLY_MAX 1000

void
recipient_set_status(struct recipient *r, struct view dsn, struct view relay, struct view reply)
{
	char *old = r->status, *p;

	dsn = view_head(dsn, 32);
	relay = view_head(relay, 300);
	reply = view_head(reply, REPLY_MAX);
	r->status = xmalloc(dsn.len + relay.len + reply.len + 3);
	p = put_text(r->status, dsn);
	p = put_text(p, relay);
	put_text(p, reply);
	r->dsn_len = (uint16_t)dsn.len;
	r->relay_len = (uint16_t)relay.len;
	r->reply_len = (uint16_t)reply.len;
	xfree(old);
}

struct view
recipient_address(const struct recipient *r)
{
	return view_of(r->text, r->address_len);
}

struct view
recipient_orcpt(const struct recipient *r)
{
	return view_of(r->text + r->address_len + 1, r->orcpt_len);
}

struct view
recipient_orig(const struct recipient *r)
{
	return view_of(r->text + r->address_len + r->orcpt_len + 2, r->orig_len);
}

struct view
recipient_path(const struct recipient *r)
{
	return view_of(r->text + r->address_len + r->orcpt_len + r->orig_len + 3, r->path_len);
}

struct view
recipient_dsn(const struct recipient *r)
{
	return r->status != NULL ? view_of(r->status, r->dsn_len) : VIEW("");
}

struct view
recipient_relay(const struct recipient *r)
{
	return r->status != NULL ? view_of(r->status + r->dsn_len + 1, r->relay_len) : VIEW("");
}

struct view
recipient_reply(const struct recipient *r)
{
	return r->status != NULL ?
	    view_of(r->status + r->dsn_len + r->relay_len + 2, r->reply_len) : VIEW("");
}

struct view
address_domain(struct view address)
{
	ptrdiff_t at = view_rfind(address, '@');

	return at < 0 ? VIEW("") : view_from(address, (size_t)at + 1);
}

/* ---- rows ---- */

void
recipient_row_put(struct buf *b, const struct recipient *r)
{
	/* One that is being asked for again is not known. */
	const struct route *route = (r->flags & RCPT_ROUTED) != 0 ? r->route : NULL;
	struct recipient_row row = {
		.due_ms = r->due_ms, .last_ms = r->last_ms, .quota = r->quota,
		.address_len = r->address_len, .orcpt_len = r->orcpt_len,
		.orig_len = r->orig_len, .path_len = r->path_len,
		.dsn_len = r->dsn_len, .relay_len = r->relay_len, .reply_len = r->reply_len,
		.attempts = r->attempts, .version = ROW_VERSION,
		.state = r->state == RCPT_QUEUED || r->state == RCPT_ACTIVE ? RCPT_WAIT : r->state,
		.notify = r->notify, .flags = r->flags & RCPT_DISK_FLAGS,
		.report = r->report, .reported = r->reported, .action = r->action,
	};

	if (route != NULL) {
		row.transport_len = route->transport_len;
		row.nexthop_len = route->nexthop_len;
	}
	buf_put(b, &row, sizeof(row));
	buf_put_view(b, recipient_address(r));
	buf_put_view(b, recipient_orcpt(r));
	buf_put_view(b, recipient_orig(r));
	buf_put_view(b, recipient_path(r));
	buf_put_view(b, recipient_dsn(r));
	buf_put_view(b, recipient_relay(r));
	buf_put_view(b, recipient_reply(r));
	if (route != NULL) {
		buf_put_view(b, route_transport(route));
		buf_put_view(b, route_nexthop(route));
	}
}

static struct view
take(struct view *rest, size_t n)
{
	struct view v = view_head(*rest, n);

	*rest = view_from(*rest, n);
	return v;
}

int
recipient_row_get(struct view v, uint32_t index, struct map *routes, struct recipient **r_r)
{
	struct recipient_row row;
	struct recipient *r;
	struct view address, orcpt, orig, path, dsn, relay, reply, transport;

	if (v.len < sizeof(row))
		return PK_EFORMAT;
	memcpy(&row, v.p, sizeof(row));
	v = view_from(v, sizeof(row));
	if (row.version != ROW_VERSION || row.address_len == 0 || row.state >= RCPT_STATES ||
	    v.len != (size_t)row.address_len + row.orcpt_len + row.orig_len + row.path_len +
	    row.dsn_len + row.relay_len + row.reply_len + row.transport_len + row.nexthop_len ||
	    ((row.flags & RCPT_ROUTED) != 0) != (row.transport_len > 0) ||
	    row.transport_len > RECORD_ADDRESS_MAX || row.nexthop_len > RECORD_ADDRESS_MAX)
		return PK_EFORMAT;
	address = take(&v, row.address_len);
	orcpt = take(&v, row.orcpt_len);
	orig = take(&v, row.orig_len);
	path = take(&v, row.path_len);
	r = recipient_new(index, address, orcpt, orig, path, row.notify);
	dsn = take(&v, row.dsn_len);
	relay = take(&v, row.relay_len);
	reply = take(&v, row.reply_len);
	if (dsn.len + relay.len + reply.len > 0)
		recipient_set_status(r, dsn, relay, reply);
	transport = take(&v, row.transport_len);
	if (transport.len > 0)
		r->route = route_intern(routes, transport, v);
	r->due_ms = row.due_ms;
	r->last_ms = row.last_ms;
	r->quota = row.quota;
	r->attempts = row.attempts;
	r->state = row.state == RCPT_QUEUED || row.state == RCPT_ACTIVE ? RCPT_WAIT : row.state;
	r->flags = row.flags & RCPT_DISK_FLAGS;
	r->report = row.report & 7;
	r->reported = row.reported & 7;
	r->action = row.action;
	*r_r = r;
	return 0;
}

void
message_row_put(struct buf *b, const struct message *m)
{
	struct view hold = view_str(m->hold);
	struct message_row row = {
		.segment = m->segment, .offset = m->offset,
		.content_offset = m->content_offset, .content_bytes = m->content_bytes,
		.arrival_ms = m->arrival_ms, .dsn_of = m->dsn_of, .due_ms = m->due_ms,
		.indexed_due = m->indexed_due, .envelope_bytes = m->envelope_bytes,
		.header_bytes = m->header_bytes, .nrcpts = m->nrcpts, .nopen = m->nopen,
		.attempts = m->attempts, .flags = m->flags & MESSAGE_DISK_FLAGS,
		.sender_len = (uint16_t)m->sender->len, .hold_len = (uint16_t)hold.len,
		.version = ROW_VERSION, .priority = m->priority, .dsn_kind = m->dsn_kind,
		.marks = (uint8_t)message_marks(m), .until_s = m->until_s,
	};

	buf_put(b, &row, sizeof(row));
	buf_put(b, m->sender->text, m->sender->len);
	buf_put_view(b, hold);
}

bool
message_row_waits(struct view v)
{
	struct message_row row;

	if (v.len < sizeof(row))
		return false;
	memcpy(&row, v.p, sizeof(row));
	return row.version == ROW_VERSION && row.until_s != 0 &&
	    (row.flags & MESSAGE_EXPANDED) == 0;
}

int
message_row_get(struct view v, uint64_t id, struct map *senders, struct message **m_r)
{
	struct message_row row;
	struct message *m;

	if (v.len < sizeof(row))
		return PK_EFORMAT;
	memcpy(&row, v.p, sizeof(row));
	v = view_from(v, sizeof(row));
	if (row.version != ROW_VERSION || v.len != (size_t)row.sender_len + row.hold_len ||
	    row.priority > 4 || row.dsn_kind >= RECORD_DSN_KINDS || row.nrcpts == 0 ||
	    row.envelope_bytes > RECORD_ENVELOPE_MAX || row.header_bytes > RECORD_HEADER_MAX)
		return PK_EFORMAT;
	m = XNEW(struct message);
	heap_node_init(&m->due);
	m->id = id;
	m->segment = row.segment;
	m->offset = row.offset;
	m->content_offset = row.content_offset;
	m->content_bytes = row.content_bytes;
	m->arrival_ms = row.arrival_ms;
	m->dsn_of = row.dsn_of;
	m->due_ms = row.due_ms;
	m->indexed_due = row.indexed_due;
	m->envelope_bytes = row.envelope_bytes;
	m->header_bytes = row.header_bytes;
	m->nrcpts = row.nrcpts;
	m->nopen = row.nopen;
	m->attempts = row.attempts;
	m->flags = row.flags & MESSAGE_DISK_FLAGS;
	m->priority = row.priority;
	m->dsn_kind = row.dsn_kind;
	m->until_s = row.until_s;
	message_set_marks(m, row.marks);
	m->sender = sender_intern(senders, view_head(v, row.sender_len));
	if (row.hold_len > 0)
		m->hold = view_dup(view_from(v, row.sender_len));
	*m_r = m;
	return 0;
}

void
message_free(struct message *m, struct map *senders, struct map *routes)
{
	uint32_t i;

	if (m->rcpts != NULL)
		for (i = 0; i < m->nrcpts; i++)
			recipient_free(m->rcpts[i], routes);
	xfree(m->rcpts);
	xfree(m->hold);
	sender_release(senders, m->sender);
	xfree(m);
}

enum message_class
message_class(const struct message *m)
{
	if ((m->flags & MESSAGE_HELD) != 0)
		return MESSAGE_CLASS_HOLD;
	if ((m->flags & MESSAGE_KEPT) != 0)
		return MESSAGE_CLASS_FAILED;
	if ((m->flags & MESSAGE_EXPANDED) == 0 && m->until_s == 0)
		return MESSAGE_CLASS_INCOMING;
	return MESSAGE_CLASS_DEFERRED;
}

/* ---- who brought it ---- */

enum message_origin
message_origin_of(enum ipc_role writer)
{
	switch (writer) {
	case IPC_ROLE_smtpd:
		return MESSAGE_ORIGIN_MX;
	case IPC_ROLE_submission:
		return MESSAGE_ORIGIN_SUBMISSION;
	case IPC_ROLE_localsmtp:
		return MESSAGE_ORIGIN_LOCAL;
	case IPC_ROLE_bounce:
		return MESSAGE_ORIGIN_OWN;
	default:
		return MESSAGE_ORIGIN_UNKNOWN;
	}
}

const char *
message_origin_name(const struct message *m)
{
	static const char *const names[MESSAGE_ORIGINS] = {
		NULL, "mx", "submission", "local", "own",
	};

	return m->origin < MESSAGE_ORIGINS ? names[m->origin] : NULL;
}

unsigned
message_marks(const struct message *m)
{
	return m->origin | (unsigned)m->login << 3;
}

void
message_set_marks(struct message *m, unsigned marks)
{
	m->origin = (marks & 7) < MESSAGE_ORIGINS ? (uint8_t)(marks & 7) : 0;
	m->login = (uint8_t)(marks >> 3 & 3);
}

uint64_t
message_life_begin_ms(const struct message *m)
{
	uint64_t until = (uint64_t)m->until_s * 1000;

	return until > m->arrival_ms ? until : m->arrival_ms;
}

uint64_t
message_record_bytes(const struct message *m)
{
	return (sizeof(struct record_header) + m->envelope_bytes + m->header_bytes +
	    m->content_bytes + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}
