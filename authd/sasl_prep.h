/* SPDX-License-Identifier: ISC */
/*
 * sasl_prep.h: SASLprep (RFC 4013), the one form of a password that stored
 * SCRAM verifiers and hashes of our own are made from.
 */
#ifndef PK_AUTHD_SASL_PREP_H
#define PK_AUTHD_SASL_PREP_H

#include "base/buf.h"
#include "base/view.h"

/*
 * Appends the prepared form. PK_ESYNTAX: not UTF-8, a prohibited character, or
 * nothing is left; PK_ELIMIT. Thread safe. Unassigned code points pass: their
 * table is that of Unicode 3.2, and people use newer characters.
 */
int	sasl_prep(struct view text, struct buf *out);

#endif
