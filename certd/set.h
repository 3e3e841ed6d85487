/* SPDX-License-Identifier: ISC */
/*
 * set.h: all pairs that are in use now, and under which names.
 */
#ifndef CERTD_SET_H
#define CERTD_SET_H

#include "base/map.h"
#include "certd/pair.h"
#include "conf/conf.h"

/* Names of a certificate's row in messages: longer lists are said in several. */
struct set_row {
	struct pair	*pair;
	unsigned	 flags;		/* enum cert_flag */
	char		**names;	/* sorted */
	size_t		 nnames;
};

/* One server name, or the default, or the client's: a pair a kind of key. */
struct set_entry {
	struct pair	*pairs[TLS_KEY_KINDS];
};

struct set {
	struct map	*entries;	/* "server", "client", "name:..." -> struct set_entry */
	struct set_row	*rows;		/* one a pair */
	size_t		 nrows;
	struct map	*by_print;	/* print_key() -> struct pair of a row */
	char		**errors;	/* what was refused, for adminctl */
	size_t		 nerrors;
	size_t		 fresh, kept;	/* pairs that are new; that were there before */
};

/*
 * Reads what conf names. old (may be NULL) gives what goes on being used where
 * the new files are no good; pairs that did not change are the same objects.
 * Logs each thing that is wrong, once.
 */
struct set *set_load(const struct conf *conf, const struct set *old);
void	set_free(struct set **s);

/* Every file that conf names, before it is read: for the confinement and the watch. */
void	set_each_file(const struct conf *conf, void (*fn)(const char *path, void *arg), void *arg);

#endif
