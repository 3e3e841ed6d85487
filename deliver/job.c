/* SPDX-License-Identifier: ISC */
/*
 * job.c: takes JOB packets apart and puts JOB_RESULTs together.
 *
 * Runs in every deliverer. qmgr is treated as taken over: each field has its
 * limit, the envelope is read by the record's own reader, and what does not
 * fit closes the channel. Views point into the packets, which the job keeps.
 */
#include "deliver/job.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/deliver.h"
#include "sys/fd.h"

#define NAME_MAX_TEXT		256
#define NEXTHOP_MAX		2048
#define PATH_TEXT_MAX		1024
#define ORCPT_MAX		1024
/* Room that the two delays and one recipient's fields need in a packet. */
#define RESULT_ROOM	(JOB_REPLY_MAX + JOB_RELAY_MAX + 128)

int
job_peek(const struct ipc_msg *m, uint64_t *number_r)
{
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_JOB, number_r);
	return in.error != 0 ? PK_EPROTO : 0;
}

static void
get_rcpts(struct job *j, struct ipc_in *in)
{
	struct job_rcpt r;
	uint64_t notify;

	while (in->error == 0 && ipc_has(in, IPC_F_INDEX)) {
		memset(&r, 0, sizeof(r));
		notify = 0;
		ipc_get_u64(in, IPC_F_INDEX, &r.index);
		ipc_get_text(
		    in, IPC_F_RECIPIENT, RECORD_ADDRESS_MAX, &r.address);
		ipc_get_text(in, IPC_F_ORCPT, ORCPT_MAX, &r.orcpt);
		ipc_get_range(in, IPC_F_NOTIFY, 0, 15, &notify);
		if (ipc_has(in, IPC_F_ORIGINAL))
			ipc_get_text(in, IPC_F_ORIGINAL, RECORD_ADDRESS_MAX,
			    &r.original);
		if (ipc_has(in, IPC_F_PATH)) {
			ipc_get_text(in, IPC_F_PATH, PATH_TEXT_MAX, &r.path);
			ipc_get_u64(in, IPC_F_QUOTA, &r.quota);
		}
		r.notify = (unsigned)notify;
		if (in->error == 0 && j->nrcpts == JOB_RCPTS_MAX)
			in->error = PK_EPROTO;
		if (in->error != 0)
			return;
		if (j->nrcpts == j->cap_rcpts) {
			j->cap_rcpts = j->cap_rcpts == 0 ? 1 : 2 * j->cap_rcpts;
			j->rcpts = xreallocarray(
			    j->rcpts, j->cap_rcpts, sizeof(*j->rcpts));
		}
		j->rcpts[j->nrcpts++] = r;
		j->undone++;
	}
}

static int
get_envelope(struct job *j, struct ipc_in *in)
{
	struct view bytes = VIEW_NONE;

	ipc_get_bytes(in, IPC_F_ENVELOPE, IPC_BODY_MAX, &bytes);
	if (in->error != 0)
		return PK_EPROTO;
	return record_envelope_read_head(bytes, &j->env);
}

