/* SPDX-License-Identifier: ISC */
/*
 * ipc_in.c: a sibling that was taken over.
 *
 * Input: {self u8, peer u8} and then packets {length u16, bytes}. Each packet
 * goes through a real channel, whose handler reads whatever fields are there
 * with every getter; an outstanding call waits for replies to it. All bytes
 * of a packet also go through the getters by themselves as a body of every
 * message, so that no check of the channel hides the decoder.
 */
#include <sys/socket.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/channel_internal.h"

#define PACKETS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *l;

static void
no_log(enum log_level level, const char *line, size_t len, void *arg)
{
	(void)level;
	(void)arg;
	if (len > LOG_LINE_MAX || memchr(line, '\n', len) != NULL)
		abort();
}

static void
inside(const struct ipc_msg *m, struct view v)
{
	if (v.p < m->body.p || v.len > m->body.len ||
	    v.p + v.len > m->body.p + m->body.len)
		abort();
}

/* Reads all fields in the order in which they stand. */
static int
read_fields(struct ipc_msg *m)
{
	struct ipc_in in;
	struct view v;
	uint64_t n;
	uint16_t tag;

	ipc_in_init(&in, m);
	while (in.error == 0 && in.end - in.p >= 2) {
		memcpy(&tag, in.p, sizeof(tag));
		v = view_of(m->body.p, 0);
		switch (ipc_field_kind(tag)) {
		case 'u':
			n = 50;
			ipc_get_range(&in, tag, 0, 1000, &n);
			if (n > 1000)
				abort();
			break;
		case 't':
			ipc_get_text(&in, tag, 255, &v);
			inside(m, v);
			if (v.len > 255 || memchr(v.p, '\n', v.len) != NULL ||
			    memchr(v.p, '\0', v.len) != NULL)
				abort();
			break;
		case 'b':
			ipc_get_bytes(&in, tag, IPC_BODY_MAX, &v);
			inside(m, v);
			break;
		default:
			return PK_EPROTO;
		}
	}
	if (ipc_in_end(&in) == 0 && in.p != in.end)
		abort();
	return ipc_in_end(&in);
}

static int
on_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	const struct ipc_row *row = ipc_row(m->type);

	(void)arg;
	if (row == NULL || m->body.len > row->size_max ||
	    !ipc_row_allows(row, ch->peer, ch->self))
		abort();
	return read_fields(m);
}

static void
on_closed(struct ipc_channel *ch, int why, void *arg)
{
	(void)ch;
	(void)why;
	*(struct ipc_channel **)arg = NULL;
}

static int
on_reply(struct ipc_msg *m, int error, void *arg)
{
	(void)error;
	(void)arg;
	return m != NULL ? read_fields(m) : 0;
}

static const struct ipc_channel_ops ops = { on_message, on_closed };

static void
say_hello(int fd, enum ipc_role role)
{
	struct {
		struct ipc_header h;
		unsigned char fields[24];
	} p = { .h = { IPC_HELLO, 0, 24, 0 },
	    .fields = { 1, 0, 8, 0, IPC_VERSION, 0, 0, 0, 0, 0, 0, 0,
	    2, 0, 8, 0, (unsigned char)role } };

	if (write(fd, &p, 36) != 36)
		abort();
}

static void
through_channel(const uint8_t *data, size_t size, enum ipc_role self,
    enum ipc_role peer)
{
	struct ipc_channel *ch;
	struct ipc_out o;
	uint16_t len;
	int sv[2], n;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) == -1)
		abort();
	say_hello(sv[1], peer);
	ch = ipc_channel_new(l, sv[0], self, peer, 1, &ops, &ch);
	ipc_out_init(&o, IPC_HELLO);
	(void)ipc_call(ch, &o, 0, on_reply, NULL);
	for (n = 0; n < PACKETS_MAX && size >= 2; n++) {
		memcpy(&len, data, sizeof(len));
		data += 2;
		size -= 2;
		if (len > size)
			len = (uint16_t)size;
		(void)!send(sv[1], data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		data += len;
		size -= len;
	}
	loop_turn(l, 0);
	loop_turn(l, 0);
	ipc_channel_free(&ch);
	close(sv[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_msg m = { 0 };

	if (l == NULL) {
		log_init("ipc_in");
		log_set_sink(no_log, NULL);
		l = loop_new();
	}
	if (size < 2)
		return 0;
	m.body = view_of((const char *)data + 2, size - 2);
	(void)read_fields(&m);
	if (size > 16) {
		m.body = view_of((const char *)data + 16, size - 16);
		(void)read_fields(&m);
	}
	through_channel(data + 2, size - 2,
	    (enum ipc_role)(1 + data[0] % (IPC_ROLES - 1)),
	    (enum ipc_role)(1 + data[1] % (IPC_ROLES - 1)));
	return 0;
}
