/* SPDX-License-Identifier: ISC */
/*
 * workload.c: a queue at work without the suite around it.
 *
 *	workload DIR COUNT SEED
 *
 * Puts COUNT messages into a queue by way of the real writer, takes them in,
 * and has outcomes for them with real checkpoints in between. Says "250 ...
 * queued as ID" when a writer would and "250 taken TOKEN" when the next hop
 * has a message. For the power cut's model: it runs under strace.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/store.h"
#include "queue/segment_writer.h"

#define INSTANCE	7
#define SEGMENT_BYTES	(1U << 20)
/* Every 17th message is large: a segment of its own. */
#define LARGE_BYTES	150000
#define IN_FLIGHT	12

struct letter {
	char		token[24];
	struct buf	envelope, content, header;
};

static struct {
	struct loop	*loop;
	struct store	 store;
	struct segment_writer *writer;
	uint64_t	 random;
	unsigned	 begun, done, count;
} w;

static uint64_t
random_next(void)
{
	w.random = w.random * 6364136223846793005ULL + 1442695040888963407ULL;
	return w.random >> 33;
}

static void
say(const char *what, const char *which)
{
	char line[100];
	int n = snprintf(line, sizeof(line), "250 2.0.0 %s %s\r\n", what, which);

	if (write(STDOUT_FILENO, line, (size_t)n) == -1)
		log_fatal("stdout: %m");
}

/* ---- qmgr's part ---- */

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
alive(void *arg, uint64_t instance)
{
	(void)arg;
	(void)instance;
	return false;
}

/* Its token is the first word of the sender. */
static void
outcome(struct message *m)
{
	struct recipient *r = m->rcpts[0];

	switch (random_next() % 4) {
	case 0:
	case 1:
		say("taken", m->sender->text);
		r->state = RCPT_SENT;
		break;
	case 2:
		r->state = RCPT_WAIT;
		r->attempts++;
		r->due_ms = store_now_ms(&w.store) + 3600000;
		recipient_set_status(r, VIEW("4.4.1"), VIEW("none"), VIEW("no connection"));
		break;
	default:
		return;
	}
	store_log_rows(&w.store, m, &r, 1);
}

static void
work_on(struct message *m)
{
	struct recipient *r;

	if (store_recipients(&w.store, m) != 0)
		log_fatal("recipients cannot be read");
	r = m->rcpts[0];
	r->route = route_intern(w.store.routes, VIEW("smtp"), VIEW("far.test"));
	r->flags |= RCPT_ROUTED;
	m->flags |= MESSAGE_EXPANDED;
	store_touch(&w.store, m, r);
	outcome(m);
	store_settle(&w.store, m);
}

static void
on_durable(void *arg, uint64_t number, uint64_t offset)
{
	struct segment *seg = segments_get(&w.store.segments, number);
	struct segment_record r;
	struct message *m;

	(void)arg;
	if (seg == NULL)
		return;
	seg->durable = offset;
	while (store_scan(&w.store, seg, seg->durable, true, &r) == 0)
		if (store_take_in(&w.store, seg, &r, false, &m) == 0)
			work_on(m);
	if (w.done % 10 == 0)
		store_checkpoint(&w.store, true);
}

static void
on_seal(void *arg, uint64_t number, uint64_t offset)
{
	struct segment *seg = segments_get(&w.store.segments, number);

	(void)arg;
	if (seg != NULL)
		segments_seal(&w.store.segments, seg, offset);
}

static void
made(void *arg, struct segment *seg, int append_fd, int error)
{
	enum record_segment_kind kind = *(enum record_segment_kind *)arg;

	xfree(arg);
	if (error != 0)
		log_fatal("no segment: %s", pk_strerror(error));
	segment_writer_give(w.writer, kind, seg->header.number, seg->header.key,
	    SEGMENT_BYTES, append_fd, -1);
}