static int
get_first(struct job *j, struct ipc_msg *m, struct ipc_in *in)
{
	ipc_get_u64(in, IPC_F_JOB, &j->number);
	ipc_get_u64(in, IPC_F_MESSAGE, &j->message);
	ipc_get_text(in, IPC_F_TRANSPORT, NAME_MAX_TEXT, &j->transport);
	ipc_get_text(in, IPC_F_NEXTHOP, NEXTHOP_MAX, &j->nexthop);
	ipc_get_u64(in, IPC_F_ATTEMPT, &j->attempt);
	ipc_get_u64(in, IPC_F_TIME_MS, &j->arrival_ms);
	ipc_get_u64(in, IPC_F_SIZE, &j->content_bytes);
	if (get_envelope(j, in) != 0)
		return PK_EPROTO;
	get_rcpts(j, in);
	if (m->nhandles > 0) {
		j->fd = ipc_take_handle(m, 0);
		if (ipc_has(in, IPC_F_OFFSET))
			ipc_get_u64(in, IPC_F_OFFSET, &j->fd_offset);
	}
	if (ipc_has(in, IPC_F_DATA))
		ipc_get_bytes(in, IPC_F_DATA, IPC_BODY_MAX, &j->data);
	ipc_get_bytes(in, IPC_F_HEADER, RECORD_HEADER_MAX, &j->header);
	if (j->fd == -1)
		ipc_get_bytes(in, IPC_F_CONTENT, IPC_BODY_MAX, &j->content);
	if (ipc_in_end(in) != 0)
		return PK_EPROTO;
	/* pread() takes signed offsets, and sums must not wrap. */
	if (j->content_bytes > INT64_MAX / 4 || j->fd_offset > INT64_MAX / 4)
		return PK_EPROTO;
	if (j->fd == -1 && j->content.len != j->content_bytes)
		return PK_EPROTO;
	record_id_format(j->message, j->queue_id);
	return 0;
}

static int
get_more(struct job *j, struct ipc_in *in)
{
	uint64_t number;

	ipc_get_u64(in, IPC_F_JOB, &number);
	get_rcpts(j, in);
	return ipc_in_end(in);
}

/* Views must outlive the callback. */
static char *
keep_packet(struct job *j, const struct ipc_msg *m)
{
	char *copy = xmemdup(m->body.len > 0 ? m->body.p : "", m->body.len);

	j->packets =
	    xreallocarray(j->packets, j->npackets + 1, sizeof(*j->packets));
	j->packets[j->npackets++] = copy;
	return copy;
}

int
job_decode(struct ipc_msg *m, struct job *first, struct job **job_r)
{
	struct job *j = first;
	struct ipc_msg kept = *m;
	struct ipc_in in;
	int rc;

	if (j == NULL) {
		j = XNEW(struct job);
		j->fd = -1;
		j->begun_ms = clock_mono_ms();
	}
	kept.body.p = keep_packet(j, m);
	ipc_in_init(&in, &kept);
	rc = first == NULL ? get_first(j, m, &in) : get_more(j, &in);
	j->complete = (m->flags & IPC_FLAG_MORE) == 0;
	if (rc == 0 && j->complete && j->nrcpts == 0)
		rc = PK_EPROTO;
	if (rc != 0) {
		if (first == NULL)
			job_free(&j);
		return PK_EPROTO;
	}
	*job_r = j;
	return 0;
}

void
job_free(struct job **jp)
{
	struct job *j = *jp;
	size_t i;

	if (j == NULL)
		return;
	if (j->out_open)
		ipc_out_fini(&j->out);
	if (j->tour != NULL)
		j->tour_free(j->tour);
	for (i = 0; i < j->npackets; i++)
		xfree(j->packets[i]);
	xfree(j->packets);
	xfree(j->rcpts);
	fd_close(&j->fd);
	xfree(j);
	*jp = NULL;
}

/* ---- results ---- */

static void
out_begin(struct job *j)
{
	ipc_out_init(&j->out, IPC_JOB_RESULT);
	ipc_put_u64(&j->out, IPC_F_JOB, j->number);
	j->out_open = true;
}

static void
out_send(struct job *j, bool last)
{
	uint64_t now = clock_mono_ms();
	uint64_t connected = j->connected_ms != 0 ? j->connected_ms : now;

	ipc_put_u64(&j->out, IPC_F_DELAY_MS, connected - j->begun_ms);
	ipc_put_u64(&j->out, IPC_F_DELAY_MS, now - connected);
	if (!last)
		j->out.flags |= IPC_FLAG_MORE;
	j->out_open = false;
	if (j->orphan)
		ipc_out_fini(&j->out);
	else
		deliver_send(j->d, &j->out);
}

