/* SPDX-License-Identifier: ISC */
/*
 * admin_reply.c: answers to adminctl, as lookupd and dnsd give them.
 *
 * Runs in roles with an admin socket. Values may hold strangers' bytes; JSON
 * wants UTF-8, which the callers see to (or the value is refused here).
 */
#include "ipc/admin_reply.h"

#include <stdarg.h>

#include "base/error.h"
#include "base/mem.h"

#define WORDS_MAX	1000

static int
reply(struct ipc_channel *ch, uint32_t id, bool more, int code, struct view text,
    struct view json, struct view cursor)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	if (more)
		o.flags |= IPC_FLAG_MORE;
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	if (text.len > 0)
		ipc_put_bytes(&o, IPC_F_TEXT, text);
	ipc_put_bytes(&o, IPC_F_JSON, json);
	ipc_put_bytes(&o, IPC_F_CURSOR, cursor);
	return ipc_reply_id(ch, id, &o);
}

int
admin_reply_json(struct ipc_channel *ch, uint32_t id, bool more, json_t *json,
    struct view cursor)
{
	char *text = xmalloc(ADMIN_PART_MAX);
	size_t n;
	int error;

	n = json_dumpb(json, text, ADMIN_PART_MAX, JSON_COMPACT);
	json_decref(json);
	if (n == 0 || n > ADMIN_PART_MAX)
		error = admin_reply_error(ch, id, PK_ELIMIT, "the answer is too long");
	else
		error = reply(ch, id, more, 0, VIEW(""), view_of(text, n), cursor);
	xfree(text);
	return error;
}

int
admin_reply_error(struct ipc_channel *ch, uint32_t id, int code, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	size_t i;
	int error;

	buf_init(&b, WORDS_MAX);
	va_start(ap, fmt);
	if (buf_vprintf(&b, fmt, ap) != 0)
		buf_put_str(&b, pk_strerror(code));
	va_end(ap);
	for (i = 0; i < b.len; i++)
		if ((unsigned char)buf_data(&b)[i] < ' ')
			buf_data(&b)[i] = '?';
	error = reply(ch, id, false, code, buf_view(&b), VIEW(""), VIEW(""));
	buf_fini(&b);
	return error;
}
