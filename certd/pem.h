/* SPDX-License-Identifier: ISC */
/*
 * pem.h: PEM blocks of a file (RFC 7468), with the forms that tools write.
 */
#ifndef CERTD_PEM_H
#define CERTD_PEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* A chain file with every CA that there is fits many times. */
#define PEM_FILE_MAX	(1U << 20)
/* DER of one block: a certificate must fit an IPC field, a key is smaller. */
#define PEM_DER_MAX	60000

enum pem_kind {
	PEM_CERTIFICATE,
	PEM_KEY,		/* PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY */
	PEM_OTHER,		/* parameters, public keys: passed over */
};

/* The bytes may be a secret: pem_block_fini() wipes them. */
struct pem_block {
	enum pem_kind	 kind;
	unsigned	 line;		/* of its BEGIN */
	uint8_t		*der;
	size_t		 len;
};

struct pem_reader {
	struct view	 rest;
	unsigned	 line;		/* lines taken so far */
};

void	pem_reader_init(struct pem_reader *r, struct view text);
/*
 * The next block; text between blocks is passed over. 0, PK_EEND, or
 * PK_ESYNTAX, PK_ELIMIT, PK_EUNSUPPORTED (a key with a pass phrase) with
 * words for a person in why ("line 7: ...").
 */
int	pem_next(struct pem_reader *r, struct pem_block *b_r, struct buf *why);
void	pem_block_fini(struct pem_block *b);

#endif
