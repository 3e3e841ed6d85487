/* SPDX-License-Identifier: ISC */
/*
 * bounce.c: the bounce role: composes delivery status notifications and puts
 * them into the queue.
 *
 * Runs as a user of its own in an empty root with no network. It is a writer
 * like smtpd: append handles of its own segments and no path. It sees the
 * messages that failed and what servers said of them; all of it is sanitised
 * by mail/dsn.h. qmgr is told of the report (SEGMENT_DURABLE) before the job
 * ends (JOB_RESULT); the record names the original and the recipients, so
 * that a report composed twice is taken in once (QUEUE.md Q11, Q12).
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/deliver.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/trace.h"
#include "mail/xtext.h"
#include "queue/bounce.h"
#include "queue/segment_link.h"

/* Of a longer original only the header goes back, and not more of it. */
#define HEADER_BACK_MAX		(64 * 1024)
/* bounce_size_limit may be greater; a report is a small message. */
#define ORIGINAL_MAX		(1024 * 1024)
#define TRACE_MAX		4096

struct bounce_work {
	struct deliver	*d;
	struct job	*job;
	enum bounce_kind kind;
	struct dsn_recipient *rcpts;
	uint32_t	*indexes;	/* rising */
	size_t		nrcpts;
	struct buf	strings;	/* decoded ORCPTs, one NUL-parted heap */
	struct buf	envid;
	struct buf	original;	/* of a message in a file */
	struct buf	envelope, content, trace;
};

static struct segment_link *
link_of(const struct deliver *d)
{
	return d->ctx;
}

static void
work_free(struct bounce_work *w)
{
	xfree(w->rcpts);
	xfree(w->indexes);
	buf_fini(&w->strings);
	buf_fini(&w->envid);
	buf_fini(&w->original);
	buf_fini(&w->envelope);
	buf_fini(&w->content);
	buf_fini(&w->trace);
	xfree(w);
}

static void
end_job(struct bounce_work *w, enum job_result what, struct enhanced dsn,
    const char *text)
{
	job_result_rest(w->job, what, 0, dsn, view_str(text), VIEW("none"));
	job_finish(&w->job);
	work_free(w);
}

/* ---- what is said of a recipient ---- */

/*
 * "host mx[1.2.3.4] said: 550 5.1.1 who (in reply to RCPT TO command)": the
 * reply alone is the diagnostic, RFC 3464 2.3.6.
 */
static bool
remote_reply(struct view text, struct view *reply_r)
{
	static const char said[] = " said: ";
	static const char tail[] = " (in reply to ";
	const char *p, *q, *next;

	if (!view_starts(text, VIEW("host ")))
		return false;
	p = memmem(text.p, text.len, said, sizeof(said) - 1);
	if (p == NULL)
		return false;
	*reply_r = view_from(text, (size_t)(p - text.p) + sizeof(said) - 1);
	q = NULL;
	for (next = reply_r->p; next != NULL;) {
		next = memmem(next, (size_t)(reply_r->p + reply_r->len - next),
		    tail, sizeof(tail) - 1);
		if (next != NULL)
			q = next++;
	}
	if (q != NULL)
		*reply_r = view_head(*reply_r, (size_t)(q - reply_r->p));
	return true;
}

static struct view
relay_host(struct view relay)
{
	ptrdiff_t bracket = view_find(relay, '[');

	if (view_eq(relay, VIEW("none")))
		return VIEW_NONE;
	return bracket >= 0 ? view_head(relay, (size_t)bracket) : VIEW_NONE;
}

static void
fill_recipient(struct bounce_work *w, struct dsn_recipient *r,
    const struct job_rcpt *jr, const struct bounce_row *row)
{
	r->final = jr->address;
	r->action = (enum dsn_action)row->action;
	if (enhanced_parse(row->dsn, &r->status) != 0)
		memset(&r->status, 0, sizeof(r->status));
	r->last_attempt_ms = row->last_attempt_ms;
	r->retry_until_ms = row->retry_until_ms;
	r->diagnostic = row->reply;
	r->diagnostic_type = VIEW("x-postkeep");
	if (remote_reply(row->reply, &r->diagnostic) ||
	    row->action == DSN_RELAYED || row->action == DSN_DELIVERED) {
		r->remote_mta = relay_host(row->relay);
		if (r->remote_mta.len > 0)
			r->diagnostic_type = VIEW_NONE;
	}
	(void)w;
}

