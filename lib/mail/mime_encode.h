/* SPDX-License-Identifier: ISC */
/*
 * mime_encode.h: quoted-printable and base64 (RFC 2045 6.7, 6.8), fed in
 * lines, written to a sink. Private to lib/mail.
 */
#ifndef PK_MAIL_MIME_ENCODE_H
#define PK_MAIL_MIME_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "mail/mime.h"

enum mime_action {
	MIME_PASS,	/* as it is */
	MIME_RELABEL,	/* as it is, labelled 7bit */
	MIME_QP,
	MIME_BASE64,
	MIME_MEND_QP,	/* is quoted-printable: only bytes over 127 are encoded */
	MIME_STRIP,	/* bytes over 127 become '?': outside of any part, in base64 */
};

/* 57 bytes are a base64 line of 76. */
#define MIME_BASE64_LINE	57

struct mime_encoder {
	mime_sink_fn	 sink;
	void		*arg;
	int		 error;		/* the sink's first, sticky */
	struct buf	 out;
	enum mime_action action;
	unsigned	 column;	/* quoted-printable: bytes on the line */
	char		 blank;		/* quoted-printable: SP or HT held back, or 0 */
	const char	*eol;		/* base64: line end held back, or NULL */
	unsigned char	 block[MIME_BASE64_LINE];
	size_t		 block_len;
};

void	mime_encoder_init(struct mime_encoder *e, mime_sink_fn sink, void *arg);
void	mime_encoder_fini(struct mime_encoder *e);
/* Bytes that are no content: header, delimiters. */
void	mime_encoder_raw(struct mime_encoder *e, const char *p, size_t n);
/* Content begins. */
void	mime_encoder_begin(struct mime_encoder *e, enum mime_action action);
/* Another line of content begins. */
void	mime_encoder_line(struct mime_encoder *e);
/* Bytes of a line, without LF. */
void	mime_encoder_put(struct mime_encoder *e, const char *p, size_t n);
/* eol: "\r\n" or "\n", a string that stays. */
void	mime_encoder_eol(struct mime_encoder *e, const char *eol);
/* Content ends; before a delimiter the last line end is the delimiter's. */
void	mime_encoder_end(struct mime_encoder *e, bool delimiter);
/* Everything to the sink. */
void	mime_encoder_flush(struct mime_encoder *e);
/* What Content-Transfer-Encoding must say, NULL when it stays. */
const char *mime_action_label(enum mime_action action);

#endif
