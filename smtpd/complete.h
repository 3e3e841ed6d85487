/* SPDX-License-Identifier: ISC */
/*
 * complete.h: header fields that a user's message lacks (RFC 6409 8).
 */
#ifndef PK_SMTPD_COMPLETE_H
#define PK_SMTPD_COMPLETE_H

#include "base/buf.h"

struct session;

/* The content is whole, its queue id not known: chooses a Message-ID if one is due. */
void	complete_prepare(struct session *s);
/* The fields that are due, behind the trace header. */
void	complete_put(const struct session *s, struct buf *b);

#endif