/* ORCPT as it was meant; offsets into strings, which may still move. */
static bool
decode_orcpt(struct bounce_work *w, const struct job_rcpt *jr,
    struct view *type_r, size_t *at_r, size_t *len_r)
{
	struct view value;
	size_t at = w->strings.len;
	int rc;

	if (jr->orcpt.len == 0 ||
	    xtext_orcpt_parse(jr->orcpt, true, type_r, &value) != 0)
		return false;
	rc = view_caseeq(*type_r, VIEW("utf-8")) ?
	    xtext_utf8_decode(&w->strings, value) :
	    xtext_decode(&w->strings, value);
	if (rc != 0) {
		buf_truncate(&w->strings, at);
		return false;
	}
	*at_r = at;
	*len_r = w->strings.len - at;
	return true;
}

static const struct job_rcpt *
find_rcpt(const struct job *j, uint64_t index)
{
	size_t i;

	for (i = 0; i < j->nrcpts; i++)
		if (j->rcpts[i].index == index)
			return &j->rcpts[i];
	return NULL;
}

/* The account's rows joined with the job's recipients. */
static int
read_account(struct bounce_work *w)
{
	struct job *j = w->job;
	struct bounce_reader reader;
	const struct job_rcpt *jr;
	struct bounce_row row;
	struct view type;
	size_t *at, *len, i, n;
	int rc;

	if (bounce_decode_begin(&reader, j->data) != 0)
		return PK_EFORMAT;
	w->kind = reader.kind;
	w->rcpts = xcalloc(reader.rows, sizeof(*w->rcpts));
	w->indexes = xcalloc(reader.rows, sizeof(*w->indexes));
	at = xcalloc(reader.rows, sizeof(*at));
	len = xcalloc(reader.rows, sizeof(*len));
	while ((rc = bounce_decode_row(&reader, &row)) == 0) {
		jr = find_rcpt(j, row.index);
		n = w->nrcpts;
		/* Rising: a row twice, or out of order, is no account. */
		if (jr == NULL || row.index > UINT32_MAX ||
		    (n > 0 && row.index <= w->indexes[n - 1])) {
			rc = PK_EFORMAT;
			break;
		}
		fill_recipient(w, &w->rcpts[n], jr, &row);
		if (decode_orcpt(w, jr, &type, &at[n], &len[n])) {
			w->rcpts[n].orcpt_type = type;
		} else if (jr->original.len > 0) {
			at[n] = w->strings.len;
			len[n] = jr->original.len;
			buf_put_view(&w->strings, jr->original);
			w->rcpts[n].orcpt_type = VIEW("rfc822");
		}
		w->indexes[n] = (uint32_t)row.index;
		w->nrcpts++;
	}
	for (i = 0; i < w->nrcpts; i++)
		if (w->rcpts[i].orcpt_type.len > 0)
			w->rcpts[i].orcpt = view_head(
			    view_from(buf_view(&w->strings), at[i]), len[i]);
	xfree(at);
	xfree(len);
	return rc == PK_EEND ? 0 : PK_EFORMAT;
}

/* ---- composing ---- */

/* The original as one piece: all of it, or as much as its header can be. */
static int
read_original(struct bounce_work *w, bool whole)
{
	static char room[64 * 1024];
	uint64_t offset = 0, want = whole ? job_size(w->job) : HEADER_BACK_MAX;
	struct view v;
	int rc;

	buf_init(&w->original, ORIGINAL_MAX + HEADER_BACK_MAX);
	while (offset < want) {
		rc = job_read(w->job, offset, room, sizeof(room), &v);
		if (rc == PK_EEND)
			break;
		if (rc != 0)
			return rc;
		v = view_head(v, (size_t)(want - offset));
		if (buf_put_view(&w->original, v) != 0)
			return PK_ELIMIT;
		offset += v.len;
	}
	if (!whole)
		buf_truncate(
		    &w->original, header_length(buf_view(&w->original)));
	return 0;
}

