/* SPDX-License-Identifier: ISC */
/*
 * table.h: lookup tables, "type:name" (postkeep-tables(5)).
 *
 *	inline:{a=b, {c = d e}}	in the configuration itself
 *	static:value		every key has this value; static:{with blanks}
 *	texthash:/file		key blanks value, read whole
 *	lmdb:/file, hash:/file	/file.lmdb, made from /file by `adminctl table build`
 *	cidr:/file		networks
 *	pcre:/file		Perl-compatible patterns
 *	unionmap:{t1, t2}	values of several, joined with commas
 *	fail:reason		every look-up fails
 *
 * Used by lookupd (and adminctl for building); everything is read only. A
 * table whose file changed is loaded anew, looked at no more than once a
 * second; when the new one is broken the old one stays in use and an error
 * that names file and line is logged once for each change of the file.
 */
#ifndef PK_TABLE_TABLE_H
#define PK_TABLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define TABLE_KEY_MAX	2048
#define TABLE_VALUE_MAX	60000		/* fits one IPC packet with its key */
#define TABLE_FILE_MAX	(256u << 20)
#define TABLE_LINE_MAX	(1u << 20)

struct table;

/*
 * Opens "type:name". PK_ESYNTAX, PK_EUNSUPPORTED (no such type in this
 * version), PK_ENOENT, PK_EFORMAT and others, with words for a person (file,
 * line, way out) appended to why; *t_r untouched then.
 */
int	table_open(struct view spec, struct table **t_r, struct buf *why);
void	table_close(struct table **t);
/* "type:name" as given. */
const char *table_spec(const struct table *t);
/* Patterns (cidr, pcre, static, ...): only whole keys are to be looked up. */
bool	table_is_pattern(const struct table *t);
size_t	table_count(const struct table *t);		/* entries; 0 if not known */
/*
 * Looks key up and appends the value to value_r. Keys are folded to lower case
 * for every type but pcre with the flag 'i' off. 0, PK_ENOENT, PK_ETEMP (the
 * table cannot tell now; logged).
 */
int	table_get(struct table *t, struct view key, struct buf *value_r);
/*
 * Calls fn for each entry, in no order: of a table that lists its keys
 * (inline, texthash); PK_EUNSUPPORTED of any other.
 */
int	table_each(const struct table *t,
	    void (*fn)(struct view key, struct view value, void *arg), void *arg);
/* File that the table is read from, NULL if none: Landlock needs to know. */
const char *table_file(const struct table *t);

/* True if v looks like "type:name" rather than a literal. */
bool	table_is_spec(struct view v);
/* Types there are, for error messages: "cidr, fail, ...". */
void	table_put_types(struct buf *b);
/* Files that a spec would read (for confinement, before opening): calls fn for each. */
void	table_spec_files(struct view spec, void (*fn)(const char *path, void *arg), void *arg);

/*
 * Reads texthash source `path` and writes `path`.lmdb anew: as a new file,
 * synced, renamed over the old one. PK_E*, why as above. *count_r: entries.
 */
int	table_build_lmdb(const char *path, size_t *count_r, struct buf *why);

#endif
