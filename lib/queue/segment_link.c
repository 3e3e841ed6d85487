/* SPDX-License-Identifier: ISC */
/*
 * segment_link.c: what a segment writer and qmgr say to each other.
 *
 * Runs in smtpd and in the bounce composer. While qmgr is away nothing is
 * lost: durable ends are stated again when it is back, seals wait here, and
 * a want is repeated by the writer.
 */
#include "queue/segment_link.h"

#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* qmgr creates, reserves and syncs a file; beyond this it is as good as away. */
#define WANT_TIMEOUT_MS		30000
/* More seals than that without qmgr: it finds the ends by scanning. */
#define SEALS_KEPT		64

struct seal {
	uint64_t	number, offset;
};

struct segment_link {
	struct segment_writer	*writer;
	struct ipc_channel	*qmgr;		/* NULL: away */
	struct seal		 seals[SEALS_KEPT];
	unsigned		 nseals;
};

static int
segment_arrived(struct segment_link *k, enum record_segment_kind kind, struct ipc_msg *m)
{
	uint64_t number = 0, key = 0, said = 0, size = 0;
	struct ipc_in in;
	int append_fd, read_fd;

	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_SEGMENT, &number);
	ipc_get_u64(&in, IPC_F_KEY, &key);
	ipc_get_range(&in, IPC_F_KIND, 0, SEGMENT_KINDS - 1, &said);
	ipc_get_u64(&in, IPC_F_SIZE, &size);
	if (ipc_in_end(&in) != 0 || said != kind ||
	    m->nhandles != (kind == SEGMENT_SHARED ? 1 : 2))
		return PK_EPROTO;
	append_fd = ipc_take_handle(m, 0);
	read_fd = kind == SEGMENT_DEDICATED ? ipc_take_handle(m, 1) : -1;
	segment_writer_give(k->writer, kind, number, key, size, append_fd, read_fd);
	return 0;
}

static int
segment_refused(struct segment_link *k, enum record_segment_kind kind, struct ipc_msg *m)
{
	struct view text = VIEW_NONE;
	struct ipc_in in;
	uint64_t code = 0;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_CODE, 1, 1000, &code);
	if (ipc_has(&in, IPC_F_TEXT))
		ipc_get_text(&in, IPC_F_TEXT, 1024, &text);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	log_warn("queue manager gives no segment: %s (%.*s)", pk_strerror(-(int)code),
	    VIEW_ARG(text));
	segment_writer_refused(k->writer, kind, -(int)code);
	return 0;
}

static int
answered(struct segment_link *k, enum record_segment_kind kind, struct ipc_msg *m, int error)
{
	/* A channel that ended is replaced, and then the writer asks again. */
	if (error == PK_ETIMEOUT)
		segment_writer_refused(k->writer, kind, error);
	if (m == NULL)
		return 0;
	switch (m->type) {
	case IPC_SEGMENT:
		return segment_arrived(k, kind, m);
	case IPC_ACK:
		return segment_refused(k, kind, m);
	default:
		return PK_EPROTO;
	}
}

static int
shared_answered(struct ipc_msg *m, int error, void *arg)
{
	return answered(arg, SEGMENT_SHARED, m, error);
}

static int
dedicated_answered(struct ipc_msg *m, int error, void *arg)
{
	return answered(arg, SEGMENT_DEDICATED, m, error);
}

static void
want(void *arg, enum record_segment_kind kind, uint64_t size_hint)
{
	struct segment_link *k = arg;
	struct ipc_out o;

	if (k->qmgr == NULL)
		return;
	ipc_out_init(&o, IPC_SEGMENT_WANT);
	ipc_put_u64(&o, IPC_F_KIND, kind);
	ipc_put_u64(&o, IPC_F_SIZE, size_hint);
	ipc_call(k->qmgr, &o, WANT_TIMEOUT_MS,
	    kind == SEGMENT_SHARED ? shared_answered : dedicated_answered, k);
}

static void
send_end(struct segment_link *k, enum ipc_type type, uint64_t segment, uint64_t offset)
{
	struct ipc_out o;

	ipc_out_init(&o, type);
	ipc_put_u64(&o, IPC_F_SEGMENT, segment);
	ipc_put_u64(&o, IPC_F_OFFSET, offset);
	ipc_send(k->qmgr, &o);
}

static void
durable(void *arg, uint64_t segment, uint64_t offset)
{
	struct segment_link *k = arg;

	if (k->qmgr != NULL)
		send_end(k, IPC_SEGMENT_DURABLE, segment, offset);
}

static void
seal(void *arg, uint64_t segment, uint64_t offset)
{
	struct segment_link *k = arg;

	if (k->qmgr != NULL)
		send_end(k, IPC_SEGMENT_SEAL, segment, offset);
	else if (k->nseals < SEALS_KEPT)
		k->seals[k->nseals++] = (struct seal){ segment, offset };
}

static const struct segment_writer_ops writer_ops = { want, durable, seal };

struct segment_link *
segment_link_new(struct loop *l)
{
	struct segment_link *k = XNEW(struct segment_link);

	k->writer = segment_writer_new(l, &writer_ops, k);
	return k;
}

void
segment_link_free(struct segment_link **kp)
{
	struct segment_link *k = *kp;

	if (k == NULL)
		return;
	*kp = NULL;
	k->qmgr = NULL;
	segment_writer_free(&k->writer);
	xfree(k);
}

struct segment_writer *
segment_link_writer(struct segment_link *k)
{
	return k->writer;
}

void
segment_link_up(struct segment_link *k, struct ipc_channel *qmgr)
{
	unsigned i;

	k->qmgr = qmgr;
	/* Durable ends of sealed segments first: their seal says it all. */
	for (i = 0; i < k->nseals; i++) {
		send_end(k, IPC_SEGMENT_DURABLE, k->seals[i].number, k->seals[i].offset);
		send_end(k, IPC_SEGMENT_SEAL, k->seals[i].number, k->seals[i].offset);
	}
	k->nseals = 0;
	segment_writer_reconnected(k->writer);
}

void
segment_link_down(struct segment_link *k)
{
	k->qmgr = NULL;
}
