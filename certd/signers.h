/* SPDX-License-Identifier: ISC */
/*
 * signers.h: threads for the signatures that take long (RSA).
 */
#ifndef CERTD_SIGNERS_H
#define CERTD_SIGNERS_H

#include <bsd/sys/queue.h>

#include "certd/sign.h"
#include "sys/loop.h"

struct signers;

/* One signature; who asks for it fills in what stands above the line. */
struct sign_job {
	void		*arg;
	uint32_t	 id;
	uint64_t	 start_ns;
	unsigned	 scheme;
	struct pair	*pair;		/* a reference, the owner's to give up */
	struct buf	 tbs;
	/* ---- */
	int		 error;		/* of sign_do() */
	uint8_t		 signature[SIGN_MAX];
	size_t		 len;
	TAILQ_ENTRY(sign_job) link;
};

/* done is called in the loop, once a job; the job is the owner's again. */
struct signers *signers_new(struct loop *l, unsigned threads, void (*done)(struct sign_job *j));
/* Only without jobs under way. */
void	signers_free(struct signers **s);
void	signers_put(struct signers *s, struct sign_job *j);
/* Jobs that were put and are not done. */
size_t	signers_pending(const struct signers *s);

#endif
