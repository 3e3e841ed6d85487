/* SPDX-License-Identifier: ISC */
/*
 * table_impl.h: what a table type is made of. For lib/table and its tests.
 */
#ifndef PK_TABLE_TABLE_IMPL_H
#define PK_TABLE_TABLE_IMPL_H

#include "base/buf.h"
#include "base/view.h"

/*
 * A type either reads a text file (load_text: table.c has read it), opens a
 * file itself (load_file), or lives in its name alone (load_name). Errors go
 * to why as words for a person; *data_r is untouched then. get appends to
 * value_r: 0, PK_ENOENT or PK_ETEMP.
 */
struct table_type {
	const char	*name;
	const char	*suffix;	/* behind the name makes the file; NULL: no file */
	bool		 pattern;	/* keys are never looked up in parts */
	bool		 fold;		/* keys are folded to lower case */
	int	(*load_text)(struct view text, const char *path, void **data_r, struct buf *why);
	int	(*load_file)(const char *path, void **data_r, struct buf *why);
	int	(*load_name)(struct view name, void **data_r, struct buf *why);
	int	(*get)(void *data, struct view key, struct buf *value_r);
	size_t	(*count)(const void *data);	/* may be NULL */
	void	(*close)(void *data);
};

extern const struct table_type table_type_cidr;
extern const struct table_type table_type_fail;
extern const struct table_type table_type_hash;
extern const struct table_type table_type_inline;
extern const struct table_type table_type_lmdb;
extern const struct table_type table_type_pcre;
extern const struct table_type table_type_static;
extern const struct table_type table_type_texthash;
extern const struct table_type table_type_unionmap;

/* unionmap in unionmap in ...: names come from the configuration, but still. */
#define TABLE_NESTING_MAX	4

/*
 * Logical lines of a table file: a line that begins with a blank goes on with
 * the one before, empty lines and those whose first character is # are passed
 * over, blanks at the end (and a CR) are dropped. Control characters other
 * than tab are an error: they would end up in replies and logs (A11).
 */
struct table_lines {
	struct view	 rest;
	unsigned	 next;		/* number of the next physical line */
	unsigned	 line;		/* where the logical line began */
	struct buf	 text;		/* the logical line */
	const char	*error;		/* static text when table_lines_next() failed */
};
void	table_lines_init(struct table_lines *l, struct view text);
void	table_lines_fini(struct table_lines *l);
/* 0 with l->text and l->line; PK_EEND; PK_ESYNTAX, PK_ELIMIT with l->error, l->line. */
int	table_lines_next(struct table_lines *l);

/*
 * Reads a file of rules with if and endif (cidr, pcre): line() for each
 * logical line; *depth is how many ifs are open. 0, or an error with the file,
 * the line and the reason in why.
 */
int	table_rules_load(struct view text, const char *path,
	    int (*line)(void *arg, struct view line, unsigned number, struct buf *why), void *arg,
	    const unsigned *depth, struct buf *why);

/* The look-up side of tables that are a map from key to an xmalloc'ed string. */
int	table_map_get(void *data, struct view key, struct buf *value_r);
size_t	table_map_count(const void *data);
void	table_map_free(void *data);

/*
 * "key value" of a logical line; a key in double quotes may have blanks and
 * \-escapes. key_r points into the line or into scratch. PK_ESYNTAX when one
 * of them is missing.
 */
int	table_split_entry(struct view line, struct buf *scratch, struct view *key_r,
	    struct view *value_r);

/* "FILE, line N: " */
void	table_put_where(struct buf *why, const char *path, unsigned line);

/* False when spec is not "type:name"; a "proxy:" in front is passed over. */
bool	table_split_spec(struct view spec, struct view *type_r, struct view *name_r);

/* Takes off one pair of outer braces and blanks: "{ a b }" -> "a b". */
struct view table_unbrace(struct view v);

#endif