static void
on_want(void *arg, enum record_segment_kind kind, uint64_t size_hint)
{
	enum record_segment_kind *k = XNEW(enum record_segment_kind);

	(void)arg;
	(void)size_hint;
	*k = kind;
	segments_create(&w.store.segments, kind, INSTANCE, IPC_ROLE_smtpd, SEGMENT_BYTES,
	    SEGMENT_BYTES, made, k);
}

/* ---- smtpd's part ---- */

static void	fill(void);

static void
on_done(void *arg, int error, uint64_t id)
{
	struct letter *l = arg;
	char text[RECORD_ID_TEXT_MAX + 40];

	if (error != 0)
		log_fatal("not durable: %s", pk_strerror(error));
	record_id_format(id, text);
	snprintf(text + strlen(text), 40, " for %s", l->token);
	say("Ok: queued as", text);
	buf_fini(&l->envelope);
	buf_fini(&l->content);
	buf_fini(&l->header);
	xfree(l);
	if (++w.done == w.count)
		loop_stop(w.loop);
	fill();
}

static struct view
compose(void *arg, uint64_t id)
{
	struct letter *l = arg;

	buf_reset(&l->header);
	buf_printf(&l->header, "X-Queue-Id: %" PRIX64 "\r\n", id);
	return buf_view(&l->header);
}

static void
send_one(unsigned n)
{
	struct letter *l = XNEW(struct letter);
	struct segment_message m = { .compose = compose, .done = on_done, .arg = l };
	struct segment_stream *stream;
	bool large = n % 17 == 16;
	size_t size = large ? LARGE_BYTES : 200 + n * 7919 % 3000;

	snprintf(l->token, sizeof(l->token), "TK%u", n);
	buf_init(&l->envelope, RECORD_ENVELOPE_MAX);
	buf_init(&l->content, 1 << 20);
	buf_init(&l->header, 1000);
	envelope_put_text(&l->envelope, ENVELOPE_SENDER, view_str(l->token));
	envelope_put_u64(&l->envelope, ENVELOPE_ARRIVAL_MS, clock_wall_ms());
	envelope_put_text(&l->envelope, ENVELOPE_RECIPIENT, VIEW("x@far.test"));
	buf_printf(&l->content, "Subject: %s\r\n\r\n", l->token);
	while (l->content.len < size)
		buf_printf(&l->content, "line at %zu of message %u\r\n", l->content.len, n);
	m.envelope = buf_view(&l->envelope);
	if (!large) {
		m.content = buf_view(&l->content);
		segment_writer_put(w.writer, &m);
		return;
	}
	stream = segment_stream_begin(w.writer, NULL, NULL);
	if (segment_stream_add(stream, buf_view(&l->content)) != 0)
		log_fatal("stream ended");
	segment_stream_commit(stream, &m);
}

static void
fill(void)
{
	while (w.begun < w.count && w.begun - w.done < IN_FLIGHT)
		send_one(w.begun++);
}

int
main(int argc, char **argv)
{
	static const struct store_ops ops = {
		.due = on_message, .keep = on_keep, .gone = on_message,
		.scope = on_scope, .scopes = on_scopes,
	};
	static const struct segment_writer_ops writer_ops = {
		.want = on_want, .durable = on_durable, .seal = on_seal,
	};
	uint64_t count, seed;

	if (argc != 4 || num_parse_u64(view_str(argv[2]), 1, 1000000, &count) != 0 ||
	    num_parse_u64(view_str(argv[3]), 0, UINT64_MAX, &seed) != 0) {
		fprintf(stderr, "usage: workload DIR COUNT SEED\n");
		return 2;
	}
	log_init("workload");
	w.count = (unsigned)count;
	w.random = seed;
	w.loop = loop_new();
	store_init(&w.store, w.loop, argv[1], &ops, NULL);
	store_recover(&w.store, alive, NULL);
	w.writer = segment_writer_new(w.loop, &writer_ops, NULL);
	fill();
	loop_run(w.loop);
	store_checkpoint(&w.store, true);
	store_checkpoint_wait(&w.store);
	return 0;
}
