/* SPDX-License-Identifier: ISC */
/*
 * source.h: where users are known: one interface, a file a kind.
 *
 *	source_accounts.c	our own database (accounts.h)
 *	source_passwd_file.c	passwd(5)-like file with hashes
 *	source_system.c		getpwnam, getspnam: no PAM
 *	source_sqlite.c, source_pgsql.c, source_mysql.c, source_ldap.c
 *
 * auth_sources lists them; the first that knows a user answers for it, one
 * that cannot tell (PK_ETEMP) ends the search with a temporary failure.
 * What a client sends reaches a database as a parameter, never as text of a
 * query (A12).
 */
#ifndef PK_AUTHD_SOURCE_H
#define PK_AUTHD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "sys/sandbox.h"

/* What a source says of a user. Zeroed by source_user_init(); secrets are wiped by fini. */
struct source_user {
	char		*login;		/* canonical: as the source writes it, or as asked */
	char		**hashes;	/* "{SCHEME}...", any of them lets in; also app passwords */
	char		**hash_names;	/* app password's name, or NULL for the password */
	unsigned	*hash_services;	/* enum source_service bits that it opens */
	size_t		nhashes;
	char		*scram_sha256;	/* "{SCRAM-SHA-256}iter,salt,stored,server", or NULL */
	char		*scram_sha1;
	bool		disabled;	/* may not log in: answered as a wrong password */
	unsigned	services;	/* enum source_service bits that are permitted */
	uint64_t	quota_bytes;	/* 0: none */
	char		*mailbox;	/* path below virtual_mailbox_base, or NULL: domain/user/ */
};

enum source_service {
	SOURCE_SMTP	= 1 << 0,
	SOURCE_IMAP	= 1 << 1,
	SOURCE_API	= 1 << 2,
	SOURCE_ALL	= (1 << 3) - 1,
};

void	source_user_init(struct source_user *u);
void	source_user_fini(struct source_user *u);
/* It opens everything that `services` permits; source_user_limit_hash() narrows the last one. */
void	source_user_add_hash(struct source_user *u, const char *hash, const char *name);
void	source_user_limit_hash(struct source_user *u, unsigned services);
/* "smtp imap api" (blanks or commas): bits, or PK_ESYNTAX. */
int	source_services_parse(struct view text, unsigned *services_r);
void	source_services_put(struct buf *b, unsigned services);

/* What lookupd may ask (ACCOUNT_GET): not every source knows of all. */
enum source_map {
	SOURCE_MAP_DOMAINS,	/* is it ours? "OK" */
	SOURCE_MAP_USERS,	/* mailbox path */
	SOURCE_MAP_ALIASES,	/* addresses, comma separated */
	SOURCE_MAP_QUOTAS,	/* bytes */
	SOURCE_MAP_LOGINS,	/* logins that may send as this address, comma separated */
	SOURCE_MAPS
};

struct source;

struct source_type {
	const char	*name;		/* "pgsql" */
	bool		 blocks;	/* find and map are called in threads, several at once */
	/*
	 * arg: behind the colon. Called in the loop's thread, before the
	 * confinement or at a reload. NULL with why (one line).
	 */
	struct source	*(*open)(const struct conf *conf, const char *arg, struct buf *why);
	void		(*close)(struct source *s);
	/* 0 with *u filled, PK_ENOENT, PK_ETEMP (logged once a while by the source). */
	int		(*find)(struct source *s, struct view login, struct source_user *u);
	/* 0 with value, PK_ENOENT, PK_ETEMP. NULL: this kind knows no maps. */
	int		(*map)(struct source *s, enum source_map map, struct view key,
			    struct buf *value_r);
	/*
	 * The user's hash in a better scheme, computed at a login ("upgraded");
	 * a SCRAM verifier is kept beside old_hash, not in its place.
	 * NULL or PK_EUNSUPPORTED: this source is read only.
	 */
	int		(*rehash)(struct source *s, const char *login, const char *old_hash,
			    const char *new_hash);
	/* What confinement must leave open. May be NULL. */
	void		(*needs)(const struct conf *conf, const char *arg,
			    struct sandbox_spec *spec);
};

/* Each type embeds it first. */
struct source {
	const struct source_type *type;
	char		*spec;		/* "pgsql:/etc/postkeep/users.cf", for messages */
	/*
	 * What it reads was replaced by something that only the first privileges can
	 * open: authd comes to an end in order, and its successor opens that.
	 */
	bool		 stale;
};

/* The sources of a configuration; who works with one when a reload comes keeps them. */
#define SOURCES_MAX	8

struct source_set {
	unsigned	 refs;
	struct source	*sources[SOURCES_MAX];	/* in the order of auth_sources */
	unsigned	 n;
};

/* NULL with why: one of them cannot be opened. */
struct source_set *source_set_open(const struct conf *conf, struct buf *why);
struct source_set *source_set_ref(struct source_set *s);
/* Closes them with the last reference. */
void	source_set_unref(struct source_set **s);
/* What they need of the kernel. PK_ESYNTAX, PK_ENOENT with why. */
int	source_set_needs(const struct conf *conf, struct sandbox_spec *spec, struct buf *why);
/* A folder or file for a source's needs(); path is copied. */
void	source_need_path(struct sandbox_spec *spec, const char *path);

/* "sqlite", ... as built; NULL: unknown or not built. */
const struct source_type *source_type_find(struct view name);
/* Names of all there are, for error messages. */
void	source_put_types(struct buf *b);

#endif
