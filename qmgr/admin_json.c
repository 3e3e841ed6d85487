/* SPDX-License-Identifier: ISC */
/*
 * admin_json.c: messages and recipients as JSON (ADMIN.md), written straight
 * into the part: a listing of a million is mostly this.
 */
#include "base/codec.h"
#include "qmgr/admin_request.h"
#include "queue/record.h"

/* A remote reply may be long; what a table shows of it is not. */
#define REPLY_MAX	400

static void
put_name(struct buf *b, const char *name)
{
	struct view v = buf_view(b);

	if (v.len > 0 && v.p[v.len - 1] != '{')
		buf_put_char(b, ',');
	buf_put_char(b, '"');
	buf_put_str(b, name);
	buf_put_str(b, "\":");
}

void
put_member_text(struct buf *b, const char *name, struct view text)
{
	put_name(b, name);
	json_put_string(b, text);
}

void
put_member_u64(struct buf *b, const char *name, uint64_t n)
{
	put_name(b, name);
	buf_put_u64(b, n);
}

void
put_member_time(struct buf *b, const char *name, uint64_t ms)
{
	if (ms != 0)
		put_member_u64(b, name, ms);
}

static void
put_member_if(struct buf *b, const char *name, struct view text)
{
	if (text.len > 0)
		put_member_text(b, name, view_head(text, REPLY_MAX));
}

static const char *
recipient_state_name(const struct recipient *r)
{
	switch (r->state) {
	case RCPT_QUEUED:
		return "queued";
	case RCPT_ACTIVE:
		return "active";
	case RCPT_SENT:
		return r->report != 0 ? "reporting" : "sent";
	case RCPT_FAILED:
		return r->report != 0 ? "reporting" : "failed";
	default:
		return "waiting";
	}
}

void
put_recipient(struct buf *b, const struct recipient *r)
{
	buf_put_char(b, '{');
	put_member_u64(b, "index", r->index);
	put_member_text(b, "address", recipient_address(r));
	put_member_if(b, "original", recipient_orig(r));
	put_member_text(b, "state", view_str(recipient_state_name(r)));
	if (r->route != NULL) {
		put_member_text(b, "transport", route_transport(r->route));
		put_member_text(b, "nexthop", route_nexthop(r->route));
	}
	put_member_u64(b, "attempts", r->attempts);
	if (r->state == RCPT_WAIT)
		put_member_time(b, "next_ms", r->due_ms);
	put_member_time(b, "last_ms", r->last_ms);
	put_member_if(b, "dsn", recipient_dsn(r));
	put_member_if(b, "relay", recipient_relay(r));
	put_member_if(b, "reply", recipient_reply(r));
	buf_put_char(b, '}');
}

static void
put_recipients(struct buf *b, const struct message *m, uint32_t most, uint32_t *passed_r)
{
	uint32_t i, n = 0;

	put_name(b, "recipients");
	buf_put_char(b, '[');
	for (i = 0; m->rcpts != NULL && i < m->nrcpts && n < most; i++) {
		if (m->rcpts[i] == NULL)
			continue;
		if (n++ > 0)
			buf_put_char(b, ',');
		put_recipient(b, m->rcpts[i]);
		if (b->len > 2 * REQUEST_PART_BYTES)
			most = n;
	}
	buf_put_char(b, ']');
	*passed_r = i;
}

/* Only what authd has confirmed; the name itself stays in the record. */
static void
put_login(struct buf *b, struct qmgr *q, const struct message *m)
{
	struct segment_record rec;
	struct record_envelope e;

	if (store_record(&q->store, m, &rec) == 0 && record_envelope_read(rec.envelope, &e) == 0)
		put_member_text(b, "sasl_username", e.login);
}

uint32_t
put_message(struct buf *b, struct qmgr *q, const struct message *m, uint32_t most)
{
	char id[RECORD_ID_TEXT_MAX];
	uint32_t passed;

	record_id_format(m->id, id);
	buf_put_char(b, '{');
	put_member_text(b, "id", view_str(id));
	put_member_text(b, "state", view_str(selection_state_names[selection_state(m)]));
	put_member_time(b, "arrival_ms", m->arrival_ms);
	put_member_u64(b, "size", m->content_bytes + m->header_bytes);
	put_member_text(b, "sender", view_of(m->sender->text, m->sender->len));
	put_member_u64(b, "priority", m->priority);
	if (message_origin_name(m) != NULL)
		put_member_text(b, "class", view_str(message_origin_name(m)));
	if (m->login == MESSAGE_LOGIN_VERIFIED)
		put_login(b, q, m);
	put_member_time(b, "hold_until_ms", (uint64_t)m->until_s * 1000);
	if ((m->flags & (MESSAGE_HELD | MESSAGE_KEPT)) == 0)
		put_member_time(b, "next_ms", store_message_due(&q->store, m));
	if ((m->flags & MESSAGE_HELD) != 0)
		put_member_text(b, "hold", view_str(m->hold != NULL ? m->hold : ""));
	put_member_u64(b, "segment", m->segment);
	put_member_u64(b, "offset", m->offset);
	put_member_u64(b, "recipients_total", m->nrcpts);
	put_member_u64(b, "recipients_open", m->nopen);
	put_recipients(b, m, most, &passed);
	buf_put_char(b, '}');
	return passed;
}

static void
put_scope(void *arg, enum sched_scope kind, struct view name)
{
	static const char *const kinds[SCHED_SCOPES] = { "all", "domain ", "transport " };
	struct buf *b = arg, words;

	buf_init(&words, 1024);
	buf_put_str(&words, kinds[kind]);
	buf_put_view(&words, name);
	if (buf_view(b).p[b->len - 1] != '[')
		buf_put_char(b, ',');
	json_put_string(b, buf_view(&words));
	buf_fini(&words);
}

void
put_scopes(struct buf *b, const struct qmgr *q)
{
	put_name(b, "frozen");
	buf_put_char(b, '[');
	sched_scopes(q->sched, put_scope, b);
	buf_put_char(b, ']');
}
