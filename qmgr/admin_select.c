/* SPDX-License-Identifier: ISC */
/*
 * admin_select.c: which messages an administrator means, and walking them.
 *
 * The queue is in memory and in the index; the walk merges both by id, reads
 * the index in short transactions, and stands changes between its steps: a
 * message that comes or goes meanwhile is seen or not, none is seen twice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "qmgr/admin_request.h"
#include "queue/record.h"

#define IDS_MAX		10000

const char *const selection_state_names[SELECTION_STATES] = {
	"incoming", "active", "deferred", "hold", "failed",
};

/* ---- reading a selector ---- */

static const char *
read_ids(struct selection *sel, const json_t *v)
{
	size_t i, n = json_is_array(v) ? json_array_size(v) : 1;
	const json_t *item;

	if (n == 0 || n > IDS_MAX)
		return "no queue id, or more than 10,000";
	sel->ids = xcalloc(n, sizeof(*sel->ids));
	for (i = 0; i < n; i++) {
		item = json_is_array(v) ? json_array_get(v, i) : v;
		if (!json_is_string(item) || record_id_parse(view_of(json_string_value(item),
		    json_string_length(item)), &sel->ids[i]) != 0)
			return "that is no queue id";
	}
	sel->nids = n;
	return NULL;
}

static const char *
read_state(struct selection *sel, const json_t *v)
{
	int i;

	for (i = 0; i < SELECTION_STATES; i++)
		if (json_is_string(v) &&
		    strcmp(json_string_value(v), selection_state_names[i]) == 0) {
			sel->state = i;
			return NULL;
		}
	return "state is incoming, active, deferred, hold or failed";
}

static unsigned
take_text(json_t *args, const char *name, char **text_r)
{
	const json_t *v = json_object_get(args, name);

	if (!json_is_string(v))
		return 0;
	*text_r = view_dup_lower(view_of(json_string_value(v), json_string_length(v)));
	json_object_del(args, name);
	return 1;
}

const char *
selection_read(struct selection *sel, json_t *args, bool must)
{
	const json_t *v;
	const char *why = NULL;
	unsigned n = 0;

	if ((v = json_object_get(args, "id")) != NULL) {
		n++;
		why = read_ids(sel, v);
		json_object_del(args, "id");
	}
	if (why == NULL && (v = json_object_get(args, "state")) != NULL) {
		n++;
		why = read_state(sel, v);
		json_object_del(args, "state");
	}
	if (json_is_true(json_object_get(args, "all"))) {
		n++;
		sel->all = true;
		json_object_del(args, "all");
	}
	n += take_text(args, "sender", &sel->sender);
	n += take_text(args, "recipient", &sel->recipient);
	n += take_text(args, "domain", &sel->domain);
	n += take_text(args, "transport", &sel->transport);
	if (why == NULL && must && n != 1)
		why = "say which messages: one of id, all, sender, recipient, domain, "
		    "transport, state";
	return why;
}

void
selection_fini(struct selection *sel)
{
	xfree(sel->sender);
	xfree(sel->recipient);
	xfree(sel->domain);
	xfree(sel->transport);
	xfree(sel->ids);
}

/* ---- matching ---- */

enum selection_state
selection_state(const struct message *m)
{
	uint32_t i;

	if ((m->flags & MESSAGE_HELD) != 0)
		return SELECTION_HOLD;
	if ((m->flags & MESSAGE_KEPT) != 0)
		return SELECTION_FAILED;
	if ((m->flags & MESSAGE_EXPANDED) == 0)
		return m->attempts > 0 || m->until_s > 0 ? SELECTION_DEFERRED : SELECTION_INCOMING;
	if (m->njobs > 0)
		return SELECTION_ACTIVE;
	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL && (m->rcpts[i]->state == RCPT_QUEUED ||
		    m->rcpts[i]->state == RCPT_ACTIVE))
			return SELECTION_ACTIVE;
	return SELECTION_DEFERRED;
}

bool
selection_match_recipient(const struct selection *sel, const struct recipient *r)
{
	if (recipient_done(r))
		return false;
	if (sel->recipient != NULL &&
	    !view_caseeq(recipient_address(r), view_str(sel->recipient)) &&
	    !view_caseeq(recipient_orig(r), view_str(sel->recipient)))
		return false;
	if (sel->domain != NULL &&
	    !view_caseeq(address_domain(recipient_address(r)), view_str(sel->domain)))
		return false;
	if (sel->transport != NULL && (r->route == NULL ||
	    !view_caseeq(route_transport(r->route), view_str(sel->transport))))
		return false;
	return true;
}

bool
selection_match(const struct selection *sel, const struct message *m)
{
	uint32_t i;

	if (sel->state >= 0 && (int)selection_state(m) != sel->state)
		return false;
	if (sel->sender != NULL && !view_caseeq(view_of(m->sender->text, m->sender->len),
	    view_str(sel->sender)))
		return false;
	if (sel->recipient == NULL && sel->domain == NULL && sel->transport == NULL)
		return true;
	for (i = 0; m->rcpts != NULL && i < m->nrcpts; i++)
		if (m->rcpts[i] != NULL && selection_match_recipient(sel, m->rcpts[i]))
			return true;
	return false;
}

