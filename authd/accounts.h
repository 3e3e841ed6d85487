/* SPDX-License-Identifier: ISC */
/*
 * accounts.h: our own database of domains, users and aliases (LMDB).
 *
 * data_directory/accounts, 0700 of pk-auth; several authd have it open. A
 * change is one synced transaction: what was acknowledged is there after a
 * kill or a power cut. Records are JSON objects (accounts_record.c says which
 * members), found by canonical names (name.h), ordered by domain.
 */
#ifndef PK_AUTHD_ACCOUNTS_H
#define PK_AUTHD_ACCOUNTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define ACCOUNTS_RECORD_MAX	40000	/* bytes: one fits a part of an answer */
#define ACCOUNTS_APP_MAX	32
#define ACCOUNTS_SENDERS_MAX	100
#define ACCOUNTS_TARGETS_MAX	1000
#define ACCOUNTS_TEXT_MAX	200	/* description, name of an app password */

enum accounts_kind {
	ACCOUNTS_DOMAIN,
	ACCOUNTS_USER,
	ACCOUNTS_ALIAS,		/* the local part is empty for a catch-all */
	ACCOUNTS_KINDS
};
const char *accounts_kind_name(enum accounts_kind kind);	/* "domain" */

struct accounts;
struct accounts_txn;

/* dir exists. NULL with why. */
struct accounts *accounts_open(const char *dir, struct buf *why);
void	accounts_close(struct accounts **a);

/*
 * The canonical name of a record: a domain; user@domain; alias@domain or
 * @domain. PK_ESYNTAX, PK_ELIMIT. What could be read as another address in
 * some corner of mail ('%', '!', '/', ':' in a local part) is PK_ESYNTAX.
 */
int	accounts_put_name(struct buf *b, enum accounts_kind kind, struct view name);

/* ---- reading; in the loop's thread ---- */

/* The record, the caller's to decref: 0, PK_ENOENT, PK_EIO (logged). name is canonical. */
int	accounts_get(struct accounts *a, enum accounts_kind kind, struct view name,
	    json_t **record_r);
/* Logins that may send as this address or @domain, comma separated: 0, PK_ENOENT, PK_EIO. */
int	accounts_senders(struct accounts *a, struct view address, struct buf *b);
/*
 * Records of a domain ("" : all) behind the name `after` (""), in order, at
 * most `limit`; fn returns false to stop. 0, PK_EIO.
 */
typedef bool (*accounts_fn)(struct view name, struct view json, void *arg);
int	accounts_each(struct accounts *a, enum accounts_kind kind, struct view domain,
	    struct view after, size_t limit, accounts_fn fn, void *arg);
uint64_t accounts_count(struct accounts *a, enum accounts_kind kind, struct view domain);
/* Bytes that are the same in all authd of this database, made at its creation. */
int	accounts_secret(struct accounts *a, void *p, size_t n);
/* Other things kept there (ticket keys). */
int	accounts_meta_get(struct accounts *a, const char *key, struct buf *b);

/* ---- changing; any one thread from begin to end ---- */

/* Waits for the writer of another process. PK_EIO, PK_ENOSPC (logged). */
int	accounts_begin(struct accounts *a, struct accounts_txn **t_r);
/* Synced when it returns 0. */
int	accounts_commit(struct accounts_txn **t);
void	accounts_abort(struct accounts_txn **t);

enum accounts_mode {
	ACCOUNTS_ADD,		/* PK_EEXIST */
	ACCOUNTS_REPLACE,	/* PK_ENOENT */
	ACCOUNTS_PUT,		/* either */
};
/*
 * record is checked whole; why says what is wrong with it. Returns 0,
 * PK_ESYNTAX, PK_ELIMIT, PK_EEXIST, PK_ENOENT, PK_EIO, PK_ENOSPC.
 */
int	accounts_txn_set(struct accounts_txn *t, enum accounts_kind kind, struct view name,
	    json_t *record, enum accounts_mode mode, struct buf *why);
int	accounts_txn_get(struct accounts_txn *t, enum accounts_kind kind, struct view name,
	    json_t **record_r);
/*
 * A domain that has users or aliases: PK_EBUSY unless force, which removes
 * them; *removed_r counts all records that went.
 */
int	accounts_txn_delete(struct accounts_txn *t, enum accounts_kind kind, struct view name,
	    bool force, size_t *removed_r);
int	accounts_txn_meta_get(struct accounts_txn *t, const char *key, struct buf *b);
int	accounts_txn_meta_put(struct accounts_txn *t, const char *key, struct view value);

/* ---- accounts_record.c: what may stand in a record ---- */

/* Members and values; texts are brought into their canonical form. PK_ESYNTAX, PK_ELIMIT. */
int	accounts_record_check(enum accounts_kind kind, json_t *record, struct buf *why);

#endif
