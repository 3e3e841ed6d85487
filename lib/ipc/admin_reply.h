/* SPDX-License-Identifier: ISC */
/*
 * admin_reply.h: ADMIN_ANSWER from a JSON value.
 */
#ifndef PK_IPC_ADMIN_REPLY_H
#define PK_IPC_ADMIN_REPLY_H

#include <jansson.h>

#include "ipc/ipc.h"

/* What a JSON value may take so that it fits a part with its cursor. */
#define ADMIN_PART_MAX	(IPC_BODY_MAX - 1024)

/*
 * One part; `more`: further ones follow. Takes over a reference to json.
 * cursor is empty unless this is the last part and there is more to list. A
 * value over ADMIN_PART_MAX is answered as PK_ELIMIT.
 */
int	admin_reply_json(struct ipc_channel *ch, uint32_t id, bool more, json_t *json,
	    struct view cursor);
/* Failure: code is PK_E*, words for a person. */
int	admin_reply_error(struct ipc_channel *ch, uint32_t id, int code, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));

#endif
