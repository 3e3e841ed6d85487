/* SPDX-License-Identifier: ISC */
/*
 * maildir.h: delivery into Maildir++ folders.
 *
 * A store is a tree of mailboxes below one directory handle. Delivery has
 * three steps, so that one sync serves many messages:
 *
 *	maildir_write()    the message is in tmp/
 *	   (sync)
 *	maildir_publish()  it is in new/
 *	   (sync)	   now, and not before, it is delivered
 *
 * A file's name derives from queue id and recipient, so a delivery that is
 * repeated after a crash finds itself. Paths come from tables and users own
 * the folders: each step down refuses links and foreign owners.
 *
 * Thread safety: box_open and write belong to one thread, publish, discard,
 * revoke and box_release to any.
 */
#ifndef PK_STORE_MAILDIR_H
#define PK_STORE_MAILDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/view.h"

/* Mailboxes whose directories stay open: 3 descriptors each. */
#define MAILDIR_BOXES_MAX	256
#define MAILDIR_NAME_MAX	240
#define MAILDIR_PATH_MAX	1024
#define MAILDIR_DEPTH_MAX	32
/* Files in tmp/ older than this are nobody's (maildir(5)): 36 hours. */
#define MAILDIR_TMP_AGE_S	(36 * 3600)

struct maildir_store;
struct maildir_box;

enum maildir_fault {
	MAILDIR_FAULT_SYSTEM,		/* error is errno */
	MAILDIR_FAULT_PATH,		/* bad path, link, foreign owner */
	MAILDIR_FAULT_FULL,		/* over quota */
	MAILDIR_FAULT_TOO_BIG,		/* bigger than the whole quota */
};

struct maildir_failure {
	enum maildir_fault fault;
	int		error;
	char		text[256];
};

/* base_fd is kept; hostname (kept by copy) goes into file names. */
struct maildir_store *maildir_store_new(int base_fd, const char *hostname);
void	maildir_store_free(struct maildir_store **s);

/*
 * The mailbox at `path` below the base; created when missing: 0710 down to its
 * own folder, so that lookupd (of our group) can ask for its maildirsize
 * (0640), 0700 for what is in it. Returns NULL and fills *f_r on failure.
 * Release it once.
 */
struct maildir_box *maildir_box_open(struct maildir_store *s, struct view path,
	    struct maildir_failure *f_r);
void	maildir_box_release(struct maildir_box **b);
/* The file system it is on, and a handle there for syncfs(); the box's. */
dev_t	maildir_box_device(const struct maildir_box *b, int *fd_r);

/* Gives the message piece by piece, CRLF wire form: 0, PK_EEND, or an error. */
typedef int (*maildir_source_fn)(void *arg, uint64_t offset, struct view *v_r);

struct maildir_delivery {
	/* Set by the caller. */
	struct maildir_box *box;
	const char	*queue_id;
	uint64_t	rcpt_index;
	uint64_t	arrival_ms;
	uint64_t	quota;		/* bytes, 0: none */
	uint64_t	size_hint;	/* bytes in wire form, for the quota */
	bool		look_twice;	/* may be a repeat: look into cur/ too */
	struct view	prefix;		/* Return-Path and so on, CRLF */
	maildir_source_fn source;
	void		*source_arg;

	/* Set by maildir_write(). */
	bool		found;		/* was there already: nothing written */
	uint64_t	size;		/* bytes of the file */
	char		tmp_name[MAILDIR_NAME_MAX];
	char		new_name[MAILDIR_NAME_MAX];
};

/* 0 or PK_EIO with *f_r; nothing is left in tmp/ then. Does not sync. */
int	maildir_write(struct maildir_delivery *d, struct maildir_failure *f_r);
/* tmp/ to new/. 0, or PK_ESYS (errno). A found one: nothing. */
int	maildir_publish(struct maildir_delivery *d);
/* After a write: takes it out of tmp/ and out of the quota. */
void	maildir_discard(struct maildir_delivery *d);
/*
 * After a publish whose sync failed: out of new/, so that a repeat writes the
 * bytes anew and does not believe what the page cache shows (F4).
 */
void	maildir_revoke(struct maildir_delivery *d);

#endif
