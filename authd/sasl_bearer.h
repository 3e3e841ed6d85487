/* SPDX-License-Identifier: ISC */
/*
 * sasl_bearer.h: messages of OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's
 * form before it).
 */
#ifndef PK_AUTHD_SASL_BEARER_H
#define PK_AUTHD_SASL_BEARER_H

#include "base/buf.h"
#include "base/view.h"

/* PK_ESYNTAX, PK_ELIMIT. user: may stay empty. token_r points into the message. */
int	bearer_oauth_parse(struct view message, struct buf *user, struct view *token_r);
int	bearer_xoauth2_parse(struct view message, struct buf *user, struct view *token_r);

#endif