/* ---- walking ---- */

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
memory_ids(struct walk *w, uint64_t from)
{
	size_t cursor = 0;
	struct view key;
	struct message *m;
	void *v;

	w->mem = xreallocarray(NULL, map_count(w->q->store.messages) + 1, sizeof(*w->mem));
	while (map_next(w->q->store.messages, &cursor, &key, &v)) {
		m = v;
		if ((m->flags & MESSAGE_FINISHED) == 0 && m->id >= from)
			w->mem[w->nmem++] = m->id;
	}
	qsort(w->mem, w->nmem, sizeof(*w->mem), compare_ids);
}

void
walk_init(struct walk *w, struct qmgr *q, const struct selection *sel, uint64_t from)
{
	memset(w, 0, sizeof(*w));
	w->q = q;
	w->sel = sel;
	w->next = from;
	if (sel->ids == NULL)
		memory_ids(w, from);
	else
		qsort(sel->ids, sel->nids, sizeof(*sel->ids), compare_ids);
}

void
walk_fini(struct walk *w)
{
	xfree(w->mem);
	w->mem = NULL;
}

static bool
index_id(void *arg, struct view key, struct view value)
{
	struct walk *w = arg;

	(void)value;
	if (key.len == 8)
		w->batch[w->nbatch++] = index_get64(key.p);
	return w->nbatch < NELEMS(w->batch);
}

static void
fill_batch(struct walk *w)
{
	char key[8];

	w->nbatch = w->batch_at = 0;
	index_be64(key, w->next);
	if (!index_walk(w->q->store.index, INDEX_MESSAGE, view_of(key, sizeof(key)), index_id, w))
		w->index_end = true;
	index_rest(w->q->store.index);
	if (w->nbatch > 0)
		w->next = w->batch[w->nbatch - 1] + 1;
}

bool
walk_next(struct walk *w, uint64_t *id_r)
{
	uint64_t a, b;

	if (w->sel->ids != NULL) {
		if (w->ids_at == w->sel->nids)
			return false;
		*id_r = w->sel->ids[w->ids_at++];
		return true;
	}
	if (w->batch_at == w->nbatch && !w->index_end)
		fill_batch(w);
	a = w->mem_at < w->nmem ? w->mem[w->mem_at] : UINT64_MAX;
	b = w->batch_at < w->nbatch ? w->batch[w->batch_at] : UINT64_MAX;
	if (a == UINT64_MAX && b == UINT64_MAX)
		return false;
	if (a <= b)
		w->mem_at++;
	if (b <= a)
		w->batch_at++;
	*id_r = a < b ? a : b;
	return true;
}

uint64_t
walk_total(const struct walk *w)
{
	const struct store *s = &w->q->store;
	uint64_t n = 0;
	unsigned i;

	if (w->sel->ids != NULL)
		return w->sel->nids;
	for (i = 0; i < MESSAGE_CLASSES; i++)
		n += s->counts[i];
	return n;
}

/* ---- looking at one ---- */

struct peek {
	struct store	*s;
	struct message	*m;
	char		 prefix[8];
};

static bool
peek_row(void *arg, struct view key, struct view value)
{
	struct peek *p = arg;
	struct recipient *r;
	uint32_t index;

	if (key.len != 12 || memcmp(key.p, p->prefix, sizeof(p->prefix)) != 0)
		return false;
	memcpy(&index, key.p + 8, sizeof(index));
	index = __builtin_bswap32(index);
	if (index < p->m->nrcpts && p->m->rcpts[index] == NULL &&
	    recipient_row_get(value, index, p->s->routes, &r) == 0)
		p->m->rcpts[index] = r;
	return true;
}

/* The original recipients, for a message that was not expanded yet. */
static void
peek_record(struct store *s, struct message *m)
{
	struct segment_record rec;
	struct record_envelope e;
	struct record_recipient r;
	struct view rest;
	uint32_t n = 0;

	if (store_record(s, m, &rec) != 0 || record_envelope_read(rec.envelope, &e) != 0)
		return;
	rest = e.recipients;
	while (n < m->nrcpts && record_recipient_next(&rest, &r)) {
		m->rcpts[n] = recipient_new(n, r.address, r.orcpt, VIEW(""), VIEW(""), r.notify);
		n++;
	}
}

struct message *
peek_begin(struct qmgr *q, uint64_t id, bool *own_r)
{
	struct store *s = &q->store;
	struct message *m = store_peek(s, id);
	struct peek p = { .s = s };
	struct view row;
	char key[8];

	*own_r = false;
	if (m != NULL) {
		if (m->rcpts == NULL)
			(void)store_recipients(s, m);
		return m;
	}
	if (map_get_u64(s->messages, id) != NULL)
		return NULL;		/* finished, its row is going */
	index_be64(key, id);
	if (index_get(s->index, INDEX_MESSAGE, view_of(key, sizeof(key)), &row) != 0 ||
	    message_row_get(row, id, s->senders, &m) != 0 ||
	    m->nrcpts > RECORD_ENVELOPE_MAX / 4)
		return NULL;
	*own_r = true;
	m->rcpts = xcalloc(m->nrcpts, sizeof(*m->rcpts));
	p.m = m;
	memcpy(p.prefix, key, sizeof(key));
	if ((m->flags & MESSAGE_EXPANDED) != 0)
		index_walk(s->index, INDEX_RECIPIENT, view_of(key, sizeof(key)), peek_row, &p);
	else
		peek_record(s, m);
	return m;
}

void
peek_end(struct qmgr *q, struct message *m, bool own)
{
	if (own)
		message_free(m, q->store.senders, q->store.routes);
}
