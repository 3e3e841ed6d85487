/* SPDX-License-Identifier: ISC */
/*
 * source_accounts.h: which database the source `accounts` reads.
 */
#ifndef PK_AUTHD_SOURCE_ACCOUNTS_H
#define PK_AUTHD_SOURCE_ACCOUNTS_H

struct accounts;

/* Borrowed until the next call; NULL: every look-up is a temporary failure. */
void	source_accounts_use(struct accounts *a);

#endif
