/* SPDX-License-Identifier: ISC */
/*
 * pair_private.h: the parts of pair loading among themselves.
 */
#ifndef CERTD_PAIR_PRIVATE_H
#define CERTD_PAIR_PRIVATE_H

#include "certd/pair.h"
#include "certd/pem.h"

/* A key with its certificates as they stood in files, nothing checked yet. */
struct pair_draft {
	EVP_PKEY	*key;
	X509		*certs[TLS_CHAIN_MAX];
	unsigned	 ncerts;
	struct buf	 files;
};

/*
 * Checks the draft and makes a pair of it (with one reference). PK_EFORMAT,
 * PK_EUNSUPPORTED with words for a person in why; warnings go to note.
 */
int	pair_check(struct pair_draft *d, unsigned flags, struct pair **p_r, struct buf *why,
	    pair_note_fn note, void *arg);

#endif