static int
compose(struct bounce_work *w, struct dsn_needs *needs)
{
	const struct conf *conf = deliver_conf(w->d);
	struct job *j = w->job;
	size_t back_max = conf->bounce_size_limit < ORIGINAL_MAX ?
	    (size_t)conf->bounce_size_limit :
	    ORIGINAL_MAX;
	/* Of what must not be read on the way as little as will do. */
	bool whole = w->kind == BOUNCE_FAILED && !j->env.requiretls &&
	    j->env.ret != RECORD_RET_HDRS && job_size(j) <= back_max;
	struct dsn d;
	char *id;
	int rc;

	rc = read_original(w, whole);
	if (rc != 0)
		return rc;
	memset(&d, 0, sizeof(d));
	id = xasprintf("%s.%u.%llx", j->queue_id, (unsigned)w->kind,
	    (unsigned long long)clock_wall_ms());
	d.queue_id = view_str(j->queue_id);
	d.dsn_id = view_str(id);
	d.myhostname = view_str(conf->myhostname);
	d.myorigin = view_str(conf->myorigin);
	d.sender = j->env.sender;
	if (j->env.envid.len > 0 && xtext_decode(&w->envid, j->env.envid) == 0)
		d.envid = buf_view(&w->envid);
	d.arrival_ms = j->arrival_ms;
	d.now_ms = clock_wall_ms();
	d.ret_full = whole;
	d.return_max = back_max > HEADER_BACK_MAX ? back_max : HEADER_BACK_MAX;
	d.original = buf_view(&w->original);
	d.original_utf8 = j->env.utf8;
	d.recipients = w->rcpts;
	d.nrecipients = w->nrcpts;
	buf_init(&w->content, dsn_size_max(&d));
	rc = dsn_compose(&w->content, &d, needs);
	xfree(id);
	return rc;
}

static int
put_envelope(struct bounce_work *w, const struct dsn_needs *needs)
{
	static const unsigned kinds[] = {
		[BOUNCE_FAILED] = RECORD_DSN_FAILED,
		[BOUNCE_DELAYED] = RECORD_DSN_DELAYED,
		[BOUNCE_SUCCESS] = RECORD_DSN_SUCCESS,
	};
	struct buf *b = &w->envelope;
	unsigned char raw[4];
	struct buf list;
	size_t i, k;

	buf_init(b, RECORD_ENVELOPE_MAX);
	buf_init(&list, 4 * BOUNCE_ROWS_MAX);
	for (i = 0; i < w->nrcpts; i++) {
		for (k = 0; k < sizeof(raw); k++)
			raw[k] = (unsigned char)(w->indexes[i] >> (8 * k));
		buf_put(&list, raw, sizeof(raw));
	}
	envelope_put_text(b, ENVELOPE_SENDER, VIEW(""));
	envelope_put_u64(b, ENVELOPE_ARRIVAL_MS, clock_wall_ms());
	envelope_put_u64(b, ENVELOPE_BODY, needs->body_8bit ?
	    RECORD_BODY_8BIT : RECORD_BODY_7BIT);
	if (needs->smtputf8)
		envelope_put_u64(b, ENVELOPE_UTF8, 1);
	/* RFC 8689 5: a report is protected as the message was. */
	if (w->job->env.requiretls)
		envelope_put_u64(b, ENVELOPE_REQUIRETLS, 1);
	envelope_put_u64(b, ENVELOPE_DSN_OF, w->job->message);
	envelope_put_u64(b, ENVELOPE_DSN_KIND, kinds[w->kind]);
	envelope_put_text(b, ENVELOPE_DSN_RCPTS, buf_view(&list));
	envelope_put_text(b, ENVELOPE_RECIPIENT, w->job->env.sender);
	buf_fini(&list);
	return buf_error(b);
}