/* One line, no control bytes: it becomes a text field, a log line, a header. */
static struct view
clean(struct view v, size_t max, char *room)
{
	size_t i;

	v = view_head(v, max);
	for (i = 0; i < v.len; i++) {
		unsigned char ch = (unsigned char)v.p[i];

		room[i] = ch == '\r' || ch == '\n' || ch == '\t' ? ' ' :
		    ch < ' ' || ch == 0x7f                       ? '?' :
								   (char)ch;
	}
	return view_of(room, v.len);
}

void
job_result(struct job *j, size_t i, enum job_result what, unsigned flags,
    struct enhanced dsn, struct view reply, struct view relay)
{
	char reply_room[JOB_REPLY_MAX], relay_room[JOB_RELAY_MAX];
	struct job_rcpt *r = &j->rcpts[i];
	struct buf code;

	ASSERT(i < j->nrcpts);
	if (r->done)
		return;
	r->done = true;
	j->undone--;
	if (r->held) {
		r->held = false;
		j->nheld--;
	}
	deliver_count(j->d, what);
	if (j->out_open && ipc_out_left(&j->out) < RESULT_ROOM)
		out_send(j, false);
	if (!j->out_open)
		out_begin(j);
	buf_init(&code, 32);
	enhanced_put(&code, dsn);
	ipc_put_u64(&j->out, IPC_F_INDEX, r->index);
	ipc_put_u64(&j->out, IPC_F_STATE, what);
	ipc_put_u64(&j->out, IPC_F_FLAGS, flags);
	ipc_put_bytes(&j->out, IPC_F_DSN, buf_view(&code));
	ipc_put_bytes(
	    &j->out, IPC_F_REPLY, clean(reply, sizeof(reply_room), reply_room));
	ipc_put_bytes(
	    &j->out, IPC_F_RELAY, clean(relay, sizeof(relay_room), relay_room));
	buf_fini(&code);
}

void
job_result_rest(struct job *j, enum job_result what, unsigned flags,
    struct enhanced dsn, struct view reply, struct view relay)
{
	size_t i;

	for (i = 0; i < j->nrcpts && j->undone > 0; i++)
		job_result(j, i, what, flags, dsn, reply, relay);
}

void
job_hold(struct job *j, size_t i)
{
	struct job_rcpt *r = &j->rcpts[i];

	ASSERT(i < j->nrcpts);
	if (r->done || r->held)
		return;
	r->held = true;
	j->nheld++;
}

void
job_release(struct job *j)
{
	size_t i;

	for (i = 0; i < j->nrcpts && j->nheld > 0; i++) {
		if (!j->rcpts[i].held)
			continue;
		j->rcpts[i].held = false;
		j->nheld--;
	}
}

void
job_put_back_rest(struct job *j)
{
	job_result_rest(j, JOB_PUT_BACK, 0, ENHANCED(4, 3, 2),
	    VIEW("put back into the queue"), VIEW("none"));
}

void
job_finish(struct job **jp)
{
	struct job *j = *jp;

	ASSERT(j->undone == 0);
	if (!j->out_open)
		out_begin(j);
	out_send(j, true);
	deliver_forget(j->d, j);
	job_free(jp);
}

/* ---- content ---- */

uint64_t
job_size(const struct job *j)
{
	return j->header.len + j->content_bytes;
}

int
job_read(const struct job *j, uint64_t offset, char *room, size_t size,
    struct view *v_r)
{
	uint64_t at;
	size_t n;
	int rc;

	if (offset < j->header.len) {
		*v_r = view_from(j->header, offset);
		return 0;
	}
	at = offset - j->header.len;
	if (at >= j->content_bytes)
		return PK_EEND;
	if (j->fd == -1) {
		*v_r = view_from(j->content, at);
		return 0;
	}
	n = j->content_bytes - at < size ? (size_t)(j->content_bytes - at) :
					   size;
	rc = fd_pread_all(j->fd, room, n, (off_t)(j->fd_offset + at));
	if (rc != 0)
		return PK_EIO;
	*v_r = view_of(room, n);
	return 0;
}
