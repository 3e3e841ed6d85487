/* SPDX-License-Identifier: ISC */
/*
 * maildir_private.h: what maildir.c and maildir_quota.c share.
 */
#ifndef PK_STORE_MAILDIR_PRIVATE_H
#define PK_STORE_MAILDIR_PRIVATE_H

#include <bsd/sys/queue.h>
#include <pthread.h>

#include "base/map.h"
#include "store/maildir.h"

struct maildir_box {
	struct maildir_store *store;
	char		*path;
	int		dir_fd, tmp_fd, new_fd;
	dev_t		device;
	unsigned	refs;		/* under store->lock */
	bool		evicted;
	TAILQ_ENTRY(maildir_box) lru;	/* most recent first */
};

struct maildir_store {
	int		base_fd;
	char		*hostname;
	pthread_mutex_t	lock;
	struct map	*boxes;
	TAILQ_HEAD(maildir_box_list, maildir_box) lru;
	size_t		nboxes;
	uint64_t	cleaned_ms;	/* monotonic: a tmp/ was last looked through */
};

void	maildir_fail(struct maildir_failure *f, enum maildir_fault fault, int error,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* ",S=1234" in a file name; false when there is none. */
bool	maildir_name_size(const char *name, uint64_t *size_r);

/* maildir_quota.c */
/* May `size` more bytes come in? 0, or PK_ELIMIT with *f_r, or PK_ESYS. */
int	maildir_quota_check(struct maildir_box *b, uint64_t quota, uint64_t size,
	    struct maildir_failure *f_r);
/* Notes a file that came (sign 1) or went (-1). Best effort: a wrong sum is counted anew. */
void	maildir_quota_note(struct maildir_box *b, uint64_t size, int sign);

#endif