/* The place in the queue is known: the trace header can name it. */
static struct view
trace_header(void *arg, uint64_t message)
{
	struct bounce_work *w = arg;
	char id[RECORD_ID_TEXT_MAX];
	struct trace_received t;

	record_id_format(message, id);
	memset(&t, 0, sizeof(t));
	t.by = view_str(deliver_conf(w->d)->myhostname);
	t.mail_name = view_str(deliver_conf(w->d)->mail_name);
	t.id = view_str(id);
	t.wall_ms = clock_wall_ms();
	buf_reset(&w->trace);
	trace_put_received(&w->trace, &t);
	return buf_view(&w->trace);
}

static void
on_durable(void *arg, int error, uint64_t message)
{
	struct bounce_work *w = arg;
	char id[RECORD_ID_TEXT_MAX];
	char *text;

	if (error != 0) {
		end_job(w, JOB_DEFERRED,
		    error == PK_ENOSPC ? ENHANCED(4, 3, 1) : ENHANCED(4, 3, 0),
		    "cannot put the notification into the queue");
		return;
	}
	record_id_format(message, id);
	text = xasprintf("%s notification: %s",
	    w->kind == BOUNCE_FAILED      ? "sender non-delivery" :
		w->kind == BOUNCE_DELAYED ? "sender delay" :
					    "sender delivery status",
	    id);
	end_job(w, JOB_SENT, ENHANCED(2, 0, 0), text);
	xfree(text);
}

static void
bounce_job(struct deliver *d, struct job *j)
{
	struct bounce_work *w = XNEW(struct bounce_work);
	struct segment_message m;
	struct dsn_needs needs = { .body_8bit = false };

	w->d = d;
	w->job = j;
	j->connected_ms = clock_mono_ms();
	buf_init(&w->strings, IPC_BODY_MAX);
	buf_init(&w->envid, 1024);
	buf_init(&w->trace, TRACE_MAX);
	if (j->env.sender.len == 0) {
		end_job(w, JOB_BOUNCED, ENHANCED(5, 0, 0),
		    "a bounce is never bounced");
		return;
	}
	if (read_account(w) != 0) {
		end_job(w, JOB_DEFERRED, ENHANCED(4, 3, 0),
		    "the account of the failures is damaged");
		return;
	}
	if (compose(w, &needs) != 0 || put_envelope(w, &needs) != 0) {
		end_job(w, JOB_DEFERRED, ENHANCED(4, 3, 0),
		    "cannot compose the notification");
		return;
	}
	memset(&m, 0, sizeof(m));
	m.envelope = buf_view(&w->envelope);
	m.content = buf_view(&w->content);
	m.compose = trace_header;
	m.done = on_durable;
	m.arg = w;
	segment_writer_put(segment_link_writer(link_of(d)), &m);
}

/* It is in the writer at once: nothing to take back. */
static void
bounce_cancel(struct deliver *d, struct job *j)
{
	(void)d;
	(void)j;
}

static void
bounce_confine(struct deliver *d, struct sandbox_spec *spec)
{
	(void)d;
	spec->needs = SANDBOX_APPEND | SANDBOX_THREADS;
}

static void
bounce_start(struct deliver *d)
{
	d->ctx = segment_link_new(d->loop);
	if (d->qmgr != NULL)
		segment_link_up(link_of(d), d->qmgr);
}

static void
bounce_connected(struct deliver *d)
{
	if (d->ctx != NULL)
		segment_link_up(link_of(d), d->qmgr);
}

static void
bounce_disconnected(struct deliver *d)
{
	if (d->ctx != NULL)
		segment_link_down(link_of(d));
}

static void
bounce_finish(struct deliver *d)
{
	segment_writer_close(segment_link_writer(link_of(d)));
	deliver_leave(d);
}

const struct deliver_role deliver_role_bounce = {
	.role = IPC_ROLE_bounce,
	.confine = bounce_confine,
	.start = bounce_start,
	.job = bounce_job,
	.cancel = bounce_cancel,
	.connected = bounce_connected,
	.disconnected = bounce_disconnected,
	.finish = bounce_finish,
};
