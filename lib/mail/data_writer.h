/* SPDX-License-Identifier: ISC */
/*
 * data_writer.h: content on its way out (A2: never a bare CR or LF).
 *
 * Fed with content in chunks of any size, it appends to a buf what goes on
 * the wire. Content is CRLF wire form as data_scanner made it; should it not
 * be (BINARYMIME, a damaged file), bare LF becomes CRLF and bare CR a blank.
 * For a next hop without 8BITMIME put mime.h's converter in front.
 */
#ifndef PK_MAIL_DATA_WRITER_H
#define PK_MAIL_DATA_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

enum data_writer_form {
	DATA_WRITER_DOT,	/* DATA: dots stuffed, ends in CRLF.CRLF */
	DATA_WRITER_PLAIN,	/* BDAT: CRLF lines, no dots, no end mark */
	DATA_WRITER_LF,		/* Maildir: LF lines */
};

struct data_writer {
	enum data_writer_form form;
	size_t		line_max;	/* 0: none; else longer lines are folded (CRLF SP) */
	size_t		line_bytes;
	bool		line_start;
	bool		cr;		/* last byte taken was a CR, not yet put */
};

/* What a chunk of n bytes can become at most, for the room of the output. */
#define DATA_WRITER_GROWTH(n)	(2 * (n) + 16)

/* line_max: Postfix's smtp_line_length_limit (998); at least 16 or 0. */
void	data_writer_init(struct data_writer *w, enum data_writer_form form, size_t line_max);
/* Appends; returns 0 or the buf's PK_ELIMIT. */
int	data_writer_feed(struct data_writer *w, struct view chunk, struct buf *out);
/* A last line without end gets one; DATA_WRITER_DOT: ".CRLF". */
int	data_writer_end(struct data_writer *w, struct buf *out);

#endif
