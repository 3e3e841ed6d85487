/* SPDX-License-Identifier: ISC */
/*
 * bounce.h: the account of what became of recipients that a bounce JOB
 * carries in DATA: qmgr writes it, `deliver bounce` reads it.
 *
 * The addresses, ORCPT and NOTIFY stand in the JOB's recipient list; a row
 * here joins one of them by its index. The original's sender, ENVID, RET and
 * content are the JOB's ENVELOPE, HEADER and CONTENT.
 *
 * Form: version u8, kind u8, rows u16, then rows {index u64, action u8,
 * last_attempt_ms u64, retry_until_ms u64, dsn, reply, relay}, a text being
 * length u16 and bytes; numbers little endian.
 */
#ifndef PK_QUEUE_BOUNCE_H
#define PK_QUEUE_BOUNCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define BOUNCE_VERSION		1
/* Rows of one account: what a job's recipient limit allows, with room. */
#define BOUNCE_ROWS_MAX		1000
/* Longest dsn, reply or relay that is taken; an encoder cuts replies to it. */
#define BOUNCE_TEXT_MAX		2000
/* Greatest row, for a composer that must stay below a packet's size. */
#define BOUNCE_ROW_MAX		(25 + 3 * (2 + BOUNCE_TEXT_MAX))

/* What is reported; one kind an account. */
enum bounce_kind {
	BOUNCE_FAILED,		/* never delivered: 5.x.x, or 4.x.x too long */
	BOUNCE_DELAYED,		/* not yet delivered (delay_warning_time) */
	BOUNCE_SUCCESS,		/* NOTIFY=SUCCESS: delivered, relayed, expanded */
	BOUNCE_KINDS
};

struct bounce_row {
	uint64_t	index;		/* recipient's number within the message */
	uint8_t		action;		/* enum dsn_action (mail/dsn.h) */
	uint64_t	last_attempt_ms; /* wall time, 0: never tried */
	uint64_t	retry_until_ms;	/* wall time; BOUNCE_DELAYED only, else 0 */
	struct view	dsn;		/* "5.1.1" */
	struct view	reply;		/* as JOB_RESULT's REPLY */
	struct view	relay;		/* as JOB_RESULT's RELAY, "none" or "" */
};

/*
 * begin: reserves the head; put: one row (texts longer than BOUNCE_TEXT_MAX
 * are cut at it); end: fills the number of rows in. All rows go into an empty
 * buf. Results: 0, the buf's PK_ELIMIT, PK_ERANGE for a wrong action or too
 * many rows.
 */
int	bounce_encode_begin(struct buf *b, enum bounce_kind kind);
int	bounce_encode_row(struct buf *b, const struct bounce_row *row);
int	bounce_encode_end(struct buf *b);

/* A walk over an account; views point into the bytes given to begin. */
struct bounce_reader {
	struct view	rest;
	enum bounce_kind kind;
	unsigned	rows;		/* in all */
	unsigned	read;
};

/* PK_EFORMAT for what is no account. */
int	bounce_decode_begin(struct bounce_reader *r, struct view data);
/* 0, PK_EEND behind the last row (nothing may follow it), PK_EFORMAT. */
int	bounce_decode_row(struct bounce_reader *r, struct bounce_row *row_r);

#endif
