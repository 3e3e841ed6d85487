/* SPDX-License-Identifier: ISC */
/*
 * source_row.h: what a row of a database or an entry of a directory says of a
 * user. Column names are Dovecot's where it has them.
 */
#ifndef PK_AUTHD_SOURCE_ROW_H
#define PK_AUTHD_SOURCE_ROW_H

#include "authd/source.h"

/* A key no database is asked for: not UTF-8, control characters, too long. */
bool	source_key_is_fit(struct view key);
/*
 * The key's parts, xmalloc'ed: user@domain; without an @ both user and domain
 * are the key.
 */
void	source_key_split(struct view key, char **user_r, char **domain_r);
/*
 * Takes a column: user, password, scram_sha256, scram_sha1, mailbox, quota,
 * quota_rule, disabled, nologin, services; others are passed over.
 * default_scheme: "" or that of a password without {SCHEME}. PK_ESYNTAX.
 */
int	source_row_set(struct source_user *u, struct view name, struct view value,
	    const char *default_scheme);
/* The login that was asked, unless the row named another form of it. */
void	source_row_end(struct source_user *u, struct view asked);
/* "domain/user/" */
void	source_put_mailbox(struct buf *b, struct view address);
/* Joins values of an alias; nothing of several lines. */
void	source_put_value(struct buf *b, struct view value);

#endif
