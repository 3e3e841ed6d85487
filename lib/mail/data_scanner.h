/* SPDX-License-Identifier: ISC */
/*
 * data_scanner.h: the one reader of line endings in mail content.
 *
 * Fed with the bytes behind DATA as they arrive, in any chunks: it finds the
 * end (CRLF.CRLF and nothing else, A1), takes the stuffed dots out, and tells
 * what the content is like. With DATA_SCANNER_BDAT the end is the caller's
 * (chunk sizes) and dots mean nothing. The answer does not depend on how the
 * bytes were split.
 *
 * What comes out is CRLF wire form: every line ends in CRLF, no bare CR, no
 * bare LF (except DATA_SCANNER_BINARY). It is given to the sink as slices of the
 * input, as long as possible: copy them once into their place.
 */
#ifndef PK_MAIL_DATA_SCANNER_H
#define PK_MAIL_DATA_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

/* RFC 5322 2.1.1, without CRLF. */
#define DATA_LINE_MAX		998
/* A Message-ID longer than this is cut in the log, never in the message. */
#define DATA_MESSAGE_ID_MAX	255

/* What a bare CR or bare LF leads to (smtpd_forbid_bare_newline). */
enum data_bare {
	/* reject: `refused` is set, nothing more goes to the sink. */
	DATA_BARE_REJECT,
	/*
	 * yes, normalize, note, no: a bare LF becomes CRLF, a bare CR a blank (as
	 * Postfix's cleanup_replace_stray_cr_lf). Still only CRLF.CRLF ends DATA.
	 */
	DATA_BARE_NORMALIZE,
};

enum data_scanner_flag {
	DATA_SCANNER_BDAT	= 1 << 0,	/* no dots, no end inside */
	DATA_SCANNER_BINARY	= 1 << 1,	/* BINARYMIME: bare CR, LF pass as they are */
};

enum data_seen {
	DATA_SEEN_BARE_CR	= 1 << 0,
	DATA_SEEN_BARE_LF	= 1 << 1,
	DATA_SEEN_NUL		= 1 << 2,
	DATA_SEEN_8BIT		= 1 << 3,	/* a byte over 127 in header or body */
	DATA_SEEN_HEADER_8BIT	= 1 << 4,
	DATA_SEEN_LONG_LINE	= 1 << 5,	/* over DATA_LINE_MAX */
	DATA_SEEN_MESSAGE_ID	= 1 << 6,	/* these: header field present */
	DATA_SEEN_DATE		= 1 << 7,
	DATA_SEEN_FROM		= 1 << 8,
	DATA_SEEN_RESENT	= 1 << 9,	/* Resent-From or Resent-Message-ID */
	DATA_SEEN_TLS_OPTIONAL	= 1 << 10,	/* TLS-Required: No (RFC 8689 5) */
};

/* slice: valid during the call. A result other than 0 stops the scan and is passed on. */
typedef int (*data_sink_fn)(void *arg, struct view slice);

struct data_scanner {
	/* Set at init. */
	enum data_bare	bare;
	unsigned	flags;
	uint64_t	size_max;
	data_sink_fn	sink;
	void		*sink_arg;

	/* Result, complete when the end was found (or data_scanner_finish). */
	unsigned	seen;		/* enum data_seen */
	uint64_t	wire_bytes;	/* taken in, with dots and the end */
	uint64_t	content_bytes;	/* that went (or would have gone) to the sink */
	uint64_t	header_bytes;	/* content up to and with the empty line */
	uint64_t	lines;
	uint64_t	longest_line;	/* bytes without CRLF */
	unsigned	hops;		/* Received: fields (also RFC 5321 6.3) */
	unsigned	delivered_to;	/* Delivered-To: fields */
	bool		refused;	/* DATA_BARE_REJECT and one was seen */
	bool		too_big;	/* over size_max: sink got no more */
	bool		in_header;	/* still: no empty line seen */
	bool		ended;
	char		message_id[DATA_MESSAGE_ID_MAX + 1]; /* with <>, printable, a string */

	/* The scanner's own state between chunks. */
	unsigned char	state;
	bool		after_bare;	/* line began behind a bare LF */
	bool		field_message_id; /* value still to come, in a folded line */
	bool		line_high;	/* current line has a byte over 127 */
	uint64_t	line_bytes;
	uint16_t	field_len;
	char		field[352];	/* start of the current header line */
};

/* size_max: greatest content in bytes, 0 for none. */
void	data_scanner_init(struct data_scanner *s, enum data_bare bare, unsigned flags,
	    uint64_t size_max, data_sink_fn sink, void *sink_arg);
/*
 * Takes in; *used_r is how much (set in any case): behind the end of data
 * nothing is touched. 0: the end was found. PK_EAGAIN: everything was taken,
 * more is needed. Otherwise the sink's error. A refused or too big message is
 * read to its end all the same.
 */
int	data_scanner_feed(struct data_scanner *s, struct view in, size_t *used_r);
/*
 * BDAT only, behind the last chunk: a last line without CRLF gets one (not
 * with BINARY). Returns 0 or the sink's error.
 */
int	data_scanner_finish(struct data_scanner *s);

#endif
