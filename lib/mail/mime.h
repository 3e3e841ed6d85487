/* SPDX-License-Identifier: ISC */
/*
 * mime.h: 8-bit content for a next hop that takes 7 bits only (RFC 6152 3,
 * RFC 2045, RFC 2046).
 *
 * Two passes over the content, both fed in chunks of any size, so that a
 * message of 100 MB needs no more memory than a small one:
 *
 *	m = mime_new();
 *	while (chunks) mime_scan(m, chunk);
 *	mime_scan_end(m, &summary);		may it be converted, must it?
 *	mime_convert_begin(m, sink, arg);
 *	while (the same chunks again) mime_convert(m, chunk);
 *	mime_convert_end(m);
 *	mime_free(&m);
 *
 * Text leaves with 8-bit bytes (or labelled 8bit, binary) become
 * quoted-printable, other leaves base64; multiparts and message/rfc822 are
 * walked (without recursion) and relabelled 7bit; MIME-Version is added where
 * it was missing. Time is linear in the content, whatever it says (A8).
 */
#ifndef PK_MAIL_MIME_H
#define PK_MAIL_MIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

/* Deeper or more: nobody writes such mail; PK_ELIMIT, to be bounced as 5.6.3. */
#define MIME_DEPTH_MAX	100
#define MIME_PARTS_MAX	10000

struct mime;

struct mime_summary {
	bool		has_8bit;	/* anywhere in the content */
	bool		has_nul;
	bool		header_8bit;	/* raw 8-bit in a header: no conversion without SMTPUTF8 */
	bool		needs_conversion; /* a leaf has 8-bit or is labelled so */
	unsigned	parts;		/* entities */
	unsigned	depth;
};

typedef int (*mime_sink_fn)(void *arg, struct view slice);

struct mime *mime_new(void);
void	mime_free(struct mime **m);
/* First pass. PK_ELIMIT: too deep or too many parts. */
int	mime_scan(struct mime *m, struct view chunk);
/* PK_EUNSUPPORTED when header_8bit forbids a conversion; *s_r is set in any case. */
int	mime_scan_end(struct mime *m, struct mime_summary *s_r);
/* Second pass, same bytes. Errors are the sink's, PK_EFORMAT when the bytes differ. */
void	mime_convert_begin(struct mime *m, mime_sink_fn sink, void *arg);
int	mime_convert(struct mime *m, struct view chunk);
int	mime_convert_end(struct mime *m);

#endif
